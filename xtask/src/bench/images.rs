//! Images: how long one takes to come in, beside GNU tar that does nothing but
//! unpack it, and what the daemon takes for it; pushed again; and whether a
//! container of a large one starts as soon as of a small one, the first time too.
//!
//! The registry is Debian's, one on each host, over the same files. tar(1)
//! unpacks the layers one after the other, into one directory. All was flushed
//! before a round begins; what is written is flushed by us within the time, and
//! by tar not at all.
//!
//! Nothing is removed before the end, and each round has an edition of the
//! image that nobody has seen: ext4 gives no inode out again that was freed
//! within the last minute, and looks at each of these for each new file, which
//! would be most of everybody's time.

mod made;

use super::{
    contender::{Contender, Kind, Parts},
    host::{Host, Scratch},
    meter::Meter,
    rows::shuffled,
    statistics::{self, Samples, Target, Verdicts, median, milliseconds},
};
use crate::test::registry;
use anyhow::{Context as _, Result, ensure};
use made::Made;
pub use made::said;
use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// Rounds of what takes many seconds; the median of few will have to do.
const ROUNDS: usize = 3;
/// Of what takes milliseconds.
const MANY: usize = 25;
const ADDRESS: &str = "127.0.0.1:5000";
/// Of the daemon, in kB.
const MEMORY: u64 = 40_000;
const PUSH: Duration = Duration::from_millis(50);
/// How much longer the start of a container of the larger image may take.
const LARGER: f64 = 1.05;
/// Editions of an image, each of which is started for the first time once.
const EDITIONS: usize = 7;

/// What is measured of one contender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Pull,
    Load,
}

/// Measures and prints all of it.
pub fn print(
    all: &[Contender],
    (host, peers): (&Host, Option<&Host>),
    scratch: &Scratch,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let storage = scratch.folder("storage")?;
    let _registries = [Some(host), peers]
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, host)| Running::start(host, scratch, &storage, at))
        .collect::<Result<Vec<_>>>()?;
    let tar = tar(host)?;
    let place = scratch.folder("images")?;
    for (way, first) in [(Way::Pull, 0), (Way::Load, ROUNDS + 1)] {
        arrive(way, all, &tar, (&place, &storage, first), verdicts)?;
    }
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    // They all have it from the last round of pulls.
    push(ours, all, &format!("made:{ROUNDS}"), verdicts)?;
    sizes(ours, scratch, verdicts)?;
    first_starts(ours, scratch, verdicts)
}

/// GNU tar, metered.
fn tar(host: &Host) -> Result<Contender> {
    let meter = Meter::new("tar")?;
    Ok(Contender::new(Parts {
        name: "tar",
        kind: Kind::Peer,
        client: Vec::new(),
        run_words: Vec::new(),
        agent: host.agent(&meter.group)?,
        daemon: None,
        meter: meter.into(),
    }))
}

/// A registry; it ends when this is dropped.
struct Running(Child);

impl Running {
    fn start(host: &Host, scratch: &Scratch, storage: &Path, at: usize) -> Result<Self> {
        // Where the peers' host sees it, too.
        let program = scratch.0.join(format!("docker-registry-{at}"));
        fs::copy(registry()?, &program).context("cannot copy the registry")?;
        let config = scratch.0.join(format!("registry-{at}.yml"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{ADDRESS}\"}}\n",
            storage.display()
        );
        fs::write(&config, text).context("cannot write a registry's configuration")?;
        let mut command = host.command(&program);
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().context("cannot start a registry")?;
        let begun = Instant::now();
        // 1388 is port 5000, 0A is a socket that listens.
        let listens = || -> Result<bool> {
            let tcp = fs::read_to_string(format!("/proc/{}/net/tcp", child.id()));
            Ok(tcp.context("a registry has ended")?.contains(":1388 00000000:0000 0A"))
        };
        while !listens()? {
            ensure!(begun.elapsed() < Duration::from_secs(30), "no registry listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        ensure!(child.try_wait().context("our child")?.is_none(), "a registry has ended");
        Ok(Self(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One way of an image into the engine, beside tar.
fn arrive(
    way: Way,
    all: &[Contender],
    tar: &Contender,
    (place, storage, first): (&Path, &Path, usize),
    verdicts: &mut Verdicts,
) -> Result<()> {
    let (title, targets): (_, &[Target]) = match way {
        Way::Pull => (
            "pull and unpack of an image",
            &[
                Target::Ratio { who: "tar", wall: Some(0.55), cpu: None },
                Target::Ratio { who: "docker", wall: Some(0.4), cpu: None },
            ],
        ),
        Way::Load => {
            ("load of an image", &[Target::Ratio { who: "tar", wall: Some(1.1), cpu: None }])
        }
    };
    // Podman asks for a policy that a package brings.
    let able = all.iter().filter(|c| {
        matches!(c.kind, Kind::Ours | Kind::OursBefore)
            || (c.kind == Kind::Peer && c.daemon.is_some())
    });
    let able: Vec<&Contender> = able.chain([tar]).collect();
    let mut samples: Vec<Samples> = able.iter().map(|c| Samples::of(&c.name)).collect();
    let mut most: Vec<u64> = vec![0; able.len()];
    for round in 0..=ROUNDS {
        let edition = first + round;
        let made = Made::new(&place.join(edition.to_string()), storage, edition)?;
        if edition == 0 {
            let (plain, packed) = made.bytes;
            println!("\nan image of {} MB, {} MB packed", plain / 1_000_000, packed / 1_000_000);
        }
        for at in shuffled(able.len()) {
            let contender = able[at];
            said("sync", &[], Path::new("/"))?;
            if let Some(daemon) = contender.daemon {
                forget_most(daemon)?;
            }
            let used = contender.meter.settled()?;
            let wall = come(way, contender, &made, place)?;
            let cpu = contender.meter.settled()?.saturating_sub(used);
            if let Some(daemon) = contender.daemon {
                most[at] = most[at].max(most_memory(daemon)?);
            }
            if round > 0 {
                samples[at].wall.push(wall);
                samples[at].cpu.push(cpu);
            }
        }
    }
    statistics::print(title, &samples, targets, verdicts);
    for (contender, most) in able.iter().zip(&most).filter(|(c, _)| c.daemon.is_some()) {
        println!("  {:26} {most:>9} kB at most, its daemon", contender.name);
    }
    let text = format!("daemon {} kB at most, to be ≤ {MEMORY} kB", most[0]);
    verdicts.file(title, &text, most[0] <= MEMORY);
    Ok(())
}

/// The timed part.
fn come(way: Way, contender: &Contender, made: &Made, place: &Path) -> Result<Duration> {
    let name = format!("{ADDRESS}/{}", made.name);
    let archive = made.archive.display().to_string();
    if contender.name != "tar" {
        return match way {
            Way::Pull => contender.say(&["pull", "-q", &name]),
            Way::Load => contender.say(&["load", "-q", "-i", &archive]),
        };
    }
    let (files, flags) = match way {
        Way::Pull => (&made.packed, "-xpzf"),
        Way::Load => (&made.layers, "-xpf"),
    };
    let to = place.join(format!("unpacked-{}", made.name));
    fs::create_dir(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let to = to.display().to_string();
    files
        .iter()
        .map(|path| contender.say(&["tar", "-C", &to, flags, &path.display().to_string()]))
        .sum()
}

/// From here on the most of memory is counted anew (proc(5), `clear_refs`).
fn forget_most(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset a daemon's figures")
}

/// Resident memory at most, in kB.
fn most_memory(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read /proc")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().next().context("no figure")?.parse()?)
}

/// An image that its registry has already.
fn push(ours: &Contender, all: &[Contender], name: &str, verdicts: &mut Verdicts) -> Result<()> {
    let name = format!("{ADDRESS}/{name}");
    let able = all.iter().filter(|c| {
        matches!(c.kind, Kind::Ours | Kind::OursBefore)
            || (c.kind == Kind::Peer && c.daemon.is_some())
    });
    let able: Vec<&Contender> = able.collect();
    let mut samples: Vec<Samples> = able.iter().map(|c| Samples::of(&c.name)).collect();
    for round in 0..=MANY {
        for at in shuffled(able.len()) {
            let used = able[at].meter.settled()?;
            let wall = able[at].say(&["push", "-q", &name])?;
            let cpu = able[at].meter.settled()?.saturating_sub(used);
            if round > 0 {
                samples[at].wall.push(wall);
                samples[at].cpu.push(cpu);
            }
        }
    }
    let most = Target::Most { who: "cofferdam", wall: PUSH };
    ensure!(ours.name == "cofferdam", "we are called so");
    statistics::print("push of an image that is there", &samples, &[most], verdicts);
    Ok(())
}

/// A container of an image of 1 GB, and of one of 1 MB.
fn sizes(ours: &Contender, scratch: &Scratch, verdicts: &mut Verdicts) -> Result<()> {
    let title = "run --rm of an image of 1 GB beside one of 1 MB";
    let root = scratch.0.join("rootfs");
    let script = "mkdir more; for n in $(seq 64); do head -c 16000000 /dev/urandom > more/$n; done
                  tar -cf ../large.tar .; rm -r more";
    said("sh", &["-ec", script], &root)?;
    let large = scratch.0.join("large.tar");
    ours.say(&["import", &large.display().to_string(), "large"])?;
    fs::remove_file(&large).context("cannot remove an archive")?;
    let all = ["large", "busybox"];
    let mut walls = [Vec::new(), Vec::new()];
    for round in 0..=MANY {
        for at in shuffled(all.len()) {
            let one = ours.run_words(&["--rm", all[at], "true"]);
            let wall = ours.say_all(&vec![one; 10], 1)? / 10;
            if round > 0 {
                walls[at].push(wall);
            }
        }
    }
    ours.say(&["rmi", "large"])?;
    let [large, small] = walls.each_ref().map(|walls| median(walls));
    println!("\n{title} (median of {MANY}, ten each)");
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    let text = format!(
        "{:.2} ms beside {:.2} ms, {ratio:.3} ×, to be ≤ {LARGER} ×",
        milliseconds(large),
        milliseconds(small)
    );
    verdicts.file(title, &text, ratio <= LARGER);
    Ok(())
}

/// The first start of an image just imported, of 100,000 files and of 10: its
/// files get the container's ids without anybody touching them.
fn first_starts(ours: &Contender, scratch: &Scratch, verdicts: &mut Verdicts) -> Result<()> {
    let title = "first run --rm of an image of 100,000 files beside one of 10";
    let root = scratch.0.join("rootfs");
    let script = "mkdir few many; for d in $(seq 500); do mkdir many/$d; (cd many/$d; \
                  seq 200 | xargs touch); done; seq 10 | (cd few; xargs touch)";
    said("sh", &["-ec", script], &root)?;
    let tar = scratch.0.join("first.tar");
    let mut walls = [Vec::new(), Vec::new()];
    for edition in 0..EDITIONS {
        for at in shuffled(walls.len()) {
            let (with, without) = [("many", "few"), ("few", "many")][at];
            let script = format!(
                "echo {edition} > {with}/edition; tar --exclude=./{without} -cf ../first.tar ."
            );
            said("sh", &["-ec", &script], &root)?;
            let name = format!("{with}:{edition}");
            ours.say(&["import", &tar.display().to_string(), &name])?;
            said("sync", &[], &root)?;
            walls[at].push(ours.say_all(&[ours.run_words(&["--rm", &name, "true"])], 1)?);
        }
    }
    for edition in 0..EDITIONS {
        ours.say(&["rmi", &format!("many:{edition}"), &format!("few:{edition}")])?;
    }
    fs::remove_file(&tar).context("cannot remove an archive")?;
    said("rm", &["-r", "few", "many"], &root)?;
    let [many, few] = walls.each_ref().map(|walls| median(walls));
    println!("\n{title} (median of {EDITIONS})");
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    let text = format!(
        "{:.2} ms beside {:.2} ms, {ratio:.3} ×, to be ≤ {LARGER} ×",
        milliseconds(many),
        milliseconds(few)
    );
    verdicts.file(title, &text, ratio <= LARGER);
    Ok(())
}

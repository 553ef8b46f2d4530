//! Who is measured: a client, perhaps a daemon, and a meter.

use super::{host::Host, meter::Meter, statistics::Samples};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A container engine, or the floor.
pub struct Contender {
    pub name: String,
    /// The words before `run`, `exec`, …
    client: Vec<String>,
    pub daemon: Option<Child>,
    meter: std::sync::Arc<Meter>,
    /// Only `run` can be asked of the floor.
    floor: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `run --rm busybox true`
    Run,
    /// `exec C true`
    Exec,
    /// `stop`, of a container started for it
    Stop,
    /// Fifty of the first, eight at a time
    Fifty,
}

fn say(client: &[String], words: &[&str]) -> Result<()> {
    let mut command = Command::new(&client[0]);
    command.args(&client[1..]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// Our daemon and our CLI.
pub fn ours(host: &Host, binaries: &Path) -> Result<Contender> {
    let mut meter = Meter::new("ours")?;
    let place = host.scratch().join("ours");
    std::fs::create_dir(&place)?;
    let socket = place.join("engine.sock");
    meter.enter()?;
    let mut command = host.command(binaries.join("cofferdamd"));
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    command.arg("--data-root").arg(place.join("data")).arg("--run-root").arg(place.join("run"));
    let daemon = command.stdin(Stdio::null()).spawn().context("cannot start cofferdamd")?;
    await_socket(&socket)?;
    if let Ok(parent) = std::fs::read_to_string(place.join("run/cgroup-parent")) {
        meter.also(parent.trim());
    }
    let client = entered(
        host,
        &[
            &binaries.join("cofferdam").display().to_string(),
            "--host",
            &format!("unix://{}", socket.display()),
        ],
    );
    let contender = Contender {
        name: "cofferdam".into(),
        client,
        daemon: Some(daemon),
        meter: meter.into(),
        floor: false,
    };
    contender.import(&host.busybox()?)?;
    Ok(contender)
}

/// The same daemon through the Docker CLI.
pub fn ours_through_docker(ours: &Contender) -> Result<Contender> {
    let mut client = ours.client.clone();
    let own = client.iter().position(|word| word.ends_with("/cofferdam")).context("our client")?;
    "docker".clone_into(&mut client[own]);
    Ok(Contender {
        name: "docker CLI → cofferdam".into(),
        client,
        daemon: None,
        meter: ours.meter.clone(),
        floor: false,
    })
}

/// The same system calls with nothing else.
pub fn floor(host: &Host, binaries: &Path) -> Result<Contender> {
    let place = host.scratch().join("floor");
    std::fs::create_dir(&place)?;
    let program = binaries.join("floor").display().to_string();
    host.sh(&format!("{program} prepare {} /bin/busybox", place.display()))?;
    let client = entered(host, &[&program, "start", &place.display().to_string()]);
    Ok(Contender {
        name: "floor".into(),
        client,
        daemon: None,
        meter: Meter::new("floor")?.into(),
        floor: true,
    })
}

/// Words that are said on the benchmark's host.
pub fn entered(host: &Host, words: &[&str]) -> Vec<String> {
    let command = host.command(words[0]);
    let mut all = vec![command.get_program().to_string_lossy().into_owned()];
    all.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    all.extend(words[1..].iter().map(ToString::to_string));
    all
}

/// Waits until something listens.
pub fn await_socket(socket: &Path) -> Result<()> {
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        ensure!(begun.elapsed() < PATIENCE, "nothing listens at {}", socket.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

impl Contender {
    /// One command of its client, which must succeed.
    pub fn say(&self, words: &[&str]) -> Result<()> {
        say(&self.client, words)
    }

    /// Makes the image `busybox`.
    pub fn import(&self, tar: &Path) -> Result<()> {
        self.say(&["import", &tar.display().to_string(), "busybox"])
    }

    /// A container to exec in.
    pub fn prepare(&self) -> Result<()> {
        if self.floor || self.daemon.is_none() && self.name.contains('→') {
            return Ok(());
        }
        self.meter.enter()?;
        self.say(&["run", "-d", "--name", "idle", "busybox", "sleep", "100000"])
    }

    /// Carries out one verb; whether this contender can.
    fn act(&self, verb: Verb) -> Result<bool> {
        match verb {
            Verb::Run if self.floor => self.say(&[])?,
            Verb::Run => self.say(&["run", "--rm", "busybox", "true"])?,
            _ if self.floor => return Ok(false),
            Verb::Exec => self.say(&["exec", "idle", "true"])?,
            Verb::Stop => self.say(&["stop", "ending"])?,
            Verb::Fifty => self.fifty()?,
        }
        Ok(true)
    }

    fn fifty(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let work = |worker: usize| {
                let share = (50 + 7 - worker) / 8;
                (0..share).try_for_each(|_| say(&self.client, &["run", "--rm", "busybox", "true"]))
            };
            let workers: Vec<_> = (0..8).map(|worker| scope.spawn(move || work(worker))).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
        })
    }

    /// What has to be there before a round, outside of the time.
    fn before(&self, verb: Verb) -> Result<()> {
        if verb == Verb::Stop && !self.floor {
            let script = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done";
            self.say(&["run", "-d", "--name", "ending", "busybox", "sh", "-c", script])?;
        }
        Ok(())
    }

    fn after(&self, verb: Verb) -> Result<()> {
        if verb == Verb::Stop && !self.floor { self.say(&["rm", "-f", "ending"]) } else { Ok(()) }
    }

    /// Ends the daemon and its containers.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            self.say(&["rm", "-f", "idle"])?;
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            daemon.wait().context("cannot wait for the daemon")?;
            self.meter.remove()?;
        } else if self.floor {
            self.meter.remove()?;
        }
        Ok(())
    }
}

/// Measures one verb of all contenders, interleaved.
pub fn measure(all: &[Contender], rounds: usize, verb: Verb) -> Result<Vec<Samples>> {
    let mut samples: Vec<Samples> = all
        .iter()
        .map(|c| Samples { name: c.name.clone(), wall: Vec::new(), cpu: Vec::new() })
        .collect();
    // One round more, which warms caches and is not counted.
    for round in 0..=rounds {
        for at in shuffled(all.len()) {
            let contender = &all[at];
            contender.meter.enter()?;
            contender.before(verb)?;
            let (used, begun) = (contender.meter.used()?, Instant::now());
            let took_part = contender.act(verb)?;
            let wall = begun.elapsed();
            // What a daemon still does for the last command counts as its.
            std::thread::sleep(Duration::from_millis(30));
            let cpu = contender.meter.used()?.saturating_sub(used);
            contender.after(verb)?;
            if took_part && round > 0 {
                samples[at].wall.push(wall);
                samples[at].cpu.push(cpu);
            }
        }
    }
    samples.retain(|samples| !samples.wall.is_empty());
    Ok(samples)
}

/// 0..n in an order of chance.
fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let chance = RandomState::new().build_hasher().finish();
        let other = usize::try_from(chance % (last as u64 + 1)).unwrap_or(0);
        order.swap(last, other);
    }
    order
}

//! The network: what the guard costs, and ports by the thousand.
//!
//! The guard's cost is what two containers of ours lose against two network
//! namespaces on a bridge that nobody guards, in rounds that take turns: bytes
//! a second by one connection, and how often a second one byte goes there and
//! back. The published port is reached from the host, beside the same server
//! on the host's loopback.

use super::{
    contender::{Contender, Kind},
    crowd::pss,
    host::{Host, Scratch},
    rows::shuffled,
    statistics::{Verdicts, median, milliseconds},
};
use crate::{cargo, run as command};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

/// Rounds in turns; each takes two seconds of every way.
const ROUNDS: usize = 10;
/// What the guard may cost.
const GUARD: f64 = 1.03;
/// Rounds of ports by the thousand.
const PORTS: usize = 5;
/// Ten thousand ports may cost a start so much more.
const SOON: Duration = Duration::from_millis(100);
/// And the daemon so much memory, in kB.
const MEMORY: u64 = 1024;

/// Where a server is, and who asks it from there.
enum From<'a> {
    /// A container of ours.
    Container(&'a Contender, PathBuf),
    /// A process in a network namespace of this host.
    Namespace(&'a Host, u32),
    /// The host itself.
    Host(&'a Host),
}

/// One way for bytes.
struct Way<'a> {
    title: &'static str,
    from: From<'a>,
    server: String,
    bytes: Vec<f64>,
    rallies: Vec<f64>,
}

impl Way<'_> {
    fn measure(&mut self, look: &Path) -> Result<()> {
        let bytes = self.ask(look, "blast", 8)?;
        self.bytes.push(bytes);
        let rallies = self.ask(look, "rally", 7)?;
        self.rallies.push(rallies);
        Ok(())
    }

    fn ask(&self, look: &Path, what: &str, port: u16) -> Result<f64> {
        let to = match self.server.rsplit_once('+') {
            // Published: beside one another.
            Some((address, base)) => format!("{address}:{}", base.parse::<u16>()? + port),
            None => format!("{}:{port}", self.server),
        };
        let text = match &self.from {
            From::Container(ours, said) => {
                let script = format!("/out/look {what} {to} 1 > /out/said");
                ours.say(&["exec", "near", "sh", "-c", &script])?;
                fs::read_to_string(said)?
            }
            From::Namespace(host, pid) => {
                let mut command = host.command("nsenter");
                command.args(["--net", "--target", &pid.to_string(), "--"]).arg(look);
                let out = command.args([what, &to, "1"]).output()?;
                String::from_utf8(out.stdout)?
            }
            From::Host(host) => {
                let out = host.command(look).args([what, &to, "1"]).output()?;
                String::from_utf8(out.stdout)?
            }
        };
        text.trim().parse().with_context(|| format!("{}: no figure: {text:?}", self.title))
    }
}

fn middle(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A process that is killed when dropped.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures and prints all of it, of ours.
pub fn print(
    all: &[Contender],
    host: &Host,
    scratch: &Scratch,
    binaries: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    command(cargo(&["build", "--locked", "--release", "--package", "promises"]).arg("--quiet"))?;
    let out = scratch.folder("network")?;
    let look = out.join("look");
    fs::copy(binaries.join("look"), &look)?;
    streams(ours, host, &look, verdicts)?;
    ports(ours, verdicts)
}

fn streams(ours: &Contender, host: &Host, look: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let out = look.parent().context("in a directory")?;
    let volume = format!("{}:/out", out.display());
    let serve = "while read a b; do case $a in 10.91.*) echo $a > /out/address;; esac; done \
                 < /etc/hosts; /out/look echo 7 & exec /out/look sink 8";
    let published = ["-p", "127.0.0.1:7007:7", "-p", "127.0.0.1:7008:8"];
    let words = [&["-d", "--name", "far", "-v", &volume][..], &published].concat();
    let words = [&words[..], &["busybox", "sh", "-c", serve]].concat();
    ours.say_all(&[ours.run_words(&words)], 1)?;
    let words = ["-d", "--name", "near", "-v", &volume, "busybox", "sleep", "100000"];
    ours.say_all(&[ours.run_words(&words)], 1)?;
    let near = plain(host, look)?;
    let serve_here = host
        .command("sh")
        .args(["-c", &format!("{0} echo 7107 & exec {0} sink 7108", look.display())])
        .stdin(Stdio::null())
        .spawn()?;
    let _kept = Kept(serve_here);
    std::thread::sleep(Duration::from_secs(1));
    let far = fs::read_to_string(out.join("address")).context("it has an address")?;
    let way = |title, from, server: &str| Way {
        title,
        from,
        server: server.to_owned(),
        bytes: Vec::new(),
        rallies: Vec::new(),
    };
    let mut ways = [
        way("guarded bridge", From::Container(ours, out.join("said")), far.trim()),
        way("bridge without a guard", From::Namespace(host, near.pid), "10.99.0.1"),
        way("published on 127.0.0.1", From::Host(host), "127.0.0.1+7000"),
        way("loopback itself", From::Host(host), "127.0.0.1+7100"),
    ];
    for _ in 0..ROUNDS {
        for at in shuffled(ways.len()) {
            ways[at].measure(look)?;
        }
    }
    ours.say(&["rm", "-f", "far", "near"])?;
    println!("\nnetwork (median of {ROUNDS})");
    for way in &ways {
        let gbits = middle(&way.bytes) * 8.0 / 1e9;
        println!("  {:26} {gbits:>8.2} Gbit/s {:>9.0} rallies/s", way.title, middle(&way.rallies));
    }
    let [guarded, plain, ..] = &ways;
    for (what, own, other) in
        [("bytes", &guarded.bytes, &plain.bytes), ("rallies", &guarded.rallies, &plain.rallies)]
    {
        let ratio = middle(other) / middle(own);
        let text = format!("{what}: without a guard {ratio:.3} × as many, to be ≤ {GUARD} ×");
        verdicts.file("network", &text, ratio <= GUARD);
    }
    Ok(())
}

/// Two namespaces on a bridge of this host, at 10.99.0.1 and 2; the first
/// serves.
struct Plain {
    /// Of the second.
    pid: u32,
    _kept: Vec<Kept>,
}

fn plain(host: &Host, look: &Path) -> Result<Plain> {
    let script = "ip link add plain0 type bridge && ip link set plain0 up";
    ensure!(host.command("sh").args(["-c", script]).status()?.success(), "{script}");
    let mut kept = Vec::new();
    let mut pids = Vec::new();
    for number in 1..=2 {
        let mut command = host.command("unshare");
        command.args(["--net", "sh", "-c", "echo ready; exec cat"]);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut word = [0; 6];
        let said = keeper.stdout.as_mut().context("piped")?;
        std::io::Read::read_exact(said, &mut word)?;
        let pid = keeper.id();
        let script = format!(
            "ip link add plain{number}p type veth peer name eth0 netns {pid}
             ip link set plain{number}p master plain0 up
             nsenter --net --target {pid} ip addr add 10.99.0.{number}/24 dev eth0
             nsenter --net --target {pid} ip link set eth0 up"
        );
        ensure!(host.command("sh").args(["-ec", &script]).status()?.success(), "{script}");
        kept.push(Kept(keeper));
        pids.push(pid);
    }
    for (what, port) in [("echo", "7"), ("sink", "8")] {
        let mut command = host.command("nsenter");
        command.args(["--net", "--target", &pids[0].to_string(), "--"]).arg(look);
        kept.push(Kept(command.args([what, port]).stdin(Stdio::null()).spawn()?));
    }
    Ok(Plain { pid: pids[1], _kept: kept })
}

fn ports(ours: &Contender, verdicts: &mut Verdicts) -> Result<()> {
    let daemon = ours.daemon.context("it has one")?;
    let one = |ports: &[&str]| {
        let words = [&["-d", "--name", "many"][..], ports, &["busybox", "sleep", "100000"]];
        ours.run_words(&words.concat())
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut memory = 0;
    for _ in 0..PORTS {
        for range in [None, Some("10000-19999:10000-19999")] {
            let flags: Vec<&str> = range.iter().flat_map(|range| ["-p", range]).collect();
            let before = pss(daemon)?;
            let wall = ours.say_all(&[one(&flags)], 1)?;
            if range.is_some() {
                memory = pss(daemon)?.saturating_sub(before);
                with.push(wall);
            } else {
                without.push(wall);
            }
            ours.say(&["rm", "-f", "many"])?;
        }
    }
    let more = median(&with).saturating_sub(median(&without));
    let text = format!(
        "10,000 ports: {:.1} ms more than none, to be ≤ {:.0} ms",
        milliseconds(more),
        milliseconds(SOON)
    );
    verdicts.file("network", &text, more <= SOON);
    let text = format!("10,000 ports: {memory} kB more in the daemon, to be ≤ {MEMORY} kB");
    verdicts.file("network", &text, memory <= MEMORY);
    Ok(())
}

//! Bytes a second by one connection, how often a second one byte goes there
//! and back, and how often with a connection for each.
//!
//! The guard's cost is what two containers of ours lose against two that are
//! confined alike and have joined network namespaces on a bridge that nobody
//! guards. Peers' containers run the same
//! program, and their hosts reach what they publish as ours does: at
//! 127.0.0.1, and at an address that is the host's own. All ways take turns.

use super::Kept;
use crate::bench::{
    contender::{Contender, Kind},
    host::{Host, Scratch},
    rows::shuffled,
    statistics::Verdicts,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Rounds in turns; each takes three seconds of every way.
const ROUNDS: usize = 10;
/// What the guard may cost.
const GUARD: f64 = 1.03;
/// What of the better peer's we are to reach: all, but for what medians of
/// the same program in two runs differ by.
const PEERS: f64 = 0.97;
/// An address of each host.
const OWN: &str = "192.0.2.1";
/// Ports that it takes no right to serve: who joined another's network
/// namespace has none there.
const ECHO: u16 = 2007;
const SINK: u16 = 2008;
/// What is asked, and of which port of a server's.
const KINDS: [(&str, &str, u16); 3] =
    [("bytes", "blast", SINK), ("rallies", "rally", ECHO), ("calls", "call", ECHO)];

/// Where a server is, and who asks it from there.
enum From<'a> {
    /// A container by its name, and the file in which it leaves what it found.
    Container(&'a Contender, &'static str, PathBuf),
    /// The host itself.
    Host(&'a Host),
}

/// One way for bytes.
struct Way<'a> {
    /// Whose.
    who: String,
    title: &'static str,
    from: From<'a>,
    /// `ADDRESS`, or `ADDRESS+PORTS` where ports are counted from another
    /// than 0.
    server: String,
    /// By [`KINDS`].
    found: [Vec<f64>; 3],
}

impl Way<'_> {
    fn measure(&mut self, look: &Path) -> Result<()> {
        for (at, (_, what, port)) in KINDS.into_iter().enumerate() {
            let figure = self.ask(look, what, port)?;
            self.found[at].push(figure);
        }
        Ok(())
    }

    fn ask(&self, look: &Path, what: &str, port: u16) -> Result<f64> {
        let to = match self.server.rsplit_once('+') {
            // Published: beside one another.
            Some((address, base)) => format!("{address}:{}", base.parse::<u16>()? + port),
            None => format!("{}:{port}", self.server),
        };
        let text = match &self.from {
            From::Container(engine, name, said) => {
                let script = format!("/out/look {what} {to} 1 > /out/said");
                engine.say(&["exec", name, "sh", "-c", &script])?;
                fs::read_to_string(said)?
            }
            From::Host(host) => figure(host.command(look).args([what, &to, "1"]))?,
        };
        let whose = || format!("{}, {}: no figure: {text:?}", self.who, self.title);
        text.trim().parse().with_context(whose)
    }

    fn middle(&self, kind: usize) -> f64 {
        let mut sorted = self.found[kind].clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// What a command says that must succeed.
fn figure(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

const BETWEEN: &str = "container to container";
const LOOPBACK: &str = "published on 127.0.0.1";
const OUTWARD: &str = "published on an address";

/// Measures and prints it.
pub fn print(
    all: &[Contender],
    (host, peers): (&Host, Option<&Host>),
    scratch: &Scratch,
    program: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let out = scratch.folder("network")?;
    let look = out.join("look");
    fs::copy(program, &look).with_context(|| format!("cannot copy {}", program.display()))?;
    for host in [Some(host), peers].into_iter().flatten() {
        // No shell: the peers' root has none.
        figure(host.command("ip").args(["addr", "add", &format!("{OWN}/32"), "dev", "lo"]))?;
    }
    if let Some(peers) = peers {
        // Docker has its host drop what it did not ask for, and Podman's
        // containers are on the same one.
        figure(peers.command("iptables").args(["--policy", "FORWARD", "ACCEPT"]))?;
    }
    // On a host of its own: where bridged frames are shown to the hooks of IP,
    // ours would be asked whether they may pass.
    let apart = Host::new()?;
    let serve_here = |what, port| {
        let mut command = host.command(&look);
        command.args([what, port]).stdin(Stdio::null()).spawn().map(Kept)
    };
    let _kept = [serve_here("echo", "9107")?, serve_here("sink", "9108")?];
    let mut ways = Vec::new();
    let engines = all.iter().filter(|c| matches!(c.kind, Kind::Ours | Kind::Peer));
    for (engine, ports) in engines.clone().zip((7000..).step_by(200)) {
        let place = if engine.kind == Kind::Ours { Some(host) } else { peers };
        let place = place.context("peers have a host")?;
        ways.extend(of_engine(engine, place, &out, ports)?);
    }
    let way = |title, from, server: &str| Way {
        who: "no engine".into(),
        title,
        from,
        server: server.to_owned(),
        found: Default::default(),
    };
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    let (said, _unguarded) = unguarded(ours, &apart, &out)?;
    ways.push(way(BETWEEN, From::Container(ours, "plain2", said), "10.99.0.1"));
    ways.push(way(LOOPBACK, From::Host(host), "127.0.0.1+7100"));
    for _ in 0..ROUNDS {
        for at in shuffled(ways.len()) {
            ways[at].measure(&look)?;
        }
    }
    for engine in engines {
        engine.say(&["rm", "-f", "far", "near"])?;
    }
    ours.say(&["rm", "-f", "plain1", "plain2"])?;
    println!("\nnetwork (median of {ROUNDS})");
    for way in &ways {
        let title = format!("{}: {}", way.who, way.title);
        let (gbits, rallies) = (way.middle(0) * 8.0 / 1e9, way.middle(1));
        let calls = way.middle(2);
        println!("  {title:36} {gbits:>8.2} Gbit/s {rallies:>8.0} rallies/s {calls:>8.0} calls/s");
    }
    judge(&ways, verdicts);
    Ok(())
}

fn judge(ways: &[Way<'_>], verdicts: &mut Verdicts) {
    let find = |who: &str, title: &str| ways.iter().find(|w| w.who == who && w.title == title);
    for (kind, (what, ..)) in KINDS.into_iter().enumerate() {
        let (Some(own), Some(plain)) = (find("cofferdam", BETWEEN), find("no engine", BETWEEN))
        else {
            continue;
        };
        let ratio = plain.middle(kind) / own.middle(kind);
        let text = format!("{what}: without a guard {ratio:.3} × as many, to be ≤ {GUARD} ×");
        verdicts.file("network", &text, ratio <= GUARD);
    }
    for title in [BETWEEN, LOOPBACK, OUTWARD] {
        for (kind, (what, ..)) in KINDS.into_iter().enumerate() {
            let peers = ["docker", "podman"].iter().filter_map(|who| find(who, title));
            let Some(better) = peers.map(|way| way.middle(kind)).max_by(f64::total_cmp) else {
                continue;
            };
            let Some(own) = find("cofferdam", title) else { continue };
            let ratio = own.middle(kind) / better;
            let text = format!(
                "{title}, {what}: {ratio:.3} × the better of docker and podman, to be ≥ 1 × (less \
                 3 % for the measurement)"
            );
            verdicts.file("network", &text, ratio >= PEERS);
        }
    }
}

/// Starts two containers of an engine, of which one serves; the ways to it.
/// It publishes its ports from `base` on.
fn of_engine<'a>(
    engine: &'a Contender,
    host: &'a Host,
    out: &Path,
    base: u16,
) -> Result<Vec<Way<'a>>> {
    let place = out.join(&engine.name);
    fs::create_dir(&place)?;
    fs::copy(out.join("look"), place.join("look"))?;
    // Its own address is the only one that leads nowhere else.
    let find = "while read a b; do case \"$a $b\" in \
                127.*|*:*|*host.*|'#'*|' ') ;; *) echo $a > /out/address;; esac; done \
                < /etc/hosts";
    let serve = format!("{find}; {}", serve());
    let volume = format!("{}:/out", place.display());
    let published = [ECHO, SINK].map(|port| format!("{}:{port}", base + port));
    let words = ["-d", "--name", "far", "-v", &volume, "-p", &published[0], "-p", &published[1]];
    let words = [&words[..], &["busybox", "sh", "-c", &serve]].concat();
    engine.say_all(&[engine.run_words(&words)], 1)?;
    let words = ["-d", "--name", "near", "-v", &volume, "busybox", "sleep", "100000"];
    engine.say_all(&[engine.run_words(&words)], 1)?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let far = fs::read_to_string(place.join("address")).context("it has an address")?;
    let way = |title, from, server: String| Way {
        who: engine.name.clone(),
        title,
        from,
        server,
        found: Default::default(),
    };
    Ok(vec![
        way(BETWEEN, From::Container(engine, "near", place.join("said")), far.trim().to_owned()),
        way(LOOPBACK, From::Host(host), format!("127.0.0.1+{base}")),
        way(OUTWARD, From::Host(host), format!("{OWN}+{base}")),
    ])
}

/// What serves, in a container that has the program at `/out`.
fn serve() -> String {
    format!("/out/look echo {ECHO} & exec /out/look sink {SINK}")
}

/// Two containers, `plain1` and `plain2`, in network namespaces on a bridge of
/// that host, at 10.99.0.1 and 2; the first serves. The file in which the
/// second leaves what it found, and what is to be kept.
fn unguarded(ours: &Contender, host: &Host, out: &Path) -> Result<(PathBuf, Vec<Kept>)> {
    let script = "ip link add plain0 type bridge && ip link set plain0 up";
    ensure!(host.command("sh").args(["-c", script]).status()?.success(), "{script}");
    let place = out.join("plain");
    fs::create_dir(&place)?;
    fs::copy(out.join("look"), place.join("look"))?;
    let volume = format!("{}:/out", place.display());
    let mut kept = Vec::new();
    for (number, act) in [(1, serve()), (2, "sleep 100000".to_owned())] {
        let mut command = host.command("unshare");
        command.args(["--net", "sh", "-c", "echo ready; exec cat"]);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut word = [0; 6];
        let said = keeper.stdout.as_mut().context("piped")?;
        std::io::Read::read_exact(said, &mut word)?;
        let pid = keeper.id();
        kept.push(Kept(keeper));
        let script = format!(
            "ip link add plain{number}p type veth peer name eth0 netns {pid}
             ip link set plain{number}p master plain0 up
             nsenter --net --target {pid} ip addr add 10.99.0.{number}/24 dev eth0
             nsenter --net --target {pid} ip link set eth0 up"
        );
        ensure!(host.command("sh").args(["-ec", &script]).status()?.success(), "{script}");
        let (name, network) = (format!("plain{number}"), format!("ns:/proc/{pid}/ns/net"));
        let words = ["-d", "--name", &name, "-v", &volume, "--network", &network];
        let words = [&words[..], &["busybox", "sh", "-c", &act]].concat();
        ours.say_all(&[ours.run_words(&words)], 1)?;
    }
    Ok((place.join("said"), kept))
}

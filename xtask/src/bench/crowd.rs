//! Many containers: whether five hundred are as easily started as fifty, what
//! memory each takes, and whether the daemon gives back what it took for them.
//!
//! Memory is the proportional share of each process (PSS), as the kernel sums
//! it up in `/proc/PID/smaps_rollup`. What is counted are the processes that an
//! engine adds beside the container's own program.

use super::{
    contender::{Contender, Kind},
    rows::{remove, start},
    statistics::{Verdicts, median, milliseconds},
};
use anyhow::{Context as _, Result};
use std::{collections::BTreeSet, fs, time::Duration};

/// Rounds of fifty and five hundred, in turns.
const ROUNDS: usize = 3;
const MANY: usize = 500;
/// How many idle containers the memory of a peer is shared out among.
const SOME: usize = 20;
/// After so long without a call the daemon gives memory back.
const REST: Duration = Duration::from_secs(20);
/// To be reached, in kB.
const EACH: u64 = 200;
const DAEMON: u64 = 20_000;

/// Measures and prints all of it.
pub fn print(all: &[Contender], verdicts: &mut Verdicts) -> Result<()> {
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    println!("\nmemory, PSS in kB");
    for contender in all.iter().filter(|c| matches!(c.kind, Kind::Ours | Kind::Peer)) {
        if contender.daemon.is_some() {
            println!("  {:40} {:>8}", format!("{}, idle", contender.name), engine(contender)?);
        }
        let title = format!("{}, by container of {SOME}", contender.name);
        println!("  {title:40} {:>8}", by_container(contender, SOME)?);
    }
    many(ours, verdicts)
}

fn many(ours: &Contender, verdicts: &mut Verdicts) -> Result<()> {
    let title = format!("{MANY} containers");
    // It has just been called: idle is what it is without calls.
    std::thread::sleep(REST);
    let fresh = engine(ours)?;
    let (mut fifty, mut all) = (Vec::new(), Vec::new());
    let mut each = 0;
    for round in 1..=ROUNDS {
        fifty.push(start(ours, 50, 8)? / 50);
        remove(ours, 50)?;
        let before = processes(ours)?;
        all.push(start(ours, MANY, 16)? / 500);
        if round == ROUNDS {
            each = share(ours, &before, MANY)?;
        }
        remove(ours, MANY)?;
    }
    let (fifty, all) = (median(&fifty), median(&all));
    println!("\n{title} idle, started 16 at a time, none failed (median of {ROUNDS})");
    println!(
        "  by container {:.2} ms, of 50 8 at a time {:.2} ms",
        milliseconds(all),
        milliseconds(fifty)
    );
    let ratio = all.as_secs_f64() / fifty.as_secs_f64();
    verdicts.file(&title, &format!("{ratio:.2} × as long each as 50, to be ≤ 1.2 ×"), ratio <= 1.2);
    let text = format!("{each} kB by idle container, to be ≤ {EACH} kB");
    verdicts.file(&title, &text, each <= EACH);
    std::thread::sleep(REST);
    let after = engine(ours)?;
    let text = format!("daemon {fresh} kB before and {after} kB after them, to be ≤ {DAEMON} kB");
    verdicts.file(&title, &text, fresh.max(after) <= DAEMON);
    Ok(())
}

/// What idle containers add to an engine's processes, each.
fn by_container(contender: &Contender, many: usize) -> Result<u64> {
    let before = processes(contender)?;
    start(contender, many, 4)?;
    let each = share(contender, &before, many)?;
    remove(contender, many)?;
    Ok(each)
}

fn share(contender: &Contender, before: &BTreeSet<u32>, many: usize) -> Result<u64> {
    // What has just been started is not yet idle.
    std::thread::sleep(Duration::from_secs(3));
    let added = processes(contender)?;
    let sum = added.difference(before).map(|pid| pss(*pid)).sum::<Result<u64>>()?;
    Ok(sum / many as u64)
}

/// The engine's own processes: the daemon and what lives beside it.
fn engine(contender: &Contender) -> Result<u64> {
    processes(contender)?.into_iter().map(pss).sum()
}

/// What belongs to a contender, without the programs of its containers and
/// without our own agent.
fn processes(contender: &Contender) -> Result<BTreeSet<u32>> {
    let counts = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !line.starts_with(b"sleep\0") && !line.windows(11).any(|word| word == b"bench-agent")
    };
    Ok(contender.meter.processes()?.into_iter().filter(counts).collect())
}

/// A process's proportional share of memory, in kB.
pub fn pss(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no Pss")?;
    Ok(number.parse()?)
}

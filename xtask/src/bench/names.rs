//! Names of containers: how many a second, how soon, and at what memory.
//!
//! A container on a network of its own asks for another as fast as it is
//! answered. A resolver's capacity is what it answers in a second of its own
//! CPU time: what one processor would give it.

use super::{
    contender::{Contender, Kind},
    crowd::pss,
    host::Scratch,
    statistics::Verdicts,
};
use anyhow::{Context as _, Result};
use std::{fs, path::Path, time::Duration};

/// Answers a second of one processor, to be reached.
const CAPACITY: f64 = 20_000.0;
/// For one answer to a lone question, to be reached by 99 of 100.
const SOON: Duration = Duration::from_millis(1);
/// How long is asked, in seconds, and how many questions are under way.
const LENGTH: &str = "3";
const AT_ONCE: &str = "16";
/// A kernel's clock tick, in seconds. Source: `proc_pid_stat(5)`, `USER_HZ`.
const TICK: f64 = 0.01;

/// Measures and prints it, of ours.
pub fn print(
    all: &[Contender],
    scratch: &Scratch,
    binaries: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    let out = scratch.folder("names")?;
    fs::copy(binaries.join("look"), out.join("look"))?;
    let volume = format!("{}:/out", out.display());
    ours.say(&["network", "create", "names"])?;
    for name in ["asked", "asking"] {
        let words = ["-d", "--name", name, "--network", "names", "-v", &volume];
        let words = [&words[..], &["busybox", "sleep", "100000"]].concat();
        ours.say_all(&[ours.run_words(&words)], 1)?;
    }
    let resolver = resolver(ours)?;
    let memory = pss(resolver)?;
    let before = ticks(resolver)?;
    let script = format!("/out/look load asked {LENGTH} {AT_ONCE} > /out/said");
    ours.say(&["exec", "asking", "sh", "-c", &script])?;
    let used = (ticks(resolver)? - before) * TICK;
    ours.say(&["rm", "-f", "asked", "asking"])?;
    ours.say(&["network", "rm", "names"])?;
    let said = fs::read_to_string(out.join("said"))?;
    let numbers: Vec<f64> =
        said.split_whitespace().map(str::parse).collect::<Result<_, _>>().context("no figures")?;
    let [rate, middle, slow] = numbers[..] else { anyhow::bail!("not three figures: {said}") };
    let seconds: f64 = LENGTH.parse()?;
    let capacity = rate * seconds / used;
    println!("\nnames: {rate:.0} answers a second beside who asks, resolver {memory} kB PSS");
    let text =
        format!("{capacity:.0} answers by second of the resolver's CPU, to be ≥ {CAPACITY:.0}");
    verdicts.file("names", &text, capacity >= CAPACITY);
    let text = format!("{middle:.0} µs for one, 99 of 100 within {slow:.0} µs, to be ≤ 1000 µs");
    verdicts.file("names", &text, slow <= SOON.as_secs_f64() * 1e6);
    Ok(())
}

fn resolver(ours: &Contender) -> Result<u32> {
    let is = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).nth(1) == Some(b"resolver")
    };
    ours.meter.processes()?.into_iter().find(is).context("no resolver runs")
}

/// CPU time of a process in ticks, its own and the kernel's for it.
fn ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(") ").context("no name")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    // utime and stime, the 14th and 15th field of all.
    let field = |at: usize| fields.get(at).context("cut")?.parse::<f64>().context("no number");
    Ok(field(11)? + field(12)?)
}

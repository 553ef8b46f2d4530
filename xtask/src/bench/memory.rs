//! Memory of our processes: the proportional share of each (PSS), as the
//! kernel sums it up in `/proc/PID/smaps_rollup`.

use super::contender::Contender;
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// How many idle containers the figure is of.
const IDLE: u32 = 20;

/// Prints what an idle daemon and an idle container take.
pub fn print(ours: &Contender, scratch: &Path) -> Result<()> {
    let daemon = ours.daemon.as_ref().context("ours has a daemon")?.id();
    println!("\nmemory, PSS in kB");
    println!("  {:28} {:>10}", "daemon, idle", pss(daemon)?);
    for n in 0..IDLE {
        ours.say(&["run", "-d", "--name", &format!("idle{n}"), "busybox", "sleep", "100000"])?;
    }
    let monitors = monitors(scratch)?;
    let sum = monitors.iter().map(|pid| pss(*pid)).sum::<Result<u64>>()?;
    let count = u64::try_from(monitors.len())?.max(1);
    println!("  {:28} {:>10}   ({count} monitors)", "monitor, each", sum / count);
    for n in 0..IDLE {
        ours.say(&["rm", "-f", &format!("idle{n}")])?;
    }
    println!("  {:28} {:>10}", "daemon, after them", pss(daemon)?);
    Ok(())
}

fn pss(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no Pss")?;
    Ok(number.parse()?)
}

/// Processes of `cofferdam-run monitor` whose work is below `scratch`.
fn monitors(scratch: &Path) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        let ours =
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(scratch));
        if String::from_utf8_lossy(&command).contains("monitor") && ours {
            found.push(pid);
        }
    }
    Ok(found)
}

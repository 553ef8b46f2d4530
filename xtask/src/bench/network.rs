//! The network: what the guard costs, how fast bytes are beside the peers,
//! what it costs to attach, and ports by the thousand.
//!
//! - [`streams`]: bytes and questions a second, by every way.
//! - [`attach`]: one more interface, beside the kernel's own calls, and with a
//!   thousand containers beside ten.

mod attach;
mod streams;

use super::{
    contender::{Contender, Kind},
    crowd::pss,
    host::{Host, Scratch},
    statistics::{Verdicts, median, milliseconds},
};
use anyhow::{Context as _, Result};
use std::{path::Path, process::Child, time::Duration};

/// Rounds of ports by the thousand.
const PORTS: usize = 5;
/// Ten thousand ports may cost a start so much more.
const SOON: Duration = Duration::from_millis(100);
/// And the daemon so much memory, in kB.
const MEMORY: u64 = 1024;

/// A process that is killed when dropped.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures and prints what is wanted of it, of ours and of peers that are there.
pub fn print(
    wants: impl Fn(&str) -> bool,
    all: &[Contender],
    (host, peers): (&Host, Option<&Host>),
    scratch: &Scratch,
    binaries: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    if wants("network streams") {
        let look = binaries.join("look");
        streams::print(all, (host, peers), scratch, &look, verdicts)?;
    }
    if wants("network attach") {
        attach::beside_the_floor(all, host, &binaries.join("floor"), verdicts)?;
    }
    if wants("network crowd") {
        attach::in_a_crowd(ours, verdicts)?;
    }
    if wants("network ports") {
        ports(ours, verdicts)?;
    }
    Ok(())
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

//! `cargo xtask bench`: what starting a container costs, as ratios.
//!
//! The contenders of a measurement run interleaved, in an order shuffled anew
//! each round, so that what else the machine does falls on all alike. Each
//! has a control group of its own, in which its commands and its daemon run,
//! and whose CPU time is read before and after: that counts every process
//! that took part. Printed are medians, and their ratio to the first row.

mod contender;
mod host;
mod memory;
mod meter;
mod statistics;

use crate::{as_root, build, cargo, run as command};
use anyhow::Result;
use contender::{Contender, Verb};
use host::Host;

/// Rounds of a measurement; the median needs at least 20.
const ROUNDS: usize = 25;

/// Runs every measurement.
pub fn run() -> Result<()> {
    as_root()?;
    let binaries = build("release")?;
    command(cargo(&["build", "--locked", "--release", "--package", "floor"]).args(["--quiet"]))?;
    let host = Host::new()?;
    let ours = contender::ours(&host, &binaries)?;
    let through_docker = contender::ours_through_docker(&ours)?;
    let mut all = vec![contender::floor(&host, &binaries)?, ours, through_docker];
    let outcome = measure_all(&host, &all);
    for contender in &mut all {
        contender.stop()?;
    }
    outcome
}

fn measure_all(host: &Host, all: &[Contender]) -> Result<()> {
    for contender in all {
        contender.prepare()?;
    }
    for (title, verb, rounds) in [
        ("run --rm busybox true", Verb::Run, ROUNDS),
        ("exec C true", Verb::Exec, ROUNDS),
        ("stop of a program that ends on SIGTERM", Verb::Stop, ROUNDS),
        ("50 containers, 8 at a time", Verb::Fifty, 5),
    ] {
        statistics::print(title, &contender::measure(all, rounds, verb)?);
    }
    memory::print(&all[1], host.scratch())
}

//! `cargo xtask bench`: what containers cost, as ratios.
//!
//! The contenders of a measurement run interleaved, in an order shuffled anew
//! each round, so that what else the machine does falls on all alike. Each
//! has a control group of its own, in which its commands and its daemon run,
//! and whose CPU time is read before and after: that counts every process
//! that took part. Printed are medians, and what part of each contender's time
//! ours is. The floor (`bench/floor`) is what the kernel alone takes.

mod agent;
mod bundle;
mod contender;
mod crowd;
mod host;
mod images;
mod layers;
mod logs;
mod meter;
mod names;
mod network;
mod peers;
mod rows;
mod statistics;

use crate::{as_root, build, cargo, run as command, test::docker_client};
use anyhow::{Context as _, Result, bail};
use bundle::Runtime;
use contender::Kind;
use host::{Host, Scratch};
use rows::ROWS;
use statistics::Verdicts;
use std::path::{Path, PathBuf};

pub use agent::serve as agent;
pub use peers::install as peers;

/// What was asked for.
#[derive(Default)]
struct Wish {
    peers: bool,
    /// Binaries of another build of ours, to be measured beside.
    before: Option<PathBuf>,
    /// Where our binaries are, if none are to be built.
    binaries: Option<PathBuf>,
    /// Only rows with one of these in their titles.
    only: Vec<String>,
}

impl Wish {
    fn from_words(words: &[&str]) -> Result<Self> {
        let mut wish = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--peers" => wish.peers = true,
                "--before" => wish.before = words.next().map(PathBuf::from),
                "--binaries" => wish.binaries = words.next().map(PathBuf::from),
                word if word.starts_with('-') => bail!("bench knows no {word}"),
                word => wish.only.push(word.to_owned()),
            }
        }
        Ok(wish)
    }

    fn wants(&self, title: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| title.contains(only.as_str()))
    }
}

/// Runs every measurement.
pub fn run(words: &[&str]) -> Result<()> {
    let wish = Wish::from_words(words)?;
    as_root()?;
    let binaries = if let Some(binaries) = &wish.binaries {
        binaries.clone()
    } else {
        let beside = ["--package", "floor", "--package", "promises"];
        command(cargo(&["build", "--locked", "--release", "--quiet"]).args(beside))?;
        build("release")?
    };
    let scratch = Scratch::new()?;
    scratch.busybox()?;
    std::fs::copy(crate::test::plugin("docker-buildx")?, host::buildx())
        .context("cannot copy buildx")?;
    let host = Host::new()?;
    let peers = if wish.peers { Some(peers::host(&peers::install()?, &scratch)?) } else { None };
    let mut verdicts = Verdicts::default();
    if let Some(peers) = &peers {
        println!("beside us:");
        peers::versions(peers)?;
    }
    engines(&wish, (&host, peers.as_ref()), &scratch, &binaries, &mut verdicts)?;
    if wish.wants("run of Docker's config.json") {
        runtimes(peers.as_ref(), &host, &scratch, &binaries, &mut verdicts)?;
    }
    println!("\n{} held, {} missed", verdicts.held, verdicts.missed.len());
    for missed in &verdicts.missed {
        println!("  missed: {missed}");
    }
    Ok(())
}

fn engines(
    wish: &Wish,
    (host, peers): (&Host, Option<&Host>),
    scratch: &Scratch,
    binaries: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let ours = contender::ours(("cofferdam", Kind::Ours), host, scratch, binaries)?;
    let by_docker = contender::ours_by_docker(&ours, host, &docker_client()?)?;
    let mut all = vec![ours, by_docker, contender::floor(host, scratch, binaries)?];
    if let Some(before) = &wish.before {
        all.push(contender::ours(("before", Kind::OursBefore), host, scratch, before)?);
    }
    if let Some(peers) = peers {
        all.push(peers::docker(peers, scratch)?);
        all.push(peers::podman(peers, scratch)?);
    }
    for row in ROWS.iter().filter(|row| wish.wants(row.title)) {
        statistics::print(row.title, &rows::measure(row, &all)?, row.targets, verdicts);
    }
    if wish.wants("crowd") {
        crowd::print(&all, verdicts)?;
    }
    let wants = |part: &str| wish.wants(part);
    network::print(wants, &all, (host, peers), scratch, binaries, verdicts)?;
    if wish.wants("layers") {
        layers::print(&all, scratch, verdicts)?;
    }
    if wish.wants("images") {
        images::print(&all, (host, peers), scratch, verdicts)?;
    }
    if wish.wants("logs") {
        logs::print(&all, verdicts)?;
    }
    if wish.wants("names") {
        names::print(&all, scratch, binaries, verdicts)?;
    }
    Ok(())
}

/// Ours beside theirs, all on the same host.
fn runtimes(
    peers: Option<&Host>,
    host: &Host,
    scratch: &Scratch,
    binaries: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let own = scratch.0.join("cofferdam-run");
    std::fs::copy(binaries.join("cofferdam-run"), &own)?;
    let place = peers.unwrap_or(host);
    let mut all = vec![Runtime::new("cofferdam-run", &own, place, scratch)?];
    if peers.is_some() {
        for (name, binary) in [("crun", "/usr/bin/crun"), ("runc", "/usr/bin/runc")] {
            all.push(Runtime::new(name, Path::new(binary), place, scratch)?);
        }
    }
    bundle::measure(&all, verdicts)
}

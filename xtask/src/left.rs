//! What the machine holds that a run of the tests could leave behind.
//!
//! Each test compares its own host; this compares the machine itself, before
//! the first and after the last.

use anyhow::{Context as _, Result, ensure};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// How long the kernel may take with what is on its way out.
const PATIENCE: Duration = Duration::from_secs(20);

/// A snapshot, one line for each thing.
pub struct Left(BTreeSet<String>);

impl Left {
    /// What there is now.
    pub fn now() -> Result<Self> {
        let mut all = BTreeSet::new();
        all.extend(processes()?);
        all.extend(lines("mount", &fs::read_to_string("/proc/self/mountinfo")?));
        all.extend(names("interface", Path::new("/sys/class/net"), ""));
        all.extend(firewall()?);
        groups(Path::new("/sys/fs/cgroup"), 3, &mut all);
        all.extend(names("file", &std::env::temp_dir(), "cofferdam-"));
        all.extend(names("file", Path::new("/run"), "cofferdam"));
        all.extend(names("file", Path::new("/var/lib"), "cofferdam"));
        Ok(Self(all))
    }

    /// Waits until nothing is there that was not there before.
    pub fn nothing_new(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = Self::now()?;
            let new: Vec<&str> = now.0.difference(&self.0).map(String::as_str).collect();
            if new.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the tests have left behind:\n{}", new.join("\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Programs of this project, by what they were called with.
fn processes() -> Result<Vec<String>> {
    let entries = fs::read_dir("/proc").context("cannot read /proc")?.flatten();
    let lines = entries.filter_map(|entry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let first = words.split(' ').next()?;
        let ours = Path::new(first).file_name()?.to_str()?.starts_with("cofferdam");
        ours.then(|| format!("process {} {words}", entry.file_name().display()))
    });
    Ok(lines.collect())
}

fn firewall() -> Result<Vec<String>> {
    let out = Command::new("nft").args(["list", "ruleset"]).output().context("cannot start nft")?;
    Ok(lines("nftables", &String::from_utf8_lossy(&out.stdout)))
}

/// Control groups of engines, however deep the hierarchies are mounted.
fn groups(dir: &Path, depth: u32, all: &mut BTreeSet<String>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name().to_string_lossy().starts_with("cofferdam") {
            all.insert(format!("group {}", entry.path().display()));
        } else if depth > 1 {
            groups(&entry.path(), depth - 1, all);
        }
    }
}

fn lines(what: &str, text: &str) -> Vec<String> {
    text.lines().map(|line| format!("{what} {line}")).collect()
}

fn names(what: &str, dir: &Path, start: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    paths.map(|entry| format!("{what} {}", entry.path().display())).collect()
}

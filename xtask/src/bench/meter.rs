//! CPU time of everything a contender starts: a control group of its own.

use anyhow::{Context as _, Result};
use std::{fs, path::PathBuf, time::Duration};

/// A group that this program enters before it starts the contender's
/// commands, so that they are born in it.
pub struct Meter {
    group: PathBuf,
    /// Further groups that count as the contender's: its containers'.
    others: Vec<PathBuf>,
    version_1: bool,
}

impl Meter {
    /// Makes the group `cofferdam-bench-NAME-PID`.
    pub fn new(name: &str) -> Result<Self> {
        let first = PathBuf::from("/sys/fs/cgroup/cpuacct");
        let version_1 = first.join("cpuacct.usage").exists();
        let base = if version_1 { first } else { PathBuf::from("/sys/fs/cgroup") };
        let group = base.join(format!("cofferdam-bench-{name}-{}", std::process::id()));
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        Ok(Self { group, others: Vec::new(), version_1 })
    }

    /// Counts the containers under `parent` (as `/docker`) too.
    pub fn also(&mut self, parent: &str) {
        let base = self.group.parent().expect("in a hierarchy");
        self.others.push(base.join(parent.trim_start_matches('/')));
    }

    /// Moves this program into the group.
    pub fn enter(&self) -> Result<()> {
        let file = self.group.join("cgroup.procs");
        fs::write(&file, std::process::id().to_string())
            .with_context(|| format!("cannot enter {}", file.display()))
    }

    /// CPU time so far.
    pub fn used(&self) -> Result<Duration> {
        let mut all = self
            .read(&self.group)
            .with_context(|| format!("cannot read {}", self.group.display()))?;
        for other in &self.others {
            // The group of its containers exists from the first one on.
            all += self.read(other).unwrap_or_default();
        }
        Ok(all)
    }

    fn read(&self, group: &std::path::Path) -> Result<Duration> {
        if self.version_1 {
            let text = fs::read_to_string(group.join("cpuacct.usage"))?;
            return Ok(Duration::from_nanos(text.trim().parse()?));
        }
        let text = fs::read_to_string(group.join("cpu.stat"))?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(used.context("no usage_usec")?.parse()?))
    }

    /// Back to where this program came from, and removes the group.
    pub fn remove(&self) -> Result<()> {
        let root = self.group.parent().expect("in a hierarchy").join("cgroup.procs");
        fs::write(&root, std::process::id().to_string()).context("cannot leave the group")?;
        fs::remove_dir(&self.group)
            .with_context(|| format!("cannot remove {}", self.group.display()))
    }
}

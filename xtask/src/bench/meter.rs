//! CPU time of everything a contender starts: a control group of its own.

use anyhow::{Context as _, Result};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A group in which a contender's commands and its daemon are born.
pub struct Meter {
    /// As in `/proc/PID/cgroup`.
    pub name: String,
    /// Where it is entered.
    pub group: PathBuf,
    /// Further groups that count as the contender's: its containers'.
    others: Vec<PathBuf>,
    version_1: bool,
}

/// How long CPU time must stand still for the work to count as over, and the
/// most that is waited for it.
const STILL: Duration = Duration::from_millis(15);
const MOST: Duration = Duration::from_secs(2);

impl Meter {
    /// Makes the group `cofferdam-bench-NAME-PID`.
    pub fn new(name: &str) -> Result<Self> {
        let first = PathBuf::from("/sys/fs/cgroup/cpuacct");
        let version_1 = first.join("cpuacct.usage").exists();
        let base = if version_1 { first } else { PathBuf::from("/sys/fs/cgroup") };
        let name = format!("cofferdam-bench-{name}-{}", std::process::id());
        let group = base.join(&name);
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        Ok(Self { name: format!("/{name}"), group, others: Vec::new(), version_1 })
    }

    /// Counts the containers under `parent` (as `/docker`) too.
    pub fn also(&mut self, parent: &str) {
        let base = self.group.parent().expect("in a hierarchy");
        self.others.push(base.join(parent.trim_start_matches('/')));
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

    /// CPU time once it stands still: what a daemon still does for the last
    /// command counts as that command's.
    pub fn settled(&self) -> Result<Duration> {
        let begun = Instant::now();
        let mut before = self.used()?;
        loop {
            std::thread::sleep(STILL);
            let now = self.used()?;
            // A daemon's timers may tick on.
            if now.saturating_sub(before) < Duration::from_micros(100) || begun.elapsed() > MOST {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Processes in the group and below it.
    pub fn processes(&self) -> Result<BTreeSet<u32>> {
        let mut found = BTreeSet::new();
        let mut groups = vec![self.group.clone()];
        while let Some(group) = groups.pop() {
            let path = group.join("cgroup.procs");
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            let below =
                fs::read_dir(&group).with_context(|| format!("cannot list {}", group.display()))?;
            let dirs = below.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
            groups.extend(dirs);
        }
        Ok(found)
    }

    fn read(&self, group: &Path) -> Result<Duration> {
        if self.version_1 {
            let text = fs::read_to_string(group.join("cpuacct.usage"))?;
            return Ok(Duration::from_nanos(text.trim().parse()?));
        }
        let text = fs::read_to_string(group.join("cpu.stat"))?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(used.context("no usage_usec")?.parse()?))
    }
}

impl Drop for Meter {
    /// Removes the group, which some contenders have made in every hierarchy.
    fn drop(&mut self) {
        let name = self.name.trim_start_matches('/');
        let trees = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for tree in trees.map(|tree| tree.path()).chain(["/sys/fs/cgroup".into()]) {
            remove(&tree.join(name));
        }
    }
}

/// Removes a group and those below it, which are empty by now.
fn remove(group: &Path) {
    // Most hierarchies have no such group, and a file is not one.
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    below.map(|entry| entry.path()).filter(|path| path.is_dir()).for_each(|path| remove(&path));
    let _ = fs::remove_dir(group);
}

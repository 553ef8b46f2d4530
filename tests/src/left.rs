//! What a test host and the machine hold that an engine could leave behind.

use crate::Host;
use std::{collections::BTreeSet, fs, path::Path};

/// A snapshot; two are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Command lines of processes that name the scratch directory.
    processes: BTreeSet<String>,
    /// The host's mount table below the scratch directory.
    mounts: BTreeSet<String>,
    /// Interfaces of the host.
    interfaces: BTreeSet<String>,
    /// Its firewall.
    firewall: String,
    /// Control groups of engines, in every hierarchy.
    groups: BTreeSet<String>,
    /// Run directories of containers.
    runs: BTreeSet<String>,
}

impl Left {
    /// What there is now.
    pub fn now(host: &Host, scratch: &Path) -> Self {
        let name = scratch.to_string_lossy();
        let mounts = host.says("cat /proc/self/mountinfo");
        let mounts =
            mounts.lines().filter(|line| line.contains(&*name)).map(str::to_owned).collect();
        let links = host.says("ip -brief link | cut -d' ' -f1");
        Self {
            processes: processes(&name),
            mounts,
            interfaces: links.lines().map(str::to_owned).collect(),
            firewall: host.says("nft -s list ruleset"),
            groups: groups(scratch),
            runs: names(&scratch.join("run/containers")),
        }
    }
}

fn processes(scratch: &str) -> BTreeSet<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(scratch) && !line.starts_with("nsenter"))
        .collect()
}

/// The groups, and their parent, that the engine with this run root names as its own: it writes
/// the name of their parent into `cgroup-parent` there.
fn groups(scratch: &Path) -> BTreeSet<String> {
    let Ok(parent) = fs::read_to_string(scratch.join("run/cgroup-parent")) else {
        return BTreeSet::new();
    };
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    let roots = table
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4));
    let parent = parent.trim().trim_start_matches('/');
    let own = |root: &str| Path::new(root).join(parent);
    let parents = roots.map(own).filter(|dir| dir.exists());
    parents
        .flat_map(|dir| {
            names(&dir).into_iter().chain([dir.display().to_string()]).collect::<Vec<_>>()
        })
        .collect()
}

/// Directories in `path`.
fn names(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path().display().to_string()).collect()
}

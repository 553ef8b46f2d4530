//! Control groups: one in each hierarchy that the host has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The directories made.
pub type Groups = Vec<PathBuf>;

/// The controllers that a container's limits and figures need.
const NEEDED: [&str; 7] = ["pids", "memory", "cpu", "cpuacct", "devices", "freezer", "blkio"];

/// The group `parent` (as `/name`) in every hierarchy.
fn parents(parent: &str) -> Groups {
    let base = Path::new("/sys/fs/cgroup");
    let version_1: Vec<PathBuf> =
        NEEDED.iter().map(|c| base.join(c)).filter(|p| p.is_dir()).collect();
    let tops = if version_1.is_empty() { vec![base.to_owned()] } else { version_1 };
    tops.iter().map(|top| top.join(parent.trim_start_matches('/'))).collect()
}

/// Makes the group that all containers of the floor are under.
pub fn prepare(parent: &str) -> io::Result<()> {
    parents(parent).iter().try_for_each(fs::create_dir_all)
}

/// Makes `floor-PID` under it and sets the one limit that is always set.
pub fn make(parent: &str) -> io::Result<Groups> {
    let name = format!("floor-{}", std::process::id());
    let groups: Groups = parents(parent).iter().map(|parent| parent.join(&name)).collect();
    for group in &groups {
        fs::create_dir(group)?;
        if group.join("pids.max").exists() {
            fs::write(group.join("pids.max"), "1000")?;
        }
        if group.join("devices.deny").exists() {
            fs::write(group.join("devices.deny"), "a")?;
            fs::write(group.join("devices.allow"), "c 1:3 rwm")?;
        }
    }
    Ok(groups)
}

/// Moves the calling process into all of them.
pub fn enter(groups: &Groups) -> io::Result<()> {
    groups.iter().try_for_each(|group| fs::write(group.join("cgroup.procs"), "0"))
}

/// Removes what is empty by now.
pub fn remove(groups: &Groups) {
    for group in groups {
        let _ = fs::remove_dir(group);
    }
}

//! One group of processes, in every hierarchy that the machine has.
//!
//! A [`Cgroup`] is a set of directories, one for each hierarchy of the
//! [`Layout`], all for the same processes. It is made before its first
//! process ([`Cgroup::create`]), limited ([`Cgroup::apply`]), entered
//! ([`Cgroup::enter`], or `CLONE_INTO_CGROUP` with [`Cgroup::unified_fd`]),
//! read while it lives ([`Cgroup::stats`], [`Cgroup::pids`]) and removed when
//! the last process is gone ([`Cgroup::remove`]). The value owns nothing in
//! the kernel: dropping it changes nothing, and another process opens the same
//! group by its path ([`Cgroup::open`]) or by its directories
//! ([`Cgroup::paths`]).
//!
//! Callers never ask which version it is. Limits are in the units of the OCI
//! specification; what a machine cannot limit is refused in words, unless the
//! specification's other runtimes are relied upon to pass over it.
//!
//! ```text
//! create ──▶ apply ──▶ enter ──▶ apply, stats, freeze, thaw … ──▶ kill ──▶ remove
//! ```

mod bpf;
pub mod devices;
mod dir;
mod error;
mod freeze;
mod gauge;
mod layout;
mod limits;
mod oom;
mod pressure;
mod remove;
mod stats;
pub mod systemd;

pub use error::{Error, Kind};
pub use gauge::Gauge;
pub use layout::{Layout, Version};
pub use oom::{Oom, OomWatch};
pub use pressure::{Pressure, Stall, Stalls};
pub use remove::remove_unused;
pub use stats::{CpuStats, IoEntry, IoStats, MemoryStats, Stats, Usage};

use dir::Dir;
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

/// One group, in every hierarchy. See the [crate's head](crate).
#[derive(Debug)]
pub struct Cgroup {
    dirs: Vec<Dir>,
}

impl Cgroup {
    /// Makes the group `path` and what is missing above it.
    ///
    /// An absolute path counts from the top of each hierarchy, a relative one
    /// from this process's own group. A group that is there and empty is
    /// taken over. Costs one `mkdir` a hierarchy.
    ///
    /// # Errors
    /// [`Error::InUse`] if it holds processes. Whatever fails, directories
    /// made so far are gone again.
    pub fn create(layout: &Layout, path: &str) -> Result<Self, Error> {
        Self::create_with(layout, path, false)
    }

    fn create_with(layout: &Layout, path: &str, shared: bool) -> Result<Self, Error> {
        let group = Self::at(layout, path)?;
        let mut made = Vec::new();
        match group.make(layout, shared, &mut made) {
            Ok(()) => Ok(group),
            Err(error) => {
                for path in made.iter().rev() {
                    // The first failure is the one to tell; this one leaves an
                    // empty directory for the sweep.
                    let _ = rustix::fs::rmdir(path);
                }
                Err(error)
            }
        }
    }

    /// The group that [`Cgroup::create`] would make, so that its name can be
    /// written down before anything bears it.
    ///
    /// Looks only where [`Cgroup::kill`] would find its processes.
    ///
    /// # Errors
    /// [`Error::InUse`] if there are processes in it.
    pub fn plan(layout: &Layout, path: &str) -> Result<Self, Error> {
        let group = Self::at(layout, path)?;
        group.witness().filter(|dir| dir.path.is_dir()).map_or(Ok(()), Dir::must_be_empty)?;
        Ok(group)
    }

    /// `shared` is a group that may hold processes already.
    fn make(&self, layout: &Layout, shared: bool, made: &mut Vec<PathBuf>) -> Result<(), Error> {
        for (dir, tree) in self.dirs.iter().zip(&layout.trees) {
            match make_path(dir, &tree.mount, made)? {
                true if dir.controls("cpuset") => inherit_cpuset(dir)?,
                true => {}
                false if shared => {}
                false => dir.must_be_empty()?,
            }
        }
        if layout.version() == Version::V2 {
            for (dir, tree) in self.dirs.iter().zip(&layout.trees) {
                limits::delegate(dir, &tree.mount)?;
            }
        }
        Ok(())
    }

    /// Finds the group `path`, which another process may have made.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is in no hierarchy.
    pub fn open(layout: &Layout, path: &str) -> Result<Self, Error> {
        let mut group = Self::at(layout, path)?;
        group.dirs.retain(|dir| dir.path.is_dir());
        if group.dirs.is_empty() { Err(Error::Missing(path.into())) } else { Ok(group) }
    }

    /// The group whose directories [`Cgroup::paths`] once told. Whether they
    /// still exist shows at the first use.
    pub fn from_paths(paths: &BTreeMap<String, PathBuf>) -> Self {
        let mut dirs: Vec<Dir> = Vec::new();
        for (controller, path) in paths {
            let known = dirs.iter_mut().find(|dir| dir.path == *path && !dir.unified());
            match known {
                Some(dir) if !controller.is_empty() => dir.controllers.push(controller.clone()),
                _ => {
                    let controllers =
                        Some(controller.clone()).filter(|c| !c.is_empty()).into_iter().collect();
                    dirs.push(Dir::new(path.clone(), controllers));
                }
            }
        }
        Self { dirs }
    }

    /// Each controller's directory; the version 2 directory is called `""`.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        let mut paths = BTreeMap::new();
        for dir in &self.dirs {
            if dir.unified() {
                paths.insert(String::new(), dir.path.clone());
            }
            paths.extend(dir.controllers.iter().map(|c| (c.clone(), dir.path.clone())));
        }
        paths
    }

    /// The version 2 directory.
    pub fn unified_path(&self) -> Option<&Path> {
        self.unified().map(|dir| dir.path.as_path())
    }

    /// Each version 1 hierarchy: what its mount point is called
    /// (`cpu,cpuacct`, `systemd`), and the directory in it.
    pub fn legacy_paths(&self) -> Vec<(String, PathBuf)> {
        let legacy = self.dirs.iter().filter(|dir| !dir.unified());
        legacy.map(|dir| (dir.tree.clone(), dir.path.clone())).collect()
    }

    fn at(layout: &Layout, path: &str) -> Result<Self, Error> {
        let dirs = layout.locate(path)?.into_iter().zip(&layout.trees).map(|(path, tree)| {
            let name = tree.mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut dir = Dir::new(path, tree.controllers.clone());
            dir.tree = name;
            dir
        });
        Ok(Self { dirs: dirs.collect() })
    }

    /// Moves the process `pid` (as this process sees it; 0 for itself) in.
    ///
    /// With version 1 hierarchies the first of several moves in a row waits
    /// for all processors (about 5 ms); [`Cgroup::enter_thread`] does not.
    ///
    /// # Errors
    /// `ESRCH` if it is gone, `EBUSY` if a version 2 group cannot have
    /// processes because groups below it have controllers.
    pub fn enter(&self, pid: i32) -> Result<(), Error> {
        let pid = pid.to_string();
        self.dirs.iter().try_for_each(|dir| dir.write("cgroup.procs", &pid))
    }

    /// Moves the calling process in, which must have one thread only.
    ///
    /// Much cheaper than [`Cgroup::enter`]: the kernel need not hold off the
    /// forks of a whole process.
    ///
    /// # Errors
    /// As [`Cgroup::enter`].
    pub fn enter_thread(&self) -> Result<(), Error> {
        self.dirs.iter().try_for_each(|dir| {
            dir.write(if dir.unified() { "cgroup.procs" } else { "tasks" }, "0")
        })
    }

    /// [`Cgroup::enter_thread`] for a process that was cloned into
    /// [`Cgroup::unified_fd`] and lacks only the version 1 hierarchies.
    ///
    /// # Errors
    /// As [`Cgroup::enter`].
    pub fn enter_thread_v1(&self) -> Result<(), Error> {
        let mut dirs = self.dirs.iter().filter(|dir| !dir.unified());
        dirs.try_for_each(|dir| dir.write("tasks", "0"))
    }

    /// The version 2 directory, for `CLONE_INTO_CGROUP`; none on a machine
    /// with version 1 alone.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn unified_fd(&self) -> Result<Option<BorrowedFd<'_>>, Error> {
        self.unified().map(Dir::fd).transpose()
    }

    /// Every process in the group and in groups below it, in order.
    ///
    /// # Errors
    /// If the group cannot be read; one that is gone has no processes.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        match self.witness() {
            Some(dir) => match dir.pids() {
                Err(error) if dir::gone(&error) => Ok(Vec::new()),
                other => other,
            },
            None => Ok(Vec::new()),
        }
    }

    /// Whether any process is in the group or below it.
    ///
    /// # Errors
    /// As [`Cgroup::pids`].
    pub fn populated(&self) -> Result<bool, Error> {
        match self.unified() {
            Some(dir) => freeze::event(dir, "populated"),
            None => Ok(!self.pids()?.is_empty()),
        }
    }

    /// The version 2 directory.
    fn unified(&self) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.unified())
    }

    /// The version 1 directory of a controller.
    fn legacy(&self, controller: &str) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.controls(controller))
    }

    /// The directory to ask which processes there are.
    fn witness(&self) -> Option<&Dir> {
        self.unified()
            .or_else(|| self.legacy("devices"))
            .or_else(|| self.legacy("freezer"))
            .or_else(|| self.dirs.first())
    }
}

/// Names of the groups below `parent`, in whatever hierarchy they are left:
/// what a sweep compares with the records.
///
/// # Errors
/// If a hierarchy cannot be read. A parent that is not there has no children.
pub fn children(layout: &Layout, parent: &str) -> Result<BTreeSet<String>, Error> {
    let group = Cgroup::at(layout, parent)?;
    let mut names = BTreeSet::new();
    for dir in &group.dirs {
        match dir.children() {
            Ok(found) => names.extend(found),
            Err(error) if dir::gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

/// Makes a directory and its parents, up to the mount; false if it was there.
fn make_path(dir: &Dir, mount: &Path, made: &mut Vec<PathBuf>) -> Result<bool, Error> {
    match dir::make(&dir.path) {
        Ok(true) => {
            made.push(dir.path.clone());
            return Ok(true);
        }
        Err(error) if dir::absent(&error) && dir.path != mount => {}
        other => return other,
    }
    let parent = dir.path.parent().expect("a path below the mount has a parent");
    let parent = Dir::new(parent.to_path_buf(), dir.controllers.clone());
    if make_path(&parent, mount, made)? && dir.controls("cpuset") {
        inherit_cpuset(&parent)?;
        // From here on the kernel hands the processors down by itself.
        parent.write("cgroup.clone_children", "1")?;
    }
    make_path(dir, mount, made)
}

/// A new version 1 cpuset has no processors and no memory, and nothing can
/// run in it, unless its parent says to clone: gives it those of the nearest
/// group above that has some.
fn inherit_cpuset(dir: &Dir) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        inherit_file(dir, file)?;
    }
    Ok(())
}

fn inherit_file(dir: &Dir, file: &str) -> Result<String, Error> {
    let own = dir.read(file)?.trim().to_owned();
    match dir.path.parent() {
        Some(parent) if own.is_empty() => {
            let above = inherit_file(&Dir::new(parent.into(), dir.controllers.clone()), file)?;
            dir.write(file, &above)?;
            Ok(above)
        }
        _ => Ok(own),
    }
}

//! Limits: from the words of the OCI specification to files.
//!
//! What to write is decided by pure functions, one for each controller and
//! version ([`v1`], [`v2`]); this file finds the directory that each belongs
//! to and writes. On a hybrid machine a controller is looked for among the
//! version 1 hierarchies first and then in the version 2 tree.

mod v1;
pub(crate) mod v2;

use crate::{Cgroup, Error, Layout, Version, devices, dir::Dir};
use rustix::io::Errno;
use spec::oci::Resources;
use std::path::Path;

/// One file and what to write to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    file: String,
    pub(crate) value: String,
    missing: Missing,
    /// The kernel may find it invalid until the writes after it are done:
    /// then it is tried again after them.
    late: bool,
}

/// What to do where the kernel has no such file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    Refuse,
    Skip,
    Instead(Box<Write>),
}

impl Write {
    #[expect(clippy::needless_pass_by_value, reason = "numbers, and text that is at hand")]
    fn new(file: impl Into<String>, value: impl ToString) -> Self {
        let (file, value) = (file.into(), value.to_string());
        Self { file, value, missing: Missing::Refuse, late: false }
    }

    fn late(self) -> Self {
        Self { late: true, ..self }
    }

    fn if_there(self) -> Self {
        Self { missing: Missing::Skip, ..self }
    }

    fn or(self, other: Self) -> Self {
        Self { missing: Missing::Instead(Box::new(other)), ..self }
    }
}

type Plan = fn(&Resources) -> Result<Vec<Write>, Error>;

/// One kind of limit: what its controller is called in each version, and who
/// decides what to write.
struct Area {
    legacy: (&'static str, Plan),
    unified: Option<(&'static str, Plan)>,
}

/// The processors come first: a process may be waiting to run.
const AREAS: [Area; 9] = [
    Area { legacy: ("cpuset", v1::cpuset), unified: Some(("cpuset", v2::cpuset)) },
    Area { legacy: ("cpu", v1::cpu), unified: Some(("cpu", v2::cpu)) },
    Area { legacy: ("memory", v1::memory), unified: Some(("memory", v2::memory)) },
    Area { legacy: ("pids", v1::pids), unified: Some(("pids", v1::pids)) },
    Area { legacy: ("blkio", v1::blkio), unified: Some(("io", v2::io)) },
    Area { legacy: ("hugetlb", v1::hugetlb), unified: Some(("hugetlb", v2::hugetlb)) },
    Area { legacy: ("rdma", v1::rdma), unified: Some(("rdma", v1::rdma)) },
    Area { legacy: ("net_cls", v1::net_cls), unified: None },
    Area { legacy: ("net_prio", v1::net_prio), unified: None },
];

impl Cgroup {
    /// Sets what `wish` names and leaves the rest as it is.
    ///
    /// An empty device list changes nothing; any other becomes the whole list
    /// (see [`devices`]). On version 2, what only version 1 knew and other
    /// runtimes pass over (swappiness, the out-of-memory killer's switch,
    /// kernel memory, real-time budgets, network classes) has no effect.
    ///
    /// # Errors
    /// The first limit that this machine or the kernel refuses; those before
    /// it are set.
    pub fn apply(&self, wish: &Resources) -> Result<(), Error> {
        if !wish.devices.is_empty() {
            self.allow_devices(&devices::AllowList::from_rules(&wish.devices)?)?;
        }
        for area in &AREAS {
            let (name, plan) = area.legacy;
            if let Some(dir) = self.legacy(name) {
                dir.write_all(&plan(wish)?)?;
                continue;
            }
            match (self.unified(), area.unified) {
                (Some(dir), Some((name, plan))) => self.write_unified(dir, name, plan, wish)?,
                // Version 2 alone has no such thing, by design.
                (Some(_), None) if self.dirs.len() == 1 => {}
                _ => {
                    if let Some(write) = plan(wish)?.into_iter().next() {
                        let controller = name.to_owned();
                        return Err(Error::NoController { limit: write.file, controller });
                    }
                }
            }
        }
        self.apply_unified(wish)
    }

    /// Refuses a limit of memory below what is in use, if it is to be checked
    /// before it is set; [`Cgroup::apply`] does so too.
    ///
    /// # Errors
    /// [`Error::BadLimit`].
    pub fn check_usage(&self, wish: &Resources) -> Result<(), Error> {
        match self.unified().filter(|_| self.legacy("memory").is_none()) {
            Some(dir) => v2::check_usage(dir, wish),
            None => Ok(()),
        }
    }

    fn write_unified(
        &self,
        dir: &Dir,
        controller: &str,
        plan: Plan,
        wish: &Resources,
    ) -> Result<(), Error> {
        let writes = plan(wish)?;
        let Some(first) = writes.first() else { return Ok(()) };
        let hybrid = self.dirs.len() > 1;
        let there = has_controller(dir, controller)?;
        if !there && (!hybrid || !enable_above(dir, controller)?) {
            let (limit, controller) = (first.file.clone(), controller.to_owned());
            return Err(Error::NoController { limit, controller });
        }
        if controller == "memory" {
            v2::check_usage(dir, wish)?;
        }
        dir.write_all(&writes)
    }

    /// The `unified` map: files of version 2 as they are.
    fn apply_unified(&self, wish: &Resources) -> Result<(), Error> {
        let Some((file, _)) = wish.unified.first_key_value() else { return Ok(()) };
        let (Some(dir), 1) = (self.unified(), self.dirs.len()) else {
            return Err(Error::BadLimit {
                limit: file.clone(),
                why: "\"unified\" needs a machine with cgroup v2 alone".into(),
            });
        };
        for (file, value) in &wish.unified {
            let bad = |why: &str| Error::BadLimit { limit: file.clone(), why: why.into() };
            if file.contains('/') || file.starts_with('.') {
                return Err(bad("a unified resource is the name of one file"));
            }
            let Some((controller, _)) = file.split_once('.') else {
                return Err(bad("a unified resource is CONTROLLER.NAME"));
            };
            // Several lines are several writes, as io.max and rdma.max want.
            for line in value.lines() {
                match dir.write(file, line) {
                    Err(error) if crate::dir::absent(&error) => {
                        let core = controller == "cgroup" || has_controller(dir, controller)?;
                        let (limit, controller) = (file.clone(), controller.to_owned());
                        return Err(if core {
                            Error::Unsupported { limit }
                        } else {
                            Error::NoController { limit, controller }
                        });
                    }
                    other => other?,
                }
            }
        }
        Ok(())
    }
}

impl Dir {
    fn write_all(&self, writes: &[Write]) -> Result<(), Error> {
        let mut late = Vec::new();
        for write in writes {
            match self.write_one(write) {
                Err(error) if write.late && error.errno() == Some(Errno::INVAL.raw_os_error()) => {
                    late.push(write);
                }
                other => other?,
            }
        }
        late.into_iter().try_for_each(|write| self.write_one(write))
    }

    fn write_one(&self, write: &Write) -> Result<(), Error> {
        match (self.write(&write.file, &write.value), &write.missing) {
            (Err(error), missing) if crate::dir::absent(&error) => match missing {
                Missing::Refuse if self.fd().is_ok() => {
                    Err(Error::Unsupported { limit: write.file.clone() })
                }
                Missing::Refuse => Err(error),
                Missing::Skip => Ok(()),
                Missing::Instead(other) => self.write_one(other),
            },
            (Err(Error::Write { source, .. }), _)
                if write.file == "memory.limit_in_bytes"
                    && source.raw_os_error() == Some(Errno::BUSY.raw_os_error()) =>
            {
                Err(Error::MemoryInUse {
                    limit: write.value.clone(),
                    current: self.number("memory.usage_in_bytes")?.unwrap_or(0),
                    peak: self.number("memory.max_usage_in_bytes")?.unwrap_or(0),
                })
            }
            (other, _) => other,
        }
    }
}

/// Whether a version 2 group has a controller.
fn has_controller(dir: &Dir, controller: &str) -> Result<bool, Error> {
    Ok(dir.read("cgroup.controllers")?.split_whitespace().any(|have| have == controller))
}

/// Gives a version 2 group every controller that the top of its tree has.
pub(crate) fn delegate(dir: &Dir, mount: &Path) -> Result<(), Error> {
    let top = Dir::new(mount.to_path_buf(), Vec::new()).read("cgroup.controllers")?;
    let have = dir.read("cgroup.controllers")?;
    let lacks = |c: &&str| !have.split_whitespace().any(|h| h == *c);
    for controller in top.split_whitespace().filter(lacks) {
        // A group above may hold processes or keep a controller back: then
        // it is missing here, and a limit that needs it will say so.
        enable_above(dir, controller)?;
    }
    Ok(())
}

/// Turns a controller on in every group above `dir`; false if one of them
/// cannot have it.
fn enable_above(dir: &Dir, controller: &str) -> Result<bool, Error> {
    let Some(parent) = dir.path.parent() else { return Ok(false) };
    let parent = Dir::new(parent.to_path_buf(), Vec::new());
    match parent.read_if_there("cgroup.controllers")? {
        // Above the mount point.
        None => return Ok(false),
        Some(have) if have.split_whitespace().any(|h| h == controller) => {}
        Some(_) => {
            if !enable_above(&parent, controller)? {
                return Ok(false);
            }
        }
    }
    match parent.write("cgroup.subtree_control", &format!("+{controller}")) {
        Ok(()) => Ok(true),
        Err(error) => {
            let refusals = [Errno::BUSY, Errno::OPNOTSUPP, Errno::NOENT, Errno::INVAL];
            let refused = refusals.iter().any(|e| error.errno() == Some(e.raw_os_error()));
            if refused { Ok(false) } else { Err(error) }
        }
    }
}

/// Which version a caller's machine has, for messages.
impl Layout {
    /// Controllers that limits can be set with, by their names in the version
    /// that has them, e.g. `blkio` or `io`.
    ///
    /// # Errors
    /// If the version 2 tree cannot be read.
    pub fn controllers(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for tree in &self.trees {
            if tree.unified() {
                let dir = Dir::new(tree.mount.clone(), Vec::new());
                let text = dir.read("cgroup.controllers")?;
                all.extend(text.split_whitespace().map(str::to_owned));
            } else {
                all.extend(tree.controllers.iter().cloned());
            }
        }
        debug_assert!(self.version() != Version::V1 || !all.is_empty());
        Ok(all)
    }
}

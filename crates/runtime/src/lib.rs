//! Applies a [`Sandbox`] to a new process, word for word.
//!
//! Three processes take part. The *caller* (a monitor, an OCI verb) is
//! single-threaded and runs as the host's root. The *launcher* is forked from
//! it, owns a private mount namespace, makes init and builds the whole tree
//! there with the host's rights, on descriptors only. *Init* is the caller's
//! child and becomes the program.
//!
//! ```text
//!   caller                      launcher                    init
//!     | prepare ── fork ─────────> | joins, unshares mounts   |
//!     |                            | ── clone3 ─────────────> | enters v1 cgroups
//!     | <── Alive (+pidfd, netns)─ | id maps, mounts, masks   | compiles the filter
//!     | ready                      |                          |
//!     | <── Hooks ──────────────── | (if there are any)       |
//!     | ─── Hooked ──────────────> | pivots                   |
//!     | <── Console (+pty) ─────── | ── Built (+tty) ───────> | copies the mounts into its
//!     |                            x  exits                   | user namespace: flags lock
//!     | <── Ready ────────────────────────────────────────────| ids and bounds dropped
//!     | go ── Go ───────────────────────────────────────────> | labels, Landlock, seccomp
//!     | <── (the socket closes on exec: it runs) ─────────────x exec
//! ```
//!
//! Any of them may say *Failed*, with one line for people, at any time.
//! With [`Options::door`] init listens for *Go* on a socket of that name
//! instead, so that the caller may end first and a later one [`knock`].

mod caps;
mod cgroupfs;
mod command;
mod console;
mod copyup;
mod devices;
mod dialogue;
mod door;
mod errand;
mod exec;
mod failure;
mod filesystem;
mod filter;
/// Programs run around a container's life.
pub mod hooks;
mod ids;
mod init;
mod labels;
mod landlock;
mod launcher;
mod limits;
mod mask;
mod mounts;
mod namespaces;
mod options;
mod pid1;
mod pidns;
mod procfs;
mod program;
mod protect;
mod sysctl;
mod tree;
mod userns;
mod waiting;

pub use door::knock;
pub use exec::{Target, exec};
pub use limits::is_processor_list;
pub use protect::protect_self;
pub use waiting::{Running, Waiting, prepare};

use spec::{
    Sandbox,
    oci::{ConsoleSize, State},
};
use std::{
    collections::BTreeMap,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Where the container's root comes from.
#[derive(Clone, Copy, Debug)]
pub enum Root<'a> {
    /// A detached mount, made by whoever owns the layers.
    Mount(BorrowedFd<'a>),
    /// A directory of the host (an OCI bundle's `root.path`, absolute).
    Path(&'a Path),
}

/// The program's standard streams.
#[derive(Debug)]
pub enum Io {
    /// The caller's own.
    Inherit,
    /// These three.
    Fds([OwnedFd; 3]),
    /// A new pseudo-terminal of the container's own `devpts`.
    Terminal {
        /// Its size at the beginning.
        size: Option<ConsoleSize>,
    },
}

/// The container's directories in the control group hierarchies of the host,
/// made and limited already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// In the version 2 hierarchy, controllers or not.
    pub unified: Option<PathBuf>,
    /// In each version 1 hierarchy: the name of its mount point
    /// (`cpu,cpuacct`, `systemd`) and the directory.
    pub v1: Vec<(String, PathBuf)>,
}

/// What is not the container's business.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Where init is to live; none leaves it in the caller's.
    pub cgroup: Option<&'a Cgroup>,
    /// Descriptors 3, 4, … handed through to the program.
    pub preserve_fds: u32,
    /// Move the root over the old one instead of pivoting (initramfs).
    pub no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Let init wait at a socket of this name for [`knock`].
    pub door: Option<&'a Path>,
}

impl From<&cgroup::Cgroup> for Cgroup {
    fn from(group: &cgroup::Cgroup) -> Self {
        Self::from_paths(&group.paths())
    }
}

impl Cgroup {
    /// From each controller's directory; version 2's is called `""`.
    fn from_paths(paths: &BTreeMap<String, PathBuf>) -> Self {
        let mut group = Self::default();
        for (controller, path) in paths {
            let controller = controller.strip_prefix("name=").unwrap_or(controller);
            if controller.is_empty() {
                group.unified = Some(path.clone());
            } else if let Some((name, _)) = group.v1.iter_mut().find(|(_, known)| known == path) {
                // Two controllers of one hierarchy are mounted under both names.
                name.push(',');
                name.push_str(controller);
            } else {
                group.v1.push((controller.into(), path.clone()));
            }
        }
        group
    }
}

/// The state that hooks and listeners are told.
fn state(sandbox: &Sandbox, bundle: &Path, pid: i32, status: &str) -> State {
    State {
        oci_version: sandbox.config.oci_version.clone(),
        id: sandbox.id.clone(),
        status: status.into(),
        pid: Some(pid),
        bundle: bundle.to_string_lossy().into_owned(),
        annotations: sandbox.config.annotations.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_of_one_hierarchy_share_a_mount_point() {
        let paths = [("", "/u"), ("cpu", "/c"), ("cpuacct", "/c"), ("name=systemd", "/s")];
        let paths = paths.map(|(name, path)| (name.into(), path.into())).into();
        let group = Cgroup::from_paths(&paths);
        assert_eq!(group.unified.as_deref(), Some(Path::new("/u")));
        let names: Vec<_> = group.v1.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cpu,cpuacct", "systemd"]);
    }
}

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

use spec::{
    Sandbox,
    oci::{self, ConsoleSize},
    wire::Failure,
};
use std::{
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

/// A process that waits in its namespaces for leave to begin.
///
/// Dropping it kills it.
#[derive(Debug)]
pub struct Waiting {
    /// Init, as the host sees it; a child of the caller.
    pub pid: i32,
    /// The same, safe from reuse.
    pub pidfd: OwnedFd,
    /// Its network namespace, if it is a new one.
    pub netns: Option<OwnedFd>,
}

/// A process that is, or will be, the program.
#[derive(Debug)]
pub struct Running {
    /// As the host sees it; a child of the caller.
    pub pid: i32,
    /// The same, safe from reuse.
    pub pidfd: OwnedFd,
    /// The master side of its terminal, if one was asked for.
    pub console: Option<OwnedFd>,
    /// What the machine would not grant, one line each.
    pub warnings: Vec<String>,
}

/// Begins to make the container; returns as soon as its namespaces exist,
/// while its root is still being built.
///
/// # Errors
/// One line for people: the step, its object and what the kernel said.
pub fn prepare(
    _sandbox: &Sandbox,
    _bundle: &Path,
    _root: Root<'_>,
    _io: Io,
    _options: &Options<'_>,
) -> Result<Waiting, Failure> {
    todo!()
}

impl Waiting {
    /// Waits until everything but the last step is done; runs the `prestart`
    /// and `createRuntime` hooks on the way. A missing or unfit command is
    /// found here, as [`Failure::command`]. May be called more than once.
    ///
    /// # Errors
    /// Why the program will never run; init is gone then.
    pub fn ready(&mut self) -> Result<(), Failure> {
        todo!()
    }

    /// [Gets ready](Self::ready) and lets the program begin: returns when
    /// exec has succeeded.
    ///
    /// # Errors
    /// Why it could not; init is gone then (not yet reaped).
    pub fn go(self) -> Result<Running, Failure> {
        todo!()
    }

    /// [Gets ready](Self::ready) and leaves init waiting at
    /// [`Options::door`].
    ///
    /// # Errors
    /// As [`Waiting::ready`].
    pub fn leave(self) -> Result<Running, Failure> {
        todo!()
    }

    /// Gives it up: init is killed and reaped.
    pub fn abort(self) {
        todo!()
    }
}

/// Lets the program begin that waits at `door`: returns when exec has
/// succeeded.
///
/// # Errors
/// Why it could not, or that nobody waits there.
pub fn knock(_door: &Path) -> Result<(), Failure> {
    todo!()
}

/// A running container, for [`exec`].
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its init.
    pub pidfd: BorrowedFd<'a>,
    /// What confines it; an exec is confined alike.
    pub sandbox: &'a Sandbox,
}

/// Runs another program in a container: returns when exec has succeeded.
///
/// The process is a child of the caller, in all namespaces of the container,
/// in [`Options::cgroup`], and confined by the sandbox except where
/// `process` says otherwise (capabilities, labels, `noNewPrivileges`).
///
/// # Errors
/// Why it could not.
pub fn exec(
    _target: Target<'_>,
    _process: &oci::Process,
    _io: Io,
    _options: &Options<'_>,
) -> Result<Running, Failure> {
    todo!()
}

/// Programs run around a container's life.
pub mod hooks {
    use spec::{
        oci::{Hook, State},
        wire::Failure,
    };

    /// Runs `hooks` in order with `state` on their input; the first that
    /// fails, or takes longer than its timeout, ends it.
    ///
    /// # Errors
    /// Which one failed, how, and what it said on standard error.
    pub fn run(_kind: &str, _hooks: &[Hook], _state: &State) -> Result<(), Failure> {
        todo!()
    }
}

/// Makes sure that the container cannot write to this program's file through
/// `/proc/PID/exe` (CVE-2019-5736): unless it was executed from a read-only
/// mount already, executes it again from one. To be called first thing in
/// `main` by whoever makes containers without a user namespace.
///
/// # Errors
/// What the kernel said; carrying on would leave the program exposed.
pub fn protect_self() -> std::io::Result<()> {
    todo!()
}

//! What the resolver gives up before it reads its first packet.
//!
//! It parses what containers and servers send. Should that ever go wrong, what
//! has gone wrong then is a process of a user of its own, without a
//! capability, for which there is no file, no program to execute, no other
//! process and no way to make a socket: just those it was given.

use crate::error::{Doing as _, Error};
use rustix::{
    fs::{Mode, OFlags},
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::CapabilitySet,
};
use std::os::fd::{AsFd, BorrowedFd};

/// The system calls that it can make.
pub const RIGHTS: [&str; 27] = [
    "accept4",
    "brk",
    "clock_gettime",
    "close",
    "connect",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "getsockopt",
    "madvise",
    "mremap",
    "munmap",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sendto",
    "sigaltstack",
    "write",
];

/// Where servers are.
const PORT: u64 = 53;

/// The system calls that a scribe can make.
const OF_SCRIBE: [&str; 20] = [
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "madvise",
    "mremap",
    "munmap",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sendto",
    "sigaltstack",
    "write",
];

/// Leaves the daemon's session, directory and descriptors, but for `kept`.
pub(crate) fn detach(kept: &impl AsFd) -> Result<(), Error> {
    detach_keeping(&[kept.as_fd()])
}

fn detach_keeping(kept: &[BorrowedFd<'_>]) -> Result<(), Error> {
    // Fails for a process that leads a group already, as one started by hand may.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/").doing("leave the directory")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    rustix::stdio::dup2_stdin(null.doing("open /dev/null")?).doing("close the standard input")?;
    sys::process::close_all_but(3, kept).doing("close what is not its own")?;
    let most = getrlimit(Resource::Nofile).maximum;
    let files = Rlimit { current: most, maximum: most };
    setrlimit(Resource::Nofile, files).doing("raise the limit of open files")?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).doing("forbid core dumps")
}

/// Gives up all rights, for good.
pub(crate) fn confine(user: u32) -> Result<(), Error> {
    confine_to(user, CapabilitySet::empty(), &RIGHTS)
}

/// Becomes a scribe, for good: all rights are given up but the one to change
/// the network's rules, by sockets that it has already; those of `kept` stay
/// open beside the standard streams.
///
/// # Errors
/// What the host said: the caller is to end.
pub fn confine_scribe(user: u32, kept: &[BorrowedFd<'_>]) -> Result<(), Error> {
    detach_keeping(kept)?;
    confine_to(user, CapabilitySet::NET_ADMIN, &OF_SCRIBE)
}

fn confine_to(user: u32, capabilities: CapabilitySet, calls: &[&str]) -> Result<(), Error> {
    let port = Some(PORT);
    let left = ::confine::Left {
        user,
        ids: None,
        maker: None,
        capabilities,
        calls,
        files: None,
        port,
        // Names resolve while there is no daemon.
        daemon: None,
    };
    Ok(::confine::confine(&left)?)
}

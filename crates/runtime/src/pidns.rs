//! A procfs of a process namespace that the maker is not in.

use crate::{
    errand,
    failure::Doing,
    filesystem::{self, Setting},
    procfs::Proc,
};
use rustix::{io::Errno, thread::LinkNameSpaceType};
use spec::wire::Failure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Makes a procfs that shows the namespace of process `pid`.
///
/// Linux 6.17 takes the namespace as a setting; before, only a process inside
/// could make it, so one is sent in.
pub(crate) fn procfs(proc: &Proc, pid: i32, settings: &[Setting<'_>]) -> Result<OwnedFd, Failure> {
    let namespace =
        proc.namespace(pid, "pid").doing(|| "open the container's process namespace".into())?;
    let with = [settings, &[Setting::Fd("pidns", namespace.as_fd())]].concat();
    match filesystem::create("proc", &with, 0) {
        Err(failure) if failure.errno == Errno::INVAL.raw_os_error() => {
            from_inside(proc, namespace.as_fd(), settings)
        }
        other => other,
    }
}

fn from_inside(
    proc: &Proc,
    namespace: BorrowedFd<'_>,
    settings: &[Setting<'_>],
) -> Result<OwnedFd, Failure> {
    let enter = |fd| {
        rustix::thread::move_into_link_name_space(fd, Some(LinkNameSpaceType::ProcessID))
            .doing(|| "join the container's process namespace".into())
    };
    let own = proc
        .file("self/ns", rustix::fs::OFlags::PATH)
        .and_then(|dir| {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::openat(dir, "pid", flags, rustix::fs::Mode::empty())
        })
        .doing(|| "open the own process namespace".into())?;
    // The change is for children alone: it is taken back once one is in.
    enter(namespace)?;
    let made = errand::send(|| filesystem::create("proc", settings, 0));
    enter(own.as_fd())?;
    made
}

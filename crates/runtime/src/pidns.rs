//! A procfs of a process namespace that the maker is not in.

use crate::{
    dialogue::{self, Said},
    failure::{Doing, refusal},
    filesystem::{self, Setting},
    procfs::Proc,
};
use rustix::{
    io::Errno,
    process::{WaitId, WaitIdOptions},
    thread::LinkNameSpaceType,
};
use spec::wire::Failure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::process::{Clone, Cloned};

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
    let (here, there) = dialogue::pair()?;
    // The change is for children alone: it is taken back once one is in.
    enter(namespace)?;
    let cloned = sys::process::clone(Clone::default());
    if let Ok(Cloned::Child) = cloned {
        let said = match filesystem::create("proc", settings, 0) {
            Ok(mount) => dialogue::say(there.as_fd(), &Said::Ready, &[mount.as_fd()]),
            Err(failure) => dialogue::say(there.as_fd(), &Said::Failed(failure), &[]),
        };
        sys::process::exit(i32::from(said.is_err()))
    }
    enter(own.as_fd())?;
    drop(there);
    match cloned.doing(|| "send a process into the container's process namespace".into())? {
        Cloned::Child => Err(refusal("unreachable: the child has ended above")),
        Cloned::Parent { pidfd, .. } => {
            let answer = dialogue::expect(&here, &Said::Ready);
            rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
                .doing(|| "wait for the maker of a procfs".into())?;
            answer?.pop().ok_or_else(|| refusal("the maker of a procfs sent none"))
        }
    }
}

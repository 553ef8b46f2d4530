//! User namespaces to map the ids of mounts with.

use crate::{
    failure::{Doing, refusal},
    ids::Ids,
    procfs::Proc,
};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{WaitId, WaitIdOptions},
    thread::UnshareFlags,
};
use spec::{oci::IdMapping, wire::Failure};
use std::os::fd::{AsFd, OwnedFd};
use sys::process::{Clone, Cloned};

/// The container's own maps, and its first process if they are in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps<'a> {
    pub ids: Ids<'a>,
    pub pid: Option<i32>,
}

impl Maps<'_> {
    /// A user namespace with these maps; without any, the container's.
    pub fn get(
        &self,
        proc: &Proc,
        uids: &[IdMapping],
        gids: &[IdMapping],
    ) -> Result<OwnedFd, Failure> {
        let own = uids.is_empty() || (uids == self.ids.uids && gids == self.ids.gids);
        match self.pid {
            Some(pid) if own => {
                proc.namespace(pid, "user").doing(|| "open the container's user namespace".into())
            }
            _ if uids.is_empty() => Err(refusal(
                "an id-mapped mount needs uidMappings, or a user namespace of the container",
            )),
            _ => scratch(proc, Ids { uids, gids }),
        }
    }
}

/// A namespace in which nobody lives: made with a process that ends at once.
fn scratch(proc: &Proc, ids: Ids<'_>) -> Result<OwnedFd, Failure> {
    let (held, hold) = pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe".into())?;
    let how = Clone { namespaces: UnshareFlags::NEWUSER, ..Clone::default() };
    match sys::process::clone(how).doing(|| "make a user namespace".into())? {
        Cloned::Child => {
            drop(hold);
            // Ends when the parent closes its end, whatever becomes of it.
            let code = i32::from(rustix::io::read(&held, &mut [0]).is_err());
            sys::process::exit(code)
        }
        Cloned::Parent { pid, pidfd } => {
            let opened = ids.write(proc, pid).and_then(|()| {
                proc.namespace(pid, "user").doing(|| "open a user namespace".into())
            });
            drop(hold);
            rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
                .doing(|| "wait for the maker of a user namespace".into())?;
            opened
        }
    }
}

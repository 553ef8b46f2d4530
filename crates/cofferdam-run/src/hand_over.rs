//! Giving a descriptor to whoever listens on a socket: the console socket
//! and the pidfd socket of OCI runtimes.

use crate::problem::{Doing, Problem};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::{io::IoSlice, mem::MaybeUninit, os::fd::BorrowedFd, os::unix::net::UnixStream};

/// A connection to such a listener, made before anything else so that its
/// absence is found early.
pub struct Receiver {
    stream: UnixStream,
    path: String,
}

impl Receiver {
    pub fn connect(path: &str) -> Result<Self, Problem> {
        let stream = UnixStream::connect(path).doing("connect to", path)?;
        Ok(Self { stream, path: path.into() })
    }

    /// Sends one descriptor and what it is called.
    pub fn give(&self, fd: BorrowedFd<'_>, name: &str) -> Result<(), Problem> {
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        debug_assert!(fits, "room for one descriptor was made above");
        let name = [IoSlice::new(name.as_bytes())];
        rustix::net::sendmsg(&self.stream, &name, &mut ancillary, SendFlags::NOSIGNAL)
            .doing("send a descriptor to", &self.path)?;
        Ok(())
    }
}

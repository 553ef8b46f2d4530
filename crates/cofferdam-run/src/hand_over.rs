//! Giving a descriptor to whoever listens on a socket (the console socket and
//! the pidfd socket of OCI runtimes), and handing the caller's through.

use crate::{
    Given,
    problem::{Doing, Problem},
};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};
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

/// How many descriptors after standard error are the program's: those that
/// `--preserve-fds` names, each of which the caller must have left open.
///
/// What this process has opened itself is none of them: it would be closed
/// when the program begins.
pub fn preserved(given: &Given, before: u32) -> Result<u32, Problem> {
    let count: u32 = given.number("preserve-fds")?.unwrap_or(0);
    for fd in (3..).take(usize::try_from(count).unwrap_or(usize::MAX)).map(|fd| fd + before) {
        let missing = |source| Problem::NotInherited { fd, count, source };
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).map_err(missing)?;
        if is_our_own(&info) {
            return Err(missing(Errno::NOENT.into()));
        }
    }
    Ok(before + count)
}

/// Whether a descriptor is one that closes at exec (`proc_pid_fdinfo(5)`).
fn is_our_own(info: &str) -> bool {
    /// `O_CLOEXEC`, the same on every architecture that is supported.
    const CLOSES: u32 = 0o2_000_000;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & CLOSES != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_closes_at_exec_was_not_inherited() {
        assert!(!is_our_own("pos:\t0\nflags:\t0100000\nmnt_id:\t15\n"));
        assert!(is_our_own("pos:\t0\nflags:\t02100000\nmnt_id:\t15\n"));
        assert!(is_our_own("nothing"));
    }
}

//! Where monitors are born: one small process for each daemon.
//!
//! A monitor that is executed pays for it: half a millisecond for the C
//! library's start under a hypervisor, and some hundred kilobytes of pages
//! that are its own only because each was relocated anew. Forked from a
//! process that has done all that and nothing else, it costs neither. The
//! nursery holds no container's data, runs one thread and ends with its
//! daemon; the newborn is a child of the daemon, not of the nursery.
//!
//! ```text
//!   daemon                         nursery
//!     | ── "m" (+ pair, stderr) ──> |  clone3, a sibling
//!     | <────── pid (+ pidfd) ───── |
//!     | ── close ─────────────────> |  ends
//! ```

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use sys::process::{Clone, Cloned};

/// Who returns from [`serve`].
pub enum Who {
    /// The nursery, whose daemon has gone.
    Nursery,
    /// A monitor, just born: its standard streams are its own.
    Monitor,
}

/// Bears monitors until the daemon closes standard input.
///
/// # Errors
/// What the host said.
pub fn serve() -> io::Result<Who> {
    // One execution from a read-only mount covers all monitors to come: their
    // file cannot be written to by way of a container's /proc/PID/exe.
    runtime::protect_self()?;
    sys::process::close_from(3)?;
    sys::signal::hold()?;
    // Fails for a process that leads a group already, as one started by hand may.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    let door = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    while let Some([pair, stderr]) = receive(&door)? {
        match sys::process::clone(Clone { sibling: true, ..Clone::default() })? {
            Cloned::Parent { pid, pidfd } => answer(&door, pid, pidfd.as_fd())?,
            Cloned::Child => {
                sys::process::replace_stream(pair.as_fd(), 0)?;
                sys::process::replace_stream(stderr.as_fd(), 2)?;
                // A monitor begins by closing all but its streams.
                std::mem::forget((door, pair, stderr));
                rustix::thread::set_name(c"monitor")?;
                return Ok(Who::Monitor);
            }
        }
    }
    Ok(Who::Nursery)
}

fn receive(door: &OwnedFd) -> io::Result<Option<[OwnedFd; 2]>> {
    let mut word = [0; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        let into = &mut [IoSliceMut::new(&mut word)];
        recvmsg(door, into, &mut control, RecvFlags::CMSG_CLOEXEC)
    });
    match got {
        Ok(got) if got.bytes == 0 => return Ok(None),
        Err(Errno::CONNRESET) => return Ok(None),
        Ok(_) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let mut fds = fds.next().into_iter().flatten();
    match (fds.next(), fds.next()) {
        (Some(pair), Some(stderr)) => Ok(Some([pair, stderr])),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn answer(door: &OwnedFd, pid: i32, pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [pidfd];
    let pushed = control.push(SendAncillaryMessage::ScmRights(&fds));
    debug_assert!(pushed, "the space is for one");
    match sendmsg(door, &[IoSlice::new(&pid.to_ne_bytes())], &mut control, SendFlags::NOSIGNAL) {
        // The daemon has gone: the close will be read next.
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

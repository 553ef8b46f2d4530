//! The monitor's end of the launching dialogue.

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use spec::wire::{FromMonitor, MAX_PACKET, ToMonitor};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A `SOCK_SEQPACKET` socket; the daemon has the other end.
#[derive(Debug)]
pub struct Pair(OwnedFd);

impl Pair {
    /// Takes the process's standard input, which is `/dev/null` from then on.
    ///
    /// # Errors
    /// What the host said, or that it is no such socket.
    pub fn from_stdin() -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        rustix::net::sockopt::socket_type(&fd)?;
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
        rustix::stdio::dup2_stdin(null)?;
        Ok(Self(fd))
    }

    /// Waits for the next packet; none at the close.
    ///
    /// # Errors
    /// What the host said, or `InvalidData`.
    pub fn receive(&self) -> io::Result<Option<(ToMonitor, Option<OwnedFd>)>> {
        let mut text = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            let into = &mut [IoSliceMut::new(&mut text)];
            recvmsg(&self.0, into, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let len = match got {
            Ok(got) => got.bytes,
            Err(Errno::CONNRESET) => 0,
            Err(errno) => return Err(errno.into()),
        };
        if len == 0 {
            return Ok(None);
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok(Some((serde_json::from_slice(&text[..len])?, fd)))
    }

    /// Says something. A daemon that is gone need not hear it.
    pub fn say(&self, message: &FromMonitor, fd: Option<BorrowedFd<'_>>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds {
            let pushed = control.push(SendAncillaryMessage::ScmRights(fds));
            debug_assert!(pushed, "the space is for one");
        }
        let sent = serde_json::to_vec(message).map_err(io::Error::from).and_then(|text| {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.0, &[IoSlice::new(&text)], &mut control, flags) {
                Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        });
        if let Err(error) = sent {
            eprintln!("cannot tell the daemon: {error}");
        }
    }
}

impl AsFd for Pair {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

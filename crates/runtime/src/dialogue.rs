//! The packets that caller, launcher and init exchange.
//!
//! One byte says which, the rest is its text or numbers; descriptors ride
//! along. Nothing is kept: a packet lives from `sendmsg` to `recvmsg`.

use crate::failure::{Doing, refusal};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use spec::wire::Failure;
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Longest packet; longer texts are cut.
const MAX: usize = 4096;

/// Most descriptors in one packet.
const MAX_FDS: usize = 3;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Launcher: init exists (+ pidfd, + network namespace if new).
    Alive { pid: i32 },
    /// Launcher: run the `prestart` and `createRuntime` hooks now.
    Hooks,
    /// Caller: they have run. Init: `createContainer` hooks have run.
    Hooked,
    /// Launcher: a terminal was made (+ its master side).
    Console,
    /// Launcher to init: run the `createContainer` hooks.
    InnerHooks,
    /// Launcher to init: your root is built (+ its terminal).
    Built,
    /// Anyone to the caller: the machine would not grant something.
    Warning(String),
    /// Init: only the last step is left.
    Ready,
    /// Caller, or who knocks: take it.
    Go,
    /// Anyone: why it will never run.
    Failed(Failure),
}

impl Said {
    fn to_bytes(&self) -> Vec<u8> {
        let text = |tag: u8, text: &str| {
            let mut bytes = vec![tag];
            bytes.extend(&text.as_bytes()[..text.floor_char_boundary(MAX - 8)]);
            bytes
        };
        match self {
            Self::Alive { pid } => [&[b'A'][..], &pid.to_le_bytes()].concat(),
            Self::Hooks => vec![b'H'],
            Self::Hooked => vec![b'h'],
            Self::Console => vec![b'C'],
            Self::InnerHooks => vec![b'I'],
            Self::Built => vec![b'B'],
            Self::Warning(line) => text(b'W', line),
            Self::Ready => vec![b'R'],
            Self::Go => vec![b'G'],
            Self::Failed(failure) => {
                let mut bytes = text(b'F', &failure.message);
                let tail: [u8; 4] = failure.errno.to_le_bytes();
                bytes.splice(1..1, tail.into_iter().chain([u8::from(failure.command)]));
                bytes
            }
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        Some(match tag {
            b'A' => Self::Alive { pid: i32::from_le_bytes(rest.try_into().ok()?) },
            b'H' => Self::Hooks,
            b'h' => Self::Hooked,
            b'C' => Self::Console,
            b'I' => Self::InnerHooks,
            b'B' => Self::Built,
            b'W' => Self::Warning(String::from_utf8_lossy(rest).into_owned()),
            b'R' => Self::Ready,
            b'G' => Self::Go,
            b'F' => {
                let (errno, rest) = rest.split_first_chunk()?;
                let (&command, message) = rest.split_first()?;
                Self::Failed(Failure {
                    message: String::from_utf8_lossy(message).into_owned(),
                    errno: i32::from_le_bytes(*errno),
                    command: command != 0,
                })
            }
            _ => return None,
        })
    }
}

/// A new conversation's two ends.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Failure> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .doing(|| "make a socket pair".into())
}

/// Sends one packet. A peer that is gone is an error, not a signal.
pub(crate) fn say(to: BorrowedFd<'_>, what: &Said, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = what.to_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one packet; none when the other side has closed.
pub(crate) fn hear(from: BorrowedFd<'_>) -> Result<Option<(Said, Vec<OwnedFd>)>, Failure> {
    let mut bytes = [0; MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(from, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            // What was sent to a peer that died unread: it is gone all the same.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other.doing(|| "hear from the container's first process".into())?,
        }
    };
    if got.bytes == 0 {
        return Ok(None);
    }
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    match Said::from_bytes(&bytes[..got.bytes]) {
        Some(said) => Ok(Some((said, fds))),
        None => Err(refusal("the container's first process spoke out of turn")),
    }
}

/// Waits for exactly this packet.
pub(crate) fn expect(from: &impl AsFd, what: &Said) -> Result<Vec<OwnedFd>, Failure> {
    match hear(from.as_fd())? {
        Some((said, fds)) if said == *what => Ok(fds),
        Some((Said::Failed(failure), _)) => Err(failure),
        Some(_) => Err(refusal("a process of the launch spoke out of turn")),
        None => Err(refusal("a process of the launch ended early")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_reads_back() {
        let failure = Failure { message: "cannot x: é".into(), errno: 13, command: true };
        for said in [
            Said::Alive { pid: 4711 },
            Said::Hooks,
            Said::Hooked,
            Said::Console,
            Said::InnerHooks,
            Said::Built,
            Said::Warning("w".into()),
            Said::Ready,
            Said::Go,
            Said::Failed(failure),
        ] {
            assert_eq!(Said::from_bytes(&said.to_bytes()), Some(said));
        }
    }

    #[test]
    fn a_long_failure_is_cut_at_a_character() {
        let long = "é".repeat(MAX);
        let bytes = Said::Warning(long).to_bytes();
        assert!(bytes.len() <= MAX);
        assert!(std::str::from_utf8(&bytes[1..]).is_ok());
    }

    #[test]
    fn descriptors_ride_along_and_a_close_is_heard() {
        let (a, b) = pair().expect("a socket pair");
        say(a.as_fd(), &Said::Console, &[a.as_fd()]).expect("room in the socket");
        let (said, fds) = hear(b.as_fd()).expect("a packet").expect("not closed");
        assert_eq!((said, fds.len()), (Said::Console, 1));
        drop((a, fds));
        assert!(hear(b.as_fd()).expect("an end").is_none());
    }
}

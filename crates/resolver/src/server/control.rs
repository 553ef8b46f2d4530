//! The daemon, as the resolver sees it.

use super::{
    Core,
    poll::{Wake, Watched},
};
use crate::{
    error::{Doing as _, Error},
    wire::{FromResolver, HOLDS, Held, MAX_PACKET, ToResolver, VERSION},
};
use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recv, recvmsg, send},
};
use std::{collections::VecDeque, io::IoSliceMut, mem::MaybeUninit, os::fd::OwnedFd};

/// Descriptors beside one message: a door and three servers' sockets.
const FDS: usize = 12;

/// A connection.
#[derive(Debug)]
pub(crate) struct Daemon {
    socket: Watched,
    /// What is still to be said.
    unsaid: VecDeque<Vec<u8>>,
}

impl Daemon {
    /// Greets it, and says what is held.
    pub fn greet(
        core: &mut Core,
        socket: Watched,
        held: &[Held],
        scribe: bool,
    ) -> Result<Self, Error> {
        let chunks = held.chunks(HOLDS).map(|chunk| FromResolver::Holds(chunk.to_vec()));
        let greeting = FromResolver::Greeting { version: VERSION, scribe };
        let unsaid = std::iter::once(greeting).chain(chunks).chain([FromResolver::Ready]);
        let spell = |message| serde_json::to_vec(&message).map_err(std::io::Error::from);
        let unsaid = unsaid.map(spell).collect::<Result<_, _>>().doing("spell a message")?;
        let mut daemon = Self { socket, unsaid };
        daemon.go_on(core)?;
        Ok(daemon)
    }

    /// Says something more.
    pub fn say(&mut self, core: &mut Core, message: &FromResolver) -> Result<(), Error> {
        let text = serde_json::to_vec(message).map_err(std::io::Error::from);
        self.unsaid.push_back(text.doing("spell a message")?);
        self.go_on(core)
    }

    /// Lets go of the connection.
    pub fn close(self, core: &mut Core) {
        core.poll.leave(self.socket);
    }

    /// Says what it can.
    pub fn go_on(&mut self, core: &mut Core) -> Result<(), Error> {
        while let Some(message) = self.unsaid.front() {
            match send(&self.socket, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => drop(self.unsaid.pop_front()),
                Err(Errno::AGAIN) => {
                    let wake = Wake::IN | Wake::OUT;
                    return core.poll.change(&self.socket, wake).doing("wait for the daemon");
                }
                Err(Errno::INTR) => {}
                // It has gone; what it has said before is still to be heard.
                Err(Errno::PIPE | Errno::CONNRESET) => self.unsaid.clear(),
                Err(errno) => return Err(errno).doing("speak to the daemon"),
            }
        }
        core.poll.change(&self.socket, Wake::IN).doing("wait for the daemon")
    }

    /// The next message and its descriptors; none if there is none yet.
    ///
    /// # Errors
    /// [`Error::Gone`] if there is no daemon any more.
    pub fn hear(&self) -> Result<Option<(ToResolver, Vec<OwnedFd>)>, Error> {
        let peek = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let length = loop {
            match recv(&self.socket, &mut [0_u8; 1][..], peek) {
                Ok((_, 0)) => return Err(Error::Gone),
                Ok((_, length)) => break length,
                // Said once, when it has gone without hearing us out; behind
                // it may stand what it has said.
                Err(Errno::CONNRESET) => {}
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno).doing("listen to the daemon"),
            }
        };
        if length > MAX_PACKET {
            return Err(Error::OutOfTurn(format!("{length} bytes at once")));
        }
        let mut text = vec![0; length];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags);
        let got = got.doing("listen to the daemon")?;
        let fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fds = fds.flatten().collect();
        match serde_json::from_slice(&text[..got.bytes]) {
            Ok(message) => Ok(Some((message, fds))),
            Err(error) => Err(Error::OutOfTurn(error.to_string())),
        }
    }
}

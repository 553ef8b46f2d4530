//! One connection to `monitor.sock`.
//!
//! It opens with a request, which gives it its part: to watch the end, or to
//! hear a session's streams and speak to it. Output is sent as it comes and
//! queued where the client is slow; what happens then is the session's
//! business. It ends when the client closes, or, told to close, when all that
//! was queued is sent.

use crate::{
    frames::Decoder,
    queue::{Outcome, Queue},
};
use rustix::event::epoll::EventFlags;
use spec::wire::{Frame, Kind, Reply};
use std::os::fd::{AsFd, OwnedFd};

/// A client that does not pace the program may fall behind by so many bytes.
pub const SLACK: usize = 1 << 20;

/// A program that is paced waits while more than this is queued for a client.
pub const PACE: usize = 256 << 10;

/// What a connection is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It has not asked yet.
    #[default]
    New,
    /// It waits for the end of the container.
    Watch,
    /// It hears and speaks to a session.
    Attached {
        /// Which.
        session: u32,
        /// It speaks.
        stdin: bool,
        /// It hears standard output and standard error.
        hears: [bool; 2],
        /// The program waits for it.
        pace: bool,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// The socket; never blocks.
    pub fd: OwnedFd,
    /// What it is for.
    pub part: Part,
    /// For its next bytes.
    pub decoder: Decoder,
    /// What it has not taken yet.
    pub queue: Queue,
    /// It is to be closed once the queue is empty.
    pub closing: bool,
    /// The session's standard input is full: take nothing more from it.
    pub held: bool,
    /// What it is polled for.
    pub polled: EventFlags,
}

impl Client {
    /// Just accepted.
    pub fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            part: Part::New,
            decoder: Decoder::default(),
            queue: Queue::default(),
            closing: false,
            held: false,
            polled: EventFlags::empty(),
        }
    }

    /// Sends a frame, or queues it.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Outcome {
        // Below MAX_FRAME by far: a read's worth, or a small document.
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header = Frame { kind, len }.to_bytes();
        self.queue.write(self.fd.as_fd(), [&header, payload])
    }

    /// Sends an answer.
    pub fn reply(&mut self, reply: &Reply) -> Outcome {
        match serde_json::to_vec(reply) {
            Ok(text) => self.send(Kind::Control, &text),
            Err(error) => {
                eprintln!("cannot spell a reply: {error}");
                Outcome::Broken
            }
        }
    }

    /// What it is to be polled for now.
    pub fn wanted(&self) -> EventFlags {
        let mut wanted = EventFlags::empty();
        if !self.held && !self.closing {
            wanted |= EventFlags::IN;
        }
        if !self.queue.is_empty() {
            wanted |= EventFlags::OUT;
        }
        wanted
    }

    /// Does it hear what is written to output `which` of `session`?
    pub fn hears(&self, session: u32, which: usize) -> bool {
        matches!(self.part, Part::Attached { session: of, hears, .. }
            if of == session && hears[which] && !self.closing)
    }

    /// Has the program to wait for it?
    pub fn is_behind(&self) -> bool {
        matches!(self.part, Part::Attached { pace: true, .. }) && self.queue.len() > PACE
    }
}

//! Somebody who asks by TCP.
//!
//! Source: RFC 7766. A message is preceded by its length, in two bytes.

use super::{
    Core,
    poll::{Wake, Watched},
};
use crate::packet::QUESTION;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use std::time::{Duration, Instant};

/// Questions under way at once.
const AT_ONCE: usize = 4;
/// How long one may be silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Client {
    socket: Watched,
    read: Vec<u8>,
    write: Vec<u8>,
    waiting: usize,
    /// It will ask no more.
    done: bool,
    active: Instant,
}

/// It is to be closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over;

impl Client {
    pub fn new(socket: Watched, now: Instant) -> Self {
        let (read, write) = (Vec::new(), Vec::new());
        Self { socket, read, write, waiting: 0, done: false, active: now }
    }

    /// Lets go of the socket.
    pub fn close(self, core: &mut Core) {
        core.poll.leave(self.socket);
    }

    /// When it will have been silent for too long.
    pub fn until(&self) -> Instant {
        self.active + PATIENCE
    }

    /// Reads and writes what it can.
    pub fn go_on(&mut self, core: &mut Core) -> Result<(), Over> {
        self.active = core.now;
        if !self.write.is_empty() {
            return self.flush(core);
        }
        match recv(&self.socket, &mut core.buffer[..QUESTION], RecvFlags::DONTWAIT) {
            // Said twice, it is not a half that was closed.
            Ok((_, 0)) if self.done => return Err(Over),
            Ok((_, 0)) => self.done = true,
            Ok((_, length)) => self.read.extend(&core.buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Err(Over),
        }
        self.listen(core)
    }

    /// The next whole question, if there may be one more under way.
    pub fn question(&mut self) -> Result<Option<Vec<u8>>, Over> {
        if self.waiting >= AT_ONCE || !self.write.is_empty() {
            return Ok(None);
        }
        let Some(length) = self.read.first_chunk().map(|head| u16::from_be_bytes(*head)) else {
            return Ok(None);
        };
        let length = usize::from(length);
        if length > QUESTION {
            return Err(Over);
        }
        let Some(question) = self.read.get(2..2 + length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.read.drain(..2 + length);
        self.waiting += 1;
        Ok(Some(question))
    }

    /// One question of it gets no answer.
    pub fn unanswered(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Answers a question.
    pub fn say(&mut self, core: &mut Core, answer: &[u8]) -> Result<(), Over> {
        self.unanswered();
        let length = u16::try_from(answer.len()).map_err(|_| Over)?;
        self.write.extend(length.to_be_bytes());
        self.write.extend(answer);
        self.flush(core)
    }

    fn flush(&mut self, core: &mut Core) -> Result<(), Over> {
        match send(&self.socket, &self.write, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => drop(self.write.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Err(Over),
        }
        if self.write.is_empty() {
            self.write = Vec::new();
        }
        self.listen(core)
    }

    /// Waits for what can be dealt with: as long as an answer is not read, or
    /// too many are to come, no question is.
    fn listen(&mut self, core: &Core) -> Result<(), Over> {
        let over = self.done && self.waiting == 0 && self.write.is_empty();
        if over && !self.holds_question() {
            return Err(Over);
        }
        let wake = if !self.write.is_empty() {
            Wake::OUT
        } else if self.done || self.waiting >= AT_ONCE || self.read.len() > QUESTION + 2 {
            Wake::empty()
        } else {
            Wake::IN
        };
        core.poll.change(&self.socket, wake).map_err(|_| Over)
    }

    fn holds_question(&self) -> bool {
        let head = self.read.first_chunk().map(|head| usize::from(u16::from_be_bytes(*head)));
        head.is_some_and(|length| self.read.len() >= 2 + length)
    }
}

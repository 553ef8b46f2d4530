//! Who enters in the kernel's sets what names lead to.
//!
//! An answer that teaches something is held back until that is entered: its
//! asker would find the way closed. If it cannot be entered the question has
//! failed. Without the scribe the resolver could not tell the truth about such
//! names, and ends with it; both are started again together.

use super::{Core, poll::Watched, room::From};
use crate::{
    error::{Doing as _, Error},
    learn,
    table::Number,
    wire::Learnt,
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use std::collections::HashMap;

/// Requests under way at once.
const AT_ONCE: usize = 256;

/// The way to it.
#[derive(Debug)]
pub(crate) struct Scribe {
    socket: Watched,
    last: u32,
    waiting: HashMap<u32, Vec<Held>>,
    /// The daemon waits for this one, and so for all before it.
    asked: Option<u32>,
}

/// An answer that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub container: Number,
    pub to: From,
    pub answer: Vec<u8>,
}

/// What waits no more.
#[derive(Debug)]
pub(crate) enum Done {
    /// These, and whether what they teach is entered.
    Answers(Vec<Held>, bool),
    /// The daemon, which asked whether anything waits.
    Daemon,
}

impl Scribe {
    pub fn new(socket: Watched) -> Self {
        Self { socket, last: 0, waiting: HashMap::new(), asked: None }
    }

    /// Lets go of it.
    pub fn close(self, core: &mut Core) {
        core.poll.leave(self.socket);
    }

    /// Has lessons entered, for which answers wait.
    ///
    /// # Errors
    /// The answers, if it has too much to do.
    pub fn enter(&mut self, lessons: &[Learnt], held: Vec<Held>) -> Result<(), Vec<Held>> {
        if self.waiting.len() >= AT_ONCE || lessons.len() > learn::LINES {
            return Err(held);
        }
        self.last = self.last.wrapping_add(1);
        let request = learn::request(self.last, lessons);
        match send(&self.socket, &request, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => drop(self.waiting.insert(self.last, held)),
            Err(_) => return Err(held),
        }
        Ok(())
    }

    /// Tells the daemon when all that is under way is done: true if that is
    /// so already. Requests are done in their order.
    pub fn settle(&mut self) -> bool {
        self.asked = (!self.waiting.is_empty()).then_some(self.last);
        self.asked.is_none()
    }

    /// The next that waits no more; none if there is none yet.
    ///
    /// # Errors
    /// It has ended.
    pub fn hear(&mut self) -> Result<Option<Done>, Error> {
        if let Some(asked) = self.asked
            && !self.waiting.keys().any(|number| asked.wrapping_sub(*number) < u32::MAX / 2)
        {
            self.asked = None;
            return Ok(Some(Done::Daemon));
        }
        let mut bytes = [0; 16];
        match recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => {
                Err(Error::OutOfTurn("the scribe has ended".into()))
            }
            Ok((_, length)) => {
                let (number, done) = bytes
                    .get(..length)
                    .and_then(learn::read_answer)
                    .ok_or_else(|| Error::OutOfTurn("the scribe speaks otherwise".into()))?;
                let held = self.waiting.remove(&number).unwrap_or_default();
                Ok(Some(Done::Answers(held, done)))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno).doing("listen to the scribe"),
        }
    }
}

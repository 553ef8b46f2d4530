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
    waiting: HashMap<u32, Waiting>,
    /// The daemon waits for this one, and so for all before it.
    asked: Option<u32>,
}

/// Answers that wait for the same lessons.
#[derive(Debug)]
pub(crate) struct Batch {
    pub container: Number,
    pub lessons: Vec<Learnt>,
    /// To whom, and what.
    pub answers: Vec<(From, Vec<u8>)>,
}

/// What a request is for.
#[derive(Debug)]
enum Waiting {
    /// It is not all: that is another, a later one.
    Part(u32),
    /// It is all of these, or their end; has a part of them failed?
    End(Batch, bool),
}

/// What waits no more.
#[derive(Debug)]
pub(crate) enum Done {
    /// These, and whether what they teach is entered.
    Answers(Batch, bool),
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

    /// Has lessons entered, for which answers wait: by several requests if they
    /// are many.
    ///
    /// # Errors
    /// The answers, if it has too much to do.
    pub fn enter(&mut self, batch: Batch) -> Result<(), Batch> {
        let parts: Vec<&[Learnt]> = batch.lessons.chunks(learn::LINES).collect();
        let Ok(count) = u32::try_from(parts.len()) else { return Err(batch) };
        if self.waiting.len() + parts.len() > AT_ONCE {
            return Err(batch);
        }
        let end = self.last.wrapping_add(count);
        for part in parts {
            self.last = self.last.wrapping_add(1);
            let request = learn::request(self.last, part);
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            if send(&self.socket, &request, flags).is_err() {
                return Err(batch);
            }
            self.waiting.insert(self.last, Waiting::Part(end));
        }
        self.waiting.insert(end, Waiting::End(batch, false));
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
        loop {
            if let Some(asked) = self.asked
                && !self.waiting.keys().any(|number| asked.wrapping_sub(*number) < u32::MAX / 2)
            {
                self.asked = None;
                return Ok(Some(Done::Daemon));
            }
            let mut bytes = [0; 16];
            let (number, done) = match recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => {
                    return Err(Error::OutOfTurn("the scribe has ended".into()));
                }
                Ok((_, length)) => bytes
                    .get(..length)
                    .and_then(learn::read_answer)
                    .ok_or_else(|| Error::OutOfTurn("the scribe speaks otherwise".into()))?,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno).doing("listen to the scribe"),
            };
            if let Some(batch) = self.answered(number, done) {
                return Ok(Some(batch));
            }
        }
    }

    fn answered(&mut self, number: u32, done: bool) -> Option<Done> {
        match self.waiting.remove(&number)? {
            Waiting::End(batch, failed) => Some(Done::Answers(batch, done && !failed)),
            Waiting::Part(end) => {
                if let Some(Waiting::End(_, failed)) = self.waiting.get_mut(&end) {
                    *failed |= !done;
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        server::poll::{Poll, Source, Wake},
        wire::Who,
    };
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::net::Ipv4Addr;

    fn batch(lessons: u32) -> Batch {
        let lesson = |to: u32| Learnt {
            who: Who::Bridge("br0".into()),
            address: Ipv4Addr::from(to).into(),
            port: None,
            name: "a.example".into(),
            seconds: 60,
        };
        Batch { container: 7, lessons: (0..lessons).map(lesson).collect(), answers: Vec::new() }
    }

    #[test]
    fn many_lessons_are_several_requests_and_done_if_all_of_them_are() {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let pair = socketpair(family, kind, SocketFlags::CLOEXEC, None).expect("a pair");
        let mut poll = Poll::new().expect("epoll");
        let watched = poll.watch(pair.0, Source::Scribe, Wake::IN).expect("watched");
        let mut scribe = Scribe::new(watched);
        let lines = u32::try_from(learn::LINES).expect("a few");
        let mut outcome = |answers: [bool; 3]| {
            scribe.enter(batch(2 * lines + 1)).expect("there is room");
            for done in answers {
                let mut bytes = vec![0; learn::MAX_REQUEST];
                let (_, length) = recv(&pair.1, &mut bytes[..], RecvFlags::DONTWAIT).expect("told");
                let (number, _) = learn::read_request(&bytes[..length]).expect("a request");
                send(&pair.1, &learn::answer(number, done), SendFlags::empty()).expect("heard");
            }
            match scribe.hear().expect("it lives") {
                Some(Done::Answers(batch, done)) => (batch.lessons.len(), done),
                other => panic!("{other:?}"),
            }
        };
        let all = 2 * learn::LINES + 1;
        assert_eq!(outcome([true, true, true]), (all, true));
        assert_eq!(outcome([false, true, true]), (all, false));
        assert_eq!(outcome([true, true, false]), (all, false));
    }
}

//! The monitor's end of a courier: what waits for it, and what becomes of it.
//!
//! Records are kept until the courier is done with them. One that dies is
//! started anew and told again what it was not done with: nothing is lost,
//! and a few lines may be told twice. Where one after the other dies and none
//! gets anything done, what is kept is dropped. What would exceed the buffer of a
//! program that does not wait is dropped and counted; a program that waits is
//! not read while much is kept. The protocol is drawn in [`spec::log`].

use super::{
    child::{self, Child},
    split::Piece,
    writer,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use spec::log::{self, Record, Remote, Toll};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// A program that waits is not read while so much is kept for a courier.
const PACE: usize = 256 << 10;

/// One that died is started anew so much later.
pub const AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// So many may die with nothing done: then there is no help for what is kept,
/// and a program that waits for it is to go on.
const LIVES: u32 = 10;

/// How long one may take to begin: to find its server, say. The daemon waits
/// for twice as long.
const BEGIN: Timespec = Timespec { tv_sec: 15, tv_nsec: 0 };

/// What a courier does.
#[derive(Debug)]
pub enum Errand {
    /// Tells somebody.
    Tell(Remote),
    /// Writes a file.
    Write(log::File),
}

/// One courier.
#[derive(Debug)]
pub struct Courier {
    errand: Errand,
    helper: String,
    /// For a program that does not wait.
    buffer: Option<u64>,
    /// None while it is dead.
    live: Option<Live>,
    /// Records that it is not done with.
    kept: Vec<u8>,
    /// Where the first of them begins.
    first: usize,
    /// What of `kept` has been sent.
    sent: usize,
    /// How many records there are in `kept`.
    records: u64,
    /// Lines that were dropped here, or by couriers of the past.
    dropped: u64,
    /// How many have died since anything was done.
    deaths: u32,
}

#[derive(Debug)]
struct Live {
    child: Child,
    socket: OwnedFd,
    /// What it said that is not a whole toll yet; and its first word.
    heard: Vec<u8>,
    began: bool,
    toll: Toll,
}

impl Courier {
    /// Starts one, and waits until it has begun.
    ///
    /// # Errors
    /// What the host said, or the courier.
    pub fn start(errand: Errand, helper: &str, buffer: Option<u64>) -> io::Result<Self> {
        let mut courier = Self::of(errand, helper, buffer);
        let mut live = courier.bear(false)?;
        live.begins()?;
        courier.live = Some(live);
        Ok(courier)
    }

    fn of(errand: Errand, helper: &str, buffer: Option<u64>) -> Self {
        Self {
            errand,
            helper: helper.to_owned(),
            buffer,
            live: None,
            kept: Vec::new(),
            first: 0,
            sent: 0,
            records: 0,
            dropped: 0,
            deaths: 0,
        }
    }

    fn bear(&self, again: bool) -> io::Result<Live> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let streams = [theirs.as_fd(), theirs.as_fd()];
        let child = match &self.errand {
            Errand::Tell(remote) => {
                let words: &[_] = if again {
                    &[c"courier".into(), c"again".into()]
                } else {
                    &[c"courier".into()]
                };
                let child = child::exec(&self.helper, words, streams)?;
                let text = serde_json::to_vec(remote)?;
                let len = u32::try_from(text.len()).map_err(io::Error::other)?;
                // It may hang where its program is, and keeps nobody waiting then.
                let most = Duration::from_secs(BEGIN.tv_sec.unsigned_abs());
                set_socket_timeout(&ours, Timeout::Send, Some(most))?;
                send_all(&ours, &[&len.to_be_bytes()[..], &text].concat())?;
                child
            }
            Errand::Write(file) => match child::fork(streams)? {
                Some(child) => child,
                None => writer::run(file, &self.helper),
            },
        };
        rustix::io::ioctl_fionbio(&ours, true)?;
        let toll = Toll::default();
        Ok(Live { child, socket: ours, heard: Vec::new(), began: false, toll })
    }

    /// Does it write the log's file?
    pub fn writes(&self) -> bool {
        matches!(self.errand, Errand::Write(_))
    }

    /// Takes a line; `now` is when it was written.
    pub fn take(&mut self, stderr: bool, now: u64, piece: &Piece<'_>) {
        let len = piece.head.len() + piece.tail.len();
        let waiting = (self.kept.len() - self.first + Record::SIZE + len) as u64;
        if self.buffer.is_some_and(|most| waiting > most) && self.records > 0 {
            self.dropped += 1;
            return;
        }
        let record = Record {
            // A piece is 16 KiB at most.
            len: u32::try_from(len).unwrap_or(0),
            stderr,
            whole: piece.whole,
            ordinal: piece.ordinal,
            time: piece.time.unwrap_or(now),
        };
        self.kept.extend_from_slice(&record.to_bytes());
        self.kept.extend_from_slice(piece.head);
        self.kept.extend_from_slice(piece.tail);
        self.records += 1;
    }

    /// Has the program to wait?
    pub fn is_behind(&self) -> bool {
        self.buffer.is_none() && self.kept.len() - self.first > PACE
    }

    /// How many lines have not arrived, and never will.
    pub fn dropped(&self) -> u64 {
        self.dropped + self.live.as_ref().map_or(0, |live| live.toll.dropped)
    }

    /// The socket, and whether there is something to be sent.
    pub fn socket(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.live.as_ref().map(|live| (live.socket.as_fd(), self.sent < self.kept.len()))
    }

    /// Sends and hears what can be; false if the courier has died.
    pub fn turn(&mut self) -> bool {
        let alive = self.send().and_then(|()| self.hear());
        if let Err(error) = &alive {
            eprintln!("a courier of the log has died: {error}");
            self.bury();
        }
        alive.is_ok()
    }

    /// Starts one that died anew.
    pub fn revive(&mut self) -> io::Result<()> {
        if self.live.is_none() {
            self.live = Some(self.bear(true).inspect_err(|_| self.died())?);
            self.sent = self.first;
        }
        Ok(())
    }

    fn bury(&mut self) {
        if let Some(live) = self.live.take() {
            self.dropped += live.toll.dropped;
            live.child.kill();
            self.died();
        }
    }

    /// One more has died, or could not be born.
    fn died(&mut self) {
        self.deaths += 1;
        if self.deaths >= LIVES {
            self.give_up();
        }
    }

    /// Nobody will be told what is kept.
    fn give_up(&mut self) {
        if self.records > 0 {
            eprintln!("{} lines of the log could not be delivered", self.records);
            self.dropped += self.records;
        }
        (self.records, self.first, self.sent) = (0, 0, 0);
        self.kept = Vec::new();
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        while self.sent < self.kept.len() {
            match rustix::net::send(&live.socket, &self.kept[self.sent..], SendFlags::NOSIGNAL) {
                Ok(len) => self.sent += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn hear(&mut self) -> io::Result<()> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let mut bytes = [0; 1024];
        loop {
            match rustix::io::read(&live.socket, &mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => live.heard.extend_from_slice(&bytes[..len]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if !live.began && !live.heard.is_empty() {
            live.began()?;
        }
        let before = live.toll.done;
        while let Some((toll, rest)) = live.heard.split_first_chunk::<{ Toll::SIZE }>() {
            live.toll = Toll::from_bytes(*toll);
            live.heard = rest.to_vec();
        }
        let done = live.toll.done.saturating_sub(before);
        if done > 0 {
            self.deaths = 0;
        }
        self.forget(done);
        Ok(())
    }

    /// Forgets the first so many records.
    fn forget(&mut self, count: u64) {
        for _ in 0..count {
            let Some(head) = self.kept[self.first..].first_chunk::<{ Record::SIZE }>() else {
                break;
            };
            self.first += Record::SIZE + Record::from_bytes(*head).len as usize;
            self.records -= 1;
        }
        self.first = self.first.min(self.sent);
        if self.first == self.kept.len() {
            (self.first, self.sent) = (0, 0);
            // What a busy time took is given back when it is over.
            if self.kept.capacity() > 2 * PACE { self.kept = Vec::new() } else { self.kept.clear() }
        } else if self.first > PACE {
            self.kept.drain(..self.first);
            self.sent -= self.first;
            self.first = 0;
        }
    }

    /// No more comes: waits until all is delivered, for so many milliseconds
    /// at most. What is not by then is dropped.
    pub fn finish(&mut self, within: u64) {
        let end = clock() + within;
        while self.records > 0 && clock() < end {
            if let Err(error) = self.bring(end) {
                eprintln!("a courier of the log ends early: {error}");
                break;
            }
        }
        if self.records > 0 {
            self.give_up();
            self.bury();
        } else if let Some(live) = self.live.take() {
            self.dropped += live.toll.dropped;
            live.ends(end.saturating_sub(clock()).max(1000));
        }
    }
}

impl Courier {
    /// Waits for what the courier says or takes, or for the next one's turn if
    /// it died, until `end`.
    fn bring(&mut self, end: u64) -> io::Result<()> {
        let left = millis(end.saturating_sub(clock()));
        let Some((socket, sends)) = self.socket() else { return self.revive() };
        let wanted = if sends { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        match poll(&mut [PollFd::new(&socket, wanted)], Some(&left)) {
            Err(Errno::INTR) | Ok(0) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) if self.turn() => {}
            // Who dies at once is not started all the time.
            Ok(_) => match poll(&mut [], Some(&AGAIN)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            },
        }
        Ok(())
    }
}

impl Live {
    /// Waits for its first word.
    fn begins(&mut self) -> io::Result<()> {
        loop {
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&BEGIN)) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
            }
            let mut bytes = [0; 1024];
            let len = match rustix::io::read(&self.socket, &mut bytes) {
                Ok(len) => len,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(errno) => return Err(errno.into()),
            };
            self.heard.extend_from_slice(&bytes[..len]);
            // A refusal ends with the courier.
            if len == 0 || self.heard.first() == Some(&0) {
                return self.began();
            }
        }
    }

    fn began(&mut self) -> io::Result<()> {
        match self.heard.split_first() {
            Some((0, rest)) => {
                self.heard = rest.to_vec();
                self.began = true;
                Ok(())
            }
            Some((_, words)) => Err(io::Error::other(String::from_utf8_lossy(words).into_owned())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// It has nothing to do any more and is told so.
    fn ends(self, within: u64) {
        let told = rustix::net::shutdown(&self.socket, Shutdown::Write);
        let ended = told.map_err(io::Error::from);
        let ended = ended.and_then(|()| self.child.ends_within(&millis(within)));
        let heard = match ended {
            Ok(true) => self.child.reap().map(drop),
            Ok(false) => return self.child.kill(),
            Err(error) => Err(error),
        };
        if let Err(error) = heard {
            eprintln!("cannot wait for a courier of the log: {error}");
            self.child.kill();
        }
    }
}

fn send_all(socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(len) => bytes = &bytes[len..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn millis(count: u64) -> Timespec {
    let seconds = i64::try_from(count / 1000).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: i64::try_from(count % 1000).unwrap_or(0) * 1_000_000 }
}

/// Milliseconds of a clock that nobody sets.
fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1000 + now.tv_nsec.cast_unsigned() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Piece<'_> = Piece { head: b"", tail: b"x", whole: true, time: None, ordinal: 0 };

    fn dead(buffer: Option<u64>) -> Courier {
        Courier::of(Errand::Tell(Remote::Journald(Vec::new())), "/", buffer)
    }

    #[test]
    fn a_program_that_waits_does_so_while_much_is_kept() {
        let mut courier = dead(None);
        while !courier.is_behind() {
            courier.take(false, 1, &LINE);
        }
        assert!(courier.kept.len() > PACE && courier.kept.len() < PACE + 100);
        assert_eq!(courier.dropped(), 0);
    }

    #[test]
    fn one_that_does_not_wait_loses_what_is_beyond_its_buffer() {
        let mut courier = dead(Some(100));
        for _ in 0..7 {
            courier.take(false, 1, &LINE);
        }
        // Each takes 21 bytes.
        assert_eq!((courier.records, courier.dropped(), courier.is_behind()), (4, 3, false));
    }

    #[test]
    fn nobody_waits_for_couriers_that_only_die() {
        let mut courier = dead(None);
        while !courier.is_behind() {
            courier.take(false, 1, &LINE);
        }
        let kept = courier.records;
        for _ in 1..LIVES {
            courier.died();
        }
        assert!(courier.is_behind() && courier.dropped() == 0);
        courier.died();
        assert!(!courier.is_behind());
        assert_eq!((courier.dropped(), courier.records), (kept, 0));
    }

    #[test]
    fn what_is_done_is_forgotten_and_the_rest_told_again() {
        let mut courier = dead(None);
        for _ in 0..3 {
            courier.take(false, 1, &LINE);
        }
        courier.sent = courier.kept.len();
        courier.forget(2);
        assert_eq!((courier.records, courier.first), (1, 2 * (Record::SIZE + 1)));
        courier.forget(1);
        assert_eq!((courier.records, courier.kept.len(), courier.sent), (0, 0, 0));
    }
}

//! Brings what one container says to who is to be told: a syslog server, or
//! the host's journal.
//!
//! A courier is a process that a container's monitor starts where its log
//! driver asks for one, `cofferdamd courier`: the monitor itself has no
//! network, TLS or names to look up. They speak as drawn in [`spec::log`].
//!
//! ```text
//! started ──Remote──▶ connecting ──▶ ready ──Record──▶ delivering ─┐
//!                         │            ▲                  │        │
//!                         ▼            └──────Toll────────┘        ▼
//!                     refused: says why, ends            end of file: ends
//! ```
//!
//! What cannot be sent is sent once more over a new connection; if there is
//! none to be had it is dropped and counted, as Docker does. A server that
//! takes nothing is waited for: whether the program waits too is the
//! monitor's business. With its monitor dead a courier gives up soon.
//!
//! `cofferdamd press` is here as well: it compresses a log that is written no
//! more.

mod confine;
mod journal;
mod link;
mod message;
mod press;
mod syslog;
mod tls;

pub use press::press;

use journal::Journal;
use rustix::io::Errno;
use spec::log::{Record, Remote, Toll};
use std::{
    io::{self, Read as _, Write as _},
    os::fd::BorrowedFd,
    process::ExitCode,
    time::Instant,
};
use syslog::Syslog;

/// Taken from the monitor at once.
const TAKE: usize = 64 << 10;

/// No monitor sends a longer first message.
const LONGEST: usize = 16 << 20;

/// A connection that could not be made is not tried again before so many
/// milliseconds: what comes meanwhile is dropped.
const REST: u128 = 500;

/// A line that is to be told.
#[derive(Debug)]
pub struct Line<'a> {
    record: Record,
    text: &'a [u8],
}

/// Who is told.
enum Told {
    Syslog(Box<Syslog>),
    Journal(Journal),
}

/// What `cofferdamd courier [again]` does, from its first instruction to its
/// exit.
pub fn main(again: bool) -> ExitCode {
    match serve(again) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: a courier of a log ends: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(again: bool) -> io::Result<()> {
    let mut told = match begin(again) {
        Ok(told) => told,
        Err(error) => {
            say(&[&[1], error.to_string().as_bytes()].concat())?;
            return Ok(());
        }
    };
    say(&[0])?;
    let (mut heard, mut toll) = (Vec::new(), Toll::default());
    let mut space = vec![0; TAKE];
    loop {
        let len = match io::stdin().lock().read(&mut space) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The monitor died with words of ours unheard.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        };
        heard.extend_from_slice(&space[..len]);
        let (lines, used) = lines(&heard);
        let count = lines.len() as u64;
        toll.dropped += told.tell(&lines);
        toll.done += count;
        heard.drain(..used);
        if count > 0 {
            say(&toll.to_bytes())?;
        }
    }
}

/// Hears whom to tell, and finds them.
fn begin(again: bool) -> io::Result<Told> {
    let mut len = [0; 4];
    let mut input = io::stdin().lock();
    input.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; len];
    input.read_exact(&mut text)?;
    match serde_json::from_slice(&text)? {
        Remote::Syslog(wish) => Ok(Told::Syslog(Box::new(Syslog::open(wish, again)?))),
        Remote::Journald(fields) => Ok(Told::Journal(Journal::open(&fields, again)?)),
    }
}

/// The whole records at the head of what was heard, and their length.
fn lines(heard: &[u8]) -> (Vec<Line<'_>>, usize) {
    let (mut lines, mut at) = (Vec::new(), 0);
    while let Some((head, rest)) = heard[at..].split_first_chunk::<{ Record::SIZE }>() {
        let record = Record::from_bytes(*head);
        let Some(text) = rest.get(..record.len as usize) else { break };
        lines.push(Line { record, text });
        at += Record::SIZE + text.len();
    }
    (lines, at)
}

impl Told {
    /// Says how many could not be told.
    fn tell(&mut self, lines: &[Line<'_>]) -> u64 {
        match self {
            Self::Syslog(syslog) => syslog.tell(lines),
            Self::Journal(journal) => journal.tell(lines),
        }
    }
}

/// When a connection may be tried for again.
#[derive(Debug, Default)]
struct Rest(Option<Instant>);

impl Rest {
    fn is_over(&self) -> bool {
        self.0.is_none_or(|failed| failed.elapsed().as_millis() >= REST)
    }

    /// Notes what came of a try; says it in the log of the monitor, once.
    fn tried<T>(&mut self, made: io::Result<T>) -> Option<T> {
        match made {
            Ok(made) => {
                self.0 = None;
                Some(made)
            }
            Err(error) => {
                if self.0.is_none() {
                    eprintln!("lines of a log are dropped: {error}");
                }
                self.0 = Some(Instant::now());
                None
            }
        }
    }
}

/// To the monitor: on the socket that is the standard input.
fn say(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // It has died; the end of what it says is read next.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// The monitor's socket.
fn monitor() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// As the standard library's errors.
fn of(errno: Errno) -> io::Error {
    errno.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_records_are_taken_and_the_rest_is_left() {
        let record = Record { len: 2, stderr: true, whole: true, ordinal: 0, time: 5 };
        let one = [&record.to_bytes()[..], b"ab"].concat();
        let two = [&one[..], &one].concat();
        for len in 0..=two.len() {
            let (found, used) = lines(&two[..len]);
            assert_eq!((found.len(), used), (len / one.len(), len / one.len() * one.len()));
            assert!(found.iter().all(|line| line.text == b"ab" && line.record == record));
        }
    }
}

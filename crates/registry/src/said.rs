//! What is told of an operation while it goes on, in Docker's words.

use crate::Error;
use std::{
    io,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

/// Between two lines about how far one blob is.
const RHYTHM: Duration = Duration::from_millis(100);
/// With so many lines that wait for the client, it is told no more of how far
/// blobs are. What else it is told is a handful for each layer.
const AHEAD: usize = 64;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What it is about: a tag, or the first digits of a blob's digest.
    pub id: Option<String>,
    /// `Downloading`, …
    pub status: String,
    /// Bytes done, and of how many, where that is to be shown as a bar.
    pub bytes: Option<(u64, u64)>,
    /// It is about a blob, as which clients know it by a (perhaps empty)
    /// progress.
    pub of_blob: bool,
    /// For programs: a tag, its manifest's digest and size.
    pub aux: Option<(String, spec::Digest, u64)>,
}

impl Said {
    /// A line about everything.
    pub fn plain(status: impl Into<String>) -> Self {
        Self { status: status.into(), ..Self::default() }
    }

    pub(crate) fn about(id: &str, status: impl Into<String>) -> Self {
        Self { id: Some(id.to_owned()), ..Self::plain(status) }
    }
}

/// Threads tell it, one listens; nobody waits for that one.
#[derive(Clone)]
pub(crate) struct Teller<'a> {
    lines: Sender<Said>,
    waiting: &'a AtomicUsize,
    /// The client has left.
    left: &'a AtomicBool,
    /// What is being tried has failed.
    stop: Option<&'a AtomicBool>,
}

impl<'a> Teller<'a> {
    /// Tells of an attempt, which `stop` ends.
    pub fn of_attempt<'b>(&self, stop: &'b AtomicBool) -> Teller<'b>
    where
        'a: 'b,
    {
        let (waiting, left) = (self.waiting, self.left);
        Teller { lines: self.lines.clone(), waiting, left, stop: Some(stop) }
    }

    /// # Errors
    /// [`Error::Left`] when all of it shall stop.
    pub fn say(&self, said: Said) -> Result<(), Error> {
        self.go_on()?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.lines.send(said).map_err(|_| Error::Left)
    }

    pub fn blob(&self, id: &str, status: &str) -> Result<(), Error> {
        self.say(Said { of_blob: true, ..Said::about(id, status) })
    }

    pub fn go_on(&self) -> Result<(), Error> {
        let ended = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if ended(self.left) || self.stop.is_some_and(ended) { Err(Error::Left) } else { Ok(()) }
    }
}

/// Says how far a blob is, now and then.
pub(crate) struct Bar<'a> {
    pub teller: Teller<'a>,
    pub id: &'a str,
    pub status: &'static str,
    pub total: u64,
    last: Option<Instant>,
}

impl<'a> Bar<'a> {
    pub fn new(teller: &Teller<'a>, id: &'a str, status: &'static str, total: u64) -> Self {
        Self { teller: teller.clone(), id, status, total, last: None }
    }

    pub fn is_at(&mut self, bytes: u64) -> Result<(), Error> {
        let due = self.last.is_none_or(|last| last.elapsed() >= RHYTHM)
            && self.teller.waiting.load(Ordering::Relaxed) < AHEAD;
        if !due {
            return self.teller.go_on();
        }
        self.last = Some(Instant::now());
        self.teller.say(Said {
            bytes: Some((bytes, self.total)),
            of_blob: true,
            ..Said::about(self.id, self.status)
        })
    }
}

/// Runs `work` on a thread of its own and passes on what it tells, until it
/// is done; stops it when nobody listens any more.
pub(crate) fn telling<T: Send>(
    listen: &mut dyn FnMut(Said) -> io::Result<()>,
    work: impl FnOnce(&Teller<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let (left, waiting) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (lines, said): (_, Receiver<Said>) = channel();
    std::thread::scope(|scope| {
        let (left, waiting) = (&left, &waiting);
        let working = scope.spawn(move || work(&Teller { lines, waiting, left, stop: None }));
        for line in said {
            waiting.fetch_sub(1, Ordering::Relaxed);
            if !left.load(Ordering::Relaxed) && listen(line).is_err() {
                left.store(true, Ordering::Relaxed);
            }
        }
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

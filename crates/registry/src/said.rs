//! What is told of an operation while it goes on, in Docker's words.

use crate::Error;
use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

/// Between two lines about how far one blob is.
const RHYTHM: Duration = Duration::from_millis(100);
/// Lines that may wait for the client.
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

/// Threads tell it, one listens.
pub(crate) struct Teller<'a> {
    lines: SyncSender<Said>,
    stop: &'a AtomicBool,
}

impl Clone for Teller<'_> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), stop: self.stop }
    }
}

impl Teller<'_> {
    /// # Errors
    /// [`Error::Left`] when all of it shall stop.
    pub fn say(&self, said: Said) -> Result<(), Error> {
        self.go_on()?;
        self.lines.send(said).map_err(|_| Error::Left)
    }

    pub fn blob(&self, id: &str, status: &str) -> Result<(), Error> {
        self.say(Said { of_blob: true, ..Said::about(id, status) })
    }

    pub fn go_on(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Left) } else { Ok(()) }
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
        let due = self.last.is_none_or(|last| last.elapsed() >= RHYTHM);
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
    work: impl FnOnce(&Teller<'_>, &AtomicBool) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let stop = AtomicBool::new(false);
    let (lines, said): (_, Receiver<Said>) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let stop = &stop;
        let working = scope.spawn(move || work(&Teller { lines, stop }, stop));
        for line in said {
            if !stop.load(Ordering::Relaxed) && listen(line).is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

//! Waiting for more.
//!
//! One watch on the directory tells of writes, rotations and truncations
//! alike, so nothing is to be re-armed. A user may have few inotify instances
//! (128 by default): beyond them a reader looks again every
//! [`GLANCE`] instead.

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::{FlockOperation, Mode, OFlags, inotify},
    io::Errno,
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, SystemTime},
};

/// How often to look without a watch.
const GLANCE: Duration = Duration::from_millis(200);

const FOLLOWING: u8 = 0;
const ENDED: u8 = 1;
const CANCELLED: u8 = 2;

/// Ends a [`Reader`](crate::Reader) that follows.
#[derive(Debug)]
pub struct Stop {
    state: AtomicU8,
    bell: OwnedFd,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: AtomicU8::new(FOLLOWING), bell })
    }

    /// The container has ended: read to the end, then stop.
    pub fn ended(&self) {
        self.raise(ENDED);
    }

    /// Stop now.
    pub fn cancel(&self) {
        self.raise(CANCELLED);
    }

    fn raise(&self, state: u8) {
        self.state.fetch_max(state, Ordering::Release);
        // It can fail only by being full, and then it rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::Acquire) == CANCELLED
    }

    /// Ended or cancelled.
    pub(crate) fn is_raised(&self) -> bool {
        self.state.load(Ordering::Acquire) != FOLLOWING
    }
}

/// The watch on a log's directory, and the lock by which its writer knows that
/// somebody follows.
#[derive(Debug)]
pub struct Watch {
    events: Option<OwnedFd>,
    _lock: OwnedFd,
}

impl Watch {
    pub fn on(dir: &Path) -> io::Result<Self> {
        let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = rustix::fs::open(dir, how, Mode::empty())?;
        // The writer tries it for an instant at each rotation, and never waits.
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockShared))?;
        Ok(Self { events: Self::events(dir)?, _lock: lock })
    }

    fn events(dir: &Path) -> io::Result<Option<OwnedFd>> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = match inotify::init(flags) {
            Ok(fd) => fd,
            Err(Errno::MFILE) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let wanted = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ONLYDIR;
        match inotify::add_watch(&fd, dir, wanted) {
            Ok(_) => Ok(Some(fd)),
            Err(Errno::NOSPC) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns when something may have changed, `until` has come, or `stop`
    /// was raised.
    pub fn wait(&self, stop: &Stop, until: Option<u64>) -> io::Result<()> {
        let glance = if self.events.is_some() { None } else { Some(GLANCE) };
        let left = until.map(|until| Duration::from_nanos(until.saturating_sub(now())));
        let patience = match (glance, left) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let patience = patience.and_then(|p| Timespec::try_from(p).ok());
        let mut fds = vec![PollFd::new(&stop.bell, PollFlags::IN)];
        fds.extend(self.events.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if let Some(fd) = &self.events {
            // What happened is looked up in the files themselves.
            let mut space = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(fd, &mut space);
            while events.next().is_ok() {}
        }
        Ok(())
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

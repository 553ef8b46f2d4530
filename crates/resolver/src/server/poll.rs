//! What the one thread waits for.

use crate::table::Number;
use rustix::event::{Timespec, epoll};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

pub(crate) use epoll::EventFlags as Wake;

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A daemon connects.
    Listener,
    /// The daemon speaks.
    Daemon,
    /// The scribe speaks.
    Scribe,
    /// The container ends.
    Init(Number),
    /// Somebody asks.
    Udp(Number),
    /// Somebody connects to ask.
    Tcp(Number),
    /// Who has connected speaks.
    Client(Number, u32),
    /// A server speaks: the how manieth, and on which of its sockets.
    Server(Number, usize, usize),
}

/// A descriptor that is waited for.
#[derive(Debug)]
pub(crate) struct Watched {
    pub fd: OwnedFd,
    token: u64,
}

impl AsFd for Watched {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An epoll set that remembers what its descriptors are, and whom to wake
/// when.
pub(crate) struct Poll {
    epoll: OwnedFd,
    sources: HashMap<u64, Source>,
    tokens: u64,
    /// One for each that is to be woken, in both.
    alarms: BTreeSet<(Instant, Number)>,
    wake: HashMap<Number, Instant>,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sources: HashMap::new(),
            tokens: 0,
            alarms: BTreeSet::new(),
            wake: HashMap::new(),
            events: Vec::with_capacity(128),
        })
    }

    /// Waits for `wake` of a descriptor from now on.
    pub fn watch(&mut self, fd: OwnedFd, source: Source, wake: Wake) -> io::Result<Watched> {
        self.tokens += 1;
        let token = self.tokens;
        epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(token), wake)?;
        self.sources.insert(token, source);
        Ok(Watched { fd, token })
    }

    /// Waits for something else of it.
    pub fn change(&self, watched: &Watched, wake: Wake) -> io::Result<()> {
        let data = epoll::EventData::new_u64(watched.token);
        Ok(epoll::modify(&self.epoll, watched, data, wake)?)
    }

    /// Waits for it no more. It must be said: as long as the daemon has a copy
    /// of the descriptor, its close here does not end the watch.
    pub fn leave(&mut self, watched: Watched) -> OwnedFd {
        self.sources.remove(&watched.token);
        // It fails for what is not in the set, which is what is wanted.
        let _ = epoll::delete(&self.epoll, &watched);
        watched.fd
    }

    /// Wakes a container at a time, or before if that is wanted already.
    pub fn wake_at(&mut self, at: Instant, number: Number) {
        if let Some(before) = self.wake.get(&number).copied() {
            if before <= at {
                return;
            }
            self.alarms.remove(&(before, number));
        }
        self.wake.insert(number, at);
        self.alarms.insert((at, number));
    }

    /// Whom to wake now.
    pub fn due(&mut self, now: Instant) -> Option<Number> {
        let first = *self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&first);
        self.wake.remove(&first.1);
        Some(first.1)
    }

    /// Waits until something happens, or `until`, or the next alarm.
    pub fn wait(&mut self, until: Option<Instant>) -> io::Result<Vec<Source>> {
        let next = self.alarms.first().map(|(at, _)| *at);
        let until = [until, next].into_iter().flatten().min();
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        self.events.clear();
        let into = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, into, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let source = |event: &epoll::Event| self.sources.get(&event.data.u64()).copied();
        Ok(self.events.iter().filter_map(source).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_is_to_be_woken_several_times_is_woken_the_first() {
        let mut poll = Poll::new().expect("an epoll set");
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        for (seconds, number) in [(10, 7), (4, 7), (5, 8), (6, 7)] {
            poll.wake_at(at(seconds), number);
        }
        let woken: Vec<_> = std::iter::from_fn(|| poll.due(at(60))).collect();
        assert_eq!(woken, [7, 8]);
        poll.wake_at(at(1), 7);
        assert_eq!(poll.due(at(60)), Some(7), "and again when it is wanted again");
    }
}

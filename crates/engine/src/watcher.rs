//! The one thread that waits for everything: the ends of containers and
//! detached exec sessions, and the times of restarts.
//!
//! It only says *that* something is to be done, through the closure that it
//! was made with; the work is done by others.

use crate::Nanos;
use rustix::event::{Timespec, epoll};
use spec::Id;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard},
};

/// What there is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The link of this container has something to read.
    Container(Id),
    /// The connection of this detached exec session has.
    Exec(Id),
    /// A monitor that has said its last word has left.
    Left(u64),
    /// It is time to start this container again.
    Restart(Id),
    /// What its restart policy wants up when a daemon comes: tried so often.
    Dawn(Id, u32),
    /// It is time for a probe of this container, by its check of that number.
    Probe(Id, u64),
    /// It is time to look for what had to outlive its container.
    Tidy,
    /// The host's firewall has changed.
    Firewall,
    /// It is time to look at the disk.
    Collect,
    /// The same soon after a build.
    Grown,
    /// The resolver speaks, or has ended.
    Resolver,
    /// The resolver is to be told of all containers.
    Names,
}

pub(crate) struct Watcher {
    shared: Arc<Shared>,
}

struct Shared {
    epoll: OwnedFd,
    wake: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watched: HashMap<u64, Due>,
    times: BinaryHeap<Reverse<(Nanos, Due)>>,
    numbers: u64,
    closed: bool,
}

/// Number of the event that wakes the thread up.
const WAKE: u64 = 0;

impl Watcher {
    /// Starts the thread.
    pub fn new(tell: impl Fn(Due) + Send + 'static) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let wake = rustix::event::eventfd(0, flags)?;
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &wake, data, epoll::EventFlags::IN)?;
        let shared = Arc::new(Shared { epoll, wake, state: Mutex::default() });
        let watching = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("watcher".into())
            .stack_size(256 << 10)
            .spawn(move || watching.run(&tell))?;
        Ok(Self { shared })
    }

    /// Tells once when `fd` can be read from or has closed. Closing it ends
    /// the watch.
    pub fn watch(&self, fd: impl AsFd, due: Due) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.numbers += 1;
        let number = state.numbers;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ONESHOT;
        let data = epoll::EventData::new_u64(number);
        match epoll::add(&self.shared.epoll, &fd, data, flags) {
            // Watched before: its one event is spent, or about to be.
            Err(rustix::io::Errno::EXIST) => epoll::modify(&self.shared.epoll, &fd, data, flags)?,
            outcome => outcome?,
        }
        state.watched.insert(number, due);
        Ok(())
    }

    /// Tells at a time of day, or soon after it.
    pub fn at(&self, time: Nanos, due: Due) {
        let mut state = self.shared.lock();
        // Who waits for an earlier one finds this one then.
        let is_first = state.times.peek().is_none_or(|Reverse((first, _))| time < *first);
        state.times.push(Reverse((time, due)));
        drop(state);
        if is_first {
            self.shared.wake();
        }
    }

    /// Ends the thread.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn wake(&self) {
        // It fails only if it is to wake up already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn run(&self, tell: &dyn Fn(Due)) {
        let mut events = Vec::with_capacity(64);
        loop {
            let (due, timeout) = self.due();
            due.into_iter().for_each(tell);
            let into = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, into, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for containers any more");
                    return;
                }
            }
            for event in events.drain(..) {
                let number = event.data.u64();
                if number == WAKE {
                    // Empty again, or it was: both are right.
                    let _ = rustix::io::read(&self.wake, &mut [0; 8]);
                } else if let Some(due) = self.lock().watched.remove(&number) {
                    tell(due);
                }
            }
            if self.lock().closed {
                return;
            }
        }
    }

    /// What is due by the clock, and how long until the next.
    fn due(&self) -> (Vec<Due>, Option<Timespec>) {
        let now = crate::clock::now();
        let mut state = self.lock();
        let mut due = Vec::new();
        while let Some(Reverse((time, _))) = state.times.peek() {
            if *time > now {
                let left = std::time::Duration::from_nanos(*time - now);
                return (due, Timespec::try_from(left).ok());
            }
            due.extend(state.times.pop().map(|Reverse((_, what))| what));
        }
        (due, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixStream, sync::mpsc, time::Duration};

    const LONG: Duration = Duration::from_secs(20);

    fn watcher() -> (Watcher, mpsc::Receiver<Due>) {
        let (tell, told) = mpsc::channel();
        let watcher = Watcher::new(move |due| drop(tell.send(due))).expect("started");
        (watcher, told)
    }

    #[test]
    fn what_is_readable_or_closed_is_told_once() {
        let (watcher, told) = watcher();
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        watcher.watch(&ours, Due::Left(1)).expect("watched");
        theirs.write_all(b"x").expect("written");
        assert_eq!(told.recv_timeout(LONG), Ok(Due::Left(1)));
        drop(theirs);
        watcher.watch(&ours, Due::Left(2)).expect("watched again");
        assert_eq!(told.recv_timeout(LONG), Ok(Due::Left(2)));
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn times_are_told_in_order() {
        let (watcher, told) = watcher();
        let now = crate::clock::now();
        watcher.at(now + 30_000_000, Due::Left(2));
        watcher.at(now + 1_000_000, Due::Left(1));
        assert_eq!(told.recv_timeout(LONG), Ok(Due::Left(1)));
        assert_eq!(told.recv_timeout(LONG), Ok(Due::Left(2)));
    }

    #[test]
    fn its_thread_goes_with_it() {
        let (watcher, told) = watcher();
        drop(watcher);
        assert_eq!(told.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

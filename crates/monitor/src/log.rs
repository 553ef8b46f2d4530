//! The log of one container: what it wrote, where its driver says.
//!
//! Bytes go through a [`Splitter`] for each stream, which cuts them into
//! lines. A [`Keeper`] spells them and gathers them until somebody
//! [flushes](Log::flush): once a turn of the monitor's loop, so that a fast
//! program costs few writes and a slow one is in the file at once. A
//! [`Courier`] brings them to another process: to one that speaks to a syslog
//! server or the journal, or, for a program that does not wait, to one that
//! writes the file.
//!
//! ```text
//! program ─▶ Splitter ─┬▶ Keeper ──▶ json | framed ──▶ file, index, rotated
//!  (one a stream)      └▶ Courier ─▶ its process ────▶ server, journal, file
//! ```

mod child;
mod courier;
mod dated;
mod file;
mod framed;
mod index;
mod json;
mod keeper;
mod press;
mod split;
mod writer;

pub use json::Source;
pub use split::Splitter;

use courier::{AGAIN, Courier, Errand};
use keeper::Keeper;
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    io::Errno,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// What has not arrived so many milliseconds after the program's end is given
/// up, as Docker does.
const LAST: u64 = 10_000;

/// What an event is about: the timer, the press, or a courier by its number.
const TIMER: u64 = 0;
const PRESS: u64 = 1;
const COURIERS: u64 = 2;

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    /// None for `--log-driver none`, and where a courier writes.
    keeper: Option<Keeper>,
    couriers: Vec<Courier>,
    /// None where there is nothing to be waited for.
    bell: Option<Bell>,
}

/// What the log's processes say, as one descriptor for the monitor's loop.
#[derive(Debug)]
struct Bell {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What each courier is polled for; none if not at all.
    polled: Vec<Option<EventFlags>>,
    /// Which of the processes that compress is polled.
    pressing: Option<u64>,
}

impl Bell {
    fn new(couriers: usize) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self { epoll, timer, polled: vec![None; couriers], pressing: None })
    }

    /// Rings in a while, or not any more.
    fn set(&self, after: Timespec) -> io::Result<()> {
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let when = Itimerspec { it_interval, it_value: after };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &when)?;
        Ok(())
    }
}

impl Log {
    /// Opens it; couriers have begun when it returns.
    ///
    /// # Errors
    /// What the host said, or a courier.
    pub fn open(wish: &spec::log::Log) -> io::Result<Self> {
        let mut log = Self { keeper: None, couriers: Vec::new(), bell: None };
        let mut start = |errand| -> io::Result<()> {
            log.couriers.push(Courier::start(errand, &wish.helper, wish.buffer)?);
            Ok(())
        };
        if let Some(remote) = &wish.remote {
            start(Errand::Tell(remote.clone())).map_err(|e| {
                io::Error::new(e.kind(), format!("failed to initialize logging driver: {e}"))
            })?;
        }
        match &wish.file {
            Some(file) if wish.buffer.is_some() => start(Errand::Write(file.clone()))?,
            Some(file) => log.keeper = Some(Keeper::open(file, &wish.helper)?),
            None => {}
        }
        let presses = wish.file.as_ref().is_some_and(|file| file.compress);
        if presses || !log.couriers.is_empty() {
            log.bell = Some(Bell::new(log.couriers.len())?);
            log.flush()?;
        }
        Ok(log)
    }

    /// To be polled for reading, and [heard](Self::turn) then.
    pub fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(|bell| bell.epoll.as_fd())
    }

    /// Takes what the program wrote at `now`.
    pub fn write(&mut self, splitter: &mut Splitter, bytes: &[u8], now: u64) {
        let source = splitter.source();
        self.take(source, now, |out| splitter.split(bytes, now, |piece| out(&piece)));
    }

    /// Takes the end of a stream: what is left of a line without a newline.
    pub fn end(&mut self, splitter: &mut Splitter, now: u64) {
        let source = splitter.source();
        self.take(source, now, |out| splitter.end(|piece| out(&piece)));
    }

    fn take(
        &mut self,
        source: Source,
        now: u64,
        lines: impl FnOnce(&mut dyn FnMut(&split::Piece<'_>)),
    ) {
        let Self { keeper, couriers, .. } = self;
        if keeper.is_none() && couriers.is_empty() {
            return;
        }
        let stderr = source == Source::Stderr;
        let mut told = |piece: &split::Piece<'_>| {
            for courier in couriers.iter_mut() {
                courier.take(stderr, now, piece);
            }
        };
        match keeper {
            Some(keeper) => keeper.take(source, now, |out| {
                lines(&mut |piece| {
                    out(piece);
                    told(piece);
                });
            }),
            None => lines(&mut told),
        }
    }

    /// Has the program to wait for who hears its log?
    pub fn is_behind(&self) -> bool {
        self.couriers.iter().any(Courier::is_behind)
    }

    /// How many lines have been dropped.
    pub fn dropped(&self) -> u64 {
        let couriers: u64 = self.couriers.iter().map(Courier::dropped).sum();
        couriers + self.keeper.as_ref().map_or(0, |keeper| keeper.dropped)
    }

    /// Writes what was gathered, and sends what can be sent.
    ///
    /// # Errors
    /// What the host said of waiting.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(keeper) = &mut self.keeper {
            keeper.flush();
        }
        (0..self.couriers.len()).try_for_each(|number| self.see_to(number))?;
        self.listen_to_press()
    }

    /// Something rang the [`bell`](Self::bell).
    ///
    /// # Errors
    /// What the host said of waiting.
    pub fn turn(&mut self) -> io::Result<()> {
        let Some(bell) = &self.bell else { return Ok(()) };
        let mut events = Vec::with_capacity(4);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&bell.epoll, spare_capacity(&mut events), Some(&at_once)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for event in events {
            match event.data.u64() {
                TIMER => self.revive()?,
                PRESS => {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.pressed();
                    }
                    self.listen_to_press()?;
                }
                number => {
                    let number = usize::try_from(number - COURIERS).unwrap_or(usize::MAX);
                    if number < self.couriers.len() {
                        self.see_to(number)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends to a courier, hears it, and notices its death.
    fn see_to(&mut self, number: usize) -> io::Result<()> {
        if self.couriers[number].socket().is_none() {
            return Ok(());
        }
        if self.couriers[number].turn() {
            return self.listen(number);
        }
        // Its socket is closed, and so not polled any more.
        let Some(bell) = &mut self.bell else { return Ok(()) };
        bell.polled[number] = None;
        bell.set(AGAIN)
    }

    fn revive(&mut self) -> io::Result<()> {
        let Some(bell) = &self.bell else { return Ok(()) };
        bell.set(Timespec { tv_sec: 0, tv_nsec: 0 })?;
        for number in 0..self.couriers.len() {
            if let Err(error) = self.couriers[number].revive() {
                eprintln!("cannot start a courier of the log anew: {error}");
                self.bell.as_ref().map_or(Ok(()), |bell| bell.set(AGAIN))?;
            }
            self.see_to(number)?;
        }
        Ok(())
    }

    /// Polls a courier for what is wanted of it now.
    fn listen(&mut self, number: usize) -> io::Result<()> {
        let Some(bell) = &mut self.bell else { return Ok(()) };
        let Some((fd, sends)) = self.couriers[number].socket() else { return Ok(()) };
        let data = EventData::new_u64(COURIERS + number as u64);
        let wanted = if sends { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        match bell.polled[number] {
            Some(polled) if polled == wanted => return Ok(()),
            Some(_) => epoll::modify(&bell.epoll, fd, data, wanted)?,
            None => epoll::add(&bell.epoll, fd, data, wanted)?,
        }
        bell.polled[number] = Some(wanted);
        Ok(())
    }

    /// Polls the process that compresses, if there is a new one. One that has
    /// gone is polled no more by itself.
    fn listen_to_press(&mut self) -> io::Result<()> {
        let (Some(keeper), Some(bell)) = (&self.keeper, &mut self.bell) else { return Ok(()) };
        let pressing = keeper.pressing();
        if let Some((number, fd)) = pressing
            && bell.pressing != Some(number)
        {
            epoll::add(&bell.epoll, fd, EventData::new_u64(PRESS), EventFlags::IN)?;
        }
        bell.pressing = pressing.map(|(number, _)| number);
        Ok(())
    }

    /// Somebody took the file away or truncated it.
    ///
    /// # Errors
    /// What the host said; the old file is written on. So it is if a process
    /// of its own writes it, which is not told.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        match &mut self.keeper {
            Some(keeper) => keeper.reopen(),
            None if self.couriers.iter().any(Courier::writes) => {
                Err(io::Error::other("its log is written by a process of its own"))
            }
            None => Ok(()),
        }
    }

    /// Gives back the memory that a busy time took.
    pub fn rest(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.rest();
        }
    }

    /// The program has ended: waits until all is delivered, if it can be.
    pub fn finish(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.finish();
        }
        self.couriers.iter_mut().for_each(|courier| courier.finish(LAST));
    }
}

#[cfg(test)]
mod tests;

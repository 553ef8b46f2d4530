//! Learning that the kernel ran out of a group's memory.

use crate::{
    Cgroup, Error,
    dir::{self, Dir},
    error::Doing,
    stats::field,
};
use rustix::{
    event::{EventfdFlags, PollFlags},
    fs::OFlags,
    io::Errno,
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

/// A descriptor that wakes its holder when the group is out of memory.
///
/// It lives as long as its holder likes; when the group is removed it wakes a
/// last time.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    /// Version 1: what to read the event from is not what holds the count.
    legacy: bool,
    group: PathBuf,
    seen: u64,
}

/// What a wake-up meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oom {
    /// Nothing new.
    Nothing,
    /// It ran out of memory.
    Happened,
    /// The group is gone; there will be no more.
    Gone,
}

impl Cgroup {
    /// How many processes of the group the kernel has killed for want of
    /// memory.
    ///
    /// # Errors
    /// If the group cannot be read; without a memory controller it is none.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        let Some((dir, file)) = self.oom_file() else { return Ok(0) };
        Ok(field(&dir.read_if_there(file)?.unwrap_or_default(), "oom_kill").unwrap_or(0))
    }

    /// Watches for the group to run out of memory.
    ///
    /// # Errors
    /// [`Error::NoController`] without a memory controller.
    pub fn watch_oom(&self) -> Result<OomWatch, Error> {
        let (dir, file) = self.oom_file().ok_or_else(|| Error::NoController {
            limit: "a watch for memory".into(),
            controller: "memory".into(),
        })?;
        let seen = self.oom_kills()?;
        let source = dir.open(file, OFlags::RDONLY)?;
        let group = dir.path.clone();
        if dir.unified() {
            // The first read arms it.
            dir.read_fd(source.as_fd(), file)?;
            return Ok(OomWatch { fd: source, legacy: false, group, seen });
        }
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let fd = rustix::event::eventfd(0, flags).doing("watch", &group)?;
        let pair = format!("{} {}", fd.as_raw_fd(), source.as_raw_fd());
        dir.write("cgroup.event_control", &pair)?;
        Ok(OomWatch { fd, legacy: true, group, seen })
    }

    fn oom_file(&self) -> Option<(&Dir, &'static str)> {
        match self.legacy("memory") {
            Some(dir) => Some((dir, "memory.oom_control")),
            None => self.unified().map(|dir| (dir, "memory.events")),
        }
    }
}

impl OomWatch {
    /// What to poll, and for what.
    pub fn poll_on(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.fd.as_fd(), if self.legacy { PollFlags::IN } else { PollFlags::PRI })
    }

    /// Takes what a wake-up brought. Never blocks.
    ///
    /// # Errors
    /// If the descriptor cannot be read.
    pub fn take(&mut self) -> Result<Oom, Error> {
        if self.legacy {
            let mut count = [0; 8];
            return match rustix::io::read(&self.fd, &mut count) {
                Err(Errno::AGAIN) => Ok(Oom::Nothing),
                // Removal of the group counts as an event too.
                Ok(_) if !self.group.is_dir() => Ok(Oom::Gone),
                Ok(_) => Ok(Oom::Happened),
                Err(error) => Err(error).doing("read the events of", &self.group),
            };
        }
        let dir = Dir::new(self.group.clone(), Vec::new());
        let text = match dir.read_fd(self.fd.as_fd(), "memory.events") {
            Err(error) if dir::gone(&error) => return Ok(Oom::Gone),
            other => other?,
        };
        let kills = field(&text, "oom_kill").unwrap_or(0);
        let news = kills > self.seen;
        self.seen = kills;
        Ok(if news { Oom::Happened } else { Oom::Nothing })
    }
}

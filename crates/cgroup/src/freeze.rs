//! Stopping every process of a group at once, and ending them.
//!
//! Where there is a version 2 directory it does both: it tells when all have
//! stopped, and a frozen process can still be killed. Version 1's freezer
//! does the first alone, has no event, and must thaw before a kill counts.

use crate::{
    Cgroup, Error,
    dir::{self, Dir},
    error::Doing,
};
use rustix::{
    event::{PollFd, PollFlags},
    fs::OFlags,
    io::Errno,
};
use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// How long processes get to stop, or to go. They do so between two system
/// calls, but one of those may be waiting for a disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a state that has no event.
const PAUSES: [Duration; 2] = [Duration::from_micros(100), Duration::from_millis(5)];

impl Cgroup {
    /// Stops every process of the group; returns when all have stopped.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if one would not, [`Error::NoController`] without
    /// version 2 and version 1's freezer; all run again then.
    pub fn freeze(&self) -> Result<(), Error> {
        let (dir, outcome) = if let Some(dir) = self.unified() {
            dir.write("cgroup.freeze", "1")?;
            (dir, wait_event(dir, "frozen", true, PATIENCE))
        } else {
            let dir = self.freezer()?;
            (dir, freeze_legacy(dir))
        };
        let frozen = match outcome {
            Ok(true) => return Ok(()),
            Ok(false) => Err(timed_out(dir, "frozen", PATIENCE)),
            Err(error) => Err(error),
        };
        self.thaw()?;
        frozen
    }

    /// Lets them run again.
    ///
    /// # Errors
    /// If the group cannot be written to.
    pub fn thaw(&self) -> Result<(), Error> {
        if let Some(dir) = self.unified() {
            dir.write("cgroup.freeze", "0")?;
        }
        // Somebody else may have used the other freezer.
        match self.legacy("freezer") {
            Some(dir) => dir.write("freezer.state", "THAWED"),
            None if self.unified().is_some() => Ok(()),
            None => Err(no_freezer()),
        }
    }

    /// Whether they are stopped, or on their way to it.
    ///
    /// # Errors
    /// If the group cannot be read.
    pub fn frozen(&self) -> Result<bool, Error> {
        if let Some(dir) = self.unified()
            && dir.read("cgroup.freeze")?.trim() == "1"
        {
            return Ok(true);
        }
        match self.legacy("freezer") {
            Some(dir) => Ok(dir.read("freezer.state")?.trim() != "THAWED"),
            None => Ok(false),
        }
    }

    /// Kills every process in the group and in groups below it, frozen or
    /// not, those that fork meanwhile included. They end soon after:
    /// [`Cgroup::wait_empty`].
    ///
    /// # Errors
    /// If the group cannot be written to; a group that is gone has nobody to
    /// kill.
    pub fn kill(&self) -> Result<(), Error> {
        if self.dirs.is_empty() {
            return Ok(());
        }
        if let Some(dir) = self.unified() {
            match dir.write("cgroup.kill", "1") {
                Err(error) if dir::gone(&error) && dir.path.is_dir() => {
                    return Err(Error::Unsupported { limit: "cgroup.kill".into() });
                }
                Err(error) if dir::gone(&error) => return Ok(()),
                other => other?,
            }
            // A version 1 freezer would keep them from ending.
            return match self.legacy("freezer") {
                Some(dir) => dir.write("freezer.state", "THAWED"),
                None => Ok(()),
            };
        }
        self.signal(rustix::process::Signal::KILL.as_raw())
    }

    /// Sends a signal to every process in the group and in groups below it.
    /// They are stopped meanwhile, so that none escapes by forking. Where there
    /// is none, none can: version 1's freezer is then left alone, for it has
    /// the kernel change its own code on all processors (about 3 ms).
    ///
    /// # Errors
    /// If they cannot be stopped or signalled.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        if self.unified().is_none() && self.pids()?.is_empty() {
            return Ok(());
        }
        let was_frozen = self.frozen()?;
        if !was_frozen {
            self.freeze()?;
        }
        let sent = self.pids().and_then(|pids| {
            pids.into_iter().try_for_each(|pid| match sys::signal::send(pid, signal) {
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
                other => other.doing("signal a process of", &self.dirs[0].path),
            })
        });
        // A frozen process of version 1 cannot even be killed.
        let deadly = signal == rustix::process::Signal::KILL.as_raw();
        if !was_frozen || deadly {
            self.thaw()?;
        }
        sent
    }

    /// Waits until the last process has gone; false if `patience` ran out.
    ///
    /// # Errors
    /// If the group cannot be read; one that is gone is empty.
    pub fn wait_empty(&self, patience: Duration) -> Result<bool, Error> {
        if let Some(dir) = self.unified() {
            return wait_event(dir, "populated", false, patience);
        }
        poll_until(patience, || Ok(self.pids()?.is_empty()))
    }

    fn freezer(&self) -> Result<&Dir, Error> {
        self.legacy("freezer").ok_or_else(no_freezer)
    }
}

pub(crate) fn timed_out(dir: &Dir, wanted: &'static str, after: Duration) -> Error {
    Error::TimedOut { path: dir.path.clone(), wanted, seconds: after.as_secs() }
}

fn no_freezer() -> Error {
    Error::NoController { limit: "the frozen state".into(), controller: "freezer".into() }
}

/// Writing the state again lets the kernel find processes that were born, or
/// were not ready to stop, since.
fn freeze_legacy(dir: &Dir) -> Result<bool, Error> {
    poll_until(PATIENCE, || {
        dir.write("freezer.state", "FROZEN")?;
        Ok(dir.read("freezer.state")?.trim() == "FROZEN")
    })
}

/// Looks until it is so, ever less often; for states without an event.
pub(crate) fn poll_until(
    patience: Duration,
    mut look: impl FnMut() -> Result<bool, Error>,
) -> Result<bool, Error> {
    let end = Instant::now() + patience;
    let [mut pause, longest] = PAUSES;
    loop {
        if look()? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// One of the flags in `cgroup.events`.
pub(crate) fn event(dir: &Dir, key: &str) -> Result<bool, Error> {
    match dir.read("cgroup.events") {
        Ok(text) => Ok(flag(&text, key)),
        Err(error) if dir::gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn flag(text: &str, key: &str) -> bool {
    text.lines().filter_map(|line| line.split_once(' ')).any(|(k, v)| k == key && v == "1")
}

/// Waits for a flag of `cgroup.events`; the kernel wakes us at each change.
pub(crate) fn wait_event(
    dir: &Dir,
    key: &str,
    wanted: bool,
    patience: Duration,
) -> Result<bool, Error> {
    const FILE: &str = "cgroup.events";
    let end = Instant::now() + patience;
    let fd = match dir.open(FILE, OFlags::RDONLY) {
        Err(error) if dir::gone(&error) => return Ok(!wanted),
        other => other?,
    };
    loop {
        // Reading also arms the next wake-up.
        match dir.read_fd(fd.as_fd(), FILE) {
            Ok(text) if flag(&text, key) == wanted => return Ok(true),
            Err(error) if dir::gone(&error) => return Ok(!wanted),
            other => drop(other?),
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = left.try_into().expect("seconds fit");
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).doing("wait for", &dir.path.join(FILE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_read_by_its_own_name() {
        let text = "populated 1\nfrozen 0\n";
        assert!(flag(text, "populated"));
        assert!(!flag(text, "frozen"));
        assert!(!flag(text, "froz"));
    }
}

//! A connection to a server. A server that takes nothing is waited for, as
//! long as there is a monitor.

use crate::{monitor, of};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

/// Without a monitor what was heard of it is told for so long.
const ORPHANED: Duration = Duration::from_secs(10);

/// A socket that never blocks, for who may wait.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
    /// What takes longer fails: while a connection is made.
    pub deadline: Option<Instant>,
    /// Since when there is no monitor.
    orphaned: Option<Instant>,
}

impl Link {
    pub fn over(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, deadline: None, orphaned: None })
    }

    /// Has the server hung up?
    pub fn is_dead(&self) -> bool {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut fd = [PollFd::new(&self.fd, PollFlags::RDHUP)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fd, Some(&at_once)).is_ok_and(|_| fd[0].revents().intersects(gone))
    }

    /// Waits until the socket is ready.
    fn wait(&mut self, wanted: PollFlags) -> io::Result<()> {
        loop {
            let input = monitor();
            // Nothing is wanted of the monitor but its death.
            let mut fds = vec![PollFd::new(&self.fd, wanted)];
            if self.orphaned.is_none() {
                fds.push(PollFd::new(&input, PollFlags::empty()));
            }
            let end = [self.deadline, self.orphaned.map(|since| since + ORPHANED)];
            let end = end.into_iter().flatten().min();
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let patience = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, patience.as_ref()) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(of(errno)),
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
            }
            let ready = !fds[0].revents().is_empty();
            if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                self.orphaned = Some(Instant::now());
            }
            if ready {
                return Ok(());
            }
        }
    }
}

impl Link {
    /// Sends a message, whole or not at all.
    pub fn message(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.write(bytes)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.fd.as_fd(), bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                sent => return sent.map_err(of),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.fd.as_fd(), &mut *into, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Ok((len, _)) => return Ok(len),
                Err(errno) => return Err(of(errno)),
            }
        }
    }
}

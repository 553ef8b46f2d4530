//! Starting a monitor.
//!
//! [`launch`] gives a [`Launching`]: the monitor is at work on the
//! namespaces. [`Launching::alive`] waits for them, [`Launching::go`] lets the
//! program begin and gives a [`Running`], which can tell when it
//! [ended](Running::ended). A `Launching` that is dropped is aborted; a
//! `Running` that is dropped leaves the container to its monitor.

use crate::{Doing, Error, Nursery, nursery::Monitor};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use spec::wire::{Exit, FromMonitor, MAX_PACKET, ToMonitor};
use std::{
    fs::OpenOptions,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    time::{Duration, Instant},
};

/// What to launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Where it is born.
    pub nursery: &'a Nursery,
    /// The container's run directory, mode 0700, with its `sandbox.json`.
    pub dir: &'a Path,
    /// A detached mount for the container's root; without one, the root is
    /// `root.path` of the configuration.
    pub root: Option<BorrowedFd<'a>>,
    /// `-i`.
    pub open_stdin: bool,
    /// Close standard input when the first attached client leaves it.
    pub stdin_once: bool,
    /// How long each step may take.
    pub patience: Duration,
}

/// A monitor whose program has not begun.
#[derive(Debug)]
pub struct Launching {
    pair: Pair,
    /// Nothing is to be aborted any more.
    settled: bool,
}

/// Init, in its namespaces.
#[derive(Debug)]
pub struct Alive {
    /// As the host sees it.
    pub pid: i32,
    /// Its network namespace, if it has one of its own.
    pub netns: Option<OwnedFd>,
}

/// A monitor whose program has begun.
#[derive(Debug)]
pub struct Running(Launching);

#[derive(Debug)]
struct Pair {
    socket: OwnedFd,
    monitor: Monitor,
    patience: Duration,
}

/// Starts a monitor. What it has to say beyond the dialogue (it should be
/// nothing) is appended to `monitor.err` in its run directory.
///
/// # Errors
/// What the host said; nothing remains then.
pub fn launch(wish: Launch<'_>) -> Result<Launching, Error> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .doing("make a socket pair")?;
    let stderr = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(wish.dir.join("monitor.err"))
        .doing("open monitor.err in the run directory")?;
    let monitor = wish.nursery.bear(theirs.as_fd(), stderr.as_fd())?;
    // Held by the monitor alone, its close tells of its end.
    drop(theirs);
    let pair = Pair { socket: ours, monitor, patience: wish.patience };
    let launching = Launching { pair, settled: false };
    let launch = ToMonitor::Launch {
        dir: wish.dir.to_str().ok_or_else(|| not_text(wish.dir))?.to_owned(),
        open_stdin: wish.open_stdin,
        stdin_once: wish.stdin_once,
    };
    launching.pair.send(&launch, wish.root)?;
    Ok(launching)
}

fn not_text(path: &Path) -> Error {
    let source = io::ErrorKind::InvalidFilename.into();
    Error::File { doing: "speak in UTF-8 of", path: path.into(), source }
}

impl Launching {
    /// Waits until init is in its namespaces.
    ///
    /// # Errors
    /// [`Error::Failed`] with the reason if there will be none.
    pub fn alive(&mut self) -> Result<Alive, Error> {
        match self.pair.receive(true)? {
            (FromMonitor::Alive { pid }, netns) => Ok(Alive { pid, netns }),
            (FromMonitor::Failed(failure), _) => Err(failure.into()),
            (other, _) => Err(Error::OutOfTurn(format!("{other:?}"))),
        }
    }

    /// Lets the program begin and waits until it has.
    ///
    /// # Errors
    /// [`Error::Failed`] with the reason if it cannot; nothing remains then.
    pub fn go(mut self) -> Result<Running, Error> {
        self.pair.send(&ToMonitor::Go, None)?;
        match self.pair.receive(true)? {
            (FromMonitor::Running, _) => {
                self.settled = true;
                Ok(Running(self))
            }
            (FromMonitor::Failed(failure), _) => Err(failure.into()),
            (other, _) => Err(Error::OutOfTurn(format!("{other:?}"))),
        }
    }

    /// Gives it up and waits until nothing of it remains.
    ///
    /// # Errors
    /// [`Error::Late`] if the monitor is stuck; it is left to itself then.
    pub fn abort(mut self) -> Result<(), Error> {
        self.settled = true;
        self.pair.abort()
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        if !self.settled
            && let Err(error) = self.pair.abort()
        {
            eprintln!("cannot abort a launch: {error}");
        }
    }
}

impl Running {
    /// Waits for the end, however long it takes, and for the monitor to leave.
    ///
    /// # Errors
    /// [`Error::Gone`] if the monitor died before its container.
    pub fn ended(mut self) -> Result<Exit, Error> {
        let said = self.told();
        self.reap()?;
        said
    }

    /// Waits for the end, however long it takes. The monitor may stay for
    /// those who still read what the program said: [`Running::reap`] it.
    ///
    /// # Errors
    /// [`Error::Gone`] if the monitor died before its container.
    pub fn told(&mut self) -> Result<Exit, Error> {
        match self.0.pair.receive(false)? {
            (FromMonitor::Ended(exit), _) => Ok(exit),
            (other, _) => Err(Error::OutOfTurn(format!("{other:?}"))),
        }
    }

    /// Waits for the monitor to leave: at once if its end of the pair has
    /// closed, which makes the pair readable.
    ///
    /// # Errors
    /// What the host said.
    pub fn reap(self) -> Result<(), Error> {
        self.0.pair.monitor.wait()
    }

    /// The monitor, as the host sees it.
    pub fn monitor(&self) -> u32 {
        self.0.pair.monitor.pid
    }
}

/// Readable when [`Running::told`] would not block, and again at the close,
/// when [`Running::reap`] would not.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.pair.socket.as_fd()
    }
}

impl Pair {
    fn send(&self, message: &ToMonitor, fd: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let text = serde_json::to_vec(message).map_err(io::Error::from).doing("spell a message")?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.map(|fd| [fd]);
        if let Some(fds) = &fds {
            let pushed = control.push(SendAncillaryMessage::ScmRights(fds));
            debug_assert!(pushed, "the space is for one");
        }
        match sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL) {
            // If it died or gave up, it says so in a packet that is still to be read.
            Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(errno).doing("speak to a monitor"),
        }
    }

    fn receive(&self, bounded: bool) -> Result<(FromMonitor, Option<OwnedFd>), Error> {
        if bounded && !self.readable_within(self.patience)? {
            return Err(Error::Late);
        }
        let mut text = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            let into = &mut [IoSliceMut::new(&mut text)];
            recvmsg(&self.socket, into, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let len = match got {
            Ok(got) => got.bytes,
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(errno) => return Err(errno).doing("listen to a monitor"),
        };
        if len == 0 {
            return Err(Error::Gone);
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        match serde_json::from_slice(&text[..len]) {
            Ok(message) => Ok((message, fd)),
            Err(error) => Err(Error::OutOfTurn(error.to_string())),
        }
    }

    /// True once there is a packet, or no peer.
    fn readable_within(&self, patience: Duration) -> Result<bool, Error> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left =
                Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).doing("wait for a monitor"),
            }
        }
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.send(&ToMonitor::Abort, None)?;
        let until = Instant::now() + self.patience;
        // Packets that crossed the abort are read past; the close is the answer.
        loop {
            if !self.readable_within(until.saturating_duration_since(Instant::now()))? {
                return Err(Error::Late);
            }
            match self.receive(false) {
                Ok(_) => {}
                Err(Error::Gone) => break,
                Err(error) => return Err(error),
            }
        }
        self.monitor.wait()
    }
}

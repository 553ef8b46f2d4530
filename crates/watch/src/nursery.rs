//! The process from which monitors are forked.
//!
//! It is started with the first monitor, and again if it has died, and ends
//! when the [`Nursery`] is closed or dropped, or the daemon dies.

use crate::{Doing, Error};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::{WaitId, WaitIdOptions},
};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a fork may take on a machine that is out of breath.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bears monitors.
#[derive(Debug)]
pub struct Nursery {
    /// The program `cofferdam-run`.
    binary: PathBuf,
    open: Mutex<Option<Open>>,
}

/// A nursery that runs.
#[derive(Debug)]
struct Open {
    /// None once it is to end.
    socket: Option<OwnedFd>,
    process: Child,
}

/// A monitor: a child of this process, though another one has made it.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub pid: u32,
    pidfd: OwnedFd,
}

impl Monitor {
    /// Waits until it has left.
    pub fn wait(&self) -> Result<(), Error> {
        let wait =
            || rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        match rustix::io::retry_on_intr(wait) {
            Ok(_) | Err(Errno::CHILD) => Ok(()),
            Err(errno) => Err(errno).doing("wait for a monitor"),
        }
    }
}

impl Nursery {
    /// Nothing runs yet.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), open: Mutex::default() }
    }

    /// Has a monitor made, with a socket for standard input and a file for
    /// standard error.
    pub(crate) fn bear(
        &self,
        pair: BorrowedFd<'_>,
        stderr: BorrowedFd<'_>,
    ) -> Result<Monitor, Error> {
        let mut open = self.hold();
        if let Some(running) = &*open {
            match running.bear(pair, stderr) {
                // It was killed: by whoever was looking for memory, say.
                Err(Error::Gone) => *open = None,
                outcome => return outcome,
            }
        }
        open.insert(self.start()?).bear(pair, stderr)
    }

    /// The process, as long as there is one.
    pub fn process(&self) -> Option<u32> {
        self.hold().as_ref().map(|open| open.process.id())
    }

    /// Ends the process; the next monitor would start another one.
    pub fn close(&self) {
        drop(self.hold().take());
    }

    /// What is held is whole at every moment.
    fn hold(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Open, Error> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .doing("make a socket pair")?;
        set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE)).doing("bound a wait")?;
        // No pre_exec, working directory or id change: the standard library then
        // starts it as with vfork(2), which does not copy the daemon's page tables.
        let process = Command::new(&self.binary)
            // A container may see it: it is to show no path of the host.
            .arg0("cofferdam-run")
            .arg("nursery")
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| Error::File { doing: "start", path: self.binary.clone(), source })?;
        Ok(Open { socket: Some(ours), process })
    }
}

impl Open {
    fn bear(&self, pair: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> Result<Monitor, Error> {
        let socket = self.socket.as_ref().ok_or(Error::Gone)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [pair, stderr];
        let pushed = control.push(SendAncillaryMessage::ScmRights(&fds));
        debug_assert!(pushed, "the space is for two");
        match sendmsg(socket, &[IoSlice::new(b"m")], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(Error::Gone),
            Err(errno) => return Err(errno).doing("speak to the nursery"),
        }
        let mut word = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            let into = &mut [IoSliceMut::new(&mut word)];
            recvmsg(socket, into, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        match got {
            Ok(got) if got.bytes == word.len() => {}
            Ok(_) | Err(Errno::CONNRESET) => return Err(Error::Gone),
            Err(Errno::AGAIN) => return Err(Error::Late),
            Err(errno) => return Err(errno).doing("listen to the nursery"),
        }
        let pidfd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let pidfd = pidfd.ok_or_else(|| Error::OutOfTurn("a birth without a child".into()))?;
        Ok(Monitor { pid: u32::from_ne_bytes(word), pidfd })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Its end of the pair closes, and so does it.
        drop(self.socket.take());
        if let Err(error) = self.process.wait() {
            eprintln!("cannot wait for the nursery: {error}");
        }
    }
}

//! A process of the monitor's that is not the container's: one that speaks to
//! a log's server, writes to a disk that may hang, or compresses.
//!
//! It is born with nothing but its standard streams.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{WaitId, WaitIdOptions, waitid},
};
use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use sys::process::{Clone, Cloned};

/// One that is killed may hang in the kernel, with a disk that does: nobody
/// waits for it longer. It is the host's to bury then, with its monitor's end.
const DYING: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// One that runs, or has ended and waits to be heard.
#[derive(Debug)]
pub struct Child {
    pub pidfd: OwnedFd,
}

impl Child {
    /// Its exit code, if it has ended.
    pub fn reap(&self) -> io::Result<Option<i32>> {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let wait = || waitid(WaitId::PidFd(self.pidfd.as_fd()), how);
        let status = rustix::io::retry_on_intr(wait)?;
        // A signal's number is no code of a program's.
        Ok(status
            .map(|s| s.exit_status().unwrap_or_else(|| 128 + s.terminating_signal().unwrap_or(0))))
    }

    /// Ends it, and takes the result, if there is one within [`DYING`].
    pub fn kill(&self) {
        let ended = sys::signal::send_pidfd(self.pidfd.as_fd(), 9)
            .and_then(|()| self.ends_within(&DYING))
            .and_then(|ended| if ended { self.reap().map(drop) } else { Err(Errno::BUSY.into()) });
        if let Err(error) = ended {
            eprintln!("cannot end a process of the log: {error}");
        }
    }

    /// Has it ended before so much time is over?
    pub fn ends_within(&self, patience: &Timespec) -> io::Result<bool> {
        let wait = || poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(patience));
        Ok(rustix::io::retry_on_intr(wait)? > 0)
    }
}

/// Starts a program with these for standard input and output.
pub fn exec(program: &str, words: &[CString], streams: [BorrowedFd<'_>; 2]) -> io::Result<Child> {
    let path = CString::new(program)?;
    let args: Vec<CString> = [c"cofferdamd".to_owned()].into_iter().chain(words.to_vec()).collect();
    if let Some(child) = fork(streams)? {
        return Ok(child);
    }
    eprintln!("cannot start {program}: {}", sys::process::exec(&path, &args, &[]));
    sys::process::exit(127)
}

/// Forks a process that has these for standard input and output, the
/// monitor's standard error and no other descriptor. None is the child, which
/// is to end by [`sys::process::exit`] and to touch nothing of the parent's.
pub fn fork(streams: [BorrowedFd<'_>; 2]) -> io::Result<Option<Child>> {
    match sys::process::clone(Clone::default())? {
        Cloned::Parent { pidfd, .. } => Ok(Some(Child { pidfd })),
        Cloned::Child => {
            let [input, output] = streams;
            let done = sys::process::replace_stream(input, 0)
                .and_then(|()| sys::process::replace_stream(output, 1))
                .and_then(|()| sys::process::close_from(3))
                .and_then(|()| sys::signal::reset());
            match done {
                Ok(()) => Ok(None),
                Err(error) => {
                    eprintln!("cannot begin a process of the log: {error}");
                    sys::process::exit(126)
                }
            }
        }
    }
}

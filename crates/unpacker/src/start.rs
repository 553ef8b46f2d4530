//! The daemon's end of one process.

use crate::{
    Error,
    error::Doing as _,
    ring::Draining,
    wire::{LONGEST, Word},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use snapshot::Unpacked;
use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use sys::shared::Foreign;

/// How long one may do nothing at all, and how long it may take to its end
/// when all of its archive is with it: on a disk that is out of breath a second
/// is nothing, and who has not moved for so long never will.
const PATIENCE: Duration = Duration::from_mins(10);
/// Bytes of a pipe: the most that anybody may ask for (`pipe-max-size`).
const PIPE: usize = 1 << 20;

/// One that runs. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    process: OwnedFd,
    /// For its last word; none once that was heard.
    said: Option<File>,
}

/// Ends one from another thread.
#[derive(Debug)]
pub(crate) struct Killer(OwnedFd);

impl Killer {
    pub fn kill(&self) {
        // It fails for one that has ended.
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

impl Worker {
    /// Starts the program as a process that is to do `words`, with these for
    /// standard input and output.
    pub fn start<'a>(
        program: &Path,
        words: impl Iterator<Item = &'a str>,
        input: OwnedFd,
        output: OwnedFd,
    ) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg("unpacker").args(words);
        Self::run(&mut command, input, output)
    }

    fn run(command: &mut Command, input: OwnedFd, output: OwnedFd) -> Result<Self, Error> {
        let (said, its_end) = io::pipe().doing("make a pipe")?;
        // No pre_exec, working directory or id change: the standard library
        // then starts it as with vfork(2), which does not copy the daemon's
        // page tables.
        let mut child = command
            .env_clear()
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(OwnedFd::from(its_end)))
            .spawn()
            .doing("start the process that unpacks")?;
        let pid = rustix::process::Pid::from_child(&child);
        let held = pidfd_open(pid, PidfdFlags::empty());
        if held.is_err() {
            // It has been given nothing yet, and ends at once.
            child.kill().doing("end a process that cannot be held")?;
            child.wait().doing("wait for the process that unpacks")?;
        }
        let process = held.doing("hold the process that unpacks")?;
        Ok(Self { child, process, said: Some(File::from(OwnedFd::from(said))) })
    }

    pub fn killer(&self) -> Result<Killer, Error> {
        self.process.try_clone().map(Killer).doing("hold the process that unpacks")
    }

    /// Waits for its last word, and its end. What it takes in is at its end.
    pub fn outcome(&mut self) -> Result<(Unpacked, Vec<snapshot::Left>), Error> {
        self.outcome_within(PATIENCE)
    }

    fn outcome_within(
        &mut self,
        patience: Duration,
    ) -> Result<(Unpacked, Vec<snapshot::Left>), Error> {
        let Some(mut said) = self.said.take() else {
            return Err(Error::Lost("was heard before".into()));
        };
        let until = Instant::now() + patience;
        let unended = || {
            let patience = patience.as_secs() / 60;
            Error::Lost(format!("has not ended {patience} minutes after it had all"))
        };
        let (mut text, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            if !is_ready(&said, PollFlags::IN, until).doing("wait for the process that unpacks")? {
                return Err(unended());
            }
            match said.read(&mut buffer).doing("hear the process that unpacks")? {
                0 => break,
                len => text.extend_from_slice(&buffer[..len]),
            }
            if text.len() > LONGEST {
                return Err(Error::Lost("said too much".into()));
            }
        }
        if !self.ends(until).doing("wait for the process that unpacks")? {
            return Err(unended());
        }
        let status = self.child.wait().doing("wait for the process that unpacks")?;
        if let Some(signal) = status.signal() {
            return Err(Error::Lost(format!("was killed by signal {signal}")));
        }
        match Word::from_bytes(&text) {
            Some(word) if status.success() => word.outcome(),
            _ => Err(Error::Lost(format!("ended without a word that makes sense ({status})"))),
        }
    }

    fn ends(&self, until: Instant) -> io::Result<bool> {
        is_ready(&self.process, PollFlags::IN, until)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It fails for one that was waited for.
        let _ = self.child.kill();
        // A disk that does not answer may hold what was killed: then nobody
        // waits for it, and it is the kernel's to keep until the daemon ends.
        if self.ends(patience()).unwrap_or(true) {
            // As above.
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn stuck() -> Error {
    Error::Lost(format!("has done nothing for {} minutes", PATIENCE.as_secs() / 60))
}

/// Whether it becomes so in time.
pub(crate) fn is_ready(fd: &impl AsFd, flags: PollFlags, until: Instant) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, flags)];
    let ready = rustix::io::retry_on_intr(|| {
        let rest = until.saturating_duration_since(Instant::now());
        let rest = Timespec::try_from(rest).map_err(|_| Errno::INVAL)?;
        poll(&mut fds, Some(&rest))
    })?;
    Ok(ready > 0)
}

/// When whoever begins to do nothing now has done nothing for too long.
pub(crate) fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// A pipe between two processes, to read from and to write to.
pub(crate) fn large() -> Result<(OwnedFd, OwnedFd), Error> {
    let (reader, writer) = io::pipe().doing("make a pipe")?;
    // A small one does as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE);
    Ok((reader.into(), writer.into()))
}

/// What comes out of a stream whose compression is undone. It ends where the
/// stream ends well; whatever else happens is an error.
#[derive(Debug)]
pub struct Inflated {
    plain: Draining<OwnedFd, Foreign>,
    worker: Worker,
    /// The process has been given all that it reads.
    fed: Arc<AtomicBool>,
    ended: bool,
}

impl Inflated {
    pub(crate) fn new(
        plain: Draining<OwnedFd, Foreign>,
        worker: Worker,
        fed: Arc<AtomicBool>,
    ) -> Self {
        Self { plain, worker, fed, ended: false }
    }

    pub(crate) fn killer(&self) -> Result<Killer, Error> {
        self.worker.killer()
    }

    /// To be set when it has been given all that it reads.
    pub(crate) fn fed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.fed)
    }
}

impl Read for Inflated {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        while self.plain.is_empty() && !is_ready(&self.plain.socket(), PollFlags::IN, patience())? {
            // Who feeds it may wait for a network, and has a clock of its own.
            if self.fed.load(Ordering::SeqCst) {
                return Err(io::Error::other(stuck()));
            }
        }
        let cut_short = match self.plain.read(into) {
            Ok(0) => false,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => true,
            read => return read,
        };
        self.worker.outcome().map_err(|error| match error {
            Error::Input(e) => e,
            error => io::Error::other(error),
        })?;
        if cut_short {
            return Err(io::Error::other(Error::Lost("has left out the end".into())));
        }
        self.ended = true;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a process that does what a script says.
    fn start(script: &str) -> Worker {
        let null = || File::options().read(true).write(true).open("/dev/null").expect("there");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Worker::run(&mut command, null().into(), null().into()).expect("starts")
    }

    #[test]
    fn one_that_says_nothing_more_and_does_not_end_is_ended() {
        for script in ["exec 2>&- sleep 1000", "while :; do printf x >&2; sleep 0.01; done"] {
            let mut worker = start(script);
            let killer = worker.killer().expect("it runs");
            let error = worker.outcome_within(Duration::from_millis(200)).expect_err(script);
            assert!(error.to_string().contains("has not ended"), "{script}: {error}");
            drop(worker);
            let sent = pidfd_send_signal(&killer.0, Signal::KILL);
            assert_eq!(sent, Err(Errno::SRCH), "{script}: it was ended and waited for");
        }
    }

    #[test]
    fn one_that_says_too_much_is_not_heard_out() {
        let mut worker = start("exec cat /dev/zero >&2");
        let error = worker.outcome().expect_err("it never ends");
        assert_eq!(error.to_string(), "the process that unpacks it said too much");
    }
}

//! A program's standard streams, seen from the monitor.
//!
//! Pipes are made before the program, a terminal by the runtime inside the
//! container; both end up as [`Streams`]: up to two descriptors to read and
//! one to write, none of which ever blocks.

use crate::{
    log::{Source, Splitter},
    queue::Queue,
};
use rustix::{
    fs::{Gid, Mode, OFlags, Uid},
    io::Errno,
    pipe::PipeFlags,
    pty::OpenptFlags,
    termios::Winsize,
};
use spec::{
    Sandbox,
    oci::{self, IdMapping, User},
};
use std::{io, os::fd::OwnedFd};

/// What a program is given, and what the monitor keeps.
#[derive(Debug)]
pub struct Plan {
    /// For the runtime.
    pub io: runtime::Io,
    /// Complete but for a terminal.
    pub streams: Streams,
}

/// The monitor's side.
#[derive(Debug, Default)]
pub struct Streams {
    /// Standard output (or the terminal) and standard error.
    pub outs: [Option<Out>; 2],
    /// Standard input (or the terminal).
    pub stdin: Option<Stdin>,
    /// The other side of the terminal, held so that it does not hang up while
    /// no process of the container has it open.
    terminal: Option<OwnedFd>,
}

/// Something to read.
#[derive(Debug)]
pub struct Out {
    /// Never blocks.
    pub fd: OwnedFd,
    /// For the log.
    pub splitter: Splitter,
}

/// Something to write.
#[derive(Debug)]
pub struct Stdin {
    /// Never blocks.
    pub fd: OwnedFd,
    /// What the program has not taken yet.
    pub queue: Queue,
    /// To be closed when the queue is empty.
    pub ending: bool,
}

impl Stdin {
    fn new(fd: OwnedFd) -> Self {
        Self { fd, queue: Queue::default(), ending: false }
    }
}

/// The program's ids, as the host counts them: whose its pipes are to be, so
/// that it can open `/dev/stdout`.
fn owner(sandbox: &Sandbox, user: &User) -> (Uid, Gid) {
    let linux = sandbox.config.linux.as_ref();
    let mapped = |id: u32, maps: Option<&Vec<IdMapping>>| {
        let maps = maps.map_or(&[][..], Vec::as_slice);
        let within = |m: &&IdMapping| id >= m.container_id && id - m.container_id < m.size;
        maps.iter().find(within).map_or(id, |m| m.host_id + (id - m.container_id))
    };
    let uid = mapped(user.uid, linux.map(|l| &l.uid_mappings));
    let gid = mapped(user.gid, linux.map(|l| &l.gid_mappings));
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

/// Plans a program's streams: a terminal, or pipes, with `/dev/null` where
/// nothing is wanted.
///
/// # Errors
/// What the host said.
pub fn plan(
    sandbox: &Sandbox,
    process: &oci::Process,
    stdin: bool,
    output: bool,
) -> io::Result<Plan> {
    let mut streams = Streams::default();
    if process.terminal {
        let io = runtime::Io::Terminal { size: process.console_size };
        return Ok(Plan { io, streams });
    }
    let (uid, gid) = owner(sandbox, &process.user);
    let label = sandbox.config.linux.as_ref().map_or("", |linux| &linux.mount_label);
    let pipe = |ours_writes: bool| -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (ours, theirs) = if ours_writes { (write, read) } else { (read, write) };
        rustix::fs::fchown(&theirs, Some(uid), Some(gid))?;
        relabel(&theirs, label)?;
        set_nonblocking(&ours)?;
        Ok((ours, theirs))
    };
    let null = |flags| rustix::fs::open("/dev/null", flags | OFlags::CLOEXEC, Mode::empty());
    let theirs_in = if stdin {
        let (ours, theirs) = pipe(true)?;
        streams.stdin = Some(Stdin::new(ours));
        theirs
    } else {
        null(OFlags::RDONLY)?
    };
    let mut out = |at: usize, source| -> io::Result<OwnedFd> {
        if !output {
            return Ok(null(OFlags::WRONLY)?);
        }
        let (ours, theirs) = pipe(false)?;
        streams.outs[at] = Some(Out { fd: ours, splitter: Splitter::of(source) });
        Ok(theirs)
    };
    let (theirs_out, theirs_err) = (out(0, Source::Stdout)?, out(1, Source::Stderr)?);
    Ok(Plan { io: runtime::Io::Fds([theirs_in, theirs_out, theirs_err]), streams })
}

/// Labels a pipe as the container's files are, for SELinux: no container with
/// other categories can use it, wherever it comes by it.
fn relabel(pipe: &OwnedFd, label: &str) -> io::Result<()> {
    if label.is_empty() {
        return Ok(());
    }
    let value = [label.as_bytes(), b"\0"].concat();
    let flags = rustix::fs::XattrFlags::empty();
    Ok(rustix::fs::fsetxattr(pipe, "security.selinux", &value, flags)?)
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

impl Streams {
    /// Takes the master side of the program's terminal; it takes input if
    /// `stdin`.
    ///
    /// # Errors
    /// What the host said.
    pub fn attach_terminal(&mut self, master: OwnedFd, stdin: bool) -> io::Result<()> {
        set_nonblocking(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        self.terminal = Some(rustix::pty::ioctl_tiocgptpeer(&master, flags)?);
        if stdin {
            // One description, two descriptors: each is watched for its own readiness.
            self.stdin = Some(Stdin::new(rustix::io::fcntl_dupfd_cloexec(&master, 3)?));
        }
        self.outs[0] = Some(Out { fd: master, splitter: Splitter::of(Source::Stdout) });
        Ok(())
    }

    /// Is it a terminal?
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Sets the terminal's size; its foreground processes are told.
    ///
    /// # Errors
    /// `NotConnected` if there is no terminal.
    pub fn resize(&self, size: Winsize) -> io::Result<()> {
        let terminal = self.terminal.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(rustix::termios::tcsetwinsize(terminal, size)?)
    }
}

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// Nothing any more.
    End,
}

impl Out {
    /// Reads once.
    pub fn read(&self, into: &mut [u8]) -> Got {
        loop {
            return match rustix::io::read(&self.fd, &mut *into) {
                Ok(0) => Got::End,
                Ok(len) => Got::Bytes(len),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Got::Nothing,
                // EIO: a terminal that nobody has open any more.
                Err(_) => Got::End,
            };
        }
    }
}

//! Standing by while a program runs in the foreground: passing signals on,
//! carrying a terminal's bytes, and reporting how it ended.
//!
//! Signals are held back from before the program is made, so that none is
//! lost in between; a [`Foreground`] then waits for everything at one place.

use crate::problem::{Doing, Problem};
use rustix::{
    event::{PollFd, PollFlags},
    fs::{Mode, OFlags},
    io::Errno,
    process::{WaitOptions, WaitStatus},
    termios::{OptionalActions, Termios},
};
use std::{
    io::IsTerminal,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

const SIGPIPE: i32 = 13;
const SIGCHLD: i32 = 17;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;

/// Everything that is needed to stand by.
pub struct Foreground {
    signals: OwnedFd,
    host: Option<HostTerminal>,
}

/// The caller's terminal; as it was again when this is dropped.
struct HostTerminal {
    fd: OwnedFd,
    before: Termios,
}

impl HostTerminal {
    /// The terminal that this process talks to, made to pass every key on.
    fn take() -> Result<Self, Problem> {
        let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let own = streams.into_iter().find(IsTerminal::is_terminal);
        let fd = match own {
            Some(stream) => {
                rustix::io::fcntl_dupfd_cloexec(stream, 3).doing("duplicate", "stdin")?
            }
            None => rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
                .doing("open", "/dev/tty")?,
        };
        let before = rustix::termios::tcgetattr(&fd).doing("read the modes of", "the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&fd, OptionalActions::Now, &raw)
            .doing("set the modes of", "the terminal")?;
        Ok(Self { fd, before })
    }

    fn size(&self) -> Result<rustix::termios::Winsize, Problem> {
        rustix::termios::tcgetwinsize(&self.fd).doing("read the size of", "the terminal")
    }
}

impl Drop for HostTerminal {
    fn drop(&mut self) {
        // The terminal may have gone with its user.
        let _ = rustix::termios::tcsetattr(&self.fd, OptionalActions::Now, &self.before);
    }
}

impl Foreground {
    /// Holds signals back and, for a program with a terminal, takes the
    /// caller's.
    pub fn prepare(terminal: bool) -> Result<Self, Problem> {
        let host = terminal.then(HostTerminal::take).transpose()?;
        sys::signal::hold().doing("hold back", "signals")?;
        let signals = sys::signal::held().doing("listen for", "signals")?;
        Ok(Self { signals, host })
    }

    /// The size of the caller's terminal.
    pub fn size(&self) -> Result<Option<spec::oci::ConsoleSize>, Problem> {
        let size = self.host.as_ref().map(HostTerminal::size).transpose()?;
        Ok(size.map(|size| spec::oci::ConsoleSize {
            height: size.ws_row.into(),
            width: size.ws_col.into(),
        }))
    }

    /// Stands by until the child `pid` has ended; returns its exit code, or
    /// 128 and the signal that ended it.
    pub fn stand_by(
        &self,
        pid: i32,
        pidfd: BorrowedFd<'_>,
        console: Option<&OwnedFd>,
    ) -> Result<u8, Problem> {
        let mut relay = console.map(Relay::new).transpose()?;
        loop {
            self.wait(relay.as_mut())?;
            while let Some(signal) =
                sys::signal::take(self.signals.as_fd()).doing("take", "a signal")?
            {
                match (signal, &self.host, console) {
                    (SIGCHLD, ..) => {
                        if let Some(code) = reap(pid)? {
                            relay.as_mut().map_or(Ok(()), Relay::drain)?;
                            return Ok(code);
                        }
                    }
                    (SIGWINCH, Some(host), Some(console)) => {
                        rustix::termios::tcsetwinsize(console, host.size()?)
                            .doing("set the size of", "the container's terminal")?;
                    }
                    // About this process alone.
                    (SIGPIPE | SIGURG | SIGWINCH, ..) => {}
                    (other, ..) => pass_on(pidfd, other)?,
                }
            }
        }
    }

    /// Until something is to do; bytes of a terminal are carried at once.
    fn wait(&self, relay: Option<&mut Relay<'_>>) -> Result<(), Problem> {
        let signals = PollFd::new(&self.signals, PollFlags::IN);
        let Some(relay) = relay else {
            return poll(&mut [signals]);
        };
        let stdin = rustix::stdio::stdin();
        let wanted = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        let mut fds = vec![signals];
        let mut master = wanted(relay.output, PollFlags::IN);
        master |= wanted(!relay.pending.is_empty(), PollFlags::OUT);
        if !master.is_empty() {
            fds.push(PollFd::new(relay.master, master));
        }
        // No more is read than the program takes.
        if relay.input && relay.pending.is_empty() {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        poll(&mut fds)?;
        relay.carry()
    }
}

fn poll(fds: &mut [PollFd<'_>]) -> Result<(), Problem> {
    match rustix::event::poll(fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).doing("wait for", "the program"),
    }
}

fn pass_on(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Problem> {
    match sys::signal::send_pidfd(pidfd, signal) {
        // It has ended; the news is on its way.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        other => other.doing("pass a signal on to", "the program"),
    }
}

/// Reaps every child that has ended; tells if the one looked for is among
/// them.
fn reap(wanted: i32) -> Result<Option<u8>, Problem> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == wanted => {
                code = Some(exit_code(status));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(error) => return Err(error).doing("wait for", "the program"),
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}

/// Bytes between the caller's streams and a terminal's master side.
struct Relay<'a> {
    master: &'a OwnedFd,
    /// Typed, and not yet taken by the program.
    pending: Vec<u8>,
    /// Standard input may still have something.
    input: bool,
    /// The terminal may still have something.
    output: bool,
}

impl<'a> Relay<'a> {
    fn new(master: &'a OwnedFd) -> Result<Self, Problem> {
        let flags = rustix::fs::fcntl_getfl(master).doing("read the flags of", "the terminal")?;
        rustix::fs::fcntl_setfl(master, flags | OFlags::NONBLOCK)
            .doing("set the flags of", "the terminal")?;
        Ok(Self { master, pending: Vec::new(), input: true, output: true })
    }

    fn carry(&mut self) -> Result<(), Problem> {
        self.carry_out()?;
        if self.input && self.pending.is_empty() && readable(rustix::stdio::stdin())? {
            let mut bytes = [0; 4096];
            match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
                Ok(0) | Err(Errno::IO) => self.input = false,
                Ok(count) => self.pending.extend_from_slice(&bytes[..count]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error).doing("read", "standard input"),
            }
        }
        while !self.pending.is_empty() {
            match rustix::io::write(self.master, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // Nobody holds the other side any more.
                Err(Errno::IO) => {
                    self.pending.clear();
                    self.input = false;
                }
                Err(error) => return Err(error).doing("write to", "the terminal"),
            }
        }
        Ok(())
    }

    /// What the terminal has at the moment, to standard output.
    fn carry_out(&mut self) -> Result<(), Problem> {
        let mut bytes = [0; 16384];
        while self.output {
            match rustix::io::read(self.master, &mut bytes) {
                Ok(0) | Err(Errno::IO) => self.output = false,
                Ok(count) => say(&bytes[..count])?,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing("read", "the terminal"),
            }
        }
        Ok(())
    }

    /// The rest, after the program has ended.
    fn drain(&mut self) -> Result<(), Problem> {
        self.carry_out()
    }
}

fn readable(fd: BorrowedFd<'_>) -> Result<bool, Problem> {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut fds, Some(&now)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).doing("wait for", "standard input"),
    }
}

fn say(mut bytes: &[u8]) -> Result<(), Problem> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let out = rustix::stdio::stdout();
                poll(&mut [PollFd::new(&out, PollFlags::OUT)])?;
            }
            Err(error) => return Err(error).doing("write to", "standard output"),
        }
    }
    Ok(())
}

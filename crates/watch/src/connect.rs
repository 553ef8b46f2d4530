//! Asking a monitor that runs.
//!
//! A [`Connection`] begins with one [`Request`]; what comes back are
//! [`Message`]s until either side closes. It splits into a [`Sender`] and a
//! [`Receiver`] for two threads, or gives up its stream to whoever polls.

use crate::{Doing, Error};
use rustix::fs::{Mode, OFlags};
use spec::wire::{Exit, Frame, Kind, MAX_FRAME, Reply, Request};
use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Instant,
};

/// One conversation with a monitor.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// What goes to the monitor.
#[derive(Debug)]
pub struct Sender(UnixStream);

/// What comes from the monitor.
#[derive(Debug)]
pub struct Receiver {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// What of the buffer is still to be given out.
    pending: std::ops::Range<usize>,
    /// Nothing after a failure can be understood.
    broken: bool,
    /// Nothing is waited for beyond it.
    deadline: Option<Instant>,
}

/// One frame from a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of the program; of its terminal too.
    Stdout(Vec<u8>),
    /// Of the program.
    Stderr(Vec<u8>),
    /// An answer.
    Reply(Reply),
}

impl Connection {
    /// Connects to the monitor of the container in `dir` and asks it.
    ///
    /// # Errors
    /// [`Error::Absent`] if none listens there.
    pub fn open(dir: &Path, request: &Request) -> Result<Self, Error> {
        let stream = connect(dir)?;
        let receiving = stream.try_clone().doing("duplicate a socket")?;
        let mut sender = Sender(stream);
        sender.request(request)?;
        let receiver = Receiver {
            stream: receiving,
            buffer: Vec::new(),
            pending: 0..0,
            broken: false,
            deadline: None,
        };
        Ok(Self { sender, receiver })
    }

    /// The next frame, which is to be an answer.
    ///
    /// # Errors
    /// [`Error::Failed`] if it is a refusal.
    pub fn reply(&mut self) -> Result<Reply, Error> {
        match self.next().transpose()? {
            Some(Message::Reply(Reply::Failed(failure))) => Err(failure.into()),
            Some(Message::Reply(reply)) => Ok(reply),
            Some(other) => Err(Error::OutOfTurn(format!("{other:?}"))),
            None => Err(Error::Gone),
        }
    }

    /// For two threads.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl Sender {
    fn request(&mut self, request: &Request) -> Result<(), Error> {
        let text = serde_json::to_vec(request).map_err(io::Error::from).doing("spell a request")?;
        self.frame(Kind::Control, &text)
    }

    /// Standard input for the program. Blocks while the program does not take
    /// it.
    ///
    /// # Errors
    /// What the host said.
    pub fn stdin(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for chunk in bytes.chunks(64 << 10) {
            self.frame(Kind::Stdin, chunk)?;
        }
        Ok(())
    }

    /// No more standard input.
    ///
    /// # Errors
    /// What the host said.
    pub fn close_stdin(&mut self) -> Result<(), Error> {
        self.frame(Kind::Stdin, &[])
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Error> {
        let len = u32::try_from(payload.len()).ok().filter(|len| *len <= MAX_FRAME);
        let len = len
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))
            .doing("say so much to a monitor at once")?;
        let mut bytes = Vec::with_capacity(8 + payload.len());
        bytes.extend(Frame { kind, len }.to_bytes());
        bytes.extend(payload);
        self.0.write_all(&bytes).doing("speak to a monitor")
    }

    /// Ends the conversation: a [`Receiver`] that waits in another thread
    /// returns.
    pub fn hang_up(&self) {
        // It fails if the monitor has closed already, which is the same.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

impl Receiver {
    fn frame(&mut self) -> Result<Option<Message>, Error> {
        if !self.fill(8)? {
            return Ok(None);
        }
        let mut header = [0; 8];
        header.copy_from_slice(self.take(8));
        let frame =
            Frame::from_bytes(header).map_err(|error| Error::OutOfTurn(error.to_string()))?;
        let len = frame.len as usize;
        if !self.fill(len)? {
            return Err(Error::Gone);
        }
        let payload = self.take(len);
        Ok(Some(match frame.kind {
            Kind::Stdout => Message::Stdout(payload.to_vec()),
            Kind::Stderr => Message::Stderr(payload.to_vec()),
            Kind::Control => serde_json::from_slice(payload)
                .map(Message::Reply)
                .map_err(|error| Error::OutOfTurn(error.to_string()))?,
            Kind::Stdin => return Err(Error::OutOfTurn("standard input".to_owned())),
        }))
    }

    /// Frames that come after it are not waited for: [`Error::Late`].
    pub fn not_after(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Reads more, in time.
    fn read(&mut self) -> Result<usize, Error> {
        loop {
            if let Some(deadline) = self.deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Error::Late);
                }
                self.stream.set_read_timeout(Some(left)).doing("bound a wait for a monitor")?;
            }
            match self.stream.read(&mut self.buffer[self.pending.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The deadline: seen above.
                Err(error)
                    if self.deadline.is_some() && error.kind() == io::ErrorKind::WouldBlock => {}
                // It closed with something of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                got => return got.doing("listen to a monitor"),
            }
        }
    }

    /// The stream, and what has been read of it but not been given out.
    pub fn into_stream(mut self) -> (UnixStream, Vec<u8>) {
        self.buffer.truncate(self.pending.end);
        self.buffer.drain(..self.pending.start);
        (self.stream, self.buffer)
    }

    /// Sees to it that `len` bytes are pending; false at a clean end.
    fn fill(&mut self, len: usize) -> Result<bool, Error> {
        while self.pending.len() < len {
            if self.pending.is_empty() {
                self.pending = 0..0;
            } else if self.pending.start > 0 {
                self.buffer.copy_within(self.pending.clone(), 0);
                self.pending = 0..self.pending.len();
            }
            let room = len.max(16 << 10);
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            let got = self.read()?;
            if got == 0 {
                return if self.pending.is_empty() { Ok(false) } else { Err(Error::Gone) };
            }
            self.pending.end += got;
        }
        Ok(true)
    }

    fn take(&mut self, len: usize) -> &[u8] {
        let start = self.pending.start;
        self.pending.start += len;
        &self.buffer[start..start + len]
    }
}

/// The frames, until the monitor closes, or one cannot be had.
impl Iterator for Receiver {
    type Item = Result<Message, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let next = self.frame().transpose();
        self.broken = matches!(next, Some(Err(_)));
        next
    }
}

/// The frames, until the monitor closes.
impl Iterator for Connection {
    type Item = Result<Message, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.next()
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

/// Asks for a single answer: `Resize`, `Signal`, `ReopenLog`, or the state at
/// this moment by `Watch`.
///
/// # Errors
/// [`Error::Failed`] if it is a refusal, [`Error::Absent`] if no monitor
/// listens there.
pub fn ask(dir: &Path, request: &Request) -> Result<Reply, Error> {
    Connection::open(dir, request)?.reply()
}

/// Asks, takes the one answer, and gives up the stream: not a byte that comes
/// after the answer has been read.
///
/// # Errors
/// [`Error::Failed`] if it is a refusal, [`Error::Absent`] if no monitor
/// listens there.
pub fn hand_over(dir: &Path, request: &Request) -> Result<(Reply, UnixStream), Error> {
    let mut sender = Sender(connect(dir)?);
    sender.request(request)?;
    let mut stream = sender.0;
    let mut listen = |into: &mut [u8]| match stream.read_exact(into) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::Gone),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Error::Gone),
        outcome => outcome.doing("listen to a monitor"),
    };
    let mut header = [0; 8];
    listen(&mut header)?;
    let frame = Frame::from_bytes(header).map_err(|error| Error::OutOfTurn(error.to_string()))?;
    if frame.kind != Kind::Control {
        return Err(Error::OutOfTurn(format!("{frame:?}")));
    }
    let mut text = vec![0; frame.len as usize];
    listen(&mut text)?;
    match serde_json::from_slice(&text) {
        Ok(Reply::Failed(failure)) => Err(failure.into()),
        Ok(reply) => Ok((reply, stream)),
        Err(error) => Err(Error::OutOfTurn(error.to_string())),
    }
}

/// How the container in `dir` ended, if its monitor got to write it.
///
/// # Errors
/// What the host said, or `InvalidData`.
pub fn exit(dir: &Path) -> Result<Option<Exit>, Error> {
    let path = dir.join("exit.json");
    let failed = |source| Error::File { doing: "read", path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed(e.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The directory is opened first and named by its descriptor, for the name of
/// a socket may have 107 bytes only.
fn connect(dir: &Path) -> Result<UnixStream, Error> {
    let failed =
        |source| Error::File { doing: "connect to the monitor in", path: dir.into(), source };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = match rustix::fs::open(dir, flags, Mode::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::NOENT) => return Err(Error::Absent(dir.into())),
        Err(errno) => return Err(failed(errno.into())),
    };
    let name = format!("/proc/self/fd/{}/monitor.sock", handle.as_raw_fd());
    match UnixStream::connect(name) {
        Ok(stream) => Ok(stream),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Err(Error::Absent(dir.into()))
        }
        Err(error) => Err(failed(error)),
    }
}

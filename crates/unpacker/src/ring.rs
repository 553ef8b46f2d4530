//! Bytes on their way from one process to another, by memory that both see:
//! they are copied neither into the kernel nor out of it.
//!
//! A ring is a few slots, which are filled and read in turn, and a pair of
//! sockets by which the two say how far they are. The daemon makes it and
//! sends the memory ahead; the process maps it before it gives up its rights.
//!
//! ```text
//!   who writes ── the memory, if the daemon writes ──────────▶ who reads
//!              ── a slot has so many bytes; none: the end ───▶
//!              ◀───── a slot may be filled again (a byte) ────
//! ```
//!
//! # Who is believed
//!
//! Memory has one writer. What the daemon writes is sealed, so that a process
//! that was taken over cannot change what the daemon hashes, nor cut it short.
//! What a process writes the daemon copies, and believes nothing of it: not
//! that it stays as it is, not the numbers, not that an end is an end. A
//! process believes the daemon, which started it.

use crate::{
    Error,
    error::Doing as _,
    start::{is_ready, patience, stuck},
};
use rustix::{
    event::PollFlags,
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
};
use std::{
    io::{self, BufRead, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use sys::shared::{self, Foreign, Lent, Own};

/// Bytes of a slot: few enough for a processor's cache, and so many that
/// saying so costs little beside them.
pub(crate) const SLOT: usize = 128 << 10;
/// One is filled while another is read, and some for who is interrupted.
const SLOTS: usize = 4;
/// Bytes of a ring.
pub(crate) const ALL: usize = SLOT * SLOTS;

/// The end of who writes.
#[derive(Debug)]
pub(crate) struct Filling<S> {
    socket: S,
    memory: Own,
    /// The slot that is being filled, and how far.
    slot: usize,
    have: usize,
    /// How many may be filled, this one among them.
    free: usize,
}

/// The end of who reads.
#[derive(Debug)]
pub(crate) struct Draining<S, M> {
    socket: S,
    memory: M,
    /// The slot that is being read, or is next; what is in it, and how far.
    slot: usize,
    len: usize,
    at: usize,
    ended: bool,
}

/// A ring to a process: its end, and ours.
pub(crate) fn to_process() -> Result<(OwnedFd, Filling<OwnedFd>), Error> {
    let (ours, its_end, file) = pair()?;
    let memory = Own::map(file.as_fd(), ALL).doing("map memory")?;
    shared::seal(file.as_fd()).doing("seal memory")?;
    Ok((its_end, Filling::new(ours, memory)))
}

/// A ring from a process: its end, and ours.
pub(crate) fn from_process() -> Result<(OwnedFd, Draining<OwnedFd, Foreign>), Error> {
    let (ours, its_end, file) = pair()?;
    let memory = Foreign::map(file.as_fd(), ALL).doing("map memory")?;
    Ok((its_end, Draining::new(ours, memory)))
}

/// Our end, its end, in which the memory waits, and the memory.
fn pair() -> Result<(OwnedFd, OwnedFd, OwnedFd), Error> {
    let (unix, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let (ours, its_end) =
        rustix::net::socketpair(unix, SocketType::STREAM, flags, None).doing("make sockets")?;
    let file = shared::new(ALL).doing("make memory")?;
    send(ours.as_fd(), file.as_fd()).doing("send memory")?;
    rustix::io::ioctl_fionbio(&ours, true).doing("bound the waiting for a socket")?;
    Ok((ours, its_end, file))
}

/// The memory that the daemon has sent ahead: `fd` is the process's end.
pub(crate) fn lent(fd: BorrowedFd<'static>) -> io::Result<Draining<BorrowedFd<'static>, Lent>> {
    Ok(Draining::new(fd, Lent::map(receive(fd)?.as_fd(), ALL)?))
}

/// The same where it is the process that writes.
pub(crate) fn own(fd: BorrowedFd<'static>) -> io::Result<Filling<BorrowedFd<'static>>> {
    Ok(Filling::new(fd, Own::map(receive(fd)?.as_fd(), ALL)?))
}

fn send(socket: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    assert!(with.push(SendAncillaryMessage::ScmRights(&files)), "there is room for one");
    rustix::net::sendmsg(socket, &[IoSlice::new(&[0])], &mut with, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut into, &mut with, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = with.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    files.next().and_then(|mut files| files.next()).ok_or_else(nonsense)
}

impl<S: AsFd> Filling<S> {
    fn new(socket: S, memory: Own) -> Self {
        Self { socket, memory, slot: 0, have: 0, free: SLOTS }
    }

    /// Where the next bytes go, of which there is one at least: waits until
    /// there is room.
    ///
    /// # Errors
    /// `BrokenPipe`: nobody wants them.
    pub fn room(&mut self) -> io::Result<&mut [u8]> {
        while self.free == 0 {
            let mut said = [0; SLOTS + 1];
            match hear(self.socket.as_fd(), &mut said)? {
                0 => return Err(io::ErrorKind::BrokenPipe.into()),
                more if more <= SLOTS => self.free = more,
                _ => return Err(nonsense()),
            }
        }
        Ok(&mut self.memory[self.slot * SLOT..][self.have..SLOT])
    }

    /// So many of them are there now. They are on their way with the slot that
    /// is full.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn filled(&mut self, len: usize) -> io::Result<()> {
        self.have += len;
        if self.have == SLOT { self.hand_over() } else { Ok(()) }
    }

    /// Whatever is in the slot is on its way.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn hand_over(&mut self) -> io::Result<()> {
        if self.have == 0 {
            return Ok(());
        }
        self.say(self.have)?;
        (self.slot, self.have) = ((self.slot + 1) % SLOTS, 0);
        self.free -= 1;
        Ok(())
    }

    /// That was all.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn end(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.say(0)
    }

    /// Hands over a source until that ends, or nobody reads any more; the
    /// error is the source's.
    ///
    /// # Errors
    /// What the source said; what the reader says makes no sense.
    pub fn fill(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let filled = loop {
            let room = match self.room() {
                Ok(room) => room,
                Err(e) => break Err(e),
            };
            let done = match from.read(room) {
                Ok(0) => break self.end(),
                Ok(len) => self.filled(len),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if done.is_err() {
                break done;
            }
        };
        match filled {
            // Whoever reads has an end of its own, and tells why.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            filled => filled,
        }
    }

    fn say(&self, len: usize) -> io::Result<()> {
        let len = u32::try_from(len).expect("no longer than a slot");
        say(self.socket.as_fd(), &len.to_le_bytes())
    }
}

impl<S: AsFd, M> Draining<S, M> {
    fn new(socket: S, memory: M) -> Self {
        Self { socket, memory, slot: 0, len: 0, at: 0, ended: false }
    }

    /// Whether more has to be waited for.
    pub fn is_empty(&self) -> bool {
        self.at == self.len && !self.ended
    }

    /// To wait for more.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sees to it that there is more, unless that was all: gives back what was
    /// read, and waits.
    ///
    /// # Errors
    /// `UnexpectedEof`: whoever writes is gone.
    fn more(&mut self) -> io::Result<()> {
        if !self.is_empty() {
            return Ok(());
        }
        if self.len > 0 {
            match say(self.socket.as_fd(), &[0]) {
                // Who has handed over all need not be there any more.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                said => said?,
            }
            (self.slot, self.len, self.at) = ((self.slot + 1) % SLOTS, 0, 0);
        }
        let (mut said, mut have) = ([0; size_of::<u32>()], 0);
        while have < said.len() {
            match hear(self.socket.as_fd(), &mut said[have..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => have += len,
            }
        }
        match usize::try_from(u32::from_le_bytes(said)) {
            Ok(0) => self.ended = true,
            Ok(len) if len <= SLOT => self.len = len,
            _ => return Err(nonsense()),
        }
        Ok(())
    }
}

impl<S: AsFd> BufRead for Draining<S, Lent> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.more()?;
        Ok(self.memory.part(self.slot * SLOT + self.at, self.len - self.at))
    }

    fn consume(&mut self, len: usize) {
        self.at = self.len.min(self.at + len);
    }
}

impl<S: AsFd> Read for Draining<S, Lent> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(into)?;
        self.consume(len);
        Ok(len)
    }
}

impl<S: AsFd> Read for Draining<S, Foreign> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.more()?;
        let len = into.len().min(self.len - self.at);
        self.memory.copy(self.slot * SLOT + self.at, &mut into[..len]);
        self.at += len;
        Ok(len)
    }
}

/// Says something short, for which there always is room in a socket.
fn say(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::io::write(socket, bytes)) {
        Ok(len) if len == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::other(stuck())),
        // It went with something unheard.
        Err(Errno::CONNRESET) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(e) => Err(e.into()),
    }
}

/// Hears what the other end says, and waits for it; 0 where that is gone.
fn hear(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(socket, &mut *into) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if !is_ready(&socket, PollFlags::IN, patience())? {
                    return Err(io::Error::other(stuck()));
                }
            }
            // As above.
            Err(Errno::CONNRESET) => return Ok(0),
            heard => return Ok(heard?),
        }
    }
}

fn nonsense() -> io::Error {
    io::Error::other(Error::Lost("says what makes no sense".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of a ring to a process, in this one.
    fn ring() -> (Filling<OwnedFd>, Draining<OwnedFd, Lent>) {
        let (its_end, filling) = to_process().expect("made");
        let memory = receive(its_end.as_fd()).expect("sent ahead");
        let memory = Lent::map(memory.as_fd(), ALL).expect("mapped");
        (filling, Draining::new(its_end, memory))
    }

    /// Bytes that repeat at no slot's end.
    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).expect("below")).collect()
    }

    #[test]
    fn all_that_goes_in_comes_out() {
        for len in [0, 1, SLOT - 1, SLOT, SLOT + 1, ALL, 3 * ALL + 5] {
            let all = bytes(len);
            let (mut filling, mut draining) = ring();
            let (its_end, mut back) = from_process().expect("made");
            let memory = receive(its_end.as_fd()).expect("sent ahead");
            let memory = Own::map(memory.as_fd(), ALL).expect("mapped");
            let mut passed = Vec::new();
            std::thread::scope(|scope| {
                scope.spawn(|| filling.fill(&mut &all[..]).expect("read"));
                scope.spawn(move || {
                    let mut there = Filling::new(its_end, memory);
                    there.fill(&mut draining).expect("read");
                });
                back.read_to_end(&mut passed).expect("read");
            });
            assert!(passed == all, "{len}");
            assert_eq!(back.read(&mut [0]).expect("at its end"), 0, "{len}");
        }
    }

    #[test]
    fn what_is_handed_over_is_changed_by_nobody_else() {
        let (its_end, mut filling) = to_process().expect("made");
        filling.room().expect("empty")[..4].copy_from_slice(b"good");
        let memory = receive(its_end.as_fd()).expect("sent ahead");
        let mapped = Own::map(memory.as_fd(), ALL).expect_err("sealed");
        assert_eq!(mapped.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(rustix::io::pwrite(&memory, b"evil", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&memory, 0), Err(Errno::PERM));
        let more = rustix::fs::fcntl_add_seals(&memory, rustix::fs::SealFlags::WRITE);
        assert_eq!(more, Err(Errno::PERM));
    }

    #[test]
    fn who_goes_early_is_not_taken_for_who_has_ended() {
        let (mut filling, mut draining) = ring();
        filling.room().expect("empty")[0] = 7;
        filling.filled(1).expect("it is there");
        filling.hand_over().expect("it is there");
        drop(filling);
        let mut all = Vec::new();
        let error = draining.read_to_end(&mut all).expect_err("cut short");
        assert_eq!((error.kind(), &all[..]), (io::ErrorKind::UnexpectedEof, &[7][..]));
        let (mut filling, draining) = ring();
        drop(draining);
        let error = filling.end().expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        filling.fill(&mut &bytes(2 * ALL)[..]).expect("the source is well");
    }

    #[test]
    fn who_is_full_gets_a_slot_back_before_it_goes_on() {
        let (mut filling, mut draining) = ring();
        let fill = |filling: &mut Filling<OwnedFd>, byte| {
            filling.room().map(|room| room.fill(byte))?;
            filling.filled(SLOT)
        };
        let holds = |draining: &mut Draining<OwnedFd, Lent>, byte| {
            let slot = draining.fill_buf().expect("there");
            slot.len() == SLOT && slot.iter().all(|found| *found == byte)
        };
        for byte in [0, 1, 2, 3] {
            fill(&mut filling, byte).expect("free");
        }
        assert!(holds(&mut draining, 0));
        draining.consume(SLOT);
        // Who asks for the next gives back the first.
        assert!(holds(&mut draining, 1));
        fill(&mut filling, 4).expect("the first");
        assert!(holds(&mut draining, 1));
        // It would be the one that is being read.
        drop(draining);
        let error = filling.room().expect_err("none was given back");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

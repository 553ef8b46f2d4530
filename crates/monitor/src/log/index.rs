//! Where in a log file a time is.
//!
//! Beside each file lies one of the name `log-index.INODE`: pairs of an offset
//! and the latest time of any line before it, one pair about every
//! [`STRIDE`] bytes of the log. Both only grow, even where the clock does not,
//! so a reader finds by halving where nothing before can be of interest.
//!
//! The name is the inode's, so that a rotation has nothing to rename here. It
//! is an aid and no more: without one a log is read from its beginning, and
//! what cannot be written is given up.

use super::dated;
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use spec::log::{
    Form,
    index::{HEAD, Mark, STRIDE, head, name},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// The most that the end of a run leaves without a mark: a stride, what was
/// gathered to be written at once, and some.
const UNMARKED: u64 = 1 << 20;

/// The index of the current file.
#[derive(Debug)]
pub struct Index {
    inode: u64,
    form: Form,
    /// None as long as there is nothing to be marked.
    fd: Option<OwnedFd>,
    /// The last mark.
    last: Mark,
    /// The latest time of any line so far, but for those that an earlier run
    /// has left without a mark.
    latest: u64,
    /// Where these end, as long as nobody has asked them for their times.
    undated: u64,
}

impl Index {
    /// Opens the index of the file with this inode in `dir`, which has `size`
    /// bytes.
    ///
    /// # Errors
    /// What the host said; and if too much was written without being marked.
    pub fn open(dir: BorrowedFd<'_>, inode: u64, size: u64, form: Form) -> io::Result<Self> {
        let last = Mark::default();
        let mut index = Self { inode, form, fd: None, last, latest: 0, undated: 0 };
        if size == 0 {
            // Of another file that had the inode.
            forget(dir, inode);
            return Ok(index);
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(dir, name(inode), flags, Mode::empty()) {
            Ok(fd) => {
                let (last, end) = last_of(fd.as_fd(), inode, size)?;
                begin(&fd, inode, end)?;
                (index.last, index.latest) = (last, last.latest);
                index.fd = Some(fd);
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        if size - index.last.end > UNMARKED {
            let words = "its last lines were written by somebody who made none";
            return Err(io::Error::other(words));
        }
        index.undated = size;
        Ok(index)
    }

    /// The log has `size` bytes now, the newest of them of this time.
    pub fn note(&mut self, files: Files<'_>, size: u64, time: u64) -> io::Result<()> {
        self.latest = self.latest.max(time);
        if size - self.last.end >= STRIDE { self.mark(files, size) } else { Ok(()) }
    }

    /// No more will be written: marks the end of what has marks.
    pub fn end(&mut self, files: Files<'_>, size: u64) -> io::Result<()> {
        if self.fd.is_some() && size > self.last.end { self.mark(files, size) } else { Ok(()) }
    }

    /// The latest time of any line.
    ///
    /// # Errors
    /// What the host said, and if nobody knows it.
    pub fn latest(&mut self, files: Files<'_>) -> io::Result<u64> {
        if self.undated > self.last.end {
            let part = self.last.end..self.undated;
            let found = dated::latest(files.log, self.form, part)?;
            let known = found.ok_or_else(|| io::Error::other("its lines' times are unknown"))?;
            self.latest = self.latest.max(known);
            self.undated = 0;
        }
        Ok(self.latest)
    }

    /// How far the marks go.
    pub fn covers(&self) -> u64 {
        self.last.end
    }

    fn mark(&mut self, files: Files<'_>, size: u64) -> io::Result<()> {
        let latest = self.latest(files)?;
        if self.fd.is_none() {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
            let flags = flags | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o640);
            let fd = rustix::fs::openat(files.dir, name(self.inode), flags, mode)?;
            begin(&fd, self.inode, HEAD.len() as u64)?;
            self.fd = Some(fd);
        }
        let mark = Mark { end: size, latest };
        if let Some(fd) = &self.fd {
            // A part of one, on a full disk, is cut off when it is opened next.
            let written = rustix::io::write(fd, &mark.to_bytes())?;
            if written < Mark::SIZE {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.last = mark;
        Ok(())
    }
}

/// What an index lies beside.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The directory of both.
    pub dir: BorrowedFd<'a>,
    /// The log itself.
    pub log: BorrowedFd<'a>,
}

/// Writes the head, and goes on behind what is whole.
fn begin(fd: &OwnedFd, inode: u64, end: u64) -> io::Result<()> {
    rustix::io::pwrite(fd, &head(inode), 0)?;
    rustix::fs::ftruncate(fd, end)?;
    rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(end))?;
    Ok(())
}

/// The last whole mark that can be right of a file of `size` bytes, and where
/// it ends in its index; none stands for none, and for a foreign index.
///
/// A loss of power may take the end of the log and leave its marks, or leave
/// zeros in their place.
fn last_of(fd: BorrowedFd<'_>, inode: u64, size: u64) -> io::Result<(Mark, u64)> {
    const NONE: (Mark, u64) = (Mark { end: 0, latest: 0 }, HEAD.len() as u64);
    let mut found = [0; HEAD.len()];
    if rustix::io::pread(fd, &mut found, 0)? < found.len() || found != head(inode) {
        return Ok(NONE);
    }
    let len = rustix::fs::fstat(fd)?.st_size.cast_unsigned();
    let marks = len.saturating_sub(NONE.1) / Mark::SIZE as u64;
    for number in (0..marks).rev() {
        let mut mark = [0; Mark::SIZE];
        let at = NONE.1 + number * Mark::SIZE as u64;
        if rustix::io::pread(fd, &mut mark, at)? < mark.len() {
            continue;
        }
        let mark = Mark::from_bytes(mark);
        if mark.end > 0 && mark.end <= size {
            return Ok((mark, at + Mark::SIZE as u64));
        }
    }
    Ok(NONE)
}

/// Takes away the index of a file that goes.
pub fn forget(dir: BorrowedFd<'_>, inode: u64) {
    match rustix::fs::unlinkat(dir, name(inode), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => eprintln!("cannot remove the index of a log: {errno}"),
    }
}

//! The file being written, and the older ones.
//!
//! `path` is current; when it is full it becomes `path.1`, which was before
//! `path.2`, and so on; a new current file has a new inode, so that a reader
//! that still has the old one open can finish it.

use rustix::fs::{FileType, Mode, OFlags, SeekFrom, fstat};
use std::{
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// One container's files.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    fd: OwnedFd,
    /// Of the current file.
    size: u64,
    /// 0 for no limit.
    max_bytes: u64,
    max_files: u32,
    /// It has a size that can be cut back.
    regular: bool,
}

impl File {
    /// Opens the current file for more, or makes it.
    pub fn open(path: &Path, max_bytes: u64, max_files: u32) -> io::Result<Self> {
        let (fd, size, regular) = open(path, OFlags::empty())?;
        Ok(Self { path: path.into(), fd, size, max_bytes, max_files, regular })
    }

    /// Would the current file be full with so many bytes more?
    pub fn is_full_with(&self, more: usize) -> bool {
        self.max_bytes > 0 && self.size + more as u64 >= self.max_bytes
    }

    /// Appends whole lines, all or nothing; a file that is full is rotated
    /// first.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_full_with(0) {
            self.rotate()?;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match rustix::io::write(&self.fd, rest) {
                Ok(len) => rest = &rest[len..],
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    if rest.len() < lines.len() && self.regular {
                        // No half line may stay, or the next would be spoilt too.
                        rustix::fs::ftruncate(&self.fd, self.size)?;
                    }
                    return Err(errno.into());
                }
            }
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Goes to whatever is called `path` now.
    pub fn reopen(&mut self) -> io::Result<()> {
        (self.fd, self.size, self.regular) = open(&self.path, OFlags::empty())?;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.max_files < 2 {
            rustix::fs::unlink(&self.path)?;
        } else {
            for number in (1..self.max_files - 1).rev() {
                gone_is_fine(rustix::fs::rename(self.older(number), self.older(number + 1)))?;
            }
            gone_is_fine(rustix::fs::rename(&self.path, self.older(1)))?;
        }
        // A name that is back already is somebody's trap: do not follow it.
        (self.fd, self.size, self.regular) = open(&self.path, OFlags::EXCL)?;
        Ok(())
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

fn gone_is_fine(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Err(rustix::io::Errno::NOENT) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens or makes a file; a last line torn by a loss of power is ended.
fn open(path: &Path, extra: OFlags) -> io::Result<(OwnedFd, u64, bool)> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | extra;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?;
    let stat = fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok((fd, 0, false));
    }
    let mut size = stat.st_size.cast_unsigned();
    if size > 0 {
        let mut last = [0];
        rustix::fs::seek(&fd, SeekFrom::Start(size - 1))?;
        rustix::io::read(&fd, &mut last)?;
        if last != *b"\n" {
            rustix::io::write(&fd, b"\n")?;
            size += 1;
        }
    }
    Ok((fd, size, true))
}

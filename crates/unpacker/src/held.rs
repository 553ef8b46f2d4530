//! A user namespace that the daemon holds open for a process of its own.

use rustix::fs::{Mode, OFlags, fstat, open};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

/// How such a process finds it, and knows it again: all that it is given are
/// its standard streams.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    process: u32,
    number: i32,
    device: u64,
    inode: u64,
}

impl Held {
    /// By this process, as long as `fd` is open.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let (device, inode) = identity(fd)?;
        Ok(Self { process: std::process::id(), number: fd.as_raw_fd(), device, inode })
    }

    /// # Errors
    /// What the host said; another is there now.
    pub fn open(self) -> io::Result<OwnedFd> {
        let path = format!("/proc/{}/fd/{}", self.process, self.number);
        let fd = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        if identity(rustix::fd::AsFd::as_fd(&fd))? != (self.device, self.inode) {
            return Err(io::Error::other("whoever held it has gone"));
        }
        Ok(fd)
    }
}

fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

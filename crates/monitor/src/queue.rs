//! Bytes that wait until a descriptor takes them.

use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// First in, first out; no memory while it is empty.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: Vec<u8>,
    /// What of it has been written.
    done: usize,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing waits.
    Empty,
    /// The rest waits.
    Waits,
    /// Nobody will ever read it.
    Broken,
}

impl Queue {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Does none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets bytes wait.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > 64 << 10 {
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what `fd` takes without blocking.
    pub fn flush(&mut self, fd: impl AsFd) -> Outcome {
        while !self.is_empty() {
            match rustix::io::write(&fd, &self.bytes[self.done..]) {
                Ok(len) => self.done += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Outcome::Waits,
                Err(_) => {
                    *self = Self::default();
                    return Outcome::Broken;
                }
            }
        }
        *self = Self::default();
        Outcome::Empty
    }

    /// Writes `parts` behind what waits: at once what `fd` takes, and the rest
    /// waits.
    pub fn write(&mut self, fd: BorrowedFd<'_>, parts: [&[u8]; 2]) -> Outcome {
        let mut taken = 0;
        if self.is_empty() {
            let slices = parts.map(std::io::IoSlice::new);
            taken = loop {
                match rustix::io::writev(fd, &slices) {
                    Ok(len) => break len,
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break 0,
                    Err(_) => return Outcome::Broken,
                }
            };
        }
        for part in parts {
            let skip = taken.min(part.len());
            taken -= skip;
            if skip < part.len() {
                self.push(&part[skip..]);
            }
        }
        if self.is_empty() { Outcome::Empty } else { Outcome::Waits }
    }
}

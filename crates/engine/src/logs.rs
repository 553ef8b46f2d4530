//! What a container said.

use crate::{Engine, Error, Nanos};

/// Which of a container's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; a terminal's too.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line (or a part of 16 KiB of one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Whence.
    pub stream: Stream,
    /// When the monitor read it.
    pub at: Nanos,
    /// With its newline, if it has one.
    pub text: Vec<u8>,
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct LogWish {
    /// Of standard output.
    pub stdout: bool,
    /// Of standard error.
    pub stderr: bool,
    /// Go on until it stops.
    pub follow: bool,
    /// Not before; 0 for all.
    pub since: Nanos,
    /// Not after; 0 for all.
    pub until: Nanos,
    /// The last so many; all if none.
    pub tail: Option<u64>,
}

/// Lines to be read by a blocking thread.
pub struct Logs {
    /// The container has a terminal: no frames are to be put around lines.
    pub tty: bool,
}

/// Ends a [`Logs`] that waits for more, from another thread, when dropped.
pub struct EndLogs {}

impl Logs {
    /// Hands out what ends it early: to be dropped when the client leaves.
    pub fn end(&self) -> EndLogs {
        todo!()
    }
}

impl Iterator for Logs {
    type Item = Result<LogLine, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl Engine {
    /// Reads a container's log.
    ///
    /// # Errors
    /// No such container; neither stream wanted; its log driver is `none`.
    pub fn logs(&self, reference: &str, wish: LogWish) -> Result<Logs, Error> {
        todo!()
    }
}

//! Reads a container's log files, as the monitor and Docker's `json-file`
//! driver write them.
//!
//! A [`Reader`] goes through the rotated files from the oldest (`path.N`) to
//! the current one (`path`), or from the last lines of them; told to follow,
//! it then waits for more until its [`Stop`] is used: from another thread,
//! [`Stop::ended`] when the container has ended (what is written is still
//! read), [`Stop::cancel`] when nobody wants it any more.

use std::{io, path::Path, sync::Arc};

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only the last so many, both streams counted; all if none.
    pub tail: Option<u64>,
    /// Only from this time on, in nanoseconds since the epoch.
    pub since: Option<u64>,
    /// Only until this time.
    pub until: Option<u64>,
    /// Wait for more at the end.
    pub follow: bool,
}

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One line, or a part of a very long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was written.
    pub stream: Stream,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// With its newline, if it is the end of a line.
    pub line: String,
}

/// Goes through the files.
#[derive(Debug)]
pub struct Reader {
    stop: Arc<Stop>,
}

/// Ends a [`Reader`] that follows.
#[derive(Debug)]
pub struct Stop {}

impl Stop {
    /// The container has ended: read to the end, then stop.
    pub fn ended(&self) {}

    /// Stop now.
    pub fn cancel(&self) {}
}

impl Reader {
    /// Opens the log whose current file is `path`.
    ///
    /// # Errors
    /// What the host said. A file that does not exist yet is an empty one.
    pub fn open(path: &Path, options: Options) -> io::Result<Self> {
        let _ = (path, options);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// For another thread.
    pub fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

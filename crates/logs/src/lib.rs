//! Reads a container's log files, as the monitor and Docker's drivers
//! `json-file` and `local` write them; which of the two, the files tell.
//!
//! A [`Reader`] goes through the rotated files from the oldest (`path.N`) to
//! the current one (`path`), or from the last lines of them; told to follow,
//! it then waits for more until its [`Stop`] is used: from another thread,
//! [`Stop::ended`] when the container has ended (what is written is still
//! read), [`Stop::cancel`] when nobody wants it any more. It keeps open what it
//! reads, so a rotation takes nothing from it. As long as one follows it holds
//! a shared lock of the directory, and the writer keeps for it what would go
//! (64 MiB at most; what is beyond is lost to it, as it is to everyone).
//!
//! A time is found by the writer's index ([`spec::log::index`]): what lies
//! before it is not read. Without one, or with one that is not of its file, a
//! log is read from its beginning.
//!
//! ```text
//!  open ──▶ path.2, path.1, path ──▶ end of file ──▶ done
//!                        ▲                │ follow
//!                        │                ▼
//!                        └─ wait (inotify, Stop): more, rotated or truncated
//! ```

mod chain;
mod follow;
mod framed;
mod index;
mod json;
mod lines;
mod reader;

pub use follow::Stop;
pub use reader::Reader;

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only the last so many, both streams counted; all if none. Applied
    /// before the times, as Docker does.
    pub tail: Option<u64>,
    /// Only from this time on, in nanoseconds since the epoch.
    pub since: Option<u64>,
    /// Only until this time; a reader that follows ends when it has come.
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
    /// Nanoseconds since the epoch; [`spec::stamp::Stamp::fixed`] spells it
    /// as `logs --timestamps` does.
    pub time: u64,
    /// With its newline, if it is the end of a line.
    pub line: Vec<u8>,
    /// What else the log tells of it (`attrs`): labels, variables, a tag.
    pub attrs: std::collections::BTreeMap<String, String>,
}

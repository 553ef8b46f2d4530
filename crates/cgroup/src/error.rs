//! What can go wrong with a control group, in words.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a control group could not be made, limited, read or removed.
///
/// `Display` names only this layer; what the kernel said is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither version is mounted.
    #[error("no cgroup file system is mounted on this machine")]
    NotMounted,
    /// `/proc` says something that no kernel is known to say.
    #[error("cannot make sense of {line:?} in {file}")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// The line in it.
        line: String,
    },
    /// The path cannot name a group.
    #[error("{0:?} cannot name a control group")]
    BadPath(String),
    /// There is no such group, in any hierarchy.
    #[error("there is no control group {}", .0.display())]
    Missing(PathBuf),
    /// A new container would share it.
    #[error("control group {} already holds {count} processes", path.display())]
    InUse {
        /// The group.
        path: PathBuf,
        /// How many processes are in it.
        count: usize,
    },
    /// The machine lacks what a limit needs.
    #[error("cannot set {limit}: this machine has no {controller} controller for it")]
    NoController {
        /// The limit that was asked for.
        limit: String,
        /// What it would need.
        controller: String,
    },
    /// The controller is there, this file of it is not.
    #[error("cannot set {limit}: this kernel does not offer it")]
    Unsupported {
        /// The limit that was asked for.
        limit: String,
    },
    /// A value that no kernel could take.
    #[error("cannot set {limit}: {why}")]
    BadLimit {
        /// The limit that was asked for.
        limit: String,
        /// What is wrong with it.
        why: String,
    },
    /// More memory is in use than the limit, and could not be freed.
    #[error("unable to set memory limit to {limit} (current usage: {current}, peak usage: {peak})")]
    MemoryInUse {
        /// The limit that was asked for.
        limit: String,
        /// Bytes in use.
        current: u64,
        /// The most there ever was.
        peak: u64,
    },
    /// The processes in it would not stop, or would not go.
    #[error("control group {} did not become {wanted} within {seconds} s", path.display())]
    TimedOut {
        /// The group.
        path: PathBuf,
        /// `frozen`, `empty`.
        wanted: &'static str,
        /// How long it was given.
        seconds: u64,
    },
    /// systemd, which was to keep the group, did not.
    #[error(transparent)]
    Systemd(#[from] crate::systemd::Error),
    /// The machine refused something.
    #[error("cannot {doing} {}", path.display())]
    Host {
        /// A bare verb phrase.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The machine refused a value.
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What should have stood in it.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such group.
    NotFound,
    /// The request makes no sense on this machine, or on any.
    Invalid,
    /// The group is in use, or stays in use.
    Busy,
    /// The machine failed us.
    Host,
}

impl Error {
    /// Sorts the error for callers.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::BadPath(_)
            | Self::NoController { .. }
            | Self::Unsupported { .. }
            | Self::BadLimit { .. } => Kind::Invalid,
            Self::InUse { .. } | Self::MemoryInUse { .. } | Self::TimedOut { .. } => Kind::Busy,
            Self::Systemd(error) if error.is_taken() => Kind::Busy,
            Self::NotMounted
            | Self::Malformed { .. }
            | Self::Systemd(_)
            | Self::Host { .. }
            | Self::Write { .. } => Kind::Host,
        }
    }

    /// What the kernel said, if it was the kernel.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Host { source, .. } | Self::Write { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// Adds the verb and the path where they are known: at the call.
pub(crate) trait Doing<T> {
    fn doing(self, verb: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Host { doing, path: path.into(), source: error.into() })
    }
}

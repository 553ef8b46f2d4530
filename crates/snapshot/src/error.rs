//! What can go wrong between a tar and a tree.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
};

/// Why a layer or a root could not be handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The archive is broken, or tries what no archive may.
    #[error("{entry:?}: {reason}")]
    Refused {
        /// Which entry, as it names itself.
        entry: String,
        /// What it tried.
        reason: String,
    },
    /// The archive is no tar, or ends too early.
    #[error("malformed archive: {0}")]
    Malformed(String),
    /// It would take more than it may.
    #[error("archive exceeds the limit of {limit} {of}")]
    TooMuch {
        /// The limit.
        limit: u64,
        /// Of what.
        of: Cow<'static, str>,
    },
    /// Whoever gives us the archive failed.
    #[error("cannot read the archive")]
    Input(#[source] io::Error),
    /// Whoever takes the archive from us failed.
    #[error("cannot write the archive")]
    Output(#[source] io::Error),
    /// No such file in the container.
    #[error("no such file or directory: {0}")]
    NotFound(String),
    /// It exists and is of the wrong kind.
    #[error("{0}")]
    WrongKind(String),
    /// A root that has no record here.
    #[error("container {0} has no root here")]
    NoRoot(String),
    /// The host refused something.
    #[error("cannot {doing} {}", path.display())]
    Host {
        /// A bare verb phrase; not ours where another process met the error.
        doing: Cow<'static, str>,
        /// What it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such thing.
    NotFound,
    /// The input is at fault.
    Invalid,
    /// The machine failed us.
    Host,
}

impl Error {
    /// Sorts the error for callers.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoRoot(_) => Kind::NotFound,
            Self::Refused { .. }
            | Self::Malformed(_)
            | Self::TooMuch { .. }
            | Self::WrongKind(_)
            | Self::Input(_) => Kind::Invalid,
            Self::Output(_) | Self::Host { .. } => Kind::Host,
        }
    }
}

/// Adds the verb and the path where they are known: at the call.
pub(crate) trait Doing<T> {
    fn doing(self, verb: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|e| Error::Host {
            doing: doing.into(),
            path: path.as_ref().into(),
            source: e.into(),
        })
    }
}

//! What can go wrong with images.

use spec::Digest;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a call into the image store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing by that name.
    #[error("No such image: {0}")]
    Missing(String),
    /// A prefix of more than one id.
    #[error("ambiguous image identifier {0}: it fits more than one image")]
    Ambiguous(String),
    /// The text is no name.
    #[error(transparent)]
    Reference(#[from] spec::reference::NotAReference),
    /// It cannot go; worded as Docker words it.
    #[error("conflict: {0}")]
    Conflict(String),
    /// What came in is broken, hostile, or not carried.
    #[error("{0}")]
    Invalid(String),
    /// Its bytes are not what was announced.
    #[error("content of digest {found} where {expected} was announced")]
    Digest {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A layer or a root could not be handled.
    #[error("cannot {doing}")]
    Snapshot {
        /// A bare verb phrase.
        doing: &'static str,
        /// Why.
        source: snapshot::Error,
    },
    /// The records cannot be read or written.
    #[error("cannot {doing} in the image records")]
    Records {
        /// A bare verb phrase.
        doing: &'static str,
        /// What the data base said.
        source: rusqlite::Error,
    },
    /// Whoever gives us the content failed.
    #[error("cannot read the content")]
    Input(#[source] io::Error),
    /// The process that was to take an archive apart was lost, or is not to
    /// be had.
    #[error("cannot unpack the content")]
    Worker(#[source] unpacker::Error),
    /// Whoever takes the content from us failed.
    #[error("cannot write the content")]
    Output(#[source] io::Error),
    /// The host refused something.
    #[error("cannot {doing} {}", path.display())]
    Host {
        /// A bare verb phrase.
        doing: &'static str,
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
    /// It clashes with what is there.
    Conflict,
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
            Self::Missing(_) => Kind::NotFound,
            Self::Conflict(_) => Kind::Conflict,
            Self::Ambiguous(_)
            | Self::Reference(_)
            | Self::Invalid(_)
            | Self::Digest { .. }
            | Self::Input(_) => Kind::Invalid,
            Self::Snapshot { source, .. } => match source.kind() {
                snapshot::Kind::NotFound => Kind::NotFound,
                snapshot::Kind::Invalid => Kind::Invalid,
                snapshot::Kind::Host => Kind::Host,
            },
            Self::Records { .. } | Self::Worker(_) | Self::Output(_) | Self::Host { .. } => {
                Kind::Host
            }
        }
    }
}

impl From<unpacker::Error> for Error {
    fn from(error: unpacker::Error) -> Self {
        match error {
            unpacker::Error::Input(e) => Self::Input(e),
            unpacker::Error::Archive(source) => {
                Self::Snapshot { doing: "unpack the layer", source }
            }
            lost => Self::Worker(lost),
        }
    }
}

impl Error {
    /// Of a stream that could not be read on.
    pub(crate) fn input(error: io::Error) -> Self {
        unpacker::Error::of_stream(error).into()
    }
}

/// Adds the verb and the path where they are known: at the call.
pub(crate) trait Doing<T> {
    fn doing(self, verb: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error::Host { doing, path: path.as_ref().into(), source })
    }
}

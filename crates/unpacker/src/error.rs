//! What can go wrong between an archive and a tree.

use std::io;

/// Why an archive was not taken apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Whoever gives us the archive failed, or it is no stream of its kind.
    #[error("cannot read the archive")]
    Input(#[source] io::Error),
    /// The archive is at fault, or the host.
    #[error(transparent)]
    Archive(#[from] snapshot::Error),
    /// The process that was to take it apart is gone, or stuck.
    #[error("the process that unpacks it {0}")]
    Lost(String),
    /// The host refused something.
    #[error("cannot {0}")]
    Host(&'static str, #[source] io::Error),
}

/// What a caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such place.
    NotFound,
    /// The archive is at fault.
    Invalid,
    /// The machine failed us.
    Host,
}

impl Error {
    /// Sorts the error for callers.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Input(_) => Kind::Invalid,
            Self::Archive(error) => match error.kind() {
                snapshot::Kind::NotFound => Kind::NotFound,
                snapshot::Kind::Invalid => Kind::Invalid,
                snapshot::Kind::Host => Kind::Host,
            },
            Self::Lost(_) | Self::Host(..) => Kind::Host,
        }
    }

    /// An error of a stream: of [`Inflated`](crate::Inflated), taken out of
    /// its wrapping, or of whoever gave it.
    #[must_use]
    pub fn of_stream(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Input(error),
        }
    }
}

/// Adds the verb where it is known: at the call.
pub(crate) trait Doing<T> {
    fn doing(self, verb: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, verb: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::Host(verb, error.into()))
    }
}

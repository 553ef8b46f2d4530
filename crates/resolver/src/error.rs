//! What can go wrong between the daemon and its resolver.

use std::{io, path::PathBuf};

/// Why there is no resolver, or it was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host refused something.
    #[error("cannot {0}")]
    Host(&'static str, #[source] io::Error),
    /// The host refused something about a file.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// A bare verb phrase: "start".
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended, or was killed.
    #[error("the resolver has gone")]
    Gone,
    /// It does not read, or does not answer.
    #[error("the resolver does not answer")]
    Late,
    /// It speaks otherwise.
    #[error("the resolver spoke out of turn: {0}")]
    OutOfTurn(String),
    /// It could not give up its rights.
    #[error(transparent)]
    Confine(#[from] ::confine::Error),
    /// A container with names beyond count.
    #[error(
        "the names of one container take {0} bytes, and 1048576 are allowed: give it fewer aliases"
    )]
    TooLong(usize),
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

//! Why files could not be found, read or put in place.

use std::{io, path::PathBuf};

/// Why. `Display` is what the author of a Dockerfile sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The instruction is at fault.
    #[error("{0}")]
    Invalid(String),
    /// A source that is not there.
    #[error("{0}: no such file or directory")]
    Missing(String),
    /// The host refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Host {
        /// A bare verb phrase.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Adds the verb and the path where they are known: at the call.
pub(crate) trait Doing<T> {
    fn doing(self, verb: &'static str, path: impl AsRef<[u8]>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: impl AsRef<[u8]>) -> Result<T, Error> {
        self.map_err(|error| Error::Host {
            doing,
            path: String::from_utf8_lossy(path.as_ref()).into_owned().into(),
            source: error.into(),
        })
    }
}

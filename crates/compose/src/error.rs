//! What is wrong with a project, and where.

use crate::node::At;

/// Why there is no project.
///
/// A mistake in a file begins with its place: `FILE:LINE:COLUMN: `.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in a file.
    #[error("{at}: {what}")]
    Wrong {
        /// Where it stands.
        at: At,
        /// What is wrong, and what is wanted.
        what: String,
    },
    /// There is no file.
    #[error("no configuration file provided: not found")]
    NoFiles,
    /// Something that is wrong with no single place.
    #[error("{0}")]
    Unfit(String),
    /// A file that the project needs.
    #[error("cannot read {path}")]
    File {
        /// Its path.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Most functions here end in this.
pub type Outcome<T> = Result<T, Error>;

/// A mistake at a place.
pub(crate) fn wrong(at: &At, what: impl Into<String>) -> Error {
    Error::Wrong { at: at.clone(), what: what.into() }
}

/// A mistake without one.
pub(crate) fn unfit(what: impl Into<String>) -> Error {
    Error::Unfit(what.into())
}

//! Why a build failed, for the author of the Dockerfile.

use crate::{Error, Kind};

/// Why, in words; with the exit code of the program that failed, and the line
/// at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// For people.
    pub message: String,
    /// Of a `RUN` that failed.
    pub code: Option<u8>,
    /// In the Dockerfile, from 1.
    pub line: Option<usize>,
    /// How it is to be sorted.
    pub kind: Kind,
}

impl BuildError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None, line: None, kind: Kind::Invalid }
    }

    /// Not the author's fault.
    pub fn ours(message: impl Into<String>) -> Self {
        Self { kind: Kind::Host, ..Self::invalid(message) }
    }

    pub(super) fn cancelled() -> Self {
        Self { kind: Kind::Conflict, ..Self::invalid("Build cancelled") }
    }

    /// Names the line, unless a line was named before.
    #[must_use]
    pub(super) fn at(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        Self { message: crate::error::chain(&error), code: None, line: None, kind: error.kind() }
    }
}

impl From<image::Error> for BuildError {
    fn from(error: image::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<snapshot::Error> for BuildError {
    fn from(error: snapshot::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<unpacker::Error> for BuildError {
    fn from(error: unpacker::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<build::Error> for BuildError {
    fn from(error: build::Error) -> Self {
        let kind = match error {
            build::Error::Host { .. } => Kind::Host,
            _ => Kind::Invalid,
        };
        Self { message: error.to_string(), code: None, line: None, kind }
    }
}

impl From<dockerfile::Error> for BuildError {
    fn from(error: dockerfile::Error) -> Self {
        let line = error.lines.map(|lines| lines.first);
        Self { line, ..Self::invalid(error.to_string()) }
    }
}

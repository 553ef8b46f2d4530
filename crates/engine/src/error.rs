//! Why a verb could not be done.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What a caller may do about an error: the only thing `api` branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such thing: 404.
    NotFound,
    /// It clashes with what is there: 409.
    Conflict,
    /// The request makes no sense: 400.
    Invalid,
    /// It is already so: 304.
    NotModified,
    /// Not allowed, to anyone: 403.
    Forbidden,
    /// This engine does not do that: 501.
    Unsupported,
    /// The machine failed us: 500.
    Host,
}

/// Why a verb could not be done. `Display` is what a client sees, in
/// Docker's wording where clients parse it; the cause, if any, is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No container by that name or identifier.
    #[error("No such container: {0}")]
    NoContainer(String),
    /// A prefix of more than one identifier.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// No image by that name or digest.
    #[error("No such image: {0}")]
    NoImage(String),
    /// No exec session by that identifier.
    #[error("No such exec instance: {0}")]
    NoExec(String),
    /// No volume by that name.
    #[error("get {0}: no such volume")]
    NoVolume(String),
    /// No network by that name or identifier.
    #[error("network {0} not found")]
    NoNetwork(String),
    /// No such file in a container.
    #[error("Could not find the file {path} in container {container}")]
    NoFile {
        /// As asked for.
        path: String,
        /// As named by the client.
        container: String,
    },
    /// Somebody has that name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The identifier of the container that has it.
        holder: String,
    },
    /// It is so already.
    #[error("{0}")]
    NotModified(String),
    /// The request clashes with the state of something.
    #[error("{0}")]
    Conflict(String),
    /// The request is at fault.
    #[error("{0}")]
    Invalid(String),
    /// Nobody may do that.
    #[error("{0}")]
    Forbidden(String),
    /// Not carried, and said so.
    #[error("{0}")]
    Unsupported(String),
    /// The program could not be started; `invalid` if its command is to blame.
    #[error("{message}")]
    Start {
        /// For people, and for the Docker CLI, which reads its exit code from it.
        message: String,
        /// The exit code that `docker run` shall have: 125, 126 or 127.
        code: u8,
    },
    /// The host refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Host {
        /// A bare verb phrase: "open", "rename into place".
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    /// Sorts the error for callers.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoContainer(_)
            | Self::NoImage(_)
            | Self::NoExec(_)
            | Self::NoVolume(_)
            | Self::NoNetwork(_)
            | Self::NoFile { .. } => Kind::NotFound,
            Self::NameTaken { .. } | Self::Conflict(_) => Kind::Conflict,
            Self::Ambiguous(_) | Self::Invalid(_) => Kind::Invalid,
            Self::Start { code, .. } if *code > 125 => Kind::Invalid,
            Self::NotModified(_) => Kind::NotModified,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Unsupported(_) => Kind::Unsupported,
            Self::Start { .. } | Self::Host { .. } => Kind::Host,
        }
    }
}

/// Adds the verb and the path where they are known: at the call.
pub trait Doing<T> {
    /// # Errors
    /// The same failure, with context.
    fn doing(self, verb: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|error| Error::Host {
            doing,
            path: path.as_ref().into(),
            source: error.into(),
        })
    }
}

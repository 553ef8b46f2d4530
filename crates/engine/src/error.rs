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
    /// Other credentials are needed: 401.
    Unauthorized,
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
    /// One by that name, for other machines than was asked for.
    #[error(
        "image with reference {image} was found but does not match the specified platform: \
         wanted {wanted}, actual: {actual}"
    )]
    OtherPlatform {
        /// As named by the client.
        image: String,
        /// `os/architecture[/variant]`.
        wanted: String,
        /// The same, by its configuration.
        actual: String,
    },
    /// No exec session by that identifier.
    #[error("No such exec instance: {0}")]
    NoExec(String),
    /// No volume by that name.
    #[error("get {0}: no such volume")]
    NoVolume(String),
    /// No scoped socket by that name.
    #[error("no such socket: {0}")]
    NoSocket(String),
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
    /// The program could not be started.
    #[error("{message}")]
    Start {
        /// For people, and for the Docker CLI, which reads its exit code from it.
        message: String,
        /// The exit code that `docker run` shall have: 125, 126 or 127.
        code: u8,
    },
    /// The records could not be written.
    #[error("cannot write to the records: {0}")]
    Records(String),
    /// Something else of the house failed, and says so itself.
    #[error("{message}")]
    Below {
        /// How it is to be sorted.
        kind: Kind,
        /// The whole chain of causes, in one line.
        message: String,
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
            | Self::OtherPlatform { .. }
            | Self::NoExec(_)
            | Self::NoVolume(_)
            | Self::NoNetwork(_)
            | Self::NoSocket(_)
            | Self::NoFile { .. } => Kind::NotFound,
            Self::NameTaken { .. } | Self::Conflict(_) => Kind::Conflict,
            Self::Ambiguous(_) | Self::Invalid(_) => Kind::Invalid,
            Self::Start { code, .. } if *code > 125 => Kind::Invalid,
            Self::NotModified(_) => Kind::NotModified,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Unsupported(_) => Kind::Unsupported,
            Self::Below { kind, .. } => *kind,
            Self::Start { .. } | Self::Records(_) | Self::Host { .. } => Kind::Host,
        }
    }

    pub(crate) fn records(error: &dyn std::fmt::Display) -> Self {
        Self::Records(error.to_string())
    }

    /// An error of a room below, with its causes.
    pub(crate) fn below(kind: Kind, error: &dyn std::error::Error) -> Self {
        Self::Below { kind, message: chain(error) }
    }
}

/// An error and its causes in one line: the first layer to speak to clients
/// has one line only.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some layers repeat what lies below them.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

impl From<policy::Refusal> for Error {
    fn from(refusal: policy::Refusal) -> Self {
        let words = refusal.to_string();
        match refusal.kind() {
            policy::Kind::Invalid | policy::Kind::Conflict => Self::Invalid(words),
            policy::Kind::Unsupported => Self::Unsupported(words),
        }
    }
}

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Self {
        if let image::Error::Missing(name) = error {
            return Self::NoImage(name);
        }
        let kind = match error.kind() {
            image::Kind::NotFound => Kind::NotFound,
            image::Kind::Conflict => Kind::Conflict,
            image::Kind::Invalid => Kind::Invalid,
            image::Kind::Host => Kind::Host,
        };
        Self::below(kind, &error)
    }
}

impl From<snapshot::Error> for Error {
    fn from(error: snapshot::Error) -> Self {
        let kind = match error.kind() {
            snapshot::Kind::NotFound => Kind::NotFound,
            snapshot::Kind::Invalid => Kind::Invalid,
            snapshot::Kind::Host => Kind::Host,
        };
        Self::below(kind, &error)
    }
}

impl From<unpacker::Error> for Error {
    fn from(error: unpacker::Error) -> Self {
        match error {
            unpacker::Error::Archive(error) => error.into(),
            unpacker::Error::Input(_) => Self::below(Kind::Invalid, &error),
            _ => Self::below(Kind::Host, &error),
        }
    }
}

impl From<network::Error> for Error {
    fn from(error: network::Error) -> Self {
        let kind = match error.kind() {
            network::Kind::Invalid => Kind::Invalid,
            // Docker answers 500 for a port that is taken, and clients know.
            network::Kind::Conflict | network::Kind::Host => Kind::Host,
        };
        Self::below(kind, &error)
    }
}

impl From<cgroup::Error> for Error {
    fn from(error: cgroup::Error) -> Self {
        let kind = match error.kind() {
            cgroup::Kind::NotFound => Kind::NotFound,
            cgroup::Kind::Invalid => Kind::Invalid,
            cgroup::Kind::Busy => Kind::Conflict,
            cgroup::Kind::Host => Kind::Host,
        };
        Self::below(kind, &error)
    }
}

impl From<watch::Error> for Error {
    fn from(error: watch::Error) -> Self {
        match error {
            watch::Error::Failed(failure) => failure.into(),
            other => Self::below(Kind::Host, &other),
        }
    }
}

impl From<spec::wire::Failure> for Error {
    fn from(failure: spec::wire::Failure) -> Self {
        // Shells' numbers: 127 for a command that is not there, 126 for one
        // that is and cannot be run.
        const ENOENT: i32 = 2;
        let code = match failure.command {
            true if failure.errno == ENOENT => 127,
            true => 126,
            false => 125,
        };
        Self::Start { message: failure.message, code }
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

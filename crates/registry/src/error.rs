//! What can go wrong with registries.

use spec::Digest;
use std::{io, path::PathBuf};

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has no such manifest; Docker's words.
    #[error("manifest for {reference} not found: {words}")]
    NoManifest {
        /// As people write it.
        reference: String,
        /// The registry's.
        words: String,
    },
    /// It does not show the repository to us; Docker's words.
    #[error(
        "pull access denied for {repository}, repository does not exist or may require \
         'docker login': {words}"
    )]
    Denied {
        /// As people write it.
        repository: String,
        /// The registry's.
        words: String,
    },
    /// There is no image for what it shall run on; Docker's words.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoPlatform(String),
    /// There is one image, and it is for something else; Docker's words.
    #[error(
        "image with reference {reference} was found but does not match the specified platform: \
         wanted {wanted}, actual: {actual}"
    )]
    OtherPlatform {
        /// As people write it.
        reference: String,
        /// Asked for.
        wanted: String,
        /// By its configuration.
        actual: String,
    },
    /// It has no index of its repositories.
    #[error("{0} cannot be searched: it has no /v1/search, as most registries have not")]
    Unsearchable(String),
    /// It wants to know who we are, or does not believe it.
    #[error("{registry}: {words}")]
    Unauthorized {
        /// Its host.
        registry: String,
        /// The registry's, or ours.
        words: String,
    },
    /// It answered, and not with what was asked for.
    #[error("cannot {doing}: {registry} answered {status}: {words}")]
    Answer {
        /// A bare verb phrase.
        doing: &'static str,
        /// Its host.
        registry: String,
        /// Of HTTP.
        status: u16,
        /// The registry's.
        words: String,
    },
    /// It cannot be talked to.
    #[error("cannot {doing}: {registry} cannot be reached")]
    Reach {
        /// A bare verb phrase.
        doing: &'static str,
        /// Its host.
        registry: String,
        /// Why.
        source: reqwest::Error,
    },
    /// What it gave is broken, hostile, or not carried.
    #[error("{0}")]
    Invalid(String),
    /// What it gave is not what was announced.
    #[error("content of digest {found} where {expected} was announced")]
    Digest {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A blob could not be had to its end.
    #[error("cannot fetch {digest}")]
    Blob {
        /// Which.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// What this host has for talking to it is of no use.
    #[error("cannot use {}: {words}", path.display())]
    Setup {
        /// A certificate, or a directory of them.
        path: PathBuf,
        /// Why.
        words: String,
    },
    /// Whoever wanted it has left.
    #[error("nobody waits for it any more")]
    Left,
    /// The store would not have it, or does not have it.
    #[error(transparent)]
    Image(#[from] image::Error),
}

/// What a caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such thing, as far as we may see.
    NotFound,
    /// Other credentials are needed.
    Unauthorized,
    /// The request is at fault.
    Invalid,
    /// The registry does not do that.
    Unsupported,
    /// It clashes with what is there.
    Conflict,
    /// The registry or the host failed us.
    Host,
}

impl Error {
    /// Whether it says nothing about the content: it may come another time.
    pub(crate) fn is_of_the_way(&self) -> bool {
        match self {
            Self::Left
            | Self::Reach { .. }
            | Self::Blob { .. }
            | Self::Answer { .. }
            | Self::Unauthorized { .. } => true,
            Self::Image(error) => error.kind() == image::Kind::Host,
            _ => false,
        }
    }
}

impl Error {
    /// Sorts the error for callers.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoManifest { .. }
            | Self::Denied { .. }
            | Self::NoPlatform(_)
            | Self::OtherPlatform { .. } => Kind::NotFound,
            Self::Unsearchable(_) => Kind::Unsupported,
            Self::Unauthorized { .. } => Kind::Unauthorized,
            Self::Image(error) => match error.kind() {
                image::Kind::NotFound => Kind::NotFound,
                image::Kind::Conflict => Kind::Conflict,
                image::Kind::Invalid => Kind::Invalid,
                image::Kind::Host => Kind::Host,
            },
            // The client asked rightly; the registry did not give rightly.
            Self::Answer { .. }
            | Self::Reach { .. }
            | Self::Invalid(_)
            | Self::Digest { .. }
            | Self::Blob { .. }
            | Self::Setup { .. }
            | Self::Left => Kind::Host,
        }
    }

    /// It is the fault of who was asked, so that another may do better.
    pub(crate) fn is_of_the_endpoint(&self) -> bool {
        match self {
            Self::Left | Self::Setup { .. } => false,
            Self::Image(error) => error.kind() == image::Kind::Invalid,
            _ => true,
        }
    }
}

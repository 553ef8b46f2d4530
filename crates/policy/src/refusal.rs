//! Why no sandbox can be built.

/// What the request did wrong, or the host cannot do.
///
/// Where Docker's daemon refuses the same thing, the words are the ones its
/// clients know; where only we refuse, they say the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request makes no sense, wherever it is made.
    #[error("{0}")]
    Invalid(String),
    /// It makes sense, and this host or this engine cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// Two parts of the request exclude each other.
    #[error("conflicting options: {0}")]
    Conflict(String),
}

/// How a caller sorts a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The asker must change the request.
    Invalid,
    /// Another host or another engine might do it.
    Unsupported,
    /// Parts of the request, or it and what is there, exclude each other.
    Conflict,
}

impl Refusal {
    /// Shorthand for the commonest.
    pub(crate) fn invalid(words: impl Into<String>) -> Self {
        Self::Invalid(words.into())
    }

    pub(crate) fn unsupported(words: impl Into<String>) -> Self {
        Self::Unsupported(words.into())
    }

    pub(crate) fn conflict(words: impl Into<String>) -> Self {
        Self::Conflict(words.into())
    }

    /// Sorts the refusal for callers. Status codes are `api`'s business.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Unsupported(_) => Kind::Unsupported,
            Self::Conflict(_) => Kind::Conflict,
        }
    }
}

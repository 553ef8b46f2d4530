//! Why systemd has not done what it was asked for, in words.

use super::wire::Malformed;
use std::io;

/// One reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `linux.cgroupsPath` has another form. The words are runc's.
    #[error(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, \
         got {0:?} instead"
    )]
    BadPath(String),
    /// No slice can be called so.
    #[error("invalid slice name: {0:?}")]
    BadSlice(String),
    /// No scope can be called so.
    #[error("invalid scope name: {0:?}")]
    BadUnit(String),
    /// An annotation that is no property.
    #[error("annotation {key}={text:?}: {why}")]
    BadProperty {
        /// The annotation's name.
        key: String,
        /// What it says.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody listens.
    #[error("cannot connect to systemd at {path}")]
    Connect {
        /// The socket.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It knows better than to let us in.
    #[error("systemd does not let us in: {0:?}")]
    Refused(String),
    /// The connection broke.
    #[error("lost the connection to systemd")]
    Talk(#[source] io::Error),
    /// It did not answer.
    #[error("systemd did not answer within {0} s")]
    TimedOut(u64),
    /// It answered something that is no answer.
    #[error("cannot make sense of systemd's answer")]
    Malformed(#[from] Malformed),
    /// It would not.
    #[error("{text}")]
    Answer {
        /// The error's name, as `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// What systemd says.
        text: String,
    },
    /// It tried.
    #[error("error creating systemd unit `{unit}`: got `{result}`")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `timeout`, `canceled`, …
        result: String,
    },
    /// The process that holds a new scope could not be made or is gone.
    #[error("cannot {0} the process that holds the scope open")]
    Anchor(&'static str, #[source] io::Error),
    /// systemd keeps its groups where we cannot see them.
    #[error(
        "systemd keeps the scope's control group at {0:?}, which is outside of what is mounted"
    )]
    Elsewhere(String),
}

impl Error {
    /// Whether it is an answer of this name, without its common beginning.
    pub(super) fn is(&self, short: &str) -> bool {
        matches!(self, Self::Answer { name, .. }
            if name.strip_prefix("org.freedesktop.systemd1.") == Some(short))
    }

    /// Whether somebody else has a unit of this name.
    pub fn is_taken(&self) -> bool {
        self.is("UnitExists")
    }
}

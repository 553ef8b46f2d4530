//! The daemon's side of a monitor.
//!
//! - A [`Nursery`] is the process that monitors are forked from.
//! - [`launch`] has a container's monitor made there and leads it through the
//!   launching dialogue of [`spec::wire`]: [`Launching`], then [`Running`].
//! - [`Connection`] asks a monitor that runs, perhaps one that an earlier
//!   daemon launched, through `monitor.sock`; [`ask`] for a single answer,
//!   [`hand_over`] for an answer and a stream that others are to copy.
//! - [`exit`] reads what a monitor left behind.
//!
//! Every call blocks; each socket can be taken out for those who would rather
//! poll. Nothing here knows namespaces: the room exists so that the daemon can
//! talk to monitors without linking what makes containers.

mod connect;
mod launch;
mod nursery;

pub use connect::{Connection, Message, Receiver, Sender, ask, exit, hand_over};
pub use launch::{Alive, Launch, Launching, Running, launch};
pub use nursery::Nursery;

use spec::wire::Failure;
use std::{io, path::PathBuf};

/// Why a monitor could not be launched or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host refused something.
    #[error("cannot {doing}")]
    Host {
        /// A verb phrase with its object.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The host refused something about a file.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// A bare verb phrase.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No monitor listens there.
    #[error("no monitor answers in {}", .0.display())]
    Absent(PathBuf),
    /// The monitor says why the container, or what was asked of it, cannot be.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It closed the connection without a word: it died.
    #[error("the monitor has gone without a word")]
    Gone,
    /// It did not answer in the time given.
    #[error("the monitor has not answered in time")]
    Late,
    /// It said something that makes no sense there.
    #[error("the monitor spoke out of turn: {0}")]
    OutOfTurn(String),
}

/// Adds the verb where it is known: at the call.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Host { doing, source: source.into() })
    }
}

//! Where a container is in its life.

use crate::Nanos;
use serde::{Deserialize, Serialize};

/// Where a container is in its life. Data that exists only in one state
/// lives in that state: there is no pid to misread once it has exited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// On disk; nothing in the kernel. Also after a start that failed.
    Created,
    /// A monitor is coming up and init waits for "go".
    Starting,
    /// The user's program runs.
    Running {
        /// As the host sees it.
        pid: i32,
    },
    /// Frozen by its cgroup.
    Paused {
        /// As the host sees it.
        pid: i32,
    },
    /// Ended; to be started again by its restart policy.
    Restarting {
        /// Not before.
        at: Nanos,
    },
    /// Ended; [`Last`](crate::Last) says how.
    Exited,
    /// Being removed.
    Removing,
    /// Could not be removed whole; `rm` may be tried again.
    Dead,
}

impl State {
    /// Docker's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created | Self::Starting => "created",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Restarting { .. } => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// Init as the host sees it, while there is one.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Running { pid } | Self::Paused { pid } => Some(*pid),
            _ => None,
        }
    }

    /// Docker's `State.Running`: true of a paused one as well.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }
}

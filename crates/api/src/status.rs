//! The `STATUS` column of `docker ps`.

use crate::when::human;
use engine::{Container, Nanos, State};
use std::time::Duration;

/// What to say of a container at the instant `now`.
pub fn text(container: &Container, now: Nanos) -> String {
    let last = &container.last;
    let since = |at: Nanos| human(Duration::from_nanos(now.saturating_sub(at)));
    match &container.state {
        State::Created | State::Starting => "Created".into(),
        State::Running { .. } => format!("Up {}", since(last.started)),
        State::Paused { .. } => format!("Up {} (Paused)", since(last.started)),
        State::Restarting { .. } => {
            format!("Restarting ({}) {} ago", last.code, since(last.finished))
        }
        State::Exited => format!("Exited ({}) {} ago", last.code, since(last.finished)),
        State::Removing => "Removal In Progress".into(),
        State::Dead => "Dead".into(),
    }
}

//! The `STATUS` column of `docker ps`.

use crate::when::human;
use engine::{Container, HealthStatus, Nanos, State};
use std::time::Duration;

/// What to say of a container at the instant `now`.
pub fn text(container: &Container, now: Nanos) -> String {
    let last = &container.last;
    let since = |at: Nanos| human(Duration::from_nanos(now.saturating_sub(at)));
    match &container.state {
        State::Created | State::Starting => "Created".into(),
        State::Running { .. } => {
            let health = container.health.as_ref().map(|health| match health.status {
                HealthStatus::Starting => " (health: starting)",
                HealthStatus::Healthy => " (healthy)",
                HealthStatus::Unhealthy => " (unhealthy)",
            });
            format!("Up {}{}", since(last.started), health.unwrap_or_default())
        }
        State::Paused { .. } => format!("Up {} (Paused)", since(last.started)),
        State::Restarting { .. } => {
            format!("Restarting ({}) {} ago", last.code, since(last.finished))
        }
        State::Exited => format!("Exited ({}) {} ago", last.code, since(last.finished)),
        State::Removing => "Removal In Progress".into(),
        State::Dead => "Dead".into(),
    }
}

//! What the daemon counts of its own doing, since it started.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Upper ends of what durations are sorted by, in milliseconds.
pub const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// Durations of one kind of action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many took no longer than each of [`BOUNDS`].
    pub within: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// All together, in nanoseconds.
    pub sum: u64,
}

impl Durations {
    fn add(&mut self, took: Duration) {
        for (within, bound) in self.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(took <= Duration::from_millis(bound));
        }
        self.count += 1;
        self.sum += u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    }
}

/// All counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of containers that were made.
    pub create: Durations,
    /// Of programs that were started, by whomever.
    pub start: Durations,
    /// Of containers that were removed.
    pub delete: Durations,
    /// Programs that could not be started.
    pub failed_starts: u64,
    /// Probes of health checks.
    pub probes: u64,
    /// Of those, how many did not succeed.
    pub failed_probes: u64,
}

/// Counts.
#[derive(Default)]
pub(crate) struct Meter(Mutex<Counts>);

impl Meter {
    /// What was counted so far.
    pub fn now(&self) -> Counts {
        self.with(|counts| *counts)
    }

    /// For an instant.
    pub fn with<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts one action that succeeded, and how long it took.
    pub fn took(&self, begun: Instant, of: impl FnOnce(&mut Counts) -> &mut Durations) {
        let took = begun.elapsed();
        self.with(|counts| of(counts).add(took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_within_every_bound_that_it_kept() {
        let mut durations = Durations::default();
        durations.add(Duration::from_millis(10));
        durations.add(Duration::from_secs(31));
        assert_eq!(durations.within, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!((durations.count, durations.sum), (2, 31_010_000_000));
    }
}

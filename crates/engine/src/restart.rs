//! Whether and when a container that has ended is started again.

use crate::{Error, Last, Nanos};
use spec::docker::RestartPolicy;

/// First pause; each further failure in a row doubles it.
const FIRST: Nanos = 100_000_000;
const LONGEST: Nanos = 60_000_000_000;
/// One that ran this long did not fail at once.
const LONG_ENOUGH: Nanos = 10_000_000_000;

/// # Errors
/// A policy that makes no sense, in Docker's words.
pub(crate) fn check(policy: &RestartPolicy, auto_remove: bool) -> Result<(), Error> {
    let count = policy.maximum_retry_count;
    let invalid = |words: &str| Err(Error::Invalid(words.to_owned()));
    match policy.name.as_str() {
        "always" | "unless-stopped" | "on-failure" if auto_remove => {
            invalid("can't create 'AutoRemove' container with restart policy")
        }
        "" | "no" | "always" | "unless-stopped" if count != 0 => invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        "on-failure" if count < 0 => {
            invalid("invalid restart policy: maximum retry count cannot be negative")
        }
        "" | "no" | "always" | "unless-stopped" | "on-failure" => Ok(()),
        other => Err(Error::Invalid(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
             'on-failure', or 'unless-stopped'"
        ))),
    }
}

/// How it came to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// Its exit code.
    pub code: u8,
    /// Somebody stopped it.
    pub by_hand: bool,
    /// How often it was started again before.
    pub restarts: u32,
}

/// Does the policy want it started again?
pub(crate) fn wanted(policy: &RestartPolicy, end: End) -> bool {
    if end.by_hand {
        return false;
    }
    match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let most = policy.maximum_retry_count;
            end.code != 0 && (most == 0 || i64::from(end.restarts) < most)
        }
        _ => false,
    }
}

/// Does the policy want it started when the engine comes up, and it does not run?
pub(crate) fn wanted_at_dawn(policy: &RestartPolicy, end: End) -> bool {
    match policy.name.as_str() {
        "always" => true,
        _ => wanted(policy, end),
    }
}

/// How long to wait, and how many failures in a row there have been now.
pub(crate) fn pause(last: &Last, in_a_row: u32) -> (Nanos, u32) {
    let ran = last.finished.saturating_sub(last.started);
    let in_a_row = if ran >= LONG_ENOUGH { 0 } else { in_a_row };
    let pause = FIRST.saturating_mul(1 << in_a_row.min(20)).min(LONGEST);
    (pause, in_a_row + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, count: i64) -> RestartPolicy {
        RestartPolicy { name: name.into(), maximum_retry_count: count }
    }

    const FAILED: End = End { code: 1, by_hand: false, restarts: 0 };

    #[test]
    fn a_stop_by_hand_outranks_every_policy() {
        for name in ["no", "always", "unless-stopped", "on-failure"] {
            assert!(!wanted(&policy(name, 0), End { by_hand: true, ..FAILED }), "{name}");
        }
    }

    #[test]
    fn on_failure_counts_and_wants_a_failure() {
        assert!(!wanted(&policy("on-failure", 0), End { code: 0, ..FAILED }));
        assert!(wanted(&policy("on-failure", 0), End { restarts: 99, ..FAILED }));
        assert!(wanted(&policy("on-failure", 2), End { restarts: 1, ..FAILED }));
        assert!(!wanted(&policy("on-failure", 2), End { restarts: 2, ..FAILED }));
    }

    #[test]
    fn always_and_unless_stopped_differ_when_the_engine_comes_up() {
        let stopped = End { code: 0, by_hand: true, restarts: 0 };
        assert!(wanted_at_dawn(&policy("always", 0), stopped));
        assert!(!wanted_at_dawn(&policy("unless-stopped", 0), stopped));
        assert!(wanted_at_dawn(&policy("unless-stopped", 0), FAILED));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_a_long_run_forgives() {
        let short = Last { started: 1, finished: 2, ..Last::default() };
        assert_eq!(pause(&short, 0), (FIRST, 1));
        assert_eq!(pause(&short, 3), (FIRST * 8, 4));
        assert_eq!(pause(&short, 40), (LONGEST, 41));
        let long = Last { started: 0, finished: LONG_ENOUGH, ..Last::default() };
        assert_eq!(pause(&long, 7), (FIRST, 1));
    }

    #[test]
    fn policies_without_sense_are_refused() {
        assert!(check(&policy("on-failure", 3), false).is_ok());
        for (name, count, remove) in [
            ("often", 0, false),
            ("always", 1, false),
            ("no", 1, false),
            ("on-failure", -1, false),
            ("always", 0, true),
        ] {
            assert!(check(&policy(name, count), remove).is_err(), "{name} {count} {remove}");
        }
    }
}

//! Where a container is in its life, and what moves it on.

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

/// What happened, or what someone wants to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Someone wants it to run.
    Start,
    /// Its program runs.
    Began { pid: i32 },
    /// Its program could not be started; it had run before, or never.
    GaveUp { ran_before: bool },
    /// Someone wants it frozen.
    Pause,
    /// Someone wants it to go on.
    Resume,
    /// Its program ended; to be started again at a time, or not.
    Ended { again: Option<Nanos> },
    /// It is not to be started again.
    Stay,
    /// Someone wants it gone.
    Remove,
    /// Something of it would not go.
    Stuck,
    /// A new daemon found it alive.
    Adopt { pid: i32, frozen: bool },
}

/// The step makes no sense here; shown to the user as a 409.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {step} a container that is {state}")]
pub(crate) struct Refused {
    step: &'static str,
    state: &'static str,
}

impl State {
    /// The only place where a container changes state.
    pub(crate) fn after(&self, step: Step) -> Result<Self, Refused> {
        use {State as S, Step as T};
        Ok(match (self, step) {
            (S::Created | S::Exited | S::Restarting { .. }, T::Start) => S::Starting,
            (S::Starting, T::Began { pid }) => S::Running { pid },
            (S::Starting, T::GaveUp { ran_before: false }) => S::Created,
            (S::Running { pid }, T::Pause) => S::Paused { pid: *pid },
            (S::Paused { pid }, T::Resume) => S::Running { pid: *pid },
            (S::Starting, T::GaveUp { ran_before: true })
            | (S::Starting | S::Running { .. } | S::Paused { .. }, T::Ended { again: None })
            | (S::Restarting { .. }, T::Stay) => S::Exited,
            (S::Running { .. } | S::Paused { .. }, T::Ended { again: Some(at) }) => {
                S::Restarting { at }
            }
            (S::Created | S::Exited | S::Restarting { .. } | S::Dead, T::Remove) => S::Removing,
            (S::Removing, T::Stuck) => S::Dead,
            (
                S::Created
                | S::Starting
                | S::Running { .. }
                | S::Paused { .. }
                | S::Exited
                | S::Restarting { .. },
                T::Adopt { pid, frozen },
            ) => {
                if frozen {
                    S::Paused { pid }
                } else {
                    S::Running { pid }
                }
            }
            (state, step) => return Err(Refused { step: step.verb(), state: state.word() }),
        })
    }

    /// All of Docker's words for where a container is.
    pub const WORDS: [&'static str; 7] =
        ["created", "running", "paused", "restarting", "exited", "removing", "dead"];

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

impl Step {
    fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Began { .. } => "mark as begun",
            Self::GaveUp { .. } => "give up on",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Ended { .. } => "mark as ended",
            Self::Stay => "leave alone",
            Self::Remove => "remove",
            Self::Stuck => "mark as stuck",
            Self::Adopt { .. } => "adopt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exited_container_cannot_be_paused() {
        let refused = State::Exited.after(Step::Pause).expect_err("must refuse");
        assert_eq!(refused.to_string(), "cannot pause a container that is exited");
    }

    #[test]
    fn pause_then_resume_keeps_the_pid() {
        let before = State::Running { pid: 7 };
        let after = before.after(Step::Pause).and_then(|s| s.after(Step::Resume));
        assert_eq!(after, Ok(before));
    }

    #[test]
    fn a_start_that_failed_leaves_it_as_it_was() {
        for (before, ran_before) in [(State::Created, false), (State::Exited, true)] {
            let starting = before.after(Step::Start).expect("can be started");
            assert_eq!(starting.after(Step::GaveUp { ran_before }), Ok(before));
        }
    }

    #[test]
    fn a_running_container_is_not_removed_under_its_program() {
        for state in [State::Running { pid: 7 }, State::Paused { pid: 7 }, State::Starting] {
            assert!(state.after(Step::Remove).is_err(), "{state:?}");
        }
    }

    #[test]
    fn nothing_comes_back_from_removal_but_another_removal() {
        let steps = [
            Step::Start,
            Step::Began { pid: 7 },
            Step::Ended { again: None },
            Step::Adopt { pid: 7, frozen: false },
        ];
        for step in steps {
            assert!(State::Removing.after(step).is_err(), "{step:?}");
            assert!(State::Dead.after(step).is_err(), "{step:?}");
        }
        assert_eq!(State::Dead.after(Step::Remove), Ok(State::Removing));
    }

    #[test]
    fn one_that_waits_for_its_restart_can_be_told_to_stay() {
        let ended = State::Running { pid: 7 }.after(Step::Ended { again: Some(9) });
        assert_eq!(ended, Ok(State::Restarting { at: 9 }));
        assert_eq!(State::Restarting { at: 9 }.after(Step::Stay), Ok(State::Exited));
    }
}

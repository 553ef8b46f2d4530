//! Attacks, as scripts that a container's shell runs.
//!
//! An attack test runs each twice: first in a container weakened on purpose,
//! where it must succeed, so that the test is known to bite; then in a default
//! one, where it must fail.

use crate::Engine;

/// An attack and the options that make it succeed.
pub struct Attack<'a> {
    /// Options of `run` without which the attack would succeed.
    pub weakened: &'a [&'a str],
    /// A shell script that exits with 0 if it got what it wanted.
    pub script: &'a str,
}

impl Attack<'_> {
    /// Succeeds against the weakened container and fails against the default.
    ///
    /// # Panics
    /// If the attack does not bite, or gets through.
    pub fn is_stopped(&self, engine: &Engine) {
        let bites = engine.container(self.weakened, self.script);
        assert_eq!(
            bites.code, 0,
            "must succeed with {:?}: {} {bites:?}",
            self.weakened, self.script
        );
        self.fails(engine);
    }

    /// Fails against the default, where no weakening could show it succeed.
    ///
    /// # Panics
    /// If the attack gets through.
    pub fn fails(&self, engine: &Engine) {
        let stopped = engine.container(&[], self.script);
        assert_ne!(stopped.code, 0, "got through: {} {stopped:?}", self.script);
        assert!(!(125..=127).contains(&stopped.code), "did not even run: {stopped:?}");
    }
}

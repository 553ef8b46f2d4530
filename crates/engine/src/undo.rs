//! Taking back half-done work.

use crate::Error;

/// Steps to take back, newest first, unless the work is [kept](Undo::keep).
///
/// A step reports its own failure and never stops the ones after it.
#[must_use = "dropping it at once undoes the work at once"]
#[derive(Default)]
pub(crate) struct Undo<'a>(Vec<(&'static str, Step<'a>)>);

type Step<'a> = Box<dyn FnOnce() -> Result<(), Error> + Send + 'a>;

impl<'a> Undo<'a> {
    /// Remembers how to take back what was just done.
    pub fn with(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Error> + Send + 'a,
    ) {
        self.0.push((name, Box::new(step)));
    }

    /// The work stands: forget every step.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some((name, step)) = self.0.pop() {
            if let Err(error) = step() {
                tracing::warn!(%error, "cannot {name}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn half_done_work_is_taken_back_newest_first_even_past_a_failure() {
        let done = Mutex::new(Vec::new());
        let note = |n| done.lock().expect("one thread").push(n);
        let mut undo = Undo::default();
        undo.with("take back the first", || {
            note(1);
            Ok(())
        });
        undo.with("take back the second", || Err(Error::Invalid("stuck".into())));
        undo.with("take back the third", || {
            note(3);
            Ok(())
        });
        drop(undo);
        assert_eq!(*done.lock().expect("one thread"), [3, 1]);
    }

    #[test]
    fn kept_work_stands() {
        let mut undo = Undo::default();
        undo.with("take back what stands", || panic!("must not run"));
        undo.keep();
    }
}

//! What the stages of a build come to, for the stages that wait for them.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// What each stage has come to; none if to nothing.
pub(super) struct Ends<T> {
    all: Mutex<BTreeMap<usize, Option<T>>>,
    turned: Condvar,
}

impl<T> Default for Ends<T> {
    fn default() -> Self {
        Self { all: Mutex::default(), turned: Condvar::new() }
    }
}

/// A stage under way. Dropped before it has ended, by a fault of the engine's
/// too, it has come to nothing: nobody waits for it in vain.
pub(super) struct Turn<'a, T> {
    ends: &'a Ends<T>,
    index: usize,
}

impl<T: Clone> Ends<T> {
    /// A stage begins.
    pub fn turn(&self, index: usize) -> Turn<'_, T> {
        Turn { ends: self, index }
    }

    /// What a stage has come to, when it has ended.
    pub fn wait(&self, index: usize) -> Option<T> {
        let mut all = self.all();
        loop {
            match all.get(&index) {
                Some(end) => return end.clone(),
                None => all = self.turned.wait(all).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The same, without waiting.
    pub fn of(&self, index: usize) -> Option<T> {
        self.all().get(&index).cloned().flatten()
    }
}

impl<T> Ends<T> {
    fn all(&self) -> MutexGuard<'_, BTreeMap<usize, Option<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Turn<'_, T> {
    /// The stage has come to something.
    pub fn came_to(self, end: T) {
        self.ends.all().insert(self.index, Some(end));
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.ends.all().entry(self.index).or_insert(None);
        self.ends.turned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_stage_that_met_a_fault() {
        let ends = Ends::<u8>::default();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| (ends.wait(1), ends.wait(2)));
            let fault = scope.spawn(|| {
                let _turn = ends.turn(1);
                panic!("a fault");
            });
            assert!(fault.join().is_err());
            ends.turn(2).came_to(7);
            assert_eq!(waits.join().expect("no panic"), (None, Some(7)));
        });
        assert_eq!((ends.of(1), ends.of(2), ends.of(3)), (None, Some(7), None));
    }
}

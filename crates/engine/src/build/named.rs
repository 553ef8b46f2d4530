//! Builds that can be called off by the names that their clients gave them.

use super::Cancel;
use crate::Engine;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Builds under way, by their names: a later one of the same name takes it.
#[derive(Default)]
pub(crate) struct Named(Mutex<All>);

#[derive(Default)]
struct All {
    /// How many there have been.
    count: u64,
    builds: BTreeMap<String, (u64, Cancel)>,
}

impl Named {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, name: &str, cancel: &Cancel) -> u64 {
        let mut all = self.all();
        all.count += 1;
        let number = all.count;
        all.builds.insert(name.to_owned(), (number, cancel.clone()));
        number
    }

    fn remove(&self, name: &str, number: u64) {
        let mut all = self.all();
        if all.builds.get(name).is_some_and(|(known, _)| *known == number) {
            all.builds.remove(name);
        }
    }
}

/// A build can be called off by its name while this is held.
pub struct NamedBuild {
    engine: Engine,
    name: String,
    number: u64,
}

impl Drop for NamedBuild {
    fn drop(&mut self) {
        self.engine.0.named_builds.remove(&self.name, self.number);
    }
}

impl Engine {
    /// Gives a build a name; none if that is empty.
    pub fn name_build(&self, name: &str, cancel: &Cancel) -> Option<NamedBuild> {
        if name.is_empty() {
            return None;
        }
        let number = self.0.named_builds.add(name, cancel);
        Some(NamedBuild { engine: self.clone(), name: name.to_owned(), number })
    }

    /// Calls a build off. One that is not there has ended, and needs none.
    pub fn cancel_build(&self, name: &str) {
        let known = self.0.named_builds.all().builds.get(name).map(|(_, cancel)| cancel.clone());
        if let Some(cancel) = known {
            cancel.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_ends_leaves_the_name_to_who_took_it() {
        let named = Named::default();
        let first = named.add("x", &Cancel::default());
        let second = named.add("x", &Cancel::default());
        named.remove("x", first);
        assert!(named.all().builds.contains_key("x"), "it is the second's");
        named.remove("x", second);
        assert!(named.all().builds.is_empty());
    }
}

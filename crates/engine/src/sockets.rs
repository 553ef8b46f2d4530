//! Sockets for those who may do less, as they are recorded. What is allowed on
//! them is `api`'s to say and to hold.

use crate::{Engine, Error, Nanos, store::Write};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

/// The fact that they are recorded under.
pub(crate) const FACT: &str = "sockets";

/// A socket of a client that may do some things to some containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScopedSocket {
    /// Of its directory below the run root, too.
    pub name: String,
    /// What is allowed, in words.
    pub allow: BTreeSet<String>,
    /// Labels that a container has to have, all of them.
    pub labels: BTreeMap<String, String>,
    /// Its owner on the host.
    pub uid: u32,
    /// Its group on the host; whoever is in it may connect.
    pub gid: u32,
    /// When it was made.
    pub created: Nanos,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<BTreeMap<String, ScopedSocket>>);

impl Sockets {
    /// Reads the fact.
    ///
    /// # Errors
    /// It cannot be read: nobody is let in on a guess.
    pub fn read(facts: &BTreeMap<String, String>) -> Result<Self, Error> {
        let Some(text) = facts.get(FACT) else { return Ok(Self::default()) };
        let all: Vec<ScopedSocket> = serde_json::from_str(text).map_err(|e| Error::records(&e))?;
        Ok(Self(Mutex::new(all.into_iter().map(|one| (one.name.clone(), one)).collect())))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ScopedSocket>> {
        self.0.lock().expect("no holder panics")
    }
}

impl Engine {
    /// All scoped sockets, by name.
    pub fn scoped_sockets(&self) -> Vec<ScopedSocket> {
        self.0.sockets.lock().values().cloned().collect()
    }

    /// Records a new one.
    ///
    /// # Errors
    /// Its name is taken, or the records cannot be written.
    pub fn add_scoped_socket(&self, new: ScopedSocket) -> Result<(), Error> {
        let mut all = self.0.sockets.lock();
        if all.contains_key(&new.name) {
            return Err(Error::Conflict(format!("there is a socket {} already", new.name)));
        }
        let mut after = all.clone();
        after.insert(new.name.clone(), new);
        self.0.keep_sockets(&after)?;
        *all = after;
        Ok(())
    }

    /// Strikes one from the records, for good.
    ///
    /// # Errors
    /// There is none, or the records cannot be written.
    pub fn forget_scoped_socket(&self, name: &str) -> Result<(), Error> {
        let mut all = self.0.sockets.lock();
        let mut after = all.clone();
        if after.remove(name).is_none() {
            return Err(Error::NoSocket(name.to_owned()));
        }
        self.0.keep_sockets(&after)?;
        *all = after;
        Ok(())
    }
}

impl crate::house::House {
    fn keep_sockets(&self, all: &BTreeMap<String, ScopedSocket>) -> Result<(), Error> {
        let all: Vec<&ScopedSocket> = all.values().collect();
        let value = serde_json::to_string(&all).map_err(|e| Error::records(&e))?;
        let write = Write::Fact { key: FACT, value };
        self.store.write(write).map_err(|e| Error::records(&e))
    }
}

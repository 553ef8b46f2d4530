//! One network.

use crate::{BridgeConfig, Endpoint, Error};
use spec::Id;
use std::{collections::BTreeSet, os::fd::BorrowedFd};

/// One network: a guarded bridge, and a handle on it. Dropping the handle
/// changes nothing on the host.
#[derive(Debug)]
pub struct Bridge {
    config: BridgeConfig,
}

impl Bridge {
    /// As it was asked for.
    pub fn config(&self) -> &BridgeConfig {
        &self.config
    }

    /// Puts an interface into a network namespace, addressed and up, guards
    /// its port and publishes its ports. All of it, or nothing.
    ///
    /// # Errors
    /// A published port is taken, the name inside is taken, or what the
    /// kernel said.
    pub fn plug(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        let _ = (netns, endpoint);
        unimplemented!("follows in the next commits")
    }

    /// Withdraws a container that has ended: its published ports and its
    /// rights on the bridge. Does not wait for its interface, which dies with
    /// the network namespace and is mute until then.
    ///
    /// # Errors
    /// What the kernel said. Not for a container that was never plugged.
    pub fn unplug(&self, container: &Id) -> Result<(), Error> {
        let _ = container;
        unimplemented!("follows in the next commits")
    }

    /// Takes the interface out of a container that lives on; returns when it
    /// is gone.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn disconnect(&self, container: &Id) -> Result<(), Error> {
        let _ = container;
        unimplemented!("follows in the next commits")
    }

    /// Removes everything of containers that are not `known`; says whose.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweep(&self, known: &BTreeSet<Id>) -> Result<Vec<String>, Error> {
        let _ = known;
        unimplemented!("follows in the next commits")
    }

    /// Removes the network; interfaces still plugged in are removed with it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove(self) -> Result<(), Error> {
        unimplemented!("follows in the next commits")
    }
}

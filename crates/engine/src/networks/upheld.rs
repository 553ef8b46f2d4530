//! What the kernel must have of networks and of those on them, whatever has
//! become of it: somebody emptied the host's nftables, a daemon died half way,
//! a parent interface went.

use super::Networks;
use crate::{Error, container::Plugs, house::House};
use spec::Id;
use std::{
    os::fd::{AsFd as _, BorrowedFd},
    sync::atomic::Ordering,
};

impl Networks {
    /// Where the host's firewall is heard to change.
    pub fn lookout(&self) -> BorrowedFd<'_> {
        self.lookout.as_fd()
    }

    /// Puts our tables back if they are gone or emptied: were they?
    ///
    /// # Errors
    /// What the kernel said.
    pub fn stand_up(&self) -> Result<bool, Error> {
        self.lookout.changed()?;
        if self.realm.stands()? {
            return Ok(false);
        }
        self.realm.restore()?;
        Ok(true)
    }

    /// Has what an earlier daemon plugged in be as it should, whatever has
    /// become of the host's firewall since. Beside an interface of the host's,
    /// which may be gone, there is nothing to see to.
    ///
    /// # Errors
    /// What the kernel said of the first that could not be; all others are.
    fn restore(&self, plugs: &Plugs) -> Result<(), Error> {
        let restored =
            plugs.iter().filter(|(name, _)| !self.is_beside(name)).map(|(name, plug)| {
                if self.bridge_of(name)?.restore(plug)? {
                    self.loose.store(true, Ordering::Relaxed);
                }
                Ok(())
            });
        restored.fold(Ok(()), Result::and)
    }

    /// The same for a container that lives: what cannot be is tried again,
    /// each time that there is [tidied](Self::tidy) up.
    pub fn take_over(&self, id: &Id, plugs: &Plugs) {
        if let Err(error) = self.restore(plugs) {
            tracing::error!(%id, %error, "what it may on its networks cannot be seen to yet");
            self.unsure.lock().expect("no holder panics").insert(id.clone());
        }
    }

    /// Was there something that was not held to its policy before this daemon
    /// came? To be asked once.
    pub fn was_loose(&self) -> bool {
        self.loose.swap(false, Ordering::Relaxed)
    }

    /// Ends what containers have begun that their policies and those of their
    /// networks forbid: after a time when nothing held them to those.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn hold_to_policies(&self, house: &House) -> Result<(), Error> {
        let cells = house.roster.all();
        let plugs = cells.iter().flat_map(|cell| cell.now().plugs.clone());
        let plugs = plugs.filter(|(name, _)| !self.is_beside(name)).map(|(_, plug)| plug);
        let held = self.realm.hold(&plugs.collect::<Vec<_>>()).map_err(Error::from);
        let _making = self.making();
        let walled = self.all().into_iter().filter(|net| !net.egress().is_default());
        let walls = walled.map(|net| Ok(net.bridge()?.hold_to(&net.egress())?));
        walls.fold(held, Result::and)
    }

    /// Are our tables where they should be?
    ///
    /// # Errors
    /// What the kernel said.
    pub fn stands(&self) -> Result<bool, Error> {
        Ok(self.realm.stands()?)
    }

    /// Is there a container of which that is so?
    pub fn is_unsure(&self) -> bool {
        !self.unsure.lock().expect("no holder panics").is_empty()
    }

    /// Has the kernel all that upholds what may go out of these places?
    ///
    /// # Errors
    /// What the kernel said.
    pub fn hold_policies(&self, plugs: &Plugs) -> Result<bool, Error> {
        if !self.realm.stands()? {
            return Ok(false);
        }
        for (name, plug) in plugs {
            if !self.bridge_of(name)?.is_fenced(plug)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

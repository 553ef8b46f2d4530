//! Volumes of the local driver.

use crate::{Engine, Error, Filters, Nanos, Pruned};
use std::collections::BTreeMap;

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// 64 hexadecimal digits if anonymous.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// Its directory on the host.
    pub mountpoint: String,
    /// When it was made.
    pub created: Nanos,
    /// Given by the user; anonymous ones have `com.docker.volume.anonymous`.
    pub labels: BTreeMap<String, String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
    /// How many containers name it.
    pub users: u64,
}

/// The body of `POST /volumes/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeWish {
    /// Made up if empty.
    pub name: String,
    /// `local`, or empty.
    pub driver: String,
    /// For the user's own use.
    pub labels: BTreeMap<String, String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a volume, or returns the one that has the name.
    ///
    /// # Errors
    /// A malformed name, another driver, options that are not carried.
    pub fn create_volume(&self, wish: VolumeWish) -> Result<Volume, Error> {
        todo!()
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<Volume> {
        todo!()
    }

    /// By name.
    ///
    /// # Errors
    /// None such.
    pub fn volume(&self, name: &str) -> Result<Volume, Error> {
        todo!()
    }

    /// Removes a volume and what is in it; `force` forgives a missing one.
    ///
    /// # Errors
    /// None such, or in use.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<(), Error> {
        todo!()
    }

    /// Removes volumes that no container names (anonymous ones, unless the
    /// filter `all` is set), as far as the filters (`label`, `label!`) let.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_volumes(&self, filters: &Filters) -> Result<Pruned, Error> {
        todo!()
    }
}

//! The writable root of one container.

use crate::{Error, IdRange};
use std::{
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// What became of a path since the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// 0 on Docker's wire.
    Modified,
    /// 1 on Docker's wire.
    Added,
    /// 2 on Docker's wire.
    Deleted,
}

/// One path that differs from the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute, in the container.
    pub path: PathBuf,
    /// How it differs.
    pub kind: ChangeKind,
}

/// `DATA/containers/<id>/{upper,work}`: what one container wrote.
#[derive(Clone, Debug)]
pub struct Root {
    dir: PathBuf,
    ids: IdRange,
}

impl Root {
    /// Makes the directories, owned by the range; all or nothing.
    ///
    /// # Errors
    /// What the host said.
    pub fn prepare(data: &Path, id: &str, ids: IdRange) -> Result<Self, Error> {
        todo!()
    }

    /// One that was prepared before.
    ///
    /// # Errors
    /// [`Error::NoRoot`].
    pub fn open(data: &Path, id: &str, ids: IdRange) -> Result<Self, Error> {
        todo!()
    }

    /// Mounts `layers` (lowest first) with the container's own on top: a
    /// detached overlay mount, `nodev`, ids shifted into the range.
    ///
    /// # Errors
    /// What the host said.
    pub fn mount(&self, layers: &[PathBuf]) -> Result<OwnedFd, Error> {
        todo!()
    }

    /// What differs from `layers`, sorted by path.
    ///
    /// # Errors
    /// What the host said.
    pub fn changes(&self, layers: &[PathBuf]) -> Result<Vec<Change>, Error> {
        todo!()
    }

    /// Writes what the container changed as the tar of a layer, with the
    /// container's own ids.
    ///
    /// # Errors
    /// What the host or the receiver said.
    pub fn pack(&self, out: &mut dyn Write) -> Result<(), Error> {
        todo!()
    }

    /// Bytes of the files that the container wrote.
    ///
    /// # Errors
    /// What the host said.
    pub fn size(&self) -> Result<u64, Error> {
        todo!()
    }

    /// Removes all of it; nothing to remove is no error.
    ///
    /// # Errors
    /// What the host said.
    pub fn remove(data: &Path, id: &str) -> Result<(), Error> {
        todo!()
    }
}

//! The writable root of one container.

use crate::{
    Error, IdRange, Unpacked, adopt,
    changes::{self, Change},
    error::Doing,
    overlay::{self, Stack, UPPER, WORK},
    pack::{Packer, Style},
    tree,
};
use rustix::{
    fs::{self, CWD, Gid, Mode, Uid},
    io::Errno,
};
use std::{
    io::Write,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

/// `DATA/containers/<id>/{upper,work}`: what one container wrote.
#[derive(Clone, Debug)]
pub struct Root {
    dir: PathBuf,
    ids: IdRange,
    label: String,
}

/// Where a container's own directories are.
fn home(data: &Path, id: &str) -> PathBuf {
    data.join("containers").join(id)
}

impl Root {
    /// Makes the directories, owned by the range; all or nothing.
    ///
    /// # Errors
    /// What the host said.
    pub fn prepare(data: &Path, id: &str, ids: IdRange) -> Result<Self, Error> {
        let root = Self { dir: home(data, id), ids, label: String::new() };
        root.make().inspect_err(|_| {
            // The first error is the one to tell; the sweep meets the rest.
            let _ = Self::remove(data, id);
        })?;
        Ok(root)
    }

    fn make(&self) -> Result<(), Error> {
        // The container's record, log and the like may be there already.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .doing("make the directory", &self.dir)?;
        for name in [UPPER, WORK] {
            let path = self.dir.join(name);
            fs::mkdir(&path, Mode::RWXU).doing("make the directory", &path)?;
        }
        let upper = self.dir.join(UPPER);
        fs::chmod(&upper, Mode::from_raw_mode(0o755)).doing("change the mode of", &upper)?;
        let (uid, gid) = (Uid::from_raw(self.ids.base), Gid::from_raw(self.ids.base));
        fs::chown(&upper, Some(uid), Some(gid)).doing("change the owner of", &upper)
    }

    /// One that was prepared before.
    ///
    /// # Errors
    /// [`Error::NoRoot`].
    pub fn open(data: &Path, id: &str, ids: IdRange) -> Result<Self, Error> {
        let root = Self { dir: home(data, id), ids, label: String::new() };
        if root.dir.join(UPPER).is_dir() { Ok(root) } else { Err(Error::NoRoot(id.to_owned())) }
    }

    /// With an SELinux label that every file in it has once it is mounted,
    /// whatever its layers have; none if empty.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// The range that its files belong to.
    pub fn ids(&self) -> IdRange {
        self.ids
    }

    /// Mounts `layers` (lowest first) with the container's own on top: a
    /// detached overlay mount, `nodev`, ids shifted into the range.
    ///
    /// # Errors
    /// What the host said.
    pub fn mount(&self, layers: &[PathBuf]) -> Result<OwnedFd, Error> {
        let (container, label) = (Some(&*self.dir), &*self.label);
        if !layers.is_empty() {
            return overlay::mount(&Stack { layers, container, ids: self.ids, label });
        }
        // Overlayfs wants something below, if only an empty directory.
        let nothing = self.dir.join("nothing");
        match fs::mkdir(&nothing, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e).doing("make the directory", nothing),
        }
        overlay::mount(&Stack { layers: &[nothing], container, ids: self.ids, label })
    }

    /// What differs from `layers`, sorted by path.
    ///
    /// # Errors
    /// What the host said.
    pub fn changes(&self, layers: &[PathBuf]) -> Result<Vec<Change>, Error> {
        let upper = self.upper()?;
        let below = match layers {
            [] => None,
            _ => Some(mount_read_only(layers, IdRange::HOST)?),
        };
        changes::between(&upper, below.as_ref().map(AsFd::as_fd))
    }

    /// Writes what the container changed as the tar of a layer, with the
    /// container's own ids.
    ///
    /// # Errors
    /// What the host or the receiver said.
    pub fn pack(&self, out: &mut dyn Write) -> Result<(), Error> {
        let mut packer = Packer::new(out, self.ids, Style::Layer);
        packer.contents(self.upper()?)?;
        packer.finish().map(drop)
    }

    /// Makes what was written here the layer of the directory `dir`, which is
    /// made: what [`unpack`](crate::unpack) of [`pack`](Self::pack) would have
    /// come to, without a second copy of every file. Writes the layer's tar,
    /// and its recipe. The root must not be mounted any more, and is of no
    /// further use.
    ///
    /// None, and the root is as it was, where the files alone would not say
    /// the same as the tar, or where they have a container's ids: it is to be
    /// packed and unpacked.
    ///
    /// # Errors
    /// What the host or a receiver said.
    pub fn adopt(
        &self,
        dir: &Path,
        out: &mut dyn Write,
        recipe: &mut dyn Write,
    ) -> Result<Option<Unpacked>, Error> {
        if self.ids.is_host() {
            adopt::adopt(&self.dir.join(UPPER), dir, out, recipe)
        } else {
            Ok(None)
        }
    }

    /// Bytes of the files that the container wrote.
    ///
    /// # Errors
    /// What the host said.
    pub fn size(&self) -> Result<u64, Error> {
        tree::size(self.upper()?.as_fd()).doing("measure", &self.dir)
    }

    fn upper(&self) -> Result<OwnedFd, Error> {
        let path = self.dir.join(UPPER);
        tree::open_dir(&path).doing("open", &path)
    }

    /// Removes all of it; nothing to remove is no error.
    ///
    /// # Errors
    /// What the host said.
    pub fn remove(data: &Path, id: &str) -> Result<(), Error> {
        remove(&home(data, id))
    }
}

/// Bytes of the files below a directory of the engine's own, each counted
/// once, however deep; a directory that is missing has none.
///
/// # Errors
/// What the host said.
pub fn measure(path: &Path) -> Result<u64, Error> {
    match tree::open_dir(path) {
        Err(Errno::NOENT) => Ok(0),
        opened => tree::size(opened.doing("open", path)?.as_fd()).doing("measure", path),
    }
}

/// Removes a directory of the engine's own and all below it, however deep;
/// missing is no error.
///
/// # Errors
/// What the host said.
pub fn remove(dir: &Path) -> Result<(), Error> {
    tree::remove(CWD, dir.as_os_str().as_encoded_bytes()).doing("remove", dir)
}

/// Mounts `layers` (lowest first) for reading alone: an image as it is.
///
/// # Errors
/// What the host said.
pub fn mount_read_only(layers: &[PathBuf], ids: IdRange) -> Result<OwnedFd, Error> {
    overlay::mount(&Stack { layers, container: None, ids, label: "" })
}

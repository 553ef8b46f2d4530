//! An image's files, laid over one another, to be read one by one.

use crate::{Engine, Error};
use rustix::fs::{Mode, OFlags};
use snapshot::IdRange;
use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

/// An image's root, mounted for reading alone and attached nowhere: it goes
/// when this is dropped.
#[derive(Debug)]
pub struct ImageTree {
    /// None if the image has no layer, and so no file.
    root: Option<OwnedFd>,
}

impl Engine {
    /// Mounts an image's root.
    ///
    /// # Errors
    /// No such image; what the host said.
    pub fn image_tree(&self, reference: &str) -> Result<ImageTree, Error> {
        let images = &self.0.images;
        let layers = images.layers(&images.lookup(reference)?)?;
        if layers.is_empty() {
            return Ok(ImageTree { root: None });
        }
        let mount = snapshot::mount_read_only(&layers, IdRange::HOST)?;
        // What is to be listed has to be opened for reading.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&mount, ".", flags, Mode::empty()).map_err(|errno| {
            Error::Host { doing: "open", path: reference.into(), source: errno.into() }
        })?;
        Ok(ImageTree { root: Some(root) })
    }
}

impl ImageTree {
    /// Where this process finds it, as long as the value lives; none if there
    /// is no file.
    pub fn path(&self) -> Option<PathBuf> {
        let root = self.root.as_ref()?;
        Some(format!("/proc/self/fd/{}", root.as_raw_fd()).into())
    }
}

//! The layer between an image and what its container writes: places for what
//! is mounted in every container.
//!
//! Were they made in the container's own layer, `diff` would show them and
//! `commit` would keep them. The same for all containers; made anew whenever
//! an engine opens.

use crate::{Error, error::Doing};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

const DIRS: [&str; 5] = ["dev", "dev/pts", "dev/shm", "proc", "sys"];
/// The first one is how many programs tell that they run in a container.
const FILES: [&str; 5] =
    [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// The directory of the layer.
pub(crate) fn dir(data: &Path) -> PathBuf {
    data.join("places")
}

/// Makes what is missing of it.
///
/// # Errors
/// What the host said.
pub(crate) fn make(data: &Path) -> Result<(), Error> {
    let dir = dir(data);
    let mut make_dir = fs::DirBuilder::new();
    make_dir.recursive(true).mode(0o755);
    make_dir.create(dir.join("etc")).doing("create", &dir)?;
    for name in DIRS {
        make_dir.create(dir.join(name)).doing("create", dir.join(name))?;
    }
    for name in FILES {
        let path = dir.join(name);
        match fs::File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => drop(made.doing("create", &path)?),
        }
    }
    let mtab = dir.join("etc/mtab");
    match symlink("/proc/mounts", &mtab) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.doing("create", &mtab),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_made_once_and_found_again() {
        let data = tempfile::tempdir().expect("a scratch directory");
        for _ in 0..2 {
            make(data.path()).expect("made");
        }
        assert!(dir(data.path()).join("etc/resolv.conf").is_file());
        assert!(dir(data.path()).join("dev/pts").is_dir());
    }
}

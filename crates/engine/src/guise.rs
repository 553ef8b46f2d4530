//! Making files as a container's root.
//!
//! A file that the host's root makes below an id-mapped mount has no owner
//! there, and the kernel refuses it. So the thread takes the ids that the
//! container's root has on the host, for file access alone, and keeps its
//! powers over files.

use crate::{Error, error::Doing};
use rustix::thread::{capabilities, set_capabilities};
use snapshot::IdRange;
use std::{io, marker::PhantomData};

/// While it lives, files that this thread makes are the container's root's.
pub(crate) struct Guise {
    /// It is about the thread that made it.
    _here: PhantomData<*const ()>,
}

impl Guise {
    /// # Errors
    /// What the kernel said.
    pub fn of(ids: IdRange) -> Result<Self, Error> {
        if !ids.is_host() {
            sys::process::set_file_owner(ids.base, ids.base).doing("act as user", number(ids))?;
        }
        let guise = Self { _here: PhantomData };
        keep_powers().doing("keep the powers of user", number(ids))?;
        Ok(guise)
    }
}

fn number(ids: IdRange) -> String {
    ids.base.to_string()
}

/// Taking other ids has put the powers over files aside.
fn keep_powers() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective = sets.permitted;
    Ok(set_capabilities(None, sets)?)
}

impl Drop for Guise {
    fn drop(&mut self) {
        // Root to root cannot be refused; a thread that stayed somebody else
        // must not go on.
        sys::process::set_file_owner(0, 0).expect("root may always be root again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::MetadataExt};

    #[test]
    fn files_are_the_containers_roots_and_only_meanwhile() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let ids = IdRange { base: 0x7000_0000, size: 65_536, kept: None };
        let owner = |name: &str| {
            fs::write(dir.path().join(name), "x").expect("root may write anywhere");
            fs::metadata(dir.path().join(name)).expect("just made").uid()
        };
        let guise = Guise::of(ids).expect("root may be anybody");
        assert_eq!(owner("during"), ids.base);
        std::os::unix::fs::chown(dir.path().join("during"), Some(7), None).expect("has the powers");
        drop(guise);
        assert_eq!(owner("after"), 0);
    }
}

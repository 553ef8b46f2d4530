//! One part of a path, and what is done by it in an open directory.
//!
//! A name that is no [`Name`] cannot reach these calls. `O_NOFOLLOW` guards
//! the last part of a path alone: a name with a slash in it would lead
//! through links on its way, and from the daemon's own root.

use crate::Error;
use rustix::{
    fs::{self, AtFlags, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    fs::File,
    os::fd::{BorrowedFd, OwnedFd},
};

/// A name in a directory: not empty, neither `.` nor `..`, without a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Takes text that must be one.
    pub fn new(text: &'a [u8]) -> Result<Self, Error> {
        match text {
            b"" | b"." | b".." => {}
            text if text.contains(&b'/') || text.contains(&0) => {}
            text => return Ok(Self(text)),
        }
        let text = String::from_utf8_lossy(text);
        Err(Error::Invalid(format!("{text:?} is no name of a file in a directory")))
    }

    /// Its text, for calls of the kernel.
    pub fn text(self) -> &'a [u8] {
        self.0
    }

    /// What is there, or nothing; no link is followed.
    pub fn look(self, dir: BorrowedFd<'_>) -> rustix::io::Result<Option<Stat>> {
        match fs::statat(dir, self.0, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes a file where nothing is.
    pub fn create(self, dir: BorrowedFd<'_>) -> rustix::io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(dir, self.0, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Opens a directory, and no link.
    pub fn open_dir(self, dir: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(dir, self.0, flags, Mode::empty())
    }

    /// Removes what is in a file's place; a directory stays, and is told with
    /// its `path`.
    pub fn make_room(self, dir: BorrowedFd<'_>, path: &str) -> Result<(), Error> {
        use crate::error::Doing as _;
        match fs::unlinkat(dir, self.0, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                Err(Error::Invalid(format!("cannot replace the directory {path} with a file")))
            }
            Err(e) => Err(e).doing("remove", path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in ["", ".", "..", "/", "a/b", "/a", "a/", "../a", "a\0"] {
            assert!(Name::new(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["a", "...", ".a", "a b", "\\", "<<"] {
            assert!(Name::new(text.as_bytes()).is_ok(), "{text:?}");
        }
    }
}

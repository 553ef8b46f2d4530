//! Files in and out of a root: `cp` and `export`.
//!
//! `root` is a descriptor of the root's mount (or of a running container's
//! own `/`, volumes included). A path in it is resolved once, by the kernel
//! and never out of it; everything after acts on descriptors.

use crate::{Error, IdRange};
use std::{
    io::{Read, Write},
    os::fd::BorrowedFd,
};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// `st_mode` of stat(2).
    pub mode: u32,
    /// Last change, in nanoseconds since the epoch.
    pub mtime: i128,
    /// Of a symbolic link, resolved in the container; else empty.
    pub link_target: String,
}

impl PathStat {
    /// The mode as Go's `os.FileMode` has it, which Docker's wire uses.
    pub fn go_mode(&self) -> u32 {
        todo!()
    }
}

/// How to unpack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Refuse to put a directory in a file's place, and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Keep the archive's owners; else they become the container's root.
    pub copy_uid_gid: bool,
}

/// What is at `path`; a link there is not followed.
///
/// # Errors
/// [`Error::NotFound`], or what the host said.
pub fn stat(root: BorrowedFd<'_>, path: &str) -> Result<PathStat, Error> {
    todo!()
}

/// Writes `path` and all below it as a tar, named after its last part.
///
/// # Errors
/// [`Error::NotFound`], or what the host or the receiver said.
pub fn get(
    root: BorrowedFd<'_>,
    path: &str,
    ids: IdRange,
    out: &mut dyn Write,
) -> Result<(), Error> {
    todo!()
}

/// Unpacks a plain tar into the directory `path`.
///
/// # Errors
/// [`Error::NotFound`], a hostile archive, or what the host said.
pub fn put(
    root: BorrowedFd<'_>,
    path: &str,
    ids: IdRange,
    options: PutOptions,
    from: &mut dyn Read,
) -> Result<(), Error> {
    todo!()
}

/// Writes the whole root as a tar, mount points empty.
///
/// # Errors
/// What the host or the receiver said.
pub fn export(root: BorrowedFd<'_>, ids: IdRange, out: &mut dyn Write) -> Result<(), Error> {
    todo!()
}

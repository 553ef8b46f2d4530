//! Files in and out of a container: `cp`, `diff`, `export`.

use crate::{Engine, Error, Nanos};
use std::io::{Read, Write};

/// What `X-Docker-Container-Path-Stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// `st_mode` of stat(2).
    pub mode: u32,
    /// Last change.
    pub mtime: Nanos,
    /// Of a symbolic link, resolved in the container; else empty.
    pub link_target: String,
}

/// How to unpack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Refuse to put a directory in a file's place, and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Keep the archive's owners; else they become the container's root.
    pub copy_uid_gid: bool,
}

/// A tar stream that waits to be written out.
pub struct Archive {}

impl Archive {
    /// Of the file that was asked for (none for `export` and `save`).
    pub fn stat(&self) -> Option<&PathStat> {
        todo!()
    }

    /// Writes the whole tar stream.
    ///
    /// # Errors
    /// What the host or the receiver said.
    pub fn write(self, out: &mut dyn Write) -> Result<(), Error> {
        todo!()
    }
}

/// What became of a path since the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// 0 on the wire.
    Modified,
    /// 1 on the wire.
    Added,
    /// 2 on the wire.
    Deleted,
}

/// One path that differs from the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute, in the container.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

impl Engine {
    /// What is at `path`: the container's own view, volumes included.
    ///
    /// # Errors
    /// No such container or file.
    pub fn archive_stat(&self, reference: &str, path: &str) -> Result<PathStat, Error> {
        todo!()
    }

    /// Reads `path` and all below it.
    ///
    /// # Errors
    /// No such container or file.
    pub fn archive_get(&self, reference: &str, path: &str) -> Result<Archive, Error> {
        todo!()
    }

    /// Unpacks a tar stream (gzip, zstd or plain) into the directory `path`.
    ///
    /// # Errors
    /// No such container or directory; a hostile archive; read-only.
    pub fn archive_put(
        &self,
        reference: &str,
        path: &str,
        options: PutOptions,
        input: &mut dyn Read,
    ) -> Result<(), Error> {
        todo!()
    }

    /// The whole root file system, without volumes.
    ///
    /// # Errors
    /// No such container.
    pub fn export(&self, reference: &str) -> Result<Archive, Error> {
        todo!()
    }

    /// What it changed against its image.
    ///
    /// # Errors
    /// No such container.
    pub fn changes(&self, reference: &str) -> Result<Vec<Change>, Error> {
        todo!()
    }
}

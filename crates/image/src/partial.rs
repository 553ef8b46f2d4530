//! Blobs that have come in part: kept until they are whole, so that a pull
//! that broke off, or whose daemon died, goes on where it was.
//!
//! ```text
//!   DATA/partial/<hex of the blob's digest>   8 bytes: where the part begins
//!                                             (little-endian); then the part
//! ```
//!
//! A part need not begin where its blob does: what comes quickly comes again
//! quickly, and is not worth the disk's time. What is in it is not believed: whoever goes on from it hashes it again. It
//! is written and removed without a flush, so that most of it never reaches
//! the disk. What nobody asks for within a day is swept.

use crate::{Error, Ingest, Store, error::Doing};
use rustix::fs::FlockOperation;
use spec::Digest;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// So long one is kept for who asks for it again.
const KEPT: Duration = Duration::from_hours(24);

/// Where the part begins is said in so many bytes.
const HEAD: usize = size_of::<u64>();

/// Bytes of all of them together that make room for one more.
const MOST: u64 = 8 << 30;

/// One of them, held by who brings it.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    /// What was there before, by its place in the blob.
    there: Range<u64>,
    /// It is said where it begins.
    begun: bool,
    /// What came could not be kept.
    failed: bool,
}

/// `DATA/partial`.
pub(crate) fn dir(data: &Path) -> PathBuf {
    data.join("partial")
}

impl Ingest<'_> {
    /// What there is of a blob, or a new one; none if somebody else brings
    /// the same, or where it cannot be kept.
    pub fn partial(&self, blob: &Digest) -> Option<Partial> {
        let dir = dir(&self.store.content.data);
        Partial::open(&dir, blob)
            .inspect_err(|error| tracing::debug!(%error, "parts of blobs are not kept"))
            .ok()
            .flatten()
    }
}

impl Partial {
    fn open(dir: &Path, blob: &Digest) -> Result<Option<Self>, Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .doing("make the directory", dir)?;
        if size(dir)? > MOST {
            drop_old(dir, Duration::ZERO)?;
        }
        let path = dir.join(blob.hex());
        let mut options = File::options();
        let file = options.read(true).append(true).create(true).open(&path).doing("open", &path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(io::Error::from(e)).doing("lock", path),
        }
        // Whoever held it may have removed it before we held it.
        let there = fs::metadata(&path).is_ok_and(|there| {
            use std::os::unix::fs::MetadataExt as _;
            file.metadata().is_ok_and(|ours| ours.ino() == there.ino())
        });
        let mut new = Self { file, path, there: 0..0, begun: false, failed: false };
        new.look()?;
        Ok(there.then_some(new))
    }

    /// Reads where it begins; of no part that is, it is a new one.
    fn look(&mut self) -> Result<(), Error> {
        let len = self.file.metadata().doing("look at", &self.path)?.len();
        let mut head = [0; HEAD];
        if len <= head.len() as u64 {
            return self.file.set_len(0).doing("empty", &self.path);
        }
        self.file.read_exact(&mut head).doing("read", &self.path)?;
        let begin = u64::from_le_bytes(head);
        self.there = begin..begin.saturating_add(len - head.len() as u64);
        self.begun = true;
        Ok(())
    }

    /// What of the blob was there before; may be nonsense, like all of it.
    pub fn there(&self) -> Range<u64> {
        self.there.clone()
    }

    /// Whether there is a beginning to go on from.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reads on in what was there before, from its beginning.
    ///
    /// # Errors
    /// What the host said.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }

    /// Keeps what came, if there is room: `at` is its place in the blob, right
    /// behind all that was kept before.
    pub fn keep(&mut self, at: u64, bytes: &[u8]) {
        if self.failed {
            return;
        }
        let head = at.to_le_bytes();
        let head = if self.begun { &[][..] } else { &head[..] };
        self.begun = true;
        if let Err(error) = self.file.write_all(head).and_then(|()| self.file.write_all(bytes)) {
            tracing::debug!(%error, "a part of a blob is not kept");
            self.failed = true;
            self.drop_file();
        }
    }

    /// It is whole, or it was wrong.
    pub fn discard(self) {
        self.drop_file();
    }

    fn drop_file(&self) {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.begun {
            // There is nothing to go on from.
            self.drop_file();
        }
    }
}

impl Store {
    /// Removes what came in part and nobody brings just now: all of it, or
    /// what is older than a day. Gives the bytes.
    ///
    /// # Errors
    /// What the host said.
    pub fn drop_partials(&self, all: bool) -> Result<u64, Error> {
        drop_old(&dir(&self.content.data), if all { Duration::ZERO } else { KEPT })
    }
}

fn size(dir: &Path) -> Result<u64, Error> {
    let mut all = 0;
    for entry in fs::read_dir(dir).doing("list", dir)? {
        // One that has gone meanwhile has no size.
        all += entry.doing("list", dir)?.metadata().map_or(0, |found| found.len());
    }
    Ok(all)
}

fn drop_old(dir: &Path, age: Duration) -> Result<u64, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.doing("list", dir)?,
    };
    let mut freed = 0;
    for entry in entries {
        let path = entry.doing("list", dir)?.path();
        let Ok(file) = File::open(&path) else { continue };
        let found = file.metadata().doing("look at", &path)?;
        let old = found.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|a| a >= age);
        let ours = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if old && ours {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(e).doing("remove", path);
                }
                _ => freed += found.len(),
            }
        }
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Digest {
        Digest::from_sha256([7; 32])
    }

    #[test]
    fn what_came_in_part_is_there_for_the_next_who_asks() {
        let dir = tempfile::tempdir().expect("scratch");
        let mut first = Partial::open(dir.path(), &blob()).expect("opened").expect("free");
        assert!(Partial::open(dir.path(), &blob()).expect("looked").is_none(), "it is held");
        assert!(first.there().is_empty());
        first.keep(5, b"one");
        drop(first);
        let mut second = Partial::open(dir.path(), &blob()).expect("opened").expect("free");
        assert_eq!(second.there(), 5..8);
        let mut bytes = [0; 8];
        assert_eq!(second.read(&mut bytes).expect("read"), 3);
        second.keep(8, b"two");
        assert_eq!(drop_old(dir.path(), Duration::ZERO).expect("swept"), 0, "it is held");
        drop(second);
        assert_eq!(drop_old(dir.path(), KEPT).expect("swept"), 0, "it is young");
        let third = Partial::open(dir.path(), &blob()).expect("opened").expect("free");
        assert_eq!(third.there(), 5..11);
        drop(third);
        assert_eq!(drop_old(dir.path(), Duration::ZERO).expect("swept"), 14);
        Partial::open(dir.path(), &blob()).expect("opened").expect("free").discard();
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 0);
    }
}

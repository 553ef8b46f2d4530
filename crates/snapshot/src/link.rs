//! A tree that another engine has, taken over: what cannot change any more is
//! linked, so that both have it and neither takes room; what can change is
//! copied (shared by the file system where it can, copy_file_range(2)).
//!
//! Nobody writes to the tree meanwhile, as the caller has seen to; no link in
//! it is followed.

use crate::{
    Error,
    error::Doing,
    tree,
    xattrs::{Fate, fate},
};
use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid},
    io::Errno,
};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// How files come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As further names of the same files; copied where those cannot be.
    Link,
    /// As files of their own.
    Copy,
}

/// What came over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Bytes of all files.
    pub bytes: u64,
    /// Of those, bytes of files that were copied.
    pub copied: u64,
}

/// Makes `to`, which is not there, the same as `from`: owners, modes, times
/// and attributes too, but for labels of the host's policy.
///
/// # Errors
/// What the host said; what was made stays.
pub fn link_tree(from: &Path, to: &Path, way: Way) -> Result<Linked, Error> {
    let source = tree::open_dir(from).doing("open", from)?;
    fs::mkdir(to, Mode::RWXU).doing("make the directory", to)?;
    let target = tree::open_dir(to).doing("open", to)?;
    let root = target.try_clone().map_err(|_| Errno::MFILE).doing("open", to)?;
    let mut walk = Walk { way, root, linked: Linked::default(), seen: HashMap::new() };
    walk.directory(&source, &target, b"")?;
    Ok(walk.linked)
}

struct Walk {
    way: Way,
    root: OwnedFd,
    linked: Linked,
    /// Where files that have several names were copied to.
    seen: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk {
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, prefix: &[u8]) -> Result<(), Error> {
        for name in tree::names(from).doing("list", text(prefix))? {
            let name = name.to_bytes();
            let path = [prefix, name].concat();
            let stat = tree::stat_at(from.as_fd(), name).doing("look at", text(&path))?;
            if tree::kind(&stat) == FileType::Directory {
                fs::mkdirat(to, name, Mode::RWXU).doing("make the directory", text(&path))?;
                let inner =
                    |dir: &OwnedFd| tree::open_dir_at(dir.as_fd(), name).doing("open", text(&path));
                self.directory(&inner(from)?, &inner(to)?, &[&path[..], b"/"].concat())?;
                dress(from, to, name, &stat).doing("set the attributes of", text(&path))?;
            } else {
                self.leaf(from, to, name, &stat, &path)?;
            }
        }
        if prefix.is_empty() {
            let stat = fs::fstat(from).doing("look at", "/")?;
            dress(from, to, b".", &stat).doing("set the attributes of", "/")?;
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        path: &[u8],
    ) -> Result<(), Error> {
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.seen.get(&key) {
            let linked = fs::linkat(&self.root, &first[..], to, name, AtFlags::empty());
            return linked.doing("link", text(path));
        }
        let size = if tree::kind(stat) == FileType::RegularFile {
            u64::try_from(stat.st_size).unwrap_or(0)
        } else {
            0
        };
        if self.way == Way::Link {
            match fs::linkat(from, name, to, name, AtFlags::empty()) {
                Ok(()) => {
                    self.linked.bytes += size;
                    return Ok(());
                }
                // Another disk, too many names, or a file system without.
                Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e).doing("link", text(path)),
            }
        }
        copy(from, to, name, stat).doing("copy", text(path))?;
        dress(from, to, name, stat).doing("set the attributes of", text(path))?;
        self.linked.bytes += size;
        self.linked.copied += size;
        if stat.st_nlink > 1 {
            self.seen.insert(key, path.to_vec());
        }
        Ok(())
    }
}

fn copy(from: &OwnedFd, to: &OwnedFd, name: &[u8], stat: &Stat) -> rustix::io::Result<()> {
    match tree::kind(stat) {
        FileType::RegularFile => {
            let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut source = File::from(fs::openat(from, name, read, Mode::empty())?);
            let mut target = File::from(fs::openat(to, name, write, Mode::RUSR | Mode::WUSR)?);
            // It asks the kernel, which shares the blocks where it can.
            let copied = std::io::copy(&mut source, &mut target);
            copied.map(drop).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
        }
        FileType::Symlink => {
            let link = fs::readlinkat(from, name, Vec::new())?;
            fs::symlinkat(&link, to, name)
        }
        kind => fs::mknodat(to, name, kind, Mode::empty(), stat.st_rdev),
    }
}

/// Gives `name` in `to` the owner, mode, attributes and times that it has in
/// `from`.
fn dress(from: &OwnedFd, to: &OwnedFd, name: &[u8], stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if tree::kind(stat) != FileType::Symlink {
        // Nobody else has a hand in what was made here.
        fs::chmodat(to, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
    }
    attributes(from, to, name)?;
    let time = |secs, nanos| Timespec { tv_sec: secs, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn attributes(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    let (source, target) = (tree::by_number(from.as_fd(), name), tree::by_number(to.as_fd(), name));
    let mut names = vec![0; 64 << 10];
    let len = match fs::llistxattr(&source, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        len => len?,
    };
    // What steers overlayfs is a layer's own here, and comes along.
    let wanted = |key: &&[u8]| !key.is_empty() && fate(key) != Fate::Dropped;
    for key in names[..len].split(|b| *b == 0).filter(wanted) {
        let mut value = vec![0; 64 << 10];
        let len = fs::lgetxattr(&source, key, &mut value)?;
        fs::lsetxattr(&target, key, &value[..len], fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn tree() -> tempfile::TempDir {
        let scratch = tempfile::tempdir().expect("scratch");
        let from = scratch.path().join("from");
        std::fs::create_dir_all(from.join("a/b")).expect("made");
        std::fs::write(from.join("a/b/f"), "text").expect("made");
        std::fs::hard_link(from.join("a/b/f"), from.join("g")).expect("made");
        symlink("/etc/passwd", from.join("a/l")).expect("made");
        let mode = std::fs::Permissions::from_mode(0o1751);
        std::fs::set_permissions(from.join("a"), mode).expect("changed");
        scratch
    }

    #[test]
    fn what_is_linked_is_the_same_file_and_takes_no_room() {
        let scratch = tree();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        let linked = link_tree(&from, &to, Way::Link).expect("linked");
        assert_eq!(linked, Linked { bytes: 8, copied: 0 });
        let inode = |path: &Path| path.symlink_metadata().expect("there").ino();
        assert_eq!(inode(&from.join("a/b/f")), inode(&to.join("a/b/f")));
        assert_eq!(to.join("a").metadata().expect("there").mode() & 0o7777, 0o1751);
        let time = |dir: &Path| dir.join("a").metadata().expect("there").modified().expect("time");
        assert_eq!(time(&from), time(&to));
    }

    #[test]
    fn what_is_copied_is_a_file_of_its_own_with_all_its_names() {
        let scratch = tree();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        let linked = link_tree(&from, &to, Way::Copy).expect("copied");
        assert_eq!(linked, Linked { bytes: 4, copied: 4 });
        std::fs::write(to.join("g"), "other").expect("written");
        assert_eq!(std::fs::read_to_string(from.join("g")).expect("there"), "text");
        assert_eq!(std::fs::read_to_string(to.join("a/b/f")).expect("there"), "other");
        assert_eq!(std::fs::read_link(to.join("a/l")).expect("a link"), Path::new("/etc/passwd"));
    }
}

//! Files in and out of a root: `cp` and `export`.
//!
//! `root` is a descriptor of the root's mount (or of a running container's
//! own `/`, volumes included). A path in it is resolved once, by the kernel
//! and never out of it; everything after acts on descriptors.

use crate::{
    Error, IdRange, Limits,
    error::Doing,
    left::Left,
    pack::{Packer, Style},
    place::{Name, Place},
    reader::{BUFFER, Reader},
    recipe::Recipe,
    tree,
    unpack::{Rules, Unpack},
};
use rustix::{
    fs::{self, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufReader, ErrorKind, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
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
        let kind = match FileType::from_raw_mode(self.mode) {
            FileType::Directory => 1 << 31,
            FileType::Symlink => 1 << 27,
            FileType::BlockDevice => 1 << 26,
            FileType::CharacterDevice => 1 << 26 | 1 << 21,
            FileType::Fifo => 1 << 25,
            FileType::Socket => 1 << 24,
            _ => 0,
        };
        let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
        special
            .iter()
            .filter(|(bit, _)| self.mode & bit != 0)
            .fold(kind | self.mode & 0o777, |mode, (_, go)| mode | go)
    }
}

/// How to unpack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOptions {
    /// Refuse to put a directory in a file's place, and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Everything becomes this user's and group's (ids of the container):
    /// Docker's `copyUIDGID`, which means the container's own user. Without,
    /// the archive says whose it is.
    pub owner: Option<(u32, u32)>,
    /// It is all that the directory holds: what the archive says of `./` is
    /// the directory's own owner, mode, attributes and time. Without, that is
    /// passed over.
    pub whole: bool,
}

/// A path of the container, found: its directory and its last part, which was
/// not followed.
struct Found {
    dir: OwnedFd,
    last: Vec<u8>,
    /// As it names itself in an archive.
    name: String,
    stat: fs::Stat,
}

/// What is at `path`; a link there is not followed, unless a `/` comes after.
///
/// # Errors
/// [`Error::NotFound`], or what the host said.
pub fn stat(root: BorrowedFd<'_>, path: &str) -> Result<PathStat, Error> {
    let found = find(root, path)?;
    let link_target = if tree::kind(&found.stat) == FileType::Symlink {
        target(root, path, &found)?
    } else {
        String::new()
    };
    Ok(PathStat {
        name: if found.name.is_empty() { "/".into() } else { found.name },
        size: found.stat.st_size.unsigned_abs(),
        mode: found.stat.st_mode,
        mtime: i128::from(found.stat.st_mtime) * 1_000_000_000
            + i128::from(found.stat.st_mtime_nsec),
        link_target,
    })
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
    let found = find(root, path)?;
    let mut packer = Packer::new(out, ids, Style::Files);
    if tree::kind(&found.stat) == FileType::Directory {
        let dir = tree::open_dir_at(found.dir.as_fd(), &found.last).doing("open", path)?;
        packer.tree(dir, found.name.as_bytes())?;
    } else {
        packer.leaf(found.dir.as_fd(), &found.last, &found.stat, found.name.as_bytes())?;
    }
    packer.finish().map(drop)
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
    put_in(root, path, ids, options, from, false).map(drop)
}

/// The same in a process that may only handle files; what only the
/// administrator may set is left to be set by [`settle`](crate::settle).
///
/// # Errors
/// As [`put`].
pub fn put_leaving(
    root: BorrowedFd<'_>,
    path: &str,
    ids: IdRange,
    options: PutOptions,
    from: &mut dyn Read,
) -> Result<Vec<Left>, Error> {
    put_in(root, path, ids, options, from, true)
}

fn put_in(
    root: BorrowedFd<'_>,
    path: &str,
    ids: IdRange,
    options: PutOptions,
    from: &mut dyn Read,
    leaving: bool,
) -> Result<Vec<Left>, Error> {
    let own = tree::open_dir_at(root, b".").doing("open", "the root")?;
    let owner = (ids.user_outside(0).unwrap_or(0), ids.group_outside(0).unwrap_or(0));
    let place = Place::container(own, path, owner);
    let mut place = if leaving { place.leaving() } else { place };
    place.dir(b"", false)?;
    let rules = Rules {
        layer: None,
        ids,
        owner: options.owner,
        no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
        whole: options.whole,
    };
    let mut from = BufReader::with_capacity(BUFFER, from);
    let reader = Reader::new(&mut from, Limits::default(), Recipe::none());
    Unpack::new(reader, place, rules).run().map(|(_, left)| left)
}

/// Makes a directory, or an empty file, and what is missing above it, for
/// something to be mounted there. Links are followed inside the root. False
/// where something is in the way: a file, or a link that leads nowhere.
///
/// # Errors
/// A path that climbs, or what the host said.
pub fn make_point(
    root: BorrowedFd<'_>,
    path: &str,
    ids: IdRange,
    is_dir: bool,
) -> Result<bool, Error> {
    match made(root, path, ids, is_dir) {
        Err(Error::WrongKind(_)) => Ok(false),
        Err(Error::Host { source, .. }) if source.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

fn made(root: BorrowedFd<'_>, path: &str, ids: IdRange, is_dir: bool) -> Result<(), Error> {
    let name = Name::parse(path.as_bytes())
        .map_err(|reason| Error::Refused { entry: path.to_owned(), reason: reason.to_owned() })?;
    let own = tree::open_dir_at(root, b".").doing("open", "the root")?;
    let owner = (ids.user_outside(0).unwrap_or(0), ids.group_outside(0).unwrap_or(0));
    let mut place = Place::container(own, "", owner);
    if is_dir {
        return place.dir(&name.whole(), true).map(drop);
    }
    let parent = place.dir(&name.dir, true)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    fs::openat(&*parent, &name.last[..], flags, mode).doing("make", path).map(drop)
}

/// Writes the whole root as a tar.
///
/// # Errors
/// What the host or the receiver said.
pub fn export(root: BorrowedFd<'_>, ids: IdRange, out: &mut dyn Write) -> Result<(), Error> {
    let dir = tree::open_dir_at(root, b".").doing("open", "the root")?;
    let mut packer = Packer::new(out, ids, Style::Files);
    packer.contents(dir)?;
    packer.finish().map(drop)
}

/// Writes a directory as a tar, itself as `./` and all below it named from
/// there: what [`PutOptions::whole`] makes the same directory of.
///
/// # Errors
/// What the host or the receiver said.
pub fn export_whole(root: BorrowedFd<'_>, ids: IdRange, out: &mut dyn Write) -> Result<(), Error> {
    let dir = tree::open_dir_at(root, b".").doing("open", "the root")?;
    let mut packer = Packer::new(out, ids, Style::Files);
    packer.tree(dir, b".")?;
    packer.finish().map(drop)
}

/// Resolves all but the last part of a path, inside the root.
fn find(root: BorrowedFd<'_>, path: &str) -> Result<Found, Error> {
    let missing = || Error::NotFound(path.to_owned());
    let trimmed = path.trim_end_matches('/');
    let (parent, last) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
    let name = last.to_owned();
    // `link/` and `link/.` mean what is behind it, and the root is itself.
    let follow = trimmed.len() < path.len() || matches!(last, "" | "." | "..");
    let (dir, last) = if follow {
        (resolve(root, path, OFlags::DIRECTORY)?, b".".to_vec())
    } else {
        (resolve(root, parent, OFlags::DIRECTORY)?, last.as_bytes().to_vec())
    };
    let stat = match tree::stat_at(dir.as_fd(), &last) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
        Err(e) => return Err(e).doing("look at", path),
    };
    Ok(Found { dir, last, name, stat })
}

/// Opens a path of the container, links followed inside its root.
fn resolve(root: BorrowedFd<'_>, path: &str, more: OFlags) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | more;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let whole = format!("/{path}");
    loop {
        return match fs::openat2(root, &whole, flags, Mode::empty(), how) {
            Ok(fd) => Ok(fd),
            // A rename elsewhere in the tree; the kernel asks to try again.
            Err(Errno::AGAIN) => continue,
            Err(Errno::NOENT) => Err(Error::NotFound(path.to_owned())),
            Err(Errno::NOTDIR) => Err(Error::WrongKind(format!("not a directory: {path}"))),
            Err(e) => Err(e).doing("open", path),
        };
    }
}

/// Where a link leads, as the container would say it; where nothing is, what
/// the link says.
fn target(root: BorrowedFd<'_>, path: &str, found: &Found) -> Result<String, Error> {
    let name_of = |fd: BorrowedFd<'_>| {
        std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).doing("name", path)
    };
    match resolve(root, path, OFlags::empty()) {
        Ok(end) => {
            let (root, end) = (name_of(root)?, name_of(end.as_fd())?);
            let end = end.strip_prefix(&root).unwrap_or(&end);
            Ok(std::path::Path::new("/").join(end).to_string_lossy().into_owned())
        }
        Err(Error::NotFound(_) | Error::WrongKind(_)) => {
            let link = fs::readlinkat(&found.dir, &found.last[..], Vec::new())
                .doing("read the link", path)?;
            Ok(beside(path, &link.to_string_lossy()))
        }
        Err(e) => Err(e),
    }
}

/// What `link` in the place of `path` names, its parts taken literally.
fn beside(path: &str, link: &str) -> String {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let from = if link.starts_with('/') { "" } else { parent };
    let mut parts = Vec::new();
    for part in from.split('/').chain(link.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_go() {
        let mode = |mode| {
            PathStat { name: String::new(), size: 0, mode, mtime: 0, link_target: String::new() }
                .go_mode()
        };
        assert_eq!(mode(0o040_755), 0x8000_0000 | 0o755);
        assert_eq!(mode(0o120_777), 0x0800_0000 | 0o777);
        assert_eq!(mode(0o104_755), 0x0080_0000 | 0o755);
        assert_eq!(mode(0o041_777), 0x8000_0000 | 0x0010_0000 | 0o777);
        assert_eq!(mode(0o020_666), 0x0420_0000 | 0o666);
    }

    #[test]
    fn a_dangling_link_is_followed_by_its_words() {
        assert_eq!(beside("/a/b", "../c"), "/c");
        assert_eq!(beside("/a/b", "/x/../y"), "/y");
        assert_eq!(beside("b", "../../c"), "/c");
    }
}

//! What a container changed, read off its upper directory.

use crate::{Error, error::Doing, tree};
use rustix::{fs::FileType, io::Errno};
use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

/// What became of a path since the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// 0 on Docker's wire.
    Modified,
    /// 1 on Docker's wire.
    Added,
    /// 2 on Docker's wire.
    Deleted,
}

/// One path that differs from the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute, in the container.
    pub path: PathBuf,
    /// How it differs.
    pub kind: ChangeKind,
}

/// One directory on the way: the container's, the image's in the same place,
/// and the names that are still to be looked at.
struct Level {
    upper: OwnedFd,
    below: Option<OwnedFd>,
    path: PathBuf,
    names: Vec<std::ffi::CString>,
}

/// Compares an upper directory with what the layers show, sorted by path.
pub(crate) fn between(
    upper: &OwnedFd,
    below: Option<BorrowedFd<'_>>,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let again = |fd: BorrowedFd<'_>| tree::open_dir_at(fd, b".").doing("open", "the root");
    let mut open = vec![Level {
        names: tree::names(upper).doing("list", "/")?,
        upper: again(upper.as_fd())?,
        below: below.map(again).transpose()?,
        path: PathBuf::from("/"),
    }];
    while let Some(level) = open.last_mut() {
        let Some(name) = level.names.pop() else {
            open.pop();
            continue;
        };
        let name = name.to_bytes();
        let path = level.path.join(std::ffi::OsStr::from_bytes(name));
        let stat = match tree::stat_at(level.upper.as_fd(), name) {
            Ok(stat) => stat,
            // The container runs on and has removed it.
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e).doing("look at", path),
        };
        let before = match &level.below {
            Some(below) => match tree::stat_at(below.as_fd(), name) {
                Ok(stat) => Some(tree::kind(&stat)),
                Err(Errno::NOENT) => None,
                Err(e) => return Err(e).doing("look at", path),
            },
            None => None,
        };
        let kind = match (tree::is_whiteout(&stat), before) {
            (true, Some(_)) => ChangeKind::Deleted,
            (true, None) => continue,
            (false, Some(_)) => ChangeKind::Modified,
            (false, None) => ChangeKind::Added,
        };
        if tree::kind(&stat) == FileType::Directory {
            let next = step(level, name, before == Some(FileType::Directory), &path)?;
            if let Some((next, hidden)) = next {
                changes.extend(hidden);
                open.push(next);
            }
        }
        changes.push(Change { path, kind });
    }
    changes.sort_unstable();
    Ok(changes)
}

/// Into a directory; with what an opaque one hides.
fn step(
    level: &Level,
    name: &[u8],
    is_below: bool,
    path: &std::path::Path,
) -> Result<Option<(Level, Vec<Change>)>, Error> {
    let upper = match tree::open_dir_at(level.upper.as_fd(), name) {
        Ok(upper) => upper,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(e) => return Err(e).doing("open", path),
    };
    let below = match &level.below {
        Some(below) if is_below => {
            Some(tree::open_dir_at(below.as_fd(), name).doing("open", path)?)
        }
        _ => None,
    };
    let names = tree::names(&upper).doing("list", path)?;
    let mut hidden = Vec::new();
    if let (Some(below), true) = (&below, tree::is_opaque(&upper)) {
        for name in tree::names(below).doing("list", path)? {
            if names.binary_search(&name).is_err() {
                let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                hidden.push(Change { path, kind: ChangeKind::Deleted });
            }
        }
    }
    Ok(Some((Level { upper, below, path: path.to_owned(), names }, hidden)))
}

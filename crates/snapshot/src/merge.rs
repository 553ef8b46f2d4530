//! Several layers as one: what they come to together, above those that stay.
//!
//! The directories are read as overlayfs would stack them: of each name the
//! topmost layer that knows it has the say, and a directory goes on below
//! until a layer is opaque there or has something else. That something is
//! gone is written only where the layers that stay would show it.

use crate::{
    Error, IdRange,
    error::Doing,
    pack::{Packer, Style},
    root::mount_read_only,
    tree,
};
use rustix::{
    fs::{FileType, Stat},
    io::Errno,
};
use std::{
    collections::BTreeSet,
    ffi::CString,
    io::Write,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

/// One directory on the way.
struct Level {
    /// It in each layer that has a say in it, topmost first.
    dirs: Vec<OwnedFd>,
    /// It as the layers that stay show it; none where they show none, or
    /// where it is hidden.
    below: Option<OwnedFd>,
    /// Ends with `/`, but for the root's.
    prefix: Vec<u8>,
    names: std::collections::btree_set::IntoIter<CString>,
}

/// Writes the tar of one layer that stands for all of `layers` above `below`
/// (both lowest first).
///
/// # Errors
/// What the host or the receiver said.
pub fn merge(below: &[PathBuf], layers: &[PathBuf], out: &mut dyn Write) -> Result<(), Error> {
    let below = match below {
        [] => None,
        below => Some(mount_read_only(below, IdRange::HOST)?),
    };
    let mut roots = Vec::new();
    let mut hides = false;
    for layer in layers.iter().rev() {
        let root = tree::open_dir(layer).doing("open", layer)?;
        hides = tree::is_opaque(&root);
        roots.push(root);
        if hides {
            break;
        }
    }
    let mut packer = Packer::new(out, IdRange::HOST, Style::Layer);
    let below = through(&mut packer, below, hides, b"")?;
    let mut open = vec![Level::new(roots, below, Vec::new())?];
    while let Some(level) = open.last_mut() {
        let Some(name) = level.names.next() else {
            open.pop();
            continue;
        };
        let next = level.member(&mut packer, name.to_bytes())?;
        open.extend(next);
    }
    packer.finish().map(drop)
}

/// What of the layers that stay is seen through a directory, after it was
/// written that it hides them.
fn through(
    packer: &mut Packer<'_>,
    below: Option<OwnedFd>,
    hides: bool,
    prefix: &[u8],
) -> Result<Option<OwnedFd>, Error> {
    if !hides {
        return Ok(below);
    }
    if below.is_some() {
        packer.opaque(prefix)?;
    }
    Ok(None)
}

impl Level {
    fn new(dirs: Vec<OwnedFd>, below: Option<OwnedFd>, prefix: Vec<u8>) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        for dir in &dirs {
            names.extend(tree::names(dir).doing("list", text(&prefix))?);
        }
        Ok(Self { dirs, below, prefix, names: names.into_iter() })
    }

    /// Writes what `name` is; gives the directory that it may be.
    fn member(&self, packer: &mut Packer<'_>, name: &[u8]) -> Result<Option<Level>, Error> {
        let path = [&self.prefix[..], name].concat();
        let mut found = Vec::new();
        for dir in &self.dirs {
            if let Some(stat) = look(dir, name, &path)? {
                found.push((dir, stat));
            }
        }
        let Some((dir, stat)) = found.first() else { return Ok(None) };
        let before = match &self.below {
            Some(below) => look(below, name, &path)?,
            None => None,
        };
        if tree::is_whiteout(stat) {
            return before.map_or(Ok(None), |_| packer.whiteout(&path, name).map(|()| None));
        }
        if tree::kind(stat) != FileType::Directory {
            return packer.leaf(dir.as_fd(), name, stat, &path).map(|()| None);
        }
        let enter = |dir: &OwnedFd| tree::open_dir_at(dir.as_fd(), name).doing("open", text(&path));
        let mut dirs = Vec::new();
        let mut hides = false;
        for (dir, stat) in &found {
            if tree::kind(stat) != FileType::Directory {
                hides = true;
                break;
            }
            let dir = enter(dir)?;
            hides = tree::is_opaque(&dir);
            dirs.push(dir);
            if hides {
                break;
            }
        }
        let is_below = before.is_some_and(|stat| tree::kind(&stat) == FileType::Directory);
        let below = self.below.as_ref().filter(|_| is_below).map(enter).transpose()?;
        let prefix = [&path[..], b"/"].concat();
        packer.directory(&dirs[0], stat, &prefix)?;
        let below = through(packer, below, hides, &prefix)?;
        Level::new(dirs, below, prefix).map(Some)
    }
}

fn look(dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<Stat>, Error> {
    match tree::stat_at(dir.as_fd(), name) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e).doing("look at", text(path)),
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

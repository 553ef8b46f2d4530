//! Where the entries of an archive go: one tree, its directories kept open.
//!
//! A name of an archive is taken apart by us, and never handed to the kernel
//! whole. In a layer no part of it may be a link: a directory that is reached
//! through one is refused. In a container (`cp`), where links are the
//! container's own, the kernel follows them and keeps the walk inside
//! (`RESOLVE_IN_ROOT`).

use crate::{
    Error,
    error::Doing,
    left::{Leaving, Left},
    tree,
};
use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

/// Directories kept open at a time.
const OPEN: usize = 256;
/// Longest name of a file (`NAME_MAX`).
const LONGEST: usize = 255;

/// A name taken apart: the directory's parts joined by `/`, and the last.
/// Both are empty for the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub dir: Vec<u8>,
    pub last: Vec<u8>,
}

impl Name {
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(path: &[u8]) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err("its name leads out of the archive"),
                part if part.len() > LONGEST => return Err("its name is too long"),
                part => parts.push(part),
            }
        }
        let last = parts.pop().unwrap_or_default().to_vec();
        Ok(Self { dir: parts.join(&b'/'), last })
    }

    pub fn is_root(&self) -> bool {
        self.last.is_empty()
    }

    pub fn whole(&self) -> Vec<u8> {
        if self.dir.is_empty() {
            return self.last.clone();
        }
        [&self.dir[..], b"/", &self.last].concat()
    }
}

/// The tree.
pub(crate) struct Place {
    /// The layer's root, or the container's.
    root: OwnedFd,
    /// In the container: where the archive goes. None for a layer.
    target: Option<Vec<u8>>,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Owner of directories that the archive only implies.
    owner: (u32, u32),
    /// What is left to be set by who may, if we may not.
    left: Option<Leaving>,
}

impl Place {
    /// A layer that is being made.
    pub fn layer(root: OwnedFd) -> Self {
        Self { root, target: None, open: HashMap::new(), owner: (0, 0), left: None }
    }

    /// The directory `target` of a container.
    pub fn container(root: OwnedFd, target: &str, owner: (u32, u32)) -> Self {
        let target = Some(target.as_bytes().to_vec());
        Self { root, target, open: HashMap::new(), owner, left: None }
    }

    /// Attributes that the administrator alone may set are left to be set.
    pub fn leaving(mut self) -> Self {
        self.left = Some(Leaving::default());
        self
    }

    /// What was left.
    pub fn left(self) -> Vec<Left> {
        self.left.unwrap_or_default().all()
    }

    /// Leaves an attribute of the tree's `path` to be set, if those are left;
    /// false if it is to be set now.
    pub fn leave(&mut self, path: &[u8], name: &[u8], value: &[u8]) -> Result<bool, Error> {
        let whole = self.whole(path);
        let Some(left) = &mut self.left else { return Ok(false) };
        left.add(whole, name, value.to_vec())?;
        Ok(true)
    }

    fn whole(&self, path: &[u8]) -> Vec<u8> {
        match &self.target {
            None => path.to_vec(),
            Some(target) => [&target[..], b"/", path].concat(),
        }
    }

    /// Marks a directory that hides what lower layers have in its place.
    pub fn make_opaque(&mut self, dir: impl AsFd, path: &[u8]) -> Result<(), Error> {
        if self.leave(path, tree::OPAQUE.as_bytes(), b"y")? {
            return Ok(());
        }
        tree::make_opaque(dir).doing("mark", String::from_utf8_lossy(path).as_ref())
    }

    /// What was at a path went: nothing of it is left to be set.
    pub fn gone(&mut self, path: &[u8]) {
        let whole = self.whole(path);
        if let Some(left) = &mut self.left {
            left.forget(&whole);
        }
    }

    /// Forgets what is open: some directory went.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// Opens a directory by its parts; makes what is missing where `make`.
    pub fn dir(&mut self, path: &[u8], make: bool) -> Result<Rc<OwnedFd>, Error> {
        if let Some(fd) = self.open.get(path) {
            return Ok(fd.clone());
        }
        let fd = Rc::new(match &self.target {
            None => self.walk(path, make)?,
            Some(target) => {
                let whole = [&target[..], b"/", path].concat();
                self.resolve(&whole, path, make)?
            }
        });
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        self.open.insert(path.to_vec(), fd.clone());
        Ok(fd)
    }

    /// One part after the other, no links.
    fn walk(&mut self, path: &[u8], make: bool) -> Result<OwnedFd, Error> {
        if path.is_empty() {
            return self.root.try_clone().doing("duplicate", "the root of a layer");
        }
        let name = Name::parse(path).expect("was taken apart before");
        let parent = self.dir(&name.dir, make)?;
        let refuse = |reason: &str| Error::Refused {
            entry: String::from_utf8_lossy(path).into_owned(),
            reason: reason.to_owned(),
        };
        match tree::open_dir_at(parent.as_fd(), &name.last) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) if make => self.make(&parent, &name.last),
            // The kernel says "not a directory" of a link, too.
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let stat = tree::stat_at(parent.as_fd(), &name.last)
                    .doing("look at", String::from_utf8_lossy(path).as_ref())?;
                if tree::is_whiteout(&stat) && make {
                    fs::unlinkat(&*parent, &name.last, AtFlags::empty())
                        .doing("remove", String::from_utf8_lossy(path).as_ref())?;
                    let fd = self.make(&parent, &name.last)?;
                    self.make_opaque(&fd, path)?;
                    return Ok(fd);
                }
                Err(match tree::kind(&stat) {
                    FileType::Symlink => refuse("something is to be reached through this link"),
                    _ => refuse("something is to be reached through it and it is no directory"),
                })
            }
            Err(e) => Err(e).doing("open", String::from_utf8_lossy(path).as_ref()),
        }
    }

    /// The whole path at once, links followed inside the container's root.
    fn resolve(&mut self, whole: &[u8], path: &[u8], make: bool) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let text = String::from_utf8_lossy(whole).into_owned();
        loop {
            match fs::openat2(&self.root, whole, flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd),
                // A rename elsewhere in the tree; the kernel asks to try again.
                Err(Errno::AGAIN) => {}
                Err(Errno::NOENT) if make && !path.is_empty() => {
                    let name = Name::parse(path).expect("was taken apart before");
                    let parent = self.dir(&name.dir, make)?;
                    return self.make(&parent, &name.last);
                }
                Err(Errno::NOENT) => return Err(Error::NotFound(text)),
                Err(Errno::NOTDIR) => {
                    return Err(Error::WrongKind(format!("{text} is not a directory")));
                }
                Err(e) => return Err(e).doing("open", text),
            }
        }
    }

    fn make(&self, parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Error> {
        let text = String::from_utf8_lossy(name).into_owned();
        fs::mkdirat(parent, name, Mode::RWXU).doing("make the directory", &text)?;
        let fd = tree::open_dir_at(parent.as_fd(), name).doing("open", &text)?;
        fs::fchmod(&fd, Mode::from_raw_mode(0o755)).doing("change the mode of", &text)?;
        if self.owner != (0, 0) {
            fs::fchown(
                &fd,
                Some(fs::Uid::from_raw(self.owner.0)),
                Some(fs::Gid::from_raw(self.owner.1)),
            )
            .doing("change the owner of", &text)?;
        }
        Ok(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_without_its_decoration() {
        let name = Name::parse(b"/./usr//lib/./x/").expect("harmless");
        assert_eq!((&name.dir[..], &name.last[..]), (&b"usr/lib"[..], &b"x"[..]));
        assert!(Name::parse(b"./").expect("harmless").is_root());
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        for path in [&b".."[..], b"../x", b"a/../b", b"/..", b"a/.."] {
            assert!(Name::parse(path).is_err(), "{path:?}");
        }
        assert!(Name::parse(&[b'a'; 256]).is_err());
    }
}

//! Files from one tree into another, as `COPY` does it.
//!
//! The receiving tree is a root file system under construction: the links in
//! it are its own, are followed inside it where a path leads through them,
//! and are replaced where a file is put in their place. Nothing is opened by
//! more than one part of a name but by the kernel's own walk inside the root.

use crate::{
    Error,
    chmod::Chmod,
    error::Doing,
    name::Name,
    tree::{Found, Left, Node, bounded, clean},
};
use dockerfile::Ignore;
use rustix::{
    fs::{
        self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
        XattrFlags,
    },
    io::Errno,
};
use std::{
    collections::HashMap,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Links that are followed on the way to a directory (as in path_resolution(7)).
const LINKS: usize = 40;
/// Files with several names whose first is kept open.
const OPEN_LINKS: usize = 512;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// A root file system that is written to.
pub struct Target<'a> {
    root: BorrowedFd<'a>,
    /// What it will lie upon.
    below: Option<&'a crate::Tree>,
}

/// How files are written.
#[derive(Clone, Default)]
pub struct Manner<'a> {
    /// Whose they become; their own owner's if none.
    pub owner: Option<(u32, u32)>,
    /// What becomes of their modes.
    pub chmod: Option<Chmod>,
    /// Paths (below the source, or its name) that are left out.
    pub skip: Option<&'a Ignore>,
    /// A link in a file's place is followed, not replaced.
    pub follow: bool,
}

impl<'a> Target<'a> {
    /// The root, by a descriptor of its top.
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self::above(root, None)
    }

    /// The same of one that will lie upon another: directories that it makes
    /// on the way are as they are there.
    pub fn above(root: BorrowedFd<'a>, below: Option<&'a crate::Tree>) -> Self {
        Self { root, below }
    }

    /// Its top.
    pub fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    /// Copies a source to a path: into it if it is a directory or ends with a
    /// slash, else in its place. A directory gives what is in it.
    ///
    /// # Errors
    /// A directory in the place of a file, and the reverse; what the host
    /// said.
    pub fn copy(&self, found: &Found, path: &str, manner: &Manner<'_>) -> Result<(), Error> {
        let into = path.ends_with('/') || path.is_empty();
        let mut copying = Copying::new(manner);
        if found.is_dir() {
            return self.copy_dir(found, path, &mut copying);
        }
        let (dir, name) = if into || self.is_dir(path)? {
            (self.dir(path, manner.owner)?, found.name().to_owned())
        } else {
            let path = if manner.follow { self.followed(path) } else { clean(path) };
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            (self.dir(parent, manner.owner)?, name.to_owned())
        };
        if manner.skip.is_some_and(|skip| skip.matches(found.name())) {
            return Ok(());
        }
        copying.node(&found.node, found.name(), dir.as_fd(), Name::new(name.as_bytes())?)
    }

    fn copy_dir(
        &self,
        found: &Found,
        path: &str,
        copying: &mut Copying<'_, '_>,
    ) -> Result<(), Error> {
        let owner = copying.manner.owner;
        let there = self.is_dir(path)?;
        let dir = self.dir(path, owner)?;
        copying.below(&found.node, "", dir.as_fd())?;
        // A new one is nobody's copy: only what was asked for is seen on it.
        if let Some(chmod) = copying.manner.chmod.as_ref().filter(|_| !there) {
            let mode = Mode::from_raw_mode(chmod.apply(0o755, true));
            fs::fchmod(&dir, mode).doing("change the mode of", path)?;
        }
        Ok(())
    }

    /// Copies a source to a name of the root that is free, a directory with
    /// its own owner, mode and times.
    ///
    /// # Errors
    /// As [`Target::copy`].
    pub fn take(&self, found: &Found, name: &str) -> Result<(), Error> {
        let manner = Manner::default();
        let mut copying = Copying::new(&manner);
        copying.node(&found.node, "", self.root, Name::new(name.as_bytes())?)
    }

    /// Copies a source below a directory under its own path, whose
    /// directories look as in the source: `--parents`.
    ///
    /// # Errors
    /// As [`Target::copy`].
    pub fn copy_with_parents(
        &self,
        from: &crate::Tree,
        found: &Found,
        keep: &str,
        path: &str,
        manner: &Manner<'_>,
    ) -> Result<(), Error> {
        let (parents, name) = keep.rsplit_once('/').unwrap_or(("", keep));
        let before = found.path.strip_suffix(keep).unwrap_or_default();
        let mut dir = self.dir(path, manner.owner)?;
        let mut copying = Copying::new(manner);
        let mut source = before.to_owned();
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            source = format!("{source}/{part}");
            let like = from.find(&source)?;
            let name = Name::new(part.as_bytes())?;
            let new = name.look(dir.as_fd()).doing("look at", part)?.is_none();
            dir = copying.dir(dir.as_fd(), name, part)?;
            if new {
                copying.attributes(&like.node, &dir, part)?;
            }
        }
        if found.is_dir() && name.is_empty() {
            return copying.below(&found.node, "", dir.as_fd());
        }
        copying.node(&found.node, "", dir.as_fd(), Name::new(name.as_bytes())?)
    }

    /// Writes a file of the given text. `name` is somebody's own word, and
    /// must be one name where the file comes into a directory.
    ///
    /// # Errors
    /// As [`Target::copy`].
    pub fn write(
        &self,
        name: &str,
        text: &mut dyn io::Read,
        mode: u32,
        path: &str,
        manner: &Manner<'_>,
    ) -> Result<(), Error> {
        let (dir, name) = if path.ends_with('/') || path.is_empty() || self.is_dir(path)? {
            (self.dir(path, manner.owner)?, name.to_owned())
        } else {
            let path = clean(path);
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            (self.dir(parent, manner.owner)?, name.to_owned())
        };
        let in_dir = Name::new(name.as_bytes())?;
        in_dir.make_room(dir.as_fd(), &name)?;
        let mut file = in_dir.create(dir.as_fd()).doing("make", &name)?;
        io::copy(text, &mut file).doing("write", &name)?;
        let (uid, gid) = manner.owner.unwrap_or((0, 0));
        own(&file, uid, gid).doing("change the owner of", &name)?;
        let mode = manner.chmod.as_ref().map_or(mode, |chmod| chmod.apply(mode, false));
        fs::fchmod(&file, Mode::from_raw_mode(mode)).doing("change the mode of", &name)
    }

    /// Whether a directory is there, links followed inside the root.
    ///
    /// # Errors
    /// What the host said.
    pub fn is_dir(&self, path: &str) -> Result<bool, Error> {
        match self.open(&clean(path)) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(e) => Err(e).doing("open", path),
        }
    }

    /// Opens a directory, and makes what is missing of it: 0755, the owner's.
    ///
    /// # Errors
    /// Something else is in the way; what the host said.
    pub fn dir(&self, path: &str, owner: Option<(u32, u32)>) -> Result<OwnedFd, Error> {
        let mut path = clean(path);
        // What is to be made below it, the last first: a path may have two
        // thousand parts, more than calls fit on a thread's stack.
        let mut missing: Vec<String> = Vec::new();
        let mut links = LINKS;
        loop {
            let mut dir = match self.open(&path) {
                Ok(dir) => dir,
                Err(Errno::NOENT) if !path.is_empty() => {
                    let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
                    missing.push(name.to_owned());
                    path = parent.to_owned();
                    continue;
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Err(in_the_way(&path)),
                Err(error) => return Err(error).doing("open", &path),
            };
            loop {
                let Some(name) = missing.pop() else { return Ok(dir) };
                let whole = clean(&format!("{path}/{name}"));
                match self.make(dir.as_fd(), &name, &whole, owner)? {
                    Some(made) => (dir, path) = (made, whole),
                    // A link to where nothing is: there.
                    None if links > 0 => {
                        links -= 1;
                        path = led(dir.as_fd(), &name, &path).ok_or_else(|| in_the_way(&whole))?;
                        break;
                    }
                    None => return Err(in_the_way(&whole)),
                }
            }
        }
    }

    fn open(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let whole = format!("/{path}");
        loop {
            match fs::openat2(self.root, &whole, flags, Mode::empty(), how) {
                Err(Errno::AGAIN) => {}
                opened => return opened,
            }
        }
    }

    /// Makes the directory `path`, whose parent is `dir`; none if a name
    /// stands there already.
    fn make(
        &self,
        dir: BorrowedFd<'_>,
        name: &str,
        path: &str,
        owner: Option<(u32, u32)>,
    ) -> Result<Option<OwnedFd>, Error> {
        let name = Name::new(name.as_bytes())?;
        match fs::mkdirat(dir, name.text(), Mode::RWXU) {
            Err(Errno::EXIST) => return Ok(None),
            made => made.doing("make the directory", path)?,
        }
        let made = name.open_dir(dir).doing("open", path)?;
        let like = self.below.and_then(|tree| tree.dir(path));
        let (uid, gid) = match &like {
            Some(like) => (like.stat.st_uid, like.stat.st_gid),
            None => owner.unwrap_or((0, 0)),
        };
        let mode = like.map_or(0o755, |like| like.stat.st_mode & 0o7777);
        own(&made, uid, gid).doing("change the owner of", path)?;
        fs::fchmod(&made, Mode::from_raw_mode(mode)).doing("change the mode of", path)?;
        Ok(Some(made))
    }

    /// Where a path leads if links stand at its end: where nothing is, too.
    fn followed(&self, path: &str) -> String {
        let mut path = clean(path);
        for _ in 0..LINKS {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let Ok(dir) = self.open(parent) else { break };
            let Some(next) = led(dir.as_fd(), name, parent) else { break };
            path = next;
        }
        path
    }
}

/// Where the link `name` in the directory `parent` leads, by its letters.
fn led(dir: BorrowedFd<'_>, name: &str, parent: &str) -> Option<String> {
    let link = fs::readlinkat(dir, name, Vec::new()).ok()?;
    let link = link.to_str().ok()?;
    let from = if link.starts_with('/') { "" } else { parent };
    Some(clean(&format!("{from}/{link}")))
}

fn in_the_way(path: &str) -> Error {
    Error::Invalid(format!("cannot create the directory /{path}: something else is in its place"))
}

struct Copying<'m, 'a> {
    manner: &'m Manner<'a>,
    left: Left<'a>,
    /// First name of files with several.
    links: HashMap<(u64, u64), OwnedFd>,
    buffer: Vec<u8>,
}

impl<'m, 'a> Copying<'m, 'a> {
    fn new(manner: &'m Manner<'a>) -> Self {
        let left = Left::new(manner.skip);
        Self { manner, left, links: HashMap::new(), buffer: Vec::new() }
    }

    /// What is in a directory, into another.
    fn below(&mut self, from: &Node, path: &str, to: BorrowedFd<'_>) -> Result<(), Error> {
        bounded(path)?;
        for name in from.names().doing("read", path)? {
            let text = String::from_utf8_lossy(&name);
            let below = if path.is_empty() { text.into_owned() } else { format!("{path}/{text}") };
            let child = Node::at(from.fd.as_fd(), &name).doing("look at", &below)?;
            if self.left.stays_behind(&child, &below)? {
                continue;
            }
            self.node(&child, &below, to, Name::new(&name)?)?;
        }
        Ok(())
    }

    /// One of a directory's, as `name` of another.
    fn node(
        &mut self,
        from: &Node,
        path: &str,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
    ) -> Result<(), Error> {
        let kind = from.kind();
        if kind == FileType::Directory {
            let new = name.look(dir).doing("look at", path)?.is_none();
            let made = self.dir(dir, name, path)?;
            self.below(from, path, made.as_fd())?;
            // What was there stays as it was, but for what is put into it.
            return if new || !path.is_empty() {
                self.attributes(from, &made, path)
            } else {
                Ok(())
            };
        }
        name.make_room(dir, path)?;
        let several = from.stat.st_nlink > 1;
        let key = (from.stat.st_dev, from.stat.st_ino);
        if several && let Some(first) = self.links.get(&key) {
            let first = Node::of(first.try_clone().doing("keep", path)?).doing("look at", path)?;
            let follow = AtFlags::SYMLINK_FOLLOW;
            return fs::linkat(fs::CWD, first.by_number(), dir, name.text(), follow)
                .doing("link", path);
        }
        match kind {
            FileType::RegularFile => {
                let mut source = from.open().doing("open", path)?;
                let mut file = name.create(dir).doing("make", path)?;
                self.content(&mut source, &mut file).doing("copy", path)?;
                self.attributes(from, &file, path)?;
            }
            FileType::Symlink => {
                let link = from.link().doing("read the link", path)?;
                fs::symlinkat(&link[..], dir, name.text()).doing("make the link", path)?;
                self.named(from, dir, name, path)?;
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                let mode = Mode::RUSR | Mode::WUSR;
                fs::mknodat(dir, name.text(), kind, mode, from.stat.st_rdev)
                    .doing("make the node", path)?;
                self.named(from, dir, name, path)?;
            }
            // A socket means nothing without the process behind it.
            _ => return Ok(()),
        }
        if several && self.links.len() < OPEN_LINKS {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let first = fs::openat(dir, name.text(), flags, Mode::empty()).doing("open", path)?;
            self.links.insert(key, first);
        }
        Ok(())
    }

    /// A file's bytes: most are few.
    fn content(&mut self, from: &mut File, to: &mut File) -> io::Result<()> {
        self.buffer.resize(PIECE, 0);
        if all_that_fits(from, &mut self.buffer, to)? {
            return Ok(());
        }
        io::copy(from, to).map(drop)
    }

    /// A directory in a directory, made if it is missing.
    fn dir(&self, dir: BorrowedFd<'_>, name: Name<'_>, path: &str) -> Result<OwnedFd, Error> {
        match name.look(dir).doing("look at", path)? {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Some(_) => {
                return Err(Error::Invalid(format!("cannot copy to non-directory: {path}")));
            }
            None => {
                fs::mkdirat(dir, name.text(), Mode::RWXU).doing("make the directory", path)?;
                let (uid, gid) = self.manner.owner.unwrap_or((0, 0));
                let made = name.open_dir(dir).doing("open", path)?;
                own(&made, uid, gid).doing("change the owner of", path)?;
                fs::fchmod(&made, Mode::from_raw_mode(0o755)).doing("change the mode of", path)?;
                return Ok(made);
            }
        }
        name.open_dir(dir).doing("open", path)
    }

    /// Owner, mode, attributes and time of a file or directory.
    fn attributes(&self, from: &Node, to: impl AsFd, path: &str) -> Result<(), Error> {
        let (uid, gid) = self.owner(from);
        own(&to, uid, gid).doing("change the owner of", path)?;
        let is_dir = from.kind() == FileType::Directory;
        let mode = from.stat.st_mode & 0o7777;
        let mode = self.manner.chmod.as_ref().map_or(mode, |chmod| chmod.apply(mode, is_dir));
        fs::fchmod(&to, Mode::from_raw_mode(mode)).doing("change the mode of", path)?;
        for (name, value) in from.xattrs().doing("read the attributes of", path)? {
            match fs::fsetxattr(&to, &name[..], &value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e).doing("set an attribute of", path),
            }
        }
        fs::futimens(&to, &times(from)).doing("set the time of", path)
    }

    /// The same of what cannot be opened.
    fn named(
        &self,
        from: &Node,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
        path: &str,
    ) -> Result<(), Error> {
        let name = name.text();
        let (uid, gid) = self.owner(from);
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .doing("change the owner of", path)?;
        if from.kind() != FileType::Symlink {
            let mode = from.stat.st_mode & 0o7777;
            let mode = self.manner.chmod.as_ref().map_or(mode, |chmod| chmod.apply(mode, false));
            fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
                .doing("change the mode of", path)?;
        }
        fs::utimensat(dir, name, &times(from), AtFlags::SYMLINK_NOFOLLOW)
            .doing("set the time of", path)
    }

    fn owner(&self, from: &Node) -> (u32, u32) {
        self.manner.owner.unwrap_or((from.stat.st_uid, from.stat.st_gid))
    }
}

/// Copies as much as the buffer holds; whether that was all. A file system may
/// give less than is asked for before a file's end.
fn all_that_fits(
    from: &mut impl io::Read,
    buffer: &mut [u8],
    to: &mut impl io::Write,
) -> io::Result<bool> {
    let mut len = 0;
    while len < buffer.len() {
        match from.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    to.write_all(&buffer[..len])?;
    Ok(len < buffer.len())
}

fn own(fd: impl AsFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn times(from: &Node) -> Timestamps {
    let mtime = Timespec {
        tv_sec: from.stat.st_mtime,
        tv_nsec: i64::try_from(from.stat.st_mtime_nsec).unwrap_or(0),
    };
    Timestamps { last_access: mtime, last_modification: mtime }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl io::Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = into.len().min(1);
            self.0.read(&mut into[..len])
        }
    }

    #[test]
    fn what_comes_in_parts_is_copied_to_its_end() {
        for (text, whole) in [("abc", true), ("abcd", false), ("abcde", false), ("", true)] {
            let mut to = Vec::new();
            let all = all_that_fits(&mut Slow(text.as_bytes()), &mut [0; 4], &mut to);
            assert_eq!(all.expect("read"), whole, "{text}");
            assert_eq!(to, text.as_bytes()[..text.len().min(4)]);
        }
    }
}

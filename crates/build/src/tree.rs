//! Files to copy from: a context, a stage or an image, by descriptors.
//!
//! What is in a tree is somebody else's: links in it lead wherever they
//! like. A path is resolved by the kernel and never out of the tree
//! (`RESOLVE_IN_ROOT`); everything after acts on descriptors and follows
//! nothing.

use crate::{Error, error::Doing, wildcard::Wildcard};
use dockerfile::Ignore;
use rustix::{
    fs::{self, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Deepest directory of a source that is copied or searched.
const DEEPEST: usize = 200;

/// A file as it was seen: device, inode, time of change, size.
pub(crate) type Seen = (u64, u64, i64, u64, u64);

/// Digests of files that were read, for as long as the files stay the same.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<Seen, [u8; 32]>>);

/// Most files whose digests are kept.
const MOST: usize = 1 << 18;

impl Known {
    fn all(&self) -> MutexGuard<'_, HashMap<Seen, [u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, file: &Seen) -> Option<[u8; 32]> {
        self.all().get(file).copied()
    }

    pub(crate) fn note(&self, file: Seen, sum: [u8; 32]) {
        let mut all = self.all();
        if all.len() >= MOST {
            // Mostly files that have gone.
            all.clear();
        }
        all.insert(file, sum);
    }
}

/// A tree that is copied from.
pub struct Tree {
    root: OwnedFd,
    pub(crate) known: Arc<Known>,
}

/// Something in a tree: an `O_PATH` descriptor, and what it is.
pub(crate) struct Node {
    pub fd: OwnedFd,
    pub stat: Stat,
}

/// A source that was found.
pub struct Found {
    /// Its path, clean, without a slash in front; empty for the root.
    pub path: String,
    pub(crate) node: Node,
}

impl Found {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.node.kind() == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.node.kind() == FileType::RegularFile
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// What the host said.
    pub fn open(&self) -> Result<File, Error> {
        self.node.open().doing("open", &self.path)
    }

    /// Last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl AsFd for Found {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.fd.as_fd()
    }
}

impl Node {
    /// What is at `name` itself, no link followed.
    pub fn at(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::of(fs::openat(dir, name, flags, Mode::empty())?)
    }

    pub fn of(fd: OwnedFd) -> rustix::io::Result<Self> {
        let stat = fs::fstat(&fd)?;
        Ok(Self { fd, stat })
    }

    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// A name for calls that take no descriptor of this sort. Whoever follows
    /// it arrives at this very file.
    pub fn by_number(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    /// Opens a regular file for reading.
    pub fn open(&self) -> rustix::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        fs::open(self.by_number(), flags, Mode::empty()).map(File::from)
    }

    /// Names in a directory, sorted.
    pub fn names(&self) -> rustix::io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where a link points.
    pub fn link(&self) -> rustix::io::Result<Vec<u8>> {
        fs::readlinkat(&self.fd, "", Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// Extended attributes that travel with a file: capabilities, access
    /// lists, and what users set. None of a link.
    pub fn xattrs(&self) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        if self.kind() == FileType::Symlink {
            return Ok(found);
        }
        let path = self.by_number();
        let mut list = vec![0; 64 << 10];
        let len = match fs::listxattr(&path, &mut list) {
            Ok(len) => len,
            Err(Errno::OPNOTSUPP) => return Ok(found),
            Err(e) => return Err(e),
        };
        for name in list[..len].split(|b| *b == 0).filter(|name| travels(name)) {
            let mut value = vec![0; 64 << 10];
            match fs::getxattr(&path, name, &mut value[..]) {
                Ok(len) => value.truncate(len),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
                Err(e) => return Err(e),
            }
            found.push((name.to_vec(), value));
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// What of a source is left out.
pub(crate) struct Left<'a> {
    skip: Option<&'a Ignore>,
    /// Directories that were looked into: each is asked about again by every
    /// directory above it.
    known: HashMap<String, bool>,
}

impl<'a> Left<'a> {
    pub fn new(skip: Option<&'a Ignore>) -> Self {
        Self { skip, known: HashMap::new() }
    }

    /// Whether something is left out with all that is in it: a directory comes
    /// along for what a pattern takes back, and for nothing else.
    pub fn stays_behind(&mut self, node: &Node, path: &str) -> Result<bool, Error> {
        let Some(ignore) = self.skip.filter(|ignore| ignore.matches(path)) else {
            return Ok(false);
        };
        if node.kind() != FileType::Directory || !ignore.may_come_back_below(path) {
            return Ok(true);
        }
        if let Some(known) = self.known.get(path) {
            return Ok(*known);
        }
        bounded(path)?;
        let mut stays = true;
        for name in node.names().doing("read", path)? {
            let below = format!("{path}/{}", String::from_utf8_lossy(&name));
            let child = Node::at(node.fd.as_fd(), &name).doing("look at", &below)?;
            if !self.stays_behind(&child, &below)? {
                stays = false;
                break;
            }
        }
        self.known.insert(path.to_owned(), stays);
        Ok(stays)
    }
}

/// Refuses a directory that is nested too deep: calls nest as directories do,
/// and a thread's stack is small.
pub(crate) fn bounded(path: &str) -> Result<(), Error> {
    if path.matches('/').count() < DEEPEST {
        return Ok(());
    }
    let start: String = path.chars().take(64).collect();
    Err(Error::Invalid(format!(
        "a directory below {start}… is nested too deep: {DEEPEST} levels are the most"
    )))
}

/// Never `trusted.overlay.…`: that would speak to overlayfs.
fn travels(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || matches!(
            name,
            b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default"
        )
}

impl Tree {
    /// A tree below a directory.
    pub fn new(root: OwnedFd) -> Self {
        Self::knowing(root, Arc::default())
    }

    /// The same, some of whose files were read before.
    pub fn knowing(root: OwnedFd, known: Arc<Known>) -> Self {
        Self { root, known }
    }

    /// Its top.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// What is at a path, links followed inside the tree.
    ///
    /// # Errors
    /// [`Error::Missing`]; what the host said.
    pub fn find(&self, path: &str) -> Result<Found, Error> {
        let path = clean(path);
        let whole = format!("/{path}");
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            let fd = match fs::openat2(&self.root, &whole, flags, Mode::empty(), how) {
                Ok(fd) => fd,
                // A rename elsewhere in the tree; the kernel asks to try again.
                Err(Errno::AGAIN) => continue,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    return Err(Error::Missing(path));
                }
                Err(e) => return Err(e).doing("open", path),
            };
            let node = Node::of(fd).doing("look at", &path)?;
            return Ok(Found { path, node });
        }
    }

    /// A directory that a path leads to without any link, if there is one.
    pub(crate) fn dir(&self, path: &str) -> Option<Node> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let fd = fs::openat2(&self.root, path, flags, Mode::empty(), how).ok()?;
        Node::of(fd).ok()
    }

    /// All that a pattern fits, sorted; a pattern without wildcards is a path
    /// that must be there. Where `deep`, `**` stands for any number of
    /// directories; else it is what `*` is.
    ///
    /// # Errors
    /// A bad pattern; nothing fits; what the host said.
    pub fn matching(&self, pattern: &str, deep: bool) -> Result<Vec<Found>, Error> {
        if !Wildcard::is_one(pattern) {
            return Ok(vec![self.find(pattern)?]);
        }
        let pattern_clean = clean(pattern);
        let mut paths = vec![String::new()];
        for part in pattern_clean.split('/') {
            if !Wildcard::is_one(part) {
                for path in &mut paths {
                    push(path, part);
                }
                continue;
            }
            let every = deep && part == "**";
            let wildcard = Wildcard::parse(part).map_err(|e| Error::Invalid(e.to_string()))?;
            let mut next = Vec::new();
            for path in paths {
                let Ok(dir) = self.find(&path) else { continue };
                if !dir.is_dir() {
                    continue;
                }
                if every {
                    Self::below(&dir, &mut next)?;
                    continue;
                }
                for name in dir.node.names().doing("read", &path)? {
                    let Ok(name) = std::str::from_utf8(&name) else { continue };
                    if wildcard.fits(name) {
                        let mut path = path.clone();
                        push(&mut path, name);
                        next.push(path);
                    }
                }
            }
            paths = next;
        }
        let mut found = Vec::new();
        for path in paths {
            match self.find(&path) {
                Ok(one) => found.push(one),
                Err(Error::Missing(_)) => {}
                Err(e) => return Err(e),
            }
        }
        if found.is_empty() {
            return Err(Error::Missing(pattern.to_owned()));
        }
        Ok(found)
    }

    /// A directory's own path and those of all directories below.
    fn below(dir: &Found, into: &mut Vec<String>) -> Result<(), Error> {
        bounded(&dir.path)?;
        into.push(dir.path.clone());
        for name in dir.node.names().doing("read", &dir.path)? {
            let Ok(text) = std::str::from_utf8(&name) else { continue };
            let node = Node::at(dir.node.fd.as_fd(), &name).doing("look at", text)?;
            if node.kind() == FileType::Directory {
                let mut path = dir.path.clone();
                push(&mut path, text);
                Self::below(&Found { path, node }, into)?;
            }
        }
        Ok(())
    }
}

fn push(path: &mut String, part: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(part);
}

/// A path without `.`, `..` and double slashes; what climbs above the top
/// stays at the top.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a path, read by its letters, climbs above where it begins.
pub fn climbs(path: &str) -> bool {
    let mut depth = 0i32;
    path.split('/').any(|part| {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    })
}

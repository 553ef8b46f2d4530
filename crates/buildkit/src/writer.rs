//! A client's files on the disk of this host.
//!
//! Whatever a client sends stays below one directory: no path has `..`, and
//! none is followed through a link (`openat2`, which fails instead).
//!
//! The directory may hold what the client sent before. What is there just as
//! it is said to be (kind, size, owner, mode, time, attributes) is not asked
//! for again; what differs is made anew, never written to; what is not said
//! to be there any more goes.
//!
//! Source: fsutil's `receive.go` and `diff.go`.

use crate::grpc::{Code, Status};
use crate::proto::{Packet, PacketKind, Stat};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use tokio::sync::mpsc;

/// Files of a client that may be half there at one time; its sender keeps
/// four.
const OPEN: usize = 32;
/// Parts of a path. Trees are cleared by calls that nest as directories do,
/// on a thread with a small stack.
const DEEPEST: usize = 512;
/// Bytes of a list of attributes (`XATTR_LIST_MAX`).
const LIST: usize = 64 << 10;

/// Go's bits of `os.FileMode`.
pub mod mode {
    pub const DIR: u32 = 1 << 31;
    pub const LINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const PIPE: u32 = 1 << 25;
    pub const SOCKET: u32 = 1 << 24;
    pub const SETUID: u32 = 1 << 23;
    pub const SETGID: u32 = 1 << 22;
    pub const STICKY: u32 = 1 << 20;
    pub const KIND: u32 = DIR | LINK | DEVICE | PIPE | SOCKET | 1 << 21 | 1 << 19;
}

/// Puts packets on the disk.
pub struct Writer {
    root: OwnedFd,
    ask: Option<mpsc::UnboundedSender<Packet>>,
    /// The number of the next file.
    number: u32,
    /// Asked for and not there: number, what it is.
    wanted: HashMap<u32, Stat>,
    /// Half there.
    open: HashMap<u32, File>,
    /// All names have come.
    listed: bool,
    /// Their times are set last, since files are put in them.
    directories: Vec<Stat>,
    /// What was here before, if anything was.
    before: Option<Before>,
    /// The directory that was opened last: names come in its order.
    near: Option<(String, OwnedFd)>,
}

/// How much of what was here before has been spoken of.
#[derive(Default)]
struct Before {
    said: HashSet<String>,
    /// Inodes of files with several names, which the first has taken.
    taken: HashSet<u64>,
}

impl Writer {
    /// Writes below `root`; says what it wants through `ask`.
    ///
    /// # Errors
    /// What the host said.
    pub fn new(root: OwnedFd, ask: mpsc::UnboundedSender<Packet>) -> Result<Self, Status> {
        let names =
            names(root.as_fd()).map_err(|error| disk("list the directory of", "", error))?;
        Ok(Self {
            root,
            ask: Some(ask),
            number: 0,
            wanted: HashMap::new(),
            open: HashMap::new(),
            listed: false,
            directories: Vec::new(),
            before: (!names.is_empty()).then(Before::default),
            near: None,
        })
    }

    /// Whether all has come.
    ///
    /// # Errors
    /// What was sent is no file; what the host said.
    pub fn run(mut self, mut work: mpsc::Receiver<Packet>) -> Result<bool, Status> {
        while let Some(packet) = work.blocking_recv() {
            if packet.kind == PacketKind::Data as i32 {
                self.data(&packet)?;
            } else if let Some(stat) = packet.stat.filter(|stat| !stat.path.is_empty()) {
                self.stat(stat)?;
            } else if !self.listed {
                self.listed = true;
                self.drop_unsaid()?;
            }
            if self.listed && self.wanted.is_empty() {
                self.say(PacketKind::Fin, 0);
                // Nothing more is asked.
                self.ask = None;
            }
        }
        if self.ask.is_some() {
            return Ok(false);
        }
        for stat in self.directories.iter().rev() {
            let dir = self.at(&stat.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            finish(&dir, stat)?;
        }
        Ok(true)
    }

    fn say(&self, kind: PacketKind, id: u32) {
        if let Some(ask) = &self.ask {
            // If nobody listens any more, the reason is told there.
            let _ = ask.send(Packet { kind: kind as i32, id, ..Packet::default() });
        }
    }

    /// Something that is there already, without following any link to it.
    fn at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Status> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
            resolve,
        )
        .map_err(|error| disk("open", path, error))
    }

    /// The directory that a path is in, and its name there. The directory is
    /// to be given back with [`stays`](Self::stays).
    fn place<'p>(&mut self, path: &'p str) -> Result<(OwnedFd, &'p str), Status> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(plain) {
            return Err(bad("sent a path that does not stay in the context", path));
        }
        if path.matches('/').count() >= DEEPEST {
            let words = format!("sent a path of more than {DEEPEST} parts to the context");
            return Err(bad(&words, &path[..path.floor_char_boundary(64)]));
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        match self.near.take() {
            Some((near, dir)) if near == parent => Ok((dir, name)),
            _ => Ok((self.at(parent, OFlags::PATH | OFlags::DIRECTORY)?, name)),
        }
    }

    /// Remembers a directory for the next file.
    fn stays(&mut self, path: &str, dir: OwnedFd) {
        let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        self.near = Some((parent.to_owned(), dir));
    }

    fn stat(&mut self, stat: Stat) -> Result<(), Status> {
        let number = self.number;
        self.number += 1;
        if self.listed {
            return Err(bad("sent a file after the last one", &stat.path));
        }
        let path = stat.path.clone();
        let (parent, name) = self.place(&path)?;
        // What was asked for would be something else when its bytes come.
        if self.before.as_mut().is_some_and(|before| !before.said.insert(path.clone())) {
            return Err(bad("sent the same name of the context twice", &path));
        }
        let there = self.before.is_some() && self.is_there(&stat, &parent, name)?;
        if stat.mode & mode::KIND == mode::DIR {
            if !there {
                rustix::fs::mkdirat(&parent, name, Mode::RWXU)
                    .map_err(|error| disk("make", &path, error))?;
            }
            self.directories.push(stat);
        } else if !there {
            self.make(stat, number, &parent, name)?;
        }
        self.stays(&path, parent);
        Ok(())
    }

    /// Makes anything but a directory.
    fn make(
        &mut self,
        stat: Stat,
        number: u32,
        parent: &OwnedFd,
        name: &str,
    ) -> Result<(), Status> {
        let failed = |error| disk("make", &stat.path, error);
        match stat.mode & mode::KIND {
            0 if stat.link.is_empty() => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let mode = Mode::RUSR | Mode::WUSR;
                drop(
                    rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, mode)
                        .map_err(failed)?,
                );
                self.wanted.insert(number, stat);
                self.say(PacketKind::Req, number);
            }
            0 => {
                let (from, first) = self.place(&stat.link)?;
                rustix::fs::linkat(&from, first, parent, name, AtFlags::empty()).map_err(failed)?;
                // Its bytes come again under this number unless nobody asks.
            }
            mode::LINK => {
                rustix::fs::symlinkat(&stat.link, parent, name).map_err(failed)?;
                let at = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(parent, name, &times(&stat), at).map_err(failed)?;
            }
            mode::PIPE => {
                let mode = Mode::from_raw_mode(stat.mode & 0o777);
                rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0).map_err(failed)?;
            }
            // Nothing that listens can be in an image.
            mode::SOCKET => {}
            _ => return Err(bad("sent a device, which no build context can hold", &stat.path)),
        }
        Ok(())
    }

    /// Whether something is here as it is said to be; what is not goes.
    fn is_there(&mut self, stat: &Stat, parent: &OwnedFd, name: &str) -> Result<bool, Status> {
        let failed = |error| disk("look at", &stat.path, error);
        let found = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let same = match (stat.mode & mode::KIND, FileType::from_raw_mode(found.st_mode)) {
            (mode::DIR, FileType::Directory) => {
                has_attributes(stat, parent, name).map_err(failed)?
            }
            (mode::LINK, FileType::Symlink) => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(failed)?;
                target.as_bytes() == stat.link.as_bytes() && is_of_time(stat, &found)
            }
            (0, FileType::RegularFile) if !stat.link.is_empty() => {
                let (from, first) = self.place(&stat.link)?;
                let first = rustix::fs::statat(&from, first, AtFlags::SYMLINK_NOFOLLOW);
                first.is_ok_and(|first| first.st_ino == found.st_ino)
            }
            (0, FileType::RegularFile) => {
                let free = found.st_nlink == 1
                    || self.before.as_ref().is_some_and(|b| !b.taken.contains(&found.st_ino));
                free && found.st_size == stat.size
                    && (found.st_uid, found.st_gid) == (stat.uid, stat.gid)
                    && found.st_mode & 0o7777 == bits(stat)
                    && is_of_time(stat, &found)
                    && has_attributes(stat, parent, name).map_err(failed)?
            }
            _ => false,
        };
        if !same {
            remove(parent.as_fd(), name.as_bytes())
                .map_err(|error| disk("remove", &stat.path, error))?;
        }
        let several = found.st_nlink > 1 && found.st_mode & 0o170_000 == 0o100_000;
        if let Some(before) = self.before.as_mut().filter(|_| same && several) {
            before.taken.insert(found.st_ino);
        }
        Ok(same)
    }

    /// Removes what was here and is not said to be any more.
    fn drop_unsaid(&mut self) -> Result<(), Status> {
        self.near = None;
        match self.before.take() {
            Some(before) => drop_below(self.root.as_fd(), "", &before.said)
                .map_err(|error| disk("clear", "what went", error)),
            None => Ok(()),
        }
    }

    fn data(&mut self, packet: &Packet) -> Result<(), Status> {
        let Some(stat) = self.wanted.get(&packet.id) else {
            return Err(bad("sent bytes of a file that was not asked for", ""));
        };
        let failed = |error| disk("write", &stat.path, error);
        if !self.open.contains_key(&packet.id) {
            if self.open.len() >= OPEN {
                return Err(bad("sends too many files at the same time", &stat.path));
            }
            // Whatever it is, opening it must not wait.
            let file = self.at(&stat.path, OFlags::WRONLY | OFlags::NONBLOCK)?;
            self.open.insert(packet.id, File::from(file));
        }
        if packet.data.is_empty() {
            if let (Some(stat), Some(file)) =
                (self.wanted.remove(&packet.id), self.open.remove(&packet.id))
            {
                finish(&OwnedFd::from(file), &stat)?;
            }
        } else if let Some(file) = self.open.get_mut(&packet.id) {
            file.write_all(&packet.data)
                .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        Ok(())
    }
}

/// Permissions, in the kernel's bits.
fn bits(stat: &Stat) -> u32 {
    let mut bits = stat.mode & 0o777;
    for (go, unix) in [(mode::SETUID, 0o4000), (mode::SETGID, 0o2000), (mode::STICKY, 0o1000)] {
        if stat.mode & go != 0 {
            bits |= unix;
        }
    }
    bits
}

/// Owner, permissions, attributes and time of something that is complete.
fn finish(fd: &OwnedFd, stat: &Stat) -> Result<(), Status> {
    let failed = |error| disk("finish", &stat.path, error);
    let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
    rustix::fs::fchown(fd, Some(uid), Some(gid)).map_err(failed)?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(bits(stat))).map_err(failed)?;
    for (name, value) in stat.xattrs.iter().filter(|(name, _)| is_carried(name.as_bytes())) {
        rustix::fs::fsetxattr(fd, name.as_str(), value, XattrFlags::empty()).map_err(failed)?;
    }
    rustix::fs::futimens(fd, &times(stat)).map_err(failed)
}

fn is_carried(attribute: &[u8]) -> bool {
    attribute.starts_with(b"user.") || attribute == b"security.capability"
}

/// Whether a file has the attributes that it is said to have, and no others.
fn has_attributes(stat: &Stat, parent: &OwnedFd, name: &str) -> Result<bool, Errno> {
    let path = format!("/proc/self/fd/{}/{name}", parent.as_raw_fd());
    let wanted = stat.xattrs.keys().filter(|name| is_carried(name.as_bytes())).count();
    let mut list = [0; 256];
    let mut long = Vec::new();
    let list = match rustix::fs::llistxattr(&path, &mut list) {
        Ok(length) => &list[..length],
        Err(Errno::RANGE) => {
            long.resize(LIST, 0);
            let length = rustix::fs::llistxattr(&path, &mut long)?;
            &long[..length]
        }
        Err(Errno::OPNOTSUPP) => &[],
        Err(error) => return Err(error),
    };
    let found: Vec<&[u8]> = list.split(|b| *b == 0).filter(|name| is_carried(name)).collect();
    if found.len() != wanted {
        return Ok(false);
    }
    for name in found {
        let mut value = vec![0; LIST];
        let length = rustix::fs::lgetxattr(&path, name, &mut value[..])?;
        let text = std::str::from_utf8(name).unwrap_or_default();
        if stat.xattrs.get(text).is_none_or(|wanted| wanted[..] != value[..length]) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.modified.div_euclid(1_000_000_000),
        tv_nsec: stat.modified.rem_euclid(1_000_000_000),
    };
    Timestamps { last_access: time, last_modification: time }
}

fn is_of_time(stat: &Stat, found: &rustix::fs::Stat) -> bool {
    let nanos = i64::try_from(found.st_mtime_nsec).unwrap_or_default();
    found.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos) == stat.modified
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<std::ffi::CString>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = Dir::read_from(rustix::fs::openat(dir, ".", flags, Mode::empty())?)?;
    let mut names = Vec::new();
    for entry in dir {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn directory(at: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Removes a name and all below it: as deep as a path may be long.
fn remove(at: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let dir = directory(at, name)?;
    for name in names(dir.as_fd())? {
        remove(dir.as_fd(), name.to_bytes())?;
    }
    rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)
}

/// Removes whatever below a directory is not among the paths.
fn drop_below(dir: BorrowedFd<'_>, path: &str, said: &HashSet<String>) -> Result<(), Errno> {
    for name in names(dir)? {
        let bytes = name.to_bytes();
        // A name that is no text never came from a client.
        let text = name.to_str().unwrap_or_default();
        let whole = if path.is_empty() { text.to_owned() } else { format!("{path}/{text}") };
        if !said.contains(&whole) {
            remove(dir, bytes)?;
        } else if let Ok(child) = directory(dir, bytes) {
            drop_below(child.as_fd(), &whole, said)?;
        }
    }
    Ok(())
}

/// The client is at fault.
pub fn bad(what: &str, path: &str) -> Status {
    let of = if path.is_empty() { String::new() } else { format!(": {path:?}") };
    Status::new(Code::InvalidArgument, format!("the client {what}{of}"))
}

/// The host is.
pub fn disk(doing: &str, path: &str, error: Errno) -> Status {
    Status::new(Code::Internal, format!("cannot {doing} {path} of the build context: {error}"))
}

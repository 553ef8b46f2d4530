//! Device nodes and the links beside them.
//!
//! A node is made where it is to be, if devices work there (the usual `/dev`
//! is a tmpfs that the launcher has just mounted), and bound from a scratch
//! tmpfs otherwise. Only where the kernel forbids making nodes (an engine
//! inside a container) is the host's own bound, after a look at its number.
//! A container cannot make another: `mknod` takes a capability over the
//! host's user namespace, or the device control group.

use crate::{
    failure::{Doing, because, refusal},
    filesystem,
    ids::Ids,
    procfs::Proc,
    tree::{self, Tree, Want},
};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags},
    io::{self, Errno},
    mount::UnmountFlags,
};
use spec::{oci::Device, wire::Failure};
use std::{
    ffi::OsStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// `config-linux.md`, "Default Devices"; numbers from `devices.txt`.
const STANDARD: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// `runtime-linux.md`, "Dev symbolic links".
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Makes the nodes of a container.
#[derive(Debug)]
pub(crate) struct Maker<'a> {
    pub tree: &'a Tree,
    pub ids: Ids<'a>,
}

impl<'a> Maker<'a> {
    pub fn new(tree: &'a Tree, ids: Ids<'a>) -> Self {
        Self { tree, ids }
    }

    /// Makes the standard nodes, those that `wanted` adds or changes, and the
    /// standard links.
    pub fn make_all(&self, wanted: &[Device]) -> Result<(), Failure> {
        for (path, major, minor) in STANDARD {
            if !wanted
                .iter()
                .any(|device| tree::cleaned(Path::new(&device.path)) == Path::new(path))
            {
                let kind = "c".into();
                let path = path.into();
                self.make(&Device { kind, path, major, minor, ..Device::default() })?;
            }
        }
        wanted.iter().try_for_each(|device| self.make(device))?;
        let (dev, _) = self.tree.make(Path::new("/dev"), Want::Dir)?;
        for (target, name) in LINKS {
            match rustix::fs::symlinkat(target, &dev, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                other => other.doing(|| format!("make the link /dev/{name}"))?,
            }
        }
        Ok(())
    }

    fn make(&self, device: &Device) -> Result<(), Failure> {
        let node = Node::new(device, self.ids)?;
        let (dir, name) = self.tree.parent(Path::new(&device.path))?;
        let doing = || format!("make the device {}", device.path);
        let flags = rustix::fs::fstatvfs(&dir).doing(doing)?.f_flag;
        if !flags.contains(StatVfsMountFlags::NODEV) {
            match node.make_at(dir.as_fd(), &name) {
                Err(Errno::PERM) => {}
                Err(Errno::EXIST) => return node.check(dir.as_fd(), &name, device),
                other => return other.doing(doing),
            }
        }
        let source = Self::source(&node, device)?;
        let (onto, _) = self.tree.make(Path::new(&device.path), Want::File)?;
        tree::attach(source.as_fd(), onto.as_fd()).doing(doing)
    }

    /// A detached mount of just this node.
    fn source(node: &Node, device: &Device) -> Result<OwnedFd, Failure> {
        // What is copied must be attached somewhere in one's own view: on the
        // procfs of that, and no longer than it takes. The procfs that the
        // launcher works with is of the view before.
        let scratch = filesystem::create("tmpfs", &[], 0)?;
        let covered = Proc::open()?.cover(scratch.as_fd());
        covered.doing(|| "attach a scratch file system".into())?;
        let copy = Self::copy(node, device, scratch.as_fd());
        rustix::mount::unmount("/proc", UnmountFlags::DETACH)
            .doing(|| "detach a scratch file system".into())?;
        copy
    }

    fn copy(node: &Node, device: &Device, scratch: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
        let doing = || format!("bind the device {}", device.path);
        let name = OsStr::new("node");
        let found = match node.make_at(scratch, name) {
            // It keeps its name, since what has none is attached nowhere.
            Ok(()) => open_node(scratch, name).doing(doing)?,
            Err(Errno::PERM) => {
                let found = open_node(rustix::fs::CWD, OsStr::new(&device.path)).doing(doing)?;
                if !node.is(&rustix::fs::fstat(&found).doing(doing)?) {
                    return Err(refusal(format!(
                        "the host's {} is not the device it should be",
                        device.path
                    )));
                }
                found
            }
            Err(error) => return Err(because(&doing(), &error.into())),
        };
        tree::copy(found.as_fd(), false).doing(doing)
    }
}

fn open_node(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// What the kernel is to be told of a node.
#[derive(Debug)]
struct Node {
    kind: FileType,
    number: u64,
    mode: Mode,
    /// Where it is not to be the container's root.
    owner: Option<(u32, u32)>,
}

impl Node {
    fn new(device: &Device, ids: Ids<'_>) -> Result<Self, Failure> {
        let kind = match device.kind.as_str() {
            "c" | "u" => FileType::CharacterDevice,
            "b" => FileType::BlockDevice,
            "p" => FileType::Fifo,
            word => {
                return Err(refusal(format!("{}: unknown device type {word:?}", device.path)));
            }
        };
        let number = |n: i64| {
            u32::try_from(n).map_err(|_| refusal(format!("{}: no device number {n}", device.path)))
        };
        let owner = match (device.uid.unwrap_or(0), device.gid.unwrap_or(0)) {
            (0, 0) => None,
            (uid, gid) => Some(ids.uid(uid).zip(ids.gid(gid)).ok_or_else(|| {
                refusal(format!("{}: its owner {uid}:{gid} is not mapped", device.path))
            })?),
        };
        Ok(Self {
            kind,
            number: rustix::fs::makedev(number(device.major)?, number(device.minor)?),
            mode: Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777),
            owner,
        })
    }

    fn make_at(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        rustix::fs::mknodat(dir, name, self.kind, self.mode, self.number)?;
        if let Some((uid, gid)) = self.owner {
            tree::chown(open_node(dir, name)?.as_fd(), uid, gid)?;
        }
        Ok(())
    }

    fn is(&self, stat: &rustix::fs::Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode) == self.kind
            && (self.kind == FileType::Fifo || stat.st_rdev == self.number)
    }

    /// Accepts what is there already if it is the same.
    fn check(&self, dir: BorrowedFd<'_>, name: &OsStr, device: &Device) -> Result<(), Failure> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .doing(|| format!("look at {}", device.path))?;
        if self.is(&stat) {
            Ok(())
        } else {
            Err(refusal(format!("{} exists and is another thing", device.path)))
        }
    }
}

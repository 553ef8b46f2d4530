//! The host's procfs, opened once and verified.
//!
//! Files of it are found from this descriptor alone, never by a path that a
//! container could have mounted or linked something over (CVE-2019-16884,
//! CVE-2025-52881).

use crate::failure::{Doing, refusal};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::{self, Errno},
    mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags},
};
use spec::wire::Failure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A directory that is known to be the root of a procfs.
#[derive(Debug)]
pub(crate) struct Proc(OwnedFd);

impl Proc {
    /// Opens `/proc`.
    pub fn open() -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/proc", flags, Mode::empty()).doing(|| "open /proc".into())?;
        Self::verified(fd)
    }

    /// One of the caller's own, for the settings of one network namespace.
    ///
    /// A procfs remembers what was looked up below `sys/net` for each network
    /// namespace under the same names, and goes through all of them: that of
    /// the host would become slower with every container. Where none may be
    /// mounted it is the host's all the same.
    pub fn own() -> Result<Self, Failure> {
        match Self::mounted() {
            Ok(fd) => Self::verified(fd),
            Err(Errno::PERM | Errno::NOSYS) => Self::open(),
            Err(error) => Err(error).doing(|| "mount a procfs".into()),
        }
    }

    fn mounted() -> io::Result<OwnedFd> {
        let context = mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        mount::fsconfig_create(context.as_fd())?;
        let (flags, attributes) = (FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
        mount::fsmount(context.as_fd(), flags, attributes)
    }

    /// Takes a descriptor that ought to be one.
    pub fn verified(fd: OwnedFd) -> Result<Self, Failure> {
        if is_procfs(fd.as_fd()).doing(|| "look at a procfs".into())? {
            Ok(Self(fd))
        } else {
            Err(refusal("what is at /proc is no procfs"))
        }
    }

    /// Its root.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Opens one file or directory of it, crossing no mount and no link but
    /// `self` and `thread-self`.
    pub fn file(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        rustix::fs::openat2(
            &self.0,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// Opens the namespace `name` of process `pid`: a link that procfs
    /// follows by itself, which [`Proc::file`] never does.
    pub fn namespace(&self, pid: i32, name: &str) -> io::Result<OwnedFd> {
        let dir = self.file(&format!("{pid}/ns"), OFlags::PATH | OFlags::DIRECTORY)?;
        rustix::fs::openat(&dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Reads one of its own links (`self`), without following it.
    pub fn link(&self, name: &str) -> io::Result<String> {
        let target = rustix::fs::readlinkat(&self.0, name, Vec::new())?;
        target.into_string().map_err(|_| Errno::ILSEQ)
    }

    /// Attaches a mount on top of it: paths lead there, this descriptor does
    /// not.
    pub fn cover(&self, mount: BorrowedFd<'_>) -> io::Result<()> {
        crate::tree::attach(mount, self.0.as_fd())
    }

    /// Writes to a file of it, in one call.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let fd = self.file(path, OFlags::WRONLY)?;
        let written = rustix::io::write(&fd, bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(Errno::IO) }
    }
}

/// Is `fd` on a procfs?
pub(crate) fn is_procfs(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

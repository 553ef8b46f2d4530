//! One directory of one hierarchy.
//!
//! It is opened at the first use and its files are reached through that
//! descriptor: what happens to the path afterwards does not matter.

use crate::{Error, error::Doing};
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

#[derive(Debug)]
pub(crate) struct Dir {
    pub path: PathBuf,
    /// As in `/proc/self/cgroup`; empty for version 2.
    pub controllers: Vec<String>,
    /// What the hierarchy's mount point is called, e.g. `cpu,cpuacct`.
    pub tree: String,
    fd: OnceLock<OwnedFd>,
}

impl Dir {
    pub fn new(path: PathBuf, controllers: Vec<String>) -> Self {
        let tree = controllers.join(",");
        Self { path, controllers, tree, fd: OnceLock::new() }
    }

    pub fn unified(&self) -> bool {
        self.controllers.is_empty()
    }

    pub fn controls(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Opens it, if it is not open yet.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        if let Some(fd) = self.fd.get() {
            return Ok(fd.as_fd());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&self.path, flags, Mode::empty()).doing("open", &self.path)?;
        // Another thread may have been faster: then its descriptor is kept.
        Ok(self.fd.get_or_init(|| fd).as_fd())
    }

    /// Opens one file of it.
    pub fn open(&self, file: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        rustix::fs::openat(self.fd()?, file, flags | OFlags::CLOEXEC, Mode::empty())
            .doing("open", &self.path.join(file))
    }

    /// A file's whole content.
    pub fn read(&self, file: &str) -> Result<String, Error> {
        let fd = self.open(file, OFlags::RDONLY)?;
        self.read_fd(fd.as_fd(), file)
    }

    /// The same, or none where this kernel has no such file.
    pub fn read_if_there(&self, file: &str) -> Result<Option<String>, Error> {
        match self.read(file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What an open file says now; it may have been read before.
    pub fn read_fd(&self, fd: BorrowedFd<'_>, file: &str) -> Result<String, Error> {
        let mut text = Vec::with_capacity(4096);
        loop {
            text.reserve(4096);
            let at = text.len() as u64;
            match rustix::io::pread(fd, rustix::buffer::spare_capacity(&mut text), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).doing("read", &self.path.join(file)),
            }
        }
        String::from_utf8(text)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
            .doing("read", &self.path.join(file))
    }

    /// A file that holds one number; none for `max`.
    pub fn number(&self, file: &str) -> Result<Option<u64>, Error> {
        Ok(self.read(file)?.trim().parse().ok())
    }

    /// Replaces what a file says.
    pub fn write(&self, file: &str, value: &str) -> Result<(), Error> {
        self.write_each(file, &[value])
    }

    /// Writes values to a file, each by a call of its own.
    pub fn write_each(&self, file: &str, values: &[impl AsRef<str>]) -> Result<(), Error> {
        let Some(first) = values.first() else { return Ok(()) };
        let failed = |value: &str, source: Errno| Error::Write {
            path: self.path.join(file),
            value: value.to_owned(),
            source: source.into(),
        };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd()?, file, flags, Mode::empty())
            .map_err(|source| failed(first.as_ref(), source))?;
        values.iter().map(AsRef::as_ref).try_for_each(|value| {
            rustix::io::retry_on_intr(|| rustix::io::write(&fd, value.as_bytes()))
                .map_err(|source| failed(value, source))?;
            Ok(())
        })
    }

    /// Names of the groups below this one.
    pub fn children(&self) -> Result<Vec<String>, Error> {
        self.names(FileType::Directory)
    }

    /// Names of its files.
    pub fn files(&self) -> Result<Vec<String>, Error> {
        self.names(FileType::RegularFile)
    }

    fn names(&self, kind: FileType) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        // A descriptor of its own: the position in a directory is shared.
        let fd = self.open(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let entries = rustix::fs::Dir::new(fd).doing("list", &self.path)?;
        for entry in entries {
            let entry = entry.doing("list", &self.path)?;
            let name = entry.file_name().to_string_lossy();
            if entry.file_type() == kind && name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        Ok(names)
    }

    /// The group below this one that is called `name`.
    pub fn child(&self, name: &str) -> Self {
        Self::new(self.path.join(name), self.controllers.clone())
    }

    /// Processes of this group and of all below it.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        let mut pids = Vec::new();
        self.collect_pids(&mut pids)?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Refuses a group that others use. One that is gone is used by nobody.
    pub fn must_be_empty(&self) -> Result<(), Error> {
        match self.pids() {
            Ok(pids) if pids.is_empty() => Ok(()),
            Ok(pids) => Err(Error::InUse { path: self.path.clone(), count: pids.len() }),
            Err(error) if gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn collect_pids(&self, pids: &mut Vec<i32>) -> Result<(), Error> {
        let text = match self.read("cgroup.procs") {
            // A group whose threads are spread over others (version 2).
            Err(error) if error.errno() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                self.read("cgroup.threads")?
            }
            // It went while we were looking: nobody is in it.
            Err(error) if gone(&error) => return Ok(()),
            other => other?,
        };
        pids.extend(text.lines().filter_map(|line| line.parse().ok()).filter(|&pid: &i32| pid > 0));
        match self.children() {
            Ok(names) => names.iter().try_for_each(|name| self.child(name).collect_pids(pids)),
            Err(error) if gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Makes one directory; false if it was there.
pub(crate) fn make(path: &Path) -> Result<bool, Error> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error).doing("make control group", path),
    }
}

/// The file or the directory is not there.
pub(crate) fn absent(error: &Error) -> bool {
    error.errno() == Some(Errno::NOENT.raw_os_error())
}

/// The directory has been removed; an open file of it says `ENODEV`.
pub(crate) fn gone(error: &Error) -> bool {
    absent(error) || error.errno() == Some(Errno::NODEV.raw_os_error())
}

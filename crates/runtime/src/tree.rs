//! The container's tree, seen from outside while it is built.
//!
//! Every name in it may have been chosen by an enemy, and may be exchanged
//! while we look. So a name is resolved once, by the kernel, confined to the
//! tree (`RESOLVE_IN_ROOT`), and what was found is used by its descriptor.

use crate::failure::{Doing, refusal};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags},
    io::{self, Errno},
    mount::{MoveMountFlags, OpenTreeFlags},
};
use spec::wire::Failure;
use std::{
    collections::VecDeque,
    ffi::OsString,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

/// How many links one path may lead through, as the kernel's own limit.
const MAX_LINKS: usize = 40;

/// What is to be at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A directory.
    Dir,
    /// Anything that is not one; made as an empty file.
    File,
}

/// The root of a container that is being built.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// Takes the root's descriptor.
    pub fn new(root: OwnedFd) -> Self {
        Self(root)
    }

    /// The root itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Opens what `path` leads to in the tree; links count from its root.
    pub fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.resolve(path, flags, ResolveFlags::IN_ROOT)
    }

    /// The same where no link is allowed on the way or at the end.
    pub fn open_strictly(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.resolve(path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
    }

    fn resolve(&self, path: &Path, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let how = how | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        // The kernel gives up on a walk through ".." during which something
        // was renamed anywhere. It is a matter of luck; luck is bounded.
        for _ in 0..128 {
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens `path`, making what is missing. True if it was there.
    pub fn make(&self, path: &Path, want: Want) -> Result<(OwnedFd, bool), Failure> {
        match self.open(path, OFlags::PATH) {
            Ok(fd) => Ok((fd, true)),
            Err(Errno::NOENT) => self
                .make_last(path, want)
                .transpose()
                .unwrap_or_else(|| self.make_missing(path, want))
                .map(|fd| (fd, false))
                .doing(|| format!("make {} in the container's root", path.display())),
            Err(error) => {
                Err(error).doing(|| format!("open {} in the container's root", path.display()))
            }
        }
    }

    /// Makes `path` where its last component alone is missing; none where it
    /// is not so simple.
    fn make_last(&self, path: &Path, want: Want) -> io::Result<Option<OwnedFd>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let parent = match self.open(parent, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        // A link that leads nowhere is there, and left alone.
        let name = name.to_owned();
        let made = match want {
            Want::Dir => create_dir(&parent, &name)?,
            Want::File => create_file(&parent, &name)?,
        };
        let link = file_type(made.as_fd())? == FileType::Symlink;
        Ok((!link).then_some(made))
    }

    /// Walks one component at a time. A link that leads nowhere is followed,
    /// as images are full of them (`/etc/resolv.conf` among them).
    fn make_missing(&self, path: &Path, want: Want) -> io::Result<OwnedFd> {
        let mut ahead: VecDeque<OsString> = components(path);
        let mut behind = PathBuf::new();
        let mut links = 0;
        let mut here = self.open_strictly(&behind, OFlags::PATH)?;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                behind.pop();
                here = self.open_strictly(&behind, OFlags::PATH)?;
                continue;
            }
            let last = ahead.iter().all(|name| name == "..");
            let next = match open_at(&here, &name) {
                Err(Errno::NOENT) if last && want == Want::File => create_file(&here, &name)?,
                Err(Errno::NOENT) => create_dir(&here, &name)?,
                other => other?,
            };
            if file_type(next.as_fd())? != FileType::Symlink {
                behind.push(&name);
                here = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            let target = rustix::fs::readlinkat(&next, "", Vec::new())?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                behind = PathBuf::new();
                here = self.open_strictly(&behind, OFlags::PATH)?;
            }
            for name in components(&target).into_iter().rev() {
                ahead.push_front(name);
            }
        }
        Ok(here)
    }

    /// The directory that `path` is to be made in (made if missing), and the
    /// last component's name.
    pub fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString), Failure> {
        let path = cleaned(path);
        let name = path
            .file_name()
            .ok_or_else(|| refusal(format!("{} has no name", path.display())))?
            .to_owned();
        let parent = path.parent().unwrap_or(Path::new("/"));
        let (dir, _) = self.make(parent, Want::Dir)?;
        Ok((dir, name))
    }
}

/// Opens a name in a directory: the thing itself, be it a link, and if it is
/// a mount point what is mounted there.
fn open_at(dir: &OwnedFd, name: &OsString) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name.as_os_str(), flags, Mode::empty())
}

fn create_dir(dir: &OwnedFd, name: &OsString) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(dir, name.as_os_str(), Mode::from_raw_mode(0o755)) {
        // Somebody was quicker. What it is shows when it is opened.
        Ok(()) | Err(Errno::EXIST) => open_at(dir, name),
        Err(error) => Err(error),
    }
}

fn create_file(dir: &OwnedFd, name: &OsString) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name.as_os_str(), flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => open_at(dir, name),
        Err(error) => Err(error),
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// `path` without "." and "..", from the root: no link is looked at.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// What kind of file `fd` is.
pub(crate) fn file_type(fd: BorrowedFd<'_>) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// A detached copy of the mount (with `recursive`: of all below it) at `fd`.
pub(crate) fn copy(fd: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    copy_at(fd, Path::new(""), recursive)
}

/// The same of what `path` leads to from `dir`.
pub(crate) fn copy_at(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(dir, path.as_os_str().as_bytes(), flags)
}

/// Attaches a detached mount on top of `onto`.
pub(crate) fn attach(mount: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", onto, "", flags)
}

/// Changes owner of what `fd` is, a file that was opened with `O_PATH` too.
pub(crate) fn chown(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir.path(), flags, Mode::empty()).expect("just made");
        (dir, Tree::new(fd))
    }

    #[test]
    fn a_link_to_the_host_leads_into_the_tree() {
        let (dir, tree) = scratch();
        symlink("/../../tmp/cofferdam-sentinel", dir.path().join("dev")).expect("a link");
        tree.make(Path::new("/dev/null"), Want::File).expect("made inside");
        assert!(dir.path().join("tmp/cofferdam-sentinel/null").is_file());
        assert!(!Path::new("/tmp/cofferdam-sentinel").exists());
    }

    #[test]
    fn a_dangling_link_is_followed_when_its_target_is_made() {
        let (dir, tree) = scratch();
        std::fs::create_dir(dir.path().join("etc")).expect("a directory");
        symlink("../run/resolve/stub", dir.path().join("etc/resolv.conf")).expect("a link");
        let (_, there) = tree.make(Path::new("/etc/resolv.conf"), Want::File).expect("made");
        assert!(!there);
        assert!(dir.path().join("run/resolve/stub").is_file());
    }

    #[test]
    fn links_in_a_circle_end_in_an_error() {
        let (dir, tree) = scratch();
        symlink("b", dir.path().join("a")).expect("a link");
        symlink("a", dir.path().join("b")).expect("a link");
        assert!(tree.make(Path::new("/a/c"), Want::Dir).is_err());
    }

    #[test]
    fn dots_do_not_climb_out() {
        let (dir, tree) = scratch();
        tree.make(Path::new("/x/../../../y"), Want::Dir).expect("made inside");
        assert!(dir.path().join("y").is_dir());
        assert_eq!(cleaned(Path::new("../a/./b/../../../c")), Path::new("/c"));
    }
}

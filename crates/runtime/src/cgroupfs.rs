//! The container's view of its control groups.
//!
//! Its own directories are bound from the host's hierarchies: what a control
//! group namespace would show, without a race for who enters it first, and
//! with the mount flags locked like all others.

use crate::{
    failure::{Doing, refusal},
    filesystem::{self, Setting},
    mounts::Site,
    options::Options,
    tree::{self, Want},
};
use rustix::fs::{Mode, OFlags};
use spec::{oci::Mount, wire::Failure};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};
use sys::mount::{self as attr, Change};

/// Mounts what `mount.destination` (usually `/sys/fs/cgroup`) is to show.
pub(crate) fn mount(site: &Site<'_>, mount: &Mount, options: &Options) -> Result<(), Failure> {
    let place = Place { destination: &mount.destination, options };
    let cgroup = site.cgroup.ok_or_else(|| {
        refusal(format!("nothing to mount on {}: the container has no cgroup", mount.destination))
    })?;
    let (onto, _) = site.tree.make(Path::new(&mount.destination), Want::Dir)?;
    match (&cgroup.unified, cgroup.v1.is_empty()) {
        (None, true) => Err(refusal("this host has no control groups")),
        (Some(_), true) if !site.cgroup_private => {
            let whole = filesystem::create("cgroup2", &[], 0)?;
            place.attach(whole.as_fd(), onto.as_fd())
        }
        (Some(dir), true) => place.bind(dir, onto.as_fd()),
        (unified, false) => {
            let flags = attr::NOSUID | attr::NODEV | attr::NOEXEC;
            let top = filesystem::create("tmpfs", &[Setting::Text("mode", "755")], flags)?;
            let doing = || format!("mount control groups on {}", mount.destination);
            tree::attach(top.as_fd(), onto.as_fd()).doing(doing)?;
            let unified = unified.iter().map(|dir| ("unified", dir));
            let v1 = cgroup.v1.iter().map(|(name, dir)| (name.as_str(), dir));
            for (name, dir) in v1.chain(unified) {
                let onto = directory(top.as_fd(), name).doing(doing)?;
                place.bind(dir, onto.as_fd())?;
                for part in name.split(',').filter(|part| *part != name) {
                    rustix::fs::symlinkat(name, &top, part).doing(doing)?;
                }
            }
            place.set_flags(top.as_fd())
        }
    }
}

fn directory(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

#[derive(Clone, Copy)]
struct Place<'a> {
    destination: &'a str,
    options: &'a Options,
}

impl Place<'_> {
    fn bind(self, dir: &Path, onto: BorrowedFd<'_>) -> Result<(), Failure> {
        let copy = tree::copy_at(rustix::fs::CWD, dir, false)
            .doing(|| format!("bind {} to {}", dir.display(), self.destination))?;
        self.attach(copy.as_fd(), onto)
    }

    fn attach(self, mount: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> Result<(), Failure> {
        self.set_flags(mount)?;
        tree::attach(mount, onto).doing(|| format!("mount control groups on {}", self.destination))
    }

    fn set_flags(self, mount: BorrowedFd<'_>) -> Result<(), Failure> {
        let set = self.options.flags.set | self.options.recursive.set;
        let clear = self.options.flags.clear | self.options.recursive.clear;
        attr::change(mount, false, &Change { set, clear, ..Change::default() })
            .doing(|| format!("set the options of the mount on {}", self.destination))
    }
}

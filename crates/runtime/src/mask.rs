//! Paths that a container may not read, or not write.
//!
//! What covers them is looked at first: a `/dev/null` that is another thing
//! would be a hole where a wall was meant (CVE-2025-31133).

use crate::{
    failure::{Doing, refusal},
    filesystem::{self, Setting},
    tree::{self, Tree},
};
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};
use spec::wire::Failure;
use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};
use sys::mount::{self as attr, Change};

/// Covers every path of `paths` that exists: a directory with an empty one,
/// all else with the null device.
pub(crate) fn hide(tree: &Tree, paths: &[String], label: &str) -> Result<(), Failure> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let doing = || format!("mask {path}");
        let onto = match tree.open(Path::new(path), OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            other => other.doing(doing)?,
        };
        if tree::file_type(onto.as_fd()).doing(doing)? == FileType::Directory {
            // All masked directories are the same empty one.
            let cover = match &empty {
                Some(empty) => tree::copy(empty.as_fd(), false).doing(doing)?,
                None => empty_dir(label)?,
            };
            tree::attach(cover.as_fd(), onto.as_fd()).doing(doing)?;
            empty.get_or_insert(cover);
        } else {
            let null = match &null {
                Some(null) => null,
                None => null.insert(null_device()?),
            };
            let cover = tree::copy(null.as_fd(), false).doing(doing)?;
            let change = Change { set: attr::RDONLY, ..Change::default() };
            attr::change(cover.as_fd(), false, &change).doing(doing)?;
            tree::attach(cover.as_fd(), onto.as_fd()).doing(doing)?;
        }
    }
    Ok(())
}

fn empty_dir(label: &str) -> Result<OwnedFd, Failure> {
    let mut settings = vec![Setting::Text("nr_blocks", "1"), Setting::Text("nr_inodes", "1")];
    settings.push(Setting::Text("mode", "755"));
    if !label.is_empty() {
        settings.push(Setting::Text("context", label));
    }
    let flags = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
    filesystem::create("tmpfs", &settings, flags)
}

/// The host's null device, and nothing else. What covers with it is read-only,
/// which stops nobody from writing to the device, but does stop a root without
/// a user namespace of its own from changing the mode of everybody's file.
fn null_device() -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open("/dev/null", flags, Mode::empty())
        .doing(|| "open the host's /dev/null".into())?;
    let stat = rustix::fs::fstat(&fd).doing(|| "look at the host's /dev/null".into())?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(fd) } else { Err(refusal("the host's /dev/null is not the null device")) }
}

/// Makes every path of `paths` that exists read-only, with all below it.
pub(crate) fn freeze(tree: &Tree, paths: &[String]) -> Result<(), Failure> {
    for path in paths {
        let doing = || format!("make {path} read-only");
        let onto = match tree.open(Path::new(path), OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            other => other.doing(doing)?,
        };
        let copy = tree::copy(onto.as_fd(), true).doing(doing)?;
        let change = Change { set: attr::RDONLY, ..Change::default() };
        attr::change(copy.as_fd(), true, &change).doing(doing)?;
        tree::attach(copy.as_fd(), onto.as_fd()).doing(doing)?;
    }
    Ok(())
}

//! Places in a root file system that mounts needed.
//!
//! They are cleared away before the layer is packed: by descriptors, and only
//! if they are empty and were not there before (CVE-2024-23652).

use crate::{Error, error::Doing};
use build::Tree;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

/// A place in a root that was made for a mount.
#[derive(Debug)]
pub(super) struct Stub {
    /// Where it begins not to be there before, real path, clean.
    missing: Vec<String>,
}

/// Which parts of a mount's target are not in the root yet.
pub(super) fn missing(tree: &Tree, target: &str) -> Option<Stub> {
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty()).collect();
    let mut there = String::new();
    for (at, part) in parts.iter().enumerate() {
        let next = format!("{there}/{part}");
        if tree.find(&next).is_ok() {
            there = next;
            continue;
        }
        let real = real_path(tree, &there)?;
        let mut path = real;
        let mut missing = Vec::new();
        for part in &parts[at..] {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            missing.push(path.clone());
        }
        return Some(Stub { missing });
    }
    None
}

/// Where a path of a tree really is, links followed inside it.
pub(super) fn real_path(tree: &Tree, path: &str) -> Option<String> {
    let found = tree.find(path).ok()?;
    let name = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).ok();
    let root = name(tree.root().as_raw_fd())?;
    let end = name(found.as_fd().as_raw_fd())?;
    let end = end.strip_prefix(&root).unwrap_or(&end).to_str()?;
    Some(end.trim_start_matches('/').to_owned())
}

/// Removes from an upper directory the places that mounts needed.
pub(super) fn clear(upper: &Path, stubs: &[Stub]) -> Result<(), Error> {
    if stubs.is_empty() {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(upper, flags, Mode::empty()).doing("open", upper)?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    for path in stubs.iter().flat_map(|stub| stub.missing.iter().rev()) {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        // What the program has put in its place is the program's.
        let Ok(dir) = rustix::fs::openat2(&root, parent, flags, Mode::empty(), within) else {
            continue;
        };
        let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let how = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => AtFlags::REMOVEDIR,
            FileType::RegularFile if stat.st_size == 0 && stat.st_nlink == 1 => AtFlags::empty(),
            _ => continue,
        };
        match rustix::fs::unlinkat(&dir, name, how) {
            Ok(()) | Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).doing("remove", upper.join(path)),
        }
    }
    Ok(())
}

//! Acting on a tree by descriptors: nothing here follows a link or names a
//! file by more than its last part, unless it says so.

use rustix::{
    fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags},
    io::{Errno, Result},
};
use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Marks a directory that hides what lower layers have in its place.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";
/// Nested deeper than this, directories are moved up before they go.
const DEEP: usize = 64;

/// Opens a directory by a path of the host's own.
pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd> {
    open_dir_at(CWD, path.as_os_str().as_encoded_bytes())
}

/// Opens the directory `name`, which is no link.
pub(crate) fn open_dir_at(at: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(at, name, flags, Mode::empty())
}

/// What is at `name`, itself.
pub(crate) fn stat_at(at: BorrowedFd<'_>, name: &[u8]) -> Result<fs::Stat> {
    fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(crate) fn kind(stat: &fs::Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether it stands for "removed" in an overlay's layer.
pub(crate) fn is_whiteout(stat: &fs::Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Makes the device that stands for "removed".
pub(crate) fn make_whiteout(at: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    fs::mknodat(at, name, FileType::CharacterDevice, Mode::empty(), 0)
}

pub(crate) fn is_opaque(dir: impl AsFd) -> bool {
    let mut value = [0u8; 2];
    matches!(fs::fgetxattr(dir, OPAQUE, &mut value[..]), Ok(1) if value[0] == b'y')
}

pub(crate) fn make_opaque(dir: impl AsFd) -> Result<()> {
    fs::fsetxattr(dir, OPAQUE, b"y", fs::XattrFlags::empty())
}

/// A name for calls that take no directory descriptor: `/proc/self/fd/N/name`.
/// Its last part is not followed by the calls that it is meant for (`l…xattr`).
pub(crate) fn by_number(at: BorrowedFd<'_>, name: &[u8]) -> CString {
    let mut path = format!("/proc/self/fd/{}/", at.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    CString::new(path).expect("names of files hold no zero byte")
}

/// Names in a directory, sorted.
pub(crate) fn names(dir: impl AsFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes `name` and all below it, however deep; missing is no error.
pub(crate) fn remove(at: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    let top = open_dir_at(at, name)?;
    let mut hoisted = 0;
    loop {
        let before = hoisted;
        empty(top.as_fd(), top.as_fd(), 0, &mut hoisted)?;
        if hoisted == before {
            break;
        }
    }
    fs::unlinkat(at, name, AtFlags::REMOVEDIR)
}

/// Empties a directory, but for what was moved to `top` for being too deep:
/// neither our stack nor our descriptors may depend on a container's depth.
fn empty(dir: BorrowedFd<'_>, top: BorrowedFd<'_>, depth: usize, hoisted: &mut u64) -> Result<()> {
    for name in names(dir)? {
        match fs::unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
        if depth == DEEP {
            loop {
                *hoisted += 1;
                let free = format!(".hoisted-{hoisted}");
                match fs::renameat_with(dir, &name, top, free, RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => {}
                    result => break result?,
                }
            }
        } else {
            let child = open_dir_at(dir, name.to_bytes())?;
            empty(child.as_fd(), top, depth + 1, hoisted)?;
            fs::unlinkat(dir, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// A directory that is being measured.
struct Level {
    /// Open while something in it is; of deep ones the last alone is.
    dir: Option<OwnedFd>,
    /// Device and inode.
    id: (u64, u64),
    /// What is yet to be looked at.
    names: Vec<CString>,
}

impl Level {
    fn of(dir: OwnedFd) -> Result<Self> {
        let stat = fs::fstat(&dir)?;
        Ok(Self { id: (stat.st_dev, stat.st_ino), names: names(&dir)?, dir: Some(dir) })
    }
}

/// Bytes of all regular files below, each inode once, however deep. What is
/// moved or removed meanwhile counts or not.
pub(crate) fn size(dir: BorrowedFd<'_>) -> Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut total = 0;
    let mut levels = vec![Level::of(dir.try_clone_to_owned().map_err(|_| Errno::MFILE)?)?];
    while let Some(level) = levels.last_mut() {
        // Lost: it was moved while something in it was measured.
        let Some(dir) = &level.dir else {
            levels.pop();
            continue;
        };
        let Some(name) = level.names.pop() else {
            let dir = levels.pop().and_then(|level| level.dir);
            if let (Some(dir), Some(above)) = (dir, levels.last_mut())
                && above.dir.is_none()
            {
                above.dir = open_dir_at(dir.as_fd(), b"..").ok().filter(|found| {
                    fs::fstat(found).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == above.id)
                });
            }
            continue;
        };
        let stat = match stat_at(dir.as_fd(), name.to_bytes()) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e),
        };
        match kind(&stat) {
            FileType::RegularFile
                if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) =>
            {
                total += stat.st_size.unsigned_abs();
            }
            FileType::Directory => match open_dir_at(dir.as_fd(), name.to_bytes()) {
                Ok(child) => {
                    let child = Level::of(child)?;
                    if levels.len() > DEEP {
                        levels.last_mut().expect("this one").dir = None;
                    }
                    levels.push(child);
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(e) => return Err(e),
            },
            _ => {}
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_is_measured_with_few_descriptors() {
        let scratch = tempfile::tempdir().expect("scratch");
        let top = open_dir(scratch.path()).expect("open");
        let mut dir = top.try_clone().expect("clone");
        for _ in 0..3000 {
            for name in ["a", "z"] {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
                let file = fs::openat(&dir, name, flags, Mode::RWXU).expect("create");
                fs::ftruncate(&file, 5).expect("write");
            }
            fs::mkdirat(&dir, "d", Mode::RWXU).expect("mkdir");
            dir = open_dir_at(dir.as_fd(), b"d").expect("open");
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit { current: Some(512), ..limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).expect("fewer");
        let size = size(top.as_fd());
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("as before");
        assert_eq!(size, Ok(3000 * 10));
        remove(CWD, scratch.path().as_os_str().as_encoded_bytes()).expect("removed");
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let scratch = tempfile::tempdir().expect("scratch");
        let at = open_dir(scratch.path()).expect("open");
        fs::mkdirat(&at, "top", Mode::RWXU).expect("mkdir");
        let mut dir = open_dir_at(at.as_fd(), b"top").expect("open");
        for _ in 0..3000 {
            fs::mkdirat(&dir, "d", Mode::RWXU).expect("mkdir");
            fs::symlinkat("/etc", &dir, "l").expect("symlink");
            dir = open_dir_at(dir.as_fd(), b"d").expect("open");
        }
        remove(at.as_fd(), b"top").expect("remove");
        assert!(names(&at).expect("list").is_empty());
        assert!(Path::new("/etc/passwd").exists(), "links are not followed");
    }
}

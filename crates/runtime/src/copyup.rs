//! `tmpcopyup`: a new tmpfs begins with what it hides.

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Timestamps, XattrFlags},
    io::{self, Errno},
};
use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// How deep directories may be nested: a stack frame and two descriptors each.
const MAX_DEPTH: usize = 200;

/// Copies all that is in `from` to the empty directory `to`, with owners,
/// modes, times and extended attributes. Sockets are left out.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    copy_dir(from, to, 0)
}

fn copy_dir(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::NAMETOOLONG);
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            copy_one(from, to, name, depth)?;
        }
    }
    finish(from, to, &rustix::fs::fstat(from)?)
}

fn copy_one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let source = rustix::fs::openat(from, name, read | OFlags::DIRECTORY, Mode::empty())?;
            rustix::fs::mkdirat(to, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, name, flags, Mode::empty())?;
            copy_dir(source.as_fd(), target.as_fd(), depth + 1)
        }
        FileType::RegularFile => {
            let source = rustix::fs::openat(from, name, read, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
            copy_content(&source, &target)?;
            finish(source.as_fd(), target.as_fd(), &rustix::fs::fstat(&source)?)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, to, name)?;
            own(to, name, &stat)
        }
        FileType::Socket => Ok(()),
        kind => {
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            own(to, name, &stat)
        }
    }
}

fn copy_content(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    const CHUNK: usize = 1 << 20;
    while rustix::fs::sendfile(to, from, None, CHUNK)? > 0 {}
    Ok(())
}

fn own(dir: BorrowedFd<'_>, name: &CStr, stat: &rustix::fs::Stat) -> io::Result<()> {
    let (uid, gid) = owners(stat);
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn owners(stat: &rustix::fs::Stat) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid))
}

/// Makes the copy the equal of what it was made from. The owner goes first:
/// changing it clears the set-id bits.
fn finish(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &rustix::fs::Stat) -> io::Result<()> {
    let (uid, gid) = owners(stat);
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    copy_attributes(from, to)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    let time = |seconds: i64, nanoseconds: u64| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.try_into().unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(to, &times)
}

fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; 4096];
    let len = match rustix::fs::flistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0; 65536];
    for name in names[..len].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        // A label is given by policy to the copy's place, not copied; what
        // overlay keeps to itself means nothing elsewhere.
        if name.to_bytes() == b"security.selinux" || name.to_bytes().starts_with(b"trusted.") {
            continue;
        }
        let len = rustix::fs::fgetxattr(from, name, &mut value)?;
        match rustix::fs::fsetxattr(to, name, &value[..len], XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => {}
            other => other?,
        }
    }
    Ok(())
}

//! An upper directory becomes a layer where it lies.
//!
//! Its tar is written all the same, for the digest, and the recipe with it,
//! as if the tar had been unpacked; but the files are moved, not made anew.
//! What overlayfs noted of its own goes: it speaks of another mount.

use crate::{
    Error, IdRange, Unpacked,
    error::Doing,
    pack::{More, Packer, Style},
    recipe::Recipe,
    tree,
    unpack::ROOT,
};
use rustix::{
    fs::{self, AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid},
    io::Errno,
};
use std::{
    io::Write,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
};

pub(crate) fn adopt(
    upper: &Path,
    dir: &Path,
    out: &mut dyn Write,
    recipe: &mut dyn Write,
) -> Result<Option<Unpacked>, Error> {
    let root = tree::open_dir(upper).doing("open", upper)?;
    let mut packer = Packer::new(out, IdRange::HOST, Style::Layer).with_recipe(Recipe::to(recipe));
    packer.contents(tree::open_dir(upper).doing("open", upper)?)?;
    let packed = packer.finish()?;
    // A file of that name would hide another one in the tar.
    if packed.ambiguous {
        return Ok(None);
    }
    fs::mkdir(dir, Mode::RWXU).doing("make the directory", dir)?;
    let place = dir.join(ROOT);
    match fs::rename(upper, &place) {
        Ok(()) => {}
        // Containers may be kept on another disk than layers.
        Err(Errno::XDEV) => {
            fs::rmdir(dir).doing("remove", dir)?;
            return Ok(None);
        }
        Err(e) => return Err(e).doing("rename into place", place),
    }
    for more in &packed.more {
        clean(&root, more)?;
    }
    // The tar does not tell what the root itself is like.
    own_marks(&root).doing("clean", &place)?;
    fs::fchown(&root, Some(Uid::ROOT), Some(Gid::ROOT)).doing("change the owner of", &place)?;
    fs::fchmod(&root, Mode::from_raw_mode(0o755)).doing("change the mode of", &place)?;
    Ok(Some(Unpacked { entries: packed.entries, bytes: packed.bytes }))
}

/// Takes away what the tar does not tell.
fn clean(root: &OwnedFd, more: &More) -> Result<(), Error> {
    let (More::Socket(path) | More::Attribute(path, _)) = more;
    let text = || String::from_utf8_lossy(path).into_owned();
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let at = path.iter().rposition(|b| *b == b'/');
    let (parent, name) = at.map_or((&b"."[..], path), |at| (&path[..at], &path[at + 1..]));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let parent = fs::openat2(root, parent, flags, Mode::empty(), how).doing("open", text())?;
    match more {
        More::Socket(_) => {
            // Its directory has the time that the tar tells.
            let stat = fs::fstat(&parent).doing("look at", text())?;
            fs::unlinkat(&parent, name, AtFlags::empty()).doing("remove", text())?;
            let nanos = |nanos| i64::try_from(nanos).unwrap_or(0);
            let times = Timestamps {
                last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: nanos(stat.st_atime_nsec) },
                last_modification: Timespec {
                    tv_sec: stat.st_mtime,
                    tv_nsec: nanos(stat.st_mtime_nsec),
                },
            };
            let path = format!("/proc/self/fd/{}", parent.as_raw_fd());
            fs::utimensat(fs::CWD, path, &times, AtFlags::empty()).doing("set the time of", text())
        }
        More::Attribute(_, key) => {
            match fs::lremovexattr(tree::by_number(parent.as_fd(), name), &key[..]) {
                Ok(()) | Err(Errno::NODATA) => Ok(()),
                Err(e) => Err(e).doing("remove an attribute of", text()),
            }
        }
    }
}

/// Those of the root's own.
fn own_marks(root: &OwnedFd) -> rustix::io::Result<()> {
    let path = format!("/proc/self/fd/{}", root.as_raw_fd());
    let mut names = vec![0; 64 << 10];
    let len = match fs::listxattr(&path, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        len => len?,
    };
    for name in names[..len].split(|b| *b == 0).filter(|n| n.starts_with(b"trusted.overlay.")) {
        fs::removexattr(&path, name)?;
    }
    Ok(())
}

//! The container's terminal: a pair of its own `devpts`, so that it has a
//! name inside, handled by descriptors alone (CVE-2025-52565).

use crate::{
    failure::{Doing, refusal},
    tree::{self, Tree, Want},
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    pty::OpenptFlags,
    termios::Winsize,
};
use spec::{oci::ConsoleSize, wire::Failure};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// `DEVPTS_SUPER_MAGIC`, `linux/magic.h`.
const DEVPTS: i64 = 0x1cd1;

/// Opens a new terminal of the `devpts` at `/dev/pts` below `root`: first the
/// side that the engine keeps, then the program's.
pub(crate) fn open(
    root: BorrowedFd<'_>,
    size: Option<ConsoleSize>,
) -> Result<(OwnedFd, OwnedFd), Failure> {
    let doing = || "open a terminal of the container's /dev/pts".into();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    // What it is must be known before it is opened: opening may do things.
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let pts = rustix::fs::openat2(
        root,
        "dev/pts",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        how,
    )
    .doing(doing)?;
    if rustix::fs::fstatfs(&pts).doing(doing)?.f_type != DEVPTS {
        return Err(refusal("what is at the container's /dev/pts is no devpts: no terminal"));
    }
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let master = rustix::fs::openat2(&pts, "ptmx", flags, Mode::empty(), how).doing(doing)?;
    rustix::pty::unlockpt(&master).doing(doing)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )
    .doing(doing)?;
    if let Some(size) = size {
        let clip = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: clip(size.height),
            ws_col: clip(size.width),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, size).doing(|| "set the terminal's size".into())?;
    }
    Ok((master, slave))
}

/// Shows the terminal as `/dev/console`, too.
pub(crate) fn bind(tree: &Tree, slave: BorrowedFd<'_>) -> Result<(), Failure> {
    let doing = || "mount the terminal on /dev/console".into();
    let (onto, _) = tree.make(Path::new("/dev/console"), Want::File)?;
    if tree::file_type(slave).doing(doing)? != FileType::CharacterDevice {
        return Err(refusal("the terminal is no character device"));
    }
    let copy = tree::copy(slave, false).doing(doing)?;
    tree::attach(copy.as_fd(), onto.as_fd()).doing(doing)
}

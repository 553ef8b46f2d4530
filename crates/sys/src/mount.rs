//! Properties of mounts: `mount_setattr(2)`.

use crate::checked;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// What to change about a mount; `MOUNT_ATTR_*` of `linux/mount.h`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Flags to set.
    pub set: u64,
    /// Flags to clear; they are cleared first.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`; 0 for no change.
    pub propagation: u64,
    /// Map ids as this user namespace does (with [`IDMAP`] in `set`).
    pub userns: Option<BorrowedFd<'a>>,
}

/// `MOUNT_ATTR_RDONLY`.
pub const RDONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub const NOSUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub const NODEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`.
pub const NOEXEC: u64 = 0x8;
/// `MOUNT_ATTR__ATIME`: the mask of the three that exclude one another.
pub const ATIME: u64 = 0x70;
/// `MOUNT_ATTR_RELATIME`.
pub const RELATIME: u64 = 0x0;
/// `MOUNT_ATTR_NOATIME`.
pub const NOATIME: u64 = 0x10;
/// `MOUNT_ATTR_STRICTATIME`.
pub const STRICTATIME: u64 = 0x20;
/// `MOUNT_ATTR_NODIRATIME`.
pub const NODIRATIME: u64 = 0x80;
/// `MOUNT_ATTR_IDMAP`.
pub const IDMAP: u64 = 0x10_0000;
/// `MOUNT_ATTR_NOSYMFOLLOW`.
pub const NOSYMFOLLOW: u64 = 0x20_0000;

/// `struct mount_attr`, version 0.
#[repr(C)]
struct Attr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Changes the mount that `mount` is the root of, and with `recursive` all
/// that are mounted below it.
///
/// # Errors
/// As `mount_setattr(2)`: all or nothing is changed.
pub fn change(mount: BorrowedFd<'_>, recursive: bool, what: &Change<'_>) -> io::Result<()> {
    let attr = Attr {
        set: what.set,
        clear: what.clear,
        propagation: what.propagation,
        userns: what.userns.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant, `attr` outlives the call and is as long
    // as said.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&attr),
            size_of::<Attr>(),
        )
    })
    .map(drop)
}

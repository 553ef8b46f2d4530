//! Files: what rustix has no call for.

use crate::checked;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Changes the mode of what `node` is, opened with `O_PATH`: no name is
/// looked up again, and no link followed.
///
/// # Errors
/// As `fchmodat2(2)`; `ENOSYS` before Linux 6.6.
pub fn change_mode(node: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: integers and a constant string.
    checked(unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            node.as_raw_fd(),
            c"".as_ptr(),
            mode,
            libc::AT_EMPTY_PATH,
        )
    })
    .map(drop)
}

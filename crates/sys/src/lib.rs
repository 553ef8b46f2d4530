//! Typed calls to the kernel that rustix lacks: the only unsafe code.
//!
//! One file per subject, each call with its manual page. Nothing here decides
//! anything: no path, no limit and no rule of confinement lives in this room.

pub mod bpf;
pub mod confine;
mod entry;
pub mod fail;
pub mod file;
pub mod heap;
pub mod mount;
pub mod packet;
pub mod probe;
pub mod process;
pub mod quota;
pub mod sched;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod trace;
pub mod userns;

use std::io;

/// What a raw system call returned, as a result.
fn checked(rc: libc::c_long) -> io::Result<libc::c_long> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

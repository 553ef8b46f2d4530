//! When and in what order a process gets the processor and the disk.

use crate::checked;
use std::{io, ptr};

/// `struct sched_attr`, version 0, of `sched_setattr(2)`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Schedule {
    size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
}

/// Changes how process `pid` (0 for the caller) is scheduled.
///
/// # Errors
/// As `sched_setattr(2)`.
pub fn set_schedule(pid: i32, schedule: Schedule) -> io::Result<()> {
    const SIZE: u32 = 48;
    const { assert!(size_of::<Schedule>() == SIZE as usize) };
    let attr = Schedule { size: SIZE, ..schedule };
    // SAFETY: the attribute outlives the call and names its own size.
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, ptr::from_ref(&attr), 0) })
        .map(drop)
}

/// Sets the disk priority of process `pid` (0 for the caller): a class of
/// `IOPRIO_CLASS_*` and a level of 0 (first) to 7.
///
/// # Errors
/// As `ioprio_set(2)`.
pub fn set_io_priority(pid: i32, class: u8, level: u8) -> io::Result<()> {
    const WHO_PROCESS: libc::c_long = 1;
    const CLASS_SHIFT: u32 = 13;
    let value = (u32::from(class) << CLASS_SHIFT) | u32::from(level);
    // SAFETY: three integers.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, value) }).map(drop)
}

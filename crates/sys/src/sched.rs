//! When and in what order a process gets the processor and the disk.

use crate::checked;
use std::{io, ptr};

/// What `sched_setattr(2)` is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
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

/// `struct sched_attr`, version 0.
#[repr(C)]
struct Attr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Changes how process `pid` (0 for the caller) is scheduled.
///
/// # Errors
/// As `sched_setattr(2)`.
pub fn set_schedule(pid: i32, schedule: Schedule) -> io::Result<()> {
    const SIZE: u32 = 48;
    const { assert!(size_of::<Attr>() == SIZE as usize) };
    let Schedule { policy, flags, nice, priority, runtime, deadline, period } = schedule;
    let attr = Attr { size: SIZE, policy, flags, nice, priority, runtime, deadline, period };
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

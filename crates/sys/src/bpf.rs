//! Programs of the kind `BPF_PROG_TYPE_CGROUP_DEVICE`: loading one, and
//! attaching it to a version 2 control group. Those that look at what the
//! kernel does are in [`trace`](crate::trace).
//!
//! Source: `bpf(2)`, `union bpf_attr` in `linux/bpf.h`.

use std::{
    ffi::c_long,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// One instruction, as the kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Insn {
    /// What to do.
    pub code: u8,
    /// Destination in the low four bits, source in the high four.
    pub registers: u8,
    /// Distance of a jump, or offset from an address.
    pub offset: i16,
    /// A constant.
    pub immediate: i32,
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Load {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; 16],
    pub prog_ifindex: u32,
    pub expected_attach_type: u32,
}

/// The part that `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` read.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    program_fd: u32,
    kind: u32,
    flags: u32,
    replaced_fd: u32,
}

/// The part that `BPF_PROG_QUERY` reads and fills.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_count: u32,
    padding: u32,
}

/// The part that `BPF_PROG_GET_FD_BY_ID` reads.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

pub(crate) const BPF_PROG_LOAD: c_long = 5;
const BPF_PROG_ATTACH: c_long = 8;
const BPF_PROG_DETACH: c_long = 9;
const BPF_PROG_GET_FD_BY_ID: c_long = 13;
const BPF_PROG_QUERY: c_long = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// Gives a program to the kernel, which verifies it.
///
/// # Errors
/// `EINVAL` or `EACCES` if the verifier refuses it, `EPERM` without
/// `CAP_BPF` or `CAP_SYS_ADMIN`.
pub fn load_device_program(program: &[Insn]) -> io::Result<OwnedFd> {
    let count = u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: count,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        expected_attach_type: BPF_CGROUP_DEVICE,
        ..Load::default()
    };
    // SAFETY: `attr` is of the layout that this command reads; the addresses
    // in it are those of `program` and of a constant, which outlive the call,
    // and with no log asked for the kernel writes to none of them.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attr) }?;
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a group beside those it has, or in place of `old`.
///
/// # Errors
/// `EPERM` where a group above does not let others have programs.
pub fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: number(group),
        program_fd: number(program),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI | if old.is_some() { BPF_F_REPLACE } else { 0 },
        replaced_fd: old.map_or(0, number),
    };
    // SAFETY: `attr` is of the layout that this command reads and holds
    // numbers only.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attr) }.map(drop)
}

/// Takes a program off a group.
///
/// # Errors
/// `ENOENT` if it is not attached there.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: number(group),
        program_fd: number(program),
        kind: BPF_CGROUP_DEVICE,
        ..Attach::default()
    };
    // SAFETY: `attr` is of the layout that this command reads and holds
    // numbers only.
    unsafe { bpf(BPF_PROG_DETACH, &mut attr) }.map(drop)
}

/// The programs attached to this very group.
///
/// # Errors
/// `EINVAL` on a kernel without such programs, `EPERM` as for loading.
pub fn device_programs(group: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    // The kernel allows this many in one group (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0_u32; 64];
    let mut attr = Query {
        target_fd: number(group),
        kind: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_count: 64,
        ..Query::default()
    };
    // SAFETY: `attr` is of the layout that this command reads and fills, and
    // `ids` has room for `prog_count` numbers and outlives the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut attr) }?;
    let count = usize::try_from(attr.prog_count).map_err(|_| io::ErrorKind::InvalidData)?;
    ids.iter().take(count).map(|&id| program_by_id(id)).collect()
}

fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = ById { id, ..ById::default() };
    // SAFETY: `attr` is of the layout that this command reads and holds
    // numbers only.
    let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attr) }?;
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("an open descriptor is not negative")
}

/// # Safety
/// `T` must be the layout of `union bpf_attr` that `command` uses, and every
/// address in it good for what the command does with it.
pub(crate) unsafe fn bpf<T>(command: c_long, attr: &mut T) -> io::Result<c_long> {
    let attr: *mut T = attr;
    // SAFETY: the kernel reads and writes `size_of::<T>()` bytes at `attr`,
    // which the caller's borrow keeps valid; the rest is the caller's promise.
    let rc = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<T>()) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

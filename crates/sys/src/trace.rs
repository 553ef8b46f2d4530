//! Programs that look on at points of the kernel's own (raw tracepoints), and
//! the maps by which they tell what they saw.
//!
//! Both live as long as their descriptors: who dies with them leaves nothing
//! behind.
//!
//! Source: `bpf(2)`, `union bpf_attr` in `linux/bpf.h`.

use crate::bpf::{BPF_PROG_LOAD, Insn, Load, bpf, number};
use std::{
    ffi::{CStr, c_long},
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` reads.
#[repr(C)]
#[derive(Default)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// The part that commands on one element read.
#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part that `BPF_RAW_TRACEPOINT_OPEN` reads.
#[repr(C)]
#[derive(Default)]
struct Open {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

const BPF_MAP_CREATE: c_long = 0;
const BPF_MAP_LOOKUP_ELEM: c_long = 1;
const BPF_MAP_UPDATE_ELEM: c_long = 2;
const BPF_RAW_TRACEPOINT_OPEN: c_long = 17;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: c_long = 21;
const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// Shapes of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    /// Any key.
    Hash = 1,
    /// Numbers from 0 on, all there from the beginning.
    Array = 2,
    /// First in, first out; no keys.
    Queue = 22,
}

/// Memory that programs and we share.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key: usize,
    value: usize,
}

impl Map {
    /// Makes one; sizes are in bytes. A queue's keys have none.
    ///
    /// # Errors
    /// `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN`, `EINVAL` for sizes or a
    /// shape that this kernel does not take.
    pub fn new(shape: Shape, key: u32, value: u32, entries: u32) -> io::Result<Self> {
        let mut attr = Create {
            map_type: shape as u32,
            key_size: key,
            value_size: value,
            max_entries: entries,
            map_flags: 0,
        };
        // SAFETY: `attr` is of the layout that this command reads and holds
        // numbers only.
        let fd = owned(unsafe { bpf(BPF_MAP_CREATE, &mut attr) }?)?;
        Ok(Self { fd, key: key as usize, value: value as usize })
    }

    /// What a program names it by.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Puts a value at a key.
    ///
    /// # Errors
    /// `InvalidInput` for other sizes than the map's; `E2BIG` if it is full.
    pub fn put(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.len() != self.key || value.len() != self.value {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attr = self.element(key.as_ptr() as u64, value.as_ptr() as u64);
        // SAFETY: the kernel reads as many bytes at both addresses as the map
        // was made with, which both slices have, and they outlive the call.
        unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
    }

    /// The value at a key.
    ///
    /// # Errors
    /// `ENOENT` if there is none; `InvalidInput` for a key of another size.
    pub fn get(&self, key: &[u8]) -> io::Result<Vec<u8>> {
        if key.len() != self.key {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut value = vec![0; self.value];
        let mut attr = self.element(key.as_ptr() as u64, value.as_mut_ptr() as u64);
        // SAFETY: the kernel reads as many bytes at the one address and writes
        // as many at the other as the map was made with, and both outlive it.
        unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attr) }?;
        Ok(value)
    }

    /// Takes the first of a queue; none if it is empty.
    ///
    /// # Errors
    /// The map is no queue.
    pub fn take(&self) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value];
        let mut attr = self.element(0, value.as_mut_ptr() as u64);
        // SAFETY: the kernel writes as many bytes at the address as the map was
        // made with, which the vector has, and it outlives the call.
        match unsafe { bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut attr) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn element(&self, key: u64, value: u64) -> Element {
        Element { map_fd: number(self.fd.as_fd()), padding: 0, key, value, flags: 0 }
    }
}

/// Gives the kernel a program for a raw tracepoint.
///
/// It is offered under the GPL beside the project's own licences, because the
/// kernel lends the functions that read its memory to no other.
///
/// # Errors
/// `EINVAL` or `EACCES` if the verifier refuses it, `EPERM` without `CAP_BPF`
/// and `CAP_PERFMON` or `CAP_SYS_ADMIN`.
pub fn load_program(program: &[Insn]) -> io::Result<OwnedFd> {
    let count = u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_RAW_TRACEPOINT,
        insn_cnt: count,
        insns: program.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: `attr` is of the layout that this command reads; the addresses
    // in it are those of `program` and of a constant, which outlive the call,
    // and with no log asked for the kernel writes to none of them.
    owned(unsafe { bpf(BPF_PROG_LOAD, &mut attr) }?)
}

/// Has a program run at a raw tracepoint for as long as what is returned is
/// open.
///
/// # Errors
/// `ENOENT` if this kernel has no such point.
pub fn attach(name: &CStr, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = Open { name: name.as_ptr() as u64, prog_fd: number(program), padding: 0 };
    // SAFETY: `attr` is of the layout that this command reads; the address in
    // it is that of a string with its end, which outlives the call.
    owned(unsafe { bpf(BPF_RAW_TRACEPOINT_OPEN, &mut attr) }?)
}

fn owned(fd: c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

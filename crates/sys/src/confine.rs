//! What a process gives up for good: seccomp and Landlock.

use crate::checked;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// One instruction of a filter: `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation, as in `linux/bpf_common.h`.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Filters all system calls of this process, its children, and whatever they
/// become. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` among `flags` the
/// supervisor's descriptor is returned.
///
/// # Errors
/// As `seccomp(2)`: `EACCES` without `no_new_privs` or `CAP_SYS_ADMIN`.
pub fn seccomp(program: &[Instruction], flags: u32) -> io::Result<Option<OwnedFd>> {
    const SET_MODE_FILTER: libc::c_long = 1;
    const NEW_LISTENER: u32 = 8;
    #[repr(C)]
    struct Filter {
        len: u16,
        program: *const Instruction,
    }
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = Filter { len, program: program.as_ptr() };
    // SAFETY: `filter` is a `struct sock_fprog` whose pointer and length are
    // those of a live slice of `struct sock_filter`.
    let rc = checked(unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, ptr::from_ref(&filter))
    })?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = i32::try_from(rc).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: with that flag the result is a new descriptor, owned by nobody.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The version of Landlock's interface; 0 where the kernel has none or it was
/// switched off at boot.
///
/// Source: `landlock_create_ruleset(2)`, `LANDLOCK_CREATE_RULESET_VERSION`.
#[must_use]
pub fn landlock_abi() -> u32 {
    const VERSION: libc::c_long = 1;
    // SAFETY: the null attribute is what this flag asks for.
    let rc = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0usize, VERSION)
    };
    u32::try_from(rc).unwrap_or(0)
}

/// A set of Landlock rules in the making.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// Makes one that handles, and so denies by default, these accesses to
    /// files (`LANDLOCK_ACCESS_FS_*`), to ports (`LANDLOCK_ACCESS_NET_*`, 0
    /// before version 4 of the interface) and scopes (`LANDLOCK_SCOPE_*`, 0
    /// before version 6).
    ///
    /// # Errors
    /// As `landlock_create_ruleset(2)`.
    pub fn new(access: u64, net: u64, scoped: u64) -> io::Result<Self> {
        // handled_access_fs, handled_access_net, scoped. Zeros beyond what a
        // kernel knows are accepted by it.
        let attr = [access, net, scoped];
        // SAFETY: the attribute outlives the call and is as long as said.
        let rc = checked(unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, attr.as_ptr(), size_of_val(&attr), 0)
        })?;
        let fd = i32::try_from(rc).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: the result is a new descriptor, owned by nobody.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Allows `access` to `beneath` and everything below it.
    ///
    /// # Errors
    /// As `landlock_add_rule(2)`.
    pub fn allow(&self, access: u64, beneath: BorrowedFd<'_>) -> io::Result<()> {
        const PATH_BENEATH: libc::c_long = 1;
        #[repr(C, packed)]
        struct Attr {
            access: u64,
            parent: i32,
        }
        let attr = Attr { access, parent: beneath.as_raw_fd() };
        // SAFETY: the attribute outlives the call and is of the type named.
        checked(unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.0.as_raw_fd(),
                PATH_BENEATH,
                ptr::from_ref(&attr),
                0,
            )
        })
        .map(drop)
    }

    /// Allows `access` to a port of any address.
    ///
    /// # Errors
    /// As `landlock_add_rule(2)`.
    pub fn allow_port(&self, access: u64, port: u64) -> io::Result<()> {
        const NET_PORT: libc::c_long = 2;
        let attr = [access, port];
        // SAFETY: the attribute outlives the call and is of the type named.
        checked(unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.0.as_raw_fd(),
                NET_PORT,
                attr.as_ptr(),
                0,
            )
        })
        .map(drop)
    }

    /// Restricts this process, its children, and whatever they become.
    ///
    /// # Errors
    /// As `landlock_restrict_self(2)`: `EPERM` without `no_new_privs` or
    /// `CAP_SYS_ADMIN`.
    pub fn restrict_self(&self) -> io::Result<()> {
        // SAFETY: two integers.
        checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0) })
            .map(drop)
    }
}

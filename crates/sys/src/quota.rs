//! Project quotas: how much the files of one *project*, a number that every
//! file has, may take of a file system. ext4 and XFS have them, where they were
//! made and mounted so.

use rustix::io::Errno;
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
};

/// Limits are counted in blocks of so many bytes (`QIF_DQBLKSIZE`).
const BLOCK: u64 = 1024;
/// `PRJQUOTA` of `linux/quota.h`.
const PROJECT: u32 = 2;
/// `Q_XGETQSTATV` of `linux/dqblk_xfs.h`; answered by every file system.
const STATE: u32 = ((b'X' as u32) << 8) + 8;
/// `Q_GETQUOTA` and `Q_SETQUOTA` of `linux/quota.h`.
const GET_LIMITS: u32 = 0x80_0007;
const SET_LIMITS: u32 = 0x80_0008;
/// `FS_QUOTA_PDQ_ENFD`: limits of projects are enforced.
const ENFORCED: u64 = 1 << 5;
/// `QIF_BLIMITS`.
const BLOCK_LIMITS: u32 = 1;
/// `FS_XFLAG_PROJINHERIT`: what is made in the directory has its project.
const INHERIT: u32 = 0x200;
/// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR` of `linux/fs.h`.
const GET: libc::Ioctl = 0x801c_581f;
const SET: libc::Ioctl = 0x401c_5820;

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    flags: u32,
    extent: u32,
    extents: u32,
    project: u32,
    copied: u32,
    padding: [u8; 8],
}

/// Whether the file system of a directory enforces limits of projects.
///
/// # Errors
/// What the kernel said, but for what means "no" (`ENOSYS` before Linux 5.14,
/// too).
///
/// Source: `quotactl_fd(2)`, `fs/quota/quota.c`.
pub fn is_enforced(dir: impl AsFd) -> io::Result<bool> {
    // struct fs_quota_statv: 160 bytes, of which the first says the version
    // and the third and fourth are flags.
    let mut state = [0u64; 20];
    state[0] = 1;
    // SAFETY: the structure is as long as the kernel's and lives past the call.
    let asked = unsafe { quotactl(dir.as_fd().as_raw_fd(), STATE, 0, state.as_mut_ptr().cast()) };
    let none = |e: &io::Error| {
        // No quota is on; the kernel has none; this file system has none, or
        // none of projects.
        let none = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL];
        none.iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
    };
    match asked {
        Ok(()) => Ok((state[0] >> 16) & ENFORCED != 0),
        Err(e) if none(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Lets the files of a project take so many bytes in all, rounded up to whole
/// kibibytes; 0 for any number. The limit outlives the mount.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `ESRCH` where projects are not counted.
///
/// Source: `quotactl(2)`, `Q_SETQUOTA`.
pub fn limit(dir: impl AsFd, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK);
    // SAFETY: a dqblk of zeros is a valid one: it holds integers only.
    let mut limits: libc::dqblk = unsafe { MaybeUninit::zeroed().assume_init() };
    (limits.dqb_bhardlimit, limits.dqb_bsoftlimit) = (blocks, blocks);
    limits.dqb_valid = BLOCK_LIMITS;
    let place = (&raw mut limits).cast();
    // SAFETY: the structure is the one that Q_SETQUOTA reads, and outlives it.
    unsafe { quotactl(dir.as_fd().as_raw_fd(), SET_LIMITS, project, place) }
}

/// Bytes that the files of a project take.
///
/// # Errors
/// As [`limit`].
///
/// Source: `quotactl(2)`, `Q_GETQUOTA`.
pub fn used(dir: impl AsFd, project: u32) -> io::Result<u64> {
    // SAFETY: a dqblk of zeros is a valid one: it holds integers only.
    let mut limits: libc::dqblk = unsafe { MaybeUninit::zeroed().assume_init() };
    let place = (&raw mut limits).cast();
    // SAFETY: the structure is the one that Q_GETQUOTA fills, and outlives it.
    unsafe { quotactl(dir.as_fd().as_raw_fd(), GET_LIMITS, project, place) }?;
    Ok(limits.dqb_curspace)
}

/// Makes a directory, which should be empty, and all that will be made in it
/// part of a project. `dir` must not be an `O_PATH` descriptor.
///
/// # Errors
/// `ENOTTY` or `EOPNOTSUPP` where files have no projects.
///
/// Source: `ioctl_xfs_fsgetxattr(2)`; ext4 understands the same.
pub fn assign(dir: impl AsFd, project: u32) -> io::Result<()> {
    let dir = dir.as_fd().as_raw_fd();
    let mut attributes = attributes(dir)?;
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the structure is the one that the call reads, and outlives it.
    let rc = unsafe { libc::ioctl(dir, SET, &raw const attributes) };
    super::checked(rc.into()).map(drop)
}

/// The project of a directory; 0 is nobody's. `dir` must not be an `O_PATH`
/// descriptor.
///
/// # Errors
/// As [`assign`].
pub fn project(dir: impl AsFd) -> io::Result<u32> {
    Ok(attributes(dir.as_fd().as_raw_fd())?.project)
}

fn attributes(dir: libc::c_int) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the structure is the one that the call fills, and outlives it.
    let rc = unsafe { libc::ioctl(dir, GET, &raw mut attributes) };
    super::checked(rc.into())?;
    Ok(attributes)
}

/// # Safety
/// `data` points to what `command` reads or fills, for as long as the call.
unsafe fn quotactl(
    dir: libc::c_int,
    command: u32,
    project: u32,
    data: *mut libc::c_void,
) -> io::Result<()> {
    // QCMD of linux/quota.h.
    let command = (command << 8) | PROJECT;
    // SAFETY: the caller's promise.
    let rc = unsafe { libc::syscall(libc::SYS_quotactl_fd, dir, command, project, data) };
    super::checked(rc).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn where_nothing_is_counted_nothing_is_enforced() {
        let proc = File::open("/proc").expect("there");
        assert!(!is_enforced(&proc).expect("answered"));
        assert!(used(&proc, 1).is_err() && limit(&proc, 1, 1 << 20).is_err());
        assert!(assign(&proc, 1).is_err());
    }
}

//! Landlock: what may be reached is a list, whatever the mounts say.
//!
//! Rules of one process and its children, on top of all other layers. Kernels
//! differ in what they can deny; what one does not know is not asked for, and
//! without Landlock nothing is.

use crate::failure::Doing;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use spec::{sandbox::Landlock, wire::Failure};
use std::os::fd::AsFd;
use sys::confine::Ruleset;

/// `LANDLOCK_ACCESS_FS_*`, `linux/landlock.h`.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// What may be allowed to a file that is no directory.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// What reading is.
const READING: u64 = EXECUTE | READ_FILE | READ_DIR;

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` and `LANDLOCK_SCOPE_SIGNAL`.
const SCOPES: u64 = 3;

/// Every access to files that version `abi` of the interface can deny.
fn known(abi: u32) -> u64 {
    match abi {
        0 => 0,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}

/// Restricts this process as `rules` say. Paths that do not exist are left
/// out: what is not there cannot be reached.
pub(crate) fn apply(rules: &Landlock) -> Result<(), Failure> {
    let abi = sys::confine::landlock_abi();
    let known = known(abi);
    let scoped = if rules.scoped && abi >= 6 { SCOPES } else { 0 };
    if known == 0 {
        return Ok(());
    }
    let doing = || "restrict the program with Landlock".into();
    let set = Ruleset::new(known, 0, scoped).doing(doing)?;
    let lists = [(&rules.writable, known), (&rules.readable, READING)];
    for (path, access) in lists.iter().flat_map(|(list, access)| list.iter().map(|p| (p, *access)))
    {
        let doing = || format!("allow {path} with Landlock");
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path.as_str(), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => continue,
            other => other.doing(doing)?,
        };
        let kind = crate::tree::file_type(fd.as_fd()).doing(doing)?;
        let access =
            if kind == rustix::fs::FileType::Directory { access } else { access & OF_FILES };
        set.allow(access & known, fd.as_fd()).doing(doing)?;
    }
    set.restrict_self().doing(doing)
}

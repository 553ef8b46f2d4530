//! The mode of what cannot be opened.

use crate::{Entry, Error, error::Doing, tree};
use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

/// Where this process finds what it has open.
const PROC: &str = "/proc/self/fd";

/// By a descriptor of the node itself: chmod(2) would follow a link that
/// a container put in its place meanwhile.
pub(crate) fn node_mode(entry: &Entry, last: &[u8], parent: &OwnedFd) -> Result<(), Error> {
    let node =
        fs::openat(parent, last, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .doing("open", entry.name())?;
    let stat = fs::fstat(&node).doing("look at", entry.name())?;
    if tree::kind(&stat) == FileType::Symlink {
        return Err(Error::Refused { entry: entry.name(), reason: "a link took its place".into() });
    }
    let changed = match sys::file::change_mode(node.as_fd(), entry.mode) {
        Err(e) if e.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => {
            old_node_mode(PROC, node.as_fd(), entry.mode, (last, parent))
        }
        changed => changed,
    };
    changed.doing("change the mode of", entry.name())
}

/// The same before Linux 6.6: through procfs. Who has its tree for a root has
/// none there: its own powers are no more than the tree's, and a link that
/// took the node's place leads to what those may change anyway.
fn old_node_mode(
    procfs: &str,
    node: BorrowedFd<'_>,
    mode: u32,
    (last, parent): (&[u8], &OwnedFd),
) -> std::io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    match fs::chmod(format!("{procfs}/{}", node.as_raw_fd()), mode) {
        Err(Errno::NOENT) => Ok(fs::chmodat(parent, last, mode, AtFlags::empty())?),
        changed => Ok(changed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_changes_the_mode_of_a_node_with_procfs_and_without() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = tree::open_dir(scratch.path()).expect("open");
        fs::mknodat(&dir, "fifo", FileType::Fifo, Mode::RUSR, 0).expect("made");
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = fs::openat(&dir, "fifo", flags, Mode::empty()).expect("there");
        for (procfs, mode) in [(PROC, 0o641), ("/nowhere", 0o4622)] {
            old_node_mode(procfs, node.as_fd(), mode, (b"fifo", &dir)).expect("changed");
            assert_eq!(fs::fstat(&node).expect("open").st_mode & 0o7777, mode, "{procfs}");
        }
        let gone = old_node_mode("/nowhere", node.as_fd(), 0o600, (b"gone", &dir));
        assert_eq!(gone.expect_err("not there").kind(), std::io::ErrorKind::NotFound);
    }
}

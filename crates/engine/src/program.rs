//! The runtime's program, out of reach of what it starts (CVE-2019-5736).
//!
//! Until a container's first process executes its command, `/proc/PID/exe`
//! leads to the runtime's own file, and a container whose root is the host's
//! could open it for writing. So it is executed through a read-only mount that
//! is attached nowhere: the link leads through that mount, and shows no path
//! of the host. Made once, when the engine opens; an upgrade that replaces the
//! file takes effect with the next daemon.

use crate::{Error, error::Doing};
use rustix::{
    fs::CWD,
    mount::{OpenTreeFlags, open_tree},
};
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};
use sys::mount::{Change, RDONLY, change};

/// Lives as long as its engine.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    _mount: OwnedFd,
}

impl Program {
    /// Takes hold of `file`.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = open_tree(CWD, file, flags).doing("clone the mount of", file)?;
        change(mount.as_fd(), false, &Change { set: RDONLY, ..Change::default() })
            .doing("make read-only", file)?;
        // A child has the same number, until it has executed what is there.
        let path = format!("/proc/self/fd/{}", mount.as_raw_fd()).into();
        Ok(Self { path, _mount: mount })
    }

    /// What to execute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn it_runs_and_cannot_be_written_to() {
        let dir = tempfile::tempdir().expect("scratch");
        let file = dir.path().join("program");
        std::fs::copy("/bin/sh", &file).expect("copied");
        let program = Program::open(&file).expect("held");
        let ran = Command::new(program.path()).args(["-c", "exit 7"]).status().expect("runs");
        assert_eq!(ran.code(), Some(7));
        std::fs::File::options().append(true).open(&file).expect("by its name it can be");
        let written = std::fs::File::options().append(true).open(program.path());
        let error = written.expect_err("through the mount it cannot");
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    }
}

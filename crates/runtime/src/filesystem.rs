//! A new file system instance, as a detached mount.

use crate::failure::{because, refusal};
use rustix::{
    fs::OFlags,
    io,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};
use spec::wire::Failure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One setting of a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting<'a> {
    /// A word.
    Flag(&'a str),
    /// `key=value`.
    Text(&'a str, &'a str),
    /// A descriptor.
    Fd(&'a str, BorrowedFd<'a>),
}

impl<'a> Setting<'a> {
    /// Splits an option word.
    pub fn word(word: &'a str) -> Self {
        word.split_once('=').map_or(Self::Flag(word), |(key, value)| Self::Text(key, value))
    }
}

/// Makes a file system of this kind and mounts it nowhere, with mount flags
/// `flags` (`MOUNT_ATTR_*`).
pub(crate) fn create(kind: &str, settings: &[Setting<'_>], flags: u64) -> Result<OwnedFd, Failure> {
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| because(&format!("mount a file system of type {kind}"), &error.into()))?;
    for setting in settings {
        let result = match *setting {
            Setting::Flag(key) => rustix::mount::fsconfig_set_flag(&fs, key),
            Setting::Text(key, value) => rustix::mount::fsconfig_set_string(&fs, key, value),
            Setting::Fd(key, fd) => rustix::mount::fsconfig_set_fd(&fs, key, fd),
        };
        result.map_err(|error| {
            let what = match setting {
                Setting::Text(key, value) => format!("set the option \"{key}={value}\" of {kind}"),
                Setting::Flag(key) | Setting::Fd(key, _) => {
                    format!("set the option {key:?} of {kind}")
                }
            };
            explained(&fs, &what, error)
        })?;
    }
    let what = || format!("mount a file system of type {kind}");
    rustix::mount::fsconfig_create(&fs).map_err(|error| explained(&fs, &what(), error))?;
    let flags = u32::try_from(flags).map_err(|_| refusal("mount flags beyond 32 bits"))?;
    rustix::mount::fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::from_bits_retain(flags),
    )
    .map_err(|error| explained(&fs, &what(), error))
}

/// The kernel's number, and the sentence that it left in the context's log.
fn explained(fs: &OwnedFd, what: &str, error: io::Errno) -> Failure {
    let mut failure = because(what, &error.into());
    let mut line = [0; 512];
    // Without O_NONBLOCK an empty log answers ENODATA at once.
    if let Ok(len) = rustix::io::read(fs, &mut line)
        && let Ok(text) = std::str::from_utf8(&line[..len])
    {
        failure.message.push_str(" (");
        failure.message.push_str(text.trim_start_matches("e ").trim_end());
        failure.message.push(')');
    }
    failure
}

/// Opens the directory behind a mount's descriptor for reading.
pub(crate) fn reopen_dir(mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(mount.as_fd(), ".", flags, rustix::fs::Mode::empty())
}

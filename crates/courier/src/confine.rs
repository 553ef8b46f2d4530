//! What a courier gives up before it reads a line.
//!
//! It carries bytes that a container chose, and over a network hears what
//! servers of names and of TLS say. Should that ever go wrong, what has gone
//! wrong then is a process of a user of its own, without a capability, that
//! can write to no file and read those below `/etc` alone (names of servers
//! are looked up there).
//!
//! One that speaks to a socket of the host's stays root, without capabilities:
//! the journal notes who writes, and such sockets may be root's alone. It
//! hears nothing from anybody, but root can connect to other sockets too.

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{DumpableBehavior, Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, Gid, Uid},
};
use std::{io, os::fd::AsFd as _};
use sys::confine::{Ruleset, landlock_abi};

/// `LANDLOCK_ACCESS_FS_*` of the first version: 13 of them.
const FILES: u64 = (1 << 13) - 1;
/// `LANDLOCK_ACCESS_FS_READ_FILE` and `_READ_DIR`.
const READ: u64 = 1 << 2 | 1 << 3;
/// Abstract unix sockets and signals, from version 6 on.
const SCOPES: u64 = 3;
/// What is read to look up a name, and the host's zone.
const READABLE: [&str; 4] =
    ["/etc", "/run/systemd/resolve", "/run/resolvconf", "/usr/share/zoneinfo"];

/// What it still is after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// This user, which is nobody else's.
    User(u32),
    /// Root in name.
    Root,
    /// The same, and can connect to sockets that are others'.
    RootAnywhere,
}

/// Gives up all rights, for good, but for these.
///
/// # Errors
/// What the host said: the caller is to end.
pub fn confine(keeps: Keeps) -> io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    rustix::thread::set_no_new_privs(true)?;
    let abi = landlock_abi();
    if abi > 0 {
        let rules = Ruleset::new(FILES, 0, if abi >= 6 { SCOPES } else { 0 })?;
        for path in READABLE {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(dir) => rules.allow(READ, dir.as_fd())?,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        rules.restrict_self()?;
    }
    if rustix::process::geteuid().is_root() {
        let mut kept = CapabilitySet::empty();
        match keeps {
            Keeps::User(user) => become_user(user)?,
            Keeps::Root => {}
            Keeps::RootAnywhere => kept = CapabilitySet::DAC_OVERRIDE,
        }
        let inheritable = CapabilitySet::empty();
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
        rustix::thread::set_capabilities(None, sets)?;
    }
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Becomes a user, without a group.
fn become_user(user: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

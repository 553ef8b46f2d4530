//! What a process of the daemon's gives up, for good, before it reads what
//! strangers send.
//!
//! Such a process begins as root, executed from the daemon's program, with a
//! few descriptors. [`confine`] leaves it those, a user that nobody else is,
//! the capabilities that were named, the files below one directory, and a list
//! of system calls. There is no way back: `no_new_privs` holds, nothing can be
//! executed, and nobody else may look into it.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{DumpableBehavior, Signal},
    thread::{CapabilitySet, CapabilitySets, Gid, LinkNameSpaceType, Uid},
};
use spec::oci::{Seccomp, SyscallArg, SyscallRule};
use std::{io, os::fd::BorrowedFd};
use sys::confine::{Instruction, Ruleset};

/// Allowed to all, as long as they make nothing executable.
const MEMORY: [&str; 2] = ["mmap", "mprotect"];
/// Of this call one command alone is ever allowed: others name a process that
/// is to get signals.
const CONTROL: &str = "fcntl";
/// `F_DUPFD_CLOEXEC`, `linux/fcntl.h`.
const DUPLICATE: u64 = 1030;

/// `LANDLOCK_ACCESS_FS_*`, `linux/landlock.h`: what each version of the
/// interface knows beyond the one before it.
const FILES: [(u32, u64); 4] = [(1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, 1 << 15)];
/// `LANDLOCK_ACCESS_FS_WRITE_FILE`.
pub const WRITE_FILE: u64 = 1 << 1;
/// `LANDLOCK_ACCESS_FS_READ_DIR`.
pub const READ_DIR: u64 = 1 << 3;
/// `LANDLOCK_ACCESS_FS_REMOVE_DIR` and `_REMOVE_FILE`.
pub const REMOVE: u64 = 1 << 4 | 1 << 5;
/// `LANDLOCK_ACCESS_FS_MAKE_*`: everything that has a name.
pub const MAKE: u64 = (1 << 13) - (1 << 6);
/// `LANDLOCK_ACCESS_FS_REFER`: links and renames between directories.
pub const REFER: u64 = 1 << 13;
/// `LANDLOCK_ACCESS_FS_TRUNCATE`.
pub const TRUNCATE: u64 = 1 << 14;

/// `LANDLOCK_ACCESS_NET_BIND_TCP` and `_CONNECT_TCP`, from version 4 on.
const BIND: u64 = 1;
const CONNECT: u64 = 2;
/// Abstract unix sockets and signals, from version 6 on.
const SCOPES: u64 = 3;

/// All that is left.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// An id that no other process has; ignored where the process is not
    /// root's.
    pub user: u32,
    /// A user namespace that is entered: capabilities are then good for what
    /// belongs to its ids, and for nothing else.
    pub ids: Option<BorrowedFd<'a>>,
    /// Whose new files are (user and group, as that namespace has them), if
    /// not that user's.
    pub maker: Option<(u32, u32)>,
    /// Capabilities.
    pub capabilities: CapabilitySet,
    /// Names of system calls, beside memory that is not executable. `fcntl`
    /// among them duplicates descriptors, and does nothing else.
    pub calls: &'a [&'a str],
    /// A directory, and what may be done to files below it
    /// (`LANDLOCK_ACCESS_FS_*`); without, there are no files.
    pub files: Option<(BorrowedFd<'a>, u64)>,
    /// A TCP port that may be connected to at any address.
    pub port: Option<u64>,
    /// A pipe that the daemon reads: with its last reader this process ends.
    /// Without one it outlives the daemon.
    pub daemon: Option<BorrowedFd<'a>>,
}

/// Why a process could not give up what it must: it is to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host refused something.
    #[error("cannot {0}")]
    Host(&'static str, #[source] io::Error),
    /// Its list of calls is no filter.
    #[error("its list of system calls is no filter")]
    Filter(#[source] seccomp::Error),
    /// The daemon has died meanwhile.
    #[error("the daemon has gone")]
    Gone,
}

trait Doing<T> {
    fn doing(self, verb: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, verb: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::Host(verb, error.into()))
    }
}

/// Gives up everything but what is `left`, for good. The process has one
/// thread.
///
/// # Errors
/// What the host said: the caller is to end.
pub fn confine(left: &Left<'_>) -> Result<(), Error> {
    let filter = compile(left.calls)?;
    rustix::thread::set_no_new_privs(true).doing("forbid itself new privileges")?;
    landlock(left)?;
    if rustix::process::geteuid().is_root() {
        become_user(left)?;
    }
    let not = DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(not).doing("forbid others to look into it")?;
    if let Some(pipe) = left.daemon {
        // A change of user would have taken this back. Source: prctl(2).
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .doing("bind its life to the daemon's")?;
        let mut pipe = [PollFd::from_borrowed_fd(pipe, PollFlags::empty())];
        poll(&mut pipe, Some(&Timespec::default())).doing("look whether the daemon lives")?;
        if pipe[0].revents().contains(PollFlags::ERR) {
            return Err(Error::Gone);
        }
    }
    sys::confine::seccomp(&filter, 0).doing("restrict itself with seccomp")?;
    Ok(())
}

/// As far as the kernel has Landlock. Its first version forbids to link and
/// rename between directories whatever is allowed: who must is not held by it.
/// The daemon says so among the warnings of `info`.
fn landlock(left: &Left<'_>) -> Result<(), Error> {
    let abi = sys::confine::landlock_abi();
    let needs_refer = left.files.is_some_and(|(_, rights)| rights & REFER != 0);
    if abi == 0 || (abi == 1 && needs_refer) {
        return Ok(());
    }
    let known =
        FILES.iter().filter(|(since, _)| *since <= abi).fold(0, |all, (_, more)| all | more);
    let net = if abi >= 4 { BIND | CONNECT } else { 0 };
    let scopes = if abi >= 6 { SCOPES } else { 0 };
    let rules = Ruleset::new(known, net, scopes).doing("make Landlock rules")?;
    if let Some((dir, rights)) = left.files {
        rules.allow(rights & known, dir).doing("allow files with Landlock")?;
    }
    if let Some(port) = left.port.filter(|_| abi >= 4) {
        rules.allow_port(CONNECT, port).doing("allow a port with Landlock")?;
    }
    rules.restrict_self().doing("restrict itself with Landlock")
}

/// Becomes the user, without a group or a capability but the ones left.
fn become_user(left: &Left<'_>) -> Result<(), Error> {
    let kept = left.capabilities;
    let (uid, gid) = (Uid::from_raw(left.user), Gid::from_raw(left.user));
    rustix::thread::set_thread_groups(&[]).doing("leave its groups")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).doing("change its group")?;
    rustix::thread::set_keep_capabilities(true).doing("keep capabilities")?;
    // This takes those that have effect. Source: capabilities(7).
    rustix::thread::set_thread_res_uid(uid, uid, uid).doing("change its user")?;
    let to_narrow = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::SETPCAP;
    match left.ids {
        None => have(kept | to_narrow)?,
        Some(ids) => {
            have(CapabilitySet::SYS_ADMIN)?;
            // From here on it has all capabilities in there, and none outside.
            rustix::thread::move_into_link_name_space(ids, Some(LinkNameSpaceType::User))
                .doing("enter a user namespace")?;
        }
    }
    narrow(kept)?;
    if let Some((user, group)) = left.maker {
        sys::process::set_file_owner(user, group).doing("act as the owner of files")?;
    }
    have(kept)?;
    let now = rustix::thread::capabilities(None).doing("look at its capabilities")?;
    if now.permitted == kept { Ok(()) } else { Err(Errno::PERM).doing("give up capabilities") }
}

/// Takes all others out of the bounding set.
fn narrow(kept: CapabilitySet) -> Result<(), Error> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            // One more than this kernel has.
            Err(Errno::INVAL) => break,
            other => other.doing("give up capabilities")?,
        }
    }
    Ok(())
}

fn have(some: CapabilitySet) -> Result<(), Error> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: some, permitted: some, inheritable: none };
    rustix::thread::set_capabilities(None, sets).doing("keep a capability")
}

fn compile(calls: &[&str]) -> Result<Vec<Instruction>, Error> {
    const PROT_EXEC: u64 = 4;
    const ALL: u64 = u32::MAX as u64;
    let masked = |index, value, value_two| SyscallArg {
        index,
        value,
        value_two,
        op: "SCMP_CMP_MASKED_EQ".into(),
    };
    let rule = |names: &[&str], args| SyscallRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: "SCMP_ACT_ALLOW".into(),
        args,
        ..SyscallRule::default()
    };
    let plain: Vec<&str> = calls.iter().copied().filter(|call| *call != CONTROL).collect();
    let mut syscalls = vec![rule(&plain, Vec::new()), rule(&MEMORY, vec![masked(2, PROT_EXEC, 0)])];
    if plain.len() < calls.len() {
        // The kernel reads 32 bits of the command.
        syscalls.push(rule(&[CONTROL], vec![masked(1, ALL, DUPLICATE)]));
    }
    let rules = Seccomp { default_action: "SCMP_ACT_ERRNO".into(), syscalls, ..Seccomp::default() };
    let program = seccomp::compile(&rules).map_err(Error::Filter)?;
    let instruction =
        |i: &seccomp::Instruction| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    Ok(program.instructions.iter().map(instruction).collect())
}

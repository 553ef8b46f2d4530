//! What the resolver gives up before it reads its first packet.
//!
//! It parses what containers and servers send. Should that ever go wrong, what
//! has gone wrong then is a process of a user of its own, without a
//! capability, for which there is no file, no program to execute, no other
//! process and no way to make a socket: just those it was given.

use crate::error::{Doing as _, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, Gid, Uid},
};
use spec::oci::{Seccomp, SyscallArg, SyscallRule};
use std::os::fd::{AsFd, BorrowedFd};
use sys::confine::{Instruction, Ruleset};

/// The system calls that it can make.
pub const RIGHTS: [&str; 27] = [
    "accept4",
    "brk",
    "clock_gettime",
    "close",
    "connect",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "getsockopt",
    "madvise",
    "mremap",
    "munmap",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sendto",
    "sigaltstack",
    "write",
];

/// And these, as long as they make nothing executable.
const MEMORY: [&str; 2] = ["mmap", "mprotect"];

/// `LANDLOCK_ACCESS_FS_*` of the first version: 13 of them.
const FILES: u64 = (1 << 13) - 1;
/// `LANDLOCK_ACCESS_NET_BIND_TCP` and `_CONNECT_TCP`, from version 4 on.
const BIND: u64 = 1;
const CONNECT: u64 = 2;
/// Abstract unix sockets and signals, from version 6 on.
const SCOPES: u64 = 3;
/// Where servers are.
const PORT: u64 = 53;

/// The system calls that a scribe can make.
const OF_SCRIBE: [&str; 20] = [
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "madvise",
    "mremap",
    "munmap",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sendto",
    "sigaltstack",
    "write",
];

/// Leaves the daemon's session, directory and descriptors, but for `kept`.
pub(crate) fn detach(kept: &impl AsFd) -> Result<(), Error> {
    detach_keeping(&[kept.as_fd()])
}

fn detach_keeping(kept: &[BorrowedFd<'_>]) -> Result<(), Error> {
    // Fails for a process that leads a group already, as one started by hand may.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/").doing("leave the directory")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    rustix::stdio::dup2_stdin(null.doing("open /dev/null")?).doing("close the standard input")?;
    sys::process::close_all_but(3, kept).doing("close what is not its own")?;
    let most = getrlimit(Resource::Nofile).maximum;
    let files = Rlimit { current: most, maximum: most };
    setrlimit(Resource::Nofile, files).doing("raise the limit of open files")?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).doing("forbid core dumps")
}

/// Gives up all rights, for good.
pub(crate) fn confine(user: u32) -> Result<(), Error> {
    confine_to(user, CapabilitySet::empty(), &RIGHTS)
}

/// Becomes a scribe, for good: all rights are given up but the one to change
/// the network's rules, by sockets that it has already; those of `kept` stay
/// open beside the standard streams.
///
/// # Errors
/// What the host said: the caller is to end.
pub fn confine_scribe(user: u32, kept: &[BorrowedFd<'_>]) -> Result<(), Error> {
    detach_keeping(kept)?;
    confine_to(user, CapabilitySet::NET_ADMIN, &OF_SCRIBE)
}

fn confine_to(user: u32, kept: CapabilitySet, calls: &[&str]) -> Result<(), Error> {
    let filter = compile(calls)?;
    let abi = sys::confine::landlock_abi();
    rustix::thread::set_no_new_privs(true).doing("forbid itself new privileges")?;
    if abi > 0 {
        let net = if abi >= 4 { BIND | CONNECT } else { 0 };
        let scopes = if abi >= 6 { SCOPES } else { 0 };
        let rules = Ruleset::new(FILES, net, scopes).doing("make Landlock rules")?;
        if abi >= 4 {
            rules.allow_port(CONNECT, PORT).doing("allow a port with Landlock")?;
        }
        rules.restrict_self().doing("restrict itself with Landlock")?;
    }
    if rustix::process::geteuid().is_root() {
        become_user(user, kept)?;
    }
    let not = DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(not).doing("forbid others to look into it")?;
    sys::confine::seccomp(&filter, 0).doing("restrict itself with seccomp")?;
    Ok(())
}

/// Becomes a user, without a group or a capability but the `kept`, for good.
fn become_user(user: u32, kept: CapabilitySet) -> Result<(), Error> {
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
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    rustix::thread::set_thread_groups(&[]).doing("leave its groups")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).doing("change its group")?;
    let some = !kept.is_empty();
    rustix::thread::set_keep_capabilities(some).doing("keep capabilities")?;
    // This takes all capabilities, or at least all that have effect. Source:
    // capabilities(7).
    rustix::thread::set_thread_res_uid(uid, uid, uid).doing("change its user")?;
    if some {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: none };
        rustix::thread::set_capabilities(None, sets).doing("keep a capability")?;
    }
    let left = rustix::thread::capabilities(None).doing("look at its capabilities")?;
    if left.permitted == kept { Ok(()) } else { Err(Errno::PERM).doing("give up capabilities") }
}

fn compile(calls: &[&str]) -> Result<Vec<Instruction>, Error> {
    const PROT_EXEC: u64 = 4;
    let rule = |names: &[&str], args| SyscallRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: "SCMP_ACT_ALLOW".into(),
        args,
        ..SyscallRule::default()
    };
    let op = "SCMP_CMP_MASKED_EQ".into();
    let not_executable = SyscallArg { index: 2, value: PROT_EXEC, value_two: 0, op };
    let rules = Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        syscalls: vec![rule(calls, Vec::new()), rule(&MEMORY, vec![not_executable])],
        ..Seccomp::default()
    };
    let program = seccomp::compile(&rules).map_err(|e| Error::OutOfTurn(e.to_string()))?;
    let instruction =
        |i: &seccomp::Instruction| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    Ok(program.instructions.iter().map(instruction).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_filter_can_be_made_and_is_short() {
        for calls in [&RIGHTS[..], &OF_SCRIBE] {
            let filter = compile(calls).expect("its own words");
            assert!(filter.len() < 300, "{} instructions", filter.len());
        }
    }
}

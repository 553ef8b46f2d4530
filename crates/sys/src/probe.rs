//! Calls made only to hear the kernel refuse them: the isolation report's.
//!
//! Each is given arguments with which it does no lasting harm where it is
//! allowed after all.

use std::io;

/// A call that a confined program must not be able to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// `add_key(2)`: keyrings are shared by all of a user's processes.
    AddKey,
    /// `bpf(2)`, an empty `BPF_MAP_CREATE`.
    Bpf,
    /// `init_module(2)` of no bytes.
    InitModule,
    /// `kexec_load(2)` of no segments.
    KexecLoad,
    /// `perf_event_open(2)` of the software clock.
    PerfEventOpen,
    /// `reboot(2)` with the harmless `CAD_OFF`.
    Reboot,
    /// `settimeofday(2)` of no time and no zone.
    SetTimeOfDay,
    /// `swapoff(2)` of no file.
    SwapOff,
    /// `userfaultfd(2)`, kernel faults too.
    UserFaultFd,
    /// `unshare(2)` of a user namespace.
    UnshareUser,
    /// `unshare(2)` of a mount namespace.
    UnshareMount,
    /// `open_by_handle_at(2)` with an empty handle (the shocker exploit).
    OpenByHandle,
    /// `ptrace(2)`, attaching to process 1.
    PtraceInit,
}

/// Makes the call; `None` if the kernel let it through.
pub fn attempt(call: Forbidden) -> Option<io::Error> {
    use Forbidden as F;
    const REBOOT_MAGIC: [i64; 2] = [0xfee1_dead, 672_274_793];
    /// `struct file_handle` that claims no bytes.
    const HANDLE: [u32; 2] = [0, 0];
    /// `struct perf_event_attr`, version 0: type 1 (software), 64 bytes.
    const PERF: [u32; 16] = [1, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    /// `union bpf_attr`: an array map of one 4-byte entry.
    const MAP: [u32; 16] = [2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let name = c"cofferdam".as_ptr() as i64;
    let (number, args): (_, [i64; 5]) = match call {
        F::AddKey => (libc::SYS_add_key, [c"user".as_ptr() as i64, name, name, 1, -1]),
        F::Bpf => (libc::SYS_bpf, [0, MAP.as_ptr() as i64, 64, 0, 0]),
        F::InitModule => (libc::SYS_init_module, [name, 0, name, 0, 0]),
        F::KexecLoad => (libc::SYS_kexec_load, [0, 0, 0, 0, 0]),
        F::PerfEventOpen => (libc::SYS_perf_event_open, [PERF.as_ptr() as i64, -1, 0, -1, 0]),
        F::Reboot => (libc::SYS_reboot, [REBOOT_MAGIC[0], REBOOT_MAGIC[1], 0, 0, 0]),
        F::SetTimeOfDay => (libc::SYS_settimeofday, [0, 0, 0, 0, 0]),
        F::SwapOff => (libc::SYS_swapoff, [c"".as_ptr() as i64, 0, 0, 0, 0]),
        F::UserFaultFd => (libc::SYS_userfaultfd, [0, 0, 0, 0, 0]),
        F::UnshareUser => (libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0, 0]),
        F::UnshareMount => (libc::SYS_unshare, [libc::CLONE_NEWNS.into(), 0, 0, 0, 0]),
        F::OpenByHandle => (libc::SYS_open_by_handle_at, [-100, HANDLE.as_ptr() as i64, 0, 0, 0]),
        F::PtraceInit => (libc::SYS_ptrace, [0x4206 /* PTRACE_SEIZE */, 1, 0, 0, 0]),
    };
    // SAFETY: every pointer above is to a constant that outlives the call and
    // is as long as its length argument or terminator says; the kernel writes
    // through none of them.
    let rc = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) };
    (rc < 0).then(io::Error::last_os_error)
}

//! Processes: made with `clone3(2)`, turned into programs with `execve(2)`.
//!
//! A forked child runs on with a copy of everything, which is sound only if
//! no other thread was in the middle of something. [`clone`] therefore asks
//! the kernel whether the caller is alone, and refuses if it is not.

use crate::checked;
use rustix::thread::UnshareFlags;
use std::{
    ffi::{CStr, CString, c_char},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
    ptr,
};

/// How to [`clone`].
#[derive(Clone, Copy, Debug)]
pub struct Clone<'a> {
    /// New namespaces for the child.
    pub namespaces: UnshareFlags,
    /// The version 2 control group directory to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Make it a child of the caller's parent instead.
    pub sibling: bool,
}

impl Default for Clone<'_> {
    fn default() -> Self {
        Self { namespaces: UnshareFlags::empty(), cgroup: None, sibling: false }
    }
}

/// Has the program that `command` starts told to end, by SIGTERM, as soon as
/// the thread that started it has ended, however that came about.
///
/// For programs that nobody needs without us, started by a thread that lives
/// as long as we do.
///
/// Source: `PR_SET_PDEATHSIG(2const)`.
pub fn end_with_us(command: &mut Command) {
    let parent = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        // Who has ended before that is told to nobody.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec `bind` makes two system calls, which are
    // safe after a signal; it takes no lock and allocates nothing, as its
    // errors are numbers.
    unsafe { command.pre_exec(bind) };
}

/// Which of the two came back.
#[derive(Debug)]
pub enum Cloned {
    /// The caller.
    Parent {
        /// The child, as the caller's namespace counts.
        pid: i32,
        /// The child, safe from reuse.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Forks, with the extras of [`Clone`].
///
/// The child has copies of the caller's memory and descriptors. What the C
/// library remembers about its thread (its id) is the parent's still: the
/// child must not make threads.
///
/// # Errors
/// `EINVAL` if the caller has more than one thread; else as `clone3(2)`.
///
/// Source: `clone(2)`; `unshare(2)` for the check (`CLONE_THREAD` fails with
/// `EINVAL` in a process of several threads and does nothing in one of one).
pub fn clone(how: Clone<'_>) -> io::Result<Cloned> {
    // SAFETY: with CLONE_THREAD alone the call changes nothing.
    checked(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_THREAD) })?;
    let mut pidfd: i32 = -1;
    let mut flags = u64::from(how.namespaces.bits()) | PIDFD;
    if how.sibling {
        flags |= PARENT;
    }
    if how.cgroup.is_some() {
        flags |= INTO_CGROUP;
    }
    let args = Args {
        flags,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        // A sibling inherits the signal with which its maker's end is told.
        exit_signal: if how.sibling { 0 } else { libc::SIGCHLD as u64 },
        cgroup: how.cgroup.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
        ..Args::default()
    };
    // SAFETY: `args` and `pidfd` outlive the call; no memory is shared with
    // the child (no CLONE_VM), it continues on its own copy of this stack;
    // there is one thread, checked above, so that the copy is consistent.
    let rc = checked(unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<Args>())
    })?;
    Ok(match i32::try_from(rc) {
        Ok(0) => Cloned::Child,
        Ok(pid) => {
            // SAFETY: CLONE_PIDFD put a new descriptor there, owned by nobody.
            Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }
        }
        Err(_) => return Err(io::ErrorKind::InvalidData.into()),
    })
}

/// `struct clone_args`, version 2 (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct Args {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const PIDFD: u64 = libc::CLONE_PIDFD as u64;
const PARENT: u64 = libc::CLONE_PARENT as u64;
/// `CLONE_INTO_CGROUP`, `linux/sched.h`.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Leaves the named namespaces for new ones.
///
/// # Errors
/// As `unshare(2)`; `EINVAL` for any flag that is no namespace.
pub fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    if namespaces.intersects(UnshareFlags::FILES | UnshareFlags::FS | UnshareFlags::SYSVSEM) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = namespaces.bits();
    // SAFETY: namespaces alone are left; the descriptor table stays shared.
    checked(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// This thread gets a root, a directory and a umask of its own, as it needs
/// before it joins a mount namespace; the process's others keep theirs.
///
/// # Errors
/// As `unshare(2)`, `CLONE_FS`.
pub fn own_directory() -> io::Result<()> {
    // SAFETY: of what threads share this alone is given up, and nothing of it
    // is memory.
    checked(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_FS) }).map(drop)
}

/// Becomes the program at `path`; returns only to say why it could not.
///
/// Source: `execve(2)`.
#[must_use]
pub fn exec(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to strings that
    // the caller keeps alive.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program that `file` is; returns only to say why it could not.
///
/// Source: `execveat(2)`, `AT_EMPTY_PATH`.
#[must_use]
pub fn exec_file(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as in `exec`; the path is a constant.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// Ends the process at once: nothing is flushed, no destructor runs.
///
/// For a forked child, whose buffers are copies of its parent's.
///
/// Source: `_exit(2)`.
pub fn exit(code: i32) -> ! {
    // SAFETY: it does not return, and frees nothing that others use.
    unsafe { libc::_exit(code) }
}

/// Marks every descriptor numbered `first` or above close-on-exec.
///
/// Closes nothing, so no `OwnedFd` is left pointing at a reused number.
///
/// # Errors
/// `EINVAL` before Linux 5.11. Callers must stop: carrying on would leak
/// descriptors of the host into the container.
///
/// Source: `close_range(2)`; the leak is the class of CVE-2024-21626.
pub fn cloexec_from(first: u32) -> io::Result<()> {
    // SAFETY: three integers; with CLOSE_RANGE_CLOEXEC nothing is closed.
    checked(unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// Closes every descriptor numbered `first` or above, whoever holds it.
///
/// For a process that will touch none of them again and ends by [`exit`] or
/// [`exec`]: values that own one must be forgotten, not dropped.
///
/// # Errors
/// As `close_range(2)`.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: no memory is involved. An `OwnedFd` that is dropped later would
    // close a number that may have been reused: the contract above.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) }).map(drop)
}

/// Closes every descriptor numbered `first` or above but those of `keep`.
///
/// For a process as in [`close_from`]; the same holds for its values.
///
/// # Errors
/// As `close_range(2)`.
pub fn close_all_but(first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut from = first;
    for fd in kept.into_iter().filter(|&fd| fd >= first) {
        if from < fd {
            // SAFETY: as in `close_from`.
            checked(unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) })?;
        }
        from = fd + 1;
    }
    close_from(from)
}

/// Makes `fd` known by the number of a standard stream (0, 1 or 2) too,
/// to be kept across exec.
///
/// # Errors
/// As `dup3(2)`; `EINVAL` for another number.
pub fn replace_stream(fd: BorrowedFd<'_>, stream: u8) -> io::Result<()> {
    if stream > 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let stream = i32::from(stream);
    let rc = if fd.as_raw_fd() == stream {
        // dup3 refuses equal numbers, and the flag must go.
        // SAFETY: sets a flag of a descriptor.
        unsafe { libc::fcntl(stream, libc::F_SETFD, 0) }
    } else {
        // SAFETY: the three standard numbers are owned by no `OwnedFd`.
        unsafe { libc::dup3(fd.as_raw_fd(), stream, 0) }
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// As whom new files are made and access to files is checked.
///
/// The call clears the file capabilities of a root that becomes another; they
/// may be set again, the permitted set keeps them.
///
/// Source: `setfsuid(2)`; it reports no error, so the result is read back.
///
/// # Errors
/// `EPERM` where the kernel did not obey.
pub fn set_file_owner(uid: u32, gid: u32) -> io::Result<()> {
    // The second call of each pair, with an id that is never valid, changes
    // nothing and returns what the first has set.
    for (call, id) in [(libc::SYS_setfsgid, gid), (libc::SYS_setfsuid, uid)] {
        // SAFETY: integers only; applies to the calling thread.
        unsafe { libc::syscall(call, id) };
        // SAFETY: as above.
        let now = unsafe { libc::syscall(call, u32::MAX) };
        if now != i64::from(id) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// As whom this thread acts; who it was at first may take it back.
///
/// The call clears the effective capabilities of a root that becomes another;
/// they may be set again, the permitted set keeps them.
///
/// # Errors
/// As `setresuid(2)`.
pub fn set_effective_user(user: u32) -> io::Result<()> {
    // SAFETY: integers only; applies to the calling thread. The first and the
    // last stay as they are.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, u32::MAX, user, u32::MAX) }).map(drop)
}

/// Changes the execution domain and its flags.
///
/// # Errors
/// As `personality(2)`.
pub fn personality(persona: u32) -> io::Result<()> {
    // SAFETY: one integer.
    let rc = unsafe { libc::personality(persona.into()) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the interface called `lo` up in the caller's network namespace.
///
/// # Errors
/// As `netdevice(7)`'s `SIOCSIFFLAGS`.
pub fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    #[expect(clippy::cast_possible_truncation, reason = "the flags are 1 and 64")]
    let up = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: the request is read during the call and is of the right type.
    let rc =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, ptr::from_ref(&request)) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Leaves the session keyring for a new one of that name.
///
/// # Errors
/// As `keyctl(2)`; `ENOSYS` where the kernel has no keyrings.
pub fn new_session_keyring(name: &CStr) -> io::Result<i64> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the name is a string that outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) })
}

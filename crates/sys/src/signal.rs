//! Signals: sent by number, since real-time signals have no name that rustix
//! would take; and what the calling process does about its own.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// Brings every signal back to what a fresh program expects: none blocked,
/// none ignored.
///
/// # Errors
/// As `sigprocmask(2)`.
pub fn reset() -> io::Result<()> {
    // As the kernel sees it: default action, no flags, no restorer, no mask.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // The C library's own function refuses 32 and 33, which its
        // posix_spawn leaves ignored in every child.
        // SAFETY: reads the 32 bytes of a kernel_sigaction, writes nothing, and
        // installs no code. 9 and 19 are refused: their default stands anyway.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                8,
            )
        };
    }
    set_mask(false)
}

/// Holds every signal back until [`next`] takes it.
///
/// # Errors
/// As `sigprocmask(2)`.
pub fn hold() -> io::Result<()> {
    set_mask(true)
}

/// Waits for a signal that is [held](hold), and takes it.
///
/// # Errors
/// As `sigwaitinfo(2)`.
pub fn next() -> io::Result<i32> {
    let set = mask(true);
    // SAFETY: the set is initialised and outlives the call; no information is
    // asked for.
    let signal = unsafe { libc::sigwaitinfo(set.as_ptr(), ptr::null_mut()) };
    if signal < 0 { Err(io::Error::last_os_error()) } else { Ok(signal) }
}

/// A descriptor that is readable while a [held](hold) signal waits, for those
/// who wait for other things too. It never blocks.
///
/// # Errors
/// As `signalfd(2)`.
pub fn held() -> io::Result<OwnedFd> {
    let set = mask(true);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is initialised and outlives the call; a new descriptor
    // is asked for.
    let fd = unsafe { libc::signalfd(-1, set.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes one signal from [`held`]; none if none waits.
///
/// # Errors
/// As `read(2)`.
pub fn take(held: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::retry_on_intr(|| rustix::io::read(held, &mut bytes)) {
        // The number is the first field of each record.
        Ok(_) => Ok(Some(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sends `signal` (0: only asks whether one could) to one process.
///
/// Takes no group and no "everyone": a number below 1 is refused before the
/// kernel could read it as one.
///
/// # Errors
/// `ESRCH` if there is no such process, `EINVAL` for no such signal.
///
/// Source: `kill(2)`.
pub fn send(pid: i32, signal: i32) -> io::Result<()> {
    if pid < 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the call reads two integers and no memory.
    let rc = unsafe { libc::kill(pid, signal) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends `signal` to the process that a pidfd names, which cannot be another
/// by now.
///
/// # Errors
/// `ESRCH` if it has been reaped, `EINVAL` for no such signal.
///
/// Source: `pidfd_send_signal(2)`.
pub fn send_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = ptr::null::<libc::siginfo_t>();
    // SAFETY: three integers; for a null siginfo the kernel makes its own.
    let rc = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, nothing, 0)
    };
    crate::checked(rc).map(drop)
}

fn mask(full: bool) -> MaybeUninit<libc::sigset_t> {
    let mut set = MaybeUninit::uninit();
    if full {
        // SAFETY: writes the whole set.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
    } else {
        // SAFETY: writes the whole set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    }
    set
}

fn set_mask(full: bool) -> io::Result<()> {
    let set = mask(full);
    // SAFETY: the set is initialised and outlives the call.
    let rc = unsafe { libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! Sending a signal by its number: real-time signals have no name that
//! rustix would take.

use std::io;

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

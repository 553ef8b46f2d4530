//! What sockets tell about themselves.

use crate::checked;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Bytes of memory that wait in the peer's queue of a unix socket, headers
/// included: zero once the peer has read everything.
///
/// # Errors
/// `ENOTTY` or `EINVAL` for what is no such socket.
///
/// Source: `unix(7)`, `SIOCOUTQ` (the number is that of `TIOCOUTQ`).
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: this request writes one int, to which the pointer leads; the
    // descriptor is borrowed for the length of the call.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    checked(rc.into())?;
    Ok(bytes.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn nothing_waits_once_the_peer_has_read() {
        let (mut ours, mut theirs) = UnixStream::pair().expect("socketpair");
        ours.write_all(b"hi").expect("written");
        assert_ne!(unread(ours.as_fd()).expect("a socket"), 0);
        theirs.read_exact(&mut [0; 2]).expect("read");
        assert_eq!(unread(ours.as_fd()).expect("a socket"), 0);
    }
}

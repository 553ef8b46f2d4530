//! Where init waits when its maker ends before it: OCI's `create`, `start`.
//!
//! A listening socket in the container's state directory, which only the
//! host's root can enter. Whoever knocks takes the caller's part in the rest
//! of the dialogue, and the closing of the connection means the same.

use crate::{
    dialogue::{self, Said},
    failure::{Doing, refusal},
};
use rustix::{
    event::{PollFd, PollFlags},
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use spec::wire::Failure;
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Opens a door called `path`; its directory must be there.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, Failure> {
    let doing = || format!("listen at {}", path.display());
    let socket = socket().doing(doing)?;
    let (_dir, address) = address(path)?;
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let bound = rustix::net::bind(&socket, &address);
    rustix::process::umask(mask);
    bound.doing(doing)?;
    rustix::net::listen(&socket, 1).doing(doing)?;
    Ok(socket)
}

/// `SIGHUP`, `SIGINT`, `SIGQUIT` and `SIGTERM`: who waits here ends by them,
/// though the first process of a namespace need not.
const DEADLY: [i32; 4] = [1, 2, 3, 15];

/// Waits at the door until someone lets the program begin. Who knocks and
/// says nothing is not listened to.
pub(crate) fn wait(door: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let doing = || "wait for start".into();
    sys::signal::hold().doing(doing)?;
    let signals = sys::signal::held().doing(doing)?;
    loop {
        let mut fds = [PollFd::new(&door, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None)).doing(doing)?;
        while let Some(signal) = sys::signal::take(signals.as_fd()).doing(doing)? {
            if DEADLY.contains(&signal) {
                sys::process::exit(128 + signal);
            }
        }
        if !fds[0].revents().contains(PollFlags::IN) {
            continue;
        }
        let flags = SocketFlags::CLOEXEC;
        let visitor = match rustix::net::accept_with(door, flags) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
            other => other.doing(doing)?,
        };
        if let Ok(Some((Said::Go, _))) = dialogue::hear(visitor.as_fd()) {
            sys::signal::reset().doing(doing)?;
            return Ok(visitor);
        }
    }
}

/// Lets the program begin that waits at `door`: returns when exec has
/// succeeded.
///
/// # Errors
/// Why it could not, or that nobody waits there.
pub fn knock(door: &Path) -> Result<(), Failure> {
    let socket = socket().doing(|| "make a socket".into())?;
    let (_dir, address) = address(door)?;
    rustix::net::connect(&socket, &address)
        .doing(|| format!("reach the container's init at {}", door.display()))?;
    dialogue::say(socket.as_fd(), &Said::Go, &[]).doing(|| "let the program begin".into())?;
    loop {
        match dialogue::hear(socket.as_fd())? {
            None => return Ok(()),
            Some((Said::Failed(failure), _)) => return Err(failure),
            Some((Said::Warning(_), _)) => {}
            Some(_) => return Err(refusal("the container's init spoke out of turn")),
        }
    }
}

fn socket() -> rustix::io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
}

/// The name by way of its directory's descriptor: a socket's address holds
/// 108 bytes, a path may be longer.
fn address(path: &Path) -> Result<(OwnedFd, SocketAddrUnix), Failure> {
    let doing = || format!("find {}", path.display());
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| refusal("a door needs a name"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(parent, flags, Mode::empty()).doing(doing)?;
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    let address = SocketAddrUnix::new(short.as_path()).doing(doing)?;
    Ok((dir, address))
}

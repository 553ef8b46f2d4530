//! The container's run directory: what the daemon left for the monitor, and
//! what the monitor leaves for the daemon.
//!
//! It is opened once, and everything in it is named from there: whoever moves
//! or replaces a directory above it cannot lead the monitor elsewhere, and the
//! name of a socket is short however deep it lies.

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use spec::{Sandbox, wire::Exit};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

const SOCKET: &str = "monitor.sock";
const EXIT: &str = "exit.json";

/// One container's run directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens it.
    ///
    /// # Errors
    /// `PermissionDenied` if others than its owner, who is this user, can use
    /// it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        if stat.st_mode & 0o077 != 0 || stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self(fd))
    }

    /// What is to confine the container.
    ///
    /// # Errors
    /// What the host said, or `InvalidData`.
    pub fn sandbox(&self) -> io::Result<Sandbox> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.0, "sandbox.json", flags, Mode::empty())?;
        let mut text = Vec::new();
        File::from(fd).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Listens on `monitor.sock`.
    ///
    /// # Errors
    /// `AddrInUse` if another monitor does.
    pub fn listen(&self) -> io::Result<OwnedFd> {
        // The name is taken from the working directory, which is `/` otherwise.
        rustix::process::fchdir(&self.0)?;
        let listener = self.listen_here();
        rustix::process::chdir("/")?;
        listener
    }

    fn listen_here(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let name = SocketAddrUnix::new(SOCKET)?;
        let listener = socket()?;
        match rustix::net::bind(&listener, &name) {
            Err(Errno::ADDRINUSE) => {
                match rustix::net::connect(socket()?, &name) {
                    Err(Errno::CONNREFUSED | Errno::NOENT) => {}
                    Err(errno) => return Err(errno.into()),
                    Ok(()) => return Err(io::ErrorKind::AddrInUse.into()),
                }
                self.leave();
                rustix::net::bind(&listener, &name)?;
            }
            bound => bound?,
        }
        rustix::net::listen(&listener, 64)?;
        Ok(listener)
    }

    /// Takes `monitor.sock` away.
    pub fn leave(&self) {
        self.unlink(SOCKET);
    }

    /// Takes away how an earlier run ended.
    pub fn forget_exit(&self) {
        self.unlink(EXIT);
    }

    fn unlink(&self, name: &str) {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => eprintln!("cannot remove {name}: {errno}"),
        }
    }

    /// Writes how it ended, whole or not at all. Not flushed to the disk: it
    /// means nothing after a loss of power.
    ///
    /// # Errors
    /// What the host said.
    pub fn record(&self, exit: &Exit) -> io::Result<()> {
        const NEW: &str = "exit.json.tmp";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.0, NEW, flags, Mode::from_raw_mode(0o600))?;
        File::from(fd).write_all(&serde_json::to_vec(exit)?)?;
        rustix::fs::renameat(&self.0, NEW, &self.0, EXIT)?;
        Ok(())
    }
}

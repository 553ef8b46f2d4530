//! The sockets that clients knock at.
//!
//! One of our own is bound under another name and moved into place, so that
//! there is no moment at which it is missing or open to all; it is removed at
//! the end, unless another daemon has put its own there. One that the service
//! manager hands in (`fd://`) is the manager's. At one of the network
//! (`tcp://`) nobody is heard who does not show a certificate.

use crate::settings::Host;
use anyhow::{Context as _, bail};
use api::{Listener, secure::Papers, secure::Porter};
use rustix::fs::{Gid, Mode};
use rustix::net::{AddressFamily, sockopt::socket_domain};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::fs;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Groups whose members may use the engine, the first that there is.
const GROUPS: [&str; 2] = ["cofferdam", "docker"];
/// Owner and group; nobody else.
const MODE: Mode = Mode::from_raw_mode(0o660);

/// A socket that listens.
pub enum Door {
    /// Of this host.
    Here {
        /// It.
        listener: StdListener,
        /// Where it is bound, and the inode there, if it is our own.
        bound: Option<(PathBuf, u64)>,
    },
    /// Of the network.
    Afar(StdTcpListener, Porter),
    /// For figures alone.
    Figures(StdTcpListener),
}

/// Opens all that were asked for.
///
/// # Errors
/// Another daemon listens there, or it cannot be bound.
pub fn open(hosts: &[Host], papers: Option<&Papers>) -> anyhow::Result<Vec<Door>> {
    let mut doors = Vec::new();
    for host in hosts {
        match host {
            Host::Unix(path) => doors.push(bind(path)?),
            Host::HandedIn => doors.append(&mut handed_in()?),
            Host::Tcp(address) => {
                // Settings without them are refused.
                let papers = papers.context("no certificates were named")?;
                doors.push(listen(*address, papers)?);
            }
        }
    }
    Ok(doors)
}

impl Door {
    /// For the runtime that this is called in.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn listener(&self) -> anyhow::Result<Listener> {
        let made = || match self {
            Self::Here { listener, .. } => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Listener::Here)
            }
            Self::Afar(listener, porter) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                Ok(Listener::Afar(listener, porter.clone()))
            }
            Self::Figures(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Listener::Figures)
            }
        };
        made().context("cannot listen")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let Self::Here { bound: Some((path, inode)), .. } = &*self else { return };
        if fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "cannot remove the socket");
        }
    }
}

fn bind(path: &Path) -> anyhow::Result<Door> {
    let cannot = || format!("cannot listen on {}", path.display());
    if UnixStream::connect(path).is_ok() {
        bail!("another daemon listens on {}", path.display());
    }
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(cannot)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let _ = fs::remove_file(&new);
    // Nobody else may connect before it has its owner.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = StdListener::bind(&new);
    rustix::process::umask(before);
    let listener = listener.with_context(cannot)?;
    admit(&new).and_then(|()| fs::rename(&new, path).map_err(Into::into)).with_context(cannot)?;
    let inode = fs::symlink_metadata(path).with_context(cannot)?.ino();
    Ok(Door::Here { listener, bound: Some((path.to_owned(), inode)) })
}

fn listen(address: SocketAddr, papers: &Papers) -> anyhow::Result<Door> {
    let cannot = || format!("cannot listen on tcp://{address}");
    let porter = Porter::new(papers).with_context(cannot)?;
    let listener = StdTcpListener::bind(address).with_context(cannot)?;
    Ok(Door::Afar(listener, porter))
}

/// Opens the door for figures.
///
/// # Errors
/// It cannot be bound.
pub fn figures(address: SocketAddr) -> anyhow::Result<Door> {
    let listener = StdTcpListener::bind(address);
    let listener = listener.with_context(|| format!("cannot serve figures at {address}"))?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "whoever reaches this address reads names and figures of all containers");
    }
    Ok(Door::Figures(listener))
}

/// Lets the group in, if there is one.
fn admit(path: &Path) -> anyhow::Result<()> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    if let Some(group) = GROUPS.iter().find_map(|name| group(&groups, name)) {
        rustix::fs::chown(path, None, Some(Gid::from_raw(group)))?;
    }
    Ok(rustix::fs::chmod(path, MODE)?)
}

/// A group's number, by `group(5)`.
fn group(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// What the service manager listens on for us.
fn handed_in() -> anyhow::Result<Vec<Door>> {
    let numbers = sd_notify::listen_fds().context("cannot read what the service manager says")?;
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty()).context("cannot open ourselves")?;
    let mut doors = Vec::new();
    for number in numbers {
        // A duplicate: the number itself is not known to be ours to close.
        let fd = pidfd_getfd(&ourselves, number, PidfdGetfdFlags::empty())
            .with_context(|| format!("cannot take descriptor {number}"))?;
        doors.push(given(fd).with_context(|| format!("cannot listen on descriptor {number}"))?);
    }
    if doors.is_empty() {
        bail!("fd:// was asked for, but the service manager has handed in no socket");
    }
    Ok(doors)
}

/// One that is the manager's. Whatever it is, there is no TLS on it: of the
/// network it would be a way in for everybody.
fn given(fd: OwnedFd) -> anyhow::Result<Door> {
    if socket_domain(&fd).context("it is no socket")? != AddressFamily::UNIX {
        bail!(
            "it is no unix socket: have the service manager listen at a path, and add \
             -H tcp://ADDRESS --tlsverify for the network"
        );
    }
    Ok(Door::Here { listener: StdListener::from(fd), bound: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_socket_replaces_a_dead_one_and_goes_with_its_daemon() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("deep/down.sock");
        let door = bind(&path).expect("bound");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        let taken = bind(&path).err().expect("taken");
        assert!(taken.to_string().contains("another daemon listens"));
        drop(door);
        assert!(!path.exists());
        drop(StdListener::bind(&path).expect("left behind by a daemon that was killed"));
        bind(&path).expect("a dead one is replaced");
    }

    #[test]
    fn a_socket_that_another_has_put_there_stays() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a.sock");
        let ours = bind(&path).expect("bound");
        fs::remove_file(&path).expect("removed by hand");
        let _theirs = StdListener::bind(&path).expect("bound");
        drop(ours);
        assert!(path.exists());
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\ndockerx:x:5:\ndocker:x:998:me\nbad:x:no:\n";
        assert_eq!(group(groups, "docker"), Some(998));
        assert_eq!(group(groups, "bad"), None);
        assert_eq!(group(groups, "dock"), None);
    }

    #[test]
    fn what_the_service_manager_hands_in_is_of_this_host_alone() {
        let dir = tempfile::tempdir().expect("tempdir");
        let here = StdListener::bind(dir.path().join("a.sock")).expect("bound");
        assert!(given(here.into()).is_ok());
        let afar = StdTcpListener::bind("127.0.0.1:0").expect("bound");
        let refused = given(afar.into()).err().expect("plaintext").to_string();
        assert!(refused.contains("no unix socket") && refused.contains("--tlsverify"), "{refused}");
        let file = fs::File::open(dir.path()).expect("open");
        assert!(given(file.into()).is_err());
    }
}

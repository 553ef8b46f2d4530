//! Switches of the kernel that a bridge needs, and no others.
//!
//! Of the whole host, only forwarding is turned on, and only if it was off:
//! `net.ipv4.ip_forward`, since packets come back in by whatever interface
//! leads outside, now or later; `net.ipv6.conf.all.forwarding`, since the
//! kernel had no finer switch before Linux 6.17. So that this does not make a
//! router of the host, packets that are not ours are then dropped in `forward`
//! (see `rules`), and interfaces that configure themselves from router
//! advertisements are told to go on doing so (`accept_ra` 2).
//!
//! Source: `Documentation/networking/ip-sysctl.rst`.

use crate::error::{Doing, Error};
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags},
};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

const ALL4: &str = "/proc/sys/net/ipv4/ip_forward";
const ALL6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Does the host forward packets of this family?
pub(crate) fn is_on(v6: bool) -> Result<bool, Error> {
    let path = if v6 { ALL6 } else { ALL4 };
    Ok(fs::read_to_string(path).doing("read", path)?.trim() != "0")
}

/// Makes it forward packets of this family.
pub(crate) fn turn_on(v6: bool) -> Result<(), Error> {
    if !v6 {
        return write(ALL4, "1");
    }
    keep_autoconfiguration()?;
    write(ALL6, "1")
}

/// Makes it forward no more.
pub(crate) fn turn_off(v6: bool) -> Result<(), Error> {
    write(if v6 { ALL6 } else { ALL4 }, "0")
}

/// An interface that forwards ignores router advertisements, unless told
/// twice that it wants them: without this the host would lose its own route.
fn keep_autoconfiguration() -> Result<(), Error> {
    const INTERFACES: &str = "/proc/sys/net/ipv6/conf";
    for entry in fs::read_dir(INTERFACES).doing("list", INTERFACES)? {
        let path = entry.doing("list", INTERFACES)?.path().join("accept_ra");
        let path = path.to_string_lossy();
        match fs::read_to_string(&*path) {
            Ok(value) if value.trim() == "1" => write(&path, "2")?,
            // It left between the listing and the reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => drop(other.doing("read", &path)?),
        }
    }
    Ok(())
}

/// What a bridge of ours is told, beside its addresses.
pub(crate) fn set_up_bridge(name: &str, v6: bool) -> Result<(), Error> {
    let set4 = |key: &str, value| write(&format!("/proc/sys/net/ipv4/conf/{name}/{key}"), value);
    // Programs of the host reach published ports by 127.0.0.1: the kernel may
    // send from that address over this interface. `rules` drops what a
    // container sends to it.
    set4("route_localnet", "1")?;
    // Questions for the host's other addresses are not answered here.
    set4("arp_ignore", "1")?;
    set4("accept_redirects", "0")?;
    set4("secure_redirects", "0")?;
    set4("accept_source_route", "0")?;
    if v6 {
        let set6 =
            |key: &str, value| write(&format!("/proc/sys/net/ipv6/conf/{name}/{key}"), value);
        set6("disable_ipv6", "0")?;
        set6("accept_ra", "0")?;
        set6("accept_redirects", "0")?;
    }
    Ok(())
}

/// Inside a container: believe no router, or have no IPv6 at all. For the
/// network namespace of the calling thread.
pub(crate) fn set_up_inside(switches: &Switches, ifname: &str, v6: bool) -> io::Result<()> {
    let key = if v6 { "accept_ra" } else { "disable_ipv6" };
    let value = if v6 { "0" } else { "1" };
    match switches.set(&format!("net/ipv6/conf/{ifname}/{key}"), value) {
        // A kernel without IPv6 has none to turn off.
        Err(error) if !v6 && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The switches of a network namespace, in a `/proc` of the caller's own.
///
/// A `/proc` remembers what was looked up in it: below `sys/net` each network
/// namespace's under the same names, all of which the kernel goes through to
/// find the one that is meant. With a thousand containers that took longer
/// than all else; with no more than the host's own there is nothing to go
/// through.
pub(crate) struct Switches(OwnedFd);

impl Switches {
    /// Of the network namespace that the calling thread is in when it
    /// [sets](Self::set) one.
    pub(crate) fn open() -> io::Result<Self> {
        let context = mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        mount::fsconfig_create(context.as_fd())?;
        let (flags, attributes) = (FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
        Ok(Self(mount::fsmount(context.as_fd(), flags, attributes)?))
    }

    /// Sets one, such as `net/ipv4/conf/eth0/arp_ignore`.
    pub(crate) fn set(&self, key: &str, value: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&self.0, format!("sys/{key}"), flags, Mode::empty())?;
        File::from(file).write_all(value.as_bytes())
    }
}

/// The host's end of a pair that speaks no IPv6 itself. Told before it is up,
/// so that the kernel gives it no routes to go through whenever one ends.
pub(crate) fn without_ipv6(ifname: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6");
    if has_ipv6() { fs::write(&path, "1").doing("write", &path) } else { Ok(()) }
}

/// Can answers to `::1` find their way back through a bridge?
///
/// Not while bridged packets are shown to `ip6tables`: then the answer's
/// destination is translated before the packet enters the host, which refuses
/// packets to `::1` from outside.
pub(crate) fn loopback6() -> bool {
    has_ipv6() && !is_shown("ip6tables")
}

/// Are bridged packets shown to the hooks of IPv4 or IPv6 (`br_netfilter`)?
pub(crate) fn translates_frames() -> bool {
    is_shown("iptables") || is_shown("ip6tables")
}

fn is_shown(to: &str) -> bool {
    let switch = format!("/proc/sys/net/bridge/bridge-nf-call-{to}");
    fs::read_to_string(switch).is_ok_and(|value| value.trim() != "0")
}

/// Has the kernel IPv6? Once it has, it keeps it.
pub(crate) fn has_ipv6() -> bool {
    static HAS: AtomicBool = AtomicBool::new(false);
    if !HAS.load(Ordering::Relaxed) {
        HAS.store(Path::new(ALL6).exists(), Ordering::Relaxed);
    }
    HAS.load(Ordering::Relaxed)
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    // What already is so is not written: the file may be read-only for us.
    if fs::read_to_string(path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(path, value).doing("write", path)
}

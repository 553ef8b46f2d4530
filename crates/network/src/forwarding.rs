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
use std::{fs, io, path::Path};

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
pub(crate) fn set_up_inside(ifname: &str, v6: bool) -> io::Result<()> {
    let key = if v6 { "accept_ra" } else { "disable_ipv6" };
    let value = if v6 { "0" } else { "1" };
    let path = format!("/proc/sys/net/ipv6/conf/{ifname}/{key}");
    match fs::write(path, value) {
        // A kernel without IPv6 has none to turn off.
        Err(error) if !v6 && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
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

/// Has the kernel IPv6?
pub(crate) fn has_ipv6() -> bool {
    Path::new(ALL6).exists()
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    // What already is so is not written: the file may be read-only for us.
    if fs::read_to_string(path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(path, value).doing("write", path)
}

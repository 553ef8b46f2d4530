//! Which ports of the host are spoken for, and by whom.
//!
//! Containers' ports are in nftables maps, so nothing listens on them: a
//! second container would be refused by the kernel, but a program of the host
//! would not notice that its port leads elsewhere. So a port is tried before
//! it is given, and what was given is remembered here. A daemon that starts
//! reads the maps back.

use crate::{Endpoint, Error, PortWish, Proto, Published};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use std::{
    collections::{BTreeMap, btree_map},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

/// Ports that containers hold.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    held: BTreeMap<(Proto, u16), Vec<(IpAddr, String)>>,
    /// Where the last search for any free port ended: the next begins after
    /// it, so that a port given back is not at once another's.
    last: u16,
}

impl Ports {
    /// Somebody holds it already, as the maps say.
    pub(crate) fn recall(&mut self, published: &Published, holder: &str) {
        let held = self.held.entry((published.proto, published.host_port)).or_default();
        held.push((published.host_ip, holder.to_owned()));
    }

    /// Gives back all that a container holds.
    pub(crate) fn release(&mut self, holder: &str) {
        self.held.retain(|_, held| {
            held.retain(|(_, other)| other != holder);
            !held.is_empty()
        });
    }

    /// Gives back some of it.
    pub(crate) fn give_back(&mut self, published: &[Published], holder: &str) {
        for one in published {
            let btree_map::Entry::Occupied(mut entry) = self.held.entry((one.proto, one.host_port))
            else {
                continue;
            };
            entry.get_mut().retain(|(ip, other)| *ip != one.host_ip || other != holder);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    /// Sees to it that a container holds a port.
    pub(crate) fn hold(&mut self, published: &Published, asker: &Endpoint) -> Result<(), Error> {
        let holder = asker.container.as_str();
        let mut held = self.held_at(published).iter();
        if held.any(|(ip, other)| *ip == published.host_ip && other == holder) {
            return Ok(());
        }
        self.take(published, asker)
    }

    fn held_at(&self, published: &Published) -> &[(IpAddr, String)] {
        let key = (published.proto, published.host_port);
        self.held.get(&key).map_or(&[][..], Vec::as_slice)
    }

    /// Gives a container a port that nobody holds.
    fn take(&mut self, published: &Published, asker: &Endpoint) -> Result<(), Error> {
        let held = self.held_at(published);
        if held.iter().any(|(ip, _)| overlap(*ip, published.host_ip)) {
            let (host_ip, host_port) = (published.host_ip, published.host_port);
            return Err(Error::PortTaken { endpoint: None, host_ip, host_port });
        }
        try_port(published).map_err(|source| {
            let to = address_for(asker, published.host_ip);
            Error::PortBusy { endpoint: None, published: *published, to, source }
        })?;
        self.recall(published, asker.container.as_str());
        Ok(())
    }

    /// Holds ports as wished, all or none. `any` is where free ports are
    /// looked for if any will do.
    pub(crate) fn reserve(
        &mut self,
        asker: &Endpoint,
        wishes: &[PortWish],
        any: &RangeInclusive<u16>,
    ) -> Result<Vec<Published>, Error> {
        let mut given = Vec::new();
        for wish in wishes {
            match self.reserve_one(asker, wish, any) {
                Ok(more) => given.extend(more),
                Err(error) => {
                    self.give_back(&given, asker.container.as_str());
                    return Err(error);
                }
            }
        }
        Ok(given)
    }

    fn reserve_one(
        &mut self,
        asker: &Endpoint,
        wish: &PortWish,
        any: &RangeInclusive<u16>,
    ) -> Result<Vec<Published>, Error> {
        let anywhere = *wish.host_ports.end() == 0;
        let candidates: Vec<u16> = if anywhere {
            let start = if any.contains(&self.last) { self.last } else { *any.end() };
            (start..=*any.end()).skip(1).chain(*any.start()..=start).collect()
        } else {
            wish.host_ports.clone().filter(|port| *port != 0).collect()
        };
        let single = candidates.len() == 1;
        for port in candidates {
            match self.take_on_all(asker, wish, port) {
                Ok(given) => {
                    if anywhere {
                        self.last = port;
                    }
                    return Ok(given);
                }
                Err(error) if single || !is_conflict(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Err(Error::PortsExhausted { endpoint: None })
    }

    /// The same port on each address that the wish means.
    fn take_on_all(
        &mut self,
        asker: &Endpoint,
        wish: &PortWish,
        port: u16,
    ) -> Result<Vec<Published>, Error> {
        let mut given = Vec::new();
        for host_ip in addresses_for(asker, wish.host_ip) {
            let published = Published {
                proto: wish.proto,
                host_ip,
                host_port: port,
                container_port: wish.container_port,
            };
            if let Err(error) = self.take(&published, asker) {
                self.give_back(&given, asker.container.as_str());
                return Err(error);
            }
            given.push(published);
        }
        Ok(given)
    }
}

/// Is it a reason to try the next port of a range?
fn is_conflict(error: &Error) -> bool {
    match error {
        Error::PortTaken { .. } => true,
        Error::PortBusy { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
        _ => false,
    }
}

/// The host's addresses that a wish means: the one it names, or all of the
/// families that the container has.
fn addresses_for(asker: &Endpoint, named: Option<IpAddr>) -> Vec<IpAddr> {
    if let Some(named) = named {
        return vec![named];
    }
    let v4 = asker.addr4.map(|_| Ipv4Addr::UNSPECIFIED.into());
    let v6 = asker.addr6.map(|_| Ipv6Addr::UNSPECIFIED.into());
    v4.into_iter().chain(v6).collect()
}

/// The container's address that a port of this address would lead to.
fn address_for(asker: &Endpoint, host_ip: IpAddr) -> IpAddr {
    match host_ip {
        IpAddr::V4(_) => asker.addr4.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
        IpAddr::V6(_) => asker.addr6.unwrap_or(Ipv6Addr::UNSPECIFIED).into(),
    }
}

/// Would a packet to one of them also be one to the other?
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// Finds out whether a program of the host has the port, by taking it for a
/// moment.
fn try_port(published: &Published) -> io::Result<()> {
    let (family, address) = match published.host_ip {
        IpAddr::V4(_) => (AddressFamily::INET, published.host_ip),
        IpAddr::V6(_) => (AddressFamily::INET6, published.host_ip),
    };
    let (kind, protocol) = match published.proto {
        Proto::Tcp => (SocketType::STREAM, ipproto::TCP),
        Proto::Udp => (SocketType::DGRAM, ipproto::UDP),
        Proto::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = match socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol)) {
        // Without the protocol nobody can have its ports.
        Err(rustix::io::Errno::PROTONOSUPPORT) => return Ok(()),
        other => other?,
    };
    if published.proto == Proto::Tcp {
        // Connections of a listener that is gone are no obstacle.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if published.host_ip.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &SocketAddr::new(address, published.host_port))?;
    Ok(())
}

/// Where free ports are looked for: the host's range for its own programs, as
/// Docker does. Source: `net.ipv4.ip_local_port_range`.
pub(crate) fn any_range(setting: &str) -> RangeInclusive<u16> {
    let mut numbers = setting.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) if 0 < low && low <= high => low..=high,
        _ => 32768..=60999,
    }
}

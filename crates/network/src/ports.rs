//! Which ports of the host are spoken for, and by whom.
//!
//! Containers' ports are in nftables maps, so nothing listens on them: a
//! second container would be refused by the kernel, but a program of the host
//! would not notice that its port leads elsewhere. So a port is tried before
//! it is given, and what was given is remembered here. A daemon that starts
//! reads the maps back.

use crate::{Endpoint, Error, PortWish, Proto, Published, netlink::sockets, runs};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    os::fd::OwnedFd,
};

/// So many ports beside one another are each tried; of more the kernel's list
/// of sockets says which have to be.
const FEW: u16 = 16;

/// Ports that containers hold.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// By protocol and address; there by the first port of runs that do not
    /// overlap.
    held: BTreeMap<(Proto, IpAddr), BTreeMap<u16, Held>>,
    /// Where the last search for any free port ended: the next begins after
    /// it, so that a port given back is not at once another's.
    last: u16,
}

/// A run of ports.
#[derive(Clone, Debug)]
struct Held {
    last: u16,
    holder: String,
}

impl Ports {
    /// Somebody holds it already, as the maps say.
    pub(crate) fn recall(&mut self, published: &Published, holder: &str) {
        // What is nobody's of it: the maps hold no port twice, and one who
        // asks a second time has it.
        for part in self.missing(published, holder) {
            let (first, last) = part.host_ports().into_inner();
            let held = self.held.entry((part.proto, part.host_ip)).or_default();
            held.insert(first, Held { last, holder: holder.to_owned() });
        }
    }

    /// Gives back all that a container holds.
    pub(crate) fn release(&mut self, holder: &str) {
        self.held.retain(|_, held| {
            held.retain(|_, held| held.holder != holder);
            !held.is_empty()
        });
    }

    /// Gives back some of it.
    pub(crate) fn give_back(&mut self, published: &[Published], holder: &str) {
        for one in published {
            let key = (one.proto, one.host_ip);
            let (first, last) = one.host_ports().into_inner();
            let Some(held) = self.held.get_mut(&key) else { continue };
            let own: Vec<(u16, Held)> = touching(held, first, last)
                .filter(|(_, held)| held.holder == holder)
                .map(|(first, held)| (*first, held.clone()))
                .collect();
            for (from, whole) in own {
                held.remove(&from);
                if from < first {
                    held.insert(from, Held { last: first - 1, ..whole.clone() });
                }
                if whole.last > last {
                    held.insert(last + 1, whole);
                }
            }
            if held.is_empty() {
                self.held.remove(&key);
            }
        }
    }

    /// Sees to it that a container holds a port.
    pub(crate) fn hold(&mut self, published: &Published, asker: &Endpoint) -> Result<(), Error> {
        let missing = self.missing(published, asker.container.as_str());
        missing.iter().try_for_each(|part| self.take(part, asker))
    }

    /// What of a run somebody does not hold at its very address.
    fn missing(&self, published: &Published, holder: &str) -> Vec<Published> {
        let (first, last) = published.host_ports().into_inner();
        let Some(held) = self.held.get(&(published.proto, published.host_ip)) else {
            return vec![*published];
        };
        let own: Vec<Published> = touching(held, first, last)
            .filter(|(_, held)| held.holder == holder)
            .map(|(from, held)| {
                let (from, to) = (first.max(*from), last.min(held.last));
                published.part(from - first, to - from + 1)
            })
            .collect();
        runs::without(&[*published], &own)
    }

    /// The first port of a run that anybody holds at an address where it would
    /// be in the way.
    fn taken(&self, published: &Published) -> Option<u16> {
        let (first, last) = published.host_ports().into_inner();
        let all = self.held.iter().filter(|((proto, ip), _)| {
            *proto == published.proto && overlap(*ip, published.host_ip)
        });
        all.filter_map(|(_, held)| touching(held, first, last).next())
            .map(|(from, _)| first.max(*from))
            .min()
    }

    /// Gives a container a port that nobody holds, or a run of them.
    fn take(&mut self, published: &Published, asker: &Endpoint) -> Result<(), Error> {
        let host_ip = published.host_ip;
        if let Some(host_port) = self.taken(published) {
            return Err(Error::PortTaken { endpoint: None, host_ip, host_port });
        }
        try_ports(published).map_err(|(port, source)| {
            let to = address_for(asker, host_ip);
            let published = published.part(port - published.host_port, 1);
            Error::PortBusy { endpoint: None, published, to, source }
        })?;
        self.recall(published, asker.container.as_str());
        Ok(())
    }

    /// Holds ports as wished, all or none; gives them in as few runs as can be.
    /// `any` is where free ports are looked for if any will do.
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
        Ok(in_order(&given))
    }

    fn reserve_one(
        &mut self,
        asker: &Endpoint,
        wish: &PortWish,
        any: &RangeInclusive<u16>,
    ) -> Result<Vec<Published>, Error> {
        let anywhere = *wish.host_ports.end() == 0;
        if wish.count > 1 {
            return self.take_on_all(asker, wish, *wish.host_ports.start(), wish.count);
        }
        let candidates: Vec<u16> = if anywhere {
            let start = if any.contains(&self.last) { self.last } else { *any.end() };
            (start..=*any.end()).skip(1).chain(*any.start()..=start).collect()
        } else {
            wish.host_ports.clone().filter(|port| *port != 0).collect()
        };
        let single = candidates.len() == 1;
        for port in candidates {
            match self.take_on_all(asker, wish, port, 1) {
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

    /// The same port on each address that the wish means, or as many.
    fn take_on_all(
        &mut self,
        asker: &Endpoint,
        wish: &PortWish,
        port: u16,
        count: u16,
    ) -> Result<Vec<Published>, Error> {
        let mut given = Vec::new();
        for host_ip in addresses_for(asker, wish.host_ip) {
            let published = Published {
                proto: wish.proto,
                host_ip,
                host_port: port,
                container_port: wish.container_port,
                count,
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

/// The same ports in as few runs as can be, each where its first was.
fn in_order(given: &[Published]) -> Vec<Published> {
    let place = |one: &Published| (one.proto, one.host_ip, one.host_port);
    let places: BTreeMap<_, usize> =
        given.iter().enumerate().map(|(at, one)| (place(one), at)).collect();
    let mut joined = runs::joined(given.iter().copied());
    joined.sort_by_key(|run| places.get(&place(run)).copied());
    joined
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

/// The runs that have one of these ports, or more.
fn touching(
    held: &BTreeMap<u16, Held>,
    first: u16,
    last: u16,
) -> impl Iterator<Item = (&u16, &Held)> {
    let before = held.range(..first).next_back().filter(move |(_, held)| held.last >= first);
    before.into_iter().chain(held.range(first..=last))
}

/// Finds out whether a program of the host has one of these ports: which, and
/// what the kernel said.
fn try_ports(published: &Published) -> Result<(), (u16, io::Error)> {
    let try_one = |port| {
        let one = published.part(port - published.host_port, 1);
        try_port(&one).map_err(|error| (port, error))
    };
    let ports = published.host_ports();
    let first = *ports.start();
    // Without the protocol nobody can have its ports.
    let Some(probe) = try_one(first)? else { return Ok(()) };
    let rest = ports.clone().skip(1);
    if published.count <= FEW {
        return rest.into_iter().try_for_each(|port| try_one(port).map(drop));
    }
    match sockets::ports_in_use(published.proto, &ports) {
        // What no socket has is free, and which of the others is in the way
        // says a trial: some are not. The trial of the first must be on the
        // list: else this kernel leaves out what is only bound.
        Ok(in_use) if in_use.contains(&first) => {
            drop(probe);
            in_use.into_iter().filter(|port| *port != first).try_for_each(|p| try_one(p).map(drop))
        }
        // There is no list, or half of one.
        _ => rest.into_iter().try_for_each(|port| try_one(port).map(drop)),
    }
}

/// Finds out whether a program of the host has the port, by taking it: until
/// what is given is dropped. None if the kernel does not know the protocol.
fn try_port(published: &Published) -> io::Result<Option<OwnedFd>> {
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
        Err(rustix::io::Errno::PROTONOSUPPORT) => return Ok(None),
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
    Ok(Some(socket))
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

//! Connections that the kernel tracks, as far as they stand in the way.
//!
//! Translation is decided at a connection's first packet. UDP has no last
//! one: a client that goes on sending from one port goes on to where its first
//! packet went, be it a container that has ended or a port that was not yet
//! published. So such entries are removed when either changes.
//!
//! Numbers are from `linux/netfilter/nfnetlink_conntrack.h` and, for what to
//! compare, from the kernel's `net/netfilter/nf_internals.h`.

use crate::{
    Proto,
    netlink::{ACK, Attributes, Message, Socket, attributes},
};
use std::{io, net::IpAddr, ops::RangeInclusive};

const GET: u16 = 0x101;
const DELETE: u16 = 0x102;

const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const FILTER: u16 = 25;

/// Entries that the kernel is told at once to forget; it answers for each.
const AT_ONCE: usize = 256;

const BY_SOURCE: u32 = 1 << 0;
const BY_PROTOCOL: u32 = 1 << 3;

/// Forgets the connections that lead to an address.
pub(crate) fn forget_to(socket: &mut Socket, address: IpAddr) -> io::Result<()> {
    let request = get(address.is_ipv4()).with(|a| {
        a.nest(REPLY, |tuple| tuple.nest(1, |ip| put_source(ip, address)));
        a.nest(FILTER, |filter| {
            filter.u32(1, 0);
            filter.u32(2, BY_SOURCE);
        });
    });
    forget(socket, request, address.is_ipv4(), |_| true)
}

/// Forgets UDP's connections that were begun to one of these ports, on this
/// host or another: the latter are found again at their next packet.
pub(crate) fn forget_ports(
    socket: &mut Socket,
    v4: bool,
    ports: &[RangeInclusive<u16>],
) -> io::Result<()> {
    let request = get(v4).with(|a| {
        a.nest(ORIGINAL, |tuple| tuple.nest(2, |proto| proto.u8(1, Proto::Udp.number())));
        a.nest(FILTER, |filter| {
            filter.u32(1, BY_PROTOCOL);
            filter.u32(2, 0);
        });
    });
    let wanted = |tuple: &[u8]| {
        port_of(tuple).is_some_and(|port| ports.iter().any(|run| run.contains(&port)))
    };
    forget(socket, request, v4, wanted)
}

/// Who began a connection, and to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: u8,
    /// 0 of what has no ports.
    pub(crate) port: u16,
}

/// Forgets connections, but for those that are to be kept; only those that
/// `from` began, if it is given.
pub(crate) fn forget_begun(
    socket: &mut Socket,
    v4: bool,
    from: Option<IpAddr>,
    keeps: impl Fn(&Begun) -> bool,
) -> io::Result<()> {
    let mut request = get(v4);
    if let Some(from) = from {
        request = request.with(|a| {
            a.nest(ORIGINAL, |tuple| tuple.nest(1, |ip| put_source(ip, from)));
            a.nest(FILTER, |filter| {
                filter.u32(1, BY_SOURCE);
                filter.u32(2, 0);
            });
        });
    }
    forget(socket, request, v4, |tuple| begun(tuple).is_some_and(|begun| !keeps(&begun)))
}

fn begun(tuple: &[u8]) -> Option<Begun> {
    let (_, ip) = attributes(tuple).find(|(kind, _)| *kind == 1)?;
    let address = |v4: u16, v6: u16| {
        attributes(ip).find_map(|(kind, bytes)| match kind {
            kind if kind == v4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
            kind if kind == v6 => Some(IpAddr::from(*bytes.first_chunk::<16>()?)),
            _ => None,
        })
    };
    let (_, proto) = attributes(tuple).find(|(kind, _)| *kind == 2)?;
    let (_, number) = attributes(proto).find(|(kind, _)| *kind == 1)?;
    let (from, to) = (address(1, 3)?, address(2, 4)?);
    Some(Begun { from, to, protocol: *number.first()?, port: port_of(tuple).unwrap_or(0) })
}

/// The destination port of a tuple.
fn port_of(tuple: &[u8]) -> Option<u16> {
    let (_, proto) = attributes(tuple).find(|(kind, _)| *kind == 2)?;
    let (_, port) = attributes(proto).find(|(kind, _)| *kind == 3)?;
    port.first_chunk().map(|port| u16::from_be_bytes(*port))
}

fn family(v4: bool) -> [u8; 4] {
    [if v4 { 2 } else { 10 }, 0, 0, 0]
}

fn get(v4: bool) -> Message {
    Message::new(GET, 0, &family(v4))
}

fn put_source(ip: &mut Attributes, address: IpAddr) {
    match address {
        IpAddr::V4(address) => ip.bytes(1, &address.octets()),
        IpAddr::V6(address) => ip.bytes(3, &address.octets()),
    }
}

fn forget(
    socket: &mut Socket,
    request: Message,
    v4: bool,
    wanted: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let mut requests = Vec::new();
    for answer in socket.dump(request)? {
        let entry = answer.body.get(4..).unwrap_or_default();
        let Some((_, original)) = attributes(entry).find(|(kind, _)| *kind == ORIGINAL) else {
            continue;
        };
        if wanted(original) {
            let request = Message::new(DELETE, ACK, &family(v4));
            requests.push(request.with(|a| a.nest(ORIGINAL, |tuple| tuple.0.extend(original))));
        }
    }
    // One may end by itself meanwhile.
    let gone = io::ErrorKind::NotFound;
    requests.chunks(AT_ONCE).try_for_each(|some| socket.talk_unless(some, gone))
}

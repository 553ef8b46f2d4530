//! The embedded resolver's sockets in a container's network namespace.
//!
//! A container asks 127.0.0.11 at port 53, and may have a server of its own at
//! port 53 of every address. So the resolver's sockets have ports of the
//! kernel's choice, and rules in the container's namespace change the port of
//! what goes there and of what comes back. They do so without connection
//! tracking: a container that uses none pays for none, and nothing it does can
//! fill a table up.
//!
//! A container with `NET_ADMIN` can remove the rules, and then has no names:
//! it harms nobody else. Nobody from outside reaches the sockets: the kernel
//! takes packets to 127.0.0.0/8 by the loopback interface alone.

use crate::{
    error::{Doing, Error},
    inside::enter,
    netlink::{Message, Socket},
    nft::{
        self, Family, Hook, OUTPUT, POSTROUTING, Table,
        expr::{Base, Expr, Is, Meta, cmp, meta, payload, put, value},
    },
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{BorrowedFd, OwnedFd},
};

/// Where containers ask. Source: `resolverIPSandbox` of moby.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// At which port.
const DNS: u16 = 53;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// The rules' table in each container's namespace.
const TABLE: Table<'static> = Table { family: Family::Ip, name: "cofferdam-resolver" };

/// Before connection tracking, which then knows the port that is meant.
const FIRST: i32 = -300;
/// After it.
const LAST: i32 = 300;

const UDP: u8 = 17;
const TCP: u8 = 6;

/// Makes sockets in a container's network namespace: with `door`, one for UDP
/// and one for TCP that get what is sent to [`RESOLVER`] at port 53; then, for
/// each of `servers`, two for UDP and one for TCP to ask it with. None of them
/// blocks.
///
/// # Errors
/// What the kernel said; rules that were there before may be gone then.
pub fn resolver_sockets(
    netns: BorrowedFd<'_>,
    door: bool,
    servers: &[IpAddr],
) -> Result<Vec<OwnedFd>, Error> {
    enter(netns, || {
        let mut sockets = if door { open_door()? } else { Vec::new() };
        for server in servers {
            sockets.extend(asking_sockets(*server)?);
        }
        Ok(sockets)
    })
}

/// Makes sockets to ask one server with, in the caller's network namespace:
/// two for UDP and one for TCP, that do not block.
///
/// # Errors
/// What the kernel said.
pub fn asking_sockets(server: IpAddr) -> Result<[OwnedFd; 3], Error> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let make = |kind| socket(family, kind).doing("make a socket to ask", &server.to_string());
    Ok([make(SocketType::DGRAM)?, make(SocketType::DGRAM)?, make(SocketType::STREAM)?])
}

fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

fn open_door() -> Result<Vec<OwnedFd>, Error> {
    let any = SocketAddrV4::new(RESOLVER, 0);
    let bound = |kind| {
        let socket = socket(AddressFamily::INET, kind)?;
        bind(&socket, &any)?;
        match SocketAddr::try_from(getsockname(&socket)?) {
            Ok(address) => io::Result::Ok((socket, address.port())),
            Err(errno) => Err(errno.into()),
        }
    };
    let (udp, udp_port) = bound(SocketType::DGRAM).doing("bind a UDP socket to", "127.0.0.11")?;
    let (tcp, tcp_port) = bound(SocketType::STREAM).doing("bind a TCP socket to", "127.0.0.11")?;
    listen(&tcp, BACKLOG).map_err(io::Error::from).doing("listen on", "127.0.0.11")?;
    let mut socket = Socket::netfilter().doing("open a socket to", "the container's nftables")?;
    socket
        .transact(&nft::transaction(rules(udp_port, tcp_port)))
        .doing("redirect port 53 of", "127.0.0.11")?;
    Ok(vec![udp, tcp])
}

/// A table of four rules, instead of one that was there before.
fn rules(udp_port: u16, tcp_port: u16) -> Vec<Message> {
    let hook = |number, priority| Some(Hook { kind: "filter", number, priority });
    let mut messages = vec![
        // So that there is one to remove.
        nft::table(TABLE),
        nft::delete_table(TABLE),
        nft::table(TABLE),
        nft::chain(TABLE, "to", hook(OUTPUT, FIRST)),
        nft::chain(TABLE, "from", hook(POSTROUTING, LAST)),
    ];
    for (protocol, port) in [(UDP, udp_port), (TCP, tcp_port)] {
        messages.push(nft::rule(TABLE, "to", &redirect(protocol, true, DNS, port), ""));
        messages.push(nft::rule(TABLE, "from", &redirect(protocol, false, port, DNS), ""));
    }
    messages
}

/// Changes one port, of what goes to the resolver or comes from it.
///
/// Source: RFC 791, section 3.1; RFC 768; RFC 9293, section 3.1.
fn redirect(protocol: u8, to: bool, from_port: u16, to_port: u16) -> Vec<Expr> {
    let (address_at, port_at) = if to { (16, 2) } else { (12, 0) };
    let checksum_at = if protocol == UDP { 6 } else { 16 };
    vec![
        payload(Base::Network, address_at, 4, 0),
        cmp(0, Is::Eq, &RESOLVER.octets()),
        meta(Meta::L4proto, 0),
        cmp(0, Is::Eq, &[protocol]),
        payload(Base::Transport, port_at, 2, 0),
        cmp(0, Is::Eq, &from_port.to_be_bytes()),
        value(0, &to_port.to_be_bytes()),
        put(0, Base::Transport, port_at, 2, checksum_at),
    ]
}

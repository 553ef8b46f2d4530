//! One more interface for a container that runs, and its end: the requests of
//! an engine that guards its bridge's ports, with nothing decided or kept.
//!
//! Attached are four elements in nftables' sets, a veth pair whose one end is
//! a guarded port and whose other one is in the container's network namespace
//! with an address, an entry of the forwarding table, and neighbours on both
//! sides. Each of the two may be a process of its own, as a client's command is.

use crate::wire::{ACK, Bytes, CREATE, EXCL, REPLACE, Socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

/// The bridge, the host's end, the end inside.
const BRIDGE: &str = "floor1";
const PORT: &str = "floorport";
const INSIDE: &str = "eth1";
const TABLE: &str = "floor";
const MAC: [u8; 6] = [2, 0x42, 10, 99, 1, 2];
const ADDRESS: [u8; 4] = [10, 99, 1, 2];
const GATEWAY: [u8; 4] = [10, 99, 1, 1];

/// Message types. Source: `linux/rtnetlink.h`, `linux/netfilter/nf_tables.h`.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const NEW_NEIGHBOUR: u16 = 28;
const DEL_NEIGHBOUR: u16 = 29;
const NEW_TABLE: u16 = nft(0);
const NEW_SET: u16 = nft(9);
const NEW_ELEMENT: u16 = nft(12);
const DEL_ELEMENT: u16 = nft(14);

const fn nft(kind: u16) -> u16 {
    10 << 8 | kind
}

/// Families: `AF_INET`, `AF_BRIDGE`, `NFPROTO_BRIDGE`.
const V4: u8 = 2;
const OF_BRIDGE: u8 = 7;
const UP: u32 = 1;

/// Name, key's type and width: an interface's name alone, with two MAC
/// addresses, with one and an IPv4 address.
const SETS: [(&str, u32, u32); 4] = [
    ("ports", 41, 16),
    ("calm", 41, 16),
    ("own", 41 << 12 | 9 << 6 | 9, 32),
    ("from4", 41 << 12 | 9 << 6 | 7, 28),
];

/// Makes the bridge and the sets, once.
pub fn prepare() -> io::Result<()> {
    let bridge = Bytes::message(NEW_LINK, ACK | CREATE | EXCL, &link(0, UP, UP)).with(|a| {
        a.text(3, BRIDGE);
        // Of its own: one that comes from its ports changes with them, and
        // its neighbours are forgotten then.
        a.put(1, &[2, 0x42, 10, 99, 1, 1]);
        a.nest(18, |info| info.text(1, "bridge"));
    });
    Socket::route()?.tell(&[bridge], 1)?;
    let table = Bytes::message(NEW_TABLE, CREATE, &[OF_BRIDGE, 0, 0, 0]);
    let mut all = vec![table.with(|a| a.text(1, TABLE))];
    for (number, (name, kind, width)) in (1_u32..).zip(SETS) {
        all.push(Bytes::message(NEW_SET, CREATE, &[OF_BRIDGE, 0, 0, 0]).with(|a| {
            a.text(1, TABLE);
            a.text(2, name);
            a.put(3, &0_u32.to_be_bytes());
            a.put(4, &kind.to_be_bytes());
            a.put(5, &width.to_be_bytes());
            a.put(10, &number.to_be_bytes());
        }));
    }
    transact(all)
}

/// Attaches the process's network namespace.
pub fn attach(pid: &str) -> io::Result<()> {
    let netns = File::open(format!("/proc/{pid}/ns/net"))?;
    transact(elements(NEW_ELEMENT, CREATE))?;
    let route = Socket::route()?;
    let bridge = route.index(BRIDGE)?;
    route.tell(&[pair(bridge, &netns)], 1)?;
    let port = route.index(PORT)?;
    let outside =
        [guard(port), forward(port), up(port), neighbour(NEW_NEIGHBOUR, bridge, ADDRESS, MAC)];
    route.tell(&outside, outside.len())?;
    inside(&netns)?;
    for name in [PORT, BRIDGE] {
        route.tell(&[get(name)], 1)?;
    }
    Ok(())
}

/// Takes it out again.
pub fn detach() -> io::Result<()> {
    let route = Socket::route()?;
    let gone = Bytes::message(DEL_LINK, ACK, &link(0, 0, 0)).with(|a| a.text(3, PORT));
    route.tell(&[gone], 1)?;
    transact(elements(DEL_ELEMENT, 0))?;
    let bridge = route.index(BRIDGE)?;
    route.tell(&[neighbour(DEL_NEIGHBOUR, bridge, ADDRESS, MAC)], 1)
}

/// In a thread that ends there, as an engine of many threads has to.
fn inside(netns: &File) -> io::Result<()> {
    let work = || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        let route = Socket::route()?;
        let index = route.index(INSIDE)?;
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{INSIDE}/disable_ipv6"), "1")?;
        let mut fixed = vec![V4, 24, 0, 0];
        fixed.extend(index.to_ne_bytes());
        let address = Bytes::message(NEW_ADDRESS, ACK | CREATE | REPLACE, &fixed).with(|a| {
            a.put(2, &ADDRESS);
            a.put(4, &[10, 99, 1, 255]);
        });
        // The gateway's MAC address is somebody's; that it is another one
        // makes no difference to the kernel.
        let gateway = neighbour(NEW_NEIGHBOUR, index, GATEWAY, MAC);
        let all = [up(1), up(index), address, gateway];
        route.tell(&all, all.len())?;
        route.tell(&[get(INSIDE)], 1)
    };
    std::thread::scope(|scope| {
        let joined = scope.spawn(work).join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let words = [index, flags, change].map(u32::to_ne_bytes).concat();
    [&[0; 4], &words[..]].concat()
}

fn up(index: u32) -> Bytes {
    Bytes::message(NEW_LINK, ACK, &link(index, UP, UP))
}

fn get(name: &str) -> Bytes {
    Bytes::message(GET_LINK, 0, &link(0, 0, 0)).with(|a| a.text(3, name))
}

fn pair(bridge: u32, netns: &File) -> Bytes {
    Bytes::message(NEW_LINK, ACK | CREATE | EXCL, &link(0, 0, 0)).with(|a| {
        a.text(3, PORT);
        a.put(10, &bridge.to_ne_bytes());
        a.nest(18, |info| {
            info.text(1, "veth");
            info.nest(2, |data| {
                data.nest(1, |peer| {
                    peer.0.extend(link(0, 0, 0));
                    peer.text(3, INSIDE);
                    peer.put(1, &MAC);
                    peer.put(28, &netns.as_raw_fd().to_ne_bytes());
                });
            });
        });
    })
}

/// Source: `IFLA_BRPORT_*` of `linux/if_link.h`; the last one keeps the port
/// from an IPv6 address of its own.
fn guard(port: u32) -> Bytes {
    const SETTINGS: [(u16, u8); 8] =
        [(8, 0), (9, 0), (39, 1), (12, 1), (5, 1), (6, 1), (33, 0), (4, 0)];
    Bytes::message(NEW_LINK, ACK, &link(port, 0, 0)).with(|a| {
        a.nest(18, |info| {
            info.text(4, "bridge");
            info.nest(5, |data| SETTINGS.iter().for_each(|(key, value)| data.put(*key, &[*value])));
        });
        a.nest(26, |families| families.nest(10, |v6| v6.put(8, &[1])));
    })
}

/// `struct ndmsg` for a lasting entry.
fn ndmsg(family: u8, index: u32, state: u16, flags: u8) -> Vec<u8> {
    let mut fixed = vec![family, 0, 0, 0];
    fixed.extend(index.to_ne_bytes());
    fixed.extend(state.to_ne_bytes());
    fixed.extend([flags, 0]);
    fixed
}

/// The port's one MAC address, in the bridge's forwarding table.
fn forward(port: u32) -> Bytes {
    const NO_ARP: u16 = 0x40;
    const MASTER: u8 = 0x04;
    let fixed = ndmsg(OF_BRIDGE, port, NO_ARP, MASTER);
    Bytes::message(NEW_NEIGHBOUR, ACK | CREATE | REPLACE, &fixed).with(|a| a.put(2, &MAC))
}

fn neighbour(kind: u16, index: u32, address: [u8; 4], mac: [u8; 6]) -> Bytes {
    const PERMANENT: u16 = 0x80;
    let flags = if kind == NEW_NEIGHBOUR { ACK | CREATE | REPLACE } else { ACK };
    Bytes::message(kind, flags, &ndmsg(V4, index, PERMANENT, 0)).with(|a| {
        a.put(1, &address);
        a.put(2, &mac);
    })
}

/// One element for each set.
fn elements(kind: u16, flags: u16) -> Vec<Bytes> {
    let mut name = PORT.as_bytes().to_vec();
    name.resize(16, 0);
    let mac = [&MAC[..], &[0; 2]].concat();
    let keys = [
        name.clone(),
        name.clone(),
        [&name[..], &mac, &mac].concat(),
        [&name[..], &mac, &ADDRESS].concat(),
    ];
    let one = |((set, ..), key): (&(&str, u32, u32), &Vec<u8>)| {
        Bytes::message(kind, flags, &[OF_BRIDGE, 0, 0, 0]).with(|a| {
            a.text(1, TABLE);
            a.text(2, set);
            a.nest(3, |list| list.nest(1, |one| one.nest(1, |own| own.put(1, key))));
        })
    };
    SETS.iter().zip(&keys).map(one).collect()
}

/// All of it or nothing; the last is answered.
fn transact(mut messages: Vec<Bytes>) -> io::Result<()> {
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    if let Some(last) = messages.last_mut() {
        last.0[6] |= u8::try_from(ACK).map_err(io::Error::other)?;
    }
    messages.insert(0, Bytes::message(BEGIN, 0, &[0, 0, 0, 10]));
    messages.push(Bytes::message(END, 0, &[0, 0, 0, 10]));
    Socket::netfilter()?.tell(&messages, 1)
}

//! Links, addresses, routes and neighbours: one function per request, and the
//! few things read back.
//!
//! Numbers are from `linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/if_addr.h` and `linux/neighbour.h`.

mod beside;

pub(crate) use beside::{NewBeside, new_beside, new_dummy, new_vlan};

use super::{ACK, Answer, Attributes, CREATE, EXCL, Message, REPLACE, attributes};
use crate::Mac;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
};

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;
const DEL_NEIGHBOUR: u16 = 29;

const FAMILY_ANY: u8 = 0;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const FAMILY_BRIDGE: u8 = 7;

/// `IFF_UP`.
const UP: u32 = 1;

/// `IFF_NOARP`: whoever is at the other end is not asked for.
const NO_ARP: u32 = 0x80;

/// The loopback interface's number in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// Attributes of a link.
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const GROUP: u16 = 27;
    pub(super) const NET_NS_FD: u16 = 28;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_SLAVE_KIND: u16 = 4;
    pub(super) const INFO_SLAVE_DATA: u16 = 5;
    pub(super) const VETH_PEER: u16 = 1;
    pub(super) const INET6_ADDR_GEN_MODE: u16 = 8;
    pub(super) const BR_FORWARD_DELAY: u16 = 1;
    pub(super) const BR_STP_STATE: u16 = 5;
    pub(super) const BR_GROUP_FWD_MASK: u16 = 9;
    pub(super) const BR_MCAST_SNOOPING: u16 = 23;
    pub(super) const PORT_HAIRPIN: u16 = 4;
    pub(super) const PORT_GUARD: u16 = 5;
    pub(super) const PORT_PROTECT: u16 = 6;
    pub(super) const PORT_LEARNING: u16 = 8;
    pub(super) const PORT_UNICAST_FLOOD: u16 = 9;
    pub(super) const PORT_PROXYARP_WIFI: u16 = 12;
    pub(super) const PORT_ISOLATED: u16 = 33;
    pub(super) const PORT_LOCKED: u16 = 39;
}

/// The groups of interfaces (`ip link … group`) of all daemons, by their first
/// four bits: each judges what passes over its own, and leaves the others' to
/// them. Bridges are in the first one; see [`group_of`] for the rest.
pub(crate) const GROUP: u32 = 0x6000_0000;
/// The bits that tell.
pub(crate) const GROUPS: u32 = 0xf000_0000;

/// The group of a network's lines: `number` is that of its own interface.
pub(crate) fn group_of(number: u32) -> u32 {
    GROUP | (number & !GROUPS)
}

/// `struct ifinfomsg`.
fn ifinfo(family: u8, index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![family, 0, 0, 0];
    for word in [index, flags, change] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// Makes a bridge, up, that neither learns trees nor snoops on groups.
pub(crate) fn new_bridge(name: &str, mac: Mac, mtu: u32) -> Message {
    Message::new(NEW_LINK, ACK | CREATE | EXCL, &ifinfo(FAMILY_ANY, 0, UP, UP)).with(|a| {
        a.text(ifla::IFNAME, name);
        a.bytes(ifla::ADDRESS, &mac.0);
        a.u32(ifla::MTU, mtu);
        a.u32(ifla::GROUP, GROUP);
        a.nest(ifla::LINKINFO, |info| {
            info.text(ifla::INFO_KIND, "bridge");
            info.nest(ifla::INFO_DATA, bridge_settings);
        });
    })
}

fn bridge_settings(a: &mut Attributes) {
    a.u32(ifla::BR_STP_STATE, 0);
    a.u32(ifla::BR_FORWARD_DELAY, 0);
    // Nothing sent to the bridge's own group addresses is passed on.
    a.bytes(ifla::BR_GROUP_FWD_MASK, &0_u16.to_ne_bytes());
    // Groups are flooded: ports may not report membership (see `rules`).
    a.u8(ifla::BR_MCAST_SNOOPING, 0);
}

/// Brings a bridge that is there to what [`new_bridge`] makes, and marks it,
/// which the kernel does not do to one in the making.
pub(crate) fn set_bridge(index: u32, mac: Mac, mtu: u32, alias: &str) -> Message {
    Message::new(NEW_LINK, ACK, &ifinfo(FAMILY_ANY, index, UP, UP)).with(|a| {
        a.bytes(ifla::ADDRESS, &mac.0);
        a.u32(ifla::MTU, mtu);
        a.u32(ifla::GROUP, GROUP);
        a.text(ifla::IFALIAS, alias);
        a.nest(ifla::LINKINFO, |info| {
            info.text(ifla::INFO_KIND, "bridge");
            info.nest(ifla::INFO_DATA, bridge_settings);
        });
    })
}

/// Marks an interface for people and for ourselves.
pub(crate) fn set_alias(index: u32, alias: &str) -> Message {
    Message::new(NEW_LINK, ACK, &ifinfo(FAMILY_ANY, index, 0, 0))
        .with(|a| a.text(ifla::IFALIAS, alias))
}

/// One veth pair to be made.
pub(crate) struct Pair<'a> {
    /// The host's end.
    pub(crate) host: &'a str,
    /// The bridge it is a port of; without one, both ends have the same MAC
    /// address and neither asks for the other's.
    pub(crate) bridge: Option<u32>,
    /// The end inside, born in `netns`.
    pub(crate) inside: &'a str,
    pub(crate) mac: Mac,
    pub(crate) netns: BorrowedFd<'a>,
    pub(crate) mtu: u32,
}

/// Makes a pair, plugged in. Both ends are down, so nothing passes yet.
pub(crate) fn new_pair(pair: &Pair<'_>) -> Message {
    let silent = if pair.bridge.is_some() { 0 } else { NO_ARP };
    let fixed = ifinfo(FAMILY_ANY, 0, silent, silent);
    Message::new(NEW_LINK, ACK | CREATE | EXCL, &fixed).with(|a| {
        a.text(ifla::IFNAME, pair.host);
        a.u32(ifla::MTU, pair.mtu);
        match pair.bridge {
            Some(bridge) => a.u32(ifla::MASTER, bridge),
            None => a.bytes(ifla::ADDRESS, &pair.mac.0),
        }
        a.nest(ifla::LINKINFO, |info| {
            info.text(ifla::INFO_KIND, "veth");
            info.nest(ifla::INFO_DATA, |data| {
                data.nest(ifla::VETH_PEER, |peer| {
                    peer.0.extend(&fixed);
                    peer.text(ifla::IFNAME, pair.inside);
                    peer.bytes(ifla::ADDRESS, &pair.mac.0);
                    peer.u32(ifla::MTU, pair.mtu);
                    peer.bytes(ifla::NET_NS_FD, &pair.netns.as_raw_fd().to_ne_bytes());
                });
            });
        });
    })
}

/// A port to be guarded.
pub(crate) struct Port {
    pub(crate) index: u32,
    /// It and others that are isolated do not hear one another.
    pub(crate) isolated: bool,
    /// It hears what it says itself, if that is where the bridge would send it.
    pub(crate) hairpin: bool,
    /// The host has IPv6.
    pub(crate) v6: bool,
}

/// Makes a bridge's port one that believes nothing its owner says, and that
/// has no address of the host's.
pub(crate) fn guard_port(port: &Port) -> Message {
    Message::new(NEW_LINK, ACK, &ifinfo(FAMILY_ANY, port.index, 0, 0)).with(|a| {
        a.nest(ifla::LINKINFO, |info| {
            info.text(ifla::INFO_SLAVE_KIND, "bridge");
            info.nest(ifla::INFO_SLAVE_DATA, |data| {
                // The one address behind it is entered by `forward_to`.
                data.u8(ifla::PORT_LEARNING, 0);
                // A frame to nobody known is not shown to it.
                data.u8(ifla::PORT_UNICAST_FLOOD, 0);
                // A frame from any other address is dropped by the bridge itself.
                data.u8(ifla::PORT_LOCKED, 1);
                // Questions for its address are answered by the bridge, which
                // knows, and not shown to it.
                data.u8(ifla::PORT_PROXYARP_WIFI, 1);
                // Should somebody turn the spanning tree on.
                data.u8(ifla::PORT_GUARD, 1);
                data.u8(ifla::PORT_PROTECT, 1);
                data.u8(ifla::PORT_ISOLATED, u8::from(port.isolated));
                data.u8(ifla::PORT_HAIRPIN, u8::from(port.hairpin));
            });
        });
        if port.v6 {
            a.nest(ifla::AF_SPEC, no_own_address);
        }
    })
}

/// Makes the host's end of a line one that leads to `127.0.0.1`, believes no
/// router and has no address of the host's, and marks it with a word and a number.
///
/// The numbers are those of `IPV4_DEVCONF_*` in `linux/ip.h`.
pub(crate) fn set_line(index: u32, alias: &str, group: u32, v6: bool) -> Message {
    const V4_SETTINGS: u16 = 1;
    const ACCEPT_REDIRECTS: u16 = 4;
    const SECURE_REDIRECTS: u16 = 5;
    const SEND_REDIRECTS: u16 = 6;
    const ACCEPT_SOURCE_ROUTE: u16 = 9;
    const ROUTE_LOCALNET: u16 = 26;
    Message::new(NEW_LINK, ACK, &ifinfo(FAMILY_ANY, index, 0, 0)).with(|a| {
        a.text(ifla::IFALIAS, alias);
        a.u32(ifla::GROUP, group);
        a.nest(ifla::AF_SPEC, |families| {
            families.nest(u16::from(FAMILY_V4), |v4| {
                v4.nest(V4_SETTINGS, |set| {
                    for key in
                        [ACCEPT_REDIRECTS, SECURE_REDIRECTS, SEND_REDIRECTS, ACCEPT_SOURCE_ROUTE]
                    {
                        set.u32(key, 0);
                    }
                    set.u32(ROUTE_LOCALNET, 1);
                });
            });
            if v6 {
                no_own_address(families);
            }
        });
    })
}

/// Brings an interface up.
pub(crate) fn up(index: u32) -> Message {
    Message::new(NEW_LINK, ACK, &ifinfo(FAMILY_ANY, index, UP, UP))
}

/// Keeps an interface from making itself a link-local address: that would
/// hold it back for a second to ask whether somebody has it. To be said
/// before it is [up].
pub(crate) fn without_own_address(index: u32) -> Message {
    Message::new(NEW_LINK, ACK, &ifinfo(FAMILY_ANY, index, 0, 0))
        .with(|a| a.nest(ifla::AF_SPEC, no_own_address))
}

fn no_own_address(families: &mut Attributes) {
    // IN6_ADDR_GEN_MODE_NONE
    families.nest(u16::from(FAMILY_V6), |v6| v6.u8(ifla::INET6_ADDR_GEN_MODE, 1));
}

/// Removes an interface; the kernel answers when it is gone.
pub(crate) fn delete(name: &str) -> Message {
    Message::new(DEL_LINK, ACK, &ifinfo(FAMILY_ANY, 0, 0, 0)).with(|a| a.text(ifla::IFNAME, name))
}

/// Asks for one interface, or for the ports of a bridge.
pub(crate) fn get(name: &str) -> Message {
    Message::new(GET_LINK, 0, &ifinfo(FAMILY_ANY, 0, 0, 0)).with(|a| a.text(ifla::IFNAME, name))
}

/// Asks for all interfaces; see [`Link`].
pub(crate) fn list() -> Message {
    Message::new(GET_LINK, 0, &ifinfo(FAMILY_ANY, 0, 0, 0))
}

/// What is read back of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) alias: String,
    pub(crate) mac: Option<Mac>,
    pub(crate) master: Option<u32>,
}

impl Link {
    /// Reads an answer to [`get`] or [`list`]; none for other answers.
    pub(crate) fn read(answer: &Answer) -> Option<Self> {
        if answer.kind != NEW_LINK {
            return None;
        }
        let (fixed, rest) = answer.body.split_at_checked(16)?;
        let mut link = Self { index: word(&fixed[4..])?, ..Self::default() };
        for (kind, value) in attributes(rest) {
            match kind {
                ifla::IFNAME => link.name = text(value),
                ifla::IFALIAS => link.alias = text(value),
                ifla::ADDRESS => link.mac = value.try_into().ok().map(Mac),
                ifla::MASTER => link.master = word(value),
                ifla::LINKINFO => {
                    link.kind = attributes(value)
                        .find(|(kind, _)| *kind == ifla::INFO_KIND)
                        .map_or_else(String::new, |(_, value)| text(value));
                }
                _ => {}
            }
        }
        Some(link)
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

/// Gives an interface an address, at once usable: nobody is asked whether it
/// is taken, since the engine hands them out.
pub(crate) fn add_address(index: u32, address: IpNet) -> Message {
    const NO_DAD: u8 = 0x02;
    const LOCAL: u16 = 2;
    const BROADCAST: u16 = 4;
    let family = if address.addr().is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let scope = if is_link_local(address.addr()) { 253 } else { 0 };
    let mut fixed = vec![family, address.prefix_len(), NO_DAD, scope];
    fixed.extend(index.to_ne_bytes());
    Message::new(NEW_ADDRESS, ACK | CREATE | REPLACE, &fixed).with(|a| match address {
        IpNet::V4(net) => {
            a.bytes(LOCAL, &net.addr().octets());
            if net.prefix_len() < 31 {
                a.bytes(BROADCAST, &net.broadcast().octets());
            }
        }
        IpNet::V6(net) => a.bytes(LOCAL, &net.addr().octets()),
    })
}

/// Takes an address off an interface.
pub(crate) fn remove_address(index: u32, address: IpNet) -> Message {
    const LOCAL: u16 = 2;
    let family = if address.addr().is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let mut fixed = vec![family, address.prefix_len(), 0, 0];
    fixed.extend(index.to_ne_bytes());
    Message::new(DEL_ADDRESS, ACK, &fixed).with(|a| a.bytes(LOCAL, &octets(address.addr())))
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// Asks for all addresses; see [`read_address`].
pub(crate) fn list_addresses() -> Message {
    Message::new(GET_ADDRESS, 0, &[FAMILY_ANY, 0, 0, 0, 0, 0, 0, 0])
}

/// An interface's number and address from an answer to [`list_addresses`].
pub(crate) fn read_address(answer: &Answer) -> Option<(u32, IpNet)> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    if answer.kind != NEW_ADDRESS {
        return None;
    }
    let (fixed, rest) = answer.body.split_at_checked(8)?;
    let find = |wanted| attributes(rest).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let address = find(LOCAL).or_else(|| find(ADDRESS)).and_then(read_ip)?;
    Some((word(&fixed[4..])?, IpNet::new(address, fixed[1]).ok()?))
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

const TABLE_MAIN: u8 = 254;
/// `RT_SCOPE_LINK`: what is reached without a gateway.
const SCOPE_LINK: u8 = 253;
const TABLE_LOCAL: u8 = 255;

/// `struct rtmsg`, made by an administrator (`RTPROT_BOOT`), for unicast.
fn rtmsg(family: u8, length: u8, table: u8, scope: u8, kind: u8) -> [u8; 12] {
    const PROTOCOL_BOOT: u8 = 3;
    [family, length, 0, 0, table, PROTOCOL_BOOT, scope, kind, 0, 0, 0, 0]
}

/// Where everything leads that nothing else is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayOut {
    /// Through a gateway, of its family.
    Gateway(IpAddr),
    /// By the interface itself, of the address's family.
    Straight(IpAddr),
}

/// The way out by the interface.
pub(crate) fn add_default_route(index: u32, way: WayOut) -> Message {
    default_route(NEW_ROUTE, ACK | CREATE | EXCL, index, way)
}

/// No way out by the interface any more.
pub(crate) fn remove_default_route(index: u32, way: WayOut) -> Message {
    default_route(DEL_ROUTE, ACK, index, way)
}

fn default_route(kind: u16, flags: u16, index: u32, way: WayOut) -> Message {
    const UNICAST: u8 = 1;
    const OUT: u16 = 4;
    const GATEWAY: u16 = 5;
    let (scope, address) = match way {
        WayOut::Gateway(gateway) => (0, gateway),
        WayOut::Straight(address) => (SCOPE_LINK, address),
    };
    let family = if address.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let fixed = rtmsg(family, 0, TABLE_MAIN, scope, UNICAST);
    Message::new(kind, flags, &fixed).with(|a| {
        if let WayOut::Gateway(gateway) = way {
            a.bytes(GATEWAY, &octets(gateway));
        }
        a.u32(OUT, index);
    })
}

/// The way to a destination by an interface: straight, or through a gateway;
/// under the address `from`, where one is said.
pub(crate) fn add_route(
    index: u32,
    to: IpNet,
    gateway: Option<IpAddr>,
    from: Option<IpAddr>,
) -> Message {
    const UNICAST: u8 = 1;
    const DESTINATION: u16 = 1;
    const OUT: u16 = 4;
    const GATEWAY: u16 = 5;
    const FROM: u16 = 7;
    let family = if to.addr().is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let scope = if gateway.is_none() { SCOPE_LINK } else { 0 };
    let fixed = rtmsg(family, to.prefix_len(), TABLE_MAIN, scope, UNICAST);
    // One of the same address' last life may not be quite gone.
    Message::new(NEW_ROUTE, ACK | CREATE | REPLACE, &fixed).with(|a| {
        a.bytes(DESTINATION, &octets(to.network()));
        a.u32(OUT, index);
        if let Some(gateway) = gateway {
            a.bytes(GATEWAY, &octets(gateway));
        }
        if let Some(from) = from {
            a.bytes(FROM, &octets(from));
        }
    })
}

/// Lets answers to `::1` in by a bridge; see `Bridge::ensure`.
pub(crate) fn add_loopback_route6(index: u32) -> Message {
    const LOCAL: u8 = 2;
    const DESTINATION: u16 = 1;
    const OUT: u16 = 4;
    const PRIORITY: u16 = 6;
    let fixed = rtmsg(FAMILY_V6, 128, TABLE_LOCAL, 0, LOCAL);
    Message::new(NEW_ROUTE, ACK | CREATE | REPLACE, &fixed).with(|a| {
        a.bytes(DESTINATION, &Ipv6Addr::LOCALHOST.octets());
        a.u32(OUT, index);
        // Behind the loopback interface's own, which has 0, and different
        // for every bridge, since one with the same would replace it.
        a.u32(PRIORITY, 0x0001_0000 | (index & 0xffff));
    })
}

/// Asks for the main routing table; see [`read_route`].
pub(crate) fn list_routes() -> Message {
    Message::new(GET_ROUTE, 0, &rtmsg(FAMILY_ANY, 0, TABLE_MAIN, 0, 0))
}

/// The destination of a route of the main table; none for default routes.
pub(crate) fn read_route(answer: &Answer) -> Option<IpNet> {
    const DESTINATION: u16 = 1;
    if answer.kind != NEW_ROUTE {
        return None;
    }
    let (fixed, rest) = answer.body.split_at_checked(12)?;
    let (length, table) = (fixed[1], fixed[4]);
    if table != TABLE_MAIN || length == 0 {
        return None;
    }
    let destination = attributes(rest).find(|(kind, _)| *kind == DESTINATION)?.1;
    IpNet::new(read_ip(destination)?, length).ok()
}

/// `struct ndmsg`.
fn ndmsg(family: u8, index: u32, state: u16, flags: u8) -> Vec<u8> {
    let mut bytes = vec![family, 0, 0, 0];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(state.to_ne_bytes());
    bytes.extend([flags, 0]);
    bytes
}

const NEIGHBOUR_ADDRESS: u16 = 1;
const NEIGHBOUR_MAC: u16 = 2;

/// Tells the bridge once and for all behind which port an address is.
pub(crate) fn forward_to(port: u32, mac: Mac) -> Message {
    const STATIC: u16 = 0x40;
    const MASTER: u8 = 0x04;
    let fixed = ndmsg(FAMILY_BRIDGE, port, STATIC, MASTER);
    // The port of the same address's last life may not be quite gone.
    Message::new(NEW_NEIGHBOUR, ACK | CREATE | REPLACE, &fixed)
        .with(|a| a.bytes(NEIGHBOUR_MAC, &mac.0))
}

/// Enters a neighbour that is never asked for and never forgotten.
pub(crate) fn add_neighbour(index: u32, address: IpAddr, mac: Mac) -> Message {
    const PERMANENT: u16 = 0x80;
    let family = if address.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let fixed = ndmsg(family, index, PERMANENT, 0);
    Message::new(NEW_NEIGHBOUR, ACK | CREATE | REPLACE, &fixed).with(|a| {
        a.bytes(NEIGHBOUR_ADDRESS, &octets(address));
        a.bytes(NEIGHBOUR_MAC, &mac.0);
    })
}

/// Forgets a neighbour.
pub(crate) fn remove_neighbour(index: u32, address: IpAddr) -> Message {
    let family = if address.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    Message::new(DEL_NEIGHBOUR, ACK, &ndmsg(family, index, 0, 0))
        .with(|a| a.bytes(NEIGHBOUR_ADDRESS, &octets(address)))
}

/// An address with the length of its subnet.
pub(crate) fn within4(address: Ipv4Addr, subnet: Ipv4Net) -> IpNet {
    Ipv4Net::new_assert(address, subnet.prefix_len()).into()
}

/// An address with the length of its subnet.
pub(crate) fn within6(address: Ipv6Addr, subnet: Ipv6Net) -> IpNet {
    Ipv6Net::new_assert(address, subnet.prefix_len()).into()
}

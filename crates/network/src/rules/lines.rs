//! Lines: the containers of a routed network, each behind an interface of the
//! host's own that is no bridge's port.
//!
//! The sets of bridges hold them by their own names, so what passes between
//! networks, the outside and published ports is decided by the same rules.
//! What is theirs alone: which network a line is of; that a packet comes from
//! the line's one MAC address and one of its addresses (nobody asks on a line,
//! so neighbour discovery has no place there either); and under which address
//! the host speaks to it.

use super::{
    Writer, deny,
    elements::{self, BRIDGES, HIDDEN, OPEN, ifname, inet_set, padded},
    go,
    guard::{dhcp_port, sender_and, types},
    modes, pass, port_in, protocol,
    roads::{family, from_loopback, published},
};
use crate::{
    BridgeConfig, Driver, Endpoint,
    nft::{
        Element, Family, Part, Set,
        expr::{Base, Expr, Ip, Is, Meta, cmp, find, lookup, lookup_not, meta, payload, snat},
    },
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn set(name: &'static str, key: &'static [Part], data: &'static [Part]) -> Set {
    Set { data, ..inet_set(name, key) }
}

/// Lines under guard. A line leaves it only once the interface is gone: what
/// is here and nowhere else may say nothing.
const LINES: Set = set("lines", &[Part::Ifname], &[]);

/// Groups of lines between which packets may be forwarded: each network's with
/// itself, if its containers may talk to one another.
const PAIRS: Set = set("line_pairs", &[Part::Group, Part::Group], &[]);

/// The addresses of each line.
const OF4: Set = set("line_from4", &[Part::Ifname, Part::Mac, Part::Ipv4], &[]);
const OF6: Set = set("line_from6", &[Part::Ifname, Part::Mac, Part::Ipv6], &[]);

/// The host's address on each line.
const GATE4: Set = set("line_gate4", &[Part::Ifname], &[Part::Ipv4]);
const GATE6: Set = set("line_gate6", &[Part::Ifname], &[Part::Ipv6]);

/// Containers with published ports, each with itself: a packet from one to its
/// own published port leaves by the line that it came by.
const SELF4: Set = set("self4", &[Part::Ipv4, Part::Ipv4], &[]);
const SELF6: Set = set("self6", &[Part::Ipv6, Part::Ipv6], &[]);

pub(super) const SETS: [Set; 8] = [LINES, PAIRS, OF4, OF6, GATE4, GATE6, SELF4, SELF6];

/// The line that such an element keeps under guard.
pub(super) fn port_of(element: &Element) -> Option<String> {
    if element.set != LINES.name {
        return None;
    }
    let end = element.key.iter().position(|b| *b == 0).unwrap_or(element.key.len());
    String::from_utf8(element.key[..end].to_vec()).ok()
}

/// The address that such an element lets a line use.
pub(super) fn address_of(element: &Element) -> Option<IpAddr> {
    let address = element.key.get(24..)?;
    match element.set {
        set if set == OF4.name => Some(Ipv4Addr::from(*address.first_chunk::<4>()?).into()),
        set if set == OF6.name => Some(Ipv6Addr::from(*address.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// What a network's lines are to the rules, which bear the number `group`.
pub(super) fn of_group(group: u32, config: &BridgeConfig) -> Option<Element> {
    let may_talk = config.driver == Driver::Routed && config.icc;
    may_talk.then(|| Element::of(&PAIRS, group.to_ne_bytes().repeat(2)))
}

/// What an endpoint behind a line is to the rules.
pub(super) fn of_line(host: &str, endpoint: &Endpoint, config: &BridgeConfig) -> Vec<Element> {
    let line = ifname(host);
    let mac = padded(endpoint.mac);
    let key = |address: &[u8]| [&line[..], &mac, address].concat();
    let mut elements = vec![Element::of(&LINES, line.clone()), Element::of(&BRIDGES, line.clone())];
    if !config.internal {
        elements.push(Element::of(&OPEN, line.clone()));
        if config.masquerade {
            elements.push(Element::of(&HIDDEN, line.clone()));
        }
    }
    elements.extend(endpoint.addr4.map(|a| Element::of(&OF4, key(&a.octets()))));
    elements.extend(endpoint.addr6.map(|a| Element::of(&OF6, key(&a.octets()))));
    let gate4 = config.host4().map(|net| net.addr().octets().to_vec());
    let gate6 = config.host6().map(|net| net.addr().octets().to_vec());
    elements.extend(gate4.map(|gate| Element::mapping(&GATE4, line.clone(), gate)));
    elements.extend(gate6.map(|gate| Element::mapping(&GATE6, line, gate)));
    if !endpoint.ports.is_empty() {
        let twice4 = endpoint.addr4.map(|a| Element::of(&SELF4, a.octets().repeat(2)));
        let twice6 = endpoint.addr6.map(|a| Element::of(&SELF6, a.octets().repeat(2)));
        elements.extend(twice4.into_iter().chain(twice6));
    }
    elements.extend(modes::of_interface(host, config));
    elements.extend(super::host::of_interface(host, config));
    // What counts by address is as on a bridge.
    let of_bridge = elements::of_endpoint(host, endpoint).into_iter();
    elements.extend(of_bridge.filter(|element| element.family == Family::Inet));
    elements
}

/// Known already where it stands: tells nft(8) how to list the rest.
fn listed_as(ip: Ip) -> [Expr; 4] {
    // `ARPHRD_ETHER`, in the machine's byte order.
    let kind = 1_u16.to_ne_bytes();
    [
        meta(Meta::Iiftype, 0),
        cmp(0, Is::Eq, &kind),
        meta(Meta::Nfproto, 0),
        cmp(0, Is::Eq, &[ip as u8]),
    ]
}

/// What a line may say: to be called where packets arrive, before anything
/// changes them. Its chains are to be [declared](CHAINS).
pub(super) fn arriving(w: &mut Writer<'_>) {
    w.rule("what our lines receive", &[&port_in(&LINES), &go("line")]);
}

pub(super) const CHAINS: [&str; 3] = ["line", "line4", "line6"];

/// Types of ICMPv6: as in [`guard`](super::guard), and neighbour discovery.
pub(super) fn guard(w: &mut Writer<'_>) {
    w.begin("line");
    w.rule("", &[&family(Ip::V4), &go("line4")]);
    w.rule("", &[&family(Ip::V6), &go("line6")]);
    w.rule("all else", &[&deny()]);
    w.begin("line4");
    let false_address = sender_and(Base::Network, 12, 4, lookup_not(OF4.name));
    w.rule("false addresses", &[&listed_as(Ip::V4), &false_address, &deny()]);
    w.rule("redirects", &[&protocol(1), &types(5, 5), &deny()]);
    w.rule("routers", &[&protocol(1), &types(9, 9), &deny()]);
    w.rule("a DHCP server", &[&protocol(17), &dhcp_port(0, 67), &deny()]);
    w.rule("to a DHCP client", &[&protocol(17), &dhcp_port(2, 68), &deny()]);
    w.begin("line6");
    let false_address = sender_and(Base::Network, 8, 16, lookup_not(OF6.name));
    w.rule("false addresses", &[&listed_as(Ip::V6), &false_address, &deny()]);
    for (word, first, last) in [
        ("group membership, routers, discovery, redirects", 130, 138),
        ("inverse discovery, group membership", 141, 143),
        ("certification paths, multicast routers", 148, 153),
    ] {
        w.rule(word, &[&protocol(58), &types(first, last), &deny()]);
    }
    w.rule("a DHCP server", &[&protocol(17), &dhcp_port(0, 547), &deny()]);
    w.rule("to a DHCP client", &[&protocol(17), &dhcp_port(2, 546), &deny()]);
}

/// From one line of a network to another of the same.
pub(super) fn forward(w: &mut Writer<'_>) {
    let pair = [meta(Meta::Iifgroup, 0), meta(Meta::Oifgroup, 1), lookup(PAIRS.name)];
    w.rule("between lines of a network", &[&pair, &pass()]);
}

/// Under which address the host speaks to a line, where its own will not do:
/// the interface has none that a masquerade could choose.
pub(super) fn leaving(w: &mut Writer<'_>) {
    let gate4: [Expr; 3] = [meta(Meta::Oifname, 0), find(GATE4.name), snat(Ip::V4)];
    let gate6: [Expr; 3] = [meta(Meta::Oifname, 0), find(GATE6.name), snat(Ip::V6)];
    let word = "the host by its loopback, to a line";
    w.rule(word, &[&from_loopback(Ip::V4), &gate4]);
    w.rule(word, &[&from_loopback(Ip::V6), &gate6]);
    let both4 = [payload(Base::Network, 12, 4, 0), payload(Base::Network, 16, 4, 1)];
    let both6 = [payload(Base::Network, 8, 16, 0), payload(Base::Network, 24, 16, 4)];
    let word = "back to the same line";
    let (self4, self6) = ([lookup(SELF4.name)], [lookup(SELF6.name)]);
    w.rule(word, &[&published(), &family(Ip::V4), &both4, &self4, &gate4]);
    w.rule(word, &[&published(), &family(Ip::V6), &both6, &self6, &gate6]);
}

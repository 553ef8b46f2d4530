//! The fences: what containers may begin towards the outside.
//!
//! "Outside" is all that leaves a container's networks: other hosts, this
//! host, and ports that other networks publish. A container's own fence is
//! found by its address, which the guard has seen to; a network's by its
//! bridge; what goes out has to pass both. Only a connection's first packet is
//! judged, by where it was sent to before anything translated it, and as a
//! whole: connection tracking has put fragments together before.
//!
//! What a name leads to is entered by another hand, while no daemon need run:
//! see [`Learner`](crate::Learner). It counts only for who has names in its
//! policy.

use super::{
    Writer, deny,
    elements::{BRIDGES, inet_set},
    filter, pass, port_in, protocol,
    roads::{family, under_way},
};
use crate::{
    Egress, Proto,
    egress::{METADATA4, METADATA6, Place},
    nft::{
        Element, Family, INPUT, Part, Set,
        expr::{
            Asked, Base, Expr, Ip, Is, Meta, Verdict, asked, cmp, lookup, meta, payload, verdict,
        },
    },
};
use std::net::IpAddr;

const fn ranges(name: &'static str, key: &'static [Part]) -> Set {
    Set { ranges: true, ..inet_set(name, key) }
}

const fn fleeting(name: &'static str, key: &'static [Part]) -> Set {
    Set { fleeting: true, ..inet_set(name, key) }
}

/// The sets of one kind of fence for one family.
pub(crate) struct Sets {
    /// Who is fenced.
    who: Set,
    /// By address: everything there.
    may: Set,
    /// By address: to whom, by which protocol, at which port.
    may_port: Set,
    /// Who has names in its policy.
    naming: Set,
    /// What names lead to: everything there, or one port.
    pub(crate) named: Set,
    pub(crate) named_port: Set,
    chain: &'static str,
    /// For what goes to this host.
    chain_to_us: &'static str,
    family: Ip,
    of_network: bool,
}

pub(crate) const OWN4: Sets = Sets {
    who: inet_set("fenced4", &[Part::Ipv4]),
    may: ranges("may4", &[Part::Ipv4, Part::Ipv4]),
    may_port: ranges("may_port4", &[Part::Ipv4, Part::Ipv4, Part::Proto, Part::Port]),
    naming: inet_set("naming4", &[Part::Ipv4]),
    named: fleeting("named4", &[Part::Ipv4, Part::Ipv4]),
    named_port: fleeting("named_port4", &[Part::Ipv4, Part::Ipv4, Part::Port]),
    chain: "fence4",
    chain_to_us: "fence4_to_us",
    family: Ip::V4,
    of_network: false,
};

pub(crate) const OWN6: Sets = Sets {
    who: inet_set("fenced6", &[Part::Ipv6]),
    may: ranges("may6", &[Part::Ipv6, Part::Ipv6]),
    may_port: ranges("may_port6", &[Part::Ipv6, Part::Ipv6, Part::Proto, Part::Port]),
    naming: inet_set("naming6", &[Part::Ipv6]),
    named: fleeting("named6", &[Part::Ipv6, Part::Ipv6]),
    named_port: fleeting("named_port6", &[Part::Ipv6, Part::Ipv6, Part::Port]),
    chain: "fence6",
    chain_to_us: "fence6_to_us",
    family: Ip::V6,
    of_network: false,
};

pub(crate) const NET4: Sets = Sets {
    who: inet_set("walled", &[Part::Ifname]),
    may: ranges("net_may4", &[Part::Ifname, Part::Ipv4]),
    may_port: ranges("net_may_port4", &[Part::Ifname, Part::Ipv4, Part::Proto, Part::Port]),
    naming: inet_set("net_naming", &[Part::Ifname]),
    named: fleeting("net_named4", &[Part::Ifname, Part::Ipv4]),
    named_port: fleeting("net_named_port4", &[Part::Ifname, Part::Ipv4, Part::Port]),
    chain: "wall4",
    chain_to_us: "wall4_to_us",
    family: Ip::V4,
    of_network: true,
};

pub(crate) const NET6: Sets = Sets {
    may: ranges("net_may6", &[Part::Ifname, Part::Ipv6]),
    may_port: ranges("net_may_port6", &[Part::Ifname, Part::Ipv6, Part::Proto, Part::Port]),
    named: fleeting("net_named6", &[Part::Ifname, Part::Ipv6]),
    named_port: fleeting("net_named_port6", &[Part::Ifname, Part::Ipv6, Part::Port]),
    chain: "wall6",
    chain_to_us: "wall6_to_us",
    family: Ip::V6,
    ..NET4
};

/// Who reaches the metadata service.
const REACH4: Set = inet_set("reach4", &[Part::Ipv4]);
const REACH6: Set = inet_set("reach6", &[Part::Ipv6]);
const REACH_FROM: Set = inet_set("reach_from", &[Part::Ifname]);

/// Those that owners have elements in.
pub(super) const OWNED: [Set; 17] = [
    OWN4.who,
    OWN4.may,
    OWN4.may_port,
    OWN4.naming,
    OWN6.who,
    OWN6.may,
    OWN6.may_port,
    OWN6.naming,
    NET4.who,
    NET4.may,
    NET4.may_port,
    NET4.naming,
    NET6.may,
    NET6.may_port,
    REACH4,
    REACH6,
    REACH_FROM,
];

/// Those that a [`Learner`](crate::Learner) fills.
pub(crate) const LEARNT: [Set; 8] = [
    OWN4.named,
    OWN4.named_port,
    OWN6.named,
    OWN6.named_port,
    NET4.named,
    NET4.named_port,
    NET6.named,
    NET6.named_port,
];

/// The chain that judges what leaves a network.
pub(super) const CHAIN: &str = "egress";

/// Loads an address of the packet's sender, or the network's name.
fn who(sets: &Sets) -> Expr {
    match (sets.of_network, sets.family) {
        (true, _) => meta(Meta::Iifname, 0),
        (false, Ip::V4) => payload(Base::Network, 12, 4, 0),
        (false, Ip::V6) => payload(Base::Network, 8, 16, 0),
    }
}

/// Loads from word `at` on where the connection was begun to.
fn destination(family: Ip, at: u32) -> Expr {
    match family {
        Ip::V4 => asked(Asked::Ipv4, at),
        Ip::V6 => asked(Asked::Ipv6, at),
    }
}

pub(super) fn write(w: &mut Writer<'_>) {
    w.declare(Family::Inet, &[CHAIN, "metadata", "to_us"]);
    let kinds = [&OWN4, &OWN6, &NET4, &NET6];
    w.declare(Family::Inet, &kinds.map(|sets| sets.chain));
    w.declare(Family::Inet, &kinds.map(|sets| sets.chain_to_us));
    w.enter("to_host", filter(INPUT, 0));
    w.rule("what containers send this host", &[&port_in(&BRIDGES), &jump("to_us")]);
    w.begin("to_us");
    w.rule("", &[&under_way(), &pass()]);
    let discovery = [
        payload(Base::Transport, 0, 1, 0),
        cmp(0, Is::AtLeast, &[135]),
        cmp(0, Is::AtMost, &[136]),
    ];
    w.rule("neighbours", &[&family(Ip::V6), &protocol(58), &discovery, &pass()]);
    metadata(w);
    for sets in kinds {
        w.rule(word(sets), &[&family(sets.family), &fenced(sets), &jump(sets.chain_to_us)]);
    }

    w.begin(CHAIN);
    metadata(w);
    for sets in kinds {
        w.rule(word(sets), &[&family(sets.family), &fenced(sets), &jump(sets.chain)]);
    }

    w.begin("metadata");
    // Some clouds have their DNS server there.
    let dns = [asked(Asked::Port, 0), cmp(0, Is::Eq, &53_u16.to_be_bytes())];
    for number in [6, 17] {
        w.rule("names", &[&protocol(number), &dns, &back()]);
    }
    let by4 = [payload(Base::Network, 12, 4, 0), lookup(REACH4.name)];
    let by6 = [payload(Base::Network, 8, 16, 0), lookup(REACH6.name)];
    w.rule("", &[&family(Ip::V4), &by4, &back()]);
    w.rule("", &[&family(Ip::V6), &by6, &back()]);
    w.rule("", &[&port_in(&REACH_FROM), &back()]);
    w.rule("not asked for", &[&deny()]);

    for sets in kinds {
        w.begin(sets.chain);
        fence(w, sets, true);
        w.begin(sets.chain_to_us);
        fence(w, sets, false);
    }
}

fn metadata(w: &mut Writer<'_>) {
    for (of, address) in [(Ip::V4, IpAddr::from(METADATA4)), (Ip::V6, METADATA6.into())] {
        let to_it = [destination(of, 0), cmp(0, Is::Eq, &octets(address))];
        w.rule("the cloud's metadata", &[&family(of), &to_it, &jump("metadata")]);
    }
}

fn word(sets: &Sets) -> &'static str {
    if sets.of_network { "its network's fence" } else { "its own fence" }
}

fn fenced(sets: &Sets) -> [Expr; 2] {
    [who(sets), lookup(sets.who.name)]
}

/// What may be begun. Whoever answers for a name could have it lead to this
/// host: by `names` nothing of it is opened.
fn fence(w: &mut Writer<'_>, sets: &Sets, names: bool) {
    let of = family(sets.family);
    // In words of four bytes: a name takes four of them, as IPv6 does.
    let width = if sets.of_network || sets.family == Ip::V6 { 4 } else { 1 };
    let next = width + if sets.family == Ip::V6 { 4 } else { 1 };
    let to = || [who(sets), destination(sets.family, width)];
    let naming = [who(sets), lookup(sets.naming.name)];
    w.rule("by address", &[&of, &to(), &[lookup(sets.may.name)], &back()]);
    if names {
        w.rule("by name", &[&of, &naming, &to(), &[lookup(sets.named.name)], &back()]);
    }
    for proto in [Proto::Tcp, Proto::Udp, Proto::Sctp] {
        // Said first, so that nft(8) knows of whose ports it reads.
        let of = [&of[..], &protocol(proto.number())].concat();
        let at = [meta(Meta::L4proto, next), asked(Asked::Port, next + 1)];
        w.rule("by address", &[&of, &to(), &at, &[lookup(sets.may_port.name)], &back()]);
        if names {
            let at = [asked(Asked::Port, next), lookup(sets.named_port.name)];
            w.rule("by name", &[&of, &naming, &to(), &at, &back()]);
        }
    }
    w.rule("not allowed out", &[&deny()]);
}

fn jump(chain: &'static str) -> [Expr; 1] {
    [verdict(Verdict::Jump(chain))]
}

fn back() -> [Expr; 1] {
    [verdict(Verdict::Return)]
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// What a container's policy is to the rules, for one of its addresses.
pub(super) fn of_address(address: IpAddr, policy: &Egress) -> Vec<Element> {
    let (sets, reach) = if address.is_ipv4() { (&OWN4, &REACH4) } else { (&OWN6, &REACH6) };
    let key = octets(address);
    let mut elements = of(&[sets], &key, policy);
    elements.extend(policy.metadata.then(|| Element::of(reach, key)));
    elements
}

/// What a network's policy is to the rules. `name` is its bridge's, as a key.
pub(super) fn of_bridge(name: Vec<u8>, policy: &Egress) -> Vec<Element> {
    let mut elements = of(&[&NET4, &NET6], &name, policy);
    elements.extend(policy.metadata.then(|| Element::of(&REACH_FROM, name)));
    elements
}

fn of(kinds: &[&Sets], key: &[u8], policy: &Egress) -> Vec<Element> {
    if !policy.fenced {
        return Vec::new();
    }
    // Who is fenced, and who has names, does not depend on the family of a
    // network's packets.
    let first = kinds[0];
    let mut elements = vec![Element::of(&first.who, key.to_vec())];
    if !policy.names.is_empty() {
        elements.push(Element::of(&first.naming, key.to_vec()));
    }
    for sets in kinds {
        let places = policy.places(sets.family == Ip::V4);
        elements.extend(places.whole.iter().map(|place| place_of(sets, key, place, false)));
        elements.extend(places.ports.iter().map(|place| place_of(sets, key, place, true)));
    }
    elements
}

fn place_of(sets: &Sets, key: &[u8], place: &Place, with_port: bool) -> Element {
    let bytes = if sets.family == Ip::V4 { 4 } else { 16 };
    let end = |address: u128, proto: u128, port: u128| {
        let (address, proto, port) =
            (address.to_be_bytes(), proto.to_be_bytes(), port.to_be_bytes());
        let mut end = [key, &address[16 - bytes..]].concat();
        if with_port {
            end.extend([proto[15], 0, 0, 0, port[14], port[15], 0, 0]);
        }
        end
    };
    let first = end(*place.addresses.start(), *place.protocols.start(), *place.ports.start());
    let last = end(*place.addresses.end(), *place.protocols.end(), *place.ports.end());
    Element::range(if with_port { &sets.may_port } else { &sets.may }, first, last)
}

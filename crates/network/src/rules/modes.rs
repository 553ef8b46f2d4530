//! Gateway modes: how far a network's containers are reached under their own
//! addresses, and under which they go out.
//!
//! By default a container is hidden behind the host. A network of the mode
//! *routed* is not: its containers go out under their own addresses, and the
//! ports that they publish are reached there and nowhere else. *Unprotected*,
//! they are hidden when they go out, and every port of theirs may be reached.
//! Interfaces that a network trusts reach published ports under containers' own
//! addresses as well.

use super::{
    Writer,
    elements::{BRIDGES, ifname, inet_set},
    pass, port_in, protocol,
    roads::{between, family, into, not_into},
};
use crate::{
    BridgeConfig, Endpoint, GatewayMode, Published,
    nft::{
        Element, Part, Set,
        expr::{Base, Expr, Ip, Meta, lookup, meta, payload},
    },
    runs,
};
use std::net::IpAddr;

const fn set(name: &'static str, key: &'static [Part]) -> Set {
    inet_set(name, key)
}

/// Networks whose containers go out under their own addresses.
const BARE4: Set = set("bare4", &[Part::Ifname]);
const BARE6: Set = set("bare6", &[Part::Ifname]);

/// Networks whose containers are reached under their own addresses: at every
/// port, or at those that they publish.
const UNGUARDED4: Set = set("unguarded4", &[Part::Ifname]);
const UNGUARDED6: Set = set("unguarded6", &[Part::Ifname]);
const REACHED4: Set = set("reached4", &[Part::Ifname]);
const REACHED6: Set = set("reached6", &[Part::Ifname]);

/// Interfaces of the host, each with a network that trusts it.
const TRUSTED: Set = set("trusted", &[Part::Ifname, Part::Ifname]);

/// Published ports, as the containers have them; of such networks alone.
const DOORS4: Set = set("doors4", &[Part::Proto, Part::Ipv4, Part::Port]);
const DOORS6: Set = set("doors6", &[Part::Proto, Part::Ipv6, Part::Port]);

/// And runs of them.
const DOOR_RUNS4: Set = Set { ranges: true, ..set("door_runs4", DOORS4.key) };
const DOOR_RUNS6: Set = Set { ranges: true, ..set("door_runs6", DOORS6.key) };

pub(super) const SETS: [Set; 11] = [
    BARE4, BARE6, UNGUARDED4, UNGUARDED6, REACHED4, REACHED6, TRUSTED, DOORS4, DOORS6, DOOR_RUNS4,
    DOOR_RUNS6,
];

/// What the modes of a network are to the rules, for an interface that leads
/// to its containers.
pub(crate) fn of_interface(name: &str, config: &BridgeConfig) -> Vec<Element> {
    if config.internal {
        return Vec::new();
    }
    let name = ifname(name);
    let mut elements = Vec::new();
    for (mode, bare, reached, unguarded) in [
        (config.gateway4, &BARE4, &REACHED4, &UNGUARDED4),
        (config.gateway6, &BARE6, &REACHED6, &UNGUARDED6),
    ] {
        match mode {
            GatewayMode::Nat | GatewayMode::Isolated => {}
            GatewayMode::Routed => {
                elements.push(Element::of(bare, name.clone()));
                elements.push(Element::of(reached, name.clone()));
            }
            GatewayMode::NatUnprotected => elements.push(Element::of(unguarded, name.clone())),
        }
    }
    elements.extend(
        config
            .trusted
            .iter()
            .map(|trusted| Element::of(&TRUSTED, [&ifname(trusted)[..], &name].concat())),
    );
    elements
}

/// The doors of an endpoint, if its network has any use for them.
pub(crate) fn of_ports(endpoint: &Endpoint, config: &BridgeConfig) -> Vec<Element> {
    let trusts = !config.trusted.is_empty();
    let open4 = trusts || config.gateway4 == GatewayMode::Routed;
    let open6 = trusts || config.gateway6 == GatewayMode::Routed;
    let doors = endpoint
        .ports
        .iter()
        .filter(|port| if port.host_ip.is_ipv4() { open4 } else { open6 })
        .filter_map(|port| {
            // By which of the host's ports they are reached as well is all one.
            let host_ip = match port.host_ip {
                IpAddr::V4(_) => endpoint.addr4?.into(),
                IpAddr::V6(_) => endpoint.addr6?.into(),
            };
            Some(Published { host_ip, host_port: 0, ..*port })
        });
    runs::joined(doors).iter().map(door).collect()
}

fn door(run: &Published) -> Element {
    let octets = match run.host_ip {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let key = |port: u16| {
        let [high, low] = port.to_be_bytes();
        [&[run.proto.number(), 0, 0, 0][..], &octets, &[high, low, 0, 0]].concat()
    };
    let (one, more) = match run.host_ip {
        IpAddr::V4(_) => (&DOORS4, &DOOR_RUNS4),
        IpAddr::V6(_) => (&DOORS6, &DOOR_RUNS6),
    };
    let (first, last) = run.container_ports().into_inner();
    if first == last {
        Element::of(one, key(first))
    } else {
        Element::range(more, key(first), key(last))
    }
}

/// Goes on for a port that is published: by itself, and in a run.
fn to_door(ip: Ip) -> [Vec<Expr>; 2] {
    let protocol = meta(Meta::L4proto, 0);
    let port = |word| payload(Base::Transport, 2, 2, word);
    let (address, port, sets) = match ip {
        Ip::V4 => (payload(Base::Network, 16, 4, 1), port(2), [DOORS4, DOOR_RUNS4]),
        Ip::V6 => (payload(Base::Network, 24, 16, 1), port(5), [DOORS6, DOOR_RUNS6]),
    };
    let load = [protocol, address, port];
    sets.map(|set| [&family(ip)[..], &load, &[lookup(set.name)]].concat())
}

/// From networks of ours: containers of a routed one are reached by all.
pub(super) fn outward(w: &mut Writer<'_>) {
    for (ip, reached, icmp) in [(Ip::V4, &REACHED4, 1), (Ip::V6, &REACHED6, 58)] {
        for to_door in to_door(ip) {
            w.rule("published, straight", &[&into(reached), &to_door, &pass()]);
        }
        w.rule("", &[&into(reached), &family(ip), &protocol(icmp), &pass()]);
    }
}

/// From elsewhere.
pub(super) fn inward(w: &mut Writer<'_>) {
    outward(w);
    for (ip, unguarded) in [(Ip::V4, &UNGUARDED4), (Ip::V6, &UNGUARDED6)] {
        w.rule("unprotected", &[&into(unguarded), &family(ip), &pass()]);
        for to_door in to_door(ip) {
            w.rule("trusted", &[&between(&TRUSTED), &to_door, &pass()]);
        }
    }
}

/// Before the rule that hides who goes out.
pub(super) fn leaving(w: &mut Writer<'_>) {
    for (ip, bare) in [(Ip::V4, &BARE4), (Ip::V6, &BARE6)] {
        let out = not_into(&BRIDGES);
        w.rule("out under their own", &[&port_in(bare), &family(ip), &out, &pass()]);
    }
}

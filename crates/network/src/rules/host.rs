//! The host itself: which of its addresses containers reach.
//!
//! The gateway of the network that they come by, the address that
//! `host-gateway` stands for, and what is translated on the way: published
//! ports lead into containers and not here, whatever address they are asked
//! at. What the host has besides, on other interfaces and for other networks,
//! is nobody's business, unless a network is open to it.

use super::{
    Writer, deny,
    elements::{BRIDGES, OPEN, ifname, inet_set},
    filter, go, pass, port_in,
    roads::{family, published, under_way},
};
use crate::{
    BridgeConfig,
    nft::{
        Element, Family, INPUT, Part, Set,
        expr::{Base, Expr, Ip, Is, Meta, cmp, lookup, mask, meta, not_to_this_host, payload},
    },
};

/// The host's addresses on each network, by the interfaces that lead there.
const GATES4: Set = inet_set("gates4", &[Part::Ifname, Part::Ipv4]);
const GATES6: Set = inet_set("gates6", &[Part::Ifname, Part::Ipv6]);

/// What `host-gateway` stands for: the host's addresses on the default network.
const DOORSTEP4: Set = inet_set("host_gateway4", &[Part::Ipv4]);
const DOORSTEP6: Set = inet_set("host_gateway6", &[Part::Ipv6]);

/// Interfaces of networks whose containers reach every address of the host.
const WHOLE: Set = inet_set("whole_host", &[Part::Ifname]);

pub(super) const SETS: [Set; 5] = [GATES4, GATES6, DOORSTEP4, DOORSTEP6, WHOLE];

/// The chain's name where packets from containers reach the host.
const CHAIN: &str = "from_containers";

/// What the host is to a network's containers, by an interface that leads to
/// them.
pub(super) fn of_interface(name: &str, config: &BridgeConfig) -> Vec<Element> {
    let name = ifname(name);
    let key = |address: &[u8]| [&name[..], address].concat();
    let four = config.host4().map(|net| Element::of(&GATES4, key(&net.addr().octets())));
    let six = config.host6().map(|net| Element::of(&GATES6, key(&net.addr().octets())));
    let whole = config.whole_host.then(|| Element::of(&WHOLE, name.clone()));
    four.into_iter().chain(six).chain(whole).collect()
}

/// What the default network is to the containers of all others.
pub(super) fn of_default(config: &BridgeConfig) -> Vec<Element> {
    let four = config.host4().map(|net| Element::of(&DOORSTEP4, net.addr().octets().to_vec()));
    let six = config.host6().map(|net| Element::of(&DOORSTEP6, net.addr().octets().to_vec()));
    four.into_iter().chain(six).collect()
}

fn to(ip: Ip, word: u32) -> Expr {
    match ip {
        Ip::V4 => payload(Base::Network, 16, 4, word),
        Ip::V6 => payload(Base::Network, 24, 16, word),
    }
}

/// Goes on for an address of the link alone, which is the interface's own: the
/// kernel takes no other's there.
fn to_link() -> Vec<Expr> {
    let own = [to(Ip::V6, 0), mask(0, &FE80_MASK), cmp(0, Is::Eq, &FE80)];
    [&family(Ip::V6)[..], &own].concat()
}

/// `fe80::/10`.
const FE80: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const FE80_MASK: [u8; 16] = [0xff, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) fn write(w: &mut Writer<'_>) {
    w.declare(Family::Inet, &[CHAIN]);
    w.enter("to_host", filter(INPUT, 0));
    w.rule("", &[&port_in(&BRIDGES), &go(CHAIN)]);
    w.begin(CHAIN);
    w.rule("", &[&under_way(), &pass()]);
    for (ip, gates) in [(Ip::V4, GATES4), (Ip::V6, GATES6)] {
        let gate = [meta(Meta::Iifname, 0), to(ip, 4), lookup(gates.name)];
        w.rule("their gateway", &[&family(ip), &gate, &pass()]);
    }
    w.rule("their gateway", &[&to_link(), &pass()]);
    w.rule("to many", &[&not_to_this_host(), &pass()]);
    w.rule("translated", &[&published(), &pass()]);
    for (ip, doorstep) in [(Ip::V4, DOORSTEP4), (Ip::V6, DOORSTEP6)] {
        let step = [to(ip, 0), lookup(doorstep.name)];
        w.rule("host-gateway", &[&port_in(&OPEN), &family(ip), &step, &pass()]);
    }
    w.rule("open to them", &[&port_in(&WHOLE), &pass()]);
    w.rule("the host's other addresses", &[&deny()]);
}

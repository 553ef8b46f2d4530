//! The roads: a table of the inet family.
//!
//! Between a network and the outside, between networks, and from the host's
//! ports into containers. Other tables' chains see every packet as well: what
//! the host's own firewall drops stays dropped.

use super::{
    FIRST, Writer, bytes, deny, egress,
    elements::{
        ANY4, ANY6, BRIDGES, CLOSED, HIDDEN, OPEN, PAIRS, RUNS_ANY4, RUNS_ANY6, RUNS_TO4, RUNS_TO6,
        SAME, TO4, TO6,
    },
    filter, go, lines, modes, pass, port_in,
};
use crate::netlink::link::{GROUP, GROUPS};
use crate::nft::{
    FORWARD, Family, Hook, OUTPUT, POSTROUTING, PREROUTING, Set,
    expr::{
        Base, Ct, Expr, Ip, Is, Meta, Verdict, cmp, ct, dnat, dnat_straight, find, lookup,
        lookup_not, mask, masquerade, meta, not_from_this_host, payload, to_this_host, verdict,
    },
};
use std::net::Ipv6Addr;

/// Where address translation of destinations and sources is expected.
const NAT_DESTINATION: i32 = -100;
const NAT_SOURCE: i32 = 100;

const LOOPBACK6: [u8; 16] = Ipv6Addr::LOCALHOST.octets();

fn nat(number: u32, priority: i32) -> Hook {
    Hook { kind: "nat", number, priority }
}

/// Goes on for packets of a family.
pub(super) fn family(family: Ip) -> [Expr; 2] {
    [meta(Meta::Nfproto, 0), cmp(0, Is::Eq, &[family as u8])]
}

fn to_loopback(family_of: Ip) -> Vec<Expr> {
    match family_of {
        Ip::V4 => [&family(Ip::V4)[..], &bytes(Base::Network, 16, &[127])].concat(),
        Ip::V6 => [&family(Ip::V6)[..], &bytes(Base::Network, 24, &LOOPBACK6)].concat(),
    }
}

pub(super) fn from_loopback(family_of: Ip) -> Vec<Expr> {
    match family_of {
        Ip::V4 => [&family(Ip::V4)[..], &bytes(Base::Network, 12, &[127])].concat(),
        Ip::V6 => [&family(Ip::V6)[..], &bytes(Base::Network, 8, &LOOPBACK6)].concat(),
    }
}

pub(super) fn into(set: &Set) -> [Expr; 2] {
    [meta(Meta::Oifname, 0), lookup(set.name)]
}

pub(super) fn not_into(set: &Set) -> [Expr; 2] {
    [meta(Meta::Oifname, 0), lookup_not(set.name)]
}

fn not_from(set: &Set) -> [Expr; 2] {
    [meta(Meta::Iifname, 0), lookup_not(set.name)]
}

pub(super) fn between(set: &Set) -> [Expr; 3] {
    [meta(Meta::Iifname, 0), meta(Meta::Oifname, 4), lookup(set.name)]
}

/// Goes on for bridges of ours, or of another daemon's.
fn by_bridge(group: Meta) -> [Expr; 2] {
    [meta(group, 0), cmp(0, Is::Eq, &GROUP.to_ne_bytes())]
}

fn tracked(key: Ct, bits: u32) -> [Expr; 3] {
    [ct(key), mask(0, &bits.to_ne_bytes()), cmp(0, Is::Ne, &[0; 4])]
}

/// Of a connection that was let through. Source: `NF_CT_STATE_BIT`.
pub(super) fn under_way() -> [Expr; 3] {
    const ESTABLISHED: u32 = 2;
    const RELATED: u32 = 4;
    tracked(Ct::State, ESTABLISHED | RELATED)
}

/// Of no connection that is known.
fn invalid() -> [Expr; 3] {
    const INVALID: u32 = 1;
    tracked(Ct::State, INVALID)
}

/// Led here by a published port. Source: `IPS_DST_NAT`.
pub(super) fn published() -> [Expr; 3] {
    tracked(Ct::Status, 1 << 5)
}

/// The rules that lead from the host's ports into containers.
fn publish(w: &mut Writer<'_>) {
    let protocol = || meta(Meta::L4proto, 0);
    let port = |word| payload(Base::Transport, 2, 2, word);
    let at4 = [protocol(), payload(Base::Network, 16, 4, 1), port(2)];
    let at6 = [protocol(), payload(Base::Network, 24, 16, 1), port(5)];
    let anywhere = [protocol(), port(1)];
    let (v4, v6) = (family(Ip::V4), family(Ip::V6));
    let (to4, to6) = ([dnat(Ip::V4)], [dnat(Ip::V6)]);
    w.rule("published on one address", &[&v4, &at4, &[find(TO4.name)], &to4]);
    w.rule("published on one address", &[&v6, &at6, &[find(TO6.name)], &to6]);
    let (straight4, straight6) = ([dnat_straight(Ip::V4)], [dnat_straight(Ip::V6)]);
    let word = "runs of them";
    w.rule(word, &[&v4, &at4, &[find(RUNS_TO4.name)], &straight4]);
    w.rule(word, &[&v6, &at6, &[find(RUNS_TO6.name)], &straight6]);
    let here = to_this_host();
    w.rule("published on all", &[&v4, &here, &anywhere, &[find(ANY4.name)], &to4]);
    w.rule("published on all", &[&v6, &here, &anywhere, &[find(ANY6.name)], &to6]);
    w.rule(word, &[&v4, &here, &anywhere, &[find(RUNS_ANY4.name)], &straight4]);
    w.rule(word, &[&v6, &here, &anywhere, &[find(RUNS_ANY6.name)], &straight6]);
}

pub(super) fn write(w: &mut Writer<'_>, loopback6: bool) {
    w.declare(Family::Inet, &["outward", "inward"]);
    w.declare(Family::Inet, &lines::CHAINS);
    w.enter("early", filter(PREROUTING, FIRST));
    let word = "the host's loopback is not for containers";
    w.rule(word, &[&to_loopback(Ip::V4), &port_in(&BRIDGES), &deny()]);
    w.rule(word, &[&to_loopback(Ip::V6), &port_in(&BRIDGES), &deny()]);
    w.rule("guarded as frames", &[&by_bridge(Meta::Iifgroup), &pass()]);
    lines::arriving(w);
    lines::guard(w);
    translations(w, loopback6);

    w.enter("forward", filter(FORWARD, 0));
    let bridges = [by_bridge(Meta::Iifgroup), by_bridge(Meta::Oifgroup)].concat();
    w.rule("within a network", &[&bridges, &between(&PAIRS), &pass()]);
    w.rule("", &[&port_in(&BRIDGES), &go("outward")]);
    w.rule("", &[&into(&BRIDGES), &go("inward")]);
    for group in [Meta::Iifgroup, Meta::Oifgroup] {
        let (bits, ours) = (GROUPS.to_ne_bytes(), GROUP.to_ne_bytes());
        let another = [meta(group, 0), mask(0, &bits), cmp(0, Is::Eq, &ours)];
        w.rule("another daemon judges it", &[&another, &pass()]);
    }
    let closed = [meta(Meta::Nfproto, 0), lookup(CLOSED.name)];
    w.rule("not forwarded before we came", &[&closed, &deny()]);
    w.begin("outward");
    w.rule("", &[&under_way(), &pass()]);
    w.rule("within a network", &[&between(&PAIRS), &pass()]);
    lines::forward(w);
    w.rule("would leave untranslated", &[&invalid(), &deny()]);
    w.rule("internal networks", &[&not_from(&OPEN), &deny()]);
    w.rule("fences", &[&[verdict(Verdict::Jump(egress::CHAIN))]]);
    w.rule("to a published port", &[&into(&BRIDGES), &published(), &pass()]);
    modes::outward(w);
    w.rule("to another network", &[&into(&BRIDGES), &deny()]);
    w.begin("inward");
    w.rule("", &[&under_way(), &pass()]);
    w.rule("to a published port", &[&into(&OPEN), &published(), &pass()]);
    modes::inward(w);
    w.rule("past what is published", &[&deny()]);
}

fn translations(w: &mut Writer<'_>, loopback6: bool) {
    w.enter("arriving", nat(PREROUTING, NAT_DESTINATION));
    // A neighbour on the outside could address a frame to 127.0.0.1: without
    // these two, what is published there would answer it.
    let word = "left to the kernel, which drops it";
    w.rule(word, &[&to_loopback(Ip::V4), &pass()]);
    w.rule(word, &[&to_loopback(Ip::V6), &pass()]);
    publish(w);
    w.enter("of_host", nat(OUTPUT, NAT_DESTINATION));
    if !loopback6 {
        w.rule("no way back", &[&to_loopback(Ip::V6), &pass()]);
    }
    publish(w);
    w.enter("leaving", nat(POSTROUTING, NAT_SOURCE));
    lines::leaving(w);
    modes::leaving(w);
    let (hidden, out) = (port_in(&HIDDEN), not_into(&BRIDGES));
    w.rule("out under the host's address", &[&hidden, &out, &[masquerade()]]);
    let word = "the host by its loopback";
    w.rule(word, &[&from_loopback(Ip::V4), &into(&BRIDGES), &[masquerade()]]);
    w.rule(word, &[&from_loopback(Ip::V6), &into(&BRIDGES), &[masquerade()]]);
    w.rule("back to its own network", &[&published(), &between(&SAME), &[masquerade()]]);
    // Where bridged packets are translated while they are still frames, no
    // interface is known that they came by, as with packets of the host's own.
    // What leads back into the same bridge may not go straight: the answer
    // would be no connection's (see `guard`).
    let unknown = [meta(Meta::Iif, 0), cmp(0, Is::Eq, &[0; 4])];
    let frame = [&unknown[..], &not_from_this_host(), &into(&BRIDGES)].concat();
    w.rule("back to its own network, as a frame", &[&published(), &frame, &[masquerade()]]);
}

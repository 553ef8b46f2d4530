//! The guard: a table of the bridge family.
//!
//! A frame that a bridge port of ours receives must be IPv4, IPv6 or ARP,
//! untagged, from the port's one MAC address and one of its addresses, or it
//! is dropped. What could mislead a neighbour is dropped too: router
//! advertisements and redirects, answers of DHCP servers, ARP and neighbour
//! discovery that name somebody else, packets that choose their own way. Group membership reports are dropped
//! since the bridge floods groups anyway. Broadcasts and multicasts are
//! limited in number for each port. Ports of other bridges are not touched.
//!
//! What most frames are, TCP and UDP to one neighbour or the host with a plain
//! header, is judged by one rule that asks the same of it.
//!
//! Between neighbours nobody's connections are tracked: where bridged packets
//! are shown to the hooks of IP (`br_netfilter`), tracking and translation
//! would cost more than all rules here, and nothing is decided by it. What was
//! led to a neighbour by a published port bears the host's address, and goes
//! to the host's MAC address and back.

use super::{
    FIRST, Writer, bytes, deny,
    elements::{CALM, FROM4, FROM6, OWN, PORTS},
    filter, go, pass, port_in, protocol,
};
use crate::nft::{
    Family, INPUT, PREROUTING,
    expr::{
        Base, Expr, Extra, Is, Meta, Verdict, cmp, has, later_fragment, lookup, lookup_not, mask,
        meta, payload, untracked, verdict,
    },
};

fn ethertype(value: u16) -> [Expr; 2] {
    // Read from the frame, where a VLAN tag shows, not from the packet's
    // description, which leaves the tag out.
    bytes(Base::Link, 12, &value.to_be_bytes())
}

/// Loads who sent the frame: its port and its MAC address.
fn sender() -> [Expr; 2] {
    [meta(Meta::Iifname, 0), payload(Base::Link, 6, 6, 4)]
}

/// Looks the sender up, together with bytes at an offset.
pub(super) fn sender_and(base: Base, offset: u32, length: u32, lookup: Expr) -> [Expr; 4] {
    let [port, mac] = sender();
    [port, mac, payload(base, offset, length, 6), lookup]
}

fn is_group() -> [Expr; 3] {
    [payload(Base::Link, 0, 1, 0), mask(0, &[1]), cmp(0, Is::Eq, &[1])]
}

/// The bridge's own group addresses, 01:80:c2:00:00:00 to 0f: spanning tree,
/// LLDP, 802.1X. Source: IEEE 802.1D, table 7-10.
fn is_bridge_group() -> [Expr; 3] {
    [
        payload(Base::Link, 0, 6, 0),
        mask(0, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]),
        cmp(0, Is::Eq, &[0x01, 0x80, 0xc2, 0, 0, 0]),
    ]
}

pub(super) fn dhcp_port(offset: u32, port: u16) -> [Expr; 2] {
    bytes(Base::Transport, offset, &port.to_be_bytes())
}

/// Goes on for the types, first to last, of an ICMP message.
pub(super) fn types(first: u8, last: u8) -> [Expr; 3] {
    let load = payload(Base::Transport, 0, 1, 0);
    [load, cmp(0, Is::AtLeast, &[first]), cmp(0, Is::AtMost, &[last])]
}

/// Goes on for frames to one port alone. Source: `PACKET_BROADCAST`,
/// `PACKET_MULTICAST`.
fn to_one() -> [Expr; 3] {
    [meta(Meta::Pkttype, 0), cmp(0, Is::Ne, &[1]), cmp(0, Is::Ne, &[2])]
}

/// Goes on for frames that the bridge is not the last to see. Source:
/// `PACKET_OTHERHOST`, which the bridge takes from frames to its own address.
fn to_neighbour() -> [Expr; 2] {
    [meta(Meta::Pkttype, 0), cmp(0, Is::Eq, &[3])]
}

/// Known already where it stands: tells nft(8) how to list the rest.
fn listed_as(ethertype: u16) -> [Expr; 2] {
    [meta(Meta::Protocol, 0), cmp(0, Is::Eq, &ethertype.to_be_bytes())]
}

/// Goes on if the packet's protocol could be found.
fn whole() -> [Expr; 1] {
    [meta(Meta::L4proto, 0)]
}

pub(super) fn write(w: &mut Writer<'_>) {
    w.declare(
        Family::Bridge,
        &[
            "guard",
            "passed",
            "crowd",
            "from_arp",
            "from_ip",
            "from_udp",
            "from_icmp",
            "from_ip6",
            "from_udp6",
            "from_icmp6",
            "solicit",
            "advertise",
        ],
    );
    w.enter("arriving", filter(PREROUTING, FIRST));
    plain(w);
    w.rule("what our ports receive", &[&port_in(&PORTS), &go("guard")]);
    w.enter("to_host", filter(INPUT, FIRST));
    w.rule("spanning tree, LLDP, 802.1X", &[&is_bridge_group(), &port_in(&PORTS), &deny()]);

    w.begin("guard");
    w.rule("storms", &[&is_group(), &[verdict(Verdict::Jump("crowd"))]]);
    w.rule("", &[&ethertype(0x0800), &go("from_ip")]);
    w.rule("", &[&ethertype(0x86dd), &go("from_ip6")]);
    w.rule("", &[&ethertype(0x0806), &go("from_arp")]);
    w.rule("VLANs and all else", &[&deny()]);
    w.begin("crowd");
    w.rule("", &[&port_in(&CALM), &[verdict(Verdict::Return)]]);
    w.rule("too many", &[&deny()]);

    w.begin("passed");
    w.rule("between neighbours", &[&to_neighbour(), &[untracked()]]);
    w.rule("", &[&pass()]);
    arp_and_ipv4(w);
    ipv6(w);
}

/// The common case: no options and no other headers between, which could hold
/// what is looked for below, and all of the transport header's beginning.
fn plain(w: &mut Writer<'_>) {
    let from4 = sender_and(Base::Network, 12, 4, lookup(FROM4.name));
    let from6 = sender_and(Base::Network, 8, 16, lookup(FROM6.name));
    // Version and header length; next header.
    let without_options = bytes(Base::Network, 0, &[0x45]);
    let next = |protocol| bytes(Base::Network, 6, &[protocol]);
    let not = |offset, port: u16| {
        [payload(Base::Transport, offset, 2, 0), cmp(0, Is::Ne, &port.to_be_bytes())]
    };
    let (no_server, no_client) = (not(0, 67), not(2, 68));
    let (no_server6, no_client6) = (not(0, 547), not(2, 546));
    let (one, go) = (to_one(), go("passed"));
    let (ip, ip6) = (ethertype(0x0800), ethertype(0x86dd));
    let (tcp, udp) = (protocol(6), protocol(17));
    let word = "most of TCP";
    w.rule(word, &[&one, &tcp, &ip, &without_options, &from4, &go]);
    w.rule(word, &[&one, &tcp, &ip6, &next(6), &from6, &go]);
    let word = "most of UDP";
    w.rule(word, &[&one, &udp, &ip, &without_options, &no_server, &no_client, &from4, &go]);
    w.rule(word, &[&one, &udp, &ip6, &next(17), &no_server6, &no_client6, &from6, &go]);
}

fn arp_and_ipv4(w: &mut Writer<'_>) {
    // Ethernet, IPv4, the lengths of their addresses; question or answer.
    let arp = [
        payload(Base::Network, 0, 8, 0),
        cmp(0, Is::AtLeast, &[0, 1, 8, 0, 6, 4, 0, 1]),
        cmp(0, Is::AtMost, &[0, 1, 8, 0, 6, 4, 0, 2]),
    ];
    let own_mac = sender_and(Base::Network, 8, 6, lookup(OWN.name));
    let own_address = sender_and(Base::Network, 14, 4, lookup(FROM4.name));
    w.begin("from_arp");
    w.rule("of itself", &[&listed_as(0x0806), &arp, &own_mac, &own_address, &pass()]);
    w.rule("of others", &[&deny()]);

    w.begin("from_ip");
    let false_address = sender_and(Base::Network, 12, 4, lookup_not(FROM4.name));
    w.rule("false addresses", &[&listed_as(0x0800), &false_address, &deny()]);
    for route in [Extra::Loose, Extra::Strict] {
        w.rule("a way of its own choice", &[&listed_as(0x0800), &has(route), &deny()]);
    }
    w.rule("", &[&protocol(17), &go("from_udp")]);
    w.rule("", &[&protocol(1), &go("from_icmp")]);
    w.rule("group membership", &[&protocol(2), &deny()]);
    w.rule("whole headers", &[&whole(), &go("passed")]);
    w.rule("cut headers", &[&deny()]);
    w.begin("from_udp");
    w.rule("a DHCP server", &[&dhcp_port(0, 67), &deny()]);
    w.rule("to a DHCP client", &[&dhcp_port(2, 68), &deny()]);
    w.rule("", &[&go("passed")]);
    w.begin("from_icmp");
    w.rule("redirects", &[&types(5, 5), &deny()]);
    w.rule("routers", &[&types(9, 9), &deny()]);
    w.rule("", &[&go("passed")]);
}

/// Ends a chain that has judged what stands in a header: a packet of which
/// that has come in a later piece would not have been judged at all.
fn seen_or_later(w: &mut Writer<'_>) {
    w.rule("", &[&[payload(Base::Transport, 0, 1, 0), cmp(0, Is::AtLeast, &[0])], &go("passed")]);
    w.rule("the rest of a packet", &[&later_fragment(), &go("passed")]);
    w.rule("a header that is yet to come", &[&deny()]);
}

/// Types of ICMPv6: RFC 4861, 2710, 3810, 2894, 3122, 3971, 4286.
fn ipv6(w: &mut Writer<'_>) {
    w.begin("from_ip6");
    let false_address = sender_and(Base::Network, 8, 16, lookup_not(FROM6.name));
    w.rule("false addresses", &[&listed_as(0x86dd), &false_address, &deny()]);
    w.rule("a way of its own choice", &[&listed_as(0x86dd), &has(Extra::Routing), &deny()]);
    w.rule("", &[&protocol(17), &go("from_udp6")]);
    w.rule("", &[&protocol(58), &go("from_icmp6")]);
    w.rule("whole headers", &[&whole(), &go("passed")]);
    w.rule("cut headers", &[&deny()]);
    w.begin("from_udp6");
    w.rule("a DHCP server", &[&dhcp_port(0, 547), &deny()]);
    w.rule("to a DHCP client", &[&dhcp_port(2, 546), &deny()]);
    seen_or_later(w);
    w.begin("from_icmp6");
    w.rule("group membership, routers", &[&types(130, 134), &deny()]);
    w.rule("", &[&types(135, 135), &go("solicit")]);
    w.rule("", &[&types(136, 136), &go("advertise")]);
    w.rule("redirects, renumbering", &[&types(137, 138), &deny()]);
    w.rule("inverse discovery, group membership", &[&types(141, 143), &deny()]);
    w.rule("certification paths, multicast routers", &[&types(148, 153), &deny()]);
    seen_or_later(w);

    // Payload length and next header of the packet: an option that followed
    // those we look at would be read by the neighbour and not by us, and a
    // header that came before would hide them.
    let plain = bytes(Base::Network, 4, &[0, 24, 58]);
    let with_one_option = bytes(Base::Network, 4, &[0, 32, 58]);
    let sender_mac = bytes(Base::Transport, 24, &[1, 1]);
    let target_mac = bytes(Base::Transport, 24, &[2, 1]);
    let own_mac = sender_and(Base::Transport, 26, 6, lookup(OWN.name));
    let own_target = sender_and(Base::Transport, 8, 16, lookup(FROM6.name));
    w.begin("solicit");
    w.rule("", &[&plain, &go("passed")]);
    w.rule("from its own MAC", &[&with_one_option, &sender_mac, &own_mac, &go("passed")]);
    w.rule("of others", &[&deny()]);
    w.begin("advertise");
    w.rule("", &[&plain, &own_target, &go("passed")]);
    let itself: [&[Expr]; 5] =
        [&with_one_option, &target_mac, &own_mac, &own_target, &go("passed")];
    w.rule("itself at its own MAC", &itself);
    w.rule("others", &[&deny()]);
}

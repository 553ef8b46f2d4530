//! The sets that the rules look things up in, and what is in them.

use super::egress;
use crate::{
    BridgeConfig, Endpoint, Mac, Proto, Published,
    nft::{Element, Family, Part, Set, expr::Ip},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const PLAIN: Set = Set {
    family: Family::Inet,
    name: "",
    key: &[],
    data: &[],
    limit: None,
    ranges: false,
    fleeting: false,
};

const fn bridge_set(name: &'static str, key: &'static [Part]) -> Set {
    Set { family: Family::Bridge, name, key, ..PLAIN }
}

pub(super) const fn inet_set(name: &'static str, key: &'static [Part]) -> Set {
    Set { name, key, ..PLAIN }
}

const fn inet_map(name: &'static str, key: &'static [Part], data: &'static [Part]) -> Set {
    Set { name, key, data, ..PLAIN }
}

/// Ports under guard. A port leaves it only once the interface is gone.
pub(super) const PORTS: Set = bridge_set("ports", &[Part::Ifname]);

/// Ports that have not sent too many broadcasts and multicasts just now: 200
/// a second is far beyond what address resolution and service discovery need.
pub(super) const CALM: Set = Set { limit: Some((200, 400)), ..bridge_set("calm", &[Part::Ifname]) };

/// The MAC address of each port, twice: a frame bears one, and claims another
/// in ARP or neighbour discovery.
pub(super) const OWN: Set = bridge_set("own", &[Part::Ifname, Part::Mac, Part::Mac]);

/// The IPv4 address of each port.
pub(super) const FROM4: Set = bridge_set("from4", &[Part::Ifname, Part::Mac, Part::Ipv4]);

/// The IPv6 addresses of each port.
pub(super) const FROM6: Set = bridge_set("from6", &[Part::Ifname, Part::Mac, Part::Ipv6]);

/// Our bridges.
pub(super) const BRIDGES: Set = inet_set("bridges", &[Part::Ifname]);

/// Those of them that have a way out.
pub(super) const OPEN: Set = inet_set("open", &[Part::Ifname]);

/// Those of them whose containers go out under the host's address.
pub(super) const HIDDEN: Set = inet_set("hidden", &[Part::Ifname]);

/// Every bridge with itself.
pub(super) const SAME: Set = inet_set("same", &[Part::Ifname, Part::Ifname]);

/// Bridges between which packets may be forwarded: each with itself, if its
/// containers may talk to one another.
pub(super) const PAIRS: Set = inet_set("pairs", &[Part::Ifname, Part::Ifname]);

/// Families that this host forwards for us alone: it did not before.
pub(super) const CLOSED: Set = inet_set("closed", &[Part::Ip]);

/// Published on one address of the host.
pub(super) const TO4: Set =
    inet_map("to4", &[Part::Proto, Part::Ipv4, Part::Port], &[Part::Ipv4, Part::Port]);
pub(super) const TO6: Set =
    inet_map("to6", &[Part::Proto, Part::Ipv6, Part::Port], &[Part::Ipv6, Part::Port]);

/// Published on all addresses of the host.
pub(super) const ANY4: Set =
    inet_map("any4", &[Part::Proto, Part::Port], &[Part::Ipv4, Part::Port]);
pub(super) const ANY6: Set =
    inet_map("any6", &[Part::Proto, Part::Port], &[Part::Ipv6, Part::Port]);

/// Runs of ports that lead to the same ports of a container, each run one
/// element. A run that leads to other ports is one element a port above: this
/// kernel's translation by a range would give a second connection from the
/// same address and port to another port of the container, published or not.
pub(super) const RUNS_TO4: Set =
    Set { ranges: true, ..inet_map("runs_to4", TO4.key, &[Part::Ipv4]) };
pub(super) const RUNS_TO6: Set =
    Set { ranges: true, ..inet_map("runs_to6", TO6.key, &[Part::Ipv6]) };
pub(super) const RUNS_ANY4: Set =
    Set { ranges: true, ..inet_map("runs_any4", ANY4.key, &[Part::Ipv4]) };
pub(super) const RUNS_ANY6: Set =
    Set { ranges: true, ..inet_map("runs_any6", ANY6.key, &[Part::Ipv6]) };

/// Every set that owners have elements in.
pub(super) const OWN_SETS: [Set; 19] = [
    PORTS, CALM, OWN, FROM4, FROM6, BRIDGES, OPEN, HIDDEN, SAME, PAIRS, CLOSED, TO4, TO6, ANY4,
    ANY6, RUNS_TO4, RUNS_TO6, RUNS_ANY4, RUNS_ANY6,
];

/// An interface's name as a key.
pub(crate) fn ifname(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// What a network is to the rules.
pub(super) fn of_network(config: &BridgeConfig) -> Vec<Element> {
    let name = ifname(&config.name);
    let with_itself = [&name[..], &name[..]].concat();
    let mut elements =
        vec![Element::of(&BRIDGES, name.clone()), Element::of(&SAME, with_itself.clone())];
    if config.icc {
        elements.push(Element::of(&PAIRS, with_itself));
    }
    if !config.internal {
        elements.push(Element::of(&OPEN, name.clone()));
        if config.masquerade {
            elements.push(Element::of(&HIDDEN, name.clone()));
        }
    }
    elements.extend(egress::of_bridge(name, &config.egress));
    elements
}

/// What a host's family, forwarded for us alone, is to the rules.
pub(crate) fn of_closed(v6: bool) -> Element {
    Element::of(&CLOSED, vec![if v6 { Ip::V6 } else { Ip::V4 } as u8])
}

/// The element that keeps a port under guard; the last to go.
pub(crate) fn of_port(host: &str) -> Element {
    Element::of(&PORTS, ifname(host))
}

/// The port that such an element guards.
pub(super) fn port_of(element: &Element) -> Option<String> {
    if element.set != PORTS.name {
        return None;
    }
    let end = element.key.iter().position(|b| *b == 0).unwrap_or(element.key.len());
    String::from_utf8(element.key[..end].to_vec()).ok()
}

/// The address that such an element lets a port use, link-local ones left out.
pub(super) fn address_of(element: &Element) -> Option<IpAddr> {
    let of_link = |address: &IpAddr| match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    any_address_of(element).filter(|address| !of_link(address))
}

/// The same, whatever it is.
pub(super) fn any_address_of(element: &Element) -> Option<IpAddr> {
    let address = element.key.get(24..)?;
    match element.set {
        set if set == FROM4.name => Some(Ipv4Addr::from(*address.first_chunk::<4>()?).into()),
        set if set == FROM6.name => Some(Ipv6Addr::from(*address.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// The port of the host that such an element publishes, or the run of them; as
/// the container's stands the same, which is not read back.
pub(crate) fn published_of(element: &Element) -> Option<Published> {
    let maps = [TO4, TO6, ANY4, ANY6, RUNS_TO4, RUNS_TO6, RUNS_ANY4, RUNS_ANY6];
    let map = maps.into_iter().find(|map| map.name == element.set)?;
    let key = &element.key;
    let proto = match key.first()? {
        6 => Proto::Tcp,
        17 => Proto::Udp,
        132 => Proto::Sctp,
        _ => return None,
    };
    let host_ip: IpAddr = match map.key {
        [_, Part::Ipv4, _] => Ipv4Addr::from(*key.get(4..)?.first_chunk::<4>()?).into(),
        [_, Part::Ipv6, _] => Ipv6Addr::from(*key.get(4..)?.first_chunk::<16>()?).into(),
        _ if map.data[0] == Part::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let port_in = |key: &[u8]| {
        key.get(key.len().checked_sub(4)?..)?.first_chunk().map(|port| u16::from_be_bytes(*port))
    };
    let host_port = port_in(key)?;
    let last = if map.ranges { port_in(&element.end)? } else { host_port };
    let count = last.checked_sub(host_port)?.checked_add(1)?;
    Some(Published { proto, host_ip, host_port, container_port: host_port, count })
}

/// What an endpoint behind a port is to the rules.
pub(super) fn of_endpoint(host: &str, endpoint: &Endpoint) -> Vec<Element> {
    let port = ifname(host);
    let mac = padded(endpoint.mac);
    let key = |address: &[u8]| [&port[..], &mac, address].concat();
    let mut elements =
        vec![of_port(host), Element::of(&CALM, port.clone()), Element::of(&OWN, key(&mac))];
    elements.extend(endpoint.addr4.map(|a| Element::of(&FROM4, key(&a.octets()))));
    // A fence is found by an address that nobody else has, which one of the
    // link's alone need not be: who is fenced has no right to it.
    let link_local = Some(endpoint.mac.link_local()).filter(|_| !endpoint.egress.fenced);
    for address in endpoint.addr6.into_iter().flat_map(|a| [Some(a), link_local]).flatten() {
        elements.push(Element::of(&FROM6, key(&address.octets())));
    }
    let own = endpoint.mac.link_local();
    let more = endpoint.link_local.iter().filter(|a| **a != own && !endpoint.egress.fenced);
    elements.extend(more.map(|a| match a {
        IpAddr::V4(a) => Element::of(&FROM4, key(&a.octets())),
        IpAddr::V6(a) => Element::of(&FROM6, key(&a.octets())),
    }));
    for address in endpoint.addresses() {
        elements.extend(egress::of_address(address, &endpoint.egress));
    }
    let mut ports: Vec<_> =
        endpoint.ports.iter().flat_map(|run| of_published(run, endpoint)).collect();
    // Side by side with those of the same map, so that they share messages.
    ports.sort_by_key(|element| element.set);
    elements.extend(ports);
    elements
}

pub(super) fn padded(mac: Mac) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&mac.0);
    bytes
}

/// The maps' elements for a port or a run of them; none if the container has no
/// address of their family.
fn of_published(run: &Published, endpoint: &Endpoint) -> Vec<Element> {
    let address = match run.host_ip {
        IpAddr::V4(_) => endpoint.addr4.map(|address| address.octets().to_vec()),
        IpAddr::V6(_) => endpoint.addr6.map(|address| address.octets().to_vec()),
    };
    let Some(address) = address else { return Vec::new() };
    if run.count > 1 && run.host_port == run.container_port {
        return vec![of_run(run, address)];
    }
    run.each().map(|port| of_port_led(&port, &address)).collect()
}

/// A port as the last part of a key, or of data.
fn word(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// What is asked for, to come before the port in a key.
fn asked(published: &Published) -> Vec<u8> {
    let proto = [published.proto.number(), 0, 0, 0];
    match published.host_ip {
        ip if ip.is_unspecified() => proto.to_vec(),
        IpAddr::V4(on) => [&proto[..], &on.octets()].concat(),
        IpAddr::V6(on) => [&proto[..], &on.octets()].concat(),
    }
}

fn of_port_led(published: &Published, address: &[u8]) -> Element {
    let map = match (published.host_ip, published.host_ip.is_unspecified()) {
        (IpAddr::V4(_), true) => &ANY4,
        (IpAddr::V4(_), false) => &TO4,
        (IpAddr::V6(_), true) => &ANY6,
        (IpAddr::V6(_), false) => &TO6,
    };
    let key = [&asked(published)[..], &word(published.host_port)].concat();
    Element::mapping(map, key, [address, &word(published.container_port)].concat())
}

fn of_run(run: &Published, address: Vec<u8>) -> Element {
    let map = match (run.host_ip, run.host_ip.is_unspecified()) {
        (IpAddr::V4(_), true) => &RUNS_ANY4,
        (IpAddr::V4(_), false) => &RUNS_TO4,
        (IpAddr::V6(_), true) => &RUNS_ANY6,
        (IpAddr::V6(_), false) => &RUNS_TO6,
    };
    let (first, last) = run.host_ports().into_inner();
    let key = |port| [&asked(run)[..], &word(port)].concat();
    Element { end: key(last), ..Element::mapping(map, key(first), address) }
}

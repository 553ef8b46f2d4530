//! What may pass: the rules, which never change while containers come and
//! go, and the sets that they look things up in, which do.
//!
//! - [`elements`]: the sets, and what is in them for a network or a container.
//! - [`guard`]: what a container may say on its port.
//! - [`lines`]: what one may say on a line, and what is particular about it.
//! - [`modes`]: networks that are not hidden behind the host.
//! - [`egress`]: what containers may begin towards the outside.
//! - [`host`]: which of the host's addresses containers reach.
//! - [`roads`]: between networks, the outside and the host's ports.

pub(crate) mod egress;
mod elements;
mod guard;
mod host;
mod lines;
mod modes;
mod roads;

pub(crate) use elements::{ifname, of_closed, published_of};

use crate::{
    BridgeConfig, Driver, Endpoint,
    netlink::Message,
    nft::{
        self, Element, Family, Hook, Set, Table,
        expr::{Base, Expr, Is, Meta, Verdict, cmp, lookup, meta, payload, verdict},
    },
};
use std::net::IpAddr;

/// What a network is to the rules; its lines bear the number `group`. That of
/// the realm's name is the default network.
pub(crate) fn of_network(config: &BridgeConfig, group: u32, realm: &str) -> Vec<Element> {
    let mut elements = elements::of_network(config);
    elements.extend(lines::of_group(group, config));
    elements.extend(modes::of_interface(&config.name, config));
    elements.extend(host::of_interface(&config.name, config));
    if config.name == realm {
        elements.extend(host::of_default(config));
    }
    elements
}

/// What an endpoint is to the rules, behind an interface of the host's.
pub(crate) fn of_endpoint(host: &str, endpoint: &Endpoint, config: &BridgeConfig) -> Vec<Element> {
    // Ports that are reached straight have none of the host's.
    let mut led = endpoint.clone();
    led.ports.retain(|port| port.host_port != 0);
    let mut elements = match config.driver {
        Driver::Bridge => elements::of_endpoint(host, &led),
        Driver::Routed => lines::of_line(host, &led, config),
        // There is nowhere to judge it.
        Driver::Beside => return Vec::new(),
    };
    elements.extend(modes::of_ports(endpoint, config));
    elements
}

/// The interface that such an element keeps under guard.
pub(crate) fn port_of(element: &Element) -> Option<String> {
    elements::port_of(element).or_else(|| lines::port_of(element))
}

/// The address that such an element lets a container use, link-local ones left
/// out.
pub(crate) fn address_of(element: &Element) -> Option<IpAddr> {
    elements::address_of(element).or_else(|| lines::address_of(element))
}

/// The same, link-local ones too.
pub(crate) fn any_address_of(element: &Element) -> Option<IpAddr> {
    elements::any_address_of(element).or_else(|| lines::address_of(element))
}

/// Before anything else of this hook that a host is likely to have.
const FIRST: i32 = -300;

/// The messages that bring both tables to the state of this program, as one
/// transaction's content. Elements stay.
///
/// `loopback6`: published ports answer under `::1`; see
/// [`forwarding::loopback6`](crate::forwarding::loopback6).
pub(crate) fn install(table: &str, loopback6: bool) -> Vec<Message> {
    let mut writer = Writer { messages: Vec::new(), table, family: Family::Bridge, chain: "" };
    for family in [Family::Bridge, Family::Inet] {
        writer.messages.push(nft::table(Table { family, name: table }));
        writer.messages.push(nft::flush(Table { family, name: table }));
    }
    let sets = owned_sets().chain(&egress::LEARNT);
    writer.messages.extend((1..).zip(sets).map(|(id, set)| nft::set(table, set, id)));
    guard::write(&mut writer);
    egress::write(&mut writer);
    roads::write(&mut writer, loopback6);
    host::write(&mut writer);
    writer.messages
}

/// Every set that owners have elements in.
pub(crate) fn owned_sets() -> impl Iterator<Item = &'static Set> {
    let of_drivers = lines::SETS.iter().chain(&modes::SETS).chain(&host::SETS);
    elements::OWN_SETS.iter().chain(of_drivers).chain(&egress::OWNED)
}

/// Does it say what may go out of a container?
pub(crate) fn is_of_fence(element: &nft::Element) -> bool {
    egress::OWNED.iter().any(|set| set.name == element.set)
}

/// Rules being written, chain by chain.
struct Writer<'a> {
    messages: Vec<Message>,
    table: &'a str,
    family: Family,
    chain: &'static str,
}

impl Writer<'_> {
    /// Makes chains that others go to, before any rule says so.
    fn declare(&mut self, family: Family, chains: &[&str]) {
        self.family = family;
        let table = Table { family, name: self.table };
        self.messages.extend(chains.iter().map(|chain| nft::chain(table, chain, None)));
    }

    /// The rules that follow are of a chain that packets enter.
    fn enter(&mut self, chain: &'static str, hook: Hook) {
        self.chain = chain;
        let table = Table { family: self.family, name: self.table };
        self.messages.push(nft::chain(table, chain, Some(hook)));
    }

    /// The rules that follow are of a declared chain.
    fn begin(&mut self, chain: &'static str) {
        self.chain = chain;
    }

    /// A rule, with a word for who lists it.
    fn rule(&mut self, word: &str, pieces: &[&[Expr]]) {
        let table = Table { family: self.family, name: self.table };
        self.messages.push(nft::rule(table, self.chain, &pieces.concat(), word));
    }
}

fn filter(number: u32, priority: i32) -> Hook {
    Hook { kind: "filter", number, priority }
}

fn pass() -> [Expr; 1] {
    [verdict(Verdict::Accept)]
}

fn deny() -> [Expr; 1] {
    [verdict(Verdict::Drop)]
}

fn go(chain: &'static str) -> [Expr; 1] {
    [verdict(Verdict::Goto(chain))]
}

/// Goes on for one value at one place of the frame.
fn bytes(base: Base, offset: u32, value: &[u8]) -> [Expr; 2] {
    let length = u32::try_from(value.len()).expect("a few bytes");
    [payload(base, offset, length, 0), cmp(0, Is::Eq, value)]
}

fn protocol(number: u8) -> [Expr; 2] {
    [meta(Meta::L4proto, 0), cmp(0, Is::Eq, &[number])]
}

fn port_in(set: &Set) -> [Expr; 2] {
    [meta(Meta::Iifname, 0), lookup(set.name)]
}

//! A container's line of a routed network.
//!
//! A line is a pair of interfaces with nothing between them: one end is the
//! container's, the other the host's own. Both bear the container's MAC
//! address and neither asks who is there (`IFF_NOARP`), so whatever the one end
//! sends is for the other: there is no neighbour table that could be misled,
//! no forwarding table that could be filled, and no frame for anybody else.
//!
//! Inside, everything leads through the network's gateway, which is the host
//! at the other end whatever its address. On the host, a route for each of the
//! container's addresses leads to the line, and dies with it.

use crate::{
    BridgeConfig, Endpoint, forwarding,
    netlink::{Message, link},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// How the host's ends of a network's lines are marked, so that they are
/// known without a bridge they would be ports of.
pub(crate) fn alias(network: &str) -> String {
    format!("cofferdam-line {network}")
}

/// An endpoint's addresses, each with its subnet, whose address part is the
/// gateway's.
fn places(endpoint: &Endpoint, config: &BridgeConfig) -> Vec<(IpAddr, IpNet)> {
    let four = endpoint.addr4.map(IpAddr::from).zip(config.subnet4.map(IpNet::from));
    let six = endpoint.addr6.map(IpAddr::from).zip(config.subnet6.map(IpNet::from));
    four.into_iter().chain(six).collect()
}

/// The host's end of a line.
pub(crate) struct Line {
    pub(crate) index: u32,
    /// What all lines of the network bear: the rules know them by it.
    pub(crate) group: u32,
    /// Ports that it publishes answer under `::1`.
    pub(crate) loopback6: bool,
}

/// What is to be said of the host's end.
pub(crate) fn requests(line: &Line, endpoint: &Endpoint, config: &BridgeConfig) -> Vec<Message> {
    let (index, v6) = (line.index, forwarding::has_ipv6());
    let set = link::set_line(index, &alias(&config.name), line.group, v6);
    let mut requests = vec![set, link::up(index)];
    for (address, _) in places(endpoint, config) {
        let own4 = config.host4().map(|net| net.addr().into());
        let own6 = config.host6().map(|net| net.addr().into());
        let from = if address.is_ipv4() { own4 } else { own6 };
        requests.push(link::add_route(index, address.into(), None, from));
    }
    // Only where it is needed: the kernel goes through all of them.
    if line.loopback6 && endpoint.addr6.is_some() && !endpoint.ports.is_empty() {
        requests.push(link::add_loopback_route6(index));
    }
    requests
}

/// What is to be said of the end inside, which is up.
pub(crate) fn requests_inside(
    index: u32,
    endpoint: &Endpoint,
    config: &BridgeConfig,
) -> Vec<Message> {
    let mut requests = Vec::new();
    for (address, subnet) in places(endpoint, config) {
        let gateway = subnet.addr();
        requests.push(link::add_address(index, address.into()));
        requests.push(link::add_route(index, gateway.into(), None, None));
        requests.push(link::add_route(index, subnet.trunc(), Some(gateway), None));
        let leads_out = if gateway.is_ipv4() { endpoint.default4 } else { endpoint.default6 };
        if leads_out && !config.internal {
            requests.push(link::add_default_route(index, link::WayOut::Gateway(gateway)));
        }
    }
    requests
}

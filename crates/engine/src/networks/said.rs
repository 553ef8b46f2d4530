//! What a client says of a container's place on one network.

use super::{Net, NetworkPool, net::Wanted, options, wish::listed};
use crate::{Container, Error};
use ipnet::IpNet;
use network::{Driver, Mac};
use spec::docker::{EndpointIpam, EndpointSettings};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a client said, without what only an answer says.
pub(super) fn wished(settings: EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        ipam_config: settings.ipam_config,
        links: settings.links,
        aliases: settings.aliases,
        mac_address: settings.mac_address,
        driver_opts: settings.driver_opts,
        gw_priority: settings.gw_priority,
        ..EndpointSettings::default()
    }
}

pub(super) fn shared() -> Error {
    Error::Invalid(
        "container sharing network namespace with another container or host cannot be connected \
         to any other network"
            .into(),
    )
}

pub(super) fn alone() -> Error {
    Error::Invalid(
        "container cannot be connected to multiple networks with one of the networks in private \
         (none) mode"
            .into(),
    )
}

/// Judges what a client said of one endpoint; the words are Docker's.
pub(super) fn check(net: &Net, settings: &EndpointSettings) -> Result<(), String> {
    let mut wrong = Vec::new();
    let nothing = EndpointIpam::default();
    let ipam = settings.ipam_config.as_ref().unwrap_or(&nothing);
    let is_static = !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty();
    if net.network.is_predefined() {
        if is_static {
            wrong.push(
                "user specified IP address is supported on user defined networks only".into(),
            );
        }
        if settings.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
            let words =
                "network-scoped alias is supported only for containers in user defined networks";
            wrong.push(words.into());
        }
    }
    match link_local(settings) {
        Ok(addresses) => wrong.extend(addresses.iter().filter_map(|a| unheard(net, *a))),
        Err(words) => wrong.extend(words),
    }
    for (text, v4) in [(&ipam.ipv4_address, true), (&ipam.ipv6_address, false)] {
        if !text.is_empty() {
            check_address(net, text, v4).unwrap_or_else(|words| wrong.push(words));
        }
    }
    let mac = settings.mac_address.as_str();
    if !mac.is_empty() {
        read_mac(mac).map_or_else(|words| wrong.push(words), drop);
    }
    options::read(settings).map_or_else(|words| wrong.extend(words), drop);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("invalid endpoint settings:\n{}", listed(&wrong)))
}

/// The link-local addresses that settings ask for.
///
/// # Errors
/// Those that are none.
pub(crate) fn link_local(settings: &EndpointSettings) -> Result<Vec<IpAddr>, Vec<String>> {
    let is = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let asked = settings.ipam_config.iter().flat_map(|ipam| &ipam.link_local_ips);
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    for text in asked {
        match text.parse::<IpAddr>().ok().filter(is) {
            Some(address) => read.push(address),
            None => wrong.push(format!("invalid link-local IP address: {text}")),
        }
    }
    if wrong.is_empty() { Ok(read) } else { Err(wrong) }
}

/// Why a link-local address would be of no use on a network.
fn unheard(net: &Net, address: IpAddr) -> Option<String> {
    let config = &net.plan()?.bridge;
    if config.driver == Driver::Routed {
        let words = "would be heard by nobody: containers of a routed network share no link";
        return Some(format!("the link-local address {address} {words}"));
    }
    let has = if address.is_ipv4() { config.subnet4.is_some() } else { config.subnet6.is_some() };
    let family = if address.is_ipv4() { 4 } else { 6 };
    (!has).then(|| format!("the link-local address {address} needs a network with IPv{family}"))
}

fn check_address(net: &Net, text: &str, v4: bool) -> Result<(), String> {
    let family = if v4 { 4 } else { 6 };
    let address = text.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == v4);
    let address = address.ok_or_else(|| format!("invalid IPv{family} address: {text}"))?;
    let asked = net.plan().and_then(|plan| {
        let (four, six) = (plan.bridge.subnet4, plan.bridge.subnet6);
        let four = four.filter(|_| plan.asked4).map(IpNet::from);
        let six = six.filter(|_| plan.asked6).map(IpNet::from);
        if v4 { four } else { six }
    });
    let within = |pool: &NetworkPool| {
        pool.subnet.parse::<IpNet>().is_ok_and(|subnet| subnet.contains(&address))
    };
    // Of a family that the network was given a subnet of and does not speak:
    // kept and shown, and nobody has it.
    let silent = if v4 { !net.network.ipv4 } else { !net.network.ipv6 };
    if silent && net.network.pools.iter().any(within) {
        return Ok(());
    }
    let Some(subnet) = asked else {
        let words = "user specified IP address is supported only when connecting to networks with \
                     user configured subnets";
        return Err(words.into());
    };
    if subnet.contains(&address) {
        return Ok(());
    }
    Err(format!("no configured subnet or ip-range contain the IP address {address}"))
}

/// The addresses that settings ask for, which have been checked.
pub(super) fn wanted(settings: &EndpointSettings) -> Result<Wanted, Error> {
    let Some(ipam) = &settings.ipam_config else { return Ok(Wanted::default()) };
    let invalid = |text: &str| Error::Invalid(format!("invalid IP address: {text}"));
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let v4 = some(&ipam.ipv4_address);
    let v6 = some(&ipam.ipv6_address);
    Ok(Wanted {
        v4: v4.map(|t| t.parse::<Ipv4Addr>().map_err(|_| invalid(&t))).transpose()?,
        v6: v6.map(|t| t.parse::<Ipv6Addr>().map_err(|_| invalid(&t))).transpose()?,
    })
}

/// A MAC address that was asked for: for this network, or for the container's
/// first one.
pub(super) fn wished_mac(network: &str, container: &Container) -> Result<Option<Mac>, Error> {
    let asked = container.macs.get(network).map(String::as_str).filter(|mac| !mac.is_empty());
    asked.map(mac).transpose()
}

/// Reads a MAC address that an interface may have.
///
/// # Errors
/// It is none.
pub(crate) fn mac(text: &str) -> Result<Mac, Error> {
    read_mac(text).map_err(Error::Invalid)
}

fn read_mac(text: &str) -> Result<Mac, String> {
    let mac = text.parse::<Mac>().ok().filter(|mac| mac.is_station());
    mac.ok_or_else(|| format!("invalid MAC address: {text}"))
}

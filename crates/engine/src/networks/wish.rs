//! What a user asks of a new network, judged: words in, a [`Plan`] out.
//!
//! The words of refusals are Docker's, and so is what is refused; asked of
//! dockerd 28.5.

use super::{
    Network, Plan,
    driver::{Options, key},
};
use crate::{Error, Kind};
use ipnet::IpNet;
use network::{BesideKind, BridgeConfig, Driver, GatewayMode, addresses};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// The body of `POST /networks/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct NetworkWish {
    /// Of the network.
    pub name: String,
    /// `bridge`, `routed`, or empty.
    pub driver: String,
    /// `local`, or empty.
    pub scope: String,
    /// IPv4, unless it is said not to.
    pub ipv4: Option<bool>,
    /// IPv6, if it is said to.
    pub ipv6: Option<bool>,
    /// No way out and none in.
    pub internal: bool,
    /// For a swarm.
    pub attachable: bool,
    /// For a swarm.
    pub ingress: bool,
    /// Not a network, but the words for one.
    pub config_only: bool,
    /// The name of such words.
    pub config_from: String,
    /// `default`, or empty.
    pub ipam_driver: String,
    /// Kept and shown.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Subnets; what is missing is chosen.
    pub pools: Vec<NetworkPool>,
    /// For the driver.
    pub options: BTreeMap<String, String>,
    /// For the user's own use.
    pub labels: BTreeMap<String, String>,
}

/// One subnet of a network, in words; empty ones say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPool {
    /// `10.0.0.0/24`.
    pub subnet: String,
    /// `10.0.0.128/25`: where addresses that nobody names come from.
    pub range: String,
    /// `10.0.0.1`.
    pub gateway: String,
    /// Addresses that nobody is given, each with a name for it.
    pub auxiliary: BTreeMap<String, String>,
}

impl NetworkPool {
    /// A subnet that was chosen; its address is the gateway's.
    pub(super) fn chosen(net: IpNet) -> Self {
        let (subnet, gateway) = (net.trunc().to_string(), net.addr().to_string());
        Self { subnet, gateway, ..Self::default() }
    }
}

/// A pool whose words make sense.
#[derive(Debug)]
struct Read {
    subnet: IpNet,
    range: Option<IpNet>,
    gateway: Option<IpAddr>,
    auxiliary: Vec<IpAddr>,
}

/// What is there already.
pub(super) struct Taken<'a> {
    /// Subnets of other networks of this engine.
    pub subnets: &'a [IpNet],
    /// Bridges of other networks, with the networks' identifiers.
    pub bridges: &'a [(String, String)],
    /// What the host routes.
    pub routes: &'a [IpNet],
    /// Has the host IPv6?
    pub ipv6: bool,
}

/// Decides what a new network is.
///
/// # Errors
/// The wish makes no sense, clashes with what is there, or is not carried.
pub(super) fn plan(
    wish: NetworkWish,
    id: String,
    created: crate::Nanos,
    taken: &Taken<'_>,
) -> Result<(Network, Plan), Error> {
    let ipv4 = wish.ipv4.unwrap_or(true);
    let ipv6 = wish.ipv6.unwrap_or(false);
    let driver = carried(&wish)?;
    if !ipv4 && !ipv6 {
        return Err(Error::Invalid("IPv4 or IPv6 must be enabled".into()));
    }
    if ipv6 && !taken.ipv6 {
        let words = "this host's kernel has no IPv6: make the network without --ipv6";
        return Err(Error::Unsupported(words.into()));
    }
    let read = read_pools(&wish.pools)?;
    let (four, six): (Vec<_>, Vec<_>) = read.into_iter().partition(|p| p.subnet.addr().is_ipv4());
    if four.len() > 1 || six.len() > 1 {
        return Err(Error::Forbidden("bridge driver doesn't support multiple subnets".into()));
    }
    let asked = [four.first().filter(|_| ipv4), six.first().filter(|_| ipv6)];
    for pool in asked.into_iter().flatten() {
        if taken.subnets.iter().any(|other| overlap(other, &pool.subnet)) {
            let words = "invalid pool request: Pool overlaps with other one on this address space";
            return Err(Error::Forbidden(words.into()));
        }
    }
    let name = match wish.options.get(key::NAME).filter(|name| !name.is_empty()) {
        // What stands for a parent that is not said; there is no bridge to name.
        _ if driver == Driver::Beside => format!("dm-{}", &id[..12]),
        Some(name) => own_name(name, &id, taken)?,
        None => format!("br-{}", &id[..12]),
    };
    let [asked4, asked6] = asked;
    let gateway4 = with_gateway(ipv4, asked4, || free4(taken))?;
    let gateway6 = with_gateway(ipv6, asked6, || free6(&name, taken))?;
    let mut pools = wish.pools;
    let options = Options(&wish.options);
    let beside = match wish.driver.as_str() {
        "macvlan" => Some(options.beside(BesideKind::Macvlan(options.macvlan()?), wish.internal)?),
        "ipvlan" => Some(options.beside(options.ipvlan()?, wish.internal)?),
        _ => None,
    };
    let (mode4, mode6) =
        (options.mode(key::MODE4, wish.internal)?, options.mode(key::MODE6, wish.internal)?);
    let straight = beside.as_ref().is_some_and(|beside| !beside.kind.has_gateway());
    let unasked = [(asked4, gateway4, mode4), (asked6, gateway6, mode6)];
    let unasked = unasked.into_iter().filter(|(asked, ..)| asked.is_none());
    pools.extend(unasked.filter_map(|(_, net, mode)| {
        let chosen = NetworkPool::chosen(net?);
        // Where nobody has the gateway's address there is none to show.
        let none = straight || mode == GatewayMode::Isolated;
        let gateway = if none { String::new() } else { chosen.gateway };
        Some(NetworkPool { gateway, ..chosen })
    }));
    let named = beside.as_ref().map_or(word(driver), |beside| beside.kind.word());
    let bridge = BridgeConfig {
        name,
        driver,
        beside,
        subnet4: gateway4.and_then(|net| if let IpNet::V4(net) = net { Some(net) } else { None }),
        subnet6: gateway6.and_then(|net| if let IpNet::V6(net) = net { Some(net) } else { None }),
        mtu: options.number(key::MTU)?.unwrap_or(if driver == Driver::Beside { 0 } else { 1500 }),
        icc: options.yes(key::ICC)?.unwrap_or(true),
        masquerade: options.yes(key::MASQUERADE)?.unwrap_or(true),
        internal: wish.internal,
        gateway4: mode4,
        gateway6: mode6,
        inhibit4: options.yes(key::INHIBIT)?.unwrap_or_default(),
        trusted: options.interfaces(key::TRUSTED)?,
        whole_host: options.whole_host(driver)?,
        egress: crate::egress::of_network(
            driver,
            crate::egress::of_option(options.text(crate::egress::KEY))?,
        )?,
    };
    let plan = Plan {
        asked4: asked4.is_some(),
        asked6: asked6.is_some(),
        range4: asked4.and_then(|pool| pool.range),
        range6: asked6.and_then(|pool| pool.range),
        kept: asked.iter().flatten().flat_map(|pool| pool.auxiliary.clone()).collect(),
        binding4: options.address(key::BINDING)?,
        prefix: options.prefix()?,
        bridge,
    };
    let network = Network {
        id,
        name: wish.name,
        driver: named.into(),
        created,
        ipv4,
        ipv6,
        internal: wish.internal,
        attachable: wish.attachable,
        config_only: false,
        config_from: wish.config_from,
        pools,
        ipam_options: wish.ipam_options,
        options: wish.options,
        labels: wish.labels,
        members: BTreeMap::new(),
    };
    Ok((network, plan))
}

/// Words for networks to be made of them (`--config-only`): no network.
///
/// # Errors
/// Words that make no sense, or that are not for such words.
pub(super) fn words_alone(
    wish: NetworkWish,
    id: String,
    created: crate::Nanos,
) -> Result<Network, Error> {
    let operators = wish.internal || wish.attachable || wish.ingress;
    if operators || !matches!(wish.scope.as_str(), "" | "local") {
        return Err(Error::Forbidden(
            "configuration network can only contain network specific fields. Network operator \
             fields like [ ingress | internal | attachable | scope ] are not supported."
                .into(),
        ));
    }
    if !wish.config_from.is_empty() {
        let words = "a configuration network cannot depend on another configuration network";
        return Err(Error::Forbidden(words.into()));
    }
    read_pools(&wish.pools)?;
    Ok(Network {
        id,
        name: wish.name,
        driver: "null".into(),
        created,
        ipv4: wish.ipv4.unwrap_or(true),
        ipv6: wish.ipv6.unwrap_or(false),
        config_only: true,
        pools: wish.pools,
        ipam_options: wish.ipam_options,
        options: wish.options,
        labels: wish.labels,
        ..Network::default()
    })
}

/// A wish that is to be read with the words of another network.
///
/// # Errors
/// It has such words of its own.
pub(super) fn worded(wish: NetworkWish, words: &Network) -> Result<NetworkWish, Error> {
    let own = wish.ipv6.is_some()
        || wish.ipv4.is_some()
        || !matches!(wish.ipam_driver.as_str(), "" | "default")
        || wish.ipam_options.as_ref().is_some_and(|options| !options.is_empty())
        || !(wish.pools.is_empty() && wish.options.is_empty() && wish.labels.is_empty());
    if own {
        return Err(Error::Forbidden(
            "user specified configurations are not supported if the network depends on a \
             configuration network"
                .into(),
        ));
    }
    Ok(NetworkWish {
        ipv4: Some(words.ipv4),
        ipv6: Some(words.ipv6),
        ipam_options: words.ipam_options.clone(),
        pools: words.pools.clone(),
        options: words.options.clone(),
        labels: words.labels.clone(),
        ..wish
    })
}

/// What clients call it.
fn word(driver: Driver) -> &'static str {
    match driver {
        Driver::Bridge => "bridge",
        Driver::Routed => "routed",
        // Of two kinds, which say it themselves.
        Driver::Beside => "macvlan",
    }
}

/// Which driver is meant; refuses what is not a network of this engine's kind.
fn carried(wish: &NetworkWish) -> Result<Driver, Error> {
    let not_carried = |what: &str, instead: &str| {
        Err(Error::Unsupported(format!("{what} is not carried by this engine: {instead}")))
    };
    if !matches!(wish.scope.as_str(), "" | "local") {
        let words =
            format!("cannot create a {} scoped network when swarm is not active", wish.scope);
        return Err(Error::Forbidden(words));
    }
    if wish.ingress {
        return Err(Error::Forbidden("Ingress network can only be global scope network".into()));
    }
    if !matches!(wish.ipam_driver.as_str(), "" | "default") {
        return Err(no_plugin(&wish.ipam_driver));
    }
    match wish.driver.as_str() {
        "" | "bridge" => Ok(Driver::Bridge),
        "routed" => Ok(Driver::Routed),
        "macvlan" | "ipvlan" => Ok(Driver::Beside),
        driver @ ("host" | "null") => {
            Err(Error::Forbidden(format!("only one instance of {driver:?} network is allowed")))
        }
        "overlay" => not_carried("the network driver overlay", "use bridge or routed"),
        driver => Err(no_plugin(driver)),
    }
}

fn no_plugin(name: &str) -> Error {
    Error::Below { kind: Kind::NotFound, message: format!("plugin {name:?} not found") }
}

/// The bridge's name, as the user chose it.
fn own_name(name: &str, id: &str, taken: &Taken<'_>) -> Result<String, Error> {
    if let Some((_, other)) = taken.bridges.iter().find(|(bridge, _)| bridge == name) {
        return Err(Error::Forbidden(format!(
            "cannot create network {id} ({name}): conflicts with network {other} ({name}): \
             networks have same bridge name"
        )));
    }
    Ok(name.to_owned())
}

/// A subnet with its gateway: as asked, or else a free one.
fn with_gateway(
    enabled: bool,
    asked: Option<&Read>,
    free: impl FnOnce() -> Result<IpNet, Error>,
) -> Result<Option<IpNet>, Error> {
    if !enabled {
        return Ok(None);
    }
    let Some(pool) = asked else { return free().map(Some) };
    let within = pool.range.unwrap_or(pool.subnet);
    let taken = |address: IpAddr| pool.auxiliary.contains(&address);
    let first = || addresses::next_free(pool.subnet, Some(within), None, taken);
    let usable = |address: &IpAddr| addresses::is_usable(pool.subnet, *address);
    let gateway = match pool.gateway {
        Some(gateway) if usable(&gateway) && !taken(gateway) => gateway,
        Some(gateway) => {
            let words = format!("failed to allocate gateway ({gateway}): Address already in use");
            return Err(Error::Forbidden(words));
        }
        None => first().ok_or_else(|| {
            let words = format!("no address of {within} is left for the gateway");
            Error::Forbidden(words)
        })?,
    };
    let net = IpNet::new(gateway, pool.subnet.prefix_len()).expect("the subnet's own length");
    Ok(Some(net))
}

fn free4(taken: &Taken<'_>) -> Result<IpNet, Error> {
    let used: Vec<IpNet> = taken.routes.iter().chain(taken.subnets).copied().collect();
    let free = addresses::free_subnet(&addresses::default_pools(), &used);
    let free = free.map(|net| addresses::gateway4(net).into());
    free.ok_or_else(|| {
        Error::Invalid("all predefined address pools have been fully subnetted".into())
    })
}

fn free6(name: &str, taken: &Taken<'_>) -> Result<IpNet, Error> {
    let used = |net: &IpNet| taken.routes.iter().chain(taken.subnets).any(|o| overlap(o, net));
    let subnets = (0..64).map(|n| addresses::private_subnet6(&format!("{name}/{n}")).into());
    let free = subnets.into_iter().find(|net| !used(net));
    free.ok_or_else(|| {
        Error::Invalid("all predefined address pools have been fully subnetted".into())
    })
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Reads the pools; all that is wrong is told at once.
fn read_pools(pools: &[NetworkPool]) -> Result<Vec<Read>, Error> {
    let mut wrong = Vec::new();
    let read = pools.iter().filter_map(|pool| read_pool(pool, &mut wrong)).collect();
    match &wrong[..] {
        [] => Ok(read),
        wrong => Err(Error::Invalid(format!("invalid network config:\n{}", listed(wrong)))),
    }
}

/// How Docker joins errors.
pub(super) fn listed(wrong: &[String]) -> String {
    match wrong {
        [one] => one.clone(),
        many => many.iter().map(|one| format!("* {one}")).collect::<Vec<_>>().join("\n"),
    }
}

fn read_pool(pool: &NetworkPool, wrong: &mut Vec<String>) -> Option<Read> {
    let Ok(subnet) = pool.subnet.parse::<IpNet>() else {
        wrong.push(format!("invalid subnet {}: invalid CIDR block notation", pool.subnet));
        return None;
    };
    if subnet != subnet.trunc() {
        wrong.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
        return None;
    }
    let range = read_range(&pool.range, subnet).map_err(|words| {
        wrong.push(format!("invalid ip-range {}: {words}", pool.range));
    });
    let mut address = |what: &str, name: &str, text: &str| {
        read_address(text, subnet)
            .map_err(|words| wrong.push(format!("invalid {what} {name}: {words}")))
    };
    let gateway = match pool.gateway.as_str() {
        "" => Ok(None),
        text => address("gateway", text, text).map(Some),
    };
    let auxiliary = pool.auxiliary.iter();
    let auxiliary =
        auxiliary.flat_map(|(name, text)| address("auxiliary address", name, text)).collect();
    Some(Read { subnet, range: range.ok()?, gateway: gateway.ok()?, auxiliary })
}

fn read_range(text: &str, subnet: IpNet) -> Result<Option<IpNet>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let range: IpNet = text.parse().map_err(|_| "invalid CIDR block notation".to_owned())?;
    same_family(range.addr(), subnet)?;
    if range.prefix_len() < subnet.prefix_len() {
        return Err(format!("CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range != range.trunc() {
        return Err(format!("it should be {}", range.trunc()));
    }
    if !subnet.contains(&range) {
        return Err(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
    Ok(Some(range))
}

fn read_address(text: &str, subnet: IpNet) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "invalid address".to_owned())?;
    same_family(address, subnet)?;
    if !subnet.contains(&address) {
        return Err(format!("parent subnet {subnet} doesn't contain this address"));
    }
    Ok(address)
}

fn same_family(address: IpAddr, subnet: IpNet) -> Result<(), String> {
    if address.is_ipv4() == subnet.addr().is_ipv4() {
        return Ok(());
    }
    let family = if subnet.addr().is_ipv4() { 4 } else { 6 };
    Err(format!("parent subnet is an IPv{family} block"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use network::{Beside, IpvlanFlag, MacvlanMode};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn net(text: &str) -> IpNet {
        text.parse().expect("a subnet")
    }

    fn decide(wish: NetworkWish) -> Result<(Network, Plan), Error> {
        let (subnets, routes) = ([net("10.5.0.0/24")], [net("172.16.0.0/14")]);
        let bridges = [("taken0".to_owned(), "another".to_owned())];
        let taken = Taken { subnets: &subnets, bridges: &bridges, routes: &routes, ipv6: true };
        plan(wish, ID.into(), 0, &taken)
    }

    fn words(wish: NetworkWish) -> String {
        decide(wish).expect_err("refused").to_string()
    }

    fn pool(subnet: &str) -> NetworkPool {
        NetworkPool { subnet: subnet.into(), ..NetworkPool::default() }
    }

    fn pooled(pools: &[NetworkPool]) -> NetworkWish {
        NetworkWish { pools: pools.to_vec(), ..NetworkWish::default() }
    }

    fn option(key: &str, value: &str) -> NetworkWish {
        let options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        NetworkWish { options, ..NetworkWish::default() }
    }

    #[test]
    fn nothing_said_is_a_free_subnet_and_a_bridge_named_after_the_network() {
        let (network, plan) = decide(NetworkWish::default()).expect("fine");
        assert_eq!(plan.bridge.name, "br-0123456789ab");
        assert_eq!(plan.bridge.subnet4.expect("IPv4").to_string(), "172.20.0.1/16");
        assert_eq!(network.pools, [NetworkPool::chosen(net("172.20.0.1/16"))]);
        assert!(network.ipv4 && !network.ipv6 && plan.bridge.icc && plan.bridge.masquerade);
    }

    #[test]
    fn a_network_beside_an_interface_has_no_bridge_that_could_be_named() {
        for kind in ["macvlan", "ipvlan"] {
            let wish = NetworkWish { driver: kind.into(), ..option(key::NAME, "wg0") };
            assert_eq!(decide(wish).expect("fine").1.bridge.name, "dm-0123456789ab", "{kind}");
        }
    }

    #[test]
    fn the_gateway_is_the_first_of_the_range_unless_it_is_named() {
        let ranged = NetworkPool { range: "10.6.0.128/25".into(), ..pool("10.6.0.0/24") };
        let (network, plan) = decide(pooled(std::slice::from_ref(&ranged))).expect("fine");
        assert_eq!(plan.bridge.subnet4.expect("IPv4").to_string(), "10.6.0.128/24");
        assert_eq!(network.pools, std::slice::from_ref(&ranged), "shown as asked for");
        let named = NetworkPool { gateway: "10.6.0.9".into(), ..ranged };
        let plan = decide(pooled(&[named])).expect("fine").1;
        assert_eq!(plan.bridge.subnet4.expect("IPv4").to_string(), "10.6.0.9/24");
        let auxiliary = BTreeMap::from([("router".to_owned(), "10.6.0.1".to_owned())]);
        let kept = NetworkPool { auxiliary, ..pool("10.6.0.0/24") };
        let plan = decide(pooled(&[kept])).expect("fine").1;
        assert_eq!(plan.bridge.subnet4.expect("IPv4").to_string(), "10.6.0.2/24");
    }

    #[test]
    fn ipv6_comes_beside_or_instead() {
        let both = decide(NetworkWish { ipv6: Some(true), ..NetworkWish::default() });
        let bridge = both.expect("fine").1.bridge;
        assert!(bridge.subnet4.is_some() && bridge.subnet6.is_some());
        let six = NetworkWish { ipv4: Some(false), ipv6: Some(true), ..NetworkWish::default() };
        let bridge = decide(six).expect("fine").1.bridge;
        assert!(bridge.subnet4.is_none() && bridge.subnet6.is_some());
        let none = NetworkWish { ipv4: Some(false), ..NetworkWish::default() };
        assert_eq!(words(none), "IPv4 or IPv6 must be enabled");
    }

    #[test]
    fn pools_that_make_no_sense_are_refused_in_dockers_words() {
        let one = |pool| words(pooled(&[pool]));
        let start = "invalid network config:\n";
        let notation = "invalid subnet 10.1.2.0/33: invalid CIDR block notation";
        assert_eq!(one(pool("10.1.2.0/33")), format!("{start}{notation}"));
        let host = "invalid subnet 10.1.2.3/24: it should be 10.1.2.0/24";
        assert_eq!(one(pool("10.1.2.3/24")), format!("{start}{host}"));
        let auxiliary = BTreeMap::from([("a".to_owned(), "x".to_owned())]);
        let all = NetworkPool {
            subnet: "10.6.0.0/24".into(),
            range: "10.6.0.0/16".into(),
            gateway: "10.7.0.1".into(),
            auxiliary,
        };
        assert_eq!(
            one(all),
            "invalid network config:\n\
             * invalid ip-range 10.6.0.0/16: CIDR block is bigger than its parent subnet 10.6.0.0/24\n\
             * invalid gateway 10.7.0.1: parent subnet 10.6.0.0/24 doesn't contain this address\n\
             * invalid auxiliary address a: invalid address"
        );
        let several = words(pooled(&[pool("10.6.0.0/24"), pool("10.7.0.0/24")]));
        assert_eq!(several, "bridge driver doesn't support multiple subnets");
        let overlapping =
            "invalid pool request: Pool overlaps with other one on this address space";
        assert_eq!(one(pool("10.5.0.128/25")), overlapping);
        let gateway = NetworkPool { gateway: "10.6.0.0".into(), ..pool("10.6.0.0/24") };
        let taken = "failed to allocate gateway (10.6.0.0): Address already in use";
        assert_eq!(one(gateway), taken);
    }

    #[test]
    fn beside_the_host_a_parent_and_a_mode_are_read() {
        let beside = |driver: &str, key: &str, value: &str| {
            let wish = option(key, value);
            decide(NetworkWish { driver: driver.into(), ..wish })
        };
        let (network, plan) = beside("macvlan", key::PARENT, "eth0.10").expect("fine");
        let expected =
            Beside { parent: "eth0.10".into(), kind: BesideKind::Macvlan(MacvlanMode::Bridge) };
        assert_eq!((network.driver.as_str(), plan.bridge.beside), ("macvlan", Some(expected)));
        let vepa = beside("macvlan", key::MACVLAN, "vepa").expect("fine").1.bridge.beside;
        assert_eq!(vepa.expect("beside").kind, BesideKind::Macvlan(MacvlanMode::Vepa));
        let network = beside("ipvlan", key::IPVLAN_FLAG, "private").expect("fine").0;
        assert_eq!(network.driver, "ipvlan");
        assert!(network.pools[0].gateway.ends_with(".0.1"), "{:?}", network.pools);
        let (network, plan) = beside("ipvlan", key::IPVLAN, "l3s").expect("fine");
        let expected = BesideKind::IpvlanL3s(IpvlanFlag::Bridge);
        assert_eq!(plan.bridge.beside.expect("beside").kind, expected);
        assert_eq!(network.pools[0].gateway, "", "there is none by layer 3");
        for (driver, key, value) in [
            ("macvlan", key::MACVLAN, "x"),
            ("macvlan", key::PARENT, "lo"),
            ("macvlan", key::PARENT, "a/b"),
            ("macvlan", key::PARENT, "eth0:1"),
            ("ipvlan", key::IPVLAN, "l4"),
            ("ipvlan", key::IPVLAN_FLAG, "x"),
        ] {
            assert!(beside(driver, key, value).is_err(), "{driver} {key}={value}");
        }
        let inner = NetworkWish { internal: true, ..option(key::PARENT, "eth0") };
        let inner = decide(NetworkWish { driver: "macvlan".into(), ..inner }).expect("fine").1;
        assert_eq!(inner.bridge.beside.expect("beside").parent, "");
    }

    #[test]
    fn where_nobody_has_the_gateways_address_none_is_shown() {
        let shown = |internal, key, value| {
            let wish = NetworkWish { internal, ..option(key, value) };
            decide(wish).map(|(network, _)| network.pools[0].gateway.clone())
        };
        assert_eq!(shown(true, key::MODE4, "isolated").expect("fine"), "");
        assert!(shown(true, key::MODE4, "routed").expect("fine").ends_with(".0.1"));
        assert!(shown(true, key::MODE6, "isolated").expect("fine").ends_with(".0.1"));
        for (internal, mode) in [(false, "isolated"), (true, ""), (false, "NAT")] {
            assert!(shown(internal, key::MODE4, mode).is_err(), "{mode:?}");
        }
    }

    #[test]
    fn words_alone_are_kept_and_a_network_is_made_of_them() {
        let asked = NetworkWish { config_only: true, ipv6: Some(true), ..option(key::MTU, "1400") };
        let asked = NetworkWish { pools: vec![pool("10.6.0.0/24")], ..asked };
        let words = words_alone(asked.clone(), ID.into(), 0).expect("fine");
        assert!(words.config_only && words.driver == "null");
        let of = NetworkWish { config_from: "words".into(), ..NetworkWish::default() };
        let (network, plan) = decide(worded(of.clone(), &words).expect("fine")).expect("fine");
        assert_eq!((plan.bridge.mtu, network.config_from.as_str()), (1400, "words"));
        assert_eq!(plan.bridge.subnet4.expect("IPv4").to_string(), "10.6.0.1/24");
        assert!(plan.bridge.subnet6.is_some() && !network.config_only);
        let own = NetworkWish { pools: vec![pool("10.7.0.0/24")], ..of };
        assert!(worded(own, &words).is_err(), "two of a kind");
        let inner = NetworkWish { internal: true, ..asked.clone() };
        assert!(words_alone(inner, ID.into(), 0).is_err());
        let chain = NetworkWish { config_from: "words".into(), ..asked };
        assert!(words_alone(chain, ID.into(), 0).is_err());
    }

    #[test]
    fn options_are_read_as_go_does_and_unknown_ones_kept() {
        let plan = |wish| decide(wish).expect("fine").1;
        assert!(!plan(option(key::ICC, "0")).bridge.icc);
        assert!(!plan(option(key::MASQUERADE, "FALSE")).bridge.masquerade);
        assert_eq!(plan(option(key::MTU, "1400")).bridge.mtu, 1400);
        assert_eq!(plan(option(key::NAME, "mine0")).bridge.name, "mine0");
        assert_eq!(plan(option(key::PREFIX, "net")).prefix, "net");
        let binding = plan(option(key::BINDING, "127.0.0.1")).binding4;
        assert_eq!(binding, Some([127, 0, 0, 1].into()));
        assert_eq!(decide(option("foo", "bar")).expect("fine").0.options["foo"], "bar");
        assert_eq!(
            words(option(key::ICC, "maybe")),
            "failed to parse com.docker.network.bridge.enable_icc value: maybe \
             (strconv.ParseBool: parsing \"maybe\": invalid syntax)"
        );
        assert!(words(option(key::NAME, "taken0")).ends_with("networks have same bridge name"));
    }

    #[test]
    fn what_is_not_carried_is_refused_and_not_dropped() {
        let refused = |wish| decide(wish).expect_err("refused").kind();
        let driver = |driver: &str| NetworkWish { driver: driver.into(), ..NetworkWish::default() };
        assert_eq!(refused(driver("foo")), Kind::NotFound);
        assert_eq!(refused(driver("host")), Kind::Forbidden);
        assert_eq!(refused(driver("overlay")), Kind::Unsupported);
        assert_eq!(refused(option(key::MODE4, "foo")), Kind::Invalid);
        assert_eq!(refused(option(key::MODE4, "isolated")), Kind::Invalid);
        assert_eq!(refused(option(key::INHIBIT, "perhaps")), Kind::Invalid);
        assert_eq!(refused(option(key::TRUSTED, "eth0::")), Kind::Invalid);
    }
}

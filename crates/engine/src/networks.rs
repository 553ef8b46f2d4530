//! Networks: `bridge`, `host` and `none`.
//!
//! The default bridge and its addresses live here; a container's place on it
//! is a [`network::Endpoint`], which is decided and held at its start, kept in
//! its record, and given back at its end.

use crate::{
    Container, Engine, Error, Nanos, Options,
    ports::{self, Ports},
    store::{Store, Write},
};
use network::{BridgeConfig, Endpoint, Mac, PortWish, addresses};
use spec::{Id, docker::EndpointSettings};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, MutexGuard},
};

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `bridge`, `host`, `none`.
    pub name: String,
    /// `bridge`, `host`, `null`.
    pub driver: String,
    /// When it was made.
    pub created: Nanos,
    /// `172.30.0.0/16`; empty if it has none.
    pub subnet: String,
    /// Empty if it has none.
    pub gateway: String,
    /// Carries IPv6?
    pub ipv6: bool,
    /// IPv6 subnet; empty if it has none.
    pub subnet6: String,
    /// IPv6 gateway; empty if it has none.
    pub gateway6: String,
    /// `com.docker.network.bridge.name` and the like.
    pub options: BTreeMap<String, String>,
    /// Given by the user.
    pub labels: BTreeMap<String, String>,
    /// Running containers on it, by identifier.
    pub members: BTreeMap<String, NetworkMember>,
}

/// A container on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkMember {
    /// Of the container.
    pub name: String,
    /// Of its place on the network.
    pub endpoint: String,
    /// As the container has it.
    pub mac: String,
    /// `172.30.0.2/16`.
    pub ipv4: String,
    /// Empty if it has none.
    pub ipv6: String,
}

/// How a container is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// On the default bridge.
    Bridge,
    /// Not at all.
    None,
    /// As the host.
    Host,
    /// With another container.
    Container(String),
}

impl Mode {
    /// Reads `HostConfig.NetworkMode`.
    ///
    /// # Errors
    /// A network that does not exist.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "" | "default" | "bridge" => Ok(Self::Bridge),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            other => match other.strip_prefix("container:") {
                Some(peer) if !peer.is_empty() => Ok(Self::Container(peer.to_owned())),
                _ => Err(Error::NoNetwork(other.to_owned())),
            },
        }
    }

    /// The network's name; none with another container.
    pub fn network(&self) -> Option<&'static str> {
        match self {
            Self::Bridge => Some("bridge"),
            Self::None => Some("none"),
            Self::Host => Some("host"),
            Self::Container(_) => None,
        }
    }
}

/// The networks of one engine.
pub(crate) struct Networks {
    /// Name, driver, identifier.
    ids: [(&'static str, &'static str, String); 3],
    created: Nanos,
    realm: Arc<network::Realm>,
    bridge: network::Bridge,
    leases: Mutex<Leases>,
}

/// Who has which address.
#[derive(Default)]
struct Leases {
    taken: BTreeSet<IpAddr>,
    last4: Option<IpAddr>,
    last6: Option<IpAddr>,
}

impl Networks {
    /// Makes the default bridge, or takes over the one that is there.
    pub fn open(
        options: &Options,
        store: &Store,
        facts: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let realm = network::Realm::open(&options.bridge)?;
        let remembered = facts.get("bip").filter(|_| facts.get("bridge") == Some(&options.bridge));
        let subnet = match options.bip.as_ref().or(remembered).map(|text| (text, text.parse())) {
            Some((_, Ok(subnet))) => subnet,
            Some((text, Err(_))) => {
                return Err(Error::Invalid(format!("{text:?} is no address with a prefix")));
            }
            None => {
                let free =
                    addresses::free_subnet(&addresses::default_pools(), &realm.host_routes()?);
                addresses::gateway4(free.ok_or_else(|| {
                    Error::Conflict("every private network is routed already: say --bip".into())
                })?)
            }
        };
        let mut config = BridgeConfig::default_network(&options.bridge, subnet);
        if !realm.has_ipv6() {
            config.subnet6 = None;
        }
        let bridge = realm.bridge(&config)?;
        let known = |key| facts.get(key).cloned();
        let fact = |key: &'static str, value: String| {
            if facts.get(key) != Some(&value) {
                store.leave(Write::Fact { key, value: value.clone() });
            }
            value
        };
        fact("bip", subnet.to_string());
        fact("bridge", options.bridge.clone());
        let id = |key| fact(key, known(key).unwrap_or_else(|| crate::random::id().to_string()));
        let ids = [
            ("bridge", "bridge", id("network.bridge")),
            ("host", "host", id("network.host")),
            ("none", "null", id("network.none")),
        ];
        let created = known("network.created").and_then(|at| at.parse().ok());
        let created = created.unwrap_or_else(crate::clock::now);
        fact("network.created", created.to_string());
        let taken = [subnet.addr().into()].into_iter();
        let taken = taken.chain(config.subnet6.map(|net| net.addr().into())).collect();
        let leases = Mutex::new(Leases { taken, ..Leases::default() });
        Ok(Self { ids, created, realm, bridge, leases })
    }

    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().expect("no holder panics")
    }

    pub fn id(&self, name: &str) -> &str {
        self.ids.iter().find(|(known, ..)| *known == name).map_or("", |(.., id)| id)
    }

    /// Decides a container's place on the default bridge and holds it.
    ///
    /// # Errors
    /// No address is free, or a port is taken.
    pub fn hold(&self, container: &Container, wishes: &[PortWish]) -> Result<Endpoint, Error> {
        let config = self.bridge.config();
        let mut leases = self.lock();
        let free = |net: Option<ipnet::IpNet>, last, taken: &BTreeSet<IpAddr>| {
            net.map(|net| {
                addresses::next_free(net, None, last, |address| taken.contains(&address))
                    .ok_or_else(|| Error::Conflict(format!("no free address in {}", net.trunc())))
            })
            .transpose()
        };
        let addr4 = free(config.subnet4.map(Into::into), leases.last4, &leases.taken)?;
        let addr6 = free(config.subnet6.map(Into::into), leases.last6, &leases.taken)?;
        (leases.last4, leases.last6) = (addr4.or(leases.last4), addr6.or(leases.last6));
        leases.taken.extend(addr4.into_iter().chain(addr6));
        drop(leases);
        let addr4 = addr4.and_then(|a| if let IpAddr::V4(a) = a { Some(a) } else { None });
        let addr6 = addr6.and_then(|a| if let IpAddr::V6(a) = a { Some(a) } else { None });
        let endpoint = Endpoint {
            id: crate::random::id(),
            container: container.id.clone(),
            name: container.name.clone(),
            ifname: "eth0".into(),
            mac: match wished_mac(container)? {
                Some(mac) => mac,
                None => addr4
                    .map(addresses::mac4)
                    .or(addr6.map(addresses::mac6))
                    .ok_or_else(|| Error::Invalid("the default bridge has no addresses".into()))?,
            },
            addr4,
            addr6,
            default_route: true,
            ports: Vec::new(),
        };
        if wishes.is_empty() {
            return Ok(endpoint);
        }
        match self.realm.reserve(&endpoint, wishes) {
            Ok(ports) => Ok(Endpoint { ports, ..endpoint }),
            Err(error) => {
                self.forget(&endpoint);
                Err(error.into())
            }
        }
    }

    /// Takes over the addresses of a container that an earlier daemon started.
    pub fn adopt(&self, endpoint: &Endpoint) {
        let addresses = endpoint.addr4.map(IpAddr::V4).into_iter();
        let addresses = addresses.chain(endpoint.addr6.map(IpAddr::V6));
        self.lock().taken.extend(addresses);
    }

    /// The default bridge's own address: what `host-gateway` means.
    pub fn gateway(&self) -> Option<IpAddr> {
        let config = self.bridge.config();
        let four = config.subnet4.map(|net| IpAddr::V4(net.addr()));
        four.or(config.subnet6.map(|net| IpAddr::V6(net.addr())))
    }

    /// Plugs a container in.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn plug(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        Ok(self.bridge.plug(netns, endpoint)?)
    }

    /// Takes back [`Networks::hold`] for a container that is not plugged in.
    pub fn give_back(&self, endpoint: &Endpoint) {
        self.realm.release(&endpoint.container);
        self.forget(endpoint);
    }

    /// Takes back [`Networks::plug`] alone.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn unplug(&self, endpoint: &Endpoint) -> Result<(), Error> {
        Ok(self.bridge.unplug(&endpoint.container)?)
    }

    /// Withdraws a container that has ended and gives its addresses back.
    ///
    /// # Errors
    /// What the kernel said; the addresses are then kept back.
    pub fn leave(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.bridge.unplug(&endpoint.container)?;
        self.forget(endpoint);
        Ok(())
    }

    fn forget(&self, endpoint: &Endpoint) {
        let mut leases = self.lock();
        for address in [endpoint.addr4.map(IpAddr::V4), endpoint.addr6.map(IpAddr::V6)] {
            address.map(|address| leases.taken.remove(&address));
        }
    }

    /// Removes what is left of containers that are not known.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweep(&self, known: &BTreeSet<Id>) -> Result<Vec<String>, Error> {
        Ok(self.bridge.sweep(known)?)
    }

    /// Removes what had to outlive its container for a moment: the guard of
    /// an interface that was still on its way out.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn tidy(&self, known: &BTreeSet<Id>) -> Result<(), Error> {
        self.bridge.sweep(known)?;
        // Striking out nobody strikes out the condemned.
        Ok(self.bridge.unplug(&crate::random::id())?)
    }

    /// Takes everything back, when nobody is plugged in: the next daemon
    /// makes it anew.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn take_down(&self) -> Result<(), Error> {
        self.bridge.remove()?;
        Ok(self.realm.remove()?)
    }

    /// What `inspect` shows of a container's place.
    pub fn settings(&self, endpoint: &Endpoint, asked: EndpointSettings) -> EndpointSettings {
        let config = self.bridge.config();
        let text = |ip: Option<String>| ip.unwrap_or_default();
        EndpointSettings {
            network_id: self.id("bridge").to_owned(),
            endpoint_id: endpoint.id.to_string(),
            mac_address: endpoint.mac.to_string(),
            gateway: text(config.subnet4.map(|net| net.addr().to_string())),
            ip_address: text(endpoint.addr4.map(|a| a.to_string())),
            ip_prefix_len: config.subnet4.map_or(0, |net| net.prefix_len()),
            ipv6_gateway: text(config.subnet6.map(|net| net.addr().to_string())),
            global_ipv6_address: text(endpoint.addr6.map(|a| a.to_string())),
            global_ipv6_prefix_len: endpoint
                .addr6
                .and(config.subnet6)
                .map_or(0, |n| n.prefix_len()),
            ..asked
        }
    }

    /// What `inspect` shows of a container that does not run.
    pub fn idle(
        &self,
        mode: &Mode,
        asked: &EndpointSettings,
    ) -> BTreeMap<String, EndpointSettings> {
        let settings = |name: &str| {
            let network_id = self.id(name).to_owned();
            (name.to_owned(), EndpointSettings { network_id, ..asked.clone() })
        };
        mode.network().map(settings).into_iter().collect()
    }

    pub fn shown_ports(container: &Container, endpoint: &Endpoint) -> Result<Ports, Error> {
        ports::shown(&container.config, &endpoint.ports)
    }
}

/// A MAC address that was asked for.
fn wished_mac(container: &Container) -> Result<Option<Mac>, Error> {
    let asked = container.config.mac_address.as_deref().filter(|mac| !mac.is_empty());
    asked
        .map(|text| {
            let mac: Mac = text.parse().map_err(|_| invalid_mac(text))?;
            if mac.is_station() { Ok(mac) } else { Err(invalid_mac(text)) }
        })
        .transpose()
}

fn invalid_mac(text: &str) -> Error {
    Error::Invalid(format!("invalid MAC address: {text}"))
}

impl Engine {
    /// All networks.
    pub fn networks(&self) -> Vec<Network> {
        let house = &self.0;
        let networks = &house.networks;
        networks
            .ids
            .iter()
            .map(|(name, driver, id)| {
                let mut network = Network {
                    id: id.clone(),
                    name: (*name).to_owned(),
                    driver: (*driver).to_owned(),
                    created: networks.created,
                    ..Network::default()
                };
                if *name == "bridge" {
                    describe(networks.bridge.config(), &mut network);
                }
                network.members = self.members(name);
                network
            })
            .collect()
    }

    fn members(&self, network: &str) -> BTreeMap<String, NetworkMember> {
        let member = |container: Arc<Container>| {
            let settings = container.endpoints.get(network)?;
            let with = |address: &str, prefix: u8| match address {
                "" => String::new(),
                address => format!("{address}/{prefix}"),
            };
            container.state.is_running().then(|| {
                let member = NetworkMember {
                    name: container.name.clone(),
                    endpoint: settings.endpoint_id.clone(),
                    mac: settings.mac_address.clone(),
                    ipv4: with(&settings.ip_address, settings.ip_prefix_len),
                    ipv6: with(&settings.global_ipv6_address, settings.global_ipv6_prefix_len),
                };
                (container.id.to_string(), member)
            })
        };
        self.0.roster.all().iter().map(|cell| cell.now()).filter_map(member).collect()
    }

    /// By name, identifier or unique prefix.
    ///
    /// # Errors
    /// None or several.
    pub fn network(&self, reference: &str) -> Result<Network, Error> {
        let mut all = self.networks();
        let exact = all.iter().position(|n| n.name == reference || n.id == reference);
        if let Some(at) = exact {
            return Ok(all.swap_remove(at));
        }
        all.retain(|network| !reference.is_empty() && network.id.starts_with(reference));
        match all.len() {
            0 => Err(Error::NoNetwork(reference.to_owned())),
            1 => Ok(all.swap_remove(0)),
            _ => Err(Error::Ambiguous(reference.to_owned())),
        }
    }
}

/// Shows a bridge's configuration as clients know it.
fn describe(config: &BridgeConfig, network: &mut Network) {
    if let Some(net) = config.subnet4 {
        (network.subnet, network.gateway) = (net.trunc().to_string(), net.addr().to_string());
    }
    if let Some(net) = config.subnet6 {
        (network.subnet6, network.gateway6) = (net.trunc().to_string(), net.addr().to_string());
        network.ipv6 = true;
    }
    let option = |key: &str, value: String| (format!("com.docker.network.{key}"), value);
    network.options = BTreeMap::from([
        option("bridge.name", config.name.clone()),
        option("bridge.default_bridge", "true".into()),
        option("bridge.enable_icc", config.icc.to_string()),
        option("bridge.enable_ip_masquerade", config.masquerade.to_string()),
        option("bridge.host_binding_ipv4", "0.0.0.0".into()),
        option("driver.mtu", config.mtu.to_string()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_mode_is_one_of_four() {
        for text in ["", "default", "bridge"] {
            assert_eq!(Mode::parse(text).expect("known"), Mode::Bridge);
        }
        assert_eq!(Mode::parse("container:x").expect("known"), Mode::Container("x".into()));
        let unknown = Mode::parse("mine").expect_err("there is none");
        assert_eq!(unknown.to_string(), "network mine not found");
        assert!(Mode::parse("container:").is_err());
    }
}

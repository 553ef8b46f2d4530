//! Networks: `bridge`, `host`, `none`, and those that users make.
//!
//! A network is a record first: the bridge that it means is made after the
//! record is written, made again by a daemon that does not find it, and gone
//! before the record is. A container's place on one is a
//! [`network::Endpoint`], which is decided and held at its start (or when it
//! is connected while it runs), kept in its record, and given back at its end.
//!
//! - [`wish`]: what a user asks of a new network, judged; [`driver`]: in the
//!   options of its driver.
//! - [`net`]: one network, its bridge and its addresses.
//! - [`place`]: a container's places: held, shown, named.
//! - [`said`]: what a client says of one; [`options`]: beside its addresses.
//! - [`gateway`]: which of them leads out.
//! - [`verbs`]: create, remove, prune; [`live`]: connect, disconnect.
//! - [`upheld`]: what the kernel must have of them, whatever becomes of that.

mod driver;
mod gateway;
mod live;
mod net;
mod options;
mod place;
mod said;
mod upheld;
mod verbs;
mod wish;

pub(crate) use live::{found, netns};
pub(crate) use net::{Net, Plan};
pub(crate) use place::{give_ports, shown_ports};
pub(crate) use said::{link_local, mac};
pub use wish::{NetworkPool, NetworkWish};

use crate::{
    Container, Engine, Error, Nanos, Options,
    house::House,
    store::{Store, Write},
};
use network::{BridgeConfig, Known, addresses};
use serde::{Deserialize, Serialize};
use spec::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicBool},
};

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// No two are the same.
    pub name: String,
    /// `bridge`, `host`, `null`.
    pub driver: String,
    /// When it was made.
    pub created: Nanos,
    /// Carries IPv4?
    pub ipv4: bool,
    /// Carries IPv6?
    pub ipv6: bool,
    /// No way out and none in?
    pub internal: bool,
    /// As asked for; means something in a swarm only.
    pub attachable: bool,
    /// Not a network, but the words for others.
    #[serde(default)]
    pub config_only: bool,
    /// The name of such words that it was made from.
    #[serde(default)]
    pub config_from: String,
    /// Subnets, as asked for; those that nobody asked for as they were chosen.
    pub pools: Vec<NetworkPool>,
    /// Of the address driver; kept and shown.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// `com.docker.network.bridge.name` and the like.
    pub options: BTreeMap<String, String>,
    /// Given by the user.
    pub labels: BTreeMap<String, String>,
    /// Running containers on it, by identifier.
    #[serde(skip)]
    pub members: BTreeMap<String, NetworkMember>,
}

impl Network {
    /// Is it one that is always there?
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }
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

/// How a container is connected at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To a network, by name or identifier.
    Network(String),
    /// Not at all.
    None,
    /// As the host.
    Host,
    /// With another container.
    Container(String),
    /// In a network namespace that others made, by its path.
    Namespace(String),
}

impl Mode {
    /// Reads `HostConfig.NetworkMode`.
    ///
    /// # Errors
    /// Nobody to share with.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "" | "default" => Ok(Self::Network("bridge".into())),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            other => match other.strip_prefix("container:") {
                Some("") => Err(Error::Invalid(format!("invalid network mode: {other}"))),
                Some(peer) => Ok(Self::Container(peer.to_owned())),
                None => match other.strip_prefix("ns:") {
                    Some(path) if path.starts_with('/') => Ok(Self::Namespace(path.to_owned())),
                    Some(_) => Err(Error::Invalid(format!(
                        "invalid network mode: {other}: ns: and the full path of a namespace"
                    ))),
                    None => Ok(Self::Network(other.to_owned())),
                },
            },
        }
    }

    /// The network's name or identifier; none with another container, or in a
    /// namespace of others.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Network(name) => Some(name),
            Self::None => Some("none"),
            Self::Host => Some("host"),
            Self::Container(_) | Self::Namespace(_) => None,
        }
    }
}

/// The networks of one engine.
pub(crate) struct Networks {
    realm: Arc<network::Realm>,
    lookout: network::Lookout,
    /// By name.
    all: RwLock<BTreeMap<String, Arc<Net>>>,
    default: Arc<Net>,
    /// Held while one is made or removed.
    making: Mutex<()>,
    /// Places, with their networks' names, of containers that have ended but
    /// could not be unplugged: nobody else is given their addresses.
    stuck: Mutex<Vec<(String, network::Endpoint)>>,
    /// Containers of an earlier daemon's whose places could not be seen to.
    unsure: Mutex<BTreeSet<Id>>,
    /// Something was not held to its policy before this daemon came.
    loose: AtomicBool,
}

/// A network as it is recorded.
#[derive(Serialize, Deserialize)]
struct Record {
    network: Network,
    /// None of words alone.
    plan: Option<Plan>,
}

impl Networks {
    /// Makes the default bridge, or takes over the one that is there, and
    /// then the users' networks: one that cannot be made now is tried again
    /// when a container wants it.
    pub fn open(
        options: &Options,
        store: &Store,
        facts: &BTreeMap<String, String>,
        left: &[(String, String)],
    ) -> Result<Self, Error> {
        let realm = network::Realm::open(&options.bridge)?;
        let records = left.iter().map(|(id, json)| read(id, json));
        let records = records.collect::<Result<Vec<Record>, Error>>()?;
        let config = default_bridge(options, &realm, facts, &records)?;
        let known = |key| facts.get(key).cloned();
        let fact = |key: &'static str, value: String| {
            if facts.get(key) != Some(&value) {
                store.leave(Write::Fact { key, value: value.clone() });
            }
            value
        };
        if let Some(subnet) = config.subnet4 {
            fact("bip", subnet.to_string());
        }
        fact("bridge", options.bridge.clone());
        let created = known("network.created").and_then(|at| at.parse().ok());
        let created = created.unwrap_or_else(crate::clock::now);
        fact("network.created", created.to_string());
        let id = |key| fact(key, known(key).unwrap_or_else(|| crate::random::id().to_string()));
        let named = |name: &str, driver: &str, id: String| Network {
            id,
            name: name.into(),
            driver: driver.into(),
            created,
            ipv4: true,
            ..Network::default()
        };
        let host = Net::without_bridge(named("host", "host", id("network.host")));
        let none = Net::without_bridge(named("none", "null", id("network.none")));
        let mut network = named("bridge", "bridge", id("network.bridge"));
        describe(&config, &mut network);
        let default = Arc::new(Net::new(network, Plan::of(config), Arc::clone(&realm)));
        default.bridge()?;
        let mut all: Vec<Arc<Net>> = vec![Arc::clone(&default), Arc::new(host), Arc::new(none)];
        for Record { network, plan } in records {
            let Some(plan) = plan else {
                all.push(Arc::new(Net::without_bridge(network)));
                continue;
            };
            let net = Net::new(network, plan, Arc::clone(&realm));
            if let Err(error) = net.bridge() {
                tracing::error!(network = net.network.name, %error, "cannot make a network again");
            }
            all.push(Arc::new(net));
        }
        let all = all.into_iter().map(|net| (net.network.name.clone(), net)).collect();
        let lookout = realm.lookout()?;
        let (making, stuck, unsure) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (all, loose) = (RwLock::new(all), AtomicBool::new(!realm.was_whole()));
        Ok(Self { realm, lookout, all, default, making, stuck, unsure, loose })
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Net>>> {
        self.all.read().expect("no holder panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Net>>> {
        self.all.write().expect("no holder panics")
    }

    /// As long as this is held no network is made or removed.
    pub(crate) fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().expect("no holder panics")
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Net>> {
        self.read().values().cloned().collect()
    }

    /// By name.
    pub fn named(&self, name: &str) -> Option<Arc<Net>> {
        self.read().get(name).cloned()
    }

    /// By name, identifier or unique prefix.
    ///
    /// # Errors
    /// None or several.
    pub fn find(&self, reference: &str) -> Result<Arc<Net>, Error> {
        let all = self.read();
        let exact = all.get(reference);
        if let Some(net) = exact.or_else(|| all.values().find(|net| net.network.id == reference)) {
            return Ok(Arc::clone(net));
        }
        let begins = |net: &&Arc<Net>| net.network.id.starts_with(reference);
        let mut fitting = all.values().filter(begins).filter(|_| !reference.is_empty());
        match (fitting.next(), fitting.next()) {
            (Some(net), None) => Ok(Arc::clone(net)),
            (Some(_), Some(_)) => Err(Error::Ambiguous(reference.to_owned())),
            (None, _) => Err(Error::NoNetwork(reference.to_owned())),
        }
    }

    /// The default bridge's own address: what `host-gateway` means.
    pub fn gateway(&self) -> Option<IpAddr> {
        let config = &self.default.plan()?.bridge;
        let four = config.subnet4.map(|net| IpAddr::V4(net.addr()));
        four.or(config.subnet6.map(|net| IpAddr::V6(net.addr())))
    }

    /// Removes what is left of containers and networks that are not known.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweep(&self, house: &House) -> Result<Vec<String>, Error> {
        // A network in the making is in the kernel before it is among all.
        let _making = self.making();
        let stuck = std::mem::take(&mut *self.stuck());
        match self.realm.sweep(|| self.known(house)) {
            Ok(swept) => {
                // Nothing of theirs is left: their addresses are free.
                for (name, plug) in &stuck {
                    self.named(name).into_iter().for_each(|net| net.forget(plug));
                }
                Ok(swept)
            }
            Err(error) => {
                self.stuck().extend(stuck);
                Err(error.into())
            }
        }
    }

    fn stuck(&self) -> MutexGuard<'_, Vec<(String, network::Endpoint)>> {
        self.stuck.lock().expect("no holder panics")
    }

    /// The same, and what had to outlive its container for a moment.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn tidy(&self, house: &House) -> Result<(), Error> {
        let unsure = std::mem::take(&mut *self.unsure.lock().expect("no holder panics"));
        for cell in unsure.iter().filter_map(|id| house.roster.get(id)) {
            self.take_over(&cell.id, &cell.now().plugs);
        }
        self.sweep(house)?;
        Ok(self.realm.tidy()?)
    }

    /// Who is on which bridge, as the published containers say.
    fn known(&self, house: &House) -> Known {
        let bridges = self.all();
        let bridges = bridges.iter().filter_map(|net| Some((net, net.plan()?)));
        // What has the name of one that has no interface is not ours to sweep.
        let bridges = bridges.filter(|(_, plan)| plan.bridge.has_interface());
        let mut known: Known =
            bridges.clone().map(|(_, plan)| (plan.bridge.name.clone(), [].into())).collect();
        let names: BTreeMap<&str, &str> = bridges
            .map(|(net, plan)| (net.network.name.as_str(), plan.bridge.name.as_str()))
            .collect();
        for cell in house.roster.all() {
            for network in cell.now().plugs.keys() {
                let members = names.get(network.as_str()).and_then(|name| known.get_mut(*name));
                members.map(|members| members.insert(cell.id.clone()));
            }
        }
        known
    }

    /// Takes everything back, when nobody is plugged in: the next daemon
    /// makes it anew.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn take_down(&self) -> Result<(), Error> {
        for net in self.all() {
            net.remove_bridge()?;
        }
        Ok(self.realm.remove()?)
    }
}

/// One that cannot be read is not passed over: its bridge would be taken for
/// rubbish, with running containers on it.
fn read(id: &str, json: &str) -> Result<Record, Error> {
    serde_json::from_str(json).map_err(|error| {
        Error::Records(format!(
            "network {id}: {error}: was a newer version here? Start that one, or restore a \
             backup of state.db"
        ))
    })
}

/// What the default bridge is: as said, as it was, or on a free subnet.
fn default_bridge(
    options: &Options,
    realm: &network::Realm,
    facts: &BTreeMap<String, String>,
    records: &[Record],
) -> Result<BridgeConfig, Error> {
    let remembered = facts.get("bip").filter(|_| facts.get("bridge") == Some(&options.bridge));
    let subnet = match options.bip.as_ref().or(remembered).map(|text| (text, text.parse())) {
        Some((_, Ok(subnet))) => subnet,
        Some((text, Err(_))) => {
            return Err(Error::Invalid(format!("{text:?} is no address with a prefix")));
        }
        None => {
            let mut used = realm.host_routes()?;
            used.extend(
                records.iter().filter_map(|record| record.plan.as_ref()).flat_map(Plan::subnets),
            );
            let free = addresses::free_subnet(&addresses::default_pools(), &used);
            addresses::gateway4(free.ok_or_else(|| {
                Error::Conflict("every private network is routed already: say --bip".into())
            })?)
        }
    };
    let mut config = BridgeConfig::default_network(&options.bridge, subnet);
    if !realm.has_ipv6() {
        config.subnet6 = None;
    }
    Ok(config)
}

impl Engine {
    /// All networks, by name.
    pub fn networks(&self) -> Vec<Network> {
        self.0.networks.all().iter().map(|net| self.with_members(net)).collect()
    }

    /// By name, identifier or unique prefix.
    ///
    /// # Errors
    /// None or several.
    pub fn network(&self, reference: &str) -> Result<Network, Error> {
        self.0.networks.find(reference).map(|net| self.with_members(&net))
    }

    fn with_members(&self, net: &Net) -> Network {
        let network = &net.network;
        let member = |container: Arc<Container>| {
            let settings = container.endpoints.get(&network.name)?;
            let with = |address: &str, prefix: u8| match address {
                "" => String::new(),
                address => format!("{address}/{prefix}"),
            };
            let is_here = settings.network_id == network.id && container.state.is_running();
            is_here.then(|| {
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
        let members = self.0.roster.all().into_iter().map(|cell| cell.now()).filter_map(member);
        let mut shown = Network { members: members.collect(), ..network.clone() };
        show_egress(&mut shown, &net.egress());
        shown
    }
}

impl Net {
    /// What is recorded of it, with another policy.
    pub(crate) fn record_with(&self, policy: &network::Egress) -> Result<String, Error> {
        let mut network = self.network.clone();
        show_egress(&mut network, policy);
        let Some(plan) = self.plan() else {
            return Err(Error::Invalid(format!("network {} has no interfaces", network.name)));
        };
        let mut plan = plan.clone();
        plan.bridge.egress = policy.clone();
        serde_json::to_string(&Record { network, plan: Some(plan) })
            .map_err(|error| Error::records(&error))
    }
}

fn show_egress(network: &mut Network, policy: &network::Egress) {
    let key = crate::egress::KEY.to_owned();
    match policy.to_string() {
        text if text.is_empty() => drop(network.options.remove(&key)),
        text => drop(network.options.insert(key, text)),
    }
}

/// Shows a bridge's configuration as clients know it.
fn describe(config: &BridgeConfig, network: &mut Network) {
    network.pools = config
        .subnet4
        .map(|net| NetworkPool::chosen(net.into()))
        .into_iter()
        .chain(config.subnet6.map(|net| NetworkPool::chosen(net.into())))
        .collect();
    network.ipv6 = config.subnet6.is_some();
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
    fn a_network_mode_is_one_of_five() {
        for text in ["", "default", "bridge"] {
            assert_eq!(Mode::parse(text).expect("known"), Mode::Network("bridge".into()));
        }
        assert_eq!(Mode::parse("container:x").expect("known"), Mode::Container("x".into()));
        assert_eq!(Mode::parse("mine").expect("a name"), Mode::Network("mine".into()));
        assert!(Mode::parse("container:").is_err());
        let path = Mode::Namespace("/run/netns/x".into());
        assert_eq!(Mode::parse("ns:/run/netns/x").expect("a path"), path);
        assert!(Mode::parse("ns:").is_err() && Mode::parse("ns:x").is_err());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_not_passed_over() {
        let error = read("beef", r#"{"network":{"id":7}}"#).err().expect("no record").to_string();
        assert!(error.contains("network beef") && error.contains("newer version"), "{error}");
    }
}

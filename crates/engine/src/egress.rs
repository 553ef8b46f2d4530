//! What may go out of containers and networks: asked for, shown, changed.
//!
//! A policy is asked for by `HostConfig.Egress`, or by a label, which is the
//! one door that an unmodified client has; of a network by an option of its
//! driver. It stands in [`HostConfig::egress`](spec::docker::HostConfig) and in
//! the network's options from then on, where `inspect` shows it.
//!
//! The kernel enforces it, and the resolver asks about no name that it does
//! not allow. When it is drawn closer both have to have it before it counts:
//! the kernel first, then the resolver, and once more the kernel, for what the
//! resolver had begun to teach it meanwhile.

use crate::{
    Container, Engine, Error, State,
    cell::Cell,
    container::Plugs,
    house::House,
    networks::{self, Mode, Net, netns},
    store::Write,
    undo::Undo,
};
use network::{Driver, Egress, Proto};
use resolver::wire::{Fence, Named, Upstream};
use spec::docker::{Config, EndpointSettings, HostConfig};
use std::{net::IpAddr, os::fd::AsFd as _, sync::Arc};

/// The label of a container, and the option of a network.
pub(crate) const KEY: &str = "cofferdam.egress";

/// Puts what a label says where it belongs, and judges it. `labels` are the
/// client's own: what an image says of itself opens nothing.
///
/// # Errors
/// It makes no sense, is said twice, or there is nothing to hold it to.
pub(crate) fn take(host: &mut HostConfig, asked: &Config) -> Result<(), Error> {
    let says = |words: &Vec<String>| words.iter().any(|word| !word.trim().is_empty());
    host.egress = host.egress.take().filter(says);
    if let Some(label) = asked.labels.get(KEY) {
        if host.egress.is_some() {
            let words = format!("the egress policy is said twice: leave the label {KEY} out");
            return Err(Error::Invalid(words));
        }
        host.egress = Some(vec![label.clone()]);
    }
    check(host)
}

fn check(host: &HostConfig) -> Result<(), Error> {
    if policy(host)?.is_default() {
        return Ok(());
    }
    let mode = &host.network_mode;
    match Mode::parse(mode)? {
        Mode::Network(_) | Mode::None => Ok(()),
        Mode::Host | Mode::Container(_) | Mode::Namespace(_) => Err(Error::Invalid(format!(
            "an egress policy needs a network of the container's own: with --network {mode} there \
             is none"
        ))),
    }
}

/// A container's own policy.
///
/// # Errors
/// It makes no sense.
pub(crate) fn policy(host: &HostConfig) -> Result<Egress, Error> {
    let words = host.egress.iter().flatten();
    Egress::read(words).map_err(|error| Error::Invalid(error.to_string()))
}

/// A network's, out of its driver's options.
///
/// # Errors
/// It makes no sense.
pub(crate) fn of_option(text: Option<&str>) -> Result<Egress, Error> {
    Egress::read(text).map_err(|error| Error::Invalid(error.to_string()))
}

/// A network's policy is found by the bridge that its containers' packets come
/// from, which others have not.
///
/// # Errors
/// There is none to hold it to.
pub(crate) fn of_network(driver: Driver, policy: Egress) -> Result<Egress, Error> {
    if driver == Driver::Bridge || policy.is_default() {
        return Ok(policy);
    }
    Err(Error::Invalid(
        "only a network with the driver \"bridge\" has an egress policy: give the containers one"
            .into(),
    ))
}

/// May a container with this policy be on a network? What goes out beside the
/// host is seen by nobody here.
///
/// # Errors
/// It would not be held to it.
pub(crate) fn may_be_on(net: &Net, policy: &Egress) -> Result<(), Error> {
    let beside = net.plan().is_some_and(|plan| plan.bridge.driver == Driver::Beside);
    if !beside || policy.is_default() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "an egress policy cannot be held to on network {}, whose packets do not pass this host: \
         leave one of the two out",
        net.network.name
    )))
}

/// May a container with this policy have these addresses beside its own? It is
/// found by addresses that nobody else has; those of a link need not be such.
///
/// # Errors
/// It would not be held to it.
pub(crate) fn may_have(link_local: &[IpAddr], policy: &Egress) -> Result<(), Error> {
    let Some(address) = link_local.first().filter(|_| policy.fenced) else { return Ok(()) };
    Err(Error::Invalid(format!(
        "an egress policy cannot be held to with the link-local address {address}: leave one of \
         the two out"
    )))
}

/// The same of all places that it asks for.
///
/// # Errors
/// As [`may_have`].
pub(crate) fn may_be_at<'a>(
    places: impl IntoIterator<Item = &'a EndpointSettings>,
    policy: &Egress,
) -> Result<(), Error> {
    // Those that are none are refused by who reads them for what they are.
    let asked = |settings| networks::link_local(settings).unwrap_or_default();
    places.into_iter().try_for_each(|settings| may_have(&asked(settings), policy))
}

/// Does a policy let a container ask these servers itself? Then it may ask
/// them about everything by the resolver too.
fn lets_ask(policy: &Egress, upstream: &Upstream) -> bool {
    let (udp, tcp) = (Proto::Udp.number(), Proto::Tcp.number());
    let reaches =
        |server: IpAddr| policy.reaches(server, udp, 53) && policy.reaches(server, tcp, 53);
    !policy.fenced || upstream.servers.iter().all(|server| reaches(server.address))
}

/// What a policy is to the resolver; none if it says nothing of names.
fn fence(policy: &Egress, upstream: &Upstream) -> Option<Fence> {
    let named = |allowed: &network::egress::AllowedName| Named {
        name: allowed.name.clone(),
        port: allowed.port,
    };
    policy.fenced.then(|| Fence {
        limits: !lets_ask(policy, upstream),
        names: policy.names.iter().map(named).collect(),
        ..Fence::default()
    })
}

/// Has one of these places a policy with names in it?
pub(crate) fn has_names(plugs: &Plugs) -> bool {
    plugs.values().any(|plug| !plug.egress.names.is_empty())
}

/// What the policies of a container and of its networks have to do with whom
/// the resolver asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policies {
    /// One of them lets out only what it allows.
    pub fenced: bool,
    /// By name, too.
    pub names: bool,
}

impl House {
    /// The policies that hold for a container.
    pub(crate) fn policies(&self, container: &Container) -> Policies {
        let of_networks =
            container.plugs.keys().filter_map(|name| Some(self.networks.named(name)?.egress()));
        let own = container.plugs.values().map(|plug| plug.egress.clone());
        own.chain(of_networks).fold(Policies::default(), |all, policy| Policies {
            fenced: all.fenced || policy.fenced,
            names: all.names || !policy.names.is_empty(),
        })
    }

    /// What the policies that hold for a container say of names.
    pub(crate) fn fences(&self, container: &Container, upstream: &Upstream) -> Vec<Fence> {
        let plugs = &container.plugs;
        let addresses = || plugs.values().flat_map(network::Endpoint::addresses).collect();
        let own = plugs.values().next().and_then(|plug| fence(&plug.egress, upstream));
        let own = own.map(|own| Fence { addresses: addresses(), ..own });
        let of_networks = plugs.iter().filter_map(|(name, plug)| {
            let net = self.networks.named(name)?;
            let fence = fence(&net.egress(), upstream)?;
            let bridge = Some(net.plan()?.bridge.name.clone());
            // What does not go out by it need not pass it.
            let limits = fence.limits && (plug.default4 || plug.default6);
            Some(Fence { limits, bridge, ..fence })
        });
        own.into_iter().chain(of_networks).collect()
    }

    /// Holds a container that runs to a policy. Its `verb` lock is held.
    ///
    /// # Errors
    /// What the kernel or the resolver said.
    pub(crate) fn refence(&self, cell: &Arc<Cell>, policy: &Egress) -> Result<(), Error> {
        let before = cell.now();
        let mut plugs = before.plugs.clone();
        for plug in plugs.values_mut() {
            plug.egress = policy.clone();
        }
        if plugs == before.plugs {
            return Ok(());
        }
        for name in plugs.keys() {
            self.networks.named(name).map_or(Ok(()), |net| may_be_on(&net, policy))?;
        }
        let netns = netns(cell, &before)?;
        let hold_to = |plugs: &Plugs| {
            plugs.iter().try_for_each(|(name, plug)| {
                let bridge = self.networks.bridge_of(name)?;
                Ok::<_, Error>(bridge.fence(plug)?)
            })
        };
        let hold = || hold_to(&plugs);
        let mut undo = Undo::default();
        undo.with("hold it to its former policy", || hold_to(&before.plugs));
        hold()?;
        undo.with("take its new policy back", || {
            let then = cell.now();
            let now = cell.change(|container| container.plugs.clone_from(&before.plugs));
            self.leave(&now);
            self.names_changed(cell, &then, &now, netns.as_fd())
        });
        let now = cell.change(|container| container.plugs.clone_from(&plugs));
        self.announce(&now).wait().map_err(|error| Error::records(&error))?;
        self.names_changed(cell, &before, &now, netns.as_fd())?;
        self.resolver.settle()?;
        hold()?;
        undo.keep();
        Ok(())
    }
}

impl Engine {
    /// Puts a network's policy in another's place, for all that are on it.
    ///
    /// # Errors
    /// None such, words that make no sense, or what the kernel said.
    pub fn update_network(&self, reference: &str, words: &[String]) -> Result<(), Error> {
        let house = &self.0;
        let net = house.networks.find(reference)?;
        let policy = Egress::read(words).map_err(|error| Error::Invalid(error.to_string()))?;
        let name = &net.network.name;
        let Some(plan) = net.plan() else {
            let words = format!("network {name} has no egress policy: nothing of it is ours");
            return Err(Error::Forbidden(words));
        };
        let policy = of_network(plan.bridge.driver, policy)?;
        if name == "bridge" {
            let words = "the default network has no egress policy: give its containers one, or make \
                         a network";
            return Err(Error::Forbidden(words.into()));
        }
        let _making = house.networks.making();
        let record = |policy: &Egress| {
            let json = net.record_with(policy)?;
            let write = Write::Network { id: net.network.id.clone(), json };
            house.store.write(write).map_err(|error| Error::records(&error))
        };
        let before = net.egress();
        record(&policy)?;
        if let Err(error) = net.set_egress(&policy) {
            // Else it came into force with the next daemon.
            record(&before)?;
            return Err(error);
        }
        let cells = house.roster.all().into_iter();
        let here = cells.filter(|cell| cell.now().plugs.contains_key(name));
        // One that cannot be told leaves no other untold.
        let told = here.map(|cell| house.has_new_walls(&cell)).fold(Ok(()), Result::and);
        let told = told.and(house.resolver.settle().map_err(Error::from));
        net.set_egress(&policy)?;
        house.say_of_network(&net, "update", None);
        told
    }
}

impl House {
    /// A container's network has another policy.
    fn has_new_walls(&self, cell: &Arc<Cell>) -> Result<(), Error> {
        let _own = cell.own();
        let changed = cell.change(|container| self.weaken_anew(container));
        self.leave(&changed);
        // One that is ending asks about no more names.
        if netns(cell, &changed).is_err() {
            return Ok(());
        }
        self.tell_names_of(cell)
    }

    /// In which ways a container's networks, and what may go out by them, are
    /// weaker than the default.
    pub(crate) fn weaker_networks(&self, container: &Container) -> Result<Vec<String>, Error> {
        let mut words = Vec::new();
        let nets = || container.endpoints.keys().filter_map(|name| self.networks.named(name));
        if policy(&container.host)?.metadata || nets().any(|net| net.egress().metadata) {
            words.push(METADATA.to_owned());
        }
        for name in container.endpoints.keys().filter(|name| self.networks.is_beside(name)) {
            words.push(format!("{BESIDE}{name} {UNGUARDED}"));
        }
        Ok(words)
    }

    /// The same, after something of that has changed while it runs.
    pub(crate) fn weaken_anew(&self, container: &mut Container) {
        // It was read when it was asked for.
        let Ok(words) = self.weaker_networks(container) else { return };
        let of_network = |word: &String| {
            word == METADATA || (word.starts_with(BESIDE) && word.ends_with(UNGUARDED))
        };
        container.weakened.retain(|word| !of_network(word));
        container.weakened.extend(words);
    }
}

/// How it is said that a container is weaker than the default.
const METADATA: &str = "reaches the cloud's metadata service";
const BESIDE: &str = "is on network ";
const UNGUARDED: &str = "beside the host, where no guard holds what it says";

/// May a container's policy be changed now?
pub(crate) fn may_change(container: &Container, words: &[String]) -> Result<Egress, Error> {
    if container.state == State::Starting {
        return Err(crate::verbs::not_running(container));
    }
    let mut host = container.host.clone();
    host.egress = Some(words.to_vec());
    check(&host)?;
    let policy = policy(&host)?;
    may_be_at(container.endpoints.values(), &policy)?;
    Ok(policy)
}

impl Net {
    /// What may go out of all containers on it together.
    pub(crate) fn egress(&self) -> Egress {
        self.egress.lock().expect("no holder panics").clone()
    }

    fn set_egress(&self, policy: &Egress) -> Result<(), Error> {
        self.bridge()?.wall(policy)?;
        *self.egress.lock().expect("no holder panics") = policy.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resolver::wire::Server;

    fn asked(label: Option<&str>) -> Config {
        let labels = label.map(|text| (KEY.to_owned(), text.to_owned())).into_iter().collect();
        Config { labels, ..Config::default() }
    }

    #[test]
    fn a_label_says_what_a_client_cannot() {
        let mut host = HostConfig::default();
        take(&mut host, &asked(Some("deny"))).expect("fine");
        assert_eq!(host.egress, Some(vec!["deny".to_owned()]));
        assert!(policy(&host).expect("valid").fenced);
        let twice = take(&mut host, &asked(Some("deny"))).expect_err("twice");
        assert!(twice.to_string().contains("said twice"), "{twice}");
        let nonsense = take(&mut HostConfig::default(), &asked(Some("allow=x/y"))).expect_err("no");
        assert_eq!(nonsense.kind(), crate::Kind::Invalid);
    }

    #[test]
    fn a_policy_needs_a_network_to_be_held_to() {
        for mode in ["host", "container:0123", "ns:/run/netns/x"] {
            let mut host = HostConfig { network_mode: mode.into(), ..HostConfig::default() };
            assert!(take(&mut host, &asked(Some("deny"))).is_err(), "{mode}");
            let mut host = HostConfig { network_mode: mode.into(), ..HostConfig::default() };
            take(&mut host, &asked(None)).expect("nothing asked");
        }
    }

    #[test]
    fn a_policy_is_not_held_to_under_an_address_of_the_link() {
        let (deny, address) = (Egress::read(["deny"]).expect("valid"), [[169, 254, 1, 7].into()]);
        assert!(may_have(&address, &deny).is_err());
        assert!(may_have(&[], &deny).is_ok() && may_have(&address, &Egress::default()).is_ok());
    }

    #[test]
    fn who_may_ask_a_server_itself_may_ask_it_everything() {
        let upstream = |address: &str| Upstream {
            servers: vec![Server { address: address.parse().expect("an address"), of_host: true }],
            ndots: false,
        };
        let limits = |text: &str, server: &str| {
            let policy = Egress::read([text]).expect("valid");
            fence(&policy, &upstream(server)).map(|fence| fence.limits)
        };
        assert_eq!(limits("", "10.0.0.53"), None);
        assert_eq!(limits("deny", "10.0.0.53"), Some(true));
        assert_eq!(limits("allow=10.0.0.53:53", "10.0.0.53"), Some(false));
        assert_eq!(limits("allow=10.0.0.53:53/udp", "10.0.0.53"), Some(true), "not by TCP");
        assert_eq!(limits("allow=10.0.0.53:53", "10.0.0.54"), Some(true));
    }
}

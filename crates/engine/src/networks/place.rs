//! A container's places on its networks: asked for, held, shown, named.
//!
//! What is asked for stands in [`Container::endpoints`] from the creation on,
//! by the network's name. At the start all of them are held together: first
//! addresses, then the way out, then the host's ports, which lead to where
//! the way out is.

use super::{
    Mode, Net, Networks,
    gateway::{self, Candidate},
    options,
    said::{alone, check, link_local, shared, wanted, wished, wished_mac},
};
use crate::{Container, Error, Kind, container::Plugs, ports};
use network::{Driver, Endpoint, GatewayMode, PortWish, Published, addresses};
use spec::{
    Id,
    docker::{EndpointSettings, NetworkingConfig},
    ports::PortMap,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::BorrowedFd,
    sync::Arc,
};

impl Networks {
    /// What a new container asks for: the networks of its `NetworkingConfig`
    /// and that of its mode, by name.
    ///
    /// # Errors
    /// None such, a combination that cannot be, or words that make no sense.
    pub fn asked(
        &self,
        body: &NetworkingConfig,
        mode: &Mode,
    ) -> Result<BTreeMap<String, EndpointSettings>, Error> {
        let Some(first) = mode.network() else {
            // Docker's CLI takes the mode for a network that has that name.
            let mode_itself = |name: &&String| !name.starts_with("ns:");
            return match body.endpoints_config.keys().find(mode_itself) {
                None => Ok(BTreeMap::new()),
                Some(_) => Err(shared()),
            };
        };
        let first = self.find(first)?;
        first.admits()?;
        let mut asked = BTreeMap::new();
        for (reference, settings) in &body.endpoints_config {
            // What the mode calls by the one name may stand here by another.
            let reference = if reference == "default" { "bridge" } else { reference };
            let net = self.find(reference)?;
            net.admits()?;
            let settings = settings.clone().unwrap_or_default();
            check(&net, &settings).map_err(|words| {
                Error::Invalid(format!("invalid config for network {reference}: {words}"))
            })?;
            let settings = wished(settings);
            if asked.insert(net.network.name.clone(), settings).is_some() {
                let name = &net.network.name;
                return Err(Error::Invalid(format!("network {name} is asked for twice")));
            }
        }
        asked.entry(first.network.name.clone()).or_default();
        if asked.len() > 1 {
            match asked.keys().find(|name| matches!(name.as_str(), "host" | "none")) {
                Some(name) if name == "host" => return Err(shared()),
                Some(_) => return Err(alone()),
                None => {}
            }
        }
        Ok(asked)
    }

    /// The name of a mode's network.
    pub fn first(&self, mode: &Mode) -> Option<String> {
        let net = mode.network().and_then(|name| self.find(name).ok());
        net.map(|net| net.network.name.clone())
    }

    /// The network of one of a container's endpoints: the one that it was on
    /// when it last ran, else the one of that name.
    ///
    /// # Errors
    /// It is gone.
    pub fn of(&self, name: &str, settings: &EndpointSettings) -> Result<Arc<Net>, Error> {
        let id = &settings.network_id;
        let net = self.named(name).filter(|net| id.is_empty() || net.network.id == *id);
        net.ok_or_else(|| {
            let missing = if id.is_empty() { name } else { id };
            let message =
                format!("failed to set up container networking: network {missing} not found");
            Error::Below { kind: Kind::NotFound, message }
        })
    }

    /// Decides a container's places on its networks and holds them.
    ///
    /// # Errors
    /// A network is gone, no address is free, or a port is taken.
    pub fn hold(&self, container: &Container, wishes: &[PortWish]) -> Result<Plugs, Error> {
        let mut held = Held { networks: self, plugs: Plugs::new() };
        let mut names: Vec<&String> = container.endpoints.keys().collect();
        // The one of its mode comes first, and is `eth0`.
        let mode = Mode::parse(&container.host.network_mode)?;
        let first = self.first(&mode);
        names.sort_by_key(|name| first.as_ref() != Some(*name));
        let endpoints = container.endpoints.iter();
        let said: BTreeMap<&String, String> =
            endpoints.filter_map(|(name, asked)| Some((name, said_name(asked)?))).collect();
        for name in names {
            let settings = &container.endpoints[name];
            let net = self.of(name, settings)?;
            if net.plan().is_none() {
                continue;
            }
            let taken = held.plugs.values().map(|plug| plug.ifname.as_str());
            let others = said.iter().filter(|(other, _)| **other != name);
            let others = others.map(|(_, ifname)| ifname.as_str());
            let ifname = name_inside(&net, settings, taken.chain(others))?;
            let plug = net.hold(container, settings, ifname)?;
            held.plugs.insert(name.clone(), plug);
        }
        self.lead_out(container, &mut held.plugs);
        let ports = self.reserve(&held.plugs, wishes)?;
        give_ports(&mut held.plugs, &ports);
        Ok(held.keep())
    }

    /// Decides which places lead out.
    pub fn lead_out(&self, container: &Container, plugs: &mut Plugs) {
        let nets: Vec<(&String, Arc<Net>)> =
            plugs.keys().filter_map(|name| Some((name, self.named(name)?))).collect();
        let candidates: Vec<Candidate<'_>> = nets
            .iter()
            .filter_map(|(name, net)| {
                let (plan, plug) = (net.plan()?, plugs.get(*name)?);
                let open = !plan.bridge.internal;
                Some(Candidate {
                    name,
                    priority: container.endpoints.get(*name).map_or(0, |s| s.gw_priority),
                    v4: open && plug.addr4.is_some(),
                    v6: open && plug.addr6.is_some(),
                })
            })
            .collect();
        let (four, six) = gateway::choose(&candidates);
        let (four, six) = (four.map(str::to_owned), six.map(str::to_owned));
        for (name, plug) in plugs {
            plug.default4 = four.as_ref() == Some(name);
            plug.default6 = six.as_ref() == Some(name);
        }
    }

    /// Holds ports of the host for a container whose places are decided; none
    /// if nothing of it leads out.
    pub fn reserve(&self, plugs: &Plugs, wishes: &[PortWish]) -> Result<Vec<Published>, Error> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let four = plugs.iter().find(|(_, plug)| plug.default4);
        let six = plugs.iter().find(|(_, plug)| plug.default6);
        let Some((_, asker)) = four.or(six) else { return Ok(Vec::new()) };
        let mut out = four.into_iter().chain(six);
        if let Some((name, _)) = out.find(|(name, _)| self.is_beside(name)) {
            return Err(Error::Invalid(format!(
                "network {name} publishes no ports: its containers are reached at their own \
                 addresses: leave the ports out"
            )));
        }
        let straight4 = four.is_some_and(|(name, _)| self.is_straight(name, true));
        let straight6 = six.is_some_and(|(name, _)| self.is_straight(name, false));
        let asker = Endpoint {
            addr4: four.and_then(|(_, plug)| plug.addr4),
            addr6: six.and_then(|(_, plug)| plug.addr6),
            ..asker.clone()
        };
        for wish in wishes {
            reachable(wish, &asker)?;
        }
        // What is reached straight is led nowhere, whatever address was meant.
        let asker = Endpoint {
            addr4: asker.addr4.filter(|_| !straight4),
            addr6: asker.addr6.filter(|_| !straight6),
            ..asker
        };
        let net = four.and_then(|(name, _)| self.named(name));
        let binding = net.and_then(|net| net.plan()?.binding4);
        let binding = binding.filter(|address| !address.is_unspecified());
        let wishes: Vec<PortWish> = wishes
            .iter()
            .map(|wish| PortWish {
                host_ip: wish.host_ip.or(binding.map(IpAddr::V4)),
                ..wish.clone()
            })
            .collect();
        let mut published = straight(&wishes, straight4, straight6);
        let led: Vec<PortWish> = wishes
            .into_iter()
            .filter(|wish| match wish.host_ip {
                Some(IpAddr::V4(_)) => !straight4,
                Some(IpAddr::V6(_)) => !straight6,
                None => asker.addr4.is_some() || asker.addr6.is_some(),
            })
            .collect();
        published.extend(self.realm.reserve(&asker, &led)?);
        Ok(published)
    }

    /// Decides which ports lead to a container whose places have changed: those
    /// that did go on as far as they can, and what is missing is held anew.
    ///
    /// # Errors
    /// A port is taken.
    pub fn publish_anew(
        &self,
        plugs: &Plugs,
        wishes: &[PortWish],
        had: &[Published],
    ) -> Result<Vec<Published>, Error> {
        let leads = |v4: bool| {
            let (name, _) = plugs.iter().find(|(_, p)| if v4 { p.default4 } else { p.default6 })?;
            Some(self.is_straight(name, v4))
        };
        let goes_on =
            |port: &&Published| leads(port.host_ip.is_ipv4()) == Some(port.host_port == 0);
        let mut kept: Vec<Published> = had.iter().filter(goes_on).copied().collect();
        if kept.is_empty() {
            return self.reserve(plugs, wishes);
        }
        let families = [true, false].into_iter().filter(|v4| leads(*v4).is_some());
        let has = &kept;
        let each = || wishes.iter().flat_map(PortWish::each);
        let missing =
            families.flat_map(|v4| each().filter_map(move |wish| missing(&wish, v4, has)));
        let missing = PortWish::joined(missing);
        kept.extend(self.reserve(plugs, &missing)?);
        Ok(kept)
    }

    /// Gives back some of the ports of the host that a container holds.
    pub fn give_ports_back(&self, container: &Id, ports: &[Published]) {
        self.realm.give_back(container, ports);
    }

    /// Do the containers of a network stand beside the host?
    pub fn is_beside(&self, name: &str) -> bool {
        let net = self.named(name);
        let plan = net.as_ref().and_then(|net| net.plan());
        plan.is_some_and(|plan| plan.bridge.driver == Driver::Beside)
    }

    /// Are the containers of a network reached under their own addresses, with
    /// no port of the host's?
    fn is_straight(&self, name: &str, v4: bool) -> bool {
        let net = self.named(name);
        let mode = net
            .as_ref()
            .and_then(|net| net.plan())
            .map(|plan| if v4 { plan.bridge.gateway4 } else { plan.bridge.gateway6 });
        mode == Some(GatewayMode::Routed)
    }

    /// Gives back some of them.
    pub fn give_back_ports(&self, container: &Id, ports: &[Published]) {
        self.realm.give_back(container, ports);
    }

    /// Takes over the addresses of a container that an earlier daemon started.
    pub fn adopt(&self, plugs: &Plugs) {
        for (name, plug) in plugs {
            match self.named(name) {
                Some(net) => net.recall(plug),
                None => {
                    tracing::warn!(id = %plug.container, name, "it is on a network that is gone");
                }
            }
        }
    }

    /// Plugs a container in, everywhere; all of it, or nothing.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn plug(&self, netns: BorrowedFd<'_>, plugs: &Plugs) -> Result<(), Error> {
        let mut ordered: Vec<(&String, &Endpoint)> = plugs.iter().collect();
        ordered.sort_by(|(_, a), (_, b)| a.ifname.cmp(&b.ifname));
        for (n, (name, plug)) in ordered.iter().enumerate() {
            let plugged = self.bridge_of(name).and_then(|b| Ok(b.plug(netns, plug)?));
            if let Err(error) = plugged {
                for (name, plug) in &ordered[..n] {
                    if let Err(error) = self.unplug(name, &plug.container) {
                        tracing::warn!(id = %plug.container, %error, "cannot unplug it");
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn bridge_of(&self, name: &str) -> Result<Arc<network::Bridge>, Error> {
        self.named(name).ok_or_else(|| Error::NoNetwork(name.to_owned()))?.bridge()
    }

    fn unplug(&self, name: &str, container: &Id) -> Result<(), Error> {
        match self.named(name) {
            // What was in it went with it.
            None => Ok(()),
            // Nothing on the host speaks of it, and its parent may be gone.
            Some(_) if self.is_beside(name) => Ok(()),
            Some(net) => Ok(net.bridge()?.unplug(container)?),
        }
    }

    /// Takes back [`Networks::hold`] for a container that is not plugged in.
    pub fn give_back(&self, plugs: &Plugs) {
        if let Some(plug) = plugs.values().next() {
            self.realm.release(&plug.container);
        }
        for (name, plug) in plugs {
            if let Some(net) = self.named(name) {
                net.forget(plug);
            }
        }
    }

    /// Takes back [`Networks::plug`] alone.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn unplug_all(&self, plugs: &Plugs) -> Result<(), Error> {
        let outcomes = plugs.iter().map(|(name, plug)| self.unplug(name, &plug.container));
        // One that fails keeps no other from being done.
        outcomes.fold(Ok(()), Result::and)
    }

    /// Withdraws a container that has ended and gives its addresses back.
    ///
    /// # Errors
    /// What the kernel said; the addresses are then kept back until a sweep
    /// has removed what is left.
    pub fn leave(&self, plugs: &Plugs) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (name, plug) in plugs {
            let left = self.unplug(name, &plug.container);
            match (&left, self.named(name)) {
                (Ok(()), Some(net)) => net.forget(plug),
                (Ok(()), None) => {}
                (Err(_), _) => self.stuck().push((name.clone(), plug.clone())),
            }
            outcome = outcome.and(left);
        }
        outcome
    }

    /// Gives a container that was renamed its names on its networks.
    pub fn name_anew(&self, container: &mut Container) {
        let names: Vec<_> = container
            .endpoints
            .iter()
            .map(|(name, settings)| self.named(name)?.dns_names(container, settings))
            .collect();
        for (settings, names) in container.endpoints.values_mut().zip(names) {
            // Docker shows none before the first start.
            if settings.dns_names.is_some() {
                settings.dns_names = names;
            }
        }
    }

    /// Is one of these places on a network where names are resolved?
    pub fn any_with_names(&self, plugs: &Plugs) -> bool {
        let has = |name: &String| self.named(name).is_some_and(|net| !net.network.is_predefined());
        crate::egress::has_names(plugs) || plugs.keys().any(has)
    }

    /// What `inspect` shows of a container's places.
    pub fn settings(
        &self,
        container: &Container,
        plugs: &Plugs,
    ) -> BTreeMap<String, EndpointSettings> {
        let endpoints = container.endpoints.iter();
        let shown = endpoints.map(|(name, asked)| {
            let Some(net) = self.named(name) else { return (name.clone(), asked.clone()) };
            let settings = match plugs.get(name) {
                Some(plug) => net.settings(container, plug, asked.clone()),
                None => EndpointSettings { network_id: net.network.id.clone(), ..asked.clone() },
            };
            (name.clone(), settings)
        });
        shown.collect()
    }
}

/// Places that are given back unless they are kept.
struct Held<'a> {
    networks: &'a Networks,
    plugs: Plugs,
}

impl Held<'_> {
    fn keep(mut self) -> Plugs {
        std::mem::take(&mut self.plugs)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.networks.give_back(&self.plugs);
    }
}

impl Net {
    /// Holds a container's place here, which leads nowhere yet.
    ///
    /// # Errors
    /// No address is free, or the one wanted is not.
    pub(super) fn hold(
        &self,
        container: &Container,
        settings: &EndpointSettings,
        ifname: String,
    ) -> Result<Endpoint, Error> {
        // Found out before anything is held.
        self.bridge()?;
        let mac = wished_mac(&self.network.name, container)?;
        // Both were judged when they were asked for.
        let link_local = link_local(settings).map_err(|words| Error::Invalid(words.join("; ")))?;
        let options = options::read(settings).map_err(|words| Error::Invalid(words.join("; ")))?;
        let egress = crate::egress::policy(&container.host)?;
        crate::egress::may_be_on(self, &egress)?;
        crate::egress::may_have(&link_local, &egress)?;
        let leased = self.lease(&container.id, wanted(settings)?)?;
        let derived = || leased.v4.map(addresses::mac4).or(leased.v6.map(addresses::mac6));
        Ok(Endpoint {
            id: crate::random::id(),
            container: container.id.clone(),
            name: container.name.clone(),
            ifname,
            mac: mac.or_else(derived).expect("a network carries IPv4 or IPv6"),
            addr4: leased.v4,
            addr6: leased.v6,
            link_local,
            sysctls: options.sysctls,
            default4: false,
            default6: false,
            ports: Vec::new(),
            egress,
        })
    }

    /// What `inspect` shows of a container's place here.
    fn settings(
        &self,
        container: &Container,
        plug: &Endpoint,
        asked: EndpointSettings,
    ) -> EndpointSettings {
        let Some(plan) = self.plan() else { return asked };
        let text = |ip: Option<String>| ip.unwrap_or_default();
        let (four, six) = (plan.bridge.subnet4, plan.bridge.subnet6);
        let open = !plan.bridge.internal && plan.bridge.has_gateway();
        // On a line there is nobody beside.
        let routed = plan.bridge.driver == Driver::Routed;
        let length = |subnet: u8, alone: u8| if routed { alone } else { subnet };
        EndpointSettings {
            network_id: self.network.id.clone(),
            endpoint_id: plug.id.to_string(),
            mac_address: plug.mac.to_string(),
            gateway: text(four.filter(|_| open).map(|net| net.addr().to_string())),
            ip_address: text(plug.addr4.map(|a| a.to_string())),
            ip_prefix_len: plug.addr4.and(four).map_or(0, |net| length(net.prefix_len(), 32)),
            ipv6_gateway: text(six.filter(|_| open).map(|net| net.addr().to_string())),
            global_ipv6_address: text(plug.addr6.map(|a| a.to_string())),
            global_ipv6_prefix_len: plug
                .addr6
                .and(six)
                .map_or(0, |net| length(net.prefix_len(), 128)),
            dns_names: self.dns_names(container, &asked),
            ..asked
        }
    }

    /// The names that a container answers to here; none on the default bridge.
    ///
    /// Source: moby, `buildEndpointDNSNames`.
    pub(super) fn dns_names(
        &self,
        container: &Container,
        asked: &EndpointSettings,
    ) -> Option<Vec<String>> {
        if self.network.is_predefined() {
            return None;
        }
        let mut names = vec![container.name.clone()];
        names.extend(asked.aliases.iter().flatten().cloned());
        names.push(container.id.short().to_owned());
        names.push(container.config.hostname.clone());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
        Some(names)
    }
}

/// The name of an interface that was asked for.
fn said_name(settings: &EndpointSettings) -> Option<String> {
    options::read(settings).ok()?.ifname
}

/// What an interface inside is called: as asked for, or the first name that no
/// other has or asks for.
///
/// # Errors
/// Another has the name.
pub(super) fn name_inside<'a>(
    net: &Net,
    settings: &EndpointSettings,
    taken: impl Iterator<Item = &'a str>,
) -> Result<String, Error> {
    let taken: Vec<&str> = taken.collect();
    if let Some(name) = said_name(settings) {
        if taken.contains(&name.as_str()) {
            return Err(Error::Conflict(format!("two interfaces of it would be called {name}")));
        }
        return Ok(name);
    }
    let prefix = net.plan().map_or("eth", |plan| plan.prefix.as_str());
    let mut names = (0..).map(|n: u32| format!("{prefix}{n}"));
    let free = names.find(|name| !taken.contains(&name.as_str()));
    Ok(free.expect("there are more numbers than names"))
}

/// Can somebody who asks at the wish's address be led to the container? What
/// comes by one family cannot go on by the other: there is no proxy.
fn reachable(wish: &PortWish, asker: &Endpoint) -> Result<(), Error> {
    let (family, has) = match wish.host_ip {
        None => return Ok(()),
        Some(IpAddr::V4(_)) => ("IPv4", asker.addr4.is_some()),
        Some(IpAddr::V6(_)) => ("IPv6", asker.addr6.is_some()),
    };
    match wish.host_ip {
        Some(address) if !has => Err(Error::Invalid(format!(
            "cannot publish a port on {address}: no network of the container that leads out \
             carries {family}: publish on an address of the other family, or connect it to a \
             network with {family}"
        ))),
        _ => Ok(()),
    }
}

/// Gives ports to the places that lead out, each family's to its own.
pub(crate) fn give_ports(plugs: &mut Plugs, ports: &[Published]) {
    for plug in plugs.values_mut() {
        let leads = |p: &&Published| {
            if p.host_ip.is_ipv4() { plug.default4 } else { plug.default6 }
        };
        plug.ports = ports.iter().filter(leads).copied().collect();
    }
}

/// What of a wish for one port is not among what a container has, by one
/// family: at the port that it has by the other, if it has one there.
fn missing(wish: &PortWish, v4: bool, has: &[Published]) -> Option<PortWish> {
    if wish.host_ip.is_some_and(|ip| ip.is_ipv4() != v4) {
        return None;
    }
    let any = *wish.host_ports.end() == 0;
    let of_wish = |run: &Published| {
        let there = run.proto == wish.proto && run.container_ports().contains(&wish.container_port);
        // The port of the run that leads there.
        let host_port = there.then(|| match run.host_port {
            0 => 0,
            first => first + (wish.container_port - run.container_port),
        })?;
        let meant = any || host_port == 0 || wish.host_ports.contains(&host_port);
        meant.then_some((host_port, run.host_ip))
    };
    let mut has = has.iter().filter_map(of_wish).peekable();
    let beside = has.peek().map(|(port, _)| *port).filter(|port| *port != 0);
    if has.any(|(_, host_ip)| host_ip.is_ipv4() == v4) {
        return None;
    }
    let unspecified: IpAddr =
        if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    Some(PortWish {
        host_ip: wish.host_ip.or(Some(unspecified)),
        host_ports: beside.map_or(wish.host_ports.clone(), |port| port..=port),
        ..wish.clone()
    })
}

/// Ports that are reached at the container's own address, by either family.
fn straight(wishes: &[PortWish], v4: bool, v6: bool) -> Vec<Published> {
    let any: [(bool, IpAddr); 2] =
        [(v4, Ipv4Addr::UNSPECIFIED.into()), (v6, Ipv6Addr::UNSPECIFIED.into())];
    let of = |wish: &PortWish| {
        let (proto, container_port, count) = (wish.proto, wish.container_port, wish.count);
        let meant = wish.host_ip;
        any.into_iter()
            .filter(move |(wanted, any)| {
                *wanted && meant.is_none_or(|ip| ip.is_ipv4() == any.is_ipv4())
            })
            .map(move |(_, host_ip)| Published {
                proto,
                host_ip,
                host_port: 0,
                container_port,
                count,
            })
    };
    wishes.iter().flat_map(of).collect()
}

/// What is shown of ports.
pub(crate) fn shown_ports(container: &Container, plugs: &Plugs) -> Result<PortMap, Error> {
    let mut published: Vec<Published> =
        plugs.values().flat_map(|plug| plug.ports.iter().copied()).collect();
    published.sort_by_key(|p| (p.proto, p.container_port, p.host_ip, p.host_port));
    ports::shown(&container.config, &published)
}

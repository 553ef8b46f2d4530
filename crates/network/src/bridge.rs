//! One network.
//!
//! A plugged-in container has, outside: the port (one end of the veth pair,
//! named after the container), an entry of the bridge's forwarding table for
//! its MAC address, neighbour entries of the host for its addresses, and its
//! elements in the realm's tables. The first two die with the interface, that
//! is with the container's network namespace. The others are removed by
//! [`Bridge::unplug`], or by [`Bridge::sweep`] if nobody was there to do it.

use crate::{
    BridgeConfig, Driver, Egress, Endpoint, Error, Mac, Realm, addresses, beside,
    book::{self, Owner},
    error::Doing,
    forwarding, inside,
    line::{self, Line},
    netlink::{
        Message, Socket,
        link::{self, Link, Pair, Port},
    },
    nft,
    realm::unless_gone,
    rules, runs,
};
use ipnet::{IpNet, Ipv6Net};
use spec::Id;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    os::fd::BorrowedFd,
    sync::Arc,
};

/// What the names of our ports begin with.
const PORT: &str = "cv";

/// How many digits of the container's identifier, and of the endpoint's,
/// follow: an interface's name has 15 bytes.
const OF_CONTAINER: usize = 8;
const OF_ENDPOINT: usize = 5;

/// One network: a guarded bridge, or a [routed](Driver::Routed) one's, and a
/// handle on it. Dropping the handle changes nothing on the host.
#[derive(Debug)]
pub struct Bridge {
    realm: Arc<Realm>,
    config: BridgeConfig,
    index: u32,
    mac: Mac,
}

impl Bridge {
    /// Makes or adopts the bridge, and everything that it needs of the host.
    /// One that was made and does not come to be is taken away again.
    pub(crate) fn ensure(realm: &Arc<Realm>, config: BridgeConfig) -> Result<Self, Error> {
        check(&config)?;
        let new = config.has_interface() && realm.route().index(&config.name).is_err();
        let name = config.name.clone();
        Self::set_up(Arc::clone(realm), config).inspect_err(|_| {
            if new {
                // What failed is what the caller must hear of; a sweep finds
                // what could not be undone.
                let _ = delete(&mut realm.route(), &name);
                let _ = realm.strike(&Owner::Network(name));
            }
        })
    }

    fn set_up(realm: Arc<Realm>, config: BridgeConfig) -> Result<Self, Error> {
        let mac = addresses::bridge_mac(&config.name);
        if let Some(beside) = config.beside.clone() {
            beside::try_out(&realm, beside.kind)?;
            let index = match beside.parent.as_str() {
                "" => beside::nowhere(&realm, &config.name, mac)?,
                parent => beside::parent(&realm, parent, &config.name)?,
            };
            return Ok(Self { realm, config, index, mac });
        }
        let index = interface(&realm, &config, mac)?;
        let v6 = config.subnet6.is_some();
        forwarding::set_up_bridge(&config.name, v6)?;
        let bridge = Self { realm, config, index, mac };
        // Before it has an address, so that nothing passes unjudged.
        let elements = bridge.elements(&bridge.config);
        bridge.realm.book().enter(&Owner::Network(bridge.config.name.clone()), elements)?;
        bridge.set_addresses()?;
        if !bridge.config.internal {
            if bridge.config.subnet4.is_some() {
                bridge.realm.forward(false)?;
            }
            if v6 {
                bridge.realm.forward(true)?;
            }
            let request = link::set_alias(bridge.index, &bridge.realm.mark());
            talk(&mut bridge.realm.route(), &[request], "mark bridge", &bridge.config.name)?;
        }
        Ok(bridge)
    }

    /// As it was asked for.
    pub fn config(&self) -> &BridgeConfig {
        &self.config
    }

    /// Makes the bridge's addresses those of the configuration.
    fn set_addresses(&self) -> Result<(), Error> {
        let name = &self.config.name;
        let mut route = self.realm.route();
        let answers = route.dump(link::list_addresses()).doing("list addresses of", name)?;
        let is = answers.iter().filter_map(link::read_address);
        let is: BTreeSet<IpNet> =
            is.filter(|(index, _)| *index == self.index).map(|(_, address)| address).collect();
        let wanted = self.addresses();
        // Where ours is not wanted, somebody else's may be.
        let foreign = |address: &&IpNet| self.config.inhibit4 && address.addr().is_ipv4();
        let wrong = is.difference(&wanted).filter(|address| !foreign(address));
        let mut requests: Vec<_> =
            wrong.map(|address| link::remove_address(self.index, *address)).collect();
        requests.extend(wanted.difference(&is).map(|a| link::add_address(self.index, *a)));
        if self.config.subnet6.is_some() && self.realm.answers_on_loopback6() {
            requests.push(link::add_loopback_route6(self.index));
        }
        talk(&mut route, &requests, "address bridge", name)
    }

    fn addresses(&self) -> BTreeSet<IpNet> {
        let link_local =
            self.config.host6().map(|_| Ipv6Net::new_assert(self.mac.link_local(), 64).into());
        let v4 = self.config.host4().map(IpNet::from);
        let v6 = self.config.host6().map(IpNet::from);
        [v4, v6, link_local].into_iter().flatten().collect()
    }

    /// Puts an interface into a network namespace, addressed and up, guards
    /// its port and publishes its ports. All of it, or nothing.
    ///
    /// # Errors
    /// A published port is taken, the name inside is taken, or what the
    /// kernel said.
    pub fn plug(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        self.check_endpoint(endpoint)?;
        if self.config.driver == Driver::Beside {
            return self.plug_beside(netns, endpoint);
        }
        let host = port_name(endpoint);
        let done = self
            .admit(&host, endpoint)
            .and_then(|()| self.start_fenced(endpoint))
            .and_then(|()| self.connect(netns, &host, endpoint))
            .and_then(|()| inside::set_up(netns, endpoint, &self.config, self.mac))
            .and_then(|()| {
                let mut route = self.realm.route();
                inside::settle(&mut route, &host)?;
                inside::settle(&mut route, &self.config.name)
            });
        if let Err(error) = done {
            // What failed is what the caller must hear of; what could not be
            // undone is swept later.
            let _ = delete(&mut self.realm.route(), &host);
            let _ = self.unplug(&endpoint.container);
            return Err(error.of(endpoint));
        }
        Ok(())
    }

    fn plug_beside(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        if !endpoint.ports.is_empty() {
            return Err(Error::Invalid(format!(
                "a network beside the host publishes no ports: {} is reached at its own address",
                endpoint.name
            )));
        }
        let mut tries = 0;
        loop {
            let mut route = self.realm.route();
            let made = beside::connect(&mut route, self.index, netns, endpoint, &self.config);
            drop(route);
            let done = made.and_then(|()| {
                inside::set_up(netns, endpoint, &self.config, self.mac).inspect_err(|_| {
                    // What failed is what the caller must hear of. One that
                    // could not be made may be there, and is the container's.
                    let _ = inside::remove(netns, &endpoint.ifname);
                })
            });
            let Err(error) = done else { return Ok(()) };
            if !beside::is_taken(&error) || tries == beside::TRIES {
                return Err(beside::explain(error, &self.config));
            }
            tries += 1;
            std::thread::sleep(beside::PAUSE);
        }
    }

    /// Enters the endpoint's rights and ports.
    fn admit(&self, host: &str, endpoint: &Endpoint) -> Result<(), Error> {
        self.enter(host, endpoint)?;
        self.realm.redirect_datagrams(&endpoint.ports)
    }

    fn enter(&self, host: &str, endpoint: &Endpoint) -> Result<(), Error> {
        let mut book = self.realm.book();
        // What is reached straight takes no port of the host's.
        for published in endpoint.ports.iter().filter(|port| port.host_port != 0) {
            book.ports.hold(published, endpoint)?;
        }
        book.enter(
            &self.owner(&endpoint.container),
            rules::of_endpoint(host, endpoint, &self.config),
        )
    }

    /// Puts a container's policy in another's place; what it forbids ends.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn fence(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.enter(&port_name(endpoint), endpoint).map_err(|error| error.of(endpoint))?;
        let addresses: Vec<_> = endpoint.addresses().collect();
        self.realm.hold_container(&addresses, &endpoint.egress)
    }

    /// Has the kernel all that holds a container to its policy?
    ///
    /// # Errors
    /// What the kernel said.
    pub fn is_fenced(&self, endpoint: &Endpoint) -> Result<bool, Error> {
        let mut elements = rules::of_endpoint(&port_name(endpoint), endpoint, &self.config);
        elements.retain(rules::is_of_fence);
        self.realm.book().are_there(&elements)
    }

    /// Puts the network's policy in another's place, beside the rest of its
    /// [configuration](Self::config), which stays; what it forbids ends.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn wall(&self, egress: &Egress) -> Result<(), Error> {
        let config = BridgeConfig { egress: egress.clone(), ..self.config.clone() };
        let owner = Owner::Network(config.name.clone());
        self.realm.book().enter(&owner, self.elements(&config))?;
        self.hold_to(egress)
    }

    /// Ends what has begun on the network and what its policy forbids.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn hold_to(&self, egress: &Egress) -> Result<(), Error> {
        self.realm.hold_network(&self.config.name, egress)
    }

    fn elements(&self, config: &BridgeConfig) -> Vec<nft::Element> {
        rules::of_network(config, link::group_of(self.index), self.realm.name())
    }

    /// Ends what an earlier owner of its addresses has begun, who may have
    /// been let out further.
    fn start_fenced(&self, endpoint: &Endpoint) -> Result<(), Error> {
        if !endpoint.egress.fenced {
            return Ok(());
        }
        let addresses: Vec<_> = endpoint.addresses().collect();
        let nothing = Egress { fenced: true, ..Egress::default() };
        self.realm.hold_container(&addresses, &nothing)
    }

    /// Makes the pair and its port.
    fn connect(&self, netns: BorrowedFd<'_>, host: &str, endpoint: &Endpoint) -> Result<(), Error> {
        let mut route = self.realm.route();
        let pair = link::new_pair(&Pair {
            host,
            bridge: (self.config.driver == Driver::Bridge).then_some(self.index),
            inside: &endpoint.ifname,
            mac: endpoint.mac,
            netns,
            mtu: self.config.mtu,
        });
        let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        match route.talk(std::slice::from_ref(&pair)) {
            // Of the same container's last life, and not quite gone.
            Err(error) if exists(&error) && route.index(host).is_ok() => {
                delete(&mut route, host)?;
                talk(&mut route, &[pair], "create interface", host)?;
            }
            other => other.doing("create interface", host)?,
        }
        let index = route.index(host).doing("find interface", host)?;
        // A port passes on what others say, and a line is one end of it.
        if self.config.driver == Driver::Bridge || self.config.subnet6.is_none() {
            forwarding::without_ipv6(host)?;
        }
        let requests = match self.config.driver {
            Driver::Bridge => self.port_requests(index, endpoint),
            Driver::Routed => line::requests(&self.line(index), endpoint, &self.config),
            Driver::Beside => Vec::new(),
        };
        talk(&mut route, &requests, "set up interface", host)
    }

    fn port_requests(&self, index: u32, endpoint: &Endpoint) -> Vec<Message> {
        let mut requests = vec![
            link::guard_port(&self.port(index, endpoint)),
            link::forward_to(index, endpoint.mac),
            link::up(index),
        ];
        requests
            .extend(endpoint.addresses().map(|a| link::add_neighbour(self.index, a, endpoint.mac)));
        requests
    }

    /// How a container's line of this network is set.
    fn line(&self, index: u32) -> Line {
        // No other network has it, as long as the bridge is there.
        Line {
            index,
            group: link::group_of(self.index),
            loopback6: self.realm.answers_on_loopback6(),
        }
    }

    /// How a container's port of this bridge is set.
    fn port(&self, index: u32, endpoint: &Endpoint) -> Port {
        Port {
            index,
            isolated: !self.config.icc,
            // Where bridged packets are translated while they are still
            // frames, one to the container's own published port would have to
            // leave by the port that it came in by.
            hairpin: !endpoint.ports.is_empty() && forwarding::translates_frames(),
            v6: forwarding::has_ipv6(),
        }
    }

    /// Changes a plugged-in endpoint's published ports and whether it leads
    /// out, without touching its interface or address. Where two endpoints of
    /// a container change, the one that gives up goes first.
    ///
    /// # Errors
    /// A published port is taken, or what the kernel said.
    pub fn change(
        &self,
        netns: BorrowedFd<'_>,
        before: &Endpoint,
        after: &Endpoint,
    ) -> Result<(), Error> {
        if self.config.driver == Driver::Beside {
            return inside::lead_out(netns, before, after, &self.config);
        }
        let host = port_name(after);
        self.enter(&host, after).map_err(|error| error.of(after))?;
        // Others' datagrams go on by the ways that they have found.
        let differs = |one: &Endpoint, other: &Endpoint| runs::without(&one.ports, &other.ports);
        let moved = [differs(before, after), differs(after, before)].concat();
        self.realm.redirect_datagrams(&moved)?;
        let mut route = self.realm.route();
        let index = route.index(&host).doing("find interface", &host)?;
        let requests = match self.config.driver {
            Driver::Bridge => vec![link::guard_port(&self.port(index, after))],
            Driver::Routed => line::requests(&self.line(index), after, &self.config),
            Driver::Beside => Vec::new(),
        };
        talk(&mut route, &requests, "set up interface", &host)?;
        drop(route);
        inside::lead_out(netns, before, after, &self.config)
    }

    /// Withdraws a container that has ended: its published ports and its
    /// rights on the bridge. Does not wait for its interface, which dies with
    /// the network namespace and is mute until then.
    ///
    /// # Errors
    /// What the kernel said. Not for a container that was never plugged.
    pub fn unplug(&self, container: &Id) -> Result<(), Error> {
        let has_neighbours = self.config.driver == Driver::Bridge;
        withdraw(&self.realm, &self.owner(container), has_neighbours.then_some(self.index))
    }

    /// Takes the interface out of a container that lives on; returns when it
    /// is gone.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn take_out(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        if self.config.driver == Driver::Beside {
            return inside::remove(netns, &endpoint.ifname);
        }
        self.disconnect(endpoint)
    }

    /// The same, of a network whose interfaces have an end on the host.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn disconnect(&self, endpoint: &Endpoint) -> Result<(), Error> {
        delete(&mut self.realm.route(), &port_name(endpoint))?;
        self.unplug(&endpoint.container)
    }

    /// Gives a plugged-in endpoint the rights and ports that it is to have and
    /// no others, after somebody emptied the host's nftables, or a daemon died
    /// between a change and its record. Had it others? Then what has begun by
    /// them is to be [ended](Realm::hold).
    ///
    /// # Errors
    /// What the kernel said.
    pub fn restore(&self, endpoint: &Endpoint) -> Result<bool, Error> {
        if self.config.driver == Driver::Beside {
            return Ok(false);
        }
        let elements = rules::of_endpoint(&port_name(endpoint), endpoint, &self.config);
        self.realm.book().restore(&self.owner(&endpoint.container), elements)
    }

    /// Removes everything of containers that are not `known` to be here; says
    /// whose, as far as their names were still written somewhere. What is to
    /// be known is asked after what is there was listed, so that a container
    /// that comes meanwhile is not taken for rubbish.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweep(&self, known: impl FnOnce() -> BTreeSet<Id>) -> Result<Vec<String>, Error> {
        if !self.config.has_interface() {
            return Ok(Vec::new());
        }
        let (ports, owners) = (self.ports()?, self.realm.book().owners());
        let known = known();
        for port in ports {
            if !known.iter().any(|id| is_port_of(&port, id)) {
                delete(&mut self.realm.route(), &port.name)?;
            }
        }
        let known: BTreeSet<&str> = known.iter().map(Id::as_str).collect();
        let mut swept = Vec::new();
        for owner in owners {
            let Owner::Endpoint { bridge, container } = &owner else { continue };
            if *bridge == self.config.name && !known.contains(container.as_str()) {
                withdraw(&self.realm, &owner, Some(self.index))?;
                swept.push(container.clone());
            }
        }
        Ok(swept)
    }

    /// Our ports of this bridge.
    fn ports(&self) -> Result<Vec<Link>, Error> {
        let answers =
            self.realm.route().dump(link::list()).doing("list ports of", &self.config.name)?;
        let links = answers.iter().filter_map(Link::read);
        Ok(links.filter(|link| is_of(link, self.index, &self.config.name)).collect())
    }

    /// Removes the network; interfaces still plugged in are removed with it.
    /// Of one beside an interface of the host's there is nothing: what its name
    /// leads to, and what is at its parent, is others'.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove(&self) -> Result<(), Error> {
        if !self.config.has_interface() {
            return Ok(());
        }
        self.sweep(BTreeSet::new)?;
        delete(&mut self.realm.route(), &self.config.name)?;
        self.realm.strike(&Owner::Network(self.config.name.clone()))?;
        beside::leave(&self.realm, &self.config)
    }

    fn owner(&self, container: &Id) -> Owner {
        Owner::endpoint(&self.config.name, container)
    }

    fn check_endpoint(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::Invalid(text));
        if !endpoint.mac.is_station() {
            return refuse(format!("invalid MAC address {} for an interface", endpoint.mac));
        }
        let inside = |address: IpAddr, subnet: Option<IpNet>| match subnet {
            Some(subnet) => subnet.contains(&address) && subnet.addr() != address,
            None => false,
        };
        if let Some(address) = endpoint.addr4
            && !inside(address.into(), self.config.subnet4.map(Into::into))
        {
            return refuse(format!("address {address} does not fit network {}", self.config.name));
        }
        if let Some(address) = endpoint.addr6
            && !inside(address.into(), self.config.subnet6.map(Into::into))
        {
            return refuse(format!("address {address} does not fit network {}", self.config.name));
        }
        Ok(())
    }
}

/// Who is known to be on which of a realm's bridges.
pub type Known = BTreeMap<String, BTreeSet<Id>>;

/// Removes what a realm has and nobody knows of; for [`Realm::sweep`].
pub(crate) fn sweep(realm: &Realm, known: impl FnOnce() -> Known) -> Result<Vec<String>, Error> {
    let mut route = realm.route();
    let answers = route.dump(link::list()).doing("list", "interfaces")?;
    let links: Vec<Link> = answers.iter().filter_map(Link::read).collect();
    let owners = realm.book().owners();
    // Asked only now: see `Bridge::sweep`.
    let known = known();
    let mut swept = Vec::new();
    let ours = |link: &&Link| matches!(link.kind.as_str(), "bridge" | beside::NOWHERE);
    for bridge in links.iter().filter(ours) {
        let members = known.get(&bridge.name);
        // One whose maker died before it could mark it is known by its MAC.
        let unmarked =
            bridge.alias.is_empty() && bridge.mac == Some(addresses::bridge_mac(&bridge.name));
        if members.is_none() && !unmarked && !realm.is_mine(&bridge.alias) {
            continue;
        }
        let ports = links.iter().filter(|link| is_of(link, bridge.index, &bridge.name));
        for port in ports {
            if !members.is_some_and(|ids| ids.iter().any(|id| is_port_of(port, id))) {
                delete(&mut route, &port.name)?;
            }
        }
        if members.is_none() {
            delete(&mut route, &bridge.name)?;
            swept.push(bridge.name.clone());
        }
    }
    drop(route);
    for owner in owners {
        let gone = match &owner {
            Owner::Realm => false,
            Owner::Network(bridge) => !known.contains_key(bridge),
            Owner::Endpoint { bridge, container } => {
                !known.get(bridge).is_some_and(|ids| ids.iter().any(|id| id.as_str() == container))
            }
        };
        if !gone {
            continue;
        }
        let (Owner::Network(bridge) | Owner::Endpoint { bridge, .. }) = &owner else { continue };
        let index = links.iter().find(|link| link.name == *bridge).map(|link| link.index);
        withdraw(realm, &owner, index.filter(|_| known.contains_key(bridge)))?;
        if let Owner::Endpoint { container, .. } = owner {
            swept.push(container);
        }
    }
    Ok(swept)
}

/// Strikes an owner out; where its bridge stays, so do not its neighbours.
fn withdraw(realm: &Realm, owner: &Owner, bridge: Option<u32>) -> Result<(), Error> {
    let had = realm.strike(owner)?;
    let Some(index) = bridge else { return Ok(()) };
    let mut route = realm.route();
    for address in book::addresses_of(&had) {
        let forgotten = route.talk(&[link::remove_neighbour(index, address)]);
        unless_gone(forgotten).doing("forget neighbour", &address.to_string())?;
    }
    Ok(())
}

/// Is it a container's port of that bridge, or its line of that network?
fn is_of(link: &Link, bridge: u32, name: &str) -> bool {
    let joined = link.master == Some(bridge) || link.alias == line::alias(name);
    joined && link.name.starts_with(PORT) && link.kind == "veth"
}

/// Is it this container's?
fn is_port_of(link: &Link, container: &Id) -> bool {
    link.name[PORT.len()..].starts_with(&container.as_str()[..OF_CONTAINER])
}

fn check(config: &BridgeConfig) -> Result<(), Error> {
    // Source: IPv6 asks for 1280 bytes, IPv4 for 68; RFC 8200, RFC 791.
    let least = if config.subnet6.is_some() { 1280 } else { 68 };
    let of_parent = config.driver == Driver::Beside && config.mtu == 0;
    if !of_parent && !(least..=65535).contains(&config.mtu) {
        let text = format!("invalid MTU {}: from {least} to 65535 for this network", config.mtu);
        return Err(Error::Invalid(text));
    }
    if let Some(net) = config.subnet4
        && net.prefix_len() < 31
        && (net.addr() == net.network() || net.addr() == net.broadcast())
    {
        return Err(Error::Invalid(format!("{net} names no gateway address")));
    }
    Ok(())
}

/// The bridge's number, made if need be.
fn interface(realm: &Realm, config: &BridgeConfig, mac: Mac) -> Result<u32, Error> {
    let name = &config.name;
    let mut route = realm.route();
    if route.index(name).is_ok() {
        let answer = route.ask(&link::get(name)).doing("look at interface", name)?;
        let found = Link::read(&answer).unwrap_or_default();
        // One whose maker died before it could mark it is known by its MAC.
        let unmarked = found.alias.is_empty() && found.mac == Some(mac);
        if found.kind != "bridge" || !(unmarked || realm.recognise(&found.alias)?) {
            return Err(Error::Foreign(name.clone()));
        }
    } else {
        let request = link::new_bridge(name, mac, config.mtu);
        talk(&mut route, &[request], "create bridge", name)?;
    }
    let index = route.index(name).doing("find bridge", name)?;
    let mut requests = vec![link::set_bridge(index, mac, config.mtu, &realm.mark())];
    if forwarding::has_ipv6() {
        requests.push(link::without_own_address(index));
    }
    requests.push(link::up(index));
    talk(&mut route, &requests, "set up bridge", name)?;
    Ok(index)
}

fn talk(
    route: &mut Socket,
    requests: &[Message],
    doing: &'static str,
    object: &str,
) -> Result<(), Error> {
    route.talk(requests).doing(doing, object)
}

/// Removes an interface, if it is there.
fn delete(route: &mut Socket, name: &str) -> Result<(), Error> {
    let deleted = route.talk(&[link::delete(name)]);
    unless_gone(deleted).doing("remove interface", name)
}

/// What the host's end of an endpoint's pair is called.
fn port_name(endpoint: &Endpoint) -> String {
    let container = &endpoint.container.as_str()[..OF_CONTAINER];
    let endpoint = &endpoint.id.as_str()[..OF_ENDPOINT];
    format!("{PORT}{container}{endpoint}")
}

//! Networks that a container comes to and leaves after its creation.
//!
//! One that does not run has its record changed. In one that runs an
//! interface appears or vanishes; if that changes which network leads out,
//! the default routes and the published ports move with it: away from the old
//! one first, then to the new.

use super::{
    Mode, Net,
    place::{self, give_ports, name_inside},
    said::{alone, check, shared, wished},
};
use crate::{
    Container, Engine, Error, State, cell::Cell, container::Plugs, egress, error::Doing, files,
    house::House, ports, undo::Undo, verbs::not_running,
};
use network::{Endpoint, Published, runs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spec::docker::EndpointSettings;
use std::{
    fs::File,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

impl Engine {
    /// Connects a container to one more network: at once if it runs, else
    /// when it is started.
    ///
    /// # Errors
    /// None such, a combination that cannot be, an address or port that is
    /// taken, or what the kernel said.
    pub fn connect(
        &self,
        network: &str,
        container: &str,
        asked: EndpointSettings,
    ) -> Result<(), Error> {
        let house = &self.0;
        let net = house.networks.find(network)?;
        let cell = house.find(container)?;
        let _own = cell.own();
        let container = cell.now();
        may_change(&container)?;
        net.admits()?;
        let name = &net.network.name;
        match Mode::parse(&container.host.network_mode)? {
            Mode::Container(_) | Mode::Host | Mode::Namespace(_) => return Err(shared()),
            Mode::Network(_) | Mode::None => {}
        }
        if name == "host" {
            let words = "cannot connect container to host network - container must be created in \
                         host network mode";
            return Err(Error::Invalid(words.into()));
        }
        if name == "none" || container.endpoints.contains_key("none") {
            return Err(alone());
        }
        check(&net, &asked).map_err(Error::Invalid)?;
        egress::may_be_at([&asked], &egress::policy(&container.host)?)?;
        let mut next = Container::clone(&container);
        match asked.mac_address.as_str() {
            "" => next.macs.remove(name),
            mac => next.macs.insert(name.clone(), mac.to_owned()),
        };
        let asked = wished(asked);
        let dns_names = net.dns_names(&next, &asked);
        next.endpoints.insert(name.clone(), EndpointSettings { dns_names, ..asked });
        house.weaken_anew(&mut next);
        if container.state.pid().is_none() {
            return house.change_record(&cell, &next);
        }
        if container.endpoints.contains_key(name) {
            let words =
                format!("endpoint with name {} already exists in network {name}", container.name);
            return Err(Error::Forbidden(words));
        }
        house.join(&cell, &container, next, &net)
    }

    /// Takes a container out of a network; `_force` is heard and makes no
    /// difference, since nobody is out of reach of one machine.
    ///
    /// # Errors
    /// None such, not connected, or what the kernel said.
    pub fn disconnect(&self, network: &str, container: &str, _force: bool) -> Result<(), Error> {
        let house = &self.0;
        let net = house.networks.find(network)?;
        let cell = house.find(container)?;
        let _own = cell.own();
        let container = cell.now();
        may_change(&container)?;
        let name = &net.network.name;
        if name == "host" && container.endpoints.contains_key(name) {
            let words = "container cannot be disconnected from host network or connected to host \
                         network";
            return Err(Error::Invalid(words.into()));
        }
        let mut next = Container::clone(&container);
        if next.endpoints.remove(name).is_none() {
            let message = format!("container {} is not connected to network {name}", container.id);
            // Docker answers as if the fault were its own.
            return Err(Error::Conflict(message));
        }
        next.macs.remove(name);
        house.weaken_anew(&mut next);
        match (container.state.pid(), container.plugs.get(name)) {
            (Some(_), Some(plug)) => {
                let plug = plug.clone();
                house.part(&cell, &container, next, &net, &plug)
            }
            _ => house.change_record(&cell, &next),
        }
    }
}

/// Nobody comes to or leaves a network while it comes up or goes.
fn may_change(container: &Container) -> Result<(), Error> {
    match container.state {
        State::Removing | State::Dead => Err(Error::Conflict(format!(
            "container {} is marked for removal and cannot be connected or disconnected to the \
             network",
            container.id
        ))),
        State::Starting => Err(not_running(container)),
        State::Created
        | State::Running { .. }
        | State::Paused { .. }
        | State::Exited
        | State::Restarting { .. } => Ok(()),
    }
}

impl House {
    /// Publishes what a container is connected to, and waits until it is
    /// recorded.
    fn change_record(&self, cell: &Cell, next: &Container) -> Result<(), Error> {
        let before = cell.now();
        let now = publish(cell, next);
        self.announce(&now).wait().map_err(|error| {
            publish(cell, &before);
            Error::records(&error)
        })
    }

    /// Plugs one more network into a container that runs. `next` is the
    /// container as asked for.
    fn join(
        &self,
        cell: &Arc<Cell>,
        before: &Container,
        mut next: Container,
        net: &Net,
    ) -> Result<(), Error> {
        let name = &net.network.name;
        let netns = netns(cell, before)?;
        let mut undo = Undo::default();
        let taken = before.plugs.values().map(|plug| plug.ifname.as_str());
        let ifname = name_inside(net, &next.endpoints[name], taken)?;
        let plug = net.hold(&next, &next.endpoints[name], ifname)?;
        let held = plug.clone();
        undo.with("give its address back", move || {
            net.forget(&held);
            Ok(())
        });
        next.plugs.insert(name.clone(), plug);
        self.settle_places(before, &mut next, &mut undo)?;
        let plug = next.plugs[name].clone();
        // The record says where it will be before it is there.
        self.change_record(cell, &next)?;
        undo.with("take back what was published", move || self.change_record(cell, before));
        let mut rest = next.plugs.clone();
        rest.remove(name);
        self.move_away(netns.as_fd(), &before.plugs, &rest, &mut undo)?;
        net.bridge()?.plug(netns.as_fd(), &plug)?;
        let (plugged, inside) = (plug.clone(), netns.as_fd());
        undo.with("unplug it", move || Ok(net.bridge()?.take_out(inside, &plugged)?));
        self.move_to(netns.as_fd(), &before.plugs, &rest)?;
        self.drop_ports(before, &next);
        self.names_changed(cell, before, &cell.now(), netns.as_fd())?;
        undo.keep();
        self.say_of_network(net, "connect", Some(&before.id));
        self.tell_hosts(before, |text, names| files::with_place(text, names, &addresses(&plug)))
    }

    /// Takes one network out of a container that runs.
    fn part(
        &self,
        cell: &Arc<Cell>,
        before: &Container,
        mut next: Container,
        net: &Net,
        plug: &Endpoint,
    ) -> Result<(), Error> {
        let netns = netns(cell, before)?;
        let mut undo = Undo::default();
        next.plugs.remove(&net.network.name);
        self.settle_places(before, &mut next, &mut undo)?;
        net.bridge()?.take_out(netns.as_fd(), plug)?;
        // From here on it is out, and is so for everybody, whatever becomes
        // of the rest: its address is somebody else's next.
        undo.keep();
        let now = publish(cell, &next);
        self.say_of_network(net, "disconnect", Some(&before.id));
        let named = self.names_changed(cell, before, &now, netns.as_fd());
        net.forget(plug);
        let moved = self.move_to(netns.as_fd(), &before.plugs, &next.plugs);
        self.drop_ports(before, &next);
        let recorded = self.announce(&now).wait().map_err(|error| Error::records(&error));
        let told = self.tell_hosts(before, |text, _| files::without_place(text, &addresses(plug)));
        named.and(moved).and(recorded).and(told)
    }

    /// Decides anew which place leads out and has the ports, and what is
    /// shown.
    fn settle_places<'a>(
        &'a self,
        before: &Container,
        next: &mut Container,
        undo: &mut Undo<'a>,
    ) -> Result<(), Error> {
        let mut plugs = std::mem::take(&mut next.plugs);
        self.networks.lead_out(next, &mut plugs);
        let wishes = ports::wishes(&next.config, &next.host)?;
        let had = published(&before.plugs);
        let has = self.networks.publish_anew(&plugs, &wishes, &had)?;
        let more: Vec<Published> = runs::without(&has, &had);
        let id = next.id.clone();
        undo.with("give its ports back", move || {
            self.networks.give_ports_back(&id, &more);
            Ok(())
        });
        give_ports(&mut plugs, &has);
        next.ports = if plugs.is_empty() {
            spec::ports::PortMap::new()
        } else {
            place::shown_ports(next, &plugs)?
        };
        next.endpoints = self.networks.settings(next, &plugs);
        next.plugs = plugs;
        Ok(())
    }

    /// Gives back the ports of the host that a change of places has left over.
    fn drop_ports(&self, before: &Container, after: &Container) {
        let left = runs::without(&published(&before.plugs), &published(&after.plugs));
        self.networks.give_ports_back(&after.id, &left);
    }

    /// Has the places that no longer lead out, or no longer have ports, know.
    fn move_away<'a>(
        &'a self,
        netns: BorrowedFd<'a>,
        before: &Plugs,
        after: &Plugs,
        undo: &mut Undo<'a>,
    ) -> Result<(), Error> {
        for (name, old, new) in changed(before, after) {
            let lesser = lesser(old, new);
            if lesser == *old {
                continue;
            }
            let bridge = self.networks.bridge_of(name)?;
            bridge.change(netns, old, &lesser)?;
            let old = old.clone();
            undo.with("lead out by it again", move || Ok(bridge.change(netns, &lesser, &old)?));
        }
        Ok(())
    }

    /// Has the places that now lead out, or now have ports, know.
    fn move_to(&self, netns: BorrowedFd<'_>, before: &Plugs, after: &Plugs) -> Result<(), Error> {
        for (name, old, new) in changed(before, after) {
            let lesser = lesser(old, new);
            if lesser != *new {
                self.networks.bridge_of(name)?.change(netns, &lesser, new)?;
            }
        }
        Ok(())
    }

    /// Changes the lines of `/etc/hosts` that name the container itself.
    fn tell_hosts(
        &self,
        container: &Container,
        change: impl FnOnce(&str, &str) -> String,
    ) -> Result<(), Error> {
        let path = &container.hosts_path;
        let text = files::read(path)?;
        let name = self.hostname(container)?;
        let names = files::own_names(&name, &container.config.domainname);
        files::write(path, &change(&text, &names))
    }
}

/// All that a container's places publish.
fn published(plugs: &Plugs) -> Vec<Published> {
    plugs.values().flat_map(|plug| plug.ports.iter().copied()).collect()
}

fn addresses(plug: &Endpoint) -> Vec<IpAddr> {
    plug.addr4.map(IpAddr::V4).into_iter().chain(plug.addr6.map(IpAddr::V6)).collect()
}

/// Has everybody see a container's networks as `next` has them.
fn publish(cell: &Cell, next: &Container) -> Arc<Container> {
    cell.change(|container| {
        container.weakened.clone_from(&next.weakened);
        container.endpoints.clone_from(&next.endpoints);
        container.macs.clone_from(&next.macs);
        container.plugs.clone_from(&next.plugs);
        container.ports.clone_from(&next.ports);
    })
}

/// The places that there were before, and are still, but otherwise.
fn changed<'a>(
    before: &'a Plugs,
    after: &'a Plugs,
) -> impl Iterator<Item = (&'a str, &'a Endpoint, &'a Endpoint)> {
    let both = before.iter().filter_map(|(name, old)| Some((&**name, old, after.get(name)?)));
    both.filter(|(_, old, new)| old != new)
}

/// What a place has both before and after: nobody else has that meanwhile.
fn lesser(old: &Endpoint, new: &Endpoint) -> Endpoint {
    Endpoint {
        default4: old.default4 && new.default4,
        default6: old.default6 && new.default6,
        ports: runs::common(&old.ports, &new.ports),
        ..new.clone()
    }
}

/// The network namespace of a container that runs.
pub(crate) fn netns(cell: &Cell, container: &Container) -> Result<File, Error> {
    let init = cell.live().init.clone();
    let (Some(pid), Some(init)) = (container.state.pid(), init) else {
        return Err(not_running(container));
    };
    let path = format!("/proc/{pid}/ns/net");
    let netns = File::open(&path).doing("open", &path)?;
    // If init lives yet, then what was opened is its own and no stranger's.
    let mut fds = [PollFd::new(&*init, PollFlags::IN)];
    let ended = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).doing("watch", &path)?;
    if ended == 0 { Ok(netns) } else { Err(not_running(container)) }
}

/// Sees to it that a path leads to a network namespace, which may have been
/// made since the container was.
///
/// # Errors
/// There is none.
pub(crate) fn found(path: &str) -> Result<(), Error> {
    let refuse = |error: &dyn std::fmt::Display| {
        Error::Invalid(format!("{path} is no network namespace that can be joined: {error}"))
    };
    let namespace = File::open(path).map_err(|error| refuse(&error))?;
    network::is_namespace(namespace.as_fd()).map_err(|error| refuse(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use network::{Mac, Proto};

    fn place(default4: bool, ports: &[u16]) -> Endpoint {
        let published = |port: &u16| Published {
            proto: Proto::Tcp,
            host_ip: [0, 0, 0, 0].into(),
            host_port: *port,
            container_port: 80,
            count: 1,
        };
        Endpoint {
            id: spec::Id::from_random([1; 32]),
            container: spec::Id::from_random([2; 32]),
            name: "c".into(),
            ifname: "eth0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            addr4: Some([10, 0, 0, 2].into()),
            addr6: None,
            link_local: Vec::new(),
            sysctls: Vec::new(),
            default4,
            default6: false,
            ports: ports.iter().map(published).collect(),
            egress: network::Egress::default(),
        }
    }

    #[test]
    fn between_two_states_a_place_has_what_it_has_in_both() {
        let (old, new) = (place(true, &[1, 2]), place(false, &[2, 3]));
        assert_eq!(lesser(&old, &new), place(false, &[2]));
        assert_eq!(lesser(&new, &old), place(false, &[2]));
        // In the order of runs.
        assert_eq!(lesser(&old, &old), place(true, &[2, 1]));
    }

    #[test]
    fn only_places_that_change_are_told() {
        let plugs = |leads| {
            Plugs::from([("a".to_owned(), place(leads, &[])), ("b".into(), place(false, &[]))])
        };
        let (before, after) = (plugs(true), plugs(false));
        let names: Vec<&str> = changed(&before, &after).map(|(name, ..)| name).collect();
        assert_eq!(names, ["a"]);
    }
}

//! Names on user-made networks: what the resolver is told, and when.
//!
//! The resolver is a process that [outlives](resolver) this daemon. It is
//! told of a container before the program in it begins, whenever its networks
//! or names change, and when it has ended; and, of all containers, when this
//! daemon has just found or started it. A container on the default bridge
//! alone has no names there, and costs nothing.

use crate::{
    Container, Engine, Error, Kind,
    cell::Cell,
    egress,
    error::Doing,
    files,
    house::House,
    networks::netns,
    resolv::{self, Resolv, Roads},
    services,
    watcher::Due,
};
use resolver::{
    Resolver, State, Wanted,
    wire::{Place, Seat},
};
use std::{
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// This daemon's program, whatever has become of its file.
pub(crate) const PROGRAM: &str = "/proc/self/exe";
/// One that ends sooner is started again later.
const SOON: Duration = Duration::from_secs(1);

/// The resolver of an engine. `user` is an id that nobody else has.
/// `realm` is the default bridge's name.
pub(crate) fn resolver(run_root: &Path, user: u32, realm: &str) -> Resolver {
    Resolver::new(PROGRAM, run_root, user, realm)
}

impl House {
    /// Is it on a network where names are resolved?
    /// Or does a policy of its own speak of names?
    pub(crate) fn has_names(container: &Container) -> bool {
        egress::has_names(&container.plugs)
            || container.plugs.keys().any(|network| named(container, network).is_some())
    }

    /// Writes a container's `/etc/resolv.conf`. `named`: the resolver answers
    /// it; `shared`: it is on the host's network.
    ///
    /// # Errors
    /// What the host said.
    pub(crate) fn write_resolv_conf(
        container: &Container,
        named: bool,
        shared: bool,
    ) -> Result<(), Error> {
        let text = if named {
            Resolv::read(&resolv::of_host_itself(), &container.host).file_inside()
        } else {
            Resolv::read(&resolv::of_host(), &container.host).file(shared)
        };
        files::write(&container.resolv_conf_path, &text)
    }

    /// All that the resolver is to know of a container; none if it has no
    /// names.
    fn seat(&self, container: &Container) -> Result<Option<Seat>, Error> {
        let mut places = Vec::new();
        let mut roads = Roads::default();
        let mut plugs: Vec<_> = container.plugs.iter().collect();
        plugs.sort_by_key(|(network, plug)| (!(plug.default4 || plug.default6), *network));
        for (network, plug) in plugs {
            roads.out |= plug.default4 || plug.default6;
            roads.v6 |= plug.addr6.is_some();
            roads.own.extend(plug.addresses());
            let Some((id, names)) = named(container, network) else { continue };
            let links = container.endpoints[network].links.iter().flatten();
            places.push(Place {
                network: id.to_owned(),
                network_name: network.clone(),
                addr4: plug.addr4,
                addr6: plug.addr6,
                names: names.to_vec(),
                links: links.map(|link| link_of(link)).collect(),
            });
        }
        if !Self::has_names(container) {
            return Ok(None);
        }
        let read = Resolv::read(&resolv::of_host_itself(), &container.host);
        roads.policies = self.policies(container);
        let upstream = read.upstream(&roads)?;
        let fences = self.fences(container, &upstream);
        let services = services::of(container)?;
        Ok(Some(Seat { container: container.id.clone(), places, upstream, fences, services }))
    }

    /// Tells the resolver of a container that runs, or is about to: as it is
    /// now. To be done again whenever that changes.
    ///
    /// # Errors
    /// There is no resolver, or the kernel refused its sockets.
    pub(crate) fn tell_names(
        &self,
        container: &Container,
        netns: BorrowedFd<'_>,
        init: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let Some(seat) = self.seat(container)? else {
            self.resolver.leave(&container.id);
            return Ok(());
        };
        if self.resolver.seat(&seat, |wanted| sockets(wanted, netns, init))? {
            self.watch_resolver()?;
            self.watcher.at(crate::clock::now(), Due::Names);
        }
        Ok(())
    }

    fn watch_resolver(&self) -> Result<(), Error> {
        let watched = self.resolver.watch(|fd| self.watcher.watch(fd, Due::Resolver));
        watched.doing("watch", self.paths.run.join("resolver.sock"))
    }

    /// Tells the resolver what has changed about a container that runs, and
    /// has it asked from now on, or no more. The container's `verb` lock is
    /// held.
    ///
    /// # Errors
    /// As [`tell_names`](Self::tell_names).
    pub(crate) fn names_changed(
        &self,
        cell: &Cell,
        before: &Container,
        now: &Container,
        netns: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let (had, has) = (Self::has_names(before), Self::has_names(now));
        if !had && !has {
            return Ok(());
        }
        if let Some(init) = cell.live().init.clone() {
            self.tell_names(now, netns, init.as_fd())?;
        }
        if had == has { Ok(()) } else { Self::write_resolv_conf(now, has, false) }
    }

    /// As [`tell_names`](Self::tell_names), of one that is known to run. Its
    /// `verb` lock is held.
    pub(crate) fn tell_names_of(&self, cell: &Cell) -> Result<(), Error> {
        let container = cell.now();
        if !Self::has_names(&container) {
            return Ok(());
        }
        let Some(init) = cell.live().init.clone() else { return Ok(()) };
        let netns = netns(cell, &container)?;
        self.tell_names(&container, netns.as_fd(), init.as_fd())
    }
}

impl Engine {
    /// The resolver speaks, or has ended.
    pub(crate) fn resolver_heard(&self) {
        let house = &self.0;
        match house.resolver.look() {
            State::Runs => {
                if let Err(error) = house.watch_resolver() {
                    tracing::error!(%error, "cannot watch the resolver");
                }
            }
            State::Rests => {}
            State::Lost(age) => {
                tracing::warn!("the resolver has ended: another one is started");
                let pause = if age < SOON { SOON } else { Duration::ZERO };
                let pause = u64::try_from(pause.as_nanos()).unwrap_or_default();
                house.watcher.at(crate::clock::now() + pause, Due::Names);
            }
        }
    }

    /// Tells the resolver of all containers; what it knows makes no work.
    pub(crate) fn tell_all_names(&self) {
        for cell in self.0.roster.all() {
            if !House::has_names(&cell.now()) {
                continue;
            }
            let (engine, cell) = (self.clone(), Arc::clone(&cell));
            self.0.workers.give(move || {
                let _own = cell.own();
                let told = if cell.now().state.pid().is_some() {
                    engine.0.tell_names_of(&cell)
                } else {
                    Ok(())
                };
                if let Err(error) = told {
                    tracing::warn!(id = %cell.id, %error, "cannot have its names resolved");
                }
            });
        }
    }

    /// Finds the resolver of an earlier daemon, when all containers are known:
    /// who has ended meanwhile is forgotten there, and all others are told of.
    pub(crate) fn find_resolver(&self) {
        let house = &self.0;
        match house.resolver.find() {
            Ok(held) if held.is_empty() => {}
            Ok(held) => {
                let gone = |id: &&spec::Id| {
                    let cell = house.roster.get(id);
                    cell.is_none_or(|cell| cell.now().state.pid().is_none())
                };
                held.iter().filter(gone).for_each(|id| house.resolver.leave(id));
            }
            Err(error) => tracing::warn!(%error, "cannot find an earlier daemon's resolver"),
        }
        if let Err(error) = house.watch_resolver() {
            tracing::error!(%error, "cannot watch the resolver");
        }
        self.tell_all_names();
    }
}

/// The identifier of a container's network and its names there, if that is a
/// network with names.
fn named<'a>(container: &'a Container, network: &str) -> Option<(&'a str, &'a [String])> {
    let settings = container.endpoints.get(network)?;
    Some((&settings.network_id, settings.dns_names.as_ref()?))
}

/// `NAME:ALIAS` or `NAME`: what it says, and whom it means.
fn link_of(link: &str) -> (String, String) {
    let (name, alias) = link.split_once(':').unwrap_or((link, link));
    (alias.to_owned(), name.to_owned())
}

/// Makes sockets in the container's network namespace, and those for servers
/// of the host in ours.
fn sockets(
    wanted: &Wanted,
    netns: BorrowedFd<'_>,
    init: BorrowedFd<'_>,
) -> Result<Vec<OwnedFd>, Error> {
    let mut all = Vec::new();
    if wanted.door {
        all.push(init.try_clone_to_owned().doing("duplicate", "a pidfd")?);
    }
    let inside: Vec<IpAddr> =
        wanted.lanes.iter().filter(|s| !s.of_host).map(|server| server.address).collect();
    let mut made = Vec::new();
    if wanted.door || !inside.is_empty() {
        made = network::resolver_sockets(netns, wanted.door, &inside)?;
    }
    let mut made = made.into_iter();
    if wanted.door {
        all.extend(made.by_ref().take(2));
    }
    for server in &wanted.lanes {
        if server.of_host {
            all.extend(network::asking_sockets(server.address)?);
        } else {
            all.extend(made.by_ref().take(3));
        }
    }
    Ok(all)
}

impl From<resolver::Error> for Error {
    fn from(error: resolver::Error) -> Self {
        let kind = match error {
            resolver::Error::TooLong(_) => Kind::Invalid,
            _ => Kind::Host,
        };
        Self::below(kind, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_another_word_for_a_name() {
        assert_eq!(link_of("db:data"), ("data".to_owned(), "db".to_owned()));
        assert_eq!(link_of("db"), ("db".to_owned(), "db".to_owned()));
    }
}

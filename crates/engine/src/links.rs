//! `--link` on the default bridge, where no names are resolved: a container is
//! told of another by a line in its `/etc/hosts` and by variables.
//!
//! Whom a link means is settled at the creation and kept in
//! [`HostConfig::links`](spec::docker::HostConfig::links) as `ID:ALIAS`: the
//! other may be renamed, and it is shown by the name it then has. On a network
//! of a user's a link is a name more, for the one that has it: the
//! [resolver](crate::dns) is told.
//!
//! The shape of the variables is Docker's: its documentation, "Legacy container
//! links".

use crate::{
    Container, Engine, Error, Kind, Nanos, State, cell::Cell, files, house::House, ports, restart,
};
use network::Proto;
use spec::docker::HostConfig;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// Until it is looked again whether one is up.
const SOON: Nanos = 100_000_000;

/// Reads `NAME`, `NAME:ALIAS`, and `/NAME:/OWN/ALIAS` as `inspect` shows it.
fn parse(text: &str) -> Result<(&str, &str), Error> {
    let bad = || Error::Invalid(format!("bad format for links: {text}"));
    if text.is_empty() {
        return Err(Error::Invalid("empty string specified for links".into()));
    }
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    let (name, alias) = match name.strip_prefix('/') {
        Some(name) => (name, alias.rsplit('/').next().unwrap_or_default()),
        None => (name, alias),
    };
    let odd = |c: char| c == ':' || c == '/' || c.is_whitespace() || c.is_control();
    if name.is_empty() || alias.is_empty() || alias.contains(odd) {
        return Err(bad());
    }
    Ok((name, alias))
}

/// A container that another is linked to, as it is now.
pub(crate) struct Linked {
    alias: String,
    container: Arc<Container>,
}

impl Linked {
    /// Its addresses on the default bridge; none if it is not there.
    fn addresses(&self) -> Vec<IpAddr> {
        let plug = self.container.plugs.get("bridge");
        let four = plug.and_then(|plug| plug.addr4).map(IpAddr::V4);
        let six = plug.and_then(|plug| plug.addr6).map(IpAddr::V6);
        four.into_iter().chain(six).collect()
    }

    /// What it is called in `/etc/hosts`.
    fn names(&self) -> String {
        let mut names = vec![self.alias.as_str(), self.container.config.hostname.as_str()];
        names.push(&self.container.name);
        names.retain(|name| !name.is_empty());
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        names.join(" ")
    }
}

impl House {
    /// Settles whom the links of a new container mean.
    ///
    /// # Errors
    /// No such container, or one that has no address of its own.
    pub(crate) fn settle_links(&self, host: &mut HostConfig) -> Result<(), Error> {
        let Some(links) = &mut host.links else { return Ok(()) };
        let mut aliases = BTreeSet::new();
        let mut settled = Vec::new();
        for link in &*links {
            let (name, alias) = parse(link)?;
            let other = self.find(name).map_err(|error| {
                Error::Invalid(format!("could not get container for {name}: {error}"))
            })?;
            let other = other.now();
            if other.host.network_mode == "host" {
                return Err(Error::Invalid(
                    "conflicting options: host type networking can't be used with links. This \
                     would result in undefined behavior"
                        .into(),
                ));
            }
            // Of two that would be called the same Docker takes the first.
            if aliases.insert(alias) {
                settled.push(format!("{}:{alias}", other.id));
            }
        }
        *links = settled;
        Ok(())
    }

    /// Those that a container is linked to.
    ///
    /// # Errors
    /// One is gone, does not run, or is not on the default bridge.
    pub(crate) fn linked(&self, container: &Container) -> Result<Vec<Linked>, Error> {
        let failed = |message| Err(Error::Below { kind: Kind::Host, message });
        let mut linked = Vec::new();
        for link in container.host.links.iter().flatten() {
            let (id, alias) = parse(link)?;
            let other = self.find(id)?.now();
            if !other.state.is_running() {
                return failed(format!(
                    "Cannot link to a non running container: /{} AS /{}/{alias}",
                    other.name, container.name
                ));
            }
            let one = Linked { alias: alias.to_owned(), container: other };
            if one.addresses().is_empty() {
                let id = &one.container.id;
                return failed(format!("container {id} not attached to default bridge network"));
            }
            linked.push(one);
        }
        Ok(linked)
    }

    /// When to look again for those that a container is linked to and that are
    /// on their way up; none if there is nobody to wait for. At `dawn` that is
    /// also who is about to be started.
    pub(crate) fn linked_come(&self, container: &Container, dawn: bool) -> Option<Nanos> {
        let now = crate::clock::now();
        let come = |link: &String| {
            let other = self.find(parse(link).ok()?.0).ok()?.now();
            let end = || restart::End {
                code: other.last.code,
                by_hand: other.stopped_by_hand,
                restarts: other.restart_count,
            };
            match other.state {
                State::Starting => Some(now),
                State::Restarting { at } => Some(now.max(at)),
                State::Exited if dawn => {
                    restart::wanted_at_dawn(&other.host.restart_policy, end()).then_some(now)
                }
                _ => None,
            }
        };
        container.host.links.iter().flatten().filter_map(come).max().map(|at| at + SOON)
    }

    /// The lines of a container's `/etc/hosts` for those it is linked to.
    ///
    /// # Errors
    /// As [`House::linked`].
    pub(crate) fn with_links(&self, container: &Container, hosts: String) -> Result<String, Error> {
        let linked = self.linked(container)?;
        Ok(linked
            .iter()
            .fold(hosts, |text, one| files::with_place(&text, &one.names(), &one.addresses())))
    }

    /// The variables of a container for those it is linked to.
    ///
    /// # Errors
    /// As [`House::linked`].
    pub(crate) fn link_variables(&self, container: &Container) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for one in self.linked(container)? {
            let Some(address) = one.addresses().first().copied() else { continue };
            let exposed = ports::exposed(&one.container.config)?;
            let exposed: Vec<(u16, Proto)> = exposed.into_iter().collect();
            let name = format!("/{}/{}", container.name, one.alias);
            let env = &one.container.config.env;
            all.extend(variables(&name, &one.alias, address, &exposed, env));
        }
        Ok(all)
    }

    /// A container's links as they are shown: `/OTHER:/OWN/ALIAS`.
    fn shown_links(&self, container: &Container) -> Option<Vec<String>> {
        let links = container.host.links.as_ref()?;
        let shown = links.iter().filter_map(|link| {
            let (id, alias) = link.split_once(':')?;
            let other = self.find(id).ok()?.now();
            Some(format!("/{}:/{}/{alias}", other.name, container.name))
        });
        Some(shown.collect())
    }
}

impl Engine {
    /// A container as `inspect` shows it: with the names of those that it is
    /// linked to.
    pub fn with_links_shown(&self, container: Arc<Container>) -> Arc<Container> {
        let Some(links) = self.0.shown_links(&container) else { return container };
        let mut shown = Container::clone(&container);
        shown.host.links = Some(links);
        Arc::new(shown)
    }

    /// Removes a link of the default bridge, named `CONTAINER/ALIAS`. What a
    /// running container has in its variables stays.
    ///
    /// # Errors
    /// No such container or link; a name without an alias.
    pub fn remove_link(&self, link: &str) -> Result<(), Error> {
        let name = link.trim_start_matches('/');
        let Some((owner, alias)) = name.split_once('/') else {
            self.0.find(name)?;
            let words = "Conflict, cannot remove the default link name of the container";
            return Err(Error::Conflict(words.into()));
        };
        let missing = || Error::NoContainer(name.to_owned());
        let cell = self.0.find(owner).map_err(|_| missing())?;
        let _own = cell.own();
        let before = cell.now();
        let is_it = |text: &String| parse(text).is_ok_and(|(_, of)| of == alias);
        if !before.host.links.iter().flatten().any(is_it) {
            return Err(missing());
        }
        let changed = cell.change(|container| {
            if let Some(links) = &mut container.host.links {
                links.retain(|text| !is_it(text));
            }
            container.host.links = container.host.links.take().filter(|links| !links.is_empty());
        });
        if let Err(error) = self.0.record(&changed, cell.slot) {
            cell.change(|container| container.host.links.clone_from(&before.host.links));
            return Err(error);
        }
        if changed.state.pid().is_some() {
            let text = files::read(&changed.hosts_path)?;
            files::write(&changed.hosts_path, &files::without_alias(&text, alias))?;
        }
        Ok(())
    }

    /// Has those that run and are linked to a container know where it is now.
    pub(crate) fn tell_linked(&self, cell: &Cell) {
        let start = format!("{}:", cell.id);
        for other in self.0.roster.all() {
            let now = other.now();
            let is_linked = now.host.links.iter().flatten().any(|link| link.starts_with(&start));
            if !is_linked || now.state.pid().is_none() {
                continue;
            }
            let (engine, id, start) = (self.clone(), cell.id.clone(), start.clone());
            self.0.workers.give(move || {
                let _own = other.own();
                let now = other.now();
                // Where it is by now: who comes last here writes the newest.
                let Some(target) = engine.0.roster.get(&id).map(|cell| cell.now()) else { return };
                for link in now.host.links.iter().flatten() {
                    let Some(alias) = link.strip_prefix(&start) else { continue };
                    let one = Linked { alias: alias.to_owned(), container: Arc::clone(&target) };
                    let path = &now.hosts_path;
                    let told = files::read(path).and_then(|text| {
                        let text = files::without_alias(&text, &one.alias);
                        let text = files::with_place(&text, &one.names(), &one.addresses());
                        files::write(path, &text)
                    });
                    if let Err(error) = told {
                        tracing::warn!(id = %now.id, %error, "cannot tell it of what it is linked to");
                    }
                }
            });
        }
    }
}

/// The variables for one link. `name`: `/OWN/ALIAS`; `env`: the other's own.
fn variables(
    name: &str,
    alias: &str,
    address: IpAddr,
    exposed: &[(u16, Proto)],
    env: &[String],
) -> Vec<String> {
    let alias = alias.to_uppercase().replace('-', "_");
    let mut all = Vec::new();
    // The lowest, of TCP if there is any.
    let default = exposed.iter().min_by_key(|(port, proto)| (*proto != Proto::Tcp, *port));
    if let Some((port, proto)) = default {
        all.push(format!("{alias}_PORT={proto}://{address}:{port}"));
    }
    for (first, last, proto) in runs(exposed) {
        let start = format!("{alias}_PORT_{first}_{}", proto.to_string().to_uppercase());
        all.push(format!("{start}_START={proto}://{address}:{first}"));
        all.push(format!("{start}_ADDR={address}"));
        all.push(format!("{start}_PROTO={proto}"));
        all.push(format!("{start}_PORT_START={first}"));
        all.push(format!("{start}_END={proto}://{address}:{last}"));
        all.push(format!("{start}_PORT_END={last}"));
    }
    for (port, proto) in exposed {
        let start = format!("{alias}_PORT_{port}_{}", proto.to_string().to_uppercase());
        all.push(format!("{start}={proto}://{address}:{port}"));
        all.push(format!("{start}_ADDR={address}"));
        all.push(format!("{start}_PORT={port}"));
        all.push(format!("{start}_PROTO={proto}"));
    }
    all.push(format!("{alias}_NAME={name}"));
    for pair in env {
        match pair.split_once('=') {
            // Those that an image has of its build.
            None | Some(("HOME" | "PATH", _)) => {}
            Some((name, value)) => all.push(format!("{alias}_ENV_{name}={value}")),
        }
    }
    all
}

/// Two and more ports of a protocol in a row: the first and the last.
fn runs(exposed: &[(u16, Proto)]) -> Vec<(u16, u16, Proto)> {
    let mut of: BTreeMap<Proto, Vec<u16>> = BTreeMap::new();
    for (port, proto) in exposed {
        of.entry(*proto).or_default().push(*port);
    }
    let mut runs = Vec::new();
    for (proto, mut ports) in of {
        ports.sort_unstable();
        for run in ports.chunk_by(|a, b| a + 1 == *b).filter(|run| run.len() > 1) {
            runs.push((run[0], run[run.len() - 1], proto));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_asked_for_and_as_shown() {
        assert_eq!(parse("db").expect("valid"), ("db", "db"));
        assert_eq!(parse("db:d").expect("valid"), ("db", "d"));
        assert_eq!(parse("/db:/web/d").expect("valid"), ("db", "d"));
        for text in ["", ":", "db:", "a:b:c", "db:a b", "db:a\nb", "db:a/b"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn variables_tell_of_ports_and_of_the_others_own_variables() {
        let address = IpAddr::from([172, 30, 0, 2]);
        let env = ["A=b=c".to_owned(), "PATH=/x".into(), "HOME=/".into(), "B".into()];
        let told = variables("/web/d-b", "d-b", address, &[(5432, Proto::Tcp)], &env);
        assert_eq!(
            told,
            [
                "D_B_PORT=tcp://172.30.0.2:5432",
                "D_B_PORT_5432_TCP=tcp://172.30.0.2:5432",
                "D_B_PORT_5432_TCP_ADDR=172.30.0.2",
                "D_B_PORT_5432_TCP_PORT=5432",
                "D_B_PORT_5432_TCP_PROTO=tcp",
                "D_B_NAME=/web/d-b",
                "D_B_ENV_A=b=c",
            ]
        );
    }

    #[test]
    fn ports_in_a_row_are_told_of_as_a_whole_too() {
        let ports = |range: std::ops::RangeInclusive<u16>| range.map(|port| (port, Proto::Tcp));
        let exposed: Vec<_> = ports(80..=82).chain(ports(90..=91)).collect();
        assert_eq!(runs(&exposed), [(80, 82, Proto::Tcp), (90, 91, Proto::Tcp)]);
        let told = variables("/w/d", "d", [10, 0, 0, 2].into(), &exposed, &[]);
        assert!(told.contains(&"D_PORT_80_TCP_START=tcp://10.0.0.2:80".to_owned()), "{told:?}");
        assert!(told.contains(&"D_PORT_80_TCP_END=tcp://10.0.0.2:82".to_owned()), "{told:?}");
        assert!(told.contains(&"D_PORT_80_TCP_PORT_END=82".to_owned()), "{told:?}");
    }

    #[test]
    fn the_port_that_stands_for_all_is_the_lowest_of_tcp() {
        let first = |exposed: &[(u16, Proto)]| {
            variables("/w/d", "d", [10, 0, 0, 2].into(), exposed, &[]).swap_remove(0)
        };
        let (tcp, udp) = (Proto::Tcp, Proto::Udp);
        assert_eq!(first(&[(53, udp), (80, tcp), (90, tcp)]), "D_PORT=tcp://10.0.0.2:80");
        assert_eq!(first(&[(53, tcp), (53, udp)]), "D_PORT=tcp://10.0.0.2:53");
        assert_eq!(first(&[(90, udp), (53, udp)]), "D_PORT=udp://10.0.0.2:53");
    }
}

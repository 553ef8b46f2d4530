//! Ports of the host that lead into a container, published and withdrawn while
//! it runs.
//!
//! What is asked for stands in `HostConfig.PortBindings`, as if it had been
//! there from the start. In a container that runs the elements of its ports
//! are exchanged in one transaction: connections by other ports notice
//! nothing. One that came by a port that is withdrawn goes on to its end if it
//! has one, as TCP has; datagrams come no more.

use crate::{
    Container, Error,
    cell::Cell,
    house::House,
    networks::{Mode, give_ports, netns, shown_ports},
    ports,
};
use network::{Proto, Published, runs};
use spec::{
    docker::{HostConfig, PortBinding},
    ports::PortMap,
};
use std::{net::IpAddr, os::fd::AsFd as _, sync::Arc};

/// Ports to be withdrawn: `[[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Withdrawal {
    text: String,
    proto: Proto,
    port: u16,
    host_port: Option<u16>,
    host_ip: Option<IpAddr>,
}

impl Withdrawal {
    /// Reads one.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn read(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let form = "[[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]";
            Error::Invalid(format!("invalid port to withdraw {text:?}: say {form}"))
        };
        let (rest, proto) = text.split_once('/').unwrap_or((text, "tcp"));
        let proto = proto.parse().map_err(|_| wrong())?;
        let number =
            |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let (rest, port) = rest.rsplit_once(':').map_or((None, rest), |(a, b)| (Some(a), b));
        let (ip, host) = match rest {
            None => (None, None),
            Some(rest) => {
                let (ip, host) = rest.rsplit_once(':').map_or((None, rest), |(a, b)| (Some(a), b));
                (ip, Some(number(host)?))
            }
        };
        let ip = ip.map(|ip| ip.trim_start_matches('[').trim_end_matches(']').parse());
        let host_ip = ip.transpose().map_err(|_| wrong())?;
        Ok(Self { text: text.to_owned(), proto, port: number(port)?, host_port: host, host_ip })
    }

    /// The port of a run that it means.
    fn means(&self, run: &Published) -> Option<Published> {
        run.each().find(|published| {
            published.proto == self.proto
                && published.container_port == self.port
                && self.host_port.is_none_or(|port| port == published.host_port)
                && self.host_ip.is_none_or(|ip| ip == published.host_ip)
        })
    }

    /// Takes it out of what is asked for: was it there? With the host's port
    /// unsaid there, it is meant by whatever it `had`, but by no more than
    /// that.
    fn strike(&self, bindings: &mut PortMap, had: bool) -> bool {
        let key = format!("{}/{}", self.port, self.proto);
        let plain = (self.proto == Proto::Tcp).then(|| self.port.to_string());
        let mut found = false;
        for key in [Some(key), plain].into_iter().flatten() {
            let Some(Some(mut list)) = bindings.get(&key) else { continue };
            let named = |binding: &PortBinding| self.is_at(binding) && self.names(binding);
            let any = |binding: &PortBinding| matches!(binding.host_port.as_str(), "" | "0");
            let mut struck: Vec<usize> = (0..list.len()).filter(|at| named(&list[*at])).collect();
            if struck.is_empty() && had {
                struck.extend(list.iter().position(|b| self.is_at(b) && any(b)));
            }
            found |= !struck.is_empty();
            for at in struck.into_iter().rev() {
                match self.other_half(&list[at]) {
                    Some(half) => list[at] = half,
                    None => drop(list.remove(at)),
                }
            }
            if list.is_empty() {
                bindings.remove(&key);
            } else {
                bindings.insert(&key, Some(list));
            }
        }
        found
    }

    /// What is left of a binding to all addresses of both families, if those
    /// of one are meant.
    fn other_half(&self, binding: &PortBinding) -> Option<PortBinding> {
        let one = self.host_ip.filter(|_| binding.host_ip.is_empty())?;
        let other = if one.is_ipv4() { "::" } else { "0.0.0.0" };
        Some(PortBinding { host_ip: other.into(), host_port: binding.host_port.clone() })
    }

    fn names(&self, binding: &PortBinding) -> bool {
        self.host_port.is_none_or(|port| binding.host_port == port.to_string())
    }

    fn is_at(&self, binding: &PortBinding) -> bool {
        self.host_ip.is_none_or(|ip| {
            binding.host_ip.parse() == Ok(ip) || (binding.host_ip.is_empty() && ip.is_unspecified())
        })
    }
}

/// What is to be published and withdrawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsWish {
    /// As in `HostConfig.PortBindings`: beside what there is.
    pub publish: PortMap,
    /// `[[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]`.
    pub withdraw: Vec<String>,
}

impl PortsWish {
    /// Nothing?
    pub fn is_empty(&self) -> bool {
        self.publish.is_empty() && self.withdraw.is_empty()
    }
}

impl House {
    /// Publishes and withdraws ports of a container; gives what it asks for
    /// from now on. Its `verb` lock is held.
    ///
    /// # Errors
    /// It has no network of its own, a port is taken or was not published, or
    /// what the kernel said: nothing has changed then.
    pub(crate) fn republish(&self, cell: &Arc<Cell>, wish: &PortsWish) -> Result<PortMap, Error> {
        let before = cell.now();
        let mode = before.host.network_mode.as_str();
        if !matches!(Mode::parse(mode)?, Mode::Network(_)) {
            return Err(Error::Invalid(format!(
                "ports cannot be published or withdrawn with --network {mode}: the container has \
                 no network of its own"
            )));
        }
        let mut bindings = before.host.port_bindings.clone();
        let had: Vec<Published> =
            before.plugs.values().flat_map(|plug| plug.ports.iter().copied()).collect();
        let mut stay = had.clone();
        for text in &wish.withdraw {
            let withdrawal = Withdrawal::read(text)?;
            let meant: Vec<Published> =
                stay.iter().filter_map(|run| withdrawal.means(run)).collect();
            stay = runs::without(&stay, &meant);
            let live = !meant.is_empty();
            if !withdrawal.strike(&mut bindings, live) && !live {
                let text = &withdrawal.text;
                return Err(Error::Invalid(format!("port {text} is not published")));
            }
        }
        let new = HostConfig { port_bindings: wish.publish.clone(), ..HostConfig::default() };
        let wishes = ports::wishes(&before.config, &new)?;
        if before.state.pid().is_some() {
            let gone = runs::without(&had, &stay);
            let given = self.networks.reserve(&before.plugs, &wishes)?;
            if let Err(error) = self.exchange(cell, &before, &stay, &given) {
                self.networks.give_back_ports(&before.id, &given);
                return Err(error);
            }
            self.networks.give_back_ports(&before.id, &gone);
        }
        for (port, list) in wish.publish.iter() {
            bindings.add(&port, list.into_iter().flatten());
        }
        Ok(bindings)
    }

    fn exchange(
        &self,
        cell: &Arc<Cell>,
        before: &Container,
        stay: &[Published],
        given: &[Published],
    ) -> Result<(), Error> {
        let all = runs::joined(stay.iter().chain(given).copied());
        let mut plugs = before.plugs.clone();
        give_ports(&mut plugs, &all);
        let mut next = before.clone();
        next.plugs.clone_from(&plugs);
        let shown = shown_ports(&next, &plugs)?;
        let netns = netns(cell, before)?;
        let mut done = Vec::new();
        for (name, plug) in &plugs {
            let old = &before.plugs[name];
            if old == plug {
                continue;
            }
            let bridge = self.networks.bridge_of(name)?;
            if let Err(error) = bridge.change(netns.as_fd(), old, plug) {
                for (bridge, old, plug) in done {
                    let bridge: Arc<network::Bridge> = bridge;
                    bridge.change(netns.as_fd(), plug, old)?;
                }
                return Err(error.into());
            }
            done.push((bridge, old, plug));
        }
        let now = cell.change(|container| {
            container.plugs.clone_from(&plugs);
            container.ports.clone_from(&shown);
        });
        let Err(error) = self.announce(&now).wait() else { return Ok(()) };
        cell.change(|container| {
            container.plugs.clone_from(&before.plugs);
            container.ports.clone_from(&before.ports);
        });
        for (bridge, old, plug) in done {
            bridge.change(netns.as_fd(), plug, old)?;
        }
        Err(Error::records(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(host_ip: &str, host_port: u16, container_port: u16) -> Published {
        let host_ip = host_ip.parse().expect("an address");
        Published { proto: Proto::Tcp, host_ip, host_port, container_port, count: 1 }
    }

    #[test]
    fn a_withdrawal_means_as_much_as_it_says() {
        let all = [
            published("0.0.0.0", 8080, 80),
            published("::", 8080, 80),
            published("127.0.0.1", 8081, 80),
            published("0.0.0.0", 8080, 81),
        ];
        let means = |text: &str| {
            let withdrawal = Withdrawal::read(text).expect("valid");
            all.iter().map(|p| withdrawal.means(p).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(means("80"), [true, true, true, false]);
        assert_eq!(means("80/udp"), [false; 4]);
        assert_eq!(means("8080:80"), [true, true, false, false]);
        assert_eq!(means("[::]:8080:80"), [false, true, false, false]);
        assert_eq!(means("127.0.0.1:8081:80/tcp"), [false, false, true, false]);
        for text in ["", "0", "x", "80/quic", "a:80", "x:1:80", "1:2:3:4:5"] {
            assert!(Withdrawal::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_asked_for_is_struck_out_with_it() {
        let binding =
            |ip: &str, port: &str| PortBinding { host_ip: ip.into(), host_port: port.into() };
        let bindings = || {
            PortMap::from([
                ("80/tcp", Some(vec![binding("", "8080"), binding("127.0.0.1", "")])),
                ("81/tcp", Some(vec![binding("", "")])),
            ])
        };
        let left = |text: &str, had| {
            let mut bindings = bindings();
            let found = Withdrawal::read(text).expect("valid").strike(&mut bindings, had);
            (found, bindings.bindings())
        };
        assert_eq!(left("80", true), (true, 1));
        assert_eq!(left("8080:80", false), (true, 2));
        assert_eq!(left("8080:80", true), (true, 2), "and none of any port");
        assert_eq!(left("40000:81", true), (true, 2), "any port it has got");
        assert_eq!(left("40000:81", false), (false, 3));
        assert_eq!(left("82", false), (false, 3));
        assert_eq!(left("[::]:8080:80", true), (true, 3), "the other family's stays");
        let mut bindings = bindings();
        assert!(Withdrawal::read("[::]:8080:80").expect("valid").strike(&mut bindings, true));
        let stays = bindings.get("80/tcp").flatten().expect("it is asked for");
        assert_eq!(stays[0], binding("0.0.0.0", "8080"));
    }
}

//! What is done inside a container's network namespace.
//!
//! A thread of its own enters the namespace and ends there, so that no thread
//! of the caller can be left behind in it.

use crate::{
    BridgeConfig, Driver, Endpoint, Mac,
    error::{Doing, Error},
    forwarding::{self, Switches},
    line,
    netlink::{
        Message, Socket,
        link::{self, WayOut},
    },
    realm::unless_gone,
};
use ipnet::IpNet;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{io, net::IpAddr, os::fd::BorrowedFd, thread};

/// Runs `work` in a network namespace.
pub(crate) fn enter<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("inside".into()).stack_size(128 << 10);
        let worker = thread
            .spawn_scoped(scope, || {
                move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
                    .map_err(io::Error::from)
                    .doing("enter", "the container's network namespace")?;
                work()
            })
            .doing("start", "a thread")?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Is it a network namespace, and one that can be entered?
///
/// # Errors
/// What the kernel said.
pub fn is_namespace(netns: BorrowedFd<'_>) -> io::Result<()> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("inside".into()).stack_size(64 << 10);
        let worker = thread.spawn_scoped(scope, || {
            move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
        })?;
        let entered = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        entered.map_err(io::Error::from)
    })
}

/// Brings the loopback interface up: all the network of a container that has
/// none.
///
/// # Errors
/// What the kernel said.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), Error> {
    enter(netns, || {
        let mut socket = Socket::route().doing("open a socket to", "the container's interfaces")?;
        talk(&mut socket, &[link::up(link::LOOPBACK)], "lo")
    })
}

/// Gives an endpoint's interface, which is there and down, its addresses, its
/// way out and its gateway's MAC address, and brings it up.
pub(crate) fn set_up(
    netns: BorrowedFd<'_>,
    endpoint: &Endpoint,
    config: &BridgeConfig,
    gateway_mac: Mac,
) -> Result<(), Error> {
    let ifname = &endpoint.ifname;
    enter(netns, || {
        let mut socket = Socket::route().doing("open a socket to", "the container's interfaces")?;
        let index = socket.index(ifname).doing("find interface", ifname)?;
        let switches = Switches::open().doing("open switches of", "the container's network")?;
        forwarding::set_up_inside(&switches, ifname, endpoint.addr6.is_some())
            .doing("set up IPv6 of interface", ifname)?;
        for (key, value) in &endpoint.sysctls {
            let key = key.replace("IFNAME", ifname);
            switches.set(&key, value).doing("set", &key)?;
        }
        talk(&mut socket, &requests(index, endpoint, config, gateway_mac), ifname)?;
        settle(&mut socket, ifname)
    })
}

/// Removes an interface, if it is there.
pub(crate) fn remove(netns: BorrowedFd<'_>, ifname: &str) -> Result<(), Error> {
    enter(netns, || {
        let mut socket = Socket::route().doing("open a socket to", "the container's interfaces")?;
        unless_gone(socket.talk(&[link::delete(ifname)])).doing("remove interface", ifname)
    })
}

/// Takes away the default routes that an endpoint no longer is for, and adds
/// those that it now is. A container that may set its own routes may have done
/// so: a route that is gone, or there already, is left so.
pub(crate) fn lead_out(
    netns: BorrowedFd<'_>,
    before: &Endpoint,
    after: &Endpoint,
    config: &BridgeConfig,
) -> Result<(), Error> {
    let four = config.subnet4.map(|net| (net.addr().into(), before.default4, after.default4));
    let six = config.subnet6.map(|net| (net.addr().into(), before.default6, after.default6));
    let changes: Vec<(IpAddr, bool)> = [four, six]
        .into_iter()
        .flatten()
        .filter(|(_, before, after)| before != after)
        .map(|(gateway, _, after)| (gateway, after))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    let ifname = &after.ifname;
    enter(netns, || {
        let mut socket = Socket::route().doing("open a socket to", "the container's interfaces")?;
        let index = socket.index(ifname).doing("find interface", ifname)?;
        for (gateway, add) in changes {
            let way = way_out(config, gateway);
            let request = if add {
                link::add_default_route(index, way)
            } else {
                link::remove_default_route(index, way)
            };
            match socket.talk(&[request]) {
                Err(error) if add && error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if !add && error.raw_os_error() == Some(NO_ROUTE) => {}
                other => other.doing("lead out by interface", ifname)?,
            }
        }
        Ok(())
    })
}

/// `ESRCH`: what the kernel says of a route that is not there.
const NO_ROUTE: i32 = 3;

/// Has the kernel act at once on a link that came up, not when it finds time:
/// until then what is sent is lost. To ask is to settle it, since Linux 6.8
/// (`rtnl_getlink` in `net/core/rtnetlink.c`).
pub(crate) fn settle(socket: &mut Socket, interface: &str) -> Result<(), Error> {
    socket.ask(&link::get(interface)).doing("look at interface", interface).map(drop)
}

fn requests(
    index: u32,
    endpoint: &Endpoint,
    config: &BridgeConfig,
    gateway_mac: Mac,
) -> Vec<Message> {
    let mut requests = vec![link::up(link::LOOPBACK)];
    if endpoint.addr6.is_some() {
        requests.push(link::without_own_address(index));
    }
    requests.push(link::up(index));
    if config.driver == Driver::Routed {
        requests.extend(line::requests_inside(index, endpoint, config));
        return requests;
    }
    let mut gateways: Vec<IpAddr> = Vec::new();
    if let (Some(address), Some(subnet)) = (endpoint.addr4, config.subnet4) {
        requests.push(link::add_address(index, link::within4(address, subnet)));
        gateways.push(subnet.addr().into());
    }
    if let (Some(address), Some(subnet)) = (endpoint.addr6, config.subnet6) {
        requests.push(link::add_address(index, link::within6(address, subnet)));
        let link_local = ipnet::Ipv6Net::new_assert(endpoint.mac.link_local(), 64);
        requests.push(link::add_address(index, link_local.into()));
        gateways.push(subnet.addr().into());
    }
    for address in &endpoint.link_local {
        // Source: RFC 3927, section 2.1; RFC 4291, section 2.5.6.
        let length = if address.is_ipv4() { 16 } else { 64 };
        requests.push(link::add_address(
            index,
            IpNet::new(*address, length).expect("no longer than it"),
        ));
    }
    for gateway in gateways {
        let own =
            if gateway.is_ipv4() { config.host4().is_some() } else { config.host6().is_some() };
        if own {
            requests.push(link::add_neighbour(index, gateway, gateway_mac));
        }
        let leads_out = if gateway.is_ipv4() { endpoint.default4 } else { endpoint.default6 };
        if leads_out && !config.internal {
            requests.push(link::add_default_route(index, way_out(config, gateway)));
        }
    }
    requests
}

/// Through a gateway, or by the interface itself where the network has none.
fn way_out(config: &BridgeConfig, gateway: IpAddr) -> WayOut {
    if config.has_gateway() { WayOut::Gateway(gateway) } else { WayOut::Straight(gateway) }
}

fn talk(socket: &mut Socket, requests: &[Message], ifname: &str) -> Result<(), Error> {
    socket.talk(requests).doing("set up interface", ifname)
}

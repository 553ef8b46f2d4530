//! Containers that stand beside the host: macvlan and ipvlan.
//!
//! Such a network has no bridge. A container's interface is a second one of an
//! interface of the host, the parent, and what is at the parent's other end is
//! its neighbour: the gateway, other hosts, containers of others. The kernel
//! gives nobody a place to judge what a container says there, so no guard
//! holds and no port is published; the engine lists it as a weakening. The host
//! itself and its containers on such a network do not hear one another.
//!
//! Without a parent, or where the network is to be internal, an interface that
//! leads nowhere is the parent: then the containers hear one another and nobody
//! else.

use crate::{
    BesideKind, BridgeConfig, Endpoint, Error, Mac, Realm,
    error::Doing,
    netlink::{
        Socket,
        link::{self, Link},
    },
    realm::unless_gone,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

/// `EOPNOTSUPP`: what the kernel says of a kind of interface that it has not.
const NO_SUCH_KIND: i32 = 95;

/// The kind of an interface that leads nowhere.
pub(crate) const NOWHERE: &str = "dummy";

/// What is asked for to see whether it can be made.
const TRIAL: &str = "cvtrial";

/// How often, and how long apart, what an interface still has is tried that is
/// on its way out: that of the same container's last life has its MAC address,
/// any of another mode the parent.
pub(crate) const TRIES: u32 = 300;
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Does another interface have the MAC address, or the parent?
pub(crate) fn is_taken(error: &Error) -> bool {
    let taken = [io::ErrorKind::AddrInUse, io::ErrorKind::InvalidInput];
    matches!(error, Error::Host { source, .. } if taken.contains(&source.kind()))
}

/// Says what the kernel means by an invalid argument.
pub(crate) fn explain(error: Error, config: &BridgeConfig) -> Error {
    let parent = config.beside.as_ref().map_or("", |beside| beside.parent.as_str());
    match error {
        Error::Host { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            Error::Invalid(format!(
                "the parent {parent} is taken whole by another interface, or to be taken whole \
                 while it has others"
            ))
        }
        other => other,
    }
}

/// The number of a network's parent. One that is not there and is called like
/// a VLAN of an interface (`eth0.50`) is made, and is [removed](leave) with the
/// last network that has it.
pub(crate) fn parent(realm: &Realm, name: &str, network: &str) -> Result<u32, Error> {
    let mut parents = realm.parents();
    let index = found_or_made(realm, name)?;
    parents.insert((name.to_owned(), network.to_owned()));
    Ok(index)
}

fn found_or_made(realm: &Realm, name: &str) -> Result<u32, Error> {
    if let Ok(index) = realm.route().index(name) {
        return Ok(index);
    }
    let (of, id) = vlan(name).map_err(Error::Invalid)?;
    let mut route = realm.route();
    let of = route.index(of).map_err(|error| {
        Error::Invalid(format!("-o parent interface was not found on the host: {of} ({error})"))
    })?;
    match route.talk(&[link::new_vlan(name, of, id)]) {
        Err(error) if error.raw_os_error() == Some(NO_SUCH_KIND) => {
            return Err(Error::Invalid(format!(
                "failed to create {name} vlan link: this kernel has none ({error}): load its \
                 module 8021q, or name a parent that is there"
            )));
        }
        made => made.doing("create interface", name)?,
    }
    let index = route.index(name).doing("find interface", name)?;
    route.talk(&[link::set_alias(index, &alias(realm))]).doing("mark interface", name)?;
    Ok(index)
}

/// How a VLAN's interface says that it was made here.
fn alias(realm: &Realm) -> String {
    format!("cofferdam-vlan {}", realm.name())
}

/// Which VLAN of which interface a name says. The words are Docker's.
fn vlan(name: &str) -> Result<(&str, u16), String> {
    let Some((of, id)) = name.split_once('.') else {
        return Err(format!(
            "invalid subinterface vlan name {name}, example formatting is eth0.10 (there is no \
             interface {name} on the host)"
        ));
    };
    if id.contains('.') {
        return Err(format!(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead \
             received {name}"
        ));
    }
    let digits = id.bytes().all(|b| b.is_ascii_digit());
    match id.parse::<u32>().ok().filter(|_| digits) {
        None => {
            Err(format!("unable to parse a valid vlan id from: {id} (ex. eth0.10 for vlan 10)"))
        }
        // Source: IEEE 802.1Q; the numbers around them are reserved.
        Some(id @ 1..=4094) => Ok((of, u16::try_from(id).expect("below 4095"))),
        Some(id) => Err(format!("vlan id must be between 1-4094, received: {id}")),
    }
}

/// A network lets go of its parent, which is removed if it was made here and no
/// other network has it.
pub(crate) fn leave(realm: &Realm, config: &BridgeConfig) -> Result<(), Error> {
    let Some(beside) = &config.beside else { return Ok(()) };
    let name = &beside.parent;
    let mut parents = realm.parents();
    parents.remove(&(name.clone(), config.name.clone()));
    if name.is_empty() || parents.iter().any(|(parent, _)| parent == name) {
        return Ok(());
    }
    let mut route = realm.route();
    if route.index(name).is_err() {
        return Ok(());
    }
    let answer = route.ask(&link::get(name)).doing("look at interface", name)?;
    let found = Link::read(&answer).unwrap_or_default();
    if found.kind != "vlan" || found.alias != alias(realm) {
        return Ok(());
    }
    unless_gone(route.talk(&[link::delete(name)])).doing("remove interface", name)
}

/// The number of a parent that leads nowhere, made if need be.
pub(crate) fn nowhere(realm: &Realm, name: &str, mac: Mac) -> Result<u32, Error> {
    let mut route = realm.route();
    if route.index(name).is_ok() {
        let answer = route.ask(&link::get(name)).doing("look at interface", name)?;
        let found = Link::read(&answer).unwrap_or_default();
        // One whose maker died before it could mark it is known by its MAC.
        let unmarked = found.alias.is_empty() && found.mac == Some(mac);
        if found.kind != NOWHERE || !(unmarked || realm.is_mine(&found.alias)) {
            return Err(Error::Foreign(name.to_owned()));
        }
    } else {
        match route.talk(&[link::new_dummy(name, mac)]) {
            Err(error) if error.raw_os_error() == Some(NO_SUCH_KIND) => {
                return Err(Error::Invalid(format!(
                    "this kernel has no interface that leads nowhere ({error}): load its module \
                     {NOWHERE}, or name a parent, and not --internal"
                )));
            }
            made => made.doing("create interface", name)?,
        }
    }
    let index = route.index(name).doing("find interface", name)?;
    drop(route);
    let mark = realm.mark();
    let requests = [link::set_alias(index, &mark), link::up(index)];
    realm.route().talk(&requests).doing("set up interface", name)?;
    Ok(index)
}

/// Finds out whether the kernel has the kind of interface, before anything is
/// made: it says so before it looks at the parent, and the loopback interface
/// can be none.
pub(crate) fn try_out(realm: &Realm, kind: BesideKind) -> Result<(), Error> {
    let own =
        std::fs::File::open("/proc/thread-self/ns/net").doing("open", "the host's network")?;
    let mut route = realm.route();
    let made = route.talk(&[link::new_beside(&link::NewBeside {
        name: TRIAL,
        parent: link::LOOPBACK,
        kind,
        mac: None,
        mtu: None,
        netns: own.as_fd(),
    })]);
    match made {
        Ok(()) => route.talk(&[link::delete(TRIAL)]).doing("remove interface", TRIAL),
        Err(error) if error.raw_os_error() == Some(NO_SUCH_KIND) => {
            let kind = kind.word();
            Err(Error::Invalid(format!(
                "this kernel cannot make {kind} interfaces ({error}): load its module {kind}, or \
                 use another driver"
            )))
        }
        Err(_) => Ok(()),
    }
}

/// Makes an endpoint's interface, inside at once.
pub(crate) fn connect(
    route: &mut Socket,
    parent: u32,
    netns: BorrowedFd<'_>,
    endpoint: &Endpoint,
    config: &BridgeConfig,
) -> Result<(), Error> {
    let Some(beside) = &config.beside else {
        return Err(Error::Invalid(format!("network {} has no parent", config.name)));
    };
    let request = link::new_beside(&link::NewBeside {
        name: &endpoint.ifname,
        parent,
        kind: beside.kind,
        mac: Some(endpoint.mac),
        mtu: Some(config.mtu).filter(|mtu| *mtu != 0),
        netns,
    });
    route.talk(&[request]).doing("create interface on", &beside.parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parents_name_says_which_vlan_of_which_interface_it_is() {
        assert_eq!(vlan("eth0.50"), Ok(("eth0", 50)));
        assert_eq!(vlan("bond0.4094"), Ok(("bond0", 4094)));
        let refused = |name| vlan(name).expect_err(name);
        assert!(refused("eth0").starts_with("invalid subinterface vlan name eth0, example"));
        assert!(refused("a.b.50").ends_with("instead received a.b.50"));
        for name in ["eth0.", "eth0.x", "eth0.+5", "eth0.99999999999"] {
            assert!(refused(name).starts_with("unable to parse a valid vlan id from: "), "{name}");
        }
        for name in ["eth0.0", "eth0.4095", "eth0.5000"] {
            assert!(refused(name).starts_with("vlan id must be between 1-4094"), "{name}");
        }
    }
}

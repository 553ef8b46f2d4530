//! One network: what it is, its bridge, and who has which of its addresses.

use super::Network;
use crate::Error;
use ipnet::IpNet;
use network::{Bridge, BridgeConfig, Egress, Endpoint, Pool, Realm, pool::Refused};
use serde::{Deserialize, Serialize};
use spec::Id;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard},
};

/// What a network is to the kernel: decided when it is made, for life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub bridge: BridgeConfig,
    /// The subnets are the user's own: addresses of them may be asked for.
    pub asked4: bool,
    pub asked6: bool,
    /// Where addresses that nobody names come from.
    pub range4: Option<IpNet>,
    pub range6: Option<IpNet>,
    /// Addresses that nobody is given.
    pub kept: Vec<IpAddr>,
    /// The host's address for ports that are published on none in particular.
    pub binding4: Option<Ipv4Addr>,
    /// What interfaces inside are called, before their number.
    pub prefix: String,
}

impl Plan {
    /// A bridge and nothing particular.
    pub fn of(bridge: BridgeConfig) -> Self {
        Self {
            bridge,
            asked4: false,
            asked6: false,
            range4: None,
            range6: None,
            kept: Vec::new(),
            binding4: None,
            prefix: "eth".into(),
        }
    }

    pub fn subnets(&self) -> impl Iterator<Item = IpNet> {
        let four = self.bridge.subnet4.map(|net| IpNet::from(net).trunc());
        four.into_iter().chain(self.bridge.subnet6.map(|net| IpNet::from(net).trunc()))
    }
}

/// One network.
pub(crate) struct Net {
    /// As readers see it, but for its members.
    pub network: Network,
    /// What may go out of it now.
    pub(crate) egress: Mutex<Egress>,
    /// None of `host` and `none`.
    wire: Option<Wire>,
}

struct Wire {
    realm: Arc<Realm>,
    plan: Plan,
    /// None until it could be made.
    bridge: Mutex<Option<Arc<Bridge>>>,
    leases: Mutex<Leases>,
}

/// Who has which address.
struct Leases {
    v4: Option<Pool>,
    v6: Option<Pool>,
    holders: BTreeSet<Id>,
    /// It is being removed: nobody comes any more.
    closed: bool,
}

/// Addresses that were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl Net {
    pub fn new(network: Network, plan: Plan, realm: Arc<Realm>) -> Self {
        let pool = |subnet: Option<IpNet>, range| {
            subnet.map(|net| {
                let kept = plan.kept.iter().copied().chain([net.addr()]);
                Pool::new(net, range, kept)
            })
        };
        let v4 = pool(plan.bridge.subnet4.map(Into::into), plan.range4);
        let v6 = pool(plan.bridge.subnet6.map(Into::into), plan.range6);
        let leases = Leases { v4, v6, holders: BTreeSet::new(), closed: false };
        let leases = Mutex::new(leases);
        let egress = Mutex::new(plan.bridge.egress.clone());
        Self { network, egress, wire: Some(Wire { realm, plan, bridge: Mutex::default(), leases }) }
    }

    /// `host` or `none`, or words for networks.
    pub fn without_bridge(network: Network) -> Self {
        Self { network, egress: Mutex::default(), wire: None }
    }

    /// None of `host` and `none`.
    pub fn plan(&self) -> Option<&Plan> {
        self.wire.as_ref().map(|wire| &wire.plan)
    }

    fn wire(&self) -> Result<&Wire, Error> {
        let none = || Error::Invalid(format!("network {} has no interfaces", self.network.name));
        self.wire.as_ref().ok_or_else(none)
    }

    /// Its bridge, made now if it could not be before.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn bridge(&self) -> Result<Arc<Bridge>, Error> {
        let wire = self.wire()?;
        let mut bridge = wire.bridge.lock().expect("no holder panics");
        if let Some(bridge) = &*bridge {
            return Ok(Arc::clone(bridge));
        }
        let config = BridgeConfig { egress: self.egress(), ..wire.plan.bridge.clone() };
        let made = Arc::new(wire.realm.bridge(&config)?);
        *bridge = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Takes its bridge away; `host` and `none` have none.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove_bridge(&self) -> Result<(), Error> {
        let Some(wire) = &self.wire else { return Ok(()) };
        let mut bridge = wire.bridge.lock().expect("no holder panics");
        if let Some(made) = &*bridge {
            made.remove()?;
        }
        *bridge = None;
        Ok(())
    }

    /// Lets nobody in any more, if nobody is in; says who is otherwise.
    pub fn close(&self) -> Result<(), BTreeSet<Id>> {
        let Some(wire) = &self.wire else { return Ok(()) };
        let mut leases = wire.leases();
        leases.closed = leases.holders.is_empty();
        if leases.closed { Ok(()) } else { Err(leases.holders.clone()) }
    }

    /// Takes [`Net::close`] back.
    pub fn reopen(&self) {
        if let Some(wire) = &self.wire {
            wire.leases().closed = false;
        }
    }

    /// Can anybody be here?
    ///
    /// # Errors
    /// It is no network but the words for some.
    pub fn admits(&self) -> Result<(), Error> {
        if self.network.config_only {
            let words = "cannot create endpoint on configuration-only network";
            return Err(Error::Forbidden(words.into()));
        }
        Ok(())
    }

    /// Is anybody here?
    pub fn is_used(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| !wire.leases().holders.is_empty())
    }

    /// Gives a container its addresses here.
    ///
    /// # Errors
    /// None is free, or the one wanted is not.
    pub fn lease(&self, container: &Id, wanted: Wanted) -> Result<Wanted, Error> {
        let mut leases = self.wire()?.leases();
        if leases.closed {
            return Err(Error::NoNetwork(self.network.id.clone()));
        }
        leases.give(container, wanted)
    }

    /// Takes over the addresses of a container that an earlier daemon started.
    pub fn recall(&self, endpoint: &Endpoint) {
        let Some(wire) = &self.wire else { return };
        let mut leases = wire.leases();
        if let (Some(pool), Some(address)) = (&mut leases.v4, endpoint.addr4) {
            pool.recall(address.into());
        }
        if let (Some(pool), Some(address)) = (&mut leases.v6, endpoint.addr6) {
            pool.recall(address.into());
        }
        leases.holders.insert(endpoint.container.clone());
    }

    /// Takes a container's addresses back.
    pub fn forget(&self, endpoint: &Endpoint) {
        let Some(wire) = &self.wire else { return };
        wire.leases().forget(&endpoint.container, endpoint.addr4, endpoint.addr6);
    }
}

fn refused(error: &Refused) -> Error {
    let words = format!("failed to set up container networking: {error}");
    match error {
        Refused::Taken => Error::Forbidden(words),
        Refused::Outside(..) => Error::Invalid(words),
        Refused::Empty(_) => Error::Below { kind: crate::Kind::Host, message: words },
    }
}

impl Wire {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().expect("no holder panics")
    }
}

impl Leases {
    fn give(&mut self, container: &Id, wanted: Wanted) -> Result<Wanted, Error> {
        let give = |pool: &mut Option<Pool>, wish| {
            pool.as_mut().map(|pool| pool.give(wish)).transpose().map_err(|e| refused(&e))
        };
        let v4 = give(&mut self.v4, wanted.v4.map(Into::into))?;
        let v6 = match give(&mut self.v6, wanted.v6.map(Into::into)) {
            Ok(v6) => v6,
            Err(error) => {
                self.take_back(v4);
                return Err(error);
            }
        };
        self.holders.insert(container.clone());
        let v4 = v4.and_then(|a| if let IpAddr::V4(a) = a { Some(a) } else { None });
        let v6 = v6.and_then(|a| if let IpAddr::V6(a) = a { Some(a) } else { None });
        Ok(Wanted { v4, v6 })
    }

    /// Nothing of one that holds nothing: told twice, its addresses may be
    /// somebody else's by now.
    fn forget(&mut self, container: &Id, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) {
        if self.holders.remove(container) {
            self.take_back(v4.map(Into::into));
            self.take_back(v6.map(Into::into));
        }
    }

    fn take_back(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        let pool = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        if let Some(pool) = pool {
            pool.take_back(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_given_back_is_not_given_back_again() {
        let net = |text: &str| text.parse().expect("a subnet");
        let mut leases = Leases {
            v4: Some(Pool::new(net("10.0.0.0/30"), None, [])),
            v6: None,
            holders: BTreeSet::new(),
            closed: false,
        };
        let [a, b, c] = [1, 2, 3].map(|byte| Id::from_random([byte; 32]));
        let address = leases.give(&a, Wanted::default()).expect("free").v4;
        leases.forget(&a, address, None);
        let wanted = Wanted { v4: address, v6: None };
        assert_eq!(leases.give(&b, wanted).expect("free again").v4, address);
        leases.forget(&a, address, None);
        assert!(leases.give(&c, wanted).is_err(), "it is another's by now");
    }
}

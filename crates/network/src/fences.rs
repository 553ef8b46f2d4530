//! What a change of a policy does to what began before it.
//!
//! The rules judge a connection's first packet only. So when a fence is put
//! up, or drawn closer, what names led to under the old policy is struck out,
//! and the kernel forgets the connections that the new one would not let
//! begin: their next packet is a first one. All others go on undisturbed.

use crate::{
    Egress, Endpoint, Error, Proto, Published, Realm, Who,
    book::{Book, Owner, addresses_of},
    conntrack::{self, Begun},
    error::Doing,
    learner::{self, Entered},
    nft::Element,
    rules,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// What names have led to: an address, and its port if it is not all.
type Led = Vec<(IpAddr, Option<u16>)>;

impl Realm {
    /// Holds what has begun to a policy: of a container by its addresses.
    pub(crate) fn hold_container(
        &self,
        addresses: &[IpAddr],
        policy: &Egress,
    ) -> Result<(), Error> {
        for address in addresses {
            let led = self.book().unlearn(&Who::Address(*address), policy)?;
            let keeps = |begun: &Begun| begun.from != *address || allowed(policy, &led, begun);
            conntrack::forget_begun(&mut self.tracked(), address.is_ipv4(), Some(*address), keeps)
                .doing("forget connections of", &address.to_string())?;
        }
        Ok(())
    }

    /// The same, of a whole network.
    pub(crate) fn hold_network(&self, bridge: &str, policy: &Egress) -> Result<(), Error> {
        let mut book = self.book();
        let addresses: BTreeSet<IpAddr> = book.addresses_on(bridge).into_iter().collect();
        let led = book.unlearn(&Who::Bridge(bridge.to_owned()), policy)?;
        drop(book);
        for v4 in [true, false] {
            if !addresses.iter().any(|address| address.is_ipv4() == v4) {
                continue;
            }
            // Neighbours are not outside.
            let keeps = |begun: &Begun| {
                !addresses.contains(&begun.from)
                    || addresses.contains(&begun.to)
                    || allowed(policy, &led, begun)
            };
            conntrack::forget_begun(&mut self.tracked(), v4, None, keeps)
                .doing("forget connections of", bridge)?;
        }
        Ok(())
    }

    /// Holds what has begun to the policies of all these: for when nothing
    /// held them to those for a while.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn hold(&self, all: &[Endpoint]) -> Result<(), Error> {
        let mut held: BTreeMap<IpAddr, (&Egress, Led)> = BTreeMap::new();
        for endpoint in all {
            for address in endpoint.addresses() {
                let mut led = Led::new();
                if !endpoint.egress.names.is_empty() {
                    led = self.book().led_to(&Who::Address(address))?;
                }
                held.insert(address, (&endpoint.egress, led));
            }
        }
        for v4 in [true, false] {
            if !held.keys().any(|address| address.is_ipv4() == v4) {
                continue;
            }
            let keeps = |begun: &Begun| {
                held.get(&begun.from).is_none_or(|(policy, led)| allowed(policy, led, begun))
            };
            conntrack::forget_begun(&mut self.tracked(), v4, None, keeps)
                .doing("forget connections of", "containers")?;
        }
        Ok(())
    }

    /// Strikes an owner out, and says what it had. A port whose interface is
    /// still there stays under guard until a later call finds it gone.
    pub(crate) fn strike(&self, owner: &Owner) -> Result<Vec<Element>, Error> {
        let had = self.book().strike(owner)?;
        if had.iter().any(leads_datagrams) {
            for address in addresses_of(&had) {
                conntrack::forget_to(&mut self.tracked(), address)
                    .doing("forget connections to", &address.to_string())?;
            }
        }
        if had.iter().any(rules::is_of_fence) {
            // So that who has the address next has nothing of it.
            let nothing = Egress { fenced: true, ..Egress::default() };
            self.hold_container(&addresses_of(&had), &nothing)?;
        }
        Ok(had)
    }

    /// Lets clients that were sending before a port was published find it.
    pub(crate) fn redirect_datagrams(&self, published: &[Published]) -> Result<(), Error> {
        for v4 in [true, false] {
            let ports: Vec<_> = published
                .iter()
                .filter(|one| one.proto == Proto::Udp && one.host_ip.is_ipv4() == v4)
                .map(Published::host_ports)
                .collect();
            if !ports.is_empty() {
                conntrack::forget_ports(&mut self.tracked(), v4, &ports)
                    .doing("forget connections to", "published ports")?;
            }
        }
        Ok(())
    }
}

impl Book {
    /// Strikes out what names that a policy no longer allows have led to;
    /// gives what is left.
    fn unlearn(&mut self, who: &Who, policy: &Egress) -> Result<Led, Error> {
        let (stay, go): (Vec<_>, Vec<_>) = self.entered(who)?.into_iter().partition(|entered| {
            let mut names = policy.names.iter();
            names.any(|allowed| allowed.name == entered.name && allowed.port == entered.port)
        });
        let go: Vec<_> = go.into_iter().map(|entered| entered.element).collect();
        let table = self.table().to_owned();
        self.remove(&go).doing("strike out what names led to in", &table)?;
        Ok(stay.into_iter().map(|entered| (entered.address, entered.port)).collect())
    }

    fn led_to(&mut self, who: &Who) -> Result<Led, Error> {
        let entered = self.entered(who)?.into_iter();
        Ok(entered.map(|entered| (entered.address, entered.port)).collect())
    }

    fn entered(&mut self, who: &Who) -> Result<Vec<Entered>, Error> {
        let table = self.table().to_owned();
        learner::entered(self.socket(), &table, who).doing("read what names led to in", &table)
    }
}

fn allowed(policy: &Egress, led: &[(IpAddr, Option<u16>)], begun: &Begun) -> bool {
    let at = |port: &Option<u16>| port.is_none_or(|port| port == begun.port);
    policy.reaches(begun.to, begun.protocol, begun.port)
        || led.iter().any(|(address, port)| *address == begun.to && at(port))
}

/// Is it a published port of UDP?
fn leads_datagrams(element: &Element) -> bool {
    rules::published_of(element).is_some_and(|published| published.proto == Proto::Udp)
}

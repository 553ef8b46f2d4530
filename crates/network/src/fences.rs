//! What a change of a policy does to what began before it.
//!
//! The rules judge a connection's first packet only. So when a fence is put
//! up, or drawn closer, what names led to under the old policy is struck out,
//! and the kernel forgets the connections that the new one would not let
//! begin: their next packet is a first one. All others go on undisturbed.

use crate::{
    Egress, Error, Who,
    book::Book,
    conntrack::{self, Begun},
    error::Doing,
    learner,
};
use std::net::IpAddr;

impl Book {
    /// Holds what has begun to a policy: of a container by its addresses.
    pub(crate) fn hold_container(
        &mut self,
        addresses: &[IpAddr],
        policy: &Egress,
    ) -> Result<(), Error> {
        for address in addresses {
            let learnt = self.unlearn(&Who::Address(*address), policy)?;
            let keeps = |begun: &Begun| begun.from != *address || allowed(policy, &learnt, begun);
            conntrack::forget_begun(self.socket(), address.is_ipv4(), Some(*address), keeps)
                .doing("forget connections of", &address.to_string())?;
        }
        Ok(())
    }

    /// The same, of a whole network: `addresses` are those of its containers.
    pub(crate) fn hold_network(
        &mut self,
        bridge: &str,
        addresses: &[IpAddr],
        policy: &Egress,
    ) -> Result<(), Error> {
        let learnt = self.unlearn(&Who::Bridge(bridge.to_owned()), policy)?;
        for v4 in [true, false] {
            if !addresses.iter().any(|address| address.is_ipv4() == v4) {
                continue;
            }
            // Neighbours are not outside.
            let keeps = |begun: &Begun| {
                !addresses.contains(&begun.from)
                    || addresses.contains(&begun.to)
                    || allowed(policy, &learnt, begun)
            };
            conntrack::forget_begun(self.socket(), v4, None, keeps)
                .doing("forget connections of", bridge)?;
        }
        Ok(())
    }

    /// Strikes out what names that a policy no longer allows have led to;
    /// gives what is left.
    fn unlearn(&mut self, who: &Who, policy: &Egress) -> Result<Vec<(IpAddr, Option<u16>)>, Error> {
        let table = self.table().to_owned();
        let entered = learner::entered(self.socket(), &table, who)
            .doing("read what names led to in", &table)?;
        let (stay, go): (Vec<_>, Vec<_>) = entered.into_iter().partition(|entered| {
            let mut names = policy.names.iter();
            names.any(|allowed| allowed.name == entered.name && allowed.port == entered.port)
        });
        let go: Vec<_> = go.into_iter().map(|entered| entered.element).collect();
        self.remove(&go).doing("strike out what names led to in", &table)?;
        Ok(stay.into_iter().map(|entered| (entered.address, entered.port)).collect())
    }
}

fn allowed(policy: &Egress, learnt: &[(IpAddr, Option<u16>)], begun: &Begun) -> bool {
    let at = |port: &Option<u16>| port.is_none_or(|port| port == begun.port);
    policy.reaches(begun.to, begun.protocol, begun.port)
        || learnt.iter().any(|(address, port)| *address == begun.to && at(port))
}

//! The addresses of one subnet, and which of them are given.
//!
//! A pool is plain bookkeeping in memory: what it holds is made anew from the
//! records when a daemon starts.

use crate::addresses;
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};

/// One subnet's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    subnet: IpNet,
    range: Option<IpNet>,
    taken: BTreeSet<IpAddr>,
    last: Option<IpAddr>,
}

/// Why an address is not given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody has it: a container, the gateway, or nobody on purpose.
    ///
    /// In Docker's words: clients look for them.
    #[error("Address already in use")]
    Taken,
    /// It is not of the subnet, or no address that an interface may have.
    #[error("address {0} is no usable one of subnet {1}")]
    Outside(IpAddr, IpNet),
    /// All are taken.
    ///
    /// In Docker's words.
    #[error("no available IPv{family} addresses on this network's address pools: {0}", family = if .0.addr().is_ipv4() { 4 } else { 6 })]
    Empty(IpNet),
}

impl Pool {
    /// All of `subnet` but the `kept`; those that nobody names come from
    /// `range`.
    pub fn new(
        subnet: IpNet,
        range: Option<IpNet>,
        kept: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let taken = kept.into_iter().collect();
        Self { subnet: subnet.trunc(), range, taken, last: None }
    }

    /// Gives an address: the one that is wished for, or the next.
    ///
    /// # Errors
    /// It is taken or not of this subnet; or all are taken.
    pub fn give(&mut self, wish: Option<IpAddr>) -> Result<IpAddr, Refused> {
        let taken = |address| self.taken.contains(&address);
        let address = if let Some(wish) = wish {
            if !addresses::is_usable(self.subnet, wish) {
                return Err(Refused::Outside(wish, self.subnet));
            }
            if taken(wish) {
                return Err(Refused::Taken);
            }
            wish
        } else {
            let next = addresses::next_free(self.subnet, self.range, self.last, taken);
            let next = next.ok_or(Refused::Empty(self.subnet))?;
            self.last = Some(next);
            next
        };
        self.taken.insert(address);
        Ok(address)
    }

    /// Notes that somebody has an address already, as the records say.
    pub fn recall(&mut self, address: IpAddr) {
        self.taken.insert(address);
    }

    /// Takes an address back.
    pub fn take_back(&mut self, address: IpAddr) {
        self.taken.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn pool(range: Option<&str>) -> Pool {
        let net = |text: &str| text.parse().expect("a subnet");
        Pool::new(net("10.0.0.1/29"), range.map(net), [ip("10.0.0.1")])
    }

    #[test]
    fn an_address_that_is_wished_for_is_given_once() {
        let mut pool = pool(None);
        assert_eq!(pool.give(Some(ip("10.0.0.3"))), Ok(ip("10.0.0.3")));
        assert_eq!(pool.give(Some(ip("10.0.0.3"))), Err(Refused::Taken));
        assert_eq!(pool.give(Some(ip("10.0.0.1"))), Err(Refused::Taken), "the gateway's");
        pool.take_back(ip("10.0.0.3"));
        assert_eq!(pool.give(Some(ip("10.0.0.3"))), Ok(ip("10.0.0.3")));
    }

    #[test]
    fn addresses_that_no_interface_may_have_are_not_given() {
        for address in ["10.0.0.0", "10.0.0.7", "10.0.0.8", "10.9.0.1", "fd00::1"] {
            let refused = pool(None).give(Some(ip(address)));
            assert!(matches!(refused, Err(Refused::Outside(..))), "{address}: {refused:?}");
        }
    }

    #[test]
    fn a_range_bounds_what_is_given_unasked_only() {
        let mut pool = pool(Some("10.0.0.4/31"));
        assert_eq!(pool.give(None), Ok(ip("10.0.0.4")));
        assert_eq!(pool.give(None), Ok(ip("10.0.0.5")));
        let empty = pool.give(None).expect_err("the range is used up");
        let words = "no available IPv4 addresses on this network's address pools: 10.0.0.0/29";
        assert_eq!(empty.to_string(), words);
        assert_eq!(pool.give(Some(ip("10.0.0.2"))), Ok(ip("10.0.0.2")));
    }
}

//! Which address, subnet or MAC comes next.
//!
//! Nothing here keeps state or asks the kernel: the caller says what is taken
//! and keeps what it is given.

use crate::Mac;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The next free address of `subnet` after `last`, around the end if need be.
///
/// Addresses are handed out in order, so that one that was given back rests as
/// long as possible before somebody else answers under it. Never the network's
/// own address, an IPv4 broadcast address, or one for which `taken` is true
/// (the caller counts the gateway among those). With `range`, only from there.
pub fn next_free(
    subnet: IpNet,
    range: Option<IpNet>,
    last: Option<IpAddr>,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let within = range.unwrap_or(subnet);
    let (low, high) = usable(subnet);
    let low = low.max(number(within.network()));
    let high = high.min(number(within.broadcast()));
    if low > high {
        return None;
    }
    let start = last.map(number).filter(|last| (low..high).contains(last)).map_or(low, |n| n + 1);
    let v4 = subnet.addr().is_ipv4();
    (start..=high).chain(low..start).map(|n| address(n, v4)).find(|a| !taken(*a))
}

/// May an interface of this subnet have that address?
pub fn is_usable(subnet: IpNet, address: IpAddr) -> bool {
    let (low, high) = usable(subnet);
    subnet.contains(&address) && (low..=high).contains(&number(address))
}

/// First and last address that a host may bear.
fn usable(subnet: IpNet) -> (u128, u128) {
    let (first, last) = (number(subnet.network()), number(subnet.broadcast()));
    match subnet {
        IpNet::V4(net) if net.prefix_len() >= 31 => (first, last),
        IpNet::V4(_) => (first + 1, last - 1),
        IpNet::V6(net) if net.prefix_len() >= 127 => (first, last),
        IpNet::V6(_) => (first + 1, last),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(n) if v4 => Ipv4Addr::from(n).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

/// An address pool: subnets of `size` bits are cut from `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Where to cut from.
    pub base: Ipv4Net,
    /// The prefix length of what is cut.
    pub size: u8,
}

/// Docker's default pools, and below them a finer cut of `10.0.0.0/8`, so
/// that a host does not run out at the thirty-first network.
///
/// Source: Docker's documentation, "Default address pools".
pub fn default_pools() -> Vec<Pool> {
    let pool = |a, b, bits, size| Pool {
        base: Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), bits),
        size,
    };
    let mut pools: Vec<_> = (17..=31).map(|second| pool(172, second, 16, 16)).collect();
    pools.push(pool(192, 168, 16, 20));
    pools.push(pool(10, 0, 8, 24));
    pools
}

/// The first subnet of the pools that overlaps nothing in `used` (networks
/// that exist, routes of the host); its first address is to be the gateway.
pub fn free_subnet(pools: &[Pool], used: &[IpNet]) -> Option<Ipv4Net> {
    let overlaps = |net: &Ipv4Net| {
        used.iter().any(|other| match other {
            IpNet::V4(other) => other.contains(net) || net.contains(other),
            IpNet::V6(_) => false,
        })
    };
    pools
        .iter()
        .filter_map(|pool| pool.base.subnets(pool.size.max(pool.base.prefix_len())).ok())
        .flatten()
        .find(|net| !overlaps(net))
}

/// The first address of a subnet that an interface may have: a gateway's.
pub fn first(subnet: IpNet) -> IpAddr {
    address(usable(subnet).0, subnet.addr().is_ipv4())
}

/// The first address of a subnet, with the subnet's length: a gateway.
pub fn gateway4(subnet: Ipv4Net) -> Ipv4Net {
    let first = u32::from(subnet.network()) + u32::from(subnet.prefix_len() < 31);
    Ipv4Net::new_assert(first.into(), subnet.prefix_len())
}

/// A private /64 that belongs to a name, with its gateway `::1`.
///
/// Deterministic, so that it survives a lost record and needs no registry; 56
/// bits of the name's hash make a clash between two names unlikely.
///
/// Source: RFC 4193 (unique local addresses).
pub fn private_subnet6(name: &str) -> Ipv6Net {
    let hash = fnv(name.as_bytes()).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[0] = 0xfd;
    bytes[1..8].copy_from_slice(&hash[..7]);
    bytes[15] = 1;
    Ipv6Net::new_assert(bytes.into(), 64)
}

/// The MAC address that goes with an IPv4 address: unique on its network, and
/// locally administered. The same shape as Docker's.
pub fn mac4(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    Mac([0x02, 0x42, a, b, c, d])
}

/// The MAC address that goes with an IPv6 address where there is no IPv4.
pub fn mac6(address: Ipv6Addr) -> Mac {
    let o = address.octets();
    Mac([0x02, 0x46, o[12], o[13], o[14], o[15]])
}

/// The MAC address of a bridge: fixed, so that a container's neighbour entry
/// for its gateway never goes stale.
pub(crate) fn bridge_mac(name: &str) -> Mac {
    let hash = fnv(name.as_bytes()).to_be_bytes();
    Mac([0x02, 0x62, hash[0], hash[1], hash[2], hash[3]])
}

/// FNV-1a with a final mix, 64 bits: stable across versions and machines,
/// which the standard library's hash is not. Source: draft-eastlake-fnv;
/// the mix is that of SplitMix64.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a subnet")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_given_back_rests_before_it_is_given_again() {
        let subnet = net("10.0.0.0/29");
        let mut taken = BTreeSet::from([ip("10.0.0.1")]);
        let mut last = None;
        for expected in ["10.0.0.2", "10.0.0.3"] {
            last = next_free(subnet, None, last, |a| taken.contains(&a));
            assert_eq!(last, Some(ip(expected)));
            taken.extend(last);
        }
        taken.remove(&ip("10.0.0.2"));
        assert_eq!(next_free(subnet, None, last, |a| taken.contains(&a)), Some(ip("10.0.0.4")));
        let end = Some(ip("10.0.0.6"));
        assert_eq!(next_free(subnet, None, end, |a| taken.contains(&a)), Some(ip("10.0.0.2")));
    }

    #[test]
    fn network_and_broadcast_addresses_are_never_given() {
        let mut given = Vec::new();
        while let Some(next) = next_free(net("10.0.0.0/29"), None, None, |a| given.contains(&a)) {
            given.push(next);
        }
        assert_eq!(given.len(), 6);
        assert_eq!((given[0], given[5]), (ip("10.0.0.1"), ip("10.0.0.6")));
    }

    #[test]
    fn a_full_subnet_and_a_range_outside_it_give_nothing() {
        assert_eq!(next_free(net("10.0.0.0/30"), None, None, |_| true), None);
        assert_eq!(next_free(net("10.0.0.0/30"), Some(net("10.9.0.0/30")), None, |_| false), None);
    }

    #[test]
    fn a_range_confines() {
        let range = Some(net("10.0.0.128/30"));
        let first = next_free(net("10.0.0.0/24"), range, None, |_| false);
        assert_eq!(first, Some(ip("10.0.0.128")));
        let again = next_free(net("10.0.0.0/24"), range, Some(ip("10.0.0.131")), |_| false);
        assert_eq!(again, first, "around the end of the range");
    }

    #[test]
    fn ipv6_counts_as_ipv4_does() {
        let free = next_free(net("fd00::/64"), None, None, |a| a == ip("fd00::1"));
        assert_eq!(free, Some(ip("fd00::2")));
    }

    #[test]
    fn pools_avoid_what_the_host_routes_and_outlast_thirty_one_networks() {
        let mut used = vec![net("172.16.0.0/12"), net("192.168.7.0/24")];
        let first = free_subnet(&default_pools(), &used).expect("192.168 has room");
        assert_eq!(first.to_string(), "192.168.16.0/20");
        for _ in 0..200 {
            let next = free_subnet(&default_pools(), &used).expect("room for hundreds");
            used.push(next.into());
        }
    }

    #[test]
    fn an_exhausted_pool_gives_nothing() {
        let pool = Pool { base: "10.0.0.0/24".parse().expect("a subnet"), size: 25 };
        assert_eq!(free_subnet(&[pool], &[net("10.0.0.0/8")]), None);
    }

    #[test]
    fn names_have_private_subnets_of_their_own() {
        let (a, b) = (private_subnet6("coffer0"), private_subnet6("coffer1"));
        assert_ne!(a, b);
        assert_eq!(a, private_subnet6("coffer0"));
        assert!(a.to_string().starts_with("fd") && a.to_string().ends_with("::1/64"), "{a}");
    }

    #[test]
    fn derived_mac_addresses_are_stations_and_local() {
        let mac = mac4(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert!(mac.is_station() && bridge_mac("coffer0").is_station());
    }
}

//! Who is called what, on which network.
//!
//! The order in which a name is looked up is Docker's. Source: `ResolveName`
//! in `libnetwork/sandbox.go` and `libnetwork/network.go` of moby.

use crate::wire::{Place, Seat, Service};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A container's number, as long as it is served.
pub(crate) type Number = u32;

/// The longest name in text. Source: RFC 1035, section 2.3.4.
const LONGEST: usize = 255;

/// All names of all networks.
#[derive(Debug, Default)]
pub(crate) struct Table {
    seats: HashMap<Number, Vec<Place>>,
    /// Of those that have any.
    services: HashMap<Number, Vec<Service>>,
    networks: HashMap<String, Network>,
}

#[derive(Debug, Default)]
struct Network {
    /// Lower case.
    names: HashMap<String, Vec<Entry>>,
    reverse: HashMap<IpAddr, Vec<(Number, String)>>,
}

#[derive(Debug)]
struct Entry {
    seat: Number,
    addr4: Option<Ipv4Addr>,
    addr6: Option<Ipv6Addr>,
}

/// A container that serves at a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// `NAME.NETWORK`, or what it was asked by if it has no name of its own.
    pub name: String,
    pub port: u16,
    pub addr4: Option<Ipv4Addr>,
    pub addr6: Option<Ipv6Addr>,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    V4,
    V6,
}

impl Table {
    /// Enters a container, or what has changed about it.
    pub fn seat(&mut self, number: Number, seat: &Seat) {
        self.leave(number);
        for place in &seat.places {
            let network = self.networks.entry(place.network.clone()).or_default();
            for name in place.names.iter().filter(|name| name.len() <= LONGEST) {
                let entries = network.names.entry(name.to_ascii_lowercase()).or_default();
                if entries.iter().all(|entry| entry.seat != number) {
                    entries.push(Entry { seat: number, addr4: place.addr4, addr6: place.addr6 });
                }
            }
            for address in addresses(place) {
                if let Some(name) = place.names.first() {
                    network.reverse.entry(address).or_default().push((number, name.clone()));
                }
            }
        }
        self.seats.insert(number, seat.places.clone());
        if !seat.services.is_empty() {
            self.services.insert(number, seat.services.clone());
        }
    }

    /// Strikes a container out.
    pub fn leave(&mut self, number: Number) {
        self.services.remove(&number);
        for place in self.seats.remove(&number).unwrap_or_default() {
            let Some(network) = self.networks.get_mut(&place.network) else { continue };
            for name in &place.names {
                let name = name.to_ascii_lowercase();
                if let Some(entries) = network.names.get_mut(&name) {
                    entries.retain(|entry| entry.seat != number);
                    if entries.is_empty() {
                        network.names.remove(&name);
                    }
                }
            }
            for address in addresses(&place) {
                if let Some(names) = network.reverse.get_mut(&address) {
                    names.retain(|(seat, _)| *seat != number);
                    if names.is_empty() {
                        network.reverse.remove(&address);
                    }
                }
            }
            if network.names.is_empty() && network.reverse.is_empty() {
                self.networks.remove(&place.network);
            }
        }
    }

    /// The addresses of a name, without its final dot, for who asks: none if
    /// the name is not known, an empty list if it has none of the kind.
    ///
    /// For `a.b.c`: `a.b.c` on any network, `a.b` on network `c`, `a` on
    /// network `b.c`; of each first as a link.
    pub fn find(&self, asker: Number, name: &str, wanted: Wanted) -> Option<Vec<IpAddr>> {
        let mut known = None;
        self.search(asker, name, |_, list| {
            let of_kind = |entry: &Entry| match wanted {
                Wanted::V4 => entry.addr4.map(IpAddr::V4),
                Wanted::V6 => entry.addr6.map(IpAddr::V6),
            };
            let addresses: Vec<IpAddr> = list.iter().filter_map(of_kind).collect();
            let found = !addresses.is_empty();
            if found || known.is_none() {
                known = Some(addresses);
            }
            found
        });
        known
    }

    /// Who of those that are called so serves at a port, by its number or what
    /// it is called: none if the name is not known, an empty list if nobody
    /// does.
    pub fn serving(
        &self,
        asker: Number,
        name: &str,
        proto: &str,
        service: &str,
    ) -> Option<Vec<Serving>> {
        let at = |seat| {
            let mut all = self.services.get(&seat)?.iter().filter(|one| one.proto == proto);
            all.find_map(|one| one.port(service))
        };
        let mut known = None;
        self.search(asker, name, |place, list| {
            let one = |entry: &Entry| {
                let own = self.name_on(entry.seat, &place.network);
                let own = own.map(|own| format!("{own}.{}", place.network_name));
                let name = own.unwrap_or_else(|| name.to_owned());
                let Entry { addr4, addr6, .. } = *entry;
                Some(Serving { name, port: at(entry.seat)?, addr4, addr6 })
            };
            let serving: Vec<Serving> = list.iter().filter_map(one).collect();
            let found = !serving.is_empty();
            if found || known.is_none() {
                known = Some(serving);
            }
            found
        });
        known
    }

    /// What a container is called first on a network.
    fn name_on(&self, seat: Number, network: &str) -> Option<&str> {
        let mut places = self.seats.get(&seat)?.iter();
        let place = places.find(|place| place.network == network)?;
        place.names.first().map(String::as_str)
    }

    /// Goes through the lists that a name may mean to who asks, with the place
    /// by which it reaches them, until one is `enough`.
    fn search<'a>(
        &'a self,
        asker: Number,
        name: &str,
        mut enough: impl FnMut(&'a Place, &'a [Entry]) -> bool,
    ) {
        let Some(places) = self.seats.get(&asker) else { return };
        let name = name.to_ascii_lowercase();
        let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
        let mut split = Some((name.as_str(), None));
        while let Some((host, on)) = split {
            let on_it =
                |place: &&Place| on.is_none_or(|on| place.network_name.eq_ignore_ascii_case(on));
            for links in [true, false] {
                let mut some = false;
                for place in places.iter().filter(on_it) {
                    let link = place.links.iter().find(|(word, _)| word.eq_ignore_ascii_case(host));
                    let list = match (link, links) {
                        (Some((_, target)), true) => self.on(place, &target.to_ascii_lowercase()),
                        // What it calls another by, it calls nobody else.
                        (Some(_), false) | (None, true) => None,
                        (None, false) => self.on(place, host),
                    };
                    if let Some(list) = list {
                        some = true;
                        if enough(place, list) {
                            return;
                        }
                    }
                }
                if some {
                    return;
                }
            }
            split = dots.next().map(|at| (&name[..at], Some(&name[at + 1..])));
        }
    }

    fn on(&self, place: &Place, name: &str) -> Option<&[Entry]> {
        self.networks.get(&place.network)?.names.get(name).map(Vec::as_slice)
    }

    /// `NAME.NETWORK` for an address on a network of who asks.
    pub fn reverse(&self, asker: Number, address: IpAddr) -> Option<String> {
        self.seats.get(&asker)?.iter().find_map(|place| {
            let names = self.networks.get(&place.network)?.reverse.get(&address)?;
            names.first().map(|(_, name)| format!("{name}.{}", place.network_name))
        })
    }
}

fn addresses(place: &Place) -> impl Iterator<Item = IpAddr> + use<> {
    place.addr4.map(IpAddr::V4).into_iter().chain(place.addr6.map(IpAddr::V6))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::Upstream;
    use spec::Id;

    pub(crate) fn place(network: &str, last: u8, names: &[&str]) -> Place {
        Place {
            network: format!("id of {network}"),
            network_name: network.into(),
            addr4: Some(Ipv4Addr::new(10, 0, 0, last)),
            addr6: None,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            links: Vec::new(),
        }
    }

    pub(crate) fn seat(number: u8, places: Vec<Place>) -> Seat {
        Seat {
            container: Id::from_random([number; 32]),
            places,
            upstream: Upstream::default(),
            fences: Vec::new(),
            services: Vec::new(),
        }
    }

    fn v4(table: &Table, asker: Number, name: &str) -> Option<Vec<u8>> {
        let last = |address| if let IpAddr::V4(v4) = address { v4.octets()[3] } else { 0 };
        Some(table.find(asker, name, Wanted::V4)?.into_iter().map(last).collect())
    }

    fn three() -> Table {
        let mut table = Table::default();
        table.seat(1, &seat(1, vec![place("front", 1, &["web", "all"])]));
        table.seat(
            2,
            &seat(2, vec![place("front", 2, &["app", "all"]), place("back", 12, &["app"])]),
        );
        table.seat(3, &seat(3, vec![place("back", 13, &["db", "Data.Base"])]));
        table
    }

    #[test]
    fn names_hold_within_networks_of_the_asker() {
        let table = three();
        assert_eq!(v4(&table, 1, "app"), Some(vec![2]));
        assert_eq!(v4(&table, 1, "db"), None, "on a network that web is not on");
        assert_eq!(v4(&table, 2, "db"), Some(vec![13]));
        assert_eq!(v4(&table, 3, "app"), Some(vec![12]));
        assert_eq!(v4(&table, 9, "app"), None, "nobody asks");
    }

    #[test]
    fn a_name_may_say_its_network() {
        let table = three();
        assert_eq!(v4(&table, 2, "app.back"), Some(vec![12]));
        assert_eq!(v4(&table, 2, "app.front"), Some(vec![2]));
        assert_eq!(v4(&table, 1, "app.back"), None);
        assert_eq!(v4(&table, 2, "data.base"), Some(vec![13]), "dots and case");
        assert_eq!(v4(&table, 2, "data.base.BACK"), Some(vec![13]));
    }

    #[test]
    fn a_shared_alias_leads_to_all() {
        assert_eq!(v4(&three(), 1, "ALL"), Some(vec![1, 2]));
    }

    #[test]
    fn a_name_without_addresses_of_the_kind_is_known_all_the_same() {
        let table = three();
        assert_eq!(table.find(1, "app", Wanted::V6), Some(vec![]));
        assert_eq!(table.find(1, "nobody", Wanted::V6), None);
    }

    #[test]
    fn a_link_is_of_its_container_alone_and_comes_first() {
        let mut table = three();
        let mut own = place("front", 1, &["web", "all"]);
        own.links = vec![("app".into(), "all".into()), ("friend".into(), "app".into())];
        table.seat(1, &seat(1, vec![own]));
        assert_eq!(v4(&table, 1, "friend"), Some(vec![2]));
        assert_eq!(v4(&table, 1, "app").map(|mut a| (a.sort_unstable(), a).1), Some(vec![1, 2]));
        assert_eq!(v4(&table, 2, "friend"), None);
    }

    #[test]
    fn who_serves_at_a_port_is_found_by_number_and_name() {
        let mut table = three();
        let service = |first, last, proto: &str, names: &[&str]| Service {
            first,
            last,
            proto: proto.into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let services = vec![service(80, 80, "tcp", &["http"]), service(8000, 8009, "tcp", &[])];
        let places = vec![place("front", 2, &["app", "all"]), place("back", 12, &["app"])];
        table.seat(2, &Seat { services, ..seat(2, places) });
        let find = |name, proto, port| {
            let found = table.serving(1, name, proto, port)?;
            let said = |one: Serving| format!("{} {} {:?}", one.name, one.port, one.addr4);
            Some(found.into_iter().map(said).collect::<Vec<_>>())
        };
        let app = Some(vec!["app.front 80 Some(10.0.0.2)".to_owned()]);
        assert_eq!(find("app", "tcp", "80"), app);
        assert_eq!(find("APP.front", "tcp", "http"), app);
        assert_eq!(find("all", "tcp", "80"), app, "who shares the name does not serve there");
        let run = Some(vec!["app.front 8009 Some(10.0.0.2)".to_owned()]);
        assert_eq!(find("app", "tcp", "8009"), run);
        for (proto, word) in [("udp", "80"), ("tcp", "8010"), ("tcp", "+80"), ("tcp", "https")] {
            assert_eq!(find("app", proto, word), Some(Vec::new()), "{proto} {word}");
        }
        assert_eq!(find("web", "tcp", "80"), Some(Vec::new()));
        assert_eq!(find("db", "tcp", "80"), None, "on a network that web is not on");
        table.leave(2);
        assert!(table.services.is_empty());
    }

    #[test]
    fn an_address_leads_back_to_the_first_name() {
        let table = three();
        let address = |last| IpAddr::from([10, 0, 0, last]);
        assert_eq!(table.reverse(1, address(2)).as_deref(), Some("app.front"));
        assert_eq!(table.reverse(1, address(13)), None);
        assert_eq!(table.reverse(2, address(13)).as_deref(), Some("db.back"));
    }

    #[test]
    fn who_leaves_is_forgotten_and_nothing_stays() {
        let mut table = three();
        table.leave(2);
        assert_eq!(v4(&table, 1, "all"), Some(vec![1]));
        assert_eq!(v4(&table, 1, "app"), None);
        table.seat(1, &seat(1, vec![place("front", 7, &["renamed"])]));
        assert_eq!(v4(&table, 1, "web"), None);
        assert_eq!(v4(&table, 1, "renamed"), Some(vec![7]));
        table.leave(1);
        table.leave(3);
        assert!(table.networks.is_empty() && table.seats.is_empty());
    }
}

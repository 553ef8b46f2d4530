//! What may go out of a container, or of all containers of a network.
//!
//! A policy is a list of words:
//!
//! - `deny`: nothing but what other words allow goes out.
//! - `allow=CIDR[:PORT]`, `allow=ADDRESS[:PORT]`: this may. The port may be a
//!   range (`8000-8010`), and end in `/tcp`, `/udp` or `/sctp`; without one
//!   all protocols are meant. IPv6 stands in brackets where a port follows.
//! - `allow=dns:NAME[:PORT]`: the addresses that the embedded resolver was
//!   told for a name, for as long as that answer holds. `*.NAME` is every
//!   name below it.
//! - `metadata`: the cloud's metadata service, which nobody reaches else.
//!
//! Any `allow` says `deny` too. What goes out is what a container begins:
//! answers to those who may come in go out as ever, and neighbours on its own
//! networks are not outside. See [`rules`](crate::rules) for who enforces it.

use crate::Proto;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

/// Where clouds tell a machine its secrets: of AWS and all that do alike, by
/// IPv4 and IPv6.
pub const METADATA4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// See [`METADATA4`].
pub const METADATA6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Most words of a policy.
const WORDS: usize = 256;
/// Longest name, in bytes. Source: RFC 1035, section 2.3.4.
const NAME: usize = 253;
/// Longest part of one.
const LABEL: usize = 63;

/// A policy. The default lets everything out but to the metadata service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Egress {
    /// Only what is allowed goes out.
    pub fenced: bool,
    /// By address.
    pub nets: Vec<AllowedNet>,
    /// By name.
    pub names: Vec<AllowedName>,
    /// The metadata service can be reached.
    pub metadata: bool,
}

/// Addresses that may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedNet {
    /// These.
    pub net: IpNet,
    /// By this protocol alone.
    pub proto: Option<Proto>,
    /// At these ports, first and last; none for everything.
    pub ports: Option<(u16, u16)>,
}

/// A name whose addresses may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedName {
    /// Lower case, without a final dot; `*.` before it for all below it.
    pub name: String,
    /// At this port; none for everything.
    pub port: Option<u16>,
}

/// A word of a policy that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid egress policy {word:?}: {why}")]
pub struct NoPolicy {
    word: String,
    why: &'static str,
}

impl Egress {
    /// Reads a policy; in each text words stand apart by commas or blanks.
    ///
    /// # Errors
    /// The first word that makes no sense.
    pub fn read<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NoPolicy> {
        let mut policy = Self::default();
        let mut count = 0;
        for text in texts {
            let words = text.as_ref().split([',', ' ', '\t', '\n']);
            for word in words.filter(|word| !word.is_empty()) {
                count += 1;
                let refuse = |why| NoPolicy { word: word.to_owned(), why };
                if count > WORDS {
                    return Err(refuse("it has more than 256 words"));
                }
                policy.take(word).map_err(refuse)?;
            }
        }
        Ok(policy)
    }

    fn take(&mut self, word: &str) -> Result<(), &'static str> {
        match word {
            "deny" => self.fenced = true,
            "metadata" => self.metadata = true,
            word => {
                let allowed = word
                    .strip_prefix("allow=")
                    .ok_or("say deny, allow=CIDR[:PORT], allow=dns:NAME[:PORT] or metadata")?;
                self.fenced = true;
                match allowed.strip_prefix("dns:") {
                    Some(name) => self.names.push(allowed_name(name)?),
                    None => self.nets.push(allowed_net(allowed)?),
                }
            }
        }
        Ok(())
    }

    /// Does it say nothing?
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// May this be reached, as far as addresses say? Without a port it is of a
    /// protocol that has none.
    pub fn reaches(&self, to: IpAddr, protocol: u8, port: u16) -> bool {
        if to == IpAddr::V4(METADATA4) || to == IpAddr::V6(METADATA6) {
            return self.metadata;
        }
        !self.fenced
            || self.nets.iter().any(|allowed| {
                allowed.net.contains(&to)
                    && allowed.protocols().contains(&protocol)
                    && allowed.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
            })
    }

    /// What addresses of one family may be reached, at all or at some ports:
    /// places that have no point in common, as sets of ranges want them.
    pub(crate) fn places(&self, v4: bool) -> Places {
        let mut places = Places::default();
        let metadata: IpAddr = if v4 { METADATA4.into() } else { METADATA6.into() };
        let metadata = AllowedNet { net: metadata.into(), proto: None, ports: None };
        let metadata = self.metadata.then_some(&metadata);
        for allowed in self.nets.iter().chain(metadata) {
            if allowed.net.addr().is_ipv4() != v4 {
                continue;
            }
            let places =
                if allowed.ports.is_none() { &mut places.whole } else { &mut places.ports };
            for protocols in allowed.runs() {
                let (first, last) = allowed.ports.unwrap_or((0, u16::MAX));
                let place = Place {
                    addresses: number(allowed.net.network())..=number(allowed.net.broadcast()),
                    protocols: u128::from(*protocols.start())..=u128::from(*protocols.end()),
                    ports: u128::from(first)..=u128::from(last),
                };
                let mut rest = vec![place];
                for other in places.iter() {
                    rest = rest.into_iter().flat_map(|place: Place| place.without(other)).collect();
                }
                places.extend(rest);
            }
        }
        places
    }
}

impl AllowedNet {
    /// Protocols, as runs of their numbers.
    fn runs(&self) -> Vec<RangeInclusive<u8>> {
        let one = |proto: Proto| proto.number()..=proto.number();
        match (self.proto, self.ports) {
            (Some(proto), _) => vec![one(proto)],
            (None, None) => vec![0..=u8::MAX],
            // Those that have ports.
            (None, Some(_)) => [Proto::Tcp, Proto::Udp, Proto::Sctp].map(one).into(),
        }
    }

    fn protocols(&self) -> Vec<u8> {
        self.runs().into_iter().flatten().collect()
    }
}

/// What may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// By every protocol.
    pub(crate) whole: Vec<Place>,
    /// By protocols that have ports.
    pub(crate) ports: Vec<Place>,
}

/// Addresses, protocols and ports: everything within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) addresses: RangeInclusive<u128>,
    pub(crate) protocols: RangeInclusive<u128>,
    pub(crate) ports: RangeInclusive<u128>,
}

impl Place {
    /// What of it is not of another, in pieces.
    fn without(self, other: &Self) -> Vec<Self> {
        let parts = [
            (&self.addresses, &other.addresses),
            (&self.protocols, &other.protocols),
            (&self.ports, &other.ports),
        ];
        if parts.iter().any(|(a, b)| a.end() < b.start() || b.end() < a.start()) {
            return vec![self];
        }
        let mut pieces = Vec::new();
        let mut left = self;
        for part in 0..3 {
            let own = left.part(part).clone();
            let (first, last) = {
                let other = other.part(part);
                (*other.start(), *other.end())
            };
            if *own.start() < first {
                pieces.push(left.with(part, *own.start()..=first - 1));
            }
            if last < *own.end() {
                pieces.push(left.with(part, last + 1..=*own.end()));
            }
            left = left.with(part, first.max(*own.start())..=last.min(*own.end()));
        }
        pieces
    }

    fn part(&self, part: usize) -> &RangeInclusive<u128> {
        [&self.addresses, &self.protocols, &self.ports][part]
    }

    fn with(&self, part: usize, range: RangeInclusive<u128>) -> Self {
        let mut place = self.clone();
        *[&mut place.addresses, &mut place.protocols, &mut place.ports][part] = range;
        place
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// `NET`, `NET:PORT[/PROTOCOL]`, `[NET]:PORT[/PROTOCOL]`.
fn allowed_net(text: &str) -> Result<AllowedNet, &'static str> {
    let (net, ports) = if let Some(rest) = text.strip_prefix('[') {
        let (net, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
        match rest.strip_prefix(':') {
            Some(ports) => (net, Some(ports)),
            None if rest.is_empty() => (net, None),
            None => return Err("after the bracket comes a colon and a port"),
        }
    } else if text.matches(':').count() == 1 {
        let (net, ports) = text.split_once(':').ok_or("there is no colon")?;
        (net, Some(ports))
    } else {
        (text, None)
    };
    let net = read_net(net)?;
    let whole = net.prefix_len() == net.max_prefix_len();
    if whole && [IpAddr::V4(METADATA4), IpAddr::V6(METADATA6)].contains(&net.addr()) {
        return Err("the metadata service is opened by the word metadata");
    }
    let Some(ports) = ports else { return Ok(AllowedNet { net, proto: None, ports: None }) };
    let (ports, proto) = match ports.split_once('/') {
        Some((ports, proto)) => {
            (ports, Some(proto.parse().map_err(|_| "protocols are tcp, udp and sctp")?))
        }
        None => (ports, None),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err("the range of ports ends before it begins");
    }
    Ok(AllowedNet { net, proto, ports: Some((first, last)) })
}

fn read_net(text: &str) -> Result<IpNet, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let net: IpNet = text.parse().map_err(|_| "it is no address, no subnet, and no dns:NAME")?;
    if net == net.trunc() { Ok(net) } else { Err("the subnet's address goes beyond its prefix") }
}

fn port(text: &str) -> Result<u16, &'static str> {
    let number = text.parse().ok().filter(|port| *port > 0);
    number.ok_or("ports are numbers from 1 to 65535")
}

/// `NAME[:PORT]`.
fn allowed_name(text: &str) -> Result<AllowedName, &'static str> {
    let (name, port) = match text.split_once(':') {
        Some((name, text)) => (name, Some(port(text)?)),
        None => (text, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let bare = name.strip_prefix("*.").unwrap_or(&name);
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=LABEL).contains(&label.len()) && label.bytes().all(letter);
    if name.len() > NAME || !bare.split('.').all(label) {
        return Err("a name is letters, digits and dashes with dots between, perhaps after *.");
    }
    Ok(AllowedName { name, port })
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.fenced {
            words.push("deny".to_owned());
        }
        words.extend(self.nets.iter().map(|allowed| format!("allow={allowed}")));
        words.extend(self.names.iter().map(|allowed| format!("allow=dns:{allowed}")));
        if self.metadata {
            words.push("metadata".to_owned());
        }
        f.write_str(&words.join(","))
    }
}

impl fmt::Display for AllowedNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, last)) = self.ports else { return write!(f, "{}", self.net) };
        match self.net {
            IpNet::V4(net) => write!(f, "{net}:{first}")?,
            IpNet::V6(net) => write!(f, "[{net}]:{first}")?,
        }
        if last != first {
            write!(f, "-{last}")?;
        }
        self.proto.map_or(Ok(()), |proto| write!(f, "/{proto}"))
    }
}

impl fmt::Display for AllowedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Egress {
        Egress::read([text]).unwrap_or_else(|error| panic!("{error}"))
    }

    fn why(text: &str) -> &'static str {
        Egress::read([text]).expect_err(text).why
    }

    fn reaches(policy: &Egress, to: &str, protocol: u8, port: u16) -> bool {
        policy.reaches(to.parse().expect("an address"), protocol, port)
    }

    #[test]
    fn words_say_what_goes_out() {
        let policy =
            read("allow=10.0.0.0/8:443, allow=[2001:db8::/32]:8000-8010/udp allow=192.0.2.7");
        assert!(policy.fenced);
        for (to, protocol, port, may) in [
            ("10.1.2.3", 6, 443, true),
            ("10.1.2.3", 17, 443, true),
            ("10.1.2.3", 6, 80, false),
            ("10.1.2.3", 1, 0, false),
            ("11.1.2.3", 6, 443, false),
            ("192.0.2.7", 1, 0, true),
            ("192.0.2.8", 1, 0, false),
            ("2001:db8::1", 17, 8005, true),
            ("2001:db8::1", 6, 8005, false),
            ("2001:db9::1", 17, 8005, false),
        ] {
            assert_eq!(reaches(&policy, to, protocol, port), may, "{to} {protocol} {port}");
        }
        assert!(reaches(&Egress::default(), "192.0.2.1", 6, 80));
        assert!(!reaches(&read("deny"), "192.0.2.1", 6, 80));
    }

    #[test]
    fn the_metadata_service_is_opened_by_its_own_word_alone() {
        for (text, may) in [
            ("", false),
            ("allow=0.0.0.0/0", false),
            ("allow=169.254.0.0/16:80", false),
            ("metadata", true),
            ("deny,metadata", true),
        ] {
            assert_eq!(reaches(&read(text), "169.254.169.254", 6, 80), may, "{text}");
            assert_eq!(reaches(&read(text), "fd00:ec2::254", 6, 80), may, "{text}");
        }
        assert!(!read("metadata").fenced, "which does not fence the rest");
        assert!(why("allow=169.254.169.254:80").contains("the word metadata"));
    }

    #[test]
    fn names_are_read_whatever_their_case_and_may_mean_all_below() {
        let policy = read("allow=dns:Api.Example.COM.:443 allow=dns:*.corp.example");
        assert_eq!(
            policy.names[0],
            AllowedName { name: "api.example.com".into(), port: Some(443) }
        );
        assert_eq!(policy.names[1], AllowedName { name: "*.corp.example".into(), port: None });
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "allow",
            "allow=",
            "allow=10.0.0.0/33",
            "allow=10.0.0.1/8",
            "allow=10.0.0.0/8:0",
            "allow=10.0.0.0/8:70000",
            "allow=10.0.0.0/8:9-8",
            "allow=10.0.0.0/8:80/icmp",
            "allow=[2001:db8::/32",
            "allow=[2001:db8::/32]80",
            "allow=dns:",
            "allow=dns:a..b",
            "allow=dns:*",
            "allow=dns:a.*.b",
            "allow=dns:a:b",
            "allow=example.com",
            "open",
            "Deny",
        ] {
            assert!(Egress::read([text]).is_err(), "{text}");
        }
        assert!(Egress::read(vec!["deny"; 257]).is_err(), "too long");
    }

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        let text = "deny,allow=10.0.0.0/8:443,allow=192.0.2.7/32,allow=[2001:db8::/32]:1-2/udp,\
                    allow=dns:*.example.com:443,metadata";
        assert_eq!(read(text).to_string(), text);
    }

    fn word() -> impl Strategy<Value = AllowedNet> {
        let proto = prop_oneof![Just(None), Just(Some(Proto::Tcp)), Just(Some(Proto::Udp))];
        let ports =
            prop_oneof![Just(None), (1_u16..9, 0_u16..9).prop_map(|(a, n)| Some((a, a + n)))];
        (0_u8..4, 24_u8..=32, proto, ports).prop_map(|(last, length, proto, ports)| {
            let net = IpNet::new(Ipv4Addr::new(10, 0, 0, last * 64).into(), length);
            let proto = proto.filter(|_| ports.is_some());
            AllowedNet { net: net.expect("a subnet").trunc(), proto, ports }
        })
    }

    proptest! {
        #[test]
        fn places_are_what_is_allowed_and_have_nothing_in_common(
            nets in proptest::collection::vec(word(), 0..6),
            address in 0_u8..=255,
            protocol in prop_oneof![Just(1_u8), Just(6), Just(17), Just(132)],
            port in 0_u16..20,
        ) {
            let policy = Egress { fenced: true, nets, ..Egress::default() };
            let to = Ipv4Addr::new(10, 0, 0, address);
            let within = |places: Vec<Place>| places.into_iter().filter(|place| {
                place.addresses.contains(&u32::from(to).into())
                    && place.protocols.contains(&protocol.into())
                    && place.ports.contains(&port.into())
            }).count();
            let Places { whole, ports } = policy.places(true);
            let (whole, ports) = (within(whole), within(ports));
            prop_assert!(whole <= 1 && ports <= 1);
            prop_assert_eq!(whole + ports > 0, policy.reaches(to.into(), protocol, port));
        }
    }
}

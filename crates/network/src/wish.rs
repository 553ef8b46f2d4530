//! What the engine asks of this room: plain data, kept in its records.

use crate::Egress;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use spec::{Id, ports::Proto};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    str::FromStr,
};

/// How the containers of a network are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// Each is a port of one bridge.
    #[default]
    Bridge,
    /// Each has a line of its own to the host, which routes; they share no
    /// layer 2, and there may be as many as there are addresses.
    Routed,
    /// Each stands beside the host on an interface of the host's; see
    /// [`BridgeConfig::beside`].
    Beside,
}

/// Beside which interface of the host containers stand, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// The interface; empty for one that leads nowhere.
    pub parent: String,
    /// Which kind of interface they get.
    pub kind: BesideKind,
}

/// The kernel's two kinds of interfaces beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BesideKind {
    /// With a MAC address of its own.
    Macvlan(MacvlanMode),
    /// With the parent's MAC address, switched by layer 2.
    Ipvlan(IpvlanFlag),
    /// With the parent's MAC address, routed by layer 3: it asks for nobody and
    /// hears no broadcast, and has no gateway.
    IpvlanL3(IpvlanFlag),
    /// The same, judged by the host's firewall on its way.
    IpvlanL3s(IpvlanFlag),
}

impl BesideKind {
    /// The driver's and the kernel module's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) | Self::IpvlanL3(_) | Self::IpvlanL3s(_) => "ipvlan",
        }
    }

    /// Is there a gateway among those beside it?
    pub fn has_gateway(self) -> bool {
        !matches!(self, Self::IpvlanL3(_) | Self::IpvlanL3s(_))
    }
}

/// Whom a macvlan interface hears. Source: `linux/if_link.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum MacvlanMode {
    Private,
    Vepa,
    #[default]
    Bridge,
    Passthru,
}

impl MacvlanMode {
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Private => 1,
            Self::Vepa => 2,
            Self::Bridge => 4,
            Self::Passthru => 8,
        }
    }
}

/// Whom an ipvlan interface hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum IpvlanFlag {
    #[default]
    Bridge,
    Private,
    Vepa,
}

impl IpvlanFlag {
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Bridge => 0,
            Self::Private => 1,
            Self::Vepa => 2,
        }
    }
}

/// One network: a bridge, its subnets and what may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeConfig {
    /// The interface's name on the host, at most 15 bytes. That of a routed
    /// network has no ports: it bears the host's addresses.
    pub name: String,
    /// How its containers are joined.
    #[serde(default)]
    pub driver: Driver,
    /// Beside what, if that is how.
    #[serde(default)]
    pub beside: Option<Beside>,
    /// The IPv4 subnet; the address part is the gateway's (`172.17.0.1/16`).
    pub subnet4: Option<Ipv4Net>,
    /// The IPv6 subnet; the address part is the gateway's (`fd00::1/64`).
    pub subnet6: Option<Ipv6Net>,
    /// Largest packet, in bytes; 0 beside an interface, for as large as its.
    pub mtu: u32,
    /// Containers of this network may talk to one another.
    pub icc: bool,
    /// Containers reach the outside under the host's addresses.
    pub masquerade: bool,
    /// No way out and none in: no default route, nothing forwarded.
    pub internal: bool,
    /// How far its containers are hidden behind the host, by IPv4.
    #[serde(default)]
    pub gateway4: GatewayMode,
    /// And by IPv6.
    #[serde(default)]
    pub gateway6: GatewayMode,
    /// The gateway's IPv4 address is not the host's.
    #[serde(default)]
    pub inhibit4: bool,
    /// Interfaces of the host from which published ports are reached under the
    /// containers' own addresses.
    #[serde(default)]
    pub trusted: Vec<String>,
    /// Its containers reach every address of the host, and not its gateway
    /// alone.
    #[serde(default)]
    pub whole_host: bool,
    /// What may go out of all its containers together.
    #[serde(default)]
    pub egress: Egress,
}

/// How far the containers of a network are hidden behind the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// They go out under the host's address, and are reached by its ports.
    #[default]
    Nat,
    /// And under their own addresses at every port.
    NatUnprotected,
    /// They go out under their own addresses, and are reached there at the
    /// ports that they publish.
    Routed,
    /// The host has no address on their network.
    Isolated,
}

impl BridgeConfig {
    /// Do its containers go out through a gateway, and not straight?
    pub fn has_gateway(&self) -> bool {
        self.beside.as_ref().is_none_or(|beside| beside.kind.has_gateway())
    }

    /// What the default network of a daemon is: everything on, an Ethernet's
    /// usual size, IPv6 in the [private subnet of that
    /// name](crate::addresses::private_subnet6).
    pub fn default_network(name: &str, subnet4: Ipv4Net) -> Self {
        Self {
            name: name.to_owned(),
            driver: Driver::Bridge,
            beside: None,
            subnet4: Some(subnet4),
            subnet6: Some(crate::addresses::private_subnet6(name)),
            mtu: 1500,
            icc: true,
            masquerade: true,
            internal: false,
            gateway4: GatewayMode::Nat,
            gateway6: GatewayMode::Nat,
            inhibit4: false,
            trusted: Vec::new(),
            whole_host: false,
            egress: Egress::default(),
        }
    }

    /// Is there an interface of its own, under its [name](Self::name)? Beside
    /// an interface of the host's there is not.
    pub fn has_interface(&self) -> bool {
        self.beside.as_ref().is_none_or(|beside| beside.parent.is_empty())
    }

    /// The host's own IPv4 address on it, and its length.
    pub fn host4(&self) -> Option<Ipv4Net> {
        let none = self.inhibit4
            || self.gateway4 == GatewayMode::Isolated
            || self.driver == Driver::Beside;
        self.subnet4.filter(|_| !none)
    }

    /// And its IPv6 address.
    pub fn host6(&self) -> Option<Ipv6Net> {
        let none = self.gateway6 == GatewayMode::Isolated || self.driver == Driver::Beside;
        self.subnet6.filter(|_| !none)
    }
}

/// One container's place on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// This endpoint's own identifier, as `inspect` shows it.
    pub id: Id,
    /// The container: what everything made for it is named after.
    pub container: Id,
    /// The container's name, for messages.
    pub name: String,
    /// What the interface is called inside: `eth0`.
    pub ifname: String,
    /// The only hardware address it may use.
    pub mac: Mac,
    /// Its IPv4 address, from the bridge's subnet.
    pub addr4: Option<Ipv4Addr>,
    /// Its IPv6 address, from the bridge's subnet.
    pub addr6: Option<Ipv6Addr>,
    /// Link-local addresses that it has beside those.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// Settings of the interface inside: path below `/proc/sys`, with `IFNAME`
    /// in the interface's place, and value.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
    /// The container's way out by IPv4 leads through this network.
    #[serde(alias = "default_route")]
    pub default4: bool,
    /// And by IPv6.
    #[serde(default)]
    pub default6: bool,
    /// Ports of the host that lead here, as [`Realm::reserve`](crate::Realm::reserve) gave them.
    pub ports: Vec<Published>,
    /// What may go out of it.
    #[serde(default)]
    pub egress: Egress,
}

impl Endpoint {
    /// Both of them, as far as it has them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.addr4.map(IpAddr::V4).into_iter().chain(self.addr6.map(IpAddr::V6))
    }
}

/// A port of the host that leads to a port of a container; or a run of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Published {
    /// Which protocol's port.
    pub proto: Proto,
    /// The host's address; `0.0.0.0` or `::` for all of that family.
    pub host_ip: IpAddr,
    /// The port there; 0 if there is none, and the container is reached at its
    /// own address alone.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// How many ports from there on lead to as many; at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u16,
}

fn one() -> u16 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(count: &u16) -> bool {
    *count == 1
}

impl Published {
    /// The host's ports; `0..=0` if there are none.
    pub fn host_ports(&self) -> RangeInclusive<u16> {
        let more = if self.host_port == 0 { 0 } else { self.count - 1 };
        self.host_port..=self.host_port + more
    }

    /// The container's ports.
    pub fn container_ports(&self) -> RangeInclusive<u16> {
        self.container_port..=self.container_port + (self.count - 1)
    }

    /// Each by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..self.count).map(move |offset| self.part(offset, 1))
    }

    /// So many of them, after so many.
    #[must_use]
    pub(crate) fn part(self, offset: u16, count: u16) -> Self {
        let host_port = if self.host_port == 0 { 0 } else { self.host_port + offset };
        Self { host_port, container_port: self.container_port + offset, count, ..self }
    }
}

/// A port somebody would like published, or as many as `count` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortWish {
    /// Which protocol's port.
    pub proto: Proto,
    /// The host's address; none for all addresses of both families.
    pub host_ip: Option<IpAddr>,
    /// Any of these; `0..=0` for any free port. Of several, one each in turn.
    pub host_ports: RangeInclusive<u16>,
    /// The port in the container, the first of several.
    pub container_port: u16,
    /// How many; at least 1, and as many as `host_ports` if more.
    pub count: u16,
}

impl PortWish {
    /// Each by itself.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        (0..self.count).map(|offset| {
            let host_ports = match self.count {
                1 => self.host_ports.clone(),
                _ => self.host_ports.start() + offset..=self.host_ports.start() + offset,
            };
            let container_port = self.container_port + offset;
            Self { host_ports, container_port, count: 1, ..self.clone() }
        })
    }

    /// Those beside one another as one, as far as each has one port that will
    /// do.
    pub fn joined(wishes: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for wish in wishes {
            match joined.last_mut() {
                Some(last) if last.goes_on(&wish) => {
                    last.host_ports = *last.host_ports.start()..=*wish.host_ports.end();
                    last.count += wish.count;
                }
                _ => joined.push(wish),
            }
        }
        joined
    }

    fn goes_on(&self, next: &Self) -> bool {
        let exact = |wish: &Self| {
            *wish.host_ports.start() > 0 && wish.host_ports.len() == usize::from(wish.count)
        };
        (self.proto, self.host_ip) == (next.proto, next.host_ip)
            && exact(self)
            && exact(next)
            && self.container_port.checked_add(self.count) == Some(next.container_port)
            && self.host_ports.end().checked_add(1) == Some(*next.host_ports.start())
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// May a single interface bear it? (Not a group address, not all zero.)
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// The link-local address that the kernel derives from it.
    ///
    /// Source: RFC 4291, appendix A (modified EUI-64).
    pub fn link_local(self) -> Ipv6Addr {
        let mut bytes = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        bytes[8..11].copy_from_slice(&self.0[..3]);
        bytes[13..].copy_from_slice(&self.0[3..]);
        bytes[8] ^= 2;
        bytes.into()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        out.write_str(&pairs.join(":"))
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

/// The text is not an Ethernet address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid MAC address {0:?}")]
pub struct NotAMac(String);

impl FromStr for Mac {
    type Err = NotAMac;

    /// Six pairs of hexadecimal digits, with colons or dashes between them.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let refuse = || NotAMac(text.to_owned());
        let separator =
            text.chars().nth(2).filter(|c| matches!(c, ':' | '-')).ok_or_else(refuse)?;
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(refuse)?;
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(refuse());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() { Err(refuse()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_reads_back_in_either_spelling() {
        let mac = Mac([2, 0x42, 0xac, 0x11, 0, 0x0a]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!("02-42-AC-11-00-0A".parse(), Ok(mac));
    }

    #[test]
    fn what_is_no_mac_address_is_refused() {
        for text in
            ["", "02", "02:42:ac:11:00", "02:42:ac:11:00:0a:0b", "+2:42:ac:11:00:0a", "0é:00"]
        {
            assert!(text.parse::<Mac>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_link_local_address_is_the_kernels() {
        let mac = Mac([2, 0x42, 0xac, 0x11, 0, 0x0a]);
        assert_eq!(mac.link_local().to_string(), "fe80::42:acff:fe11:a");
    }
}

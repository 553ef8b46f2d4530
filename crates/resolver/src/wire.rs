//! What the daemon and the resolver say to one another: JSON in packets of a
//! unix socket, with descriptors beside it.
//!
//! A resolver may be older than the daemon that finds it, so the [`Greeting`]
//! bears a version; one of another version is replaced.

use serde::{Deserialize, Serialize};
use spec::Id;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of these messages.
pub const VERSION: u32 = 3;

/// Longest message, in bytes.
pub const MAX_PACKET: usize = 1 << 20;

/// Sockets to ask each server with: two for UDP, which take turns so that
/// one of them can get a new port, and one for TCP.
pub const LANE: usize = 3;

/// Servers that are asked, one after the other. Source: `MAXNS` in
/// `resolv.conf(5)`.
pub const MAX_SERVERS: usize = 3;

/// Most containers in one [`FromResolver::Holds`].
pub(crate) const HOLDS: usize = 256;

/// One container's place on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The network's identifier: within it names are looked up.
    pub network: String,
    /// For `NAME.NETWORK`.
    pub network_name: String,
    /// The container's own.
    pub addr4: Option<Ipv4Addr>,
    /// The container's own.
    pub addr6: Option<Ipv6Addr>,
    /// What others on the network call it; the first is what its addresses
    /// resolve to.
    pub names: Vec<String>,
    /// What it calls others: its word, and their name.
    pub links: Vec<(String, String)>,
}

/// A server that is asked about what is not known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// At port 53.
    pub address: IpAddr,
    /// Asked from the host's network, not from the container's.
    pub of_host: bool,
}

/// How names that are not known here are asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// In this order, at most [`MAX_SERVERS`]; without any, nobody.
    pub servers: Vec<Server>,
    /// The user insists on search domains (`ndots` above 0): names without a
    /// dot are not asked about.
    pub ndots: bool,
}

/// All there is to know of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Whose.
    pub container: Id,
    /// In the order in which they are searched.
    pub places: Vec<Place>,
    /// Whom to ask.
    pub upstream: Upstream,
    /// What its policies say of names; see [`Fence`].
    pub fences: Vec<Fence>,
    /// Ports at which others may find it serving.
    pub services: Vec<Service>,
}

/// Ports that a container exposes or publishes: a run of them without names,
/// or one that has some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its own, not the host's.
    pub first: u16,
    /// At least `first`.
    pub last: u16,
    /// Lower case: `tcp`, `udp`, `sctp`.
    pub proto: String,
    /// What `first` is called beside its number; lower case.
    pub names: Vec<String>,
}

impl Service {
    /// The port that a word means, if it is one of these.
    #[must_use]
    pub fn port(&self, word: &str) -> Option<u16> {
        if self.names.iter().any(|name| name == word) {
            return Some(self.first);
        }
        let digits = word.bytes().all(|b| b.is_ascii_digit());
        let port = word.parse().ok().filter(|_| digits)?;
        (self.first..=self.last).contains(&port).then_some(port)
    }
}

/// A policy of what may go out, as far as it speaks of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Only its names are asked about.
    pub limits: bool,
    /// Of the container, if it is its own policy.
    pub addresses: Vec<IpAddr>,
    /// Of the network, if it is a network's.
    pub bridge: Option<String>,
    /// What its names lead to may be reached.
    pub names: Vec<Named>,
}

/// A name that a policy allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Lower case, without a final dot; `*.` before it for all below it.
    pub name: String,
    /// At this port; none for everything.
    pub port: Option<u16>,
}

/// Whose policy an address is to be entered for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The container's that has this address.
    Address(IpAddr),
    /// The network's with this bridge.
    Bridge(String),
}

/// An address that a name leads to, as the scribe is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// For whom.
    pub who: Who,
    /// What may be reached.
    pub address: IpAddr,
    /// At this port; none for everything.
    pub port: Option<u16>,
    /// The policy's own spelling.
    pub name: String,
    /// For so long.
    pub seconds: u32,
}

/// What a resolver already has of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose.
    pub container: Id,
    /// Sockets for these are held.
    pub upstream: Upstream,
}

/// From the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToResolver {
    /// A container, new or changed.
    Seat {
        /// The container.
        seat: Seat,
        /// Beside it come, first: a pidfd of its init, and its UDP and its
        /// listening TCP socket.
        door: bool,
        /// Beside it come, then: [`LANE`] sockets for each server.
        lanes: bool,
    },
    /// Beside it comes the socket of a scribe, instead of any before.
    Scribe,
    /// A container is to be forgotten.
    Leave(Id),
    /// Say [`FromResolver::Settled`] when nothing is under way any more that
    /// was begun before this.
    Settle,
    /// End at once.
    End,
}

/// To the daemon that has just connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromResolver {
    /// First.
    Greeting {
        /// [`VERSION`].
        version: u32,
        /// It has a scribe.
        scribe: bool,
    },
    /// Some of the containers that it serves.
    Holds(Vec<Held>),
    /// That was all.
    Ready,
    /// Nothing is under way that was begun before it was asked.
    Settled,
}

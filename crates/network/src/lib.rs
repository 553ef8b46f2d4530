//! Networks that a container cannot turn against its neighbours.
//!
//! A [`Realm`] is everything that one daemon owns in the host's network
//! namespace: two nftables tables that bear its name, and its bridges. A
//! [`Bridge`] is one network: a Linux bridge with a gateway address, into
//! which [`Bridge::plug`] puts one end of a fresh veth pair while the other is
//! born inside a container's network namespace, addressed and up.
//!
//! Or a network is routed: then a container has a line to the host and nothing
//! else, the host routes its addresses there, and there is no bridge to be a
//! port of. What follows holds for both.
//!
//! What a container may say on its port is decided in the kernel by data: its
//! one MAC address and its addresses are elements of sets, and the rules that
//! look them up never change. So the cost of a frame does not depend on how
//! many containers there are, and plugging one is a single transaction.
//!
//! Everything is done by netlink from the calling thread, blocking; no helper
//! program runs. Nothing here needs the daemon to live: pairs die with the
//! container's network namespace, published ports are the kernel's, and what
//! bears the name of a container that no record knows is [swept](Bridge::sweep).
//!
//! Which address, subnet and MAC is next is said by [`addresses`], which is
//! pure: the engine keeps what was given in its records.

pub mod addresses;
mod beside;
mod book;
mod bridge;
mod conntrack;
mod door;
pub mod egress;
mod error;
mod fences;
mod forwarding;
mod inside;
mod learner;
mod line;
mod lookout;
mod netlink;
mod nft;
pub mod pool;
mod ports;
mod realm;
mod rules;
pub mod runs;
mod wish;

pub use bridge::{Bridge, Known};
pub use door::{RESOLVER, asking_sockets, resolver_sockets};
pub use egress::Egress;
pub use error::{Error, Kind};
pub use inside::{is_namespace, loopback_up};
pub use learner::{Learner, Learnt, Who};
pub use lookout::Lookout;
pub use pool::Pool;
pub use realm::Realm;
pub use spec::ports::Proto;
pub use wish::{
    Beside, BesideKind, BridgeConfig, Driver, Endpoint, GatewayMode, IpvlanFlag, Mac, MacvlanMode,
    PortWish, Published,
};

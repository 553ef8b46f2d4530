//! Names for containers: the DNS server at 127.0.0.11.
//!
//! One process for each engine serves all containers on user-made networks.
//! It is the daemon's program, executed again as `cofferdamd resolver` with
//! the [first container](Resolver) that needs it, and outlives the daemon:
//! names resolve while there is none, and the next one finds it again by the
//! socket that it listens on. It ends when it has no container left.
//!
//! ```text
//!   daemon                                     resolver (no rights at all)
//!     | enters a container's network namespace,
//!     | binds sockets there, opens some to ask with
//!     |── Seat (names, servers) + sockets + pidfd ──> | answers there
//!     |── Seat (names changed) ─────────────────────> |
//!     |── Leave ────────────────────────────────────> | closes them
//!     x  dies                                         | goes on
//!     |                            a container ends   | (pidfd) closes them
//!     the next daemon connects
//!     | <────────────────────── Greeting, Holds … ─── |
//! ```
//!
//! The parser of hostile packets never holds a right: it has its own user, no
//! capability, no file, and may make no socket. What it can reach are the
//! sockets that it was given. It answers from the [`Table`](table) for
//! networks that the asking container is on; anything else it asks of the
//! container's own servers, from the container's own network namespace (as
//! Docker does: so the container's routes and the filters on its way hold for
//! its questions too), or from the host's for servers on the host's loopback;
//! and if all its networks are internal, nobody.
//!
//! Where a [policy](wire::Fence) says what may go out, only names that it
//! allows are asked about, from the host's network, where no container can
//! forge answers; and what they lead to is entered in the kernel's sets before
//! the container hears of it. That takes a right, which this process has not:
//! the daemon gives it the socket of a [scribe](learn), which has that right
//! and no other.

mod answer;
mod cache;
mod client;
mod confine;
mod dice;
mod error;
mod fence;
pub mod learn;
mod packet;
mod server;
mod table;
pub mod wire;

pub use self::confine::{RIGHTS, confine_scribe};
pub use client::{Resolver, State, Wanted};
pub use error::Error;
pub use server::main;

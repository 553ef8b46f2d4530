//! What a Dockerfile asks for: which stages, with what configuration; and
//! the files that `COPY` and `ADD` move.
//!
//! Nothing here starts a program or knows an image store: the engine's
//! builder does, and keeps to what is decided here.

mod chmod;
pub mod config;
mod copy;
mod error;
mod key;
mod name;
mod plan;
mod scope;
mod sum;
mod tree;
mod wildcard;

pub use chmod::Chmod;
pub use copy::{Manner, Target};
pub use error::Error;
pub use key::{hex, key};
pub use plan::{Base, Planned, plan, stage_named};
pub use scope::{Globals, Scope, unused};
pub use sum::Counts;
pub use tree::{Found, Known, Tree, clean, climbs};
pub use wildcard::{BadPattern, Wildcard};

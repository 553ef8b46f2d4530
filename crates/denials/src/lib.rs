//! What the kernel denied to a container, which layer of its confinement it
//! was, and the smallest option that would allow it.
//!
//! ```text
//!   Watching   two programs in the kernel, for a while: each call of the
//!              container's that ends in a refusal, as it was       ─▶ Denied
//!   look       what is at the path it named, while it runs         ─▶ Seen
//!   Judge      the container's own recorded confinement, asked the
//!              same question as the kernel was                     ─▶ Verdict
//!   records    what the kernel wrote down by itself                ─▶ Record
//! ```
//!
//! Nothing is guessed: a filter of system calls is run on the call as it was,
//! a missing capability is one that the kernel said it asked for, a device is
//! held against the container's list, a path against the mount that it is on.
//! What none of them explains is told as it is, without an option.
//!
//! Why not the kernel's audit alone: it writes nothing of capabilities, mounts
//! and devices, of filters only what is logged at a cost to every container,
//! and `kernel.seccomp.actions_logged` is the machine's to set. Why no
//! `ptrace` and no listener of seccomp: both make each call of the program
//! wait for somebody.

mod allowing;
mod assemble;
mod denied;
mod judge;
mod program;
mod record;
mod remedy;
mod seen;
mod watching;

pub use allowing::allowing;
pub use denied::Denied;
pub use judge::{Judge, Layer, Unreadable, Verdict};
pub use program::Scope;
pub use record::{Owner, Record, records};
pub use seen::{Seen, look};
pub use watching::{Error, Watching};

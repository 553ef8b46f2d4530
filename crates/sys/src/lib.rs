//! Typed calls to the kernel that rustix lacks: the only unsafe code.
//!
//! One file per subject, each call with its manual page. Nothing here decides
//! anything: no path, no limit and no rule of confinement lives in this room.

pub mod bpf;
pub mod probe;
pub mod signal;

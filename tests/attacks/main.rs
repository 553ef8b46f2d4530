//! What tries to get out of a container, or of an engine's hands, and must
//! not: a module for each place that an attacker stands at.
//!
//! Each attack succeeds where its defence is taken away, and fails against
//! the default. `docs/ESCAPES.md` says which known escapes are tried where.

mod api;
mod builds;
mod bundles;
mod copies;
mod images;
mod kernel;
mod machine;
mod neighbours;
mod races;
mod streams;
mod wire;

/// The program of that name, which containers are given.
const LOOK: &str = env!("CARGO_BIN_EXE_look");

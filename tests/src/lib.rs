//! The harness of the promises: test hosts, engines and the two CLIs.
//!
//! A [`Host`] is a network and mount namespace of its own in which engines
//! run; nothing a test does reaches the machine's own network or mounts. An
//! [`Engine`] is a real daemon in it with scratch roots. A test speaks to it
//! as a user would, through either [CLI](Cli), and at the end the engine must
//! have left nothing: [`Engine::leaves_nothing`] compares with the start.
//!
//! Every wait has a bound, and only what was started here is ended.

pub mod ask;
pub mod attack;
pub mod contract;
pub mod cri;
mod engine;
pub mod generate;
mod host;
mod image;
pub mod kitchen;
pub mod left;
pub mod listener;
pub mod others;
mod outside;
pub mod programs;
pub mod race;
mod registry;
pub mod systemd;
pub mod tar;
pub mod web;

pub use engine::{Cli, Engine, Ran, finish};
pub use host::Host;
pub use image::busybox;
pub use outside::{Outside, SECRET};
pub use registry::{Registry, Wants};

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long anything may take before the test fails; longer where `cargo xtask
/// test --vm` builds for an emulated guest.
pub const PATIENCE: Duration =
    Duration::from_secs(if option_env!("COFFERDAM_EMULATED").is_some() { 300 } else { 30 });

/// Where `cargo xtask test` has built the programs.
///
/// # Panics
/// If it has not.
pub fn binary(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("COFFERDAM_BINARIES").map_or_else(beside_this_test, PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo xtask test`", path.display());
    path
}

/// `target/TRIPLE/PROFILE`, two steps up from `deps/TEST`.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("target/…/deps/test").to_owned()
}

/// The Docker CLI.
pub fn docker() -> PathBuf {
    std::env::var_os("COFFERDAM_DOCKER").map_or_else(|| PathBuf::from("docker"), PathBuf::from)
}

/// Compose, as `cargo xtask test` found it.
///
/// # Panics
/// If it has not.
pub fn compose() -> PathBuf {
    let path = std::env::var_os("COFFERDAM_COMPOSE").expect("run `cargo xtask test`");
    PathBuf::from(path)
}

/// Waits until `ready` says so.
///
/// # Panics
/// After [`PATIENCE`], with `what` it was waited for.
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

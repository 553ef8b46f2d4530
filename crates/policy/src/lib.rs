//! Decides the whole confinement of a container from the request, the image
//! and the host.
//!
//! A [`Wish`] and a [`Host`] go in, a [`spec::Sandbox`] or a [`Refusal`] comes
//! out. Pure: no file, clock or environment is read, so equal inputs give
//! equal sandboxes and every rule is tested without a kernel. Nothing lives
//! here: the engine asks for a trial at `create`, so that refusals come early,
//! and again at `start`, with that day's facts.
//!
//! The road of a request:
//!
//! 1. [`merge()`] folds the image's configuration into the request's.
//! 2. [`mounts::points`] lists what is to be mounted; the engine makes or
//!    finds the volumes among them and fills in their paths.
//! 3. [`devices::wanted`] lists the device files that the engine must look up.
//! 4. [`user::resolve`] reads the image's `passwd` and `group`.
//! 5. [`sandbox`] decides.

pub mod devices;
mod merge;
pub mod mounts;
mod refusal;
pub mod user;
mod wish;

pub use merge::merge;
pub use refusal::{Kind, Refusal};
pub use wish::{Arch, Cgroups, ExecWish, Files, Host, Ids, Joined, Peer, RANGE, Wish};

use spec::{Sandbox, docker, oci};

/// Decides the whole confinement of one container.
///
/// # Errors
/// A [`Refusal`] where the request makes no sense or cannot be met on this
/// host. There is no weaker fallback.
pub fn sandbox(_wish: &Wish<'_>, _host: &Host) -> Result<Sandbox, Refusal> {
    todo!()
}

/// The process of `docker exec` in a container confined by `sandbox`.
///
/// # Errors
/// A [`Refusal`] for words that make no sense.
pub fn exec_process(_sandbox: &Sandbox, _wish: &ExecWish<'_>) -> Result<oci::Process, Refusal> {
    todo!()
}

/// The limits that `docker update` changes: those not named stay absent.
/// `current` is what the container has now, against which they are judged.
///
/// # Errors
/// A [`Refusal`] for limits that make no sense, alone or beside the current.
pub fn update(
    _current: &docker::HostConfig,
    _changes: &docker::HostConfig,
    _host: &Host,
) -> Result<oci::Resources, Refusal> {
    todo!()
}

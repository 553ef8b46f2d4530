//! Mounts.

use crate::Refusal;
use spec::docker::{Config, HostConfig};
use std::collections::BTreeMap;

/// One place in the container where something is mounted, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Where; absolute and clean.
    pub destination: String,
    /// What.
    pub source: Source,
    /// Host path: of a bind mount from the start, of a volume (or the
    /// sub-path in it) filled in by the engine, of a `tmpfs` empty.
    pub path: String,
    /// No writing.
    pub read_only: bool,
    /// How mounts below a read-only bind mount are treated.
    pub below: Below,
    /// `rprivate`, `rslave`, …; empty for the default.
    pub propagation: String,
    /// `:z` and `:Z`.
    pub relabel: Relabel,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory or file of the host.
    Bind {
        /// Make a directory if nothing is there (`-v`, not `--mount`).
        create: bool,
    },
    /// A volume.
    Volume(Volume),
    /// Memory.
    Tmpfs {
        /// Of mount(8), such as `size=64m`.
        options: Vec<String>,
    },
}

/// A volume as asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Empty for one without a name, made for this container.
    pub name: String,
    /// Empty for `local`.
    pub driver: String,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
    /// Should it be made.
    pub labels: BTreeMap<String, String>,
    /// Do not fill a new one with what the image has there.
    pub no_copy: bool,
    /// Mount this directory of it only.
    pub subpath: String,
}

/// What happens to mounts below a bind mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// They come along; read-only with it where the kernel can.
    #[default]
    Along,
    /// They stay out (`bind-nonrecursive`).
    Out,
    /// They come along and stay writable.
    Writable,
    /// They come along, read-only or not at all.
    ReadOnly,
}

/// What happens to the SELinux labels of a bind mount's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relabel {
    /// Nothing.
    #[default]
    Keep,
    /// Shared between containers (`:z`).
    Shared,
    /// This container's own (`:Z`).
    Private,
}

/// Lists what is to be mounted: `Binds`, `Mounts`, `Tmpfs` and `Volumes`, in
/// the order of their destinations' depth.
///
/// # Errors
/// A [`Refusal`] for words that make no sense and for two at one place.
pub fn points(_config: &Config, _host_config: &HostConfig) -> Result<Vec<Point>, Refusal> {
    todo!()
}

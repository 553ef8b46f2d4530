//! What is mounted in a container besides its root.
//!
//! A [`Point`] is a wish: read from the request by [`points`], completed by
//! the engine (which makes volumes and knows their paths), and turned into
//! OCI mounts beside the kernel's file systems by `spec`.

mod parse;
mod spec;

pub use parse::points;
pub use spec::memory;
pub(crate) use spec::{all, root_propagation};

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
    /// How mounts below a bind mount are treated.
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
    /// Of the driver: as asked for, or as it was made with if it is there.
    pub options: BTreeMap<String, String>,
    /// Should it be made.
    pub labels: BTreeMap<String, String>,
    /// Do not fill a new one with what the image has there.
    pub no_copy: bool,
    /// Mount this directory of it only.
    pub subpath: String,
}

impl Volume {
    /// The directory of the host that it is, if its options say so.
    pub(crate) fn bound(&self) -> Option<&str> {
        let words = self.options.get("o")?;
        let binds = words.split(',').any(|word| matches!(word, "bind" | "rbind"));
        self.options.get("device").filter(|_| binds).map(String::as_str)
    }
}

/// What happens to mounts below a bind mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// They come along; read-only with it.
    #[default]
    Along,
    /// They stay out (`bind-nonrecursive`).
    Out,
    /// They come along and stay writable.
    Writable,
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

/// How many directories lie above; a mount comes before those inside it.
fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// Whether `path` is `top` or lies below it.
pub(crate) fn within(path: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

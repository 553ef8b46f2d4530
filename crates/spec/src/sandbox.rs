//! Everything that will confine one container, decided by `policy` and
//! applied word for word by `runtime`.
//!
//! The vocabulary is that of the OCI runtime specification, so that what
//! `inspect` shows can be read by anyone who knows a `config.json`, and so
//! that a foreign `config.json` is a [`Sandbox`] by [`Sandbox::from_config`].
//! What the specification has no word for stands beside it.

use crate::oci;
use serde::{Deserialize, Serialize};

/// One container's whole confinement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The container's identifier; for a foreign bundle the caller's word.
    pub id: String,
    /// The OCI configuration. Bind mounts name host paths and carry
    /// `uidMappings` where they are to be id-mapped.
    pub config: oci::Config,
    /// Run the engine's own init as PID 1, which reaps and forwards signals.
    #[serde(default)]
    pub init: bool,
    /// Restrict the program with Landlock where the kernel has it.
    #[serde(default)]
    pub landlock: Option<Landlock>,
    /// The log that the monitor keeps.
    #[serde(default)]
    pub log: Log,
    /// Every way in which this is weaker than the default, in words.
    #[serde(default)]
    pub weakened: Vec<String>,
}

/// What Landlock adds to the mount namespace: paths that stay unreachable
/// for writing even to a process that got new mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock {
    /// Where anything may be done that the other layers allow.
    pub writable: Vec<String>,
    /// Where reading and executing alone is allowed.
    pub readable: Vec<String>,
    /// Abstract unix sockets and signals stay inside (ABI 6).
    pub scoped: bool,
}

/// Where the monitor writes what the program says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Log {
    /// Nowhere (`--log-driver none`, foreign bundles).
    #[default]
    None,
    /// Docker's `json-file`: one JSON object a line, rotated.
    JsonFile {
        /// The current file; older ones are `path.1`, `path.2`, …
        path: String,
        /// Rotate beyond this many bytes.
        max_bytes: u64,
        /// How many files to keep, the current one counted.
        max_files: u32,
    },
}

impl Sandbox {
    /// Takes a foreign bundle's configuration as it stands: the caller has
    /// decided, nothing is added.
    pub fn from_config(id: String, config: oci::Config) -> Self {
        Self { id, config, ..Self::default() }
    }
}

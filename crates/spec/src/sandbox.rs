//! Everything that will confine one container, decided by `policy` and
//! applied word for word by `runtime`.
//!
//! The vocabulary is that of the OCI runtime specification, so that what
//! `inspect` shows can be read by anyone who knows a `config.json`, and so
//! that a foreign `config.json` is a [`Sandbox`] by [`Sandbox::from_config`].
//! What the specification has no word for stands beside it.

use crate::{log::Log, oci};
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
    /// The log that the monitor keeps. Its word is another than `log`, which
    /// stood for something else, and still does for containers that run.
    #[serde(default, rename = "logs")]
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

impl Sandbox {
    /// Takes a foreign bundle's configuration as it stands: the caller has
    /// decided, nothing is added.
    pub fn from_config(id: String, config: oci::Config) -> Self {
        Self { id, config, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        for log in [r#""None""#, r#"{"JsonFile":{"path":"/x","max_bytes":1,"max_files":2}}"#] {
            let config = serde_json::to_string(&oci::Config::default()).expect("spells");
            let text = format!(r#"{{"id":"x","config":{config},"log":{log}}}"#);
            let sandbox: Sandbox = serde_json::from_str(&text).expect(log);
            assert_eq!(sandbox.log, Log::default());
        }
    }
}

//! What there is to say about the engine and its host.

use crate::{Engine, Options};

/// For `version` and `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct Facts {
    /// Of this engine, kept for life.
    pub id: String,
    /// Of the host.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// `x86_64`.
    pub machine: String,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// Processors.
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// `overlay2`: the name that clients know.
    pub storage_driver: String,
    /// `ext4`, … of the data root.
    pub backing_filesystem: String,
    /// Containers of all states.
    pub containers: u64,
    /// Of them running.
    pub running: u64,
    /// Of them paused.
    pub paused: u64,
    /// Of them neither.
    pub stopped: u64,
    /// How many images.
    pub images: u64,
    /// `name=seccomp,profile=builtin`, `name=userns`, …
    pub security_options: Vec<String>,
    /// What this host cannot do, for people.
    pub warnings: Vec<String>,
    /// Can limit memory.
    pub memory_limit: bool,
    /// Can limit swap.
    pub swap_limit: bool,
    /// Can limit processors.
    pub cpu_quota: bool,
    /// Can weigh processors.
    pub cpu_shares: bool,
    /// Can bind to processors.
    pub cpuset: bool,
    /// Can limit processes.
    pub pids_limit: bool,
    /// The host forwards IPv4.
    pub ipv4_forwarding: bool,
    /// Who listens to events.
    pub listeners: u64,
}

impl Engine {
    /// Opens the engine of a data root: reads the records, adopts what still
    /// runs, and sweeps what no record names. Returns as soon as reads can be
    /// answered; the rest goes on behind.
    ///
    /// # Errors
    /// The data root is another engine's, or the host lacks something.
    pub fn open(options: Options) -> Result<Self, crate::Error> {
        todo!()
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        todo!()
    }

    /// What there is to say, now.
    pub fn facts(&self) -> Facts {
        todo!()
    }
}

//! Devices.

use spec::docker::HostConfig;

/// A device file of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// As asked for, or found in a directory asked for; links followed, so
    /// that the numbers are those of the device behind.
    pub path: String,
    /// `c` or `b`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Which device files the engine must look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All below `/dev` (`--privileged`), but for `/dev/pts`, `/dev/shm`,
    /// `/dev/mqueue`, `/dev/fd` and `/dev/console`.
    All,
    /// These. Of a directory: all below. A missing one is left out, and
    /// [`crate::sandbox`] refuses in Docker's words.
    Paths(Vec<String>),
}

/// Lists the device files to look up before a decision.
pub fn wanted(_host_config: &HostConfig) -> Wanted {
    todo!()
}

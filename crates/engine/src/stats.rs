//! What a container uses.

use crate::{Engine, Error, Nanos};
use std::collections::BTreeMap;

/// One sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// When it was taken.
    pub read: Nanos,
    /// Nanoseconds on a processor.
    pub cpu_total: u64,
    /// Of them in the kernel.
    pub cpu_kernel: u64,
    /// Of them in programs.
    pub cpu_user: u64,
    /// Nanoseconds per processor (cgroup v1 only).
    pub per_cpu: Vec<u64>,
    /// Nanoseconds of all processors of the host since its start.
    pub system_cpu: u64,
    /// Processors that are on.
    pub online_cpus: u32,
    /// Periods with a quota.
    pub periods: u64,
    /// Of them with the quota used up.
    pub throttled_periods: u64,
    /// Nanoseconds it was held back.
    pub throttled_time: u64,
    /// Bytes in use.
    pub memory_usage: u64,
    /// Most there ever was.
    pub memory_max_usage: u64,
    /// Bytes allowed: the host's memory if not limited.
    pub memory_limit: u64,
    /// How often the limit was hit.
    pub memory_failcnt: u64,
    /// `memory.stat` of the kernel.
    pub memory_stats: BTreeMap<String, u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Allowed; none if not limited.
    pub pids_limit: Option<u64>,
    /// `(major, minor, Read|Write|…, bytes)`.
    pub io_bytes: Vec<(u64, u64, String, u64)>,
    /// `(major, minor, Read|Write|…, operations)`.
    pub io_ops: Vec<(u64, u64, String, u64)>,
    /// By interface; empty if the network is not its own.
    pub networks: BTreeMap<String, Interface>,
}

/// Counters of a network interface, as the container sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Interface {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

impl Engine {
    /// Takes one sample; none if the container does not run.
    ///
    /// # Errors
    /// No such container; the kernel's files cannot be read.
    pub fn stats(&self, reference: &str) -> Result<Option<Stats>, Error> {
        todo!()
    }
}

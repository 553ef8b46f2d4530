//! What a container uses.

use crate::{Engine, Error, Nanos, error::Doing};
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
    /// How long it waited for what others have.
    pub pressure: cgroup::Pressure,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
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
        let container = self.container(reference)?;
        let Some(pid) = container.state.pid() else { return Ok(None) };
        let read =
            self.0.group(&container).and_then(|group| Ok((group.stats()?, group.pressure()?)));
        let (used, pressure) = match read {
            Ok(read) => read,
            // It has ended a moment ago.
            Err(error) if error.kind() == cgroup::Kind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let io = |entries: Vec<cgroup::IoEntry>| {
            entries.into_iter().map(|e| (e.major, e.minor, e.op, e.value)).collect()
        };
        let own_network = !matches!(container.host.network_mode.as_str(), "host")
            && !container.host.network_mode.starts_with("container:");
        let networks = if own_network {
            let path = format!("/proc/{pid}/net/dev");
            interfaces(&std::fs::read(&path).doing("read", &path)?)
        } else {
            BTreeMap::new()
        };
        let times = std::fs::read_to_string("/proc/stat").doing("read", "/proc/stat")?;
        let ram = used.memory.ram;
        Ok(Some(Stats {
            read: crate::clock::now(),
            cpu_total: used.cpu.total,
            cpu_kernel: used.cpu.system,
            cpu_user: used.cpu.user,
            per_cpu: used.cpu.per_cpu,
            system_cpu: system_cpu(&times),
            online_cpus: self.0.policy.cpus,
            periods: used.cpu.periods,
            throttled_periods: used.cpu.throttled_periods,
            throttled_time: used.cpu.throttled,
            memory_usage: ram.current,
            memory_max_usage: ram.max,
            memory_limit: ram.limit.map_or(self.0.policy.memory, |l| l.min(self.0.policy.memory)),
            memory_failcnt: ram.failures,
            memory_stats: used.memory.stat,
            pids: used.pids.current,
            pids_limit: used.pids.limit,
            io_bytes: io(used.io.bytes),
            io_ops: io(used.io.requests),
            pressure,
            oom_kills: used.memory.oom_kills,
            networks,
        }))
    }
}

/// Nanoseconds of a tick: `USER_HZ` is 100 on every architecture that we run on.
pub(crate) const TICK: u64 = 10_000_000;

/// Nanoseconds that all processors have spent, by the first line of
/// `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. Guest
/// time, which follows, is in user time already.
fn system_cpu(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(8).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>() * TICK
}

/// Reads `/proc/PID/net/dev`; the loopback is nobody's traffic. A container
/// that may name its interfaces may do so in bytes that are no text.
pub(crate) fn interfaces(dev: &[u8]) -> BTreeMap<String, Interface> {
    let dev = String::from_utf8_lossy(dev);
    let line = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let n: Vec<u64> = figures.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = n[..]
        else {
            return None;
        };
        let interface = Interface {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        Some((name.trim().to_owned(), interface))
    };
    dev.lines().filter_map(line).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_read_from_the_kernels_table() {
        let dev = "Inter-|   Receive                |  Transmit\n\
                   \x20face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                   \x20   lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                   \x20 eth0: 100 2 3 4 0 0 0 0 200 6 7 8 0 0 0 0\n";
        let all = interfaces(dev.as_bytes());
        assert_eq!(all.len(), 1, "{all:?}");
        let eth0 = all["eth0"];
        assert_eq!(
            (eth0.rx_bytes, eth0.rx_dropped, eth0.tx_bytes, eth0.tx_dropped),
            (100, 4, 200, 8)
        );
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_other_interface() {
        let dev = b"a\nb\n \xff\"\\: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
                    eth0: 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let all = interfaces(dev);
        assert_eq!((all.len(), all["eth0"].rx_bytes), (2, 7), "{all:?}");
    }

    #[test]
    fn guest_time_is_not_counted_twice() {
        assert_eq!(system_cpu("cpu  1 1 1 1 1 1 1 1 50 50\ncpu0 9\n"), 80_000_000);
    }
}

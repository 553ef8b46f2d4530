//! What somebody who scrapes wants to know: one sweep over all containers,
//! which starts nothing in them and waits for none of them.

use crate::{Container, Counts, Engine, Error, Facts, Interface, Nanos, error::Doing, stats};
use cgroup::Gauge;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long all monitors together may take to say what logs lack.
const PATIENCE: Duration = Duration::from_millis(500);

/// One container at one moment.
#[derive(Clone, Debug)]
pub struct Measured {
    /// It.
    pub container: Arc<Container>,
    /// What its group uses; none if it does not run.
    pub gauge: Option<Gauge>,
    /// The interfaces that the engine gave it, and the networks they are on.
    /// What it made itself is its own affair, under names of its choice.
    pub interfaces: Vec<(String, String, Interface)>,
    /// Lines that its log lacks; none if its monitor does not say.
    pub log_dropped: Option<u64>,
}

/// The daemon's own process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    /// Nanoseconds on processors.
    pub cpu: u64,
    /// Bytes that are in memory.
    pub resident: u64,
    /// Bytes that are mapped.
    pub mapped: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// How many it may open.
    pub most_descriptors: Option<u64>,
    /// When it was started.
    pub started: Nanos,
}

/// The engine as a whole.
#[derive(Clone, Debug)]
pub struct Whole {
    /// As of `info`.
    pub facts: Facts,
    /// What was counted.
    pub counts: Counts,
    /// Its process.
    pub daemon: Daemon,
    /// Bytes of all images' layers, each counted once.
    pub layers: u64,
    /// How many volumes.
    pub volumes: u64,
    /// How many networks.
    pub networks: u64,
}

impl Engine {
    /// Measures the containers that `wanted` wants, each once. Of one that
    /// ends meanwhile there are no figures.
    pub fn measure(&self, wanted: impl Fn(&Container) -> bool) -> Vec<Measured> {
        let deadline = Instant::now() + PATIENCE;
        let wanted = self.containers().into_iter().filter(|container| wanted(container));
        wanted.map(|container| self.measure_one(container, deadline)).collect()
    }

    fn measure_one(&self, container: Arc<Container>, deadline: Instant) -> Measured {
        let running = container.state.pid();
        let gauge = running.and_then(|_| {
            let read = self.0.group(&container).and_then(|group| group.gauge());
            read.inspect_err(|error| {
                if error.kind() != cgroup::Kind::NotFound {
                    tracing::warn!(id = %container.id, %error, "a container is not measured");
                }
            })
            .ok()
        });
        // It may have ended, and its number be a stranger's.
        let interfaces = match (running, &gauge) {
            (Some(pid), Some(_)) if !container.plugs.is_empty() => given(&container, pid),
            _ => Vec::new(),
        };
        let log_dropped = self.log_dropped_by(&container, deadline);
        Measured { container, gauge, interfaces, log_dropped }
    }

    /// Looks at the engine itself.
    ///
    /// # Errors
    /// The kernel's files or the records cannot be read.
    pub fn whole(&self) -> Result<Whole, Error> {
        Ok(Whole {
            facts: self.facts(),
            counts: self.0.meter.now(),
            daemon: daemon()?,
            layers: self.0.images.layers_size()?,
            volumes: self.volumes().len() as u64,
            networks: self.networks().len() as u64,
        })
    }
}

/// The counters of the interfaces that the engine has put into a container.
fn given(container: &Container, pid: i32) -> Vec<(String, String, Interface)> {
    let Ok(table) = std::fs::read(format!("/proc/{pid}/net/dev")) else { return Vec::new() };
    let all = stats::interfaces(&table);
    let plug = |(network, plug): (&String, &network::Endpoint)| {
        Some((plug.ifname.clone(), network.clone(), *all.get(&plug.ifname)?))
    };
    container.plugs.iter().filter_map(plug).collect()
}

/// Reads `/proc/self`, as every client library of Prometheus does.
fn daemon() -> Result<Daemon, Error> {
    let read = |path: &str| std::fs::read_to_string(path).doing("read", path);
    let stat = read("/proc/self/stat")?;
    let boot = read("/proc/stat")?;
    let limits = read("/proc/self/limits")?;
    let descriptors = std::fs::read_dir("/proc/self/fd").doing("list", "/proc/self/fd")?.count();
    let mut daemon = of_stat(&stat, &boot, rustix::param::page_size() as u64);
    // One of them is the list itself.
    daemon.descriptors = descriptors.saturating_sub(1) as u64;
    daemon.most_descriptors = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(daemon)
}

/// By `proc_pid_stat(5)`: fields 14, 15, 22, 23 and 24, counted from behind the
/// program's name, which may hold anything.
fn of_stat(stat: &str, boot: &str, page: u64) -> Daemon {
    let (_, behind) = stat.rsplit_once(')').unwrap_or_default();
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let field = |number: usize| -> u64 {
        fields.get(number - 3).and_then(|field| field.parse().ok()).unwrap_or(0)
    };
    let booted: u64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|seconds| seconds.trim().parse().ok())
        .unwrap_or(0);
    Daemon {
        cpu: (field(14) + field(15)) * stats::TICK,
        started: booted * 1_000_000_000 + field(22) * stats::TICK,
        mapped: field(23),
        resident: field(24) * page,
        ..Daemon::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 4 0 300 4096 2 \
                    18446744073709551615 1 1";
        let daemon = of_stat(stat, "cpu 1\nbtime 1000\n", 4096);
        assert_eq!(daemon.cpu, 2_000_000_000);
        assert_eq!(daemon.started, 1_003_000_000_000);
        assert_eq!((daemon.mapped, daemon.resident), (4096, 8192));
    }
}

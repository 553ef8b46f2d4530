//! What a group has used: one set of figures for both versions.
//!
//! A figure that this machine does not keep is zero, or its list empty; a
//! limit that is not set is none.

use crate::{Cgroup, Error, dir::Dir};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything at one moment (the files are read one after another).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Of the processors.
    pub cpu: CpuStats,
    /// Of memory.
    pub memory: MemoryStats,
    /// How many processes and threads.
    pub pids: Usage,
    /// Of block devices.
    pub io: IoStats,
    /// Of huge pages, by page size (`2MB`), in bytes.
    pub hugetlb: BTreeMap<String, Usage>,
}

/// Times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// User and kernel together.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// The total of each processor; version 1 alone.
    pub per_cpu: Vec<u64>,
    /// In user mode on each processor; version 1 alone.
    pub per_cpu_user: Vec<u64>,
    /// In the kernel on each processor; version 1 alone.
    pub per_cpu_system: Vec<u64>,
    /// Periods with a quota that began.
    pub periods: u64,
    /// Of those, in how many it ran out.
    pub throttled_periods: u64,
    /// For how long.
    pub throttled: u64,
}

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Memory, page cache included.
    pub ram: Usage,
    /// Version 1: memory and swap together; version 2: swap alone.
    pub swap: Usage,
    /// The kernel's own, on behalf of the group.
    pub kernel: Usage,
    /// Of that, for TCP; version 1 alone.
    pub kernel_tcp: Usage,
    /// Page cache.
    pub cache: u64,
    /// Every counter of `memory.stat`.
    pub stat: BTreeMap<String, u64>,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
    /// Version 2 counts swap apart from memory.
    pub unified: bool,
}

/// Something with a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Now.
    pub current: u64,
    /// The most there ever was.
    pub max: u64,
    /// How often the limit was hit.
    pub failures: u64,
    /// The limit.
    pub limit: Option<u64>,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoStats {
    /// Bytes.
    pub bytes: Vec<IoEntry>,
    /// Requests.
    pub requests: Vec<IoEntry>,
}

/// One direction of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoEntry {
    /// The device.
    pub major: u64,
    /// The device.
    pub minor: u64,
    /// `Read`, `Write`, and on version 1 also `Sync`, `Async`, `Discard` and
    /// `Total`.
    pub op: String,
    /// How much.
    pub value: u64,
}

impl Cgroup {
    /// Reads all figures.
    ///
    /// # Errors
    /// If the group is gone or cannot be read.
    pub fn stats(&self) -> Result<Stats, Error> {
        let unified = self.unified();
        let mut stats = Stats::default();
        match (self.legacy("cpuacct"), unified) {
            (Some(dir), _) => cpu_times_legacy(dir, &mut stats.cpu)?,
            (None, Some(dir)) => cpu_times(dir, &mut stats.cpu)?,
            (None, None) => {}
        }
        if let Some(dir) = self.legacy("cpu").or(unified) {
            throttling(dir, &mut stats.cpu)?;
        }
        match (self.legacy("memory"), unified) {
            (Some(dir), _) => stats.memory = memory_legacy(dir)?,
            (None, Some(dir)) => stats.memory = memory(dir)?,
            (None, None) => {}
        }
        if let Some(dir) = self.legacy("pids").or(unified) {
            stats.pids = Usage {
                current: number(dir, "pids.current")?.unwrap_or(0),
                max: number(dir, "pids.peak")?.unwrap_or(0),
                failures: counter(dir, "pids.events", "max")?,
                limit: number(dir, "pids.max")?,
            };
        }
        match (self.legacy("blkio"), unified) {
            (Some(dir), _) => stats.io = io_legacy(dir)?,
            (None, Some(dir)) => stats.io = io(&text(dir, "io.stat")?),
            (None, None) => {}
        }
        match (self.legacy("hugetlb"), unified) {
            (Some(dir), _) => stats.hugetlb = hugetlb(dir, true)?,
            (None, Some(dir)) => stats.hugetlb = hugetlb(dir, false)?,
            (None, None) => {}
        }
        Ok(stats)
    }
}

/// The value of `key` in a file of `key value` lines.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    fields(text).find(|(k, _)| *k == key).map(|(_, value)| value)
}

fn fields(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.trim().parse().ok()?))
    })
}

pub(crate) fn text(dir: &Dir, file: &str) -> Result<String, Error> {
    Ok(dir.read_if_there(file)?.unwrap_or_default())
}

pub(crate) fn number(dir: &Dir, file: &str) -> Result<Option<u64>, Error> {
    Ok(text(dir, file)?.trim().parse().ok())
}

pub(crate) fn counter(dir: &Dir, file: &str, key: &str) -> Result<u64, Error> {
    Ok(field(&text(dir, file)?, key).unwrap_or(0))
}

fn cpu_times_legacy(dir: &Dir, cpu: &mut CpuStats) -> Result<(), Error> {
    cpu.total = number(dir, "cpuacct.usage")?.unwrap_or(0);
    // One table for what older kernels spread over four files; its last
    // columns are the ones that matter.
    let table = text(dir, "cpuacct.usage_all")?;
    for line in table.lines().skip(1) {
        let mut columns = line.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0));
        let (user, system) = (columns.next().unwrap_or(0), columns.next().unwrap_or(0));
        cpu.per_cpu_user.push(user);
        cpu.per_cpu_system.push(system);
    }
    let each = text(dir, "cpuacct.usage_percpu")?;
    cpu.per_cpu = each.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
    (cpu.user, cpu.system) = modes_legacy(dir)?;
    Ok(())
}

/// Nanoseconds in user mode and in the kernel. The table above counts whole
/// ticks by whoever was there at their end; this file divides the true total.
pub(crate) fn modes_legacy(dir: &Dir) -> Result<(u64, u64), Error> {
    /// `USER_HZ` is 100 on every architecture that we run on.
    const TICK: u64 = 10_000_000;
    let text = text(dir, "cpuacct.stat")?;
    let of = |key| field(&text, key).unwrap_or(0) * TICK;
    Ok((of("user"), of("system")))
}

fn cpu_times(dir: &Dir, cpu: &mut CpuStats) -> Result<(), Error> {
    let text = text(dir, "cpu.stat")?;
    let nanoseconds = |key| field(&text, key).unwrap_or(0) * 1000;
    cpu.total = nanoseconds("usage_usec");
    cpu.user = nanoseconds("user_usec");
    cpu.system = nanoseconds("system_usec");
    Ok(())
}

pub(crate) fn throttling(dir: &Dir, cpu: &mut CpuStats) -> Result<(), Error> {
    throttling_of(&text(dir, "cpu.stat")?, cpu);
    Ok(())
}

/// The same, from what `cpu.stat` says.
pub(crate) fn throttling_of(text: &str, cpu: &mut CpuStats) {
    cpu.periods = field(text, "nr_periods").unwrap_or(0);
    cpu.throttled_periods = field(text, "nr_throttled").unwrap_or(0);
    cpu.throttled = match field(text, "throttled_time") {
        Some(nanoseconds) => nanoseconds,
        None => field(text, "throttled_usec").unwrap_or(0) * 1000,
    };
}

/// What the kernel says where version 1 has no limit is the largest number of
/// bytes that is whole pages. Anything near it is none.
pub(crate) fn limited(limit: Option<u64>) -> Option<u64> {
    limit.filter(|&limit| limit < 1 << 62)
}

fn memory_legacy(dir: &Dir) -> Result<MemoryStats, Error> {
    let usage = |name: &str| -> Result<Usage, Error> {
        let file = |what: &str| format!("memory.{name}{what}");
        Ok(Usage {
            current: number(dir, &file("usage_in_bytes"))?.unwrap_or(0),
            max: number(dir, &file("max_usage_in_bytes"))?.unwrap_or(0),
            failures: number(dir, &file("failcnt"))?.unwrap_or(0),
            limit: limited(number(dir, &file("limit_in_bytes"))?),
        })
    };
    let stat: BTreeMap<String, u64> =
        fields(&text(dir, "memory.stat")?).map(|(k, v)| (k.to_owned(), v)).collect();
    Ok(MemoryStats {
        ram: usage("")?,
        swap: usage("memsw.")?,
        kernel: usage("kmem.")?,
        kernel_tcp: usage("kmem.tcp.")?,
        cache: stat.get("cache").copied().unwrap_or(0),
        stat,
        oom_kills: counter(dir, "memory.oom_control", "oom_kill")?,
        unified: false,
    })
}

fn memory(dir: &Dir) -> Result<MemoryStats, Error> {
    let stat: BTreeMap<String, u64> =
        fields(&text(dir, "memory.stat")?).map(|(k, v)| (k.to_owned(), v)).collect();
    let events = text(dir, "memory.events")?;
    let get = |key: &str| stat.get(key).copied().unwrap_or(0);
    Ok(MemoryStats {
        ram: Usage {
            current: number(dir, "memory.current")?.unwrap_or(0),
            max: number(dir, "memory.peak")?.unwrap_or(0),
            failures: field(&events, "max").unwrap_or(0),
            limit: number(dir, "memory.max")?,
        },
        swap: Usage {
            current: number(dir, "memory.swap.current")?.unwrap_or(0),
            max: number(dir, "memory.swap.peak")?.unwrap_or(0),
            failures: counter(dir, "memory.swap.events", "max")?,
            limit: number(dir, "memory.swap.max")?,
        },
        kernel: Usage { current: get("kernel"), ..Usage::default() },
        kernel_tcp: Usage::default(),
        cache: get("file"),
        oom_kills: field(&events, "oom_kill").unwrap_or(0),
        stat,
        unified: true,
    })
}

pub(crate) fn io_legacy(dir: &Dir) -> Result<IoStats, Error> {
    let first = |files: [&str; 3]| -> Result<Vec<IoEntry>, Error> {
        for file in files {
            let entries = entries_legacy(&text(dir, file)?);
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    };
    // Which of them counts depends on the device's scheduler.
    Ok(IoStats {
        bytes: first([
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes",
        ])?,
        requests: first([
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
        ])?,
    })
}

/// Lines of `8:0 Read 123`; the last, `Total 123`, is of no device.
fn entries_legacy(text: &str) -> Vec<IoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let op = words.next()?.to_owned();
        Some(IoEntry { major, minor, op, value: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
pub(crate) fn io(text: &str) -> IoStats {
    let mut stats = IoStats::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.bytes, "Read"),
                "wbytes" => (&mut stats.bytes, "Write"),
                "dbytes" => (&mut stats.bytes, "Discard"),
                "rios" => (&mut stats.requests, "Read"),
                "wios" => (&mut stats.requests, "Write"),
                "dios" => (&mut stats.requests, "Discard"),
                _ => continue,
            };
            let value = value.parse().unwrap_or(0);
            list.push(IoEntry { major, minor, op: op.into(), value });
        }
    }
    stats
}

fn device(word: &str) -> Option<(u64, u64)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn hugetlb(dir: &Dir, legacy: bool) -> Result<BTreeMap<String, Usage>, Error> {
    let [current, max, limit] = if legacy {
        ["usage_in_bytes", "max_usage_in_bytes", "limit_in_bytes"]
    } else {
        ["current", "peak", "max"]
    };
    let mut all = BTreeMap::new();
    for size in dir.page_sizes(current)? {
        let file = |what: &str| format!("hugetlb.{size}.{what}");
        let failures = if legacy {
            number(dir, &file("failcnt"))?.unwrap_or(0)
        } else {
            counter(dir, &file("events"), "max")?
        };
        let usage = Usage {
            current: number(dir, &file(current))?.unwrap_or(0),
            max: number(dir, &file(max))?.unwrap_or(0),
            failures,
            limit: number(dir, &file(limit))?,
        };
        all.insert(size, usage);
    }
    Ok(all)
}

impl Dir {
    /// The sizes of huge pages that this kernel has, from its file names.
    fn page_sizes(&self, current: &str) -> Result<Vec<String>, Error> {
        let size = |name: &str| {
            let (size, what) = name.strip_prefix("hugetlb.")?.split_once('.')?;
            (what == current).then(|| size.to_owned())
        };
        Ok(self.files()?.iter().filter_map(|name| size(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_version_2_has_two_directions() {
        let stats = io("8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:0\n");
        assert_eq!(stats.bytes[1], IoEntry { major: 8, minor: 16, op: "Write".into(), value: 20 });
        assert_eq!(stats.requests[0].value, 1);
    }

    #[test]
    fn the_total_line_of_version_1_is_of_no_device() {
        let entries = entries_legacy("254:0 Read 4096\n254:0 Total 4096\nTotal 4096\n");
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].major, entries[0].value), (254, 4096));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(field("oom 1\noom_kill 2\n", "oom_kill"), Some(2));
        assert_eq!(field("oom_kill_disable 1\n", "oom_kill"), None);
    }
}

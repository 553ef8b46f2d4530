//! Version 1 files. Their units are those of the OCI specification.

#![expect(clippy::unnecessary_wraps, reason = "one signature for every controller")]

use super::Write;
use crate::Error;
use spec::oci::{BlockIo, Resources, ThrottleDevice};
use std::fmt::Write as _;

/// Smallest and largest value that the kernel keeps as it was written.
///
/// Source: `MIN_SHARES` and `MAX_SHARES` in `kernel/sched/sched.h`.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(super) fn bad(limit: &str, why: impl Into<String>) -> Error {
    Error::BadLimit { limit: limit.into(), why: why.into() }
}

pub(super) fn memory(wish: &Resources) -> Result<Vec<Write>, Error> {
    const LIMIT: &str = "memory.limit_in_bytes";
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let Some(memory) = &wish.memory else { return Ok(Vec::new()) };
    let mut writes = Vec::new();
    // Zero is "not set" for callers written in Go.
    let limit = memory.limit.filter(|&limit| limit != 0);
    let swap = memory.swap.filter(|&swap| swap != 0);
    match (limit, swap) {
        // The sum may not be smaller than the memory: lift it first.
        (Some(-1), None) => writes.push(Write::new(SWAP, -1).if_there()),
        (Some(limit), Some(swap)) if swap > 0 && (limit < 0 || swap < limit) => {
            return Err(bad(SWAP, "memory and swap together are less than memory alone"));
        }
        _ => {}
    }
    // Above the sum that is set now the memory is invalid until the sum is.
    writes.extend(limit.map(|limit| Write::new(LIMIT, limit).late()));
    writes.extend(swap.map(|swap| Write::new(SWAP, swap)));
    let soft = memory.reservation.filter(|&soft| soft != 0);
    writes.extend(soft.map(|soft| Write::new("memory.soft_limit_in_bytes", soft)));
    let tcp = memory.kernel_tcp.filter(|&tcp| tcp != 0);
    writes.extend(tcp.map(|tcp| Write::new("memory.kmem.tcp.limit_in_bytes", tcp)));
    if memory.disable_oom_killer == Some(true) {
        writes.push(Write::new("memory.oom_control", 1));
    }
    match memory.swappiness {
        Some(percent @ 0..=100) => writes.push(Write::new("memory.swappiness", percent)),
        Some(other) => return Err(bad("memory.swappiness", format!("{other} is not 0 to 100"))),
        None => {}
    }
    Ok(writes)
}

pub(super) fn cpu(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(cpu) = &wish.cpu else { return Ok(Vec::new()) };
    let mut writes = Vec::new();
    writes.extend(cpu.idle.map(|idle| Write::new("cpu.idle", idle)));
    if let Some(shares) = cpu.shares.filter(|&shares| shares != 0) {
        if shares < *SHARES.start() {
            return Err(bad("cpu.shares", "the minimum allowed cpu-shares is 2"));
        }
        if shares > *SHARES.end() {
            return Err(bad("cpu.shares", "the maximum allowed cpu-shares is 262144"));
        }
        // The kernel refuses a share for a group that gets only what nobody
        // else wants; if it is to have one again, that is set just before.
        if cpu.idle != Some(1) {
            writes.push(Write::new("cpu.shares", shares));
        }
    }
    let period = cpu.realtime_period.filter(|&period| period != 0);
    writes.extend(period.map(|period| Write::new("cpu.rt_period_us", period).late()));
    let runtime = cpu.realtime_runtime.filter(|&runtime| runtime != 0);
    writes.extend(runtime.map(|runtime| Write::new("cpu.rt_runtime_us", runtime)));
    // A burst above the quota and a period too short for it are invalid
    // until the new quota is in place.
    writes.extend(cpu.burst.map(|burst| Write::new("cpu.cfs_burst_us", burst).late()));
    let period = cpu.period.filter(|&period| period != 0);
    writes.extend(period.map(|period| Write::new("cpu.cfs_period_us", period).late()));
    let quota = cpu.quota.filter(|&quota| quota != 0);
    writes.extend(quota.map(|quota| Write::new("cpu.cfs_quota_us", quota.max(-1))));
    Ok(writes)
}

pub(super) fn cpuset(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(cpu) = &wish.cpu else { return Ok(Vec::new()) };
    let pair = [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)];
    Ok(pair
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(file, list)| Write::new(file, list))
        .collect())
}

/// The same file in both versions.
pub(super) fn pids(wish: &Resources) -> Result<Vec<Write>, Error> {
    Ok(wish
        .pids
        .iter()
        .map(|pids| match pids.limit {
            limit @ 1.. => Write::new("pids.max", limit),
            _ => Write::new("pids.max", "max"),
        })
        .collect())
}

pub(super) fn blkio(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(io) = &wish.block_io else { return Ok(Vec::new()) };
    let mut writes = Vec::new();
    // The weight's file is named after the scheduler that heeds it.
    let weight = |suffix: &str, value: String| {
        let other = Write::new(format!("blkio.bfq.weight{suffix}"), &value);
        Write::new(format!("blkio.weight{suffix}"), value).or(other)
    };
    writes.extend(io.weight.filter(|&w| w != 0).map(|w| weight("", w.to_string())));
    let leaf = io.leaf_weight.filter(|&w| w != 0);
    writes.extend(leaf.map(|w| Write::new("blkio.leaf_weight", w)));
    for device in &io.weight_device {
        let node = format!("{}:{}", device.major, device.minor);
        let own = device.weight.filter(|&w| w != 0);
        writes.extend(own.map(|w| weight("_device", format!("{node} {w}"))));
        let leaf = device.leaf_weight.filter(|&w| w != 0);
        writes.extend(leaf.map(|w| Write::new("blkio.leaf_weight_device", format!("{node} {w}"))));
    }
    for (name, devices) in throttles(io) {
        let file = format!("blkio.throttle.{name}_device");
        writes.extend(
            devices
                .iter()
                .map(|d| Write::new(file.as_str(), format!("{}:{} {}", d.major, d.minor, d.rate))),
        );
    }
    Ok(writes)
}

/// The four lists of rates, by their names in version 1.
pub(super) fn throttles(io: &BlockIo) -> [(&'static str, &[ThrottleDevice]); 4] {
    [
        ("read_bps", &io.throttle_read_bps_device),
        ("write_bps", &io.throttle_write_bps_device),
        ("read_iops", &io.throttle_read_iops_device),
        ("write_iops", &io.throttle_write_iops_device),
    ]
}

pub(super) fn hugetlb(wish: &Resources) -> Result<Vec<Write>, Error> {
    huge_pages(wish, "limit_in_bytes")
}

/// Both versions, which differ in the last word.
pub(super) fn huge_pages(wish: &Resources, word: &str) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    for huge in &wish.hugepage_limits {
        let size = &huge.page_size;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(bad("hugetlb", format!("{size:?} is not a page size")));
        }
        writes.push(Write::new(format!("hugetlb.{size}.{word}"), huge.limit));
        // Linux 5.7; it limits at the reservation instead of the page fault.
        writes.push(Write::new(format!("hugetlb.{size}.rsvd.{word}"), huge.limit).if_there());
    }
    Ok(writes)
}

/// The same file in both versions.
pub(super) fn rdma(wish: &Resources) -> Result<Vec<Write>, Error> {
    let lines = wish.rdma.iter().filter_map(|(device, limit)| {
        let mut line = device.clone();
        let pair = [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)];
        for (key, value) in pair.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            let _ = write!(line, " {key}={value}");
        }
        (line.len() > device.len()).then(|| Write::new("rdma.max", line))
    });
    Ok(lines.collect())
}

pub(super) fn net_cls(wish: &Resources) -> Result<Vec<Write>, Error> {
    let class = wish.network.as_ref().and_then(|network| network.class_id);
    Ok(class
        .filter(|&id| id != 0)
        .map(|id| Write::new("net_cls.classid", id))
        .into_iter()
        .collect())
}

pub(super) fn net_prio(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(network) = &wish.network else { return Ok(Vec::new()) };
    let line = |p: &spec::oci::InterfacePriority| format!("{} {}", p.name, p.priority);
    Ok(network.priorities.iter().map(|p| Write::new("net_prio.ifpriomap", line(p))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::oci::{Cpu, Memory, Pids};

    fn files(writes: &[Write]) -> Vec<(&str, &str)> {
        writes.iter().map(|w| (w.file.as_str(), w.value.as_str())).collect()
    }

    fn with_memory(memory: Memory) -> Resources {
        Resources { memory: Some(memory), ..Resources::default() }
    }

    #[test]
    fn unlimited_memory_lifts_the_sum_first() {
        let wish = with_memory(Memory { limit: Some(-1), ..Memory::default() });
        let writes = memory(&wish).expect("valid");
        assert_eq!(
            files(&writes),
            [("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")]
        );
    }

    #[test]
    fn a_memory_limit_above_the_old_sum_can_wait_for_the_new_sum() {
        let wish = with_memory(Memory { limit: Some(8), swap: Some(9), ..Memory::default() });
        let writes = memory(&wish).expect("valid");
        assert!(writes[0].late && writes[0].file == "memory.limit_in_bytes");
    }

    #[test]
    fn a_sum_below_the_memory_is_refused() {
        let wish = with_memory(Memory { limit: Some(9), swap: Some(8), ..Memory::default() });
        assert!(memory(&wish).is_err());
    }

    #[test]
    fn every_memory_setting_has_its_file() {
        let wish = with_memory(Memory {
            reservation: Some(5),
            kernel_tcp: Some(6),
            disable_oom_killer: Some(true),
            swappiness: Some(0),
            ..Memory::default()
        });
        let writes = memory(&wish).expect("valid");
        assert_eq!(
            files(&writes),
            [
                ("memory.soft_limit_in_bytes", "5"),
                ("memory.kmem.tcp.limit_in_bytes", "6"),
                ("memory.oom_control", "1"),
                ("memory.swappiness", "0"),
            ]
        );
    }

    #[test]
    fn an_idle_group_has_no_share_and_one_that_is_no_more_has_it_back() {
        let with = |idle| Resources {
            cpu: Some(Cpu { shares: Some(9), idle: Some(idle), ..Cpu::default() }),
            ..Resources::default()
        };
        assert_eq!(files(&cpu(&with(1)).expect("valid")), [("cpu.idle", "1")]);
        assert_eq!(files(&cpu(&with(0)).expect("valid")), [("cpu.idle", "0"), ("cpu.shares", "9")]);
    }

    #[test]
    fn shares_that_the_kernel_would_bend_are_refused() {
        let with = |shares| Resources {
            cpu: Some(Cpu { shares: Some(shares), ..Cpu::default() }),
            ..Resources::default()
        };
        assert!(cpu(&with(1)).is_err());
        assert!(cpu(&with(262_145)).is_err());
        assert_eq!(files(&cpu(&with(2)).expect("valid")), [("cpu.shares", "2")]);
        assert_eq!(cpu(&with(0)).expect("not set"), []);
    }

    #[test]
    fn no_number_of_processes_is_no_limit() {
        for limit in [0, -1] {
            let wish = Resources { pids: Some(Pids { limit }), ..Resources::default() };
            assert_eq!(files(&pids(&wish).expect("valid")), [("pids.max", "max")]);
        }
    }

    #[test]
    fn a_page_size_cannot_be_a_path() {
        let limit = spec::oci::HugepageLimit { page_size: "../x".into(), limit: 1 };
        let wish = Resources { hugepage_limits: vec![limit], ..Resources::default() };
        assert!(hugetlb(&wish).is_err());
    }
}

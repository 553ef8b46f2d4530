//! Version 2 files, computed from values in version 1 units.

#![expect(clippy::unnecessary_wraps, reason = "one signature for every controller")]

use super::{
    Write,
    v1::{self, bad},
};
use crate::{Error, dir::Dir};
use spec::oci::{Cpu, Resources};

pub(super) fn memory(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(memory) = &wish.memory else { return Ok(Vec::new()) };
    let mut writes = Vec::new();
    let limit = memory.limit.filter(|&limit| limit != 0);
    writes.extend(swap(limit, memory.swap.filter(|&swap| swap != 0))?);
    writes.extend(limit.map(|limit| Write::new("memory.max", amount(limit))));
    let low = memory.reservation.filter(|&low| low != 0);
    writes.extend(low.map(|low| Write::new("memory.low", amount(low))));
    Ok(writes)
}

/// Version 1 limits memory and swap together, version 2 swap alone.
pub(crate) fn swap(limit: Option<i64>, sum: Option<i64>) -> Result<Option<Write>, Error> {
    const FILE: &str = "memory.swap.max";
    match (limit, sum) {
        (_, None) if limit != Some(-1) => Ok(None),
        // Unlimited memory with swap left open means unlimited swap too. A
        // kernel without swap accounting need not be told that either way.
        (_, None | Some(-1)) => Ok(Some(Write::new(FILE, "max").if_there())),
        (Some(limit @ 1..), Some(sum)) if sum == limit => Ok(Some(Write::new(FILE, 0).if_there())),
        (Some(limit @ 1..), Some(sum)) if sum > limit => Ok(Some(Write::new(FILE, sum - limit))),
        (Some(1..), Some(_)) => {
            Err(bad(FILE, "memory and swap together are less than memory alone"))
        }
        (_, Some(_)) => Err(bad(FILE, "a limit of swap needs a limit of memory")),
    }
}

fn amount(bytes: i64) -> String {
    if bytes < 0 { "max".into() } else { bytes.to_string() }
}

/// `checkBeforeUpdate`: lowering a limit below what is in use would kill.
/// (Version 1 refuses by itself.)
pub(super) fn check_usage(dir: &Dir, wish: &Resources) -> Result<(), Error> {
    let Some(memory) = &wish.memory else { return Ok(()) };
    let (Some(true), Some(limit @ 1..)) = (memory.check_before_update, memory.limit) else {
        return Ok(());
    };
    let usage = dir.number("memory.current")?.unwrap_or(0);
    if usage >= limit.unsigned_abs() {
        return Err(bad("memory.max", format!("rejecting memory limit {limit}: usage {usage}")));
    }
    Ok(())
}

pub(super) fn cpu(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(cpu) = &wish.cpu else { return Ok(Vec::new()) };
    let mut writes = Vec::new();
    writes.extend(cpu.idle.map(|idle| Write::new("cpu.idle", idle)));
    // The kernel refuses a weight for a group that is idle.
    let shares = cpu.shares.filter(|&shares| shares != 0 && cpu.idle != Some(1));
    writes.extend(shares.map(|shares| Write::new("cpu.weight", weight(shares))));
    writes.extend(cpu.burst.map(|burst| Write::new("cpu.max.burst", burst).late()));
    writes.extend(bandwidth(cpu));
    Ok(writes)
}

fn bandwidth(cpu: &Cpu) -> Option<Write> {
    let quota = cpu.quota.filter(|&quota| quota != 0);
    let period = cpu.period.filter(|&period| period != 0);
    if quota.is_none() && period.is_none() {
        return None;
    }
    let quota = quota.filter(|&q| q > 0).map_or_else(|| "max".to_owned(), |q| q.to_string());
    // The kernel's default period, in microseconds.
    Some(Write::new("cpu.max", format!("{quota} {}", period.unwrap_or(100_000))))
}

/// Shares (2 to 262144, 1024 by default) to a weight (1 to 10000, 100 by
/// default), so that the ends and the defaults fall on one another: the
/// exponent of ten is a quadratic function of the shares' exponent of two.
///
/// Source: the mapping that runc and crun have used since 2025; the older,
/// linear one made 39 of the default.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 2..=262144 to 1..=10000"
)]
pub(crate) fn weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let two = (shares as f64).log2();
    let ten = (two * two + 125.0 * two) / 612.0 - 7.0 / 34.0;
    10_f64.powf(ten).ceil() as u64
}

pub(super) fn cpuset(wish: &Resources) -> Result<Vec<Write>, Error> {
    v1::cpuset(wish)
}

pub(super) fn io(wish: &Resources) -> Result<Vec<Write>, Error> {
    let Some(io) = &wish.block_io else { return Ok(Vec::new()) };
    let mut writes = Vec::new();
    // BFQ counts as version 1 did, the cost model in its own scale.
    let both = |device: &str, weight: u16| {
        let line = |value: u64| format!("{device}{value}");
        Write::new("io.bfq.weight", line(weight.into()))
            .or(Write::new("io.weight", line(io_weight(weight))))
    };
    writes.extend(io.weight.filter(|&w| w != 0).map(|w| both("", w)));
    for device in &io.weight_device {
        let node = format!("{}:{} ", device.major, device.minor);
        writes.extend(device.weight.filter(|&w| w != 0).map(|w| both(&node, w)));
    }
    let words = ["rbps", "wbps", "riops", "wiops"];
    for (word, (_, devices)) in words.into_iter().zip(v1::throttles(io)) {
        writes.extend(devices.iter().map(|d| {
            // In version 1 zero takes a limit away.
            let rate = if d.rate == 0 { "max".to_owned() } else { d.rate.to_string() };
            Write::new("io.max", format!("{}:{} {word}={rate}", d.major, d.minor))
        }));
    }
    Ok(writes)
}

/// From 10..=1000 to 1..=10000.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1000) - 10) * 9_999 / 990
}

pub(super) fn hugetlb(wish: &Resources) -> Result<Vec<Write>, Error> {
    v1::huge_pages(wish, "max")
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::oci::{BlockIo, Memory, ThrottleDevice};

    fn memory_writes(limit: i64, swap: i64) -> Result<Vec<(String, String)>, Error> {
        let memory = Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() };
        let wish = Resources { memory: Some(memory), ..Resources::default() };
        Ok(super::memory(&wish)?.into_iter().map(|w| (w.file, w.value)).collect())
    }

    fn swap_is(limit: i64, sum: i64) -> Option<String> {
        let writes = memory_writes(limit, sum).expect("valid");
        writes.into_iter().find(|(file, _)| file == "memory.swap.max").map(|(_, value)| value)
    }

    #[test]
    fn swap_is_the_sum_less_the_memory() {
        assert_eq!(swap_is(100, 150).as_deref(), Some("50"));
        assert_eq!(swap_is(100, 100).as_deref(), Some("0"));
        assert_eq!(swap_is(100, -1).as_deref(), Some("max"));
        assert_eq!(swap_is(-1, 0).as_deref(), Some("max"));
        assert_eq!(swap_is(100, 0), None);
    }

    #[test]
    fn swap_without_memory_or_below_it_is_refused() {
        assert!(memory_writes(0, 100).is_err());
        assert!(memory_writes(-1, 100).is_err());
        assert!(memory_writes(100, 99).is_err());
    }

    #[test]
    fn the_ends_and_the_default_of_shares_fall_on_those_of_the_weight() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 100);
        assert_eq!(weight(262_144), 10_000);
        assert_eq!(weight(u64::MAX), 10_000);
        assert!(weight(512) < weight(1023) && weight(1023) <= 100);
    }

    #[test]
    fn a_quota_alone_gets_the_default_period_and_a_period_alone_no_quota() {
        let max = |quota, period| {
            bandwidth(&Cpu { quota, period, ..Cpu::default() }).map(|write| write.value)
        };
        assert_eq!(max(Some(50_000), None).as_deref(), Some("50000 100000"));
        assert_eq!(max(None, Some(20_000)).as_deref(), Some("max 20000"));
        assert_eq!(max(Some(-1), Some(20_000)).as_deref(), Some("max 20000"));
        assert_eq!(max(Some(0), Some(0)), None);
    }

    #[test]
    fn the_ends_of_the_io_weight_fall_on_one_another() {
        assert_eq!((io_weight(10), io_weight(1000)), (1, 10_000));
    }

    #[test]
    fn a_rate_names_its_device_and_direction() {
        let device = ThrottleDevice { major: 8, minor: 16, rate: 1000 };
        let block = BlockIo { throttle_write_iops_device: vec![device], ..BlockIo::default() };
        let wish = Resources { block_io: Some(block), ..Resources::default() };
        let writes = io(&wish).expect("valid");
        assert_eq!(
            (writes[0].file.as_str(), writes[0].value.as_str()),
            ("io.max", "8:16 wiops=1000")
        );
    }
}

//! Limits in systemd's words.
//!
//! systemd writes them to the scope's files itself, and again whenever it
//! reads its units anew. What it has no word for is written by us after it,
//! and it leaves that alone, since the scope is delegated.
//!
//! Source: `org.freedesktop.systemd1(5)`, `systemd.resource-control(5)`; which
//! limits become properties is what runc does.

use super::{Property, wire::Value};
use crate::{
    Error, Version,
    devices::{AllowList, Devices, Node},
    limits::v2,
};
use spec::oci::{Cpu, Memory, Resources};

/// "Without limit".
const INFINITY: u64 = u64::MAX;
/// The kernel's default period, in microseconds.
const PERIOD: u64 = 100_000;
/// systemd counts whole percents of a processor, in microseconds a second.
const PERCENT: u64 = 10_000;
/// The highest processor or memory node that the kernel can count.
const HIGHEST: usize = 8191;

/// The properties that say what `wish` names.
///
/// # Errors
/// A limit that makes no sense.
pub(super) fn limits(version: Version, wish: &Resources) -> Result<Vec<Property>, Error> {
    let mut all = Vec::new();
    if !wish.devices.is_empty() {
        all.extend(devices(version, &AllowList::from_rules(&wish.devices)?));
    }
    if let Some(wish) = &wish.memory {
        all.extend(memory(version, wish)?);
    }
    if let Some(wish) = &wish.cpu {
        all.extend(cpu(version, wish)?);
    }
    if let Some(pids) = &wish.pids {
        let limit = u64::try_from(pids.limit).ok().filter(|&limit| limit > 0);
        all.push(number("TasksMax", limit.unwrap_or(INFINITY)));
    }
    if let (Some(weight), Version::V1 | Version::Hybrid) =
        (wish.block_io.as_ref().and_then(|io| io.weight).filter(|&w| w != 0), version)
    {
        all.push(number("BlockIOWeight", weight.into()));
    }
    for (file, value) in &wish.unified {
        all.extend(unified(file, value)?);
    }
    Ok(all)
}

fn number(name: &str, value: u64) -> Property {
    (name.into(), Value::Uint64(value))
}

/// Negative is without limit, and zero is "not set" for callers written in Go.
fn amount(bytes: Option<i64>) -> Option<u64> {
    bytes.filter(|&bytes| bytes != 0).map(|bytes| u64::try_from(bytes).unwrap_or(INFINITY))
}

fn memory(version: Version, wish: &Memory) -> Result<Vec<Property>, Error> {
    let limit = amount(wish.limit);
    if version != Version::V2 {
        return Ok(limit.map(|limit| number("MemoryLimit", limit)).into_iter().collect());
    }
    let set = |limit: Option<i64>| limit.filter(|&limit| limit != 0);
    let swap = v2::swap(set(wish.limit), set(wish.swap))?;
    let swap = swap.map(|write| write.value.parse().unwrap_or(INFINITY));
    let all =
        [("MemoryMax", limit), ("MemoryLow", amount(wish.reservation)), ("MemorySwapMax", swap)];
    Ok(all.into_iter().filter_map(|(name, value)| Some(number(name, value?))).collect())
}

fn cpu(version: Version, wish: &Cpu) -> Result<Vec<Property>, Error> {
    let mut all = Vec::new();
    let shares = wish.shares.filter(|&shares| shares != 0);
    match (version, wish.idle) {
        // Its weight is then "idle", which systemd calls zero.
        (Version::V2, Some(1)) => all.push(number("CPUWeight", 0)),
        (Version::V2, _) => all.extend(shares.map(|s| number("CPUWeight", v2::weight(s)))),
        _ => all.extend(shares.map(|shares| number("CPUShares", shares))),
    }
    all.extend(bandwidth(wish.quota, wish.period));
    all.extend(set("AllowedCPUs", "cpuset.cpus", &wish.cpus)?);
    all.extend(set("AllowedMemoryNodes", "cpuset.mems", &wish.mems)?);
    Ok(all)
}

/// How much of a second's processor time, in microseconds. systemd rounds it
/// down to whole percents: so it is rounded up here, and the exact quota is
/// written below it.
fn bandwidth(quota: Option<i64>, period: Option<u64>) -> Vec<Property> {
    let quota = quota.filter(|&quota| quota != 0);
    let period = period.filter(|&period| period != 0);
    let mut all: Vec<Property> =
        period.map(|period| number("CPUQuotaPeriodUSec", period)).into_iter().collect();
    if quota.is_some() || period.is_some() {
        let quota = quota.and_then(|quota| u64::try_from(quota).ok());
        let share = quota.map(|quota| {
            let second = u128::from(quota) * 1_000_000 / u128::from(period.unwrap_or(PERIOD));
            let second = u64::try_from(second).unwrap_or(INFINITY);
            second.checked_next_multiple_of(PERCENT).unwrap_or(INFINITY)
        });
        all.push(number("CPUQuotaPerSecUSec", share.unwrap_or(INFINITY)));
    }
    all
}

/// A list like `0-3,7` as bits, the lowest in the first byte.
fn set(name: &str, file: &str, list: &str) -> Result<Option<Property>, Error> {
    let bad = || Error::BadLimit { limit: file.into(), why: format!("{list:?} is no list") };
    let mut bits = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let parse = |text: &str| text.trim().parse::<usize>().ok().filter(|&n| n <= HIGHEST);
        let (first, last) = (parse(first).ok_or_else(bad)?, parse(last).ok_or_else(bad)?);
        if last < first {
            return Err(bad());
        }
        for bit in first..=last {
            bits.resize(bits.len().max(bit / 8 + 1), 0_u8);
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    let bytes: Vec<Value> = bits.into_iter().map(Value::Byte).collect();
    Ok((!bytes.is_empty()).then(|| (name.into(), Value::Array("y".into(), bytes))))
}

/// Version 2's files that systemd has a property for; others stay ours.
fn unified(file: &str, text: &str) -> Result<Vec<Property>, Error> {
    let text = text.trim();
    let bad = || Error::BadLimit { limit: file.into(), why: format!("{text:?} is no limit") };
    let limit = |text: &str| match text {
        "max" => Ok(INFINITY),
        _ => text.parse().map_err(|_| bad()),
    };
    let name = match file {
        "cpu.idle" if text == "1" => return Ok(vec![number("CPUWeight", 0)]),
        "cpu.max" => {
            let (quota, period) = text.split_once(' ').unwrap_or((text, "100000"));
            let quota = if quota == "max" { Ok(-1) } else { quota.parse().map_err(|_| bad()) };
            let period = period.trim().parse().map_err(|_| bad())?;
            return Ok(bandwidth(Some(quota?), Some(period)));
        }
        "cpuset.cpus" => return Ok(set("AllowedCPUs", file, text)?.into_iter().collect()),
        "cpuset.mems" => return Ok(set("AllowedMemoryNodes", file, text)?.into_iter().collect()),
        "cpu.weight" => "CPUWeight",
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        _ => return Ok(Vec::new()),
    };
    Ok(vec![number(name, limit(text)?)])
}

/// The device list as far as systemd can say it.
///
/// Its list has no exceptions. One that allows all but some it is told to
/// leave alone on version 2, where a program of ours decides beside its own.
/// On version 1 the two share one list, and that systemd writes "all" to it at
/// its next reload would take the exceptions away: there it denies.
fn devices(version: Version, list: &AllowList) -> Vec<Property> {
    let alone = list.rest && (version == Version::V2 || list.rules.is_empty());
    let policy = if alone { "auto" } else { "strict" };
    let rules = list.rules.iter().filter(|rule| rule.allow && !list.rest);
    let entries = rules.filter_map(|rule| {
        let node = node(rule.devices)?;
        Some(Value::Struct(vec![Value::Text(node), Value::Text(rule.access.letters())]))
    });
    vec![
        ("DevicePolicy".into(), Value::text(policy)),
        // An empty list clears the one that is set: lists add up otherwise.
        ("DeviceAllow".into(), Value::Array("(ss)".into(), Vec::new())),
        ("DeviceAllow".into(), Value::Array("(ss)".into(), entries.collect())),
    ]
}

/// Some devices in systemd's words; it has none for "any of this minor
/// number", which are denied then.
fn node(devices: Devices) -> Option<String> {
    let kind = match devices.node {
        Node::Block => "block",
        Node::Char => "char",
    };
    match (devices.major, devices.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::oci::{BlockIo, DeviceRule, Pids};

    fn all(version: Version, json: &str) -> Vec<Property> {
        let wish: Resources = serde_json::from_str(json).expect("resources");
        limits(version, &wish).expect("valid")
    }

    fn named(properties: &[Property], name: &str) -> Option<u64> {
        match properties.iter().find(|(found, _)| found == name)? {
            (_, Value::Uint64(number)) => Some(*number),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_2_has_other_words_than_version_1() {
        let json = r#"{"memory":{"limit":1000,"swap":1500,"reservation":500},
                       "cpu":{"shares":1024},"pids":{"limit":9},"blockIO":{"weight":500}}"#;
        let properties = all(Version::V2, json);
        for (name, value) in [
            ("MemoryMax", 1000),
            ("MemorySwapMax", 500),
            ("MemoryLow", 500),
            ("CPUWeight", 100),
            ("TasksMax", 9),
        ] {
            assert_eq!(named(&properties, name), Some(value), "{name}");
        }
        assert_eq!(properties.len(), 5);
        let properties = all(Version::Hybrid, json);
        for (name, value) in
            [("MemoryLimit", 1000), ("CPUShares", 1024), ("TasksMax", 9), ("BlockIOWeight", 500)]
        {
            assert_eq!(named(&properties, name), Some(value), "{name}");
        }
        assert_eq!(properties.len(), 4);
    }

    #[test]
    fn without_limit_is_the_largest_number() {
        let json = r#"{"memory":{"limit":-1,"swap":-1},"pids":{"limit":-1},"cpu":{"quota":-1}}"#;
        for (name, value) in all(Version::V2, json) {
            assert_eq!(value, Value::Uint64(INFINITY), "{name}");
        }
        assert_eq!(all(Version::V2, r#"{"memory":{"limit":0}}"#), []);
    }

    #[test]
    fn a_quota_is_rounded_up_to_whole_percents() {
        let second = |quota, period| {
            let properties = bandwidth(quota, period);
            (named(&properties, "CPUQuotaPerSecUSec"), named(&properties, "CPUQuotaPeriodUSec"))
        };
        assert_eq!(second(Some(50_000), None), (Some(500_000), None));
        assert_eq!(second(Some(12_345), Some(50_000)), (Some(250_000), Some(50_000)));
        assert_eq!(second(None, Some(50_000)), (Some(INFINITY), Some(50_000)));
        assert_eq!(second(Some(0), Some(0)), (None, None));
        assert_eq!(second(Some(i64::MAX), Some(1)).0, Some(INFINITY));
    }

    #[test]
    fn idle_is_a_weight_of_zero() {
        let properties = all(Version::V2, r#"{"cpu":{"idle":1,"shares":1024}}"#);
        assert_eq!(named(&properties, "CPUWeight"), Some(0));
    }

    #[test]
    fn processors_are_bits() {
        let bits = |list: &str| match set("A", "f", list) {
            Ok(Some((_, Value::Array(_, bytes)))) => Some(bytes),
            Ok(None) => Some(Vec::new()),
            _ => None,
        };
        assert_eq!(bits("0-3,8"), Some(vec![Value::Byte(15), Value::Byte(1)]));
        assert_eq!(bits(""), Some(Vec::new()));
        for bad in ["a", "3-1", "0-", "-1", "0-9999", "99999999999999999999"] {
            assert_eq!(bits(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_of_version_2_that_have_a_property_become_one() {
        let json = r#"{"unified":{"memory.high":"max","cpu.max":"50000 100000","pids.max":"7",
                                  "cpu.weight":"20","hugetlb.2MB.max":"0"}}"#;
        let properties = all(Version::V2, json);
        assert_eq!(named(&properties, "MemoryHigh"), Some(INFINITY));
        assert_eq!(named(&properties, "CPUQuotaPerSecUSec"), Some(500_000));
        assert_eq!(named(&properties, "TasksMax"), Some(7));
        assert_eq!(named(&properties, "CPUWeight"), Some(20));
        assert_eq!(properties.len(), 5);
        let bad = Resources {
            unified: [("memory.max".to_owned(), "lots".to_owned())].into(),
            ..Resources::default()
        };
        assert!(limits(Version::V2, &bad).is_err());
    }

    fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        let (major, minor) = (Some(major), Some(minor));
        DeviceRule { allow, kind: kind.into(), major, minor, access: access.into() }
    }

    fn entries(version: Version, rules: &[DeviceRule]) -> (String, Vec<(String, String)>) {
        let list = AllowList::from_rules(rules).expect("valid");
        let mut properties = devices(version, &list);
        let Some((_, Value::Array(_, items))) = properties.pop() else { panic!("a list") };
        let (_, Value::Text(policy)) = properties.swap_remove(0) else { panic!("a word") };
        let pairs = items.into_iter().map(|item| match item {
            Value::Struct(fields) => match &fields[..] {
                [Value::Text(node), Value::Text(access)] => (node.clone(), access.clone()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        (policy, pairs.collect())
    }

    #[test]
    fn devices_are_named_by_their_numbers() {
        let rules = [
            rule(false, "a", -1, -1, "rwm"),
            rule(true, "c", 1, 3, "rwm"),
            rule(true, "c", 136, -1, "rw"),
            rule(true, "b", -1, -1, "m"),
            rule(true, "c", -1, 7, "r"),
        ];
        let (policy, entries) = entries(Version::V2, &rules);
        let entries: Vec<_> = entries.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
        assert_eq!(policy, "strict");
        assert_eq!(entries, [("/dev/char/1:3", "rwm"), ("char-136", "rw"), ("block-*", "m")]);
    }

    #[test]
    fn all_devices_but_some_is_ours_to_keep() {
        let everything = DeviceRule { allow: true, access: "rwm".into(), ..DeviceRule::default() };
        let but = [everything.clone(), rule(false, "b", 8, 0, "w")];
        assert_eq!(entries(Version::V2, &but), ("auto".into(), Vec::new()));
        assert_eq!(entries(Version::Hybrid, &but), ("strict".into(), Vec::new()));
        assert_eq!(entries(Version::Hybrid, &[everything]), ("auto".into(), Vec::new()));
    }

    #[test]
    fn a_weight_of_devices_has_no_word_on_version_2() {
        let io = BlockIo { weight: Some(10), ..BlockIo::default() };
        let wish =
            Resources { block_io: Some(io), pids: Some(Pids { limit: 0 }), ..Resources::default() };
        let properties = limits(Version::V2, &wish).expect("valid");
        assert_eq!(properties, [number("TasksMax", INFINITY)]);
    }
}

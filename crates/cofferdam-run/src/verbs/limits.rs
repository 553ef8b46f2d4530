//! `pause`, `resume` and `update`.

use crate::{
    App, Given,
    container::{Container, Status},
    problem::{Doing, Problem},
    scope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use spec::oci::{BlockIo, Cpu, Memory, Pids, Resources};
use std::io::Read;

/// `pause`.
pub fn pause(app: &App, given: &Given) -> Result<u8, Problem> {
    let container = Container::open(app, &given.arguments[0])?;
    match container.status()? {
        Status::Running | Status::Created => container.cgroup().freeze()?,
        _ => return Err(Problem::NotRunning),
    }
    Ok(0)
}

/// `resume`.
pub fn resume(app: &App, given: &Given) -> Result<u8, Problem> {
    let container = Container::open(app, &given.arguments[0])?;
    match container.status()? {
        Status::Paused => container.cgroup().thaw()?,
        _ => return Err(Problem::NotPaused),
    }
    Ok(0)
}

/// `update`.
pub fn update(app: &App, given: &Given) -> Result<u8, Problem> {
    for flag in ["l3-cache-schema", "mem-bw-schema"] {
        if given.last(flag).is_some_and(|schema| !schema.is_empty()) {
            return Err(Problem::NotCarried("Intel RDT"));
        }
    }
    let mut container = Container::open(app, &given.arguments[0])?;
    if container.status()? == Status::Stopped {
        return Err(Problem::NotRunning);
    }
    if ["kernel-memory", "kernel-memory-tcp"].iter().any(|flag| given.last(flag).is_some()) {
        app.log.warn("limits of kernel memory alone are ignored");
    }
    let mut wish = match given.last("resources") {
        Some(path) => from_file(path)?,
        None => from_flags(given)?,
    };
    if let Some(memory) = &mut wish.memory
        && memory.limit == Some(-1)
    {
        // Without a limit of memory one of memory and swap has no meaning.
        memory.swap.get_or_insert(-1);
    }
    let linux = container.record.spec.to_mut().linux.get_or_insert_default();
    let mut after = merged(linux.resources.get_or_insert_default(), &wish);
    // The device list stays as it was: rewriting it would open a gap.
    let devices = std::mem::take(&mut after.devices);
    let group = container.cgroup();
    if let Some(unit) = &container.record.unit {
        group.check_usage(&after)?;
        scope::update(unit, &after)?;
    }
    group.apply(&after)?;
    after.devices = devices;
    container.record.spec.to_mut().linux.get_or_insert_default().resources = Some(after);
    container.save()?;
    Ok(0)
}

fn from_file(path: &str) -> Result<Resources, Problem> {
    let mut text = String::new();
    if path == "-" {
        std::io::stdin().read_to_string(&mut text).doing("read", "standard input")?;
    } else {
        text = std::fs::read_to_string(path).doing("read", path)?;
    }
    serde_json::from_str::<Option<Resources>>(&text)
        .map(Option::unwrap_or_default)
        .map_err(|source| Problem::BadJson { what: "resources", source })
}

fn from_flags(given: &Given) -> Result<Resources, Problem> {
    let memory = Memory {
        limit: size(given, "memory")?,
        reservation: size(given, "memory-reservation")?,
        swap: size(given, "memory-swap")?,
        ..Memory::default()
    };
    let words = |long| given.last(long).unwrap_or_default().to_owned();
    let cpu = Cpu {
        shares: given.number("cpu-share")?,
        quota: given.number("cpu-quota")?,
        burst: given.number("cpu-burst")?,
        period: given.number("cpu-period")?,
        realtime_runtime: given.number("cpu-rt-runtime")?,
        realtime_period: given.number("cpu-rt-period")?,
        cpus: words("cpuset-cpus"),
        mems: words("cpuset-mems"),
        idle: given.number("cpu-idle")?,
    };
    let weight = given.number("blkio-weight")?;
    Ok(Resources {
        memory: Some(memory),
        cpu: Some(cpu),
        pids: given.number("pids-limit")?.map(|limit| Pids { limit }),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    })
}

/// Bytes, with a unit of 1024 (`64m`); -1 is without limit.
fn size(given: &Given, flag: &'static str) -> Result<Option<i64>, Problem> {
    let bad = |text: &str| Problem::BadSize(flag, text.to_owned());
    given.last(flag).map(|text| bytes(text).ok_or_else(|| bad(text))).transpose()
}

fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let factor = 1_i64 << (10 * power);
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()?;
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "1.5g")]
    let bytes = (value * factor as f64) as i64;
    Some(bytes)
}

/// `old` with what `new` names.
fn merged(old: &Resources, new: &Resources) -> Resources {
    let mut value = json(old);
    overlay(&mut value, json(new));
    back(value)
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("plain data")
}

fn back<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("both parts were of this type")
}

/// Objects are merged, anything else replaced; absent is "not named".
fn overlay(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                overlay(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (old, new) => *old = new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_may_have_a_unit() {
        assert_eq!(bytes("64m"), Some(64 << 20));
        assert_eq!(bytes("1.5GiB"), Some(3 << 29));
        assert_eq!(bytes("12"), Some(12));
        assert_eq!(bytes("-1"), Some(-1));
        for bad in ["abc", "", "-2", "1x", "9999999999p"] {
            assert_eq!(bytes(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let old: Resources = serde_json::from_str(
            r#"{"memory":{"limit":10,"swap":20},"devices":[{"allow":false,"access":"rwm"}]}"#,
        )
        .expect("valid");
        let new: Resources =
            serde_json::from_str(r#"{"memory":{"limit":11},"pids":{"limit":3}}"#).expect("valid");
        let memory = merged(&old, &new).memory.expect("both have it");
        assert_eq!((memory.limit, memory.swap), (Some(11), Some(20)));
        assert_eq!(merged(&old, &new).pids, Some(Pids { limit: 3 }));
        assert_eq!(merged(&old, &new).devices, old.devices);
        assert_eq!(merged(&old, &Resources::default()), old);
    }
}

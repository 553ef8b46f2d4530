//! `events`: figures of a container, and the news that it ran out of memory,
//! one JSON object a line with the names that runc gives them.

use crate::{
    App, Given,
    container::{Container, Status},
    problem::{Doing, Problem},
};
use cgroup::{IoEntry, Oom, OomWatch, Stats, Usage};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};
use serde_json::{Map, Value, json};
use spec::duration::nanoseconds;
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// `events`.
pub fn events(app: &App, given: &Given) -> Result<u8, Problem> {
    let interval = given.last("interval").unwrap_or("5s");
    let interval = nanoseconds(interval).and_then(|nanos| u64::try_from(nanos).ok());
    let interval =
        interval.filter(|nanos| *nanos > 0).map(Duration::from_nanos).ok_or_else(|| {
            let value = given.last("interval").unwrap_or_default().to_owned();
            Problem::BadValue { flag: "interval", value }
        })?;
    let container = Container::open(app, &given.arguments[0])?;
    if container.status()? == Status::Stopped {
        return Err(Problem::NoEvents(container.record.id));
    }
    if given.has("stats") {
        return say(app, &container);
    }
    let init = container.init()?.ok_or(Problem::NotRunning)?;
    let mut watch = container.cgroup().watch_oom()?;
    let mut next = Instant::now() + interval;
    loop {
        match wait(&watch, &init, next)? {
            Woken::Time => {
                say(app, &container)?;
                next += interval;
            }
            Woken::Memory => match watch.take()? {
                Oom::Happened => {
                    let line = json!({ "type": "oom", "id": container.record.id });
                    app.print(&format!("{line}\n"))?;
                }
                Oom::Nothing => {}
                Oom::Gone => return Ok(0),
            },
            Woken::End => return Ok(0),
        }
    }
}

enum Woken {
    Time,
    Memory,
    End,
}

fn wait(watch: &OomWatch, init: &OwnedFd, until: Instant) -> Result<Woken, Problem> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = left.try_into().unwrap_or(rustix::time::Timespec { tv_sec: 3600, tv_nsec: 0 });
    let (fd, flags) = watch.poll_on();
    let mut fds = [PollFd::new(&fd, flags), PollFd::new(init, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Err(Errno::INTR) => Ok(Woken::Memory),
        Err(error) => Err(error).doing("wait for", "events"),
        // News first: the last of them comes with the end.
        Ok(_) if fds[0].revents().intersects(flags) => Ok(Woken::Memory),
        Ok(_) if !fds[1].revents().is_empty() => Ok(Woken::End),
        Ok(_) => Ok(if left.is_zero() { Woken::Time } else { Woken::Memory }),
    }
}

fn say(app: &App, container: &Container) -> Result<u8, Problem> {
    let stats = container.cgroup().stats()?;
    let line = json!({ "type": "stats", "id": container.record.id, "data": data(&stats) });
    app.print(&format!("{line}\n"))
}

/// The figures as runc lays them out: what is zero may be missing.
fn data(stats: &Stats) -> Value {
    let cpu = &stats.cpu;
    let memory = &stats.memory;
    // Version 2 counts swap alone; readers expect the sum, as in version 1.
    let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
    let swap = if memory.unified {
        Usage {
            current: memory.swap.current + memory.ram.current,
            max: 0,
            failures: memory.swap.failures,
            limit: sum(memory.swap.limit, memory.ram.limit),
        }
    } else {
        memory.swap
    };
    let usage = |usage: &Usage| self::usage(usage, memory.unified);
    let hugetlb: BTreeMap<&str, Value> = stats
        .hugetlb
        .iter()
        .map(|(size, huge)| {
            let mut value = dense([("usage", huge.current), ("max", huge.max)]);
            value.insert("failcnt".into(), huge.failures.into());
            (size.as_str(), Value::Object(value))
        })
        .collect();
    json!({
        "cpu": {
            "usage": {
                "total": cpu.total,
                "percpu": cpu.per_cpu,
                "percpu_kernel": cpu.per_cpu_system,
                "percpu_user": cpu.per_cpu_user,
                "kernel": cpu.system,
                "user": cpu.user,
            },
            "throttling": dense([
                ("periods", cpu.periods),
                ("throttledPeriods", cpu.throttled_periods),
                ("throttledTime", cpu.throttled),
            ]),
        },
        "memory": {
            "cache": memory.cache,
            "usage": usage(&memory.ram),
            "swap": usage(&swap),
            "kernel": usage(&memory.kernel),
            "kernelTCP": usage(&memory.kernel_tcp),
            "raw": memory.stat,
        },
        "pids": dense([
            ("current", stats.pids.current),
            ("limit", stats.pids.limit.unwrap_or(0)),
        ]),
        "blkio": {
            "ioServiceBytesRecursive": io(&stats.io.bytes),
            "ioServicedRecursive": io(&stats.io.requests),
        },
        "hugetlb": hugetlb,
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn usage(usage: &Usage, unified: bool) -> Value {
    // What each version says where there is no limit.
    let none = if unified { u64::MAX } else { 9_223_372_036_854_771_712 };
    let mut value = dense([("usage", usage.current), ("max", usage.max)]);
    value.insert("limit".into(), usage.limit.unwrap_or(none).into());
    value.insert("failcnt".into(), usage.failures.into());
    Value::Object(value)
}

fn io(entries: &[IoEntry]) -> Vec<Value> {
    let one = |e: &IoEntry| {
        let mut value = dense([("major", e.major), ("minor", e.minor), ("value", e.value)]);
        value.insert("op".into(), e.op.as_str().into());
        Value::Object(value)
    };
    entries.iter().map(one).collect()
}

/// An object of those that are not zero.
fn dense<const N: usize>(pairs: [(&str, u64); N]) -> Map<String, Value> {
    let some = pairs.into_iter().filter(|(_, value)| *value != 0);
    some.map(|(key, value)| (key.to_owned(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_what_readers_of_each_version_expect() {
        let limit = |unified| usage(&Usage::default(), unified)["limit"].as_u64();
        assert_eq!(limit(false), Some(9_223_372_036_854_771_712));
        assert_eq!(limit(true), Some(u64::MAX));
    }
}

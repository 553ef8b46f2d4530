//! `GET /containers/{id}/stats`: what a container uses, once a second.

use crate::answer::{Answer, Content, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::streams::blocking;
use crate::when::rfc3339;
use engine::{Engine, Interface, Stats};
use hyper::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Between two samples.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Body<'a> {
    name: String,
    id: &'a str,
    read: String,
    preread: String,
    pids_stats: Pids,
    blkio_stats: Blkio<'a>,
    num_procs: u32,
    storage_stats: Nothing,
    cpu_stats: Cpu<'a>,
    precpu_stats: Cpu<'a>,
    memory_stats: Memory<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<&'a str, Network>,
    /// What Docker has not.
    #[serde(rename = "Cofferdam", skip_serializing_if = "Option::is_none")]
    ours: Option<Ours>,
}

#[derive(Serialize)]
struct Ours {
    pressure_stats: Pressure,
    oom_kills: u64,
}

#[derive(Serialize)]
struct Pressure {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Stalls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Stalls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<Stalls>,
}

#[derive(Serialize)]
struct Stalls {
    some: Stall,
    full: Stall,
}

/// Percent, and microseconds, as the kernel tells them.
#[derive(Serialize)]
struct Stall {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total: u64,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

#[derive(Serialize)]
struct Blkio<'a> {
    io_service_bytes_recursive: Option<Vec<Io<'a>>>,
    io_serviced_recursive: Option<Vec<Io<'a>>>,
    io_queue_recursive: Option<Nothing>,
    io_service_time_recursive: Option<Nothing>,
    io_wait_time_recursive: Option<Nothing>,
    io_merged_recursive: Option<Nothing>,
    io_time_recursive: Option<Nothing>,
    sectors_recursive: Option<Nothing>,
}

#[derive(Serialize)]
struct Io<'a> {
    major: u64,
    minor: u64,
    op: &'a str,
    value: u64,
}

#[derive(Serialize)]
struct Cpu<'a> {
    cpu_usage: CpuUsage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_cpu_usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_cpus: Option<u32>,
    throttling_data: Throttling,
}

#[derive(Serialize)]
struct CpuUsage<'a> {
    total_usage: u64,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu_usage: &'a [u64],
    usage_in_kernelmode: u64,
    usage_in_usermode: u64,
}

#[derive(Serialize)]
struct Throttling {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
}

#[derive(Serialize)]
struct Memory<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'a BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failcnt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

#[derive(Serialize)]
struct Network {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

/// `now` and the sample before it; both are absent of one that does not run.
fn body<'a>(
    id: &'a str,
    name: &str,
    now: Option<&'a Stats>,
    before: Option<&'a Stats>,
) -> Body<'a> {
    Body {
        name: format!("/{name}"),
        id,
        read: rfc3339(now.map_or(0, |s| s.read)),
        preread: rfc3339(before.map_or(0, |s| s.read)),
        pids_stats: Pids { current: now.map(|s| s.pids), limit: now.and_then(|s| s.pids_limit) },
        blkio_stats: Blkio {
            io_service_bytes_recursive: now.map(|s| s.io_bytes.iter().map(Io::of).collect()),
            io_serviced_recursive: now.map(|s| s.io_ops.iter().map(Io::of).collect()),
            io_queue_recursive: None,
            io_service_time_recursive: None,
            io_wait_time_recursive: None,
            io_merged_recursive: None,
            io_time_recursive: None,
            sectors_recursive: None,
        },
        num_procs: 0,
        storage_stats: Nothing {},
        cpu_stats: Cpu::of(now),
        precpu_stats: Cpu::of(before),
        memory_stats: Memory {
            usage: now.map(|s| s.memory_usage),
            max_usage: now.map(|s| s.memory_max_usage).filter(|max| *max > 0),
            stats: now.map(|s| &s.memory_stats),
            failcnt: now.map(|s| s.memory_failcnt).filter(|count| *count > 0),
            limit: now.map(|s| s.memory_limit),
        },
        networks: now
            .map(|s| s.networks.iter().map(|(name, i)| (&**name, Network::of(*i))).collect())
            .unwrap_or_default(),
        ours: now.map(|s| Ours {
            pressure_stats: Pressure {
                cpu: s.pressure.cpu.map(Stalls::of),
                memory: s.pressure.memory.map(Stalls::of),
                io: s.pressure.io.map(Stalls::of),
            },
            oom_kills: s.oom_kills,
        }),
    }
}

impl Stalls {
    fn of(stalls: engine::Stalls) -> Self {
        let stall = |stall: engine::Stall| Stall {
            avg10: f64::from(stall.avg10) / 100.0,
            avg60: f64::from(stall.avg60) / 100.0,
            avg300: f64::from(stall.avg300) / 100.0,
            total: stall.total,
        };
        Self { some: stall(stalls.some), full: stall(stalls.full) }
    }
}

impl<'a> Io<'a> {
    fn of((major, minor, op, value): &'a (u64, u64, String, u64)) -> Self {
        Self { major: *major, minor: *minor, op, value: *value }
    }
}

impl<'a> Cpu<'a> {
    fn of(stats: Option<&'a Stats>) -> Self {
        let count = |field: fn(&Stats) -> u64| stats.map_or(0, field);
        Self {
            cpu_usage: CpuUsage {
                total_usage: count(|s| s.cpu_total),
                percpu_usage: stats.map_or(&[], |s| &s.per_cpu),
                usage_in_kernelmode: count(|s| s.cpu_kernel),
                usage_in_usermode: count(|s| s.cpu_user),
            },
            system_cpu_usage: stats.map(|s| s.system_cpu),
            online_cpus: stats.map(|s| s.online_cpus),
            throttling_data: Throttling {
                periods: count(|s| s.periods),
                throttled_periods: count(|s| s.throttled_periods),
                throttled_time: count(|s| s.throttled_time),
            },
        }
    }
}

impl Network {
    fn of(interface: Interface) -> Self {
        let Interface {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        } = interface;
        Self {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        }
    }
}

async fn sample(engine: &Engine, id: &Arc<str>) -> Result<Option<Stats>, Error> {
    let (engine, id) = (engine.clone(), Arc::clone(id));
    blocking(move || Ok(engine.stats(&id)?)).await
}

/// Once (`stream=0`; after a second, so that there is something to compare
/// with, unless `one-shot`), or once a second until the container or the
/// client is gone.
pub async fn follow(mut call: Call) -> Outcome {
    call.read_body().await?;
    let stream = call.query.flag_or("stream", true);
    let one_shot = call.query.flag("one-shot");
    let engine = call.engine.clone();
    let container = blocking(move || Ok(call.engine.container(call.name())?)).await?;
    let id: Arc<str> = container.id.as_str().into();
    let name = container.name.clone();
    if !stream {
        let mut before = None;
        if !one_shot {
            before = sample(&engine, &id).await?;
            if before.is_some() {
                tokio::time::sleep(PERIOD).await;
            }
        }
        let now = sample(&engine, &id).await?;
        return Ok(Answer::json(&body(&id, &name, now.as_ref(), before.as_ref())));
    }
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut before = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = sender.closed() => return,
            }
            // Removed: nothing more to tell.
            let Ok(now) = sample(&engine, &id).await else { return };
            let line = serde_json::to_vec(&body(&id, &name, now.as_ref(), before.as_ref()))
                .map(|mut line| {
                    line.push(b'\n');
                    line.into()
                })
                .map_err(std::io::Error::from);
            if sender.send(line).await.is_err() {
                return;
            }
            before = now;
        }
    });
    Ok(Answer::of(StatusCode::OK, "application/json", Content::Stream(pieces)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_run_uses_nothing() {
        let json = serde_json::to_string(&body("id", "w3", None, None)).expect("json");
        // As a Docker Engine answers, to the letter.
        assert_eq!(
            json,
            r#"{"name":"/w3","id":"id","read":"0001-01-01T00:00:00Z","preread":"0001-01-01T00:00:00Z","pids_stats":{},"blkio_stats":{"io_service_bytes_recursive":null,"io_serviced_recursive":null,"io_queue_recursive":null,"io_service_time_recursive":null,"io_wait_time_recursive":null,"io_merged_recursive":null,"io_time_recursive":null,"sectors_recursive":null},"num_procs":0,"storage_stats":{},"cpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"precpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"memory_stats":{}}"#
        );
    }

    #[test]
    fn a_sample_stands_beside_the_one_before() {
        let before = Stats { cpu_total: 5, system_cpu: 100, online_cpus: 2, ..Stats::default() };
        let now = Stats { cpu_total: 9, memory_limit: 64, ..before.clone() };
        let json = serde_json::to_value(body("id", "w", Some(&now), Some(&before))).expect("json");
        assert_eq!(json["cpu_stats"]["cpu_usage"]["total_usage"], 9);
        assert_eq!(json["precpu_stats"]["cpu_usage"]["total_usage"], 5);
        assert_eq!(json["precpu_stats"]["online_cpus"], 2);
        assert_eq!(json["memory_stats"]["limit"], 64);
    }
}

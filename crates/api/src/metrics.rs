//! Our own extension: figures for Prometheus, `GET /cofferdam/metrics`.
//!
//! The engine's own have the names that Docker's daemon gives them, as far as
//! it has them; containers' begin with `cofferdam_container_`. A client on a
//! scoped socket sees those of its own containers and nothing of the engine.

use crate::answer::{Answer, Content, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::exposition::{Family, Format, Kind, Labels, Page, Seconds};
use crate::scope::Scope;
use engine::{BOUNDS, Counts, Daemon, Durations, Engine, HealthStatus, Measured, State, Whole};
use hyper::{StatusCode, header};
use std::collections::BTreeMap;

use Kind::{Counter, Gauge, Histogram};

/// `GET /cofferdam/metrics`.
pub fn scrape(call: &Call) -> Outcome {
    let accept = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::wanted(accept.unwrap_or_default());
    let text = page(&call.engine, format, call.scope())?;
    Ok(Answer::of(StatusCode::OK, format.media(), Content::Whole(text.into())))
}

/// All that may be seen, measured now.
///
/// # Errors
/// The kernel's files or the records cannot be read.
pub fn page(engine: &Engine, format: Format, scope: Option<&Scope>) -> Result<String, Error> {
    let mut page = Page::new(format);
    let seen = engine.measure(|container| scope.is_none_or(|scope| scope.sees(container)));
    if scope.is_none() {
        let whole = engine.whole()?;
        of_engine(&mut page, &whole, &seen);
        of_actions(&mut page, &whole.counts);
        of_daemon(&mut page, &whole.daemon);
    }
    let rows: Vec<Row<'_>> = seen.iter().map(Row::of).collect();
    of_containers(&mut page, &rows);
    of_processors(&mut page, &rows);
    of_memory(&mut page, &rows);
    of_devices(&mut page, &rows);
    of_networks(&mut page, &rows);
    of_pressure(&mut page, &rows);
    Ok(page.end())
}

/// A container with its labels.
struct Row<'a> {
    labels: Labels,
    measured: &'a Measured,
}

impl<'a> Row<'a> {
    fn of(measured: &'a Measured) -> Self {
        let container = &measured.container;
        let labels = Labels::of(&[("id", container.id.short()), ("name", &container.name)]);
        Self { labels, measured }
    }
}

/// A figure of everything that has one.
fn each<V: std::fmt::Display>(
    page: &mut Page,
    rows: &[Row<'_>],
    family: Family,
    value: impl Fn(&Measured) -> Option<V>,
) {
    for row in rows {
        if let Some(value) = value(row.measured) {
            page.sample(family, &row.labels, value);
        }
    }
}

fn of_engine(page: &mut Page, whole: &Whole, seen: &[Measured]) {
    let none = Labels::default();
    let facts = &whole.facts;
    let info = Labels::of(&[
        ("architecture", &facts.machine),
        ("commit", ""),
        ("daemon_id", &facts.id),
        ("graphdriver", &facts.storage_driver),
        ("kernel", &facts.kernel),
        ("os", &facts.os),
        ("os_type", "linux"),
        ("os_version", &facts.os_version),
        ("version", env!("CARGO_PKG_VERSION")),
    ]);
    let family =
        Family("engine_daemon_engine_info", Gauge, "What the engine is and what it runs on.");
    page.sample(family, &info, 1);
    let family = Family("engine_daemon_engine_cpus_cpus", Gauge, "Processors of the host.");
    page.sample(family, &none, facts.cpus);
    let family = Family("engine_daemon_engine_memory_bytes", Gauge, "Memory of the host.");
    page.sample(family, &none, facts.memory);
    let mut states = BTreeMap::<&str, u64>::new();
    for measured in seen {
        *states.entry(measured.container.state.word()).or_default() += 1;
    }
    let count = |word: &str| states.get(word).copied().unwrap_or(0);
    let family = Family(
        "engine_daemon_container_states_containers",
        Gauge,
        "Containers by Docker's three states.",
    );
    let (paused, running) = (count("paused"), count("running"));
    let stopped = seen.len() as u64 - paused - running;
    for (word, count) in [("paused", paused), ("running", running), ("stopped", stopped)] {
        page.sample(family, &Labels::of(&[("state", word)]), count);
    }
    let family = Family("cofferdam_containers", Gauge, "Containers by state.");
    for word in State::WORDS {
        page.sample(family, &Labels::of(&[("state", word)]), count(word));
    }
    page.sample(Family("cofferdam_images", Gauge, "Images."), &none, facts.images);
    let family = Family(
        "cofferdam_image_layers_bytes",
        Gauge,
        "Disk space of the layers of all images, each counted once.",
    );
    page.sample(family, &none, whole.layers);
    page.sample(Family("cofferdam_volumes", Gauge, "Volumes."), &none, whole.volumes);
    page.sample(Family("cofferdam_networks", Gauge, "Networks."), &none, whole.networks);
}

fn of_actions(page: &mut Page, counts: &Counts) {
    let family = Family(
        "engine_daemon_container_actions_seconds",
        Histogram,
        "How long what was done to containers took, since the daemon started.",
    );
    for (action, durations) in
        [("create", &counts.create), ("delete", &counts.delete), ("start", &counts.start)]
    {
        let Durations { within, count, sum } = *durations;
        let bounds = BOUNDS.into_iter().map(|bound| Seconds(bound * 1_000_000));
        let labels = Labels::of(&[("action", action)]);
        page.histogram(family, &labels, bounds.zip(within), (count, Seconds(sum)));
    }
    let none = Labels::default();
    for (name, help, count) in [
        (
            "cofferdam_container_start_failures",
            "Programs that could not be started, since the daemon started.",
            counts.failed_starts,
        ),
        (
            "engine_daemon_health_checks",
            "Probes of health checks, since the daemon started.",
            counts.probes,
        ),
        (
            "engine_daemon_health_checks_failed",
            "Of those, how many did not succeed.",
            counts.failed_probes,
        ),
    ] {
        page.sample(Family(name, Counter, help), &none, count);
    }
}

/// As every client library of Prometheus names them.
fn of_daemon(page: &mut Page, daemon: &Daemon) {
    let none = Labels::default();
    let family = Family("process_cpu_seconds", Counter, "The daemon's time on processors.");
    page.sample(family, &none, Seconds(daemon.cpu));
    for (name, help, value) in [
        ("process_resident_memory_bytes", "The daemon's memory.", Some(daemon.resident)),
        ("process_virtual_memory_bytes", "What the daemon has mapped.", Some(daemon.mapped)),
        ("process_open_fds", "Descriptors that the daemon has open.", Some(daemon.descriptors)),
        ("process_max_fds", "How many it may have open.", daemon.most_descriptors),
    ] {
        if let Some(value) = value {
            page.sample(Family(name, Gauge, help), &none, value);
        }
    }
    let family = Family(
        "process_start_time_seconds",
        Gauge,
        "When the daemon was started, since the epoch.",
    );
    page.sample(family, &none, Seconds(daemon.started));
}

fn of_containers(page: &mut Page, rows: &[Row<'_>]) {
    let family = Family("cofferdam_container_info", Gauge, "What a container is, and its state.");
    for row in rows {
        let container = &row.measured.container;
        let labels = row.labels.and(&[
            ("image", &container.config.image),
            ("image_id", &container.image),
            ("state", container.state.word()),
        ]);
        page.sample(family, &labels, 1);
    }
    let family = Family(
        "cofferdam_container_start_time_seconds",
        Gauge,
        "When its program began, since the epoch.",
    );
    each(page, rows, family, |m| {
        Some(Seconds(m.container.last.started)).filter(|_| m.container.state.pid().is_some())
    });
    let family = Family("cofferdam_container_restarts", Counter, "Starts by its restart policy.");
    each(page, rows, family, |m| Some(m.container.restart_count));
    let family = Family("cofferdam_container_exit_code", Gauge, "How its program ended.");
    each(page, rows, family, |m| {
        let ended = m.container.state == State::Exited;
        Some(m.container.last.code).filter(|_| ended)
    });
    let family = Family(
        "cofferdam_container_health_status",
        Gauge,
        "What its health check says: 1 for what it is.",
    );
    for row in rows {
        let Some(health) = &row.measured.container.health else { continue };
        for status in [HealthStatus::Starting, HealthStatus::Healthy, HealthStatus::Unhealthy] {
            let labels = row.labels.and(&[("status", status.word())]);
            page.sample(family, &labels, u8::from(health.status == status));
        }
    }
    let family =
        Family("cofferdam_container_health_failing_streak", Gauge, "Probes in a row that failed.");
    each(page, rows, family, |m| Some(m.container.health.as_ref()?.failing_streak));
    let family = Family(
        "cofferdam_container_log_dropped_lines",
        Counter,
        "Lines of its output that its log lacks.",
    );
    each(page, rows, family, |m| m.log_dropped);
    let family = Family("cofferdam_container_pids", Gauge, "Processes and threads.");
    each(page, rows, family, |m| Some(m.gauge.as_ref()?.pids));
    let family = Family("cofferdam_container_pids_limit", Gauge, "How many it may have.");
    each(page, rows, family, |m| m.gauge.as_ref()?.pids_limit);
}

fn of_processors(page: &mut Page, rows: &[Row<'_>]) {
    let family = Family("cofferdam_container_cpu_seconds", Counter, "Time on processors.");
    each(page, rows, family, |m| Some(Seconds(m.gauge.as_ref()?.cpu)));
    let family = Family("cofferdam_container_cpu_user_seconds", Counter, "Of that, in programs.");
    each(page, rows, family, |m| Some(Seconds(m.gauge.as_ref()?.cpu_user)));
    let family =
        Family("cofferdam_container_cpu_system_seconds", Counter, "Of that, in the kernel.");
    each(page, rows, family, |m| Some(Seconds(m.gauge.as_ref()?.cpu_system)));
    let family = Family(
        "cofferdam_container_cpu_periods",
        Counter,
        "Periods in which its quota of processors counted.",
    );
    each(page, rows, family, |m| Some(m.gauge.as_ref()?.periods));
    let family = Family(
        "cofferdam_container_cpu_throttled_periods",
        Counter,
        "Of those, in how many it was used up.",
    );
    each(page, rows, family, |m| Some(m.gauge.as_ref()?.throttled_periods));
    let family = Family(
        "cofferdam_container_cpu_throttled_seconds",
        Counter,
        "How long it was held back for that.",
    );
    each(page, rows, family, |m| Some(Seconds(m.gauge.as_ref()?.throttled)));
}

fn of_memory(page: &mut Page, rows: &[Row<'_>]) {
    let family = Family(
        "cofferdam_container_memory_usage_bytes",
        Gauge,
        "Memory in use, page cache included.",
    );
    each(page, rows, family, |m| Some(m.gauge.as_ref()?.memory));
    let family = Family(
        "cofferdam_container_memory_working_set_bytes",
        Gauge,
        "The same without page cache that was not used lately.",
    );
    each(page, rows, family, |m| {
        let gauge = m.gauge.as_ref()?;
        Some(gauge.memory.saturating_sub(gauge.inactive_file))
    });
    let family =
        Family("cofferdam_container_memory_limit_bytes", Gauge, "Memory that it may have.");
    each(page, rows, family, |m| m.gauge.as_ref()?.memory_limit);
    let family = Family(
        "cofferdam_container_oom_kills",
        Counter,
        "Processes killed for want of memory, since its program began.",
    );
    each(page, rows, family, |m| Some(m.gauge.as_ref()?.oom_kills));
}

fn of_devices(page: &mut Page, rows: &[Row<'_>]) {
    let bytes = |m: &Measured| m.gauge.as_ref().map(|gauge| gauge.io.bytes.clone());
    let requests = |m: &Measured| m.gauge.as_ref().map(|gauge| gauge.io.requests.clone());
    let read = Family("cofferdam_container_io_read_bytes", Counter, "Read from a block device.");
    let written =
        Family("cofferdam_container_io_written_bytes", Counter, "Written to a block device.");
    let reads = Family("cofferdam_container_io_reads", Counter, "Reads from a block device.");
    let writes = Family("cofferdam_container_io_writes", Counter, "Writes to a block device.");
    io(page, rows, read, "Read", bytes);
    io(page, rows, written, "Write", bytes);
    io(page, rows, reads, "Read", requests);
    io(page, rows, writes, "Write", requests);
}

fn io(
    page: &mut Page,
    rows: &[Row<'_>],
    family: Family,
    op: &str,
    entries: impl Fn(&Measured) -> Option<Vec<engine::IoEntry>>,
) {
    for row in rows {
        for entry in entries(row.measured).into_iter().flatten().filter(|entry| entry.op == op) {
            let device = format!("{}:{}", entry.major, entry.minor);
            page.sample(family, &row.labels.and(&[("device", &device)]), entry.value);
        }
    }
}

fn of_networks(page: &mut Page, rows: &[Row<'_>]) {
    type Figure = fn(&engine::Interface) -> u64;
    let families: [(Family, Figure); 8] = [
        (Family("cofferdam_container_network_receive_bytes", Counter, "Received."), |i| i.rx_bytes),
        (
            Family("cofferdam_container_network_receive_packets", Counter, "Packets received."),
            |i| i.rx_packets,
        ),
        (Family("cofferdam_container_network_receive_errors", Counter, "Received in vain."), |i| {
            i.rx_errors
        }),
        (
            Family("cofferdam_container_network_receive_drops", Counter, "Received and dropped."),
            |i| i.rx_dropped,
        ),
        (Family("cofferdam_container_network_transmit_bytes", Counter, "Sent."), |i| i.tx_bytes),
        (Family("cofferdam_container_network_transmit_packets", Counter, "Packets sent."), |i| {
            i.tx_packets
        }),
        (Family("cofferdam_container_network_transmit_errors", Counter, "Sent in vain."), |i| {
            i.tx_errors
        }),
        (Family("cofferdam_container_network_transmit_drops", Counter, "Dropped unsent."), |i| {
            i.tx_dropped
        }),
    ];
    for (family, figure) in families {
        for row in rows {
            for (name, network, interface) in &row.measured.interfaces {
                let labels = row.labels.and(&[("interface", name), ("network", network)]);
                page.sample(family, &labels, figure(interface));
            }
        }
    }
}

fn of_pressure(page: &mut Page, rows: &[Row<'_>]) {
    let family = Family(
        "cofferdam_container_pressure_seconds",
        Counter,
        "How long some of its tasks, or all that were not idle, waited for a resource.",
    );
    for row in rows {
        let Some(gauge) = &row.measured.gauge else { continue };
        let pressure = &gauge.pressure;
        let all = [("cpu", pressure.cpu), ("io", pressure.io), ("memory", pressure.memory)];
        for (resource, stalls) in all {
            let Some(stalls) = stalls else { continue };
            for (kind, stall) in [("some", stalls.some), ("full", stalls.full)] {
                let labels = row.labels.and(&[("resource", resource), ("kind", kind)]);
                page.sample(family, &labels, Seconds(stall.total * 1000));
            }
        }
    }
}

//! A container as `docker inspect` shows it.

use crate::listed::SizeQuota;
use crate::when::rfc3339;
use engine::{Container, Health, MountPoint, Size, State};
use serde::Serialize;
use spec::docker::{Config, EndpointSettings, HostConfig};
use spec::ports::PortMap;
use std::collections::BTreeMap;

/// Body of `GET /containers/{id}/json`, fields in Docker's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected<'a> {
    id: &'a str,
    created: String,
    path: &'a str,
    args: &'a [String],
    state: StateView<'a>,
    image: &'a str,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    mount_label: &'a str,
    process_label: &'a str,
    app_armor_profile: &'a str,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<Vec<&'a str>>,
    host_config: &'a HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_quota: Option<SizeQuota>,
    mounts: Vec<Mount<'a>>,
    config: &'a Config,
    network_settings: NetworkSettings<'a>,
    /// Ours: how it is confined.
    cofferdam: Confinement<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API's own words")]
struct StateView<'a> {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: i32,
    exit_code: u8,
    error: &'a str,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthView<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthView<'a> {
    status: &'static str,
    failing_streak: u32,
    log: Vec<ProbeView<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProbeView<'a> {
    start: String,
    end: String,
    exit_code: i16,
    output: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: BTreeMap<&'static str, String>,
    name: &'static str,
}

/// An entry of `Mounts`, here and in lists.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    source: &'a str,
    destination: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    driver: &'a str,
    mode: &'a str,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings<'a> {
    bridge: &'static str,
    #[serde(rename = "SandboxID")]
    sandbox_id: &'a str,
    sandbox_key: String,
    ports: &'a PortMap,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: Option<Vec<String>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<Vec<String>>,
    // Those of the default network, as clients before version 1.21 read them.
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    gateway: &'a str,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: &'a str,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: &'a str,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: &'a str,
    mac_address: &'a str,
    networks: &'a BTreeMap<String, EndpointSettings>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Confinement<'a> {
    /// Every way in which it is weaker than the default, in words.
    weakened: &'a [String],
    /// First of its private range of ids.
    id_base: Option<u32>,
    /// How many there are.
    id_size: Option<u32>,
    /// So many lines are missing where its log driver brings them; null if its
    /// monitor does not say.
    log_dropped: Option<u64>,
}

impl<'a> Inspected<'a> {
    /// Lays a container out.
    pub fn of(container: &'a Container, size: Option<Size>, log_dropped: Option<u64>) -> Self {
        // One label serves both systems: an SELinux label has colons.
        let selinux = container.process_label.contains(':');
        let (process_label, app_armor_profile) =
            if selinux { (&*container.process_label, "") } else { ("", &*container.process_label) };
        let path = |path: &std::path::Path| path.display().to_string();
        Self {
            id: container.id.as_str(),
            created: rfc3339(container.created),
            path: &container.path,
            args: &container.args,
            state: StateView::of(container),
            image: &container.image,
            resolv_conf_path: path(&container.resolv_conf_path),
            hostname_path: path(&container.hostname_path),
            hosts_path: path(&container.hosts_path),
            // Docker names this one alone; others are the driver's own affair.
            log_path: match &*container.host.log_config.kind {
                "json-file" => container.log_path.as_deref().map(path).unwrap_or_default(),
                _ => String::new(),
            },
            name: format!("/{}", container.name),
            restart_count: container.restart_count,
            driver: "overlay2",
            platform: "linux",
            mount_label: &container.mount_label,
            process_label,
            app_armor_profile,
            exec_ids: (!container.execs.is_empty())
                .then(|| container.execs.iter().map(spec::Id::as_str).collect()),
            host_config: &container.host,
            graph_driver: GraphDriver {
                data: BTreeMap::from([
                    ("ID", container.id.to_string()),
                    ("UpperDir", path(&container.upper_dir)),
                ]),
                name: "overlay2",
            },
            size_rw: size.map(|size| size.rw),
            size_root_fs: size.map(|size| size.root),
            size_quota: size.and_then(|size| size.quota).map(SizeQuota::from),
            mounts: container.mounts.iter().map(Mount::of).collect(),
            config: &container.config,
            network_settings: NetworkSettings::of(container),
            cofferdam: Confinement {
                weakened: &container.weakened,
                id_base: container.id_base,
                id_size: container.id_size,
                log_dropped,
            },
        }
    }
}

impl<'a> StateView<'a> {
    fn of(container: &'a Container) -> Self {
        let (state, last) = (&container.state, &container.last);
        let restarting = matches!(state, State::Restarting { .. });
        Self {
            status: state.word(),
            running: state.is_running() || restarting,
            paused: matches!(state, State::Paused { .. }),
            restarting,
            oom_killed: last.oom,
            dead: matches!(state, State::Dead),
            pid: state.pid().unwrap_or(0),
            exit_code: last.code,
            error: &last.error,
            started_at: rfc3339(last.started),
            finished_at: rfc3339(last.finished),
            health: container.health.as_ref().map(HealthView::of),
        }
    }
}

impl<'a> HealthView<'a> {
    fn of(health: &'a Health) -> Self {
        let probe = |probe: &'a engine::Probe| ProbeView {
            start: rfc3339(probe.start),
            end: rfc3339(probe.end),
            exit_code: probe.code,
            output: &probe.output,
        };
        Self {
            status: health.status.word(),
            failing_streak: health.failing_streak,
            log: health.log.iter().map(probe).collect(),
        }
    }
}

impl<'a> Mount<'a> {
    /// Lays a mount out.
    pub fn of(mount: &'a MountPoint) -> Self {
        Self {
            kind: &mount.kind,
            name: &mount.name,
            source: &mount.source,
            destination: &mount.destination,
            driver: &mount.driver,
            mode: &mount.mode,
            rw: mount.rw,
            propagation: &mount.propagation,
        }
    }
}

impl<'a> NetworkSettings<'a> {
    fn of(container: &'a Container) -> Self {
        let default = container.endpoints.get("bridge");
        let text = |field: fn(&EndpointSettings) -> &String| default.map_or("", |e| field(e));
        let pid = container.state.pid();
        Self {
            bridge: "",
            sandbox_id: pid.map_or("", |_| container.id.as_str()),
            sandbox_key: pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
            ports: &container.ports,
            hairpin_mode: false,
            link_local_ipv6_address: "",
            link_local_ipv6_prefix_len: 0,
            secondary_ip_addresses: None,
            secondary_ipv6_addresses: None,
            endpoint_id: text(|e| &e.endpoint_id),
            gateway: text(|e| &e.gateway),
            global_ipv6_address: text(|e| &e.global_ipv6_address),
            global_ipv6_prefix_len: default.map_or(0, |e| e.global_ipv6_prefix_len),
            ip_address: text(|e| &e.ip_address),
            ip_prefix_len: default.map_or(0, |e| e.ip_prefix_len),
            ipv6_gateway: text(|e| &e.ipv6_gateway),
            mac_address: text(|e| &e.mac_address),
            networks: &container.endpoints,
        }
    }
}

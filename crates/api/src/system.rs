//! The engine itself: ping, version, info, disk usage.

use crate::answer::{Answer, Content, Outcome};
use crate::call::{Call, NEWEST, OLDEST, Version as ApiVersion};
use crate::containers::Names;
use crate::error::Error;
use crate::filter::Filters;
use crate::listed;
use crate::when;
use crate::{images, volumes};
use engine::Facts;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::Serialize;
use std::collections::BTreeMap;

/// Of this engine.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET` and `HEAD /_ping`: what clients negotiate with.
pub fn ping(_: &Call) -> Outcome {
    let text = Content::Whole("OK".into());
    let value = HeaderValue::from_static;
    Ok(Answer::of(StatusCode::OK, "text/plain; charset=utf-8", text)
        .with("builder-version", value("2"))
        .with("cache-control", value("no-cache, no-store, must-revalidate"))
        .with("pragma", value("no-cache"))
        .with("swarm", value("inactive")))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version<'a> {
    platform: Platform,
    components: [Component<'a>; 1],
    version: &'static str,
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    git_commit: &'static str,
    go_version: &'static str,
    os: &'static str,
    arch: &'static str,
    kernel_version: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    experimental: bool,
    build_time: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Platform {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Component<'a> {
    name: &'static str,
    version: &'static str,
    details: BTreeMap<&'static str, &'a str>,
}

/// Docker's word for this machine.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /version`.
pub fn version(call: &Call) -> Outcome {
    let facts = call.engine.facts();
    let (newest, oldest) = (NEWEST.to_string(), OLDEST.to_string());
    let details = BTreeMap::from([
        ("ApiVersion", &*newest),
        ("Arch", arch()),
        ("BuildTime", ""),
        ("Experimental", if call.engine.options().experimental { "true" } else { "false" }),
        ("GitCommit", ""),
        ("GoVersion", ""),
        ("KernelVersion", &*facts.kernel),
        ("MinAPIVersion", &*oldest),
        ("Os", "linux"),
    ]);
    Ok(Answer::json(&Version {
        platform: Platform { name: "Cofferdam" },
        // Clients look for this name.
        components: [Component { name: "Engine", version: VERSION, details }],
        version: VERSION,
        api_version: newest.clone(),
        min_api_version: oldest.clone(),
        git_commit: "",
        go_version: "",
        os: "linux",
        arch: arch(),
        kernel_version: &facts.kernel,
        experimental: call.engine.options().experimental,
        build_time: "",
    }))
}

/// Body of `GET /info`; no map or list of it that clients walk is null.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API's own words")]
struct Info<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    containers: u64,
    containers_running: u64,
    containers_paused: u64,
    containers_stopped: u64,
    images: u64,
    driver: &'a str,
    driver_status: Vec<[String; 2]>,
    plugins: Plugins,
    memory_limit: bool,
    swap_limit: bool,
    cpu_cfs_period: bool,
    cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    cpu_set: bool,
    pids_limit: bool,
    #[serde(rename = "IPv4Forwarding")]
    ipv4_forwarding: bool,
    debug: bool,
    n_fd: u64,
    oom_kill_disable: bool,
    n_goroutines: u64,
    system_time: String,
    logging_driver: &'a str,
    cgroup_driver: &'static str,
    cgroup_version: &'a str,
    n_events_listener: u64,
    kernel_version: &'a str,
    operating_system: &'a str,
    #[serde(rename = "OSVersion")]
    os_version: &'a str,
    #[serde(rename = "OSType")]
    os_type: &'static str,
    architecture: &'a str,
    index_server_address: &'static str,
    registry_config: Registries<'a>,
    #[serde(rename = "NCPU")]
    n_cpu: u32,
    mem_total: u64,
    generic_resources: Option<Vec<String>>,
    docker_root_dir: String,
    http_proxy: &'static str,
    https_proxy: &'static str,
    no_proxy: &'static str,
    name: &'a str,
    labels: [&'static str; 0],
    experimental_build: bool,
    server_version: &'static str,
    runtimes: BTreeMap<&'static str, Runtime>,
    default_runtime: &'static str,
    swarm: Swarm,
    live_restore_enabled: bool,
    isolation: &'static str,
    init_binary: &'static str,
    containerd_commit: Commit,
    runc_commit: Commit,
    init_commit: Commit,
    security_options: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    firewall_backend: Option<Firewall>,
    #[serde(flatten)]
    bridge_nf: Option<BridgeNf>,
    #[serde(rename = "CDISpecDirs")]
    cdi_spec_dirs: [&'static str; 0],
    warnings: Option<&'a [String]>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Plugins {
    volume: [&'static str; 1],
    network: [&'static str; 6],
    authorization: Option<Vec<String>>,
    log: [&'static str; 5],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Registries<'a> {
    index_configs: BTreeMap<&'a str, Index<'a>>,
    #[serde(rename = "InsecureRegistryCIDRs")]
    insecure_registry_cidrs: Vec<&'a str>,
    mirrors: &'a [String],
    #[serde(flatten)]
    foreign: Option<Foreign>,
}

/// Registries that layers of somebody else's might be sent to: none is.
#[derive(Serialize)]
struct Foreign {
    #[serde(rename = "AllowNondistributableArtifactsCIDRs")]
    networks: Option<()>,
    #[serde(rename = "AllowNondistributableArtifactsHostnames")]
    hosts: Option<()>,
}

/// Whether bridges show their frames to iptables; Docker's later versions say
/// no to older clients, whatever is.
#[derive(Serialize)]
struct BridgeNf {
    #[serde(rename = "BridgeNfIptables")]
    by_ipv4: bool,
    #[serde(rename = "BridgeNfIp6tables")]
    by_ipv6: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Index<'a> {
    mirrors: &'a [String],
    name: &'a str,
    official: bool,
    secure: bool,
}

#[derive(Serialize)]
struct Runtime {
    path: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(rename = "NodeID")]
    node_id: &'static str,
    node_addr: &'static str,
    local_node_state: &'static str,
    control_available: bool,
    error: &'static str,
    remote_managers: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Commit {
    #[serde(rename = "ID")]
    id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Firewall {
    driver: &'static str,
}

/// `GET /info`.
pub fn info(call: &Call) -> Outcome {
    let facts = call.engine.facts();
    let options = call.engine.options();
    let runtime = options.runtime_binary.display().to_string();
    let registries = registries(&options.registry_mirrors, &options.insecure_registries);
    let mut info = Info {
        docker_root_dir: options.data_root.display().to_string(),
        experimental_build: options.experimental,
        ..info_of(&facts, registries, &runtime)
    };
    info.keep_to(call.version);
    Ok(Answer::json(&info))
}

/// Since when clients are told who filters packets.
const TELLS_FIREWALL: ApiVersion = ApiVersion(49);
/// Up to which they are told of iptables on bridges.
const HAD_BRIDGE_NF: ApiVersion = ApiVersion(49);
/// Up to which they are told of registries for others' layers.
const HAD_FOREIGN: ApiVersion = ApiVersion(46);

impl Info<'_> {
    /// What a version has, and no more.
    fn keep_to(&mut self, version: ApiVersion) {
        if version < TELLS_FIREWALL {
            self.firewall_backend = None;
        }
        if version <= HAD_BRIDGE_NF {
            self.bridge_nf = Some(BridgeNf { by_ipv4: false, by_ipv6: false });
        }
        if version <= HAD_FOREIGN {
            self.registry_config.foreign = Some(Foreign { networks: None, hosts: None });
        }
    }
}

/// Networks of insecure registries, and single ones, are listed apart.
fn registries<'a>(mirrors: &'a [String], insecure: &'a [String]) -> Registries<'a> {
    let hub = Index { mirrors, name: "docker.io", official: true, secure: true };
    let (networks, hosts): (Vec<&str>, Vec<&str>) =
        insecure.iter().map(String::as_str).partition(|entry| entry.contains('/'));
    let host = |name| (name, Index { mirrors: &[], name, official: false, secure: false });
    Registries {
        index_configs: hosts.into_iter().map(host).chain([("docker.io", hub)]).collect(),
        insecure_registry_cidrs: ["::1/128", "127.0.0.0/8"].into_iter().chain(networks).collect(),
        mirrors,
        foreign: None,
    }
}

/// In Docker's words, and whether containers can be limited.
fn driver_status(facts: &Facts) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["Backing Filesystem".into(), facts.backing_filesystem.clone()],
        ["Supports d_type".into(), "true".into()],
        ["Project Quota".into(), facts.project_quota.to_string()],
    ];
    if let Some(bytes) = facts.container_limit {
        rows.push(["Container Size Limit".into(), format!("{bytes} bytes")]);
    }
    rows
}

fn info_of<'a>(facts: &'a Facts, registries: Registries<'a>, runtime: &str) -> Info<'a> {
    Info {
        id: &facts.id,
        containers: facts.containers,
        containers_running: facts.running,
        containers_paused: facts.paused,
        containers_stopped: facts.stopped,
        images: facts.images,
        driver: &facts.storage_driver,
        driver_status: driver_status(facts),
        plugins: Plugins {
            volume: ["local"],
            network: ["bridge", "host", "ipvlan", "macvlan", "null", "routed"],
            authorization: None,
            log: engine::LOG_DRIVERS,
        },
        memory_limit: facts.memory_limit,
        swap_limit: facts.swap_limit,
        cpu_cfs_period: facts.cpu_quota,
        cpu_cfs_quota: facts.cpu_quota,
        cpu_shares: facts.cpu_shares,
        cpu_set: facts.cpuset,
        pids_limit: facts.pids_limit,
        ipv4_forwarding: facts.ipv4_forwarding,
        debug: false,
        n_fd: std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64),
        oom_kill_disable: facts.cgroup_version == "1",
        n_goroutines: 0,
        system_time: when::rfc3339(when::now()),
        logging_driver: &facts.log_driver,
        cgroup_driver: "cgroupfs",
        cgroup_version: &facts.cgroup_version,
        n_events_listener: facts.listeners,
        kernel_version: &facts.kernel,
        operating_system: &facts.os,
        os_version: &facts.os_version,
        os_type: "linux",
        architecture: &facts.machine,
        index_server_address: "https://index.docker.io/v1/",
        registry_config: registries,
        n_cpu: facts.cpus,
        mem_total: facts.memory,
        generic_resources: None,
        docker_root_dir: String::new(),
        http_proxy: "",
        https_proxy: "",
        no_proxy: "",
        name: &facts.hostname,
        labels: [],
        experimental_build: false,
        server_version: VERSION,
        runtimes: BTreeMap::from([("cofferdam-run", Runtime { path: runtime.to_owned() })]),
        default_runtime: "cofferdam-run",
        swarm: Swarm {
            node_id: "",
            node_addr: "",
            local_node_state: "inactive",
            control_available: false,
            error: "",
            remote_managers: None,
        },
        // Containers outlive the daemon, always.
        live_restore_enabled: true,
        isolation: "",
        init_binary: "",
        containerd_commit: Commit { id: "" },
        runc_commit: Commit { id: "" },
        init_commit: Commit { id: "" },
        security_options: &facts.security_options,
        firewall_backend: Some(Firewall { driver: "nftables" }),
        bridge_nf: None,
        cdi_spec_dirs: [],
        warnings: (!facts.warnings.is_empty()).then_some(&facts.warnings),
    }
}

/// `GET /plugins`: there are none.
pub fn plugins(call: &Call) -> Outcome {
    let filters = Filters::parse(call.query.text("filters"), &["capability", "enabled"])?;
    filters.boolean("enabled")?;
    Ok(Answer::json(&[(); 0]))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DiskUsage<'a> {
    layers_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<images::Listed<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<Vec<listed::Listed<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Vec<volumes::Listed<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_cache: Option<Vec<crate::build::Listed>>,
}

/// What `type` of `GET /system/df` may name.
const KINDS: &[&str] = &["container", "image", "volume", "build-cache"];

/// `GET /system/df`, all of it or the kinds that `type` names.
pub fn df(call: &Call) -> Outcome {
    let kinds = call.query.all("type");
    if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Error::bad(format!("unknown object type: {kind}")));
    }
    let wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|k| k == kind);
    let usage = call.engine.disk_usage()?;
    let now = when::now();
    let mut names = Names::default();
    let images = || {
        usage.images.iter().map(|(i, shared)| images::Listed::of(i, Some(*shared), call.version))
    };
    let containers = wanted("container").then(|| {
        let rows = usage.containers.iter().map(|(container, size)| {
            let image = names.today(&call.engine, container);
            listed::Listed::of(container, image, Some(*size), now)
        });
        rows.collect()
    });
    let build_cache = if wanted("build-cache") { Some(crate::build::listed(call)?) } else { None };
    let volumes = || usage.volumes.iter().map(|(v, size)| volumes::Listed::of(v, Some(*size)));
    Ok(Answer::json(&DiskUsage {
        layers_size: usage.layers,
        images: wanted("image").then(|| images().collect()),
        containers,
        volumes: wanted("volume").then(|| volumes().collect()),
        build_cache,
    }))
}

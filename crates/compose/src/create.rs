//! A service into the body of `POST /containers/create`; networks and
//! volumes into theirs. Pure.
//!
//! - [`mounts`]: volumes, secrets and configs
//! - [`networks`]: the networks that a container is on

mod mounts;
mod networks;

pub use mounts::{Injected, injected};
pub use networks::{network_body, volume_body};

use crate::{
    error::{Outcome, unfit},
    model::{Blkio, Bytes, Healthcheck, Rate, Service, Ulimit},
    project::Project,
};
use spec::docker::{
    Config, CreateBody, DeviceMapping, Healthcheck as Check, HostConfig, LogConfig, PortBinding,
    RestartPolicy, ThrottleDevice, Ulimit as Limit, WeightDevice, Words,
};
use std::collections::BTreeMap;

/// The start of every label of Compose's.
const LABEL: &str = "com.docker.compose.";

/// What a container is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be one of a service's.
    Service,
    /// For `run`: once.
    Once,
}

/// What is known of a container that is to be made, beside its service.
pub struct Named<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number among its service's containers, from 1.
    pub number: i64,
    /// What it is for.
    pub kind: Kind,
    /// The identifier of its image, if it is known.
    pub image_id: Option<&'a str>,
    /// Which networks' names it takes: all of its service, or its own alone.
    pub aliases: bool,
    /// The identifiers of a service's containers, for those that join them.
    pub containers: &'a dyn Fn(&str) -> Vec<(String, String)>,
    /// Volumes without a name that it takes over: target and name.
    pub inherited: &'a [(String, String)],
}

/// The label of a kind, in full.
pub fn label(kind: &str) -> String {
    format!("{LABEL}{kind}")
}

/// The labels of a container: its service's, and those that Compose finds it by.
pub fn labels(project: &Project, service: &Service, named: &Named<'_>) -> BTreeMap<String, String> {
    let mut labels = service.labels.clone();
    let once = named.kind == Kind::Once;
    let files: Vec<String> = project.files.iter().map(|file| file.display().to_string()).collect();
    let depends: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, on)| format!("{name}:{}:{}", on.condition.word(), on.restart))
        .collect();
    let own = [
        ("project", project.name.clone()),
        ("service", service.name.clone()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("oneoff", if once { "True" } else { "False" }.to_owned()),
        ("config-hash", project.hash(&service.name)),
        ("container-number", named.number.to_string()),
        ("depends_on", depends.join(",")),
        ("image", named.image_id.unwrap_or_default().to_owned()),
        ("project.config_files", files.join(",")),
        ("project.working_dir", project.directory.display().to_string()),
        ("project.environment_file", project.env_files.join(",")),
    ];
    for (kind, value) in own {
        if !(value.is_empty() && kind == "project.environment_file") {
            labels.insert(label(kind), value);
        }
    }
    labels
}

/// The whole request.
///
/// # Errors
/// What this engine has no way for.
pub fn create_body(project: &Project, service: &Service, named: &Named<'_>) -> Outcome<CreateBody> {
    let mut config = config(project, service, named);
    let mut host = host_config(service)?;
    ports(service, &mut config, &mut host)?;
    host.ipc_mode = joined(&service.ipc, service, named)?;
    host.pid_mode = joined(&service.pid, service, named)?;
    host.cgroupns_mode.clone_from(&service.cgroup);
    host.volumes_from = volumes_from(service, named)?;
    mounts::mounts(project, service, named, &mut host)?;
    let networking_config = networks::networks(project, service, named, &mut host)?;
    Ok(CreateBody { config, host_config: host, networking_config })
}

/// The name of an image that a service without one is given.
pub fn image(project: &Project, service: &Service) -> String {
    match &*service.image {
        "" => format!("{}-{}", project.name, service.name),
        image => image.to_owned(),
    }
}

fn config(project: &Project, service: &Service, named: &Named<'_>) -> Config {
    let variable = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    let words = |words: &Option<Vec<String>>| words.clone().map(Words);
    Config {
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        attach_stdout: true,
        attach_stderr: true,
        tty: service.tty,
        open_stdin: service.stdin_open,
        env: service.environment.iter().map(variable).collect(),
        cmd: words(&service.command),
        healthcheck: service.healthcheck.as_ref().map(health),
        image: image(project, service),
        working_dir: service.working_dir.clone(),
        entrypoint: words(&service.entrypoint),
        labels: labels(project, service, named),
        stop_signal: service.stop_signal.clone(),
        // Whole seconds: the API has no other.
        stop_timeout: service.stop_grace_period.map(|period| period.0 / 1_000_000_000),
        ..Config::default()
    }
}

fn health(check: &Healthcheck) -> Check {
    if check.disable {
        return Check { test: vec!["NONE".into()], ..Check::default() };
    }
    Check {
        test: check.test.clone(),
        interval: check.interval.map(|time| time.0),
        timeout: check.timeout.map(|time| time.0),
        retries: check.retries,
        start_period: check.start_period.map(|time| time.0),
        start_interval: check.start_interval.map(|time| time.0),
    }
}

fn host_config(service: &Service) -> Outcome<HostConfig> {
    let many = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let pairs = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    let limits = &service.deploy.resources.limits;
    let reserved = &service.deploy.resources.reservations;
    let either = |new: Bytes, old: Bytes| if new.0 == 0 { old.0 } else { new.0 };
    let cpus = if limits.cpus > 0.0 { limits.cpus } else { service.cpus };
    let pids = if limits.pids == 0 { service.pids_limit } else { limits.pids };
    let logging = service.logging.clone().unwrap_or_default();
    let hosts: Vec<String> =
        service.extra_hosts.iter().map(|host| host.replacen('=', ":", 1)).collect();
    let mut host = HostConfig {
        log_config: LogConfig { kind: logging.driver, config: logging.options },
        restart_policy: restart(service)?,
        volume_driver: service.volume_driver.clone(),
        annotations: pairs(&service.annotations),
        cap_add: many(&service.cap_add),
        cap_drop: many(&service.cap_drop),
        dns: many(&service.dns),
        dns_options: many(&service.dns_opt),
        dns_search: many(&service.dns_search),
        extra_hosts: many(&hosts),
        group_add: many(&service.group_add),
        oom_score_adj: service.oom_score_adj,
        privileged: service.privileged,
        readonly_rootfs: service.read_only,
        storage_opt: pairs(&service.storage_opt),
        uts_mode: service.uts.clone(),
        userns_mode: service.userns_mode.clone(),
        shm_size: service.shm_size.0,
        sysctls: pairs(&service.sysctls),
        runtime: service.runtime.clone(),
        isolation: service.isolation.clone(),
        cpu_shares: service.cpu_shares,
        memory: either(limits.memory, service.mem_limit),
        memory_reservation: either(reserved.memory, service.mem_reservation),
        memory_swap: service.memswap_limit.0,
        memory_swappiness: service.mem_swappiness.map(|bytes| bytes.0),
        nano_cpus: nano(cpus),
        cgroup_parent: service.cgroup_parent.clone(),
        cpu_period: service.cpu_period,
        cpu_quota: service.cpu_quota,
        cpu_realtime_period: service.cpu_rt_period,
        cpu_realtime_runtime: service.cpu_rt_runtime,
        cpuset_cpus: service.cpuset.clone(),
        cpu_count: service.cpu_count,
        device_cgroup_rules: many(&service.device_cgroup_rules),
        oom_kill_disable: service.oom_kill_disable.then_some(true),
        init: service.init,
        pids_limit: (pids != 0).then_some(pids),
        ulimits: ulimits(&service.ulimits),
        ..HostConfig::default()
    };
    security(service, &mut host);
    blkio(&service.blkio_config, &mut host);
    if !service.devices.is_empty() {
        let device = |device: &crate::model::Device| DeviceMapping {
            path_on_host: device.source.clone(),
            path_in_container: device.target.clone(),
            cgroup_permissions: device.permissions.clone(),
        };
        host.devices = Some(service.devices.iter().map(device).collect());
    }
    if !service.tmpfs.is_empty() {
        let split = |text: &String| {
            let (path, options) = text.split_once(':').unwrap_or((text, ""));
            (path.to_owned(), options.to_owned())
        };
        host.tmpfs = Some(service.tmpfs.iter().map(split).collect());
    }
    Ok(host)
}

#[expect(clippy::cast_possible_truncation, reason = "a number of processors")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// `systempaths=unconfined` is two empty lists to the engine.
fn security(service: &Service, host: &mut HostConfig) {
    let mut options = Vec::new();
    for option in &service.security_opt {
        if option == "systempaths=unconfined" || option == "systempaths:unconfined" {
            (host.masked_paths, host.readonly_paths) = (Some(Vec::new()), Some(Vec::new()));
        } else {
            options.push(match option.split_once(':') {
                Some((key, value)) if !option.contains('=') => format!("{key}={value}"),
                _ => option.clone(),
            });
        }
    }
    host.security_opt = (!options.is_empty()).then_some(options);
}

fn blkio(blkio: &Blkio, host: &mut HostConfig) {
    let rates = |rates: &[Rate]| {
        let rate = |rate: &Rate| ThrottleDevice {
            path: rate.path.clone(),
            rate: u64::try_from(rate.rate.0).unwrap_or(0),
        };
        (!rates.is_empty()).then(|| rates.iter().map(rate).collect())
    };
    host.blkio_weight = blkio.weight;
    host.blkio_device_read_bps = rates(&blkio.device_read_bps);
    host.blkio_device_read_iops = rates(&blkio.device_read_iops);
    host.blkio_device_write_bps = rates(&blkio.device_write_bps);
    host.blkio_device_write_iops = rates(&blkio.device_write_iops);
    if !blkio.weight_device.is_empty() {
        let weights = blkio.weight_device.iter();
        let weight =
            |w: &crate::model::Weight| WeightDevice { path: w.path.clone(), weight: w.weight };
        host.blkio_weight_device = Some(weights.map(weight).collect());
    }
}

/// Limits as the API has them.
pub fn ulimits(limits: &BTreeMap<String, Ulimit>) -> Option<Vec<Limit>> {
    let limit = |(name, limit): (&String, &Ulimit)| {
        let (soft, hard) = match *limit {
            Ulimit::Both(both) => (both, both),
            Ulimit::Each { soft, hard } => (soft, hard),
        };
        Limit { name: name.clone(), soft, hard }
    };
    (!limits.is_empty()).then(|| limits.iter().map(limit).collect())
}

/// `restart`, else what `deploy` says.
fn restart(service: &Service) -> Outcome<RestartPolicy> {
    if !service.restart.is_empty() {
        let (name, count) = service.restart.split_once(':').unwrap_or((&service.restart, "0"));
        let maximum_retry_count = count.parse().map_err(|_| {
            unfit(format!(
                "service {:?}: invalid restart policy {:?}",
                service.name, service.restart
            ))
        })?;
        return Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count });
    }
    let Some(policy) = &service.deploy.restart_policy else {
        return Ok(RestartPolicy { name: "no".into(), maximum_retry_count: 0 });
    };
    let name = match &*policy.condition {
        "none" => "no",
        "on-failure" => "on-failure",
        "unless-stopped" => "unless-stopped",
        _ => "always",
    };
    let maximum_retry_count =
        if name == "on-failure" { policy.max_attempts.unwrap_or(0) } else { 0 };
    Ok(RestartPolicy { name: name.into(), maximum_retry_count })
}

/// Published and exposed ports.
fn ports(service: &Service, config: &mut Config, host: &mut HostConfig) -> Outcome<()> {
    for text in &service.expose {
        let ports = spec::exposed::exposed(text)
            .map_err(|error| unfit(format!("service {:?}: expose: {error}", service.name)))?;
        for port in &ports {
            config.exposed_ports.insert(port);
        }
    }
    for port in &service.ports {
        let inside = format!("{}/{}", port.target, port.protocol);
        config.exposed_ports.insert(&inside);
        let binding =
            PortBinding { host_ip: port.host_ip.clone(), host_port: port.published.clone() };
        host.port_bindings.add(&inside, [binding]);
    }
    Ok(())
}

/// `service:NAME` as the engine says it: a container.
fn joined(mode: &str, service: &Service, named: &Named<'_>) -> Outcome<String> {
    let Some(other) = mode.strip_prefix("service:") else { return Ok(mode.to_owned()) };
    let (id, _) = first(other, service, named)?;
    Ok(format!("container:{id}"))
}

/// A container of a service that another one needs.
fn first(other: &str, service: &Service, named: &Named<'_>) -> Outcome<(String, String)> {
    (named.containers)(other).into_iter().next().ok_or_else(|| {
        unfit(format!("service {:?} needs a container of {other:?}, which has none", service.name))
    })
}

fn volumes_from(service: &Service, named: &Named<'_>) -> Outcome<Option<Vec<String>>> {
    let mut all = Vec::new();
    for from in &service.volumes_from {
        if let Some(container) = from.strip_prefix("container:") {
            all.push(container.to_owned());
            continue;
        }
        let (other, mode) = from.split_once(':').unwrap_or((from, ""));
        let (id, _) = first(other, service, named)?;
        all.push(if mode.is_empty() { id } else { format!("{id}:{mode}") });
    }
    Ok((!all.is_empty()).then_some(all))
}

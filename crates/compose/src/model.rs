//! A project, typed: what everything after the files works with.
//!
//! Sizes are bytes, times nanoseconds, paths absolute, names those that the
//! engine knows. Attributes are the specification's; what each means is said
//! there.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::collections::BTreeMap;

/// Names and values.
pub type Pairs = BTreeMap<String, String>;

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Service {
    #[serde(skip)]
    pub name: String,
    pub profiles: Vec<String>,
    pub annotations: Pairs,
    pub attach: Option<bool>,
    pub build: Option<Build>,
    pub blkio_config: Blkio,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cgroup_parent: String,
    pub cgroup: String,
    pub cpu_count: i64,
    pub cpu_percent: f64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpu_rt_period: i64,
    pub cpu_rt_runtime: i64,
    pub cpus: f64,
    pub cpuset: String,
    pub cpu_shares: i64,
    pub command: Option<Vec<String>>,
    pub configs: Vec<Grant>,
    pub container_name: Option<String>,
    pub depends_on: BTreeMap<String, Dependency>,
    pub deploy: Deploy,
    pub device_cgroup_rules: Vec<String>,
    pub devices: Vec<Device>,
    pub dns: Vec<String>,
    pub dns_opt: Vec<String>,
    pub dns_search: Vec<String>,
    pub domainname: String,
    pub entrypoint: Option<Vec<String>>,
    /// A name without a value is not passed on.
    pub environment: BTreeMap<String, Option<String>>,
    pub expose: Vec<String>,
    pub external_links: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub group_add: Vec<String>,
    pub hostname: String,
    pub healthcheck: Option<Healthcheck>,
    pub image: String,
    pub init: Option<bool>,
    pub ipc: String,
    pub isolation: String,
    pub labels: Pairs,
    pub links: Vec<String>,
    pub logging: Option<Logging>,
    pub mem_limit: Bytes,
    pub mem_reservation: Bytes,
    pub memswap_limit: Bytes,
    pub mem_swappiness: Option<Bytes>,
    pub mac_address: String,
    pub networks: BTreeMap<String, Option<Endpoint>>,
    pub network_mode: String,
    pub oom_kill_disable: bool,
    pub oom_score_adj: i32,
    pub pid: String,
    pub pids_limit: i64,
    pub platform: String,
    pub ports: Vec<Port>,
    pub privileged: bool,
    pub pull_policy: String,
    pub read_only: bool,
    pub restart: String,
    pub runtime: String,
    pub scale: Option<i64>,
    pub secrets: Vec<Grant>,
    pub security_opt: Vec<String>,
    pub shm_size: Bytes,
    pub stdin_open: bool,
    pub stop_grace_period: Option<Duration>,
    pub stop_signal: Option<String>,
    pub storage_opt: Pairs,
    pub sysctls: Pairs,
    pub tmpfs: Vec<String>,
    pub tty: bool,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub user: String,
    pub userns_mode: String,
    pub uts: String,
    pub volume_driver: String,
    pub volumes: Vec<Mount>,
    pub volumes_from: Vec<String>,
    pub working_dir: String,
}

impl Service {
    /// How many containers it is to have.
    pub fn replicas(&self) -> i64 {
        self.scale.or(self.deploy.replicas).unwrap_or(1)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub i64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A length of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duration(pub i64);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let read = spec::duration::nanoseconds_with_days(&text);
        read.map(Self).ok_or_else(|| D::Error::custom("no duration"))
    }
}

/// How an image is built.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Build {
    pub context: String,
    pub dockerfile: Option<String>,
    pub dockerfile_inline: Option<String>,
    pub entitlements: Vec<String>,
    pub args: Pairs,
    pub ssh: Vec<String>,
    pub labels: Pairs,
    pub cache_from: Vec<String>,
    pub cache_to: Vec<String>,
    pub no_cache: bool,
    pub additional_contexts: Pairs,
    pub pull: bool,
    pub extra_hosts: Vec<String>,
    pub isolation: String,
    pub network: String,
    pub target: String,
    pub secrets: Vec<Grant>,
    pub shm_size: Bytes,
    pub tags: Vec<String>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub platforms: Vec<String>,
    pub privileged: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Blkio {
    pub weight: u16,
    pub weight_device: Vec<Weight>,
    pub device_read_bps: Vec<Rate>,
    pub device_read_iops: Vec<Rate>,
    pub device_write_bps: Vec<Rate>,
    pub device_write_iops: Vec<Rate>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Weight {
    pub path: String,
    pub weight: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Rate {
    pub path: String,
    pub rate: Bytes,
}

/// A config or secret that a service is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Grant {
    pub source: String,
    pub target: Option<String>,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub mode: Option<u32>,
}

/// Whom a service waits for, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub struct Dependency {
    pub condition: Condition,
    #[serde(default)]
    pub restart: bool,
    pub required: bool,
}

/// What a dependency has to have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, clippy::enum_variant_names, reason = "the specification's words")]
pub enum Condition {
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

impl Condition {
    /// The specification's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ServiceStarted => "service_started",
            Self::ServiceHealthy => "service_healthy",
            Self::ServiceCompletedSuccessfully => "service_completed_successfully",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Deploy {
    pub mode: String,
    pub replicas: Option<i64>,
    pub resources: Resources,
    pub restart_policy: Option<DeployRestart>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Resources {
    pub limits: Limits,
    pub reservations: Limits,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Limits {
    pub cpus: f64,
    pub memory: Bytes,
    pub pids: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct DeployRestart {
    pub condition: String,
    pub max_attempts: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Device {
    pub source: String,
    pub target: String,
    pub permissions: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Healthcheck {
    pub test: Vec<String>,
    pub timeout: Option<Duration>,
    pub interval: Option<Duration>,
    pub retries: Option<i64>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub disable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Logging {
    pub driver: String,
    pub options: Pairs,
}

/// A service on one of its networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Endpoint {
    pub priority: i64,
    pub gw_priority: i64,
    pub aliases: Vec<String>,
    pub ipv4_address: String,
    pub ipv6_address: String,
    pub link_local_ips: Vec<String>,
    pub mac_address: String,
    pub driver_opts: Pairs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Port {
    pub mode: String,
    pub host_ip: String,
    pub target: u16,
    pub published: String,
    pub protocol: String,
}

/// One or two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Ulimit {
    Both(i64),
    Each {
        #[serde(default)]
        soft: i64,
        #[serde(default)]
        hard: i64,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Mount {
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    pub target: String,
    pub read_only: bool,
    pub consistency: String,
    pub bind: Option<BindOptions>,
    pub volume: Option<VolumeOptions>,
    pub tmpfs: Option<TmpfsOptions>,
    pub image: Option<ImageOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct BindOptions {
    pub selinux: String,
    pub propagation: String,
    pub create_host_path: bool,
    pub recursive: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct VolumeOptions {
    pub nocopy: bool,
    pub subpath: String,
    pub labels: Pairs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct TmpfsOptions {
    pub size: Bytes,
    pub mode: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ImageOptions {
    pub subpath: String,
}

/// A network of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Network {
    pub name: String,
    pub driver: String,
    pub driver_opts: Pairs,
    pub ipam: Ipam,
    pub external: bool,
    pub internal: bool,
    pub attachable: bool,
    pub labels: Pairs,
    pub enable_ipv6: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Ipam {
    pub driver: String,
    pub config: Vec<Pool>,
    pub options: Pairs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Pool {
    pub subnet: String,
    pub gateway: String,
    pub ip_range: String,
    pub aux_addresses: Pairs,
}

/// A volume of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Volume {
    pub name: String,
    pub driver: String,
    pub driver_opts: Pairs,
    pub external: bool,
    pub labels: Pairs,
}

/// A secret or config of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct FileObject {
    pub name: String,
    pub file: Option<String>,
    pub environment: Option<String>,
    pub content: Option<String>,
    pub external: bool,
}

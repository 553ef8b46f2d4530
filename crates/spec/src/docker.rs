//! What a client of the Docker Engine API asks for, as it stands in the body
//! of `POST /containers/create`: also what a container's record keeps and
//! `inspect` shows.
//!
//! Field names are the API's (version 1.51). An absent field and `null` are
//! the same and mean "the default".

use crate::ports::{PortMap, PortSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Go's `struct{}` as the value of a set-like map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Accepts `null` for a value's default.
///
/// # Errors
/// Whatever the value itself says.
pub fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A command: a list, or (in old clients) one string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "Vec<String>")]
pub struct Words(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Words {
    fn from(words: OneOrMany) -> Self {
        Words(match words {
            OneOrMany::One(word) => vec![word],
            OneOrMany::Many(words) => words,
        })
    }
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Self {
        words.0
    }
}

/// The body of `POST /containers/create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct CreateBody {
    #[serde(flatten)]
    pub config: Config,
    #[serde(deserialize_with = "null_is_default")]
    pub host_config: HostConfig,
    #[serde(deserialize_with = "null_is_default")]
    pub networking_config: NetworkingConfig,
}

/// What does not depend on the host: shared with an image's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Config {
    #[serde(deserialize_with = "null_is_default")]
    pub hostname: String,
    #[serde(deserialize_with = "null_is_default")]
    pub domainname: String,
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stdin: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stdout: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stderr: bool,
    #[serde(skip_serializing_if = "PortSet::is_empty", deserialize_with = "null_is_default")]
    pub exposed_ports: PortSet,
    #[serde(deserialize_with = "null_is_default")]
    pub tty: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub open_stdin: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub stdin_once: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    pub cmd: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,
    #[serde(deserialize_with = "null_is_default")]
    pub image: String,
    pub volumes: Option<BTreeMap<String, Empty>>,
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    pub entrypoint: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    pub on_build: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// A health check; times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Healthcheck {
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
}

/// What depends on the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct HostConfig {
    /// `SOURCE:DESTINATION[:OPTIONS]`.
    pub binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile", deserialize_with = "null_is_default")]
    pub container_id_file: String,
    #[serde(deserialize_with = "null_is_default")]
    pub log_config: LogConfig,
    #[serde(deserialize_with = "null_is_default")]
    pub network_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub port_bindings: PortMap,
    #[serde(deserialize_with = "null_is_default")]
    pub restart_policy: RestartPolicy,
    #[serde(deserialize_with = "null_is_default")]
    pub auto_remove: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub volume_driver: String,
    pub volumes_from: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub console_size: [u32; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroupns_mode: String,
    pub dns: Option<Vec<String>>,
    pub dns_options: Option<Vec<String>>,
    pub dns_search: Option<Vec<String>>,
    pub extra_hosts: Option<Vec<String>>,
    pub group_add: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub ipc_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroup: String,
    pub links: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub oom_score_adj: i32,
    #[serde(deserialize_with = "null_is_default")]
    pub pid_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub privileged: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub publish_all_ports: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub readonly_rootfs: bool,
    pub security_opt: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    #[serde(rename = "UTSMode", deserialize_with = "null_is_default")]
    pub uts_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub userns_mode: String,
    /// Bytes; 0 for the default.
    #[serde(deserialize_with = "null_is_default")]
    pub shm_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub runtime: String,
    #[serde(deserialize_with = "null_is_default")]
    pub isolation: String,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_shares: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub memory: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub nano_cpus: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroup_parent: String,
    #[serde(deserialize_with = "null_is_default")]
    pub blkio_weight: u16,
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_period: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_quota: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_realtime_period: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_realtime_runtime: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpuset_cpus: String,
    #[serde(deserialize_with = "null_is_default")]
    pub cpuset_mems: String,
    pub devices: Option<Vec<DeviceMapping>>,
    pub device_cgroup_rules: Option<Vec<String>>,
    pub device_requests: Option<Vec<serde_json::Value>>,
    #[serde(deserialize_with = "null_is_default")]
    pub memory_reservation: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub memory_swap: i64,
    pub memory_swappiness: Option<i64>,
    pub oom_kill_disable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    pub pids_limit: Option<i64>,
    pub ulimits: Option<Vec<Ulimit>>,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_count: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps", deserialize_with = "null_is_default")]
    pub io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth", deserialize_with = "null_is_default")]
    pub io_maximum_bandwidth: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<Mount>>,
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    /// What may go out of it: words of a policy. Not Docker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<String>>,
}

/// `--log-driver` and `--log-opt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct LogConfig {
    #[serde(rename = "Type", deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub config: BTreeMap<String, String>,
}

/// One address and port of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct PortBinding {
    #[serde(deserialize_with = "null_is_default")]
    pub host_ip: String,
    /// Empty or `0` for any free port; `8000-8010` for any of a range.
    #[serde(deserialize_with = "null_is_default")]
    pub host_port: String,
}

/// `no`, `always`, `unless-stopped` or `on-failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct RestartPolicy {
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub maximum_retry_count: i64,
}

/// `--blkio-weight-device`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct WeightDevice {
    pub path: String,
    pub weight: u16,
}

/// `--device-read-bps` and its kin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ThrottleDevice {
    pub path: String,
    pub rate: u64,
}

/// `--device`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct DeviceMapping {
    pub path_on_host: String,
    pub path_in_container: String,
    /// Of `rwm`.
    pub cgroup_permissions: String,
}

/// `--ulimit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// `--mount`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, …
    #[serde(rename = "Type", deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub source: String,
    #[serde(deserialize_with = "null_is_default")]
    pub target: String,
    #[serde(deserialize_with = "null_is_default")]
    pub read_only: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
}

/// Of a `bind` mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct BindOptions {
    #[serde(deserialize_with = "null_is_default")]
    pub propagation: String,
    #[serde(deserialize_with = "null_is_default")]
    pub non_recursive: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub create_mountpoint: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub read_only_non_recursive: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub read_only_force_recursive: bool,
}

/// Of a `volume` mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct VolumeOptions {
    #[serde(deserialize_with = "null_is_default")]
    pub no_copy: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
    #[serde(deserialize_with = "null_is_default")]
    pub subpath: String,
}

/// Of a volume's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct DriverConfig {
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub options: BTreeMap<String, String>,
}

/// Of a `tmpfs` mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct TmpfsOptions {
    /// Bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub size_bytes: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub mode: u32,
    #[serde(deserialize_with = "null_is_default")]
    pub options: Vec<Vec<String>>,
}

/// Of an `image` mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ImageOptions {
    #[serde(deserialize_with = "null_is_default")]
    pub subpath: String,
}

/// Networks to join, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct NetworkingConfig {
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
}

/// How a container is on one network: asked for and, in answers, given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    pub links: Option<Vec<String>>,
    pub aliases: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub mac_address: String,
    pub driver_opts: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub gw_priority: i64,
    #[serde(rename = "NetworkID", deserialize_with = "null_is_default")]
    pub network_id: String,
    #[serde(rename = "EndpointID", deserialize_with = "null_is_default")]
    pub endpoint_id: String,
    #[serde(deserialize_with = "null_is_default")]
    pub gateway: String,
    #[serde(rename = "IPAddress", deserialize_with = "null_is_default")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen", deserialize_with = "null_is_default")]
    pub ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway", deserialize_with = "null_is_default")]
    pub ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "null_is_default")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen", deserialize_with = "null_is_default")]
    pub global_ipv6_prefix_len: u8,
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Addresses asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct EndpointIpam {
    #[serde(
        rename = "IPv4Address",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub ipv4_address: String,
    #[serde(
        rename = "IPv6Address",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub ipv6_address: String,
    #[serde(
        rename = "LinkLocalIPs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub link_local_ips: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_nulls_is_a_body_of_defaults() {
        let text = r#"{"Image":"busybox","Cmd":"true","Env":null,"HostConfig":{"Binds":null,"PortBindings":{"80/tcp":null},"RestartPolicy":null},"NetworkingConfig":null}"#;
        let body: CreateBody = serde_json::from_str(text).expect("as clients send it");
        assert_eq!(body.config.cmd, Some(Words(vec!["true".into()])));
        assert_eq!(body.host_config.restart_policy, RestartPolicy::default());
        assert_eq!(body.networking_config, NetworkingConfig::default());
    }
}

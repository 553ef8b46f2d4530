//! Which attributes there are, what each may be, and so how two of them
//! are merged. One table for reading, refusing and merging.
//!
//! Source: the Compose specification, as Compose 2.26 reads it.

/// What an attribute is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A string that may be written as a number.
    Word,
    /// true or false.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// A number of bytes, as `50m`.
    Bytes,
    /// A Go duration, as `1m30s`.
    Duration,
    /// A path, relative to the project's directory.
    Path,
    /// Whatever it is.
    Any,
    /// Attributes of its own.
    Object(&'static [(&'static str, Kind)]),
    /// Names of one's own, each of a kind.
    Map(&'static Kind),
    /// Several of a kind; those of an override are added.
    List(&'static Kind),
    /// Strings, or a single one; each once.
    Words,
    /// The same, but each as often as it is said.
    Many,
    /// A command line: a string is split as a shell does. An override replaces it.
    Command,
    /// The same for `healthcheck.test`: a string is a shell's.
    Test,
    /// `NAME=VALUE` or a mapping; a name without a value has null.
    Pairs,
    /// The same, where a name without a value has an empty one.
    Labels,
    /// `NAME=ADDRESS` or a mapping to one or several.
    Hosts,
    /// Short or long.
    Ports,
    /// Short or long.
    Volumes,
    /// Short or long.
    Devices,
    /// Short or long: what configs and secrets are given.
    Grants,
    /// A list of names, or a mapping with conditions.
    Depends,
    /// A list of names, or a mapping with settings.
    Networks,
    /// Paths, or mappings with `path`.
    EnvFiles,
    /// A number, or `soft` and `hard`.
    Ulimit,
    /// `true`, or a mapping with the old `name`.
    External,
    /// A directory, or a mapping.
    Build,
    /// A name, or a mapping.
    Extends,
    /// A path, or a mapping.
    Include,
    /// Where two drivers differ, the later one counts alone.
    Logging,
    /// Read and kept, and not done: why.
    Idle(&'static str, &'static Kind),
    /// Not carried: why.
    Refused(&'static str),
}

use Kind::{
    Any, Bool, Bytes, Command, Depends, Duration, Idle, Int, Labels, List, Many, Map, Number,
    Object, Pairs, Path, Refused, Text, Word, Words,
};

const SWARM: &str = "only swarm mode heeds it";
const UNBUILT: &str = "it is not built yet";

/// A whole file.
pub const FILE: &[(&str, Kind)] = &[
    ("version", Idle("it is obsolete", &Word)),
    ("name", Text),
    ("include", List(&Kind::Include)),
    ("services", Map(&Object(SERVICE))),
    ("networks", Map(&Object(NETWORK))),
    ("volumes", Map(&Object(VOLUME))),
    ("secrets", Map(&Object(FILE_OBJECT))),
    ("configs", Map(&Object(FILE_OBJECT))),
    ("models", Refused(UNBUILT)),
];

/// One service.
pub const SERVICE: &[(&str, Kind)] = &[
    ("profiles", Words),
    ("annotations", Labels),
    ("attach", Bool),
    ("build", Kind::Build),
    ("develop", Object(DEVELOP)),
    ("blkio_config", Object(BLKIO)),
    ("cap_add", Words),
    ("cap_drop", Words),
    ("cgroup_parent", Text),
    ("cgroup", Text),
    ("cpu_count", Int),
    ("cpu_percent", Number),
    ("cpu_period", Int),
    ("cpu_quota", Int),
    ("cpu_rt_period", Int),
    ("cpu_rt_runtime", Int),
    ("cpus", Number),
    ("cpuset", Text),
    ("cpu_shares", Int),
    ("command", Command),
    ("configs", Kind::Grants),
    ("container_name", Text),
    ("credential_spec", Refused("it is for Windows")),
    ("depends_on", Depends),
    ("deploy", Object(DEPLOY)),
    ("device_cgroup_rules", Words),
    ("devices", Kind::Devices),
    ("dns", Words),
    ("dns_opt", Words),
    ("dns_search", Words),
    ("domainname", Text),
    ("entrypoint", Command),
    ("environment", Pairs),
    ("env_file", Kind::EnvFiles),
    ("expose", Words),
    ("extends", Kind::Extends),
    ("external_links", Words),
    ("extra_hosts", Kind::Hosts),
    ("gpus", Refused("device requests are not built yet")),
    ("group_add", Words),
    ("hostname", Text),
    ("healthcheck", Object(HEALTHCHECK)),
    ("image", Text),
    ("init", Bool),
    ("ipc", Text),
    ("isolation", Text),
    ("label_file", Refused(UNBUILT)),
    ("labels", Labels),
    ("links", Words),
    ("logging", Kind::Logging),
    ("mem_limit", Bytes),
    ("mem_reservation", Bytes),
    ("memswap_limit", Bytes),
    ("mem_swappiness", Bytes),
    ("mac_address", Text),
    ("models", Refused(UNBUILT)),
    ("networks", Kind::Networks),
    ("network_mode", Text),
    ("oom_kill_disable", Bool),
    ("oom_score_adj", Int),
    ("pid", Text),
    ("pids_limit", Int),
    ("platform", Text),
    ("ports", Kind::Ports),
    ("post_start", Refused(UNBUILT)),
    ("pre_stop", Refused(UNBUILT)),
    ("privileged", Bool),
    ("provider", Refused(UNBUILT)),
    ("pull_policy", Text),
    ("read_only", Bool),
    ("restart", Text),
    ("runtime", Text),
    ("scale", Int),
    ("secrets", Kind::Grants),
    ("security_opt", Words),
    ("shm_size", Bytes),
    ("stdin_open", Bool),
    ("stop_grace_period", Duration),
    ("stop_signal", Text),
    ("storage_opt", Labels),
    ("sysctls", Labels),
    ("tmpfs", Words),
    ("tty", Bool),
    ("ulimits", Map(&Kind::Ulimit)),
    ("use_api_socket", Refused("a container with the engine's socket is root of the host")),
    ("user", Text),
    ("userns_mode", Text),
    ("uts", Text),
    ("volume_driver", Text),
    ("volumes", Kind::Volumes),
    ("volumes_from", Many),
    ("working_dir", Text),
];

/// `build`
pub const BUILD: &[(&str, Kind)] = &[
    ("context", Text),
    ("dockerfile", Text),
    ("dockerfile_inline", Text),
    ("entitlements", Words),
    ("args", Pairs),
    ("ssh", Many),
    ("labels", Labels),
    ("cache_from", Words),
    ("cache_to", Words),
    ("no_cache", Bool),
    ("additional_contexts", Labels),
    ("pull", Bool),
    ("extra_hosts", Kind::Hosts),
    ("isolation", Text),
    ("network", Text),
    ("target", Text),
    ("secrets", Kind::Grants),
    ("shm_size", Bytes),
    ("tags", Words),
    ("ulimits", Map(&Kind::Ulimit)),
    ("platforms", Words),
    ("privileged", Bool),
];

const DEVELOP: &[(&str, Kind)] = &[(
    "watch",
    List(&Object(&[
        ("path", Path),
        ("action", Text),
        ("target", Text),
        ("exec", Any),
        ("ignore", Words),
    ])),
)];

const BLKIO: &[(&str, Kind)] = &[
    ("weight", Int),
    ("weight_device", List(&Object(&[("path", Text), ("weight", Int)]))),
    ("device_read_bps", List(RATE)),
    ("device_read_iops", List(RATE)),
    ("device_write_bps", List(RATE)),
    ("device_write_iops", List(RATE)),
];

const RATE: &Kind = &Object(&[("path", Text), ("rate", Bytes)]);

const DEPLOY: &[(&str, Kind)] = &[
    ("mode", Text),
    ("replicas", Int),
    ("labels", Idle(SWARM, &Labels)),
    ("update_config", Idle(SWARM, &Object(UPDATE))),
    ("rollback_config", Idle(SWARM, &Object(UPDATE))),
    ("resources", Object(&[("limits", Object(LIMITS)), ("reservations", Object(RESERVATIONS))])),
    (
        "restart_policy",
        Object(&[
            ("condition", Text),
            ("delay", Duration),
            ("max_attempts", Int),
            ("window", Duration),
        ]),
    ),
    ("placement", Idle(SWARM, &Any)),
    ("endpoint_mode", Idle(SWARM, &Text)),
];

const UPDATE: &[(&str, Kind)] = &[
    ("parallelism", Int),
    ("delay", Duration),
    ("failure_action", Text),
    ("monitor", Duration),
    ("max_failure_ratio", Number),
    ("order", Text),
];

const LIMITS: &[(&str, Kind)] = &[("cpus", Number), ("memory", Bytes), ("pids", Int)];

const RESERVATIONS: &[(&str, Kind)] = &[
    ("cpus", Number),
    ("memory", Bytes),
    ("devices", Refused("device requests are not built yet")),
    ("generic_resources", Idle(SWARM, &Any)),
];

const HEALTHCHECK: &[(&str, Kind)] = &[
    ("test", Kind::Test),
    ("timeout", Duration),
    ("interval", Duration),
    ("retries", Int),
    ("start_period", Duration),
    ("start_interval", Duration),
    ("disable", Bool),
];

/// `logging`
pub const LOGGING: &[(&str, Kind)] = &[("driver", Text), ("options", Labels)];

/// `networks` of the file
const NETWORK: &[(&str, Kind)] = &[
    ("name", Text),
    ("driver", Text),
    ("driver_opts", Labels),
    (
        "ipam",
        Object(&[
            ("driver", Text),
            (
                "config",
                List(&Object(&[
                    ("subnet", Text),
                    ("gateway", Text),
                    ("ip_range", Text),
                    ("aux_addresses", Labels),
                ])),
            ),
            ("options", Labels),
        ]),
    ),
    ("external", Kind::External),
    ("internal", Bool),
    ("attachable", Bool),
    ("labels", Labels),
    ("enable_ipv6", Bool),
    ("enable_ipv4", Refused("an engine without IPv4 is not built yet")),
];

const VOLUME: &[(&str, Kind)] = &[
    ("name", Text),
    ("driver", Text),
    ("driver_opts", Labels),
    ("external", Kind::External),
    ("labels", Labels),
];

const FILE_OBJECT: &[(&str, Kind)] = &[
    ("name", Text),
    ("file", Path),
    ("environment", Text),
    ("content", Text),
    ("external", Kind::External),
    ("labels", Idle(SWARM, &Labels)),
    ("driver", Refused("only swarm mode has drivers of secrets")),
    ("driver_opts", Refused("only swarm mode has drivers of secrets")),
    ("template_driver", Refused("only swarm mode has templates")),
];

/// A long port.
pub const PORT: &[(&str, Kind)] = &[
    ("name", Text),
    ("mode", Text),
    ("host_ip", Text),
    ("target", Int),
    ("published", Word),
    ("protocol", Text),
    ("app_protocol", Text),
];

/// A long volume.
pub const MOUNT: &[(&str, Kind)] = &[
    ("type", Text),
    ("source", Text),
    ("target", Text),
    ("read_only", Bool),
    ("consistency", Text),
    (
        "bind",
        Object(&[
            ("selinux", Text),
            ("propagation", Text),
            ("create_host_path", Bool),
            ("recursive", Text),
        ]),
    ),
    ("volume", Object(&[("nocopy", Bool), ("subpath", Text), ("labels", Labels)])),
    ("tmpfs", Object(&[("size", Bytes), ("mode", Int)])),
    ("image", Object(&[("subpath", Text)])),
];

/// A long device.
pub const DEVICE: &[(&str, Kind)] = &[("source", Text), ("target", Text), ("permissions", Text)];

/// What a service is given of configs or secrets, in long.
pub const GRANT: &[(&str, Kind)] =
    &[("source", Text), ("target", Text), ("uid", Word), ("gid", Word), ("mode", Int)];

/// A dependency, in long.
pub const DEPENDENCY: &[(&str, Kind)] =
    &[("condition", Text), ("restart", Bool), ("required", Bool)];

/// A service's network, in long.
pub const ENDPOINT: &[(&str, Kind)] = &[
    ("priority", Int),
    ("gw_priority", Int),
    ("aliases", Words),
    ("ipv4_address", Text),
    ("ipv6_address", Text),
    ("link_local_ips", Words),
    ("mac_address", Text),
    ("driver_opts", Labels),
    ("interface_name", Refused("use driver_opts with com.docker.network.endpoint.ifname")),
];

/// An `env_file`, in long.
pub const ENV_FILE: &[(&str, Kind)] = &[("path", Path), ("required", Bool), ("format", Text)];

/// `extends`, in long.
pub const EXTENDS: &[(&str, Kind)] = &[("service", Text), ("file", Path)];

/// `include`, in long. Its paths are found by whoever includes.
pub const INCLUDE: &[(&str, Kind)] =
    &[("path", Many), ("project_directory", Path), ("env_file", Many)];

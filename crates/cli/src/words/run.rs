//! The flags of `run` and `create`.

use clap::Args;

/// Limits: also of `update`.
#[derive(Debug, Default, Args)]
pub struct Limits {
    /// Relative weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Microseconds of a period
    #[arg(long, value_name = "USEC")]
    pub cpu_period: Option<i64>,
    /// Microseconds in a period
    #[arg(long, value_name = "USEC", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Microseconds of a real-time period
    #[arg(long, value_name = "USEC")]
    pub cpu_rt_period: Option<i64>,
    /// Microseconds of real time in a period
    #[arg(long, value_name = "USEC")]
    pub cpu_rt_runtime: Option<i64>,
    /// Relative weight of CPU time
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    pub cpu_shares: Option<i64>,
    /// How many CPUs
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Which CPUs, e.g. 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Which memory nodes
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Memory, e.g. 512m
    #[arg(short = 'm', long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Memory to be had when others want it too
    #[arg(long, value_name = "BYTES")]
    pub memory_reservation: Option<String>,
    /// Memory and swap together; -1 without limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// How many processes; -1 without limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
}

/// What `docker run` takes.
#[derive(Debug, Default, Args)]
pub struct RunFlags {
    #[command(flatten)]
    pub limits: Limits,
    /// NAME:ADDRESS for /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// KEY=VALUE for the runtime
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// stdin, stdout or stderr
    #[arg(short = 'a', long, value_name = "STREAM")]
    pub attach: Vec<String>,
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    pub blkio_weight_device: Vec<String>,
    /// A capability to have
    #[arg(long, value_name = "NAME")]
    pub cap_add: Vec<String>,
    /// A capability not to have
    #[arg(long, value_name = "NAME")]
    pub cap_drop: Vec<String>,
    /// Control group to be under
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,
    /// host or private
    #[arg(long, value_name = "MODE")]
    pub cgroupns: Option<String>,
    /// Write the identifier to a file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<String>,
    /// In the background; print the identifier
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Keys that detach
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// HOST-PATH[:PATH[:rwm]]
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// e.g. "c 1:3 rwm"
    #[arg(long, value_name = "RULE")]
    pub device_cgroup_rule: Vec<String>,
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_read_bps: Vec<String>,
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_read_iops: Vec<String>,
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_write_bps: Vec<String>,
    #[arg(long, value_name = "DEVICE:RATE")]
    pub device_write_iops: Vec<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// NIS domain name
    #[arg(long, value_name = "NAME")]
    pub domainname: Option<String>,
    /// What may go out: deny, allow=CIDR[:PORT], allow=dns:NAME[:PORT], metadata
    #[arg(long, value_name = "POLICY")]
    pub egress: Vec<String>,
    /// In place of the image's; "" for none
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// NAME=VALUE, or NAME from here
    #[arg(short = 'e', long, value_name = "VARIABLE")]
    pub env: Vec<String>,
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// A port or range without publishing it
    #[arg(long, value_name = "PORT")]
    pub expose: Vec<String>,
    /// Graphics processors (which the engine does not carry)
    #[arg(long, value_name = "WHICH")]
    pub gpus: Option<String>,
    /// A further group
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Healthy while this page of the container's answers with 200 to 399:
    /// [http://]ADDRESS:PORT/PAGE; no program is started for it
    #[arg(long, value_name = "URL")]
    pub health_http: Option<String>,
    #[arg(long, value_name = "DURATION")]
    pub health_interval: Option<String>,
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<i64>,
    #[arg(long, value_name = "DURATION")]
    pub health_start_interval: Option<String>,
    #[arg(long, value_name = "DURATION")]
    pub health_start_period: Option<String>,
    /// Healthy while somebody accepts connections there: PORT or ADDRESS:PORT
    /// of the container's own; no program is started for it
    #[arg(long, value_name = "PORT")]
    pub health_tcp: Option<String>,
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<String>,
    /// Healthy while somebody listens on the socket at this path in the
    /// container; no program is started for it
    #[arg(long, value_name = "PATH")]
    pub health_unix: Option<String>,
    #[arg(long)]
    pub no_healthcheck: bool,
    #[arg(short = 'h', long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// A first process that forwards signals and reaps
    #[arg(long)]
    pub init: bool,
    /// Keep the input open
    #[arg(short = 'i', long)]
    pub interactive: bool,
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,
    /// private, shareable, none, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,
    /// default
    #[arg(long, value_name = "KIND")]
    pub isolation: Option<String>,
    #[arg(short = 'l', long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<String>,
    #[arg(long, value_name = "CONTAINER:ALIAS")]
    pub link: Vec<String>,
    /// json-file, local or none
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    #[arg(long, value_name = "KEY=VALUE")]
    pub log_opt: Vec<String>,
    #[arg(long, value_name = "ADDRESS")]
    pub link_local_ip: Vec<String>,
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<String>,
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    pub memory_swappiness: Option<i64>,
    /// type=bind|volume|tmpfs,source=…,target=…
    #[arg(long, value_name = "FIELDS")]
    pub mount: Vec<String>,
    #[arg(long)]
    pub name: Option<String>,
    /// bridge, none, host, container:NAME or a network's name; several, and
    /// name=NAME,alias=…,ip=…,gw-priority=…
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub network: Vec<String>,
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    pub network_alias: Vec<String>,
    #[arg(long)]
    pub oom_kill_disable: bool,
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Nearly everything that confines is taken away
    #[arg(long)]
    pub privileged: bool,
    /// [[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]
    #[arg(short = 'p', long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// Publish every exposed port
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// always, missing or never
    #[arg(long, default_value = "missing", value_name = "WHEN")]
    pub pull: String,
    /// Say less while pulling
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Nothing may be written to the root
    #[arg(long)]
    pub read_only: bool,
    /// no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Remove the container when it ends
    #[arg(long)]
    pub rm: bool,
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// Pass signals on to the program
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sig_proxy: bool,
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub stop_timeout: Option<i64>,
    #[arg(long, value_name = "KEY=VALUE")]
    pub storage_opt: Vec<String>,
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// PATH[:OPTIONS]
    #[arg(long, value_name = "PATH")]
    pub tmpfs: Vec<String>,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    pub ulimit: Vec<String>,
    /// USER[:GROUP]
    #[arg(short = 'u', long, value_name = "USER")]
    pub user: Option<String>,
    /// host, private, auto[:size=N], keep-id[:size=N] or container:NAME
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,
    /// host
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,
    /// [SOURCE:]PATH[:OPTIONS]
    #[arg(short = 'v', long, value_name = "VOLUME")]
    pub volume: Vec<String>,
    #[arg(long, value_name = "DRIVER")]
    pub volume_driver: Option<String>,
    #[arg(long, value_name = "CONTAINER")]
    pub volumes_from: Vec<String>,
    #[arg(short = 'w', long, value_name = "PATH")]
    pub workdir: Option<String>,
    #[arg(value_name = "IMAGE")]
    pub image: String,
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

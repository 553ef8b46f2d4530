//! What there is to say about the engine and its host.

use crate::{Engine, Options, State};
use std::fs;

/// For `version` and `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct Facts {
    /// Of this engine, kept for life.
    pub id: String,
    /// Of the host.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// `x86_64`.
    pub machine: String,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// `VERSION_ID` of os-release.
    pub os_version: String,
    /// Processors.
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// `overlay2`: the name that clients know.
    pub storage_driver: String,
    /// `ext4`, … of the data root.
    pub backing_filesystem: String,
    /// Its file system holds containers to their limits.
    pub project_quota: bool,
    /// Bytes that a container may take that does not say, if that is limited.
    pub container_limit: Option<u64>,
    /// Containers of all states.
    pub containers: u64,
    /// Of them running.
    pub running: u64,
    /// Of them paused.
    pub paused: u64,
    /// Of them neither.
    pub stopped: u64,
    /// How many images.
    pub images: u64,
    /// `name=seccomp,profile=builtin`, `name=userns`, …
    pub security_options: Vec<String>,
    /// What this host cannot do, for people.
    pub warnings: Vec<String>,
    /// Can limit memory.
    pub memory_limit: bool,
    /// Can limit swap.
    pub swap_limit: bool,
    /// Can limit processors.
    pub cpu_quota: bool,
    /// Can weigh processors.
    pub cpu_shares: bool,
    /// Can bind to processors.
    pub cpuset: bool,
    /// Can limit processes.
    pub pids_limit: bool,
    /// The host forwards IPv4.
    pub ipv4_forwarding: bool,
    /// Who listens to events.
    pub listeners: u64,
}

impl Engine {
    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// What `host-gateway` means to containers, if it means anything.
    pub fn host_gateway(&self) -> Option<std::net::IpAddr> {
        self.0.networks.gateway()
    }

    /// What there is to say, now.
    pub fn facts(&self) -> Facts {
        let house = &self.0;
        let (machine, host) = (&house.machine, &house.policy);
        let has = |controller: &str| host.controllers.contains(controller);
        let mut facts = Facts {
            id: house.id.clone(),
            hostname: crate::host::name(),
            kernel: machine.kernel.clone(),
            machine: machine.arch.clone(),
            os: machine.os.clone(),
            os_version: machine.os_version.clone(),
            cpus: host.cpus,
            memory: host.memory,
            cgroup_version: match host.cgroups {
                policy::Cgroups::V1 => "1".into(),
                policy::Cgroups::V2 => "2".into(),
            },
            log_driver: house.options.log.kind.clone(),
            storage_driver: "overlay2".into(),
            backing_filesystem: machine.backing_filesystem.clone(),
            project_quota: house.disk.is_limiting(),
            container_limit: house.disk.default_limit(),
            containers: 0,
            running: 0,
            paused: 0,
            stopped: 0,
            images: house.images.list(true).map_or(0, |images| images.len() as u64),
            security_options: security_options(host),
            warnings: warnings(host),
            memory_limit: has("memory"),
            swap_limit: host.swap_accounting,
            cpu_quota: has("cpu"),
            cpu_shares: has("cpu"),
            cpuset: has("cpuset"),
            pids_limit: has("pids"),
            ipv4_forwarding: fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
                .is_ok_and(|text| text.trim() == "1"),
            listeners: house.journal.listeners() as u64,
        };
        for cell in house.roster.all() {
            facts.containers += 1;
            match cell.now().state {
                State::Running { .. } => facts.running += 1,
                State::Paused { .. } => facts.paused += 1,
                _ => facts.stopped += 1,
            }
        }
        facts
    }
}

/// As `info` lists them.
fn security_options(host: &policy::Host) -> Vec<String> {
    let mut options = Vec::new();
    let mut add = |there: bool, words: &str| {
        if there {
            options.push(words.to_owned());
        }
    };
    add(host.apparmor, "name=apparmor");
    add(host.seccomp, "name=seccomp,profile=builtin");
    add(host.selinux, "name=selinux");
    add(host.user_namespaces, "name=userns");
    add(host.landlock > 0, "name=landlock");
    add(true, "name=cgroupns");
    options
}

/// What this host cannot do.
pub(crate) fn warnings(host: &policy::Host) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut lacks = |there: bool, words: &str| {
        if !there {
            warnings.push(format!("WARNING: {words}"));
        }
    };
    lacks(host.user_namespaces, "No user namespaces: containers are refused without --userns host");
    lacks(
        host.idmapped_mounts,
        "No id-mapped mounts: containers are refused without --userns host",
    );
    lacks(host.seccomp, "No seccomp support");
    lacks(host.landlock > 0, "No Landlock support");
    lacks(
        host.landlock != 1,
        "Landlock is of version 1, which forbids all renames between directories: \
         it holds neither containers nor the processes that unpack archives",
    );
    lacks(
        !host.selinux || !host.selinux_type.is_empty(),
        "SELinux knows no container_t: containers are refused without --security-opt label=disable",
    );
    lacks(
        !host.selinux || crate::selinux::is_enforcing(),
        "SELinux is permissive: containers are labelled, and nothing is denied to them",
    );
    lacks(host.controllers.contains("memory"), "No memory limit support");
    lacks(host.swap_accounting, "No swap limit support");
    lacks(host.controllers.contains("cpu"), "No cpu cfs quota support");
    lacks(host.controllers.contains("cpuset"), "No cpuset support");
    lacks(host.controllers.contains("pids"), "No pids limit support");
    warnings
}

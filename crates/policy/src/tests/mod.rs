//! Promises of the policy, by subject. Each test asks for one thing and looks
//! at what would be applied.

mod caps;
mod default;
mod devices;
mod filter;
mod modes;
mod mounts;
mod process;
mod resources;
mod security;
mod userns;
mod weakened;

use crate::{
    Arch, Cgroups, Files, Host, Joined, Own, Refusal, Wish, devices::Node, mounts::points, sandbox,
    user::Identity,
};
use spec::{
    Sandbox,
    docker::{Config, HostConfig, Words},
    oci,
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const RANGE_AT: u32 = 1_000_000;
const OWN: Own = Own { first: RANGE_AT, kept: None };

fn host() -> Host {
    let controllers = ["cpu", "cpuset", "memory", "pids", "blkio", "io"];
    Host {
        arch: Arch::X86_64,
        kernel: (6, 18),
        user_namespaces: true,
        idmapped_mounts: true,
        time_namespaces: true,
        cgroups: Cgroups::V2,
        controllers: controllers.map(str::to_owned).into(),
        swap_accounting: true,
        landlock: 7,
        seccomp: true,
        apparmor: false,
        apparmor_profile: false,
        selinux: false,
        selinux_type: "container_t".into(),
        cpus: 2,
        cpu_list: "0-1".into(),
        memory_nodes: "0".into(),
        memory: 8 << 30,
        pid_max: 32_768,
        threads_max: 60_000,
        engine_paths: vec!["/run/cofferdam".into(), "/var/lib/cofferdam".into()],
    }
}

/// A request in the making; what is not set is empty.
struct Ask {
    config: Config,
    host_config: HostConfig,
    user: Identity,
    joined: Joined,
    own: Own,
    devices: Vec<Node>,
    selinux_level: Option<&'static str>,
    host: Host,
}

fn ask() -> Ask {
    Ask {
        config: Config { cmd: Some(Words(vec!["sh".into()])), ..Config::default() },
        host_config: HostConfig::default(),
        user: Identity { groups: vec![0], home: "/root".into(), ..Identity::default() },
        joined: Joined::default(),
        own: OWN,
        devices: Vec::new(),
        selinux_level: None,
        host: host(),
    }
}

impl Ask {
    fn with(change: impl FnOnce(&mut HostConfig)) -> Self {
        let mut ask = ask();
        change(&mut ask.host_config);
        ask
    }

    fn decide(&self) -> Result<Sandbox, Refusal> {
        let mut points = points(&self.config, &self.host_config)?;
        for point in &mut points {
            if let crate::mounts::Source::Volume(volume) = &point.source {
                point.path = format!("/var/lib/cofferdam/volumes/{}/_data", volume.name);
            }
        }
        let wish = Wish {
            id: ID,
            config: &self.config,
            host_config: &self.host_config,
            own: self.own,
            user: &self.user,
            hostname: "",
            root: "/run/cofferdam/root",
            mounts: &points,
            files: Files { hosts: "/c/hosts", hostname: "/c/hostname", resolv_conf: "/c/resolv" },
            joined: self.joined,
            cgroup_parent: "/cofferdam",
            devices: &self.devices,
            log: crate::LogPlace { json: "/c/log", ..crate::LogPlace::default() },
            selinux_level: self.selinux_level,
        };
        sandbox(&wish, &self.host)
    }

    fn sandbox(&self) -> Sandbox {
        self.decide().expect("nothing in this wish is to be refused")
    }

    fn words(&self) -> String {
        self.decide().expect_err("this wish is to be refused").to_string()
    }

    fn weakened(&self) -> Vec<String> {
        self.sandbox().weakened
    }
}

fn linux(sandbox: &Sandbox) -> &oci::Linux {
    sandbox.config.linux.as_ref().expect("always there")
}

fn process(sandbox: &Sandbox) -> &oci::Process {
    sandbox.config.process.as_ref().expect("always there")
}

fn bounding(sandbox: &Sandbox) -> Vec<&str> {
    let sets = process(sandbox).capabilities.as_ref().expect("always there");
    sets.bounding.iter().map(String::as_str).collect()
}

fn namespaces(sandbox: &Sandbox) -> Vec<&str> {
    linux(sandbox).namespaces.iter().map(|space| space.kind.as_str()).collect()
}

fn mount<'a>(sandbox: &'a Sandbox, destination: &str) -> &'a oci::Mount {
    sandbox.config.mounts.iter().find(|m| m.destination == destination).expect("is mounted")
}

fn resources(sandbox: &Sandbox) -> &oci::Resources {
    linux(sandbox).resources.as_ref().expect("always there")
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

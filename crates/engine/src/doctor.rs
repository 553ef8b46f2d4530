//! What the machine lacks of what containers rest on, what each lack costs,
//! and how it is mended.
//!
//! Nothing here is decided by it: a container that cannot be confined as asked
//! is refused when it is asked for, whatever was said here.

use crate::{Engine, Facts};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is lacking.
    Fine,
    /// Something is less than it could be.
    Less,
    /// Containers are refused for it.
    Refusing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symptom {
    /// What: `user namespaces`.
    pub check: &'static str,
    /// How bad.
    pub severity: Severity,
    /// As it is.
    pub found: String,
    /// What is lost by it; empty if nothing is.
    pub cost: &'static str,
    /// What would mend it; empty if nothing is to be mended.
    pub remedy: &'static str,
}

/// The oldest kernel that was tried.
const KERNEL: (u32, u32) = (6, 1);
/// The first Landlock that lets files be moved between directories.
const LANDLOCK: u32 = 2;

impl Engine {
    /// Looks at all of it, now.
    pub fn doctor(&self) -> Vec<Symptom> {
        let house = &self.0;
        let firewall = match house.networks.stands() {
            Ok(true) => Ok(()),
            Ok(false) => Err("its tables are gone or emptied".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let systemd = std::path::Path::new("/run/systemd/system").exists();
        examine(&house.policy, &self.facts(), systemd, firewall)
    }
}

/// From facts alone.
fn examine(
    host: &policy::Host,
    facts: &Facts,
    systemd: bool,
    firewall: Result<(), String>,
) -> Vec<Symptom> {
    use Severity::{Less, Refusing};
    let mut all = Vec::new();
    let mut look = |check, ok: bool, bad, found: String, cost, remedy| {
        let (severity, cost, remedy) =
            if ok { (Severity::Fine, "", "") } else { (bad, cost, remedy) };
        all.push(Symptom { check, severity, found, cost, remedy });
    };
    let there = |ok: bool| if ok { "there" } else { "not there" }.to_owned();
    look(
        "kernel",
        host.kernel >= KERNEL,
        Less,
        facts.kernel.clone(),
        "nobody has tried it: mounts and Landlock may lack what containers rest on",
        "Linux 6.1 or newer",
    );
    look(
        "user namespaces",
        host.user_namespaces,
        Refusing,
        there(host.user_namespaces),
        "containers are refused unless they say --userns host",
        "sysctl user.max_user_namespaces=65536, or a kernel with CONFIG_USER_NS",
    );
    look(
        "id-mapped mounts",
        host.idmapped_mounts,
        Refusing,
        there(host.idmapped_mounts),
        "containers are refused unless they say --userns host",
        "Linux 5.12 or newer",
    );
    look(
        "seccomp",
        host.seccomp,
        Refusing,
        there(host.seccomp),
        "containers are refused unless they say --security-opt seccomp=unconfined",
        "a kernel with CONFIG_SECCOMP_FILTER",
    );
    look(
        "Landlock",
        host.landlock >= LANDLOCK,
        Less,
        if host.landlock == 0 { there(false) } else { format!("version {}", host.landlock) },
        "one layer less between a container's programs, or who unpacks archives, and files outside",
        "a kernel with CONFIG_SECURITY_LANDLOCK, and landlock among lsm= of its command line",
    );
    mandatory(host, &mut look);
    groups(host, systemd, &mut look);
    look(
        "swap accounting",
        host.swap_accounting,
        Less,
        there(host.swap_accounting),
        "a limit of memory does not limit swap",
        "swapaccount=1 on the kernel's command line, or control groups of version 2",
    );
    look(
        "disk quota",
        facts.project_quota,
        Less,
        format!("{}, {}", facts.backing_filesystem, there(facts.project_quota)),
        "a container may fill the disk: --storage-opt size is refused",
        "the data root on ext4 or XFS, mounted with prjquota",
    );
    let ok = firewall.is_ok();
    look(
        "firewall",
        ok,
        Refusing,
        firewall.err().unwrap_or_else(|| "nftables, in place".into()),
        "what guards the bridges does not stand",
        "what empties nftables as a whole (flush ruleset) must spare the engine's table",
    );
    all
}

type Look<'a> = dyn FnMut(&'static str, bool, Severity, String, &'static str, &'static str) + 'a;

/// The module that confines by labels or profiles.
fn mandatory(host: &policy::Host, look: &mut Look<'_>) {
    const CHECK: &str = "mandatory access control";
    if host.apparmor && !host.apparmor_profile {
        look(
            CHECK,
            false,
            Severity::Less,
            "AppArmor, without the engine's profile".into(),
            "containers have no profile",
            "/usr/sbin/apparmor_parser (Debian's package apparmor), and a new start of the engine",
        );
        return;
    }
    let found = match (host.selinux, host.apparmor) {
        (true, _) => "SELinux",
        (_, true) => "AppArmor",
        _ => "neither SELinux nor AppArmor",
    };
    look(
        CHECK,
        host.selinux || host.apparmor,
        Severity::Less,
        found.into(),
        "what root in a container may do is held by namespaces, capabilities, seccomp and Landlock alone",
        "apparmor or selinux among lsm= of the kernel's command line",
    );
}

/// Control groups, and what they can limit.
fn groups(host: &policy::Host, systemd: bool, look: &mut Look<'_>) {
    let version = match host.cgroups {
        policy::Cgroups::V1 => "version 1",
        policy::Cgroups::V2 => "version 2",
    };
    let keeper = if systemd { ", beside systemd's" } else { "" };
    look(
        "control groups",
        matches!(host.cgroups, policy::Cgroups::V2),
        Severity::Less,
        format!("{version}{keeper}"),
        "where memory runs out, one process of a container is killed and not all of it",
        "systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
    );
    for (name, cost) in [
        ("memory", "memory cannot be limited: one container may take all"),
        ("cpu", "processors cannot be shared out or limited"),
        ("cpuset", "containers cannot be bound to processors"),
        ("pids", "processes cannot be limited: one container may take all of the host's"),
    ] {
        let ok = host.controllers.contains(name);
        look(
            name,
            ok,
            Severity::Less,
            if ok { "there" } else { "not there" }.into(),
            cost,
            "cgroup_enable=NAME on the kernel's command line, and the controller mounted or delegated",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            id: String::new(),
            hostname: String::new(),
            kernel: "6.12.1".into(),
            machine: String::new(),
            os: String::new(),
            os_version: String::new(),
            cpus: 1,
            memory: 1,
            cgroup_version: "2".into(),
            log_driver: "json-file".into(),
            storage_driver: String::new(),
            backing_filesystem: "extfs".into(),
            project_quota: true,
            container_limit: None,
            containers: 0,
            running: 0,
            paused: 0,
            stopped: 0,
            images: 0,
            security_options: Vec::new(),
            warnings: Vec::new(),
            memory_limit: true,
            swap_limit: true,
            cpu_quota: true,
            cpu_shares: true,
            cpuset: true,
            pids_limit: true,
            ipv4_forwarding: true,
            listeners: 0,
        }
    }

    fn host() -> policy::Host {
        policy::Host {
            arch: policy::Arch::X86_64,
            kernel: (6, 12),
            user_namespaces: true,
            idmapped_mounts: true,
            time_namespaces: true,
            cgroups: policy::Cgroups::V2,
            controllers: ["memory", "cpu", "cpuset", "pids"].map(str::to_owned).into(),
            swap_accounting: true,
            landlock: 4,
            seccomp: true,
            apparmor: true,
            apparmor_profile: true,
            selinux: false,
            selinux_type: String::new(),
            cpus: 1,
            cpu_list: "0".into(),
            memory_nodes: "0".into(),
            memory: 1,
            pid_max: 1,
            threads_max: 1,
            engine_paths: Vec::new(),
        }
    }

    fn lacking(host: &policy::Host, facts: &Facts) -> Vec<(&'static str, Severity)> {
        let all = examine(host, facts, false, Ok(()));
        let bad = all.iter().filter(|symptom| symptom.severity != Severity::Fine);
        assert!(
            all.iter().all(|s| (s.severity == Severity::Fine) == s.remedy.is_empty()),
            "every lack has its remedy, and nothing else has"
        );
        bad.map(|symptom| (symptom.check, symptom.severity)).collect()
    }

    #[test]
    fn a_machine_that_has_all_lacks_nothing() {
        assert_eq!(lacking(&host(), &facts()), []);
    }

    #[test]
    fn landlock_that_is_too_old_is_no_secret() {
        let warned = |landlock| {
            let warnings = crate::facts::warnings(&policy::Host { landlock, ..host() });
            warnings.iter().filter(|words| words.contains("Landlock")).count()
        };
        assert_eq!([warned(0), warned(1), warned(2)], [1, 1, 0]);
    }

    #[test]
    fn each_lack_is_named_and_the_refusing_ones_apart() {
        let bare = policy::Host {
            kernel: (5, 10),
            user_namespaces: false,
            idmapped_mounts: false,
            cgroups: policy::Cgroups::V1,
            controllers: ["memory"].map(str::to_owned).into(),
            swap_accounting: false,
            landlock: 1,
            seccomp: false,
            apparmor: false,
            ..host()
        };
        let found = lacking(&bare, &Facts { project_quota: false, ..facts() });
        let refusing = ["user namespaces", "id-mapped mounts", "seccomp"];
        let less = [
            "kernel",
            "Landlock",
            "mandatory access control",
            "control groups",
            "cpu",
            "cpuset",
            "pids",
            "swap accounting",
            "disk quota",
        ];
        for (names, severity) in [(&refusing[..], Severity::Refusing), (&less, Severity::Less)] {
            for name in names {
                assert!(found.contains(&(name, severity)), "{name}: {found:?}");
            }
        }
        assert_eq!(found.len(), refusing.len() + less.len());
    }

    #[test]
    fn a_profile_that_is_not_loaded_is_a_lack() {
        let half = policy::Host { apparmor_profile: false, ..host() };
        assert_eq!(lacking(&half, &facts()), [("mandatory access control", Severity::Less)]);
    }
}

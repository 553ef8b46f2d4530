//! `spec`: a `config.json` to start from.

use crate::{
    App, Given,
    problem::{Doing, Problem},
};
use rustix::process::{getegid, geteuid};
use serde::Serialize;
use spec::oci::{
    Capabilities, Config, DeviceRule, IdMapping, Linux, Mount, Namespace, Process, Resources,
    Rlimit, Root,
};
use std::{
    io::{ErrorKind, Write},
    path::Path,
};

/// `spec`.
pub fn spec(_: &App, given: &Given) -> Result<u8, Problem> {
    let dir = Path::new(given.last("bundle").filter(|dir| !dir.is_empty()).unwrap_or("."));
    let path = dir.join("config.json");
    let config = if given.has("rootless") { rootless(template()) } else { template() };
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, tabs);
    config.serialize(&mut writer).expect("plain data, into memory");
    let mut file = match std::fs::File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Problem::ConfigExists);
        }
        other => other.doing("create", &path)?,
    };
    file.write_all(&text).doing("write", &path)?;
    Ok(0)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    let source = match kind {
        "proc" | "sysfs" | "mqueue" | "devpts" | "cgroup" => kind,
        _ => destination.rsplit('/').next().unwrap_or(kind),
    };
    let source = if destination == "/dev" { "tmpfs" } else { source };
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: words(options),
        ..Mount::default()
    }
}

/// A shell in a root file system at `rootfs`, confined.
fn template() -> Config {
    let caps = words(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let namespace = |kind: &str| Namespace { kind: kind.into(), path: String::new() };
    Config {
        oci_version: crate::SPEC.into(),
        process: Some(Process {
            terminal: true,
            args: words(&["sh"]),
            env: words(&[
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ]),
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: caps.clone(),
                effective: caps.clone(),
                permitted: caps,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 }],
            no_new_privileges: true,
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: "cofferdam".into(),
        mounts: mounts(),
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceRule { access: "rwm".into(), ..DeviceRule::default() }],
                ..Resources::default()
            }),
            namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(namespace).into(),
            masked_paths: words(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
                "/sys/devices/virtual/powercap",
            ]),
            readonly_paths: words(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..Linux::default()
        }),
        ..Config::default()
    }
}

fn mounts() -> Vec<Mount> {
    let closed = ["nosuid", "noexec", "nodev"];
    let terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &terminals),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &closed),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

/// The same for a caller who is not root: one user, nothing that needs the
/// host's rights.
fn rootless(mut config: Config) -> Config {
    let linux = config.linux.get_or_insert_default();
    linux.namespaces.retain(|namespace| namespace.kind != "network");
    linux.namespaces.push(Namespace { kind: "user".into(), path: String::new() });
    let only = |id| vec![IdMapping { container_id: 0, host_id: id, size: 1 }];
    linux.uid_mappings = only(geteuid().as_raw());
    linux.gid_mappings = only(getegid().as_raw());
    linux.resources = None;
    config.mounts.retain(|mount| mount.destination != "/sys");
    for mount in &mut config.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    let sys = Mount {
        destination: "/sys".into(),
        kind: "none".into(),
        source: "/sys".into(),
        options: words(&["rbind", "nosuid", "noexec", "nodev", "ro"]),
        ..Mount::default()
    };
    let at = config.mounts.iter().position(|mount| mount.destination.starts_with("/sys/"));
    config.mounts.insert(at.unwrap_or(config.mounts.len()), sys);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_gives_no_host_namespace_and_no_device() {
        let linux = template().linux.expect("it has one");
        assert_eq!(linux.namespaces.len(), 6);
        assert!(linux.namespaces.iter().all(|namespace| namespace.path.is_empty()));
        let devices = linux.resources.expect("it has some").devices;
        assert!(devices.iter().all(|rule| !rule.allow));
    }

    #[test]
    fn without_root_there_is_a_user_namespace_with_one_user() {
        let config = rootless(template());
        let linux = config.linux.expect("it has one");
        assert!(linux.namespaces.iter().any(|namespace| namespace.kind == "user"));
        assert_eq!(linux.uid_mappings[0].size, 1);
        let sys: Vec<_> =
            config.mounts.iter().filter(|m| m.destination.starts_with("/sys")).collect();
        assert_eq!(sys[0].destination, "/sys");
        assert_eq!(sys.len(), 2);
    }
}

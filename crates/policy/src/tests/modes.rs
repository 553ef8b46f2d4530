//! `--pid`, `--ipc`, `--uts`, `--network`, `--userns`, `--cgroupns`,
//! `--privileged`, and what joins what.

use super::*;
use crate::{Ids, Peer, RANGE, ids};

#[expect(clippy::unnecessary_wraps, reason = "so are the fields")]
fn peer(pid: i32, ids: Ids) -> Option<Peer> {
    Some(Peer { pid, ids })
}

/// A range as it is by default.
fn range(first: u32) -> Ids {
    Ids::Range(spec::ids::Range { first, size: RANGE, kept: None })
}

#[test]
fn the_hosts_network_processes_or_ipc_come_with_the_hosts_ids() {
    for (mode, kind) in [("network", "network"), ("pid", "pid"), ("ipc", "ipc")] {
        let sandbox = Ask::with(|config| match mode {
            "network" => config.network_mode = "host".into(),
            "pid" => config.pid_mode = "host".into(),
            _ => config.ipc_mode = "host".into(),
        })
        .sandbox();
        assert!(!namespaces(&sandbox).contains(&kind), "{mode}");
        assert!(!namespaces(&sandbox).contains(&"user"), "{mode}");
        assert!(linux(&sandbox).uid_mappings.is_empty());
        assert!(mount(&sandbox, "/etc/hosts").uid_mappings.is_empty());
        let words = sandbox.weakened.join("\n");
        assert!(words.contains(&format!("root of the host (--{mode} host)")), "{words}");
    }
}

#[test]
fn private_ids_can_be_kept_with_the_hosts_namespaces() {
    let sandbox = Ask::with(|config| {
        config.network_mode = "host".into();
        config.pid_mode = "host".into();
        config.ipc_mode = "host".into();
        config.userns_mode = "private".into();
    })
    .sandbox();
    assert!(namespaces(&sandbox).contains(&"user"));
    // What another user namespace owns cannot be mounted anew.
    for path in ["/proc", "/sys", "/dev/mqueue", "/dev/shm"] {
        assert_eq!(mount(&sandbox, path).kind, "bind", "{path}");
    }
    assert!(mount(&sandbox, "/sys").options.contains(&"ro".to_owned()));
}

#[test]
fn the_hosts_name_leaves_the_private_ids() {
    let sandbox = Ask::with(|config| config.uts_mode = "host".into()).sandbox();
    assert!(!namespaces(&sandbox).contains(&"uts") && namespaces(&sandbox).contains(&"user"));
    assert_eq!(sandbox.config.hostname, "");
    let mut named = Ask::with(|config| config.uts_mode = "host".into());
    named.config.hostname = "me".into();
    assert_eq!(named.words(), "conflicting options: hostname and the UTS mode");
}

#[test]
fn privileged_has_the_hosts_ids_and_devices_and_no_filter() {
    let mut ask = Ask::with(|config| config.privileged = true);
    ask.devices.push(Node {
        path: "/dev/sda".into(),
        kind: 'b',
        major: 8,
        minor: 0,
        mode: 0o660,
        uid: 0,
        gid: 6,
    });
    let sandbox = ask.sandbox();
    assert!(!namespaces(&sandbox).contains(&"user") && !namespaces(&sandbox).contains(&"cgroup"));
    assert_eq!(linux(&sandbox).seccomp, None);
    assert_eq!(sandbox.landlock, None);
    assert!(linux(&sandbox).masked_paths.is_empty() && linux(&sandbox).readonly_paths.is_empty());
    assert!(mount(&sandbox, "/sys").options.contains(&"rw".to_owned()));
    assert!(mount(&sandbox, "/sys/fs/cgroup").options.contains(&"rw".to_owned()));
    assert_eq!(linux(&sandbox).devices[0].path, "/dev/sda");
    let rules = &resources(&sandbox).devices;
    assert!(rules.len() == 1 && rules[0].allow && rules[0].kind == "a");
}

#[test]
fn joining_a_container_means_having_its_ids() {
    let mut ask = Ask::with(|config| config.network_mode = "container:x".into());
    ask.joined.network = peer(77, range(3_000_000));
    let sandbox = ask.sandbox();
    assert_eq!(linux(&sandbox).uid_mappings[0].host_id, 3_000_000);
    let path = |kind: &str| {
        let all = &linux(&sandbox).namespaces;
        all.iter().find(|space| space.kind == kind).map(|space| space.path.as_str())
    };
    assert_eq!(path("network"), Some("/proc/77/ns/net"));
    assert_eq!(path("user"), Some("/proc/77/ns/user"));
    assert_eq!(path("pid"), Some(""));
    assert!(!linux(&sandbox).sysctl.contains_key("net.ipv4.ping_group_range"));
    assert_eq!(ids(&ask.host_config, &ask.joined, OWN, &ask.host), Ok(range(3_000_000)));
}

#[test]
fn joining_shared_memory_mounts_the_others() {
    let mut ask = Ask::with(|config| config.ipc_mode = "container:x".into());
    ask.joined.ipc = peer(77, range(3_000_000));
    assert_eq!(mount(&ask.sandbox(), "/dev/shm").source, "/proc/77/root/dev/shm");
}

#[test]
fn two_containers_with_different_ids_cannot_both_be_joined() {
    let mut ask = Ask::with(|config| {
        config.network_mode = "container:x".into();
        config.pid_mode = "container:y".into();
    });
    ask.joined.network = peer(77, range(3_000_000));
    ask.joined.pid = peer(78, range(4_000_000));
    assert!(ask.words().contains("different user ids"));
    ask.joined.pid = peer(78, range(3_000_000));
    assert_eq!(linux(&ask.sandbox()).uid_mappings[0].host_id, 3_000_000);
}

#[test]
fn what_needs_the_hosts_ids_cannot_join_a_container_that_has_its_own() {
    let mut ask = Ask::with(|config| {
        config.network_mode = "container:x".into();
        config.privileged = true;
    });
    ask.joined.network = peer(77, range(3_000_000));
    assert!(ask.words().starts_with("conflicting options: --privileged needs the host's"));
}

#[test]
fn joining_a_container_with_the_hosts_ids_is_a_weakening() {
    let mut ask = Ask::with(|config| config.network_mode = "container:x".into());
    ask.joined.network = peer(77, Ids::Host);
    assert!(!namespaces(&ask.sandbox()).contains(&"user"));
    assert!(ask.weakened()[0].contains("joining a container that has none"));
    ask.host_config.userns_mode = "private".into();
    assert!(ask.words().contains("--userns=private"));
}

#[test]
fn ipc_none_has_no_shared_memory_directory() {
    let sandbox = Ask::with(|config| config.ipc_mode = "none".into()).sandbox();
    assert!(sandbox.config.mounts.iter().all(|mount| mount.destination != "/dev/shm"));
    assert!(namespaces(&sandbox).contains(&"ipc"));
    let shareable = Ask::with(|config| config.ipc_mode = "shareable".into()).sandbox();
    assert_eq!(shareable, ask().sandbox());
}

#[test]
fn network_none_is_a_network_of_its_own() {
    let sandbox = Ask::with(|config| config.network_mode = "none".into()).sandbox();
    assert!(namespaces(&sandbox).contains(&"network"));
    assert_eq!(sandbox.weakened, [""; 0]);
}

#[test]
fn the_hosts_cgroup_view_can_be_had() {
    let sandbox = Ask::with(|config| config.cgroupns_mode = "host".into()).sandbox();
    assert!(!namespaces(&sandbox).contains(&"cgroup"));
    assert_eq!(sandbox.weakened, ["shares the host's view of cgroups"]);
}

#[test]
fn unknown_modes_are_refused_in_dockers_words() {
    let words = |change: fn(&mut HostConfig)| Ask::with(change).words();
    assert_eq!(words(|c| c.pid_mode = "x".into()), "invalid PID mode: x");
    assert_eq!(words(|c| c.pid_mode = "container:".into()), "invalid PID mode: container:");
    assert_eq!(words(|c| c.ipc_mode = "x".into()), "invalid IPC mode: x");
    assert_eq!(words(|c| c.uts_mode = "x".into()), "invalid UTS mode: x");
    assert_eq!(words(|c| c.userns_mode = "x".into()), "invalid user namespace mode: x");
    assert_eq!(words(|c| c.cgroupns_mode = "x".into()), "invalid cgroup namespace mode: x");
}

#[test]
fn a_joined_network_brings_its_own_name_and_ports() {
    let refused = |change: fn(&mut Ask)| {
        let mut ask = Ask::with(|config| config.network_mode = "container:x".into());
        ask.joined.network = peer(77, range(3_000_000));
        change(&mut ask);
        ask.words()
    };
    assert_eq!(
        refused(|a| a.config.hostname = "me".into()),
        "conflicting options: hostname and the network mode"
    );
    assert_eq!(
        refused(|a| a.host_config.dns = Some(strings(&["1.1.1.1"]))),
        "conflicting options: dns and the network mode"
    );
    assert_eq!(
        refused(|a| a.host_config.publish_all_ports = true),
        "conflicting options: port publishing and the container type network mode"
    );
}

#[test]
fn a_range_that_would_reach_the_hosts_ids_is_refused() {
    for first in [0, 1, RANGE - 1, u32::MAX - 5] {
        let own = Own { first, kept: None };
        assert!(ids(&HostConfig::default(), &Joined::default(), own, &host()).is_err());
    }
}

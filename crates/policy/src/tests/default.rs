//! What an empty request gets: the promises of the architecture's table.

use super::*;

#[test]
fn it_is_weakened_in_no_way() {
    assert_eq!(ask().weakened(), [""; 0]);
}

#[test]
fn every_namespace_is_its_own() {
    let sandbox = ask().sandbox();
    assert_eq!(namespaces(&sandbox), ["user", "pid", "ipc", "uts", "network", "cgroup", "mount"]);
    assert!(linux(&sandbox).namespaces.iter().all(|space| space.path.is_empty()));
}

#[test]
fn its_ids_are_the_private_range_and_none_of_the_hosts() {
    let sandbox = ask().sandbox();
    let map = [oci::IdMapping { container_id: 0, host_id: RANGE_AT, size: 65_536 }];
    assert_eq!(linux(&sandbox).uid_mappings, map);
    assert_eq!(linux(&sandbox).gid_mappings, map);
}

#[test]
fn capabilities_are_the_twelve_and_none_is_inherited() {
    let sandbox = ask().sandbox();
    let sets = process(&sandbox).capabilities.as_ref().expect("always there");
    let mut twelve = crate::caps::DEFAULT.map(str::to_owned).to_vec();
    let mut have = sets.bounding.clone();
    twelve.sort();
    have.sort();
    assert_eq!(have, twelve);
    assert_eq!((&sets.effective, &sets.permitted), (&sets.bounding, &sets.bounding));
    assert_eq!((sets.inheritable.len(), sets.ambient.len()), (0, 0));
    for cap in ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_MKNOD"] {
        assert!(!bounding(&sandbox).contains(&cap), "{cap}");
    }
}

#[test]
fn kernel_file_systems_are_mounted_as_harmlessly_as_they_can_be() {
    let sandbox = ask().sandbox();
    let seen: Vec<(&str, &str, String)> = sandbox
        .config
        .mounts
        .iter()
        .map(|m| (m.destination.as_str(), m.kind.as_str(), m.options.join(",")))
        .collect();
    let own = "bind,rprivate,nosuid,nodev,noexec".to_owned();
    assert_eq!(
        seen,
        [
            ("/proc", "proc", "nosuid,noexec,nodev".to_owned()),
            ("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k".to_owned()),
            (
                "/dev/pts",
                "devpts",
                "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5".to_owned()
            ),
            ("/sys", "sysfs", "nosuid,noexec,nodev,ro".to_owned()),
            ("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro".to_owned()),
            ("/dev/mqueue", "mqueue", "nosuid,noexec,nodev".to_owned()),
            ("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=67108864".to_owned()),
            ("/etc/resolv.conf", "bind", own.clone()),
            ("/etc/hostname", "bind", own.clone()),
            ("/etc/hosts", "bind", own),
        ]
    );
    assert_eq!(mount(&sandbox, "/etc/hosts").uid_mappings, linux(&sandbox).uid_mappings);
}

#[test]
fn kernel_paths_are_masked_or_read_only() {
    let sandbox = ask().sandbox();
    for path in ["/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/timer_list", "/proc/scsi"] {
        assert!(linux(&sandbox).masked_paths.contains(&path.to_owned()), "{path}");
    }
    assert_eq!(
        linux(&sandbox).readonly_paths,
        ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    );
}

#[test]
fn devices_are_denied_but_for_the_harmless() {
    let sandbox = ask().sandbox();
    let rules = &resources(&sandbox).devices;
    assert!(!rules[0].allow && rules[0].kind == "a" && rules[0].access == "rwm");
    let allowed: Vec<String> = rules[1..]
        .iter()
        .map(|rule| {
            assert!(rule.allow && rule.kind == "c");
            let minor = rule.minor.map_or("*".to_owned(), |minor| minor.to_string());
            format!("{}:{minor}", rule.major.expect("named"))
        })
        .collect();
    assert_eq!(allowed, ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*"]);
    assert_eq!(linux(&sandbox).devices, []);
}

#[test]
fn processes_are_limited_by_what_the_host_can_hold() {
    assert_eq!(resources(&ask().sandbox()).pids.map(|pids| pids.limit), Some(8192));
    let mut small = ask();
    small.host.threads_max = 4000;
    assert_eq!(resources(&small.sandbox()).pids.map(|pids| pids.limit), Some(1000));
    let mut large = ask();
    (large.host.threads_max, large.host.pid_max) = (1 << 20, 1 << 22);
    assert_eq!(resources(&large.sandbox()).pids.map(|pids| pids.limit), Some(16_384));
}

#[test]
fn a_container_out_of_memory_dies_whole() {
    assert_eq!(resources(&ask().sandbox()).unified["memory.oom.group"], "1");
    let mut v1 = ask();
    v1.host.cgroups = Cgroups::V1;
    assert!(resources(&v1.sandbox()).unified.is_empty());
}

#[test]
fn landlock_and_seccomp_are_on() {
    let sandbox = ask().sandbox();
    assert!(linux(&sandbox).seccomp.is_some());
    let landlock = sandbox.landlock.expect("this kernel has it");
    assert_eq!(landlock.writable, ["/"]);
    let mut old = ask();
    old.host.landlock = 1;
    assert_eq!(old.sandbox().landlock, None, "version 1 would forbid renames");
}

#[test]
fn ping_and_low_ports_work_for_every_user() {
    let sandbox = ask().sandbox();
    assert_eq!(linux(&sandbox).sysctl["net.ipv4.ping_group_range"], "0 65535");
    assert_eq!(linux(&sandbox).sysctl["net.ipv4.ip_unprivileged_port_start"], "0");
}

#[test]
fn the_log_and_the_cgroup_are_the_containers() {
    let sandbox = ask().sandbox();
    assert_eq!(linux(&sandbox).cgroups_path, format!("/cofferdam/{ID}"));
    assert_eq!(sandbox.config.hostname, "0123456789ab");
    assert!(matches!(&sandbox.log.file, Some(file) if file.max_files == 5));
}

#[test]
fn a_host_that_cannot_confine_is_refused_with_the_way_out() {
    let mut without = ask();
    without.host.user_namespaces = false;
    assert!(without.words().contains("--userns=host"));
    let mut without = ask();
    without.host.idmapped_mounts = false;
    assert!(without.words().contains("--userns=host"));
    let mut without = ask();
    without.host.seccomp = false;
    assert!(without.words().contains("seccomp=unconfined"));
    let mut without = ask();
    without.host.controllers.remove("pids");
    assert!(without.words().contains("--pids-limit=-1"));
}

#[test]
fn equal_wishes_give_equal_sandboxes() {
    assert_eq!(ask().sandbox(), ask().sandbox());
}

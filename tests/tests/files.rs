//! FS: mounts, the kernel's files and copy-on-write.

use promises::{Engine, attack::Attack};

#[test]
fn fs1_a_mount_made_inside_stays_inside() {
    let engine = Engine::new();
    let before = engine.host().says("cat /proc/self/mountinfo");
    let options = ["run", "-d", "--name", "a", "--privileged", "busybox", "sh", "-c"];
    let script = "mount -t tmpfs inside /tmp && echo mounted && sleep 1000";
    engine.says(&[&options[..], &[script]].concat());
    promises::until("the mount", || engine.says(&["logs", "a"]) == "mounted");
    assert_eq!(engine.host().says("cat /proc/self/mountinfo"), before);
}

#[test]
fn fs1_a_mount_of_the_host_arrives_only_where_propagation_was_asked_for() {
    let engine = Engine::new();
    let shared = engine.scratch().join("shared");
    std::fs::create_dir_all(shared.join("sub")).expect("scratch");
    let shared = shared.display().to_string();
    engine.host().says(&format!("mount --bind {shared} {shared} && mount --make-shared {shared}"));
    engine.says(&[
        "run",
        "-d",
        "--name",
        "slave",
        "-v",
        &format!("{shared}:/s:rslave"),
        "busybox",
        "sleep",
        "1000",
    ]);
    engine.says(&[
        "run",
        "-d",
        "--name",
        "private",
        "-v",
        &format!("{shared}:/s"),
        "busybox",
        "sleep",
        "1000",
    ]);
    engine.host().says(&format!("mount -t tmpfs late {shared}/sub"));
    let seen = |name: &str| engine.says(&["exec", name, "grep", "-c", " /s/sub ", "/proc/mounts"]);
    assert_eq!(seen("slave"), "1");
    assert_eq!(engine.run(&["exec", "private", "grep", "-q", " /s/sub ", "/proc/mounts"]).code, 1);
    engine.host().says(&format!("umount {shared}/sub"));
    engine.says(&["rm", "-f", "slave", "private"]);
    engine.host().says(&format!("umount {shared}"));
}

#[test]
fn fs2_the_kernels_files_cannot_be_written() {
    let engine = Engine::new();
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/kernel/hostname",
    ] {
        // Opened for appending and nothing written: harmless where it succeeds.
        let script = format!(": >> {path}");
        Attack { weakened: &["--privileged"], script: &script }.is_stopped(&engine);
    }
    let irq = ": >> /proc/irq/default_smp_affinity";
    Attack { weakened: &[], script: irq }.fails(&engine);
    Attack { weakened: &[], script: ": >> /proc/sysrq-trigger" }.fails(&engine);
}

#[test]
fn fs2_sys_cannot_be_written() {
    let engine = Engine::new();
    // Each in a shell of its own: one that cannot redirect `:` ends.
    let script =
        "( : >> /sys/kernel/mm/transparent_hugepage/enabled ) || ( : >> /sys/kernel/profiling )";
    Attack { weakened: &["--privileged"], script }.is_stopped(&engine);
    let script =
        "touch /sys/fs/cgroup/new || mkdir /sys/fs/cgroup/new || mkdir /sys/fs/cgroup/pids/new";
    Attack { weakened: &[], script }.fails(&engine);
}

#[test]
fn fs2_what_tells_of_the_host_is_masked() {
    let engine = Engine::new();
    let unmasked = ["--security-opt", "systempaths=unconfined"];
    Attack { weakened: &unmasked, script: "grep -q . /proc/keys" }.is_stopped(&engine);
    Attack { weakened: &[], script: "grep -q . /proc/kcore" }.fails(&engine);
    Attack { weakened: &[], script: "ls /sys/firmware | grep -q ." }.fails(&engine);
}

#[test]
fn fs3_nothing_can_be_mounted_or_uncovered() {
    let engine = Engine::new();
    for script in [
        "mount -t tmpfs x /tmp",
        "mount -t proc x /tmp",
        "mount --bind /proc /tmp",
        "mount -o remount,bind,rw /",
        "umount /dev/shm",
        "unshare -m true",
        "unshare -U true",
    ] {
        Attack { weakened: &["--privileged"], script }.is_stopped(&engine);
    }
}

#[test]
fn fs3_flags_stay_locked_even_with_sys_admin() {
    let engine = Engine::new();
    let admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    let able = engine.container(&admin, "mount -t tmpfs x /tmp");
    assert_eq!(able.code, 0, "SYS_ADMIN inside must be real: {able:?}");
    for script in [
        "mount -o remount,bind,rw /proc/sys && : >> /proc/sys/kernel/core_pattern",
        "umount /proc/sys && : >> /proc/sys/kernel/core_pattern",
        "mount -o remount,bind,dev / && mknod /m c 1 5 && head -c1 /m",
    ] {
        let ran = engine.container(&admin, script);
        assert_ne!(ran.code, 0, "{script}: {ran:?}");
    }
}

#[test]
fn fs4_containers_of_one_image_do_not_see_one_anothers_writes() {
    let engine = Engine::new();
    let before = engine.inspect("busybox", "{{.Id}}");
    for name in ["a", "b", "c"] {
        let script = format!("echo {name} > /etc/motd; rm /etc/group; sleep 1000");
        engine.says(&["run", "-d", "--name", name, "busybox", "sh", "-c", &script]);
    }
    for name in ["a", "b", "c"] {
        promises::until("the write", || {
            engine.run(&["exec", name, "cat", "/etc/motd"]).out == name
        });
    }
    let fresh = engine.container(&[], "test -f /etc/group && ! test -e /etc/motd");
    assert_eq!(fresh.code, 0, "the image must be as it was: {fresh:?}");
    assert_eq!(engine.inspect("busybox", "{{.Id}}"), before);
}

#[test]
fn fs4_a_read_only_root_cannot_be_written() {
    let engine = Engine::new();
    let ran = engine.container(&["--read-only", "--tmpfs", "/run"], "touch /run/a && ! touch /a");
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn fs4_files_keep_their_owners_and_are_owned_by_nobody_outside() {
    let engine = Engine::new();
    let volume = engine.scratch().join("volume");
    std::fs::create_dir(&volume).expect("scratch");
    let mount = format!("{}:/v", volume.display());
    let ran = engine.container(
        &["-v", &mount],
        "touch /v/mine && chown 1000:50 /v/mine && stat -c %u:%g /v /v/mine /bin",
    );
    assert_eq!(ran.out, "0:0\n1000:50\n0:0", "{ran:?}");
    let meta = std::fs::metadata(volume.join("mine")).expect("written");
    let owner =
        (std::os::unix::fs::MetadataExt::uid(&meta), std::os::unix::fs::MetadataExt::gid(&meta));
    assert_eq!(owner, (1000, 50), "a bind mount shows the ids that people expect");
    let pid_map = engine.container(&[], "cat /proc/self/uid_map");
    let map: Vec<u32> =
        pid_map.out.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    assert!(map[0] == 0 && map[1] >= 65_536 && map[2] == 65_536, "{map:?}");
}

#[test]
fn the_runtimes_program_cannot_be_written_to_even_by_the_hosts_root() {
    let engine = Engine::new();
    // The first process of --init is the runtime, and stays it (CVE-2019-5736).
    let script = "head -c4 /proc/1/exe >/dev/null && : > /proc/1/exe";
    let ran = engine.container(&["--privileged", "--init"], script);
    assert!(ran.code != 0 && ran.err.contains("Read-only file system"), "{ran:?}");
    let link = engine.container(&["--privileged", "--init"], "readlink /proc/1/exe");
    assert!(!link.out.contains("target"), "it shows no path of the host: {link:?}");
}

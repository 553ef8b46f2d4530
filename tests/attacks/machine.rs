//! Files, devices and sockets by which a machine is ruled, from a shell
//! inside.

use crate::LOOK;
use promises::{Engine, attack::Attack, attack::must_fail, until};
use std::path::Path;

const PRIVILEGED: &[&str] = &["--privileged"];

/// Opened for appending and nothing written: harmless where it succeeds.
fn opens(path: &str) -> String {
    // In a shell of its own: one that cannot redirect `:` ends.
    format!("( : >> {path} )")
}

/// What the kernel runs as the host's root when something happens.
#[test]
fn no_program_of_the_container_is_made_a_helper_of_the_kernels() {
    let engine = Engine::new();
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/poweroff_cmd",
        "/proc/sys/kernel/usermodehelper/bset",
    ] {
        let attack = Attack { weakened: PRIVILEGED, script: &opens(path) };
        // A kernel without modules has no program that loads them.
        if Path::new(path).exists() {
            attack.is_stopped(&engine);
        } else {
            attack.fails(&engine);
        }
    }
    // `uevent_helper` is not on every kernel; where it is, it lies beside
    // what is on all and may be written by as many.
    let script =
        format!("{} || {}", opens("/sys/kernel/uevent_helper"), opens("/sys/kernel/rcu_normal"));
    Attack { weakened: PRIVILEGED, script: &script }.is_stopped(&engine);
    let script =
        format!("echo add > /sys/class/mem/null/uevent || {}", opens("/sys/class/mem/null/uevent"));
    Attack { weakened: &[], script: &script }.fails(&engine);
    // A format of programs of its own, which the host would run as well.
    let script = "mkdir /b && mount -t binfmt_misc x /b && ( : >> /b/register ) \
                  || ( : >> /proc/sys/fs/binfmt_misc/register )";
    Attack { weakened: PRIVILEGED, script }.is_stopped(&engine);
    engine.leaves_nothing();
}

#[test]
fn what_stops_or_tells_of_the_machine_is_out_of_reach() {
    let engine = Engine::new();
    for path in [
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/panic",
        "/proc/sys/kernel/kptr_restrict",
        "/proc/sys/vm/drop_caches",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state",
        "/sys/kernel/reboot/mode",
        "/sys/module/kernel/parameters/panic",
        "/proc/mtrr",
        "/proc/acpi/wakeup",
        "/proc/scsi/scsi",
        "/proc/fs/nfsd/threads",
    ] {
        Attack { weakened: &[], script: &opens(path) }.fails(&engine);
    }
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/asound",
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
        "/sys/kernel/security",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
        "/sys/fs/pstore",
        "/sys/fs/bpf",
    ] {
        let script =
            format!("ls -A {path} | grep -q . && test -d {path} || head -c1 {path} | grep -q .");
        Attack { weakened: &[], script: &script }.fails(&engine);
    }
    // Keys are there to be seen where nothing is masked.
    let unmasked = ["--security-opt", "systempaths=unconfined"];
    Attack { weakened: &unmasked, script: "head -c1 /proc/keys | grep -q ." }.is_stopped(&engine);
    engine.leaves_nothing();
}

#[test]
fn memory_and_disks_of_the_machine_are_out_of_reach() {
    let engine = Engine::new();
    // Whatever disk there is, by its number.
    let disks = "for d in /sys/block/*; do IFS=: read -r a b < $d/dev; mknod /dev/d b $a $b \
                 && head -c1 /dev/d > /dev/null && exit 0; rm -f /dev/d; done; exit 1";
    Attack { weakened: PRIVILEGED, script: disks }.is_stopped(&engine);
    Attack { weakened: &[], script: disks }.fails_in(&engine, "busybox", &["--cap-add", "MKNOD"]);
    // Memory, kernel memory, ports, the kernel's log, as root's own group.
    for (major, minor) in [(1, 1), (1, 2), (1, 4), (1, 11), (10, 237), (5, 1), (4, 0)] {
        let script = format!("mknod /dev/n c {major} {minor} && : < /dev/n");
        Attack { weakened: &[], script: &script }.fails(&engine);
    }
    Attack { weakened: PRIVILEGED, script: "mknod /dev/n c 1 11 && : < /dev/n" }
        .is_stopped(&engine);
    engine.leaves_nothing();
}

/// A node that others left in a volume: tried while the container is being
/// made, while others are run in it, and while its limits are written anew.
#[test]
fn a_device_node_is_dead_from_the_first_moment_to_the_last() {
    let engine = Engine::new();
    let folder = engine.scratch().join("nodes");
    std::fs::create_dir(&folder).expect("scratch");
    engine.host().says(&format!("mknod -m 666 {}/kmsg c 1 11", folder.display()));
    let volume = format!("{}:/n", folder.display());
    let try_it = ": < /n/kmsg";
    let both = ["-v", &volume];
    Attack { weakened: PRIVILEGED, script: try_it }.is_stopped_in(&engine, "busybox", &both);
    let forever = "while :; do if ( : < /n/kmsg ) 2>/dev/null; then echo open; fi; done";
    engine.says(&["run", "-d", "--name", "a", "-v", &volume, "busybox", "sh", "-c", forever]);
    must_fail("a node, while its container changes", || {
        (0..25).find_map(|n| {
            let memory = format!("{}m", 64 + n);
            engine.says(&["update", "--memory", &memory, "--memory-swap", "-1", "a"]);
            let ran = engine.run(&["exec", "a", "sh", "-c", try_it]);
            engine.says(&["pause", "a"]);
            engine.says(&["unpause", "a"]);
            let heard = engine.says(&["logs", "a"]);
            (ran.code == 0 || heard.contains("open")).then(|| format!("{ran:?} {heard:.100}"))
        })
    });
    engine.says(&["rm", "-f", "a"]);
    engine.leaves_nothing();
}

#[test]
fn control_groups_are_seen_and_not_changed() {
    let engine = Engine::new();
    let files = "for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name release_agent \
                 -o -name devices.allow -o -name memory.max -o -name notify_on_release); do \
                 ( : >> $f ) 2>/dev/null && exit 0; done; exit 1";
    Attack { weakened: PRIVILEGED, script: files }.is_stopped(&engine);
    let make = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/escape 2>/dev/null && rmdir $d/escape \
                && exit 0; done; exit 1";
    Attack { weakened: PRIVILEGED, script: make }.is_stopped(&engine);
    let seen = "grep -qv ':/$' /proc/self/cgroup";
    Attack { weakened: &["--cgroupns", "host"], script: seen }.is_stopped(&engine);
    let version2 = "mkdir /c && mount -t cgroup2 x /c && : >> /c/cgroup.procs";
    Attack { weakened: PRIVILEGED, script: version2 }.is_stopped(&engine);
    let unshared = "unshare -UrmC true || unshare -C true || unshare -m true";
    Attack { weakened: PRIVILEGED, script: unshared }.is_stopped(&engine);
    engine.leaves_nothing();
}

/// CVE-2022-0492.
#[test]
fn no_release_agent_is_reached_on_version_1() {
    let engine = Engine::new();
    let script = "mkdir /c; for kind in memory freezer pids; do mount -t cgroup -o $kind x /c 2>/dev/null \
                  || unshare -UrmC mount -t cgroup -o $kind x /c 2>/dev/null; \
                  test -e /c/release_agent && ( : >> /c/release_agent ) && exit 0; done; exit 1";
    // In a namespace of its own the top of the tree is out of sight.
    Attack { weakened: &["--privileged", "--cgroupns", "host"], script }.is_stopped(&engine);
    // With the right to mount, of its own namespace.
    let able = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    Attack { weakened: &[], script }.fails_in(&engine, "busybox", &able);
    engine.leaves_nothing();
}

/// CVE-2020-15257: what serves a container listens where its network is.
#[test]
fn nothing_of_the_engines_listens_on_an_abstract_socket() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "a", "--network", "host", "busybox", "sleep", "1000"]);
    engine.says(&[
        "run",
        "-d",
        "--name",
        "b",
        "--network",
        "host",
        "-t",
        "busybox",
        "sleep",
        "1000",
    ]);
    let look = "grep -o '@.*' /proc/net/unix";
    let others = engine.container(&["--network", "host"], look);
    must_fail("an abstract socket of the engine's", || {
        (others.code == 0).then(|| format!("{others:?}"))
    });
    let script = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0planted'); \
                  s.listen(); print('up', flush=True); time.sleep(1000)";
    let mut command = engine.host().command("python3");
    let mut server =
        command.args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().expect("starts");
    let seen = || engine.container(&["--network", "host"], look).out;
    until("the look to find one", || seen().contains("@planted"));
    let look = engine.scratch().join("look");
    std::fs::copy(LOOK, &look).expect("scratch");
    let reach = ["-v", &format!("{}:/look:ro,z", look.display())];
    let script = "/look abstract planted";
    let attack = Attack { weakened: &["--network", "host"], script };
    attack.is_stopped_in(&engine, "busybox", &reach);
    server.kill().and_then(|()| server.wait()).expect("ours");
    engine.says(&["rm", "-f", "a", "b"]);
    engine.leaves_nothing();
}

/// CVE-2024-41110, CVE-2026-34040: who is asked and shown another request
/// than the one that is carried out. There is nobody to ask: that is said.
#[test]
fn a_daemon_that_is_to_ask_a_plugin_does_not_start() {
    let mut engine = Engine::new();
    engine.stop();
    must_fail("a daemon that passes its plugins over", || {
        let said = engine.refuses_to_start(&["--authorization-plugin", "x"]);
        (!said.contains("authorization-plugin")).then_some(said)
    });
    engine.start();
    engine.leaves_nothing();
}

/// CVE-2024-32473: what nobody asked for and nobody guards.
#[test]
fn a_network_without_ipv6_carries_none_of_it() {
    let engine = Engine::new();
    engine.says(&["network", "create", "--ipv6", "six"]);
    engine.says(&["network", "create", "four"]);
    // Addresses of the link come by themselves, wherever there is a link.
    let link = |network: &str| {
        engine.says(&[
            "run",
            "-d",
            "--name",
            network,
            "--network",
            network,
            "busybox",
            "sleep",
            "1000",
        ]);
        let look = "ip -6 addr show dev eth0 scope link | grep -o 'fe80[^/]*'";
        engine.run(&["exec", network, "sh", "-c", look]).out
    };
    let ping = |network: &str, to: &str| {
        let script = format!("ping -6 -c 1 -W 3 -I eth0 {to}");
        engine.container(&["--network", network], &script)
    };
    let six = link("six");
    until("a neighbour to be reached by IPv6", || ping("six", &six).code == 0);
    let four = link("four");
    let bridge =
        "for a in $(ip -6 -o addr show scope link | grep -o 'fe80[^/]*'); do echo $a; done";
    let hosts = engine.host().says(bridge);
    must_fail("a neighbour, or the host, by IPv6", || {
        let all = hosts.lines().chain(Some(&*four)).filter(|address| !address.is_empty());
        let mut reached = all.map(|to| ping("four", to)).filter(|ran| ran.code == 0);
        reached.next().map(|ran| format!("{ran:?}"))
    });
    engine.says(&["rm", "-f", "six", "four"]);
    engine.says(&["network", "rm", "six", "four"]);
    engine.leaves_nothing();
}

//! What a program finds when it has been confined. Needs root.

#![allow(missing_docs)]

#[allow(dead_code, reason = "each test file uses its own part")]
mod common;

use common::{Box, FIRST};
use serde_json::json;
use std::os::unix::fs::MetadataExt;

#[test]
fn pi1_a_container_sees_no_process_of_the_host() {
    let ran = Box::new("cd /proc; echo [0-9]*").run();
    assert_eq!(ran.out, "1\n", "{ran:?}");
}

#[test]
fn its_root_is_nobody_on_the_host() {
    let scratch = Box::new("id -u; touch /tmp/mine");
    std::os::unix::fs::chown(scratch.root("tmp"), Some(FIRST), Some(FIRST)).expect("root");
    let ran = scratch.run();
    assert_eq!((ran.code, ran.out.as_str()), (0, "0\n"), "{ran:?}");
    let stat = std::fs::metadata(scratch.root("tmp/mine")).expect("made by the container");
    assert_eq!((stat.uid(), stat.gid()), (FIRST, FIRST));
}

#[test]
fn cap1_the_five_sets_are_exactly_as_asked() {
    let ran = Box::new("grep Cap /proc/self/status").run();
    // CHOWN, KILL, NET_BIND_SERVICE, MKNOD.
    let set = format!("{:016x}", (1u64 << 27) | (1 << 10) | (1 << 5) | 1);
    let none = format!("{:016x}", 0);
    let expected = format!(
        "CapInh:\t{none}\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t{none}\n"
    );
    assert_eq!(ran.out, expected, "{ran:?}");
}

#[test]
fn cap1_a_user_keeps_ambient_capabilities_alone() {
    let ran = Box::new("id -u; id -g; id -G; grep Cap /proc/self/status")
        .with(|config| {
            config["process"]["user"] =
                json!({"uid": 1000, "gid": 1000, "additionalGids": [1000, 7]});
            let caps = &mut config["process"]["capabilities"];
            caps["inheritable"] = json!(["CAP_NET_BIND_SERVICE"]);
            caps["ambient"] = json!(["CAP_NET_BIND_SERVICE"]);
        })
        .run();
    assert!(ran.out.starts_with("1000\n1000\n1000 7\n"), "{ran:?}");
    assert!(ran.out.contains("CapEff:\t0000000000000400\n"), "{ran:?}");
    assert!(ran.out.contains("CapAmb:\t0000000000000400\n"), "{ran:?}");
}

#[test]
fn a_group_named_twice_is_had_once_and_one_that_cannot_be_is_refused() {
    let with = |gids: serde_json::Value| {
        Box::new("id -G").with(|config| config["process"]["user"]["additionalGids"] = gids).run()
    };
    assert_eq!(with(json!([7, 5, 7])).out, "0 5 7\n");
    let refused = with(json!([u32::MAX]));
    assert_eq!((refused.code, refused.out.as_str()), (125, ""), "{refused:?}");
    assert_eq!(refused.err, "no user can be in the group 4294967295\n");
}

#[test]
fn fs2_masked_paths_are_empty_and_read_only_paths_refuse() {
    let script = "cat /proc/keys /proc/timer_list | grep -c .; ls -A /sys/firmware;\
        echo 1 >/proc/sys/net/ipv4/ip_forward; touch /sys/x; true";
    let ran = Box::of_the_host(script).run();
    assert_eq!(ran.out, "0\n", "{ran:?}");
    let refusals = ran.err.matches("Read-only file system").count();
    assert_eq!(refusals, 2, "{ran:?}");
}

/// A root without a user namespace owns the host's null device as well.
#[test]
fn fs2_a_mask_is_not_to_be_changed() {
    let script = "touch -c -d 2001-01-01 /proc/keys && echo changed; echo x >/proc/keys";
    let ran = Box::of_the_host(script).run();
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert!(ran.err.contains("Read-only file system"), "{ran:?}");
}

/// The attack of the next two tests.
const UNLOCK: &str = "mount -o remount,bind,rw /proc/sys && echo open;\
    umount /proc/keys && echo bare; mount -o remount,bind,rw /data && echo writable;\
    mount -o remount,bind,dev,suid /data && echo devices; true";

fn unlockable(new: Box) -> Box {
    std::fs::create_dir(new.path("data")).expect("a new directory");
    let source = new.path("data");
    new.with_caps(&["CAP_SYS_ADMIN"]).with_mount(json!({
        "destination": "/data", "type": "bind", "source": source,
        "options": ["bind", "ro", "nodev", "nosuid"]
    }))
}

#[test]
fn fs3_mount_flags_are_locked_even_against_sys_admin() {
    let ran = unlockable(Box::new(UNLOCK)).run();
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn fs3_the_same_attack_succeeds_without_a_user_namespace() {
    let ran = unlockable(Box::of_the_host(UNLOCK)).run();
    assert_eq!(ran.out, "open\nbare\nwritable\ndevices\n", "the test above can fail: {ran:?}");
}

#[test]
fn dev2_the_standard_devices_work_and_no_other_can_be_made() {
    let script = "echo x >/dev/null; [ -z \"$(cat /dev/null)\" ]; echo y >/dev/full;\
        [ -L /dev/stdout ] && [ -c /dev/ptmx ] && ls /dev; mknod /dev/mem c 1 1; true";
    let ran = Box::new(script).run();
    let expected = "fd\nfull\nnull\nptmx\npts\nrandom\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(ran.out, expected, "{ran:?}");
    assert!(ran.err.contains("No space left") && ran.err.contains("not permitted"), "{ran:?}");
}

#[test]
fn dev4_a_device_that_was_asked_for_works_where_devices_do_not() {
    let ran = Box::new("echo x >/odd/zero && stat -c '%t:%T %u:%g %a' /odd/zero")
        .with(|config| {
            config["linux"]["devices"] = json!([{"path": "/odd/zero", "type": "c", "major": 1,
                "minor": 5, "fileMode": 0o660, "uid": 7, "gid": 8}]);
            config["process"]["user"] = json!({"uid": 7, "gid": 8});
        })
        .run();
    assert_eq!(ran.out, "1:5 7:8 660\n", "{ran:?}");
}

#[test]
fn no_descriptor_of_the_host_reaches_the_program() {
    let ran = Box::new("ls /proc/self/fd").run();
    // The fourth is the directory that is being listed.
    assert_eq!(ran.out, "0\n1\n2\n3\n", "{ran:?}");
}

#[test]
fn sec1_the_filter_holds_with_and_without_no_new_privileges() {
    for no_new_privileges in [true, false] {
        let ran = Box::new("mkdir /tmp/x; grep Seccomp: /proc/self/status")
            .with(|config| {
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["linux"]["seccomp"] = json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                        "errnoRet": 95}]
                });
            })
            .run();
        assert_eq!(ran.out, "Seccomp:\t2\n", "{ran:?}");
        assert!(ran.err.contains("Operation not supported"), "{ran:?}");
    }
}

#[test]
fn sec1_landlock_leaves_only_what_is_listed() {
    let mut scratch = Box::new("cat /etc/shown; echo x >/etc/shown; cat /tmp/hidden; true");
    std::fs::write(scratch.root("etc/shown"), "shown\n").expect("room");
    std::fs::write(scratch.root("tmp/hidden"), "hidden\n").expect("room");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(scratch.root("etc/shown"), permissions).expect("own file");
    scratch.sandbox.landlock = Some(spec::sandbox::Landlock {
        writable: vec!["/dev".into(), "/nowhere".into()],
        readable: vec!["/bin".into(), "/etc".into()],
        scoped: true,
    });
    let ran = scratch.run();
    if sys::confine::landlock_abi() == 0 {
        return;
    }
    assert_eq!(ran.out, "shown\n", "{ran:?}");
    assert_eq!(ran.err.matches("ermission denied").count(), 2, "{ran:?}");
}

#[test]
fn fs1_nothing_appears_in_the_hosts_mount_table() {
    let script = "echo up >/tmp/up; read word </tmp/stop; cat /proc/mounts";
    let scratch = Box::of_the_host(script);
    let (up, stop) = (scratch.root("tmp/up"), scratch.root("tmp/stop"));
    for pipe in [&up, &stop] {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a new pipe");
    }
    let root = scratch.root("");
    let run = std::thread::spawn(move || scratch.run());
    assert_eq!(std::fs::read_to_string(up).expect("it says so"), "up\n");
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    std::fs::write(stop, "stop\n").expect("it listens");
    let ran = run.join().expect("no panic");
    assert!(ran.out.contains(" /dev/pts devpts "), "it had mounts: {ran:?}");
    assert!(!table.contains(root.to_str().expect("plain text")), "{table}");
}

#[test]
fn res3_it_lives_in_its_control_group_and_sees_it_as_the_top() {
    let name = format!("/cofferdam-test-{}", std::process::id());
    let ran = Box::new(
        "cat /proc/self/cgroup | grep -cv ':/$'; cd /sys/fs/cgroup; ls; touch pids/x; true",
    )
    .told("CGROUP", &name)
    .with_mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["ro", "nosuid", "nodev", "noexec"]}))
    .run();
    assert!(ran.code == 0 && ran.out.starts_with("0\n"), "{ran:?}");
    assert!(ran.out.contains("pids") && ran.err.contains("Read-only file system"), "{ran:?}");
}

#[test]
fn a_read_only_root_is_read_only_and_its_mounts_are_not() {
    let scratch = Box::new("touch /tmp/x; touch /scratch/y && echo ok");
    let ran = scratch
        .with(|config| config["root"] = json!({"path": "rootfs", "readonly": true}))
        .with_mount(json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}))
        .run();
    assert_eq!(ran.out, "ok\n", "{ran:?}");
    assert!(ran.err.contains("Read-only file system"), "{ran:?}");
}

//! Every kind of mount that a configuration can ask for. Needs root.

#![allow(missing_docs)]

#[allow(dead_code, reason = "each test file uses its own part")]
mod common;

use common::Box;
use serde_json::json;
use std::{fs, os::unix::fs::MetadataExt, process::Command};

#[test]
fn an_id_mapped_volume_keeps_its_ids_on_both_sides() {
    let scratch = Box::new("stat -c %u:%g /v/old; touch /v/new; echo $?");
    fs::create_dir(scratch.path("v")).expect("a new directory");
    fs::write(scratch.path("v/old"), "").expect("room");
    let source = scratch.path("v");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let scratch = scratch.with_mount(json!({"destination": "/v", "type": "bind",
        "source": source, "options": ["bind"], "uidMappings": map, "gidMappings": map}));
    let ran = scratch.run();
    assert_eq!(ran.out, "0:0\n0\n", "{ran:?}");
    let stat = fs::metadata(scratch.path("v/new")).expect("made inside");
    assert_eq!((stat.uid(), stat.gid()), (0, 0));
}

#[test]
fn another_map_than_the_containers_is_made_on_the_way() {
    let scratch = Box::of_the_host("stat -c %u:%g /v/old");
    fs::create_dir(scratch.path("v")).expect("a new directory");
    fs::write(scratch.path("v/old"), "").expect("room");
    let source = scratch.path("v");
    let map = json!([{"containerID": 0, "hostID": 4242, "size": 10}]);
    let ran = scratch
        .with_mount(json!({"destination": "/v", "type": "bind", "source": source,
            "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map}))
        .run();
    assert_eq!(ran.out, "4242:4242\n", "{ran:?}");
}

#[test]
fn a_tmpfs_takes_the_mode_of_what_it_hides_and_can_copy_it_up() {
    let scratch = Box::new("stat -c %a:%u /t; cat /t/a/b; stat -c %a /t/a/b; readlink /t/l");
    fs::create_dir_all(scratch.root("t/a")).expect("a new directory");
    fs::write(scratch.root("t/a/b"), "kept\n").expect("room");
    std::os::unix::fs::symlink("a/b", scratch.root("t/l")).expect("a new link");
    for (path, mode) in [("t", 0o1770), ("t/a/b", 0o640)] {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(scratch.root(path), permissions).expect("own file");
    }
    for path in ["t", "t/a", "t/a/b"] {
        std::os::unix::fs::chown(scratch.root(path), Some(100_000), Some(100_000)).expect("root");
    }
    let ran = scratch
        .with_mount(json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "tmpcopyup", "size=1m"]}))
        .run();
    assert_eq!(ran.out, "1770:0\nkept\n640\na/b\n", "{ran:?}");
}

#[test]
fn a_relative_destination_counts_from_the_root() {
    let ran = Box::new("grep -c ' /some/where tmpfs' /proc/mounts")
        .with_mount(json!({"destination": "some/where", "type": "tmpfs", "source": "tmpfs"}))
        .run();
    assert_eq!(ran.out, "1\n", "{ran:?}");
}

#[test]
fn an_id_in_an_option_is_the_containers() {
    let ran = Box::new("stat -c %u:%g /t")
        .with_mount(json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
            "options": ["uid=7", "gid=8"]}))
        .run();
    assert_eq!(ran.out, "7:8\n", "{ran:?}");
    let ran = Box::new("true")
        .with_mount(json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
            "options": ["uid=70000"]}))
        .run();
    assert!(ran.code == 125 && ran.err.contains("uid=70000"), "{ran:?}");
}

#[test]
fn a_read_only_tmpfs_can_have_mounts_and_devices_in_it() {
    let script = "ls /run/inside; echo x >/dev/null; [ -c /dev/ptmx ] && touch /dev/new /run/new";
    let mut scratch = Box::new(script);
    let inside = scratch.path("inside");
    std::fs::create_dir(&inside).expect("a new directory");
    std::fs::write(inside.join("file"), "").expect("room");
    scratch.change(|config| {
        for mount in config["mounts"].as_array_mut().expect("a list") {
            if mount["destination"] == "/dev" {
                common::push(&mut mount["options"], json!("ro"));
            }
        }
    });
    let ran = scratch
        .with_mount(json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs",
            "options": ["rro"]}))
        .with_mount(json!({"destination": "/run/inside", "type": "bind", "source": inside,
            "options": ["rbind"]}))
        .run();
    assert_eq!((ran.code, ran.out.as_str()), (1, "file\n"), "{ran:?}");
    assert_eq!(ran.err.matches("Read-only file system").count(), 2, "{ran:?}");
}

#[test]
fn a_file_and_a_directory_do_not_cover_one_another() {
    let scratch = with_volume("true", &["rbind"])
        .with(|config| config["mounts"][4]["destination"] = json!("/bin/busybox"));
    std::fs::create_dir(scratch.path("volume")).expect("a new directory");
    let ran = scratch.run();
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.ends_with("to /bin/busybox: not a directory\n"), "{ran:?}");
}

#[test]
fn an_option_that_no_file_system_knows_is_refused() {
    let ran = Box::new("true")
        .with_mount(json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
            "options": ["nonsense=1"]}))
        .run();
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("nonsense"), "{ran:?}");
}

#[test]
fn nor_can_a_bind_mount_have_one() {
    let scratch = with_volume("true", &["rbind", "nosuidd"]);
    let ran = scratch.run();
    assert!(ran.code == 125 && ran.err.contains("\"nosuidd\""), "{ran:?}");
}

/// Runs the caller in a mount namespace with a tmpfs on `volume/below`, shared
/// or not, since the machine's own table is not to be touched.
fn with_mount_below(scratch: &Box, extra: &str) -> common::Ran {
    let file = scratch.path("sandbox.json");
    fs::write(&file, serde_json::to_vec(&scratch.sandbox).expect("plain data")).expect("room");
    let script = format!(
        "mount -t tmpfs top $1/volume && mount --make-shared $1/volume && mkdir $1/volume/below && \
         mount -t tmpfs below $1/volume/below && {{ $2 $1/sandbox.json $1/root; {extra} }}"
    );
    let dir = scratch.path("");
    fs::create_dir(scratch.path("volume")).expect("a new directory");
    let output = Command::new("timeout")
        .args(["-s", "KILL", "60", "unshare", "-m", "sh", "-c", &script, "sh"])
        .arg(dir.to_str().expect("plain text").trim_end_matches('/'))
        .arg(env!("CARGO_BIN_EXE_runtime-caller"))
        .output()
        .expect("unshare(1)");
    common::ran(&output)
}

fn with_volume(script: &str, options: &[&str]) -> Box {
    let scratch = Box::of_the_host(script).with_caps(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    let source = scratch.path("volume");
    scratch.with_mount(json!({"destination": "/v", "type": "bind", "source": source,
        "options": options}))
}

#[test]
fn ro_is_of_one_mount_and_rro_of_all_below() {
    let script = "touch /v/x; touch /v/below/x && echo below; true";
    let ran = with_mount_below(&with_volume(script, &["rbind", "ro"]), "");
    assert_eq!(ran.out, "below\n", "{ran:?}");
    let ran = with_mount_below(&with_volume(script, &["rbind", "rro"]), "");
    assert_eq!(ran.out, "", "{ran:?}");
    assert_eq!(ran.err.matches("Read-only file system").count(), 2, "{ran:?}");
}

#[test]
fn bind_takes_one_mount_and_rbind_all() {
    let script = "grep -c ' /v/below ' /proc/mounts";
    assert_eq!(with_mount_below(&with_volume(script, &["bind"]), "").out, "0\n");
    assert_eq!(with_mount_below(&with_volume(script, &["rbind"]), "").out, "1\n");
}

#[test]
fn fs1_mounts_come_out_only_where_they_were_let() {
    let script = "mkdir /v/made && mount -t tmpfs made /v/made; true";
    let count = "grep -c /volume/made /proc/self/mountinfo;";
    for (options, seen) in [
        (["rbind", "rprivate"], "0\n"),
        (["rbind", "rslave"], "0\n"),
        (["rbind", "rshared"], "1\n"),
    ] {
        let ran = with_mount_below(&with_volume(script, &options), count);
        assert_eq!(ran.out, seen, "{options:?} {ran:?}");
    }
}

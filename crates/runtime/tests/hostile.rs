//! Roots and configurations made by an enemy. Needs root.

#![allow(missing_docs)]

#[allow(dead_code, reason = "each test file uses its own part")]
mod common;

use common::{Box, names};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// CVE-2026-41579: `/dev` of the image leads to the host.
#[test]
fn devices_are_not_made_where_a_link_leads() {
    let scratch = Box::of_the_host("true").without_mount("/dev/pts").without_mount("/dev");
    let sentinel = scratch.path("sentinel");
    fs::create_dir(&sentinel).expect("a new directory");
    fs::remove_dir(scratch.root("dev")).expect("empty");
    let up = format!("/../../../../../../../..{}", sentinel.display());
    symlink(up, scratch.root("dev")).expect("a new link");
    scratch.run();
    assert_eq!(names(&sentinel), [""; 0]);
}

/// CVE-2019-16884 and after: `/proc` of the image leads elsewhere.
#[test]
fn a_proc_that_is_a_link_is_refused() {
    for name in ["proc", "sys"] {
        let scratch = Box::new("true");
        fs::remove_dir(scratch.root(name)).expect("empty");
        symlink("tmp", scratch.root(name)).expect("a new link");
        let ran = scratch.run();
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.contains("it must be a real directory"), "{ran:?}");
    }
}

#[test]
fn nothing_but_a_procfs_is_mounted_on_proc_or_inside() {
    for destination in ["/proc", "/proc/self", "/proc/sys", "/x/../proc", "/link/bus"] {
        let scratch = Box::new("true")
            .with_mount(json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}));
        symlink("proc", scratch.root("link")).expect("a new link");
        let ran = scratch.run();
        assert_eq!(ran.code, 125, "{destination}: {ran:?}");
        assert!(ran.err.contains("/proc"), "{destination}: {ran:?}");
    }
}

/// CVE-2024-21626: a directory by way of a descriptor of ours.
#[test]
fn the_directory_cannot_be_a_descriptor_of_the_host() {
    let seen: Vec<_> = (0..24)
        .map(|number| {
            let path = format!("/proc/self/fd/{number}");
            Box::of_the_host("echo escaped; ls ..")
                .with(|config| config["process"]["cwd"] = json!(path))
                .run()
        })
        .collect();
    assert!(seen.iter().all(|ran| ran.code == 125 && ran.out.is_empty()), "{seen:?}");
}

#[test]
fn nor_can_that_of_an_exec() {
    for number in 0..16 {
        let cwd = format!("/proc/self/fd/{number}");
        let process = json!({"args": ["ls", ".."], "env": ["PATH=/bin"], "cwd": cwd});
        let ran = Box::of_the_host("sleep 60").exec(&process);
        assert!(ran.code == 125 && ran.out.is_empty(), "{number}: {ran:?}");
    }
}

/// CVE-2025-31133: the null device of the image is another file.
#[test]
fn a_false_null_device_masks_nothing_and_opens_nothing() {
    let scratch = Box::of_the_host("echo x >/proc/keys; true")
        .without_mount("/dev/pts")
        .without_mount("/dev");
    let victim = scratch.path("victim");
    fs::write(&victim, "").expect("room");
    symlink("/proc/sys/kernel/core_pattern", scratch.root("dev/null")).expect("a new link");
    let before = fs::read("/proc/sys/kernel/core_pattern").expect("procfs");
    let ran = scratch.run();
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").expect("procfs"), before);
    assert!(ran.code == 125 && ran.err.contains("is another thing"), "{ran:?}");
}

#[test]
fn a_terminal_takes_no_devpts_of_the_image() {
    let scratch = Box::new("true")
        .without_mount("/dev/pts")
        .with(|config| config["process"]["terminal"] = json!(true));
    let ran = scratch.run();
    assert_eq!(ran.code, 125, "{ran:?}");
}

#[test]
fn files_for_bind_mounts_are_made_inside_whatever_links_say() {
    let scratch = Box::new("cat /etc/resolv.conf");
    let sentinel = scratch.path("sentinel");
    fs::create_dir(&sentinel).expect("a new directory");
    fs::write(scratch.path("given"), "given\n").expect("room");
    symlink(sentinel.join("stub"), scratch.root("etc/resolv.conf")).expect("a new link");
    let source = scratch.path("given");
    let scratch = scratch.with_mount(json!({"destination": "/etc/resolv.conf", "type": "bind",
        "source": source, "options": ["bind"]}));
    let ran = scratch.run();
    assert_eq!(ran.out, "given\n", "{ran:?}");
    assert_eq!(names(&sentinel), [""; 0]);
}

/// CVE-2021-30465: a directory of a shared volume changes places with a link
/// while the container is being made.
#[test]
fn a_racing_volume_leads_nowhere_outside() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let scratch = Box::new("true");
    let (volume, sentinel) = (scratch.path("volume"), scratch.path("sentinel"));
    fs::create_dir_all(volume.join("d")).expect("a new directory");
    fs::create_dir(&sentinel).expect("a new directory");
    symlink(&sentinel, volume.join("l")).expect("a new link");
    let bind = |destination: &str, source: &Path| json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind"]});
    let scratch = scratch
        .with_mount(bind("/volume", &volume))
        .with_mount(bind("/volume/d/made", &scratch_dir(&sentinel)));
    let stop = AtomicBool::new(false);
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let swap = RenameFlags::EXCHANGE;
                renameat_with(CWD, volume.join("d"), CWD, volume.join("l"), swap).expect("both");
            }
        });
        for _ in 0..100 {
            scratch.run();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(&sentinel), [""; 0]);
    assert!(!mounts().contains(sentinel.to_str().expect("plain text")));
}

/// A part of a volume, which its containers may have made a link.
#[test]
fn a_part_of_a_source_is_reached_by_no_link() {
    let scratch = Box::new("cat /v/secret");
    let (volume, outside) = (scratch.path("volume"), scratch.path("outside"));
    for (dir, text) in [(&volume.join("a/d"), "inside\n"), (&outside, "outside\n")] {
        fs::create_dir_all(dir).expect("a new directory");
        fs::write(dir.join("secret"), text).expect("room");
    }
    symlink(&outside, volume.join("l")).expect("a new link");
    symlink("a", volume.join("m")).expect("a new link");
    let run = |part: &str, word: &str| {
        let source = volume.join(part);
        let mount = json!({"destination": "/v", "type": "bind", "source": source,
            "options": ["bind", word]});
        Box::new("cat /v/secret").with_mount(mount).run()
    };
    assert_eq!(run("l", "ro").out, "outside\n", "by its path it leads out");
    assert_eq!(run("a/d", "beneath=a/d").out, "inside\n");
    for part in ["l", "m/d", "a/../l", "l/../outside", "../outside", ""] {
        let ran = run(part, &format!("beneath={part}"));
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{part}: {ran:?}");
    }
    let ran = run("a/d", "beneath=x");
    assert!(ran.code == 125 && ran.err.contains("does not end with"), "{ran:?}");
}

/// CVE-2024-45310, CVE-2026-41579 in a race: the directory in which a node
/// is to be made changes places with a link.
#[test]
fn no_device_is_made_where_a_racing_link_leads() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let scratch = Box::of_the_host("true");
    let (volume, sentinel) = (scratch.path("volume"), scratch.path("sentinel"));
    fs::create_dir_all(volume.join("d")).expect("a new directory");
    fs::create_dir(&sentinel).expect("a new directory");
    symlink(&sentinel, volume.join("l")).expect("a new link");
    let device = |path: &str| json!({"path": path, "type": "c", "major": 1, "minor": 3});
    let scratch = scratch
        .with_mount(json!({"destination": "/volume", "type": "bind", "source": volume,
            "options": ["rbind"]}))
        .with(|config| {
            config["linux"]["devices"] =
                json!([device("/volume/d/one"), device("/volume/d/below/two")]);
        });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let swap = RenameFlags::EXCHANGE;
                renameat_with(CWD, volume.join("d"), CWD, volume.join("l"), swap).expect("both");
            }
        });
        for _ in 0..40 {
            scratch.run();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(&sentinel), [""; 0]);
}

/// Something to bind that is outside of the sentinel.
fn scratch_dir(beside: &Path) -> std::path::PathBuf {
    let dir = beside.with_file_name("other");
    fs::create_dir(&dir).expect("a new directory");
    dir
}

/// CVE-2019-5736: the program's own file, by way of `/proc/self/exe`.
#[test]
fn the_runtimes_file_cannot_be_written_to() {
    let scratch =
        Box::of_the_host("").with(|config| config["process"]["args"] = json!(["/bin/evil"]));
    fs::write(scratch.root("bin/evil"), "#!/proc/self/exe\n").expect("room");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(scratch.root("bin/evil"), permissions).expect("own file");
    let file = Path::new(env!("CARGO_BIN_EXE_runtime-caller"));
    let before = fs::metadata(file).expect("built").mtime_nsec();
    // It runs itself once more, and looks at the mount by which it was found:
    // while anybody runs the file the kernel refuses to open it anyway, but not
    // to who keeps a descriptor until then.
    let ran = scratch.told("PROTECT_SELF", "1").run();
    assert_eq!(ran.err, "read-only: true\n", "{ran:?}");
    assert_eq!(fs::metadata(file).expect("built").mtime_nsec(), before);
}

/// CVE-2016-9962: the container looks into who comes to run a program in it.
/// With the right to trace and no user namespace the kernel lets it look.
#[test]
fn an_exec_shows_nothing_of_the_host_to_who_may_trace_it() {
    let scratch = Box::of_the_host("")
        .with_caps(&["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"])
        .with(|config| config["process"]["args"] = json!(["spy"]));
    fs::copy(env!("CARGO_BIN_EXE_runtime-caller"), scratch.root("bin/spy")).expect("room");
    let process = json!({"args": ["true"], "env": ["PATH=/bin"], "cwd": "/"});
    let ran = scratch.told("EXECS", "200").exec(&process);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{:.300} {}", ran.out, ran.err);
}

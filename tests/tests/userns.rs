//! Whose ids a container has: `--userns`, ranges that nobody shares, and what
//! becomes of ids on disk.

use promises::{Cli, Engine, Ran, binary, finish};
use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt},
    process::Stdio,
};

/// First and last host id of each line of a container's `uid_map` or `gid_map`.
fn lines(engine: &Engine, container: &str, file: &str) -> Vec<(u64, u64)> {
    let pid = engine.pid_of(container);
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).expect("a number");
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (first, size): (u64, u64) = (number(words.next()), number(words.next()));
        (first, first + size - 1)
    };
    text.lines().map(line).collect()
}

/// Panics if two of these containers have an id of the host's in common, or
/// one has an id that a user of the host may have.
fn are_disjoint(engine: &Engine, containers: &[String]) {
    for file in ["uid_map", "gid_map"] {
        let mut all: Vec<(u64, u64, &String)> = Vec::new();
        for name in containers {
            all.extend(lines(engine, name, file).iter().map(|(a, b)| (*a, *b, name)));
        }
        all.sort_unstable();
        assert!(all[0].0 >= 1 << 30, "{file} reaches the host's: {:?}", all[0]);
        for pair in all.windows(2) {
            assert!(pair[0].1 < pair[1].0, "{file}: {pair:?}");
        }
    }
}

#[test]
fn userns_a_hundred_live_containers_share_no_id() {
    let engine = Engine::new();
    let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        // Larger and smaller ones between them.
        let mode = ["private", "auto", "auto:size=200000", "auto:size=5000"][n % 4];
        let words = ["run", "-d", "--name", name, "--userns", mode, "--network", "none"];
        engine.says(&[&words[..], &["busybox", "sleep", "1000"]].concat());
        // Gaps of all sizes come and go.
        if n % 10 == 7 {
            engine.says(&["rm", "-f", name]);
            engine.says(&[&words[..], &["busybox", "sleep", "1000"]].concat());
        }
    }
    are_disjoint(&engine, &names);
    engine.leaves_nothing();
}

#[test]
fn userns_ids_of_another_container_outlive_it_and_are_nobody_elses() {
    let mut engine = Engine::new();
    let sleep = ["--network", "none", "busybox", "sleep", "1000"];
    engine.says(&[&["run", "-d", "--name", "one"], &sleep[..]].concat());
    let words = ["run", "-d", "--name", "two", "--userns", "container:one"];
    engine.says(&[&words[..], &sleep[..]].concat());
    let ids = lines(&engine, "one", "uid_map");
    assert_eq!(lines(&engine, "two", "uid_map"), ids);
    let own = |name: &str, kind: &str| {
        let link = format!("/proc/{}/ns/{kind}", engine.pid_of(name));
        std::fs::read_link(link).expect("it runs")
    };
    assert_eq!(own("one", "user"), own("two", "user"));
    assert_ne!(own("one", "pid"), own("two", "pid"));
    let weakened = engine.inspect("two", "{{json .Cofferdam.Weakened}}");
    assert_eq!(weakened, "[\"shares another container's user ids\"]");
    engine.says(&["rm", "-f", "one"]);
    engine.kill_daemon();
    engine.start();
    engine.says(&[&["run", "-d", "--name", "three"], &sleep[..]].concat());
    are_disjoint(&engine, &["two".into(), "three".into()]);
    let gone = engine.run(&["start", "two"]);
    assert_eq!(gone.code, 0, "it runs: {gone:?}");
    engine.says(&["stop", "-t", "0", "two"]);
    let gone = engine.run(&["start", "two"]);
    assert!(gone.code != 0 && gone.err.to_lowercase().contains("no such container"), "{gone:?}");
    engine.leaves_nothing();
}

#[test]
fn userns_two_containers_see_the_same_ids_in_a_volume() {
    let engine = Engine::new();
    let run = |options: &[&str], script: &str| {
        let ran = engine.container(&[&["-v", "vol:/v"], options].concat(), script);
        assert_eq!(ran.code, 0, "{options:?} {script}: {ran:?}");
        ran.out
    };
    run(&[], "touch /v/root && touch /v/user && chown 1234:4321 /v/user");
    run(&["--userns=auto:size=200000", "-u", "0"], "touch /v/far && chown 150000:150001 /v/far");
    let look = "stat -c '%n %u:%g' /v/root /v/user /v/far";
    for options in [&["--userns=auto:size=200000"][..], &["--userns=host"]] {
        assert_eq!(run(options, look), "/v/root 0:0\n/v/user 1234:4321\n/v/far 150000:150001");
    }
    // What a container has no number for is nobody's, and stays what it is.
    assert_eq!(run(&[], look), "/v/root 0:0\n/v/user 1234:4321\n/v/far 65534:65534");
    let place = engine.says(&["volume", "inspect", "-f", "{{.Mountpoint}}", "vol"]);
    let owner = std::fs::metadata(format!("{place}/user")).expect("there");
    assert_eq!((owner.uid(), owner.gid()), (1234, 4321));
    engine.leaves_nothing();
}

#[test]
fn userns_more_ids_are_there_for_who_asks() {
    let engine = Engine::new();
    let refused = engine.container(&["-u", "150000"], "true");
    assert!(refused.code != 0 && refused.err.contains("--userns=auto:size=N"), "{refused:?}");
    let words = ["run", "--name", "c", "--userns=auto:size=200000", "-u", "150000:150001"];
    let script = "touch /tmp/x && stat -c %u:%g /tmp/x";
    let out = engine.says(&[&words[..], &["busybox", "sh", "-c", script]].concat());
    assert_eq!(out, "150000:150001");
    // Out of it, and into an image and a container with as many.
    let tar = engine.scratch().join("x.tar").display().to_string();
    engine.says(&["export", "-o", &tar, "c"]);
    let listed = engine.host().says(&format!("tar --numeric-owner -tvf {tar} tmp/x"));
    assert!(listed.contains(" 150000/150001 "), "{listed}");
    engine.says(&["commit", "c", "far"]);
    let look = ["run", "--rm", "-u", "0", "--userns", "auto:size=200000", "far"];
    let out = engine.says(&[&look[..], &["stat", "-c", "%u:%g", "/tmp/x"]].concat());
    assert_eq!(out, "150000:150001");
    engine.leaves_nothing();
}

/// Our CLI as a user of the host who may use the engine.
fn as_user(engine: &Engine, uid: u32, gid: u32, words: &[&str]) -> Ran {
    let program = engine.scratch().join("cofferdam");
    if !program.exists() {
        let mode = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
        };
        std::fs::copy(binary("cofferdam"), &program).expect("scratch");
        mode(engine.scratch(), 0o755);
        mode(&engine.socket(), 0o666);
    }
    let mut command = engine.host().command("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    command.arg(program).args(words).current_dir("/");
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().expect("setpriv(1) starts"), &format!("{words:?} as {uid}"))
}

#[test]
fn userns_files_in_a_bind_mount_belong_to_whom_the_user_expects() {
    let engine = Engine::new();
    let dir = engine.scratch().join("shared");
    std::fs::create_dir(&dir).expect("scratch");
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o777)).expect("ours");
    let volume = format!("{}:/v", dir.display());
    let owner = |name: &str| {
        let stat = std::fs::metadata(dir.join(name)).expect("made");
        (stat.uid(), stat.gid())
    };
    for (options, name, whose) in [
        (&[][..], "root", (0, 0)),
        (&["-u", "1000:1000"], "user", (1000, 1000)),
        (&["--userns=auto", "-u", "7:8"], "auto", (7, 8)),
        (&["--userns=host", "-u", "7:8"], "host", (7, 8)),
    ] {
        let ran = engine
            .container(&[&["-v", &volume], options].concat(), &format!("echo hi > /v/{name}"));
        assert_eq!((ran.code, owner(name)), (0, whose), "{options:?}: {ran:?}");
    }
    // Who asks is who it is, inside and outside.
    let words = ["run", "-d", "--name", "kept", "--userns=keep-id", "-v", &volume, "busybox"];
    let ran = as_user(&engine, 1234, 2345, &[&words[..], &["sleep", "1000"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let status = std::fs::metadata(format!("/proc/{}", engine.pid_of("kept"))).expect("it runs");
    assert_eq!((status.uid(), status.gid()), (1234, 2345));
    let sh = |user: &[&str], script: &str| {
        engine.says(&[&["exec"], user, &["kept", "sh", "-c", script]].concat())
    };
    assert_eq!(sh(&[], "id -u; id -g; echo hi > /v/kept; echo hi > /tmp/own"), "1234\n2345");
    assert_eq!(owner("kept"), (1234, 2345));
    assert_eq!(sh(&["-u", "0"], "touch /v/by-root; stat -c %u:%g /tmp/own /v/kept"), {
        "1234:2345\n1234:2345"
    });
    assert_eq!(owner("by-root"), (0, 0));
    let other = lines(&engine, "kept", "uid_map");
    assert!(other.len() == 3 && other[1] == (1234, 1234) && other[0].0 >= 1 << 30, "{other:?}");
    let weakened = engine.inspect("kept", "{{json .Cofferdam.Weakened}}");
    assert!(weakened.contains("user 1234 and group 2345 of the host"), "{weakened}");
    // Outside of it its files are what they are inside.
    let listed = engine.says(&["cp", "kept:/tmp/own", "-"]);
    assert!(listed.contains("0002322\0") && listed.contains("0004451\0"), "{listed:?}");
    engine.says(&["restart", "-t", "0", "kept"]);
    assert_eq!(sh(&[], "id -u; stat -c %u /tmp/own"), "1234\n1234");
    engine.leaves_nothing();
}

#[test]
fn userns_keep_id_keeps_no_root_and_no_id_of_a_container() {
    let engine = Engine::new();
    let words = ["run", "--rm", "--userns=keep-id", "busybox", "true"];
    let refused = engine.run(&words);
    assert!(refused.code == 125 && refused.err.contains("root of the host"), "{refused:?}");
    let refused = as_user(&engine, 1234, 0, &words);
    assert!(refused.code == 125 && refused.err.contains("root of the host"), "{refused:?}");
    let refused = as_user(&engine, 1 << 30, 1234, &words);
    assert!(refused.code == 125 && refused.err.contains("of another container"), "{refused:?}");
    assert_eq!(as_user(&engine, 1234, 1234, &words).code, 0, "the look must be able to fail");
    engine.leaves_nothing();
}

#[test]
fn userns_a_file_system_that_cannot_map_ids_is_refused_with_the_way_out() {
    let engine = Engine::new();
    let dir = engine.scratch().join("plain").display().to_string();
    engine.host().says(&format!("mkdir {dir} && mount -t ramfs none {dir} && touch {dir}/file"));
    let volume = format!("{dir}:/v");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let refused = engine.run_as(cli, &["run", "--rm", "-v", &volume, "busybox", "true"]);
        let said = format!("the file system of {dir} cannot map ids");
        assert!(refused.code == 125 && refused.err.contains(&said), "{refused:?}");
        assert!(refused.err.contains("--userns=host"), "{refused:?}");
        let words = ["run", "--rm", "--userns=host", "-v", &volume, "busybox", "ls", "/v"];
        assert_eq!(engine.says_as(cli, &words), "file");
    }
    engine.host().says(&format!("umount {dir}"));
    engine.leaves_nothing();
}

#[test]
fn userns_dockers_cli_says_host_alone_and_ours_says_all() {
    let engine = Engine::new();
    let run = |cli, mode: &str| {
        engine
            .run_as(cli, &["run", "--rm", "--userns", mode, "busybox", "cat", "/proc/self/uid_map"])
    };
    let refused = run(Cli::Docker, "auto");
    assert!(refused.code == 125 && refused.err.contains("invalid USER mode"), "{refused:?}");
    let everybody = "4294967295";
    for cli in [Cli::Docker, Cli::Cofferdam] {
        assert!(run(cli, "host").out.ends_with(everybody));
    }
    assert!(run(Cli::Cofferdam, "auto:size=4096").out.ends_with(" 4096"));
    for (mode, words) in [
        ("no", "invalid user namespace mode: no"),
        ("auto:size=1", "from 1024 to"),
        ("nomap", "is not carried"),
        ("container:nobody", "No such container: nobody"),
    ] {
        let refused = run(Cli::Cofferdam, mode);
        assert!(refused.code == 125 && refused.err.contains(words), "{mode}: {refused:?}");
    }
    engine.leaves_nothing();
}

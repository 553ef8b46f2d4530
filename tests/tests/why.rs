//! `cofferdam why`: what was denied, by which layer, and what would allow it.
//! Each denial is provoked, named, and gone with the option that was named.

use promises::{
    Engine, PATIENCE, Ran,
    ask::{Open, Request, open},
    until,
};
use serde_json::Value;
use std::fs;

/// Runs a script in a container made with these flags, and looks at it
/// meanwhile; the report.
fn why(engine: &Engine, flags: &[&str], script: &str) -> Value {
    let ran = looked_at(engine, flags, script);
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn looked_at(engine: &Engine, flags: &[&str], script: &str) -> Ran {
    let mut run = vec!["run", "-d", "--name", "suspect"];
    run.extend(flags);
    run.extend(["busybox", "sleep", "1000"]);
    engine.says(&run);
    let ran = engine.run(&["why", "--format", "json", "suspect", "sh", "-c", script]);
    engine.says(&["rm", "-f", "suspect"]);
    ran
}

/// The denial by this layer.
fn by<'a>(report: &'a Value, layer: &str) -> &'a Value {
    let all = report["Denials"].as_array().expect("a list");
    let found = all.iter().find(|denial| denial["Layer"] == layer);
    found.unwrap_or_else(|| panic!("nothing by {layer}: {report:#}"))
}

fn nothing_denied(report: &Value) {
    assert_eq!(report["Denials"].as_array().map(Vec::len), Some(0), "{report:#}");
}

#[test]
fn a_missing_capability_is_named_as_the_kernel_asked_for_it() {
    let engine = Engine::new();
    let script = "touch /tmp/f; chown 7 /tmp/f";
    let report = why(&engine, &["--cap-drop", "CHOWN"], script);
    let denial = by(&report, "capability");
    assert_eq!((&denial["Path"], &denial["Error"]), (&"/tmp/f".into(), &"EPERM".into()));
    assert_eq!(denial["Why"], "the kernel asked for CAP_CHOWN");
    assert_eq!(denial["Option"], "--cap-add CHOWN");
    nothing_denied(&why(&engine, &["--cap-drop", "ALL", "--cap-add", "CHOWN"], script));
    engine.leaves_nothing();
}

#[test]
fn a_capability_over_the_whole_machine_takes_the_hosts_user_namespace() {
    let engine = Engine::new();
    let script = "mknod /tmp/null c 1 3";
    let report = why(&engine, &[], script);
    let denial = by(&report, "capability");
    assert_eq!(denial["Why"], "the kernel asked for CAP_MKNOD over the whole machine");
    assert_eq!(denial["Option"], "--userns=host");
    nothing_denied(&why(&engine, &["--userns=host"], script));
}

#[test]
fn a_call_that_the_filter_stops_is_allowed_by_a_capability_or_alone() {
    let engine = Engine::new();
    let report = why(&engine, &[], "unshare -m true");
    let denial = by(&report, "seccomp");
    assert_eq!(
        (&denial["Call"], &denial["Option"]),
        (&"unshare".into(), &"--cap-add SYS_ADMIN".into())
    );
    nothing_denied(&why(&engine, &["--cap-add", "SYS_ADMIN"], "unshare -m true"));

    // What takes no capability is allowed by a filter with the one call more.
    let report = why(&engine, &[], "unshare -U true");
    let option = by(&report, "seccomp")["Option"].as_str().expect("an option").to_owned();
    assert!(option.contains("`cofferdam why --allow unshare suspect`"), "{option}");
    engine.says(&["run", "-d", "--name", "suspect", "busybox", "sleep", "1000"]);
    let profile = engine.says(&["why", "--allow", "unshare", "suspect"]);
    engine.says(&["rm", "-f", "suspect"]);
    let file = engine.scratch().join("profile.json");
    fs::write(&file, profile).expect("scratch");
    let with = format!("seccomp={}", file.display());
    nothing_denied(&why(&engine, &["--security-opt", &with], "unshare -U true"));
}

#[test]
fn a_mount_that_is_read_only_is_named_with_its_option() {
    let engine = Engine::new();
    let folder = engine.scratch().join("folder");
    fs::create_dir(&folder).expect("scratch");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("scratch");
    let (given, only) =
        (format!("{}:/data", folder.display()), format!("{}:/data:ro", folder.display()));
    let report = why(&engine, &["-v", &only], "touch /data/new");
    let denial = by(&report, "mount flag");
    assert_eq!(denial["Why"], "/data/new is on /data, which is mounted read-only");
    assert_eq!(denial["Option"], format!("-v {given}, without ro"));
    nothing_denied(&why(&engine, &["-v", &given], "touch /data/new"));

    let report = why(&engine, &["--read-only"], "touch /etc/new");
    let option = &by(&report, "mount flag")["Option"];
    assert_eq!(option, "--tmpfs /etc, a volume there, or no --read-only");
    nothing_denied(&why(&engine, &["--read-only", "--tmpfs", "/etc"], "touch /etc/new"));

    let report = why(&engine, &[], "echo 1 > /proc/sys/net/ipv4/ip_forward");
    let option = &by(&report, "mount flag")["Option"];
    assert_eq!(option, "--sysctl net.ipv4.ip_forward=VALUE");
}

#[test]
fn a_program_on_a_mount_without_programs_is_named() {
    let engine = Engine::new();
    let script = "cp /bin/busybox /x/true && /x/true";
    let report = why(&engine, &["--tmpfs", "/x"], script);
    let denial = by(&report, "mount flag");
    assert_eq!(denial["Why"], "/x is mounted noexec");
    assert_eq!(denial["Option"], "--tmpfs /x:exec");
    nothing_denied(&why(&engine, &["--tmpfs", "/x:exec"], script));
}

#[test]
fn a_device_that_is_not_its_own_is_named_with_its_node_on_the_host() {
    let engine = Engine::new();
    let folder = engine.scratch().join("smuggled");
    fs::create_dir(&folder).expect("scratch");
    engine.host().says(&format!("mknod -m 666 {}/fuse c 10 229", folder.display()));
    let mount = format!("{}:/s", folder.display());
    let report = why(&engine, &["-v", &mount], ": < /s/fuse");
    let denial = &report["Denials"][0];
    assert_eq!(denial["Option"], "--device /dev/fuse:/s/fuse:r", "{report:#}");
    nothing_denied(&why(&engine, &["--device", "/dev/fuse:/s/fuse:r"], ": < /s/fuse"));
    // Given to be read, it is the list of devices that keeps it from being written.
    let report = why(&engine, &["--device", "/dev/fuse:/s/fuse:r"], ": > /s/fuse");
    let denial = by(&report, "device");
    assert_eq!(denial["Why"], "c 10:229 is not among its devices for w");
    assert_eq!(denial["Option"], "--device /dev/fuse:/s/fuse:w");
    nothing_denied(&why(&engine, &["--device", "/dev/fuse:/s/fuse:w"], ": > /s/fuse"));
}

#[test]
fn landlock_is_named_where_it_comes_before_the_capability() {
    let engine = Engine::new();
    let script = "mount -t tmpfs none /tmp";
    let open = ["--security-opt", "seccomp=unconfined"];
    let report = why(&engine, &open, script);
    let denial = by(&report, "Landlock");
    assert_eq!(
        (&denial["Call"], &denial["Option"]),
        (&"mount".into(), &"--cap-add SYS_ADMIN".into())
    );
    let with = ["--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN"];
    nothing_denied(&why(&engine, &with, script));
}

#[test]
fn a_files_own_permissions_are_told_from_the_engines_layers() {
    let engine = Engine::new();
    let report = why(&engine, &["--user", "1000"], "touch /new");
    let denial = by(&report, "file permissions");
    let expected = "/new is of user 0, mode 0755, and the program runs as user 1000";
    assert_eq!((&denial["Why"], &denial["Option"]), (&expected.into(), &"--user 0".into()));
    nothing_denied(&why(&engine, &["--user", "0"], "touch /new"));
}

#[test]
fn a_container_is_looked_at_from_its_first_moment_on() {
    let engine = Engine::new();
    let script = "touch /tmp/f; chown 7 /tmp/f";
    engine.says(&["create", "--name", "s", "--cap-drop", "CHOWN", "busybox", "sh", "-c", script]);
    let report = engine.says(&["why", "--start", "--format", "json", "s"]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(by(&report, "capability")["Option"], "--cap-add CHOWN");
    assert_eq!(report["Denials"].as_array().map(Vec::len), Some(1), "{report:#}");
    engine.leaves_nothing();
}

#[test]
fn what_another_container_is_denied_is_not_told() {
    let engine = Engine::new();
    let other = "touch /tmp/f; while :; do chown 7 /tmp/f 2> /dev/null; done";
    engine.says(&["run", "-d", "--cap-drop", "CHOWN", "busybox", "sh", "-c", other]);
    nothing_denied(&why(&engine, &[], "true"));
    // Nor where it is known by its process namespace alone.
    nothing_denied(&why(&engine, &["--userns=host"], "true"));
    let report = why(&engine, &["--userns=host", "--cap-drop", "CHOWN"], "chown 7 /bin");
    assert_eq!(by(&report, "capability")["Count"], 1);
}

#[test]
fn a_look_lasts_as_long_as_it_was_asked_to() {
    let engine = Engine::new();
    let script = "touch /tmp/f; while :; do chown 7 /tmp/f 2> /dev/null; done";
    engine.says(&[
        "run",
        "-d",
        "--name",
        "s",
        "--cap-drop",
        "CHOWN",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let text = engine.says(&["why", "--for", "1s", "s"]);
    assert!(text.contains("allowed by: --cap-add CHOWN"), "{text}");
    for (words, says) in [
        (&["why", "--for", "1h", "s"][..], "a look lasts 1 to 600 seconds"),
        (&["why", "--start", "s"], "runs already"),
        (&["why", "--allow", "unsare", "s"], "there is no system call \"unsare\""),
        (&["why", "nonesuch"], "No such container: nonesuch"),
    ] {
        let ran = engine.run(words);
        assert!(ran.code != 0 && ran.err.contains(says), "{words:?}: {ran:?}");
    }
}

#[test]
fn one_that_cannot_be_told_from_the_host_is_not_looked_at() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "s", "--pid", "host", "busybox", "sleep", "1000"]);
    let ran = engine.run(&["why", "--for", "1s", "s"]);
    let says = "has neither ids nor a process namespace of its own";
    assert!(ran.code != 0 && ran.err.contains(says), "{ran:?}");
}

#[test]
fn what_the_kernel_wrote_down_by_itself_is_told_without_looking() {
    let engine = Engine::new();
    let profile = engine.scratch().join("kills.json");
    let kills = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["sync"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#;
    fs::write(&profile, kills).expect("scratch");
    let with = format!("seccomp={}", profile.display());
    engine.says(&["run", "-d", "--name", "s", "--security-opt", &with, "busybox", "sleep", "1000"]);
    let text = engine.says(&["why", "s"]);
    assert!(text.starts_with("the kernel has written down nothing of it\nhint: "), "{text}");
    let ran = engine.run(&["exec", "s", "sync"]);
    assert_eq!(ran.code, 128 + 31, "SIGSYS: {ran:?}");
    // The kernel's own writer may be a moment behind.
    until("the kernel's record", || {
        engine.says(&["why", "s"]).starts_with("seccomp: killed the process for sync of sync, ")
    });
}

#[test]
fn a_look_whose_client_leaves_is_over() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "s", "busybox", "sleep", "1000"]);
    let look = |seconds| {
        let target = format!("/v1.51/containers/s/why?seconds={seconds}");
        // With its head the answer says that the look has begun.
        open(&engine.socket(), &Request::of("GET", &target), PATIENCE).expect("an answer")
    };
    let four = || -> Option<[Open; 4]> {
        let looks: [Open; 4] = std::array::from_fn(|_| look(500));
        looks.iter().all(|look| look.answer.status == 200).then_some(looks)
    };
    // Four at once are the most: were they to stay, the next would be refused.
    let mut looks = four().expect("nobody else looks");
    for _ in 0..3 {
        let fifth = look(500).finish().expect("an answer");
        assert_eq!(fifth.status, 409);
        assert!(fifth.text().contains("4 looks at containers are under way"), "{}", fifth.text());
        drop(looks);
        let mut next = None;
        until("room for four", || {
            next = four();
            next.is_some()
        });
        looks = next.expect("there was room");
    }
}

//! Mounts and labels that come to a container, and leave it, while it runs.

use promises::{Cli, Engine, Ran, until};
use std::fs;

fn update(engine: &Engine, words: &[&str]) -> Ran {
    engine.run_as(Cli::Cofferdam, &[&["update"], words, &["c"]].concat())
}

fn updates(engine: &Engine, words: &[&str]) {
    let ran = update(engine, words);
    assert_eq!((ran.code, &*ran.out), (0, "c"), "{words:?}: {ran:?}");
}

fn refuses(engine: &Engine, words: &[&str], because: &str) {
    let ran = update(engine, words);
    assert!(ran.code != 0 && ran.err.contains(because), "{words:?}: {ran:?}");
}

fn sh(engine: &Engine, script: &str) -> Ran {
    engine.run(&["exec", "c", "sh", "-c", script])
}

fn sleeper(engine: &Engine, options: &[&str]) {
    let run = ["run", "-d", "--name", "c"];
    engine.says(&[&run, options, &["busybox", "sleep", "100000"]].concat());
}

/// A directory of the host with a file in it.
fn elsewhere(engine: &Engine) -> String {
    let dir = engine.scratch().join("elsewhere");
    fs::create_dir_all(&dir).expect("scratch");
    fs::write(dir.join("file"), "of the host").expect("scratch");
    dir.display().to_string()
}

/// What `inspect` says is mounted.
fn places(engine: &Engine) -> String {
    engine
        .inspect("c", "{{range .Mounts}}{{.Type}}:{{.Destination}}:{{.RW}} {{end}}")
        .trim_end()
        .to_owned()
}

#[test]
fn what_comes_to_a_running_container_is_there_and_leaves_nothing_when_it_goes() {
    let mut engine = Engine::new();
    let dir = elsewhere(&engine);
    sleeper(&engine, &[]);
    let pid = engine.pid_of("c");
    let memory = "/t:size=1m,mode=1770,uid=7";
    let read_only = format!("{dir}:/a:ro");
    let volume = "type=volume,source=vol,target=/b/c";
    updates(&engine, &["-v", &read_only, "--mount", volume, "--tmpfs", memory]);
    assert_eq!(engine.pid_of("c"), pid, "it runs on");
    assert_eq!(sh(&engine, "cat /a/file; stat -c %u /a/file").out, "of the host0");
    assert_ne!(sh(&engine, "echo x > /a/file").code, 0, "it is read-only");
    assert_eq!(sh(&engine, "echo mine > /b/c/f; stat -c %u:%a /b/c/f").out, "0:644");
    let listed = sh(&engine, "grep -e ' /a ' -e ' /b/c ' /proc/mounts");
    assert!(listed.out.lines().count() == 2, "{listed:?}");
    assert!(listed.out.lines().all(|line| line.contains("nodev")), "{listed:?}");
    let full = sh(&engine, "stat -c %u:%a /t; dd if=/dev/zero of=/t/x bs=64k count=32 2>&1");
    assert!(full.out.starts_with("7:1770") && full.out.contains("No space"), "{full:?}");
    // The record knows, and volumes are in use.
    assert_eq!(places(&engine), "bind:/a:false tmpfs:/t:true volume:/b/c:true");
    assert_eq!(engine.inspect("c", "{{.HostConfig.Binds}}"), format!("[{read_only}]"));
    let ran = engine.run(&["volume", "rm", "vol"]);
    assert!(ran.err.contains("volume is in use"), "{ran:?}");
    let host = engine.host().says("cat /proc/self/mountinfo");
    assert!(!host.contains("/b/c") && !host.contains("elsewhere"), "none of it is the host's");
    // What is busy stays, with all that was to go along.
    engine.says(&["exec", "-d", "c", "sh", "-c", "cd /b/c && echo $$ > /in && exec sleep 77777"]);
    until("one that is in it", || sh(&engine, "test -s /in").code == 0);
    refuses(&engine, &["--unmount", "/a", "--unmount", "/b/c"], "/b/c is in use in the container");
    assert_eq!(sh(&engine, "cat /a/file /b/c/f").out, "of the hostmine");
    assert_ne!(sh(&engine, "echo x > /a/file").code, 0, "it is still read-only");
    assert_eq!(sh(&engine, "kill -9 $(cat /in)").code, 0);
    until("one that was in it to go", || sh(&engine, "kill -0 $(cat /in)").code != 0);
    // Another daemon knows what came, and where it is by now.
    engine.kill_daemon();
    engine.start();
    assert_eq!(sh(&engine, "mv /b /moved").code, 0);
    updates(&engine, &["--unmount", "/a/", "--unmount", "/b/c", "--unmount", "/t"]);
    let left = sh(&engine, "grep -e ' /a ' -e ' /moved' -e ' /t ' /proc/mounts; ls /a /moved/c /t");
    assert_eq!(left.out.trim(), "/a:\n\n/moved/c:\n\n/t:", "{left:?}");
    assert_eq!(places(&engine), "");
    engine.says(&["volume", "rm", "vol"]);
    engine.leaves_nothing();
}

#[test]
fn what_came_later_is_there_after_a_restart_and_is_locked_then() {
    let engine = Engine::new();
    let dir = elsewhere(&engine);
    sleeper(&engine, &["-v", "first:/first"]);
    refuses(&engine, &["--unmount", "/first"], "was mounted when container c started");
    let bind = format!("{dir}/file:/etc/later");
    updates(&engine, &["-v", &bind]);
    assert_eq!(sh(&engine, "cat /etc/later").out, "of the host");
    engine.says(&["restart", "-t", "0", "c"]);
    assert_eq!(sh(&engine, "cat /etc/later").out, "of the host");
    refuses(&engine, &["--unmount", "/etc/later"], "stop it first");
    engine.says(&["stop", "-t", "0", "c"]);
    // In one that does not run words are enough.
    updates(&engine, &["--unmount", "/etc/later", "--unmount", "/first", "-v", "next:/next"]);
    engine.says(&["volume", "rm", "first"]);
    engine.says(&["start", "c"]);
    let seen = sh(&engine, "cat /etc/later; grep -c -e /first -e /etc/later /proc/mounts");
    assert_eq!(seen.out, "0", "{seen:?}");
    assert_eq!(sh(&engine, "touch /next/x").code, 0);
    // A volume that is mounted later gets what is in its place, as at a start.
    updates(&engine, &["-v", "etc:/etc/init.d", "-v", "kept:/bin"]);
    assert_eq!(sh(&engine, "ls /bin/sh").out, "/bin/sh");
    engine.leaves_nothing();
}

#[test]
fn what_cannot_come_is_refused_in_words_and_nothing_of_it_has_come() {
    let engine = Engine::new();
    let dir = elsewhere(&engine);
    sleeper(&engine, &["-v", "first:/first"]);
    sh(&engine, "ln -s /proc /p; ln -s / /root-again; ln -s /dev /d; touch /file");
    let good = format!("{dir}:/good");
    let at = |place: &str| format!("{dir}:{place}");
    for (place, because) in [
        ("/", "destination can't be '/'"),
        ("/proc/x", "nothing can be mounted on /proc/x"),
        ("/sys", "nothing can be mounted on /sys"),
        ("/dev/shm", "nothing can be mounted on /dev/shm"),
        ("/x/../etc/hosts", "nothing can be mounted on /etc/hosts"),
        ("/first", "Duplicate mount point: /first"),
        ("/p", "it leads to /proc"),
        ("/p/sys/kernel", "it leads to /proc"),
        ("/root-again", "it leads to the container's root"),
        ("/d", "it leads to /dev"),
        ("/d/shm", "it leads to /dev/shm"),
        ("/file", "cannot mount a directory on /file, which is a file"),
        ("/late:rslave", "the propagation rslave is decided when a container starts"),
    ] {
        refuses(&engine, &["-v", &good, "-v", &at(place)], because);
        assert!(!sh(&engine, "cat /proc/mounts").out.contains("/good"), "{place}");
    }
    // What came is taken back if something else of the same call fails.
    refuses(&engine, &["-v", &good, "-v", "new:/n", "--unpublish", "99"], "port 99");
    assert!(!sh(&engine, "cat /proc/mounts").out.contains("/good"));
    refuses(&engine, &["-v", &good, "-v", "/bare"], "needs a name");
    refuses(&engine, &["-v", &good, "--unmount", "/none"], "nothing is mounted on /none");
    refuses(&engine, &["-v", &good, "--tmpfs", "/t:colour=red"], "colour=red");
    let missing = "type=bind,source=/nonesuch,target=/n";
    refuses(&engine, &["-v", "new:/m", "--mount", missing], "bind source path does not exist");
    let volumes = engine.says(&["volume", "ls", "-q"]);
    assert_eq!(volumes, "first", "one that was made for it is gone");
    assert_eq!(places(&engine), "volume:/first:true");
    engine.says(&["rm", "-f", "c"]);
    // Nothing locks what restricts it there.
    sleeper(&engine, &["--cap-add", "SYS_ADMIN"]);
    refuses(&engine, &["-v", &good], "CAP_SYS_ADMIN in a user namespace of its own");
    engine.says(&["rm", "-f", "c"]);
    sleeper(&engine, &["--privileged"]);
    updates(&engine, &["-v", &good]);
    assert_eq!(sh(&engine, "cat /good/file").out, "of the host");
    engine.leaves_nothing();
}

#[test]
fn what_the_host_is_told_of_a_mount_is_a_weakening_that_came_later() {
    let engine = Engine::new();
    sleeper(&engine, &[]);
    let before = engine.says_as(Cli::Cofferdam, &["audit", "c"]);
    updates(&engine, &["-v", "/etc:/host-etc"]);
    let after = engine.says_as(Cli::Cofferdam, &["audit", "c"]);
    assert!(!before.contains("/etc") && after.contains("/etc"), "{before}\n{after}");
    updates(&engine, &["--unmount", "/host-etc"]);
    assert_eq!(engine.says_as(Cli::Cofferdam, &["audit", "c"]), before);
    engine.leaves_nothing();
}

#[test]
fn labels_of_a_running_container_come_and_go() {
    let mut engine = Engine::new();
    sleeper(&engine, &["-l", "a=1", "-l", "b=2"]);
    updates(&engine, &["--label", "a=3", "-l", "c=x=y", "--unlabel", "b"]);
    engine.kill_daemon();
    engine.start();
    assert_eq!(engine.inspect("c", "{{json .Config.Labels}}"), r#"{"a":"3","c":"x=y"}"#);
    let by = |label: &str| engine.says(&["ps", "-q", "--filter", &format!("label={label}")]);
    assert!(by("a=1").is_empty() && by("b").is_empty() && !by("c=x=y").is_empty());
    refuses(&engine, &["--unlabel", "b"], "it has no label \"b\"");
    refuses(&engine, &["--label", "=x"], "");
    assert_eq!(engine.inspect("c", "{{json .Config.Labels}}"), r#"{"a":"3","c":"x=y"}"#);
    engine.leaves_nothing();
}

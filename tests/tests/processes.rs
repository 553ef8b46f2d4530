//! PI: what a container sees of other processes, and how it ends.

use promises::{Engine, attack::Attack, until};

/// This test's own process: outside of every container.
fn outside() -> u32 {
    std::process::id()
}

#[test]
fn pi1_a_container_sees_only_its_own_processes() {
    let engine = Engine::new();
    let ran = engine.container(&[], "cd /proc && echo [0-9]*");
    assert_eq!(ran.out, "1", "{ran:?}");
    engine.leaves_nothing();
}

#[test]
fn pi1_a_process_outside_cannot_be_signalled() {
    let script = format!("kill -0 {}", outside());
    Attack { weakened: &["--pid", "host"], script: &script }.is_stopped(&Engine::new());
}

#[test]
fn pi1_a_process_outside_cannot_be_read() {
    let script = format!("cat /proc/{}/cmdline >/dev/null", outside());
    Attack { weakened: &["--pid", "host"], script: &script }.is_stopped(&Engine::new());
}

#[test]
fn pi1_a_process_outside_cannot_be_held_nor_its_memory_opened() {
    let engine = Engine::new();
    let look = format!("{}:/look:ro", env!("CARGO_BIN_EXE_look"));
    let script = format!("/look process {}", outside());
    let bites = engine.container(&["-v", &look, "--privileged", "--pid", "host"], &script);
    assert_eq!(bites.code, 0, "the attack must be able to succeed: {bites:?}");
    let stopped = engine.container(&["-v", &look], &script);
    assert_eq!(stopped.code, 1, "{stopped:?}");
}

#[test]
fn pi2_a_namespace_inside_is_seen_by_its_container() {
    let engine = Engine::new();
    let options = ["run", "-d", "--name", "a", "--cap-add", "SYS_ADMIN", "busybox"];
    // The inner shell is the first process of a namespace of its own.
    let script = "unshare -p -f sh -c 'echo $$; exec sleep 5252'";
    engine.says(&[&options[..], &["sh", "-c", script]].concat());
    until("the inner process", || engine.says(&["logs", "a"]) == "1");
    until("its program", || engine.says(&["exec", "a", "ps"]).contains("sleep 5252"));
    let kill = "kill -KILL $(ps | awk '/sleep 525[2]$/ && !/unshare/ { print $1 }')";
    engine.says(&["exec", "a", "sh", "-c", kill]);
    assert_eq!(engine.says(&["wait", "a"]), "137");
}

#[test]
fn pi1_two_containers_do_not_see_one_another() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "a", "busybox", "sleep", "4242"]);
    let seen = engine.container(&[], "ps -o args | grep -c '[4]242'");
    assert_eq!(seen.out, "0", "{seen:?}");
    let joined = engine.container(&["--pid", "container:a"], "ps -o args | grep -c '[4]242'");
    assert_eq!(joined.out, "1", "the look must be able to find it: {joined:?}");
}

#[test]
fn pi2_the_host_sees_and_ends_a_containers_processes() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "a", "busybox", "sleep", "1000"]);
    let pid = engine.pid_of("a");
    let command =
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("seen by the host");
    assert_eq!(command, "sleep\x001000\0");
    engine.host().says(&format!("kill -KILL {pid}"));
    assert_eq!(engine.says(&["wait", "a"]), "137");
}

#[test]
fn pi3_the_end_of_the_first_process_ends_all() {
    let engine = Engine::new();
    let script = "setsid sleep 5151 & sleep 5151 & sh -c 'kill -STOP $$' & (while :; do sleep 5151; done) & exec sleep 5151";
    engine.says(&["run", "-d", "--name", "a", "busybox", "sh", "-c", script]);
    let all = || engine.says(&["top", "a"]).lines().count() - 1;
    until("all five processes", || all() >= 5);
    let pids: Vec<i32> = engine
        .says(&["top", "a"])
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("a pid"))
        .collect();
    engine.host().says(&format!("kill -KILL {}", engine.pid_of("a")));
    assert_eq!(engine.says(&["wait", "a"]), "137");
    for pid in pids {
        until("the process to be gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    engine.leaves_nothing();
}

#[test]
fn pi3_a_fork_bomb_ends_with_its_container() {
    let engine = Engine::new();
    let bomb = "b() { b | b & }; b; sleep 1000";
    engine.says(&["run", "-d", "--name", "a", "--pids-limit", "50", "busybox", "sh", "-c", bomb]);
    engine.says(&["kill", "a"]);
    assert_eq!(engine.says(&["wait", "a"]), "137");
    engine.leaves_nothing();
}

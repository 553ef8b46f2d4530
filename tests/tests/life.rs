//! The life of a container: it outlives the daemon, and leaves nothing.

use promises::{Cli, Engine, until};
use std::process::Stdio;

#[test]
fn a_container_outlives_the_daemon() {
    let mut engine = Engine::new();
    let script = "i=0; while test ! -e /end; do i=$((i+1)); echo line $i; sleep 0.05; done; exit 7";
    engine.says(&["run", "-d", "--name", "a", "busybox", "sh", "-c", script]);
    let pid = engine.pid_of("a");
    until("the first line", || engine.says(&["logs", "a"]).contains("line 1"));
    engine.kill_daemon();
    assert!(
        std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "it runs on without the daemon"
    );
    engine.start();
    assert_eq!(engine.pid_of("a"), pid, "adopted as it is");
    let before = engine.says(&["logs", "a"]).lines().count();
    until("further lines", || engine.says(&["logs", "a"]).lines().count() > before);
    let lines = engine.says(&["logs", "a"]);
    let numbers: Vec<usize> =
        lines.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "no line is lost");
    engine.lets_go("a", "/end");
    assert_eq!(engine.says(&["wait", "a"]), "7");
    engine.leaves_nothing();
}

#[test]
fn a_start_that_the_daemon_did_not_live_to_tell_is_a_start() {
    let mut engine = Engine::new();
    for name in ["new", "old"] {
        let check = ["--health-cmd", "true", "--health-interval=100ms"];
        let create = ["create", "--name", name];
        engine.says(&[&create[..], &check, &["busybox", "sleep", "1000"]].concat());
    }
    engine.says(&["start", "old"]);
    engine.says(&["stop", "-t", "0", "old"]);
    let began = |engine: &Engine| engine.inspect("old", "{{.State.StartedAt}}");
    let first = began(&engine);
    // What the records say until a start is told of: the state alone changes
    // when the program is let go.
    engine.kill_daemon();
    let change = |engine: &Engine, sql: &str| {
        let records = engine.data_root().join("state.db").display().to_string();
        engine.host().says(&format!("sqlite3 {records} \"{sql}\""))
    };
    change(&engine, "CREATE TABLE kept AS SELECT id, moving FROM container");
    engine.start();
    engine.says(&["start", "new", "old"]);
    let pids = |engine: &Engine| [engine.pid_of("new"), engine.pid_of("old")];
    let running = pids(&engine);
    engine.kill_daemon();
    let untold = "UPDATE container SET moving = json_set(container.moving, '$.state', 'Starting', \
                  '$.last', json(kept.moving -> '$.last'), \
                  '$.health', json(kept.moving -> '$.health')) \
                  FROM kept WHERE kept.id = container.id; SELECT changes(); DROP TABLE kept";
    assert_eq!(change(&engine, &untold.replace('$', "\\$")).trim(), "2");
    engine.start();
    until("both to be adopted", || pids(&engine) == running);
    assert_ne!(began(&engine), first);
    for name in ["new", "old"] {
        let health = || engine.inspect(name, "{{if .State.Health}}{{.State.Health.Status}}{{end}}");
        until("it to be checked", || health() == "healthy");
    }
    let starts = ["events", "--since", "1h", "--until", "0s", "--filter", "event=start"];
    let starts = engine.says(&[&starts[..], &["--format", "{{.Action}}"]].concat());
    assert_eq!(starts.lines().count(), 5, "three that were told, and two that were not");
    engine.leaves_nothing();
}

#[test]
fn an_end_while_the_daemon_was_away_is_known() {
    let mut engine = Engine::new();
    engine.says(&["run", "-d", "--name", "a", "busybox", "sh", "-c", "sleep 1000; exit 3"]);
    let pid = engine.pid_of("a");
    engine.kill_daemon();
    engine.host().says(&format!("kill -KILL {pid}"));
    until("its end", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    engine.start();
    until("the verdict", || {
        engine.inspect("a", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    });
    engine.leaves_nothing();
}

#[test]
fn a_killed_monitor_leaves_nothing_running() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "a", "busybox", "sleep", "1000"]);
    let pid = engine.pid_of("a");
    let parent = engine.host().says(&format!("ps -o ppid= -p {pid}"));
    engine.host().says(&format!("kill -KILL {parent}"));
    until("the engine to notice", || engine.inspect("a", "{{.State.Running}}") == "false");
    until("the program to be gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    engine.leaves_nothing();
}

#[test]
fn a_container_starts_again_with_its_files() {
    let engine = Engine::new();
    engine.says(&["run", "--name", "a", "busybox", "sh", "-c", "date >> /starts; wc -l < /starts"]);
    engine.says(&["start", "a"]);
    engine.says(&["wait", "a"]);
    assert_eq!(engine.says(&["logs", "a"]), "1\n2");
}

#[test]
fn stop_sends_the_signal_and_then_kills() {
    let engine = Engine::new();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    engine.says(&["run", "-d", "--name", "polite", "busybox", "sh", "-c", script]);
    until("the trap", || engine.says(&["logs", "polite"]) == "ready");
    engine.says(&["stop", "polite"]);
    assert_eq!(engine.inspect("polite", "{{.State.ExitCode}}"), "5");
    let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    engine.says(&["run", "-d", "--name", "deaf", "busybox", "sh", "-c", script]);
    until("the trap", || engine.says(&["logs", "deaf"]) == "ready");
    engine.says(&["stop", "-t", "1", "deaf"]);
    assert_eq!(engine.inspect("deaf", "{{.State.ExitCode}}"), "137");
}

#[test]
fn exit_codes_are_dockers() {
    let engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let code = |words: &[&str]| {
            engine.run_as(cli, &[&["run", "--rm", "busybox"], words].concat()).code
        };
        assert_eq!(code(&["sh", "-c", "exit 42"]), 42, "{cli:?}");
        let signalled = ["run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$"];
        assert_eq!(engine.run_as(cli, &signalled).code, 143, "{cli:?}");
        assert_eq!(code(&["nonesuch"]), 127, "{cli:?}");
        assert_eq!(code(&["/nonesuch"]), 127, "{cli:?}");
        assert_eq!(code(&["/etc/passwd"]), 126, "{cli:?}");
        assert_eq!(code(&["/etc"]), 126, "{cli:?}");
        assert_ne!(engine.run_as(cli, &["run", "--nonesuch", "busybox"]).code, 0, "{cli:?}");
    }
    assert_eq!(engine.says(&["ps", "-aq"]), "", "what never ran with --rm is gone");
    engine.leaves_nothing();
}

#[test]
fn ports_and_names_are_free_again_after_a_failure() {
    let engine = Engine::new();
    let failed =
        engine.run(&["run", "--rm", "--name", "a", "-p", "8080:80", "busybox", "nonesuch"]);
    assert_eq!(failed.code, 127, "{failed:?}");
    engine.says(&["run", "--rm", "--name", "a", "-p", "8080:80", "busybox", "true"]);
    engine.leaves_nothing();
}

#[test]
fn many_containers_at_once() {
    let engine = Engine::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(engine.container(&[], "echo here").out, "here");
                }
            });
        }
    });
    engine.leaves_nothing();
}

#[test]
fn two_engines_live_side_by_side() {
    let (first, second) = (Engine::new(), Engine::new());
    first.says(&["run", "-d", "--name", "a", "busybox", "sleep", "1000"]);
    second.says(&["run", "-d", "--name", "a", "busybox", "sleep", "1000"]);
    let pid = second.pid_of("a");
    first.leaves_nothing();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "the other's is untouched");
    second.leaves_nothing();
}

#[test]
fn a_signal_to_the_client_is_the_programs() {
    let engine = Engine::new();
    let script = "trap 'exit 7' TERM; echo here; sleep 1000 & wait";
    for cli in [Cli::Docker, Cli::Cofferdam] {
        for more in [&[][..], &["--tty"]] {
            let words =
                [&["run", "--rm", "--name", "a"], more, &["busybox", "sh", "-c", script]].concat();
            let mut child =
                engine.command(cli, &words).stdout(Stdio::null()).spawn().expect("the CLI starts");
            until("the program", || engine.run(&["logs", "a"]).out.trim_end() == "here");
            engine.host().says(&format!("kill -TERM {}", child.id()));
            assert_eq!(child.wait().expect("our child").code(), Some(7), "{words:?}");
            until("its removal", || engine.says(&["ps", "-aq"]).is_empty());
        }
    }
    engine.leaves_nothing();
}

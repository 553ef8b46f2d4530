//! Health checks: run in the container, told to whoever waits for them.

use promises::{Engine, until};

/// A check that looks for `/well`, four times a second.
const OFTEN: [&str; 4] =
    ["--health-cmd", "cat /well", "--health-interval=250ms", "--health-retries=2"];

fn health(engine: &Engine) -> String {
    engine.inspect("a", "{{.State.Health.Status}}")
}

fn run(engine: &Engine, more: &[&str]) {
    let mut words = vec!["run", "-d", "--name", "a"];
    words.extend(OFTEN);
    words.extend(more);
    words.extend(["busybox", "sleep", "1000"]);
    engine.says(&words);
}

#[test]
fn a_container_turns_unhealthy_and_well_again() {
    let engine = Engine::new();
    run(&engine, &[]);
    until("failures in a row", || health(&engine) == "unhealthy");
    let status = engine.says(&["ps", "--filter", "health=unhealthy", "--format", "{{.Status}}"]);
    assert!(status.ends_with("(unhealthy)"), "{status}");
    let last = "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}";
    let said = engine.inspect("a", last);
    assert!(said.starts_with("1 ") && said.contains("/well"), "{said}");
    engine.says(&["exec", "a", "sh", "-c", "echo fine > /well"]);
    until("a success", || health(&engine) == "healthy");
    assert_eq!(engine.inspect("a", "{{.State.Health.FailingStreak}}"), "0");
    let status = engine.says(&["ps", "--filter", "health=healthy", "--format", "{{.Status}}"]);
    assert!(status.ends_with("(healthy)"), "{status}");
    let events = engine.says(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=health_status",
        "--format",
        "{{.Action}}",
    ]);
    assert_eq!(events, "health_status: unhealthy\nhealth_status: healthy");
    engine.leaves_nothing();
}

#[test]
fn a_failure_in_the_start_period_does_not_count() {
    let engine = Engine::new();
    run(&engine, &["--health-start-period=1h", "--health-start-interval=100ms"]);
    let log = || engine.inspect("a", "{{len .State.Health.Log}}");
    until("five failures", || log() == "5");
    assert_eq!(health(&engine), "starting");
    assert_eq!(engine.inspect("a", "{{.State.Health.FailingStreak}}"), "0");
    engine.leaves_nothing();
}

#[test]
fn a_check_that_hangs_is_killed_and_counts_as_a_failure() {
    let engine = Engine::new();
    let check = ["--health-cmd", "echo begun; exec sleep 987", "--health-timeout=300ms"];
    run(&engine, &check);
    until("failures in a row", || health(&engine) == "unhealthy");
    let said = engine.inspect(
        "a",
        "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}",
    );
    assert_eq!(said.trim(), "-1 Health check exceeded timeout (300ms): begun");
    let sleeping = engine.says(&["top", "a"]).matches("sleep 987").count();
    assert!(sleeping <= 1, "two were killed, one may be running: {sleeping}");
    engine.leaves_nothing();
}

#[test]
fn a_check_rests_with_its_container_and_outlives_the_daemon() {
    let mut engine = Engine::new();
    run(&engine, &[]);
    engine.says(&["exec", "a", "sh", "-c", "echo fine > /well"]);
    until("a success", || health(&engine) == "healthy");
    engine.says(&["pause", "a"]);
    assert_eq!(health(&engine), "unhealthy", "as Docker says of one that is not checked");
    engine.says(&["unpause", "a"]);
    until("a success", || health(&engine) == "healthy");
    engine.kill_daemon();
    engine.start();
    assert_eq!(health(&engine), "healthy", "what was known still is");
    engine.says(&["exec", "a", "rm", "/well"]);
    until("failures in a row", || health(&engine) == "unhealthy");
    engine.says(&["restart", "-t", "0", "a"]);
    engine.says(&["stop", "-t", "0", "a"]);
    assert_eq!(engine.says(&["ps", "-a", "--filter", "health=unhealthy", "-q"]).lines().count(), 1);
    engine.leaves_nothing();
}

#[test]
fn a_probe_is_forgotten_when_it_has_ended() {
    let engine = Engine::new();
    run(&engine, &[]);
    let ends = || {
        let all = ["events", "--since", "1h", "--until", "0s", "--filter", "event=exec_die"];
        engine.says(&[&all[..], &["--format", "{{.Actor.Attributes.execID}}"]].concat())
    };
    until("a probe's end", || !ends().is_empty());
    let probe = ends().lines().next().unwrap_or_default().to_owned();
    let known = || {
        let socket = engine.socket().display().to_string();
        let ask = format!("curl -sS --unix-socket {socket} http://x/exec/{probe}/json");
        engine.host().says(&ask)
    };
    until("it to be forgotten", || known().contains("No such exec instance"));
    engine.leaves_nothing();
}

#[test]
fn a_check_of_an_image_can_be_switched_off() {
    let engine = Engine::new();
    engine.says(&["create", "--name", "base", "busybox", "sleep", "1000"]);
    engine.says(&["commit", "-c", "HEALTHCHECK --interval=100ms CMD false", "base", "checked"]);
    engine.says(&["run", "-d", "--name", "a", "checked"]);
    until("three failures", || health(&engine) == "unhealthy");
    engine.says(&["run", "-d", "--name", "b", "--no-healthcheck", "checked"]);
    assert_eq!(engine.inspect("b", "{{if .State.Health}}some{{else}}none{{end}}"), "none");
    engine.leaves_nothing();
}

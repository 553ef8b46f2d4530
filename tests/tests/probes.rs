//! Health checks that start no program: a port, a page, a socket. Who answers
//! may be hostile, and what is looked at is the container's own alone.

use promises::{Cli, Engine, until};
use std::{
    io::ErrorKind,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

/// How often, and after how many failures.
const OFTEN: [&str; 2] = ["--health-interval=100ms", "--health-retries=2"];

/// Runs `a` with a check and a script.
fn run(engine: &Engine, options: &[&str], script: &str) {
    let words = [&["run", "-d", "--name", "a"][..], &OFTEN, options, &["busybox", "sh", "-c"]];
    engine.says(&[&words.concat()[..], &[script]].concat());
}

fn health(engine: &Engine) -> String {
    engine.inspect("a", "{{.State.Health.Status}}")
}

/// What the latest probe came to: its code and words.
fn last(engine: &Engine) -> String {
    let all = "{{range .State.Health.Log}}#{{.ExitCode}} {{.Output}}{{end}}";
    engine.inspect("a", all).rsplit('#').next().unwrap_or_default().to_owned()
}

/// Waits for a verdict, and for words of the latest probe.
fn becomes(engine: &Engine, status: &str, words: &str) {
    until(&format!("{status}, {words}"), || {
        health(engine) == status && last(engine).contains(words)
    });
}

/// A server on port 80 that answers each connection by the script `$ANSWER`.
const SERVER: &str = "exec nc -ll -p 80 -e sh -c 'eval \"$ANSWER\"'";

#[test]
fn a_port_is_well_while_somebody_listens_there() {
    let mut engine = Engine::new();
    let script = "while [ ! -e /go ]; do sleep 0.1; done; exec httpd -f -p 81";
    run(&engine, &["--health-tcp", "81"], script);
    becomes(&engine, "unhealthy", "1 cannot connect to 127.0.0.1:81: Connection refused");
    engine.says(&["exec", "a", "touch", "/go"]);
    becomes(&engine, "healthy", "0 connected to 127.0.0.1:81");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let status = engine.says_as(cli, &["ps", "--format", "{{.Status}}"]);
        assert!(status.ends_with("(healthy)"), "{cli:?}: {status}");
        let test =
            engine.says_as(cli, &["inspect", "-f", "{{json .Config.Healthcheck.Test}}", "a"]);
        assert_eq!(test, r#"["TCP","81"]"#, "{cli:?}");
    }
    let begun = ["events", "--since", "1h", "--until", "0s", "--filter", "event=exec_create"];
    let by_hand = engine.says(&begun).lines().count();
    assert_eq!(by_hand, 1, "the one that was typed here: no program is started for a probe");
    engine.kill_daemon();
    engine.start();
    assert_eq!(health(&engine), "healthy");
    until("five probes", || engine.inspect("a", "{{len .State.Health.Log}}") == "5");
    let latest = || engine.inspect("a", "{{(index .State.Health.Log 4).Start}}");
    let before = latest();
    until("a probe of the new daemon", || latest() != before);
    assert_eq!(health(&engine), "healthy");
    engine.leaves_nothing();
}

#[test]
fn an_address_of_its_own_can_be_looked_at_and_no_other() {
    let engine = Engine::new();
    let script = "exec httpd -f -p 10.99.0.9:82";
    engine.says(&["network", "create", "--subnet", "10.99.0.0/24", "n"]);
    run(&engine, &["--network", "n", "--ip", "10.99.0.9", "--health-tcp", "10.99.0.9:82"], script);
    becomes(&engine, "healthy", "connected to 10.99.0.9:82");
    engine.says(&["rm", "-f", "a"]);
    // The host listens at the gateway, where a container's own programs reach it.
    let heard = engine.scratch().join("heard");
    let server = format!("exec /bin/busybox nc -ll -p 83 -e sh -c 'echo x >> {}'", heard.display());
    let mut server = engine.host().command("sh").args(["-c", &server]).spawn().expect("sh starts");
    run(&engine, &["--network", "n", "--health-tcp", "10.99.0.1:83"], "exec sleep 1000");
    becomes(&engine, "unhealthy", "this is no address of the container's");
    server.kill().expect("our child");
    server.wait().expect("our child");
    assert!(!heard.exists(), "the host was reached");
    engine.leaves_nothing();
}

#[test]
fn a_page_is_well_by_its_status() {
    let engine = Engine::new();
    let answer = "ANSWER=read first; echo \"$first\" > /asked; \
                  while read more && [ ${#more} -gt 1 ]; do :; done; cat /status";
    let begin = "printf 'HTTP/1.1 503 Not Yet\\r\\n\\r\\nwarming up' > /status; ";
    let options = ["-e", answer, "--health-http", ":80/well?now"];
    run(&engine, &options, &format!("{begin}{SERVER}"));
    becomes(&engine, "unhealthy", "1 HTTP/1.1 503 Not Yet");
    assert_eq!(engine.says(&["exec", "a", "cat", "/asked"]).trim(), "GET /well?now HTTP/1.1");
    for (status, verdict, code) in [
        ("HTTP/1.1 200 OK", "healthy", 0),
        ("HTTP/1.0 404 Missing", "unhealthy", 1),
        ("HTTP/1.1 302 Found\\r\\nLocation: http://127.0.0.1:81/", "healthy", 0),
    ] {
        let line = status.split('\\').next().unwrap_or_default();
        let set = format!("printf '{status}\\r\\n\\r\\n' > /new; mv /new /status");
        engine.says(&["exec", "a", "sh", "-c", &set]);
        becomes(&engine, verdict, &format!("{code} {line}"));
    }
    engine.leaves_nothing();
}

/// A server that answers so is unhealthy, and the words say why.
fn hostile(answer: &str, words: &str) {
    let engine = Engine::new();
    let answer = format!("ANSWER={answer}");
    let options = ["-e", &answer, "--health-http", "localhost/", "--health-timeout=400ms"];
    run(&engine, &options, SERVER);
    becomes(&engine, "unhealthy", words);
    // Nobody else is held up.
    let well = ["run", "-d", "--name", "b", "--health-tcp", "80", "--health-interval=100ms"];
    engine.says(&[&well[..], &["busybox", "httpd", "-f"]].concat());
    until("another", || engine.inspect("b", "{{.State.Health.Status}}") == "healthy");
    assert_eq!(health(&engine), "unhealthy");
    engine.leaves_nothing();
}

#[test]
fn headers_without_end_are_ended() {
    hostile(
        "printf 'HTTP/1.1 200 OK\\r\\n'; exec yes 'X: y'",
        "the head of its answer is longer than 16384 bytes",
    );
}

#[test]
fn a_server_that_drips_is_too_late() {
    hostile(
        "printf 'HTTP/1.1 200 OK\\r\\n'; while printf 'X: y\\r\\n'; do sleep 0.1; done",
        "-1 Health check exceeded timeout (400ms)",
    );
}

#[test]
fn a_server_that_says_nothing_is_too_late() {
    hostile("exec sleep 1000", "-1 Health check exceeded timeout (400ms)");
}

#[test]
fn what_is_no_http_is_unhealthy() {
    hostile("exec cat /dev/zero", "this is no HTTP: \\x00\\x00");
}

#[test]
fn a_body_without_end_is_not_read() {
    let engine = Engine::new();
    let answer = "ANSWER=printf 'HTTP/1.1 200 OK\\r\\n\\r\\n'; exec cat /dev/zero";
    run(&engine, &["-e", answer, "--health-http", "localhost/"], SERVER);
    until("a success", || health(&engine) == "healthy");
    let length = engine.inspect("a", "{{len (index .State.Health.Log 0).Output}}");
    assert!(length.parse::<usize>().expect("a number") <= 4096, "{length}");
    engine.leaves_nothing();
}

/// A directory on the host with a socket in it.
fn listening(engine: &Engine, name: &str) -> (PathBuf, UnixListener) {
    let dir = engine.scratch().join(name);
    std::fs::create_dir(&dir).expect("scratch");
    let listener = UnixListener::bind(dir.join("s")).expect("bound");
    listener.set_nonblocking(true).expect("set");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir.join("s"), mode).expect("set");
    (dir, listener)
}

fn was_reached(listener: &UnixListener) -> bool {
    match listener.accept() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

fn bind(dir: &Path, at: &str) -> String {
    format!("{}:{at}", dir.display())
}

#[test]
fn a_socket_is_well_while_somebody_listens_on_it() {
    let engine = Engine::new();
    let (dir, listener) = listening(&engine, "dir");
    let script = "mkdir -p /run; ln -s /in/s /run/s; exec sleep 1000";
    run(&engine, &["-v", &bind(&dir, "/in"), "--health-unix", "/run/s"], script);
    becomes(&engine, "healthy", "0 connected to /run/s");
    assert!(was_reached(&listener));
    drop(listener);
    becomes(&engine, "unhealthy", "1 cannot connect to /run/s: Connection refused");
    std::fs::remove_file(dir.join("s")).expect("there");
    becomes(&engine, "unhealthy", "No such file or directory");
    std::fs::write(dir.join("s"), "").expect("written");
    becomes(&engine, "unhealthy", "Socket operation on non-socket");
    engine.leaves_nothing();
}

#[test]
fn a_path_in_a_container_never_leads_to_a_socket_of_the_host() {
    let engine = Engine::new();
    let (dir, listener) = listening(&engine, "dir");
    let host = dir.join("s").display().to_string();
    let ways = [
        host.clone(),
        format!("{}{host}", "../".repeat(20)),
        format!("/proc/1/root{host}"),
        format!("/proc/self/root{host}"),
    ];
    for way in ways {
        let script = format!("ln -s '{way}' /s; exec sleep 1000");
        run(&engine, &["--health-unix", "/s"], &script);
        becomes(&engine, "unhealthy", "1 cannot connect to /s: ");
        assert!(!was_reached(&listener), "{way}");
        engine.says(&["rm", "-f", "a"]);
    }
    let climbing = format!("/{}{host}", "../".repeat(20));
    run(&engine, &["--health-unix", &climbing], "exec sleep 1000");
    becomes(&engine, "unhealthy", "No such file or directory");
    assert!(!was_reached(&listener));
    engine.leaves_nothing();
}

#[test]
fn a_look_that_makes_no_sense_is_refused_when_it_is_asked_for() {
    let engine = Engine::new();
    let refused = |options: &[&str], words: &str| {
        let ran = engine.run(&[&["create"][..], options, &["busybox", "true"]].concat());
        assert!(ran.code != 0 && ran.err.contains(words), "{options:?}: {ran:?}");
    };
    refused(&["--health-tcp", "web:80"], "use PORT or ADDRESS:PORT");
    refused(&["--health-http", "https://localhost"], "TLS is not spoken");
    refused(&["--health-http", ":80/\r\nX: y"], "it holds a blank");
    refused(&["--health-unix", "run/s"], "use the absolute path");
    refused(&["--health-tcp", "80", "--health-cmd", "true"], "choose one");
    refused(&["--health-tcp", "80", "--no-healthcheck"], "--no-healthcheck conflicts");
    assert_eq!(engine.says(&["ps", "-aq"]), "");
    engine.leaves_nothing();
}

#[test]
fn a_look_keeps_to_its_start_period_and_rests_with_its_container() {
    let engine = Engine::new();
    let young = ["--health-tcp", "80", "--health-start-period=1h", "--health-start-interval=50ms"];
    run(&engine, &young, "while [ ! -e /go ]; do sleep 0.1; done; exec httpd -f");
    until("five failures", || engine.inspect("a", "{{len .State.Health.Log}}") == "5");
    assert_eq!(health(&engine), "starting");
    engine.says(&["exec", "a", "touch", "/go"]);
    until("a success", || health(&engine) == "healthy");
    engine.says(&["pause", "a"]);
    assert_eq!(health(&engine), "unhealthy", "as Docker says of one that is not checked");
    engine.says(&["unpause", "a"]);
    until("a success", || health(&engine) == "healthy");
    engine.says(&["restart", "-t", "0", "a"]);
    until("a success", || health(&engine) == "healthy");
    engine.leaves_nothing();
}

//! NET: ports of the host, while firewalls are reloaded and containers run.

use promises::{Cli, Engine, until};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// A container that sends back what it is sent at ports 80 and 81.
fn echo(engine: &Engine, name: &str, options: &[&str]) {
    let look = look();
    let mut words = vec!["run", "-d", "--name", name, "-v", &look];
    words.extend(options);
    words.extend(["busybox", "/look", "echo", "80", "81"]);
    engine.says(&words);
    until("the server", || {
        let ran = engine.run(&["exec", name, "sh", "-c", "netstat -ltn | grep -c ':8[01] '"]);
        ran.out == "2"
    });
}

fn look() -> String {
    format!("{}:/look:ro", env!("CARGO_BIN_EXE_look"))
}

/// A client of the host that stays connected.
struct Client {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn to(engine: &Engine, port: &str) -> Self {
        let mut command = engine.host().command(env!("CARGO_BIN_EXE_look"));
        command
            .args(["say", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, input, output }
    }

    /// Sends a line and reads it back; the empty line is the end.
    fn says(&mut self, line: &str) -> String {
        let mut back = String::new();
        if writeln!(self.input, "{line}").is_ok() {
            self.output.read_line(&mut back).expect("read");
        }
        back.trim_end().to_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answers(engine: &Engine, port: &str) -> bool {
    let mut command = engine.host().command(env!("CARGO_BIN_EXE_look"));
    command.args(["say", &format!("127.0.0.1:{port}"), "hello"]);
    command.output().expect("starts").stdout == b"hello\n"
}

#[test]
fn net2_ports_come_and_go_while_a_container_runs_and_no_connection_drops() {
    let mut engine = Engine::new();
    echo(&engine, "a", &["-p", "8080:80", "--label", "x=y"]);
    echo(&engine, "b", &["-p", "9090:80"]);
    let (mut own, mut others) = (Client::to(&engine, "8080"), Client::to(&engine, "9090"));
    assert_eq!((own.says("one"), others.says("one")), ("one".into(), "one".into()));
    assert!(!answers(&engine, "8081"));
    engine.says(&["update", "--publish", "8081:81", "--publish", "127.0.0.1::81", "a"]);
    assert!(answers(&engine, "8081"));
    let ports = engine.says_as(Cli::Docker, &["port", "a", "81"]);
    let any = ports.lines().find_map(|line| line.strip_prefix("127.0.0.1:")).expect("any port");
    assert!(answers(&engine, any), "{ports}");
    assert_eq!((own.says("two"), others.says("two")), ("two".into(), "two".into()));
    // A port of somebody else's is refused, and nothing has changed.
    let before = engine.host().says("nft -s list ruleset");
    for taken in ["9090:81", "8081:80"] {
        let ran = engine.run(&["update", "--publish", taken, "a"]);
        assert!(ran.code == 1 && ran.err.contains("port is already allocated"), "{ran:?}");
    }
    let ran = engine.run(&["update", "--unpublish", "7:7", "a"]);
    assert!(ran.code == 1 && ran.err.contains("port 7:7 is not published"), "{ran:?}");
    assert_eq!(engine.host().says("nft -s list ruleset"), before);
    engine.says(&["update", "--unpublish", "8081:81", "a"]);
    assert!(!answers(&engine, "8081") && answers(&engine, any));
    assert_eq!((own.says("three"), others.says("three")), ("three".into(), "three".into()));
    // Given back: it is another's now.
    engine.says(&["update", "--publish", "8081:81", "b"]);
    assert!(answers(&engine, "8081"));
    engine.kill_daemon();
    engine.start();
    engine.says(&["update", "--unpublish", "81", "b"]);
    assert!(!answers(&engine, "8081"), "by a daemon that did not publish it");
    assert_eq!(own.says("four"), "four");
    engine.says(&["restart", "-t", "0", "a"]);
    let bindings = engine.inspect("a", "{{json .HostConfig.PortBindings}}");
    assert!(bindings.contains("8080") && !bindings.contains("8081"), "{bindings}");
    until("the server", || answers(&engine, "8080"));
    engine.says(&["update", "--unpublish", "80", "--unpublish", "81", "a"]);
    assert!(!answers(&engine, "8080"));
    assert_eq!(engine.says(&["port", "a"]), "");
    engine.says(&["rm", "-f", "a", "b"]);
    engine.leaves_nothing();
}

#[test]
fn net2_a_container_that_does_not_run_is_published_when_it_starts() {
    let engine = Engine::new();
    let look = look();
    engine.says(&["create", "--name", "a", "-v", &look, "busybox", "/look", "echo", "80"]);
    engine.says(&["update", "--publish", "8080:80", "a"]);
    engine.says(&["start", "a"]);
    until("the server", || answers(&engine, "8080"));
    let ran =
        engine.run(&["run", "-d", "--name", "h", "--network", "host", "busybox", "sleep", "99"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = engine.run(&["update", "--publish", "8082:80", "h"]);
    assert!(ran.code == 1 && ran.err.contains("no network of its own"), "{ran:?}");
    engine.says(&["rm", "-f", "a", "h"]);
    engine.leaves_nothing();
}

#[test]
fn net2_a_reload_of_the_hosts_firewall_takes_nothing_away() {
    let mut engine = Engine::new();
    engine.says(&["network", "create", "-o", "cofferdam.egress=deny", "closed"]);
    echo(&engine, "a", &["-p", "8080:80"]);
    echo(&engine, "b", &["-p", "8081:81", "--network", "closed"]);
    let ruleset = |engine: &Engine| engine.host().says("nft -s list ruleset");
    let before = ruleset(&engine);
    let mut client = Client::to(&engine, "8080");
    assert_eq!(client.says("one"), "one");
    // As such a reload is: everything goes, and theirs comes again.
    let theirs = "table inet theirs {\n chain input {\n type filter hook input priority 0;\n }\n}";
    let reload = format!("nft -f - <<'END'\nflush ruleset\n{theirs}\nEND");
    for _ in 0..3 {
        engine.host().says(&reload);
        until("our tables", || {
            let now = ruleset(&engine);
            before.lines().all(|line| now.contains(line))
        });
        assert!(answers(&engine, "8080") && answers(&engine, "8081"));
    }
    assert_eq!(client.says("two"), "two", "nor does a connection drop");
    // And while nobody looks.
    engine.kill_daemon();
    engine.host().says(&reload);
    engine.start();
    until("our tables", || {
        let now = ruleset(&engine);
        before.lines().all(|line| now.contains(line))
    });
    assert!(answers(&engine, "8080"));
    engine.host().says("nft delete table inet theirs");
    drop(client);
    engine.says(&["rm", "-f", "a", "b"]);
    engine.says(&["network", "rm", "closed"]);
    engine.leaves_nothing();
}

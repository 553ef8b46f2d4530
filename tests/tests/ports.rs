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

#[test]
fn net2_ten_thousand_ports_are_one_run_and_ten_thousand_entries() {
    let mut engine = Engine::new();
    echo(&engine, "plain", &["-p", "9000:80"]);
    let look = look();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let range = ["-p", "10000-19999:10000-19999", "-v", &look];
        let words = [&["run", "-d", "--name", "many"][..], &range, &["busybox", "/look", "echo"]];
        let words = [&words.concat()[..], &["10000", "15000", "19999"]].concat();
        engine.says_as(cli, &words);
        until("the server", || {
            ["10000", "15000", "19999"].iter().all(|port| answers(&engine, port))
        });
        // Each is shown as Docker shows it, and one element leads to all.
        let count = |what: &str| engine.inspect("many", &format!("{{{{len {what}}}}}"));
        assert_eq!(count(".HostConfig.PortBindings"), "10000");
        assert_eq!(count(".NetworkSettings.Ports"), "10000");
        assert_eq!(count(".Config.ExposedPorts"), "10000");
        let both = "0.0.0.0:12345\n[::]:12345";
        assert_eq!(engine.says_as(cli, &["port", "many", "12345/tcp"]), both);
        let ps = engine.says_as(cli, &["ps", "--format", "{{.Ports}}", "--filter", "name=many"]);
        assert!(ps.contains("0.0.0.0:10000-19999->10000-19999/tcp"), "{ps:.300}");
        let rules = engine.host().says("nft list ruleset");
        assert_eq!(rules.matches("tcp . 10000-19999 ").count(), 2, "by IPv4 and IPv6");
        assert!(!rules.contains("12345"));
        let taken = engine.run_as(cli, &["run", "--rm", "-p", "12345:1", "busybox", "true"]);
        assert!(taken.err.contains("12345 failed: port is already allocated"), "{taken:?}");
        // A part of it goes, by a daemon that did not publish it.
        engine.kill_daemon();
        engine.start();
        engine.says(&["update", "--unpublish", "15000:15000", "many"]);
        assert!(!answers(&engine, "15000"));
        assert!(answers(&engine, "10000") && answers(&engine, "19999"));
        assert_eq!(engine.inspect("many", "{{len .HostConfig.PortBindings}}"), "9999");
        engine.says(&["update", "--publish", "15000:15000", "plain"]);
        engine.says(&["update", "--unpublish", "15000", "plain"]);
        engine.says(&["restart", "-t", "0", "many"]);
        until("the server", || answers(&engine, "19999"));
        assert!(!answers(&engine, "15000"));
        engine.says(&["rm", "-f", "many"]);
    }
    engine.says(&["rm", "-f", "plain"]);
    engine.leaves_nothing();
}

#[test]
fn net2_a_port_in_use_within_a_range_is_found_before_the_start() {
    let engine = Engine::new();
    let script = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 15000)); s.listen(); print('up', flush=True); input()";
    let mut server = engine.host().command("python3");
    server.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().expect("starts");
    let mut up = String::new();
    let said = server.stdout.take().expect("piped");
    BufReader::new(said).read_line(&mut up).expect("listens");
    let words = ["run", "--rm", "-p", "10000-19999:10000-19999", "busybox", "true"];
    let refused = engine.run(&words);
    server.kill().and_then(|()| server.wait()).expect("ours");
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.err.contains("0.0.0.0:15000:"), "{refused:?}");
    assert!(refused.err.contains("address already in use"), "{refused:?}");
    assert_eq!(engine.run(&words).code, 0, "it is free now");
    engine.leaves_nothing();
}

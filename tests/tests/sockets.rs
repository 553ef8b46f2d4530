//! Scoped sockets: what clients on them may do, and what they try.

use promises::{Cli, Engine, PATIENCE, Ran, finish, until};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::Stdio,
};

/// Two containers of two teams: what is the other's must never be seen.
fn teams() -> Engine {
    let engine = Engine::new();
    for (name, team) in [("mine", "a"), ("other", "b")] {
        let label = format!("team={team}");
        let script = format!("echo said by {name}; exec sleep 1000");
        let words = ["run", "-d", "--name", name, "--label", &label, "-e", "SECRET=hush"];
        engine.says(&[&words[..], &["busybox", "sh", "-c", &script]].concat());
        until("its words", || engine.says(&["logs", name]).contains("said by"));
    }
    engine
}

/// Makes a socket for team a.
fn socket(engine: &Engine, name: &str, allow: &str) -> PathBuf {
    let words = ["socket", "create", name, "--allow", allow, "--label", "team=a"];
    let path = PathBuf::from(engine.says(&words));
    assert_eq!(path, engine.run_root().join("sockets").join(name).join("docker.sock"));
    path
}

/// Runs a CLI over a socket.
fn over(engine: &Engine, cli: Cli, path: &std::path::Path, words: &[&str]) -> Ran {
    let host = format!("unix://{}", path.display());
    engine.run_as(cli, &[&["-H", &host], words].concat())
}

/// Answers to bytes, until the engine closes.
fn wire(path: &std::path::Path, bytes: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream.write_all(bytes.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request.
fn ask(path: &std::path::Path, method: &str, target: &str, body: &str) -> String {
    let head = "Host: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let length = body.len();
    wire(
        path,
        &format!("{method} {target} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}"),
    )
}

/// Every call of a socket's log.
fn log(engine: &Engine, name: &str) -> Vec<Value> {
    let text = engine.says(&["socket", "log", name, "--format", "json"]);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn sockets_allow_what_was_allowed_to_containers_with_the_label() {
    let engine = teams();
    let path = socket(&engine, "ci", "read,logs,restart,exec");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let run = |words: &[&str]| over(&engine, cli, &path, words);
        let says = |words: &[&str]| {
            let ran = run(words);
            assert_eq!(ran.code, 0, "{cli:?} {words:?}: {ran:?}");
            ran.out
        };
        assert_eq!(says(&["ps", "-a", "--format", "{{.Names}}"]), "mine");
        assert_eq!(says(&["logs", "--tail", "1", "mine"]), "said by mine");
        assert_eq!(says(&["exec", "mine", "echo", "hello"]), "hello");
        assert_eq!(says(&["exec", "-u", "1000", "mine", "id", "-u"]), "1000");
        assert_eq!(says(&["inspect", "-f", "{{.Config.Labels.team}}", "mine"]), "a");
        assert!(!says(&["inspect", "mine"]).contains("hush"), "variables are a right of their own");
        assert!(says(&["top", "mine"]).contains("sleep 1000"));
        says(&["restart", "-t", "0", "mine"]);
        for words in [
            &["stop", "mine"][..],
            &["kill", "mine"],
            &["pause", "mine"],
            &["attach", "mine"],
            &["cp", "mine:/etc/passwd", "-"],
            &["diff", "mine"],
            &["rm", "-f", "mine"],
            &["rename", "mine", "yours"],
            &["update", "--memory", "1g", "mine"],
            &["commit", "mine", "image"],
            &["run", "--rm", "busybox", "true"],
            &["create", "-v", "/:/host", "--label", "team=a", "busybox"],
            &["images"],
            &["volume", "ls"],
            &["network", "ls"],
            &["info", "--format", "{{.Name}}"],
            &["system", "df"],
            &["exec", "--privileged", "mine", "true"],
        ] {
            let refused = run(words);
            let said = format!("{}{}", refused.out, refused.err);
            // Docker's CLI does not read why it may not attach, and what
            // `HEAD` is told has no words.
            let why = said.contains("the scoped socket ci allows no ");
            let told = why || (words[0] == "attach" || words[0] == "cp");
            // And its `info` is content with half.
            assert!(
                (refused.code != 0 || words[0] == "info") && told,
                "{cli:?} {words:?}: {refused:?}"
            );
        }
    }
    assert_eq!(engine.inspect("mine", "{{.State.Running}}"), "true");
    engine.says(&["socket", "rm", "ci"]);
    engine.leaves_nothing();
}

#[test]
fn sockets_need_no_more_than_the_right_that_is_used() {
    let engine = teams();
    for (right, words) in [
        ("logs", &["logs", "mine"][..]),
        ("exec", &["exec", "mine", "true"]),
        ("restart", &["restart", "-t", "0", "mine"]),
        ("pause", &["pause", "mine"]),
        ("pause", &["unpause", "mine"]),
        ("kill", &["kill", "-s", "WINCH", "mine"]),
        ("files", &["cp", "mine:/etc/passwd", "-"]),
        ("files", &["diff", "mine"]),
        ("read", &["ps"]),
        ("stop", &["stop", "-t", "0", "mine"]),
        ("start", &["start", "mine"]),
    ] {
        let path = socket(&engine, "one", right);
        let ran = over(&engine, Cli::Docker, &path, words);
        assert_eq!(ran.code, 0, "{right} {words:?}: {ran:?}");
        if right != "read" {
            let little = ask(&path, "GET", "/containers/mine/json", "");
            assert!(little.contains("\"Tty\":false") && !little.contains("HostConfig"), "{little}");
            assert!(!little.contains("hush"), "{little}");
            let list = ask(&path, "GET", "/containers/json", "");
            assert!(list.starts_with("HTTP/1.1 403 "), "{list}");
        }
        engine.says(&["socket", "rm", "one"]);
    }
    let path = socket(&engine, "one", "read,env");
    assert!(ask(&path, "GET", "/containers/mine/json", "").contains("SECRET=hush"));
    engine.leaves_nothing();
}

#[test]
fn sockets_have_no_other_containers_by_whatever_name() {
    let engine = teams();
    let all = "read,env,logs,start,stop,restart,kill,pause,exec,attach,files";
    let path = socket(&engine, "all", all);
    let id = engine.inspect("other", "{{.Id}}");
    let command = "{\"Cmd\":[\"sleep\",\"1000\"]}";
    let made = ask(&engine.socket(), "POST", "/containers/other/exec", command);
    let exec = made.split("\"Id\":\"").nth(1).expect("made").split('"').next().expect("one");
    let references = ["other", "/other", &id, &id[..12], &id[..4]];
    for reference in references {
        for (method, rest) in [
            ("GET", "json"),
            ("GET", "json?size=1"),
            ("GET", "top"),
            ("GET", "logs?stdout=1"),
            ("GET", "stats?stream=0"),
            ("GET", "changes"),
            ("GET", "export"),
            ("GET", "audit"),
            ("GET", "archive?path=/etc"),
            ("HEAD", "archive?path=/etc"),
            ("GET", "attach/ws?stream=1"),
            ("POST", "attach?stream=1&stdout=1"),
            ("POST", "wait"),
            ("POST", "exec"),
            ("POST", "resize?h=1&w=1"),
            ("POST", "pause"),
            ("POST", "unpause"),
            ("POST", "kill?signal=WINCH"),
            ("POST", "stop"),
            ("POST", "restart"),
            ("POST", "start"),
        ] {
            let target = format!("/v1.51/containers/{reference}/{rest}");
            let answer = ask(&path, method, &target, if rest == "exec" { command } else { "" });
            assert!(answer.starts_with("HTTP/1.1 404 "), "{method} {target}: {answer}");
            // As of one that there never was.
            let missing = method == "HEAD" || answer.contains("No such container: ");
            let rest = answer.replace(reference, "");
            assert!(missing && !rest.contains(&id[12..]), "{method} {target}: {answer}");
        }
    }
    for (method, rest) in [("GET", "json"), ("POST", "start"), ("POST", "resize?h=1&w=1")] {
        let target = format!("/exec/{exec}/{rest}");
        let answer = ask(&path, method, &target, if rest == "start" { "{}" } else { "" });
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("No such exec"), "{answer}");
        if rest == "json" {
            let bites = ask(&engine.socket(), method, &target, "");
            assert!(bites.starts_with("HTTP/1.1 200 "), "the look must be able to fail: {bites}");
        }
    }
    // One that was made with more rights, by somebody who may.
    let privileged = "{\"Cmd\":[\"true\"],\"Privileged\":true}";
    let made = ask(&engine.socket(), "POST", "/containers/mine/exec", privileged);
    let exec = made.split("\"Id\":\"").nth(1).expect("made").split('"').next().expect("one");
    let answer = ask(&path, "POST", &format!("/exec/{exec}/start"), "{}");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    for filters in [
        "{\"id\":[\"ID\"]}",
        "{\"name\":[\"other\"]}",
        "{\"label\":[\"team=b\"]}",
        "{\"status\":[\"running\",\"created\"]}",
        "{\"before\":[\"mine\"]}",
        "{\"since\":[\"mine\"]}",
    ] {
        let filters = filters.replace("ID", &id).replace('"', "%22");
        for more in ["", "&all=1", "&limit=10", "&size=1"] {
            let target = format!("/containers/json?filters={filters}{more}");
            let answer = ask(&path, "GET", &target, "");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
            assert!(!answer.contains(&id) && !answer.contains("other"), "{target}: {answer}");
        }
    }
    for key in ["before", "since"] {
        let target = format!("/containers/json?filters={{%22{key}%22:[%22other%22]}}");
        let answer = ask(&path, "GET", &target, "");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
    }
    engine.leaves_nothing();
}

#[test]
fn sockets_lead_nowhere_by_bent_paths() {
    let engine = teams();
    let path =
        socket(&engine, "all", "read,env,logs,start,stop,restart,kill,pause,exec,attach,files");
    for target in [
        "/info",
        "/v1.51/info",
        "/v1.24/info",
        "//info",
        "/v1.51//info",
        "/%69nfo",
        "/v1.51/../info",
        "/containers/../info",
        "/containers/mine/../other/json",
        "/containers/mine%2f..%2fother/json",
        "/containers/%2e%2e/info",
        "/containers/other%00/json",
        "/containers/mine/../../info",
        "/./info",
        "/info/",
        "/INFO",
        "http://localhost/info",
        "/containers/json/../../info",
        "/cofferdam/audit",
        "/cofferdam/sockets",
        "/cofferdam/sockets/all",
        "/cofferdam/sockets/all/log",
        "/images/json",
        "/volumes",
        "/networks",
        "/system/df",
        "/plugins",
        "/swarm",
        "/v9.99/containers/json",
    ] {
        let answer = ask(&path, "GET", target, "");
        let refused =
            ["400", "403", "404"].iter().any(|s| answer.starts_with(&format!("HTTP/1.1 {s}")));
        assert!(refused && !answer.contains("said by"), "{target}: {answer}");
    }
    for (method, target, body) in [
        (
            "POST",
            "/containers/create",
            "{\"Image\":\"busybox\",\"HostConfig\":{\"Privileged\":true}}",
        ),
        ("POST", "/v1.51/containers/create?name=x", "{\"Image\":\"busybox\"}"),
        ("POST", "/containers/mine/update", "{}"),
        ("POST", "/containers/mine/rename?name=x", ""),
        ("POST", "/commit?container=mine", "{}"),
        ("POST", "/build", ""),
        ("POST", "/images/create?fromImage=x", ""),
        ("POST", "/volumes/create", "{}"),
        ("POST", "/networks/create", "{}"),
        ("POST", "/containers/prune", ""),
        ("POST", "/cofferdam/sockets/create", "{\"Name\":\"x\",\"Allow\":[\"read\"]}"),
        ("DELETE", "/cofferdam/sockets/all", ""),
        ("DELETE", "/containers/mine?force=1", ""),
        ("DELETE", "/containers/mine/link", ""),
        ("PUT", "/containers/mine/archive?path=/", ""),
        ("OPTIONS", "/info", ""),
        ("HEAD", "/info", ""),
        ("CONNECT", "/info", ""),
    ] {
        let answer = ask(&path, method, target, body);
        let refused =
            ["400", "403", "404"].iter().any(|s| answer.starts_with(&format!("HTTP/1.1 {s}")));
        assert!(refused, "{method} {target}: {answer}");
    }
    // What stops being HTTP.
    for target in ["/grpc", "/session", "/_ping", "/containers/other/attach?stream=1&stdout=1"] {
        let upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
                       X-Docker-Expose-Session-Uuid: x\r\nContent-Length: 0\r\n";
        let method = if target == "/_ping" { "GET" } else { "POST" };
        let after = "GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = wire(&path, &format!("{method} {target} HTTP/1.1\r\n{upgrade}\r\n{after}"));
        assert!(!answer.contains("101 ") && answer.contains("HTTP/1.1 403"), "{target}: {answer}");
    }
    // What comes behind something that is allowed is a request of its own.
    let smuggled = "POST /containers/mine/wait?condition=x HTTP/1.1\r\nHost: x\r\n\
                    Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
                    GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(!wire(&path, smuggled).contains("NCPU"));
    assert!(
        ask(&engine.socket(), "GET", "/info", "").contains("NCPU"),
        "the look must be able to fail"
    );
    let shown = ask(&path, "GET", "/containers/mine/top?ps_args=-eo%20pid,args", "");
    assert!(shown.starts_with("HTTP/1.1 403 "), "{shown}");
    engine.leaves_nothing();
}

#[test]
fn sockets_hear_of_their_own_containers_alone() {
    let engine = teams();
    let path = socket(&engine, "ci", "read");
    // Names and images are no labels, and one that is made to look like one is no better.
    engine.says(&["run", "--rm", "--name", "team", "--label", "name=a", "busybox", "true"]);
    engine.says(&["run", "--rm", "--label", "team=a", "busybox", "true"]);
    engine.says(&["volume", "create", "--label", "team=a", "vol"]);
    engine.says(&["network", "create", "--label", "team=a", "net"]);
    engine.says(&["restart", "-t", "0", "other", "mine"]);
    // All until now, which is asked for by whole seconds.
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() + 1;
    let now = now.to_string();
    let words = ["events", "--since", "0", "--until", &now, "--format", "{{json .}}"];
    let whole = engine.says_as(Cli::Docker, &words);
    let heard = over(&engine, Cli::Docker, &path, &words);
    assert_eq!(heard.code, 0, "{heard:?}");
    let of = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert!(of(&whole, "\"team\":\"b\"") > 3 && of(&whole, "\"Type\":\"network\"") > 0, "{whole}");
    assert_eq!(of(&heard.out, "\"team\":\"a\""), heard.out.lines().count(), "{heard:?}");
    assert_eq!(of(&heard.out, "\"Type\":\"container\""), heard.out.lines().count());
    assert!(of(&heard.out, "\"destroy\"") > 0 && of(&heard.out, "\"restart\"") > 0, "{heard:?}");
    let id = engine.inspect("other", "{{.Id}}");
    for filter in ["container=other", &format!("container={id}"), "type=network", "label=team=b"] {
        let words = ["events", "--since", "0", "--until", &now, "--filter", filter];
        assert_eq!(over(&engine, Cli::Docker, &path, &words).out, "", "{filter}");
    }
    engine.leaves_nothing();
}

#[test]
fn sockets_end_at_once_when_they_are_revoked() {
    let engine = teams();
    let path = socket(&engine, "ci", "read,logs,exec,attach");
    let host = format!("unix://{}", path.display());
    let follow = |words: &[&str]| {
        let mut command = engine.command(Cli::Docker, &[&["-H", &host], words].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the CLI starts")
    };
    let clients = [
        follow(&["logs", "-f", "mine"]),
        follow(&["events"]),
        follow(&["exec", "-i", "mine", "cat"]),
        follow(&["attach", "mine"]),
        follow(&["wait", "mine"]),
    ];
    let allowed = |operation: &str, path: &str| {
        log(&engine, "ci").iter().any(|line| {
            line["Operation"] == operation && line["Path"].as_str().expect("text").contains(path)
        })
    };
    for (operation, path) in [
        ("logs", "/logs"),
        ("read", "/events"),
        ("exec", "/start"),
        ("attach", "/attach"),
        ("look", "/wait"),
    ] {
        until(operation, || allowed(operation, path));
    }
    let mut idle = UnixStream::connect(&path).expect("listens");
    idle.set_read_timeout(Some(PATIENCE)).expect("a bound");
    engine.says(&["socket", "rm", "ci"]);
    for (client, what) in clients.into_iter().zip(["logs", "events", "exec", "attach", "wait"]) {
        finish(client, what);
    }
    let mut end = Vec::new();
    // Closed, or reset where the daemon had not taken it in yet.
    assert_eq!(idle.read_to_end(&mut end).unwrap_or(0), 0);
    assert!(UnixStream::connect(&path).is_err());
    let gone = engine.run(&["socket", "inspect", "ci"]);
    assert!(gone.code != 0 && gone.err.contains("no such socket: ci"), "{gone:?}");
    // What was asked is still known.
    assert!(log(&engine, "ci").len() > 5);
    assert_eq!(engine.inspect("mine", "{{.State.Running}}"), "true");
    engine.leaves_nothing();
}

#[test]
fn sockets_outlive_the_daemon_and_a_revoked_one_does_not() {
    let mut engine = teams();
    let path = socket(&engine, "ci", "read");
    let revoked = socket(&engine, "old", "read");
    engine.says(&["socket", "rm", "old"]);
    let before = over(&engine, Cli::Docker, &path, &["ps", "-q"]).out;
    engine.kill_daemon();
    engine.start();
    assert!(before.len() == 12, "{before}");
    // The daemon answers a little before all its sockets are there.
    until("the socket", || over(&engine, Cli::Docker, &path, &["ps", "-q"]).out == before);
    assert!(UnixStream::connect(&revoked).is_err());
    assert_eq!(engine.says(&["socket", "ls", "-q"]), "ci");
    let refused = over(&engine, Cli::Docker, &path, &["logs", "mine"]);
    assert!(refused.err.contains("allows no logs"), "{refused:?}");
    // The log goes on where it was.
    let lists =
        log(&engine, "ci").into_iter().filter_map(|line| line["Path"].as_str().map(str::to_owned));
    assert!(lists.filter(|path| path.ends_with("/containers/json")).count() >= 2);
    engine.leaves_nothing();
}

#[test]
fn sockets_write_down_each_call_with_who_made_it() {
    let engine = teams();
    let words =
        ["socket", "create", "ci", "--allow", "logs", "--label", "team=a", "--user", "1234"];
    let path = engine.says(&[&words[..], &["--group", "2345"]].concat());
    let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    std::fs::set_permissions(engine.scratch(), PermissionsExt::from_mode(0o755)).expect("ours");
    let asks = |uid: u32, gid: u32, target: &str| {
        let script = r#"echo $$; exec curl -s -o /dev/null --unix-socket "$0" "http://x$1""#;
        let mut command = engine.host().command("setpriv");
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
        command.args(["sh", "-c", script, &path, target]).current_dir("/");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("setpriv(1) starts"), "a client")
    };
    let first = asks(1234, 1, "/containers/mine/logs?stdout=1&SECRET=x");
    let second = asks(5, 2345, "/containers/other/logs?stdout=1");
    let third = asks(1234, 2345, "/info");
    let shut_out = asks(5, 5, "/info");
    assert_eq!((first.code, second.code, third.code), (0, 0, 0), "{first:?} {second:?} {third:?}");
    // curl(1): failed to connect.
    assert_eq!(shut_out.code, 7, "{shut_out:?}");
    let id = engine.inspect("mine", "{{.Id}}");
    let lines = log(&engine, "ci");
    let told = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let who = format!("{} {} {}", line["Uid"], line["Gid"], line["Pid"]);
        [who, text("Operation"), text("Container"), text("Verdict"), text("Path")].join(" ")
    };
    let told: Vec<String> = lines.iter().map(told).collect();
    assert_eq!(
        told,
        [
            format!("1234 1 {} logs {id} allowed /containers/mine/logs", first.out),
            format!("5 2345 {} logs  refused /containers/other/logs", second.out),
            format!("1234 2345 {} other  refused /info", third.out),
        ]
    );
    assert_eq!(lines[1]["Because"], "No such container: other");
    let table = engine.says(&["socket", "log", "ci", "--tail", "1"]);
    assert!(table.lines().count() == 2 && table.contains("1234:2345"), "{table}");
    engine.leaves_nothing();
}

#[test]
fn sockets_are_refused_where_they_would_be_too_wide() {
    let engine = Engine::with(&[]);
    let refused = |words: &[&str]| {
        let ran = engine.run(&[&["socket", "create"], words].concat());
        assert_ne!(ran.code, 0, "{words:?}");
        ran.err
    };
    let label = ["--label", "team=a"];
    assert!(refused(&["ci", "--allow", "read", "--label", "team"]).contains("KEY=VALUE"));
    assert!(refused(&["ci", "--allow", "read"]).contains("requires 1 argument"));
    assert!(
        refused(&["ci", "--allow", "read", "--label", "name=web"]).contains("whose an event is")
    );
    assert!(
        refused(&[&["ci", "--allow", "create"], &label[..]].concat()).contains("unknown right")
    );
    for name in ["../x", "a/b", "", ".x", "x.y", &"x".repeat(33)] {
        let said = refused(&[&[name, "--allow", "read"], &label[..]].concat());
        assert!(said.contains("invalid name"), "{name}: {said}");
    }
    let nobody = [&["ci", "--allow", "read", "--user", "nobody-here"], &label[..]].concat();
    assert!(refused(&nobody).contains("no user nobody-here"));
    socket(&engine, "ci", "read");
    assert!(refused(&[&["ci", "--allow", "read"], &label[..]].concat()).contains("already"));
    let listed = engine.says(&["socket", "ls"]);
    assert!(listed.contains("team=a") && listed.contains("/sockets/ci/docker.sock"), "{listed}");
    engine.leaves_nothing();
}

#[test]
fn sockets_serve_a_container_that_was_given_one() {
    let mut engine = teams();
    let path = socket(&engine, "ci", "read");
    let dir = path.parent().expect("its own").display().to_string();
    let words = ["run", "-d", "--name", "monitor", "-v", &format!("{dir}:/engine:ro"), "busybox"];
    engine.says(&[&words[..], &["sleep", "1000"]].concat());
    let weakened = engine.inspect("monitor", "{{json .Cofferdam.Weakened}}");
    assert_eq!(
        weakened,
        format!("[\"can use a scoped socket of the engine: {dir} is mounted in it\"]")
    );
    engine.kill_daemon();
    engine.start();
    // The directory shows the socket that the new daemon has made.
    let inode = "stat -c %i /engine/docker.sock";
    let seen = engine.says(&["exec", "monitor", "sh", "-c", inode]);
    let there = engine.host().says(&format!("stat -c %i {}", path.display()));
    assert_eq!(seen, there);
    engine.leaves_nothing();
}

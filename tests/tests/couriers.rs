//! What a container says reaches syslog and the journal.

use promises::{
    Cli, Engine, Ran,
    listener::{Listener, of_monitor, signal, status},
    until,
};
use std::fs;

/// Runs a script to its end, as `a`.
fn run(engine: &Engine, options: &[&str], script: &str) -> Ran {
    engine.run(&[&["run", "--name", "a"], options, &["busybox", "sh", "-c", script]].concat())
}

/// Begins a script in the background, as `a`.
fn begin(engine: &Engine, options: &[&str], script: &str) {
    let words = [&["run", "-d", "--name", "a"], options, &["busybox", "sh", "-c", script]].concat();
    engine.says(&words);
}

/// `1` to `last`, a line each.
fn counted(last: u32) -> String {
    (1..=last).map(|n| format!("{n}\n")).collect()
}

#[test]
fn syslog_hears_every_line_over_each_kind_of_socket() {
    let engine = Engine::new();
    let at = engine.scratch().join("syslog");
    let at = at.to_str().expect("utf-8");
    for kind in ["unix", "unixgram", "udp", "tcp"] {
        let server =
            Listener::new(&engine, kind, if kind.starts_with("unix") { at } else { "" }, &[]);
        let address = match kind {
            "udp" | "tcp" => format!("syslog-address={kind}://127.0.0.1:{}", server.port),
            _ => format!("syslog-address={kind}://{at}"),
        };
        let options =
            ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", "tag=t/{{.Name}}"];
        let more = ["--log-opt", "syslog-facility=local0", "--log-opt", "syslog-format=rfc5424"];
        // What comes at once may be lost by UDP, which nobody waits for.
        let last = if kind == "udp" { 50 } else { 2000 };
        let script = format!("seq 1 {last}; echo; echo bad >&2");
        let ran = run(&engine, &[&options[..], &more].concat(), &script);
        assert_eq!(ran.code, 0, "{ran:?}");
        until("the last word", || server.text().contains(" - bad\n"));
        let text = server.text();
        let told: Vec<&str> = text.lines().collect();
        // The empty line is no message.
        assert_eq!(told.len(), last as usize + 1, "{kind}");
        assert!(told[0].starts_with("<134>1 2") && told[0].ends_with(" t/a - 1"), "{}", told[0]);
        assert!(told.iter().any(|line| line.starts_with("<131>1 ") && line.ends_with(" - bad")));
        // A copy is kept for readers.
        let read = engine.run_as(Cli::Docker, &["logs", "a"]);
        assert_eq!((read.out.trim_end(), &*read.err), (counted(last).trim_end(), "bad"), "{kind}");
        assert_eq!(engine.inspect("a", "{{.Cofferdam.LogDropped}}{{.LogPath}}"), "0", "{kind}");
        engine.says(&["rm", "a"]);
        let _ = fs::remove_file(at);
    }
    engine.leaves_nothing();
}

#[test]
fn syslog_over_tls_proves_who_it_is_and_asks_who_speaks() {
    let engine = Engine::new();
    let dir = engine.scratch().join("keys");
    fs::create_dir(&dir).expect("a directory");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let signed = |name: &str, more: &str| {
        format!(
            "openssl req {key} -keyout {name}.key -out {name}.csr -subj /CN={name} && \
             echo '{more}' > {name}.ext && openssl x509 -req -in {name}.csr -CA ca.crt \
             -CAkey ca.key -CAcreateserial -days 9 -extfile {name}.ext -out {name}.crt"
        )
    };
    engine.host().says(&format!(
        "exec 2>&1; cd {} && openssl req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=ca && {} && {}",
        dir.display(),
        signed("server", "subjectAltName=IP:127.0.0.1"),
        signed("client", "extendedKeyUsage=clientAuth"),
    ));
    let file = |name: &str| dir.join(name);
    let (ca, cert, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
    let keys = [("CA", &*ca), ("CERT", &*cert), ("KEY", &*key)];
    let server = Listener::with(&engine, "tls", "", &[], &keys);
    let option = |name: &str, value: &str| format!("syslog-tls-{name}={}", file(value).display());
    let address = format!("syslog-address=tcp+tls://127.0.0.1:{}", server.port);
    let (ca, cert) = (option("ca-cert", "ca.crt"), option("cert", "client.crt"));
    let key = option("key", "client.key");
    let told = |words: &[&str]| {
        let mut options =
            vec!["--rm", "--log-driver", "syslog", "--log-opt", "syslog-format=rfc5424"];
        for word in [&[&*address][..], words].concat() {
            options.extend(["--log-opt", word]);
        }
        run(&engine, &options, "seq 1 500; echo over")
    };
    let ran = told(&[&ca, &cert, &key]);
    assert_eq!(ran.code, 0, "{ran:?}");
    until("the last word", || server.text().contains(" - over\n"));
    // Each is preceded by its length: RFC 5425.
    let (mut rest, mut count) = (&*server.text(), 0);
    while let Some((len, after)) = rest.split_once(' ') {
        let len: usize = len.parse().expect("a length");
        assert!(after[..len].starts_with("<30>1 ") && after[..len].ends_with('\n'));
        (rest, count) = (&after[len..], count + 1);
    }
    assert_eq!((rest, count), ("", 501));
    // A server that nobody vouches for is told nothing.
    let refused = told(&[&cert, &key]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("failed to initialize logging driver"), "{refused:?}");
    assert_eq!(told(&[&cert, &key, "syslog-tls-skip-verify=true"]).code, 0);
    drop(server);
    engine.leaves_nothing();
}

#[test]
fn a_syslog_server_that_is_gone_stops_no_program() {
    let engine = Engine::new();
    let mut server = Listener::new(&engine, "tcp", "", &[]);
    let address = format!("syslog-address=tcp://127.0.0.1:{}", server.port);
    let options = ["--log-driver", "syslog", "--log-opt", &address];
    let script =
        "echo first; while [ ! -e /go ]; do sleep 0.02; done; seq 1 50000; touch /said; read x";
    begin(&engine, &[&["-i"][..], &options].concat(), script);
    until("the first line", || server.text().contains("first"));
    server.process.kill().expect("our child");
    server.process.wait().expect("our child");
    engine.lets_go("a", "/go");
    until("all to be said", || engine.run(&["exec", "a", "test", "-e", "/said"]).code == 0);
    let dropped = || engine.inspect("a", "{{.Cofferdam.LogDropped}}").parse::<u32>().expect("so");
    until("lines to be dropped", || dropped() > 10_000);
    // The copy has them all.
    engine.says(&["stop", "-t", "0", "a"]);
    assert!(engine.says(&["logs", "a"]) == format!("first\n{}", counted(50_000)).trim_end());
    // One that was never there is said so at the start.
    let refused = engine.run(&["start", "a"]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("failed to initialize logging driver"), "{refused:?}");
    drop(server);
    engine.leaves_nothing();
}

#[test]
fn a_syslog_server_that_reads_nothing_holds_up_who_waits_and_nobody_else() {
    let engine = Engine::new();
    let server = Listener::new(&engine, "tcp", "", &["deaf"]);
    let address = format!("syslog-address=tcp://127.0.0.1:{}", server.port);
    let options = ["-i", "--log-driver", "syslog", "--log-opt", &address];
    // More than all buffers on the way hold.
    let script = "seq 1000000 4000000; touch /said; read x";
    begin(&engine, &options, script);
    until("the program to stand still", || {
        let before = said_by(engine.pid_of("a"));
        engine.says(&["exec", "a", "true"]);
        before > 100_000 && said_by(engine.pid_of("a")) == before
    });
    assert_ne!(engine.run(&["exec", "a", "test", "-e", "/said"]).code, 0);
    engine.says(&["rm", "-f", "a"]);
    begin(&engine, &[&options[..], &["--log-opt", "mode=non-blocking"]].concat(), script);
    until("all to be said", || engine.run(&["exec", "a", "test", "-e", "/said"]).code == 0);
    assert_ne!(engine.inspect("a", "{{.Cofferdam.LogDropped}}"), "0");
    engine.says(&["rm", "-f", "a"]);
    drop(server);
    engine.leaves_nothing();
}

/// How many bytes a program and its children have written.
fn said_by(pid: i32) -> u64 {
    let read = |file: String| fs::read_to_string(file).unwrap_or_default();
    let children = read(format!("/proc/{pid}/task/{pid}/children"));
    let all = children.split_whitespace().map(str::to_owned).chain([pid.to_string()]);
    let counts = all.map(|pid| {
        let io = read(format!("/proc/{pid}/io"));
        let count = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
    });
    counts.sum()
}

#[test]
fn a_courier_that_is_killed_is_replaced_and_no_line_is_lost() {
    let engine = Engine::new();
    let server = Listener::new(&engine, "tcp", "", &[]);
    let address = format!("syslog-address=tcp://127.0.0.1:{}", server.port);
    let script = "echo first; while [ ! -e /go ]; do sleep 0.02; done; seq 1 3000; echo over";
    begin(&engine, &["--log-driver", "syslog", "--log-opt", &address], script);
    until("the first line", || server.text().contains("first"));
    let couriers = of_monitor(&engine, "cofferdamd");
    assert_eq!(couriers.len(), 1);
    // It has no right that it does not need.
    let of = |key: &str| status(couriers[0], key).expect("it runs");
    assert_eq!((&*of("CapPrm:"), &*of("NoNewPrivs:")), ("0000000000000000", "1"));
    assert!(!of("Uid:").split_whitespace().any(|user| user == "0"), "{}", of("Uid:"));
    signal(couriers[0], 9);
    engine.lets_go("a", "/go");
    engine.says(&["wait", "a"]);
    until("the last word", || server.text().contains("]: over\n"));
    let text = server.text();
    for n in 1..=3000 {
        assert!(text.contains(&format!("]: {n}\n")), "line {n}");
    }
    drop(server);
    engine.leaves_nothing();
}

#[test]
fn the_journal_gets_dockers_fields() {
    let engine = Engine::new();
    let refused = run(&engine, &["--rm", "--log-driver", "journald"], "true");
    assert!(refused.err.contains("journald is not enabled on this host"), "{refused:?}");
    engine.host().says("mkdir -p /run/systemd/journal");
    let journal = Listener::new(&engine, "journal", "/run/systemd/journal/socket", &[]);
    let options = ["--log-driver", "journald", "--log-opt", "tag=t", "--log-opt", "labels=com.x"];
    let label = ["--label", "com.x=y"];
    let script = "echo hello; echo bad >&2; head -c 20000 /dev/zero | tr '\\0' z; echo";
    let ran = run(&engine, &[&options[..], &label].concat(), script);
    assert_eq!(ran.code, 0, "{ran:?}");
    until("four entries", || journal.text().matches("\0\n").count() == 4);
    let text = journal.text();
    let entries: Vec<Vec<&str>> = text.split("\0\n").map(|e| e.lines().collect()).collect();
    let id = engine.inspect("a", "{{.Id}}");
    let has = |at: usize, field: &str| {
        assert!(entries[at].contains(&field), "{field} in {:?}", entries[at]);
    };
    let hello = entries.iter().position(|e| e.contains(&"MESSAGE=hello")).expect("said");
    let bad = entries.iter().position(|e| e.contains(&"MESSAGE=bad")).expect("said");
    for field in [
        &format!("CONTAINER_ID={}", &id[..12]),
        &format!("CONTAINER_ID_FULL={id}"),
        "CONTAINER_NAME=a",
        "CONTAINER_TAG=t",
        "SYSLOG_IDENTIFIER=t",
        "IMAGE_NAME=busybox",
        "COM_X=y",
        "PRIORITY=6",
    ] {
        has(hello, field);
    }
    has(bad, "PRIORITY=3");
    let first = entries.iter().position(|e| e.contains(&"CONTAINER_PARTIAL_ORDINAL=1"));
    let last = entries.iter().position(|e| e.contains(&"CONTAINER_PARTIAL_ORDINAL=2"));
    has(first.expect("a part"), "CONTAINER_PARTIAL_MESSAGE=true");
    has(last.expect("a part"), "CONTAINER_PARTIAL_LAST=true");
    let read = engine.says(&["logs", "a"]);
    assert_eq!(read, format!("hello\n{}", "z".repeat(20_000)));
    drop(journal);
    engine.leaves_nothing();
}

//! NET: what may go out, as policies say; asked for as each client can.

use promises::{Cli, Engine, Host, until};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
};

/// What there is outside: a server at ports 80 and 81 of 192.0.2.2 and
/// 192.0.2.99, and names.
struct Outside {
    host: Host,
    processes: Vec<Child>,
    asked: PathBuf,
}

impl Outside {
    fn of(engine: &Engine) -> Self {
        let host = engine.host().neighbour();
        host.says("ip addr add 192.0.2.99/24 dev eth0; ip addr add 169.254.169.254/32 dev eth0");
        engine.host().says("ip route add 169.254.169.254 via 192.0.2.2");
        let www = engine.scratch().join("www");
        fs::create_dir_all(&www).expect("scratch");
        fs::write(www.join("index.html"), "far\n").expect("scratch");
        let mut processes = Vec::new();
        for port in ["80", "81"] {
            let mut server = host.command("/bin/busybox");
            server.args(["httpd", "-f", "-p", port, "-h"]).arg(&www);
            processes.push(server.spawn().expect("starts"));
        }
        let asked = engine.scratch().join("asked");
        let mut names = host.command(env!("CARGO_BIN_EXE_look"));
        names.args(["serve", "192.0.2.2"]).arg(&asked).stdin(Stdio::null());
        processes.push(names.spawn().expect("starts"));
        let outside = Self { host, processes, asked };
        until("the servers", || {
            let reached = |port: &str| {
                engine
                    .host()
                    .sh(&format!("curl -sf -m 2 http://192.0.2.99:{port}/"))
                    .status
                    .success()
            };
            outside.heard().starts_with("ready\n") && reached("80") && reached("81")
        });
        outside
    }

    fn heard(&self) -> String {
        fs::read_to_string(&self.asked).unwrap_or_default()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for process in &mut self.processes {
            process.kill().and_then(|()| process.wait()).expect("ours");
        }
        let _ = &self.host;
    }
}

fn idle(engine: &Engine, cli: Cli, options: &[&str]) {
    let look = format!("{}:/look:ro", env!("CARGO_BIN_EXE_look"));
    let mut words = vec!["run", "-d", "-v", &look];
    words.extend(options);
    words.extend(["busybox", "sleep", "1000"]);
    engine.says_as(cli, &words);
}

fn reaches(engine: &Engine, name: &str, url: &str) -> bool {
    engine.run(&["exec", name, "timeout", "2", "wget", "-qO-", url]).out == "far"
}

const FAR: &str = "http://192.0.2.99/";
const FAR81: &str = "http://192.0.2.99:81/";

#[test]
fn net_a_policy_is_asked_for_by_label_and_by_flag_and_changed_while_it_runs() {
    let mut engine = Engine::new();
    let outside = Outside::of(&engine);
    idle(&engine, Cli::Docker, &["--name", "free"]);
    assert!(reaches(&engine, "free", FAR) && reaches(&engine, "free", FAR81));
    let label = ["--name", "labelled", "--label", "cofferdam.egress=allow=192.0.2.99:80"];
    idle(&engine, Cli::Docker, &label);
    let flags = ["--name", "flagged", "--egress", "deny", "--egress", "allow=192.0.2.99:80/tcp"];
    idle(&engine, Cli::Cofferdam, &flags);
    for name in ["labelled", "flagged"] {
        assert!(reaches(&engine, name, FAR) && !reaches(&engine, name, FAR81), "{name}");
        let shown = engine.inspect(name, "{{.HostConfig.Egress}}");
        assert!(shown.contains("allow=192.0.2.99:80"), "{shown}");
        let audit = engine.says(&["audit", name]);
        assert!(audit.contains("egress"), "{audit}");
    }
    engine.says(&["update", "--egress", "allow=192.0.2.99:81", "flagged"]);
    assert!(!reaches(&engine, "flagged", FAR) && reaches(&engine, "flagged", FAR81));
    engine.kill_daemon();
    engine.start();
    assert!(!reaches(&engine, "flagged", FAR), "the kernel holds it, daemon or not");
    engine.says(&["restart", "-t", "0", "flagged"]);
    assert!(!reaches(&engine, "flagged", FAR) && reaches(&engine, "flagged", FAR81));
    engine.says(&["update", "--egress", "", "flagged"]);
    assert!(reaches(&engine, "flagged", FAR));
    assert!(!engine.says(&["inspect", "flagged"]).contains("Egress"), "nothing is asked for");
    let image = engine.scratch().join("image");
    fs::create_dir_all(&image).expect("scratch");
    let text = "FROM busybox\nLABEL cofferdam.egress=metadata\n";
    fs::write(image.join("Dockerfile"), text).expect("scratch");
    engine.says(&["build", "-q", "-t", "sly", &image.display().to_string()]);
    engine.says(&["run", "-d", "--name", "sly", "sly", "sleep", "1000"]);
    assert!(!engine.says(&["inspect", "sly"]).contains("Egress"), "an image opens nothing");
    engine.says(&["rm", "-f", "free", "labelled", "flagged", "sly"]);
    drop(outside);
    engine.leaves_nothing();
}

#[test]
fn net_the_metadata_service_is_reached_by_who_asks_for_it_and_that_is_told() {
    let engine = Engine::new();
    let _outside = Outside::of(&engine);
    let url = "http://169.254.169.254/";
    idle(&engine, Cli::Docker, &["--name", "plain"]);
    idle(&engine, Cli::Docker, &["--name", "granted", "--label", "cofferdam.egress=metadata"]);
    assert!(!reaches(&engine, "plain", url) && reaches(&engine, "granted", url));
    let audit = engine.says(&["audit", "granted"]);
    assert!(audit.contains("reaches the cloud's metadata service"), "{audit}");
    assert!(!engine.says(&["audit", "plain"]).contains("metadata"));
}

#[test]
fn net_what_weakens_a_container_that_runs_is_told_as_well() {
    let engine = Engine::new();
    let _outside = Outside::of(&engine);
    let told = |name: &str, word: &str| {
        let shown = engine.inspect(name, "{{json .Cofferdam.Weakened}}").contains(word);
        let audit = engine.says(&["audit", name]).contains(word);
        assert_eq!(shown, audit, "{name}");
        shown
    };
    let metadata = "metadata service";
    idle(&engine, Cli::Docker, &["--name", "tab", "--label", "cofferdam.egress=deny\tmetadata"]);
    assert!(told("tab", metadata));
    let option = "cofferdam.egress=metadata";
    engine.says(&["network", "create", "-o", option, "granted"]);
    idle(&engine, Cli::Docker, &["--name", "a", "--network", "granted"]);
    assert!(told("a", metadata), "by its network");
    engine.says(&["network", "update", "--egress", "", "granted"]);
    assert!(!told("a", metadata));
    engine.says(&["update", "--egress", "metadata", "a"]);
    assert!(told("a", metadata), "by an update");
    engine.says(&["update", "--egress", "", "a"]);
    let lan = ["network", "create", "-d", "macvlan", "--subnet", "10.9.0.0/24"];
    engine.says(&[&lan[..], &["-o", "parent=uplink", "lan"]].concat());
    engine.says(&["network", "connect", "lan", "a"]);
    assert!(told("a", "lan beside the host"));
    // All of an update, or nothing.
    let ran = engine.run(&["update", "--publish", "8085:80", "--egress", "deny", "a"]);
    assert!(ran.code == 1 && ran.err.contains("cannot be held to on network lan"), "{ran:?}");
    let ports = engine.host().says("nft list map inet cofferdam-coffer0 any4");
    assert!(!ports.contains("8085"), "{ports}");
    engine.says(&["network", "disconnect", "lan", "a"]);
    assert!(!told("a", "beside the host"));
}

#[test]
fn net_what_is_no_policy_is_refused_and_leaves_nothing() {
    let engine = Engine::new();
    let refused = |words: &[&str], why: &str| {
        for cli in [Cli::Docker, Cli::Cofferdam] {
            let all = [&["run", "--rm"], words, &["busybox", "true"]].concat();
            let ran = engine.run_as(cli, &all);
            assert!(ran.code == 125 && ran.err.contains(why), "{words:?}: {ran:?}");
        }
    };
    let label = |text: &str| format!("cofferdam.egress={text}");
    refused(&["--label", &label("open")], "invalid egress policy \"open\"");
    refused(&["--label", &label("allow=10.0.0.1/8")], "goes beyond its prefix");
    refused(&["--label", &label("allow=169.254.169.254")], "the word metadata");
    refused(&["--network", "host", "--label", &label("deny")], "a network of the container's own");
    engine.host().says("mkdir -p /run/netns && ip netns add theirs");
    let joined = ["--network", "ns:/run/netns/theirs", "--label", &label("deny")];
    refused(&joined, "a network of the container's own");
    engine.host().says("ip netns del theirs");
    let twice = ["run", "--rm", "--egress", "deny", "--label", &label("deny"), "busybox", "true"];
    let ran = engine.run(&twice);
    assert!(ran.code == 125 && ran.err.contains("said twice"), "{ran:?}");
    let dns = ["--dns", "127.0.0.1", "--label", &label("allow=dns:a.example")];
    refused(&dns, "the container would answer itself");
    let option = label("allow=x");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = engine.run_as(cli, &["network", "create", "-o", &option, "n"]);
        assert!(ran.code == 1 && ran.err.contains("invalid egress policy"), "{ran:?}");
    }
    let ran = engine.run(&["network", "update", "--egress", "deny", "bridge"]);
    assert!(ran.code == 1 && ran.err.contains("default network"), "{ran:?}");
    assert_eq!(engine.says(&["ps", "-aq"]), "");
    engine.leaves_nothing();
}

#[test]
fn net_a_policy_is_not_asked_for_with_an_address_of_the_link() {
    let engine = Engine::new();
    engine.says(&["network", "create", "--subnet", "10.5.0.0/24", "five"]);
    let dns = ["--network", "five", "--ip", "10.5.0.7", "--dns", "10.5.0.7"];
    let label = "cofferdam.egress=allow=dns:a.example";
    let words = [&["run", "--rm"], &dns[..], &["--label", label, "busybox", "true"]].concat();
    let ran = engine.run_as(Cli::Docker, &words);
    assert!(ran.err.contains("the container would answer itself"), "{ran:?}");
    engine.says(&["network", "rm", "five"]);
    engine.says(&["network", "create", "--ipv6", "six"]);
    let place = ["--network", "six", "--link-local-ip", "fe80::77"];
    let label = "cofferdam.egress=deny";
    let words = [&["run", "--rm"], &place[..], &["--label", label, "busybox", "true"]].concat();
    let ran = engine.run_as(Cli::Docker, &words);
    assert!(ran.code == 125 && ran.err.contains("the link-local address fe80::77"), "{ran:?}");
    idle(&engine, Cli::Docker, &[&place[..], &["--name", "linked"]].concat());
    idle(&engine, Cli::Docker, &["--name", "fenced", "--label", label]);
    for words in [
        &["update", "--egress", "deny", "linked"][..],
        &["network", "connect", "--link-local-ip", "fe80::78", "six", "fenced"],
    ] {
        let ran = engine.run(words);
        assert!(ran.code == 1 && ran.err.contains("the link-local address"), "{words:?}: {ran:?}");
    }
    engine.says(&["rm", "-f", "linked", "fenced"]);
    engine.says(&["network", "rm", "six"]);
    engine.leaves_nothing();
}

/// Code and records that a container is answered.
fn ask(engine: &Engine, from: &str, name: &str) -> String {
    engine.says(&["exec", from, "/look", "ask", "udp", name, "A"]).trim_end().to_owned()
}

#[test]
fn net_names_in_a_policy_open_what_they_lead_to_and_are_no_tunnel() {
    let mut engine = Engine::new();
    let outside = Outside::of(&engine);
    engine.says(&["network", "create", "front"]);
    let label = "cofferdam.egress=allow=dns:far.example:80,allow=dns:*.corp.example";
    let options = ["--dns", "192.0.2.2", "--label", label];
    idle(&engine, Cli::Docker, &[&["--name", "app", "--network", "front"], &options[..]].concat());
    idle(&engine, Cli::Docker, &[&["--name", "plain"], &options[..]].concat());
    idle(&engine, Cli::Docker, &["--name", "web", "--network", "front"]);
    for name in ["app", "plain"] {
        assert!(!reaches(&engine, name, FAR), "{name}: not before its name was asked about");
        assert!(reaches(&engine, name, "http://far.example/"), "{name}: by name");
        assert!(reaches(&engine, name, FAR) && !reaches(&engine, name, FAR81), "{name}: its port");
        assert_eq!(ask(&engine, name, "a.corp.example"), "0 192.0.2.99");
        assert!(reaches(&engine, name, FAR81), "{name}: every port");
        // What a name can carry out is the name.
        for secret in ["secret.example", "secret.corp.example.evil.example", "corp.example"] {
            assert_eq!(ask(&engine, name, secret), "3", "{name}: {secret}");
        }
        let direct = ["exec", name, "timeout", "2", "nslookup", "secret.direct", "192.0.2.2"];
        assert_ne!(engine.run(&direct).code, 0, "{name}: past the resolver");
    }
    assert!(ask(&engine, "app", "web").starts_with("0 "), "neighbours have names as ever");
    let heard = outside.heard();
    assert!(heard.contains(" far.example\n"), "the server must be able to hear: {heard}");
    assert!(!heard.contains("secret") && !heard.contains(" corp.example"), "{heard}");
    assert!(heard.lines().skip(1).all(|line| line.starts_with("192.0.2.1 ")), "{heard}");

    engine.says(&["update", "--egress", "allow=dns:other.example", "app"]);
    assert!(!reaches(&engine, "app", FAR) && !reaches(&engine, "app", FAR81));
    assert_eq!(ask(&engine, "app", "far.example"), "3");
    let app = engine.pid_of("app");
    engine.kill_daemon();
    let within = |program: &str, words: &[&str]| {
        let mut command = engine.host().command("nsenter");
        command.args(["--net", "--target", &app.to_string(), "--", program]);
        let out = command.args(words).output().expect("starts");
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    };
    let fetch = || within("curl", &["-s", "-m", "2", FAR]);
    assert_eq!(fetch(), "");
    let look = env!("CARGO_BIN_EXE_look");
    assert_eq!(within(look, &["ask", "udp", "other.example", "A"]), "0 192.0.2.99");
    assert_eq!(fetch(), "far", "no daemon is needed to learn it");
    engine.start();
    engine.says(&["rm", "-f", "app", "plain", "web"]);
    engine.says(&["network", "rm", "front"]);
    drop(outside);
    engine.leaves_nothing();
}

/// The scribe of an engine, if it has one.
fn scribe(engine: &Engine) -> Option<u32> {
    let run_root = engine.run_root();
    let is = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
        words.get(1) == Some(&&b"scribe"[..])
            && words.get(4) == Some(&run_root.as_os_str().as_encoded_bytes())
    };
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is)
}

#[test]
fn net_the_scribe_has_one_right_and_comes_back_when_it_is_killed() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    idle(&engine, Cli::Docker, &["--name", "plain", "--label", "cofferdam.egress=deny"]);
    assert_eq!(scribe(&engine), None, "who has no names in a policy needs none");
    let label = "cofferdam.egress=allow=dns:far.example";
    idle(&engine, Cli::Docker, &["--name", "app", "--dns", "192.0.2.2", "--label", label]);
    let first = scribe(&engine).expect("it runs");
    until("its rights to be given up", || {
        let status = fs::read_to_string(format!("/proc/{first}/status")).expect("it runs");
        status.contains("Seccomp:\t2")
    });
    let status = fs::read_to_string(format!("/proc/{first}/status")).expect("it runs");
    // The right to administer the network, and no other.
    for line in ["CapPrm:\t0000000000001000", "CapBnd:\t0000000000001000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(!status.contains("Uid:\t0\t"), "{status}");
    let pid = i32::try_from(first).ok().and_then(rustix::process::Pid::from_raw);
    let signal = rustix::process::Signal::KILL;
    rustix::process::kill_process(pid.expect("a pid"), signal).expect("the engine's");
    until("another one", || scribe(&engine).is_some_and(|now| now != first));
    until("names to lead somewhere again", || {
        let asked = ["exec", "app", "/look", "ask", "udp", "far.example", "A"];
        engine.run(&asked).out.trim_end() == "0 192.0.2.99" && reaches(&engine, "app", FAR)
    });
    engine.says(&["rm", "-f", "plain", "app"]);
    drop(outside);
    engine.leaves_nothing();
}

#[test]
fn net_a_networks_policy_holds_for_all_on_it() {
    let mut engine = Engine::new();
    let outside = Outside::of(&engine);
    let option = "cofferdam.egress=allow=192.0.2.99:80 allow=dns:far.example:81";
    engine.says_as(Cli::Docker, &["network", "create", "-o", option, "closed"]);
    let shown = engine.says(&["network", "inspect", "-f", "{{json .Options}}", "closed"]);
    assert!(shown.contains("deny,allow=192.0.2.99/32:80,allow=dns:far.example:81"), "{shown}");
    idle(&engine, Cli::Docker, &["--name", "a", "--network", "closed", "--dns", "192.0.2.2"]);
    idle(&engine, Cli::Docker, &["--name", "b", "--network", "closed", "--dns", "192.0.2.2"]);
    assert!(reaches(&engine, "a", FAR) && !reaches(&engine, "a", FAR81));
    assert_eq!(ask(&engine, "a", "secret.example"), "3");
    assert_eq!(ask(&engine, "a", "far.example"), "0 192.0.2.99");
    assert!(reaches(&engine, "b", FAR81), "what one has learnt its network has");
    assert!(!outside.heard().contains("secret"));
    engine.says(&["network", "update", "--egress", "deny", "closed"]);
    assert!(!reaches(&engine, "a", FAR) && !reaches(&engine, "b", FAR81));
    assert_eq!(ask(&engine, "a", "far.example"), "3");
    engine.kill_daemon();
    engine.start();
    idle(&engine, Cli::Docker, &["--name", "c", "--network", "closed"]);
    assert!(!reaches(&engine, "c", FAR), "the next daemon knows it");
    engine.says(&["network", "update", "--egress", "", "closed"]);
    assert!(reaches(&engine, "c", FAR81));
    engine.says(&["rm", "-f", "a", "b", "c"]);
    engine.says(&["network", "rm", "closed"]);
    drop(outside);
    engine.leaves_nothing();
}

//! NET: names of containers on user-made networks, as Docker resolves them.

use promises::{Cli, Engine, Host, until};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

/// A container with `/look` in it, that does nothing.
fn idle_as(engine: &Engine, cli: Cli, name: &str, options: &[&str]) {
    let look = format!("{}:/look:ro", env!("CARGO_BIN_EXE_look"));
    let mut words = vec!["run", "-d", "--name", name, "-v", &look];
    words.extend(options);
    words.extend(["busybox", "sleep", "1000"]);
    engine.says_as(cli, &words);
}

fn idle(engine: &Engine, name: &str, options: &[&str]) {
    idle_as(engine, Cli::Cofferdam, name, options);
}

/// Code and records that a container is answered.
fn ask(engine: &Engine, from: &str, way: &str, name: &str, kind: &str) -> String {
    engine.says(&["exec", from, "/look", "ask", way, name, kind]).trim_end().to_owned()
}

fn asked(engine: &Engine, from: &str, name: &str) -> String {
    ask(engine, from, "udp", name, "A")
}

fn address(engine: &Engine, name: &str, network: &str) -> String {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    engine.inspect(name, &format)
}

fn found(address: &str) -> String {
    format!("0 {address}")
}

/// `in-addr.arpa` for an address.
fn arpa(address: &str) -> String {
    let parts: Vec<&str> = address.rsplit('.').collect();
    format!("{}.in-addr.arpa", parts.join("."))
}

/// A DNS server that answers 192.0.2.99 to everything and writes down what it
/// is asked; ends with the test.
struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    fn start(host: &Host, address: &str, scratch: &Path) -> Self {
        let log = scratch.join(format!("asked-of-{address}"));
        let mut command = host.command(env!("CARGO_BIN_EXE_look"));
        command.args(["serve", address]).arg(&log).stdin(Stdio::null());
        let process = command.spawn().expect("nsenter(1) starts");
        let server = Self { process, log };
        until("the DNS server", || server.heard().starts_with("ready\n"));
        server
    }

    fn heard(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("ours");
    }
}

/// The resolver of an engine, if it has one.
fn resolver(engine: &Engine) -> Option<u32> {
    let run_root = engine.run_root();
    let is = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
        words.get(1) == Some(&&b"resolver"[..])
            && words.get(3) == Some(&run_root.as_os_str().as_encoded_bytes())
    };
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is)
}

#[test]
fn net_names_of_containers_resolve_for_both_clis() {
    let engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        engine.says_as(cli, &["network", "create", "front"]);
        let web = ["--network", "front", "--network-alias", "www", "--hostname", "box"];
        idle_as(&engine, cli, "web", &web);
        idle_as(&engine, cli, "app", &["--network", "front"]);
        let web = address(&engine, "web", "front");
        let id = engine.inspect("web", "{{.Id}}");
        for name in ["web", "WEB", "www", "box", &id[..12], "web.front", "www.front"] {
            assert_eq!(asked(&engine, "app", name), found(&web), "{name}");
        }
        assert_eq!(ask(&engine, "app", "tcp", "web", "A"), found(&web));
        assert_eq!(asked(&engine, "web", "web"), found(&web), "its own name");
        assert_eq!(ask(&engine, "app", "udp", "web", "AAAA"), "0", "known, but not by IPv6");
        assert_eq!(ask(&engine, "app", "udp", &arpa(&web), "PTR"), "0 web.front");
        assert_eq!(engine.says(&["exec", "app", "/look", "getent", "web"]), web);
        let ping = engine.run(&["exec", "app", "ping", "-c1", "-W5", "www"]);
        assert_eq!(ping.code, 0, "{ping:?}");
        let conf = engine.says(&["exec", "app", "cat", "/etc/resolv.conf"]);
        assert!(conf.starts_with("nameserver 127.0.0.11\n"), "{conf}");
        assert!(conf.contains("ndots:0"), "{conf}");
        engine.says_as(cli, &["rm", "-f", "web", "app"]);
        engine.says_as(cli, &["network", "rm", "front"]);
    }
    engine.leaves_nothing();
}

#[test]
fn net_who_serves_at_a_port_is_found_by_name() {
    let engine = Engine::new();
    engine.says(&["network", "create", "front"]);
    idle(&engine, "app", &["--network", "front"]);
    let options = ["--network", "front", "--network-alias", "www", "-p", "8080:80"];
    idle(&engine, "web", &[&options[..], &["--expose", "9000-9009/udp"]].concat());
    let web = address(&engine, "web", "front");
    let serves = |name| ask(&engine, "app", "udp", name, "SRV");
    for name in ["_80._tcp.web", "_http._tcp.web", "_http._tcp.www.front"] {
        assert_eq!(serves(name), format!("0 {web} web.front:80"), "{name}");
    }
    assert_eq!(serves("_9009._udp.web"), format!("0 {web} web.front:9009"));
    assert_eq!(ask(&engine, "app", "tcp", "_80._tcp.web", "SRV"), serves("_80._tcp.web"));
    for name in ["_8080._tcp.web", "_80._udp.web", "_80._tcp.app"] {
        assert_eq!(serves(name), "0", "{name}: nothing there");
    }
    engine.says_as(Cli::Cofferdam, &["update", "--publish", "7000-7001:70-71", "web"]);
    assert_eq!(serves("_71._tcp.web"), format!("0 {web} web.front:71"), "from now on");
    engine.says(&["rm", "-f", "web", "app"]);
    engine.says(&["network", "rm", "front"]);
    engine.leaves_nothing();
}

#[test]
fn net_names_hold_on_their_network_and_follow_live_changes() {
    let engine = Engine::new();
    engine.says(&["network", "create", "front"]);
    engine.says(&["network", "create", "back"]);
    idle(&engine, "web", &["--network", "front"]);
    idle(&engine, "db", &["--network", "back"]);
    idle(&engine, "plain", &[]);
    let unknown = |from: &str, name: &str| {
        let answer = engine.run(&["exec", from, "/look", "ask", "udp", name, "A"]).out;
        !answer.starts_with('0')
    };
    assert!(unknown("web", "db"), "on another network");
    engine.says(&["network", "connect", "--alias", "store", "front", "db"]);
    let db = address(&engine, "db", "front");
    assert_eq!(asked(&engine, "web", "db"), found(&db));
    assert_eq!(asked(&engine, "web", "store"), found(&db));
    assert_eq!(asked(&engine, "db", "db.back"), found(&address(&engine, "db", "back")));
    engine.says(&["rename", "db", "renamed"]);
    assert_eq!(asked(&engine, "web", "renamed"), found(&db));
    assert!(unknown("web", "db"), "its old name");
    engine.says(&["network", "disconnect", "front", "renamed"]);
    assert!(unknown("web", "renamed"), "it has left");
    // From the default bridge, which has no names, to a network that has.
    let conf = || engine.says(&["exec", "plain", "cat", "/etc/resolv.conf"]);
    assert!(!conf().contains("127.0.0.11"), "{}", conf());
    engine.says(&["network", "connect", "front", "plain"]);
    assert!(conf().contains("nameserver 127.0.0.11\n"), "{}", conf());
    let web = address(&engine, "web", "front");
    assert_eq!(engine.says(&["exec", "plain", "/look", "getent", "web"]), web);
    engine.says(&["rm", "-f", "web"]);
    assert!(unknown("plain", "web"), "it has ended");
    engine.says(&["rm", "-f", "renamed", "plain"]);
    engine.says(&["network", "rm", "front", "back"]);
    engine.leaves_nothing();
}

#[test]
fn net_a_shared_alias_goes_round_and_is_cut_where_it_is_too_long() {
    const MANY: usize = 40;
    let engine = Engine::new();
    engine.says(&["network", "create", "front"]);
    idle(&engine, "asker", &["--network", "front"]);
    for n in 0..3 {
        idle(&engine, &format!("few{n}"), &["--network", "front", "--network-alias", "few"]);
    }
    let firsts = engine.says(&["exec", "asker", "/look", "firsts", "few", "90"]);
    assert_eq!(firsts.lines().count(), 3, "each is first now and then: {firsts}");
    for n in 0..MANY {
        idle(&engine, &format!("many{n}"), &["--network", "front", "--network-alias", "many"]);
    }
    let short = asked(&engine, "asker", "many");
    let count = short.split(' ').count();
    assert!(short.starts_with("0 cut ") && count < MANY, "{short}");
    let whole = ask(&engine, "asker", "tcp", "many", "A");
    assert_eq!(whole.split(' ').count(), MANY + 1, "{whole}");
    let getent = engine.says(&["exec", "asker", "/look", "getent", "many"]);
    assert_eq!(getent.split(' ').count(), MANY, "the C library asks again: {getent}");
}

#[test]
fn net_other_names_are_asked_of_the_containers_own_servers() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    let server = Server::start(&neighbour, "192.0.2.2", engine.scratch());
    engine.says(&["network", "create", "front"]);
    let options = ["--network", "front", "--dns", "192.0.2.2", "--dns-search", "corp.example"];
    idle(&engine, "app", &[&options[..], &["--dns-opt", "timeout:3"]].concat());
    let conf = engine.says(&["exec", "app", "cat", "/etc/resolv.conf"]);
    let expected = "nameserver 127.0.0.11\nsearch corp.example\noptions timeout:3 ndots:0";
    assert_eq!(conf, expected);
    for way in ["udp", "tcp"] {
        let name = format!("{way}.example");
        assert_eq!(ask(&engine, "app", way, &name, "A"), "0 192.0.2.99");
    }
    assert_eq!(engine.says(&["exec", "app", "/look", "getent", "far.example"]), "192.0.2.99");
    let heard = server.heard();
    assert!(heard.contains(" udp.example\n") && heard.contains(" tcp.example by tcp\n"), "{heard}");
    assert_eq!(asked(&engine, "app", "udp.example"), "0 192.0.2.99");
    assert_eq!(server.heard().matches(" udp.example\n").count(), 1, "kept for a while");
    assert_eq!(asked(&engine, "app", "app"), found(&address(&engine, "app", "front")));
    assert!(!server.heard().contains(" app\n"), "names of containers are asked of nobody");
    engine.says(&["rm", "-f", "app"]);
    engine.says(&["network", "rm", "front"]);
}

#[test]
fn net_a_server_on_the_hosts_loopback_is_asked_from_there() {
    let conf = "mkdir -p $DATA && echo nameserver 127.0.0.53 > $DATA/resolv.conf \
                && mount --bind $DATA/resolv.conf /etc/resolv.conf";
    let engine = Engine::prepared(conf, &[]);
    promises::busybox(&engine);
    let server = Server::start(engine.host(), "127.0.0.53", engine.scratch());
    engine.says(&["network", "create", "front"]);
    idle(&engine, "app", &["--network", "front"]);
    assert_eq!(asked(&engine, "app", "far.example"), "0 192.0.2.99");
    assert_eq!(ask(&engine, "app", "tcp", "near.example", "A"), "0 192.0.2.99");
    assert!(server.heard().contains("127.0.0.1 far.example\n"), "{}", server.heard());
}

#[test]
fn net_nothing_is_asked_for_containers_on_internal_networks() {
    // CVE-2024-29018: names as a way out.
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    let server = Server::start(&neighbour, "192.0.2.2", engine.scratch());
    engine.says(&["network", "create", "--internal", "closed"]);
    engine.says(&["network", "create", "open"]);
    let dns = ["--dns", "192.0.2.2"];
    idle(&engine, "shut", &[&["--network", "closed"], &dns[..]].concat());
    idle(&engine, "both", &[&["--network", "closed"], &dns[..]].concat());
    assert_eq!(asked(&engine, "shut", "both"), found(&address(&engine, "both", "closed")));
    for way in ["udp", "tcp"] {
        for name in ["secret.example", "secret"] {
            assert_eq!(ask(&engine, "shut", way, name, "A"), "2", "refused as Docker does");
        }
        assert_eq!(ask(&engine, "shut", way, "secret.example", "TXT"), "2");
    }
    assert_eq!(ask(&engine, "shut", "udp", &arpa("192.0.2.77"), "PTR"), "2");
    // The same question goes out as soon as it is on a network that leads out.
    engine.says(&["network", "connect", "open", "both"]);
    assert_eq!(asked(&engine, "both", "open.example"), "0 192.0.2.99");
    engine.says(&["network", "disconnect", "open", "both"]);
    assert_eq!(asked(&engine, "both", "closed.example"), "2");
    let heard = server.heard();
    assert!(heard.contains(" open.example\n"), "the server must be able to hear: {heard}");
    assert!(!heard.contains("secret") && !heard.contains("closed.example"), "{heard}");
}

#[test]
fn net_not_even_the_hosts_own_server_is_asked_for_internal_networks() {
    // It could be: the resolver has a way there that the container has not.
    let conf = "mkdir -p $DATA && echo nameserver 127.0.0.53 > $DATA/resolv.conf \
                && mount --bind $DATA/resolv.conf /etc/resolv.conf";
    let engine = Engine::prepared(conf, &[]);
    promises::busybox(&engine);
    let server = Server::start(engine.host(), "127.0.0.53", engine.scratch());
    engine.says(&["network", "create", "--internal", "closed"]);
    engine.says(&["network", "create", "open"]);
    idle(&engine, "shut", &["--network", "closed"]);
    idle(&engine, "free", &["--network", "open"]);
    assert_eq!(asked(&engine, "free", "open.example"), "0 192.0.2.99");
    for way in ["udp", "tcp"] {
        assert_eq!(ask(&engine, "shut", way, "secret.example", "A"), "2");
    }
    let heard = server.heard();
    assert!(heard.contains(" open.example\n") && !heard.contains("secret"), "{heard}");
}

#[test]
fn net_a_neighbour_cannot_answer_in_a_servers_name() {
    let engine = Engine::new();
    engine.says(&["network", "create", "front"]);
    idle(&engine, "victim", &["--network", "front"]);
    idle(&engine, "attacker", &["--network", "front", "--cap-add", "NET_RAW"]);
    let victim = address(&engine, "victim", "front");
    let attacker = address(&engine, "attacker", "front");
    // What hears everything that reaches the victim at the port.
    engine.says(&["exec", "-d", "victim", "sh", "-c", "exec /look hear 5353 > /tmp/heard"]);
    // Port 5353, as /proc spells it.
    until("the victim's ear", || {
        engine.run(&["exec", "victim", "grep", "-q", ":14E9 ", "/proc/net/udp"]).code == 0
    });
    let heard = || engine.says(&["exec", "victim", "cat", "/tmp/heard"]);
    let send = |from: &str, text: &str| {
        let to = format!("{victim}:5353");
        let ran = engine.run(&["exec", "attacker", "/look", "send-as", from, &to, text]);
        assert_eq!(ran.code, 0, "it may make such a packet: {ran:?}");
    };
    for from in ["192.0.2.2:53", "127.0.0.11:53", "8.8.8.8:53", &format!("{victim}:53")] {
        send(from, "forged");
    }
    // What is sent later arrives later, so nothing is still on its way.
    until("an honest datagram", || {
        send(&format!("{attacker}:53"), "honest");
        heard().contains("honest")
    });
    assert!(!heard().contains("forged"), "{}", heard());
}

#[test]
fn net_names_resolve_while_the_daemon_is_dead() {
    let mut engine = Engine::new();
    engine.says(&["network", "create", "front"]);
    idle(&engine, "web", &["--network", "front"]);
    idle(&engine, "app", &["--network", "front"]);
    idle(&engine, "short", &["--network", "front"]);
    let web = address(&engine, "web", "front");
    let (app, short) = (engine.pid_of("app"), engine.pid_of("short"));
    let process = resolver(&engine).expect("it runs");
    engine.kill_daemon();
    let nsenter = |look: &[&str]| {
        let mut command = engine.host().command("nsenter");
        command.args(["--net", "--target", &app.to_string(), "--", env!("CARGO_BIN_EXE_look")]);
        let out = command.args(look).output().expect("starts");
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    };
    assert_eq!(nsenter(&["ask", "udp", "web", "A"]), found(&web));
    assert_eq!(nsenter(&["ask", "tcp", "web", "A"]), found(&web));
    // One that ends meanwhile loses its name.
    let pid = rustix::process::Pid::from_raw(short).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a container's");
    until("the name of what has ended to go", || {
        !nsenter(&["ask", "udp", "short", "A"]).starts_with('0')
    });
    engine.start();
    idle(&engine, "new", &["--network", "front"]);
    let new = address(&engine, "new", "front");
    assert_eq!(asked(&engine, "web", "new"), found(&new));
    assert_eq!(asked(&engine, "new", "web"), found(&web));
    assert_eq!(resolver(&engine), Some(process), "the same resolver, found again");
    engine.says(&["rm", "-f", "web", "app", "short", "new"]);
    engine.says(&["network", "rm", "front"]);
    engine.leaves_nothing();
}

#[test]
fn net_a_killed_resolver_comes_back() {
    let mut engine = Engine::new();
    engine.says(&["network", "create", "front"]);
    idle(&engine, "web", &["--network", "front"]);
    idle(&engine, "app", &["--network", "front"]);
    let web = address(&engine, "web", "front");
    let kill = |process: u32| {
        let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::KILL;
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("the engine's");
    };
    let resolves = |engine: &Engine, from: &str| {
        engine.run(&["exec", from, "/look", "ask", "udp", "web", "A"]).out.trim_end() == found(&web)
    };
    let first = resolver(&engine).expect("it runs");
    kill(first);
    for from in ["app", "web"] {
        until("names to be back", || resolves(&engine, from));
    }
    let second = resolver(&engine).expect("it runs");
    assert_ne!(second, first);
    // While there is no daemon to miss it: the next one does.
    engine.kill_daemon();
    kill(second);
    engine.start();
    for from in ["app", "web"] {
        until("names to be back", || resolves(&engine, from));
    }
    engine.says(&["rm", "-f", "web", "app"]);
    engine.says(&["network", "rm", "front"]);
    engine.leaves_nothing();
}

#[test]
fn net_who_needs_no_names_has_no_resolver() {
    let engine = Engine::new();
    idle(&engine, "plain", &[]);
    assert_eq!(resolver(&engine), None);
    let rules = format!("nsenter --net --target {} nft list tables", engine.pid_of("plain"));
    assert_eq!(engine.host().says(&rules), "");
    engine.says(&["network", "create", "front"]);
    idle(&engine, "web", &["--network", "front"]);
    let process = resolver(&engine).expect("it runs");
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    for line in ["CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(!status.contains("Uid:\t0\t"), "{status}");
    engine.says(&["rm", "-f", "web", "plain"]);
    engine.says(&["network", "rm", "front"]);
    engine.leaves_nothing();
}

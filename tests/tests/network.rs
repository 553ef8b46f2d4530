//! NET: a stack of its own, the bridge, published ports.

use promises::{Cli, Engine, Host, until};
use std::{io::Read as _, process::Stdio};

/// A container that answers `hello` on port 80.
fn serve(engine: &Engine, name: &str, options: &[&str]) {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(options);
    words.extend([
        "busybox",
        "sh",
        "-c",
        "mkdir /www && echo hello > /www/index.html && exec httpd -f -h /www",
    ]);
    engine.says(&words);
    until("the server", || {
        engine.run(&["exec", name, "wget", "-qO-", "http://127.0.0.1/"]).out == "hello"
    });
}

fn address(engine: &Engine, name: &str) -> String {
    engine.inspect(name, "{{.NetworkSettings.IPAddress}}")
}

#[test]
fn net1_a_container_has_a_stack_of_its_own() {
    let engine = Engine::new();
    let ran = engine.container(&[], "ip -o link | cut -d: -f2 | cut -d@ -f1 | tr -d ' '");
    assert_eq!(ran.out, "lo\neth0", "{ran:?}");
    let none = engine.container(&["--network", "none"], "ip -o link | cut -d: -f2 | tr -d ' '");
    assert_eq!(none.out, "lo", "{none:?}");
    let host = engine.container(&["--network", "host"], "ip -o link | cut -d: -f2 | tr -d ' '");
    assert!(
        host.out.lines().any(|name| name == "coffer0"),
        "the look must be able to find it: {host:?}"
    );
    engine.leaves_nothing();
}

#[test]
fn net1_abstract_sockets_of_the_host_are_out_of_reach() {
    let engine = Engine::new();
    let script = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0theirs'); s.listen(); print('up', flush=True); input()";
    let mut server = engine.host().command("python3");
    server.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().expect("starts");
    let mut up = [0; 3];
    server.stdout.as_mut().expect("piped").read_exact(&mut up).expect("listens");
    let look = format!("{}:/look:ro", env!("CARGO_BIN_EXE_look"));
    let reach = |options: &[&str]| {
        engine.container(&[&["-v", &look], options].concat(), "/look abstract theirs")
    };
    let (bites, stopped) = (reach(&["--network", "host"]), reach(&[]));
    server.kill().and_then(|()| server.wait()).expect("ours");
    assert_eq!(bites.code, 0, "the attack must be able to succeed: {bites:?}");
    assert_eq!(stopped.code, 1, "{stopped:?}");
}

#[test]
fn net1_a_network_can_be_shared_with_another_container() {
    let engine = Engine::new();
    serve(&engine, "a", &[]);
    let joined = engine.container(&["--network", "container:a"], "wget -qO- http://127.0.0.1/");
    assert_eq!(joined.out, "hello", "{joined:?}");
}

#[test]
fn net2_two_containers_talk() {
    let engine = Engine::new();
    serve(&engine, "a", &[]);
    let ran = engine.container(
        &[],
        &format!(
            "wget -qO- http://{}/ && ping -c1 -W2 {}",
            address(&engine, "a"),
            address(&engine, "a")
        ),
    );
    assert!(ran.code == 0 && ran.out.starts_with("hello"), "{ran:?}");
}

#[test]
fn net2_the_outside_is_reached() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    let mut server = neighbour.command("/bin/busybox");
    std::fs::write(engine.scratch().join("index.html"), "outside").expect("scratch");
    server.args(["httpd", "-f", "-p", "80", "-h"]).arg(engine.scratch());
    let mut server = server.spawn().expect("starts");
    until("the server", || engine.host().sh("curl -sf -m 2 http://192.0.2.2/").status.success());
    let ran = engine.container(&[], "wget -qO- http://192.0.2.2/");
    server.kill().and_then(|()| server.wait()).expect("ours");
    assert_eq!(ran.out, "outside", "{ran:?}");
}

fn fetched(from: &Host, url: &str) -> bool {
    from.sh(&format!("curl -gsf -m 3 {url}")).stdout == b"hello\n"
}

#[test]
fn net2_published_ports_are_reached_from_near_and_far() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    serve(&engine, "a", &["-p", "8080:80"]);
    assert!(fetched(&neighbour, "http://192.0.2.1:8080/"), "from outside");
    assert!(fetched(engine.host(), "http://127.0.0.1:8080/"), "from the host");
    assert!(fetched(engine.host(), "http://192.0.2.1:8080/"), "from the host at its own address");
    assert!(fetched(&neighbour, "http://[2001:db8::1]:8080/"), "by IPv6");
    let own = engine.container(&[], "wget -qO- http://192.0.2.1:8080/");
    assert_eq!(own.out, "hello", "from another container: {own:?}");
    assert_eq!(engine.says(&["port", "a", "80"]).lines().next(), Some("0.0.0.0:8080"));
    engine.says(&["rm", "-f", "a"]);
    assert!(!fetched(&neighbour, "http://192.0.2.1:8080/"), "gone with the container");
}

#[test]
fn net2_a_port_of_the_loopback_is_not_reached_from_outside() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    serve(&engine, "a", &["-p", "127.0.0.1:8080:80"]);
    assert!(fetched(engine.host(), "http://127.0.0.1:8080/"));
    assert!(!fetched(&neighbour, "http://192.0.2.1:8080/"));
    let inside = address(&engine, "a");
    neighbour.says("ip route add 172.16.0.0/12 via 192.0.2.1");
    assert!(
        !fetched(&neighbour, &format!("http://{inside}/")),
        "an unpublished port is not routed to"
    );
}

#[test]
fn net2_a_port_in_use_is_refused_and_nothing_is_left() {
    let engine = Engine::new();
    serve(&engine, "a", &["-p", "8080:80"]);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = engine.run_as(cli, &["run", "--rm", "-p", "8080:80", "busybox", "true"]);
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.contains("port is already allocated"), "{ran:?}");
    }
    assert_eq!(engine.says(&["ps", "-aq"]).lines().count(), 1);
    engine.leaves_nothing();
}

#[test]
fn net3_arp_for_the_gateway_does_not_reach_a_neighbour() {
    let engine = Engine::new();
    serve(&engine, "victim", &[]);
    let gateway = engine.inspect("victim", "{{.NetworkSettings.Gateway}}");
    let neighbours = || {
        engine.says(&[
            "exec",
            "victim",
            "sh",
            "-c",
            &format!("ping -c1 -W2 {gateway} >/dev/null; ip neigh show {gateway}"),
        ])
    };
    let before = neighbours();
    let script = format!(
        "ip addr add {gateway}/32 dev eth0; arping -U -c 3 -I eth0 {gateway}; arping -A -c 3 -I eth0 {gateway}; true"
    );
    let attack = engine.container(&["--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW"], &script);
    assert!(attack.out.contains("Sent 3 probe"), "the attack must be made: {attack:?}");
    let mac = |text: &str| {
        text.split_whitespace().skip_while(|w| *w != "lladdr").nth(1).map(str::to_owned)
    };
    assert_eq!(mac(&neighbours()), mac(&before));
    assert!(mac(&before).is_some(), "{before}");
}

#[test]
fn net3_made_up_addresses_do_not_fill_the_forwarding_table() {
    let engine = Engine::new();
    let flood = "for i in 1 2 3 4 5 6 7 8 9 a b c d e f; do ip link set eth0 down; \
        ip link set eth0 address 02:00:00:00:00:0$i; ip link set eth0 up; arping -c1 -w1 -I eth0 172.31.255.254; done; true";
    engine.says(&["run", "-d", "--name", "idle", "busybox", "sleep", "1000"]);
    let entries =
        || engine.host().says("bridge fdb show br coffer0 | grep -c '02:00:00:00:00:0' || true");
    let ran = engine.container(&["--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW"], flood);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(entries(), "0");
}

#[test]
fn net1_names_are_resolved_from_the_files_that_the_engine_writes() {
    let engine = Engine::new();
    let options = ["--hostname", "box", "--add-host", "db:192.0.2.7", "--dns", "192.0.2.53"];
    let ran = engine.container(&options, "hostname; grep -c 192.0.2.7 /etc/hosts; grep nameserver /etc/resolv.conf; grep -c box /etc/hosts");
    assert_eq!(ran.out, "box\n1\nnameserver 192.0.2.53\n2", "by IPv4 and IPv6: {ran:?}");
}

#[test]
fn net2_a_spoilt_hosts_file_keeps_nobody_on_a_network() {
    let engine = Engine::new();
    for name in ["aa", "bb"] {
        engine.says(&["network", "create", name]);
    }
    engine.says(&["run", "-d", "--name", "peer", "--network", "aa", "busybox", "sleep", "1000"]);
    engine.says(&["run", "-d", "--name", "a", "--network", "bb", "busybox", "sleep", "1000"]);
    let finds_peer = || engine.run(&["exec", "a", "nslookup", "peer", "127.0.0.11"]).code == 0;
    let inside = |script: &str| engine.says(&["exec", "a", "sh", "-c", script]);
    // No text.
    engine.says(&["network", "connect", "aa", "a"]);
    assert!(finds_peer());
    inside(r"printf '\xff\n' >> /etc/hosts");
    engine.says(&["network", "disconnect", "aa", "a"]);
    assert!(!finds_peer());
    // More than anybody should read.
    engine.says(&["network", "connect", "aa", "a"]);
    inside("truncate -s 64G /etc/hosts");
    let ran = engine.run(&["network", "disconnect", "aa", "a"]);
    assert!(ran.code != 0 && ran.err.contains("has grown beyond"), "{ran:?}");
    assert!(!finds_peer());
    let joined = engine.inspect("a", "{{len .NetworkSettings.Networks}}");
    assert_eq!((joined.as_str(), inside("ip -o link | grep -c eth").as_str()), ("1", "1"));
}

#[test]
fn net2_a_port_that_nobody_could_be_led_to_is_refused() {
    let engine = Engine::new();
    engine.says(&["network", "create", "four"]);
    let words = ["run", "--rm", "--network", "four", "-p", "[::1]:8080:80", "busybox", "true"];
    let ran = engine.run(&words);
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("cannot publish a port on ::1"), "{ran:?}");
    engine.says(&["run", "--rm", "--network", "four", "-p", "8080:80", "busybox", "true"]);
    engine.leaves_nothing();
}

#[test]
fn net3_the_hosts_other_addresses_are_not_for_containers() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    std::fs::write(engine.scratch().join("index.html"), "host").expect("scratch");
    let mut server = engine.host().command("/bin/busybox");
    server.args(["httpd", "-f", "-p", "[::]:80", "-h"]).arg(engine.scratch());
    let mut server = server.spawn().expect("starts");
    until("the server", || engine.host().sh("curl -sf -m 2 http://192.0.2.1/").status.success());
    engine.says(&["network", "create", "own"]);
    engine.says(&["network", "create", "-o", "cofferdam.host=all", "open"]);
    engine.says(&["network", "create", "--driver", "routed", "lines"]);
    let reaches = |network: &str, url: &str| {
        let own = ["--network", network, "--add-host", "gw:host-gateway"];
        // A static program reads no file of names.
        let gateway = "gw=$(sed -n 's/[[:blank:]]gw$//p' /etc/hosts)";
        // The first process of a container is not ended by a signal.
        let script = format!("{gateway}; timeout 3 wget -qO- {url}; true");
        engine.container(&own, &script).out == "host"
    };
    for network in ["bridge", "own", "lines"] {
        assert!(reaches(network, "http://$gw/"), "{network}");
        assert!(!reaches(network, "http://192.0.2.1/"), "{network}");
        assert!(!reaches(network, "http://[2001:db8::1]/"), "{network}");
    }
    assert!(reaches("open", "http://192.0.2.1/"), "the attack must be able to succeed");
    let option = engine.run(&["network", "inspect", "open", "-f", "{{json .Options}}"]);
    assert!(option.out.contains(r#""cofferdam.host":"all""#), "{option:?}");
    server.kill().and_then(|()| server.wait()).expect("ours");
    for (driver, word) in [("bridge", "some"), ("macvlan", "all")] {
        let option = format!("cofferdam.host={word}");
        let ran = engine.run(&["network", "create", "-d", driver, "-o", &option, "bad"]);
        assert!(ran.code == 1 && ran.err.contains("cofferdam.host"), "{ran:?}");
    }
    engine.says(&["network", "rm", "own", "open", "lines"]);
    drop(neighbour);
    engine.leaves_nothing();
}

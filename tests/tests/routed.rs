//! NET: routed networks, whose containers share no layer 2.

use promises::{
    Cli, Engine, until,
    web::{address, reaches, serve},
};
use std::{collections::BTreeSet, sync::Mutex};

#[test]
fn net1_a_routed_network_is_made_and_used_like_a_bridge() {
    let engine = Engine::new();
    let create = ["network", "create", "--driver", "routed", "--ipv6", "--subnet", "10.5.0.0/24"];
    engine.says_as(Cli::Docker, &[&create[..], &["lines"]].concat());
    let format = "{{.Driver}} {{(index .IPAM.Config 0).Subnet}} {{.EnableIPv6}}";
    assert_eq!(
        engine.says(&["network", "inspect", "-f", format, "lines"]),
        "routed 10.5.0.0/24 true"
    );
    serve(&engine, "a", &["--network", "lines", "--ip", "10.5.0.7", "-p", "8080:80"]);
    let inside = engine.says(&["exec", "a", "sh", "-c", "ip -o addr show eth0; ip route"]);
    assert!(inside.contains("10.5.0.7/32") && inside.contains("/128"), "{inside}");
    assert!(inside.contains("default via 10.5.0.1 dev eth0"), "{inside}");
    assert_eq!(engine.inspect("a", "{{.NetworkSettings.Networks.lines.IPPrefixLen}}"), "32");
    // By name, by address, by a published port.
    engine.says(&["run", "-d", "--name", "b", "--network", "lines", "busybox", "sleep", "999"]);
    assert!(reaches(&engine, "b", "a") && reaches(&engine, "b", "10.5.0.7"));
    let six = engine.inspect("a", "{{.NetworkSettings.Networks.lines.GlobalIPv6Address}}");
    assert!(reaches(&engine, "b", &format!("[{six}]")));
    assert_eq!(engine.host().says("curl -s -m 3 http://127.0.0.1:8080/"), "hello");
    let neighbour = engine.host().neighbour();
    assert_eq!(neighbour.says("curl -s -m 3 http://192.0.2.1:8080/"), "hello");
    let out = engine.run(&["exec", "b", "ping", "-c1", "-W3", "192.0.2.2"]);
    assert_eq!(out.code, 0, "{out:?}");
    engine.host().says("ip link del uplink");
    engine.says(&["rm", "-f", "a", "b"]);
    engine.says(&["network", "rm", "lines"]);
    engine.leaves_nothing();
}

#[test]
fn net2_lines_come_and_go_and_outlive_the_daemon() {
    let mut engine = Engine::new();
    engine.says(&["network", "create", "--driver", "routed", "lines"]);
    engine.says(&["network", "create", "zz"]);
    serve(&engine, "peer", &["--network", "lines"]);
    serve(&engine, "a", &["--network", "zz", "-p", "8080:80"]);
    let peer = address(&engine, "peer", "lines");
    let published = |engine: &Engine| engine.host().says("curl -s -m 3 http://127.0.0.1:8080/");
    assert!(!reaches(&engine, "a", &peer), "another network");
    engine.says(&["network", "connect", "lines", "a"]);
    assert!(reaches(&engine, "a", &peer) && reaches(&engine, "a", "peer"));
    assert_eq!(published(&engine), "hello", "by the line, which is the first by name");
    let look = "ip -o addr; ip route; nft list ruleset";
    let kernel = engine.host().says(look);
    engine.kill_daemon();
    assert_eq!(published(&engine), "hello", "while the daemon is dead");
    engine.start();
    // The new daemon writes the rules once more, in one step; a listing that
    // is under way meanwhile shows some of both.
    until("all to be taken over as it was", || engine.host().says(look) == kernel);
    assert!(reaches(&engine, "a", &peer));
    engine.says(&["network", "disconnect", "lines", "a"]);
    assert!(!reaches(&engine, "a", &peer), "it has left");
    assert_eq!(published(&engine), "hello", "by the bridge again");
    engine.says(&["rm", "-f", "a", "peer"]);
    engine.says(&["network", "prune", "-f"]);
    engine.leaves_nothing();
}

#[test]
fn net3_a_container_cannot_pass_for_another_on_a_line() {
    let mut engine = Engine::new();
    engine.says(&["network", "create", "--driver", "routed", "--subnet", "10.5.0.0/24", "lines"]);
    let place = |ip| ["--network", "lines", "--ip", ip];
    let words = ["run", "-d", "--name", "victim"];
    engine.says(&[&words[..], &place("10.5.0.7"), &["busybox", "sleep", "999"]].concat());
    let options = [&place("10.5.0.8")[..], &["--cap-add", "NET_ADMIN"]].concat();
    let words = ["run", "-d", "--name", "attacker"];
    engine.says(&[&words[..], &options, &["busybox", "sleep", "999"]].concat());
    // It takes another's address as well and speaks under it.
    engine.says(&["exec", "attacker", "ip", "addr", "add", "10.5.0.9/32", "dev", "eth0"]);
    let pids = ["victim", "attacker"].map(|name| engine.pid_of(name).to_string());
    let within = |engine: &Engine, pid: &str, script: &str| {
        engine.host().says(&format!("nsenter --net --target {pid} -- sh -c '{script}'"))
    };
    // How many questions it has heard: false ones cannot be answered.
    let heard = |engine: &Engine| {
        let script = "sed -n \"s/^Icmp: //p\" /proc/net/snmp | tail -n1 | cut -d \" \" -f 9";
        within(engine, &pids[0], script).trim().parse::<u32>().expect("a number")
    };
    let speak = |engine: &Engine| {
        let script = "/bin/busybox ping -c2 -W1 -I 10.5.0.9 10.5.0.7 > /dev/null; \
                      /bin/busybox ping -c1 -W3 10.5.0.7 > /dev/null && echo honest";
        assert_eq!(within(engine, &pids[1], script).trim(), "honest");
    };
    let before = heard(&engine);
    speak(&engine);
    assert_eq!(heard(&engine), before + 1, "what was honest");
    // A daemon would put it back.
    engine.kill_daemon();
    engine.host().says("nft flush chain inet cofferdam-coffer0 line4");
    speak(&engine);
    assert_eq!(heard(&engine), before + 4, "it bites");
    engine.start();
    until("the guard to be back", || {
        let before = heard(&engine);
        speak(&engine);
        heard(&engine) == before + 1
    });
    engine.host().says("nft flush chain inet cofferdam-coffer0 line4");
    until("the guard to be back under a daemon that runs", || {
        let before = heard(&engine);
        speak(&engine);
        heard(&engine) == before + 1
    });
}

#[test]
fn net1_two_thousand_containers_stand_on_one_network() {
    const ALL: usize = 2000;
    let engine = Engine::new();
    let create = ["network", "create", "--driver", "routed", "--ipv6", "--subnet", "10.5.0.0/20"];
    engine.says(&[&create[..], &["lines"]].concat());
    // One server, however many the machine has: each costs the resolver three descriptors.
    let options = ["--network", "lines", "--dns", "192.0.2.53"];
    let names: Vec<String> = (0..ALL).map(|n| format!("c{n}")).collect();
    let (first, last) = (&*names[0], &*names[ALL - 1]);
    serve(&engine, first, &options);
    in_chunks(&names[1..ALL - 1], 1, |name| {
        let words =
            [&["run", "-d", "--name", &name[0]], &options[..], &["busybox", "sleep", "999"]];
        engine.says(&words.concat());
    });
    serve(&engine, last, &options);
    assert_eq!(engine.says(&["ps", "--quiet"]).lines().count(), ALL);
    let format = "{{range .Containers}}{{.IPv4Address}} {{.IPv6Address}} {{end}}";
    let said = engine.says(&["network", "inspect", "-f", format, "lines"]);
    let addresses: BTreeSet<&str> = said.split_whitespace().collect();
    assert_eq!(addresses.len(), 2 * ALL, "each has two of its own");
    for (from, to) in [(last, first), (first, last), ("c1000", last), ("c1998", first)] {
        let six = engine.inspect(to, "{{.NetworkSettings.Networks.lines.GlobalIPv6Address}}");
        for way in [to.to_owned(), address(&engine, to, "lines"), format!("[{six}]")] {
            assert!(reaches(&engine, from, &way), "{from} to {to} by {way}");
        }
        let ran = engine.run(&["exec", from, "ping", "-c1", "-W3", "10.5.0.1"]);
        assert_eq!(ran.code, 0, "the gateway: {ran:?}");
        let url = format!("http://{}/", address(&engine, to, "lines"));
        assert_eq!(engine.host().says(&format!("curl -s -m 3 {url}")), "hello");
    }
    in_chunks(&names, 50, |some| {
        let words = ["rm", "-f"].into_iter().chain(some.iter().map(String::as_str));
        engine.says(&words.collect::<Vec<_>>());
    });
    engine.says(&["network", "rm", "lines"]);
    engine.leaves_nothing();
}

/// Does it with all of them, some in one call, by four threads.
fn in_chunks(all: &[String], some: usize, what: impl Fn(&[String]) + Sync) {
    let next = Mutex::new(all.chunks(some));
    let work = || {
        loop {
            let chunk = next.lock().expect("nobody panics with it").next();
            let Some(chunk) = chunk else { return };
            what(chunk);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
}

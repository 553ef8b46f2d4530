//! NET: networks that users make, and containers on several of them.

use promises::{
    Cli, Engine, compose, until,
    web::{address, reaches, serve, sh},
};

#[test]
fn net2_a_network_is_made_listed_looked_at_and_removed() {
    let engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = ["network", "create", "--subnet", "10.77.0.0/24", "--label", "a=b", "mine"];
        let id = engine.says_as(cli, &words);
        let again = engine.run_as(cli, &["network", "create", "mine"]);
        assert!(again.err.contains("network with name mine already exists"), "{again:?}");
        let listed = engine.says_as(cli, &["network", "ls", "-q", "--no-trunc", "-f", "label=a"]);
        assert_eq!(listed, id);
        let format = "{{.Name}} {{.Driver}} {{(index .IPAM.Config 0).Subnet}} {{.Labels.a}}";
        let seen = engine.says_as(cli, &["network", "inspect", "-f", format, &id[..12]]);
        assert_eq!(seen, "mine bridge 10.77.0.0/24 b");
        assert_eq!(engine.says_as(cli, &["network", "rm", "mine"]), "mine");
        let gone = engine.run_as(cli, &["network", "inspect", "mine"]);
        assert!(gone.code != 0 && gone.err.contains("mine"), "{gone:?}");
    }
    engine.leaves_nothing();
}

#[test]
fn net2_what_makes_no_network_is_refused_and_leaves_nothing() {
    let engine = Engine::with(&[]);
    let refused = |words: &[&str], because: &str| {
        let ran = engine.run_as(Cli::Docker, &[&["network"], words].concat());
        assert!(ran.code != 0 && ran.err.contains(because), "{words:?}: {ran:?}");
    };
    refused(&["create", "bridge"], "operation is not permitted on predefined bridge network");
    refused(&["create", "--subnet", "10.1.2.3/24", "n"], "it should be 10.1.2.0/24");
    refused(&["create", "--driver", "foo", "n"], "plugin \"foo\" not found");
    refused(&["create", "-o", "com.docker.network.driver.mtu=x", "n"], "failed to parse");
    refused(&["create", "--ipv4=false", "n"], "IPv4 or IPv6 must be enabled");
    refused(&["create", "-o", "com.docker.network.driver.mtu=20", "n"], "invalid MTU 20");
    refused(&["create", "-o", "com.docker.network.bridge.name=lo", "n"], "interface lo exists");
    refused(&["rm", "bridge"], "bridge is a pre-defined network and cannot be removed");
    refused(&["rm", "nope"], "network nope not found");
    engine.says(&["network", "create", "--subnet", "10.5.0.0/24", "first"]);
    refused(&["create", "--subnet", "10.5.0.128/25", "n"], "Pool overlaps with other one");
    assert_eq!(engine.says(&["network", "ls", "-q", "-f", "type=custom"]).lines().count(), 1);
    engine.says(&["network", "rm", "first"]);
    engine.leaves_nothing();
}

#[test]
fn net2_a_network_in_use_stays_and_prune_takes_the_others() {
    let engine = Engine::new();
    for name in ["used", "idle"] {
        engine.says(&["network", "create", name]);
    }
    engine.says(&["run", "-d", "--name", "a", "--network", "used", "busybox", "sleep", "1000"]);
    let refused = engine.run(&["network", "rm", "used"]);
    let words = "network used has active endpoints (name:\"a\" id:";
    assert!(refused.code != 0 && refused.err.contains(words), "{refused:?}");
    let pruned = engine.says_as(Cli::Docker, &["network", "prune", "-f"]);
    assert_eq!(pruned.lines().collect::<Vec<_>>(), ["Deleted Networks:", "idle"]);
    engine.says(&["rm", "-f", "a"]);
    engine.says(&["network", "rm", "used"]);
    engine.leaves_nothing();
}

#[test]
fn net2_one_can_have_far_more_than_thirty_one_networks() {
    let engine = Engine::with(&[]);
    let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    for name in &names {
        engine.says(&["network", "create", name]);
    }
    let seen = engine.says(
        &[
            &["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}"][..],
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
        ]
        .concat(),
    );
    let subnets: std::collections::BTreeSet<&str> = seen.lines().collect();
    assert_eq!(subnets.len(), 40, "each has its own: {seen}");
    engine.says(&["network", "prune", "-f"]);
    engine.leaves_nothing();
}

#[test]
fn net2_containers_of_one_network_talk_and_those_of_two_do_not() {
    let engine = Engine::new();
    for name in ["one", "two"] {
        engine.says(&["network", "create", "--ipv6", name]);
    }
    serve(&engine, "a", &["--network", "one"]);
    for (name, network) in [("b", "one"), ("c", "two")] {
        engine.says(&[
            "run",
            "-d",
            "--name",
            name,
            "--network",
            network,
            "busybox",
            "sleep",
            "999",
        ]);
    }
    let four = address(&engine, "a", "one");
    let six = engine.inspect("a", "{{.NetworkSettings.Networks.one.GlobalIPv6Address}}");
    assert!(reaches(&engine, "b", &four) && reaches(&engine, "b", &format!("[{six}]")));
    assert!(!reaches(&engine, "c", &four), "by IPv4");
    assert!(!reaches(&engine, "c", &format!("[{six}]")), "by IPv6");
    engine.says(&["run", "-d", "--name", "d", "busybox", "sleep", "999"]);
    assert!(!reaches(&engine, "d", &four), "nor from the default network");
    // A route of its own to there is no help.
    let own = ["--cap-add", "NET_ADMIN", "--network", "two"];
    let script = format!(
        "ip route add {four}/32 via $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); \
         timeout 3 wget -qO- http://{four}/ || true"
    );
    assert_ne!(engine.container(&own, &script).out, "hello");
}

#[test]
fn net2_an_internal_network_has_no_way_out_and_none_in() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    let mut outside = neighbour.command("/bin/busybox");
    std::fs::write(engine.scratch().join("index.html"), "hello\n").expect("scratch");
    outside.args(["httpd", "-f", "-p", "80", "-h"]).arg(engine.scratch());
    let mut outside = outside.spawn().expect("starts");
    until("the server", || engine.host().sh("curl -sf -m 2 http://192.0.2.2/").status.success());
    engine.says(&["network", "create", "--internal", "inner"]);
    engine.says(&["network", "create", "outer"]);
    let fetch = "timeout 3 wget -qO- http://192.0.2.2/ || true";
    let open = engine.container(&["--network", "outer"], fetch);
    let closed = engine.container(&["--network", "inner"], fetch);
    let forced = "ip route add default via $(ip route | sed -n 's/\\.0\\/.*/.1/p') && ";
    let forced = engine
        .container(&["--network", "inner", "--cap-add", "NET_ADMIN"], &format!("{forced}{fetch}"));
    outside.kill().and_then(|()| outside.wait()).expect("ours");
    assert_eq!(open.out, "hello", "the look must be able to succeed: {open:?}");
    assert_ne!(closed.out, "hello", "{closed:?}");
    assert_ne!(forced.out, "hello", "{forced:?}");
    serve(&engine, "a", &["--network", "inner", "-p", "8080:80"]);
    assert_eq!(engine.inspect("a", "{{.NetworkSettings.Networks.inner.Gateway}}"), "");
    let inside = engine.host().sh("curl -sf -m 2 http://127.0.0.1:8080/");
    assert!(!inside.status.success(), "nothing of it is published");
    assert!(sh(&engine, "a", "ip route").starts_with("172."), "no default route");
}

#[test]
fn net3_without_icc_containers_of_one_network_do_not_hear_each_other() {
    // Where bridged packets are shown to other hooks those hold them as well.
    let hidden =
        "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done";
    let engine = Engine::prepared(hidden, &[]);
    promises::busybox(&engine);
    let option = "com.docker.network.bridge.enable_icc=false";
    engine.says(&["network", "create", "open"]);
    engine.says(&["network", "create", "-o", option, "apart"]);
    for (network, heard) in [("open", true), ("apart", false)] {
        let (server, client) = (format!("s-{network}"), format!("c-{network}"));
        serve(&engine, &server, &["--network", network, "-p", "8080:80"]);
        engine.says(&[
            "run",
            "-d",
            "--name",
            &client,
            "--network",
            network,
            "busybox",
            "sleep",
            "99",
        ]);
        let ip = address(&engine, &server, network);
        assert_eq!(reaches(&engine, &client, &ip), heard, "{network}");
        let fetched = engine.host().says("curl -s -m 3 http://127.0.0.1:8080/");
        assert_eq!(fetched, "hello", "published ports are there for all the same");
        engine.says(&["rm", "-f", &server]);
    }
}

#[test]
fn net2_options_of_the_bridge_driver_are_honoured() {
    let engine = Engine::new();
    let option = |key: &str, value: &str| format!("com.docker.network.{key}={value}");
    let options = [
        option("bridge.name", "mine0"),
        option("driver.mtu", "1400"),
        option("bridge.host_binding_ipv4", "127.0.0.1"),
        option("container_iface_prefix", "net"),
    ];
    let mut words = vec!["network", "create"];
    words.extend(options.iter().flat_map(|option| ["-o", option]));
    engine.says(&[&words[..], &["mine"]].concat());
    serve(&engine, "a", &["--network", "mine", "-p", "8080:80"]);
    assert!(sh(&engine, "a", "ip link show net0").contains("mtu 1400"));
    assert!(engine.host().says("ip link show mine0").contains("mtu 1400"));
    assert_eq!(engine.says(&["port", "a"]), "80/tcp -> 127.0.0.1:8080");
    // A neighbour who knows the way there sees containers' own addresses.
    let neighbour = engine.host().neighbour();
    let option = option("bridge.enable_ip_masquerade", "false");
    engine.says(&["network", "create", "--subnet", "10.88.0.0/24", "-o", &option, "bare"]);
    neighbour.says("ip route add 10.88.0.0/24 via 192.0.2.1");
    let script = "for i in 1 2 3; do ping -c1 -W1 192.0.2.2; done";
    let ran = engine.container(&["--network", "bare"], script);
    assert!(ran.out.contains("bytes from 192.0.2.2"), "{ran:?}");
}

#[test]
fn net1_addresses_are_given_as_asked() {
    let engine = Engine::new();
    let create = ["network", "create", "--subnet", "10.5.0.0/24", "--ip-range", "10.5.0.128/25"];
    let more = ["--aux-address", "router=10.5.0.129", "--ipv6", "--subnet", "fd05::/64", "mine"];
    engine.says_as(Cli::Docker, &[&create[..], &more].concat());
    let words = ["run", "-d", "--name", "a", "--network", "mine", "--ip", "10.5.0.7", "--ip6"];
    let mac = ["fd05::77", "--mac-address", "02:42:00:00:00:99", "busybox", "sleep", "1000"];
    engine.says_as(Cli::Docker, &[&words[..], &mac].concat());
    let inside = sh(&engine, "a", "ip -o addr show eth0; ip -o link show eth0");
    for part in ["10.5.0.7/24", "fd05::77/64", "02:42:00:00:00:99"] {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    let unasked = engine.container(&["--network", "mine"], "ip -o addr show eth0");
    assert!(unasked.out.contains("10.5.0.130/24"), "the first that is free: {unasked:?}");
    let refused = |options: &[&str], because: &str| {
        let words = [&["run", "--rm"], options, &["busybox", "true"]].concat();
        for cli in [Cli::Docker, Cli::Cofferdam] {
            let ran = engine.run_as(cli, &words);
            assert!(ran.code == 125 && ran.err.contains(because), "{options:?}: {ran:?}");
        }
    };
    refused(&["--network", "mine", "--ip", "10.5.0.7"], "Address already in use");
    refused(&["--network", "mine", "--ip", "10.9.0.7"], "no configured subnet");
    refused(&["--network", "mine", "--ip", "10.5.0.128"], "Address already in use");
    refused(&["--network", "bridge", "--ip", "172.17.0.9"], "user defined networks only");
    engine.says(&["network", "create", "chosen"]);
    refused(&["--network", "chosen", "--ip", "172.18.0.9"], "user configured subnets");
    refused(&["--network", "nope"], "network nope not found");
    // The address is free again once its container is gone, and stays the
    // container's own over a restart.
    engine.says(&["restart", "-t", "0", "a"]);
    assert!(sh(&engine, "a", "ip -o addr show eth0").contains("10.5.0.7/24"));
    engine.says(&["rm", "-f", "a"]);
    let again = engine.container(&["--network", "mine", "--ip", "10.5.0.7"], "ip -o addr");
    assert!(again.out.contains("10.5.0.7/24"), "{again:?}");
}

#[test]
fn net1_a_container_is_on_several_networks_from_its_start() {
    let engine = Engine::new();
    for name in ["aa", "bb"] {
        engine.says(&["network", "create", name]);
    }
    let words = ["run", "-d", "--name", "a", "--network", "name=bb,alias=x", "--network"];
    let second = ["name=aa,gw-priority=-1,mac-address=02:42:00:00:00:09", "busybox", "sleep", "99"];
    for cli in [Cli::Docker, Cli::Cofferdam] {
        engine.says_as(cli, &[&words[..], &second].concat());
        let (first, other) = (address(&engine, "a", "bb"), address(&engine, "a", "aa"));
        let inside = sh(&engine, "a", "ip -o -4 addr; ip route");
        let line = |name: &str, ip: &str| {
            inside.lines().any(|line| line.contains(&format!("{name} ")) && line.contains(ip))
        };
        assert!(line("eth0", &first) && line("eth1", &other), "{inside}");
        let gateway = engine.inspect("a", "{{.NetworkSettings.Networks.bb.Gateway}}");
        assert!(inside.contains(&format!("default via {gateway} dev eth0")), "{inside}");
        let names = engine.inspect("a", "{{json .NetworkSettings.Networks.bb.DNSNames}}");
        let id = engine.inspect("a", "{{.Id}}");
        assert_eq!(names, format!(r#"["a","x","{}"]"#, &id[..12]));
        let hosts = sh(&engine, "a", "cat /etc/hosts");
        assert!(hosts.contains(&first) && hosts.contains(&other), "{hosts}");
        engine.says(&["rm", "-f", "a"]);
    }
    let mixed = ["run", "--rm", "--network", "host", "--network", "aa", "busybox", "true"];
    assert_ne!(engine.run(&mixed).code, 0);
    engine.says(&["network", "prune", "-f"]);
    engine.leaves_nothing();
}

#[test]
fn net2_networks_come_and_go_while_a_container_runs() {
    let engine = Engine::new();
    for name in ["aa", "zz"] {
        engine.says(&["network", "create", name]);
    }
    serve(&engine, "peer", &["--network", "aa"]);
    serve(&engine, "a", &["--network", "zz", "-p", "8080:80"]);
    let peer = address(&engine, "peer", "aa");
    let published = || engine.host().says("curl -s -m 3 http://127.0.0.1:8080/");
    let route = || sh(&engine, "a", "ip route | grep default");
    assert!(!reaches(&engine, "a", &peer));
    let before = route();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        engine.says_as(cli, &["network", "connect", "--alias", "later", "aa", "a"]);
        assert!(reaches(&engine, "a", &peer), "an interface has appeared");
        let gateway = engine.inspect("a", "{{.NetworkSettings.Networks.aa.Gateway}}");
        assert!(route().contains(&format!("via {gateway} dev eth1")), "aa is the first by name");
        assert_eq!(published(), "hello", "the port leads there by the other way");
        assert!(sh(&engine, "a", "cat /etc/hosts").contains(&address(&engine, "a", "aa")));
        let again = engine.run_as(cli, &["network", "connect", "aa", "a"]);
        let words = "endpoint with name a already exists in network aa";
        assert!(again.code != 0 && again.err.contains(words), "{again:?}");
        let address = address(&engine, "a", "aa");
        engine.says_as(cli, &["network", "disconnect", "aa", "a"]);
        assert!(!sh(&engine, "a", "ip -o link").contains("eth1"), "it has vanished");
        assert!(!sh(&engine, "a", "cat /etc/hosts").contains(&address));
        assert_eq!((route(), published()), (before.clone(), "hello".to_owned()));
        let twice = engine.run_as(cli, &["network", "disconnect", "aa", "a"]);
        assert!(twice.code != 0 && twice.err.contains("is not connected"), "{twice:?}");
    }
    let seen = engine.says(&["network", "inspect", "-f", "{{len .Containers}}", "aa", "zz"]);
    assert_eq!(seen, "1\n1");
    // The last one can go as well, and the name is free for another then.
    engine.says(&["network", "disconnect", "zz", "a"]);
    assert_eq!(sh(&engine, "a", "ip -o link | wc -l"), "1");
    assert!(!engine.host().sh("curl -sf -m 2 http://127.0.0.1:8080/").status.success());
    engine.says(&["network", "rm", "zz"]);
    engine.says(&["network", "connect", "aa", "a"]);
    assert_eq!(published(), "hello", "published by what leads out now");
}

#[test]
fn net2_one_that_does_not_run_is_connected_when_it_starts() {
    let engine = Engine::new();
    engine.says(&["network", "create", "mine"]);
    engine.says(&["create", "--name", "a", "busybox", "sleep", "1000"]);
    engine.says(&["network", "connect", "--alias", "x", "mine", "a"]);
    engine.says(&["start", "a"]);
    assert_eq!(sh(&engine, "a", "ip -o link | grep -c eth"), "2");
    let aliases = engine.inspect("a", "{{.NetworkSettings.Networks.mine.Aliases}}");
    assert_eq!(aliases, "[x]");
    engine.says(&["stop", "-t", "0", "a"]);
    engine.says(&["network", "rm", "mine"]);
    let lost = engine.run(&["start", "a"]);
    assert!(lost.code != 0 && lost.err.contains("not found"), "{lost:?}");
    engine.says(&["network", "create", "mine"]);
    engine.says(&["network", "disconnect", "mine", "a"]);
    engine.says(&["start", "a"]);
    assert_eq!(sh(&engine, "a", "ip -o link | grep -c eth"), "1");
}

#[test]
fn net2_combinations_that_cannot_be_are_refused_in_dockers_words() {
    let engine = Engine::new();
    engine.says(&["network", "create", "mine"]);
    for (name, mode) in [("a", "mine"), ("h", "host"), ("n", "none")] {
        engine.says(&["run", "-d", "--name", name, "--network", mode, "busybox", "sleep", "999"]);
    }
    engine.says(&["run", "-d", "--name", "j", "--network", "container:a", "busybox", "sleep", "9"]);
    let refused = |verb: &str, network: &str, container: &str, because: &str| {
        let ran = engine.run_as(Cli::Docker, &["network", verb, network, container]);
        assert!(
            ran.code != 0 && ran.err.contains(because),
            "{verb} {network} {container}: {ran:?}"
        );
    };
    refused("connect", "host", "a", "container must be created in host network mode");
    refused("connect", "none", "a", "one of the networks in private (none) mode");
    refused("connect", "mine", "n", "one of the networks in private (none) mode");
    refused("connect", "mine", "h", "sharing network namespace with another container or host");
    refused("connect", "mine", "j", "sharing network namespace with another container or host");
    refused("disconnect", "host", "h", "cannot be disconnected from host network");
    refused("connect", "nope", "a", "network nope not found");
    refused("connect", "mine", "nope", "No such container: nope");
    engine.says(&["network", "disconnect", "none", "n"]);
    engine.says(&["network", "connect", "mine", "n"]);
    assert_eq!(sh(&engine, "n", "ip -o link | grep -c eth"), "1");
}

#[test]
fn net2_networks_outlive_the_daemon_and_are_made_again() {
    let mut engine = Engine::new();
    engine.says(&["network", "create", "--subnet", "10.5.0.0/24", "mine"]);
    engine.says(&["network", "create", "spare"]);
    serve(&engine, "a", &["--network", "mine", "--ip", "10.5.0.7", "-p", "8080:80"]);
    let before = engine.says(&["network", "inspect", "mine", "spare"]);
    let look = "ip -o addr; nft list ruleset; bridge fdb | grep -v temp | sort";
    let kernel = engine.host().says(look);
    engine.kill_daemon();
    assert_eq!(engine.host().says("curl -s -m 3 http://127.0.0.1:8080/"), "hello");
    engine.start();
    assert_eq!(engine.says(&["network", "inspect", "mine", "spare"]), before);
    assert_eq!(engine.host().says(look), kernel, "taken over as it was");
    let taken = engine.run(&["run", "--rm", "--network", "mine", "--ip", "10.5.0.7", "busybox"]);
    assert!(taken.err.contains("Address already in use"), "{taken:?}");
    // A live change after the adoption.
    engine.says(&["network", "connect", "spare", "a"]);
    assert_eq!(sh(&engine, "a", "ip -o link | grep -c eth"), "2");
    engine.kill_daemon();
    let bridge = engine.host().says("ip -o link show type bridge | grep -c br-");
    assert_eq!(bridge, "2");
    engine.host().says("for l in $(ip -o link show type bridge | grep -o 'br-[0-9a-f]*' | sort -u); do ip link del $l; done");
    engine.start();
    until("the bridges to be made again", || {
        engine.host().sh("ip -o link show type bridge | grep -c br-").stdout == b"2\n"
    });
    engine.says(&["restart", "-t", "0", "a"]);
    until("the server", || {
        engine.run(&["exec", "a", "wget", "-qO-", "http://10.5.0.7/"]).out == "hello"
    });
    engine.says(&["rm", "-f", "a"]);
    // What no record names is swept: a bridge of a network half removed.
    engine.stop();
    engine.host().says("ip link add br-0123456789ab type bridge; ip link set br-0123456789ab alias 'cofferdam coffer0'");
    engine.start();
    until("the sweep", || !engine.host().sh("ip link show br-0123456789ab").status.success());
    engine.says(&["network", "prune", "-f"]);
    engine.leaves_nothing();
}

#[test]
fn net2_what_happens_to_networks_is_told() {
    let engine = Engine::new();
    let id = engine.says(&["network", "create", "mine"]);
    engine.says(&["run", "-d", "--name", "a", "--network", "mine", "busybox", "sleep", "1000"]);
    engine.says(&["network", "connect", "bridge", "a"]);
    engine.says(&["network", "disconnect", "bridge", "a"]);
    engine.says(&["rm", "-f", "a"]);
    engine.says(&["network", "rm", "mine"]);
    let format = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
    let until = engine.host().says("date +%s --date='1 second'");
    let words = ["events", "--since", "1", "--until", &until, "-f", "type=network", "--format"];
    let told = engine.says_as(Cli::Docker, &[&words[..], &[format]].concat());
    let told: Vec<&str> = told.lines().collect();
    let expected = [
        "create mine bridge",
        "connect mine bridge",
        "connect bridge bridge",
        "disconnect bridge bridge",
        "disconnect mine bridge",
        "destroy mine bridge",
    ];
    assert_eq!(told, expected);
    let filter = format!("network={id}");
    let words = ["events", "--since", "1", "--until", &until, "-f", &filter];
    assert_eq!(engine.says_as(Cli::Docker, &words).lines().count(), 4);
}

/// Two services, one of them on two networks.
const PROJECT: &str = r#"
services:
  web:
    image: busybox
    command: ["sh", "-c", "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -h /www"]
    ports: ["8080:80"]
    networks: {back: {aliases: [w], ipv4_address: 10.8.0.7}, front: {}}
  db:
    image: busybox
    command: ["sleep", "1000"]
    networks: [back]
    depends_on: [web]
networks:
  back: {internal: true, ipam: {config: [{subnet: 10.8.0.0/24}]}}
  front: {driver_opts: {com.docker.network.driver.mtu: "1400"}}
"#;

#[test]
fn net2_compose_brings_a_project_up_and_down() {
    let engine = Engine::new();
    let project = engine.scratch().join("project");
    std::fs::create_dir(&project).expect("scratch");
    std::fs::write(project.join("compose.yaml"), PROJECT).expect("scratch");
    let compose = |words: &[&str]| {
        let mut command = engine.host().command(compose());
        command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
        command.env("DOCKER_CONFIG", engine.client_config());
        command.arg("--file").arg(project.join("compose.yaml")).args(words);
        let out = command.output().expect("starts");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&out.stderr));
        said
    };
    compose(&["up", "--detach"]);
    let names = compose(&["ps", "--format", "{{.Service}} {{.State}}"]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["db running", "web running"]);
    until("the server", || {
        engine.host().sh("curl -sf -m 2 http://127.0.0.1:8080/").stdout == b"hello\n"
    });
    let fetched = compose(&["exec", "-T", "db", "wget", "-qO-", "http://10.8.0.7/"]);
    assert_eq!(fetched, "hello\n");
    assert!(compose(&["exec", "-T", "web", "ip", "link"]).contains("mtu 1400"));
    // Nothing has changed: nothing is made again.
    let before = engine.says(&["ps", "--quiet", "--no-trunc"]);
    compose(&["up", "--detach"]);
    assert_eq!(engine.says(&["ps", "--quiet", "--no-trunc"]), before);
    compose(&["down", "--timeout", "0"]);
    assert_eq!(engine.says(&["network", "ls", "-q", "-f", "type=custom"]), "");
    assert_eq!(engine.says(&["ps", "--all", "--quiet"]), "");
    engine.leaves_nothing();
}

//! NET: what is asked of one place on a network: links, options, gateways.

use promises::{
    Cli, Engine, until,
    web::{reaches, serve, sh},
};

#[test]
fn net2_a_link_on_the_default_bridge_is_a_name_and_variables() {
    let engine = Engine::new();
    serve(&engine, "db", &["--expose", "80", "-e", "A=b"]);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        engine.says_as(
            cli,
            &["run", "-d", "--name", "web", "--link", "db:d-b", "busybox", "sleep", "999"],
        );
        assert!(reaches(&engine, "web", "d-b") && reaches(&engine, "web", "db"), "{cli:?}");
        let ip = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
        let environment = sh(&engine, "web", "env");
        for line in [
            &format!("D_B_PORT=tcp://{ip}:80"),
            &format!("D_B_PORT_80_TCP_ADDR={ip}"),
            "D_B_NAME=/web/d-b",
            "D_B_ENV_A=b",
        ] {
            assert!(environment.lines().any(|said| said == line), "{line}: {environment}");
        }
        assert_eq!(engine.inspect("web", "{{.HostConfig.Links}}"), "[/db:/web/d-b]");
        engine.says(&["rm", "-f", "web"]);
    }
    // It is found where it is now, and by the name it has now.
    engine.says(&["run", "-d", "--name", "web", "--link", "db", "busybox", "sleep", "999"]);
    let before = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
    // Whatever its root has made of the file.
    assert_eq!(sh(&engine, "web", "printf '10.9.9.9\\tx\\377\\n' >> /etc/hosts"), "");
    engine.says(&["stop", "-t", "0", "db"]);
    engine.says(&["run", "-d", "--name", "between", "busybox", "sleep", "999"]);
    engine.says(&["start", "db"]);
    let now = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
    assert_ne!(now, before, "the look must be able to fail");
    until("the new address", || sh(&engine, "web", "cat /etc/hosts").contains(&now));
    assert!(!sh(&engine, "web", "cat /etc/hosts").contains(&format!("{before}\t")));
    engine.says(&["rename", "db", "base"]);
    assert_eq!(engine.inspect("web", "{{.HostConfig.Links}}"), "[/base:/web/db]");
    engine.says(&["stop", "-t", "0", "base", "web"]);
    let refused = engine.run(&["start", "web"]);
    let words = "Cannot link to a non running container: /base AS /web/db";
    assert!(refused.code != 0 && refused.err.contains(words), "{refused:?}");
    let none = engine.run_as(Cli::Docker, &["run", "--rm", "--link", "nope", "busybox", "true"]);
    assert!(none.code == 125 && none.err.contains("could not get container for nope"), "{none:?}");
}

#[test]
fn net2_a_link_tells_of_ports_as_docker_does() {
    let engine = Engine::new();
    let ports = ["--expose", "53/udp", "--expose", "90-92", "--expose", "95/tcp"];
    let words = [&["run", "-d", "--name", "db"], &ports[..], &["busybox", "sleep", "999"]];
    engine.says(&words.concat());
    engine.says(&["run", "-d", "--name", "other", "busybox", "sleep", "999"]);
    let links = ["--link", "db:x", "--link", "other:x", "--link", "other:y"];
    let words = [&["run", "-d", "--name", "web"], &links[..], &["busybox", "sleep", "999"]];
    engine.says(&words.concat());
    let ip = engine.inspect("db", "{{.NetworkSettings.IPAddress}}");
    let environment = sh(&engine, "web", "env");
    for line in [
        format!("X_PORT=tcp://{ip}:90"),
        format!("X_PORT_90_TCP_START=tcp://{ip}:90"),
        "X_PORT_90_TCP_PORT_START=90".into(),
        format!("X_PORT_90_TCP_END=tcp://{ip}:92"),
        "X_PORT_90_TCP_PORT_END=92".into(),
        format!("X_PORT_53_UDP=udp://{ip}:53"),
    ] {
        assert!(environment.lines().any(|said| said == line), "{line}: {environment}");
    }
    let shown = engine.inspect("web", "{{.HostConfig.Links}}");
    assert_eq!(shown, "[/db:/web/x /other:/web/y]", "of two that are called x, the first");
    // Renamed and elsewhere: no line is left of where it was.
    engine.says(&["rename", "db", "base"]);
    engine.says(&["stop", "-t", "0", "base"]);
    engine.says(&["run", "-d", "--name", "between", "busybox", "sleep", "999"]);
    engine.says(&["start", "base"]);
    let now = engine.inspect("base", "{{.NetworkSettings.IPAddress}}");
    assert_ne!(now, ip, "the look must be able to fail");
    let hosts = || sh(&engine, "web", "cat /etc/hosts");
    until("the new address", || hosts().contains(&format!("{now}\tx ")));
    assert!(!hosts().contains(&format!("{ip}\t")), "{}", hosts());
    engine.says(&["network", "create", "mine"]);
    engine.says(&["run", "-d", "--name", "away", "--network", "mine", "busybox", "sleep", "999"]);
    let ran = engine.run(&["run", "-d", "--link", "away", "busybox", "true"]);
    assert!(ran.err.contains("not attached to default bridge network"), "{ran:?}");
}

#[test]
fn net2_linked_containers_come_up_after_those_that_they_are_linked_to() {
    let mut engine = Engine::new();
    let words = ["run", "-d", "--restart", "always", "--name"];
    let sleep = ["busybox", "sleep", "999"];
    for (name, link) in [("c", None), ("b", Some("c")), ("a", Some("b"))] {
        let link = link.map_or(vec![], |link| vec!["--link", link]);
        engine.says(&[&words[..], &[name], &link, &sleep].concat());
    }
    let pids = ["a", "b", "c"].map(|name| engine.pid_of(name));
    engine.kill_daemon();
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the engine's");
    }
    engine.start();
    until("all to run again", || {
        ["a", "b", "c"].iter().zip(pids).all(|(name, pid)| {
            engine.inspect(name, "{{.State.Status}}") == "running" && engine.pid_of(name) != pid
        })
    });
    assert!(sh(&engine, "a", "cat /etc/hosts").contains("\tb"));
}

#[test]
fn net2_a_link_on_a_users_network_is_a_name_for_one_container_alone() {
    let engine = Engine::new();
    engine.says(&["network", "create", "mine"]);
    serve(&engine, "db", &["--network", "mine"]);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = ["run", "-d", "--name", "web", "--network", "mine", "--link", "db:d"];
        engine.says_as(cli, &[&words[..], &["busybox", "sleep", "999"]].concat());
        engine.says(&[
            "run",
            "-d",
            "--name",
            "other",
            "--network",
            "mine",
            "busybox",
            "sleep",
            "999",
        ]);
        assert!(reaches(&engine, "web", "d"), "{cli:?}");
        assert!(reaches(&engine, "other", "db") && !reaches(&engine, "other", "d"), "{cli:?}");
        engine.says(&["rm", "-f", "web", "other"]);
    }
    engine.says(&["run", "-d", "--name", "late", "busybox", "sleep", "999"]);
    engine.says_as(Cli::Docker, &["network", "connect", "--link", "db:e", "mine", "late"]);
    assert!(reaches(&engine, "late", "e"));
}

#[test]
fn net1_an_endpoint_has_settings_a_name_and_link_local_addresses_as_asked() {
    let engine = Engine::new();
    engine.says(&["network", "create", "--ipv6", "mine"]);
    let place = "name=mine,driver-opt=com.docker.network.endpoint.ifname=foo0,\
                 driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,\
                 link-local-ip=169.254.7.7";
    for cli in [Cli::Docker, Cli::Cofferdam] {
        engine.says_as(
            cli,
            &["run", "-d", "--name", "a", "--network", place, "busybox", "sleep", "999"],
        );
        let inside =
            sh(&engine, "a", "ip -o addr show foo0; cat /proc/sys/net/ipv4/conf/foo0/log_martians");
        assert!(inside.contains("169.254.7.7/16") && inside.ends_with("\n1"), "{cli:?}: {inside}");
        let words = ["run", "--rm", "--network", "mine", "--link-local-ip", "169.254.7.8"];
        let heard = engine
            .run_as(cli, &[&words[..], &["busybox", "ping", "-c1", "-W3", "169.254.7.7"]].concat());
        assert_eq!(heard.code, 0, "the guard knows the address: {heard:?}");
        engine.says(&["rm", "-f", "a"]);
    }
    let refused = |place: &str, because: &str| {
        let ran = engine.run(&["run", "--rm", "--network", place, "busybox", "true"]);
        assert!(ran.code == 125 && ran.err.contains(because), "{place}: {ran:?}");
    };
    let option = "name=mine,driver-opt=com.docker.network.endpoint";
    refused(&format!("{option}.sysctls=net.ipv4.ip_forward=1"), "net.X.Y.IFNAME.Z");
    refused(&format!("{option}.ifname=a/b"), "invalid interface name");
    refused(&format!("{option}.foo=1"), "is not carried");
    refused("name=mine,link-local-ip=10.0.0.7", "invalid link-local IP address: 10.0.0.7");
    engine.says(&["network", "rm", "mine"]);
    engine.leaves_nothing();
}

#[test]
fn net2_a_gateways_mode_says_how_far_containers_are_hidden() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    let option = |mode: &str| format!("com.docker.network.bridge.gateway_mode_ipv4={mode}");
    let nets =
        [("nat", "10.5.1.0/24"), ("nat-unprotected", "10.5.2.0/24"), ("routed", "10.5.3.0/24")];
    for (mode, subnet) in nets {
        engine.says_as(
            Cli::Docker,
            &["network", "create", "--subnet", subnet, "-o", &option(mode), mode],
        );
        neighbour.says(&format!("ip route add {subnet} via 192.0.2.1"));
    }
    // One port is published and one is not.
    let listen = "httpd -p 81 -h /www; exec httpd -f -h /www";
    for (mode, subnet) in nets {
        let ip = subnet.replace(".0/24", ".7");
        let port = if mode == "routed" { "80" } else { "8080:80" };
        let script = format!("mkdir /www; echo hello > /www/index.html; {listen}");
        let words = ["run", "-d", "--name", mode, "--network", mode, "--ip", &ip, "-p", port];
        engine.says(&[&words[..], &["busybox", "sh", "-c", &script]].concat());
        until("the server", || {
            engine.run(&["exec", mode, "wget", "-qO-", "http://127.0.0.1/"]).out == "hello"
        });
        let from_outside = |port: u16| {
            let script = format!("curl -s -m 2 http://{ip}:{port}/");
            neighbour.sh(&script).stdout == b"hello\n"
        };
        let expected = match mode {
            "nat" => (false, false),
            "routed" => (true, false),
            _ => (true, true),
        };
        assert_eq!((from_outside(80), from_outside(81)), expected, "{mode}");
        let led = neighbour.sh("curl -s -m 2 http://192.0.2.1:8080/").stdout == b"hello\n";
        assert_eq!(led, mode != "routed", "{mode}");
        let other = engine.container(
            &["--network", "bridge"],
            &format!("timeout 3 wget -qO- http://{ip}/ || true"),
        );
        assert_eq!(
            other.out == "hello",
            mode == "routed",
            "from another network, {mode}: {other:?}"
        );
        // Under which address does it go out?
        neighbour.says(&format!("ip route del {subnet}"));
        let out = engine.run(&["exec", mode, "ping", "-c1", "-W2", "192.0.2.2"]);
        assert_eq!(out.code == 0, mode != "routed", "its own has no way back, {mode}: {out:?}");
        if mode == "routed" {
            assert_eq!(engine.says(&["port", mode]), "80/tcp -> 0.0.0.0:");
        }
        engine.says(&["rm", "-f", mode]);
        engine.says(&["network", "rm", mode]);
    }
    // Where no port of the host's is taken, its address makes no difference.
    let mode = option("routed");
    engine.says(&["network", "create", "-o", &mode, "straight"]);
    let words = ["run", "-d", "--name", "to", "--network", "straight", "-p", "127.0.0.1:8080:80"];
    engine.says_as(Cli::Docker, &[&words[..], &["busybox", "sleep", "999"]].concat());
    assert_eq!(engine.says(&["port", "to"]), "80/tcp -> 0.0.0.0:");
    engine.says(&["rm", "-f", "to"]);
    engine.says(&["network", "rm", "straight"]);
    let none = engine.run(&["network", "create", "-o", &option(""), "x"]);
    assert!(none.err.contains("(unknown gateway mode )"), "{none:?}");
    let isolated = option("isolated");
    let open = engine.run(&["network", "create", "-o", &isolated, "x"]);
    assert!(open.err.contains("can only be used for an internal network"), "{open:?}");
    engine.says(&[
        "network",
        "create",
        "--internal",
        "--subnet",
        "10.5.4.0/24",
        "-o",
        &isolated,
        "alone",
    ]);
    assert!(!engine.host().says("ip -o -4 addr").contains("10.5.4."), "the host is not there");
    serve(&engine, "a", &["--network", "alone"]);
    engine.says(&["run", "-d", "--name", "b", "--network", "alone", "busybox", "sleep", "99"]);
    assert!(reaches(&engine, "b", "a"), "but they are");
}

#[test]
fn net2_a_trusted_interface_reaches_published_ports_and_an_inhibited_address_is_not_the_hosts() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    let key = "com.docker.network.bridge";
    let trusted = format!("{key}.trusted_host_interfaces=lan9:uplink");
    engine.says(&["network", "create", "--subnet", "10.5.1.0/24", "-o", &trusted, "known"]);
    neighbour.says("ip route add 10.5.1.0/24 via 192.0.2.1");
    let script =
        "mkdir /www; echo hello > /www/index.html; httpd -p 81 -h /www; exec httpd -f -h /www";
    let words =
        ["run", "-d", "--name", "a", "--network", "known", "--ip", "10.5.1.7", "-p", "8080:80"];
    engine.says(&[&words[..], &["busybox", "sh", "-c", script]].concat());
    until("the server", || {
        engine.run(&["exec", "a", "wget", "-qO-", "http://127.0.0.1:81/"]).out == "hello"
    });
    let reached = |port: u16| {
        neighbour.sh(&format!("curl -s -m 2 http://10.5.1.7:{port}/")).stdout == b"hello\n"
    };
    assert_eq!((reached(80), reached(81)), (true, false));
    let inhibit = format!("{key}.inhibit_ipv4=true");
    engine.says(&["network", "create", "--subnet", "10.5.2.0/24", "-o", &inhibit, "bare"]);
    assert!(!engine.host().says("ip -o -4 addr").contains("10.5.2."));
    let ran = engine.container(&["--network", "bare"], "ip route");
    assert!(ran.out.contains("default via 10.5.2.1"), "{ran:?}");
}

#[test]
fn net2_networks_are_made_of_the_words_of_another() {
    let mut engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = ["network", "create", "--config-only", "--subnet", "10.5.0.0/24"];
        engine.says_as(
            cli,
            &[&words[..], &["-o", "com.docker.network.driver.mtu=1400", "words"]].concat(),
        );
        assert_eq!(
            engine.host().says("ip -o link show type bridge | wc -l"),
            "1",
            "no network yet"
        );
        engine.says_as(cli, &["network", "create", "--config-from", "words", "mine"]);
        let format = "{{.ConfigOnly}} {{.ConfigFrom.Network}} {{(index .IPAM.Config 0).Subnet}}";
        assert_eq!(
            engine.says_as(cli, &["network", "inspect", "-f", format, "mine"]),
            "false words 10.5.0.0/24"
        );
        assert!(
            engine
                .says_as(cli, &["network", "inspect", "-f", format, "words"])
                .starts_with("true ")
        );
        let ran = engine.container(&["--network", "mine"], "ip link show eth0");
        assert!(ran.out.contains("mtu 1400"), "{ran:?}");
        let refused = |words: &[&str], because: &str| {
            let ran = engine.run_as(cli, words);
            assert!(ran.code != 0 && ran.err.contains(because), "{words:?}: {ran:?}");
        };
        refused(&["network", "rm", "words"], "configuration network \"words\" is in use");
        refused(
            &["network", "create", "--config-from", "nope", "x"],
            "configuration network \"nope\" not found",
        );
        refused(
            &["network", "create", "--config-from", "words", "--label", "a=b", "x"],
            "user specified configurations",
        );
        refused(
            &["run", "--rm", "--network", "words", "busybox", "true"],
            "configuration-only network",
        );
        engine.kill_daemon();
        engine.start();
        assert!(
            engine
                .says_as(cli, &["network", "inspect", "-f", format, "words"])
                .starts_with("true ")
        );
        engine.says(&["network", "prune", "-f"]);
        assert_eq!(engine.says(&["network", "ls", "-q", "-f", "name=mine"]), "");
        engine.says(&["network", "rm", "words"]);
    }
    engine.leaves_nothing();
}

#[test]
fn net2_ports_answer_by_ipv6_once_a_network_with_it_is_connected() {
    let engine = Engine::new();
    engine.says(&["network", "create", "four"]);
    engine.says(&["network", "create", "--ipv6", "six"]);
    serve(&engine, "a", &["--network", "four", "-p", "8080:80"]);
    assert_eq!(engine.says(&["port", "a"]), "80/tcp -> 0.0.0.0:8080");
    let neighbour = engine.host().neighbour();
    let by_six = || neighbour.sh("curl -s -m 2 'http://[2001:db8::1]:8080/'").stdout == b"hello\n";
    assert!(!by_six());
    for _ in 0..2 {
        engine.says(&["network", "connect", "six", "a"]);
        assert_eq!(engine.says(&["port", "a"]), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080");
        assert!(by_six());
        assert_eq!(neighbour.says("curl -s -m 2 http://192.0.2.1:8080/"), "hello");
        engine.says(&["network", "disconnect", "six", "a"]);
        assert_eq!(engine.says(&["port", "a"]), "80/tcp -> 0.0.0.0:8080");
        assert!(!by_six());
    }
    // Nor has it the port where it is reached without.
    let option = "com.docker.network.bridge.gateway_mode_ipv4=routed";
    engine.says(&["network", "create", "-o", option, "aa"]);
    engine.says(&["network", "connect", "aa", "a"]);
    assert_eq!(engine.says(&["port", "a"]), "80/tcp -> 0.0.0.0:");
    engine.says(&["run", "-d", "-p", "0.0.0.0:8080:80", "busybox", "sleep", "99"]);
    // What it no longer has, another may have.
    let taken = ["run", "-d", "--network", "six", "-p", "[::]:8080:80", "busybox", "sleep", "99"];
    engine.says(&taken);
}

#[test]
fn net1_a_network_namespace_of_others_is_joined() {
    let engine = Engine::new();
    engine.host().says(
        "mkdir -p /run/netns && ip netns add theirs && ip netns exec theirs ip link set lo up \
         && ip link add their0 type veth peer name inside0 netns theirs && ip addr add 10.99.0.1/24 dev their0 \
         && ip link set their0 up && ip netns exec theirs ip addr add 10.99.0.2/24 dev inside0 \
         && ip netns exec theirs ip link set inside0 up",
    );
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = ["run", "--rm", "--network", "ns:/run/netns/theirs", "busybox"];
        let ran = engine.run_as(
            cli,
            &[&words[..], &["sh", "-c", "ip -o -4 addr; wget -qO- http://10.99.0.1/ || true"]]
                .concat(),
        );
        assert!(
            ran.out.contains("10.99.0.2/24") && ran.err.contains("refused"),
            "{cli:?}: {ran:?}"
        );
        // It has no power there.
        let ran =
            engine.run_as(cli, &[&words[..], &["ip", "link", "set", "inside0", "down"]].concat());
        assert_ne!(ran.code, 0, "{ran:?}");
    }
    let words = [
        "run",
        "-d",
        "--name",
        "a",
        "--network",
        "ns:/run/netns/theirs",
        "busybox",
        "sleep",
        "999",
    ];
    engine.says(&words);
    assert!(engine.inspect("a", "{{json .Cofferdam.Weakened}}").contains("that others made"));
    let refused = |options: &[&str], because: &str| {
        let words = [&["run", "--rm"], options, &["busybox", "true"]].concat();
        let ran = engine.run(&words);
        assert!(ran.code == 125 && ran.err.contains(because), "{options:?}: {ran:?}");
    };
    refused(&["--network", "ns:/run/netns/nope"], "no network namespace that can be joined");
    refused(&["--network", "ns:/etc/hostname"], "no network namespace that can be joined");
    refused(&["--network", "ns:theirs"], "the full path of a namespace");
    refused(&["--network", "ns:/run/netns/theirs", "-p", "80:80"], "port publishing");
    let publish = engine.run(&["update", "--publish", "8082:80", "a"]);
    assert!(publish.code == 1 && publish.err.contains("no network of its own"), "{publish:?}");
    let connect = engine.run(&["network", "connect", "bridge", "a"]);
    assert!(connect.err.contains("sharing network namespace"), "{connect:?}");
    engine.says(&["rm", "-f", "a"]);
    assert!(engine.host().says("ip netns exec theirs ip -o link").contains("inside0"), "it stays");
}

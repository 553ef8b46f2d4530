//! NET: networks beside the host, on an interface of it: macvlan, and ipvlan
//! where the kernel has it.

use promises::{Cli, Engine};

const MACVLAN: [&str; 7] =
    ["network", "create", "--driver", "macvlan", "--subnet", "192.0.2.0/24", "-o"];

fn hears(engine: &Engine, name: &str, address: &str) -> bool {
    engine.run(&["exec", name, "ping", "-c1", "-W2", address]).code == 0
}

fn start(engine: &Engine, name: &str, network: &str, address: &str) {
    let words = ["run", "-d", "--name", name, "--network", network, "--ip", address];
    engine.says(&[&words[..], &["busybox", "sleep", "999"]].concat());
}

#[test]
fn net2_macvlan_containers_are_neighbours_of_what_is_at_the_parents_end() {
    let mut engine = Engine::new();
    let neighbour = engine.host().neighbour();
    engine.says_as(
        Cli::Docker,
        &[&MACVLAN[..], &["parent=uplink", "--gateway", "192.0.2.2", "lan"]].concat(),
    );
    start(&engine, "a", "lan", "192.0.2.10");
    start(&engine, "b", "lan", "192.0.2.11");
    assert!(hears(&engine, "a", "192.0.2.2") && hears(&engine, "a", "192.0.2.11"));
    assert!(
        neighbour.sh("/bin/busybox ping -c1 -W2 192.0.2.10").status.success(),
        "and the other way round"
    );
    let route = engine.says(&["exec", "a", "ip", "route"]);
    assert!(route.contains("default via 192.0.2.2 dev eth0"), "{route}");
    assert!(engine.inspect("a", "{{json .Cofferdam.Weakened}}").contains("beside the host"));
    let published =
        engine.run(&["run", "--rm", "--network", "lan", "-p", "80:80", "busybox", "true"]);
    assert!(published.err.contains("publishes no ports"), "{published:?}");
    // It comes and goes live, and outlives the daemon.
    engine.kill_daemon();
    engine.start();
    engine.says(&["network", "disconnect", "lan", "b"]);
    assert!(!hears(&engine, "a", "192.0.2.11"), "it has left");
    engine.says(&["network", "connect", "--ip", "192.0.2.12", "lan", "b"]);
    assert!(hears(&engine, "a", "192.0.2.12"), "it has come back");
    engine.says(&["rm", "-f", "a", "b"]);
    engine.says(&["network", "rm", "lan"]);
    assert!(engine.host().sh("ip link show uplink").status.success(), "the parent stays");
}

#[test]
fn net2_a_container_is_taken_over_whatever_became_of_its_network() {
    let mut engine = Engine::new();
    let neighbour = engine.host().neighbour();
    engine.says(&[&MACVLAN[..], &["parent=uplink", "--gateway", "192.0.2.2", "lan"]].concat());
    start(&engine, "a", "lan", "192.0.2.10");
    let option = "com.docker.network.bridge.name=ours0";
    engine.says(&["network", "create", "-o", option, "mine"]);
    engine.says(&["run", "-d", "--name", "b", "--network", "mine", "busybox", "sleep", "999"]);
    engine.kill_daemon();
    engine.host().says("ip link del uplink; ip link del ours0; ip link add ours0 type veth");
    engine.start();
    for name in ["a", "b"] {
        engine.says(&["stop", "-t", "0", name]);
        assert_eq!(engine.inspect(name, "{{.State.Status}}"), "exited", "{name}");
    }
    engine.host().says("ip link del ours0");
    engine.says(&["start", "b"]);
    engine.says(&["rm", "-f", "a", "b"]);
    engine.says(&["network", "rm", "lan", "mine"]);
    drop(neighbour);
    engine.leaves_nothing();
}

#[test]
fn net2_a_macvlan_mode_says_who_is_heard() {
    let engine = Engine::new();
    let neighbour = engine.host().neighbour();
    for (mode, each_other) in [("bridge", true), ("private", false), ("vepa", false)] {
        let (option, name) = (format!("macvlan_mode={mode}"), format!("m-{mode}"));
        engine.says(&[&MACVLAN[..], &["parent=uplink", "-o", &option, &name]].concat());
        start(&engine, "a", &name, "192.0.2.10");
        start(&engine, "b", &name, "192.0.2.11");
        assert!(hears(&engine, "a", "192.0.2.2"), "{mode}");
        assert_eq!(hears(&engine, "a", "192.0.2.11"), each_other, "{mode}");
        engine.says(&["rm", "-f", "a", "b"]);
        engine.says(&["network", "rm", &name]);
    }
    // Nothing leads out of an internal one, whatever its parent.
    let inner = [&MACVLAN[..], &["parent=uplink", "--internal", "inner"]].concat();
    if engine.host().sh("ip link add t0 type dummy && ip link del t0").status.success() {
        engine.says(&inner);
        start(&engine, "a", "inner", "192.0.2.10");
        start(&engine, "b", "inner", "192.0.2.11");
        assert!(hears(&engine, "a", "192.0.2.11") && !hears(&engine, "a", "192.0.2.2"));
        engine.says(&["rm", "-f", "a", "b"]);
        engine.says(&["network", "rm", "inner"]);
    } else {
        let refused = engine.run(&inner);
        assert!(refused.err.contains("no interface that leads nowhere"), "{refused:?}");
    }
    engine
        .says(&[&MACVLAN[..], &["parent=uplink", "-o", "macvlan_mode=passthru", "whole"]].concat());
    start(&engine, "a", "whole", "192.0.2.10");
    let second = ["run", "--rm", "--network", "whole", "busybox", "true"];
    assert!(engine.run(&second).err.contains("the parent uplink is taken whole"));
    drop(neighbour);
}

#[test]
fn net2_what_cannot_be_beside_the_host_is_refused_at_the_creation() {
    let engine = Engine::new();
    let refused = |words: &[&str], because: &str| {
        let ran = engine.run_as(Cli::Docker, &[&["network", "create"], words].concat());
        assert!(ran.code != 0 && ran.err.contains(because), "{words:?}: {ran:?}");
    };
    for (parent, because) in [
        ("parent=nope0", "invalid subinterface vlan name nope0"),
        ("parent=nope0.50", "-o parent interface was not found on the host: nope0"),
        ("parent=lo.x", "unable to parse a valid vlan id from: x"),
        ("parent=lo.4095", "vlan id must be between 1-4094, received: 4095"),
    ] {
        refused(&["-d", "macvlan", "-o", parent, "x"], because);
    }
    refused(
        &["-d", "macvlan", "-o", "macvlan_mode=x", "x"],
        "requested macvlan mode 'x' is not valid",
    );
    let lo = "loopback interface is not a valid macvlan parent link";
    refused(&["-d", "macvlan", "-o", "parent=lo", "x"], lo);
    refused(&["-d", "ipvlan", "-o", "ipvlan_mode=l4", "x"], "ipvlan mode 'l4' is not valid");
    let has = engine.host().sh("ip link add t0 type bridge && ip link add t1 link t0 type ipvlan; e=$?; ip link del t0; exit $e");
    if has.status.success() {
        let _neighbour = engine.host().neighbour();
        engine.says(&["network", "create", "-d", "ipvlan", "-o", "parent=uplink", "x"]);
        let ran = engine.container(&["--network", "x"], "ip -o link show eth0");
        assert!(ran.out.contains("eth0"), "{ran:?}");
        engine.says(&["network", "rm", "x"]);
        engine.host().says("ip link del uplink");
    } else {
        refused(&["-d", "ipvlan", "x"], "this kernel cannot make ipvlan interfaces");
    }
    assert_eq!(engine.says(&["network", "ls", "-q", "-f", "type=custom"]), "");
    engine.leaves_nothing();
}

#[test]
fn net2_by_ipvlans_layer_3_containers_reach_one_another_and_have_no_gateway() {
    let engine = Engine::new();
    let _neighbour = engine.host().neighbour();
    let has = engine.host().sh("ip link add t0 link uplink type ipvlan && ip link del t0");
    for mode in ["l3", "l3s"] {
        let option = format!("ipvlan_mode={mode}");
        let create = ["network", "create", "-d", "ipvlan", "-o", "parent=uplink", "-o", &option];
        let made = engine.run_as(Cli::Docker, &[&create[..], &["x"]].concat());
        if !has.status.success() {
            assert!(made.err.contains("this kernel cannot make ipvlan interfaces"), "{made:?}");
            continue;
        }
        assert_eq!(made.code, 0, "{made:?}");
        let gateway = "{{(index .IPAM.Config 0).Gateway}}";
        assert_eq!(engine.says(&["network", "inspect", "-f", gateway, "x"]), "");
        for name in ["a", "b"] {
            let words = ["run", "-d", "--name", name, "--network", "x", "busybox", "sleep", "999"];
            engine.says(&words);
        }
        let route = engine.says(&["exec", "a", "ip", "route"]);
        assert!(route.contains("default dev eth0"), "{mode}: {route}");
        let ran = engine.run(&["exec", "a", "ping", "-c1", "-W3", "b"]);
        assert_eq!(ran.code, 0, "{mode}: {ran:?}");
        let link = engine.says(&["exec", "a", "ip", "link", "show", "eth0"]);
        assert!(link.contains("NOARP"), "{mode}: {link}");
        engine.says(&["rm", "-f", "a", "b"]);
        engine.says(&["network", "rm", "x"]);
    }
    engine.host().says("ip link del uplink");
    engine.leaves_nothing();
}

#[test]
fn net2_a_vlan_that_is_to_be_the_parent_is_made_and_goes_with_its_last_network() {
    let engine = Engine::new();
    let _neighbour = engine.host().neighbour();
    let there = || engine.host().sh("ip link show uplink.50").status.success();
    let create = |name, subnet| {
        let words = ["network", "create", "-d", "macvlan", "-o", "parent=uplink.50", "--subnet"];
        engine.run_as(Cli::Docker, &[&words[..], &[subnet, name]].concat())
    };
    let has =
        engine.host().sh("ip link add link uplink name t.1 type vlan id 1 && ip link del t.1");
    if has.status.success() {
        assert_eq!(create("one", "10.1.0.0/24").code, 0);
        assert_eq!(create("two", "10.2.0.0/24").code, 0);
        let said = engine.host().says("ip -d link show uplink.50");
        assert!(said.contains("vlan protocol 802.1Q id 50") && said.contains(",UP"), "{said}");
        engine.says(&["network", "rm", "one"]);
        assert!(there(), "another network has it");
        engine.says(&["network", "rm", "two"]);
        assert!(!there());
        // One that was there before stays.
        engine.host().says("ip link add link uplink name uplink.50 type vlan id 50");
        assert_eq!(create("one", "10.1.0.0/24").code, 0);
        engine.says(&["network", "rm", "one"]);
        assert!(there());
    } else {
        let ran = create("one", "10.1.0.0/24");
        assert!(
            ran.err.contains("failed to create uplink.50 vlan link: this kernel has none"),
            "{ran:?}"
        );
        assert!(!there());
    }
    engine.host().says("ip link del uplink");
    engine.leaves_nothing();
}

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
    refused(
        &["-d", "macvlan", "-o", "parent=nope0", "x"],
        "the parent interface \"nope0\" cannot be used",
    );
    refused(
        &["-d", "macvlan", "-o", "macvlan_mode=x", "x"],
        "requested macvlan mode 'x' is not valid",
    );
    refused(&["-d", "macvlan", "-o", "parent=lo", "x"], "loopback interface is not a valid parent");
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

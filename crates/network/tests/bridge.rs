//! NET-1 and NET-2: a stack of one's own, and a road to the others.

mod host;

use host::{Guest, Netns, ask, config, endpoint, network, on_a_host, outside, sh};
use network::{Beside, BesideKind, BridgeConfig, Driver, MacvlanMode, Realm};

#[test]
fn net2_containers_reach_one_another_the_host_and_the_outside() {
    on_a_host("net2_containers_reach_one_another_the_host_and_the_outside", || {
        let outside = outside();
        outside.serve("[::]:80");
        let (_realm, bridge) = network(&config("coffer0"));
        let (a, b) = (Guest::plug(&bridge, 2), Guest::plug(&bridge, 3));
        b.netns.serve("[::]:80");
        assert_eq!(a.netns.ask("172.30.0.3:80").expect("IPv4"), "::ffff:172.30.0.2");
        assert_eq!(a.netns.ask(&format!("[{}]:80", b.v6())).expect("IPv6"), a.v6().to_string());
        assert_eq!(ask("172.30.0.3:80").expect("from the host"), "::ffff:172.30.0.1");
        assert_eq!(a.netns.ask("192.0.2.2:80").expect("outside"), "::ffff:192.0.2.1");
        assert_eq!(a.netns.ask("[2001:db8::2]:80").expect("outside"), "2001:db8::1");
    });
}

#[test]
fn net2_a_network_that_does_not_come_to_be_leaves_nothing() {
    on_a_host("net2_a_network_that_does_not_come_to_be_leaves_nothing", || {
        let realm = Realm::open("coffer0").expect("nftables");
        // Switches of the kernel that cannot be set: the bridge is there by then.
        sh("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys");
        let error = realm.bridge(&config("coffer0")).expect_err("half of it").to_string();
        assert!(error.contains("/proc/sys/net"), "{error}");
        assert_eq!(sh("ip -o link show type bridge"), "");
        sh("umount /proc/sys");
        realm.bridge(&config("coffer0")).expect("now it can");
    });
}

/// A macvlan network beside the bridge `coffer0`.
fn beside(name: &str) -> BridgeConfig {
    let kind = BesideKind::Macvlan(MacvlanMode::Bridge);
    BridgeConfig {
        driver: Driver::Beside,
        beside: Some(Beside { parent: "coffer0".into(), kind }),
        subnet4: Some("10.9.0.1/24".parse().expect("a subnet")),
        subnet6: None,
        mtu: 0,
        ..config(name)
    }
}

#[test]
fn net2_a_network_beside_an_interface_leaves_what_it_did_not_make() {
    on_a_host("net2_a_network_beside_an_interface_leaves_what_it_did_not_make", || {
        sh("ip link add wg0 type veth peer name wg1");
        let (realm, bridge) = network(&config("coffer0"));
        let _guest = Guest::plug(&bridge, 2);
        let there = || sh("ip -o link show | grep -cE ' (cv|wg0)' || true");
        assert_eq!(there(), "2\n", "a port of the parent's, and a stranger");
        let lan = realm.bridge(&beside("wg0")).expect("a network");
        realm
            .sweep(|| [("coffer0".into(), [host::id(2)].into()), ("wg0".into(), [].into())].into())
            .expect("sweep");
        assert_eq!(there(), "2\n", "swept");
        lan.remove().expect("remove");
        assert_eq!(there(), "2\n", "removed");
    });
}

#[test]
fn net1_an_interface_that_a_container_made_itself_is_left_to_it() {
    on_a_host("net1_an_interface_that_a_container_made_itself_is_left_to_it", || {
        let (realm, _bridge) = network(&config("coffer0"));
        let lan = realm.bridge(&beside("lan")).expect("a network");
        let netns = Netns::new();
        netns.sh("ip link add eth0 type veth peer name own");
        lan.plug(netns.fd(), &endpoint(3, lan.config())).expect_err("its name is taken");
        netns.sh("ip link show eth0");
        netns.sh("ip link del eth0");
        lan.plug(netns.fd(), &endpoint(3, lan.config())).expect("now it can");
        netns.sh("ip link show eth0");
    });
}

//! NET-1 and NET-2: a stack of one's own, and a road to the others.

mod host;

use host::{Guest, ask, config, network, on_a_host, outside, sh};
use network::Realm;

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

//! NET-3: whether the host is a router, for whom, and after what.

mod host;

use host::{Guest, config, network, on_a_host, outside, sh};
use network::BridgeConfig;

/// A host beyond this one, which `outside` could reach through it alone.
fn further(outside: &host::Netns) -> host::Netns {
    let further = host::Netns::new();
    further.serve("0.0.0.0:80");
    let pid = further.pid();
    sh(&format!(
        "ip link add lan0 type veth peer name eth0 netns {pid}
         ip addr add 198.51.100.1/24 dev lan0
         ip link set lan0 up"
    ));
    further.sh("ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up
                ip route add default via 198.51.100.1");
    outside.sh("ip route add default via 192.0.2.1");
    further
}

/// What lies beyond [`further`]'s address.
const BEYOND: &str = "198.51.100.2:80";

fn forwards(family: &str) -> String {
    sh(&format!("cat /proc/sys/net/{family}")).trim().to_owned()
}

#[test]
fn net3_the_host_does_not_become_a_router_for_others() {
    on_a_host("net3_the_host_does_not_become_a_router_for_others", || {
        let outside = outside();
        let _further = further(&outside);
        let (realm, bridge) = network(&config("coffer0"));
        let guest = Guest::plug(&bridge, 2);
        guest.netns.ask(BEYOND).expect("our own are forwarded");
        outside.ask(BEYOND).expect_err("others are not");
        drop((realm, bridge));
        let _again = network(&config("coffer0"));
        outside.ask(BEYOND).expect_err("nor after a restart");
    });
}

#[test]
fn net3_a_host_is_no_router_when_the_daemon_has_gone() {
    on_a_host("net3_a_host_is_no_router_when_the_daemon_has_gone", || {
        let outside = outside();
        let _further = further(&outside);
        let (realm, bridge) = network(&config("coffer0"));
        assert_eq!(forwards("ipv4/ip_forward"), "1");
        assert_eq!(forwards("ipv6/conf/all/forwarding"), "1");
        bridge.remove().expect("removed");
        realm.remove().expect("removed");
        assert_eq!(forwards("ipv4/ip_forward"), "0");
        assert_eq!(forwards("ipv6/conf/all/forwarding"), "0");
        outside.ask(BEYOND).expect_err("nobody forwards");
    });
}

#[test]
fn net2_a_host_that_routes_goes_on_routing() {
    on_a_host("net2_a_host_that_routes_goes_on_routing", || {
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
        let outside = outside();
        let _further = further(&outside);
        let (realm, bridge) = network(&config("coffer0"));
        outside.ask(BEYOND).expect("as before");
        bridge.remove().expect("removed");
        realm.remove().expect("removed");
        assert_eq!(forwards("ipv4/ip_forward"), "1");
    });
}

#[test]
fn net2_daemons_side_by_side_forward_each_for_its_own() {
    on_a_host("net2_daemons_side_by_side_forward_each_for_its_own", || {
        let outside = outside();
        let _further = further(&outside);
        let second = |name| {
            let subnet = "172.31.0.1/16".parse().expect("a subnet");
            BridgeConfig::default_network(name, subnet)
        };
        let (first_realm, first) = network(&config("coffer0"));
        let (second_realm, second) = network(&second("coffer1"));
        let guest = Guest::plug(&first, 2);
        guest.netns.ask(BEYOND).expect("of the first");
        let guest = Guest::plug(&second, 3);
        guest.netns.ask(BEYOND).expect("of the second, of which the first knows nothing");
        outside.ask(BEYOND).expect_err("of nobody");
        first.remove().expect("removed");
        first_realm.remove().expect("removed");
        guest.netns.ask(BEYOND).expect("the second is still there");
        outside.ask(BEYOND).expect_err("and forwards for nobody else");
        second.remove().expect("removed");
        second_realm.remove().expect("removed");
        assert_eq!(forwards("ipv4/ip_forward"), "0");
    });
}

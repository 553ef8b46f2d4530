//! NET-1 and NET-2: a stack of one's own, and a road to the others.

mod host;

use host::{Guest, ask, config, network, on_a_host, outside};

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

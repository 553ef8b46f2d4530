//! NET-2 and NET-3: published ports lead where they should, and nothing else
//! leads anywhere.

mod host;

use host::{Guest, answer, ask, config, endpoint, id, network, on_a_host, outside, port, sh};
use network::{BridgeConfig, Kind, PortWish, Proto, Realm};
use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
};

#[test]
fn net2_a_published_port_answers_everywhere_and_sees_the_client() {
    on_a_host("net2_a_published_port_answers_everywhere_and_sees_the_client", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80), port("::", 8080, 80)]);
        web.netns.serve("0.0.0.0:80");
        web.netns.serve(&format!("[{}]:80", web.v6()));
        let other = Guest::plug(&bridge, 3);
        let gateway6 = bridge.config().subnet6.expect("IPv6").addr();
        let asked = |from: &dyn Fn(&str) -> std::io::Result<String>, to: &str| {
            from(to).unwrap_or_else(|error| panic!("{to}: {error}"))
        };
        let host = |to: &str| ask(to);
        assert_eq!(asked(&host, "127.0.0.1:8080"), "172.30.0.1");
        assert_eq!(asked(&host, "192.0.2.1:8080"), "192.0.2.1");
        assert_eq!(asked(&host, "[::1]:8080"), gateway6.to_string());
        assert_eq!(asked(&host, "[2001:db8::1]:8080"), "2001:db8::1");
        let from_outside = |to: &str| outside.ask(to);
        assert_eq!(asked(&from_outside, "192.0.2.1:8080"), "192.0.2.2");
        assert_eq!(asked(&from_outside, "[2001:db8::1]:8080"), "2001:db8::2");
        let from_other = |to: &str| other.netns.ask(to);
        assert_eq!(asked(&from_other, "192.0.2.1:8080"), "172.30.0.1");
        assert_eq!(asked(&from_other, "172.30.0.1:8080"), "172.30.0.1");
        assert_eq!(asked(&from_other, &format!("[{gateway6}]:8080")), gateway6.to_string());
        let from_itself = |to: &str| web.netns.ask(to);
        assert_eq!(asked(&from_itself, "192.0.2.1:8080"), "172.30.0.1");
    });
}

#[test]
fn net2_udp_is_published_too() {
    on_a_host("net2_udp_is_published_too", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let published = network::Published { proto: Proto::Udp, ..port("0.0.0.0", 53, 5353) };
        let web = Guest::publish(&bridge, 2, &[published]);
        let server = web.netns.within(|| std::net::UdpSocket::bind("0.0.0.0:5353").expect("bind"));
        let client = outside.within(|| std::net::UdpSocket::bind("0.0.0.0:0").expect("bind"));
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(host::PATIENCE)).expect("set");
        }
        client.send_to(b"question", "192.0.2.1:53").expect("send");
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).expect("the question");
        assert_eq!(
            (&buffer[..length], from.ip().to_string()),
            (&b"question"[..], "192.0.2.2".into())
        );
        server.send_to(b"answer", from).expect("send");
        let (length, from) = client.recv_from(&mut buffer).expect("the answer");
        assert_eq!((&buffer[..length], from.to_string()), (&b"answer"[..], "192.0.2.1:53".into()));
    });
}

/// Makes a neighbour send packets for 127.0.0.0/8 over its link to `via`.
const SEND_LOOPBACK_ABROAD: &str = "ip addr del 127.0.0.1/8 dev lo
    for f in all eth0; do echo 1 > /proc/sys/net/ipv4/conf/$f/route_localnet; done
    ip route add 127.0.0.0/8 via ";

#[test]
fn net3_a_port_published_on_loopback_is_unreachable_from_outside() {
    on_a_host("net3_a_port_published_on_loopback_is_unreachable_from_outside", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[port("127.0.0.1", 8080, 80)]);
        web.netns.serve("0.0.0.0:80");
        assert_eq!(ask("127.0.0.1:8080").expect("from the host"), "172.30.0.1");
        outside.sh(&format!("{SEND_LOOPBACK_ABROAD} 192.0.2.1"));
        for to in ["127.0.0.1:8080", "192.0.2.1:8080"] {
            outside.ask(to).expect_err(to);
        }
        // The attack works where published ports are plain translations.
        sh("nft -f - <<'END'
            table ip plain {
                chain arriving {
                    type nat hook prerouting priority -150
                    ip daddr 127.0.0.1 tcp dport 8080 dnat to 172.30.0.2:80
                }
            }
END");
        assert_eq!(outside.ask("127.0.0.1:8080").expect("it bites"), "192.0.2.2");
    });
}

#[test]
fn net3_an_unpublished_port_cannot_be_routed_to_from_outside() {
    on_a_host("net3_an_unpublished_port_cannot_be_routed_to_from_outside", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        web.netns.serve("[::]:80");
        web.netns.serve("[::]:81");
        let subnet6 = bridge.config().subnet6.expect("IPv6").trunc();
        outside.sh("ip route add 172.30.0.0/16 via 192.0.2.1");
        outside.sh(&format!("ip route add {subnet6} via 2001:db8::1"));
        let v6 = web.v6();
        let ways = ["172.30.0.2:80".to_owned(), "172.30.0.2:81".to_owned(), format!("[{v6}]:81")];
        for to in &ways {
            outside.ask(to).expect_err(to);
        }
        sh("nft flush chain inet cofferdam-coffer0 forward");
        for to in &ways {
            outside.ask(to).expect("it bites");
        }
    });
}

#[test]
fn net3_a_container_cannot_reach_the_hosts_loopback() {
    on_a_host("net3_a_container_cannot_reach_the_hosts_loopback", || {
        let (_realm, bridge) = network(&BridgeConfig { whole_host: true, ..config("coffer0") });
        let guest = Guest::plug(&bridge, 2);
        answer(TcpListener::bind("127.0.0.1:631").expect("bind"));
        guest.netns.sh(&format!("{SEND_LOOPBACK_ABROAD} 172.30.0.1"));
        guest.netns.ask("127.0.0.1:631").expect_err("must not pass");
        sh("nft flush chain inet cofferdam-coffer0 early");
        assert_eq!(guest.netns.ask("127.0.0.1:631").expect("it bites"), "172.30.0.2");
    });
}

#[test]
fn net3_a_port_published_on_loopback_is_unreachable_from_containers() {
    on_a_host("net3_a_port_published_on_loopback_is_unreachable_from_containers", || {
        let _outside = outside();
        let (realm, bridge) = network(&config("coffer0"));
        let second = BridgeConfig {
            subnet4: Some("172.31.0.1/16".parse().expect("a subnet")),
            ..config("coffer1")
        };
        let second = realm.bridge(&second).expect("a second bridge");
        let ports = [port("127.0.0.1", 8080, 80), port("::1", 8080, 80)];
        let web = Guest::publish(&bridge, 2, &ports);
        web.netns.serve("[::]:80");
        let (near, far) = (Guest::plug(&bridge, 3), Guest::plug(&second, 4));
        near.netns.sh(&format!("{SEND_LOOPBACK_ABROAD} 172.30.0.1"));
        far.netns.sh(&format!("{SEND_LOOPBACK_ABROAD} 172.31.0.1"));
        let gateway6 = bridge.config().subnet6.expect("IPv6").addr();
        let six = format!("[{gateway6}]:8080");
        for guest in [&near, &far] {
            for to in
                ["127.0.0.1:8080", "172.30.0.1:8080", "172.31.0.1:8080", "192.0.2.1:8080", &six]
            {
                guest.netns.ask(to).expect_err(to);
            }
        }
        // With the rule gone that keeps the host's loopback to itself.
        sh("nft flush chain inet cofferdam-coffer0 early
            nft flush chain inet cofferdam-coffer0 arriving
            nft add rule inet cofferdam-coffer0 arriving ip daddr 127.0.0.1 tcp dport 8080 dnat ip to 172.30.0.2:80");
        far.netns.ask("127.0.0.1:8080").expect("it bites");
    });
}

#[test]
fn net3_networks_are_apart_but_for_what_is_published() {
    on_a_host("net3_networks_are_apart_but_for_what_is_published", || {
        let (realm, bridge) = network(&config("coffer0"));
        let second = BridgeConfig {
            subnet4: Some("172.31.0.1/16".parse().expect("a subnet")),
            ..config("coffer1")
        };
        let second = realm.bridge(&second).expect("a second bridge");
        let a = Guest::plug(&bridge, 2);
        let b = Guest::publish(&second, 3, &[port("0.0.0.0", 8080, 80), port("::", 8080, 80)]);
        b.netns.serve("[::]:80");
        a.netns.ask("172.31.0.3:80").expect_err("another network");
        a.netns.ask(&format!("[{}]:80", b.v6())).expect_err("another network");
        assert_eq!(a.netns.ask("172.30.0.1:8080").expect("published"), "::ffff:172.30.0.2");
        sh("nft flush chain inet cofferdam-coffer0 outward");
        a.netns.ask("172.31.0.3:80").expect("it bites");
    });
}

#[test]
fn net2_an_internal_network_has_no_way_out_and_none_in() {
    on_a_host("net2_an_internal_network_has_no_way_out_and_none_in", || {
        let outside = outside();
        outside.serve("0.0.0.0:80");
        outside.sh("ip route add 172.30.0.0/16 via 192.0.2.1");
        let (_realm, bridge) = network(&BridgeConfig { internal: true, ..config("coffer0") });
        let (a, b) = (Guest::plug(&bridge, 2), Guest::plug(&bridge, 3));
        b.netns.serve("0.0.0.0:80");
        assert_eq!(a.netns.ask("172.30.0.3:80").expect("its neighbour"), "172.30.0.2");
        a.netns.sh("ip route add default via 172.30.0.1");
        // Even where the host forwards for others.
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
        a.netns.ask("192.0.2.2:80").expect_err("no way out");
        outside.ask("172.30.0.3:80").expect_err("no way in");
    });
}

#[test]
fn net3_without_icc_neighbours_are_out_of_reach_even_through_the_gateway() {
    on_a_host("net3_without_icc_neighbours_are_out_of_reach_even_through_the_gateway", || {
        let (_realm, bridge) = network(&BridgeConfig { icc: false, ..config("coffer0") });
        let a = Guest::plug(&bridge, 2);
        let b = Guest::publish(&bridge, 3, &[port("0.0.0.0", 8080, 80)]);
        b.netns.serve("0.0.0.0:80");
        a.netns.ask("172.30.0.3:80").expect_err("its neighbour");
        a.netns.sh("ip route add 172.30.0.3 via 172.30.0.1");
        a.netns.ask("172.30.0.3:80").expect_err("its neighbour, routed");
        assert_eq!(a.netns.ask("172.30.0.1:8080").expect("published"), "172.30.0.1");
        assert_eq!(ask("172.30.0.3:80").expect("from the host"), "172.30.0.1");
    });
}

#[test]
fn net2_ports_of_others_are_refused_in_dockers_words() {
    on_a_host("net2_ports_of_others_are_refused_in_dockers_words", || {
        let (realm, bridge) = network(&config("coffer0"));
        let _web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        let _busy = TcpListener::bind("0.0.0.0:9090").expect("bind");
        let netns = host::Netns::new();
        let refusal = |published| {
            let asker =
                network::Endpoint { ports: vec![published], ..endpoint(3, bridge.config()) };
            let error = bridge.plug(netns.fd(), &asker).expect_err("taken");
            assert_eq!(error.kind(), Kind::Conflict);
            error.to_string()
        };
        let context = "driver failed programming external connectivity on endpoint c3 \
                       (a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3): ";
        assert_eq!(
            refusal(port("0.0.0.0", 8080, 80)),
            format!("{context}Bind for 0.0.0.0:8080 failed: port is already allocated")
        );
        assert_eq!(
            refusal(port("127.0.0.1", 8080, 80)),
            format!("{context}Bind for 127.0.0.1:8080 failed: port is already allocated")
        );
        assert_eq!(
            refusal(port("0.0.0.0", 9090, 80)),
            format!(
                "{context}failed to bind host port for 0.0.0.0:9090:172.30.0.3:80/tcp: \
                 address already in use"
            )
        );
        // Nothing half made.
        assert_eq!(
            netns.sh("ls /sys/class/net || true; ip -o link | wc -l").lines().last(),
            Some("1")
        );
        bridge.unplug(&id(2)).expect("unplug");
        let asker = endpoint(3, bridge.config());
        let wish = PortWish {
            proto: Proto::Tcp,
            host_ip: None,
            host_ports: 8080..=8080,
            container_port: 80,
            count: 1,
        };
        let given = realm.reserve(&asker, &[wish]).expect("free again");
        assert_eq!(given, [port("0.0.0.0", 8080, 80), port("::", 8080, 80)]);
    });
}

#[test]
fn net2_any_free_port_and_any_of_a_range_are_found() {
    on_a_host("net2_any_free_port_and_any_of_a_range_are_found", || {
        let (realm, bridge) = network(&config("coffer0"));
        let _busy = TcpListener::bind("0.0.0.0:7000").expect("bind");
        let wish = |host_ports| PortWish {
            proto: Proto::Tcp,
            host_ip: Some(IpAddr::from([0, 0, 0, 0])),
            host_ports,
            container_port: 80,
            count: 1,
        };
        let asker = endpoint(2, bridge.config());
        let given = realm.reserve(&asker, &[wish(7000..=7002), wish(7000..=7002)]).expect("two");
        let ports: Vec<_> = given.iter().map(|p| p.host_port).collect();
        assert_eq!(ports, [7001, 7002]);
        let other = endpoint(3, bridge.config());
        let error = realm.reserve(&other, &[wish(7000..=7002)]).expect_err("none left");
        assert!(error.to_string().ends_with("all ports are allocated"), "{error}");
        let any = realm.reserve(&other, &[wish(0..=0), wish(0..=0)]).expect("plenty");
        assert!(any[0].host_port >= 32768 && any[0].host_port != any[1].host_port, "{any:?}");
    });
}

#[test]
fn net2_a_daemon_that_comes_back_finds_all_as_it_was() {
    on_a_host("net2_a_daemon_that_comes_back_finds_all_as_it_was", || {
        let (realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        let listener = web.netns.within(|| TcpListener::bind("0.0.0.0:80").expect("bind"));
        let mut client = TcpStream::connect("127.0.0.1:8080").expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        let before = sh("nft -s list ruleset; ip addr; bridge fdb");
        drop((realm, bridge));
        let (realm, bridge) = network(&config("coffer0"));
        assert_eq!(sh("nft -s list ruleset; ip addr; bridge fdb"), before);
        client.write_all(b"still there?").expect("the connection lives");
        let mut said = [0; 12];
        server.read_exact(&mut said).expect("the connection lives");
        let wish = PortWish {
            proto: Proto::Tcp,
            host_ip: None,
            host_ports: 8080..=8080,
            container_port: 80,
            count: 1,
        };
        realm.reserve(&endpoint(3, bridge.config()), &[wish]).expect_err("still taken");
        bridge.unplug(&id(2)).expect("by a daemon that did not plug it");
        assert!(!sh("nft list ruleset").contains("8080"));
    });
}

#[test]
fn net2_what_no_record_names_is_swept() {
    on_a_host("net2_what_no_record_names_is_swept", || {
        let (_realm, bridge) = network(&config("coffer0"));
        let empty = sh("nft -s list ruleset; ip -o addr; ip neigh show nud permanent");
        let lost = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        let kept = Guest::plug(&bridge, 3);
        let swept = bridge.sweep(|| [id(3)].into()).expect("sweep");
        assert_eq!(swept, [id(2).as_str()]);
        assert_eq!(lost.netns.sh("ip -o link | wc -l").trim(), "1", "its interface is gone");
        kept.netns.serve("0.0.0.0:80");
        assert_eq!(ask("172.30.0.3:80").expect("the other stays"), "172.30.0.1");
        bridge.disconnect(&kept.endpoint).expect("disconnect");
        assert_eq!(sh("nft -s list ruleset; ip -o addr; ip neigh show nud permanent"), empty);
    });
}

#[test]
fn net2_a_removed_network_leaves_nothing_and_touches_nobody_elses() {
    on_a_host("net2_a_removed_network_leaves_nothing_and_touches_nobody_elses", || {
        sh("ip link add theirs type bridge; ip link set theirs up
            nft add table inet theirs
            nft add chain inet theirs forward '{ type filter hook forward priority 0; }'
            nft add rule inet theirs forward tcp dport 23 drop");
        let before = sh("nft list ruleset; ip -o link");
        let (realm, bridge) = network(&config("coffer0"));
        let guest = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        bridge.remove().expect("remove");
        realm.remove().expect("remove");
        assert_eq!(sh("nft list ruleset; ip -o link"), before);
        drop(guest);
    });
}

#[test]
fn net2_somebody_elses_bridge_is_refused() {
    on_a_host("net2_somebody_elses_bridge_is_refused", || {
        sh("ip link add docker0 type bridge; ip link add lan0 type veth");
        let realm = Realm::open("coffer0").expect("nftables");
        for name in ["docker0", "lan0"] {
            let error = realm.bridge(&config(name)).expect_err(name);
            assert_eq!(error.kind(), Kind::Conflict);
        }
        for name in ["", "a/b", "..", "a b", "sixteencharacter", "-x"] {
            let error = realm.bridge(&config(name)).expect_err(name);
            assert_eq!(error.kind(), Kind::Invalid, "{name}");
        }
    });
}

#[test]
fn net2_two_daemons_live_side_by_side() {
    on_a_host("net2_two_daemons_live_side_by_side", || {
        let (_one, first) = network(&config("coffer0"));
        let second = BridgeConfig {
            subnet4: Some("172.31.0.1/16".parse().expect("a subnet")),
            ..config("coffer1")
        };
        let (other, second) = network(&second);
        let a = Guest::publish(&first, 2, &[port("0.0.0.0", 8080, 80)]);
        let b = Guest::publish(&second, 3, &[port("0.0.0.0", 8081, 80)]);
        a.netns.serve("0.0.0.0:80");
        b.netns.serve("0.0.0.0:80");
        assert_eq!(ask("127.0.0.1:8080").expect("the first"), "172.30.0.1");
        assert_eq!(ask("127.0.0.1:8081").expect("the second"), "172.31.0.1");
        a.netns.ask("172.31.0.3:80").expect_err("apart");
        second.remove().expect("remove");
        other.remove().expect("remove");
        assert_eq!(ask("127.0.0.1:8080").expect("the first"), "172.30.0.1");
    });
}

#[test]
fn net2_a_wiped_firewall_is_restored() {
    on_a_host("net2_a_wiped_firewall_is_restored", || {
        let (realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        web.netns.serve("0.0.0.0:80");
        let before = sh("nft -s list ruleset");
        sh("nft flush ruleset");
        ask("127.0.0.1:8080").expect_err("wiped");
        realm.restore().expect("restore");
        assert_eq!(sh("nft -s list ruleset"), before, "by the daemon that knew");
        sh("nft flush ruleset");
        drop((realm, bridge));
        let (_realm, bridge) = network(&config("coffer0"));
        bridge.restore(&web.endpoint).expect("restore");
        assert_eq!(sh("nft -s list ruleset"), before, "by the next");
        assert_eq!(ask("127.0.0.1:8080").expect("again"), "172.30.0.1");
    });
}

#[test]
fn net2_ten_thousand_ports_are_one_transaction() {
    on_a_host("net2_ten_thousand_ports_are_one_transaction", || {
        let (_realm, bridge) = network(&config("coffer0"));
        let ports: Vec<_> = (10_000..20_000).map(|p| port("0.0.0.0", p, p)).collect();
        let web = Guest::publish(&bridge, 2, &ports);
        web.netns.serve("0.0.0.0:19999");
        assert_eq!(ask("127.0.0.1:19999").expect("the last"), "172.30.0.1");
        bridge.unplug(&id(2)).expect("unplug");
        assert!(!sh("nft list map inet cofferdam-coffer0 any4").contains("elements"));
    });
}

#[test]
fn net2_leaving_one_network_keeps_the_ports_of_the_other() {
    on_a_host("net2_leaving_one_network_keeps_the_ports_of_the_other", || {
        let (realm, first) = network(&config("coffer0"));
        let second = BridgeConfig {
            subnet4: Some("172.31.0.1/16".parse().expect("a subnet")),
            ..config("coffer1")
        };
        let second = realm.bridge(&second).expect("a second bridge");
        let web = Guest::publish(&first, 2, &[port("0.0.0.0", 8080, 80)]);
        let also = network::Endpoint {
            id: id(0x77),
            ifname: "eth1".to_owned(),
            default4: false,
            default6: false,
            ..endpoint(2, second.config())
        };
        second.plug(web.netns.fd(), &also).expect("plug in twice");
        let neighbour = Guest::plug(&second, 3);
        web.netns.serve("0.0.0.0:80");
        assert_eq!(neighbour.netns.ask("172.31.0.2:80").expect("by the second"), "172.31.0.3");
        second.disconnect(&also).expect("disconnect");
        assert_eq!(ask("127.0.0.1:8080").expect("by the first"), "172.30.0.1");
        let other = network::Endpoint {
            ports: vec![port("0.0.0.0", 8080, 80)],
            ..endpoint(4, first.config())
        };
        let netns = host::Netns::new();
        first.plug(netns.fd(), &other).expect_err("the port is still held");
    });
}

#[test]
fn net2_the_tables_can_be_read_by_people() {
    on_a_host("net2_the_tables_can_be_read_by_people", || {
        let (_realm, bridge) = network(&config("coffer0"));
        let _web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80), port("::1", 81, 81)]);
        sh("nft list table inet cofferdam-coffer0 | nft -c -f -");
        let listed = sh("nft list ruleset");
        for line in [
            "elements = { tcp . 8080 comment \"coffer0 02020202",
            "\"cv02020202a2a2a\" . 02:42:ac:1e:00:02 . 172.30.0.2 comment \"coffer0 0202",
            "iifname . ether saddr . ip saddr != @from4 drop comment \"false addresses\"",
            "iifname . ether saddr . ip6 saddr != @from6 drop comment \"false addresses\"",
            "dnat ip to meta l4proto . ip daddr . th dport map @to4",
        ] {
            assert!(listed.contains(line), "{line} is not in {listed}");
        }
    });
}

#[test]
fn net2_a_datagram_finds_the_container_that_is_there_now() {
    on_a_host("net2_a_datagram_finds_the_container_that_is_there_now", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let published = network::Published { proto: Proto::Udp, ..port("0.0.0.0", 53, 5353) };
        let client = outside.within(|| std::net::UdpSocket::bind("0.0.0.0:4444").expect("bind"));
        let heard_by = |guest: &Guest| {
            let server =
                guest.netns.within(|| std::net::UdpSocket::bind("0.0.0.0:5353").expect("bind"));
            server.set_read_timeout(Some(host::PATIENCE)).expect("set");
            client.send_to(b"question", "192.0.2.1:53").expect("send");
            server.recv(&mut [0; 16]).expect("the question");
        };
        client.send_to(b"to nobody yet", "192.0.2.1:53").expect("send");
        let first = Guest::publish(&bridge, 2, &[published]);
        heard_by(&first);
        bridge.unplug(&id(2)).expect("unplug");
        let second = Guest::publish(&bridge, 3, &[published]);
        heard_by(&second);
    });
}

#[test]
fn net2_ports_answer_where_bridged_packets_are_filtered_too() {
    on_a_host("net2_ports_answer_where_bridged_packets_are_filtered_too", || {
        // As br_netfilter does by default where somebody has loaded it.
        let shown = "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 1 > $f; done";
        if !std::path::Path::new("/proc/sys/net/bridge").exists() {
            eprintln!("this kernel has no br_netfilter: nothing to show");
            return;
        }
        sh(shown);
        let outside = outside();
        let (realm, bridge) = network(&config("coffer0"));
        assert!(!realm.answers_on_loopback6());
        let ports = [port("0.0.0.0", 8080, 80), port("::", 8080, 80), port("127.0.0.1", 81, 80)];
        let web = Guest::publish(&bridge, 2, &ports);
        web.netns.serve("[::]:80");
        let other = Guest::plug(&bridge, 3);
        assert_eq!(other.netns.ask("172.30.0.2:80").expect("bridged"), "::ffff:172.30.0.3");
        assert_eq!(
            other.netns.ask(&format!("[{}]:80", web.v6())).expect("bridged"),
            other.v6().to_string()
        );
        let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
        assert_eq!(count.expect("tracking").trim(), "0", "between neighbours nothing is tracked");
        assert_eq!(ask("127.0.0.1:8080").expect("loopback"), "::ffff:172.30.0.1");
        assert_eq!(ask("127.0.0.1:81").expect("loopback"), "::ffff:172.30.0.1");
        assert_eq!(outside.ask("192.0.2.1:8080").expect("outside"), "::ffff:192.0.2.2");
        assert_eq!(outside.ask("[2001:db8::1]:8080").expect("outside"), "2001:db8::2");
        for guest in [&other, &web] {
            let from_its_network = guest.netns.ask("172.30.0.1:8080").expect("from its network");
            assert_eq!(from_its_network, "::ffff:172.30.0.1");
            guest.netns.ask("[2001:db8::1]:8080").expect("from its network");
        }
        let refused = ask("[::1]:8080").expect_err("no way back");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "at once, not in time");
    });
}

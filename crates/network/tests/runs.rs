//! NET-2: runs of published ports: one thing to whoever asks for them and to
//! the kernel, and each port to whoever uses it.

mod host;

use host::{Guest, ask, config, endpoint, id, network, on_a_host, outside, port, sh};
use network::{PortWish, Proto, Published};
use rustix::net::{AddressFamily, SocketType, bind, socket};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

/// Ten thousand ports of the host that lead to as many.
fn run(host_ip: &str, host_port: u16, container_port: u16) -> Published {
    Published { count: 10_000, ..port(host_ip, host_port, container_port) }
}

/// The elements of a map, as people read them.
fn elements(map: &str) -> Vec<String> {
    let listed = sh(&format!("nft list map inet cofferdam-coffer0 {map}"));
    let lines = listed.lines().filter(|line| line.contains(" comment \"coffer0 "));
    lines.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn net2_a_run_of_ports_leads_each_to_its_own() {
    on_a_host("net2_a_run_of_ports_leads_each_to_its_own", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let runs = ["0.0.0.0", "::"].map(|ip| run(ip, 10_000, 10_000));
        let web = Guest::publish(&bridge, 2, &runs);
        let other = Guest::plug(&bridge, 3);
        for port in [9_999, 10_000, 15_000, 19_999, 20_000] {
            web.netns.serve(&format!("[::]:{port}"));
        }
        for port in [10_000, 15_000, 19_999] {
            assert_eq!(ask(&format!("127.0.0.1:{port}")).expect("here"), "::ffff:172.30.0.1");
            let asked = outside.ask(&format!("192.0.2.1:{port}")).expect("from outside");
            assert_eq!(asked, "::ffff:192.0.2.2", "the client's own");
            let asked = outside.ask(&format!("[2001:db8::1]:{port}")).expect("from outside");
            assert_eq!(asked, "2001:db8::2", "the client's own");
            other.netns.ask(&format!("192.0.2.1:{port}")).expect("from a neighbour");
            web.netns.ask(&format!("192.0.2.1:{port}")).expect("from itself");
        }
        for port in [9_999, 20_000] {
            outside.ask(&format!("192.0.2.1:{port}")).expect_err("beside the run");
        }
        for map in ["runs_any4", "runs_any6"] {
            let one = elements(map);
            assert!(one.len() == 1 && one[0].contains("tcp . 10000-19999"), "{one:?}");
        }
        sh("nft list table inet cofferdam-coffer0 | nft -c -f -");
        bridge.unplug(&id(2)).expect("unplug");
        assert_eq!((elements("runs_any4"), elements("runs_any6")), (vec![], vec![]));
    });
}

#[test]
fn net2_a_run_on_loopback_is_unreachable_from_outside() {
    on_a_host("net2_a_run_on_loopback_is_unreachable_from_outside", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[run("127.0.0.1", 10_000, 10_000)]);
        web.netns.serve("0.0.0.0:12345");
        assert_eq!(ask("127.0.0.1:12345").expect("here"), "172.30.0.1");
        outside.ask("192.0.2.1:12345").expect_err("outside");
        // On all addresses it is.
        bridge.unplug(&id(2)).expect("unplug");
        let web = Guest::publish(&bridge, 3, &[run("0.0.0.0", 10_000, 10_000)]);
        web.netns.serve("0.0.0.0:12345");
        outside.ask("192.0.2.1:12345").expect("outside");
    });
}

#[test]
fn net2_a_run_that_leads_to_other_ports_is_led_port_by_port() {
    on_a_host("net2_a_run_that_leads_to_other_ports_is_led_port_by_port", || {
        let (realm, bridge) = network(&config("coffer0"));
        let web = Guest::publish(&bridge, 2, &[run("0.0.0.0", 10_000, 30_000)]);
        web.netns.serve("0.0.0.0:30000");
        web.netns.serve("0.0.0.0:39999");
        assert_eq!(ask("127.0.0.1:10000").expect("the first"), "172.30.0.1");
        assert_eq!(ask("127.0.0.1:19999").expect("the last"), "172.30.0.1");
        drop((realm, bridge));
        let (realm, bridge) = network(&config("coffer0"));
        let error = wish(&realm, &bridge, 19_999, 1).expect_err("held");
        assert!(error.ends_with("0.0.0.0:19999 failed: port is already allocated"), "{error}");
    });
}

/// Has the third container ask for ports of the host; gives them back.
fn wish(
    realm: &network::Realm,
    bridge: &network::Bridge,
    first: u16,
    count: u16,
) -> Result<(), String> {
    wish_of(realm, bridge, Proto::Tcp, first, count)
}

fn wish_of(
    realm: &network::Realm,
    bridge: &network::Bridge,
    proto: Proto,
    first: u16,
    count: u16,
) -> Result<(), String> {
    let asker = endpoint(3, bridge.config());
    let host_ports = first..=first + (count - 1);
    let wish = PortWish { proto, host_ip: None, host_ports, container_port: first, count };
    let given = realm.reserve(&asker, &[wish]).map_err(|error| error.to_string())?;
    let both: Vec<u16> = given.iter().map(|run| run.count).collect();
    assert_eq!(both, [count, count], "one run of each family");
    realm.give_back(&asker.container, &given);
    Ok(())
}

#[test]
fn net2_a_port_in_use_within_a_run_is_found_and_named() {
    on_a_host("net2_a_port_in_use_within_a_run_is_found_and_named", || {
        let (realm, bridge) = network(&config("coffer0"));
        let busy = |proto, at: &str| {
            let error = wish_of(&realm, &bridge, proto, 10_000, 10_000).expect_err(at);
            assert!(error.ends_with("address already in use"), "{at}: {error}");
            assert!(error.contains(":15000:"), "{at}: {error}");
        };
        let tcp = || wish(&realm, &bridge, 10_000, 10_000);
        tcp().expect("all of them are free");
        for at in ["0.0.0.0:15000", "127.0.0.1:15000", "[::]:15000", "[::1]:15000"] {
            let listener = TcpListener::bind(at).expect("bind");
            busy(Proto::Tcp, at);
            drop(listener);
            let socket = UdpSocket::bind(at).expect("bind");
            busy(Proto::Udp, at);
            tcp().expect("another protocol's is nobody's");
            drop(socket);
        }
        // Only bound, which no list of listeners has.
        let bound = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 15_000))).expect("bind");
        busy(Proto::Tcp, "only bound");
        drop(bound);
        // A connection whose listener is gone is no obstacle.
        let listener = TcpListener::bind("127.0.0.1:15000").expect("bind");
        let client = TcpStream::connect("127.0.0.1:15000").expect("connect");
        let accepted = listener.accept().expect("accept");
        drop(listener);
        tcp().expect("it listens no more");
        drop((client, accepted));
        tcp().expect("all of them are free");
    });
}

#[test]
fn net2_runs_that_overlap_are_refused_and_a_part_can_be_given_back() {
    on_a_host("net2_runs_that_overlap_are_refused_and_a_part_can_be_given_back", || {
        let (realm, bridge) = network(&config("coffer0"));
        let whole = run("0.0.0.0", 10_000, 10_000);
        let web = Guest::publish(&bridge, 2, &[whole]);
        for port in [14_999, 15_000, 15_001] {
            web.netns.serve(&format!("0.0.0.0:{port}"));
        }
        for (first, count, taken) in [
            (9_000, 1_001, 10_000),
            (19_999, 2, 19_999),
            (12_000, 5, 12_000),
            (5_000, 30_000, 10_000),
        ] {
            let error = wish(&realm, &bridge, first, count).expect_err("overlaps");
            let words = format!("0.0.0.0:{taken} failed: port is already allocated");
            assert!(error.ends_with(&words), "{error}");
        }
        wish(&realm, &bridge, 9_000, 1_000).expect("beside it");
        let left = [
            Published { count: 5_000, ..whole },
            Published { count: 4_999, ..port("0.0.0.0", 15_001, 15_001) },
        ];
        let after = network::Endpoint { ports: left.to_vec(), ..web.endpoint.clone() };
        bridge.change(web.netns.fd(), &web.endpoint, &after).expect("changed");
        realm.give_back(&web.endpoint.container, &[port("0.0.0.0", 15_000, 15_000)]);
        ask("127.0.0.1:15000").expect_err("withdrawn");
        for to in ["127.0.0.1:14999", "127.0.0.1:15001"] {
            ask(to).expect("the others stay");
        }
        assert_eq!(elements("runs_any4").len(), 2);
        wish(&realm, &bridge, 15_000, 1).expect("given back");
        wish(&realm, &bridge, 15_000, 2).expect_err("no more than that");
        // By the next daemon.
        drop((realm, bridge));
        let (realm, bridge) = network(&config("coffer0"));
        wish(&realm, &bridge, 15_000, 1).expect("free");
        for (first, count) in [(10_000, 1), (14_999, 2), (15_001, 1), (19_999, 1)] {
            wish(&realm, &bridge, first, count).expect_err("still held");
        }
        bridge.unplug(&id(2)).expect("unplug");
        wish(&realm, &bridge, 10_000, 10_000).expect("free again");
    });
}

#[test]
fn net2_a_run_is_reached_straight_on_a_network_that_is_not_hidden() {
    on_a_host("net2_a_run_is_reached_straight_on_a_network_that_is_not_hidden", || {
        let outside = outside();
        let routed =
            network::BridgeConfig { gateway4: network::GatewayMode::Routed, ..config("coffer0") };
        let (_realm, bridge) = network(&routed);
        let web = Guest::publish(&bridge, 2, &[run("0.0.0.0", 0, 10_000)]);
        outside.sh("ip route add 172.30.0.0/16 via 192.0.2.1");
        for port in [9_999, 15_000] {
            web.netns.serve(&format!("0.0.0.0:{port}"));
        }
        assert_eq!(outside.ask("172.30.0.2:15000").expect("published"), "192.0.2.2");
        outside.ask("172.30.0.2:9999").expect_err("not published");
    });
}

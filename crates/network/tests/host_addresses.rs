//! NET-3: of the host a container reaches its gateway, and no other address.

mod host;

use host::{Guest, Netns, PATIENCE, answer, config, network, on_a_host, outside, port, sh};
use network::{Bridge, BridgeConfig, Driver, Realm};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

/// The host's address towards the outside, where it listens on every address.
const OTHERS: [&str; 2] = ["192.0.2.1:90", "[2001:db8::1]:90"];

/// A host with an address outside and two networks, of which the first is the
/// default one.
struct World {
    _outside: Netns,
    realm: Arc<Realm>,
    default: Bridge,
    second: Bridge,
}

fn second(driver: Driver) -> BridgeConfig {
    let subnet4 = Some("172.31.0.1/16".parse().expect("a subnet"));
    BridgeConfig { driver, subnet4, ..config("coffer1") }
}

fn world(driver: Driver) -> World {
    let outside = outside();
    let (realm, default) = network(&BridgeConfig { driver, ..config("coffer0") });
    let second = realm.bridge(&second(driver)).expect("a second network");
    answer(TcpListener::bind("[::]:90").expect("bind"));
    World { _outside: outside, realm, default, second }
}

fn gateway6(bridge: &Bridge) -> String {
    format!("[{}]:90", bridge.config().subnet6.expect("IPv6").addr())
}

fn reaches_its_gateway_alone(driver: Driver) {
    let world = world(driver);
    let (one, two) = (Guest::plug(&world.default, 2), Guest::plug(&world.second, 3));
    let (first6, second6) = (gateway6(&world.default), gateway6(&world.second));
    for to in ["172.30.0.1:90", &first6] {
        one.netns.ask(to).expect("its gateway");
        two.netns.ask(to).expect("what host-gateway stands for");
    }
    for to in ["172.31.0.1:90", &second6] {
        two.netns.ask(to).expect("its gateway");
    }
    let closed = |guest: &Guest, to: &str| {
        let error = guest.netns.ask(to).expect_err(to);
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "nothing answers: {to}");
    };
    for to in OTHERS {
        closed(&one, to);
        closed(&two, to);
    }
    for to in ["172.31.0.1:90", &second6] {
        closed(&one, to);
    }
    // All of it is reached where nobody stands in the way.
    sh("nft flush chain inet cofferdam-coffer0 from_containers");
    for to in [OTHERS[0], OTHERS[1], "172.31.0.1:90", &second6] {
        one.netns.ask(to).unwrap_or_else(|error| panic!("it bites: {to}: {error}"));
    }
}

#[test]
fn net3_a_container_reaches_of_the_host_its_gateway_alone() {
    on_a_host("net3_a_container_reaches_of_the_host_its_gateway_alone", || {
        reaches_its_gateway_alone(Driver::Bridge);
    });
}

#[test]
fn net3_a_container_on_a_line_reaches_of_the_host_its_gateway_alone() {
    on_a_host("net3_a_container_on_a_line_reaches_of_the_host_its_gateway_alone", || {
        reaches_its_gateway_alone(Driver::Routed);
    });
}

#[test]
fn net3_a_network_can_be_opened_to_the_whole_host() {
    on_a_host("net3_a_network_can_be_opened_to_the_whole_host", || {
        let _outside = outside();
        let open = |config| BridgeConfig { whole_host: true, ..config };
        let (realm, bridge) = network(&open(config("coffer0")));
        let lines = realm.bridge(&open(second(Driver::Routed))).expect("a second network");
        answer(TcpListener::bind("[::]:90").expect("bind"));
        for (net, number) in [(&bridge, 2), (&lines, 3)] {
            let guest = Guest::plug(net, number);
            for to in OTHERS {
                guest.netns.ask(to).expect("open");
            }
        }
    });
}

#[test]
fn net3_an_internal_network_reaches_its_gateway_and_not_the_default_one() {
    on_a_host("net3_an_internal_network_reaches_its_gateway_and_not_the_default_one", || {
        let world = world(Driver::Bridge);
        let subnet4 = Some("172.29.0.1/16".parse().expect("a subnet"));
        let internal = BridgeConfig { internal: true, subnet4, ..config("coffer2") };
        let bridge = world.realm.bridge(&internal).expect("a third");
        let guest = Guest::plug(&bridge, 4);
        guest.netns.ask("172.29.0.1:90").expect("its gateway");
        guest.netns.sh("ip route add default via 172.29.0.1");
        for to in ["172.30.0.1:90", "192.0.2.1:90"] {
            guest.netns.ask(to).expect_err(to);
        }
        sh("nft flush chain inet cofferdam-coffer0 from_containers");
        guest.netns.ask("172.30.0.1:90").expect("it bites");
    });
}

#[test]
fn net3_datagrams_reach_no_other_address_either() {
    on_a_host("net3_datagrams_reach_no_other_address_either", || {
        let world = world(Driver::Bridge);
        let guest = Guest::plug(&world.default, 2);
        let server = UdpSocket::bind("0.0.0.0:53").expect("bind");
        server.set_read_timeout(Some(PATIENCE)).expect("set");
        let say = |word: &[u8], to: &str| {
            guest.netns.within(|| {
                let client = UdpSocket::bind("0.0.0.0:0").expect("bind");
                client.send_to(word, to).expect("send");
            });
        };
        let heard = || {
            let mut word = [0; 16];
            let length = server.recv(&mut word).expect("a word");
            String::from_utf8_lossy(&word[..length]).into_owned()
        };
        say(b"no", "192.0.2.1:53");
        say(b"yes", "172.30.0.1:53");
        assert_eq!(heard(), "yes", "and nothing before it");
        sh("nft flush chain inet cofferdam-coffer0 from_containers");
        say(b"no", "192.0.2.1:53");
        assert_eq!(heard(), "no", "it bites");
    });
}

#[test]
fn net3_what_the_host_begins_is_answered_and_what_is_published_is_reached() {
    on_a_host("net3_what_the_host_begins_is_answered_and_what_is_published_is_reached", || {
        let world = world(Driver::Bridge);
        let ports = ["0.0.0.0", "::"].map(|ip| port(ip, 8080, 80));
        let web = Guest::publish(&world.second, 3, &ports);
        web.netns.serve("[::]:80");
        let guest = Guest::plug(&world.default, 2);
        for to in ["192.0.2.1:8080", "172.31.0.1:8080", "172.30.0.1:8080", "[2001:db8::1]:8080"] {
            guest.netns.ask(to).expect("published");
            web.netns.ask(to).expect("published, to itself");
        }
        // The answer goes to the address that the host asked from.
        let asking = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&asking, &SocketAddr::from(([192, 0, 2, 1], 0))).expect("bind");
        connect(&asking, &SocketAddr::from(([172, 31, 0, 3], 80))).expect("answered");
    });
}

//! NET-3: what a container may not do to its neighbours. It holds all
//! capabilities over its own interface and makes its frames by hand. Each
//! attack first succeeds on a plain bridge with the same addresses.

mod host;

use host::{
    Guest, Netns, Wire, config, endpoint,
    frames::{
        BROADCAST, advertisement, arp, ethernet, icmp, icmp6, ipv4, ipv4_with, ipv6, mac_option,
        tcp_reset, udp,
    },
    network, on_a_host, sh,
};
use network::{Bridge, BridgeConfig, Mac, Realm};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    sync::Arc,
};

/// An attacker, its victim and a peer of both, on one bridge.
struct World {
    attacker: Netns,
    victim: Netns,
    peer: Netns,
    bridge: &'static str,
    /// Of ours, the one in use first; a plain bridge needs no keeping.
    network: Option<(Arc<Realm>, Vec<Bridge>)>,
}

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
const VICTIM: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);
const PEER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 4);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

const ATTACKER_MAC: Mac = Mac([2, 0x42, 172, 30, 0, 2]);
const VICTIM_MAC: Mac = Mac([2, 0x42, 172, 30, 0, 3]);
const PEER_MAC: Mac = Mac([2, 0x42, 172, 30, 0, 4]);
const NOBODYS_MAC: Mac = Mac([2, 0x99, 0x99, 0x99, 0x99, 0x99]);

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

fn v6(number: u8) -> Ipv6Addr {
    endpoint(number, &config("coffer0")).addr6.expect("an IPv6 network")
}

fn gateway6() -> Ipv6Addr {
    config("coffer0").subnet6.expect("an IPv6 network").addr()
}

/// The default network of a daemon.
fn guarded() -> World {
    let (realm, bridge) = network(&config("coffer0"));
    World::on("coffer0", realm, vec![bridge])
}

/// A network that a user made, beside the default one.
fn users() -> World {
    let elsewhere = "172.31.0.1/16".parse().expect("a subnet");
    let subnet6 = config("another").subnet6;
    let default = BridgeConfig::default_network("coffer0", elsewhere);
    let (realm, default) = network(&BridgeConfig { subnet6, ..default });
    // With the addresses that the attacks know.
    let subnet6 = config("coffer0").subnet6;
    let users = BridgeConfig { subnet6, ..config("br-0123456789ab") };
    let users = realm.bridge(&users).expect("a second bridge");
    World::on("br-0123456789ab", realm, vec![users, default])
}

/// Holds for every network of ours: the default one and users'.
fn on_ours(holds: impl Fn(&World)) {
    for make in [guarded, users] {
        let world = make();
        holds(&world);
        world.remove();
    }
}

fn plain() -> World {
    let config = config("plain0");
    let gateway6 = gateway6();
    sh(&format!(
        "ip link add plain0 type bridge mcast_snooping 0
         ip addr add 172.30.0.1/16 dev plain0
         ip addr add {gateway6}/64 dev plain0 nodad
         ip link set plain0 up"
    ));
    let guest = |number: u8| {
        let netns = Netns::new();
        let (pid, mac, v6) = (netns.pid(), endpoint(number, &config).mac, v6(number));
        sh(&format!(
            "ip link add p{number} type veth peer name eth0 address {mac} netns {pid}
             ip link set p{number} master plain0 up"
        ));
        netns.sh(&format!(
            "ip link set eth0 addrgenmode none
             ip link set eth0 up
             ip addr add 172.30.0.{number}/16 dev eth0
             ip addr add {v6}/64 dev eth0 nodad"
        ));
        netns
    };
    let (attacker, victim, peer) = (guest(2), guest(3), guest(4));
    World { attacker, victim, peer, bridge: "plain0", network: None }
}

fn remove_plain() {
    // The pairs go with their namespaces, in the kernel's own time.
    sh("ip link del plain0");
}

const MARK: &[u8] = b"the attack is over";

impl World {
    fn on(bridge: &'static str, realm: Arc<Realm>, bridges: Vec<Bridge>) -> Self {
        let guest = |number| Guest::plug(&bridges[0], number).netns;
        let (attacker, victim, peer) = (guest(2), guest(3), guest(4));
        Self { attacker, victim, peer, bridge, network: Some((realm, bridges)) }
    }

    fn remove(self) {
        let (realm, bridges) = self.network.expect("ours");
        for bridge in bridges {
            bridge.remove().expect("removed");
        }
        realm.remove().expect("removed");
    }

    fn gateway_mac(&self) -> Mac {
        let link = sh(&format!("ip -o link show {}", self.bridge));
        let mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        mac.and_then(|mac| mac.parse().ok()).expect("a bridge has one")
    }

    /// Sends frames from the attacker; what then arrives at the victim.
    fn attack(&self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let ear = self.victim.within(|| Wire::on("eth0"));
        let mouth = self.attacker.within(|| Wire::on("eth0"));
        for frame in frames {
            mouth.send(frame);
        }
        let mark = honest(&udp(9, 9, MARK));
        ear.until(|frame| frame.ends_with(MARK), || mouth.send(&mark))
    }
}

/// A frame as the attacker may send it to the victim.
fn honest(payload: &[u8]) -> Vec<u8> {
    ethernet(VICTIM_MAC, ATTACKER_MAC, 0x0800, &ipv4(ATTACKER, VICTIM, 17, payload))
}

/// How many of the frames are among those that arrived: by their ends, since
/// a VLAN tag is taken out on the way up.
fn arrived(frames: &[Vec<u8>], seen: &[Vec<u8>]) -> usize {
    let tail = |frame: &Vec<u8>| frame[frame.len().saturating_sub(20)..].to_vec();
    frames.iter().filter(|frame| seen.iter().any(|s| s.ends_with(&tail(frame)))).count()
}

/// The promise of most tests here: every frame reaches the victim over a plain
/// bridge, and none over ours.
fn held_back(test: &str, frames: impl FnOnce() -> Vec<Vec<u8>>) {
    on_a_host(test, || {
        let frames = frames();
        let world = plain();
        assert_eq!(arrived(&frames, &world.attack(&frames)), frames.len(), "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| assert_eq!(arrived(&frames, &world.attack(&frames)), 0, "held back"));
    });
}

#[test]
fn net3_arp_of_others_is_held_back() {
    held_back("net3_arp_of_others_is_held_back", || {
        let say = |to, from, message: Vec<u8>| ethernet(to, from, 0x0806, &message);
        vec![
            say(BROADCAST, ATTACKER_MAC, arp(2, ATTACKER_MAC, GATEWAY, BROADCAST, GATEWAY)),
            say(VICTIM_MAC, ATTACKER_MAC, arp(2, ATTACKER_MAC, PEER, VICTIM_MAC, VICTIM)),
            say(VICTIM_MAC, ATTACKER_MAC, arp(1, ATTACKER_MAC, PEER, Mac([0; 6]), VICTIM)),
            say(VICTIM_MAC, ATTACKER_MAC, arp(2, NOBODYS_MAC, ATTACKER, VICTIM_MAC, VICTIM)),
            say(VICTIM_MAC, PEER_MAC, arp(2, PEER_MAC, PEER, VICTIM_MAC, Ipv4Addr::BROADCAST)),
            // An operation, a hardware and a protocol that nobody needs.
            say(VICTIM_MAC, ATTACKER_MAC, arp(3, ATTACKER_MAC, ATTACKER, VICTIM_MAC, PEER)),
            say(VICTIM_MAC, ATTACKER_MAC, {
                let mut odd = arp(2, ATTACKER_MAC, ATTACKER, VICTIM_MAC, ELSEWHERE);
                odd[1] = 6;
                odd
            }),
        ]
    });
}

/// What the victim thinks a neighbour's MAC address is.
fn belief(world: &World, address: &str) -> String {
    let entry = world.victim.sh(&format!("ip neigh show {address} dev eth0"));
    let mac = entry.split_whitespace().skip_while(|w| *w != "lladdr").nth(1);
    mac.unwrap_or("none").to_owned()
}

#[test]
fn net3_no_neighbour_entry_can_be_changed() {
    on_a_host("net3_no_neighbour_entry_can_be_changed", || {
        let mislead = |world: &World| {
            world.peer.serve("[::]:80");
            for to in [format!("{PEER}:80"), format!("[{}]:80", v6(4))] {
                world.victim.ask(&to).expect("the peer answers");
            }
            let say6 = |target| {
                let option = mac_option(2, ATTACKER_MAC);
                let message = icmp6(target, v6(3), 136, &advertisement(target, &option));
                let packet = ipv6(target, v6(3), 58, &message);
                ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &packet)
            };
            let say4 = |address| {
                // "I am here now", which counts at once.
                let message = arp(2, ATTACKER_MAC, address, ATTACKER_MAC, address);
                ethernet(VICTIM_MAC, ATTACKER_MAC, 0x0806, &message)
            };
            world.attack(&[say4(PEER), say4(GATEWAY), say6(v6(4)), say6(gateway6())]);
            (belief(world, &PEER.to_string()), belief(world, &v6(4).to_string()))
        };
        let world = plain();
        let attacker = ATTACKER_MAC.to_string();
        assert_eq!(mislead(&world), (attacker.clone(), attacker), "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| {
            assert_eq!(mislead(world), (PEER_MAC.to_string(), PEER_MAC.to_string()));
            let gateway = world.gateway_mac().to_string();
            assert_eq!(belief(world, &GATEWAY.to_string()), gateway);
            assert_eq!(belief(world, &gateway6().to_string()), gateway);
        });
    });
}

#[test]
fn net3_false_addresses_are_held_back() {
    held_back("net3_false_addresses_are_held_back", || {
        let packet4 = |from| ipv4(from, VICTIM, 17, &udp(7, 7, &from.octets().repeat(6)));
        let packet6 = |from: Ipv6Addr| ipv6(from, v6(3), 17, &udp(7, 7, &from.octets().repeat(2)));
        let from4 = |mac, address| ethernet(VICTIM_MAC, mac, 0x0800, &packet4(address));
        let from6 = |mac, address| ethernet(VICTIM_MAC, mac, 0x86dd, &packet6(address));
        let link_local = PEER_MAC.link_local();
        vec![
            from4(ATTACKER_MAC, PEER),
            from4(ATTACKER_MAC, GATEWAY),
            from4(ATTACKER_MAC, ELSEWHERE),
            from4(ATTACKER_MAC, Ipv4Addr::UNSPECIFIED),
            from4(NOBODYS_MAC, ATTACKER),
            from4(PEER_MAC, PEER),
            from6(ATTACKER_MAC, v6(4)),
            from6(ATTACKER_MAC, gateway6()),
            from6(ATTACKER_MAC, link_local),
            from6(NOBODYS_MAC, v6(2)),
        ]
    });
}

#[test]
fn net3_neighbour_discovery_of_others_is_held_back() {
    held_back("net3_neighbour_discovery_of_others_is_held_back", || {
        let me = v6(2);
        let say = |kind, rest: &[u8]| {
            let message = icmp6(me, v6(3), kind, rest);
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, v6(3), 58, &message))
        };
        let (own, nobody) = (mac_option(2, ATTACKER_MAC), mac_option(2, NOBODYS_MAC));
        // An option of no known kind, then the one that counts.
        let hidden = [&[200, 1, 0, 0, 0, 0, 0, 0][..], &nobody].concat();
        let after = [&own[..], &nobody].concat();
        let question = |options: &[u8]| [&[0; 4][..], &v6(3).octets(), options].concat();
        // An advertisement behind a header of destination options.
        let message = icmp6(me, v6(3), 136, &advertisement(v6(4), &own));
        let behind = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &message].concat();
        vec![
            say(136, &advertisement(v6(4), &own)),
            say(136, &advertisement(gateway6(), &own)),
            say(136, &advertisement(v6(4), &[])),
            say(136, &advertisement(me, &nobody)),
            say(136, &advertisement(me, &hidden)),
            say(136, &advertisement(me, &after)),
            say(135, &question(&mac_option(1, NOBODYS_MAC))),
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, v6(3), 60, &behind)),
        ]
    });
}

#[test]
fn net3_routers_and_redirects_are_held_back() {
    held_back("net3_routers_and_redirects_are_held_back", || {
        let me = ATTACKER_MAC.link_local();
        let option = mac_option(1, ATTACKER_MAC);
        let router = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &option].concat();
        let message = icmp6(me, ALL_NODES, 134, &router);
        // A fragment header that fragments nothing; options for every hop.
        let fragment = [&[58, 0, 0, 0, 0, 0, 0, 1][..], &message].concat();
        let hop_by_hop = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &message].concat();
        let to_all = |next, payload: &[u8]| {
            ethernet(ALL_NODES_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, ALL_NODES, next, payload))
        };
        let redirect6 = [&[0; 4][..], &v6(2).octets(), &v6(4).octets()].concat();
        let redirect6 = icmp6(v6(2), v6(3), 137, &redirect6);
        let original = ipv4(VICTIM, PEER, 17, &udp(1, 2, &[]));
        let redirect4 = icmp(5, 1, &[&ATTACKER.octets()[..], &original].concat());
        let router4 = icmp(9, 0, &[&[1, 2, 7, 8][..], &ATTACKER.octets(), &[0; 4]].concat());
        let to_victim4 = |message: &[u8]| {
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x0800, &ipv4(ATTACKER, VICTIM, 1, message))
        };
        vec![
            to_all(58, &message),
            to_all(44, &fragment),
            to_all(0, &hop_by_hop),
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &ipv6(v6(2), v6(3), 58, &redirect6)),
            to_victim4(&redirect4),
            to_victim4(&router4),
        ]
    });
}

#[test]
fn net3_dhcp_servers_are_held_back() {
    held_back("net3_dhcp_servers_are_held_back", || {
        let offer = [&[2, 1, 6, 0][..], &[7; 236]].concat();
        let to4 = |from, to| {
            let packet = ipv4(ATTACKER, Ipv4Addr::BROADCAST, 17, &udp(from, to, &offer));
            ethernet(BROADCAST, ATTACKER_MAC, 0x0800, &packet)
        };
        let me = ATTACKER_MAC.link_local();
        let to6 = |from, to| {
            let packet = ipv6(me, VICTIM_MAC.link_local(), 17, &udp(from, to, &[9; 40]));
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &packet)
        };
        vec![to4(67, 68), to4(1067, 68), to4(67, 1068), to6(547, 546), to6(1547, 546)]
    });
}

#[test]
fn net3_tags_and_foreign_protocols_are_held_back() {
    held_back("net3_tags_and_foreign_protocols_are_held_back", || {
        let packet = ipv4(ATTACKER, VICTIM, 17, &udp(7, 7, b"under a tag, or two"));
        let tagged = [&[0, 5, 8, 0][..], &packet].concat();
        let twice = [&[0, 5, 0x81, 0, 0, 6, 8, 0][..], &packet].concat();
        let say =
            |ethertype, payload: &[u8]| ethernet(VICTIM_MAC, ATTACKER_MAC, ethertype, payload);
        // Spanning tree: "I am the root", over LLC, to the bridge's group.
        let tree = [&[0x42, 0x42, 3, 0, 0, 0, 0, 0][..], &[0; 30]].concat();
        let group = Mac([0x01, 0x80, 0xc2, 0, 0, 0]);
        vec![
            say(0x8100, &tagged),
            say(0x88a8, &twice),
            say(0x88cc, &[0xcc; 50]),
            say(0x888e, &[0x8e; 50]),
            say(0x8863, &[0x63; 50]),
            say(0x8847, &[0x47; 50]),
            say(0x0004, &[0x04; 50]),
            ethernet(group, ATTACKER_MAC, 38, &tree),
        ]
    });
}

#[test]
fn net3_no_address_can_be_added_to_the_forwarding_table() {
    on_a_host("net3_no_address_can_be_added_to_the_forwarding_table", || {
        let frames: Vec<_> = (0..1000_u16)
            .map(|n| {
                let [high, low] = n.to_be_bytes();
                ethernet(VICTIM_MAC, Mac([2, 1, 1, 1, high, low]), 0x88b5, &[1; 46])
            })
            .collect();
        let learnt = |world: &World| {
            let entries = || sh(&format!("bridge fdb show br {}", world.bridge)).lines().count();
            let before = entries();
            world.attack(&frames);
            entries() - before
        };
        let world = plain();
        assert!(learnt(&world) >= 1000, "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| assert_eq!(learnt(world), 0));
    });
}

#[test]
fn net3_a_million_addresses_leave_no_trace() {
    on_a_host("net3_a_million_addresses_leave_no_trace", || {
        let entries = |world: &World| {
            sh(&format!("bridge fdb show br {} | wc -l", world.bridge)).trim().parse::<u32>()
        };
        let flood = |world: &World, many: u32| {
            let before = entries(world).expect("a number");
            let mouth = world.attacker.within(|| Wire::on("eth0"));
            let mut frame = ethernet(VICTIM_MAC, NOBODYS_MAC, 0x0800, &[0x45; 46]);
            for number in 0..many {
                frame[8..12].copy_from_slice(&number.to_be_bytes());
                mouth.send(&frame);
            }
            // What is sent last is dealt with last.
            world.attack(&[]);
            entries(world).expect("a number") - before
        };
        let world = plain();
        assert!(flood(&world, 20_000) > 19_000, "the attack bites");
        drop(world);
        remove_plain();
        let world = guarded();
        assert_eq!(flood(&world, 1_000_000), 0);
        world.remove();
    });
}

#[test]
fn net3_frames_to_the_bridge_itself_do_not_reach_the_host() {
    on_a_host("net3_frames_to_the_bridge_itself_do_not_reach_the_host", || {
        let group = |last| Mac([0x01, 0x80, 0xc2, 0, 0, last]);
        let frames: Vec<_> = [(0x0e, 0x88cc), (0x03, 0x888e), (0x00, 0x88cc), (0x02, 0x8809)]
            .into_iter()
            .map(|(last, kind): (u8, u16)| {
                let body = [last ^ 0xa5; 50];
                ethernet(group(last), ATTACKER_MAC, kind, &body)
            })
            .collect();
        // What the host hears of the port, or of the bridge, that is not the
        // frame as it comes from the wire.
        let heard = |world: &World| {
            let ear = Wire::on(world.bridge);
            let mouth = world.attacker.within(|| Wire::on("eth0"));
            for frame in &frames {
                mouth.send(frame);
            }
            let to_gateway = ipv4(ATTACKER, GATEWAY, 17, &udp(9, 9, MARK));
            let mark = ethernet(world.gateway_mac(), ATTACKER_MAC, 0x0800, &to_gateway);
            let seen = ear.until(|frame| frame.ends_with(MARK), || mouth.send(&mark));
            arrived(&frames, &seen)
        };
        let world = plain();
        assert!(heard(&world) > 0, "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| assert_eq!(heard(world), 0));
    });
}

#[test]
fn net3_packets_that_choose_their_own_way_are_held_back() {
    held_back("net3_packets_that_choose_their_own_way_are_held_back", || {
        let routed = |option: u8, padding: bool| {
            let mut options = vec![option, 7, 4];
            options.extend(PEER.octets());
            if padding {
                // Behind one that does nothing.
                options.insert(0, 1);
            } else {
                options.push(0);
            }
            let body = udp(7, 7, &[option; 24]);
            let packet = ipv4_with(&options, ATTACKER, VICTIM, 17, &body);
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x0800, &packet)
        };
        // Type 0, one address, none left or one.
        let by_header = |left: u8| {
            let mut header = vec![17, 2, 0, left, 0, 0, 0, 0];
            header.extend(v6(4).octets());
            header.extend(udp(7, 7, &[left ^ 0x6c; 24]));
            let packet = ipv6(v6(2), v6(3), 43, &header);
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &packet)
        };
        vec![routed(131, false), routed(137, false), routed(131, true), by_header(0), by_header(1)]
    });
}

#[test]
fn net3_what_hides_in_fragments_does_not_come_whole() {
    on_a_host("net3_what_hides_in_fragments_does_not_come_whole", || {
        let me = ATTACKER_MAC.link_local();
        let router = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &mac_option(1, ATTACKER_MAC)];
        let message = icmp6(me, ALL_NODES, 134, &router.concat());
        let piece = |next: u8, place: u16, payload: &[u8]| {
            let [high, low] = place.to_be_bytes();
            let header = [&[next, 0, high, low, 0, 0, 0, 9][..], payload].concat();
            ethernet(ALL_NODES_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, ALL_NODES, 44, &header))
        };
        // First options alone, and what they hide behind them in the second.
        let options = [58, 0, 1, 4, 0, 0, 0, 0];
        let first = piece(60, 1, &options);
        let second = piece(60, 8, &message);
        // The advertisement cut in the middle.
        let early = piece(58, 1, &message[..8]);
        let frames = [first, early];
        let world = plain();
        let all = [&frames[..], std::slice::from_ref(&second)].concat();
        assert_eq!(arrived(&all, &world.attack(&all)), all.len(), "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| assert_eq!(arrived(&frames, &world.attack(&all)), 0));
    });
}

/// Two networks with a connection from one to the outside, and an attacker on
/// the other who has seen its numbers and says that it is over.
fn is_reset(victim: &Netns, attacker: &Netns, gateway: Mac, own: Mac) -> bool {
    let server = TcpListener::bind("192.0.2.1:7000").expect("bind");
    let ear = victim.within(|| Wire::on("eth0"));
    let mut client = victim.within(|| TcpStream::connect("192.0.2.1:7000").expect("connect"));
    let (mut other, _) = server.accept().expect("accept");
    other.write_all(b"hello").expect("sent");
    client.read_exact(&mut [0; 5]).expect("heard");
    let port = client.local_addr().expect("an address").port();
    let address = match client.local_addr().expect("an address").ip() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(_) => unreachable!("it is IPv4"),
    };
    // What the victim expects next stands in what it says.
    let expects = std::cell::Cell::new(None);
    let is_ours = |frame: &[u8]| {
        let ip = frame.get(14..).unwrap_or_default();
        let ours = ip.get(9) == Some(&6) && ip.get(12..16) == Some(&address.octets());
        let tcp = ip.get(20..).filter(|tcp| ours && tcp.len() >= 20);
        let Some(tcp) = tcp.filter(|tcp| tcp[..2] == port.to_be_bytes()) else { return false };
        expects.set(Some(u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]])));
        frame.ends_with(b"bye")
    };
    ear.until(is_ours, || (&client).write_all(b"bye").expect("sent"));
    let server_at = Ipv4Addr::new(192, 0, 2, 1);
    let reset = tcp_reset((server_at, 7000), (address, port), expects.get().expect("seen"));
    let frame = ethernet(gateway, own, 0x0800, &ipv4(server_at, address, 6, &reset));
    let mouth = attacker.within(|| Wire::on("eth0"));
    for _ in 0..10 {
        mouth.send(&frame);
    }
    client.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("set");
    match client.read(&mut [0; 5]) {
        Ok(_) => panic!("nothing was said"),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn net3_a_connection_cannot_be_reset_from_another_network() {
    on_a_host("net3_a_connection_cannot_be_reset_from_another_network", || {
        sh("ip link add wan0 type bridge; ip addr add 192.0.2.1/24 dev wan0; ip link set wan0 up
            echo 1 > /proc/sys/net/ipv4/ip_forward
            for f in all default; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done
            for n in 1 2; do
                ip link add plain$n type bridge
                ip addr add 172.3$n.0.1/16 dev plain$n
                ip link set plain$n up
            done");
        let accepts_local = "echo 1 > /proc/sys/net/ipv4/conf/all/accept_local";
        sh(accepts_local);
        let guest = |n: u8, mac: Mac| {
            let netns = Netns::new();
            sh(&format!(
                "ip link add p{n} type veth peer name eth0 address {mac} netns {}
                 ip link set p{n} master plain{n} up",
                netns.pid()
            ));
            netns.sh(&format!(
                "ip link set eth0 up; ip addr add 172.3{n}.0.2/16 dev eth0
                 ip route add default via 172.3{n}.0.1"
            ));
            netns
        };
        let mac_of = |bridge: &str| -> Mac {
            let link = sh(&format!("ip -o link show {bridge}"));
            let mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
            mac.and_then(|mac| mac.parse().ok()).expect("a bridge has one")
        };
        let (victim, attacker) = (guest(1, VICTIM_MAC), guest(2, ATTACKER_MAC));
        assert!(is_reset(&victim, &attacker, mac_of("plain2"), ATTACKER_MAC), "the attack bites");
        drop((victim, attacker));
        sh("ip link del plain1; ip link del plain2");

        let (realm, bridge) = network(&BridgeConfig { whole_host: true, ..config("coffer0") });
        let second = BridgeConfig {
            subnet4: Some("172.31.0.1/16".parse().expect("a subnet")),
            whole_host: true,
            ..config("coffer1")
        };
        let second = realm.bridge(&second).expect("a second bridge");
        let (victim, attacker) = (Guest::plug(&bridge, 3), Guest::plug(&second, 2));
        let (gateway, own) = (mac_of("coffer1"), attacker.endpoint.mac);
        assert!(!is_reset(&victim.netns, &attacker.netns, gateway, own));
        let (neighbour, gateway) = (Guest::plug(&bridge, 4), mac_of("coffer0"));
        let own = neighbour.endpoint.mac;
        assert!(!is_reset(&victim.netns, &neighbour.netns, gateway, own), "nor from its own");
    });
}

#[test]
fn net3_a_frame_to_nobody_is_shown_to_nobody() {
    on_a_host("net3_a_frame_to_nobody_is_shown_to_nobody", || {
        let overheard = |world: &World| {
            let stray = ethernet(NOBODYS_MAC, world.gateway_mac(), 0x0800, &[0x55; 64]);
            let ear = world.attacker.within(|| Wire::on("eth0"));
            let mouth = Wire::on(world.bridge);
            mouth.send(&stray);
            let mark = ipv4(GATEWAY, ATTACKER, 17, &udp(9, 9, MARK));
            let mark = ethernet(ATTACKER_MAC, world.gateway_mac(), 0x0800, &mark);
            let seen = ear.until(|frame| frame.ends_with(MARK), || mouth.send(&mark));
            arrived(std::slice::from_ref(&stray), &seen)
        };
        let world = plain();
        assert_eq!(overheard(&world), 1, "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| assert_eq!(overheard(world), 0));
    });
}

#[test]
fn net3_a_storm_of_broadcasts_dies_down() {
    on_a_host("net3_a_storm_of_broadcasts_dies_down", || {
        let question = arp(1, ATTACKER_MAC, ATTACKER, Mac([0; 6]), ELSEWHERE);
        let frames = vec![ethernet(BROADCAST, ATTACKER_MAC, 0x0806, &question); 5000];
        let heard = |world: &World| {
            world.attack(&frames).iter().filter(|frame| **frame == frames[0]).count()
        };
        let world = plain();
        assert!(heard(&world) > 4000, "the attack bites");
        drop(world);
        remove_plain();
        on_ours(|world| {
            let heard = heard(world);
            assert!((1..2000).contains(&heard), "some broadcasts are needed, not {heard}");
        });
    });
}

#[test]
fn net3_a_withdrawn_container_is_mute_while_it_lingers() {
    on_a_host("net3_a_withdrawn_container_is_mute_while_it_lingers", || {
        on_ours(is_mute_once_withdrawn);
    });
}

fn is_mute_once_withdrawn(world: &World) {
    let frames = [honest(&udp(7, 7, b"while I was plugged in"))];
    assert_eq!(arrived(&frames, &world.attack(&frames)), 1);
    let (_realm, bridges) = world.network.as_ref().expect("ours");
    let bridge = &bridges[0];
    bridge.unplug(&host::id(2)).expect("unplug");
    let ear = world.victim.within(|| Wire::on("eth0"));
    world.attacker.within(|| Wire::on("eth0")).send(&frames[0]);
    let mark = ethernet(
        VICTIM_MAC,
        world.gateway_mac(),
        0x0800,
        &ipv4(GATEWAY, VICTIM, 17, &udp(9, 9, MARK)),
    );
    let mouth = Wire::on(world.bridge);
    let seen = ear.until(|frame| frame.ends_with(MARK), || mouth.send(&mark));
    assert_eq!(arrived(&frames, &seen), 0);
    // It is forgotten altogether once its interface is gone.
    world.attacker.sh("ip link del eth0");
    bridge.unplug(&host::id(9)).expect("anything that touches the tables");
    assert!(!sh("nft list set bridge cofferdam-coffer0 ports").contains("cv02020202"));
}

#[test]
fn net3_honest_traffic_passes() {
    on_a_host("net3_honest_traffic_passes", || {
        let me = v6(2);
        let own6 = icmp6(me, v6(3), 136, &advertisement(me, &mac_option(2, ATTACKER_MAC)));
        let echo = icmp6(me, v6(3), 128, b"0123 an honest question");
        let mut fragment = ipv4(ATTACKER, VICTIM, 17, &[0x77; 64]);
        fragment[7] = 9;
        let group = Mac([1, 0, 0x5e, 0, 0, 0xfb]);
        let discovery =
            ipv4(ATTACKER, Ipv4Addr::new(224, 0, 0, 251), 17, &udp(5353, 5353, b"who is there"));
        let datagram = udp(1, 2, b"a datagram in two pieces");
        let pieces = [(1, &datagram[..8]), (8, &datagram[8..])].map(|(place, part): (u8, _)| {
            let packet = [&[17, 0, 0, place, 0, 0, 0, 7][..], part].concat();
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, v6(3), 44, &packet))
        });
        let frames = [
            honest(&udp(1, 2, b"a datagram")),
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x0800, &fragment),
            ethernet(group, ATTACKER_MAC, 0x0800, &discovery),
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, v6(3), 58, &own6)),
            ethernet(VICTIM_MAC, ATTACKER_MAC, 0x86dd, &ipv6(me, v6(3), 58, &echo)),
            pieces[0].clone(),
            pieces[1].clone(),
            ethernet(
                BROADCAST,
                ATTACKER_MAC,
                0x0806,
                &arp(1, ATTACKER_MAC, ATTACKER, Mac([0; 6]), ELSEWHERE),
            ),
        ];
        on_ours(|world| assert_eq!(arrived(&frames, &world.attack(&frames)), frames.len()));
    });
}

#[test]
fn net3_a_question_for_a_peer_is_answered_by_the_bridge() {
    on_a_host("net3_a_question_for_a_peer_is_answered_by_the_bridge", || {
        let question = arp(1, ATTACKER_MAC, ATTACKER, Mac([0; 6]), PEER);
        let frames = [ethernet(BROADCAST, ATTACKER_MAC, 0x0806, &question)];
        on_ours(|world| {
            let ear = world.attacker.within(|| Wire::on("eth0"));
            assert_eq!(arrived(&frames, &world.attack(&frames)), 0, "the victim is not asked");
            let answer = arp(2, PEER_MAC, PEER, ATTACKER_MAC, ATTACKER);
            ear.until(|frame| frame.ends_with(&answer), || {});
        });
    });
}

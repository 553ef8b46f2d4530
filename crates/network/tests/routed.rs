//! NET-1 to NET-3 for a routed network: no shared layer 2, and all else as on
//! a bridge. An attacker holds all capabilities over its own end of the line
//! and makes its packets by hand; each attack first succeeds on a plain pair
//! that the host routes.

mod host;

use host::{
    Guest, Netns, Wire, answer, ask, config, endpoint,
    frames::{advertisement, ethernet, icmp, icmp6, ipv4, ipv6, mac_option, udp},
    id, network, on_a_host, outside, port, sh,
};
use network::{BridgeConfig, Driver, Endpoint, Mac, addresses};
use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    os::fd::AsFd as _,
};

const VICTIM: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);
const ATTACKER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 4);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const ATTACKER_MAC: Mac = Mac([2, 0x42, 172, 30, 0, 2]);
const NOBODYS_MAC: Mac = Mac([2, 0x99, 0x99, 0x99, 0x99, 0x99]);
const MARK: &[u8] = b"the attack is over";

fn routed(name: &str) -> BridgeConfig {
    BridgeConfig { driver: Driver::Routed, ..config(name) }
}

fn v6(number: u8) -> Ipv6Addr {
    endpoint(number, &routed("coffer0")).addr6.expect("an IPv6 network")
}

#[test]
fn net2_lines_lead_to_one_another_the_host_and_the_outside() {
    on_a_host("net2_lines_lead_to_one_another_the_host_and_the_outside", || {
        let outside = outside();
        outside.serve("[::]:80");
        let (_realm, net) = network(&routed("coffer0"));
        let (a, b) = (Guest::plug(&net, 2), Guest::plug(&net, 3));
        b.netns.serve("[::]:80");
        assert_eq!(a.netns.ask("172.30.0.3:80").expect("IPv4"), "::ffff:172.30.0.2");
        assert_eq!(a.netns.ask(&format!("[{}]:80", b.v6())).expect("IPv6"), a.v6().to_string());
        assert_eq!(ask("172.30.0.3:80").expect("from the host"), "::ffff:172.30.0.1");
        assert_eq!(a.netns.ask("192.0.2.2:80").expect("outside"), "::ffff:192.0.2.1");
        assert_eq!(a.netns.ask("[2001:db8::2]:80").expect("outside"), "2001:db8::1");
        // Nobody is asked for, here or there, and nothing is shared.
        let neighbours =
            "ip neigh show nud all | grep -v 'NOARP\\|00:00:00:00:00:00\\|wan0' || true";
        assert_eq!((a.netns.sh(neighbours), sh(neighbours)), (String::new(), String::new()));
        assert_eq!(sh("ip -o link show master coffer0"), "");
        assert!(a.netns.sh("ip -o addr show eth0").contains("172.30.0.2/32"));
        // What a container does to its own table does not cut it off.
        a.netns.sh("ip neigh flush all; ip neigh flush nud noarp");
        assert_eq!(a.netns.ask("172.30.0.3:80").expect("again"), "::ffff:172.30.0.2");
    });
}

#[test]
fn net2_a_port_published_by_a_line_answers_everywhere_and_sees_the_client() {
    on_a_host("net2_a_port_published_by_a_line_answers_everywhere_and_sees_the_client", || {
        let outside = outside();
        let (_realm, net) = network(&routed("coffer0"));
        let web = Guest::publish(&net, 2, &[port("0.0.0.0", 8080, 80), port("::", 8080, 80)]);
        web.netns.serve("0.0.0.0:80");
        web.netns.serve(&format!("[{}]:80", web.v6()));
        let other = Guest::plug(&net, 3);
        let gateway6 = net.config().subnet6.expect("IPv6").addr();
        let host = |to: &str| ask(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!(host("127.0.0.1:8080"), "172.30.0.1");
        assert_eq!(host("192.0.2.1:8080"), "192.0.2.1");
        assert_eq!(host("[::1]:8080"), gateway6.to_string());
        assert_eq!(outside.ask("192.0.2.1:8080").expect("IPv4"), "192.0.2.2");
        assert_eq!(outside.ask("[2001:db8::1]:8080").expect("IPv6"), "2001:db8::2");
        assert_eq!(other.netns.ask("172.30.0.1:8080").expect("a neighbour"), "172.30.0.3");
        let to = format!("[{gateway6}]:8080");
        assert_eq!(other.netns.ask(&to).expect("a neighbour"), other.v6().to_string());
        assert_eq!(web.netns.ask("192.0.2.1:8080").expect("itself"), "172.30.0.1");
        assert_eq!(web.netns.ask("[2001:db8::1]:8080").expect("itself"), gateway6.to_string());
    });
}

#[test]
fn net3_networks_of_either_kind_are_apart_but_for_what_is_published() {
    on_a_host("net3_networks_of_either_kind_are_apart_but_for_what_is_published", || {
        let (realm, lines) = network(&routed("coffer0"));
        let beside = |name: &str, subnet: &str, driver| {
            let subnet4 = Some(subnet.parse().expect("a subnet"));
            realm.bridge(&BridgeConfig { driver, subnet4, ..config(name) }).expect("a second")
        };
        let more = beside("coffer1", "172.31.0.1/16", Driver::Routed);
        let bridge = beside("coffer2", "172.29.0.1/16", Driver::Bridge);
        let ports = [port("0.0.0.0", 8080, 80), port("::", 8080, 80)];
        let a = Guest::publish(&lines, 2, &ports);
        let (b, c) = (Guest::plug(&more, 3), Guest::plug(&bridge, 4));
        for guest in [&a, &b, &c] {
            guest.netns.serve("[::]:80");
        }
        let pairs = [(&b, &a), (&c, &a), (&a, &b), (&a, &c)];
        let to = |guest: &Guest| [format!("{}:80", guest.v4()), format!("[{}]:80", guest.v6())];
        for (from, guest) in pairs {
            for to in to(guest) {
                from.netns.ask(&to).expect_err(&to);
            }
        }
        for from in [&b, &c] {
            let saw = from.netns.ask("172.30.0.1:8080").expect("published");
            assert_eq!(saw, format!("::ffff:{}", from.v4()));
        }
        sh("nft flush chain inet cofferdam-coffer0 outward");
        for (from, guest) in pairs {
            for to in to(guest) {
                from.netns.ask(&to).expect("it bites");
            }
        }
    });
}

#[test]
fn net3_lines_without_icc_do_not_hear_each_other() {
    on_a_host("net3_lines_without_icc_do_not_hear_each_other", || {
        let (_realm, net) = network(&BridgeConfig { icc: false, ..routed("coffer0") });
        let a = Guest::plug(&net, 2);
        let b = Guest::publish(&net, 3, &[port("0.0.0.0", 8080, 80)]);
        b.netns.serve("[::]:80");
        a.netns.ask("172.30.0.3:80").expect_err("its neighbour");
        a.netns.ask(&format!("[{}]:80", b.v6())).expect_err("its neighbour");
        assert_eq!(a.netns.ask("172.30.0.1:8080").expect("published"), "::ffff:172.30.0.2");
        assert_eq!(ask("172.30.0.3:80").expect("from the host"), "::ffff:172.30.0.1");
        sh("nft flush chain inet cofferdam-coffer0 outward");
        a.netns.ask("172.30.0.3:80").expect("it bites");
    });
}

#[test]
fn net2_lines_of_an_internal_network_have_no_way_out_and_none_in() {
    on_a_host("net2_lines_of_an_internal_network_have_no_way_out_and_none_in", || {
        let outside = outside();
        outside.serve("0.0.0.0:80");
        outside.sh("ip route add 172.30.0.0/16 via 192.0.2.1");
        let (_realm, net) = network(&BridgeConfig { internal: true, ..routed("coffer0") });
        // They speak to one another through the host.
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
        let (a, b) = (Guest::plug(&net, 2), Guest::plug(&net, 3));
        b.netns.serve("0.0.0.0:80");
        assert_eq!(a.netns.ask("172.30.0.3:80").expect("its neighbour"), "172.30.0.2");
        a.netns.sh("ip route add default via 172.30.0.1");
        a.netns.ask("192.0.2.2:80").expect_err("no way out");
        outside.ask("172.30.0.3:80").expect_err("no way in");
        sh("nft flush chain inet cofferdam-coffer0 forward");
        b.netns.sh("ip route add default via 172.30.0.1");
        outside.ask("172.30.0.3:80").expect("it bites");
    });
}

#[test]
fn net3_a_line_does_not_lead_to_the_hosts_loopback() {
    on_a_host("net3_a_line_does_not_lead_to_the_hosts_loopback", || {
        let (_realm, net) = network(&BridgeConfig { whole_host: true, ..routed("coffer0") });
        let guest = Guest::plug(&net, 2);
        answer(TcpListener::bind("127.0.0.1:631").expect("bind"));
        guest.netns.sh("ip addr del 127.0.0.1/8 dev lo
             for f in all eth0; do echo 1 > /proc/sys/net/ipv4/conf/$f/route_localnet; done
             ip route add 127.0.0.0/8 via 172.30.0.1");
        guest.netns.ask("127.0.0.1:631").expect_err("must not pass");
        sh("nft flush chain inet cofferdam-coffer0 early");
        assert_eq!(guest.netns.ask("127.0.0.1:631").expect("it bites"), "172.30.0.2");
    });
}

/// An attacker and its victim, each at the end of a line.
struct World {
    attacker: Netns,
    victim: Netns,
    keep: Option<(std::sync::Arc<network::Realm>, network::Bridge)>,
}

fn guarded() -> World {
    let (realm, net) = network(&routed("coffer0"));
    let [attacker, victim] = [2, 3].map(|number| Guest::plug(&net, number).netns);
    World { attacker, victim, keep: Some((realm, net)) }
}

/// The same by hand: pairs, routes, and a host that forwards.
fn plain() -> World {
    sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    let guest = |number: u8| {
        let netns = Netns::new();
        let (pid, v6) = (netns.pid(), v6(number));
        let mac = addresses::mac4(Ipv4Addr::new(172, 30, 0, number));
        sh(&format!(
            "ip link add p{number} address {mac} type veth peer name eth0 address {mac} netns {pid}
             ip link set p{number} arp off addrgenmode none up
             ip route add 172.30.0.{number} dev p{number}
             ip -6 route add {v6} dev p{number}"
        ));
        netns.sh(&format!(
            "ip link set eth0 arp off addrgenmode none up
             ip addr add 172.30.0.{number}/32 dev eth0
             ip addr add {v6}/128 dev eth0 nodad"
        ));
        // The kernel lets frames pass up to a second after both ends are up.
        let up = |end: &str| {
            format!(
                "timeout 10 sh -c 'until ip -br link show {end} | grep -q \" UP \"; do :; done'"
            )
        };
        sh(&up(&format!("p{number}")));
        netns.sh(&up("eth0"));
        netns
    };
    World { attacker: guest(2), victim: guest(3), keep: None }
}

impl World {
    /// What of the frames that the attacker sends arrives at the victim.
    fn attack(&self, frames: &[Vec<u8>]) -> usize {
        let ear = self.victim.within(|| Wire::on("eth0"));
        let mouth = self.attacker.within(|| Wire::on("eth0"));
        for frame in frames {
            mouth.send(frame);
        }
        let mark = say4(ATTACKER_MAC, &ipv4(ATTACKER, VICTIM, 17, &udp(9, 9, MARK)));
        let seen = ear.until(|frame| frame.ends_with(MARK), || mouth.send(&mark));
        let tail = |frame: &Vec<u8>| frame[frame.len().saturating_sub(20)..].to_vec();
        frames.iter().filter(|frame| seen.iter().any(|s| s.ends_with(&tail(frame)))).count()
    }
}

/// A packet on the line: to whoever is at the other end.
fn say4(from: Mac, packet: &[u8]) -> Vec<u8> {
    ethernet(ATTACKER_MAC, from, 0x0800, packet)
}

fn say6(from: Mac, packet: &[u8]) -> Vec<u8> {
    ethernet(ATTACKER_MAC, from, 0x86dd, packet)
}

/// Every packet reaches the victim over plain lines, and none over ours.
fn held_back(test: &str, frames: impl FnOnce() -> Vec<Vec<u8>>) {
    on_a_host(test, || {
        let frames = frames();
        let world = plain();
        assert_eq!(world.attack(&frames), frames.len(), "the attack bites");
        drop(world);
        sh("for p in p2 p3; do ip link del $p 2> /dev/null || true; done");
        let world = guarded();
        assert_eq!(world.attack(&frames), 0, "held back");
        drop(world.keep);
    });
}

#[test]
fn net3_false_addresses_on_a_line_are_held_back() {
    held_back("net3_false_addresses_on_a_line_are_held_back", || {
        let packet4 = |from: Ipv4Addr, mac: Mac| {
            let tale = [&from.octets()[..], &mac.0].concat().repeat(3);
            say4(mac, &ipv4(from, VICTIM, 17, &udp(7, 7, &tale)))
        };
        let packet6 = |from: Ipv6Addr, mac: Mac| {
            let tale = [&from.octets()[..], &mac.0].concat();
            say6(mac, &ipv6(from, v6(3), 17, &udp(7, 7, &tale)))
        };
        vec![
            packet4(PEER, ATTACKER_MAC),
            packet4(ELSEWHERE, ATTACKER_MAC),
            packet4(ATTACKER, NOBODYS_MAC),
            packet4(PEER, NOBODYS_MAC),
            packet6(v6(4), ATTACKER_MAC),
            packet6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7), ATTACKER_MAC),
            packet6(v6(2), NOBODYS_MAC),
        ]
    });
}

#[test]
fn net3_what_could_mislead_a_neighbour_is_held_back_on_a_line() {
    held_back("net3_what_could_mislead_a_neighbour_is_held_back_on_a_line", || {
        let to4 = |protocol, payload: &[u8]| {
            say4(ATTACKER_MAC, &ipv4(ATTACKER, VICTIM, protocol, payload))
        };
        let to6 = |next, payload: &[u8]| say6(ATTACKER_MAC, &ipv6(v6(2), v6(3), next, payload));
        let original = ipv4(VICTIM, PEER, 17, &udp(1, 2, &[]));
        let redirect4 = icmp(5, 1, &[&ATTACKER.octets()[..], &original].concat());
        let router4 = icmp(9, 0, &[&[1, 2, 7, 8][..], &ATTACKER.octets(), &[0; 4]].concat());
        let redirect6 = [&[0; 4][..], &v6(2).octets(), &v6(4).octets()].concat();
        let option = mac_option(2, ATTACKER_MAC);
        let router6 = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &option].concat();
        let speaks = |kind, rest: &[u8]| icmp6(v6(2), v6(3), kind, rest);
        vec![
            to4(1, &redirect4),
            to4(1, &router4),
            to4(17, &udp(67, 68, &[0x11; 60])),
            to4(17, &udp(1067, 68, &[0x22; 60])),
            to6(17, &udp(547, 546, &[0x33; 60])),
            to6(58, &speaks(137, &redirect6)),
            to6(58, &speaks(134, &router6)),
            to6(58, &speaks(136, &advertisement(v6(4), &option))),
        ]
    });
}

#[test]
fn net3_a_false_sender_is_not_heard_by_the_host_either() {
    on_a_host("net3_a_false_sender_is_not_heard_by_the_host_either", || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:7").expect("bind");
        socket.set_read_timeout(Some(host::PATIENCE)).expect("set");
        let heard = |world: &World, from: Ipv4Addr| {
            let mouth = world.attacker.within(|| Wire::on("eth0"));
            let packet =
                |from, word: &[u8]| say4(ATTACKER_MAC, &ipv4(from, GATEWAY, 17, &udp(7, 7, word)));
            mouth.send(&packet(from, b"false"));
            mouth.send(&packet(ATTACKER, b"honest"));
            let mut senders = Vec::new();
            while senders.last() != Some(&IpAddr::V4(ATTACKER)) {
                senders.push(socket.recv_from(&mut [0; 16]).expect("a datagram").1.ip());
            }
            senders.len() > 1
        };
        let world = plain();
        sh("ip addr add 172.30.0.1/32 dev lo");
        assert!(heard(&world, PEER), "the attack bites");
        drop(world);
        sh("for p in p2 p3; do ip link del $p 2> /dev/null || true; done");
        sh("ip addr del 172.30.0.1/32 dev lo");
        let world = guarded();
        assert!(!heard(&world, PEER));
        // Nor while it lingers after it was withdrawn.
        let (_realm, net) = world.keep.as_ref().expect("ours");
        net.unplug(&id(2)).expect("unplug");
        let mouth = world.attacker.within(|| Wire::on("eth0"));
        let packet = ipv4(ATTACKER, GATEWAY, 17, &udp(7, 7, b"too late"));
        mouth.send(&say4(ATTACKER_MAC, &packet));
        let own = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        own.send_to(b"the host", "127.0.0.1:7").expect("send");
        let (_, first) = socket.recv_from(&mut [0; 16]).expect("a datagram");
        assert!(first.ip().is_loopback(), "{first}");
        world.attacker.sh("ip link del eth0");
        net.unplug(&id(9)).expect("anything that touches the tables");
        assert!(!sh("nft list set inet cofferdam-coffer0 lines").contains("cv02020202"));
    });
}

#[test]
fn net2_lines_are_found_again_restored_and_swept() {
    on_a_host("net2_lines_are_found_again_restored_and_swept", || {
        let (realm, net) = network(&routed("coffer0"));
        let settled = "ip route | sed 's/ linkdown//'; ip -6 route | sed 's/ linkdown//'";
        let look = format!("nft -s list ruleset; ip -o addr; {settled}");
        let empty = sh(&look);
        let web = Guest::publish(&net, 2, &[port("0.0.0.0", 8080, 80)]);
        web.netns.serve("0.0.0.0:80");
        let lost = Guest::plug(&net, 3);
        let before = sh(&look);
        sh("nft list table inet cofferdam-coffer0 | nft -c -f -");
        drop((realm, net));
        let (realm, net) = network(&routed("coffer0"));
        assert_eq!(sh(&look), before, "by a daemon that comes back");
        sh("nft flush ruleset");
        ask("127.0.0.1:8080").expect_err("wiped");
        realm.restore().expect("restore");
        assert_eq!(sh(&look), before, "after somebody emptied the tables");
        assert_eq!(ask("127.0.0.1:8080").expect("again"), "172.30.0.1");
        let swept = net.sweep(|| [id(2)].into()).expect("sweep");
        assert_eq!(swept, [id(3).as_str()]);
        assert_eq!(lost.netns.sh("ip -o link | wc -l").trim(), "1", "its interface is gone");
        assert_eq!(ask("127.0.0.1:8080").expect("the other stays"), "172.30.0.1");
        net.disconnect(&web.endpoint).expect("disconnect");
        assert_eq!(sh(&look), empty);
        // One that no record names goes with its lines.
        let again = Guest::plug(&net, 4);
        drop(net);
        let swept = realm.sweep(Default::default).expect("sweep");
        assert_eq!(swept, ["coffer0", id(4).as_str()]);
        assert_eq!(again.netns.sh("ip -o link | wc -l").trim(), "1");
    });
}

#[test]
fn net2_a_line_changes_while_it_is_in_use() {
    on_a_host("net2_a_line_changes_while_it_is_in_use", || {
        let (_realm, net) = network(&routed("coffer0"));
        let guest = Guest::plug(&net, 2);
        guest.netns.serve("0.0.0.0:80");
        let before = guest.endpoint.clone();
        let after =
            Endpoint { default4: false, ports: vec![port("0.0.0.0", 8080, 80)], ..before.clone() };
        net.change(guest.netns.fd(), &before, &after).expect("change");
        assert_eq!(ask("127.0.0.1:8080").expect("published"), "172.30.0.1");
        assert!(!guest.netns.sh("ip route").contains("default"));
        net.change(guest.netns.fd(), &after, &before).expect("change back");
        ask("127.0.0.1:8080").expect_err("withdrawn");
        assert!(guest.netns.sh("ip route").contains("default via 172.30.0.1"));
        net.disconnect(&guest.endpoint).expect("disconnect");
        assert_eq!(guest.netns.sh("ip -o link | wc -l").trim(), "1");
    });
}

/// More than a bridge has ports for.
const MANY: u32 = 2000;

#[test]
fn net1_two_thousand_containers_are_on_one_network() {
    on_a_host("net1_two_thousand_containers_are_on_one_network", || {
        let (_realm, net) = network(&routed("coffer0"));
        // In one program: two thousand of them would be most of the test.
        let names: String = (0..MANY).map(|n| format!("netns add n{n}\n")).collect();
        std::fs::write("/dev/shm/net1-two-thousand", names).expect("a list");
        sh("mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns
            ip -batch /dev/shm/net1-two-thousand; rm /dev/shm/net1-two-thousand");
        let open = |n: u32| File::open(format!("/run/netns/n{n}")).expect("a namespace");
        let place = |n: u32| {
            let mut seed = [0x5a; 32];
            seed[..4].copy_from_slice(&n.to_be_bytes());
            let addr4 = Ipv4Addr::from(u32::from(GATEWAY) + 1 + n);
            let addr6 = Ipv6Addr::from(u128::from(v6(1)) + 1 + u128::from(n));
            let (id, container) = (spec::Id::from_random(seed), spec::Id::from_random(seed));
            let (mac, addr4, addr6) = (addresses::mac4(addr4), Some(addr4), Some(addr6));
            let name = format!("c{n}");
            Endpoint { id, container, name, mac, addr4, addr6, ..endpoint(9, net.config()) }
        };
        for n in 0..MANY {
            net.plug(open(n).as_fd(), &place(n)).unwrap_or_else(|error| panic!("{n}: {error:?}"));
        }
        // The last hears the first, and the host, in both families.
        let last = place(MANY - 1);
        let netns = |n: u32| format!("nsenter --net=/run/netns/n{n}");
        let (v4, v6) = (last.addr4.expect("IPv4"), last.addr6.expect("IPv6"));
        for to in [IpAddr::from(v4), v6.into()] {
            sh(&format!("{} /bin/busybox ping -c 1 -W 5 {to}", netns(0)));
            sh(&format!("/bin/busybox ping -c 1 -W 5 {to}"));
        }
        assert_eq!(sh("ip -o link show type veth | wc -l").trim(), MANY.to_string());
    });
}

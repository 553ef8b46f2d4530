//! What may go out of a container, as its policy says, whatever it tries. Each
//! attack first succeeds without the policy, or without what upholds it.

mod host;

use host::{
    Guest, Netns, PATIENCE, Wire, answer, ask, config, endpoint,
    frames::{ethernet, ipv4, ipv4_fragment, udp},
    id, network, on_a_host, outside, port, sh,
};
use network::{Bridge, BridgeConfig, Egress, Endpoint, Learner, Learnt, Who};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn policy(words: &str) -> Egress {
    Egress::read([words]).expect("a policy")
}

/// A container on a network, held to a policy from its start.
fn fenced(bridge: &Bridge, number: u8, words: &str) -> Guest {
    let endpoint = Endpoint { egress: policy(words), ..endpoint(number, bridge.config()) };
    let netns = Netns::new();
    bridge.plug(netns.fd(), &endpoint).expect("plug");
    Guest { netns, endpoint }
}

/// Changes a container's policy while it runs.
fn change(bridge: &Bridge, guest: &Guest, words: &str) {
    let endpoint = Endpoint { egress: policy(words), ..guest.endpoint.clone() };
    bridge.fence(&endpoint).expect("fence");
}

/// A neighbour outside that answers at two ports, by IPv4 and IPv6.
fn far_away() -> Netns {
    let outside = outside();
    for port in [80, 81] {
        outside.serve(&format!("[::]:{port}"));
    }
    outside
}

fn reaches(guest: &Guest, to: &str) -> bool {
    guest.netns.ask(to).is_ok()
}

fn pings(guest: &Guest, to: &str) -> bool {
    guest.netns.sh(&format!("busybox ping -c1 -W1 {to} >/dev/null && echo yes || echo no"))
        == "yes\n"
}

#[test]
fn net_a_fence_lets_out_what_it_allows_and_nothing_else() {
    on_a_host("net_a_fence_lets_out_what_it_allows_and_nothing_else", || {
        let _outside = far_away();
        let (realm, bridge) = network(&BridgeConfig { whole_host: true, ..config("coffer0") });
        let second = BridgeConfig {
            subnet4: Some("172.31.0.1/16".parse().expect("a subnet")),
            ..config("coffer1")
        };
        let second = realm.bridge(&second).expect("a second bridge");
        let other = Guest::publish(&second, 3, &[port("0.0.0.0", 8080, 80)]);
        other.netns.serve("0.0.0.0:80");
        let neighbour = Guest::plug(&bridge, 4);
        neighbour.netns.serve("[::]:80");
        answer(TcpListener::bind("[::]:90").expect("bind"));
        let guest = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8081, 80)]);
        guest.netns.serve("0.0.0.0:80");
        let gateway6 = bridge.config().subnet6.expect("IPv6").addr();
        let link_local = sh("ip -6 -o addr show dev coffer0 scope link");
        let link_local = link_local.split_whitespace().nth(3).and_then(|a| a.split('/').next());
        let ways = [
            format!("{FAR}:81"),
            "[2001:db8::2]:80".to_owned(),
            "172.30.0.1:90".to_owned(),
            "192.0.2.1:90".to_owned(),
            "172.31.0.1:90".to_owned(),
            format!("[{gateway6}]:90"),
            "192.0.2.1:8080".to_owned(),
        ];
        let by_link = |guest: &Guest| {
            let to = format!("{}%eth0", link_local.expect("a bridge has one"));
            guest
                .netns
                .sh(&format!("busybox ping -6 -c1 -W1 {to} >/dev/null && echo yes || echo no"))
        };
        for to in &ways {
            assert!(reaches(&guest, to), "the way is there: {to}");
        }
        assert!(pings(&guest, "192.0.2.2") && pings(&guest, "172.30.0.1"));
        assert_eq!(by_link(&guest), "yes\n");
        change(&bridge, &guest, "allow=192.0.2.0/24:80/tcp");
        assert!(reaches(&guest, &format!("{FAR}:80")), "allowed");
        for to in &ways {
            assert!(!reaches(&guest, to), "{to}");
        }
        assert!(!pings(&guest, "192.0.2.2") && !pings(&guest, "172.30.0.1"));
        assert_eq!(by_link(&guest), "no\n");
        assert!(reaches(&guest, "172.30.0.4:80"), "a neighbour is not outside");
        assert!(reaches(&guest, &format!("[{}]:80", neighbour.v6())), "by IPv6 neither");
        assert_eq!(ask("127.0.0.1:8081").expect("comes in"), "172.30.0.1");
        change(&bridge, &guest, "allow=192.0.2.2,allow=2001:db8::/32");
        assert!(pings(&guest, "192.0.2.2") && reaches(&guest, "[2001:db8::2]:81"));
        change(&bridge, &guest, "");
        for to in &ways {
            assert!(reaches(&guest, to), "open again: {to}");
        }
    });
}

/// A connection that says whether it lives.
struct Held(TcpStream);

impl Held {
    fn to(guest: &Guest, to: &str) -> Self {
        let stream = guest.netns.within(|| TcpStream::connect(to).expect("connect"));
        stream.set_read_timeout(Some(PATIENCE / 5)).expect("set");
        Self(stream)
    }

    fn lives(&mut self) -> bool {
        let mut back = [0; 4];
        self.0.write_all(b"ping").is_ok() && self.0.read_exact(&mut back).is_ok()
    }
}

/// Sends everything back that it is sent.
fn echo(netns: &Netns, address: &str) {
    let listener = netns.within(|| TcpListener::bind(address).expect("bind"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut buffer = [0; 4];
                while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
            });
        }
    });
}

#[test]
fn net_a_fence_drawn_closer_ends_what_it_forbids_and_nothing_else() {
    on_a_host("net_a_fence_drawn_closer_ends_what_it_forbids_and_nothing_else", || {
        let outside = outside();
        for port in [7, 8] {
            echo(&outside, &format!("0.0.0.0:{port}"));
        }
        let (_realm, bridge) = network(&config("coffer0"));
        let (guest, other) = (fenced(&bridge, 2, "allow=192.0.2.2"), Guest::plug(&bridge, 3));
        let mut allowed = Held::to(&guest, "192.0.2.2:7");
        let mut forbidden = Held::to(&guest, "192.0.2.2:8");
        let mut others = Held::to(&other, "192.0.2.2:8");
        assert!(allowed.lives() && forbidden.lives() && others.lives());
        change(&bridge, &guest, "allow=192.0.2.2:7");
        assert!(allowed.lives(), "what is still allowed goes on");
        assert!(others.lives(), "and so does what others do");
        assert!(!forbidden.lives());
        bridge.wall(&policy("deny")).expect("wall");
        assert!(!allowed.lives() && !others.lives(), "a network's policy is all its containers'");
        bridge.wall(&policy("")).expect("wall");
        assert!(Held::to(&other, "192.0.2.2:8").lives());
    });
}

#[test]
fn net_what_goes_out_has_to_pass_the_containers_fence_and_its_networks() {
    on_a_host("net_what_goes_out_has_to_pass_the_containers_fence_and_its_networks", || {
        let _outside = far_away();
        let allow = policy("allow=192.0.2.2:80 allow=[2001:db8::2]:80");
        let (_realm, bridge) = network(&BridgeConfig { egress: allow, ..config("coffer0") });
        let free = Guest::plug(&bridge, 2);
        let narrow = fenced(&bridge, 3, "allow=192.0.2.2:81");
        let both = fenced(&bridge, 4, "allow=192.0.2.2");
        let (eighty, other) = ("192.0.2.2:80", "192.0.2.2:81");
        assert!(reaches(&free, eighty) && !reaches(&free, other));
        assert!(reaches(&free, "[2001:db8::2]:80") && !reaches(&free, "[2001:db8::2]:81"));
        assert!(!reaches(&narrow, eighty) && !reaches(&narrow, other));
        assert!(reaches(&both, eighty) && !reaches(&both, other));
        answer(TcpListener::bind("0.0.0.0:90").expect("bind"));
        assert!(!reaches(&free, "172.30.0.1:90"), "nor this host");
        bridge.wall(&policy("allow=192.0.2.2:81")).expect("wall");
        assert!(reaches(&narrow, other) && !reaches(&free, eighty), "changed while they run");
    });
}

/// Does a datagram of these frames come to the neighbour's port?
fn comes(outside: &Netns, mouth: &Wire, frames: &[Vec<u8>], port: u16) -> bool {
    let ear = outside.within(|| UdpSocket::bind(("0.0.0.0", port)).expect("bind"));
    ear.set_read_timeout(Some(PATIENCE / 20)).expect("set");
    (0..4).any(|_| {
        for frame in frames {
            mouth.send(frame);
        }
        ear.recv(&mut [0; 2048]).is_ok()
    })
}

#[test]
fn net_a_fence_sees_through_fragments_and_false_senders() {
    on_a_host("net_a_fence_sees_through_fragments_and_false_senders", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let guest = Guest::plug(&bridge, 2);
        let neighbour = Guest::plug(&bridge, 3);
        let link = sh("ip -o link show coffer0");
        let gateway = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        let gateway = gateway.and_then(|mac| mac.parse().ok()).expect("a bridge has one");
        let mouth = guest.netns.within(|| Wire::on("eth0"));
        let frame = |packet: Vec<u8>| ethernet(gateway, guest.endpoint.mac, 0x0800, &packet);
        let datagram = udp(4000, 4001, &[7; 40]);
        // The first piece is as short as it may be; the second looks like a
        // datagram to a port that is allowed.
        let mut rest = datagram[8..].to_vec();
        rest[..4].copy_from_slice(&[0x0f, 0xa0, 0x0f, 0xa2]);
        let pieces = [
            frame(ipv4_fragment(guest.v4(), FAR, 17, 0, true, &datagram[..8])),
            frame(ipv4_fragment(guest.v4(), FAR, 17, 8, false, &rest)),
        ];
        let whole = [frame(ipv4(guest.v4(), FAR, 17, &datagram))];
        let false_sender = [frame(ipv4(neighbour.v4(), FAR, 17, &datagram))];
        assert!(comes(&outside, &mouth, &whole, 4001), "the attack bites");
        assert!(comes(&outside, &mouth, &pieces, 4001), "the attack bites");
        change(&bridge, &guest, "allow=192.0.2.2:4002");
        let allowed = [frame(ipv4(guest.v4(), FAR, 17, &udp(4000, 4002, &[7; 40])))];
        assert!(comes(&outside, &mouth, &allowed, 4002));
        assert!(!comes(&outside, &mouth, &whole, 4001));
        assert!(!comes(&outside, &mouth, &pieces, 4001), "in pieces");
        assert!(!comes(&outside, &mouth, &false_sender, 4001), "in a neighbour's name");
        sh("nft flush chain bridge cofferdam-coffer0 from_ip
            nft add rule bridge cofferdam-coffer0 from_ip accept");
        assert!(comes(&outside, &mouth, &false_sender, 4001), "which the guard holds back");
    });
}

#[test]
fn net_the_metadata_service_is_closed_unless_it_is_asked_for() {
    on_a_host("net_the_metadata_service_is_closed_unless_it_is_asked_for", || {
        let outside = outside();
        outside.sh("ip addr add 169.254.169.254/32 dev eth0
                    ip addr add fd00:ec2::254/128 dev eth0 nodad");
        for port in [53, 80] {
            outside.serve(&format!("0.0.0.0:{port}"));
            outside.serve(&format!("[fd00:ec2::254]:{port}"));
        }
        sh("ip route add 169.254.169.254 via 192.0.2.2
            ip route add fd00:ec2::254 via 2001:db8::2");
        let (four, six) = ("169.254.169.254:80", "[fd00:ec2::254]:80");
        let (_realm, bridge) = network(&config("coffer0"));
        let guest = Guest::plug(&bridge, 2);
        let both = |guest: &Guest| (reaches(guest, four), reaches(guest, six));
        assert_eq!(both(&guest), (false, false), "by default");
        assert!(reaches(&guest, "169.254.169.254:53"), "some have their DNS server there");
        for (words, reached) in [
            ("metadata", true),
            ("allow=0.0.0.0/0 allow=::/0", false),
            ("deny metadata", true),
            ("deny", false),
        ] {
            change(&bridge, &guest, words);
            assert_eq!(both(&guest), (reached, reached), "{words}");
        }
        let granted = fenced(&bridge, 3, "metadata");
        assert_eq!(both(&granted), (true, true));
        bridge.unplug(&id(3)).expect("unplug");
        let next = Guest::plug(&bridge, 3);
        assert_eq!(both(&next), (false, false), "with the address it is not handed on");
        bridge.wall(&policy("metadata")).expect("wall");
        assert_eq!(both(&next), (true, true), "a network may grant it");
        bridge.wall(&policy("")).expect("wall");
        sh("nft flush chain inet cofferdam-coffer0 metadata");
        assert_eq!(both(&next), (true, true), "the attack bites");
    });
}

/// Waits until a container reaches something, or does no more.
fn until(guest: &Guest, to: &str, reached: bool) {
    let end = Instant::now() + PATIENCE;
    while reaches(guest, to) != reached {
        assert!(Instant::now() < end, "{to} is to be reached: {reached}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn net_what_a_name_led_to_holds_for_its_time_and_its_policy() {
    on_a_host("net_what_a_name_led_to_holds_for_its_time_and_its_policy", || {
        let _outside = far_away();
        let (_realm, bridge) = network(&config("coffer0"));
        let guest = fenced(&bridge, 2, "allow=dns:api.example:80 allow=dns:*.example");
        let strict = fenced(&bridge, 3, "allow=10.0.0.0/8");
        let mut learner = Learner::open("coffer0").expect("nftables");
        let learnt = |who: &Guest, name: &str, port, seconds| Learnt {
            who: Who::Address(who.v4().into()),
            address: FAR.into(),
            port,
            name: name.to_owned(),
            seconds,
        };
        let (eighty, other) = ("192.0.2.2:80", "192.0.2.2:81");
        assert!(!reaches(&guest, eighty), "nothing is learnt yet");
        learner
            .learn(&[
                learnt(&guest, "api.example", Some(80), 60),
                learnt(&strict, "api.example", None, 60),
            ])
            .expect("entered");
        assert!(reaches(&guest, eighty) && !reaches(&guest, other));
        assert!(!reaches(&strict, eighty), "of no use to who has no names in its policy");
        // Again: it holds from now on, and for as long as is said now.
        learner.learn(&[learnt(&guest, "api.example", Some(80), 1)]).expect("entered again");
        until(&guest, eighty, false);
        let all = [learnt(&guest, "*.example", None, 60), learnt(&guest, "*.example", None, 60)];
        learner.learn(&all).expect("twice the same");
        assert!(reaches(&guest, other));
        change(&bridge, &guest, "allow=dns:other.example");
        assert!(!reaches(&guest, other), "with the name goes what it led to");
        change(&bridge, &guest, "allow=dns:*.example");
        assert!(!reaches(&guest, other), "and does not come back");
        learner.learn(&all).expect("entered");
        bridge.unplug(&id(2)).expect("unplug");
        let next = fenced(&bridge, 2, "allow=dns:*.example");
        assert!(!reaches(&next, other), "the next at that address has to ask itself");
        let wall =
            Learnt { who: Who::Bridge("coffer0".into()), ..learnt(&next, "*.example", None, 60) };
        bridge.wall(&policy("allow=dns:*.example")).expect("wall");
        learner.learn(&[learnt(&next, "*.example", None, 60)]).expect("entered");
        assert!(!reaches(&next, other), "its network has not learnt it");
        learner.learn(&[wall]).expect("entered");
        assert!(reaches(&next, other));
    });
}

#[test]
fn net_a_name_opens_nothing_of_this_host() {
    on_a_host("net_a_name_opens_nothing_of_this_host", || {
        let _outside = far_away();
        let (_realm, bridge) = network(&config("coffer0"));
        answer(TcpListener::bind("0.0.0.0:90").expect("bind"));
        let guest = fenced(&bridge, 2, "allow=dns:*.example");
        let mut learner = Learner::open("coffer0").expect("nftables");
        let learnt = |address: Ipv4Addr| Learnt {
            who: Who::Address(guest.v4().into()),
            address: address.into(),
            port: None,
            name: "*.example".to_owned(),
            seconds: 60,
        };
        let own = [[172, 30, 0, 1], [192, 0, 2, 1]].map(Ipv4Addr::from);
        learner.learn(&[learnt(FAR), learnt(own[0]), learnt(own[1])]).expect("entered");
        assert!(reaches(&guest, "192.0.2.2:80"), "what is elsewhere it opens");
        for address in own {
            assert!(!reaches(&guest, &format!("{address}:90")), "{address}");
        }
        change(&bridge, &guest, "allow=172.30.0.1:90 allow=dns:*.example");
        assert!(reaches(&guest, "172.30.0.1:90"), "by address it is opened");
    });
}

#[test]
fn net_a_networks_fence_ends_what_goes_by_addresses_of_the_link() {
    on_a_host("net_a_networks_fence_ends_what_goes_by_addresses_of_the_link", || {
        let (_realm, bridge) = network(&config("coffer0"));
        let listener = TcpListener::bind("[::]:7").expect("bind");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut buffer = [0; 4];
                while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
            }
        });
        let guest = Guest::plug(&bridge, 2);
        let link_local = sh("ip -6 -o addr show dev coffer0 scope link");
        let link_local = link_local.split_whitespace().nth(3).and_then(|a| a.split('/').next());
        let mut held = Held::to(&guest, &format!("[{}%2]:7", link_local.expect("it has one")));
        assert!(held.lives());
        bridge.wall(&policy("deny")).expect("wall");
        assert!(!held.lives());
    });
}

#[test]
fn net_a_daemon_holds_to_its_record_what_another_let_out_further() {
    on_a_host("net_a_daemon_holds_to_its_record_what_another_let_out_further", || {
        let _outside = far_away();
        let (realm, bridge) = network(&config("coffer0"));
        let guest = fenced(&bridge, 2, "allow=192.0.2.2:80");
        // It died before it could write this down.
        guest.netns.serve("0.0.0.0:80");
        let more = Endpoint {
            ports: vec![port("0.0.0.0", 8080, 80)],
            egress: policy("allow=192.0.2.2"),
            ..guest.endpoint.clone()
        };
        bridge.change(guest.netns.fd(), &guest.endpoint, &more).expect("published");
        assert!(ask("127.0.0.1:8080").is_ok() && reaches(&guest, "192.0.2.2:81"));
        drop((realm, bridge));
        let (realm, bridge) = network(&config("coffer0"));
        bridge.restore(&guest.endpoint).expect("restored");
        assert!(reaches(&guest, "192.0.2.2:80") && !reaches(&guest, "192.0.2.2:81"));
        assert!(ask("127.0.0.1:8080").is_err(), "nor is it published");
        let wish = network::PortWish {
            proto: network::Proto::Tcp,
            host_ip: None,
            host_ports: 8080..=8080,
            container_port: 80,
            count: 1,
        };
        let again = Endpoint { container: id(9), ..guest.endpoint.clone() };
        realm.reserve(&again, &[wish]).expect("nobody has the port");
        let before = sh("nft -s list ruleset");
        bridge.restore(&guest.endpoint).expect("as it is");
        assert_eq!(sh("nft -s list ruleset"), before);
    });
}

#[test]
fn net_what_began_while_nothing_held_is_ended() {
    on_a_host("net_what_began_while_nothing_held_is_ended", || {
        let outside = outside();
        echo(&outside, "0.0.0.0:7");
        let (realm, bridge) = network(&config("coffer0"));
        let (guest, other) = (fenced(&bridge, 2, "deny"), Guest::plug(&bridge, 3));
        let mut before = Held::to(&other, "192.0.2.2:7");
        assert!(before.lives() && !reaches(&guest, "192.0.2.2:7"));
        // A firewall of the host's, which has the kernel track connections.
        sh("nft add table inet theirs
            nft add chain inet theirs forward '{ type filter hook forward priority 0; }'
            nft add rule inet theirs forward ct state established accept");
        // Nor does anything hide it meanwhile.
        outside.sh("ip route add 172.30.0.0/16 via 192.0.2.1");
        sh("nft flush table inet cofferdam-coffer0");
        assert!(!realm.stands().expect("nftables"), "rules are missed too");
        let mut meanwhile = Held::to(&guest, "192.0.2.2:7");
        assert!(meanwhile.lives(), "the way is open");
        realm.restore().expect("restored");
        assert!(realm.stands().expect("nftables") && meanwhile.lives(), "for what has begun");
        realm.hold(&[guest.endpoint.clone(), other.endpoint.clone()]).expect("held");
        assert!(!meanwhile.lives() && before.lives());
        sh("nft flush table inet cofferdam-coffer0");
        drop((realm, bridge));
        let (realm, bridge) = network(&config("coffer0"));
        assert!(!realm.was_whole());
        drop((realm, bridge));
        assert!(network(&config("coffer0")).0.was_whole());
    });
}

#[test]
fn net_fences_can_be_read_by_people_and_outlive_the_daemon() {
    on_a_host("net_fences_can_be_read_by_people_and_outlive_the_daemon", || {
        let _outside = far_away();
        let words =
            "allow=192.0.2.0/24:80-90/tcp allow=[2001:db8::/32]:80 allow=dns:a.example metadata";
        let egress = policy(words);
        let (realm, bridge) =
            network(&BridgeConfig { egress: egress.clone(), ..config("coffer0") });
        let guest = fenced(&bridge, 2, words);
        sh("nft list table inet cofferdam-coffer0 | nft -c -f -");
        let before = sh("nft -s list ruleset");
        for line in [
            "172.30.0.2 . 192.0.2.0/24 . tcp . 80-90 comment \"coffer0 0202",
            "elements = { 172.30.0.2 comment \"coffer0 0202",
            "ip saddr . ct original ip daddr @may4 return",
            "ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst @may_port4 return",
        ] {
            assert!(before.contains(line), "{line} is not in {before}");
        }
        drop((realm, bridge));
        let (_realm, bridge) = network(&BridgeConfig { egress, ..config("coffer0") });
        assert_eq!(sh("nft -s list ruleset"), before);
        assert!(reaches(&guest, "192.0.2.2:80"));
        bridge.unplug(&id(2)).expect("unplug");
        assert!(!sh("nft list ruleset").contains("172.30.0.2"));
    });
}

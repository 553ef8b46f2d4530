//! NET-2: tables of others beside ours. What a host's own firewall drops stays
//! dropped, and nothing of it is touched.

mod host;

use host::{Guest, Netns, ask, config, id, network, on_a_host, outside, port, sh};
use network::{BridgeConfig, Egress, Endpoint};

/// Tables as ufw makes them by iptables-nft: chains of the families' own
/// tables, with a policy that drops, and chains of its own in front.
const UFW: &str = "
table ip filter {
    chain INPUT { type filter hook input priority filter; policy drop;
        counter jump ufw-before-input
        counter jump ufw-user-input
    }
    chain FORWARD { type filter hook forward priority filter; policy drop;
        counter jump ufw-before-forward
        counter jump ufw-user-forward
    }
    chain OUTPUT { type filter hook output priority filter; policy accept; }
    chain ufw-before-input {
        iifname \"lo\" counter accept
        ct state related,established counter accept
        ct state invalid counter drop
    }
    chain ufw-before-forward { ct state related,established counter accept; }
    chain ufw-user-input { tcp dport 22 counter accept; }
    chain ufw-user-forward { }
}
table ip6 filter {
    chain FORWARD { type filter hook forward priority filter; policy drop; }
}";

/// As firewalld's, by nftables.
const FIREWALLD: &str = "
table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        iifname \"coffer0\" accept
        jump filter_FORWARD_POLICIES
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_POLICIES { ip saddr 192.0.2.66 drop; }
    chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; policy accept; }
}";

/// As Docker's, by iptables-nft.
const DOCKER: &str = "
table ip nat {
    chain PREROUTING { type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local counter jump DOCKER
    }
    chain DOCKER {
        iifname != \"docker0\" tcp dport 9999 counter dnat to 172.17.0.2:80
    }
}
table ip filter {
    chain FORWARD { type filter hook forward priority filter; policy accept;
        counter jump DOCKER-USER
    }
    chain DOCKER-USER { counter return; }
}";

/// A server behind a published port, and somebody outside who knows its port.
fn world() -> (Netns, std::sync::Arc<network::Realm>, network::Bridge, Guest) {
    let outside = outside();
    let (realm, bridge) = network(&config("coffer0"));
    let ports = [port("0.0.0.0", 8080, 80), port("::", 8080, 80)];
    let web = Guest::publish(&bridge, 2, &ports);
    web.netns.serve("[::]:80");
    (outside, realm, bridge, web)
}

const FOUR: &str = "192.0.2.1:8080";
const SIX: &str = "[2001:db8::1]:8080";

#[test]
fn net2_what_the_hosts_own_firewall_drops_stays_dropped() {
    on_a_host("net2_what_the_hosts_own_firewall_drops_stays_dropped", || {
        let (outside, _realm, _bridge, web) = world();
        assert!(outside.ask(FOUR).is_ok() && outside.ask(SIX).is_ok());
        sh(&format!("nft -f - <<'END'{UFW}\nEND"));
        assert!(outside.ask(FOUR).is_err() && outside.ask(SIX).is_err(), "the host says no");
        outside.serve("0.0.0.0:80");
        assert!(web.netns.ask("192.0.2.2:80").is_err(), "and nothing goes out");
        sh("nft add rule ip filter ufw-user-forward ip daddr 172.30.0.2 tcp dport 80 accept");
        assert_eq!(outside.ask(FOUR).expect("let in"), "::ffff:192.0.2.2", "the client's own");
        assert_eq!(ask("127.0.0.1:8080").expect("from the host itself"), "::ffff:172.30.0.1");
        sh("nft flush ruleset");
        let _world = network(&config("coffer0"));
        sh(&format!("nft -f - <<'END'{FIREWALLD}\nEND"));
        assert!(outside.ask(FOUR).is_err(), "rejected by one that comes after ours");
    });
}

#[test]
fn net2_tables_of_others_are_left_as_they_are() {
    on_a_host("net2_tables_of_others_are_left_as_they_are", || {
        for tables in [UFW, FIREWALLD, DOCKER] {
            sh("nft flush ruleset");
            sh(&format!("nft -f - <<'END'{tables}\nEND"));
            let theirs = || {
                let all = sh("nft -s -a list ruleset");
                let mut ours = false;
                let lines = all.lines().filter(|line| {
                    if line.starts_with("table") {
                        ours = line.contains("cofferdam");
                    }
                    !ours
                });
                lines.map(|line| format!("{line}\n")).collect::<String>()
            };
            let before = theirs();
            let (realm, bridge) = network(&config("coffer0"));
            let web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
            let fenced =
                Endpoint { egress: Egress::read(["deny"]).expect("valid"), ..web.endpoint.clone() };
            bridge.fence(&fenced).expect("fenced");
            assert_eq!(theirs(), before, "beside theirs");
            realm.restore().expect("restored");
            bridge.unplug(&id(2)).expect("unplugged");
            assert_eq!(theirs(), before);
            bridge.remove().expect("removed");
            realm.remove().expect("removed");
            assert_eq!(sh("nft -s -a list ruleset"), before, "and gone without a trace");
        }
    });
}

#[test]
fn net2_it_is_noticed_that_the_tables_are_gone_and_nothing_else_is() {
    on_a_host("net2_it_is_noticed_that_the_tables_are_gone_and_nothing_else_is", || {
        let egress = Egress::read(["allow=192.0.2.2:80"]).expect("valid");
        let (realm, bridge) = network(&BridgeConfig { egress, ..config("coffer0") });
        let lookout = realm.lookout().expect("an ear");
        let web = Guest::publish(&bridge, 2, &[port("0.0.0.0", 8080, 80)]);
        web.netns.serve("0.0.0.0:80");
        assert!(!lookout.changed().expect("heard"), "our own changes are not");
        assert!(realm.stands().expect("looked"));
        sh(&format!("nft -f - <<'END'{DOCKER}\nEND"));
        assert!(lookout.changed().expect("heard") && realm.stands().expect("looked"));
        assert!(!lookout.changed().expect("heard"), "once");
        let ours = || {
            ["inet", "bridge"].map(|of| sh(&format!("nft -s list table {of} cofferdam-coffer0")))
        };
        let before = ours();
        for wipe in [
            "nft flush ruleset",
            "nft delete table inet cofferdam-coffer0",
            "nft delete table bridge cofferdam-coffer0",
            // Ours comes again by somebody else's hand, empty.
            "nft flush ruleset; nft add table inet cofferdam-coffer0; nft add table bridge cofferdam-coffer0",
        ] {
            sh(wipe);
            assert!(lookout.changed().expect("heard"), "{wipe}");
            assert!(!realm.stands().expect("looked"), "{wipe}");
            realm.restore().expect("restored");
            assert!(realm.stands().expect("looked"), "{wipe}");
            assert_eq!(ask("127.0.0.1:8080").expect("again"), "172.30.0.1", "{wipe}");
            assert_eq!(ours(), before, "{wipe}");
        }
    });
}

/// Rules as ufw has iptables-nft make them, for one family.
fn ufw(prefix: &str) -> String {
    let mut text = String::from("*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n");
    for hook in ["input", "forward", "output"] {
        for part in ["before", "user", "after"] {
            text += &format!(":{prefix}-{part}-{hook} -\n");
        }
    }
    for hook in ["input", "forward", "output"] {
        for part in ["before", "user", "after"] {
            text += &format!("-A {} -j {prefix}-{part}-{hook}\n", hook.to_uppercase());
        }
        let under_way = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
        text += &format!("-A {prefix}-before-{hook} {under_way}\n");
    }
    text += &format!("-A {prefix}-before-input -i lo -j ACCEPT\n");
    text += &format!("-A {prefix}-before-input -m conntrack --ctstate INVALID -j DROP\n");
    text += &format!("-A {prefix}-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n");
    text + "COMMIT\n"
}

fn load_ufw() {
    for (program, prefix) in [("iptables", "ufw"), ("ip6tables", "ufw6")] {
        sh(&format!("{program}-nft-restore <<'END'\n{}END", ufw(prefix)));
    }
}

/// What iptables-nft has, without the time at which it says so, and how many
/// packets came by.
fn iptables() -> String {
    sh("(iptables-nft-save; ip6tables-nft-save) | sed '/^#/d; s/ [[][0-9:]*[]]$//'")
}

#[test]
fn net2_what_ufw_drops_by_iptables_stays_dropped() {
    on_a_host("net2_what_ufw_drops_by_iptables_stays_dropped", || {
        let (outside, _realm, _bridge, web) = world();
        host::answer(std::net::TcpListener::bind("[::]:90").expect("bind"));
        assert!(outside.ask(FOUR).is_ok() && outside.ask(SIX).is_ok());
        web.netns.ask("172.30.0.1:90").expect("its gateway");
        load_ufw();
        assert!(outside.ask(FOUR).is_err() && outside.ask(SIX).is_err(), "ufw says no");
        web.netns.ask("172.30.0.1:90").expect_err("and lets nobody to the host");
        outside.serve("0.0.0.0:80");
        web.netns.ask("192.0.2.2:80").expect_err("nor out");
        // `ufw route allow`.
        sh("iptables-nft -A ufw-user-forward -d 172.30.0.2 -p tcp --dport 80 -j ACCEPT
            iptables-nft -A ufw-user-input -i coffer0 -j ACCEPT");
        assert_eq!(outside.ask(FOUR).expect("let in"), "::ffff:192.0.2.2", "the client's own");
        outside.ask(SIX).expect_err("by IPv6 still not");
        web.netns.ask("172.30.0.1:90").expect("let to the host");
        sh(&format!("ip6tables-nft -A ufw6-user-forward -d {} -j ACCEPT", web.v6()));
        outside.ask(SIX).expect("let in");
        // `ufw route deny`.
        sh("iptables-nft -I ufw-user-forward -s 192.0.2.2 -j DROP");
        outside.ask(FOUR).expect_err("this one is not");
        assert_eq!(ask("127.0.0.1:8080").expect("from the host itself"), "::ffff:172.30.0.1");
    });
}

#[test]
fn net2_what_iptables_made_is_left_byte_for_byte() {
    on_a_host("net2_what_iptables_made_is_left_byte_for_byte", || {
        load_ufw();
        // As Docker's.
        sh("iptables-nft -t nat -N DOCKER
            iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
            iptables-nft -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9999 -j DNAT \
                --to-destination 172.17.0.2:80
            iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE");
        let theirs = || {
            let tables = ["ip filter", "ip nat", "ip6 filter"];
            let listed = tables.map(|table| sh(&format!("nft -s -a list table {table}")));
            (iptables(), listed)
        };
        let before = theirs();
        let (realm, bridge) = network(&config("coffer0"));
        assert_eq!(theirs(), before, "with a network");
        let ports = [port("0.0.0.0", 8080, 80), port("::", 8080, 80)];
        let web = Guest::publish(&bridge, 2, &ports);
        let egress = Egress::read(["deny"]).expect("valid");
        bridge.fence(&Endpoint { egress, ..web.endpoint.clone() }).expect("fenced");
        assert_eq!(theirs(), before, "with a container");
        sh("nft delete table inet cofferdam-coffer0");
        realm.restore().expect("restored");
        assert_eq!(theirs(), before, "restored");
        drop((realm, bridge));
        let (realm, bridge) = network(&config("coffer0"));
        assert_eq!(theirs(), before, "with the next daemon");
        bridge.unplug(&id(2)).expect("unplugged");
        bridge.remove().expect("removed");
        realm.remove().expect("removed");
        assert_eq!(theirs(), before, "and after all");
        assert!(!sh("nft list tables").contains("cofferdam"));
    });
}

//! NET: the host's own firewall, in charge from the daemon's first moment to
//! its last.

use promises::{Engine, until};

/// What others have in the firewall, as their own tools list it, but for the
/// time, and how many packets came by.
fn theirs(engine: &Engine) -> String {
    engine.host().says(
        "(iptables-nft-save; ip6tables-nft-save) | sed '/^#/d; s/ [[][0-9:]*[]]$//'
         for table in 'ip filter' 'ip nat' 'ip6 filter' 'inet firewalld'; do
             nft -s -a list table $table
         done",
    )
}

/// As ufw, Docker and firewalld have them; what ufw does not know is dropped.
const TABLES: &str = "
for of in ip:ufw ip6:ufw6; do
    prefix=${of#*:}
    ${of%:*}tables-nft-restore <<END
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
:$prefix-before-input -
:$prefix-user-input -
:$prefix-before-forward -
:$prefix-user-forward -
-A INPUT -j $prefix-before-input
-A INPUT -j $prefix-user-input
-A FORWARD -j $prefix-before-forward
-A FORWARD -j $prefix-user-forward
-A $prefix-before-input -i lo -j ACCEPT
-A $prefix-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A $prefix-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A $prefix-user-input -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
END
done
iptables-nft -t nat -N DOCKER
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A DOCKER -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.9:80
nft -f - <<END
table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
        ip saddr 192.0.2.66 drop
    }
}
END
";

fn answers(from: &promises::Host, url: &str) -> bool {
    from.sh(&format!("curl -gsf -m 2 {url}")).stdout == b"hello\n"
}

#[test]
fn net2_the_hosts_own_firewall_stays_in_charge_and_as_it_is() {
    let script = format!("sysctl -qw net.ipv4.ip_forward=0; {TABLES}");
    let mut engine = Engine::prepared(&script, &[]);
    promises::busybox(&engine);
    let neighbour = engine.host().neighbour();
    let before = theirs(&engine);
    let serve = "mkdir /www && echo hello > /www/index.html && exec httpd -f -h /www";
    let words = ["run", "-d", "--name", "a", "-p", "8080:80", "-p", "9000-9100:9000-9100"];
    engine.says(&[&words[..], &["busybox", "sh", "-c", serve]].concat());
    until("the server", || {
        engine.run(&["exec", "a", "wget", "-qO-", "http://127.0.0.1/"]).out == "hello"
    });
    let url = "http://192.0.2.1:8080/";
    assert!(answers(engine.host(), "http://127.0.0.1:8080/"), "from the host");
    assert!(!answers(&neighbour, url), "ufw says no");
    engine.says(&["network", "create", "-o", "cofferdam.egress=deny", "own"]);
    engine.says(&["network", "connect", "own", "a"]);
    assert_eq!(theirs(&engine), before, "with containers and networks");
    // `ufw route allow`, and back.
    let rule = "ufw-user-forward -p tcp --dport 80 -j ACCEPT";
    engine.host().says(&format!("iptables-nft -A {rule}"));
    assert!(answers(&neighbour, url), "ufw says yes");
    engine.host().says(&format!("iptables-nft -D {rule}"));
    assert!(!answers(&neighbour, url), "ufw says no");
    let handles = |text: &str| text.lines().filter(|line| !line.contains("handle")).count();
    assert_eq!(handles(&theirs(&engine)), handles(&before));
    let before = theirs(&engine);
    engine.kill_daemon();
    assert_eq!(theirs(&engine), before, "while there is no daemon");
    engine.start();
    engine.says(&["network", "disconnect", "own", "a"]);
    engine.says(&["network", "rm", "own"]);
    engine.says(&["restart", "-t", "0", "a"]);
    assert_eq!(theirs(&engine), before, "with the next daemon");
    engine.says(&["rm", "-f", "a"]);
    assert_eq!(theirs(&engine), before, "and without containers");
    drop(neighbour);
    engine.leaves_nothing();
}

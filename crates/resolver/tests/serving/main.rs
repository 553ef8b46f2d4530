//! The resolver's process between containers and servers, on real sockets:
//! each test in a network namespace of its own, containers in others.

mod host;
mod server;

use host::{Container, PATIENCE, Way, ask, dir, on_a_host, query, resolver, seat};
use resolver::State;
use rustix::process::Signal;
use server::Server;
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

const A: u16 = 1;
const TXT: u16 = 16;

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn names_are_answered_beside_a_server_of_the_containers_own() {
    on_a_host("names_are_answered_beside_a_server_of_the_containers_own", || {
        let (web, app) = (Container::new(1), Container::new(2));
        let resolver = resolver();
        // At port 53 of every address, 127.0.0.11 included.
        let own = Server::start(&web, "0.0.0.0", server::address([192, 0, 2, 1]));
        web.enter(&resolver, &["web", "all"], &["127.0.0.1"]);
        app.enter(&resolver, &["app", "all"], &[]);
        for way in [Way::Udp, Way::Tcp] {
            let answer = web.ask(way, "app", A);
            assert_eq!((answer.code, answer.addresses()), (0, vec![[10, 0, 0, 2]]), "{way:?}");
            let answer = web.ask(way, "all", A);
            let mut all = answer.addresses();
            all.sort_unstable();
            assert_eq!(all, [[10, 0, 0, 1], [10, 0, 0, 2]], "{way:?}");
            let answer = web.ask(way, "example.org", A);
            assert_eq!(answer.addresses(), [[192, 0, 2, 1]], "{way:?}: by its own server");
            let answer = app.ask(way, "example.org", A);
            assert_eq!(answer.code, 2, "{way:?}: app has no server to ask");
        }
        assert_eq!(own.heard(), 1, "the second answer was an earlier one");
        let direct = ask(&web, Way::Udp, "127.0.0.1", &query("web", A));
        assert_eq!(direct.addresses(), [[192, 0, 2, 1]], "its own server answers for itself");
        web.enter(&resolver, &["renamed"], &["127.0.0.1"]);
        until("the name is to change", || app.ask(Way::Udp, "renamed", A).code == 0);
        assert_eq!(app.ask(Way::Udp, "web", A).code, 2);
        assert!(own.heard() >= 1);
    });
}

#[test]
fn a_forged_answer_is_not_taken() {
    on_a_host("a_forged_answer_is_not_taken", || {
        let web = Container::new(1);
        let resolver = resolver();
        let forging = Server::start(&web, "127.0.0.1", server::after_forgeries([192, 0, 2, 7]));
        web.enter(&resolver, &["web"], &["127.0.0.1"]);
        for number in 0..20 {
            let answer = web.ask(Way::Udp, &format!("n{number}.example"), A);
            assert_eq!(answer.addresses(), [[192, 0, 2, 7]]);
        }
        let ports = forging.ports();
        assert!(ports.len() >= 18, "each question comes from a port of its own: {ports:?}");
    });
}

#[test]
fn the_next_server_is_asked_when_one_fails() {
    on_a_host("the_next_server_is_asked_when_one_fails", || {
        let web = Container::new(1);
        let resolver = resolver();
        let refusing = Server::start(&web, "127.0.0.3", server::code(5));
        let good = Server::start(&web, "127.0.0.4", server::address([192, 0, 2, 1]));
        // Nobody at the first, refusal at the second.
        web.enter(&resolver, &["web"], &["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
        for way in [Way::Udp, Way::Tcp] {
            let answer = web.ask(way, &format!("{way:?}.example"), A);
            assert_eq!(answer.addresses(), [[192, 0, 2, 1]], "{way:?}");
        }
        assert_eq!((refusing.heard(), good.heard()), (2, 2));
        web.enter(&resolver, &["web"], &["127.0.0.2", "127.0.0.3"]);
        until("all servers fail", || web.ask(Way::Udp, "other.example", A).code == 2);
    });
}

#[test]
fn all_who_ask_the_same_at_once_are_answered() {
    on_a_host("all_who_ask_the_same_at_once_are_answered", || {
        let web = Container::new(1);
        let resolver = resolver();
        let (open, gate) = std::sync::mpsc::channel();
        let reply = server::behind(gate, server::address([192, 0, 2, 1]));
        let server = Server::start(&web, "127.0.0.1", reply);
        web.enter(&resolver, &["web"], &["127.0.0.1"]);
        let asking = web.udp();
        let question = |number: u16| {
            let mut bytes = query("example.org", A);
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let heard = || {
            let mut answer = [0; 512];
            let length = asking.recv(&mut answer).ok()?;
            let number = u16::from_be_bytes([answer[0], answer[1]]);
            (length > 12).then_some((number, answer[3] & 15))
        };
        // Some at a time, lest its socket overflow: until one is refused, as
        // none is that the server is still asked for.
        asking.set_nonblocking(true).expect("set");
        let refused = (0..4096).step_by(64).find_map(|first| {
            for number in first..first + 64 {
                asking.send(&question(number)).expect("sent");
            }
            until("its socket to be read", || web.within(host::all_is_read));
            heard()
        });
        assert_eq!(refused, Some((1024, 2)), "more than 1024 do not wait");
        assert_eq!(server.heard(), 1, "the server is asked once");
        open.send(()).expect("it waits");
        asking.set_nonblocking(false).expect("set");
        asking.set_read_timeout(Some(PATIENCE)).expect("set");
        let answers = std::iter::repeat_with(|| heard().expect("an answer"));
        let answered: BTreeSet<_> = answers.filter(|(_, code)| *code == 0).take(64).collect();
        assert_eq!(answered, (0..64).map(|number| (number, 0)).collect());
    });
}

#[test]
fn servers_without_a_way_to_them_cost_no_patience() {
    on_a_host("servers_without_a_way_to_them_cost_no_patience", || {
        let web = Container::new(1);
        let resolver = resolver();
        // Had each its four seconds, the asker would be gone: it has ten.
        web.enter(&resolver, &["web"], &["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(web.ask(Way::Tcp, "example.org", A).code, 2);
        let _good = Server::start(&web, "127.0.0.1", server::address([192, 0, 2, 1]));
        web.enter(&resolver, &["web"], &["192.0.2.1", "192.0.2.2", "127.0.0.1"]);
        until("other servers", || web.ask(Way::Tcp, "example.org", A).code == 0);
    });
}

#[test]
fn a_server_that_cannot_be_watched_takes_no_other_with_it() {
    on_a_host("a_server_that_cannot_be_watched_takes_no_other_with_it", || {
        let web = Container::new(1);
        let resolver = resolver();
        let _good = Server::start(&web, "127.0.0.1", server::address([192, 0, 2, 1]));
        web.enter(&resolver, &["web"], &[]);
        // No set of descriptors takes a file.
        let told = resolver.seat(&seat(&web, &["web"], &["127.0.0.2", "127.0.0.1"]), |_| {
            let file = || fs::File::open("/proc/self/exe").expect("opened").into();
            let mut sockets = vec![file(), file(), file()];
            let good = "127.0.0.1".parse().expect("an address");
            sockets.extend(web.within(|| network::asking_sockets(good)).expect("sockets"));
            Ok::<_, resolver::Error>(sockets)
        });
        assert!(!told.expect("told"));
        for way in [Way::Udp, Way::Tcp] {
            let name = format!("{way:?}.example");
            until("other servers", || web.ask(way, &name, A).code == 0);
        }
        // It is said, and this test is about nothing else that might be.
        let log = host::dir().join("resolver.err");
        let said = fs::read_to_string(&log).expect("read");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("cannot watch the sockets to 127.0.0.2:53"), "{said}");
        fs::write(&log, "").expect("emptied");
    });
}

#[test]
fn what_is_cut_is_whole_by_tcp() {
    on_a_host("what_is_cut_is_whole_by_tcp", || {
        let web = Container::new(1);
        let resolver = resolver();
        let _server = Server::start(&web, "127.0.0.1", server::long_by_tcp(40_000));
        web.enter(&resolver, &["web"], &["127.0.0.1"]);
        let answer = web.ask(Way::Udp, "long.example", TXT);
        assert!(answer.cut && answer.bytes.len() < 512);
        // Twice: the connection's socket serves again.
        for _ in 0..2 {
            let answer = web.ask(Way::Tcp, "long.example", TXT);
            assert!(!answer.cut && answer.bytes.len() > 40_000, "{} bytes", answer.bytes.len());
        }
    });
}

#[test]
fn it_outlives_the_daemon_and_ends_with_its_last_container() {
    on_a_host("it_outlives_the_daemon_and_ends_with_its_last_container", || {
        let (web, app) = (Container::new(1), Container::new(2));
        let first = resolver();
        web.enter(&first, &["web"], &[]);
        app.enter(&first, &["app"], &[]);
        let pid = first.process().expect("it runs");
        drop(first);
        assert_eq!(web.ask(Way::Udp, "app", A).addresses(), [[10, 0, 0, 2]]);
        // One ends while there is no daemon.
        let netns = app.end();
        until("its sockets are to go", || host::sockets_in(&netns) == 0);
        assert_eq!(web.ask(Way::Udp, "app", A).code, 2);
        let second = resolver();
        assert_eq!(second.find().expect("it answers").as_slice(), std::slice::from_ref(&web.id));
        assert!(
            !second
                .seat(&seat(&web, &["web", "more"], &[]), |wanted| {
                    assert!(!wanted.door && wanted.lanes.is_empty());
                    Ok::<_, resolver::Error>(Vec::new())
                })
                .expect("told")
        );
        until("a new name", || web.ask(Way::Udp, "more", A).code == 0);
        drop(second);
        drop(web);
        until("nothing is left to serve", || !host::runs(pid));
    });
}

#[test]
fn a_killed_resolver_is_told_of_everything_again() {
    on_a_host("a_killed_resolver_is_told_of_everything_again", || {
        let web = Container::new(1);
        let resolver = resolver();
        assert!(web.enter(&resolver, &["web"], &[]));
        let pid = resolver.process().expect("it runs");
        assert_eq!(web.ask(Way::Udp, "web", A).code, 0);
        assert_eq!(resolver.look(), resolver::State::Runs);
        host::kill(pid);
        until("the kill", || !matches!(resolver.look(), resolver::State::Runs));
        assert!(web.enter(&resolver, &["web"], &[]), "a new connection");
        assert_eq!(web.ask(Way::Tcp, "web", A).addresses(), [[10, 0, 0, 1]]);
        assert_ne!(resolver.process(), Some(pid));
        resolver.leave(&web.id);
        resolver.close().expect("closed");
        assert!(
            fs::read_dir(host::dir())
                .expect("listed")
                .flatten()
                .all(|entry| { entry.file_name() != "resolver.sock" })
        );
    });
}

#[test]
fn one_that_hangs_is_replaced_by_the_next_daemon() {
    on_a_host("one_that_hangs_is_replaced_by_the_next_daemon", || hangs(|| {}));
}

#[test]
fn one_that_lets_nobody_in_is_replaced_as_well() {
    on_a_host("one_that_lets_nobody_in_is_replaced_as_well", || {
        hangs(host::knock_until_it_is_full);
    });
}

/// It hangs when its daemon dies, and `then` is done before the next begins.
fn hangs(then: impl Fn()) {
    let web = Container::new(1);
    let first = resolver();
    web.enter(&first, &["web"], &[]);
    assert_eq!(web.ask(Way::Udp, "web", A).code, 0);
    let pid = first.process().expect("it runs");
    host::send(pid, Signal::STOP);
    drop(first);
    then();
    let second = resolver();
    assert_eq!(second.find().expect("it is given up"), []);
    assert!(!host::runs(pid), "nor does it keep what it has");
    assert!(web.enter(&second, &["web"], &[]), "a new connection");
    assert_eq!(web.ask(Way::Udp, "web", A).addresses(), [[10, 0, 0, 1]]);
}

#[test]
fn one_that_hangs_later_is_replaced_when_it_is_to_be_told() {
    on_a_host("one_that_hangs_later_is_replaced_when_it_is_to_be_told", || {
        let (web, app) = (Container::new(1), Container::new(2));
        let first = resolver();
        web.enter(&first, &["web"], &[]);
        assert_eq!(web.ask(Way::Udp, "web", A).code, 0);
        let pid = first.process().expect("it runs");
        drop(first);
        let second = resolver();
        assert_eq!(second.find().expect("it answers").len(), 1);
        host::send(pid, Signal::STOP);
        // More than its connection holds.
        let long: Vec<String> = (0..15_000).map(|n| format!("{n:060}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let fresh = (0..9).any(|_| app.enter(&second, &long, &[]));
        assert!(fresh && !host::runs(pid));
        assert_eq!(app.ask(Way::Udp, long[7], A).addresses(), [[10, 0, 0, 2]]);
    });
}

#[test]
fn it_has_no_rights() {
    on_a_host("it_has_no_rights", || {
        let web = Container::new(1);
        let resolver = resolver();
        web.enter(&resolver, &["web"], &["127.0.0.1"]);
        assert_eq!(web.ask(Way::Udp, "web", A).code, 0);
        let pid = resolver.process().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read");
        let is = |key: &str, value: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            assert_eq!(line.map(str::trim), Some(value), "{key}");
        };
        is("Uid:", "424242\t424242\t424242\t424242");
        is("Gid:", "424242\t424242\t424242\t424242");
        is("Groups:", "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            is(set, "0000000000000000");
        }
        is("NoNewPrivs:", "1");
        is("Seccomp:", "2");
        is("Threads:", "1");
        let nobody: IpAddr = "192.0.2.9".parse().expect("an address");
        assert!(network::asking_sockets(nobody).is_ok(), "the test itself may");
    });
}

#[test]
fn a_container_that_destroys_the_sockets_harms_itself_alone() {
    on_a_host("a_container_that_destroys_the_sockets_harms_itself_alone", || {
        let (vandal, quiet) = (Container::new(1), Container::new(2));
        let resolver = resolver();
        vandal.enter(&resolver, &["vandal"], &["127.0.0.1"]);
        quiet.enter(&resolver, &["quiet"], &[]);
        assert_eq!(vandal.ask(Way::Tcp, "vandal", A).code, 0);
        vandal.within(|| {
            let kill = ["-K", "--all", "--tcp", "--udp", "src", "127.0.0.11"];
            let killed = Command::new("ss").args(kill).output().expect("ss(8)");
            assert!(killed.status.success(), "{killed:?}");
        });
        assert!(!vandal.within(|| TcpStream::connect("127.0.0.11:53").is_ok()));
        let pid = resolver.process().expect("it runs");
        assert_eq!(quiet.ask(Way::Tcp, "quiet", A).addresses(), [[10, 0, 0, 2]]);
        // One that is woken without end never does.
        until("it is to sleep", || host::sleeps(pid));
    });
}

#[test]
fn noise_stops_nobody() {
    on_a_host("noise_stops_nobody", || {
        let (loud, quiet) = (Container::new(1), Container::new(2));
        let resolver = resolver();
        loud.enter(&resolver, &["loud"], &["127.0.0.1"]);
        quiet.enter(&resolver, &["quiet"], &[]);
        loud.make_noise();
        assert_eq!(quiet.ask(Way::Udp, "quiet", A).addresses(), [[10, 0, 0, 2]]);
        assert_eq!(loud.ask(Way::Tcp, "loud", A).addresses(), [[10, 0, 0, 1]]);
    });
}

#[test]
fn a_scribe_that_cannot_be_started_takes_names_from_nobody() {
    on_a_host("a_scribe_that_cannot_be_started_takes_names_from_nobody", || {
        let program = dir().join("program");
        std::fs::copy(env!("CARGO_BIN_EXE_resolver-alone"), &program).expect("copied");
        let resolver = resolver::Resolver::new(&program, dir(), 424_242, "coffer0");
        let (a, b) = (Container::new(1), Container::new(2));
        assert!(a.enter(&resolver, &["a"], &[]));
        std::fs::remove_file(&program).expect("ours");
        let named = resolver::wire::Named { name: "api.example".into(), port: None };
        let fence = resolver::wire::Fence { names: vec![named], ..Default::default() };
        let seat = resolver::wire::Seat { fences: vec![fence], ..seat(&b, &["b"], &[]) };
        let none = |_: &resolver::Wanted| Ok::<_, resolver::Error>(Vec::new());
        resolver.seat(&seat, none).expect_err("there is no program");
        assert_eq!(resolver.look(), State::Runs);
        assert_eq!(a.ask(Way::Udp, "a", 1).code, 0, "it is answered as ever");
    });
}

use super::*;
use crate::{
    packet::tests::query,
    table::tests::{place, seat},
    wire::{Seat, Server, Service},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, str::FromStr};

fn table() -> Table {
    let mut table = Table::default();
    let mut web = place("front", 1, &["web", "all"]);
    web.addr6 = Some("fd00::1".parse().expect("an address"));
    table.seat(1, &seat(1, vec![web]));
    let http = Service { first: 80, last: 80, proto: "tcp".into(), names: vec!["http".into()] };
    let app = seat(2, vec![place("front", 2, &["app", "all"])]);
    table.seat(2, &Seat { services: vec![http], ..app });
    table
}

fn outside() -> Upstream {
    let address = IpAddr::from([192, 0, 2, 53]);
    Upstream { servers: vec![Server { address, of_host: false }], ndots: false }
}

fn ask(upstream: &Upstream, query: &[u8]) -> Answer {
    let table = table();
    let asker = Asker { number: 1, table: &table, upstream, fences: &[] };
    let mut dice = Dice::new().expect("random bytes");
    answer(&asker, query, Way::Udp, &mut dice).expect("random bytes")
}

fn told(name: &str, kind: u16) -> Message {
    match ask(&outside(), &query(9, name, kind)) {
        Answer::Say(bytes) => Message::from_vec(&bytes).expect("well-formed"),
        Answer::Ask(_) => panic!("{name} was to be known"),
    }
}

fn addresses(message: &Message) -> BTreeSet<String> {
    let text = |record: &Record| match &record.data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(aaaa) => aaaa.0.to_string(),
        other => format!("{other:?}"),
    };
    message.answers.iter().map(text).collect()
}

fn texts(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_known_name_is_answered_as_docker_does() {
    let message = told("WEB", 1);
    assert_eq!(addresses(&message), texts(&["10.0.0.1"]));
    assert_eq!(message.answers[0].ttl, 600);
    assert_eq!(message.answers[0].name.to_ascii(), "WEB.", "in the asker's case");
    assert!(message.recursion_available && message.recursion_desired && !message.authoritative);
    assert_eq!((message.id, message.response_code), (9, ResponseCode::NoError));
    assert_eq!(addresses(&told("web", 28)), texts(&["fd00::1"]));
    assert_eq!(addresses(&told("all.front", 1)), texts(&["10.0.0.1", "10.0.0.2"]));
}

#[test]
fn a_known_name_without_such_an_address_is_not_asked_elsewhere() {
    for (name, kind) in [("app", 28), ("web", 15)] {
        let message = told(name, kind);
        assert_eq!((message.response_code, message.answers.len()), (ResponseCode::NoError, 0));
    }
}

#[test]
fn an_address_is_answered_with_a_name() {
    for (name, host) in [
        ("2.0.0.10.in-addr.arpa", "app.front."),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "web.front."),
    ] {
        let message = told(name, 12);
        let target = Name::from_str(host).expect("a name");
        assert_eq!(message.answers[0].data, RData::PTR(PTR(target)), "{name}");
    }
    for foreign in ["9.0.0.10.in-addr.arpa", "0.0.10.in-addr.arpa", "x.ip6.arpa", "web"] {
        let answer = ask(&outside(), &query(9, foreign, 12));
        assert!(matches!(answer, Answer::Ask(_)), "{foreign}");
    }
}

#[test]
fn who_serves_at_a_port_is_answered_with_its_address_beside() {
    const SRV: u16 = 33;
    for name in ["_80._tcp.app", "_HTTP._tcp.APP", "_http._tcp.app.front", "_80._tcp.all"] {
        let message = told(name, SRV);
        let [record] = &message.answers[..] else { panic!("{name}: {message:?}") };
        let RData::SRV(srv) = &record.data else { panic!("{record:?}") };
        assert_eq!((srv.port, srv.target.to_ascii().as_str()), (80, "app.front."), "{name}");
        let beside: Vec<String> = message.additionals.iter().map(ToString::to_string).collect();
        assert_eq!(beside, ["app.front. 600 IN A 10.0.0.2"], "{name}");
    }
    for known in ["_443._tcp.app", "_80._udp.app", "_80._tcp.web"] {
        assert!(told(known, SRV).answers.is_empty(), "{known}");
    }
    for other in ["_80._tcp.example.org", "_ldap._tcp", "app", "80.tcp.app"] {
        assert!(matches!(ask(&outside(), &query(9, other, SRV)), Answer::Ask(_)), "{other}");
    }
}

#[test]
fn others_are_asked_about_what_is_not_known() {
    for (name, kind) in [("example.org", 1), ("nobody", 1), ("web", 16), ("web", 33)] {
        assert!(matches!(ask(&outside(), &query(9, name, kind)), Answer::Ask(_)), "{name}");
    }
}

#[test]
fn nobody_is_asked_from_internal_networks() {
    let Answer::Say(bytes) = ask(&Upstream::default(), &query(9, "example.org", 1)) else {
        panic!("it was to be asked elsewhere");
    };
    let message = Message::from_vec(&bytes).expect("well-formed");
    assert_eq!(message.response_code, ResponseCode::ServFail);
}

#[test]
fn with_ndots_a_name_without_a_dot_is_not_asked_elsewhere() {
    let upstream = Upstream { ndots: true, ..outside() };
    assert!(matches!(ask(&upstream, &query(9, "nobody", 1)), Answer::Say(_)));
    assert!(matches!(ask(&upstream, &query(9, "example.org", 1)), Answer::Ask(_)));
    assert!(matches!(ask(&upstream, &query(9, "nobody", 16)), Answer::Ask(_)));
}

#[test]
fn as_many_addresses_are_answered_as_fit() {
    let mut table = Table::default();
    for number in 0..100_u8 {
        let seat = seat(number, vec![place("front", number, &["all"])]);
        table.seat(u32::from(number), &seat);
    }
    let upstream = Upstream::default();
    let asker = Asker { number: 1, table: &table, upstream: &upstream, fences: &[] };
    let mut dice = Dice::new().expect("random bytes");
    let mut ask = |query: &[u8], way| match answer(&asker, query, way, &mut dice) {
        Ok(Answer::Say(bytes)) => bytes,
        other => panic!("{other:?}"),
    };
    let short = ask(&query(9, "all", 1), Way::Udp);
    let message = Message::from_vec(&short).expect("well-formed");
    assert!(short.len() <= 512 && message.truncation, "{} bytes", short.len());
    assert_eq!(message.answers.len(), (512 - 21) / 16);
    let whole = Message::from_vec(&ask(&query(9, "all", 1), Way::Tcp)).expect("well-formed");
    assert_eq!((whole.answers.len(), whole.truncation), (100, false));
    let mut large = Message::from_vec(&query(9, "all", 1)).expect("well-formed");
    let mut edns = Edns::new();
    edns.set_max_payload(1600);
    large.set_edns(edns);
    let bytes = ask(&large.to_vec().expect("spelt"), Way::Udp);
    let message = Message::from_vec(&bytes).expect("well-formed");
    assert!(bytes.len() <= 1600 && bytes.len() > 1500 && message.truncation);
    assert!(message.edns.is_some(), "who speaks EDNS is answered in it");
}

#[test]
fn all_come_first_now_and_then() {
    let firsts: BTreeSet<String> =
        (0..60).map(|_| told("all", 1)).map(|m| m.answers[0].data.to_string()).collect();
    assert_eq!(firsts, texts(&["10.0.0.1", "10.0.0.2"]));
}

#[test]
fn an_asker_with_options_gets_no_earlier_answer() {
    let under = |query: &[u8]| match ask(&outside(), query) {
        Answer::Ask(asked) => asked.cached_under,
        Answer::Say(_) => panic!("not known here"),
    };
    let plain = query(9, "example.org", 1);
    assert_eq!(under(&plain), Some(0));
    let mut cookie = plain.clone();
    cookie[11] = 1;
    // OPT: root, type 41, 4096 bytes, flags 0, one option of 8 bytes (10: cookie).
    cookie.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(under(&cookie), None);
}

proptest! {
    #[test]
    fn whatever_comes_is_answered_or_not_but_nothing_panics(
        head in proptest::collection::vec(any::<u8>(), 8),
        tail in proptest::collection::vec(any::<u8>(), 0..300),
        flip in any::<(usize, u8)>(),
        name in "[a-zA-Z0-9.-]{0,80}",
        kind in any::<u16>(),
    ) {
        let mut noise = vec![0, 9, 1, 0, 0, 1];
        noise.extend(&head[..6]);
        noise.extend(&tail);
        let _ = ask(&outside(), &noise);
        let labels: Vec<&str> = name.split('.').filter(|l| !l.is_empty() && l.len() < 64).collect();
        let mut bytes = query(9, &labels.join("."), kind);
        bytes.extend(&tail);
        let at = flip.0 % bytes.len();
        bytes[at] ^= flip.1;
        let _ = ask(&outside(), &bytes);
    }
}

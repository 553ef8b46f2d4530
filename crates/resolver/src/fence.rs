//! What a container may ask about, and what an answer teaches.
//!
//! A container whose policy lets little out asks about the names that it
//! allows and no others: a question is a way out too. What those names lead to
//! it may reach as long as the answer holds, which the kernel has to know
//! before the container does.

use crate::wire::{Fence, Learnt, Who};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RData,
};
use std::net::IpAddr;

/// What an answer teaches holds for so long at least, in seconds: who was just
/// told an address has to have the time to go there.
const LEAST: u32 = 30;
/// And at most.
const MOST: u32 = 24 * 3600;
/// Addresses of one answer.
const ADDRESSES: usize = 64;
/// Links from one name to another.
const LINKS: usize = 16;

/// May this name be asked about? In lower case, without a final dot.
pub(crate) fn may_ask(fences: &[Fence], name: Option<&str>) -> bool {
    let lets = |fence: &Fence| {
        !fence.limits
            || name.is_some_and(|name| fence.names.iter().any(|own| fits(&own.name, name)))
    };
    fences.iter().all(lets)
}

/// Is a name what a policy spells, or below it?
fn fits(allowed: &str, name: &str) -> bool {
    match allowed.strip_prefix("*.") {
        Some(above) => {
            name.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        }
        None => name == allowed,
    }
}

/// What an answer teaches, for each policy that allows its name.
pub(crate) fn lessons(fences: &[Fence], answer: &[u8]) -> Vec<Learnt> {
    if fences.iter().all(|fence| fence.names.is_empty()) {
        return Vec::new();
    }
    let Some((name, addresses)) = addresses(answer) else { return Vec::new() };
    let mut all = Vec::new();
    for fence in fences {
        for allowed in fence.names.iter().filter(|allowed| fits(&allowed.name, &name)) {
            for (address, ttl) in &addresses {
                let own = fence.addresses.iter().filter(|own| own.is_ipv4() == address.is_ipv4());
                let own = own.map(|own| Who::Address(*own));
                let bridge = fence.bridge.iter().map(|bridge| Who::Bridge(bridge.clone()));
                all.extend(own.chain(bridge).map(|who| Learnt {
                    who,
                    address: *address,
                    port: allowed.port,
                    name: allowed.name.clone(),
                    seconds: (*ttl).clamp(LEAST, MOST),
                }));
            }
        }
    }
    all
}

/// The name that was asked about, and the addresses that it leads to, with for
/// how long.
fn addresses(answer: &[u8]) -> Option<(String, Vec<(IpAddr, u32)>)> {
    let message = Message::from_vec(answer).ok()?;
    if message.response_code != ResponseCode::NoError {
        return None;
    }
    let asked = message.queries.first()?.name();
    let mut owners = vec![(asked.clone(), u32::MAX)];
    // A name that leads to another stands before it, by custom and not by law.
    for _ in 0..LINKS {
        let known = owners.len();
        for record in &message.answers {
            let from = owners.iter().find(|(owner, _)| *owner == record.name);
            if let (RData::CNAME(to), Some((_, ttl))) = (&record.data, from)
                && !owners.iter().any(|(owner, _)| *owner == to.0)
            {
                owners.push((to.0.clone(), record.ttl.min(*ttl)));
            }
        }
        if owners.len() == known {
            break;
        }
    }
    let found = message.answers.iter().filter_map(|record| {
        let (_, ttl) = owners.iter().find(|(owner, _)| *owner == record.name)?;
        let address: IpAddr = match &record.data {
            RData::A(a) => a.0.into(),
            RData::AAAA(aaaa) => aaaa.0.into(),
            _ => return None,
        };
        may_be_meant(address).then_some((address, record.ttl.min(*ttl)))
    });
    Some((crate::answer::text(asked)?.to_ascii_lowercase(), found.take(ADDRESSES).collect()))
}

/// Whoever answers for a name must not open by it what is the host's own.
fn may_be_meant(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{packet::tests::query, wire::Named};
    use hickory_proto::rr::{
        Name, Record,
        rdata::{A, AAAA, CNAME},
    };
    use std::net::Ipv4Addr;

    const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 20, 0, 2));

    fn fence(names: &[(&str, Option<u16>)]) -> Fence {
        let named =
            |(name, port): &(&str, Option<u16>)| Named { name: (*name).into(), port: *port };
        Fence {
            limits: true,
            addresses: vec![OWN],
            bridge: None,
            names: names.iter().map(named).collect(),
        }
    }

    fn name(text: &str) -> Name {
        let mut name: Name = text.parse().expect("a name");
        name.set_fqdn(true);
        name
    }

    fn answered(asked: &str, records: &[(&str, u32, RData)]) -> Vec<u8> {
        let mut message =
            Message::from_vec(&query(1, asked, 1)).expect("well-formed").into_response();
        for (owner, ttl, data) in records {
            message.add_answer(Record::from_rdata(name(owner), *ttl, data.clone()));
        }
        message.to_vec().expect("spelt")
    }

    fn v4(last: u8) -> RData {
        RData::A(A::new(192, 0, 2, last))
    }

    #[test]
    fn a_name_is_asked_about_if_every_policy_allows_it() {
        let (narrow, wide) = (fence(&[("api.example", None)]), fence(&[("*.example", None)]));
        let free = Fence { limits: false, ..fence(&[]) };
        let both = [narrow, wide, free];
        assert!(may_ask(&both, Some("api.example")) && !may_ask(&both, Some("web.example")));
        assert!(may_ask(&both[1..], Some("a.b.example")), "at any depth");
        for other in ["example", "badexample", ".example", "api.example.evil.org", ""] {
            assert!(!may_ask(&both[1..], Some(other)), "{other}");
        }
        assert!(!may_ask(&both, None) && may_ask(&[], None));
    }

    #[test]
    fn an_answer_teaches_what_its_name_leads_to() {
        let fences = [fence(&[("api.example", Some(443)), ("*.example", None)])];
        let alias = RData::CNAME(CNAME(name("cdn.example.net")));
        let answer = answered(
            "API.example",
            &[
                ("cdn.example.net", 60, v4(1)),
                ("api.example", 300, alias),
                ("other.example", 60, v4(2)),
                ("cdn.example.net", 5, RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
            ],
        );
        let lessons = lessons(&fences, &answer);
        let said: Vec<_> =
            lessons.iter().map(|l| (l.address.to_string(), l.port, l.seconds)).collect();
        let expected =
            [("192.0.2.1".to_owned(), Some(443), 60), ("192.0.2.1".to_owned(), None, 60)];
        assert_eq!(said, expected, "no stranger's, and none that its own family cannot reach");
        assert!(lessons.iter().all(|lesson| lesson.who == Who::Address(OWN)));
    }

    #[test]
    fn what_is_the_hosts_own_is_not_taught() {
        let fences = [fence(&[("*.example", None)])];
        for address in [[127, 0, 0, 1], [169, 254, 169, 254], [0, 0, 0, 0], [224, 0, 0, 1]] {
            let answer = answered("a.example", &[("a.example", 60, RData::A(A(address.into())))]);
            assert_eq!(lessons(&fences, &answer), [], "{address:?}");
        }
        let soon = answered("a.example", &[("a.example", 0, v4(1))]);
        assert_eq!(lessons(&fences, &soon)[0].seconds, LEAST);
        assert_eq!(lessons(&fences, &answered("a.org", &[("a.org", 60, v4(1))])), []);
    }

    #[test]
    fn a_chain_without_end_ends() {
        let alias = |to: &str| RData::CNAME(CNAME(name(to)));
        let circle = [("a.example", 9, alias("b.example")), ("b.example", 9, alias("a.example"))];
        assert_eq!(lessons(&[fence(&[("a.example", None)])], &answered("a.example", &circle)), []);
    }
}

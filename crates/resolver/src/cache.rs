//! Earlier answers of servers, of one container.
//!
//! Each container has its own: an answer comes by the container's own network
//! namespace, where it may write what it likes, and what a container was told
//! is nobody else's business.

use crate::packet;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Answers of one container.
const EACH: usize = 128;
/// Answers of all containers.
const ALL: usize = 2048;
/// Longest answer that is kept, in bytes.
const LONGEST: usize = 768;
/// Longest that an answer is kept, in seconds.
const LONG: u32 = 3600;
/// Longest that it is kept that there is none, in seconds: names come up.
const NONE_LONG: u32 = 30;

/// Question and flags.
type Key = (Vec<u8>, u8);

/// Answers, the oldest first in `order`.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: HashMap<Key, Kept>,
    order: VecDeque<Key>,
}

#[derive(Debug)]
struct Kept {
    answer: Vec<u8>,
    since: Instant,
    until: Instant,
}

/// How many all containers have.
#[derive(Debug, Default)]
pub(crate) struct Total(usize);

impl Cache {
    /// An earlier answer that still holds, to this query.
    pub fn find(&self, query: &[u8], question: &[u8], flags: u8, now: Instant) -> Option<Vec<u8>> {
        let kept = self.kept.get(&(question.to_vec(), flags)).filter(|kept| now < kept.until)?;
        let mut message = Message::from_vec(&kept.answer).ok()?;
        let age = now.saturating_duration_since(kept.since).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        for list in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
            for record in list {
                record.ttl = record.ttl.saturating_sub(age);
            }
        }
        // The asker's own spelling.
        message.queries = Message::from_vec(query).ok()?.queries;
        let mut answer = message.to_vec().ok()?;
        packet::set_id(&mut answer, packet::id(query)?);
        Some(answer)
    }

    /// Keeps an answer, if it may be kept and there is room.
    pub fn keep(
        &mut self,
        answer: &[u8],
        question: &[u8],
        flags: u8,
        now: Instant,
        total: &mut Total,
    ) {
        let Some(ttl) = lasts(answer) else { return };
        let key = (question.to_vec(), flags);
        let until = now + Duration::from_secs(ttl.into());
        let kept = Kept { answer: answer.to_vec(), since: now, until };
        if let Some(place) = self.kept.get_mut(&key) {
            *place = kept;
            return;
        }
        if self.order.len() >= EACH || total.0 >= ALL {
            let Some(oldest) = self.order.pop_front() else { return };
            self.kept.remove(&oldest);
            total.0 -= 1;
        }
        self.order.push_back(key.clone());
        self.kept.insert(key, kept);
        total.0 += 1;
    }

    /// Forgets everything.
    pub fn clear(&mut self, total: &mut Total) {
        total.0 -= self.order.len();
        *self = Self::default();
    }
}

/// For how many seconds an answer holds; none if it is not to be kept.
///
/// Source: RFC 2181, section 5.2; RFC 2308, sections 2.2 and 5.
fn lasts(answer: &[u8]) -> Option<u32> {
    if answer.len() > LONGEST || packet::is_cut(answer) {
        return None;
    }
    let message = Message::from_vec(answer).ok()?;
    let wanted = message.queries.first()?.query_type();
    let is_wanted = |record: &Record| wanted == RecordType::ANY || record.record_type() == wanted;
    // An alias that leads to nothing of the type says that there is none.
    let none = !message.answers.iter().any(is_wanted);
    let longest = match (message.response_code, none) {
        (ResponseCode::NoError, false) => LONG,
        (ResponseCode::NoError, true) | (ResponseCode::NXDomain, _) => {
            let soa = message.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })?;
            soa.min(NONE_LONG)
        }
        _ => return None,
    };
    let ttl = message.answers.iter().map(|record| record.ttl).fold(longest, u32::min);
    (ttl > 0).then_some(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Read, tests::query};
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};

    fn question(bytes: &[u8]) -> Vec<u8> {
        match packet::read(bytes) {
            Read::Query(query) => query.question,
            other => panic!("{other:?}"),
        }
    }

    fn answer(name: &str, ttl: u32) -> Vec<u8> {
        let mut message =
            Message::from_vec(&query(1, name, 1)).expect("well-formed").into_response();
        let name = message.queries[0].name().clone();
        let data = RData::A(A::new(192, 0, 2, 1));
        message.add_answer(Record::from_rdata(name, ttl, data));
        message.to_vec().expect("spelt")
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says_and_counts_down() {
        let (mut cache, mut total, now) = (Cache::default(), Total::default(), Instant::now());
        let asked = query(1, "example.org", 1);
        cache.keep(&answer("example.org", 60), &question(&asked), 0, now, &mut total);
        let again = query(77, "EXAMPLE.org", 1);
        let after = |seconds| {
            let now = now + Duration::from_secs(seconds);
            cache.find(&again, &question(&again), 0, now)
        };
        let found = Message::from_vec(&after(20).expect("kept")).expect("well-formed");
        assert_eq!((found.id, found.answers[0].ttl), (77, 40));
        assert_eq!(found.queries[0].name().to_ascii(), "EXAMPLE.org.");
        assert_eq!(after(60), None);
        assert_eq!(cache.find(&again, &question(&again), 1, now), None, "under other flags");
    }

    #[test]
    fn what_says_not_to_be_kept_is_not() {
        assert_eq!(lasts(&answer("example.org", 0)), None);
        assert_eq!(lasts(&answer("example.org", 60)), Some(60));
        assert_eq!(lasts(&answer("example.org", 90_000)), Some(LONG));
        let mut cut = answer("example.org", 60);
        cut[2] |= 2;
        assert_eq!(lasts(&cut), None);
        let mut failed = answer("example.org", 60);
        failed[3] |= 2;
        assert_eq!(lasts(&failed), None);
    }

    #[test]
    fn that_there_is_none_holds_for_a_moment() {
        let mut message =
            Message::from_vec(&query(1, "no.example", 1)).expect("well-formed").into_response();
        message.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(lasts(&message.to_vec().expect("spelt")), None, "nobody says how long");
        let name = message.queries[0].name().clone();
        let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, 5);
        message.add_authority(Record::from_rdata(name, 60, RData::SOA(soa)));
        assert_eq!(lasts(&message.to_vec().expect("spelt")), Some(5));
    }

    #[test]
    fn that_an_alias_leads_to_none_holds_for_a_moment_too() {
        let mut message =
            Message::from_vec(&query(1, "no.example", 28)).expect("well-formed").into_response();
        let name = message.queries[0].name().clone();
        let alias = RData::CNAME(CNAME(name.clone()));
        message.add_answer(Record::from_rdata(name.clone(), 3000, alias));
        assert_eq!(lasts(&message.to_vec().expect("spelt")), None, "nobody says how long");
        let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, 500);
        message.add_authority(Record::from_rdata(name.clone(), 600, RData::SOA(soa)));
        assert_eq!(lasts(&message.to_vec().expect("spelt")), Some(NONE_LONG));
        message.answers[0].ttl = 7;
        assert_eq!(lasts(&message.to_vec().expect("spelt")), Some(7), "the alias holds no longer");
        let data = RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
        message.add_answer(Record::from_rdata(name, 90, data));
        message.answers[0].ttl = 3000;
        assert_eq!(lasts(&message.to_vec().expect("spelt")), Some(90), "there is one");
    }

    #[test]
    fn whoever_asks_for_an_alias_or_for_anything_is_answered_by_one() {
        for kind in [5, 255] {
            let mut message = Message::from_vec(&query(1, "x.example", kind))
                .expect("well-formed")
                .into_response();
            let name = message.queries[0].name().clone();
            let alias = RData::CNAME(CNAME(name.clone()));
            message.add_answer(Record::from_rdata(name, 300, alias));
            assert_eq!(lasts(&message.to_vec().expect("spelt")), Some(300), "{kind}");
        }
    }

    #[test]
    fn the_oldest_make_room_and_nobody_takes_it_all() {
        let (mut one, mut total, now) = (Cache::default(), Total::default(), Instant::now());
        for number in 0..EACH + 10 {
            let name = format!("n{number}.example");
            let asked = query(1, &name, 1);
            one.keep(&answer(&name, 60), &question(&asked), 0, now, &mut total);
        }
        assert_eq!((one.kept.len(), one.order.len(), total.0), (EACH, EACH, EACH));
        let first = query(1, "n0.example", 1);
        assert_eq!(one.find(&first, &question(&first), 0, now), None);
        total.0 = ALL;
        let mut other = Cache::default();
        other.keep(&answer("n1.example", 60), b"q", 0, now, &mut total);
        assert_eq!((other.kept.len(), total.0), (0, ALL), "no room for a newcomer");
        total.0 = EACH;
        one.clear(&mut total);
        assert_eq!(total.0, 0);
    }
}

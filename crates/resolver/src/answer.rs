//! The answer to a question: from the table, or not at all.
//!
//! What is answered, with which code and for how long, is Docker's. Source:
//! `libnetwork/resolver.go` of moby (`serveDNS`, `handleIPQuery`,
//! `handlePTRQuery`, `handleMXQuery`). Docker's finds services (`SRV`) of a
//! swarm alone; here a container's exposed and published ports are found,
//! [by number or name](services).

use crate::{
    dice::Dice,
    fence,
    packet::{self, LARGE, SMALL},
    table::{Number, Serving, Table, Wanted},
    wire::{Fence, Upstream},
};
use hickory_proto::{
    op::{Edns, Message, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR, SRV},
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// How long an answer holds, in seconds. Source: `respTTL` of moby.
const TTL: u32 = 600;
/// What we take over UDP, in bytes. Source: DNS flag day 2020.
const OURS: u16 = 1232;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

/// What is known of a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// This.
    Say(Vec<u8>),
    /// Others are to be asked.
    Ask(Asked),
}

/// A question for others.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Longest answer that the asker takes, in bytes.
    pub limit: usize,
    /// An earlier answer will do: what it depends on beside the question.
    pub cached_under: Option<u8>,
}

/// Who asks, and where it is looked up.
pub(crate) struct Asker<'a> {
    pub number: Number,
    pub table: &'a Table,
    pub upstream: &'a Upstream,
    pub fences: &'a [Fence],
}

/// Answers a question that [`packet::read`] has found to be one.
///
/// # Errors
/// The kernel has no random numbers.
pub(crate) fn answer(
    asker: &Asker<'_>,
    query: &[u8],
    way: Way,
    dice: &mut Dice,
) -> io::Result<Answer> {
    let Ok(message) = Message::from_vec(query) else {
        return Ok(Answer::Say(packet::failure(query, ResponseCode::FormErr)));
    };
    let limit = limit(&message, way);
    let Some(question) = message.queries.first() else {
        return Ok(Answer::Say(packet::failure(query, ResponseCode::FormErr)));
    };
    let kind = question.query_type();
    let internet = question.query_class() == DNSClass::IN;
    let known = if internet { local(asker, question.name(), kind, dice)? } else { None };
    if let Some(records) = known {
        return Ok(Answer::Say(said(&message, records, limit)));
    }
    if internet
        && kind == RecordType::SRV
        && let Some(found) = services(asker, question.name(), dice)?
    {
        return Ok(Answer::Say(said(&message, found, limit)));
    }
    let of_addresses = matches!(kind, RecordType::A | RecordType::AAAA);
    if asker.upstream.servers.is_empty() {
        return Ok(Answer::Say(packet::failure(query, ResponseCode::ServFail)));
    }
    let name = text(question.name()).map(|name| name.to_ascii_lowercase());
    if !fence::may_ask(asker.fences, name.as_deref()) {
        // To this container there is no such name; no C library waits for it.
        return Ok(Answer::Say(packet::failure(query, ResponseCode::NXDomain)));
    }
    if of_addresses && asker.upstream.ndots && question.name().num_labels() < 2 {
        // The asker is to come again with a search domain.
        return Ok(Answer::Say(said(&message, Known::default(), limit)));
    }
    Ok(Answer::Ask(Asked { limit, cached_under: cached_under(&message) }))
}

/// How long the answer may be.
fn limit(query: &Message, way: Way) -> usize {
    match (way, &query.edns) {
        (Way::Tcp, _) => LARGE,
        (Way::Udp, Some(edns)) => usize::from(edns.max_payload()).max(SMALL),
        (Way::Udp, None) => SMALL,
    }
}

/// The flags that an answer depends on; none if an asker's options are a
/// reason to ask anew.
fn cached_under(query: &Message) -> Option<u8> {
    let bit = |set: bool, place: u8| u8::from(set) << place;
    let options = query.edns.as_ref().is_some_and(|edns| !edns.options().as_ref().is_empty());
    let plain = query.answers.is_empty()
        && query.authorities.is_empty()
        && query.additionals.is_empty()
        && query.signature.is_none();
    (query.recursion_desired && plain && !options).then(|| {
        bit(query.authentic_data, 0)
            | bit(query.checking_disabled, 1)
            | bit(query.edns.is_some(), 2)
            | bit(query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok), 3)
    })
}

/// What is known here of a question.
#[derive(Default)]
struct Known {
    answers: Vec<Record>,
    /// What the asker would ask next.
    beside: Vec<Record>,
}

/// Records for what is known here; none if it is not.
fn local(
    asker: &Asker<'_>,
    name: &Name,
    kind: RecordType,
    dice: &mut Dice,
) -> io::Result<Option<Known>> {
    let wanted = match kind {
        RecordType::A => Wanted::V4,
        RecordType::AAAA => Wanted::V6,
        RecordType::MX => {
            // An empty answer sends who delivers mail to the address.
            let known =
                text(name).and_then(|text| asker.table.find(asker.number, &text, Wanted::V4));
            return Ok(known.map(|_| Known::default()));
        }
        RecordType::PTR => {
            let known = |record| Known { answers: vec![record], ..Known::default() };
            return Ok(reverse(asker, name).map(known));
        }
        _ => return Ok(None),
    };
    let Some(text) = text(name) else { return Ok(None) };
    let Some(mut addresses) = asker.table.find(asker.number, &text, wanted) else {
        return Ok(None);
    };
    dice.shuffle(&mut addresses)?;
    let answers = addresses.into_iter().map(|address| of_address(name, address)).collect();
    Ok(Some(Known { answers, ..Known::default() }))
}

fn of_address(name: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name.clone(), TTL, data)
}

/// `_PORT._PROTO.CONTAINER`: who of that name serves at the port, and beside
/// it their addresses; none if there is no such name.
///
/// Source: RFC 2782.
fn services(asker: &Asker<'_>, name: &Name, dice: &mut Dice) -> io::Result<Option<Known>> {
    let Some(text) = text(name).map(|text| text.to_ascii_lowercase()) else { return Ok(None) };
    let mut parts = text.splitn(3, '.');
    let mut label = || parts.next()?.strip_prefix('_');
    let (Some(service), Some(proto)) = (label(), label()) else { return Ok(None) };
    let Some(mut serving) =
        parts.next().and_then(|host| asker.table.serving(asker.number, host, proto, service))
    else {
        return Ok(None);
    };
    dice.shuffle(&mut serving)?;
    let mut known = Known::default();
    for Serving { name: own, port, addr4, addr6 } in serving {
        let Some(target) = spelt(&own) else { continue };
        let data = RData::SRV(SRV::new(0, 0, port, target.clone()));
        known.answers.push(Record::from_rdata(name.clone(), TTL, data));
        let addresses = addr4.map(IpAddr::V4).into_iter().chain(addr6.map(IpAddr::V6));
        known.beside.extend(addresses.map(|address| of_address(&target, address)));
    }
    Ok(Some(known))
}

/// A name as it goes over the wire. A label may hold anything but more than
/// 63 bytes.
fn spelt(host: &str) -> Option<Name> {
    let mut name = Name::from_labels(host.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name as people write it, without a final dot; none if it holds what no
/// container is called.
pub(crate) fn text(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(64);
    for label in name {
        if label.iter().any(|b| !b.is_ascii_graphic() || *b == b'.') {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|b| char::from(*b)));
    }
    (!text.is_empty()).then_some(text)
}

fn reverse(asker: &Asker<'_>, name: &Name) -> Option<Record> {
    let address = address_of(&text(name)?)?;
    let host = asker.table.reverse(asker.number, address)?;
    Some(Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(spelt(&host)?))))
}

/// The address of a name below `in-addr.arpa` or `ip6.arpa`.
///
/// Source: RFC 1035, section 3.5; RFC 3596, section 2.5.
fn address_of(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut parts = octets.rsplit('.').map(str::parse::<u8>);
        let mut next = || parts.next()?.ok();
        let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
        return parts.next().is_none().then_some(address.into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    if digits.len() != 63 {
        return None;
    }
    let digit = |part: &str| (part.len() == 1).then(|| u128::from_str_radix(part, 16).ok())?;
    let bits = digits.rsplit('.').try_fold(0_u128, |bits, part| Some(bits << 4 | digit(part)?))?;
    Some(Ipv6Addr::from(bits).into())
}

/// An answer of ours, as much of it as fits.
fn said(query: &Message, known: Known, limit: usize) -> Vec<u8> {
    let mut message = Message::response(query.id, OpCode::Query);
    message.metadata.recursion_desired = query.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(query.queries.iter().cloned());
    message.insert_answers(known.answers);
    message.insert_additionals(known.beside);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(OURS);
        message.set_edns(edns);
    }
    loop {
        let Ok(bytes) = message.to_vec() else {
            let asked = query.to_vec().unwrap_or_default();
            return packet::failure(&asked, ResponseCode::ServFail);
        };
        let too_many = bytes.len().saturating_sub(limit);
        if too_many == 0 || message.answers.is_empty() {
            return packet::fit(bytes, limit);
        }
        // What nobody asked for goes first, and is not missed.
        if !message.additionals.is_empty() {
            message.additionals.clear();
            continue;
        }
        // No record of ours but a lone one is longer than 30 bytes: what is
        // taken away each time is never too much.
        message.metadata.truncation = true;
        let left = message.answers.len().saturating_sub((too_many / 30).max(1));
        message.answers.truncate(left);
    }
}

#[cfg(test)]
mod tests;

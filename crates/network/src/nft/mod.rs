//! nftables by netlink: tables, chains, rules, sets and their elements, in
//! transactions that the kernel carries out whole or not at all.
//!
//! Only what `rules` needs. Numbers are from `linux/netfilter/nf_tables.h`
//! and `linux/netfilter/nfnetlink.h`.

pub(crate) mod expr;

use crate::netlink::{ACK, APPEND, Answer, CREATE, EXCL, Message, attributes};
use expr::Expr;

/// nfnetlink's number for nftables.
const SUBSYSTEM: u16 = 10;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DEL_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DEL_ELEMENT: u16 = 14;
/// A transaction has been carried out: the type of a whole message.
pub(crate) const NEW_GENERATION: u16 = SUBSYSTEM << 8 | 15;

/// Longest list of elements in one message: an attribute ends at 64 KiB.
const LIST: usize = 48 << 10;

/// Tells nft(8) that the key is in the machine's byte order, without which it
/// lists a lone name as empty: type 0, four bytes, `BYTEORDER_HOST_ENDIAN`.
const HOST_ORDER: [u8; 6] = [0, 4, 1, 0, 0, 0];

/// Elements that a set has at most whose content is not this engine's to say.
const MOST_FLEETING: u32 = 1 << 16;

/// Longest comment. Source: `NFTNL_UDATA_COMMENT_MAXLEN` of nft(8).
const COMMENT: usize = 127;

/// A table's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// Frames that pass a bridge.
    Bridge,
    /// IPv4 and IPv6 packets.
    Inet,
    /// IPv4 packets.
    Ip,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Bridge => 7,
        }
    }
}

/// Which table a message speaks of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    pub(crate) family: Family,
    pub(crate) name: &'a str,
}

/// Where packets enter a base chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    /// `filter` or `nat`.
    pub(crate) kind: &'static str,
    pub(crate) number: u32,
    pub(crate) priority: i32,
}

/// `NF_INET_*` and `NF_BR_*` count alike.
pub(crate) const PREROUTING: u32 = 0;
pub(crate) const INPUT: u32 = 1;
pub(crate) const FORWARD: u32 = 2;
pub(crate) const OUTPUT: u32 = 3;
pub(crate) const POSTROUTING: u32 = 4;

/// The parts of a key, as nft(8) numbers its data types, so that it can list
/// our sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Ipv4,
    Ipv6,
    Mac,
    Proto,
    Port,
    Ifname,
    /// The number that interfaces of a kind bear.
    Group,
    /// IPv4 or IPv6; only ever a whole key.
    Ip,
}

impl Part {
    fn nft_type(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Mac => 9,
            Self::Proto => 12,
            Self::Port => 13,
            Self::Ifname => 41,
            Self::Group => 35,
            Self::Ip => 2,
        }
    }

    /// In bytes, without what fills its last register.
    fn bytes(self) -> u32 {
        match self {
            Self::Ip | Self::Proto => 1,
            Self::Port => 2,
            Self::Ipv4 | Self::Group => 4,
            Self::Mac => 6,
            Self::Ipv6 | Self::Ifname => 16,
        }
    }

    /// In bytes; every part of a concatenated key fills whole registers of
    /// four.
    fn width(self) -> usize {
        match self {
            Self::Ip => 1,
            Self::Proto | Self::Port | Self::Ipv4 | Self::Group => 4,
            Self::Mac => 8,
            Self::Ipv6 | Self::Ifname => 16,
        }
    }
}

/// Six bits for each part, the first highest.
fn concatenated(parts: &[Part]) -> u32 {
    parts.iter().fold(0, |all, part| all << 6 | part.nft_type())
}

fn width(parts: &[Part]) -> u32 {
    parts.iter().map(|part| u32::try_from(part.width()).expect("at most 16")).sum()
}

/// A set, or a map if it has `data`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    pub(crate) family: Family,
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Part],
    pub(crate) data: &'static [Part],
    /// Frames a second, and how many at once, that an element lets match.
    pub(crate) limit: Option<(u64, u32)>,
    /// Elements are ranges of each part of the key.
    pub(crate) ranges: bool,
    /// Elements go by themselves after a time that each brings, and there are
    /// no more than [`MOST_FLEETING`].
    pub(crate) fleeting: bool,
}

impl Set {
    fn is_map(&self) -> bool {
        !self.data.is_empty()
    }

    fn flags(&self) -> u32 {
        const INTERVAL: u32 = 0x4;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const CONCAT: u32 = 0x80;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        flag(self.is_map(), MAP)
            | flag(self.ranges, INTERVAL | CONCAT)
            | flag(self.fleeting, TIMEOUT)
    }
}

fn message(kind: u16, flags: u16, family: u8) -> Message {
    Message::new(SUBSYSTEM << 8 | kind, flags, &[family, 0, 0, 0])
}

/// Wraps messages into a transaction; the last of them asks for an answer.
pub(crate) fn transaction(mut messages: Vec<Message>) -> Vec<Message> {
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let mark = |kind| Message::new(kind, 0, &[0, 0, high, low]);
    if let Some(last) = messages.last_mut() {
        last.add_flags(ACK);
    }
    messages.insert(0, mark(BEGIN));
    messages.push(mark(END));
    messages
}

/// A table, if it is not there.
pub(crate) fn table(table: Table<'_>) -> Message {
    message(NEW_TABLE, CREATE, table.family.number()).with(|a| a.text(1, table.name))
}

/// Removes a table with all that is in it.
pub(crate) fn delete_table(table: Table<'_>) -> Message {
    message(DEL_TABLE, 0, table.family.number()).with(|a| a.text(1, table.name))
}

/// Asks for a table; see [`read_table`].
pub(crate) fn get_table(table: Table<'_>) -> Message {
    message(GET_TABLE, 0, table.family.number()).with(|a| a.text(1, table.name))
}

/// What tells a table from another of its name, made later or emptied: its
/// number, and how many things are in it.
pub(crate) fn read_table(answer: &Answer) -> Option<(u64, u32)> {
    let (_, body) = answer.body.split_at_checked(4)?;
    let value = |wanted| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, v)| v);
    let handle = u64::from_be_bytes(*value(4)?.first_chunk()?);
    Some((handle, u32::from_be_bytes(*value(3)?.first_chunk()?)))
}

/// Asks for the rules of a table; see [`read_rule`].
pub(crate) fn get_rules(table: Table<'_>) -> Message {
    message(GET_RULE, 0, table.family.number()).with(|a| a.text(1, table.name))
}

/// A rule's number, which no other of its table had or will have.
pub(crate) fn read_rule(answer: &Answer) -> Option<u64> {
    let (_, body) = answer.body.split_at_checked(4)?;
    let (_, handle) = attributes(body).find(|(kind, _)| *kind == 3)?;
    Some(u64::from_be_bytes(*handle.first_chunk()?))
}

/// A chain, if it is not there; with a hook, one that packets enter and that
/// lets pass what no rule decides.
pub(crate) fn chain(table: Table<'_>, name: &str, hook: Option<Hook>) -> Message {
    const ACCEPT: u32 = 1;
    message(NEW_CHAIN, CREATE, table.family.number()).with(|a| {
        a.text(1, table.name);
        a.text(3, name);
        if let Some(hook) = hook {
            a.nest(4, |h| {
                h.be32(1, hook.number);
                h.be32(2, hook.priority.cast_unsigned());
            });
            a.be32(5, ACCEPT);
            a.text(7, hook.kind);
        }
    })
}

/// Removes every rule of a table.
pub(crate) fn flush(table: Table<'_>) -> Message {
    message(DEL_RULE, 0, table.family.number()).with(|a| a.text(1, table.name))
}

/// Appends a rule, with a comment for who lists it.
pub(crate) fn rule(table: Table<'_>, chain: &str, expressions: &[Expr], comment: &str) -> Message {
    message(NEW_RULE, CREATE | APPEND, table.family.number()).with(|a| {
        a.text(1, table.name);
        a.text(2, chain);
        a.nest(4, |list| expressions.iter().for_each(|e| list.nest(1, |one| e.put(one))));
        if !comment.is_empty() {
            a.bytes(7, &user_data(comment));
        }
    })
}

/// A set or map, if it is not there. `id` is its number in this transaction.
pub(crate) fn set(table: &str, set: &Set, id: u32) -> Message {
    message(NEW_SET, CREATE, set.family.number()).with(|a| {
        a.text(1, table);
        a.text(2, set.name);
        a.be32(3, set.flags());
        a.be32(4, concatenated(set.key));
        a.be32(5, width(set.key));
        if set.is_map() {
            a.be32(6, concatenated(set.data));
            a.be32(7, width(set.data));
        }
        if set.ranges {
            // How wide each part is: by it the kernel keeps their ranges apart.
            a.nest(9, |desc| {
                desc.nest(2, |parts| {
                    for part in set.key {
                        parts.nest(1, |one| one.be32(1, part.bytes()));
                    }
                });
            });
        }
        if set.fleeting {
            a.nest(9, |desc| desc.be32(1, MOST_FLEETING));
        }
        a.be32(10, id);
        if set.key == [Part::Ifname] {
            a.bytes(13, &HOST_ORDER);
        }
        if let Some((rate, burst)) = set.limit {
            a.nest(17, |one| expr::limit(rate, burst).put(one));
        }
    })
}

/// One element: in which set, under which key, leading where, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Element {
    pub(crate) set: &'static str,
    pub(crate) family: Family,
    pub(crate) key: Vec<u8>,
    /// The last key of a range, of which `key` is the first; else empty.
    pub(crate) end: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// What refuses a second element of the same key.
    pub(crate) exclusive: bool,
}

impl Element {
    /// In a set.
    pub(crate) fn of(set: &Set, key: Vec<u8>) -> Self {
        debug_assert_eq!(key.len(), width(set.key) as usize, "{}", set.name);
        let (end, data) = (Vec::new(), Vec::new());
        Self { set: set.name, family: set.family, key, end, data, exclusive: false }
    }

    /// In a set of ranges: from one key to another, in each part.
    pub(crate) fn range(set: &Set, first: Vec<u8>, last: Vec<u8>) -> Self {
        debug_assert!(set.ranges && first.len() == last.len(), "{}", set.name);
        Self { end: last, ..Self::of(set, first) }
    }

    /// In a map, where no other element may have the key.
    pub(crate) fn mapping(set: &Set, key: Vec<u8>, data: Vec<u8>) -> Self {
        debug_assert_eq!(data.len(), width(set.data) as usize, "{}", set.name);
        Self { data, exclusive: true, ..Self::of(set, key) }
    }
}

/// Adds elements that bear a comment: as many messages as their number and
/// sets ask for.
pub(crate) fn add_elements(table: &str, elements: &[Element], comment: &str) -> Vec<Message> {
    let user_data = user_data(comment);
    let size = |element: &Element| {
        96 + element.key.len() + element.end.len() + element.data.len() + user_data.len()
    };
    pack(elements, size)
        .map(|pack| {
            let flags = CREATE | if pack[0].exclusive { EXCL } else { 0 };
            element_message(NEW_ELEMENT, flags, table, pack, |element, a| {
                put_key(element, a);
                if !element.data.is_empty() {
                    a.nest(2, |data| data.bytes(1, &element.data));
                }
                if !comment.is_empty() {
                    a.bytes(6, &user_data);
                }
            })
        })
        .collect()
}

/// Removes elements; one that is not there fails the transaction.
pub(crate) fn remove_elements(table: &str, elements: &[Element]) -> Vec<Message> {
    pack(elements, |element| 32 + element.key.len() + element.end.len())
        .map(|pack| element_message(DEL_ELEMENT, 0, table, pack, put_key))
        .collect()
}

fn put_key(element: &Element, a: &mut crate::netlink::Attributes) {
    a.nest(1, |key| key.bytes(1, &element.key));
    if !element.end.is_empty() {
        a.nest(10, |key| key.bytes(1, &element.end));
    }
}

/// Adds an element that goes after so many milliseconds; refused if it is
/// there already.
pub(crate) fn add_fleeting(
    table: &str,
    element: &Element,
    milliseconds: u64,
    comment: &str,
) -> Message {
    let elements = std::slice::from_ref(element);
    element_message(NEW_ELEMENT, CREATE | EXCL, table, elements, |element, a| {
        put_key(element, a);
        a.be64(4, milliseconds);
        a.bytes(6, &user_data(comment));
    })
}

fn element_message(
    kind: u16,
    flags: u16,
    table: &str,
    elements: &[Element],
    put: impl Fn(&Element, &mut crate::netlink::Attributes),
) -> Message {
    message(kind, flags, elements[0].family.number()).with(|a| {
        a.text(1, table);
        a.text(2, elements[0].set);
        a.nest(3, |list| {
            for element in elements {
                list.nest(1, |one| put(element, one));
            }
        });
    })
}

/// Cuts elements into runs of one set that fit into one message.
fn pack<'a>(
    elements: &'a [Element],
    size: impl Fn(&Element) -> usize + 'a,
) -> impl Iterator<Item = &'a [Element]> + 'a {
    let mut rest = elements;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let mut room = LIST;
        let fits = |element: &&Element| {
            let same = element.set == first.set && element.family == first.family;
            let left = room.checked_sub(size(element));
            room = left.unwrap_or(0);
            same && left.is_some()
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (pack, others) = rest.split_at(count);
        rest = others;
        Some(pack)
    })
}

/// Asks for the elements of a set; see [`read_elements`].
pub(crate) fn get_elements(table: &str, set: &Set) -> Message {
    message(GET_ELEMENT, 0, set.family.number()).with(|a| {
        a.text(1, table);
        a.text(2, set.name);
    })
}

/// Elements and their comments from an answer to [`get_elements`].
pub(crate) fn read_elements(set: &Set, answer: &Answer) -> Vec<(Element, String)> {
    let Some((_, body)) = answer.body.split_at_checked(4) else { return Vec::new() };
    let lists = attributes(body).filter(|(kind, _)| *kind == 3);
    lists.flat_map(|(_, list)| attributes(list)).filter_map(|(_, one)| read(set, one)).collect()
}

fn read(set: &Set, element: &[u8]) -> Option<(Element, String)> {
    let part = |wanted| attributes(element).find(|(kind, _)| *kind == wanted).map(|(_, v)| v);
    let value = |kind| part(kind).and_then(|nest| attributes(nest).next()).map(|(_, v)| v.to_vec());
    let element = Element {
        set: set.name,
        family: set.family,
        key: value(1)?,
        end: value(10).unwrap_or_default(),
        data: value(2).unwrap_or_default(),
        exclusive: set.is_map(),
    };
    let comment = part(6).and_then(comment_in).unwrap_or_default();
    Some((element, comment))
}

/// A comment as nft(8) stores it: type 0, length, text with a final zero.
fn user_data(comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(COMMENT)];
    let length = u8::try_from(text.len() + 1).expect("at most 128");
    [&[0, length], text, &[0]].concat()
}

fn comment_in(user_data: &[u8]) -> Option<String> {
    let [0, length, text @ ..] = user_data else { return None };
    let text = text.get(..usize::from(*length))?.strip_suffix(&[0])?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Set = Set {
        family: Family::Bridge,
        name: "names",
        key: &[Part::Ifname],
        data: &[],
        limit: None,
        ranges: false,
        fleeting: false,
    };

    fn element(number: u8) -> Element {
        Element::of(&NAMES, vec![number; 16])
    }

    #[test]
    fn a_comment_reads_back() {
        assert_eq!(comment_in(&user_data("coffer0 abc")).as_deref(), Some("coffer0 abc"));
        assert_eq!(comment_in(&[0, 200, 1]), None);
        assert_eq!(comment_in(&[]), None);
    }

    #[test]
    fn elements_are_packed_by_set_and_size() {
        let other = Element { set: "others", ..element(2) };
        let elements = [element(1), element(2), other, element(3)];
        let sizes: Vec<_> = pack(&elements, |_| 1).map(<[_]>::len).collect();
        assert_eq!(sizes, [2, 1, 1]);
        let many = vec![element(1); 5];
        let sizes: Vec<_> = pack(&many, |_| LIST / 2).map(<[_]>::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn a_key_is_as_wide_as_its_registers() {
        assert_eq!(width(&[Part::Ifname, Part::Mac, Part::Ipv4]), 28);
        assert_eq!(concatenated(&[Part::Proto, Part::Port]), 0x30d);
    }
}

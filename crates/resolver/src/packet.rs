//! A DNS message as bytes: as much as is to be known of one that is passed on
//! as it is. Reading and writing of records is the library's.
//!
//! Source: RFC 1035, section 4.1.

use hickory_proto::op::{Message, ResponseCode};

/// Bytes before the question.
const HEADER: usize = 12;
/// Longest question, in bytes: one name and options.
pub(crate) const QUESTION: usize = 4096;
/// Records beside a question: options, and a signature.
const BESIDE: u16 = 2;
/// A name's longest part, in bytes.
const LABEL: u8 = 63;
/// A name's longest spelling, in bytes.
const NAME: usize = 255;

/// What a UDP answer may take at least, in bytes. Source: RFC 1035, 2.3.4.
pub(crate) const SMALL: usize = 512;
/// What a message over TCP may take, in bytes.
pub(crate) const LARGE: usize = 65_535;

/// What somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Chosen by the asker.
    pub id: u16,
    /// Name (lower case), type and class, as they are spelt in a message.
    pub question: Vec<u8>,
}

/// What is to become of what came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A question.
    Query(Query),
    /// A question that cannot be answered: this says why.
    Refused(Vec<u8>),
    /// Not a question.
    Nothing,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The message's number.
pub(crate) fn id(bytes: &[u8]) -> Option<u16> {
    word(bytes, 0)
}

/// Gives it another number.
pub(crate) fn set_id(bytes: &mut [u8], id: u16) {
    if let Some(place) = bytes.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// Has it been cut?
pub(crate) fn is_cut(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

fn is_response(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// The question in its spelling, lower case: exactly one, and uncompressed,
/// for nothing stands before it.
fn question(bytes: &[u8]) -> Option<Vec<u8>> {
    if word(bytes, 4)? != 1 {
        return None;
    }
    let mut at = HEADER;
    loop {
        match *bytes.get(at)? {
            0 => break,
            length @ 1..=LABEL => at += 1 + usize::from(length),
            _ => return None,
        }
        if at - HEADER >= NAME {
            return None;
        }
    }
    // A zero, a type and a class.
    Some(bytes.get(HEADER..at + 5)?.to_ascii_lowercase())
}

/// Does it cost no more than a question does? Each record may point to one
/// long name, which is read anew for each: thousands of them, in one question,
/// would keep everybody else's waiting.
fn is_small(bytes: &[u8]) -> bool {
    let [answers, authorities, others] = [6, 8, 10].map(|at| word(bytes, at));
    let beside = others.is_some_and(|others| others <= BESIDE);
    bytes.len() <= QUESTION && answers == Some(0) && authorities == Some(0) && beside
}

/// Reads what came to where questions come.
pub(crate) fn read(bytes: &[u8]) -> Read {
    let Some(id) = id(bytes).filter(|_| bytes.len() >= HEADER && !is_response(bytes)) else {
        return Read::Nothing;
    };
    if bytes[2] & 0x78 != 0 {
        return Read::Refused(refusal(bytes, ResponseCode::NotImp));
    }
    match question(bytes).filter(|_| is_small(bytes)) {
        Some(question) => Read::Query(Query { id, question }),
        None => Read::Refused(refusal(bytes, ResponseCode::FormErr)),
    }
}

/// An answer of a header alone, for want of a question that can be read.
pub(crate) fn refusal(bytes: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut answer = vec![0; HEADER];
    if let Some(header) = bytes.get(..3) {
        answer[..2].copy_from_slice(&header[..2]);
        // Their operation and wish for recursion; ours: it is an answer.
        answer[2] = header[2] & 0x79 | 0x80;
    }
    answer[3] = 0x80 | code.low();
    answer
}

/// An answer of the question alone.
pub(crate) fn failure(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut answer = refusal(query, code);
    if let Some(length) = question(query).map(|question| question.len())
        && let Some(asked) = query.get(HEADER..HEADER + length)
    {
        answer[5] = 1;
        answer.extend(asked);
    }
    answer
}

/// Is it a server's answer to this question?
pub(crate) fn answers(bytes: &[u8], asked: &[u8]) -> bool {
    is_response(bytes) && question(bytes).is_some_and(|question| question == asked)
}

/// Does a server say by it that another one is to be asked?
pub(crate) fn is_failure(bytes: &[u8]) -> bool {
    let code = bytes.get(3).map_or(0, |flags| flags & 0x0f);
    code == ResponseCode::ServFail.low() || code == ResponseCode::Refused.low()
}

/// An answer of at most `limit` bytes: cut, and marked so, where it is longer.
pub(crate) fn fit(bytes: Vec<u8>, limit: usize) -> Vec<u8> {
    if bytes.len() <= limit {
        return bytes;
    }
    let mut cut = failure(&bytes, ResponseCode::NoError);
    // Who answers whole tells a server's flags too.
    cut[2] = bytes[2] | 0x02;
    cut[3] = bytes[3];
    if let Ok(message) = Message::from_vec(&bytes)
        && let Ok(with_edns) = message.truncate().to_vec()
        && with_edns.len() <= limit
    {
        return with_edns;
    }
    cut
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `name IN A?` as a client spells it.
    pub(crate) fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes[2] = 1;
        bytes[5] = 1;
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).expect("short"));
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_found_whatever_its_case() {
        let Read::Query(read) = read(&query(7, "Web.Front", 1)) else { panic!("a query") };
        assert_eq!(read.id, 7);
        assert_eq!(read.question, b"\x03web\x05front\0\0\x01\0\x01");
    }

    #[test]
    fn what_is_no_plain_question_is_refused_or_ignored() {
        let good = query(7, "web", 1);
        assert_eq!(read(&good[..5]), Read::Nothing);
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(read(&with(2, 0x81)), Read::Nothing, "an answer");
        let code = |bytes: &[u8]| match read(bytes) {
            Read::Refused(answer) => (answer[0..2].to_vec(), answer[2] & 0x80, answer[3] & 15),
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&with(2, 0x28)), (vec![0, 7], 0x80, 4), "an update");
        assert_eq!(code(&with(5, 2)), (vec![0, 7], 0x80, 1), "two questions");
        assert_eq!(code(&with(12, 0xc0)), (vec![0, 7], 0x80, 1), "a name that points");
        assert_eq!(code(&good[..14]), (vec![0, 7], 0x80, 1), "cut");
    }

    #[test]
    fn what_costs_more_than_a_question_is_refused_unread() {
        let refused =
            |bytes: &[u8]| matches!(read(bytes), Read::Refused(answer) if answer[3] & 15 == 1);
        let good = query(7, "web", 1);
        let beside = |at: usize, count: u8| {
            let mut bytes = good.clone();
            bytes[at] = count;
            bytes
        };
        assert!(refused(&beside(7, 1)), "an answer beside it");
        assert!(refused(&beside(9, 1)), "an authority beside it");
        assert!(refused(&beside(10, 1)), "256 records beside it");
        assert!(refused(&beside(11, 3)), "more than options and a signature");
        assert!(!refused(&beside(11, 2)));
        let long = |length: usize| {
            let mut bytes = good.clone();
            bytes.resize(length, 0);
            bytes
        };
        assert!(refused(&long(QUESTION + 1)));
        assert!(!refused(&long(QUESTION)));
    }

    #[test]
    fn a_long_answer_is_cut_and_says_so() {
        let mut long = query(7, "web", 1);
        long[2] |= 0x80;
        long.resize(600, 0);
        let cut = fit(long.clone(), SMALL);
        assert!(cut.len() < SMALL && is_cut(&cut) && answers(&cut, b"\x03web\0\0\x01\0\x01"));
        assert_eq!(fit(long.clone(), 600), long);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
            let _ = failure(&bytes, ResponseCode::ServFail);
            let _ = answers(&bytes, b"\0\0\x01\0\x01");
            let _ = fit(bytes, 100);
        }
    }
}

//! What the resolver and the scribe say to one another.
//!
//! The scribe has a right that the resolver must not have, so what it reads is
//! short and dull: a number, and lines of fixed parts with one name each.
//!
//! ```text
//!   request   number (4)  line …
//!   line      whose (1): 4, 6 or 'b'   address or bridge (16)
//!             family (1): 4 or 6       address (16)
//!             port (2), 0 for all      seconds (4)
//!             length of the name (1)   name
//!   answer    number (4)  1 if it is done, else 0
//! ```
//!
//! Numbers have their highest byte first. An IPv4 address takes the first
//! four of its bytes.

use crate::wire::{Learnt, Who};
use std::net::IpAddr;

/// Longest request, in bytes.
pub const MAX_REQUEST: usize = 16 << 10;
/// Most lines of one request.
pub(crate) const LINES: usize = 90;
/// Longest name that is written down, in bytes: a comment has no more room.
const NAME: usize = 120;

/// A request, of [`LINES`] lines at most.
pub(crate) fn request(number: u32, lines: &[Learnt]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    for line in lines.iter().take(LINES) {
        let (whose, who) = match &line.who {
            Who::Address(address) => (family(*address), padded(*address)),
            Who::Bridge(name) => {
                let mut bytes = [0; 16];
                let length = name.len().min(15);
                bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
                (b'b', bytes)
            }
        };
        let name = &line.name.as_bytes()[..line.name.len().min(NAME)];
        bytes.push(whose);
        bytes.extend(who);
        bytes.push(family(line.address));
        bytes.extend(padded(line.address));
        bytes.extend(line.port.unwrap_or(0).to_be_bytes());
        bytes.extend(line.seconds.to_be_bytes());
        bytes.push(u8::try_from(name.len()).expect("at most 120"));
        bytes.extend(name);
    }
    bytes
}

/// Reads a request; none if it is none.
pub fn read_request(bytes: &[u8]) -> Option<(u32, Vec<Learnt>)> {
    let (number, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let (whose, after) = rest.split_first()?;
        let (who, after) = after.split_first_chunk::<16>()?;
        let (kind, after) = after.split_first()?;
        let (address, after) = after.split_first_chunk::<16>()?;
        let (port, after) = after.split_first_chunk::<2>()?;
        let (seconds, after) = after.split_first_chunk::<4>()?;
        let (length, after) = after.split_first()?;
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        let who = match whose {
            b'b' => {
                let end = who.iter().position(|b| *b == 0).filter(|end| *end > 0)?;
                Who::Bridge(std::str::from_utf8(&who[..end]).ok()?.to_owned())
            }
            family => Who::Address(address_of(*family, *who)?),
        };
        let port = Some(u16::from_be_bytes(*port)).filter(|port| *port != 0);
        let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii())?.to_owned();
        let address = address_of(*kind, *address)?;
        lines.push(Learnt { who, address, port, name, seconds: u32::from_be_bytes(*seconds) });
        rest = after;
    }
    Some((u32::from_be_bytes(*number), lines))
}

/// An answer.
pub fn answer(number: u32, done: bool) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [a, b, c, d, u8::from(done)]
}

pub(crate) fn read_answer(bytes: &[u8]) -> Option<(u32, bool)> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    matches!(rest, [0 | 1]).then(|| (u32::from_be_bytes(*number), rest == [1]))
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

fn padded(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn address_of(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        6 => Some(bytes.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines() -> Vec<Learnt> {
        let line = |who, address: &str, port| Learnt {
            who,
            address: address.parse().expect("an address"),
            port,
            name: "*.example.com".into(),
            seconds: 60,
        };
        let own = |text: &str| Who::Address(text.parse().expect("an address"));
        vec![
            line(own("172.20.0.2"), "192.0.2.1", None),
            line(own("fd00::2"), "2001:db8::1", Some(443)),
            line(Who::Bridge("br-0123456789ab".into()), "192.0.2.1", Some(80)),
        ]
    }

    #[test]
    fn a_request_and_its_answer_read_back() {
        assert_eq!(read_request(&request(7, &lines())), Some((7, lines())));
        assert_eq!(read_answer(&answer(7, true)), Some((7, true)));
        assert_eq!(read_answer(&answer(8, false)), Some((8, false)));
        assert_eq!(read_answer(&[0, 0, 0, 7, 2]), None);
    }

    #[test]
    fn the_longest_request_fits() {
        let long = Learnt { name: "n".repeat(253), ..lines().remove(2) };
        assert!(request(1, &vec![long; LINES + 9]).len() <= MAX_REQUEST);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..200,
        ) {
            let _ = read_request(&bytes);
            let whole = request(1, &lines());
            let _ = read_request(&whole[..cut.min(whole.len())]);
        }
    }
}

//! Which ports programs of this host have, as the kernel lists its sockets.
//!
//! Numbers are from `linux/sock_diag.h` and `linux/inet_diag.h`.

use super::{Message, Socket};
use spec::ports::Proto;
use std::{collections::BTreeSet, io, ops::RangeInclusive};

const BY_FAMILY: u16 = 20;
const BYTECODE: u16 = 1;
const SOURCE_AT_LEAST: u8 = 2;
const SOURCE_AT_MOST: u8 = 3;

/// The ports among these that a socket of the protocol has, whatever its
/// address and state, as far as this kernel lists it.
pub(crate) fn ports_in_use(proto: Proto, ports: &RangeInclusive<u16>) -> io::Result<BTreeSet<u16>> {
    let mut socket = Socket::sockets()?;
    let mut found = BTreeSet::new();
    for family in [2, 10] {
        let mut fixed = vec![family, proto.number(), 0, 0];
        // Of every state, and under whatever name.
        fixed.extend(u32::MAX.to_ne_bytes());
        fixed.extend([0; 48]);
        let code = between(ports);
        let request = Message::new(BY_FAMILY, 0, &fixed).with(|a| a.bytes(BYTECODE, &code));
        for answer in socket.dump(request)? {
            let port = answer.body.get(4..).and_then(|rest| rest.first_chunk());
            found.extend(port.map(|port| u16::from_be_bytes(*port)));
        }
    }
    found.retain(|port| ports.contains(port));
    Ok(found)
}

/// Two instructions of two words each: on to the next if the source port is at
/// least the first, at most the last; else past the end, which is a no.
fn between(ports: &RangeInclusive<u16>) -> Vec<u8> {
    let instruction = |code: u8, otherwise: u16, port: u16| {
        let [low, high] = otherwise.to_ne_bytes();
        let [first, second] = port.to_ne_bytes();
        [code, 8, low, high, 0, 0, first, second]
    };
    [
        instruction(SOURCE_AT_LEAST, 20, *ports.start()),
        instruction(SOURCE_AT_MOST, 12, *ports.end()),
    ]
    .concat()
}

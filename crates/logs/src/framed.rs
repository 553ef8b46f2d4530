//! A line as Docker's `local` driver writes it: a protocol buffer.
//!
//! Source: moby's `api/types/plugins/logdriver/entry.proto`.

use crate::{Entry, Stream};
use std::collections::BTreeMap;

/// No frame that Docker or the monitor writes comes near it.
pub const LONGEST: usize = 1 << 20;

/// What is at the head of some bytes.
pub enum Found {
    /// A frame of so many bytes.
    Frame(usize, Entry),
    /// Not enough to tell.
    More,
    /// No frame.
    Nothing,
}

/// Looks at the head of `bytes`.
pub fn look(bytes: &[u8]) -> Found {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return Found::More };
    let size = u32::from_be_bytes(*len) as usize;
    if size == 0 || size > LONGEST {
        return Found::Nothing;
    }
    let (Some(body), Some(after)) = (rest.get(..size), rest.get(size..size + 4)) else {
        return Found::More;
    };
    if after != len {
        return Found::Nothing;
    }
    entry(body).map_or(Found::Nothing, |entry| Found::Frame(size + 8, entry))
}

/// Reads the message.
fn entry(mut body: &[u8]) -> Option<Entry> {
    let (mut stream, mut time, mut line) = (None, 0, Vec::new());
    let (mut part, mut last) = (false, false);
    while !body.is_empty() {
        let key = varint(&mut body)?;
        match (key >> 3, key & 7) {
            (2, 0) => time = varint(&mut body)?,
            (number, 2) => {
                let field = bytes(&mut body)?;
                match number {
                    1 if field == b"stdout" => stream = Some(Stream::Stdout),
                    1 if field == b"stderr" => stream = Some(Stream::Stderr),
                    3 => line = field.to_vec(),
                    5 => (part, last) = (true, is_last(field)?),
                    _ => {}
                }
            }
            (_, 0) => {
                varint(&mut body)?;
            }
            _ => return None,
        }
    }
    if !part || last {
        line.push(b'\n');
    }
    Some(Entry { stream: stream?, time, line, attrs: BTreeMap::new() })
}

fn is_last(mut part: &[u8]) -> Option<bool> {
    let mut last = false;
    while !part.is_empty() {
        let key = varint(&mut part)?;
        match (key >> 3, key & 7) {
            (1, 0) => last = varint(&mut part)? != 0,
            (_, 0) => {
                varint(&mut part)?;
            }
            (_, 2) => {
                bytes(&mut part)?;
            }
            _ => return None,
        }
    }
    Some(last)
}

fn bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint(from)?).ok()?;
    let (field, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(field)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"\0\0\0\x0f\x0a\x06stdout\x10\xac\x02\x1a\x02ab\0\0\0\x0f";

    #[test]
    fn a_frame_of_dockers_is_read() {
        let Found::Frame(len, entry) = look(LINE) else { panic!("no frame") };
        assert_eq!((len, entry.stream, entry.time), (LINE.len(), Stream::Stdout, 300));
        assert_eq!(entry.line, b"ab\n");
    }

    #[test]
    fn what_is_cut_anywhere_is_no_frame_and_no_panic() {
        for len in 0..LINE.len() {
            assert!(matches!(look(&LINE[..len]), Found::More), "{len}");
        }
        for at in 0..LINE.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = LINE.to_vec();
                damaged[at] = byte;
                let _ = look(&damaged);
            }
        }
    }

    #[test]
    fn only_the_last_part_of_a_line_has_its_newline() {
        let part = |end: &[u8]| {
            let body = [b"\x0a\x06stderr\x10\x01\x1a\x01z\x20\x01\x2a", end].concat();
            entry(&body).expect("a message").line
        };
        assert_eq!(part(b"\x04\x18\x01\x12\x00"), b"z");
        assert_eq!(part(b"\x04\x08\x01\x18\x02"), b"z\n");
    }
}

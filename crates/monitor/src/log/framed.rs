//! One line as Docker's `local` driver writes it: a protocol buffer between
//! two lengths of four bytes in big-endian order, so that it can be read
//! backwards, too.
//!
//! Source: moby's `daemon/logger/local` and `api/types/plugins/logdriver/entry.proto`.

use super::{Source, split::Piece};

/// Appends a line of `source`, written at `now`.
pub fn spell(out: &mut Vec<u8>, source: Source, now: u64, piece: &Piece<'_>) {
    let from = out.len();
    out.extend_from_slice(&[0; 4]);
    let name: &[u8] = match source {
        Source::Stdout => b"stdout",
        Source::Stderr => b"stderr",
    };
    let time = piece.time.unwrap_or(now);
    field(out, 1, &[name]);
    out.push(2 << 3);
    varint(out, time);
    field(out, 3, &[piece.head, piece.tail]);
    if piece.ordinal > 0 {
        // `partial`, and which part of what.
        out.extend_from_slice(&[4 << 3, 1]);
        let mut part = Vec::with_capacity(32);
        if piece.whole {
            part.extend_from_slice(&[1 << 3, 1]);
        }
        field(&mut part, 2, &[format!("{time:016x}").as_bytes()]);
        part.push(3 << 3);
        varint(&mut part, piece.ordinal.into());
        field(out, 5, &[&part]);
    }
    let len = u32::try_from(out.len() - from - 4).unwrap_or(u32::MAX).to_be_bytes();
    out[from..from + 4].copy_from_slice(&len);
    out.extend_from_slice(&len);
}

/// A field of bytes; one that is empty is left out.
fn field(out: &mut Vec<u8>, number: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > 0 {
        out.push(number << 3 | 2);
        varint(out, len as u64);
        for part in parts {
            out.extend_from_slice(part);
        }
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_docker_writes_it() {
        let mut out = Vec::new();
        let piece = Piece { head: b"a", tail: b"b", whole: true, time: None, ordinal: 0 };
        spell(&mut out, Source::Stdout, 300, &piece);
        assert_eq!(out, b"\0\0\0\x0f\x0a\x06stdout\x10\xac\x02\x1a\x02ab\0\0\0\x0f");
    }

    #[test]
    fn a_part_of_a_line_says_so() {
        let mut out = Vec::new();
        let piece = Piece { head: b"", tail: b"z", whole: true, time: Some(1), ordinal: 3 };
        spell(&mut out, Source::Stderr, 300, &piece);
        let want = b"\x0a\x06stderr\x10\x01\x1a\x01z\x20\x01\x2a\x16\x08\x01\x12\x100000000000000001\x18\x03";
        assert_eq!(&out[4..out.len() - 4], want);
        assert_eq!(out[3] as usize, want.len());
    }
}

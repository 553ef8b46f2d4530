//! When lines were written that nobody has marked: read from the lines.

use rustix::io::Errno;
use spec::{
    log::{Form, newline},
    stamp,
};
use std::{io, ops::Range, os::fd::BorrowedFd};

/// The latest time of the lines in a part of a file that begins where a line
/// does. None if one of them tells its time in a way that is not Docker's, so
/// that nobody knows what it is.
pub fn latest(file: BorrowedFd<'_>, form: Form, part: Range<u64>) -> io::Result<Option<u64>> {
    let bytes = read(file, part)?;
    Ok(match form {
        Form::Json => of_lines(&bytes),
        Form::Framed => Some(of_frames(&bytes)),
    })
}

fn read(file: BorrowedFd<'_>, part: Range<u64>) -> io::Result<Vec<u8>> {
    let len = usize::try_from(part.end - part.start).map_err(io::Error::other)?;
    let (mut bytes, mut got) = (vec![0; len], 0);
    while got < len {
        match rustix::io::pread(file, &mut bytes[got..], part.start + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}

fn of_lines(mut bytes: &[u8]) -> Option<u64> {
    let mut latest = 0;
    while let Some(len) = newline(bytes) {
        let line = bytes[..len].trim_ascii_end();
        bytes = &bytes[len + 1..];
        // What does not end so is torn, and no line to any reader.
        if line.ends_with(b"}") {
            latest = latest.max(of_line(line)?);
        }
    }
    Some(latest)
}

fn of_line(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\"}")?;
    let at = line.iter().rposition(|byte| *byte == b'"')?;
    line[..at].strip_suffix(br#""time":"#)?;
    stamp::parse(std::str::from_utf8(&line[at + 1..]).ok()?)
}

/// Readers, too, go on behind a damage only at the next mark: what is behind
/// it here is nobody's.
fn of_frames(mut bytes: &[u8]) -> u64 {
    let mut latest = 0;
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*len) as usize;
        let (Some(body), Some(after)) = (rest.get(..size), rest.get(size..size + 4)) else { break };
        let Some(time) = of_frame(body).filter(|_| after == len) else { break };
        latest = latest.max(time);
        bytes = &rest[size + 4..];
    }
    latest
}

/// The second field, an integer.
fn of_frame(mut body: &[u8]) -> Option<u64> {
    loop {
        let key = varint(&mut body)?;
        match (key >> 3, key & 7) {
            (2, 0) => return varint(&mut body),
            (_, 0) => drop(varint(&mut body)?),
            (_, 2) => {
                let len = usize::try_from(varint(&mut body)?).ok()?;
                body = body.get(len..)?;
            }
            _ => return None,
        }
    }
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
    use crate::log::{Source, framed, json::Spelling, split::Piece};

    const PIECE: Piece<'_> = Piece { head: b"", tail: b"x", whole: true, time: None, ordinal: 0 };

    #[test]
    fn the_latest_line_need_not_be_the_last() {
        let (mut json, mut frames) = (Vec::new(), Vec::new());
        for time in [5_000, 9_000, 7_000] {
            Spelling::at(Source::Stdout, time, "{\"a\":\"b\"}").spell(&mut json, &PIECE);
            framed::spell(&mut frames, Source::Stderr, time, &PIECE);
        }
        assert_eq!((of_lines(&json), of_frames(&frames)), (Some(9_000), 9_000));
    }

    #[test]
    fn what_is_torn_has_no_time_and_what_is_spelt_otherwise_an_unknown_one() {
        let mut json = b"{\"log\":\"tor\n".to_vec();
        Spelling::at(Source::Stdout, 5_000, "").spell(&mut json, &PIECE);
        json.extend_from_slice(b"{\"log\":\"not ended");
        assert_eq!(of_lines(&json), Some(5_000));
        assert_eq!(of_lines(b"{\"time\":\"1970-01-01T00:00:09Z\",\"log\":\"x\"}\n"), None);
        let mut frames = Vec::new();
        framed::spell(&mut frames, Source::Stdout, 300, &PIECE);
        let whole = frames.len();
        framed::spell(&mut frames, Source::Stdout, 400, &PIECE);
        assert_eq!(of_frames(&frames[..frames.len() - 1]), 300);
        frames[whole + 5] = 0xff;
        assert_eq!(of_frames(&frames), 300);
    }
}

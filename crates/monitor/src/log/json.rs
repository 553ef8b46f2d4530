//! One line of a log file, byte for byte as Docker spells it:
//! `{"log":"…\n","stream":"stdout","time":"…"}`.
//!
//! The text is escaped as Go's JSON encoder escapes for HTML (`<`, `>`, `&`,
//! U+2028 and U+2029 by number), a tab is `\u0009`, and every byte that is not
//! UTF-8 becomes `\ufffd`.

use super::split::Piece;
use spec::stamp::Stamp;

/// Which of its streams the program wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output, and a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// All that lines written at one moment have in common.
#[derive(Debug)]
pub struct Spelling<'a> {
    source: Source,
    /// A JSON object, or nothing.
    attrs: &'a str,
    /// What follows the text of a line without its newline.
    close: Vec<u8>,
}

impl<'a> Spelling<'a> {
    /// For what came from `source` at `now`.
    pub fn at(source: Source, now: u64, attrs: &'a str) -> Self {
        let mut close = Vec::with_capacity(68);
        push_close(&mut close, source, attrs, now);
        Self { source, attrs, close }
    }

    /// Appends a line to `out`.
    pub fn spell(&self, out: &mut Vec<u8>, piece: &Piece<'_>) {
        out.extend_from_slice(br#"{"log":""#);
        if piece.head.is_empty() {
            escape(out, piece.tail);
        } else if piece.tail.is_empty() {
            escape(out, piece.head);
        } else {
            // A character may lie across the seam.
            escape(out, &[piece.head, piece.tail].concat());
        }
        if piece.whole {
            out.extend_from_slice(b"\\n");
        }
        match piece.time {
            None => out.extend_from_slice(&self.close),
            Some(first) => push_close(out, self.source, self.attrs, first),
        }
    }
}

fn push_close(out: &mut Vec<u8>, source: Source, attrs: &str, time: u64) {
    out.extend_from_slice(match source {
        Source::Stdout => b"\",\"stream\":\"stdout\"",
        Source::Stderr => b"\",\"stream\":\"stderr\"",
    });
    if !attrs.is_empty() {
        out.extend_from_slice(br#","attrs":"#);
        out.extend_from_slice(attrs.as_bytes());
    }
    out.extend_from_slice(br#","time":""#);
    out.extend_from_slice(Stamp::short(time).as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// What is not copied as it stands: `PLAIN` bytes are.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20_u8;
    while byte < 0x80 {
        plain[byte as usize] = !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

/// As many bytes as are looked at in one go.
const SPAN: usize = 32;

/// Without a branch and a table, so that it becomes a few instructions on
/// vectors: four times as fast as byte by byte.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy one is a branch")]
fn all_plain(span: &[u8; SPAN]) -> bool {
    span.iter().fold(true, |plain, b| {
        plain
            & (*b >= 0x20)
            & (*b < 0x80)
            & (*b != b'"')
            & (*b != b'\\')
            & (*b != b'<')
            & (*b != b'>')
            & (*b != b'&')
    })
}

/// How many of the first bytes are copied as they stand.
fn plain(text: &[u8]) -> usize {
    let (spans, _) = text.as_chunks::<SPAN>();
    let whole = spans.iter().take_while(|span| all_plain(span)).count();
    // The last span overlaps the one before, so that no end is left to look at.
    if whole == spans.len() && text.last_chunk().is_some_and(all_plain) {
        return text.len();
    }
    let whole = whole * SPAN;
    whole + text[whole..].iter().take_while(|b| PLAIN[usize::from(**b)]).count()
}

fn escape(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        let plain = plain(text);
        out.extend_from_slice(&text[..plain]);
        text = &text[plain..];
        match text.first() {
            None => return,
            Some(b) if b.is_ascii() => {
                escape_one(out, *b);
                text = &text[1..];
            }
            Some(_) => {
                let foreign = text.iter().take_while(|b| !b.is_ascii()).count();
                escape_foreign(out, &text[..foreign]);
                text = &text[foreign..];
            }
        }
    }
}

fn escape_one(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
}

/// Bytes from 0x80 on alone: none of them ends in the middle of a character.
fn escape_foreign(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for (i, between) in chunk.valid().split(['\u{2028}', '\u{2029}']).enumerate() {
            if i > 0 {
                // Which of the two it was: the byte before this part, a8 or a9.
                let at = between.as_ptr() as usize - chunk.valid().as_ptr() as usize;
                let last = chunk.valid().as_bytes()[at - 1];
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            }
            out.extend_from_slice(between.as_bytes());
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, text);
        String::from_utf8(out).expect("always UTF-8")
    }

    #[test]
    fn what_json_and_html_hold_dear_is_escaped() {
        assert_eq!(escaped(br#"a"b\c"#), r#"a\"b\\c"#);
        assert_eq!(escaped(b"<a href=x>&"), r"\u003ca href=x\u003e\u0026");
        assert_eq!(escaped(b"\r\n"), r"\r\n");
        assert_eq!(escaped(b"\t\x00\x1b[31m\x7f"), "\\u0009\\u0000\\u001b[31m\x7f");
    }

    #[test]
    fn a_byte_is_escaped_wherever_it_stands() {
        for len in 1..3 * SPAN {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'x'; len];
                    text[at] = byte;
                    let want = if PLAIN[usize::from(byte)] { len } else { at };
                    assert_eq!(plain(&text), want, "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn line_separators_of_unicode_are_escaped() {
        assert_eq!(escaped("ä\u{2028}ö\u{2029}\u{2028}".as_bytes()), r"ä\u2028ö\u2029\u2028");
    }

    #[test]
    fn every_byte_that_is_not_utf8_is_a_replacement() {
        assert_eq!(escaped(b"a\xffb"), r"a\ufffdb");
        // A character cut short: Go counts each of its bytes.
        assert_eq!(escaped(b"\xe2\x82x"), r"\ufffd\ufffdx");
        assert_eq!(escaped(b"\xf0\x9f\x98"), r"\ufffd\ufffd\ufffd");
        // A surrogate, and an overlong slash.
        assert_eq!(escaped(b"\xed\xa0\x80\xc0\xaf"), r"\ufffd\ufffd\ufffd\ufffd\ufffd");
        assert_eq!(escaped("ok: \u{1f6a2}, \u{fffd}".as_bytes()), "ok: \u{1f6a2}, \u{fffd}");
    }

    #[test]
    fn a_character_across_a_seam_stays_whole() {
        let mut out = Vec::new();
        let piece = Piece { head: b"\xc3", tail: b"\xa4", whole: true, time: None, ordinal: 0 };
        Spelling::at(Source::Stderr, 0, "").spell(&mut out, &piece);
        let want = "{\"log\":\"ä\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:00Z\"}\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }
}

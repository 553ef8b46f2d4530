//! A line as Docker's `json-file` driver writes it.

use crate::{Entry, Stream};
use serde::Deserialize;
use serde_json::{Map, Value};
use spec::stamp;
use std::{borrow::Cow, collections::BTreeMap};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: Map<String, Value>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads a line; none if it is something else.
pub fn parse(line: &[u8]) -> Option<Entry> {
    quick(line).or_else(|| thorough(line))
}

fn thorough(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = match &*line.stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let attrs = line.attrs.into_iter().filter_map(|(key, value)| match value {
        Value::String(value) => Some((key, value)),
        _ => None,
    });
    let attrs = attrs.collect();
    let text = line.log.into_owned().into_bytes();
    Some(Entry { stream, time: stamp::parse(&line.time)?, line: text, attrs })
}

/// Reads a line that is spelt as the monitor spells those without attributes.
/// None means that it is spelt otherwise.
fn quick(line: &[u8]) -> Option<Entry> {
    const TIME: &[u8] = b",\"time\":\"";
    const OUT: &[u8] = b"\",\"stream\":\"stdout\"";
    const ERR: &[u8] = b"\",\"stream\":\"stderr\"";
    let rest = line.strip_prefix(b"{\"log\":\"")?.strip_suffix(b"\"}")?;
    // A time takes 20 to 30 bytes.
    let at = rest.iter().rposition(|byte| *byte == b'"')? + 1;
    let time = std::str::from_utf8(&rest[at..]).ok()?;
    let rest = rest[..at].strip_suffix(TIME)?;
    let (stream, text) = match (rest.strip_suffix(OUT), rest.strip_suffix(ERR)) {
        (Some(text), _) => (Stream::Stdout, text),
        (_, Some(text)) => (Stream::Stderr, text),
        _ => return None,
    };
    let line = unescape(text)?;
    Some(Entry { stream, time: stamp::parse(time)?, line, attrs: BTreeMap::new() })
}

/// What a JSON string with the commonest escapes means.
fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    loop {
        let plain = plain(text);
        out.extend_from_slice(&text[..plain]);
        text = &text[plain..];
        match text {
            [] => break,
            [b'\\', b'n', ..] => out.push(b'\n'),
            [b'\\', b'r', ..] => out.push(b'\r'),
            [b'\\', b't', ..] => out.push(b'\t'),
            [b'\\', byte @ (b'"' | b'\\'), ..] => out.push(*byte),
            [b'\\', b'u', b'0', b'0', high, low, rest @ ..] => {
                let byte = hex(*high)? << 4 | hex(*low)?;
                out.push(Some(byte).filter(u8::is_ascii)?);
                text = rest;
                continue;
            }
            _ => return None,
        }
        text = &text[2..];
    }
    // Text alone is promised.
    std::str::from_utf8(&out).ok()?;
    Some(out)
}

/// How many bytes are neither a quote nor a backslash: eight at a time.
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7) != 0;
    let (words, _) = text.as_chunks::<8>();
    let ends = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        zero(word ^ (ONES * 0x22)) || zero(word ^ (ONES * 0x5c))
    };
    let skip = words.iter().position(ends).unwrap_or(words.len()) * 8;
    let rest = text[skip..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
    rest.map_or(text.len(), |at| skip + at)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(text: &str) -> String {
        format!(r#"{{"log":"{text}","stream":"stderr","time":"1970-01-01T00:00:01.5Z"}}"#)
    }

    #[test]
    fn both_ways_to_read_agree() {
        for text in [
            "",
            "x",
            r"plain text of some length\n",
            r#"\"q\" \\ \u003ca\u0026\u003e \u0009\u001b[0m\r\n"#,
            "ä\u{2028}…\u{1f6a2} and more\\n",
        ] {
            let line = spelt(text);
            let quick = quick(line.as_bytes()).expect(text);
            assert_eq!(Some(quick), thorough(line.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_spelt_otherwise_is_left_to_the_thorough_way() {
        for text in [r"\u2028", r"\ud83d\udea2", r"\/", r"\b", "\\u00e4"] {
            let line = spelt(text);
            assert_eq!(quick(line.as_bytes()), None, "{text}");
            assert!(parse(line.as_bytes()).is_some(), "{text}");
        }
        let attrs =
            br#"{"log":"x\n","stream":"stdout","attrs":{"a":"b"},"time":"1970-01-01T00:00:01Z"}"#;
        assert_eq!(parse(attrs).expect("a line").attrs["a"], "b");
        // A program that says what a log would.
        let sly = spelt(r#"\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:09Z"#);
        let entry = parse(sly.as_bytes()).expect("a line");
        assert_eq!((entry.stream, entry.time), (Stream::Stderr, 1_500_000_000));
    }

    #[test]
    fn what_is_torn_is_no_line() {
        let line = spelt(r"some \u003ctext\n");
        for len in 0..line.len() {
            assert_eq!(parse(&line.as_bytes()[..len]), None, "{len}");
        }
        assert_eq!(parse(spelt("a\"b").as_bytes()), None);
        assert_eq!(
            parse(
                &[
                    b"{\"log\":\"",
                    &[0xff][..],
                    b"\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:01Z\"}"
                ]
                .concat()
            ),
            None
        );
    }
}

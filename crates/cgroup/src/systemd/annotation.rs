//! Properties of a unit that a bundle's annotations name.
//!
//! `org.systemd.property.TimeoutStopUSec: "uint64 5000000"`: the text is a
//! value as GVariant writes it. Words, numbers and lists of them are carried;
//! tuples, dictionaries, maybes and variants are refused. Where a property
//! counts microseconds, its name may end in `Sec` and the value be in seconds.
//!
//! Source: GLib, "GVariant Text Format"; the annotations are runc's
//! (`docs/systemd.md`).

use super::{Error, Property, wire::Value};
use std::collections::BTreeMap;

const PREFIX: &str = "org.systemd.property.";
/// What a scope is: its processes, its place, whose its group is. `PIDs` would
/// put any process of the host into it, to be killed with the container.
const OWN: [&str; 4] = ["PIDs", "PIDFDs", "Slice", "Delegate"];

/// All of them, in the order of their names.
///
/// # Errors
/// [`Error::BadProperty`] for the first that is none.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Error> {
    let ours = annotations.iter().filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text)));
    ours.map(|(name, text)| {
        property(name, text).map_err(|why| Error::BadProperty {
            key: format!("{PREFIX}{name}"),
            text: text.clone(),
            why,
        })
    })
    .collect()
}

type Why = &'static str;

fn property(name: &str, text: &str) -> Result<Property, Why> {
    if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err("no property is called so");
    }
    if OWN.contains(&name) {
        return Err("the scope's own, which no bundle changes");
    }
    let value = parse(text)?;
    match name.strip_suffix("Sec") {
        Some(stem) if stem.ends_with(|c: char| c.is_ascii_lowercase()) => {
            Ok((format!("{stem}USec"), Value::Uint64(microseconds(&value)?)))
        }
        _ => Ok((name.into(), value)),
    }
}

fn microseconds(seconds: &Value) -> Result<u64, Why> {
    const MILLION: u64 = 1_000_000;
    let whole = match *seconds {
        Value::Byte(n) => Some(n.into()),
        Value::Uint32(n) => Some(n.into()),
        Value::Uint64(n) => Some(n),
        Value::Int32(n) => n.try_into().ok(),
        Value::Int64(n) => n.try_into().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "from 0 to what fits"
        )]
        Value::Double(n) if (0.0..u64::MAX as f64 / 1e6).contains(&n) => {
            return Ok((n * 1e6) as u64);
        }
        _ => None,
    };
    whole.and_then(|n| n.checked_mul(MILLION)).ok_or("it is no number of seconds")
}

/// One value and nothing after it.
fn parse(text: &str) -> Result<Value, Why> {
    let mut rest = text.trim();
    let value = value(&mut rest, "")?;
    if rest.trim().is_empty() { Ok(value) } else { Err("something follows the value") }
}

/// Reads a value off the front; of the type `wanted`, unless that is empty. Its
/// text may say the type, once.
fn value(rest: &mut &str, wanted: &str) -> Result<Value, Why> {
    *rest = rest.trim_start();
    let said = match rest.strip_prefix('@') {
        Some(typed) => {
            let end = typed.find(char::is_whitespace).ok_or("a type without a value")?;
            *rest = &typed[end..];
            &typed[..end]
        }
        None => keyword(rest).inspect(|(word, _)| *rest = &rest[word.len()..]).map_or("", |k| k.1),
    };
    *rest = rest.trim_start();
    match (said, wanted) {
        ("", wanted) => plain(rest, wanted),
        (said, wanted) if wanted.is_empty() || said == wanted => plain(rest, said),
        _ => Err("it is of another type"),
    }
}

/// The keyword at the front, and the type that it says.
fn keyword(rest: &str) -> Option<&'static (&'static str, &'static str)> {
    let token = &rest[..token_end(rest)];
    KEYWORDS.iter().find(|(keyword, _)| *keyword == token)
}

fn token_end(rest: &str) -> usize {
    rest.find([' ', '\t', ',', ']']).unwrap_or(rest.len())
}

/// A value without a word about its type.
fn plain(rest: &mut &str, wanted: &str) -> Result<Value, Why> {
    match rest.chars().next() {
        Some('[') => list(rest, wanted),
        Some(quote @ ('\'' | '"')) => word(quoted(rest, quote)?, wanted),
        Some(_) => {
            let (token, after) = rest.split_at(token_end(rest));
            *rest = after;
            token_value(token, wanted)
        }
        None => Err("there is no value"),
    }
}

const KEYWORDS: [(&str, &str); 10] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

fn token_value(token: &str, wanted: &str) -> Result<Value, Why> {
    match (token, wanted) {
        ("true" | "false", "" | "b") => return Ok(Value::Bool(token == "true")),
        (_, "s" | "o" | "g" | "b") => return Err("it is of another type"),
        _ => {}
    }
    let (sign, digits) = match token.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, token.strip_prefix('+').unwrap_or(token)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None if digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            if digits.starts_with('0') { (8, digits) } else { (10, digits) }
        }
        None => (10, digits),
    };
    let whole = digits
        .starts_with(|c: char| c.is_ascii_hexdigit())
        .then(|| i128::from_str_radix(digits, radix).ok())
        .flatten()
        .map(|n| sign * n);
    let misfit = "the number does not fit its type";
    match (whole, wanted) {
        (Some(n), "" | "i") => n.try_into().map(Value::Int32).map_err(|_| misfit),
        (Some(n), "y") => n.try_into().map(Value::Byte).map_err(|_| misfit),
        (Some(n), "u") => n.try_into().map(Value::Uint32).map_err(|_| misfit),
        (Some(n), "x") => n.try_into().map(Value::Int64).map_err(|_| misfit),
        (Some(n), "t") => n.try_into().map(Value::Uint64).map_err(|_| misfit),
        (_, "" | "d") if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            token.parse().map(Value::Double).map_err(|_| "it is no value")
        }
        (_, "y" | "i" | "u" | "x" | "t" | "d") => Err("it is no number"),
        (_, "") => Err("it is no value: words stand in quotes"),
        _ => Err("a value of this type is not carried"),
    }
}

fn word(text: String, wanted: &str) -> Result<Value, Why> {
    match wanted {
        "" | "s" => Ok(Value::Text(text)),
        "o" if text.starts_with('/') => Ok(Value::Path(text)),
        "g" if text.len() < 256 => Ok(Value::Signature(text)),
        _ => Err("it is of another type"),
    }
}

/// Text up to the quote that ends it.
fn quoted(rest: &mut &str, quote: char) -> Result<String, Why> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\0' => return Err("a text holds a zero"),
            _ if letter == quote => {
                *rest = &rest[at + letter.len_utf8()..];
                return Ok(text);
            }
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, same @ ('\\' | '\'' | '"'))) => text.push(same),
                _ => return Err("an escape that is not carried"),
            },
            _ => text.push(letter),
        }
    }
    Err("a text without an end")
}

fn list(rest: &mut &str, wanted: &str) -> Result<Value, Why> {
    let mut element = match wanted {
        "" => String::new(),
        _ => wanted.strip_prefix('a').ok_or("it is of another type")?.to_owned(),
    };
    let mut items = Vec::new();
    *rest = rest[1..].trim_start();
    while !rest.starts_with(']') {
        if !items.is_empty() {
            *rest = rest.strip_prefix(',').ok_or("a list without an end")?;
        }
        // Depth is bounded: no list is in a list.
        if rest.trim_start().starts_with(['[', '@']) {
            return Err("a list of lists is not carried");
        }
        let item = value(rest, &element)?;
        if element.is_empty() {
            element = item.signature();
        }
        items.push(item);
        *rest = rest.trim_start();
    }
    *rest = &rest[1..];
    match element.as_str() {
        "" => Err("an empty list needs its type, as @as []"),
        "y" | "b" | "i" | "u" | "x" | "t" | "d" | "s" | "o" | "g" => {
            Ok(Value::Array(element, items))
        }
        _ => Err("a list of this type is not carried"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_of_the_type_that_its_text_says() {
        for (text, value) in [
            ("'a b'", Value::text("a b")),
            ("\"it\\'s\"", Value::text("it's")),
            ("true", Value::Bool(true)),
            ("boolean false", Value::Bool(false)),
            ("5", Value::Int32(5)),
            ("-7", Value::Int32(-7)),
            ("0x10", Value::Int32(16)),
            ("010", Value::Int32(8)),
            ("1.5", Value::Double(1.5)),
            ("uint64 5", Value::Uint64(5)),
            ("@t 5", Value::Uint64(5)),
            ("byte 255", Value::Byte(255)),
            ("int64 -1", Value::Int64(-1)),
            ("objectpath '/a'", Value::Path("/a".into())),
            ("@as []", Value::Array("s".into(), Vec::new())),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
        let units = vec![Value::text("a.service"), Value::text("b.service")];
        assert_eq!(parse("['a.service', 'b.service']"), Ok(Value::Array("s".into(), units)));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in [
            "",
            "'",
            "'a",
            "a",
            "5 6",
            "byte 256",
            "byte -1",
            "uint64 -5",
            "@t",
            "@t 'a'",
            "[",
            "[1,",
            "[1 2]",
            "[1, 'a']",
            "[]",
            "[[1]]",
            "(1, 2)",
            "{'a': 1}",
            "<1>",
            "nothing",
            "uint32 true",
            "objectpath 'a'",
            "'a\0b'",
            "@as [1]",
            "-",
            "0x",
            "nan",
            "string 5",
            "byte byte 5",
            "@t @t 5",
            "@y byte 5",
            "['a', byte 5]",
            "@as [byte 5]",
        ] {
            assert!(parse(text).is_err(), "{text:?}: {:?}", parse(text));
        }
    }

    #[test]
    fn a_type_stands_before_a_value_once_however_long_the_text() {
        for word in ["byte ", "@t "] {
            assert!(parse(&(word.repeat(1 << 20) + "5")).is_err(), "{word}");
        }
        let bytes = Value::Array("y".into(), vec![Value::Byte(1), Value::Byte(2)]);
        assert_eq!(parse("@ay [byte 1, 2]"), Ok(bytes));
    }

    #[test]
    fn seconds_become_microseconds() {
        let usec = |name: &str, text| property(name, text);
        let five = ("TimeoutStopUSec".to_owned(), Value::Uint64(5_500_000));
        assert_eq!(usec("TimeoutStopSec", "5.5"), Ok(five));
        assert_eq!(usec("TimeoutStopSec", "5").map(|p| p.1), Ok(Value::Uint64(5_000_000)));
        assert!(usec("TimeoutStopSec", "-5").is_err());
        assert!(usec("TimeoutStopSec", "uint64 18446744073709551615").is_err());
        // Already one of microseconds.
        let exact = ("TimeoutStopUSec".to_owned(), Value::Uint64(5));
        assert_eq!(usec("TimeoutStopUSec", "uint64 5"), Ok(exact));
    }

    #[test]
    fn only_annotations_of_systemd_are_properties() {
        let annotations = [("org.systemd.property.CollectMode", "'inactive'"), ("other", "x")];
        let annotations = annotations.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let found = properties(&annotations).expect("valid");
        assert_eq!(found, [("CollectMode".to_owned(), Value::text("inactive"))]);
        let bad = [("org.systemd.property.Co-Mode".to_owned(), "1".to_owned())].into();
        let refused = properties(&bad).expect_err("must refuse");
        let words = "annotation org.systemd.property.Co-Mode=\"1\": no property is called so";
        assert_eq!(refused.to_string(), words);
    }

    #[test]
    fn what_makes_the_scope_is_not_for_a_bundle_to_say() {
        for (name, text) in [
            ("PIDs", "[uint32 1]"),
            ("PIDFDs", "[1]"),
            ("Slice", "'a.slice'"),
            ("Delegate", "false"),
        ] {
            assert_eq!(property(name, text), Err("the scope's own, which no bundle changes"));
        }
        assert!(property("DefaultDependencies", "true").is_ok(), "as CRI-O says");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
            let _ = property("TimeoutStopSec", &text);
        }

        #[test]
        fn no_text_of_the_format_makes_it_panic(text in "[\\[\\]@'\"\\\\a-y 0-9x.,-]{0,20}") {
            let _ = property("TimeoutStopSec", &text);
        }
    }
}

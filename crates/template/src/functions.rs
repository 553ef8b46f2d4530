//! The functions that a template may call: Go's own and Docker's.

use super::fill::holds;
use super::gaps::{Gap, LABELS};
use super::printf::printf;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// All of them.
const KNOWN: [&str; 26] = [
    "and", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower", "lt",
    "ne", "not", "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate",
    "upper", "urlquery",
];

/// Is there such a function?
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Does it leave headers as they are?
pub fn keeps_headers(name: &str) -> bool {
    ["join", "json", "lower", "split", "title", "truncate", "upper"].contains(&name)
}

type Called = Result<Value, String>;

/// Calls one by its name.
///
/// # Errors
/// No such function, or not with these words.
pub fn call(name: &str, words: &[Value]) -> Called {
    let text = |n: usize| words.get(n).map(plain).unwrap_or_default();
    let count = |wanted: usize| {
        let words = words.len();
        if words == wanted {
            Ok(())
        } else {
            Err(format!("wrong number of args for {name}: want {wanted} got {words}"))
        }
    };
    Ok(match name {
        "json" => {
            count(1)?;
            shown(&words[0]).to_string().into()
        }
        "not" => {
            count(1)?;
            (!holds(&words[0])).into()
        }
        "len" => {
            count(1)?;
            match &words[0] {
                Value::Array(list) => list.len(),
                Value::Object(map) => map.len(),
                gap if Gap::of(gap).is_some() => 0,
                Value::String(text) => text.len(),
                Value::Null => 0,
                other => return Err(format!("len of type {}", kind(other))),
            }
            .into()
        }
        "index" => {
            let (first, keys) = words.split_first().ok_or("index of nothing")?;
            keys.iter().try_fold(first.clone(), |value, key| index(&value, key))?
        }
        "slice" => {
            let (first, ends) = words.split_first().ok_or("slice of nothing")?;
            slice(first, ends)?
        }
        "eq" => match words {
            [] => return Err("wrong number of args for eq: want at least 1 got 0".into()),
            [_] => return Err("missing argument for comparison".into()),
            [first, others @ ..] => {
                let mut found = false;
                for other in others {
                    found = found || equal(first, other)?;
                }
                found.into()
            }
        },
        "ne" => {
            count(2)?;
            (!equal(&words[0], &words[1])?).into()
        }
        "lt" | "le" | "gt" | "ge" => {
            count(2)?;
            let order = order(&words[0], &words[1])?;
            match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }
            .into()
        }
        "printf" => printf(&text(0), words.get(1..).unwrap_or_default())?.into(),
        "split" => {
            count(2)?;
            match (text(0), text(1)) {
                // Each sign for itself.
                (text, by) if by.is_empty() => text.chars().map(String::from).collect(),
                (text, by) => text.split(&by).collect::<Vec<_>>().into(),
            }
        }
        "join" => {
            count(2)?;
            let list = match &words[0] {
                Value::Array(list) => &list[..],
                none if !holds(none) && !none.is_boolean() => &[],
                _ => return Err("join takes a list".into()),
            };
            list.iter().map(plain).collect::<Vec<_>>().join(&text(1)).into()
        }
        "truncate" => {
            count(2)?;
            text(0).chars().take(length(&words[1])?).collect::<String>().into()
        }
        "pad" => {
            count(3)?;
            let blanks = |n: usize| Ok::<_, String>(" ".repeat(length(&words[n])?));
            match text(0).as_str() {
                "" => "".into(),
                text => format!("{}{text}{}", blanks(1)?, blanks(2)?).into(),
            }
        }
        _ => return text_of(name, words).ok_or_else(|| format!("function {name:?} not defined")),
    })
}

/// What makes one text of any words.
fn text_of(name: &str, words: &[Value]) -> Option<Value> {
    let text = print(words);
    let text = match name {
        "print" => text,
        "println" => words.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n",
        "lower" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        "title" => title(&text),
        "html" => text.chars().map(html).collect(),
        "js" => text.chars().map(js).collect(),
        "urlquery" => text.bytes().map(urlquery).collect(),
        _ => return None,
    };
    Some(text.into())
}

/// Longest text that a template may ask for by a number.
pub const LONGEST: usize = 4096;

fn length(value: &Value) -> Result<usize, String> {
    let length = place(value).filter(|length| *length <= LONGEST);
    length.ok_or_else(|| format!("{} is no length", plain(value)))
}

/// `.Label "key"` of a row; empty if it has none.
///
/// # Errors
/// Rows that have no labels at all.
pub fn label(words: &[Value]) -> Called {
    let [Value::Object(row), key] = words else { return Err("Label takes one key".into()) };
    let labels = row.get(LABELS).ok_or("these rows have no labels")?;
    Ok(labels.get(plain(key)).map(plain).unwrap_or_default().into())
}

/// The header over `.Label "key"`: the last part of the key, in plain words.
///
/// # Errors
/// There is no one key.
pub fn label_header(words: &[Value]) -> Called {
    let [_, key] = words else { return Err("Label takes one key".into()) };
    let key = plain(key);
    Ok(key.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ").into())
}

/// Without what is not to be seen.
pub fn shown(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| *key != LABELS && Gap::of(value).is_none_or(|gap| gap.written))
            .map(|(key, value)| (key.clone(), shown(value)))
            .collect(),
        Value::Array(list) => list.iter().map(shown).collect(),
        gap if Gap::of(gap).is_some() => Value::Null,
        other => other.clone(),
    }
}

/// As Go prints it.
pub fn plain(value: &Value) -> String {
    if let Some(gap) = Gap::of(value) {
        return gap.words().into();
    }
    match value {
        Value::Null => "<no value>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(inner).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            // Go's own type of a published port.
            if let (2, Some(ip), Some(port)) = (map.len(), map.get("HostIp"), map.get("HostPort")) {
                return format!("{{{} {}}}", inner(ip), inner(port));
            }
            let set = map.values().all(|value| value.as_object().is_some_and(Map::is_empty));
            let kept = map.iter().filter(|(key, value)| {
                *key != LABELS && Gap::of(value).is_none_or(|gap| gap.written)
            });
            let pairs: Vec<String> =
                kept.map(|(key, value)| {
                    if set { format!("{key}:{{}}") } else { format!("{key}:{}", inner(value)) }
                })
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Number(n) if n.is_f64() => general(n.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

fn inner(value: &Value) -> String {
    if value.is_null() { "<nil>".into() } else { plain(value) }
}

/// A fraction in Go's `%v`: the fewest digits that mean it, and an exponent
/// where that is shorter.
fn general(n: f64) -> String {
    let text = format!("{n:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(-4..=5) | Err(_) => n.to_string(),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

/// Its type in Go, for people.
pub fn kind(value: &Value) -> &'static str {
    match value {
        gap if Gap::of(gap).is_some() => "nil",
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Values one behind the other, with a blank between two that are no text.
fn print(words: &[Value]) -> String {
    let mut text = String::new();
    let mut before = true;
    for (n, word) in words.iter().enumerate() {
        let is_text = word.is_string() && Gap::of(word).is_none();
        if n > 0 && !before && !is_text {
            text.push(' ');
        }
        text.push_str(&plain(word));
        before = is_text;
    }
    text
}

fn html(c: char) -> String {
    match c {
        '"' => "&#34;".into(),
        '\'' => "&#39;".into(),
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '\0' => "\u{fffd}".into(),
        c => c.into(),
    }
}

fn urlquery(byte: u8) -> String {
    match byte {
        b' ' => "+".into(),
        b'-' | b'.' | b'_' | b'~' => char::from(byte).into(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).into(),
        byte => format!("%{byte:02X}"),
    }
}

fn js(c: char) -> String {
    match c {
        '\\' | '\'' | '"' => format!("\\{c}"),
        '<' | '>' | '&' | '=' => format!("\\u{:04X}", u32::from(c)),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.into(),
    }
}

fn place(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

fn index(value: &Value, key: &Value) -> Called {
    match (value, key) {
        (Value::Array(list), Value::Number(n)) => {
            let found = place(key).and_then(|n| list.get(n));
            found.cloned().ok_or_else(|| format!("index out of range: {n}"))
        }
        // What a map has not is empty, in the manner of what it has.
        (Value::Object(map), Value::String(key)) => Ok(match map.get(key) {
            Some(found) => found.clone(),
            None if map.values().all(Value::is_string) => "".into(),
            None => Value::Null,
        }),
        (Value::String(text), Value::Number(n)) if Gap::of(value).is_none() => {
            let found = place(key).and_then(|n| text.as_bytes().get(n));
            found.map(|byte| (*byte).into()).ok_or_else(|| format!("index out of range: {n}"))
        }
        (gap, Value::String(_)) if Gap::of(gap).is_some_and(Gap::is_map) => Ok("".into()),
        (gap, Value::Number(n)) if Gap::of(gap).is_some_and(Gap::is_list) => {
            Err(format!("index out of range: {n}"))
        }
        (other, _) if !holds(other) => Err("index of untyped nil".into()),
        (other, key) => Err(format!("can't index {} with {}", plain(other), plain(key))),
    }
}

/// From the first end up to the second; by bytes, if it is a text.
fn slice(value: &Value, ends: &[Value]) -> Called {
    if ends.len() > 2 {
        return Err("slice takes two ends at most".into());
    }
    let end = |n: usize, otherwise: usize| match ends.get(n) {
        None => Ok(otherwise),
        Some(end) => place(end).ok_or_else(|| format!("index out of range: {}", plain(end))),
    };
    let beyond = || format!("index out of range: {}", ends.last().map(plain).unwrap_or_default());
    match value {
        Value::String(text) if Gap::of(value).is_none() => {
            let cut = text.get(end(0, 0)?..end(1, text.len())?);
            cut.map(Value::from).ok_or_else(beyond)
        }
        Value::Array(list) => {
            let cut = list.get(end(0, 0)?..end(1, list.len())?);
            cut.map(|cut| Value::from(cut.to_vec())).ok_or_else(beyond)
        }
        other => Err(format!("can't slice item of type {}", kind(other))),
    }
}

/// Whether two of one kind are the same.
fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        // Docker reads the engine's numbers as texts once its types do not fit.
        (Value::Number(number), Value::String(text))
        | (Value::String(text), Value::Number(number)) => Ok(number.to_string() == *text),
        (Value::Number(x), Value::Number(y)) if x.is_f64() != y.is_f64() => {
            Err("incompatible types for comparison".into())
        }
        (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Null, _)
        | (_, Value::Null) => Ok(a == b),
        (a, b) if Gap::of(a).is_some() || Gap::of(b).is_some() => Ok(a == b),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(format!("non-comparable types {}, {}", kind(a), kind(b)))
        }
        _ => Err("incompatible types for comparison".into()),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    let order = match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    order.ok_or_else(|| "incompatible types for comparison".into())
}

/// A capital behind each sign that belongs to no word.
fn title(text: &str) -> String {
    let mut begins = true;
    let change = |c: char| {
        let ends = match c {
            '_' => false,
            c if c.is_ascii() => !c.is_ascii_alphanumeric(),
            c => c.is_whitespace(),
        };
        let first = std::mem::replace(&mut begins, ends);
        if first { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(change).collect()
}

//! The functions that a template may call: Go's own and Docker's.

use super::fill::holds;
use super::{ABSENT, LABELS};
use serde_json::Value;
use std::cmp::Ordering;

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
                Value::String(text) if text != ABSENT => text.len(),
                other if !holds(other) => 0,
                other => return Err(format!("len of {}", plain(other))),
            }
            .into()
        }
        "index" => {
            let (first, keys) = words.split_first().ok_or("index of nothing")?;
            keys.iter().try_fold(first.clone(), |value, key| index(&value, key))?
        }
        "eq" => words.iter().skip(1).any(|word| Some(word) == words.first()).into(),
        "ne" => {
            count(2)?;
            (words[0] != words[1]).into()
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
        "print" => words.iter().map(plain).collect::<String>().into(),
        "println" => (words.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => printf(&text(0), words.get(1..).unwrap_or_default())?.into(),
        "lower" => text(0).to_lowercase().into(),
        "upper" => text(0).to_uppercase().into(),
        "title" => title(&text(0)).into(),
        "split" => {
            count(2)?;
            text(0).split(&text(1)).collect::<Vec<_>>().into()
        }
        "join" => {
            count(2)?;
            let list = words[0].as_array().ok_or("join takes a list")?;
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
        _ => return Err(format!("function {name:?} not defined")),
    })
}

/// Longest text that a template may ask for by a number.
const LONGEST: u64 = 4096;

fn length(value: &Value) -> Result<usize, String> {
    let length = value.as_u64().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| format!("{} is no length", plain(value)))?;
    usize::try_from(length).map_err(|error| error.to_string())
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

/// Without what is not to be seen.
pub fn shown(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| *key != LABELS && **value != ABSENT)
            .map(|(key, value)| (key.clone(), shown(value)))
            .collect(),
        Value::Array(list) => list.iter().map(shown).collect(),
        Value::String(text) if text == ABSENT => Value::Null,
        other => other.clone(),
    }
}

/// As Go prints it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        Value::String(text) if text == ABSENT => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(inner).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, value)| *key != LABELS && **value != ABSENT);
            let pairs: Vec<String> =
                kept.map(|(key, value)| format!("{key}:{}", inner(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

fn inner(value: &Value) -> String {
    if value.is_null() { "<nil>".into() } else { plain(value) }
}

fn index(value: &Value, key: &Value) -> Called {
    match (value, key) {
        (Value::Array(list), Value::Number(n)) => {
            let place = n.as_u64().and_then(|n| usize::try_from(n).ok());
            let found = place.and_then(|n| list.get(n));
            found.cloned().ok_or_else(|| format!("index out of range: {n}"))
        }
        // What a map has not is empty.
        (Value::Object(map), Value::String(key)) => {
            Ok(map.get(key).cloned().unwrap_or(Value::Null))
        }
        (other, _) if !holds(other) => Err("index of untyped nil".into()),
        (other, key) => Err(format!("can't index {} with {}", plain(other), plain(key))),
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

fn title(text: &str) -> String {
    let mut begins = true;
    let change = |c: char| {
        let first = std::mem::replace(&mut begins, c.is_whitespace());
        if first { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(change).collect()
}

/// `%s`, `%v`, `%q`, `%d`, `%t`, `%x`, `%f` and `%%`, with width and precision.
fn printf(format: &str, words: &[Value]) -> Result<String, String> {
    let mut text = String::new();
    let mut words = words.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut spec = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || "-+.# ".contains(*c)) {
            spec.push(c);
        }
        let verb = chars.next().ok_or("printf: a verb is wanted behind %")?;
        if verb == '%' {
            text.push('%');
            continue;
        }
        let Some(word) = words.next() else {
            text.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let (width, precision) = spec.split_once('.').unwrap_or((&spec, ""));
        let digits: Option<usize> = precision.parse().ok();
        let shown = match verb {
            'q' => format!("{:?}", plain(word)),
            'x' => word.as_i64().map_or_else(|| plain(word), |n| format!("{n:x}")),
            'f' => format!("{:.*}", digits.unwrap_or(6), word.as_f64().unwrap_or(0.0)),
            's' | 'v' | 'd' | 't' => match digits {
                Some(most) => plain(word).chars().take(most).collect(),
                None => plain(word),
            },
            other => return Err(format!("printf: %{other} is not carried")),
        };
        let least: usize = width.trim_start_matches(['-', '+', ' ', '#', '0']).parse().unwrap_or(0);
        let least = least.min(usize::try_from(LONGEST).unwrap_or(0));
        if width.starts_with('-') {
            text.push_str(&format!("{shown:<least$}"));
        } else if width.starts_with('0') && word.is_number() {
            text.push_str(&format!("{shown:0>least$}"));
        } else {
            text.push_str(&format!("{shown:>least$}"));
        }
    }
    Ok(text)
}

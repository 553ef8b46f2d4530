//! Single values: what may be written for them, and what they come to.

use super::must;
use crate::{
    error::{Outcome, wrong},
    node::{Node, Value, float},
    schema::Kind,
};
use spec::duration::nanoseconds_with_days;

/// A value of one of the simple kinds.
pub fn scalar(node: Node, kind: &Kind, path: &str) -> Outcome<Node> {
    let at = node.at.clone();
    match kind {
        Kind::Text => match node.value {
            Value::Text(_) => Ok(node),
            _ => Err(must(&node, path, "a string")),
        },
        Kind::Word => match node.scalar() {
            Some(word) if !matches!(node.value, Value::Null) => Ok(Node::text(&at, word)),
            _ => Err(must(&node, path, "a string or a number")),
        },
        Kind::Bool => {
            let yes = match &node.value {
                Value::Bool(yes) => Some(*yes),
                Value::Text(text) => boolean(text),
                _ => None,
            };
            let yes = yes.ok_or_else(|| must(&node, path, "true or false"))?;
            Ok(Node::at(&at, Value::Bool(yes)))
        }
        Kind::Int => {
            let number = match &node.value {
                Value::Int(number) => Some(*number),
                Value::Text(text) => text.parse().ok(),
                Value::Float(number) => whole(*number),
                _ => None,
            };
            let number = number.ok_or_else(|| must(&node, path, "a whole number"))?;
            Ok(Node::at(&at, Value::Int(number)))
        }
        Kind::Number => {
            #[expect(clippy::cast_precision_loss, reason = "few are larger than 2^52")]
            let number = match &node.value {
                Value::Int(number) => Some(*number as f64),
                Value::Float(number) => Some(*number),
                Value::Text(text) => text.trim().parse().ok(),
                _ => None,
            };
            let number = number.filter(|number| number.is_finite());
            let number = number.ok_or_else(|| must(&node, path, "a number"))?;
            // Written as short as it can be: `1`, not `1.0`.
            let value = whole(number).map_or(Value::Float(number), Value::Int);
            Ok(Node::at(&at, value))
        }
        Kind::Bytes => {
            let number = match &node.value {
                Value::Int(number) => Some(*number),
                Value::Float(number) => bytes(&float(*number)),
                Value::Text(text) => bytes(text),
                _ => None,
            };
            let number = number.ok_or_else(|| {
                wrong(&at, format!("{path}: invalid size {}: e.g. 50m is wanted", shown(&node)))
            })?;
            Ok(Node::text(&at, number.to_string()))
        }
        Kind::Duration => {
            let length = match &node.value {
                Value::Text(text) => nanoseconds_with_days(text),
                Value::Int(0) => Some(0),
                _ => None,
            };
            let length = length.ok_or_else(|| {
                wrong(
                    &at,
                    format!("{path}: invalid duration {}: e.g. 1m30s is wanted", shown(&node)),
                )
            })?;
            Ok(Node::text(&at, go_duration(length)))
        }
        _ => Ok(node),
    }
}

fn shown(node: &Node) -> String {
    node.scalar().map_or_else(|| node.kind().to_owned(), |text| format!("{text:?}"))
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "y" | "yes" | "on" => Some(true),
        "false" | "0" | "f" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// `50m`: b, k, m, g, t, p, powers of 1024; `-1` is without a limit.
pub fn bytes(text: &str) -> Option<i64> {
    let lower = text.trim().to_ascii_lowercase();
    if lower == "-1" {
        return Some(-1);
    }
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let power = lower.chars().last().and_then(|unit| "kmgtp".find(unit));
    let digits = if power.is_some() { &lower[..lower.len() - 1] } else { lower };
    let number: f64 = digits.trim_end().parse().ok()?;
    let power = i32::try_from(power.map_or(0, |power| power + 1)).ok()?;
    let size = number * 1024_f64.powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (0.0..9.2e18).contains(&size).then_some(size as i64)
}

/// A length of time as Go writes it: `1m30s`, `500ms`, `0s`.
pub fn go_duration(nanoseconds: i64) -> String {
    let total = nanoseconds.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let digits = unit.to_string().len() - 1;
        let part = format!("{:0digits$}", total % unit);
        let part = part.trim_end_matches('0');
        let point = if part.is_empty() { "" } else { "." };
        format!("{}{point}{part}{name}", total / unit)
    };
    match total {
        0 => return "0s".into(),
        1..1_000 => return format!("{total}ns"),
        1_000..1_000_000 => return fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => return fraction(1_000_000, "ms"),
        _ => {}
    }
    let seconds = total / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut part = format!("{:09}", total % 1_000_000_000);
    part.truncate(part.trim_end_matches('0').len());
    let point = if part.is_empty() { "" } else { "." };
    let last = format!("{}{point}{part}s", seconds % 60);
    match (hours, minutes) {
        (0, 0) => last,
        (0, minutes) => format!("{minutes}m{last}"),
        (hours, minutes) => format!("{hours}h{minutes}m{last}"),
    }
}

/// A command line: a list, or a string that is split (or, of a health check,
/// given to a shell).
pub fn command(node: Node, shell: bool, path: &str) -> Outcome<Node> {
    let at = node.at.clone();
    let list = match node.value {
        Value::List(list) => {
            let word = |node: Node| match node.scalar() {
                Some(word) if !matches!(node.value, Value::Null) => Ok(Node::text(&node.at, word)),
                _ => Err(must(&node, path, "a list of strings")),
            };
            list.into_iter().map(word).collect::<Outcome<Vec<_>>>()?
        }
        Value::Text(text) if shell => {
            vec![Node::text(&at, "CMD-SHELL"), Node::text(&at, text)]
        }
        Value::Text(text) => {
            let words = split(&text)
                .ok_or_else(|| wrong(&at, format!("{path}: a quote is not closed in {text:?}")))?;
            words.into_iter().map(|word| Node::text(&at, word)).collect()
        }
        _ => return Err(must(&node, path, "a string or a list of strings")),
    };
    Ok(Node::at(&at, Value::List(list)))
}

/// Splits words as a shell does, without expanding anything; none if a quote
/// stays open.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("50m"), Some(50 << 20));
        assert_eq!(bytes("1.5gb"), Some(3 << 29));
        assert_eq!(
            (bytes("64MiB"), bytes("12"), bytes("-1")),
            (Some(64 << 20), Some(12), Some(-1))
        );
        assert!(bytes("many").is_none() && bytes("").is_none() && bytes("-5m").is_none());
    }

    #[test]
    fn durations_come_out_as_go_writes_them() {
        let told = |text: &str| nanoseconds_with_days(text).map(go_duration);
        assert_eq!(told("90s").as_deref(), Some("1m30s"));
        assert_eq!(told("1h").as_deref(), Some("1h0m0s"));
        assert_eq!(told("1500ms").as_deref(), Some("1.5s"));
        assert_eq!(told("500ms").as_deref(), Some("500ms"));
        assert_eq!(told("1d").as_deref(), Some("24h0m0s"));
        assert_eq!(told("0").as_deref(), Some("0s"));
        assert!(told("5").is_none() && told("").is_none() && told("5y").is_none());
    }

    #[test]
    fn a_command_line_is_split_as_a_shell_does() {
        let words = |text: &str| split(text).expect("closed");
        assert_eq!(words(r#"echo "a b" 'c "d' e\ f "#), ["echo", "a b", "c \"d", "e f"]);
        assert_eq!(words(r#"x "a\"b\n" '' "#), ["x", "a\"b\\n", ""]);
        assert!(words("").is_empty());
        assert!(split("a 'b").is_none() && split("a \"b").is_none());
    }
}

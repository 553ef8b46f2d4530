//! A project as text: canonical YAML and JSON, with attributes in the order
//! of the table and without those that say nothing.
//!
//! The JSON of a service is what its hash is made of, so it is byte for
//! byte that of Compose (2.26): Go's order of fields, Go's way of escaping.

use crate::{
    node::{Entry, Map, Node, Value},
    schema::{BUILD, DEPENDENCY, DEVICE, ENDPOINT, ENV_FILE, GRANT, Kind, LOGGING, MOUNT, PORT},
};
use std::fmt::Write as _;

/// Which of the two ways of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Yaml,
    /// For programs, and for hashes.
    Json,
}

/// Attributes that are told though they are 0 or false.
const TOLD: [&str; 9] = [
    "attach",
    "init",
    "scale",
    "replicas",
    "retries",
    "max_attempts",
    "parallelism",
    "mode",
    "required",
];

/// A tree with its attributes in order; none if there is nothing to tell.
pub fn ordered(node: &Node, kind: &Kind, name: &str, form: Form) -> Option<Node> {
    let of = |kind: &Kind| ordered(node, kind, name, form);
    let object = |fields| of(&Kind::Object(fields));
    match kind {
        Kind::Idle(_, kind) => of(kind),
        Kind::Object(fields) => fields_of(node, fields, name, form),
        Kind::Map(kind) => sorted(node, |name, node| ordered(node, kind, name, form)),
        Kind::Pairs => sorted(node, |_, node| Some(node.clone())),
        Kind::Labels => sorted(node, |_, node| Some(node.clone())),
        Kind::Depends => {
            sorted(node, |name, node| ordered(node, &Kind::Object(DEPENDENCY), name, form))
        }
        Kind::Networks => sorted(node, |name, node| match node.value {
            Value::Null => Some(node.clone()),
            _ => ordered(node, &Kind::Object(ENDPOINT), name, form),
        }),
        Kind::List(kind) => list(node, |node| ordered(node, kind, "", form)),
        Kind::Ports => list(node, |node| ordered(node, &Kind::Object(PORT), "", form)),
        Kind::Volumes => list(node, |node| ordered(node, &Kind::Object(MOUNT), "", form)),
        Kind::Devices => list(node, |node| ordered(node, &Kind::Object(DEVICE), "", form)),
        Kind::Grants => list(node, |node| ordered(node, &Kind::Object(GRANT), "", form)),
        Kind::EnvFiles => list(node, |node| ordered(node, &Kind::Object(ENV_FILE), "", form)),
        Kind::Words | Kind::Many | Kind::Hosts => list(node, |node| Some(node.clone())),
        Kind::Build => object(BUILD),
        Kind::Logging => object(LOGGING),
        Kind::Ulimit => match node.value {
            Value::Map(_) => object(&[("soft", Kind::Int), ("hard", Kind::Int)]),
            _ => Some(node.clone()),
        },
        // A list that is empty is a command all the same.
        Kind::Command | Kind::Any => Some(node.clone()),
        Kind::Bytes => Some(node.clone()).filter(|node| node.as_text() != Some("0")),
        Kind::Number => single(node),
        _ => match &node.value {
            Value::Null => None,
            Value::Bool(false) | Value::Int(0) if !TOLD.contains(&name) => None,
            Value::Text(text) if text.is_empty() => None,
            Value::List(list) if list.is_empty() => None,
            _ => Some(node.clone()),
        },
    }
}

/// A number in Compose's precision.
fn single(node: &Node) -> Option<Node> {
    match node.value {
        Value::Int(0) => None,
        #[expect(clippy::cast_possible_truncation, reason = "Compose holds it so")]
        Value::Float(number) => {
            let short = (number as f32).to_string().parse().unwrap_or(number);
            Some(Node::at(&node.at, Value::Float(short)))
        }
        _ => Some(node.clone()),
    }
}

fn fields_of(
    node: &Node,
    fields: &'static [(&'static str, Kind)],
    name: &str,
    form: Form,
) -> Option<Node> {
    let map = node.as_map()?;
    let mut told = Map::default();
    for (field, kind) in fields {
        let shown = map.get(field).and_then(|node| ordered(node, kind, field, form));
        let empty = |node: &Node| node.as_map().is_some_and(|map| map.0.is_empty());
        let shown = shown.filter(|node| !(form == Form::Yaml && *field == "ipam" && empty(node)));
        let shown =
            shown.or_else(|| always(name, field, form).map(|value| Node::at(&node.at, value)));
        if let Some(shown) = shown {
            let key = match (form, fields) {
                // Go's structures of devices' rates say nothing of JSON.
                (Form::Json, [("path", _), ("rate" | "weight", _)]) => capital(field),
                _ => (*field).to_owned(),
            };
            told.0.push(Entry { key, at: node.at.clone(), node: shown });
        }
    }
    if form == Form::Yaml {
        let mut more: Vec<_> = map.0.iter().filter(|e| e.key.starts_with("x-")).cloned().collect();
        more.sort_by(|a, b| a.key.cmp(&b.key));
        told.0.extend(more);
    }
    Some(Node::at(&node.at, Value::Map(told)))
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

/// What Go's JSON tells of a structure although it is empty.
fn always(object: &str, field: &str, form: Form) -> Option<Value> {
    match (form, object, field) {
        (Form::Json, "service", "command" | "entrypoint") => Some(Value::Null),
        (Form::Json, "deploy", "resources" | "placement") | (Form::Json, "network", "ipam") => {
            Some(Value::Map(Map::default()))
        }
        _ => None,
    }
}

fn sorted(node: &Node, each: impl Fn(&str, &Node) -> Option<Node>) -> Option<Node> {
    let mut entries: Vec<Entry> = node.as_map()?.0.clone();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let told = entries.into_iter().filter_map(|entry| {
        let node = each(&entry.key, &entry.node)?;
        Some(Entry { node, ..entry })
    });
    let told: Vec<Entry> = told.collect();
    (!told.is_empty()).then(|| Node::at(&node.at, Value::Map(Map(told))))
}

fn list(node: &Node, each: impl Fn(&Node) -> Option<Node>) -> Option<Node> {
    let Value::List(list) = &node.value else { return None };
    let told: Vec<Node> = list.iter().filter_map(each).collect();
    (!told.is_empty()).then(|| Node::at(&node.at, Value::List(told)))
}

/// JSON, on one line or indented by two.
pub fn json(node: &Node, indent: Option<usize>) -> String {
    let mut text = String::new();
    write_json(node, indent, &mut text);
    text
}

fn write_json(node: &Node, indent: Option<usize>, text: &mut String) {
    let deeper = indent.map(|depth| depth + 1);
    let line = |text: &mut String, depth: Option<usize>| {
        if let Some(depth) = depth {
            text.push('\n');
            text.push_str(&"  ".repeat(depth));
        }
    };
    match &node.value {
        Value::List(list) if !list.is_empty() => {
            text.push('[');
            for (n, node) in list.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                line(text, deeper);
                write_json(node, deeper, text);
            }
            line(text, indent);
            text.push(']');
        }
        Value::Map(map) if !map.0.is_empty() => {
            text.push('{');
            for (n, entry) in map.0.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                line(text, deeper);
                text.push_str(&go_string(&entry.key));
                text.push_str(if indent.is_some() { ": " } else { ":" });
                write_json(&entry.node, deeper, text);
            }
            line(text, indent);
            text.push('}');
        }
        Value::List(_) => text.push_str("[]"),
        Value::Map(_) => text.push_str("{}"),
        Value::Null => text.push_str("null"),
        Value::Text(word) => text.push_str(&go_string(word)),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            text.push_str(&node.scalar().unwrap_or_default());
        }
    }
}

/// A string as Go's JSON has it, safe within HTML.
fn go_string(text: &str) -> String {
    let plain = serde_json::Value::from(text).to_string();
    let mut safe = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(safe, "\\u{:04x}", c as u32);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// YAML as Compose writes it.
pub fn yaml(node: &Node) -> String {
    let mut text = String::new();
    write_yaml(node, 0, &mut text);
    text
}

fn write_yaml(node: &Node, depth: usize, text: &mut String) {
    let pad = "  ".repeat(depth);
    match &node.value {
        Value::Map(map) => {
            for (n, entry) in map.0.iter().enumerate() {
                // The first of a list's item stands behind its dash.
                if n > 0 || !text.ends_with("- ") {
                    text.push_str(&pad);
                }
                text.push_str(&yaml_string(&entry.key, depth));
                text.push(':');
                write_value(&entry.node, depth, text);
            }
        }
        Value::List(list) => {
            for node in list {
                text.push_str(&pad);
                text.push_str("- ");
                match &node.value {
                    Value::Map(map) if !map.0.is_empty() => write_yaml(node, depth + 1, text),
                    _ => {
                        text.truncate(text.len() - 1);
                        write_value(node, depth, text);
                    }
                }
            }
        }
        _ => write_value(node, depth, text),
    }
}

/// What stands behind a colon or a dash, to the end of its line or lines.
fn write_value(node: &Node, depth: usize, text: &mut String) {
    match &node.value {
        Value::Map(map) if !map.0.is_empty() => {
            text.push('\n');
            write_yaml(node, depth + 1, text);
        }
        Value::List(list) if !list.is_empty() => {
            text.push('\n');
            write_yaml(node, depth + 1, text);
        }
        Value::Map(_) => text.push_str(" {}\n"),
        Value::List(_) => text.push_str(" []\n"),
        Value::Null => text.push_str(" null\n"),
        Value::Text(word) => {
            let _ = writeln!(text, " {}", yaml_string(word, depth + 1));
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            let _ = writeln!(text, " {}", node.scalar().unwrap_or_default());
        }
    }
}

/// A string in the plainest style in which it stays a string.
fn yaml_string(text: &str, depth: usize) -> String {
    let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{feff}';
    if text.is_empty() || text.contains(odd) || is_other(text) {
        return double_quoted(text);
    }
    if text.contains('\n') {
        if text.starts_with([' ', '\n']) || text.lines().any(|line| line.ends_with(' ')) {
            return double_quoted(text);
        }
        let pad = "  ".repeat(depth.max(1));
        let sign = match (text.ends_with('\n'), text.ends_with("\n\n")) {
            (false, _) => "|-",
            (true, false) => "|",
            (true, true) => "|+",
        };
        let lines: Vec<String> = text
            .strip_suffix('\n')
            .unwrap_or(text)
            .split('\n')
            .map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") })
            .collect();
        return format!("{sign}\n{}", lines.join("\n"));
    }
    let first = text.chars().next().unwrap_or(' ');
    let second = text.chars().nth(1);
    let indicator = match first {
        '-' | '?' | ':' => second.is_none_or(|c| c == ' '),
        c => ",[]{}#&*!|>'\"%@`".contains(c),
    };
    let inside = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let blank = text.starts_with(' ') || text.ends_with(' ');
    if indicator || inside || blank || text.starts_with("---") || text.starts_with("...") {
        return format!("'{}'", text.replace('\'', "''"));
    }
    text.to_owned()
}

/// Would it be read as anything but a string, by readers old and new?
fn is_other(text: &str) -> bool {
    let old = [
        "y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off",
        "OFF",
    ];
    if old.contains(&text) || !matches!(crate::node::plain(text), Value::Text(_)) {
        return true;
    }
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let sexagesimal = || {
        let mut parts = text.trim_start_matches(['+', '-']).split(':');
        text.contains(':') && parts.all(|part| digits(part) || digits(&part.replace('.', "")))
    };
    let date = || {
        let day: Vec<&str> = text.splitn(3, '-').collect();
        day.len() == 3
            && day[0].len() == 4
            && digits(day[0])
            && digits(day[1])
            && day[2].starts_with(|c: char| c.is_ascii_digit())
            && day[2].chars().all(|c| c.is_ascii_digit() || "T:.Z +-t".contains(c))
    };
    sexagesimal() || date()
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\x{:02x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stay_strings() {
        for (text, expected) in [
            ("y", "\"y\""),
            ("1.0", "\"1.0\""),
            ("", "\"\""),
            ("a: b", "'a: b'"),
            ("#x", "'#x'"),
            ("-x", "-x"),
            ("- x", "'- x'"),
            ("1:30", "\"1:30\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("a'b", "a'b"),
            ("\"q\"", "'\"q\"'"),
            ("tab\tx", "\"tab\\tx\""),
            ("a\\b", "a\\b"),
            ("::1", "::1"),
            ("?x", "?x"),
            ("1.2.3.4", "1.2.3.4"),
            ("a\n  b\n\nc", "|-\n  a\n    b\n\n  c"),
            ("---", "'---'"),
        ] {
            assert_eq!(yaml_string(text, 1), expected, "{text:?}");
        }
    }

    #[test]
    fn json_is_gos() {
        assert_eq!(go_string("<a> & \"b\"\n"), r#""\u003ca\u003e \u0026 \"b\"\n""#);
    }
}

//! A YAML document as a tree in which everything knows where it stood.
//!
//! Anchors, aliases and merge keys (`<<`) are resolved here, and no deeper
//! or larger than a person would write: nobody's file makes a bomb of us.
//! Plain scalars are typed as Compose's own reader types them: `yes` is a
//! word, `0755` is octal.

use crate::error::{Outcome, wrong};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// How many nodes a file may come to, aliases expanded.
const MOST_NODES: usize = 200_000;
/// How deep they may be nested.
const MOST_DEPTH: usize = 100;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What an override says of a value with a tag of Compose's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `!reset`: what was there goes.
    Reset,
    /// `!override`: it is replaced, not merged.
    Override,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is to do to what it is merged with.
    pub mark: Option<Mark>,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// Names and what they stand for, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(pub Vec<Entry>);

/// One line of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Where the name stands.
    pub at: At,
    /// What it stands for.
    pub node: Node,
}

impl Map {
    /// What a name stands for.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }

    /// Takes a name out.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let place = self.0.iter().position(|entry| entry.key == key)?;
        Some(self.0.remove(place).node)
    }

    /// Sets a name, in the place that it has.
    pub fn set(&mut self, key: &str, node: Node) {
        match self.get_mut(key) {
            Some(there) => *there = node,
            None => self.0.push(Entry { key: key.to_owned(), at: node.at.clone(), node }),
        }
    }
}

impl Node {
    /// A node made of another's, at its place.
    pub fn at(at: &At, value: Value) -> Self {
        Self { at: at.clone(), mark: None, value }
    }

    /// A word.
    pub fn text(at: &At, text: impl Into<String>) -> Self {
        Self::at(at, Value::Text(text.into()))
    }

    /// A map of names and nodes.
    pub fn map(at: &At, entries: impl IntoIterator<Item = (&'static str, Node)>) -> Self {
        let entries = entries.into_iter().map(|(key, node)| Entry {
            key: key.to_owned(),
            at: node.at.clone(),
            node,
        });
        Self::at(at, Value::Map(Map(entries.collect())))
    }

    /// Its entries, if it is a map.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    /// The same, to be changed.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(map) = &mut self.value { Some(map) } else { None }
    }

    /// Its word, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// What a name in it stands for.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// A scalar as it would be written; none of lists and maps, `""` of null.
    pub fn scalar(&self) -> Option<String> {
        Some(match &self.value {
            Value::Null => String::new(),
            Value::Bool(yes) => yes.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => float(*number),
            Value::Text(text) => text.clone(),
            Value::List(_) | Value::Map(_) => return None,
        })
    }

    /// What kind of thing it is, for people.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The tree without places.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(yes) => Json::Bool(*yes),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(list) => Json::Array(list.iter().map(Node::json).collect()),
            Value::Map(map) => {
                Json::Object(map.0.iter().map(|e| (e.key.clone(), e.node.json())).collect())
            }
        }
    }
}

/// A number as Go writes it.
pub(crate) fn float(number: f64) -> String {
    format!("{number}")
}

/// The documents of a file; of several, each is merged over those before it.
///
/// # Errors
/// What is no YAML, with its place; two entries of one name.
pub fn parse(file: &str, text: &str) -> Outcome<Vec<Node>> {
    let file: Arc<str> = file.into();
    let text = text.trim_start_matches('\u{feff}');
    let mut builder = Builder::new(file);
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                let mark = error.marker();
                let at = builder.place(mark.line(), mark.col());
                return Err(wrong(&at, error.info()));
            }
        }
    }
    Ok(builder.documents)
}

/// A list or map that is being read.
struct Open {
    node: Node,
    anchor: usize,
    /// A name without its value yet.
    key: Option<(String, At)>,
    /// What `<<` stands for, to be merged once the map is whole.
    merged: Vec<Node>,
}

struct Builder {
    file: Arc<str>,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Builder {
    fn new(file: Arc<str>) -> Self {
        Self { file, documents: Vec::new(), open: Vec::new(), anchors: BTreeMap::new(), nodes: 0 }
    }

    fn place(&self, line: usize, column: usize) -> At {
        At { file: self.file.clone(), line, column: column + 1 }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Outcome<()> {
        let at = self.place(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = match (&tag, style) {
                    (Some(tag), _) if is_core(tag, "str") => Value::Text(text.into_owned()),
                    (_, ScalarStyle::Plain) => plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                let node = Node { mark: mark(tag.as_deref(), &at)?, at, value };
                self.done(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), Value::Map(Map::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let mut node = open.node;
                for from in open.merged {
                    merge_key(&mut node, &from)?;
                }
                self.done(node, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(wrong(&at, "the alias stands within what it names"));
                };
                self.count(size, &at)?;
                // Where it was written tells more than where it was repeated.
                self.done(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, more: usize, at: &At) -> Outcome<()> {
        self.nodes += more;
        if self.nodes > MOST_NODES {
            return Err(wrong(at, format!("the file comes to more than {MOST_NODES} values")));
        }
        Ok(())
    }

    fn begin(&mut self, at: At, anchor: usize, tag: Option<&Tag>, value: Value) -> Outcome<()> {
        if self.open.len() >= MOST_DEPTH {
            return Err(wrong(&at, format!("nested more than {MOST_DEPTH} deep")));
        }
        let node = Node { mark: mark(tag, &at)?, at, value };
        self.open.push(Open { node, anchor, key: None, merged: Vec::new() });
        Ok(())
    }

    /// Puts a whole node where it belongs.
    fn done(&mut self, node: Node, anchor: usize) -> Outcome<()> {
        self.count(1, &node.at)?;
        if anchor != 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(list) => list.push(node),
            Value::Map(map) => match open.key.take() {
                None => {
                    let key = node.scalar().ok_or_else(|| {
                        wrong(&node.at, format!("{} cannot be a name", node.kind()))
                    })?;
                    open.key = Some((key, node.at));
                }
                Some((key, _)) if key == "<<" => open.merged.push(node),
                Some((key, at)) => {
                    if let Some(first) = map.0.iter().find(|entry| entry.key == key) {
                        let line = first.at.line;
                        let what = format!("{key:?} is said twice, first in line {line}");
                        return Err(wrong(&at, what));
                    }
                    map.0.push(Entry { key, at, node });
                }
            },
            _ => {}
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(list) => list.iter().map(size).sum(),
        Value::Map(map) => map.0.iter().map(|entry| size(&entry.node)).sum(),
        _ => 0,
    }
}

fn is_core(tag: &Tag, name: &str) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == name
}

/// A tag of Compose's; those of YAML itself say nothing new.
fn mark(tag: Option<&Tag>, at: &At) -> Outcome<Option<Mark>> {
    match tag {
        None => Ok(None),
        Some(tag) if tag.is_yaml_core_schema() => Ok(None),
        Some(tag) if tag.handle == "!" && tag.suffix == "reset" => Ok(Some(Mark::Reset)),
        Some(tag) if tag.handle == "!" && tag.suffix == "override" => Ok(Some(Mark::Override)),
        Some(tag) => Err(wrong(
            at,
            format!("unknown tag {}{}: !reset and !override are known", tag.handle, tag.suffix),
        )),
    }
}

/// `<<: *a` and `<<: [*a, *b]`: what is not said yet is taken over.
fn merge_key(node: &mut Node, from: &Node) -> Outcome<()> {
    let Value::Map(into) = &mut node.value else { return Ok(()) };
    match &from.value {
        Value::Map(map) => {
            for entry in &map.0 {
                if into.get(&entry.key).is_none() {
                    into.0.push(entry.clone());
                }
            }
            Ok(())
        }
        Value::List(list) => list.iter().try_for_each(|from| merge_key(node, from)),
        _ => Err(wrong(&from.at, format!("<< wants a mapping, not {}", from.kind()))),
    }
}

/// A plain scalar's type.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Value::Text(text.to_owned());
    }
    if let Some(number) = integer(text) {
        return Value::Int(number);
    }
    let shaped = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    match text.parse::<f64>() {
        Ok(number) if shaped && text.contains(|c: char| c.is_ascii_digit()) => Value::Float(number),
        _ => Value::Text(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let clean = digits.replace('_', "");
    let (digits, radix) = if let Some(hex) = clean.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = clean.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(binary) = clean.strip_prefix("0b") {
        (binary, 2)
    } else if clean.len() > 1 && clean.starts_with('0') {
        (&clean[1..], 8)
    } else {
        (clean.as_str(), 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Node {
        parse("f.yaml", text).expect("valid").remove(0)
    }

    fn told(text: &str) -> String {
        parse("f.yaml", text).expect_err("refused").to_string()
    }

    #[test]
    fn plain_words_have_the_types_that_compose_gives_them() {
        let text = "[yes, true, 12, 0755, 0o17, 0x1F, 1.5, 1e3, ~, '12', \"true\", 1.2.3, 12h, -4]";
        let expected = json!([
            "yes", true, 12, 493, 15, 31, 1.5, 1000.0, null, "12", "true", "1.2.3", "12h", -4
        ]);
        assert_eq!(one(text).json(), expected);
    }

    #[test]
    fn everything_knows_its_place() {
        let node = one("a:\n  b: 1\n  c:\n    - x\n");
        let c = node.get("a").and_then(|a| a.get("c")).expect("there");
        let Value::List(list) = &c.value else { panic!("a list") };
        assert_eq!(list[0].at.to_string(), "f.yaml:4:7");
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved_and_own_entries_win() {
        let node = one("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 9}\nw: *x\n");
        assert_eq!(node.get("z").expect("z").json(), json!({"a": 9, "b": 2, "c": 4}));
        assert_eq!(node.get("w").expect("w").json(), json!({"a": 1, "b": 2}));
    }

    #[test]
    fn a_name_that_is_said_twice_is_refused_with_both_lines() {
        assert_eq!(told("a: 1\nb: 2\na: 3\n"), "f.yaml:3:1: \"a\" is said twice, first in line 1");
    }

    #[test]
    fn what_is_no_yaml_has_a_place() {
        assert!(told("a: [1, 2\nb: 3\n").starts_with("f.yaml:"));
        assert!(told("a: !other 1\n").contains("unknown tag !other"));
        assert!(told("a: *nowhere\n").starts_with("f.yaml:1:"));
    }

    #[test]
    fn tags_of_compose_are_marks() {
        let node = one("a: !reset null\nb: !override [1]\nc: !!str 12\n");
        assert_eq!(node.get("a").expect("a").mark, Some(Mark::Reset));
        assert_eq!(node.get("b").expect("b").mark, Some(Mark::Override));
        assert_eq!(node.get("c").expect("c").as_text(), Some("12"));
    }

    #[test]
    fn nobody_makes_a_bomb_of_aliases() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(told(&text).contains("more than 200000 values"));
        let deep = format!("{}{}", "[".repeat(150), "]".repeat(150));
        assert!(told(&deep).contains("nested more than 100 deep"), "{}", told(&deep));
    }
}

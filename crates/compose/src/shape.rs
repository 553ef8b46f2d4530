//! A file's tree into the one form that everything after it knows: short
//! spellings become long ones, paths absolute, sizes bytes; and each
//! attribute is one that is known, of a kind that it may have.
//!
//! - [`ports`], [`mounts`]: the short spellings of ports and volumes
//! - [`scalars`]: sizes, durations, booleans, command lines

mod mounts;
mod ports;
pub(crate) mod scalars;

pub use ports::key as port_key;

use crate::{
    error::{Outcome, wrong},
    node::{At, Entry, Map, Mark, Node, Value},
    schema::{self, Kind},
};
use std::path::{Component, Path, PathBuf};

/// What shaping a tree needs to know, and what it has to tell.
pub struct Shaper<'a> {
    /// What relative paths are relative to.
    pub base: &'a Path,
    /// What `~` is.
    pub home: Option<&'a str>,
    /// What was read and will not be done, with its place.
    pub warnings: Vec<String>,
}

impl Shaper<'_> {
    /// Shapes a node; `path` is what it is called (`services.web.ports`).
    ///
    /// # Errors
    /// What is unknown, not carried, or not of its kind, with its place.
    pub fn shape(&mut self, node: Node, kind: &Kind, path: &str) -> Outcome<Node> {
        if node.mark == Some(Mark::Reset) {
            return Ok(node);
        }
        let mark = node.mark;
        let mut shaped = self.of_kind(node, kind, path)?;
        shaped.mark = mark;
        Ok(shaped)
    }

    fn of_kind(&mut self, node: Node, kind: &Kind, path: &str) -> Outcome<Node> {
        match kind {
            Kind::Any => Ok(node),
            Kind::Refused(why) => Err(wrong(&node.at, format!("{path} is not carried: {why}"))),
            Kind::Idle(why, kind) => {
                self.warnings.push(format!("{}: {path} is ignored: {why}", node.at));
                self.of_kind(node, kind, path)
            }
            Kind::Object(fields) => self.object(node, fields, path),
            Kind::Map(kind) => self.map(node, kind, path),
            Kind::List(kind) => {
                self.list(node, path, |this, node, path| this.shape(node, kind, path))
            }
            Kind::Words | Kind::Many => words(node, *kind, path),
            Kind::Command | Kind::Test => scalars::command(node, matches!(kind, Kind::Test), path),
            Kind::Pairs => pairs(node, path, |at| Node::at(at, Value::Null)),
            Kind::Labels => pairs(node, path, |at| Node::text(at, "")),
            Kind::Hosts => hosts(node, path),
            Kind::Ports => ports::ports(self, node, path),
            Kind::Volumes => self.list(node, path, mounts::mount),
            Kind::Devices => self.list(node, path, mounts::device),
            Kind::Grants => self.list(node, path, grant),
            Kind::Depends => self.named(node, path, &Kind::Object(schema::DEPENDENCY), dependency),
            Kind::Networks => self
                .named(node, path, &Kind::Object(schema::ENDPOINT), |at| Node::at(at, Value::Null)),
            Kind::EnvFiles => self.env_files(node, path),
            Kind::Ulimit => ulimit(self, node, path),
            Kind::External => external(node, path),
            Kind::Build => self.build(node, path),
            Kind::Extends => self.either(node, path, "service", schema::EXTENDS),
            Kind::Include => self.either(node, path, "path", schema::INCLUDE),
            Kind::Logging => self.object(node, schema::LOGGING, path),
            Kind::Path => {
                let text = text(&node, path)?;
                Ok(Node::text(&node.at, self.absolute(&text)))
            }
            scalar => scalars::scalar(node, scalar, path),
        }
    }

    /// Attributes of a table; `x-…` may be anything, and null says nothing.
    fn object(
        &mut self,
        node: Node,
        fields: &'static [(&'static str, Kind)],
        path: &str,
    ) -> Outcome<Node> {
        let Value::Map(map) = node.value else {
            return Err(must(&node, path, "a mapping"));
        };
        let mut kept = Vec::new();
        for Entry { key, at, node } in map.0 {
            if key.starts_with("x-") {
                kept.push(Entry { key, at, node });
                continue;
            }
            let path = below(path, &key);
            let Some((_, kind)) = fields.iter().find(|(name, _)| *name == key) else {
                return Err(wrong(&at, unknown(&path, &key, fields)));
            };
            // `command: null` takes the image's; for all else it is as good as not said.
            let said = !matches!(node.value, Value::Null) || node.mark.is_some();
            if !said && !matches!(kind, Kind::Refused(_)) {
                continue;
            }
            let node = self.shape(node, kind, &path)?;
            kept.push(Entry { key, at, node });
        }
        Ok(Node::at(&node.at, Value::Map(Map(kept))))
    }

    /// Names of one's own.
    fn map(&mut self, node: Node, kind: &Kind, path: &str) -> Outcome<Node> {
        let Value::Map(map) = node.value else {
            return Err(must(&node, path, "a mapping"));
        };
        let mut kept = Vec::new();
        for Entry { key, at, node } in map.0 {
            let path = below(path, &key);
            // Of kinds of things (`volumes: {data: }`) nothing need be said.
            let node = match node.value {
                Value::Null if node.mark.is_none() && matches!(kind, Kind::Object(_)) => {
                    Node::at(&node.at, Value::Map(Map::default()))
                }
                _ => node,
            };
            let node = self.shape(node, kind, &path)?;
            kept.push(Entry { key, at, node });
        }
        Ok(Node::at(&node.at, Value::Map(Map(kept))))
    }

    fn list(
        &mut self,
        node: Node,
        path: &str,
        each: impl Fn(&mut Self, Node, &str) -> Outcome<Node>,
    ) -> Outcome<Node> {
        let Value::List(list) = node.value else {
            return Err(must(&node, path, "a list"));
        };
        let shape = |(n, node)| each(self, node, &format!("{path}[{n}]"));
        let list = list.into_iter().enumerate().map(shape).collect::<Outcome<_>>()?;
        Ok(Node::at(&node.at, Value::List(list)))
    }

    /// A list of names, or a mapping from names to a kind.
    fn named(
        &mut self,
        node: Node,
        path: &str,
        kind: &Kind,
        plain: impl Fn(&At) -> Node,
    ) -> Outcome<Node> {
        let mut kept = Map::default();
        match node.value {
            Value::List(list) => {
                for node in list {
                    let name = text(&node, path)?;
                    kept.set(&name, plain(&node.at));
                }
            }
            Value::Map(map) => {
                for Entry { key, at, node } in map.0 {
                    let node = match node.value {
                        Value::Null if node.mark.is_none() => plain(&node.at),
                        _ => self.shape(node, kind, &below(path, &key))?,
                    };
                    let node = if path.ends_with("depends_on") { whole(node) } else { node };
                    kept.0.push(Entry { key, at, node });
                }
            }
            _ => return Err(must(&node, path, "a list or a mapping")),
        }
        Ok(Node::at(&node.at, Value::Map(kept)))
    }

    /// A string that stands for one attribute, or all of them.
    fn either(
        &mut self,
        node: Node,
        path: &str,
        name: &'static str,
        fields: &'static [(&'static str, Kind)],
    ) -> Outcome<Node> {
        let node = match node.value {
            Value::Text(text) => Node::map(&node.at, [(name, Node::text(&node.at, text))]),
            _ => node,
        };
        self.object(node, fields, path)
    }

    fn env_files(&mut self, node: Node, path: &str) -> Outcome<Node> {
        let node = match node.value {
            Value::Text(_) => Node::at(&node.at.clone(), Value::List(vec![node])),
            _ => node,
        };
        self.list(node, path, |this, node, path| this.either(node, path, "path", schema::ENV_FILE))
    }

    fn build(&mut self, node: Node, path: &str) -> Outcome<Node> {
        let mut node = self.either(node, path, "context", schema::BUILD)?;
        let base = self.base.display().to_string();
        let at = node.at.clone();
        let Some(map) = node.as_map_mut() else { return Ok(node) };
        if map.get("dockerfile").is_some() && map.get("dockerfile_inline").is_some() {
            let what = "dockerfile and dockerfile_inline exclude one another";
            return Err(wrong(&at, format!("{path}: {what}")));
        }
        match map.get_mut("context") {
            Some(context) => {
                if let Value::Text(text) = &mut context.value
                    && !is_remote(text)
                {
                    *text = self.absolute(text);
                }
            }
            None => map.set("context", Node::text(&at, base)),
        }
        if let Some(Value::Map(more)) = map.get_mut("additional_contexts").map(|n| &mut n.value) {
            for entry in &mut more.0 {
                if let Value::Text(text) = &mut entry.node.value
                    && !is_remote(text)
                {
                    *text = self.absolute(text);
                }
            }
        }
        Ok(node)
    }

    /// A path as it is from the root.
    pub fn absolute(&self, path: &str) -> String {
        let path = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                format!("{home}{rest}")
            }
            _ => path.to_owned(),
        };
        clean(&self.base.join(path)).display().to_string()
    }
}

/// What a context may be besides a directory.
pub(crate) fn is_remote(context: &str) -> bool {
    context.contains("://")
        || context.starts_with("git@")
        || context.starts_with("github.com/")
        || ["service:", "target:"].iter().any(|start| context.starts_with(start))
}

/// A path without `.` and `..`, by its words alone.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn must(node: &Node, path: &str, what: &str) -> crate::Error {
    wrong(&node.at, format!("{path} must be {what}, not {}", node.kind()))
}

/// A string, and nothing that looks like one.
pub(super) fn text(node: &Node, path: &str) -> Outcome<String> {
    node.as_text().map(str::to_owned).ok_or_else(|| must(node, path, "a string"))
}

/// An attribute that is not there, and the one that may have been meant.
fn unknown(path: &str, key: &str, fields: &[(&str, Kind)]) -> String {
    let like = fields.iter().map(|(name, _)| (distance(key, name), *name)).min();
    match like {
        Some((far, name)) if far <= 2 => format!("unknown attribute {path}: did you mean {name}?"),
        _ => format!("unknown attribute {path}"),
    }
}

/// How many letters make one word of another (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = cost.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Strings, or one.
fn words(node: Node, kind: Kind, path: &str) -> Outcome<Node> {
    let list = match node.value {
        Value::List(list) => list,
        Value::Text(_) => vec![node.clone()],
        _ => return Err(must(&node, path, "a string or a list of strings")),
    };
    let mut kept: Vec<Node> = Vec::new();
    for node in list {
        let word = match &node.value {
            Value::Null => None,
            _ => node.scalar(),
        };
        let word = word.ok_or_else(|| must(&node, path, "a list of strings"))?;
        let again = kept.iter().any(|other| other.as_text() == Some(&word));
        if !(again && matches!(kind, Kind::Words)) {
            kept.push(Node::text(&node.at, word));
        }
    }
    Ok(Node::at(&node.at, Value::List(kept)))
}

/// `NAME=VALUE` in a list, or a mapping.
fn pairs(node: Node, path: &str, bare: impl Fn(&At) -> Node) -> Outcome<Node> {
    let mut kept = Map::default();
    match node.value {
        Value::List(list) => {
            for node in list {
                let pair = node.scalar().filter(|_| !matches!(node.value, Value::Null));
                let pair = pair.ok_or_else(|| must(&node, path, "a list of NAME=VALUE"))?;
                match pair.split_once('=') {
                    Some((name, value)) => kept.set(name, Node::text(&node.at, value)),
                    None => kept.set(&pair, bare(&node.at)),
                }
            }
        }
        Value::Map(map) => {
            for Entry { key, at, node } in map.0 {
                let node = match &node.value {
                    _ if node.mark.is_some() => node,
                    Value::Null => bare(&node.at),
                    _ => {
                        let value = node.scalar();
                        let path = below(path, &key);
                        let value = value
                            .ok_or_else(|| must(&node, &path, "a string, number or boolean"))?;
                        Node::text(&node.at, value)
                    }
                };
                kept.0.push(Entry { key, at, node });
            }
        }
        _ => return Err(must(&node, path, "a mapping or a list of NAME=VALUE")),
    }
    Ok(Node::at(&node.at, Value::Map(kept)))
}

/// Hosts as a sorted list of `NAME=ADDRESS`.
fn hosts(node: Node, path: &str) -> Outcome<Node> {
    let mut kept = Vec::new();
    let mut put = |at: &At, name: &str, address: &str| {
        let address =
            address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        kept.push(Node::text(at, format!("{name}={address}")));
    };
    match node.value {
        Value::List(list) => {
            for node in list {
                let host = text(&node, path)?;
                let split = host.split_once('=').or_else(|| host.split_once(':'));
                let (name, address) = split.ok_or_else(|| {
                    wrong(&node.at, format!("{path}: {host:?} is not NAME=ADDRESS"))
                })?;
                put(&node.at, name, address);
            }
        }
        Value::Map(map) => {
            for entry in &map.0 {
                match &entry.node.value {
                    Value::List(list) => {
                        for node in list {
                            put(&node.at, &entry.key, &text(node, path)?);
                        }
                    }
                    _ => put(&entry.at, &entry.key, &text(&entry.node, path)?),
                }
            }
        }
        _ => return Err(must(&node, path, "a mapping or a list of NAME=ADDRESS")),
    }
    kept.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    kept.dedup_by(|a, b| a.as_text() == b.as_text());
    Ok(Node::at(&node.at, Value::List(kept)))
}

/// A config or secret that a service is given.
fn grant(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    shaper.either(node, path, "source", schema::GRANT)
}

fn dependency(at: &At) -> Node {
    whole(Node::at(at, Value::Map(Map::default())))
}

/// A dependency with what goes without saying.
fn whole(mut node: Node) -> Node {
    let at = node.at.clone();
    if let Some(map) = node.as_map_mut() {
        if map.get("condition").is_none() {
            map.set("condition", Node::text(&at, "service_started"));
        }
        if map.get("required").is_none() {
            map.set("required", Node::at(&at, Value::Bool(true)));
        }
    }
    node
}

fn ulimit(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    match node.value {
        Value::Map(_) => shaper.object(node, &[("soft", Kind::Int), ("hard", Kind::Int)], path),
        _ => scalars::scalar(node, &Kind::Int, path),
    }
}

/// `external: true`, or the old `external: {name: …}`, which becomes a name.
fn external(node: Node, path: &str) -> Outcome<Node> {
    match &node.value {
        Value::Map(map) if map.0.iter().all(|entry| entry.key == "name") => Ok(node),
        _ => scalars::scalar(node, &Kind::Bool, path),
    }
}

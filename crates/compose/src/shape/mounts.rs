//! Volumes `[SOURCE:]TARGET[:OPTIONS]` and devices `SOURCE[:TARGET[:RIGHTS]]`,
//! or mappings.

use super::{Shaper, must};
use crate::{
    error::{Outcome, wrong},
    node::{At, Map, Node, Value},
    schema,
};

/// One volume of a service.
pub fn mount(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    match &node.value {
        Value::Text(text) => short(shaper, &node.at, text, path),
        Value::Map(_) => long(shaper, node, path),
        _ => Err(must(&node, path, "a string or a mapping")),
    }
}

fn long(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    let mut node = shaper.object(node, schema::MOUNT, path)?;
    let at = node.at.clone();
    let Some(map) = node.as_map_mut() else { return Ok(node) };
    let kind = map.get("type").and_then(Node::as_text).map(str::to_owned);
    let Some(kind) = kind else { return Err(wrong(&at, format!("{path} has no type"))) };
    match kind.as_str() {
        "bind" => match map.get_mut("source") {
            Some(source) => {
                if let Value::Text(text) = &mut source.value {
                    *text = shaper.absolute(text);
                }
            }
            None => return Err(wrong(&at, format!("{path}: a bind has a source"))),
        },
        "volume" | "tmpfs" | "image" => {}
        "npipe" | "cluster" => {
            return Err(wrong(&at, format!("{path}: the type {kind} is not carried")));
        }
        _ => {
            let what = "bind, volume, tmpfs or image";
            return Err(wrong(&at, format!("{path}: unknown type {kind:?}: {what} is wanted")));
        }
    }
    if map.get("target").is_none() {
        return Err(wrong(&at, format!("{path} has no target")));
    }
    Ok(node)
}

/// What stands between colons.
fn short(shaper: &Shaper<'_>, at: &At, text: &str, path: &str) -> Outcome<Node> {
    let bad = |why: &str| wrong(at, format!("{path}: invalid volume {text:?}: {why}"));
    let fields: Vec<&str> = text.split(':').collect();
    if fields.iter().any(|field| field.is_empty()) {
        return Err(bad("a part of it is empty"));
    }
    let (source, target, options) = match fields[..] {
        // Compose takes what is so short for a target without a look.
        [target] if target.len() <= 2 => {
            let kind = ("type", Node::text(at, "volume"));
            return Ok(Node::map(at, [kind, ("target", Node::text(at, target))]));
        }
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(bad("[SOURCE:]TARGET[:OPTIONS] is wanted")),
    };
    let is_path = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let mut read_only = false;
    let mut bind = Map::default();
    let mut volume = Map::default();
    let mut consistency = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => volume.set("nocopy", Node::at(at, Value::Bool(true))),
            "z" | "Z" => bind.set("selinux", Node::text(at, option)),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                bind.set("propagation", Node::text(at, option));
            }
            "cached" | "delegated" | "consistent" => consistency = Some(option),
            _ => return Err(bad(&format!("unknown option {option:?}"))),
        }
    }
    let mut map = Map::default();
    map.set("type", Node::text(at, if is_path { "bind" } else { "volume" }));
    if let Some(source) = source {
        let source = if is_path { shaper.absolute(source) } else { source.to_owned() };
        map.set("source", Node::text(at, source));
    }
    map.set("target", Node::text(at, target));
    if read_only {
        map.set("read_only", Node::at(at, Value::Bool(true)));
    }
    if let Some(word) = consistency {
        map.set("consistency", Node::text(at, word));
    }
    if is_path {
        bind.set("create_host_path", Node::at(at, Value::Bool(true)));
        map.set("bind", Node::at(at, Value::Map(bind)));
    } else {
        map.set("volume", Node::at(at, Value::Map(volume)));
    }
    Ok(Node::at(at, Value::Map(map)))
}

/// One device.
pub fn device(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    let at = node.at.clone();
    let text = match &node.value {
        Value::Text(text) => text,
        Value::Map(_) => return shaper.object(node, schema::DEVICE, path),
        _ => return Err(must(&node, path, "a string or a mapping")),
    };
    let fields: Vec<&str> = text.split(':').collect();
    let rights = |word: &str| !word.is_empty() && word.chars().all(|c| "rwm".contains(c));
    let (source, target, rights) = match fields[..] {
        [source] => (source, source, "rwm"),
        [source, second] if rights(second) => (source, source, second),
        [source, target] => (source, target, "rwm"),
        [source, target, third] if rights(third) => (source, target, third),
        _ => {
            let what = "SOURCE[:TARGET[:rwm]] is wanted";
            return Err(wrong(&at, format!("{path}: invalid device {text:?}: {what}")));
        }
    };
    let fields = [("source", source), ("target", target), ("permissions", rights)];
    Ok(Node::map(&at, fields.map(|(name, value)| (name, Node::text(&at, value)))))
}

//! Ports: `[[IP:]HOST:]PORT[/PROTOCOL]`, ranges of them, or mappings.

use super::{Shaper, must};
use crate::{
    error::{Outcome, wrong},
    node::{At, Node, Value},
    schema,
};

/// All ports of a service, each range taken apart and none twice.
pub fn ports(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    let Value::List(list) = node.value else {
        return Err(must(&node, path, "a list"));
    };
    let mut kept: Vec<Node> = Vec::new();
    for (n, node) in list.into_iter().enumerate() {
        let path = format!("{path}[{n}]");
        let found = match &node.value {
            Value::Map(_) => vec![long(shaper, node, &path)?],
            Value::Int(_) | Value::Text(_) => {
                short(&node.at, &node.scalar().unwrap_or_default(), &path)?
            }
            _ => return Err(must(&node, &path, "a string, a number or a mapping")),
        };
        for port in found {
            if !kept.iter().any(|other| key(other) == key(&port)) {
                kept.push(port);
            }
        }
    }
    Ok(Node::at(&node.at, Value::List(kept)))
}

/// What tells one port from another.
pub fn key(port: &Node) -> String {
    let word = |name| port.get(name).and_then(Node::scalar).unwrap_or_default();
    format!("{}:{}:{}/{}", word("host_ip"), word("published"), word("target"), word("protocol"))
}

fn long(shaper: &mut Shaper<'_>, node: Node, path: &str) -> Outcome<Node> {
    let mut node = shaper.object(node, schema::PORT, path)?;
    let at = node.at.clone();
    let Some(map) = node.as_map_mut() else { return Ok(node) };
    if map.get("target").is_none() {
        return Err(wrong(&at, format!("{path} has no target")));
    }
    for (name, value) in [("mode", "ingress"), ("protocol", "tcp")] {
        if map.get(name).is_none() {
            map.set(name, Node::text(&at, value));
        }
    }
    Ok(node)
}

fn short(at: &At, text: &str, path: &str) -> Outcome<Vec<Node>> {
    let bad = |why: &str| wrong(at, format!("{path}: invalid port {text:?}: {why}"));
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(bad("the protocol is tcp, udp or sctp"));
    }
    let (rest, inside) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (address, outside) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => (address, after.strip_prefix(':').unwrap_or(after)),
        None => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
        return Err(bad("its address is not one"));
    }
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
        (first <= last && first > 0).then_some((first, last))
    };
    let (first, last) = range(inside).ok_or_else(|| bad("ports are 1 to 65535"))?;
    let count = last - first;
    let published = match outside {
        "" => None,
        outside => Some(range(outside).ok_or_else(|| bad("ports are 1 to 65535"))?),
    };
    let port = |n: u16| {
        let outside = match published {
            None => None,
            Some((low, high)) if high - low == count => Some((low + n).to_string()),
            Some(_) if count == 0 => Some(outside.to_owned()),
            Some(_) => return Err(bad("the ranges differ in length")),
        };
        let mut fields = vec![("mode", Node::text(at, "ingress"))];
        if !address.is_empty() {
            fields.push(("host_ip", Node::text(at, address)));
        }
        fields.push(("target", Node::at(at, Value::Int(i64::from(first + n)))));
        fields.extend(outside.map(|port| ("published", Node::text(at, port))));
        fields.push(("protocol", Node::text(at, protocol.clone())));
        Ok(Node::map(at, fields))
    };
    (0..=count).map(port).collect()
}

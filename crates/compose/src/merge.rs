//! One tree over another: what an override says, by the kind of each
//! attribute. Both are shaped already, so only long spellings meet.

use crate::{
    node::{Entry, Map, Mark, Node, Value},
    schema::{BUILD, DEPENDENCY, ENDPOINT, EXTENDS, INCLUDE, Kind, LOGGING},
    shape::port_key,
};

/// Merges `over` into `base`.
pub fn merge(base: Node, over: Node, kind: &Kind) -> Node {
    if over.mark == Some(Mark::Override) {
        return Node { mark: None, ..over };
    }
    match kind {
        Kind::Idle(_, kind) => merge(base, over, kind),
        Kind::Object(fields) => maps(base, over, |name| {
            fields.iter().find(|(key, _)| *key == name).map_or(&Kind::Any, |(_, kind)| kind)
        }),
        Kind::Build => merge(base, over, &Kind::Object(BUILD)),
        Kind::Extends => merge(base, over, &Kind::Object(EXTENDS)),
        Kind::Include => merge(base, over, &Kind::Object(INCLUDE)),
        Kind::Map(kind) => maps(base, over, |_| kind),
        Kind::Depends => maps(base, over, |_| &Kind::Object(DEPENDENCY)),
        Kind::Networks => maps(base, over, |_| &Kind::Object(ENDPOINT)),
        Kind::Pairs | Kind::Labels => maps(base, over, |_| &Kind::Text),
        Kind::Logging => {
            let driver = |node: &Node| node.get("driver").and_then(Node::scalar);
            match (driver(&base), driver(&over)) {
                (Some(old), Some(new)) if old != new => over,
                _ => merge(base, over, &Kind::Object(LOGGING)),
            }
        }
        Kind::Words | Kind::Hosts => {
            lists(base, over, Some(&|node| node.scalar().unwrap_or_default()))
        }
        Kind::Ports => lists(base, over, Some(&port_key)),
        Kind::Volumes | Kind::Devices => lists(base, over, Some(&target)),
        Kind::Grants => lists(
            base,
            over,
            Some(&|node| {
                let target = target(node);
                if target.is_empty() { field(node, "source") } else { target }
            }),
        ),
        Kind::EnvFiles => lists(base, over, Some(&|node| field(node, "path"))),
        Kind::List(_) | Kind::Many => lists(base, over, None),
        Kind::Any => match (&base.value, &over.value) {
            (Value::Map(_), Value::Map(_)) => maps(base, over, |_| &Kind::Any),
            (Value::List(_), Value::List(_)) => lists(base, over, None),
            _ => over,
        },
        _ => over,
    }
}

/// Takes the marks off a tree, and what they strike out.
pub fn settle(node: &mut Node) {
    node.mark = None;
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(settle),
        Value::Map(map) => {
            map.0.retain(|entry| entry.node.mark != Some(Mark::Reset));
            map.0.iter_mut().for_each(|entry| settle(&mut entry.node));
        }
        _ => {}
    }
}

fn field(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::scalar).unwrap_or_default()
}

fn target(node: &Node) -> String {
    field(node, "target")
}

fn maps<'k>(base: Node, over: Node, kind: impl Fn(&str) -> &'k Kind) -> Node {
    let (Value::Map(old), Value::Map(new)) = (base.value, over.value) else {
        // One of them is no map: kinds make sure that this is not met.
        return Node::at(&over.at, Value::Map(Map::default()));
    };
    let mut merged = old;
    for Entry { key, at, node } in new.0 {
        if node.mark == Some(Mark::Reset) {
            merged.remove(&key);
            continue;
        }
        match merged.0.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => {
                let there = Node::at(&entry.at, Value::Null);
                let old = std::mem::replace(&mut entry.node, there);
                entry.node = match old.value {
                    Value::Null => node,
                    _ if matches!(node.value, Value::Null) && !matches!(kind(&key), Kind::Text) => {
                        old
                    }
                    _ => merge(old, node, kind(&key)),
                };
            }
            None => merged.0.push(Entry { key, at, node }),
        }
    }
    Node { at: over.at, mark: base.mark, value: Value::Map(merged) }
}

/// Two lists, one behind the other; of those with one key the later one
/// counts, in the place of the earlier.
fn lists(base: Node, over: Node, key: Option<&dyn Fn(&Node) -> String>) -> Node {
    let (Value::List(old), Value::List(new)) = (base.value, over.value) else {
        return Node::at(&over.at, Value::List(Vec::new()));
    };
    let mut merged = old;
    for node in new {
        let there = key.and_then(|key| {
            let wanted = key(&node);
            merged.iter_mut().find(|other| key(other) == wanted)
        });
        match there {
            Some(there) => *there = node,
            None => merged.push(node),
        }
    }
    Node { at: over.at, mark: base.mark, value: Value::List(merged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{node::parse, schema::FILE, shape::Shaper};
    use serde_json::{Value as Json, json};
    use std::path::Path;

    fn shaped(text: &str) -> Node {
        let node = parse("f.yaml", text).expect("YAML").remove(0);
        let mut shaper = Shaper { base: Path::new("/p"), home: None, warnings: Vec::new() };
        shaper.shape(node, &Kind::Object(FILE), "").expect("valid")
    }

    /// One service's lines over those of another.
    fn merged(base: &str, over: &str) -> Json {
        let file = |lines: &str| {
            shaped(&format!("services:\n  a:\n    {}", lines.replace('\n', "\n    ")))
        };
        let mut node = merge(file(base), file(over), &Kind::Object(FILE));
        settle(&mut node);
        node.json()["services"]["a"].clone()
    }

    #[test]
    fn commands_are_replaced_and_mappings_are_merged() {
        let a = merged(
            "command: [a, b]\nenvironment: [A=1, B=2]\nlabels: {x: 1}",
            "command: c\nenvironment: {B: 3, C: }\nlabels: [y]",
        );
        assert_eq!(a["command"], json!(["c"]));
        assert_eq!(a["environment"], json!({"A": "1", "B": "3", "C": null}));
        assert_eq!(a["labels"], json!({"x": "1", "y": ""}));
    }

    #[test]
    fn ports_are_told_apart_by_all_that_they_are() {
        let a = merged(
            "ports: [\"8080:80\", \"81\"]",
            "ports: [\"8080:80\", \"8081:80\", {target: 81}]",
        );
        let told: Vec<_> = a["ports"].as_array().expect("a list").iter().collect();
        assert_eq!(told.len(), 3, "{told:?}");
    }

    #[test]
    fn volumes_and_grants_are_told_apart_by_where_they_are_seen() {
        let a = merged(
            "volumes: [\"d:/x\", \"./a:/y\"]\nsecrets: [s]",
            "volumes: [\"e:/x:ro\"]\nsecrets: [t, s]",
        );
        assert_eq!(a["volumes"][0]["source"], "e");
        assert_eq!(a["volumes"][0]["read_only"], true);
        assert_eq!(a["volumes"][1]["source"], "/p/a");
        assert_eq!(a["secrets"], json!([{"source": "s"}, {"source": "t"}]));
    }

    #[test]
    fn tags_strike_out_and_replace() {
        let a = merged(
            "ports: [\"80\"]\nenvironment: {A: 1, B: 2}\ndns: [a]\ncap_add: [X]",
            "ports: !reset []\nenvironment: {A: !reset null}\ndns: !override [b]\ncap_add: [X, Y]",
        );
        let expected = json!({"environment": {"B": "2"}, "dns": ["b"], "cap_add": ["X", "Y"]});
        assert_eq!(a, expected);
    }

    #[test]
    fn another_logging_driver_takes_its_own_options_alone() {
        let base = "logging: {driver: json-file, options: {a: 1}}";
        assert_eq!(
            merged(base, "logging: {driver: local, options: {b: 2}}")["logging"],
            json!({"driver": "local", "options": {"b": "2"}})
        );
        assert_eq!(
            merged(base, "logging: {options: {b: 2}}")["logging"]["options"],
            json!({"a": "1", "b": "2"})
        );
    }

    #[test]
    fn networks_and_dependencies_of_both_are_kept() {
        let a = merged(
            "networks: [n, k]\ndepends_on: [b, d]",
            "networks: {n: {aliases: [x]}, m: }\ndepends_on: {b: {condition: service_healthy}, c: {condition: service_started}}",
        );
        assert_eq!(a["networks"], json!({"n": {"aliases": ["x"]}, "k": null, "m": null}));
        assert_eq!(a["depends_on"]["b"]["condition"], "service_healthy");
        assert_eq!(a["depends_on"]["c"]["required"], true);
        assert_eq!(a["depends_on"]["d"]["condition"], "service_started");
    }
}

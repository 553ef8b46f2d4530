//! A merged tree with everything in it that goes without saying: names,
//! default networks, dependencies, environments; and looked through for what
//! does not hold together.

use crate::{
    dotenv,
    error::{Outcome, unfit, wrong},
    interpolate::Variables,
    load::Read,
    node::{At, Map, Node, Value},
};
use std::path::Path;

/// What a project's tree is completed with.
pub struct Given<'a> {
    /// The project's name.
    pub name: &'a str,
    /// All variables.
    pub variables: &'a Variables,
    /// Reads `env_file`s.
    pub read: Read<'a>,
}

/// Which services are wanted, by name and what is said of them.
pub type Active<'a> = &'a dyn Fn(&str, &Node) -> bool;

/// Completes every service, network, volume, secret and config.
///
/// # Errors
/// What refers to nothing, contradicts itself, or cannot be read.
pub fn complete(tree: &mut Node, given: &Given<'_>, active: Active<'_>) -> Outcome<()> {
    let at = tree.at.clone();
    let Some(top) = tree.as_map_mut() else { return Err(unfit("the project is no mapping")) };
    for section in ["services", "networks"] {
        if top.get(section).is_none() {
            top.set(section, Node::at(&at, Value::Map(Map::default())));
        }
    }
    let mut default = false;
    for entry in &mut map_mut(top, "services").0 {
        let path = format!("services.{}", entry.key);
        let on = active(&entry.key, &entry.node);
        let Some(service) = entry.node.as_map_mut() else { continue };
        let at = entry.at.clone();
        if on {
            environment(service, given)?;
        }
        build(service, given);
        grants(service);
        dependencies(service, &at);
        scale(service, &path, &at)?;
        limits(service, &path)?;
        default |= networks(service, &path, &at)?;
        if service.get("image").is_none() && service.get("build").is_none() {
            let what = format!(
                "service {:?} has neither an image nor a build context specified",
                entry.key
            );
            return Err(wrong(&at, what));
        }
    }
    if default && map_mut(top, "networks").get("default").is_none() {
        map_mut(top, "networks").set("default", Node::at(&at, Value::Map(Map::default())));
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        if top.get(section).is_some() {
            for entry in &mut map_mut(top, section).0 {
                named(&mut entry.node, &entry.key, section, given.name)?;
            }
        }
    }
    top.set("name", Node::text(&at, given.name));
    Ok(())
}

/// A section that is there, by [`complete`] or by the caller's look.
fn map_mut<'a>(top: &'a mut Map, section: &str) -> &'a mut Map {
    let node = top.get_mut(section).expect("looked at before");
    if node.as_map().is_none() {
        node.value = Value::Map(Map::default());
    }
    node.as_map_mut().expect("just made")
}

/// `env_file`s first, `environment` over them; names alone take what is set.
fn environment(service: &mut Map, given: &Given<'_>) -> Outcome<()> {
    let files = service.remove("env_file");
    let own = service.remove("environment");
    let mut merged = Map::default();
    let mut place = None;
    if let Some(Node { at, value: Value::List(files), .. }) = files {
        for file in &files {
            let path = file.get("path").and_then(Node::as_text).unwrap_or_default();
            let required = file.get("required").is_none_or(|node| node.value != Value::Bool(false));
            if let Some(format) = file.get("format").and_then(Node::as_text).filter(|f| *f != "raw")
            {
                return Err(wrong(
                    &file.at,
                    format!("unknown format {format:?} of an env_file: raw"),
                ));
            }
            let raw = file.get("format").is_some();
            let text = match (given.read)(Path::new(path)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => continue,
                Err(source) => {
                    return Err(wrong(
                        &file.at,
                        format!("cannot read the env_file {path}: {source}"),
                    ));
                }
                Ok(text) => text,
            };
            let found =
                if raw { raw_lines(&text) } else { dotenv::read(path, &text, given.variables)? };
            for (name, value) in found {
                merged.set(&name, Node::text(&file.at, value));
            }
        }
        place = Some(at);
    }
    if let Some(Node { at, value: Value::Map(own), .. }) = own {
        for entry in own.0 {
            let node = match (&entry.node.value, given.variables.get(&entry.key)) {
                (Value::Null, Some(value)) => Node::text(&entry.at, value.clone()),
                _ => entry.node,
            };
            merged.set(&entry.key, node);
        }
        place = Some(at);
    }
    if let Some(at) = place {
        service.set("environment", Node::at(&at, Value::Map(merged)));
    }
    Ok(())
}

/// `format: raw`: lines as they stand.
fn raw_lines(text: &str) -> Variables {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
        .collect()
}

fn build(service: &mut Map, given: &Given<'_>) {
    let Some(build) = service.get_mut("build") else { return };
    let at = build.at.clone();
    let Some(build) = build.as_map_mut() else { return };
    if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
        build.set("dockerfile", Node::text(&at, "Dockerfile"));
    }
    let args = build.get_mut("args").and_then(Node::as_map_mut);
    if let Some(args) = args {
        for entry in &mut args.0 {
            if let (Value::Null, Some(value)) = (&entry.node.value, given.variables.get(&entry.key))
            {
                entry.node = Node::text(&entry.at, value.clone());
            }
        }
        args.0.retain(|entry| entry.node.value != Value::Null);
    }
}

/// Where secrets are seen that nobody said a place for.
fn grants(service: &mut Map) {
    let Some(Value::List(list)) = service.get_mut("secrets").map(|node| &mut node.value) else {
        return;
    };
    for grant in list {
        let at = grant.at.clone();
        let source = grant.get("source").and_then(Node::as_text).unwrap_or_default().to_owned();
        if let Some(map) = grant.as_map_mut().filter(|map| map.get("target").is_none()) {
            map.set("target", Node::text(&at, format!("/run/secrets/{source}")));
        }
    }
}

/// Whom a service cannot do without, although `depends_on` does not say it.
fn dependencies(service: &mut Map, at: &At) {
    let words = |name: &str| -> Vec<String> {
        match service.get(name).map(|node| &node.value) {
            Some(Value::List(list)) => list.iter().filter_map(Node::scalar).collect(),
            Some(Value::Text(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    };
    let mut implied: Vec<(String, bool)> = Vec::new();
    for link in words("links") {
        implied.push((link.split(':').next().unwrap_or_default().to_owned(), true));
    }
    for name in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        for mode in words(name) {
            implied.extend(mode.strip_prefix("service:").map(|name| (name.to_owned(), true)));
        }
    }
    for from in words("volumes_from") {
        if !from.starts_with("container:") {
            implied.push((from.split(':').next().unwrap_or_default().to_owned(), false));
        }
    }
    if implied.is_empty() {
        return;
    }
    if service.get("depends_on").is_none() {
        service.set("depends_on", Node::at(at, Value::Map(Map::default())));
    }
    let Some(known) = service.get_mut("depends_on").and_then(Node::as_map_mut) else { return };
    for (name, restart) in implied {
        if known.get(&name).is_none() {
            let mut fields = vec![("condition", Node::text(at, "service_started"))];
            if restart {
                fields.push(("restart", Node::at(at, Value::Bool(true))));
            }
            fields.push(("required", Node::at(at, Value::Bool(true))));
            known.set(&name, Node::map(at, fields));
        }
    }
}

/// `scale` and `deploy.replicas` are one number.
fn scale(service: &mut Map, path: &str, at: &At) -> Outcome<()> {
    let replicas = service.get("deploy").and_then(|deploy| deploy.get("replicas")).cloned();
    let scale = service.get("scale").cloned();
    if let (Some(replicas), Some(scale)) = (&replicas, &scale)
        && replicas.value != scale.value
    {
        let what = format!("{path}: can't set distinct values on 'scale' and 'deploy.replicas'");
        return Err(wrong(&scale.at, what));
    }
    if let (Some(scale), Some(deploy)) =
        (&scale, service.get_mut("deploy").and_then(Node::as_map_mut))
    {
        deploy.set("replicas", scale.clone());
    }
    let many = replicas.or(scale).is_some_and(|node| matches!(node.value, Value::Int(n) if n > 1));
    if many && service.get("container_name").is_some() {
        let what =
            format!("{path}: can't set container_name and more than one replica: names are unique");
        return Err(wrong(at, what));
    }
    Ok(())
}

/// Limits that are said in both ways have to be the same.
fn limits(service: &Map, path: &str) -> Outcome<()> {
    let resource =
        |kind: &str, name: &str| service.get("deploy")?.get("resources")?.get(kind)?.get(name);
    for (old, kind, new) in [
        ("mem_limit", "limits", "memory"),
        ("cpus", "limits", "cpus"),
        ("pids_limit", "limits", "pids"),
        ("mem_reservation", "reservations", "memory"),
    ] {
        if let (Some(a), Some(b)) = (service.get(old), resource(kind, new))
            && a.value != b.value
        {
            let what = format!(
                "{path}: can't set distinct values on '{old}' and 'deploy.resources.{kind}.{new}'"
            );
            return Err(wrong(&a.at, what));
        }
    }
    Ok(())
}

/// The default network, for whoever says nothing of networks; whether it is
/// wanted.
fn networks(service: &mut Map, path: &str, at: &At) -> Outcome<bool> {
    let own = service.get("networks").and_then(Node::as_map).is_some_and(|map| !map.0.is_empty());
    if let Some(mode) = service.get("network_mode") {
        if own {
            let what = format!("{path} declares mutually exclusive `network_mode` and `networks`");
            return Err(wrong(&mode.at, what));
        }
        service.remove("networks");
        return Ok(false);
    }
    if !own {
        let mut map = Map::default();
        map.set("default", Node::at(at, Value::Null));
        service.set("networks", Node::at(at, Value::Map(map)));
    }
    Ok(service.get("networks").and_then(|node| node.get("default")).is_some())
}

/// The name that the engine knows a thing by.
fn named(node: &mut Node, key: &str, section: &str, project: &str) -> Outcome<()> {
    let at = node.at.clone();
    let path = format!("{section}.{key}");
    let Some(map) = node.as_map_mut() else { return Ok(()) };
    let mut external = false;
    if let Some(said) = map.get("external").cloned() {
        if let Some(old) = said.get("name") {
            if map.get("name").is_some() {
                return Err(wrong(
                    &said.at,
                    format!("{path}: name and external.name exclude one another"),
                ));
            }
            map.set("name", old.clone());
        }
        external = said.value != Value::Bool(false);
        map.set("external", Node::at(&said.at, Value::Bool(external)));
    }
    if external && section != "secrets" && section != "configs" {
        let other = map.0.iter().find(|entry| {
            !matches!(&*entry.key, "name" | "external") && !entry.key.starts_with("x-")
        });
        if let Some(other) = other {
            let what = format!(
                "conflicting parameters \"external\" and {:?} specified for {path}",
                other.key
            );
            return Err(wrong(&other.at, what));
        }
    }
    if map.get("name").is_none() {
        let name = if external { key.to_owned() } else { format!("{project}_{key}") };
        map.set("name", Node::text(&at, name));
    }
    let sources = ["file", "environment", "content"].iter().filter(|name| map.get(name).is_some());
    if section == "secrets" || section == "configs" {
        match (sources.count(), external) {
            (1, false) | (0, true) => {}
            (0, false) => {
                return Err(wrong(
                    &at,
                    format!("{path} has none of file, environment, content and external"),
                ));
            }
            _ => {
                return Err(wrong(
                    &at,
                    format!("{path}: file, environment, content and external exclude one another"),
                ));
            }
        }
    }
    Ok(())
}

/// What services refer to has to be there.
///
/// # Errors
/// The first that is not, with its place.
pub fn check(tree: &Node, active: Active<'_>) -> Outcome<()> {
    let known = |section: &str, name: &str| tree.get(section).and_then(|s| s.get(name)).is_some();
    let services = tree.get("services").and_then(Node::as_map).cloned().unwrap_or_default();
    for entry in services.0.iter().filter(|entry| active(&entry.key, &entry.node)) {
        let (name, service) = (&entry.key, &entry.node);
        for (attribute, section) in [("networks", "networks"), ("depends_on", "services")] {
            for used in service.get(attribute).and_then(Node::as_map).into_iter().flat_map(|m| &m.0)
            {
                let disabled = || {
                    let node = tree.get("services")?.get(&used.key)?;
                    (!active(&used.key, node)).then_some(node)
                };
                let optional =
                    used.node.get("required").is_some_and(|n| n.value == Value::Bool(false));
                if section == "services" && optional {
                    continue;
                }
                if let Some(node) = disabled().filter(|_| section == "services") {
                    let profiles = node.get("profiles").map(|node| node.json().to_string());
                    let what = format!(
                        "service {:?} is required by {name:?} but is disabled. Can be enabled by profiles {}",
                        used.key,
                        profiles.unwrap_or_default()
                    );
                    return Err(wrong(&used.at, what));
                }
                if known(section, &used.key) {
                    continue;
                }
                let what = match section {
                    "services" => {
                        format!("service {name:?} depends on undefined service {:?}", used.key)
                    }
                    _ => format!("service {name:?} refers to undefined network {}", used.key),
                };
                return Err(wrong(&used.at, what));
            }
        }
        for (attribute, section) in
            [("secrets", "secrets"), ("configs", "configs"), ("volumes", "volumes")]
        {
            let Some(Value::List(list)) = service.get(attribute).map(|node| &node.value) else {
                continue;
            };
            for used in list {
                let kind = used.get("type").and_then(Node::as_text);
                let Some(source) = used.get("source").and_then(Node::as_text) else { continue };
                let of_project = section != "volumes" || kind == Some("volume");
                if of_project && !known(section, source) {
                    let what = section.trim_end_matches('s');
                    return Err(wrong(
                        &used.at,
                        format!("service {name:?} refers to undefined {what} {source}"),
                    ));
                }
            }
        }
    }
    Ok(())
}

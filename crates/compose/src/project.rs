//! A project: all that its files say, and how it is told again.

use crate::{
    emit::{self, Form, json, ordered, yaml},
    error::{Outcome, unfit, wrong},
    interpolate::{self, Variables},
    load::{Loader, Read, Scope},
    model::{Condition, Dependency, FileObject, Network, Service, Volume},
    node::{self, At, Map, Node, Value},
    normal::{Given, check, complete},
    schema::{FILE, Kind, SERVICE},
};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// What a project is made of.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Its files, each over those before it.
    pub files: Vec<PathBuf>,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// Its name, if it was said outside of the files.
    pub name: Option<String>,
    /// Profiles that are wanted; `*` is all of them.
    pub profiles: Vec<String>,
    /// Services that are wanted whatever their profiles.
    pub services: Vec<String>,
    /// All variables.
    pub variables: Variables,
    /// What `~` is.
    pub home: Option<String>,
    /// The files of variables, for the label that names them.
    pub env_files: Vec<String>,
    /// Values stay as they are written.
    pub raw: bool,
}

/// A project.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Project {
    pub name: String,
    pub directory: PathBuf,
    pub files: Vec<PathBuf>,
    pub env_files: Vec<String>,
    /// Those that are wanted.
    pub services: BTreeMap<String, Service>,
    /// Those whose profiles nobody asked for.
    pub disabled: BTreeSet<String>,
    pub networks: BTreeMap<String, Network>,
    pub volumes: BTreeMap<String, Volume>,
    pub secrets: BTreeMap<String, FileObject>,
    pub configs: BTreeMap<String, FileObject>,
    /// All variables, for secrets and configs that are one.
    pub variables: Variables,
    /// What is ignored, and why; variables that are not set.
    pub warnings: Vec<String>,
    tree: Node,
}

/// Reads a project's files and looks through them.
///
/// # Errors
/// Whatever is wrong with them, with its place.
pub fn load(asked: &Asked, read: Read<'_>) -> Outcome<Project> {
    let mut variables = asked.variables.clone();
    let name = name(asked, read)?;
    variables.insert("COMPOSE_PROJECT_NAME".into(), name.clone());
    let mut loader = Loader {
        read,
        home: asked.home.clone(),
        warnings: Vec::new(),
        unset: BTreeSet::new(),
        raw: asked.raw,
    };
    let scope = Scope { base: &asked.directory, variables: &variables };
    let mut tree = loader.files(&asked.files, scope, &[])?;
    let active = |name: &str, service: &Node| {
        let profiles = words(service.get("profiles"));
        let wanted = |profile: &String| asked.profiles.iter().any(|p| p == "*" || p == profile);
        profiles.is_empty()
            || profiles.iter().any(wanted)
            || asked.services.iter().any(|s| s == name)
    };
    complete(&mut tree, &Given { name: &name, variables: &variables, read }, &active)?;
    check(&tree, &active)?;
    let mut services: BTreeMap<String, Service> = section(&tree, "services")?;
    let mut disabled = BTreeSet::new();
    for entry in &tree.get("services").and_then(Node::as_map).cloned().unwrap_or_default().0 {
        if !active(&entry.key, &entry.node) {
            services.remove(&entry.key);
            disabled.insert(entry.key.clone());
        }
    }
    for (name, service) in &mut services {
        service.name.clone_from(name);
    }
    let unset = loader
        .unset
        .iter()
        .map(|name| format!("The {name:?} variable is not set. Defaulting to a blank string."));
    let unset: Vec<String> = unset.collect();
    let mut warnings = loader.warnings;
    warnings.extend(unset);
    let mut project = Project {
        networks: section(&tree, "networks")?,
        volumes: section(&tree, "volumes")?,
        secrets: section(&tree, "secrets")?,
        configs: section(&tree, "configs")?,
        name,
        directory: asked.directory.clone(),
        files: asked.files.clone(),
        env_files: asked.env_files.clone(),
        services,
        disabled,
        variables,
        warnings,
        tree,
    };
    crate::graph::order(&project)?;
    let more = owners(&project);
    project.warnings.extend(more);
    Ok(project)
}

/// Whose secrets and configs are to be, where that is not ours to say: a file
/// is mounted as it is.
fn owners(project: &Project) -> Vec<String> {
    let mut warnings = Vec::new();
    for service in project.services.values() {
        for (section, grants, kept) in [
            ("secrets", &service.secrets, &project.secrets),
            ("configs", &service.configs, &project.configs),
        ] {
            for grant in grants {
                let said = grant.uid.is_some() || grant.gid.is_some() || grant.mode.is_some();
                if said && kept.get(&grant.source).is_some_and(|object| object.file.is_some()) {
                    warnings.push(format!(
                        "services.{}.{section}: uid, gid and mode of {} are ignored: the file is mounted as it is",
                        service.name, grant.source
                    ));
                }
            }
        }
    }
    warnings
}

fn words(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.value) {
        Some(Value::List(list)) => list.iter().filter_map(Node::scalar).collect(),
        _ => Vec::new(),
    }
}

/// A section, typed; what does not fit its type is told with its place.
fn section<T: DeserializeOwned>(tree: &Node, name: &str) -> Outcome<BTreeMap<String, T>> {
    let map = tree.get(name).and_then(Node::as_map);
    let typed = map.into_iter().flat_map(|map| &map.0).map(|entry| {
        let typed = serde_json::from_value(entry.node.json())
            .map_err(|error| wrong(&entry.at, format!("{name}.{}: {error}", entry.key)))?;
        Ok((entry.key.clone(), typed))
    });
    typed.collect()
}

/// The project's name: as said outside, in the last file that says one, or
/// the directory's.
fn name(asked: &Asked, read: Read<'_>) -> Outcome<String> {
    if let Some(name) = asked.name.as_ref().filter(|name| !name.is_empty()) {
        return valid(name);
    }
    let mut said = None;
    for path in &asked.files {
        let file = path.display().to_string();
        let text =
            read(path).map_err(|source| crate::Error::File { path: file.clone(), source })?;
        for node in node::parse(&file, &text)? {
            let Some(name) = node.get("name") else { continue };
            let Some(text) = name.as_text() else {
                return Err(wrong(&name.at, format!("name must be a string, not {}", name.kind())));
            };
            let text = interpolate::fill(text, &asked.variables, &mut BTreeSet::new(), &name.at)?;
            said = Some(valid(&text).map_err(|error| wrong(&name.at, error.to_string()))?);
        }
    }
    if let Some(name) = said {
        return Ok(name);
    }
    let directory = asked.directory.file_name().unwrap_or_default().to_string_lossy();
    let name: String = directory
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(*c))
        .collect();
    let name = name.trim_start_matches(['_', '-']);
    if name.is_empty() {
        return Err(unfit("project name must not be empty: say one with --project-name"));
    }
    Ok(name.to_owned())
}

fn valid(name: &str) -> Outcome<String> {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.starts_with(first) && name.chars().all(|c| first(c) || "_-".contains(c)) {
        return Ok(name.to_owned());
    }
    Err(unfit(format!(
        "invalid project name {name:?}: must consist only of lowercase alphanumeric characters, \
         hyphens, and underscores as well as start with a letter or number"
    )))
}

impl Project {
    /// A project of which nothing is known but its name.
    pub fn of_name(name: &str) -> Self {
        Self::of_containers(name, &[])
    }

    /// A project of which its containers alone tell: services, and what their
    /// label says of those that they depend on (`NAME:CONDITION:RESTART`).
    pub fn of_containers(name: &str, known: &[(String, String)]) -> Self {
        let at = At { file: "".into(), line: 0, column: 0 };
        let service = |(name, depends): &(String, String)| {
            let one = |word: &str| {
                let mut parts = word.split(':');
                let name = parts.next().filter(|name| !name.is_empty())?;
                let restart = parts.nth(1) == Some("true");
                let condition = Condition::ServiceStarted;
                Some((name.to_owned(), Dependency { condition, restart, required: true }))
            };
            let depends_on = depends.split(',').filter_map(one).collect();
            (name.clone(), Service { name: name.clone(), depends_on, ..Service::default() })
        };
        Self {
            name: name.to_owned(),
            directory: PathBuf::new(),
            files: Vec::new(),
            env_files: Vec::new(),
            services: known.iter().map(service).collect(),
            disabled: BTreeSet::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            variables: Variables::new(),
            warnings: Vec::new(),
            tree: Node::at(&at, Value::Map(Map::default())),
        }
    }

    /// What is known of a service under its name.
    ///
    /// # Errors
    /// There is no such service.
    pub fn service(&self, name: &str) -> Outcome<&Service> {
        self.services.get(name).ok_or_else(|| unfit(format!("no such service: {name}")))
    }

    /// The digest of all of a service's configuration that its containers
    /// are made by. Another one means: make them anew.
    ///
    /// It is the one that Compose 2.26 computes, so that either finds the
    /// other's containers up to date.
    pub fn hash(&self, service: &str) -> String {
        let Some(node) = self.tree.get("services").and_then(|map| map.get(service)) else {
            return String::new();
        };
        let mut node = node.clone();
        if let Some(map) = node.as_map_mut() {
            for name in ["build", "pull_policy", "scale"] {
                map.remove(name);
            }
            if let Some(deploy) = map.get_mut("deploy").and_then(Node::as_map_mut) {
                deploy.remove("replicas");
            }
        }
        let told = ordered(&node, &Kind::Object(SERVICE), "service", Form::Json).unwrap_or(node);
        let digest = Sha256::digest(json(&told, None).as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The whole project in its canonical form, with the services that are
    /// wanted and what they use.
    pub fn config(&self, form: Form, wanted: &BTreeSet<String>) -> String {
        let at = self.tree.at.clone();
        let mut top = Map::default();
        for (name, kind) in FILE {
            let Some(node) = self.tree.get(name) else { continue };
            let Kind::Map(kind) = kind else {
                if *name == "name" {
                    top.set(name, node.clone());
                }
                continue;
            };
            let mut entries = node.as_map().cloned().unwrap_or_default();
            entries.0.retain(|entry| self.is_used(name, &entry.key, wanted));
            entries.0.sort_by(|a, b| a.key.cmp(&b.key));
            let title = name.trim_end_matches('s');
            for entry in &mut entries.0 {
                if let Some(told) = ordered(&entry.node, kind, title, form) {
                    entry.node = told;
                }
            }
            if !entries.0.is_empty() {
                top.set(name, Node::at(&at, Value::Map(entries)));
            }
        }
        let extensions = self.tree.as_map().into_iter().flat_map(|map| &map.0);
        let mut extensions: Vec<_> =
            extensions.filter(|e| e.key.starts_with("x-")).cloned().collect();
        extensions.sort_by(|a, b| a.key.cmp(&b.key));
        top.0.extend(extensions);
        if form == Form::Json {
            top.0.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let top = Node::at(&at, Value::Map(top));
        match form {
            Form::Yaml => yaml(&top),
            Form::Json => emit::json(&top, Some(0)) + "\n",
        }
    }

    /// Whether any of the services has to do with a thing.
    fn is_used(&self, section: &str, key: &str, wanted: &BTreeSet<String>) -> bool {
        let mut services = self.services.values().filter(|service| wanted.contains(&service.name));
        match section {
            "services" => wanted.contains(key),
            "networks" => services.any(|service| service.networks.contains_key(key)),
            "volumes" => services.any(|service| {
                service.volumes.iter().any(|v| v.kind == "volume" && v.source == key)
            }),
            "secrets" => services.any(|service| {
                let build = service.build.iter().flat_map(|build| &build.secrets);
                service.secrets.iter().chain(build).any(|grant| grant.source == key)
            }),
            _ => services.any(|service| service.configs.iter().any(|grant| grant.source == key)),
        }
    }
}

//! Files into one tree: each is parsed, filled in, shaped, given what it
//! includes and what its services extend; then one is merged over the other.

use crate::{
    dotenv,
    error::{Error, Outcome, unfit, wrong},
    interpolate::{self, Variables},
    merge::{merge, settle},
    node::{self, Map, Node, Value},
    schema::{FILE, Kind, SERVICE},
    shape::{Shaper, clean},
};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

/// Kinds of things that a file may define.
pub(crate) const SECTIONS: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];
/// How many files may include or extend one another in a row.
const MOST_DEPTH: usize = 50;

/// How files are read: by whoever asks, so that tests need none.
pub type Read<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// What all files of a project have in common.
pub struct Loader<'a> {
    /// Reads a file.
    pub read: Read<'a>,
    /// What `~` is.
    pub home: Option<String>,
    /// What was read and will not be done.
    pub warnings: Vec<String>,
    /// Variables that values named and nobody set.
    pub unset: BTreeSet<String>,
    /// Values stay as they are written.
    pub raw: bool,
}

/// Where a file's relative paths begin, and what its variables are.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The project's directory.
    pub base: &'a Path,
    /// All variables.
    pub variables: &'a Variables,
}

impl Loader<'_> {
    fn text(&self, path: &Path) -> Outcome<String> {
        (self.read)(path).map_err(|source| Error::File { path: path.display().to_string(), source })
    }

    /// Several files, each merged over those before it.
    ///
    /// # Errors
    /// Whatever is wrong with any of them.
    pub fn files(
        &mut self,
        paths: &[PathBuf],
        scope: Scope<'_>,
        above: &[PathBuf],
    ) -> Outcome<Node> {
        let mut whole: Option<Node> = None;
        for path in paths {
            let node = self.file(path, scope, above, whole.as_ref())?;
            whole = Some(match whole {
                Some(base) => merge(base, node, &Kind::Object(FILE)),
                None => node,
            });
        }
        let mut whole = whole.ok_or(Error::NoFiles)?;
        settle(&mut whole);
        Ok(whole)
    }

    /// One file, its documents merged.
    fn file(
        &mut self,
        path: &Path,
        scope: Scope<'_>,
        above: &[PathBuf],
        before: Option<&Node>,
    ) -> Outcome<Node> {
        if above.iter().any(|other| other == path) || above.len() > MOST_DEPTH {
            let chain: Vec<String> = above
                .iter()
                .map(|p| p.display().to_string())
                .chain([path.display().to_string()])
                .collect();
            return Err(unfit(format!("include cycle detected: {}", chain.join(" -> "))));
        }
        let mut above = above.to_vec();
        above.push(path.to_owned());
        let mut whole: Option<Node> = None;
        for node in self.documents(path, scope)? {
            let mut node = node;
            self.include(&mut node, scope, &above)?;
            self.extend_all(&mut node, path, scope, before)?;
            whole = Some(match whole {
                Some(base) => merge(base, node, &Kind::Object(FILE)),
                None => node,
            });
        }
        whole.ok_or_else(|| unfit(format!("{} is empty", path.display())))
    }

    /// A file's documents, filled in and shaped.
    fn documents(&mut self, path: &Path, scope: Scope<'_>) -> Outcome<Vec<Node>> {
        let text = self.text(path)?;
        let mut documents = Vec::new();
        for mut node in node::parse(&path.display().to_string(), &text)? {
            if matches!(node.value, Value::Null) {
                continue;
            }
            if !self.raw {
                interpolate::tree(&mut node, scope.variables, &mut self.unset)?;
            }
            let mut shaper = Shaper {
                base: scope.base,
                home: self.home.as_deref(),
                warnings: std::mem::take(&mut self.warnings),
            };
            let shaped = shaper.shape(node, &Kind::Object(FILE), "");
            self.warnings = shaper.warnings;
            documents.push(shaped?);
        }
        Ok(documents)
    }

    /// Takes over what a file includes.
    fn include(&mut self, node: &mut Node, scope: Scope<'_>, above: &[PathBuf]) -> Outcome<()> {
        let Some(map) = node.as_map_mut() else { return Ok(()) };
        let Some(Node { value: Value::List(list), .. }) = map.remove("include") else {
            return Ok(());
        };
        for include in list {
            let words = |name: &str| -> Vec<String> {
                match include.get(name).map(|node| &node.value) {
                    Some(Value::List(list)) => list.iter().filter_map(Node::scalar).collect(),
                    _ => Vec::new(),
                }
            };
            let paths: Vec<PathBuf> =
                words("path").iter().map(|path| clean(&scope.base.join(path))).collect();
            let Some(first) = paths.first() else {
                return Err(wrong(&include.at, "include has no path"));
            };
            let base = match include.get("project_directory").and_then(Node::as_text) {
                Some(directory) => PathBuf::from(directory),
                None => first.parent().unwrap_or(Path::new("/")).to_owned(),
            };
            let mut variables = self.variables(&words("env_file"), &base, scope)?;
            variables.extend(scope.variables.clone());
            let inner = Scope { base: &base, variables: &variables };
            let included = self.files(&paths, inner, above).map_err(|error| match error {
                Error::File { path, source } => {
                    wrong(&include.at, format!("cannot read the included {path}: {source}"))
                }
                other => other,
            })?;
            take_over(map, &included)?;
        }
        Ok(())
    }

    /// Variables for an included project: its own files', or its `.env`.
    fn variables(&self, files: &[String], base: &Path, scope: Scope<'_>) -> Outcome<Variables> {
        let mut found = Variables::new();
        for file in files {
            let path = clean(&scope.base.join(file));
            let text = self.text(&path)?;
            found.extend(dotenv::read(&path.display().to_string(), &text, scope.variables)?);
        }
        if files.is_empty() {
            let path = base.join(".env");
            match (self.read)(&path) {
                // A project need not have one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => {
                    let path = path.display().to_string();
                    let text = read.map_err(|source| Error::File { path: path.clone(), source })?;
                    found = dotenv::read(&path, &text, scope.variables)?;
                }
            }
        }
        Ok(found)
    }

    /// Gives every service of a file what it extends.
    fn extend_all(
        &mut self,
        node: &mut Node,
        path: &Path,
        scope: Scope<'_>,
        before: Option<&Node>,
    ) -> Outcome<()> {
        let Some(Value::Map(services)) = node.get("services").map(|node| node.value.clone()) else {
            return Ok(());
        };
        let mut extended = services.clone();
        for entry in &mut extended.0 {
            if entry.node.get("extends").is_some() {
                let known = Known { services: &services, before, path, scope };
                entry.node = self.extended(&entry.key, &known, &mut Vec::new())?;
            }
        }
        if let Some(services) = node.as_map_mut().and_then(|map| map.get_mut("services")) {
            services.value = Value::Map(extended);
        }
        Ok(())
    }

    /// A service, merged over the one that it extends.
    fn extended(
        &mut self,
        name: &str,
        known: &Known<'_>,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Outcome<Node> {
        let mut node = known.find(name)?;
        let Some(extends) = node.as_map_mut().and_then(|map| map.remove("extends")) else {
            return Ok(node);
        };
        let here = (known.path.to_owned(), name.to_owned());
        if chain.contains(&here) || chain.len() > MOST_DEPTH {
            let names: Vec<&str> = chain.iter().map(|(_, name)| &**name).chain([name]).collect();
            let what = format!("circular reference in extends: {}", names.join(" -> "));
            return Err(wrong(&extends.at, what));
        }
        chain.push(here);
        let word = |name: &str| extends.get(name).and_then(Node::as_text);
        let Some(service) = word("service") else {
            return Err(wrong(&extends.at, "extends has no service"));
        };
        let located = |error| match error {
            Error::Unfit(what) => wrong(&extends.at, what),
            Error::File { path, source } => {
                wrong(&extends.at, format!("cannot read {path}: {source}"))
            }
            other => other,
        };
        let base = match word("file") {
            None => self.extended(service, known, chain).map_err(located)?,
            Some(file) => {
                let path = PathBuf::from(file);
                let base = path.parent().unwrap_or(Path::new("/")).to_owned();
                let scope = Scope { base: &base, variables: known.scope.variables };
                let mut services = Map::default();
                for document in self.documents(&path, scope).map_err(located)? {
                    if let Some(Value::Map(map)) = document.get("services").map(|n| n.value.clone())
                    {
                        map.0.into_iter().for_each(|entry| services.set(&entry.key, entry.node));
                    }
                }
                let known = Known { services: &services, before: None, path: &path, scope };
                self.extended(service, &known, chain).map_err(located)?
            }
        };
        chain.pop();
        Ok(merge(base, node, &Kind::Object(SERVICE)))
    }
}

/// Where services may be that one extends.
struct Known<'a> {
    services: &'a Map,
    /// The files before this one, merged.
    before: Option<&'a Node>,
    path: &'a Path,
    scope: Scope<'a>,
}

impl Known<'_> {
    fn find(&self, name: &str) -> Outcome<Node> {
        let earlier = || self.before?.get("services")?.get(name);
        self.services
            .get(name)
            .or_else(earlier)
            .cloned()
            .ok_or_else(|| unfit(format!("service {name:?} not found in {}", self.path.display())))
    }
}

/// Puts an included project's things beside a file's own.
fn take_over(map: &mut Map, included: &Node) -> Outcome<()> {
    for section in SECTIONS {
        let Some(theirs) = included.get(section).and_then(Node::as_map) else { continue };
        if map.get(section).is_none() {
            map.set(section, Node::at(&included.at, Value::Map(Map::default())));
        }
        let Some(own) = map.get_mut(section).and_then(Node::as_map_mut) else { continue };
        for entry in &theirs.0 {
            match own.get(&entry.key) {
                None => own.0.push(entry.clone()),
                Some(there) if there.json() == entry.node.json() => {}
                Some(there) => {
                    let what = format!(
                        "{section}.{} conflicts with the one that is included from {}",
                        entry.key, entry.at
                    );
                    return Err(wrong(&there.at, what));
                }
            }
        }
    }
    Ok(())
}

//! The project that is meant: its files are found as Compose finds them,
//! its containers by their labels.

use super::super::filters;
use crate::{
    client::{Client, query},
    error::{Error, Outcome},
    show::plain,
    words::ProjectFlags,
};
use compose::{Asked, Project, Variables, label};
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

/// Names of files that are looked for, the first that is there being meant.
const FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// And of those over it.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// A project and the engine that it is on.
pub struct Stage<'a> {
    pub client: &'a Client,
    pub project: Project,
    /// Nothing is told of how it goes.
    quiet: bool,
    /// Colours.
    pub colour: bool,
}

/// One of the project's containers.
#[derive(Clone, Debug)]
pub struct Here {
    pub id: String,
    pub name: String,
    pub service: String,
    pub number: i64,
    /// Made by `run`.
    pub once: bool,
    /// running, exited, created, …
    pub state: String,
    pub labels: BTreeMap<String, String>,
    /// The whole row of the engine's list.
    pub row: Value,
}

impl Here {
    fn of(row: Value) -> Option<Self> {
        let labels: BTreeMap<String, String> = row["Labels"]
            .as_object()?
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect();
        let word = |kind: &str| labels.get(&label(kind)).cloned().unwrap_or_default();
        Some(Self {
            id: plain(&row["Id"]),
            name: plain(&row["Names"][0]).trim_start_matches('/').to_owned(),
            service: word("service"),
            number: word("container-number").parse().unwrap_or(0),
            once: word("oneoff") == "True",
            state: plain(&row["State"]),
            labels,
            row,
        })
    }

    /// As it is called in front of its lines: without the project.
    pub fn short(&self, project: &str) -> String {
        self.name.strip_prefix(&format!("{project}-")).unwrap_or(&self.name).to_owned()
    }

    pub fn is_running(&self) -> bool {
        matches!(&*self.state, "running" | "paused" | "restarting")
    }
}

impl<'a> Stage<'a> {
    /// Reads the project's files.
    ///
    /// # Errors
    /// There are none, or something is wrong with them.
    pub fn open(client: &'a Client, flags: &ProjectFlags, services: &[String]) -> Outcome<Self> {
        let project = read(flags, services, false)?;
        for warning in &project.warnings {
            eprintln!("WARNING: {warning}");
        }
        Self::of(client, flags, project)
    }

    fn of(client: &'a Client, flags: &ProjectFlags, project: Project) -> Outcome<Self> {
        let quiet = match &*flags.progress {
            "auto" | "tty" | "plain" => false,
            "quiet" => true,
            other => {
                let words = format!("--progress {other} is not carried: auto, tty, plain or quiet");
                return Err(Error::Words(words));
            }
        };
        let colour = match &*flags.ansi {
            "always" => true,
            "never" => false,
            _ => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Ok(Self { client, project, quiet, colour })
    }

    /// The same for what needs no files: with a name alone, the project is
    /// what its containers say.
    pub async fn find(
        client: &'a Client,
        flags: &ProjectFlags,
        services: Vec<String>,
    ) -> Outcome<Self> {
        let named =
            flags.project_name.clone().or_else(|| std::env::var("COMPOSE_PROJECT_NAME").ok());
        let Some(name) = named.filter(|name| !name.is_empty() && flags.file.is_empty()) else {
            return Self::open(client, flags, &services);
        };
        match read(flags, &services, false) {
            Err(Error::Compose(compose::Error::NoFiles)) => {}
            project => return Self::of(client, flags, project?),
        }
        let mut stage = Self::of(client, flags, Project::of_name(&name))?;
        let mut known: Vec<(String, String)> = Vec::new();
        for here in stage.containers().await? {
            let depends = here.labels.get(&label("depends_on")).cloned().unwrap_or_default();
            if !here.once && !known.iter().any(|(name, _)| *name == here.service) {
                known.push((here.service, depends));
            }
        }
        stage.project = Project::of_containers(&name, &known);
        for name in &services {
            stage.project.service(name)?;
        }
        Ok(stage)
    }

    /// All containers of the project, those of `run` too, by service and number.
    pub async fn containers(&self) -> Outcome<Vec<Here>> {
        let wanted = format!("label={}={}", label("project"), self.project.name);
        let asked = query(&[("all", "1"), ("filters", &filters(&[wanted])?)]);
        let rows: Vec<Value> = self.client.get(&format!("/containers/json{asked}")).await?;
        let mut all: Vec<Here> = rows.into_iter().filter_map(Here::of).collect();
        all.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
        Ok(all)
    }

    /// Those of some services that were not made by `run`; of all services if
    /// none is named.
    pub async fn of_services(&self, services: &[String]) -> Outcome<Vec<Here>> {
        for name in services {
            self.project.service(name)?;
        }
        let wanted = |here: &Here| match services {
            [] => self.project.services.contains_key(&here.service),
            some => some.contains(&here.service),
        };
        let all = self.containers().await?;
        Ok(all.into_iter().filter(|here| !here.once && wanted(here)).collect())
    }

    /// The container of a service that is meant by a number, or its first.
    pub async fn one(&self, service: &str, index: Option<i64>) -> Outcome<Here> {
        let all = self.of_services(&[service.to_owned()]).await?;
        let running = all.into_iter().filter(Here::is_running);
        let mut wanted = running.filter(|here| index.is_none_or(|index| here.number == index));
        wanted.next().ok_or_else(|| {
            Error::Unfit(match index {
                None => format!("service {service:?} is not running"),
                Some(index) => format!("service {service:?} is not running container #{index}"),
            })
        })
    }

    /// Tells of something that was done: ` Container p-web-1  Started`.
    pub fn tell(&self, kind: &str, name: &str, state: &str) {
        if !self.quiet {
            eprintln!(" {kind} {name}  {state}");
        }
    }

    /// Whether how it goes is to be told at all.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// Reads the project that the flags, the environment and the directory mean.
pub fn read(flags: &ProjectFlags, services: &[String], raw: bool) -> Outcome<Project> {
    let here = std::env::current_dir().map_err(|source| Error::Host {
        doing: "find",
        what: "the working directory".into(),
        source,
    })?;
    let known: RefCell<BTreeMap<PathBuf, String>> = RefCell::default();
    // Read once: standard input cannot be read twice.
    let read = |path: &Path| {
        if let Some(text) = known.borrow().get(path) {
            return Ok(text.clone());
        }
        let text = match path.to_str() {
            Some("-") => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map(|_| text)
            }
            _ => std::fs::read_to_string(path),
        }?;
        known.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(text)
    };
    let place = Place { flags, here: &here, own: std::env::vars().collect() };
    let asked = Asked { services: services.to_vec(), raw, ..place.asked(&read)? };
    compose::load(&asked, &read).map_err(Error::Compose)
}

/// Where it is asked from.
struct Place<'a> {
    flags: &'a ProjectFlags,
    here: &'a Path,
    /// The environment.
    own: Variables,
}

type Reader<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

impl Place<'_> {
    fn asked(&self, read: Reader<'_>) -> Outcome<Asked> {
        let said = self.flags.project_directory.as_ref().map(|path| self.here.join(path));
        let mut files: Vec<PathBuf> = self.flags.file.iter().map(|file| self.path(file)).collect();
        let first = |files: &[PathBuf]| {
            let first = files.first().filter(|file| file.to_str() != Some("-"));
            first.and_then(|file| file.parent()).map(Path::to_owned)
        };
        let base = said.clone().or_else(|| first(&files)).unwrap_or_else(|| self.here.to_owned());
        let mut variables = self.variables(&base, read)?;
        if files.is_empty() {
            if let Some(list) = variables.get("COMPOSE_FILE").filter(|list| !list.is_empty()) {
                let apart = variables.get("COMPOSE_PATH_SEPARATOR").map_or(":", |apart| apart);
                files = list.split(apart).filter(|f| !f.is_empty()).map(|f| self.path(f)).collect();
            } else {
                files = self.look(said.as_deref());
            }
        }
        let directory = said.or_else(|| first(&files)).unwrap_or_else(|| self.here.to_owned());
        if directory != base {
            variables = self.variables(&directory, read)?;
        }
        if files.is_empty() {
            return Err(Error::Compose(compose::Error::NoFiles));
        }
        let mut profiles = self.flags.profile.clone();
        if let Some(more) = variables.get("COMPOSE_PROFILES") {
            profiles.extend(
                more.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned),
            );
        }
        let named = self.flags.project_name.clone();
        Ok(Asked {
            name: named.or_else(|| variables.get("COMPOSE_PROJECT_NAME").cloned()),
            home: self.own.get("HOME").cloned(),
            env_files: self.env_files().iter().map(|file| file.display().to_string()).collect(),
            directory: compose::clean(&directory),
            files: files.iter().map(|file| compose::clean(file)).collect(),
            profiles,
            variables,
            ..Asked::default()
        })
    }

    fn path(&self, file: &str) -> PathBuf {
        if file == "-" { file.into() } else { self.here.join(file) }
    }

    /// Looks for files of the usual names, here and in the directories above.
    fn look(&self, directory: Option<&Path>) -> Vec<PathBuf> {
        let begin = directory.unwrap_or(self.here);
        for directory in begin.ancestors() {
            let there = |name: &&str| directory.join(name).is_file();
            if let Some(name) = FILES.iter().find(|name| there(name)) {
                let over = OVERRIDES.iter().find(|name| there(name));
                return [Some(name), over]
                    .into_iter()
                    .flatten()
                    .map(|n| directory.join(n))
                    .collect();
            }
        }
        Vec::new()
    }

    fn env_files(&self) -> Vec<PathBuf> {
        let listed = self.own.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
        let listed: Vec<&str> = match &self.flags.env_file[..] {
            [] => listed.split(',').filter(|file| !file.is_empty()).collect(),
            files => files.iter().map(String::as_str).collect(),
        };
        listed.into_iter().map(|file| self.here.join(file)).collect()
    }

    /// Those of files, and over them those of the environment.
    fn variables(&self, base: &Path, read: Reader<'_>) -> Outcome<Variables> {
        let mut all = Variables::new();
        let mut take = |path: &Path, text: &str| -> Outcome<()> {
            let mut outside = all.clone();
            outside.extend(self.own.clone());
            let found = compose::read_variables(&path.display().to_string(), text, &outside);
            all.extend(found.map_err(Error::Compose)?);
            Ok(())
        };
        let files = self.env_files();
        for path in &files {
            let text = read(path).map_err(|source| Error::Host {
                doing: "read",
                what: path.display().to_string(),
                source,
            })?;
            take(path, &text)?;
        }
        let usual = base.join(".env");
        if files.is_empty() && usual.is_file() {
            let text = read(&usual).map_err(|source| Error::Host {
                doing: "read",
                what: usual.display().to_string(),
                source,
            })?;
            take(&usual, &text)?;
        }
        all.extend(self.own.clone());
        Ok(all)
    }
}

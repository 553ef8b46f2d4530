//! Who the person is to registries: `config.json` of the Docker CLI, which
//! this one shares, and the helpers that it names.
//!
//! ```text
//!   $DOCKER_CONFIG/config.json, else ~/.docker/config.json
//!     auths        registry ─▶ name and password in base64
//!     credHelpers  registry ─▶ docker-credential-NAME is asked
//!     credsStore   for all others ─▶ docker-credential-NAME is asked
//! ```

use crate::error::{Error, Outcome};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What Docker Hub is called there.
const HUB: &str = "https://index.docker.io/v1/";
/// The name of a user who has a token instead of a password.
const TOKEN: &str = "<token>";

/// What the engine is sent for one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Credentials {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serveraddress: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
}

impl Credentials {
    /// As the header `X-Registry-Auth`.
    pub fn header(&self) -> String {
        BASE64_URL_SAFE.encode(json!(self).to_string())
    }
}

/// What a helper says, and is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

/// The file; what is not ours in it stays as it is.
pub struct Config {
    path: PathBuf,
    text: Map<String, Value>,
}

/// The registry of an image's name, as the file calls it.
pub fn registry_of(image: &str) -> String {
    match image.split_once('/') {
        Some((domain, _)) if domain.contains(['.', ':']) || domain == "localhost" => {
            key(domain).to_owned()
        }
        _ => HUB.to_owned(),
    }
}

/// A registry, as the file calls it.
pub fn key(registry: &str) -> &str {
    match host(registry) {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB,
        host => host,
    }
}

fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

impl Config {
    /// Reads the file; one that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read, or is no JSON.
    pub fn read() -> Outcome<Self> {
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
        let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home);
        let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) else {
            return Ok(Self { path: PathBuf::new(), text: Map::new() });
        };
        let path = dir.join("config.json");
        let text = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::from),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Map::new()),
            Err(e) => Err(e),
        };
        let what = path.display().to_string();
        let text = text.map_err(|source| Error::Host { doing: "read", what, source })?;
        Ok(Self { path, text })
    }

    /// Which of `docker context`'s engines is meant where nothing else is said.
    pub fn current_context(&self) -> Option<&str> {
        self.text.get("currentContext")?.as_str()
    }

    /// Where the file is, and contexts beside it.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The helper that keeps a registry's secrets.
    fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.text.get("credHelpers").and_then(|helpers| helpers[registry].as_str());
        own.or_else(|| self.text.get("credsStore")?.as_str()).filter(|name| !name.is_empty())
    }

    /// What is known for a registry.
    ///
    /// # Errors
    /// A helper cannot be asked, or what is kept makes no sense.
    pub fn known(&self, registry: &str) -> Outcome<Credentials> {
        let nobody = Credentials { serveraddress: registry.into(), ..Credentials::default() };
        if let Some(helper) = self.helper(registry) {
            let Some(kept) = ask(helper, "get", registry)? else { return Ok(nobody) };
            let kept: Kept = serde_json::from_slice(&kept)
                .map_err(|e| Error::Answer(format!("docker-credential-{helper}"), e))?;
            return Ok(if kept.username == TOKEN {
                Credentials { identitytoken: kept.secret, ..nobody }
            } else {
                Credentials { username: kept.username, password: kept.secret, ..nobody }
            });
        }
        let all = self.text.get("auths").and_then(Value::as_object);
        let entry = all.and_then(|all| {
            all.get(registry).or_else(|| {
                all.iter().find(|(name, _)| key(name) == registry).map(|(_, entry)| entry)
            })
        });
        let Some(entry) = entry else { return Ok(nobody) };
        let token = entry["identitytoken"].as_str().unwrap_or_default().to_owned();
        let joined = entry["auth"].as_str().unwrap_or_default();
        if joined.is_empty() {
            return Ok(Credentials { identitytoken: token, ..nobody });
        }
        let text = BASE64_STANDARD.decode(joined).ok().and_then(|b| String::from_utf8(b).ok());
        let (username, password) = text
            .as_deref()
            .and_then(|text| text.split_once(':'))
            .map(|(name, password)| (name.to_owned(), password.to_owned()))
            .ok_or_else(|| Error::Words(format!("what is kept for {registry} makes no sense")))?;
        Ok(Credentials { username, password, identitytoken: token, ..nobody })
    }

    /// What is known, by registry, and why the rest of it cannot be had: of
    /// all that the file names and all that the helper for every registry has.
    /// Registries that nobody is known to are left out.
    pub fn all(&self) -> (BTreeMap<String, Credentials>, Vec<Error>) {
        let (mut all, mut failures) = (BTreeMap::new(), Vec::new());
        let objects = ["auths", "credHelpers"].map(|name| self.text.get(name)?.as_object());
        let names = objects.into_iter().flatten().flat_map(Map::keys).cloned();
        let mut names: BTreeSet<String> = names.collect();
        match self.listed() {
            Ok(listed) => names.extend(listed),
            Err(error) => failures.push(error),
        }
        for name in names {
            match self.known(&name) {
                Ok(who) if who.username.is_empty() && who.identitytoken.is_empty() => {}
                Ok(who) => drop(all.insert(key(&name).to_owned(), who)),
                Err(error) => failures.push(error),
            }
        }
        (all, failures)
    }

    /// Registries that the helper for every one of them keeps secrets of.
    fn listed(&self) -> Outcome<Vec<String>> {
        let store = self.text.get("credsStore").and_then(Value::as_str);
        let Some(store) = store.filter(|name| !name.is_empty()) else { return Ok(Vec::new()) };
        let listed = ask(store, "list", "")?.unwrap_or_default();
        let listed: Map<String, Value> = serde_json::from_slice(&listed)
            .map_err(|e| Error::Answer(format!("docker-credential-{store}"), e))?;
        Ok(listed.into_iter().map(|(name, _)| name).collect())
    }

    /// Keeps what was found good; says whether it is there to be read.
    ///
    /// # Errors
    /// The helper or the file does not take it.
    pub fn keep(&mut self, registry: &str, known: &Credentials) -> Outcome<bool> {
        if let Some(helper) = self.helper(registry) {
            let kept = Kept {
                server: registry.into(),
                username: known.username.clone(),
                secret: known.password.clone(),
            };
            ask(helper, "store", &json!(kept).to_string())?;
            self.auths().insert(registry.into(), json!({}));
            self.write()?;
            return Ok(false);
        }
        let joined = BASE64_STANDARD.encode(format!("{}:{}", known.username, known.password));
        self.auths().insert(registry.into(), json!({ "auth": joined }));
        self.write()?;
        Ok(true)
    }

    /// Forgets a registry; false if it was not known.
    ///
    /// # Errors
    /// The helper or the file does not let go.
    pub fn forget(&mut self, registry: &str) -> Outcome<bool> {
        let helper = self.helper(registry).map(str::to_owned);
        let auths = self.auths();
        let names: Vec<String> =
            auths.keys().filter(|name| key(name) == registry).cloned().collect();
        for name in &names {
            auths.remove(name);
        }
        if let Some(helper) = &helper {
            ask(helper, "erase", registry)?;
        }
        if names.is_empty() {
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.text.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("it was just made sure of")
    }

    /// Replaces the file, whole or not at all; it is its owner's alone. A link
    /// stays one, and what it leads to is replaced.
    fn write(&self) -> Outcome<()> {
        let text = serde_json::to_string_pretty(&self.text).expect("JSON to memory");
        let write = || {
            if let Some(dir) = self.path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            let path = match fs::canonicalize(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => self.path.clone(),
                found => found?,
            };
            let new = path.with_extension(format!("json{}", std::process::id()));
            let mut options = fs::File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
            let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, &path));
            if written.is_err() {
                // The failure to write is what counts.
                let _ = fs::remove_file(&new);
            }
            written
        };
        write().map_err(|source| Error::Host {
            doing: "write",
            what: self.path.display().to_string(),
            source,
        })
    }
}

/// Runs a helper; none where it knows nothing of the registry.
fn ask(helper: &str, verb: &str, input: &str) -> Outcome<Option<Vec<u8>>> {
    let program = format!("docker-credential-{helper}");
    let host = |source| Error::Host { doing: "run", what: program.clone(), source };
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(host)?;
    let sent = child.stdin.take().map_or(Ok(()), |mut to| to.write_all(input.as_bytes()));
    let out = child.wait_with_output().map_err(host)?;
    if out.status.success() {
        // One that answers without listening has answered.
        sent.or_else(|e| if e.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
            .map_err(host)?;
        return Ok(Some(out.stdout));
    }
    // In the protocol of helpers, errors stand on the output.
    let words = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if words.contains("credentials not found") {
        return Ok(None);
    }
    Err(Error::Words(format!("{program} failed: {words}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let Ok(Value::Object(text)) = serde_json::from_str(text) else { panic!("{text}") };
        Config { path: PathBuf::new(), text }
    }

    #[test]
    fn a_name_says_whose_it_is() {
        for hub in ["busybox", "library/busybox:1", "docker.io/library/busybox"] {
            assert_eq!(registry_of(hub), HUB, "{hub}");
        }
        assert_eq!(registry_of("localhost:5000/a"), "localhost:5000");
        assert_eq!(key("https://quay.io/v2/"), "quay.io");
    }

    #[test]
    fn what_is_kept_is_found_under_each_spelling() {
        let config = config(r#"{"auths": {"https://quay.io/v1/": {"auth": "YTpiOmM="}}}"#);
        let known = config.known("quay.io").expect("sound");
        assert_eq!((&*known.username, &*known.password), ("a", "b:c"));
        assert!(config.known("ghcr.io").is_ok_and(|nobody| nobody.username.is_empty()));
    }

    #[test]
    fn all_that_is_known_is_found_and_what_cannot_be_had_is_told() {
        let config = config(
            r#"{"auths": {"https://quay.io/v1/": {"auth": "YTpi"}, "index.docker.io": {"auth": "YTpi"},
                "none.io": {}}, "credHelpers": {"own.io": "there-is-no-such-helper"}}"#,
        );
        let (all, failures) = config.all();
        assert_eq!(all.keys().collect::<Vec<_>>(), [HUB, "quay.io"]);
        assert_eq!(all["quay.io"].password, "b");
        assert!(failures.len() == 1 && failures[0].to_string().contains("no-such-helper"));
    }

    #[test]
    fn the_file_is_its_owners_alone_and_a_link_to_it_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().expect("scratch");
        let (dir, kept) = (scratch.path().join("docker"), scratch.path().join("kept.json"));
        let mut config = config("{}");
        config.path = dir.join("config.json");
        let known = Credentials { username: "a".into(), ..Credentials::default() };
        assert!(config.keep("quay.io", &known).expect("kept"));
        let mode = |path: &std::path::Path| path.metadata().expect("there").permissions().mode();
        assert_eq!((mode(&dir) & 0o777, mode(&config.path) & 0o777), (0o700, 0o600));
        fs::rename(&config.path, &kept).expect("scratch");
        std::os::unix::fs::symlink(&kept, &config.path).expect("scratch");
        config.keep("ghcr.io", &known).expect("kept");
        assert!(config.path.is_symlink());
        assert!(fs::read_to_string(&kept).expect("there").contains("ghcr.io"));
        assert_eq!(fs::read_dir(scratch.path()).expect("list").count(), 2, "nothing else is left");
    }

    #[test]
    fn a_registrys_own_helper_comes_first() {
        let config = config(r#"{"credsStore": "all", "credHelpers": {"quay.io": "own"}}"#);
        assert_eq!(config.helper("quay.io"), Some("own"));
        assert_eq!(config.helper("ghcr.io"), Some("all"));
    }
}

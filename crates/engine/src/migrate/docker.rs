//! Docker's data root, as the storage driver `overlay2` lays it out.
//!
//! ```text
//!   image/overlay2/repositories.json            names
//!                 /imagedb/content/sha256/<id>  configurations
//!                 /layerdb/sha256/<chain id>/{diff, cache-id, tar-split.json.gz}
//!                 /layerdb/mounts/<container>/mount-id
//!   overlay2/<cache-id>/diff                    a layer's files
//!   volumes/<name>/{_data, opts.json}
//!   containers/<id>/{config.v2.json, hostconfig.json}
//! ```
//! Source: moby 28, `layer/filestore.go`, `image/fs.go`, `volume/local`,
//! `container/container.go`; the locks are bbolt's (`flock(2)`).

use super::foreign;
use crate::{Error, error::Doing};
use image::Foreign;
use rustix::fs::FlockOperation;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use spec::{Digest, image::ImageConfig};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Databases that a running dockerd holds locked.
const LOCKED: [&str; 2] = ["volumes/metadata.db", "network/files/local-kv.db"];

/// A Docker that does not run, and cannot begin as long as this is held.
pub(super) struct Docker {
    root: PathBuf,
    _locks: Vec<File>,
}

/// An image, as Docker's index has it.
pub(super) struct Found {
    pub id: Digest,
    pub names: Vec<String>,
}

impl Found {
    /// For people.
    pub fn shown(&self) -> String {
        self.names.first().cloned().unwrap_or_else(|| self.id.to_string())
    }
}

impl Docker {
    pub fn open(root: &Path) -> Result<Self, Error> {
        let at = root.display();
        if !root.is_absolute() || !root.is_dir() {
            return Err(Error::Invalid(format!(
                "{at} is no directory of this machine: name Docker's data root (docker info says \
                 \"Docker Root Dir\")"
            )));
        }
        if !root.join("image/overlay2/imagedb").is_dir() {
            return Err(Error::Invalid(no_driver(root)));
        }
        // Its ids are not those of the images.
        let mapped =
            root.file_name().and_then(|name| name.to_str()).and_then(|n| n.split_once('.'));
        if mapped.is_some_and(|(u, g)| u.parse::<u32>().is_ok() && g.parse::<u32>().is_ok()) {
            return Err(Error::Invalid(format!(
                "{at} is of a Docker with userns-remap: its files belong to other users than the \
                 images say. Load its images instead: docker save, cofferdam load"
            )));
        }
        let mut locks = Vec::new();
        for name in LOCKED {
            let path = root.join(name);
            let file = match File::open(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.doing("open", &path)?,
            };
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).map_err(|_| {
                Error::Conflict(format!(
                    "a dockerd runs on {at} (it holds {name}): stop it first: systemctl stop \
                     docker.service docker.socket"
                ))
            })?;
            locks.push(file);
        }
        let table = fs::read_to_string("/proc/self/mountinfo")
            .doing("read", Path::new("/proc/self/mountinfo"))?;
        let below = format!("{at}/overlay2/");
        if table.lines().any(|l| l.split(' ').nth(4).is_some_and(|dir| dir.starts_with(&below))) {
            return Err(Error::Conflict(format!(
                "containers still run from {at} (live-restore): stop them first"
            )));
        }
        Ok(Self { root: root.to_owned(), _locks: locks })
    }

    fn images_dir(&self) -> PathBuf {
        self.root.join("image/overlay2")
    }

    /// Every image, those with names first.
    pub fn images(&self) -> Result<Vec<Found>, Error> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "PascalCase", default)]
        struct Index {
            repositories: BTreeMap<String, BTreeMap<String, Digest>>,
        }
        let path = self.images_dir().join("repositories.json");
        let index: Index = if path.exists() { read(&path)? } else { Index::default() };
        let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for (name, id) in index.repositories.into_values().flatten() {
            let entry = names.entry(id).or_default();
            // A digest names a registry's manifest, which is not kept.
            if !name.contains('@') {
                entry.push(name);
            }
        }
        for hex in listed(&self.images_dir().join("imagedb/content/sha256"))? {
            if let Ok(id) = format!("sha256:{hex}").parse::<Digest>() {
                names.entry(id).or_default();
            }
        }
        let mut found: Vec<Found> =
            names.into_iter().map(|(id, names)| Found { id, names }).collect();
        found.sort_by_key(|found| (found.names.is_empty(), found.shown()));
        Ok(found)
    }

    /// An image's configuration and layers.
    pub fn image(&self, id: &Digest) -> Result<(Vec<u8>, Vec<Foreign>), Error> {
        let path = self.images_dir().join("imagedb/content/sha256").join(id.hex());
        let bytes = fs::read(&path).doing("read", &path)?;
        if digest(&bytes) != *id {
            return Err(Error::Invalid("its configuration is damaged".into()));
        }
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|e| Error::Invalid(format!("its configuration makes no sense: {e}")))?;
        let mut layers = Vec::new();
        let mut chain: Option<Digest> = None;
        for diff_id in config.rootfs.diff_ids {
            // Source: OCI image specification, "Layer ChainID".
            let next = match &chain {
                None => diff_id.clone(),
                Some(chain) => digest(format!("{chain} {diff_id}").as_bytes()),
            };
            let dir = self.images_dir().join("layerdb/sha256").join(next.hex());
            let cache = word(&dir.join("cache-id"))?;
            let tree = self.root.join("overlay2").join(cache).join("diff");
            layers.push(foreign(diff_id, tree, dir.join("tar-split.json.gz")));
            chain = Some(next);
        }
        Ok((bytes, layers))
    }

    pub fn volumes(&self) -> Result<Vec<String>, Error> {
        let mut names = listed(&self.root.join("volumes"))?;
        names.retain(|name| self.volume(name).is_dir());
        Ok(names)
    }

    pub fn volume(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name).join("_data")
    }

    /// The options of the local driver.
    pub fn volume_options(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "PascalCase", default)]
        struct Options {
            mount_type: String,
            mount_opts: String,
            mount_device: String,
            quota: Quota,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "PascalCase", default)]
        struct Quota {
            size: u64,
        }
        let path = self.root.join("volumes").join(name).join("opts.json");
        if !path.exists() {
            return Ok(BTreeMap::new());
        }
        let options: Options = read(&path)?;
        if options.quota.size > 0 {
            return Err(Error::Unsupported(
                "it has a size, which cannot be taken along: make one with --opt size here, and \
                 copy what is in it"
                    .into(),
            ));
        }
        let all = [
            ("type", options.mount_type),
            ("o", options.mount_opts),
            ("device", options.mount_device),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        Ok(given.map(|(key, value)| (key.to_owned(), value)).collect())
    }

    pub fn containers(&self) -> Result<Vec<String>, Error> {
        listed(&self.root.join("containers"))
    }

    pub fn container(&self, id: &str) -> Result<Container, Error> {
        let dir = self.root.join("containers").join(id);
        let mut config: Value = read(&dir.join("config.v2.json"))?;
        let host: Value = read(&dir.join("hostconfig.json"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let image = text(&config["Image"]);
        let image = image.parse().map_err(|_| Error::Invalid(format!("its image is {image:?}")))?;
        let mount = self.images_dir().join("layerdb/mounts").join(id).join("mount-id");
        let upper = word(&mount).map(|id| self.root.join("overlay2").join(id).join("diff"));
        // Without one it has never been started.
        let wrote =
            upper.ok().filter(|dir| fs::read_dir(dir).is_ok_and(|mut d| d.next().is_some()));
        Ok(Container {
            id: id.to_owned(),
            name: text(&config["Name"]).trim_start_matches('/').to_owned(),
            image,
            config: config["Config"].take(),
            host,
            networks: config["NetworkSettings"]["Networks"].take(),
            mounts: config["MountPoints"].take(),
            wrote,
        })
    }

    /// What else is there, and is not taken over.
    pub fn left(&self) -> Vec<(&'static str, &'static str)> {
        let mut left = Vec::new();
        let some = |name: &str| {
            let dir = self.root.join(name);
            fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
        };
        if self.root.join("swarm/docker-state.json").exists() {
            left.push(("swarm", "services, secrets and configs of a swarm are not carried here"));
        }
        if some("plugins/storage") {
            left.push(("plugin", "engine plugins are not carried here"));
        }
        left
    }
}

/// How a container was made.
pub(super) struct Container {
    pub id: String,
    pub name: String,
    pub image: Digest,
    config: Value,
    host: Value,
    networks: Value,
    mounts: Value,
    /// Its own layer, if there is something in it.
    wrote: Option<PathBuf>,
}

impl Container {
    /// The body of the request that makes it, and what is to be known of it;
    /// or why there is none. `known` says which networks there are.
    pub fn body(&self, known: impl Fn(&str) -> bool) -> Result<(Value, String), String> {
        let mut endpoints = Map::new();
        for (name, endpoint) in self.networks.as_object().into_iter().flatten() {
            if !known(name) {
                return Err(format!(
                    "it is on the network {name}, which is not here: docker network create \
                     {name} first, and migrate again"
                ));
            }
            // What was its user's wish, and not Docker's answer.
            let wish = ["IPAMConfig", "Aliases", "Links", "DriverOpts"];
            let kept = wish.iter().map(|key| ((*key).to_owned(), endpoint[*key].clone()));
            endpoints.insert(name.clone(), Value::Object(kept.collect()));
        }
        let mut host = self.host.clone();
        let mut binds: Vec<Value> = host["Binds"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<String> = binds
            .iter()
            .filter_map(|bind| bind.as_str()?.split(':').nth(1).map(str::to_owned))
            .chain(
                host["Mounts"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|mount| mount["Target"].as_str().map(str::to_owned)),
            )
            .collect();
        for (target, mount) in self.mounts.as_object().into_iter().flatten() {
            let name = mount["Name"].as_str().unwrap_or_default();
            if mount["Type"] == "volume" && !named.contains(target) && !name.is_empty() {
                binds.push(json!(format!("{name}:{target}")));
            }
        }
        host["Binds"] = json!(binds);
        let mut body = self.config.clone();
        body["HostConfig"] = host;
        body["NetworkingConfig"] = json!({ "EndpointsConfig": endpoints });
        body["Labels"]["cofferdam.migrated"] = json!(self.id);
        let words = match &self.wrote {
            None => String::new(),
            Some(dir) => {
                format!("what it wrote beside its volumes is not taken: it is in {}", dir.display())
            }
        };
        Ok((body, words))
    }
}

/// Why there is nothing to be read.
fn no_driver(root: &Path) -> String {
    let at = root.display();
    let drivers: Vec<String> = listed(&root.join("image")).unwrap_or_default();
    if let Some(driver) = drivers.iter().find(|driver| *driver != "overlay2") {
        return format!(
            "{at} has its images with the storage driver {driver}: only overlay2 can be taken \
             over. Load its images instead: docker save, cofferdam load"
        );
    }
    if root.join("containerd").is_dir() {
        return format!(
            "{at} has its images in containerd's store, not in overlay2's: load them instead: \
             docker save, cofferdam load"
        );
    }
    format!("{at} is no data root of a Docker: there is no image/overlay2 in it")
}

/// Names of directories' members, sorted; none of a directory that is not there.
fn listed(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", dir)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.doing("list", dir)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn digest(mut bytes: &[u8]) -> Digest {
    image::digest(&mut bytes).expect("memory can be read")
}

/// A file of one word, which is a part of a path.
fn word(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).doing("read", path)?;
    let word = text.trim();
    if word.is_empty() || word.contains('/') || word == ".." {
        return Err(Error::Invalid(format!("{} makes no sense", path.display())));
    }
    Ok(word.to_owned())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = fs::read(path).doing("read", path)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::Invalid(format!("{} makes no sense: {e}", path.display())))
}

//! What a stopped Docker has, taken over: images, volumes, and how its
//! containers were made.
//!
//! Docker's root is only read, and held by a lock of its own meanwhile, so
//! that no dockerd begins on it; volumes leave it if they are to be moved.
//! Each thing is taken whole or not at all: an image by its record, a volume by
//! a rename. What is here already is left as it is, so that it can be done again.
//!
//! - [`docker`]: where Docker has what.

mod docker;

use crate::{Engine, Error, Volume, error::Doing, house::House};
use docker::{Docker, Found};
use image::Foreign;
use serde_json::{Value, json};
use snapshot::Way;
use spec::Reference;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// Below the data root: a volume that is being copied. A daemon that starts
/// removes it.
pub(crate) const HALF: &str = "migrating";

/// Held by who takes over.
static RUNS: Mutex<()> = Mutex::new(());

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrateWish {
    /// Docker's data root.
    pub root: PathBuf,
    /// Only say what would be done.
    pub dry: bool,
    /// Volumes leave Docker's root, and are not copied.
    pub moves: bool,
}

/// What became of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// `image`, `volume`, `container`.
    pub kind: &'static str,
    /// As Docker has it.
    pub name: String,
    /// In one word.
    pub outcome: Outcome,
    /// In a sentence, or empty.
    pub words: String,
    /// Of a container that is to be made: the body of `POST /containers/create`.
    pub create: Option<Value>,
}

/// What became of one thing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is here now.
    Taken,
    /// It was here before.
    Here,
    /// It would be taken.
    Possible,
    /// It cannot be.
    Refused,
}

impl Engine {
    /// Takes over what Docker has, or says what could be.
    ///
    /// # Errors
    /// There is no Docker of the kind that can be read, or it runs. What
    /// concerns one thing alone stands in its row, and stops no other.
    pub fn migrate(&self, wish: &MigrateWish) -> Result<Vec<Migrated>, Error> {
        let _runs = RUNS
            .try_lock()
            .map_err(|_| Error::Conflict("something is being taken over already".into()))?;
        let docker = Docker::open(&wish.root)?;
        let mut rows = Vec::new();
        for found in docker.images()? {
            let done = self.0.take_image(&docker, &found, wish.dry);
            rows.push(row("image", found.shown(), done));
        }
        for name in docker.volumes()? {
            let done = self.0.take_volume(&docker, &name, wish);
            rows.push(row("volume", name, done));
        }
        for id in docker.containers()? {
            rows.push(self.0.plan_container(&docker, &id, wish.dry));
        }
        for (what, words) in docker.left() {
            let (outcome, words) = (Outcome::Refused, words.to_owned());
            rows.push(Migrated { kind: what, name: String::new(), outcome, words, create: None });
        }
        if !wish.dry {
            self.disk_has_changed();
        }
        Ok(rows)
    }
}

fn row(kind: &'static str, name: String, done: Result<(Outcome, String), Error>) -> Migrated {
    let (outcome, words) = done.unwrap_or_else(|error| (Outcome::Refused, error.to_string()));
    Migrated { kind, name, outcome, words, create: None }
}

impl House {
    fn take_image(
        &self,
        docker: &Docker,
        found: &Found,
        dry: bool,
    ) -> Result<(Outcome, String), Error> {
        let (config, layers) = docker.image(&found.id)?;
        let mut kept = Vec::new();
        let mut names: Vec<Reference> = Vec::new();
        for name in &found.names {
            let reference: Reference =
                name.parse().map_err(|e| Error::Invalid(format!("its name {name}: {e}")))?;
            match self.images.lookup(name) {
                Ok(id) if id == found.id => {}
                // Somebody here means another image by it.
                Ok(_) => kept.push(name.as_str()),
                Err(image::Error::Missing(_)) => names.push(reference),
                Err(e) => return Err(e.into()),
            }
        }
        let mut words = Vec::new();
        if !kept.is_empty() {
            words.push(format!("{} is another image here, and stays it", kept.join(", ")));
        }
        if self.images.is_here(&found.id)? && names.is_empty() {
            return Ok((Outcome::Here, words.join("; ")));
        }
        if dry {
            words.push(format!("{} layers", layers.len()));
            return Ok((Outcome::Possible, words.join("; ")));
        }
        let done = self.images.take_over(&config, &layers, &names)?;
        let id = found.id.to_string();
        self.image_event("load", &id, found.names.first().unwrap_or(&id));
        let linked = done.bytes - done.copied;
        words.push(format!(
            "{} of {} layers were new: {linked} bytes linked, {} copied",
            done.layers,
            layers.len(),
            done.copied
        ));
        Ok((Outcome::Taken, words.join("; ")))
    }

    fn take_volume(
        &self,
        docker: &Docker,
        name: &str,
        wish: &MigrateWish,
    ) -> Result<(Outcome, String), Error> {
        let _using = self.using_volumes();
        if self.volumes.get(name).is_some() {
            return Ok((Outcome::Here, String::new()));
        }
        let options = docker.volume_options(name)?;
        if !options.is_empty() {
            if wish.dry {
                return Ok((Outcome::Possible, "its options; what they mount stays there".into()));
            }
            let wish = crate::VolumeWish { name: name.into(), options, ..Default::default() };
            self.volumes.make(wish, &self.paths, &self.store)?;
            return Ok((Outcome::Taken, "its options; what they mount stays there".into()));
        }
        if wish.dry {
            let words = if wish.moves { "moved" } else { "copied" };
            return Ok((Outcome::Possible, words.into()));
        }
        let from = docker.volume(name);
        let place = self.paths.volume(name);
        let words = self.bring(&from, &place, wish.moves)?;
        let mut volume = Volume {
            name: name.to_owned(),
            driver: "local".into(),
            mountpoint: place.display().to_string(),
            created: crate::clock::now(),
            ..Volume::default()
        };
        if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            volume.labels.insert(crate::volumes::ANONYMOUS.into(), String::new());
        }
        self.volumes.adopt(volume, &self.store)?;
        self.volume_event(name, "create", &[]);
        Ok((Outcome::Taken, words))
    }

    /// Brings a volume's directory to its place here, whole or not at all.
    fn bring(&self, from: &Path, place: &Path, moves: bool) -> Result<String, Error> {
        // Its place has no record yet: a run that was broken off has brought it.
        if place.exists() {
            return Ok("brought before".into());
        }
        let parent = place.parent().unwrap_or(place);
        fs::create_dir_all(parent).doing("create", parent)?;
        if moves {
            match fs::rename(from, place) {
                Ok(()) => return Ok("moved".into()),
                Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {}
                Err(e) => return Err(e).doing("move", from),
            }
        }
        let half = self.paths.data.join(HALF);
        snapshot::remove(&half)?;
        let copied = snapshot::link_tree(from, &half, Way::Copy);
        if copied.is_err() {
            // What it cannot remove the next start does.
            let _ = snapshot::remove(&half);
        }
        let copied = copied?.copied;
        let data = &self.paths.data;
        let dir = fs::File::open(data).doing("open", data)?;
        rustix::fs::syncfs(&dir).map_err(std::io::Error::from).doing("flush", data)?;
        fs::rename(&half, place).doing("rename into place", place)?;
        Ok(format!("{copied} bytes copied"))
    }

    fn plan_container(&self, docker: &Docker, id: &str, dry: bool) -> Migrated {
        let planned = docker.container(id).and_then(|container| {
            let name = container.name.clone();
            if self.find(&name).is_ok() {
                return Ok((name, Outcome::Here, String::new(), None));
            }
            let known = |network: &str| self.networks.find(network).is_ok();
            match container.body(known) {
                // Whose image cannot be taken, neither can it.
                Ok(_) if !dry && !self.images.is_here(&container.image)? => {
                    let words = "its image is not here".to_owned();
                    Ok((name, Outcome::Refused, words, None))
                }
                Ok((mut body, words)) => {
                    // By the name that it was made of, if that means the same.
                    let said = body["Image"].as_str().unwrap_or_default();
                    if self.images.lookup(said).ok().as_ref() != Some(&container.image) {
                        body["Image"] = json!(container.image);
                    }
                    Ok((name, Outcome::Possible, words, Some(body)))
                }
                Err(words) => Ok((name, Outcome::Refused, words, None)),
            }
        });
        let (name, outcome, words, create) =
            planned.unwrap_or_else(|e| (id.to_owned(), Outcome::Refused, e.to_string(), None));
        Migrated { kind: "container", name, outcome, words, create }
    }
}

/// Which layers an image has, for the store.
fn foreign(diff_id: spec::Digest, tree: PathBuf, split: PathBuf) -> Foreign {
    Foreign { diff_id, tree, split }
}

//! Volumes of the local driver: directories that outlive containers.
//!
//! A volume is recorded before its directory is made, and its directory is
//! gone before its record is. A container names its volumes in its mounts;
//! as long as one does, the volume stays.
//!
//! - [`backing`]: what its options have mounted on it.
//! - [`mounted`]: when that is.
//! - [`content`]: all that is in one, as an archive.

mod backing;
mod content;
mod mounted;

pub(crate) use self::mounted::Held;
use self::{backing::Backing, mounted::Mounted};
use crate::{
    Container, Engine, Error, Filters, Nanos, Pruned,
    cell::Cell,
    error::Doing,
    house::{House, Paths},
    store::{Store, Write},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::DirBuilderExt,
    sync::{Arc, Mutex, MutexGuard},
};

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// 64 hexadecimal digits if anonymous.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// Its directory on the host.
    pub mountpoint: String,
    /// When it was made.
    pub created: Nanos,
    /// Given by the user; anonymous ones have `com.docker.volume.anonymous`.
    pub labels: BTreeMap<String, String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
    /// How many containers name it.
    #[serde(skip)]
    pub users: u64,
}

impl Volume {
    /// Its content is in its directory, and nowhere else.
    pub(crate) fn is_plain(&self) -> bool {
        self.options.is_empty()
    }
}

/// The body of `POST /volumes/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeWish {
    /// Made up if empty.
    pub name: String,
    /// `local`, or empty.
    pub driver: String,
    /// For the user's own use.
    pub labels: BTreeMap<String, String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

/// The label that Docker gives to a volume without a name.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// All volumes.
pub(crate) struct Volumes {
    all: Mutex<BTreeMap<String, Volume>>,
    mounted: Mounted,
}

impl Volumes {
    /// Takes over what the records hold.
    pub fn new(left: &[(String, String)]) -> Self {
        let read = |(name, json): &(String, String)| match serde_json::from_str(json) {
            Ok(volume) => Some((name.clone(), volume)),
            Err(error) => {
                tracing::error!(volume = name, %error, "the record of a volume cannot be read");
                None
            }
        };
        let all = Mutex::new(left.iter().filter_map(read).collect());
        Self { all, mounted: Mounted::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        self.all.lock().expect("no holder panics")
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Volume> {
        self.lock().values().cloned().collect()
    }

    /// Writes one down whose directory is there.
    pub fn adopt(&self, volume: Volume, store: &Store) -> Result<(), Error> {
        check(&volume.name)?;
        let mut all = self.lock();
        if !all.contains_key(&volume.name) {
            let name = volume.name.clone();
            let json = serde_json::to_string(&volume).map_err(|e| Error::records(&e))?;
            let write = Write::Volume { name: name.clone(), json };
            store.write(write).map_err(|e| Error::records(&e))?;
            all.insert(name, volume);
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<Volume> {
        self.lock().get(name).cloned()
    }

    /// Makes a volume, or gives the one of that name; says which.
    pub fn make(
        &self,
        wish: VolumeWish,
        paths: &Paths,
        store: &Store,
    ) -> Result<(Volume, bool), Error> {
        if !matches!(wish.driver.as_str(), "" | "local") {
            return Err(no_driver(&wish.driver));
        }
        let anonymous = wish.name.is_empty();
        let name = if anonymous { crate::random::id().to_string() } else { wish.name };
        let mut labels = wish.labels;
        if anonymous {
            labels.insert(ANONYMOUS.into(), String::new());
        } else {
            check(&name)?;
        }
        let mut all = self.lock();
        if let Some(volume) = all.get(&name) {
            return Ok((volume.clone(), false));
        }
        Backing::parse(&wish.options)
            .map_err(|error| Error::Invalid(format!("create {name}: {error}")))?;
        let dir = paths.volume(&name);
        let volume = Volume {
            name: name.clone(),
            driver: "local".into(),
            mountpoint: dir.display().to_string(),
            created: crate::clock::now(),
            labels,
            options: wish.options,
            users: 0,
        };
        let json = serde_json::to_string(&volume).map_err(|e| Error::records(&e))?;
        store.write(Write::Volume { name: name.clone(), json }).map_err(|e| Error::records(&e))?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir);
        if let Err(error) = made.doing("create", &dir) {
            store.leave(Write::VolumeGone { name });
            return Err(error);
        }
        all.insert(name, volume.clone());
        Ok((volume, true))
    }

    /// Removes one that nobody uses, as the caller has seen to.
    fn remove(&self, name: &str, paths: &Paths, store: &Store) -> Result<(), Error> {
        // However deep: a container or an archive made it.
        snapshot::remove(&paths.data.join("volumes").join(name))?;
        let gone = Write::VolumeGone { name: name.to_owned() };
        store.write(gone).map_err(|e| Error::records(&e))?;
        self.lock().remove(name);
        Ok(())
    }
}

fn no_driver(driver: &str) -> Error {
    Error::Below {
        kind: crate::Kind::NotFound,
        message: format!("error looking up volume plugin {driver}: plugin {driver:?} not found"),
    }
}

/// Bytes of a file's name. Source: `NAME_MAX` of limits.h(0p).
const LONGEST: usize = 255;

/// Docker's rule for names; they become parts of paths.
fn check(name: &str) -> Result<(), Error> {
    if name.len() > LONGEST {
        return Err(Error::Invalid(format!(
            "create: a volume's name has {LONGEST} bytes at most, and this one {}",
            name.len()
        )));
    }
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    if first && name.len() > 1 && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
        return Ok(());
    }
    if name.len() < 2 {
        return Err(Error::Invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric \
             characters"
        )));
    }
    Err(Error::Invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
         use absolute path"
    )))
}

/// Short identifiers of the containers that name a volume.
fn users(cells: &[Arc<Cell>], volume: &str) -> Vec<Arc<Container>> {
    let names = |container: &Arc<Container>| container.mounts.iter().any(|m| m.name == volume);
    cells.iter().map(|cell| cell.now()).filter(names).collect()
}

impl House {
    /// Makes a volume, or gives the one of that name.
    pub fn make_volume(&self, wish: VolumeWish) -> Result<(Volume, bool), Error> {
        let (volume, new) = self.volumes.make(wish, &self.paths, &self.store)?;
        if new {
            self.volume_event(&volume.name, "create", &[]);
        }
        Ok((volume, new))
    }

    pub fn volume_event(&self, name: &str, action: &str, more: &[(&str, String)]) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.journal.say("volume", action, name, attributes);
    }

    /// Tells that a container begins or ends to use its volumes.
    pub fn volume_events(&self, container: &Container, action: &str) {
        for mount in container.mounts.iter().filter(|mount| mount.kind == "volume") {
            let mut more = vec![("container", container.id.to_string())];
            if action == "mount" {
                more.extend([
                    ("destination", mount.destination.clone()),
                    ("propagation", mount.propagation.clone()),
                    ("read/write", mount.rw.to_string()),
                ]);
            }
            self.volume_event(&mount.name, action, &more);
        }
    }

    /// Removes a volume that nobody uses.
    pub fn drop_volume(&self, name: &str) -> Result<(), Error> {
        let _alone = self.volume_use.write().expect("no holder panics");
        if let [user, ..] = &users(&self.roster.all(), name)[..] {
            return Err(Error::Conflict(format!(
                "remove {name}: volume is in use - [{}]",
                user.id
            )));
        }
        self.bare_volume(name)?;
        self.volumes.remove(name, &self.paths, &self.store)?;
        self.volume_event(name, "destroy", &[]);
        Ok(())
    }
}

impl House {
    /// Takes back a volume that was made for a container that is not to be,
    /// unless another one has come to use it.
    pub fn forget_volume(&self, name: &str) -> Result<(), Error> {
        let _alone = self.volume_use.write().expect("no holder panics");
        if !users(&self.roster.all(), name).is_empty() {
            return Ok(());
        }
        self.bare_volume(name)?;
        self.volumes.remove(name, &self.paths, &self.store)
    }
}

impl Engine {
    /// Makes a volume, or returns the one that has the name.
    ///
    /// # Errors
    /// A malformed name, another driver, options that make no sense.
    pub fn create_volume(&self, wish: VolumeWish) -> Result<Volume, Error> {
        self.0.make_volume(wish).map(|(volume, _)| volume)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<Volume> {
        let cells = self.0.roster.all();
        let mut all: Vec<Volume> = self.0.volumes.lock().values().cloned().collect();
        for volume in &mut all {
            volume.users = users(&cells, &volume.name).len() as u64;
        }
        all
    }

    /// By name.
    ///
    /// # Errors
    /// None such.
    pub fn volume(&self, name: &str) -> Result<Volume, Error> {
        let volume = self.0.volumes.get(name).ok_or_else(|| Error::NoVolume(name.to_owned()))?;
        let users = users(&self.0.roster.all(), name).len() as u64;
        Ok(Volume { users, ..volume })
    }

    /// Removes a volume and what is in it; `force` forgives a missing one.
    ///
    /// # Errors
    /// None such, or in use.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<(), Error> {
        match self.0.volumes.get(name) {
            None if force => Ok(()),
            None => Err(Error::NoVolume(name.to_owned())),
            Some(_) => self.0.drop_volume(name),
        }
    }

    /// Removes volumes that no container names (anonymous ones, unless the
    /// filter `all` is set), as far as the filters (`label`, `label!`) let.
    /// As with Docker, not those whose content is elsewhere.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_volumes(&self, filters: &Filters) -> Result<Pruned, Error> {
        filters.only(&["all", "label", "label!"])?;
        let all = filters.yes("all")?.unwrap_or(false);
        let mut pruned = Pruned::default();
        for volume in self.volumes() {
            let wanted = (all || volume.labels.contains_key(ANONYMOUS))
                && volume.users == 0
                && volume.is_plain()
                && filters.labels(&volume.labels);
            if !wanted {
                continue;
            }
            let size = crate::usage::measure(volume.mountpoint.as_ref());
            match self.0.drop_volume(&volume.name) {
                Ok(()) => {
                    pruned.removed.push(volume.name);
                    pruned.reclaimed += size;
                }
                // Somebody has begun to use it meanwhile.
                Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), pruned.reclaimed.to_string())]);
        self.0.journal.say("volume", "prune", "", reclaimed);
        Ok(pruned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &tempfile::TempDir) -> (Volumes, Paths, Store) {
        let (store, left) = Store::open(&dir.path().join("state.db")).expect("opened");
        let paths = Paths { data: dir.path().join("data"), run: dir.path().join("run") };
        (Volumes::new(&left.volumes), paths, store)
    }

    fn named(name: &str) -> VolumeWish {
        VolumeWish { name: name.into(), ..VolumeWish::default() }
    }

    #[test]
    fn a_volume_is_made_once_and_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (volumes, paths, store) = open(&dir);
        let (volume, new) = volumes.make(named("data"), &paths, &store).expect("made");
        assert!(new && fs::metadata(&volume.mountpoint).is_ok_and(|m| m.is_dir()));
        let (again, new) = volumes.make(named("data"), &paths, &store).expect("there");
        assert!(!new && again == volume);
        drop(store);
        let (volumes, paths, store) = open(&dir);
        assert_eq!(volumes.get("data"), Some(volume.clone()));
        volumes.remove("data", &paths, &store).expect("removed");
        assert!(fs::metadata(&volume.mountpoint).is_err());
        drop(store);
        assert_eq!(open(&dir).0.get("data"), None);
    }

    #[test]
    fn a_name_that_would_leave_the_directory_is_refused() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (volumes, paths, store) = open(&dir);
        for name in ["..", "a/b", ".hidden", "-x", "a\0b", "x"] {
            assert!(volumes.make(named(name), &paths, &store).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_the_driver_cannot_do_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (volumes, paths, store) = open(&dir);
        let options = BTreeMap::from([("type".to_owned(), "nfs".to_owned())]);
        let wish = VolumeWish { options, ..named("nfs") };
        let error = volumes.make(wish, &paths, &store).expect_err("half of it").to_string();
        assert_eq!(error, "create nfs: missing required option: \"device\"");
        assert!(volumes.get("nfs").is_none() && !paths.volume("nfs").exists());
        let wish = VolumeWish { driver: "rexray".into(), ..named("other") };
        assert!(volumes.make(wish, &paths, &store).is_err());
    }
}

//! Contexts that stay for the next build of the same directory.
//!
//! ```text
//!   DATA/build/contexts/<boot>/<key>   a client's files, as it sent them last
//! ```
//!
//! The client then sends what differs alone, and what was read of the files
//! for their digests need not be read again. One build has such a context at
//! a time; another one of the same directory gets a room of its own. Files
//! are not flushed to the disk, so that a loss of power may leave them with
//! the right size and time and other bytes: what another boot left is swept.

use crate::{Error, error::Doing, house::House};
use build::Known;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// All that a build of this process has had.
static SHELVES: Mutex<BTreeMap<PathBuf, Shelf>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Shelf {
    taken: bool,
    known: Arc<Known>,
}

/// A context that one build has for its time.
#[derive(Debug)]
pub(super) struct Kept {
    pub dir: PathBuf,
    /// Digests of its files.
    pub known: Arc<Known>,
}

fn shelves() -> MutexGuard<'static, BTreeMap<PathBuf, Shelf>> {
    SHELVES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    /// Where they are.
    pub(super) fn contexts(&self) -> PathBuf {
        self.paths.data.join("build/contexts").join(&self.machine.boot)
    }

    /// The context of a key, made if it is new; none if another build has it.
    pub(super) fn keep_context(&self, key: &str) -> Result<Option<Kept>, Error> {
        let dir = self.contexts().join(key);
        let mut shelves = shelves();
        let shelf = shelves.entry(dir.clone()).or_default();
        if shelf.taken {
            return Ok(None);
        }
        super::room::make(&dir)?;
        shelf.taken = true;
        Ok(Some(Kept { dir, known: Arc::clone(&shelf.known) }))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // When it was used last; if that cannot be noted it goes the sooner.
        let now = std::time::SystemTime::now();
        let _ = fs::File::open(&self.dir).and_then(|dir| dir.set_modified(now));
        if let Some(shelf) = shelves().get_mut(&self.dir) {
            shelf.taken = false;
        }
    }
}

/// Whether a build has it at this moment.
pub(super) fn in_use(dir: &Path) -> bool {
    shelves().get(dir).is_some_and(|shelf| shelf.taken)
}

/// Removes one unless a build has it; says whether it went.
pub(super) fn forget(dir: &Path, rooms: &Path) -> Result<bool, Error> {
    let away = rooms.join(crate::random::id().as_str());
    let mut shelves = shelves();
    if shelves.get(dir).is_some_and(|shelf| shelf.taken) {
        return Ok(false);
    }
    super::room::make(rooms)?;
    match fs::rename(dir, &away) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        moved => moved.doing("move away", dir)?,
    }
    shelves.remove(dir);
    drop(shelves);
    snapshot::remove(&away)?;
    Ok(true)
}

/// Removes those of other boots.
pub(super) fn sweep(data: &Path, boot: &str) -> Result<(), Error> {
    let dir = data.join("build/contexts");
    let boots = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        boots => boots.doing("read", &dir)?,
    };
    for entry in boots {
        let entry = entry.doing("read", &dir)?;
        if entry.file_name() != boot {
            snapshot::remove(&entry.path())?;
        }
    }
    Ok(())
}

//! Files of the store: documents by digest, layers by diff id.
//!
//! ```text
//!   DATA/blobs/sha256/<hex>        configurations and manifests, as they came
//!   DATA/layers/<hex>/root         a layer's files, as overlayfs wants them
//!                    /spare        content that its own tar replaced
//!                    /recipe.zst   the rest of its tar
//!                    /layer.json   its figures
//!   DATA/layers/.new-<n>           a layer that is being unpacked: by a process
//!                       /inside    whose root this is
//! ```
//!
//! What has its final name is complete. It becomes durable by one `syncfs`
//! before the record that names it ([`Content::settle`]).

use crate::{
    Error,
    error::Doing,
    passed::{Hashing, Passed, Tee},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spec::Digest;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
};
use sys::fail::{Point, point};
use unpacker::{Forms, Layer, RECIPE, RecipeWriter, Workers};

pub(crate) const NEW: &str = ".new-";
/// In a layer's directory.
const FIGURES: &str = "layer.json";

/// Figures of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Bytes of its files.
    pub size: u64,
    /// Bytes of its tar.
    pub tar: u64,
    /// Members of its tar.
    pub entries: u64,
}

/// The directories.
pub(crate) struct Content {
    pub data: PathBuf,
    pub workers: Workers,
    next: AtomicU64,
    /// Layers that a running operation relies on, and how many of them do.
    leases: Mutex<HashMap<Digest, u32>>,
    /// Held for reading from a document's arrival to its record, and for
    /// writing while documents that no record names are removed.
    documents: RwLock<()>,
    /// Held by who takes to the disk what others write meanwhile.
    flushing: Mutex<()>,
}

/// Keeps layers from being removed while an operation relies on them.
pub(crate) struct Lease<'a> {
    content: &'a Content,
    held: Vec<Digest>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl Lease<'_> {
    /// What it holds.
    pub fn held(&self) -> &[Digest] {
        &self.held
    }

    /// Holds what another held, too.
    pub fn absorb(&mut self, mut other: Self) {
        self.held.append(&mut other.held);
    }

    /// Holds nothing any more.
    pub fn release(&mut self) {
        let mut leases = self.content.leases();
        for diff_id in self.held.drain(..) {
            if let Some(count) = leases.get_mut(&diff_id) {
                *count -= 1;
                if *count == 0 {
                    leases.remove(&diff_id);
                }
            }
        }
    }

    /// The layer's figures, if it is here; it stays until the lease ends.
    pub fn take(&mut self, diff_id: &Digest) -> Result<Option<Figures>, Error> {
        let mut leases = self.content.leases();
        let figures = self.content.figures(diff_id)?;
        if figures.is_some() {
            *leases.entry(diff_id.clone()).or_default() += 1;
            self.held.push(diff_id.clone());
        }
        Ok(figures)
    }
}

/// A layer that was taken in.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub diff_id: Digest,
    pub figures: Figures,
}

impl Content {
    /// Opens the directories, and makes them where they are missing.
    pub fn open(data: &Path, workers: Workers) -> Result<Self, Error> {
        for dir in ["blobs/sha256", "layers"] {
            let path = data.join(dir);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .doing("make the directory", &path)?;
        }
        Ok(Self {
            data: data.to_owned(),
            workers,
            next: AtomicU64::new(0),
            leases: Mutex::new(HashMap::new()),
            documents: RwLock::new(()),
            flushing: Mutex::new(()),
        })
    }

    /// Holds nothing yet.
    pub fn lease(&self) -> Lease<'_> {
        Lease { content: self, held: Vec::new() }
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, u32>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As long as this is held no document goes for want of a record.
    pub fn adding(&self) -> RwLockReadGuard<'_, ()> {
        self.documents.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// As long as this is held no document comes.
    pub fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.documents.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a running operation relies on the layer.
    pub fn is_leased(&self, diff_id: &Digest) -> bool {
        self.leases().contains_key(diff_id)
    }

    /// Directory of a layer.
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.data.join("layers").join(diff_id.hex())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.data.join("blobs/sha256").join(digest.hex())
    }

    fn figures(&self, diff_id: &Digest) -> Result<Option<Figures>, Error> {
        let path = self.layer(diff_id).join(FIGURES);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(io::Error::from)
                .doing("understand", path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).doing("read", path),
        }
    }

    /// Keeps a document under its digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::from_sha256(Sha256::digest(bytes).into());
        let path = self.blob(&digest);
        if !path.exists() {
            let new = path.with_file_name(self.new_name());
            fs::write(&new, bytes).doing("write", &new)?;
            point(Point::DocumentWritten);
            fs::rename(&new, &path).doing("rename into place", &path)?;
            point(Point::DocumentPlaced);
        }
        Ok(digest)
    }

    /// Whether a document is here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob(digest).exists()
    }

    /// A document, and only if it is what its digest says.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.blob(digest);
        let bytes = fs::read(&path).doing("read", path)?;
        let found = Digest::from_sha256(Sha256::digest(&bytes).into());
        if found == *digest {
            Ok(bytes)
        } else {
            Err(Error::Digest { expected: digest.clone(), found })
        }
    }

    /// Removes a document; missing is no error.
    pub fn drop_blob(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.blob(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).doing("remove", path),
            _ => Ok(()),
        }
    }

    /// Takes in a layer from a stream, compressed or plain, under `lease`.
    pub fn take(&self, from: &mut dyn Read, lease: &mut Lease<'_>) -> Result<Taken, Error> {
        self.take_plain(from, Forms::All, lease)
    }

    /// The same of what a registry gave: gzip, zstd or plain.
    pub fn take_layer(&self, from: &mut dyn Read, lease: &mut Lease<'_>) -> Result<Taken, Error> {
        self.take_plain(from, Forms::Layers, lease)
    }

    /// What is hashed is what the process that unpacks it is given: neither
    /// it nor the one that undoes the compression has a say in its digest.
    fn take_plain(
        &self,
        from: &mut dyn Read,
        forms: Forms,
        lease: &mut Lease<'_>,
    ) -> Result<Taken, Error> {
        self.take_by(lease, |layer, passed| {
            self.workers.plain(from, forms, |plain| hand_over(plain, layer, passed))
        })
    }

    /// Takes in a layer that `pack` writes, under `lease`.
    pub fn take_packed(
        &self,
        lease: &mut Lease<'_>,
        pack: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<Taken, Error> {
        self.take_by(lease, |layer, passed| pack(&mut Hashing { layer, passed }))
    }

    /// Takes in a layer from where it was written, under `lease`; none if it
    /// is to be packed.
    pub fn take_over(
        &self,
        lease: &mut Lease<'_>,
        root: &snapshot::Root,
    ) -> Result<Option<Taken>, Error> {
        let dir = self.data.join("layers").join(self.new_name());
        let rubbish = Rubbish(&dir);
        let beside = dir.with_extension("recipe");
        let rubbish_beside = Rubbish(&beside);
        let mut recipe = recipe_at(&beside)?;
        let mut passed = Passed::default();
        let adopted = root
            .adopt(&dir, &mut passed, &mut recipe)
            .map_err(|source| Error::Snapshot { doing: "take over a step's changes", source })?;
        let Some(unpacked) = adopted else { return Ok(None) };
        finish_recipe(recipe, &beside, &dir)?;
        std::mem::forget(rubbish_beside);
        self.settle_in(rubbish, passed, unpacked, lease).map(Some)
    }

    /// A process unpacks what is produced here; of a large layer, a thread
    /// takes to the disk what is there already.
    fn take_by(
        &self,
        lease: &mut Lease<'_>,
        produce: impl FnOnce(&mut Layer, &mut Passed<'_>) -> Result<(), Error>,
    ) -> Result<Taken, Error> {
        let dir = self.data.join("layers").join(self.new_name());
        let rubbish = Rubbish(&dir);
        fs::DirBuilder::new().mode(0o700).create(&dir).doing("make the directory", &dir)?;
        let mut layer = self.workers.layer(&dir)?;
        let (passed, unpacked) = std::thread::scope(|scope| {
            let mut flushes = Vec::new();
            let mut flush = || flushes.push(scope.spawn(|| self.flush_early()));
            let mut passed = Passed { flush: Some(&mut flush), ..Passed::default() };
            let produced = produce(&mut layer, &mut passed);
            let passed = Passed { flush: None, ..passed };
            let unpacked = match produced {
                Ok(()) => layer.finish().map_err(Error::from),
                Err(cause) => Err(layer.given_up().map_or(cause, Error::from)),
            };
            let flushed = flushes
                .into_iter()
                .try_for_each(|flush| flush.join().expect("it returns its errors"));
            let unpacked = unpacked?;
            flushed.map(|()| (passed, unpacked))
        })?;
        self.settle_in(rubbish, passed, unpacked, lease)
    }

    /// Takes to the disk what was written so far, unless that is under way:
    /// the disk works while the processors do. Its error counts, since
    /// syncfs(2) tells each but once.
    fn flush_early(&self) -> Result<(), Error> {
        match self.flushing.try_lock() {
            Ok(_) | Err(TryLockError::Poisoned(_)) => self.flush(),
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn flush(&self) -> Result<(), Error> {
        let dir = File::open(&self.data).doing("open", &self.data)?;
        rustix::fs::syncfs(&dir).map_err(io::Error::from).doing("flush", &self.data)
    }

    /// Gives a layer that is complete its name.
    fn settle_in(
        &self,
        new: Rubbish<'_>,
        passed: Passed<'_>,
        unpacked: snapshot::Unpacked,
        lease: &mut Lease<'_>,
    ) -> Result<Taken, Error> {
        let dir = new.0;
        let diff_id = Digest::from_sha256(passed.hash.finalize().into());
        let figures = Figures { size: unpacked.bytes, tar: passed.size, entries: unpacked.entries };
        point(Point::LayerUnpacked);
        let text = crate::archive::json(&figures);
        let path = dir.join(FIGURES);
        fs::write(&path, text).doing("write", &path)?;
        point(Point::LayerWritten);
        // Another may have taken in the same meanwhile: then that one stays.
        let place = self.layer(&diff_id);
        match fs::rename(dir, &place) {
            Ok(()) => {
                std::mem::forget(new);
                point(Point::LayerPlaced);
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
                ) => {}
            Err(e) => return Err(e).doing("rename into place", place),
        }
        match lease.take(&diff_id)? {
            Some(figures) => Ok(Taken { diff_id, figures }),
            // Removed between the rename and the lease: nothing named it.
            None => Err(Error::Conflict(format!("layer {diff_id} was removed meanwhile"))),
        }
    }

    /// Takes in a layer whose files another engine has in `tree`, under
    /// `lease`: they are linked, not made anew. `describe` writes the recipe
    /// and gives the number of its members. Its digest is that of the tar
    /// which the two come to: whatever others say of it, the caller compares.
    pub fn take_linked(
        &self,
        lease: &mut Lease<'_>,
        tree: &Path,
        describe: impl FnOnce(&mut RecipeWriter) -> Result<u64, Error>,
    ) -> Result<(Taken, snapshot::Linked), Error> {
        let dir = self.data.join("layers").join(self.new_name());
        let rubbish = Rubbish(&dir);
        fs::DirBuilder::new().mode(0o700).create(&dir).doing("make the directory", &dir)?;
        let linked =
            snapshot::link_tree(tree, &dir.join(snapshot::LAYER_ROOT), snapshot::Way::Link)
                .map_err(|source| Error::Snapshot { doing: "link a layer", source })?;
        let path = dir.join(RECIPE);
        let mut recipe = recipe_at(&path)?;
        let entries = describe(&mut recipe)?;
        recipe.finish().and_then(|mut file| file.flush()).doing("write", &path)?;
        let mut passed = Passed::default();
        self.write_out(&dir, &mut passed)?;
        let unpacked = snapshot::Unpacked { entries, bytes: linked.bytes };
        Ok((self.settle_in(rubbish, passed, unpacked, lease)?, linked))
    }

    /// Writes a layer's tar.
    pub fn repack(&self, diff_id: &Digest, out: &mut dyn Write) -> Result<(), Error> {
        let mut hash = Sha256::new();
        self.write_out(&self.layer(diff_id), &mut Tee { out, hash: &mut hash })?;
        let found = Digest::from_sha256(hash.finalize().into());
        if found == *diff_id {
            Ok(())
        } else {
            Err(Error::Digest { expected: diff_id.clone(), found })
        }
    }

    /// Writes the tar that a layer's files and recipe come to.
    fn write_out(&self, dir: &Path, out: &mut dyn Write) -> Result<(), Error> {
        let path = dir.join(RECIPE);
        // Whoever unpacked the layer has written it, too.
        let mut recipe = || -> Result<Box<dyn io::BufRead>, snapshot::Error> {
            let opened = File::open(&path)
                .and_then(|file| self.workers.inflated(file).map_err(io::Error::other));
            let opened = opened.map_err(|source| snapshot::Error::Host {
                doing: "open".into(),
                path: path.clone(),
                source,
            })?;
            Ok(Box::new(BufReader::with_capacity(snapshot::BUFFER, opened)))
        };
        snapshot::repack(dir, &mut recipe, out).map_err(|e| match e {
            snapshot::Error::Output(e) => Error::Output(e),
            source => Error::Snapshot { doing: "write out a layer", source },
        })
    }

    /// Everything with its final name is on the disk after this.
    pub fn settle(&self) -> Result<(), Error> {
        self.flush()?;
        point(Point::Settled);
        Ok(())
    }

    /// Removes layers, unless an operation relies on one or `needed` says
    /// that a record does.
    pub fn drop_layers(
        &self,
        layers: &[Digest],
        needed: impl Fn(&Digest) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut doomed = Vec::new();
        {
            // All under the lock. Whoever takes a lease after finds nothing;
            // whoever gave one back before has written its record.
            let leases = self.leases();
            for diff_id in layers.iter().filter(|diff_id| !leases.contains_key(diff_id)) {
                if needed(diff_id)? {
                    continue;
                }
                let place = self.layer(diff_id);
                let new = place.with_file_name(self.new_name());
                match fs::rename(&place, &new) {
                    Ok(()) => {
                        point(Point::LayerMovedAway);
                        doomed.push(new);
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e).doing("move away", place),
                }
            }
        }
        doomed.iter().try_for_each(|dir| {
            snapshot::remove(dir)
                .map_err(|source| Error::Snapshot { doing: "remove a layer", source })?;
            point(Point::LayerRemoved);
            Ok(())
        })
    }

    /// What is wrong with a layer that the records hold so; none if nothing
    /// is. With `content` all of it is read and compared with its digest.
    pub fn examine(
        &self,
        diff_id: &Digest,
        recorded: Figures,
        content: bool,
    ) -> Result<Option<String>, Error> {
        let dir = self.layer(diff_id);
        if !dir.is_dir() {
            return Ok(Some("its directory is missing".into()));
        }
        match self.figures(diff_id) {
            Ok(Some(figures)) if figures == recorded => {}
            Ok(Some(_)) => return Ok(Some("its figures are not those of the records".into())),
            Ok(None) => return Ok(Some(format!("its {FIGURES} is missing"))),
            Err(Error::Host { source, .. }) if source.raw_os_error().is_none() => {
                return Ok(Some(format!("its {FIGURES} makes no sense: {source}")));
            }
            Err(e) => return Err(e),
        }
        if let Some(part) = [snapshot::LAYER_ROOT, RECIPE].iter().find(|p| !dir.join(p).exists()) {
            return Ok(Some(format!("its {part} is missing")));
        }
        if !content {
            return Ok(None);
        }
        match self.repack(diff_id, &mut io::sink()) {
            Ok(()) => Ok(None),
            Err(error) if is_damage(&error) => {
                let cause = std::error::Error::source(&error).map(|e| format!(": {e}"));
                Ok(Some(format!("its files are damaged: {error}{}", cause.unwrap_or_default())))
            }
            Err(e) => Err(e),
        }
    }

    /// Names in a directory of the store, but for what is being made or
    /// removed just now: a daemon that starts removes what is left of that.
    pub fn listed(&self, dir: &str) -> Result<Vec<String>, Error> {
        let dir = self.data.join(dir);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).doing("list", &dir)? {
            let name = entry.doing("list", &dir)?.file_name();
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with(NEW) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes something of a directory of the store that bears no digest.
    pub fn clear(&self, dir: &str, name: &str) -> Result<(), Error> {
        snapshot::remove(&self.data.join(dir).join(name))
            .map_err(|source| Error::Snapshot { doing: "remove what nothing names", source })
    }

    /// Removes what no record names.
    pub fn sweep(
        &self,
        layers: &std::collections::HashSet<String>,
        blobs: &std::collections::HashSet<String>,
    ) -> Result<(), Error> {
        for (dir, known) in [("layers", layers), ("blobs/sha256", blobs)] {
            let dir = self.data.join(dir);
            for entry in fs::read_dir(&dir).doing("list", &dir)? {
                let entry = entry.doing("list", &dir)?;
                if entry.file_name().to_str().is_none_or(|name| !known.contains(name)) {
                    snapshot::remove(&entry.path())
                        .map_err(|source| Error::Snapshot { doing: "sweep", source })?;
                }
            }
        }
        Ok(())
    }

    fn new_name(&self) -> String {
        format!("{NEW}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whether a layer that could not be written out is itself to blame, and not
/// a host that had no memory or descriptors left, say.
fn is_damage(error: &Error) -> bool {
    use rustix::io::Errno;
    match error {
        Error::Snapshot { source: snapshot::Error::Host { source, .. }, .. } => {
            match source.raw_os_error().map(Errno::from_raw_os_error) {
                // What was read makes no sense, to a process that still is there.
                None => source.kind() != io::ErrorKind::OutOfMemory && !is_lost(source),
                Some(errno) => matches!(
                    errno,
                    Errno::NOENT
                        | Errno::NOTDIR
                        | Errno::ISDIR
                        | Errno::LOOP
                        | Errno::IO
                        | Errno::UCLEAN
                        | Errno::BADMSG
                ),
            }
        }
        Error::Digest { .. } | Error::Snapshot { .. } => true,
        _ => false,
    }
}

/// Whether the process that was to read it was not to be had, or is gone.
fn is_lost(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<unpacker::Error>());
    cause.is_some_and(|cause| cause.kind() == unpacker::Kind::Host)
}

/// Hands a layer's plain tar to who unpacks it.
fn hand_over(
    plain: &mut dyn Read,
    layer: &mut Layer,
    passed: &mut Passed<'_>,
) -> Result<(), Error> {
    loop {
        let room = layer.room().map_err(Error::input)?;
        match plain.read(room) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                passed.add(&room[..len]);
                layer.filled(len).map_err(Error::input)?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::input(e)),
        }
    }
}

fn recipe_at(path: &Path) -> Result<RecipeWriter, Error> {
    unpacker::create_recipe(path).doing("write", path)
}

/// Puts a recipe that is complete beside its layer's files.
fn finish_recipe(recipe: RecipeWriter, path: &Path, dir: &Path) -> Result<(), Error> {
    recipe.finish().and_then(|mut file| file.flush()).doing("write", path)?;
    let place = dir.join(RECIPE);
    fs::rename(path, &place).doing("rename into place", place)
}

/// Removed when dropped; what cannot be is left to the next sweep.
struct Rubbish<'a>(&'a Path);

impl Drop for Rubbish<'_> {
    fn drop(&mut self) {
        let _ = snapshot::remove(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_host_without_room_is_no_damage_of_a_layer() {
        let host = |source: io::Error| Error::Snapshot {
            doing: "write out a layer",
            source: snapshot::Error::Host { doing: "open".into(), path: "x".into(), source },
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::AGAIN] {
            assert!(!is_damage(&host(errno.into())), "{errno:?}");
        }
        for errno in [Errno::NOENT, Errno::IO, Errno::UCLEAN] {
            assert!(is_damage(&host(errno.into())), "{errno:?}");
        }
        let lost = unpacker::Error::Lost("was killed by signal 9".into());
        assert!(!is_damage(&host(io::Error::other(lost))));
        assert!(is_damage(&host(io::ErrorKind::InvalidData.into())));
        let malformed = snapshot::Error::Malformed("x".into());
        assert!(is_damage(&Error::Snapshot { doing: "write out a layer", source: malformed }));
        assert!(!is_damage(&Error::Output(io::ErrorKind::BrokenPipe.into())));
    }
}

//! Images and the build cache make way when the disk is full, what was not
//! used for longest first: by a look every few minutes, after each image that
//! comes and each build.
//!
//! An image that a container has stays, in whatever state that is, and so does
//! one that is [pinned](Engine::pin), and one with a name that no registry is
//! known to have. What of the cache would free nothing stays, too.

use crate::{
    CacheEntry, Deleted, Engine, Error, ImageSummary, Nanos,
    collect_order::{Goes, order},
    error::Doing,
    house::House,
    watcher::Due,
};
use spec::Digest;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// When images and the build cache are collected, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// It begins when more percent of the disk than this are taken …
    pub above: u8,
    /// … and ends at so many.
    pub down_to: u8,
    /// What came or was used so short a time ago stays in any case.
    pub young: Duration,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self { above: 85, down_to: 80, young: Duration::from_mins(2) }
    }
}

/// What was collected, or would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Percent of the disk that were taken before.
    pub taken: u8,
    /// To how many it is to come down.
    pub wanted: u8,
    /// Each image that went or would go, in order.
    pub images: Vec<ImageSummary>,
    /// Names and images that went.
    pub deleted: Vec<Deleted>,
    /// Each entry of the build cache, likewise.
    pub cached: Vec<CacheEntry>,
    /// Bytes that were freed or would be.
    pub reclaimed: u64,
}

/// How often the disk is looked at.
const EVERY: Nanos = 300 * 1_000_000_000;
/// How long after a build: several that end together are one look.
const AFTER_BUILD: Nanos = 1_000_000_000;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(crate) struct Collecting {
    /// Held by the one who collects.
    alone: Mutex<()>,
    /// Images whose containers went, and when.
    used: Mutex<BTreeMap<Digest, Nanos>>,
    /// A look is due soon, for a build has ended.
    soon: AtomicBool,
}

/// A disk, in bytes, as an ordinary user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    all: u64,
    taken: u64,
}

impl Disk {
    pub fn of(path: &Path) -> Result<Self, Error> {
        let stat = rustix::fs::statvfs(path).doing("measure the disk of", path)?;
        let taken = stat.f_blocks - stat.f_bfree;
        Ok(Self { all: (taken + stat.f_bavail) * stat.f_frsize, taken: taken * stat.f_frsize })
    }

    /// Rounded up, as df(1) has it.
    fn percent(self) -> u8 {
        let percent = (self.taken * 100).div_ceil(self.all.max(1));
        u8::try_from(percent).unwrap_or(u8::MAX)
    }

    pub fn free(self) -> u64 {
        self.all.saturating_sub(self.taken)
    }

    /// So many percent of it.
    pub fn part(self, percent: u8) -> u64 {
        self.all / 100 * u64::from(percent)
    }

    /// Bytes that are to go until so many percent are left.
    fn above(self, percent: u8) -> u64 {
        self.taken.saturating_sub(self.part(percent))
    }
}

impl House {
    fn collecting(&self) -> MutexGuard<'_, ()> {
        self.collecting.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container of an image has gone: it was used until now.
    pub fn was_used(&self, image: &str) {
        if let Ok(id) = image.parse() {
            let mut used = self.collecting.used.lock().expect("no holder panics");
            used.insert(id, crate::clock::now());
        }
    }

    /// Writes down when images were used; what a crash takes back is no more
    /// than the last few minutes of it.
    pub fn note_used(&self) -> Result<(), Error> {
        let mut used = self.collecting.used.lock().expect("no holder panics");
        let list: Vec<_> = used.iter().map(|(id, at)| (id.clone(), *at)).collect();
        self.images.note_used(&list)?;
        used.clear();
        Ok(())
    }
}

impl Engine {
    /// The first look, and the next ones.
    pub(crate) fn collect_from_now_on(&self) {
        let options = &self.0.options;
        if options.collect.is_some() || options.build_cache.is_some() {
            self.0.watcher.at(crate::clock::now() + EVERY, Due::Collect);
        }
    }

    pub(crate) fn collect_due(&self) {
        if let Err(error) = self.0.note_used() {
            tracing::warn!(%error, "cannot note which images were used");
        }
        self.collect_if_full();
        self.collect_build_cache();
        self.collect_from_now_on();
    }

    /// Looks at the disk; what is to be done is done behind.
    pub(crate) fn disk_has_changed(&self) {
        if self.0.options.collect.is_some() {
            let engine = self.clone();
            self.0.workers.give(move || engine.collect_if_full());
        }
    }

    /// A build has written down what it came to: there will be a look soon.
    pub(crate) fn cache_has_grown(&self) {
        let options = &self.0.options;
        let wanted = options.collect.is_some() || options.build_cache.is_some();
        if wanted && !self.0.collecting.soon.swap(true, Ordering::Relaxed) {
            self.0.watcher.at(crate::clock::now() + AFTER_BUILD, Due::Grown);
        }
    }

    pub(crate) fn grown_due(&self) {
        self.0.collecting.soon.store(false, Ordering::Relaxed);
        self.collect_if_full();
        self.collect_build_cache();
    }

    fn collect_if_full(&self) {
        let Some(marks) = self.0.options.collect else { return };
        let collected = Disk::of(&self.0.paths.data).and_then(|disk| {
            let full = disk.percent() > marks.above;
            full.then(|| self.collect(false)).transpose()
        });
        match collected {
            Ok(Some(Collected { taken, wanted, images, cached, reclaimed, .. })) => {
                let (images, cached) = (images.len(), cached.len());
                tracing::info!(taken, wanted, images, cached, reclaimed, "cleared the disk");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "cannot clear the disk"),
        }
    }

    /// Removes images that nobody uses, and of the build cache, until the disk
    /// is as free as it is to be, or says what it would.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn collect(&self, dry_run: bool) -> Result<Collected, Error> {
        let house = &self.0;
        let marks = house.options.collect.unwrap_or_default();
        let _alone = house.collecting();
        house.note_used()?;
        let disk = Disk::of(&house.paths.data)?;
        let mut collected =
            Collected { taken: disk.percent(), wanted: marks.down_to, ..Collected::default() };
        if !dry_run {
            collected.reclaimed = house.images.drop_partials(true)?;
        }
        let goes = self.that_may_go(marks.young)?;
        if dry_run {
            self.would_go(goes, disk.above(marks.down_to), &mut collected)?;
            return Ok(collected);
        }
        for one in goes {
            if Disk::of(&house.paths.data)?.above(marks.down_to) == 0 {
                break;
            }
            self.let_go(one, &mut collected)?;
        }
        Ok(collected)
    }

    /// What may go and frees something when all of it goes, in order.
    fn that_may_go(&self, young: Duration) -> Result<Vec<Goes>, Error> {
        let images = &self.0.images;
        let users = |id: &Digest| self.0.users(id);
        let made: HashMap<String, Digest> =
            images.steps()?.into_iter().map(|step| (step.key, step.id)).collect();
        let nanos = Nanos::try_from(young.as_nanos()).unwrap_or(Nanos::MAX);
        let before = crate::clock::now().saturating_sub(nanos);
        let candidates = images.candidates(young, &users)?;
        let mut goes = order(candidates, self.build_cache()?, &made, before);
        let (mut ids, mut steps) = (Vec::new(), Vec::new());
        for one in &goes {
            match one {
                Goes::Image(candidate) => ids.push(candidate.image.id.clone()),
                Goes::Cached(entry) if entry.is_step() => steps.push(entry.id.clone()),
                Goes::Cached(_) => {}
            }
        }
        // What has no layer of its own, or leaves them all with others that
        // stay, is no help.
        let useful = images.that_free(&ids, &steps)?;
        goes.retain(|one| match one {
            Goes::Image(candidate) => useful.contains(&candidate.image.id),
            Goes::Cached(entry) if entry.is_step() => {
                made.get(&entry.id).is_some_and(|id| useful.contains(id))
            }
            Goes::Cached(entry) => entry.size > 0,
        });
        Ok(goes)
    }

    /// Adds to `collected` what would go until so many bytes are free.
    fn would_go(&self, goes: Vec<Goes>, wanted: u64, to: &mut Collected) -> Result<(), Error> {
        let (mut ids, mut steps, mut directories) = (Vec::new(), Vec::new(), 0);
        for one in goes {
            if to.reclaimed >= wanted {
                break;
            }
            match one {
                Goes::Image(candidate) => {
                    ids.push(candidate.image.id.clone());
                    to.images.push(self.0.summary(candidate.image));
                }
                Goes::Cached(entry) => {
                    if entry.is_step() {
                        steps.push(entry.id.clone());
                    } else {
                        directories += entry.size;
                    }
                    to.cached.push(entry);
                }
            }
            to.reclaimed = directories + self.0.images.freed_with(&ids, &steps)?;
        }
        Ok(())
    }

    /// Removes one, unless it has come into use.
    fn let_go(&self, one: Goes, collected: &mut Collected) -> Result<(), Error> {
        let house = &self.0;
        match one {
            Goes::Image(candidate) => {
                let users = |id: &Digest| house.users(id);
                let gone = house.images.collect(&candidate.image.id, &users)?;
                if !gone.deleted.is_empty() {
                    collected.reclaimed += gone.reclaimed;
                    collected.deleted.extend(house.deleted(gone.deleted));
                    collected.images.push(house.summary(candidate.image));
                }
            }
            Goes::Cached(entry) => {
                if let Some(freed) = self.remove_cached(&entry)? {
                    collected.reclaimed += freed;
                    collected.cached.push(entry);
                }
            }
        }
        Ok(())
    }

    /// Keeps an image from being pruned and collected, or lets it.
    ///
    /// # Errors
    /// No such image.
    pub fn pin(&self, reference: &str, pinned: bool) -> Result<(), Error> {
        let house: &Arc<House> = &self.0;
        let id = house.images.lookup(reference)?;
        Ok(house.images.pin(&id, pinned)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_as_df_says_it_is() {
        let disk = Disk { all: 1000, taken: 851 };
        assert_eq!(disk.percent(), 86);
        assert_eq!(disk.above(80), 51);
        assert_eq!(disk.above(90), 0);
        assert_eq!(Disk { all: 0, taken: 0 }.percent(), 0);
    }
}

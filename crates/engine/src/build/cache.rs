//! What earlier builds came to, listed and removed.

use super::{BuildRoom, kept, mounts};
use crate::{Engine, Error, Filters, Nanos, collect::Disk, error::Doing, usage};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Kinds of entries.
const STEP: &str = "regular";
const MOUNT: &str = "exec.cachemount";
const CONTEXT: &str = "source.local";

/// Nanoseconds.
const DAY: u64 = 86_400 * 1_000_000_000;
/// A cache of so many bytes is left alone, however old: BuildKit's 512 MB.
const SMALL: u64 = 512_000_000;

/// One entry of the build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// What it is known by.
    pub id: String,
    /// Of the step before; empty for the first.
    pub parent: String,
    /// `regular`: a step; `exec.cachemount`: a directory of
    /// `RUN --mount=type=cache`; `source.local`: a client's directory, as it
    /// was sent last.
    pub kind: &'static str,
    /// The instruction.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// An image has it, too.
    pub shared: bool,
    /// A step works in it.
    pub in_use: bool,
    /// When it was made.
    pub created: Nanos,
    /// When it served last.
    pub used: Nanos,
    /// How many builds it has served.
    pub uses: u64,
}

/// What a prune took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePruned {
    /// What they were known by.
    pub removed: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

/// How much of the cache is to stay, in bytes; 0 for no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheKeep {
    /// So much stays in any case.
    pub reserved: u64,
    /// No more than this stays beyond that.
    pub most: u64,
    /// So much of the disk is to be free.
    pub free: u64,
}

impl CacheKeep {
    /// How much stays of `all`, with so much free on the disk; none if no
    /// limit was given, and all that is chosen goes.
    ///
    /// Source: BuildKit's `calculateKeepBytes`; but where nothing was asked
    /// for beside free room, and it is there, all stays.
    fn bytes(self, all: u64, free: u64) -> Option<u64> {
        if self == Self::default() {
            return None;
        }
        let most = (self.most > 0).then_some(self.most);
        let excess = self.free.saturating_sub(free);
        let alone = self.most == 0 && self.reserved == 0;
        let fits = (excess > 0 || alone).then(|| all.saturating_sub(excess));
        let keep = most.into_iter().chain(fits).min().unwrap_or(0);
        Some(keep.max(self.reserved))
    }
}

/// Entries that filters of the API choose: `until`, `unused-for`, and those
/// of an entry's own fields.
///
/// # Errors
/// A filter that is not known, or a value that is none.
pub fn choose_cache(filters: Filters) -> Result<impl Fn(&CacheEntry) -> bool, Error> {
    let own = ["id", "parent", "type", "description", "inuse", "shared", "private"];
    filters.only(&[&own[..], &["until", "unused-for"]].concat())?;
    let now = crate::clock::now();
    let until = match filters.until(now)? {
        None => filters.until_of("unused-for", now)?,
        until => until,
    };
    let truth = |name: &str| filters.yes(name);
    let (in_use, shared, private) = (truth("inuse")?, truth("shared")?, truth("private")?);
    Ok(move |entry: &CacheEntry| {
        let flags = in_use.is_none_or(|wanted| entry.in_use == wanted)
            && shared.is_none_or(|wanted| entry.shared == wanted)
            && private.is_none_or(|wanted| entry.shared != wanted);
        let id = filters.values("id").is_empty()
            || filters.values("id").iter().any(|id| entry.id.starts_with(id.as_str()));
        flags
            && id
            && until.is_none_or(|until| entry.used < until)
            && filters.fits("parent", &entry.parent)
            && filters.fits("type", entry.kind)
            && filters.fits("description", &entry.description)
    })
}

impl Engine {
    /// The build cache, the oldest entries first.
    ///
    /// # Errors
    /// What the records or the host said.
    pub fn build_cache(&self) -> Result<Vec<CacheEntry>, Error> {
        let house = &self.0;
        let images: HashSet<_> = house.images.list(true)?.into_iter().map(|i| i.id).collect();
        let mut entries = Vec::new();
        for step in house.images.steps()? {
            entries.push(CacheEntry {
                shared: images.contains(&step.id),
                in_use: false,
                id: step.key,
                parent: step.parent,
                kind: STEP,
                description: step.what,
                size: step.size,
                created: step.created,
                used: step.used,
                uses: step.uses,
            });
        }
        let what = "a directory of RUN --mount=type=cache";
        for mut entry in directories(&self.mounts(), MOUNT, what)? {
            let dir = self.mounts().join(&entry.id);
            entry.in_use = mounts::in_use(&dir);
            let used = fs::metadata(mounts::mark(&dir)).and_then(|mark| mark.modified());
            // Of a daemon that left no marks: since it was made.
            entry.used = used.map_or(entry.created, nanos);
            entries.push(entry);
        }
        let what = "a client's directory, as it was sent last";
        for mut entry in directories(&house.contexts(), CONTEXT, what)? {
            entry.in_use = kept::in_use(&house.contexts().join(&entry.id));
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Lets go what nobody is going to miss: contexts and cache mounts that
    /// were not used for two days, all else after sixty, and the oldest of
    /// what is beyond the cache's part of the disk.
    pub(crate) fn collect_build_cache(&self) {
        let Some(percent) = self.0.options.build_cache else { return };
        let now = crate::clock::now();
        let before = |days: u64| now.saturating_sub(days * DAY);
        let collect = || -> Result<CachePruned, Error> {
            let part = Disk::of(&self.0.paths.data)?.part(percent);
            let mut gone = CachePruned::default();
            let old =
                |entry: &CacheEntry| entry.used < before(if entry.is_step() { 60 } else { 2 });
            let some = CacheKeep { reserved: part.min(SMALL), ..CacheKeep::default() };
            let most = CacheKeep { most: part, ..CacheKeep::default() };
            for pruned in [
                self.prune_build_cache(&old, false, some)?,
                self.prune_build_cache(&|_| true, false, most)?,
            ] {
                gone.removed.extend(pruned.removed);
                gone.reclaimed += pruned.reclaimed;
            }
            Ok(gone)
        };
        match collect() {
            Ok(gone) if gone.removed.is_empty() => {}
            Ok(CachePruned { removed, reclaimed }) => {
                tracing::info!(entries = removed.len(), reclaimed, "collected of the build cache");
            }
            Err(error) => tracing::warn!(%error, "cannot collect of the build cache"),
        }
    }

    fn mounts(&self) -> PathBuf {
        self.0.paths.data.join("build/mounts")
    }

    /// Removes entries that are `chosen`, the longest unused first, until no
    /// more is left than is to be kept. Without `all`, what images have stays.
    ///
    /// # Errors
    /// What the records or the host said.
    pub fn prune_build_cache(
        &self,
        chosen: &dyn Fn(&CacheEntry) -> bool,
        all: bool,
        keep: CacheKeep,
    ) -> Result<CachePruned, Error> {
        let mut entries = self.build_cache()?;
        entries.sort_by_key(|entry| entry.used);
        let counts = |entry: &&CacheEntry| all || !entry.shared;
        let mut left: u64 = entries.iter().filter(counts).map(|entry| entry.size).sum();
        let keep = keep.bytes(left, Disk::of(&self.0.paths.data)?.free());
        let mut pruned = CachePruned::default();
        let room = self.0.room()?;
        let mut steps = Vec::new();
        for entry in entries {
            let enough = keep.is_some_and(|keep| left <= keep);
            let stays = entry.in_use || enough || (entry.shared && !all) || !chosen(&entry);
            if stays {
                continue;
            }
            if entry.is_step() {
                steps.push(entry.id.clone());
                left = left.saturating_sub(entry.size);
                pruned.removed.push(entry.id);
                continue;
            }
            if !self.remove_directory(&entry, &room)? {
                continue;
            }
            pruned.reclaimed += entry.size;
            left = left.saturating_sub(entry.size);
            pruned.removed.push(entry.id);
        }
        pruned.reclaimed += self.0.images.forget_steps(&steps)?;
        Ok(pruned)
    }

    /// Removes one entry; gives the bytes that this freed, none if a build or
    /// a step has begun with it.
    pub(crate) fn remove_cached(&self, entry: &CacheEntry) -> Result<Option<u64>, Error> {
        if entry.is_step() {
            let freed = self.0.images.forget_steps(std::slice::from_ref(&entry.id))?;
            return Ok(Some(freed));
        }
        let went = self.remove_directory(entry, &self.0.room()?)?;
        Ok(went.then_some(entry.size))
    }

    /// The same of one that is no step; says whether it went.
    fn remove_directory(&self, entry: &CacheEntry, room: &BuildRoom) -> Result<bool, Error> {
        if entry.kind == CONTEXT {
            let dir = self.0.contexts().join(&entry.id);
            return kept::forget(&dir, &self.0.paths.data.join("build/rooms"));
        }
        let place = room.place()?;
        let went = mounts::take_away(&self.mounts().join(&entry.id), &place)?;
        if went {
            snapshot::remove(&place)?;
        }
        Ok(went)
    }
}

impl CacheEntry {
    /// Whether it is what an instruction came to, and no directory.
    pub(crate) fn is_step(&self) -> bool {
        self.kind == STEP
    }
}

/// Entries that are directories, in whatever is there of `dir`.
fn directories(dir: &Path, kind: &'static str, what: &str) -> Result<Vec<CacheEntry>, Error> {
    let all = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        all => all.doing("read", dir)?,
    };
    let mut entries = Vec::new();
    for one in all {
        let path = one.doing("read", dir)?.path();
        entries.extend(directory(&path, kind, what)?);
    }
    Ok(entries)
}

/// One of them; none if it went while others were measured.
fn directory(path: &Path, kind: &'static str, what: &str) -> Result<Option<CacheEntry>, Error> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found.doing("look at", path)?,
    };
    let used = found.modified().doing("look at", path)?;
    // Not every file system knows when something was made.
    let made = found.created().unwrap_or(used);
    Ok(Some(CacheEntry {
        id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        parent: String::new(),
        kind,
        description: what.to_owned(),
        size: usage::measure(path),
        shared: false,
        in_use: false,
        created: nanos(made),
        used: nanos(used),
        uses: 0,
    }))
}

fn nanos(time: SystemTime) -> Nanos {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_what_buildkit_would_keep() {
        let keep = |reserved, most, free| CacheKeep { reserved, most, free };
        assert_eq!(keep(0, 0, 0).bytes(100, 50), None);
        assert_eq!(keep(30, 0, 0).bytes(100, 50), Some(30));
        assert_eq!(keep(0, 40, 0).bytes(100, 50), Some(40));
        assert_eq!(keep(30, 20, 0).bytes(100, 50), Some(30));
        // Twenty more are to be free; there is nothing else to make way.
        assert_eq!(keep(0, 0, 70).bytes(100, 50), Some(80));
        assert_eq!(keep(0, 60, 70).bytes(100, 50), Some(60));
        assert_eq!(keep(90, 0, 70).bytes(100, 50), Some(90));
        assert_eq!(keep(0, 0, 40).bytes(100, 50), Some(100));
    }

    #[test]
    fn what_goes_while_the_cache_is_listed_is_no_entry() {
        let dir = tempfile::tempdir().expect("scratch");
        fs::create_dir(dir.path().join("a")).expect("made");
        let listed = directories(dir.path(), MOUNT, "").expect("listed");
        assert_eq!(listed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(directory(&dir.path().join("gone"), MOUNT, "").expect("no failure"), None);
    }

    #[test]
    fn filters_choose_by_what_an_entry_says() {
        let entry = CacheEntry {
            id: "abc".into(),
            parent: String::new(),
            kind: MOUNT,
            description: "d".into(),
            size: 1,
            shared: true,
            in_use: false,
            created: 0,
            used: 0,
            uses: 0,
        };
        let fits = |pairs: &[(&str, &str)]| {
            let filters = pairs.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()]));
            choose_cache(Filters(filters.collect())).expect("known")(&entry)
        };
        assert!(fits(&[]) && fits(&[("type", MOUNT)]) && fits(&[("id", "ab")]));
        assert!(!fits(&[("type", "regular")]) && !fits(&[("id", "bc")]));
        assert!(fits(&[("shared", "true")]) && !fits(&[("private", "true")]));
        assert!(!fits(&[("inuse", "true")]) && fits(&[("until", "1h")]));
        let unknown = Filters([("size".to_owned(), vec!["1".to_owned()])].into());
        assert!(choose_cache(unknown).is_err());
    }
}

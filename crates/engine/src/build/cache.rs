//! What earlier builds came to, listed and removed.

use super::mounts;
use crate::{Engine, Error, Filters, Nanos, error::Doing, usage};
use std::{
    collections::HashSet,
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

/// One entry of the build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// What it is known by.
    pub id: String,
    /// Of the step before; empty for the first.
    pub parent: String,
    /// `regular`: a step; `exec.cachemount`: a directory of
    /// `RUN --mount=type=cache`.
    pub kind: &'static str,
    /// The instruction.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// An image has it, too.
    pub shared: bool,
    /// A step works in it at this moment.
    pub in_use: bool,
    /// When it was made.
    pub created: Nanos,
    /// When it served last.
    pub used: Nanos,
    /// How many builds it has served.
    pub uses: u64,
}

/// How much of the build cache may stay, in bytes; 0 where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheSpace {
    /// So much may stay in any case.
    pub reserved: u64,
    /// No more than this stays.
    pub most: u64,
    /// So much of the disk is to be free.
    pub free: u64,
}

impl CacheSpace {
    /// How much of `total` bytes may stay on a disk with `free` bytes to
    /// spare; nothing where nothing was said.
    ///
    /// Source: BuildKit's `calculateKeepBytes`; where room on the disk was all
    /// that was asked and it is there, nothing goes (BuildKit lets all go).
    fn keep(self, total: u64, free: u64) -> u64 {
        let missing = self.free.saturating_sub(free);
        let most = match (self.most, missing) {
            (0, 0) if self.free > 0 && self.reserved == 0 => total,
            (most, 0) => most,
            (0, missing) => total.saturating_sub(missing),
            (most, missing) => most.min(total.saturating_sub(missing)),
        };
        most.max(self.reserved)
    }
}

/// What a prune took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePruned {
    /// What they were known by.
    pub removed: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
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
                kind: "regular",
                description: step.what,
                size: step.size,
                created: step.created,
                used: step.used,
                uses: step.uses,
            });
        }
        let dir = house.paths.data.join("build/mounts");
        let mounts = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(entries),
            mounts => mounts.doing("read", &dir)?,
        };
        for mount in mounts {
            let mount = mount.doing("read", &dir)?;
            let path = mount.path();
            let found = mount.metadata().doing("look at", &path)?;
            // Not every file system knows when something was made.
            let made = found.created().or_else(|_| found.modified()).doing("look at", &path)?;
            let used = fs::metadata(mounts::mark(&path)).and_then(|mark| mark.modified());
            entries.push(CacheEntry {
                id: mount.file_name().to_string_lossy().into_owned(),
                parent: String::new(),
                kind: "exec.cachemount",
                description: "a directory of RUN --mount=type=cache".into(),
                size: usage::measure(&path),
                shared: false,
                in_use: mounts::in_use(&path),
                created: nanos(made),
                // Of a daemon that left no marks: since it was made.
                used: nanos(used.unwrap_or(made)),
                uses: 0,
            });
        }
        Ok(entries)
    }

    /// Removes entries that `until`, `id` and the like let go, the longest
    /// unused first, until no more is left than may stay. Without `all`, what
    /// images have stays; what a step works in stays always.
    ///
    /// # Errors
    /// A filter that is not known; what the host said.
    pub fn prune_build_cache(
        &self,
        filters: &Filters,
        all: bool,
        space: CacheSpace,
    ) -> Result<CachePruned, Error> {
        filters.only(&[
            "until",
            "unused-for",
            "id",
            "parent",
            "type",
            "description",
            "inuse",
            "shared",
            "private",
        ])?;
        let now = crate::clock::now();
        let until = match filters.until(now)? {
            None => filters.until_of("unused-for", now)?,
            until => until,
        };
        let in_use = filters.yes("inuse")?;
        let shared = filters.yes("shared")?;
        let private = filters.yes("private")?;
        let mut entries = self.build_cache()?;
        entries.sort_by_key(|entry| entry.used);
        let mut left: u64 = entries.iter().map(|entry| entry.size).sum();
        let data = &self.0.paths.data;
        let disk = rustix::fs::statvfs(data).doing("measure the disk of", data)?;
        let keep = space.keep(left, disk.f_bavail.saturating_mul(disk.f_frsize));
        let room = self.0.room()?;
        let mut pruned = CachePruned::default();
        let mut steps = Vec::new();
        for entry in entries {
            let stays = entry.in_use
                || (entry.shared && !all)
                || in_use.is_some_and(|wanted| wanted != entry.in_use)
                || shared.is_some_and(|wanted| wanted != entry.shared)
                || private.is_some_and(|wanted| wanted == entry.shared)
                || until.is_some_and(|until| entry.used >= until)
                || left <= keep && keep > 0
                || !filters.fits("id", &entry.id)
                || !filters.fits("parent", &entry.parent)
                || !filters.fits("type", entry.kind)
                || !filters.fits("description", &entry.description);
            if stays {
                continue;
            }
            if entry.kind == "regular" {
                steps.push(entry.id.clone());
            } else {
                let dir = data.join("build/mounts").join(&entry.id);
                let place = room.place()?;
                if !mounts::take_away(&dir, &place)? {
                    continue;
                }
                snapshot::remove(&place)?;
                pruned.reclaimed += entry.size;
            }
            left = left.saturating_sub(entry.size);
            pruned.removed.push(entry.id);
        }
        pruned.reclaimed += self.0.images.forget_steps(&steps)?;
        Ok(pruned)
    }
}

fn nanos(time: SystemTime) -> Nanos {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stay_is_what_every_wish_allows() {
        let keep = |reserved, most, free| CacheSpace { reserved, most, free }.keep(100, 30);
        assert_eq!(keep(0, 0, 0), 0, "all goes");
        assert_eq!(keep(40, 0, 0), 40);
        assert_eq!(keep(0, 60, 0), 60);
        assert_eq!(keep(70, 60, 0), 70, "what is reserved outranks the most");
        assert_eq!(keep(0, 0, 30), 100, "there is room");
        assert_eq!(keep(0, 0, 50), 80);
        assert_eq!(keep(0, 60, 50), 60);
        assert_eq!(keep(0, 90, 50), 80);
        assert_eq!(keep(95, 90, 50), 95);
        assert_eq!(keep(0, 0, 500), 0);
    }
}

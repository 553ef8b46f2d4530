//! What earlier builds came to, listed and removed.

use crate::{Engine, Error, Filters, Nanos, error::Doing, usage};
use std::{collections::HashSet, fs};

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
            let time = mount.metadata().and_then(|meta| meta.modified()).doing("look at", &path)?;
            let time = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let time = u64::try_from(time.as_nanos()).unwrap_or(0);
            entries.push(CacheEntry {
                id: mount.file_name().to_string_lossy().into_owned(),
                parent: String::new(),
                kind: "exec.cachemount",
                description: "a directory of RUN --mount=type=cache".into(),
                size: usage::measure(&path)?,
                shared: false,
                created: time,
                used: time,
                uses: 0,
            });
        }
        Ok(entries)
    }

    /// Removes entries that `until`, `id` and the like let go, the longest
    /// unused first, until no more than `keep` bytes are left. Without `all`,
    /// what images have stays.
    ///
    /// # Errors
    /// A filter that is not known; what the host said.
    pub fn prune_build_cache(
        &self,
        filters: &Filters,
        all: bool,
        keep: u64,
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
        let mut entries = self.build_cache()?;
        entries.sort_by_key(|entry| entry.used);
        let mut left: u64 = entries.iter().map(|entry| entry.size).sum();
        let mut pruned = CachePruned::default();
        let mut steps = Vec::new();
        for entry in entries {
            let dir = self.0.paths.data.join("build/mounts").join(&entry.id);
            let used = entry.kind != "regular" && super::mounts::in_use(&dir);
            let stays = used
                || (entry.shared && !all)
                || until.is_some_and(|until| entry.used >= until)
                || left <= keep && keep > 0
                || !filters.fits("id", &entry.id)
                || !filters.fits("parent", &entry.parent)
                || !filters.fits("type", entry.kind)
                || !filters.fits("description", &entry.description);
            if stays {
                continue;
            }
            left = left.saturating_sub(entry.size);
            if entry.kind == "regular" {
                steps.push(entry.id.clone());
            } else {
                snapshot::remove(&dir)?;
                pruned.reclaimed += entry.size;
            }
            pruned.removed.push(entry.id);
        }
        pruned.reclaimed += self.0.images.forget_steps(&steps)?;
        Ok(pruned)
    }
}

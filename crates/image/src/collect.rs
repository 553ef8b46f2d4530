//! Which images may go when the disk is full, and in which order.
//!
//! Nobody's image goes that a container has, in whatever state it is, nor one
//! that is pinned, nor one that came a moment ago and may be about to be used,
//! nor one with a name that no registry is known to have: it could not be had
//! again.
//! Of the others those go first that have not been used for longest.

use crate::{Error, Pruned, Store, Summary, removal::Users, store::now};
use spec::Digest;
use std::time::Duration;

/// An image that may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The image.
    pub image: Summary,
    /// When a container of it was there last, or a name was given to it;
    /// nanoseconds since the epoch.
    pub used: u64,
}

impl Store {
    /// Keeps an image from being pruned and collected, or lets it.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn pin(&self, id: &Digest, pinned: bool) -> Result<(), Error> {
        self.row(id)?;
        self.records.pin(id, pinned)
    }

    /// Whether an image is kept so.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn is_pinned(&self, id: &Digest) -> Result<bool, Error> {
        Ok(self.records.marks()?.get(id).is_some_and(|mark| mark.pinned))
    }

    /// Notes when images were used last.
    ///
    /// # Errors
    /// The records cannot be written.
    pub fn note_used(&self, used: &[(Digest, u64)]) -> Result<(), Error> {
        if used.is_empty() { Ok(()) } else { self.records.note_used(used) }
    }

    /// What may go, that first which is to go first. What came or was used
    /// within `young` is not among it.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn candidates(&self, young: Duration, users: Users<'_>) -> Result<Vec<Candidate>, Error> {
        let marks = self.records.marks()?;
        let young = u64::try_from(young.as_nanos()).unwrap_or(u64::MAX);
        let before = now().saturating_sub(young);
        let mut found = Vec::new();
        for image in self.list(true)? {
            let mark = marks.get(&image.id).copied().unwrap_or_default();
            let used = mark.used.max(image.tagged);
            let only_here = !image.repo_tags.is_empty() && image.repo_digests.is_empty();
            if !mark.pinned && !only_here && used <= before && users(&image.id).is_empty() {
                found.push(Candidate { image, used });
            }
        }
        found.sort_by_key(|candidate| candidate.used);
        // Children before what they were made from.
        let mut sorted: Vec<Candidate> = Vec::with_capacity(found.len());
        while !found.is_empty() {
            let parents: Vec<Digest> =
                found.iter().filter_map(|candidate| candidate.image.parent.clone()).collect();
            let Some(at) = found.iter().position(|c| !parents.contains(&c.image.id)) else { break };
            sorted.push(found.remove(at));
        }
        Ok(sorted)
    }

    /// Bytes that are free when all of these images have gone.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn freed_with(&self, ids: &[Digest]) -> Result<u64, Error> {
        self.records.freed_with(ids)
    }

    /// Removes one candidate, unless it has come into use meanwhile.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn collect(&self, id: &Digest, users: Users<'_>) -> Result<Pruned, Error> {
        if self.is_pinned(id)? {
            return Ok(Pruned::default());
        }
        self.take_out(id, users)
    }
}

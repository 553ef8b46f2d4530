//! Which images may go when the disk is full, and in which order.
//!
//! Nobody's image goes that a container has, in whatever state it is, nor one
//! that is pinned, nor one that came a moment ago and may be about to be used,
//! nor one that could not be had again: each name must be of a repository that
//! is known to have it, and one without names must be what a registry has or
//! the build cache still knows.
//! Of the others those go first that have not been used for longest.

use crate::{Error, Pruned, Store, Summary, records::Name, removal::Users, store::now};
use spec::Digest;
use std::{collections::HashSet, time::Duration};

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
        let steps = self.records.step_ids()?;
        let mut found = Vec::new();
        for image in self.list(true)? {
            let mark = marks.get(&image.id).copied().unwrap_or_default();
            let used = mark.used.max(image.tagged);
            let again = can_be_had(&self.records.names(&image.id)?, steps.contains(&image.id));
            if !mark.pinned && again && used <= before && users(&image.id).is_empty() {
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

    /// Those of the images, and of what these steps of the build cache came
    /// to, without which more of the disk stays taken when all the others
    /// have gone. Steps are given by their keys.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn that_free(&self, ids: &[Digest], steps: &[String]) -> Result<HashSet<Digest>, Error> {
        self.records.that_free(ids, steps)
    }

    /// Bytes that are free when all of these images and steps have gone.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn freed_with(&self, ids: &[Digest], steps: &[String]) -> Result<u64, Error> {
        self.records.freed_with(ids, steps)
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

/// Whether an image of these names would come again under each of them; one
/// without any, whether the build cache knows it.
fn can_be_had(names: &[Name], cached: bool) -> bool {
    let known: HashSet<String> = names
        .iter()
        .filter(|name| !name.is_tag())
        .map(|name| name.reference().repository())
        .collect();
    match names {
        [] => cached,
        names => names.iter().all(|name| known.contains(&name.reference().repository())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_goes_only_if_it_comes_again_under_all_its_names() {
        let digest = Digest::from_sha256([7; 32]);
        let tag = |name: &str| Name::Tag(name.parse().expect(name));
        let known = |name: &str| {
            let name: spec::Reference = name.parse().expect(name);
            Name::Manifest(name.with_digest(digest.clone()))
        };
        assert!(can_be_had(&[tag("alpine:3"), known("alpine")], false));
        assert!(can_be_had(&[known("alpine")], false));
        assert!(!can_be_had(&[tag("alpine:3"), tag("corp/base:1"), known("alpine")], true));
        assert!(!can_be_had(&[tag("made:1")], true));
        // Without a name: made here, and nobody has it.
        assert!(!can_be_had(&[], false));
        assert!(can_be_had(&[], true));
    }
}

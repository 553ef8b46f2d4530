//! `rmi` and `prune`: names go, then what only they kept.
//!
//! The rules and words are Docker's. A name that is given goes, and the image
//! with its last; an id that is given takes all names of one repository with
//! it. Running containers and images made from it forbid the end of an image;
//! stopped containers and names in several repositories only without `force`.
//! Stopped containers of an image that was forced away keep its layers: the
//! last of them takes them along.

use crate::{Deleted, Error, Pruned, Store, Summary, records::Name, store::chain_ids};
use spec::{Digest, Reference};
use std::{collections::HashSet, sync::PoisonError};
use sys::fail::{Point, point};

/// Gives each container of an image: its id, and whether it runs.
pub(crate) type Users<'a> = &'a dyn Fn(&Digest) -> Vec<(String, bool)>;

/// What stands against the end of an image.
struct Objection {
    text: String,
    /// Not even `force` helps.
    hard: bool,
    /// A container uses it.
    used: bool,
}

/// What may stand against it.
#[derive(Clone, Copy)]
struct Mind {
    stopped: bool,
    names: bool,
}

/// Names go with the image, in the same moment or not at all; a container
/// keeps it.
const NAMES_GO: Mind = Mind { stopped: true, names: false };

/// A name that somebody has given an image for a time.
#[derive(Clone, Debug)]
pub struct Given {
    name: Reference,
    id: Digest,
    /// Nanoseconds since the epoch; a name that is given anew changes it.
    tagged: u64,
}

/// One removal: what was done, and what was freed.
struct Work<'a> {
    store: &'a Store,
    users: Users<'a>,
    done: Vec<Deleted>,
    freed: Vec<(Digest, u64)>,
    /// Manifests that an image was known by.
    manifests: Vec<Digest>,
}

impl Store {
    /// Takes a name away, and the image with its last. `users` gives each
    /// container of an image: its id, and whether it runs.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Conflict`] by Docker's rules.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        prune: bool,
        users: Users<'_>,
    ) -> Result<Vec<Deleted>, Error> {
        let id = self.lookup(text)?;
        let mut work = Work::new(self, users);
        work.remove(&id, text, force, prune)?;
        work.finish().map(|pruned| pruned.deleted)
    }

    /// Remembers a name that an image was given just now.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn given(&self, name: &Reference, id: &Digest) -> Result<Given, Error> {
        let name = name.clone().or_latest();
        Ok(Given { name, id: id.clone(), tagged: self.row(id)?.tagged })
    }

    /// Takes a name back, and the image with its last. Nothing goes if
    /// somebody else has given the image a name since, this one or another,
    /// or has a container of it.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn take_back(&self, given: &Given, users: Users<'_>) -> Result<Vec<Deleted>, Error> {
        let Given { name, id, tagged } = given;
        if !users(id).is_empty() || !self.records.take_name(name, id, *tagged)? {
            return Ok(Vec::new());
        }
        let mut work = Work::new(self, users);
        work.done.push(Deleted::Untagged(name.familiar()));
        work.without(name, id, Mind { stopped: true, names: true }, false)?;
        work.finish().map(|pruned| pruned.deleted)
    }

    /// Removes the images that `go` says may go, and that neither a container
    /// (`users`) nor another image needs. Those that are pinned stay. Parts of
    /// blobs that nobody brings just now go, too.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn prune(&self, go: &dyn Fn(&Summary) -> bool, users: Users<'_>) -> Result<Pruned, Error> {
        let parts = self.drop_partials(true)?;
        let mut work = Work::new(self, users);
        let marks = self.records.marks()?;
        for image in self.list(true)? {
            if marks.get(&image.id).is_some_and(|mark| mark.pinned) {
                continue;
            }
            let needed =
                !users(&image.id).is_empty() || !self.records.children(&image.id)?.is_empty();
            // It may have gone with a child.
            if needed || !go(&image) || self.records.row(&image.id)?.is_none() {
                continue;
            }
            work.end(&image.id, NAMES_GO, true, true)?;
        }
        let pruned = work.finish()?;
        Ok(Pruned { reclaimed: pruned.reclaimed + parts, ..pruned })
    }
}

impl Store {
    /// Removes one image with all its names, if neither a container (`users`)
    /// nor another image needs it; else nothing.
    pub(crate) fn take_out(&self, id: &Digest, users: Users<'_>) -> Result<Pruned, Error> {
        let mut work = Work::new(self, users);
        if users(id).is_empty() && self.records.children(id)?.is_empty() {
            work.end(id, NAMES_GO, false, true)?;
        }
        work.finish()
    }

    /// Gives up the layers that an image left to its containers, if `users`
    /// says that the last has gone.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn release(&self, id: &Digest, users: Users<'_>) -> Result<(), Error> {
        if !self.records.is_held(id)? || !users(id).is_empty() {
            return Ok(());
        }
        let freed = self.records.release(id)?;
        let layers: Vec<Digest> = freed.into_iter().map(|(diff_id, _)| diff_id).collect();
        self.content.drop_layers(&layers, |diff_id| self.records.needs(diff_id))
    }

    /// The same for all images: containers may have gone while nobody looked.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn release_all(&self, users: Users<'_>) -> Result<(), Error> {
        self.records.held()?.iter().try_for_each(|id| self.release(id, users))
    }

    /// Forgets an image that cannot be used, and all that only it needs.
    pub(crate) fn forget(&self, id: &Digest, users: Users<'_>) -> Result<(), Error> {
        let removing = self.content.removing();
        let alone = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((container, _)) = users(id).first() {
            let text = format!("container {} has begun to use {}", short(container), id.short());
            return Err(Error::Conflict(text));
        }
        let freed = self.records.remove(id, false)?;
        self.content.drop_blob(id)?;
        drop((removing, alone));
        let layers: Vec<Digest> = freed.into_iter().map(|(diff_id, _)| diff_id).collect();
        self.content.drop_layers(&layers, |diff_id| self.records.needs(diff_id))
    }
}

impl<'a> Work<'a> {
    fn new(store: &'a Store, users: Users<'a>) -> Self {
        Self { store, users, done: Vec::new(), freed: Vec::new(), manifests: Vec::new() }
    }

    fn remove(&mut self, id: &Digest, text: &str, force: bool, prune: bool) -> Result<(), Error> {
        let names = self.store.records.names(id)?;
        if is_id(id, text) {
            let names = !force && !is_single(&names);
            return self.end(id, Mind { stopped: !force, names }, prune, false);
        }
        if !force
            && is_single(&names)
            && let Some((container, _)) = (self.users)(id).first()
        {
            return Err(Error::Conflict(format!(
                "unable to remove repository reference {text:?} (must force) - container {} is using its referenced image {}",
                short(container),
                id.short()
            )));
        }
        let name = text.parse::<Reference>()?.or_latest();
        let name = match name.digest() {
            Some(digest) => name.with_digest(digest.clone()),
            None => name,
        };
        let gone: Vec<Name> =
            names.iter().filter(|own| *own.reference() == name).cloned().collect();
        self.untag(&gone)?;
        self.without(&name, id, Mind { stopped: !force, names: !force }, prune)
    }

    /// A name has gone: so do digests that nothing else keeps, and the image
    /// if it has no other.
    fn without(
        &mut self,
        name: &Reference,
        id: &Digest,
        mind: Mind,
        prune: bool,
    ) -> Result<(), Error> {
        let mut left = self.store.records.names(id)?;
        let same = |own: &Name| own.reference().repository() == name.repository();
        if name.digest().is_none() && !left.iter().any(|own| own.is_tag() && same(own)) {
            // The last tag of a repository takes its digests along.
            let (digests, rest): (Vec<Name>, Vec<Name>) = left.into_iter().partition(same);
            self.untag(&digests)?;
            left = rest;
        }
        if left.is_empty() { self.end(id, mind, prune, true) } else { Ok(()) }
    }

    /// Removes the image itself. With `quiet`, what stands against it is no
    /// error while something still has a use for it.
    fn end(&mut self, id: &Digest, mind: Mind, prune: bool, quiet: bool) -> Result<(), Error> {
        // Whoever adds the same image meanwhile finds all of it or nothing,
        // and who makes a container of it finds the image or that it is gone.
        let store = self.store;
        let removing = store.content.removing();
        let alone = store.in_use.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(objection) = self.objection(id, mind)? {
            let dangling = self.store.records.names(id)?.is_empty()
                && self.store.records.children(id)?.is_empty();
            if quiet && (!dangling || objection.used) {
                return Ok(());
            }
            return Err(objection.about(id));
        }
        let row = self.store.row(id)?;
        let layers = self.store.records.layers(id)?;
        let names = self.store.records.names(id)?;
        self.untag(&names)?;
        let held = !(self.users)(id).is_empty();
        let freed = self.store.records.remove(id, held)?;
        point(Point::Forgotten);
        let steps = self.store.records.step_ids()?;
        // A build that goes on from it removes it at its end.
        if !steps.contains(id) && !self.store.is_draft(id) {
            self.store.content.drop_blob(id)?;
        }
        drop((removing, alone));
        if held {
            // They may have gone since.
            self.store.release(id, self.users)?;
        }
        self.done.push(Deleted::Deleted(id.to_string()));
        let mut kept = HashSet::new();
        for held in self.store.records.held()? {
            kept.extend(chain_ids(&self.store.records.layers(&held)?));
        }
        for other in self.store.records.rows()? {
            kept.extend(chain_ids(&self.store.records.layers(&other.id)?));
        }
        for step in &steps {
            kept.extend(chain_ids(&self.store.records.layers(step)?));
        }
        let chain = chain_ids(&layers);
        let gone = chain.iter().rev().filter(|chain| !kept.contains(*chain));
        self.done.extend(gone.map(|chain| Deleted::Deleted(chain.to_string())));
        self.freed.extend(freed);
        match row.parent {
            Some(parent) if prune && self.store.records.row(&parent)?.is_some() => {
                self.end(&parent, Mind { stopped: true, names: true }, true, true)
            }
            _ => Ok(()),
        }
    }

    fn objection(&self, id: &Digest, mind: Mind) -> Result<Option<Objection>, Error> {
        let because = |text: String, hard, used| Ok(Some(Objection { text, hard, used }));
        if !self.store.records.children(id)?.is_empty() {
            return because("image has dependent child images".into(), true, false);
        }
        let users = (self.users)(id);
        if let Some((container, _)) = users.iter().find(|(_, runs)| *runs) {
            let text = format!("image is being used by running container {}", short(container));
            return because(text, true, true);
        }
        if mind.names && !self.store.records.names(id)?.is_empty() {
            return because("image is referenced in multiple repositories".into(), false, false);
        }
        if mind.stopped
            && let Some((container, _)) = users.first()
        {
            let text = format!("image is being used by stopped container {}", short(container));
            return because(text, false, true);
        }
        Ok(None)
    }

    fn untag(&mut self, names: &[Name]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        self.store.records.untag(names)?;
        self.manifests.extend(names.iter().filter_map(|name| name.reference().digest().cloned()));
        self.done.extend(names.iter().map(|n| Deleted::Untagged(n.reference().familiar())));
        Ok(())
    }

    /// Removes the files that no record needs any more.
    fn finish(self) -> Result<Pruned, Error> {
        let layers: Vec<Digest> = self.freed.iter().map(|(diff_id, _)| diff_id.clone()).collect();
        let removing = self.store.content.removing();
        let (_, needed) = self.store.records.content()?;
        for manifest in self.manifests.iter().filter(|m| !needed.contains(m.hex())) {
            self.store.content.drop_blob(manifest)?;
        }
        drop(removing);
        self.store.content.drop_layers(&layers, |diff_id| self.store.records.needs(diff_id))?;
        let reclaimed = self.freed.iter().map(|(_, size)| size).sum();
        Ok(Pruned { deleted: self.done, reclaimed })
    }
}

impl Objection {
    fn about(self, id: &Digest) -> Error {
        let way = if self.hard { "cannot be forced" } else { "must be forced" };
        Error::Conflict(format!("unable to delete {} ({way}) - {}", id.short(), self.text))
    }
}

/// Whether the image was named by its id, or the beginning of it.
fn is_id(id: &Digest, text: &str) -> bool {
    id.as_str().starts_with(text) || id.hex().starts_with(text)
}

/// Whether the names are all one repository's, with one tag at most.
fn is_single(names: &[Name]) -> bool {
    let Some(first) = names.first() else { return true };
    let repository = first.reference().repository();
    names.len() == 1
        || (names.iter().all(|name| name.reference().repository() == repository)
            && names.iter().filter(|name| name.is_tag()).count() <= 1)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

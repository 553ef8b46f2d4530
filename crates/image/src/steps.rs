//! What builds come to, step by step.
//!
//! A build holds a [`Making`]. Every state that it reaches is a configuration
//! and a stack of layers, as an image is; while the build runs it is a draft,
//! which containers can be made from and which no record names. At the end
//! one transaction writes down what stays: images, and *steps* (what an
//! instruction came to, by a key that holds all that went into it). Steps
//! outlive the images; they are the build cache. What is not written down
//! goes with the [`Making`].

use crate::{
    Error, Store,
    archive::json,
    content::{Figures, Lease, Taken},
    store::now,
};
use spec::{Digest, Reference, image::ImageConfig};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// A layer that a build made or builds on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub(crate) diff_id: Digest,
    pub(crate) figures: Figures,
}

impl Layer {
    /// Digest of its tar.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Bytes of its files.
    pub fn size(&self) -> u64 {
        self.figures.size
    }
}

/// How far a stage has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Digest of the configuration.
    pub id: Digest,
    /// As an image of it would have it.
    pub config: ImageConfig,
    /// Lowest first.
    pub layers: Vec<Layer>,
}

/// One entry of the build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Digest of all that went in.
    pub key: String,
    /// Key of the step before; empty for the first.
    pub parent: String,
    /// What it came to.
    pub id: Digest,
    /// The instruction.
    pub what: String,
    /// Bytes of the layer it made; 0 if none.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub created: u64,
    /// Nanoseconds since the epoch.
    pub used: u64,
    /// How many builds it has served.
    pub uses: u64,
}

/// An image that stays.
#[derive(Clone, Debug)]
pub struct Kept<'a> {
    /// It.
    pub draft: &'a Draft,
    /// What it was made from, if that is to be remembered.
    pub parent: Option<Digest>,
    /// Its names.
    pub names: &'a [Reference],
}

/// A build's hold on the store.
pub struct Making<'a> {
    store: &'a Store,
    lease: Mutex<Lease<'a>>,
    drafts: Mutex<BTreeSet<Digest>>,
    /// Content was made that no record had before.
    fresh: std::sync::atomic::AtomicBool,
}

impl Store {
    /// Begins a build.
    pub fn making(&self) -> Making<'_> {
        Making {
            store: self,
            lease: Mutex::new(self.content.lease()),
            drafts: Mutex::default(),
            fresh: false.into(),
        }
    }

    /// All entries of the build cache, the oldest first.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn steps(&self) -> Result<Vec<Step>, Error> {
        self.records.steps()
    }

    /// Removes the entries of the build cache whose keys are given; gives
    /// back how many bytes of layers that freed.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn forget_steps(&self, keys: &[String]) -> Result<u64, Error> {
        let (ids, freed) = self.records.forget_steps(keys)?;
        self.drop_freed(&ids, &freed)?;
        Ok(freed.iter().map(|(_, size)| size).sum())
    }

    /// Removes the files of what the records let go.
    fn drop_freed(&self, ids: &[Digest], freed: &[(Digest, u64)]) -> Result<(), Error> {
        let layers: Vec<Digest> = freed.iter().map(|(diff_id, _)| diff_id.clone()).collect();
        self.content.drop_layers(&layers, |diff_id| self.records.needs(diff_id))?;
        self.drop_documents(ids)
    }

    /// Removes configurations, but for those that a record names by now or a
    /// build has.
    fn drop_documents(&self, ids: &[Digest]) -> Result<(), Error> {
        let _removing = self.content.removing();
        for id in ids {
            if !self.is_draft(id) && !self.records.names_document(id)? {
                self.content.drop_blob(id)?;
            }
        }
        Ok(())
    }

    /// Whether a build under way has a configuration. It may come to have it
    /// unless the caller holds [`Content::removing`](crate::content::Content).
    pub(crate) fn is_draft(&self, id: &Digest) -> bool {
        let drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.contains_key(id)
    }

    /// The layers of a draft of some build under way.
    pub(crate) fn draft_layers(&self, id: &Digest) -> Option<Vec<PathBuf>> {
        let drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.get(id).map(|(layers, _)| layers.clone())
    }
}

impl<'a> Making<'a> {
    /// What stands for the state before the first instruction of a stage that
    /// begins with nothing; no configuration has this digest.
    pub fn nothing() -> Digest {
        Digest::from_sha256([0; 32])
    }

    /// An image of the store, to build on.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn image(&self, id: &Digest) -> Result<Draft, Error> {
        // Until it is announced it may not go.
        let _adding = self.store.content.adding();
        let config = self.store.config(id)?;
        let layers = self.store.records.layers(id)?;
        if layers.is_empty() && !config.rootfs.diff_ids.is_empty() {
            return Err(Error::Missing(id.to_string()));
        }
        let layers = layers
            .into_iter()
            .map(|(diff_id, figures)| {
                self.hold(&diff_id)?.ok_or_else(|| Error::Missing(diff_id.to_string()))?;
                Ok(Layer { diff_id, figures })
            })
            .collect::<Result<_, Error>>()?;
        let draft = Draft { id: id.clone(), config, layers };
        self.announce(&draft);
        Ok(draft)
    }

    /// What a root holds above its layers, as one more; none if that is
    /// nothing.
    ///
    /// # Errors
    /// What the host said.
    pub fn pack(&self, root: &snapshot::Root) -> Result<Option<Layer>, Error> {
        // Not under our lock: stages pack at the same time.
        let mut lease = self.store.content.lease();
        let taken = self.store.content.take_packed(&mut lease, |out| {
            root.pack(out).map_err(|e| match e {
                snapshot::Error::Output(e) => Error::Input(e),
                source => Error::Snapshot { doing: "pack a step's changes", source },
            })
        });
        self.lease().absorb(lease);
        Ok(self.layer(taken?))
    }

    /// The same of a root that is of no further use: where its files can
    /// become the layer as they are, they do.
    ///
    /// # Errors
    /// What the host said.
    pub fn take_over(&self, root: &snapshot::Root) -> Result<Option<Layer>, Error> {
        let mut lease = self.store.content.lease();
        let taken = self.store.content.take_over(&mut lease, root);
        self.lease().absorb(lease);
        match taken? {
            Some(taken) => Ok(self.layer(taken)),
            None => self.pack(root),
        }
    }

    /// One layer that comes to what `layers` do above `below`; none if that
    /// is nothing.
    ///
    /// # Errors
    /// What the host said.
    pub fn merge(&self, below: &[Layer], layers: &[Layer]) -> Result<Option<Layer>, Error> {
        if let [] | [_] = layers {
            return Ok(layers.first().cloned());
        }
        let mut lease = self.store.content.lease();
        let taken = self.store.content.take_packed(&mut lease, |out| {
            snapshot::merge(&self.dirs_of(below), &self.dirs_of(layers), out).map_err(|e| match e {
                snapshot::Error::Output(e) => Error::Input(e),
                source => Error::Snapshot { doing: "merge layers", source },
            })
        });
        self.lease().absorb(lease);
        Ok(self.layer(taken?))
    }

    fn layer(&self, taken: Taken) -> Option<Layer> {
        self.fresh.store(true, std::sync::atomic::Ordering::Relaxed);
        let empty = taken.figures.entries == 0;
        (!empty).then_some(Layer { diff_id: taken.diff_id, figures: taken.figures })
    }

    /// A state that a stage has reached: its layers' digests are put into
    /// the configuration.
    ///
    /// # Errors
    /// What the host said.
    pub fn draft(&self, mut config: ImageConfig, layers: Vec<Layer>) -> Result<Draft, Error> {
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let _adding = self.store.content.adding();
        let id = self.store.content.put(&json(&config))?;
        self.fresh.store(true, std::sync::atomic::Ordering::Relaxed);
        let draft = Draft { id, config, layers };
        self.announce(&draft);
        Ok(draft)
    }

    /// What a step came to before, if that is still here.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn recall(&self, key: &str) -> Result<Option<Draft>, Error> {
        let Some(id) = self.store.records.step(key)? else { return Ok(None) };
        match self.image(&id) {
            Err(Error::Missing(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Directories of a draft's layers, lowest first.
    pub fn dirs(&self, draft: &Draft) -> Vec<PathBuf> {
        self.dirs_of(&draft.layers)
    }

    fn dirs_of(&self, layers: &[Layer]) -> Vec<PathBuf> {
        let dir = |layer: &Layer| self.store.content.layer(&layer.diff_id);
        layers.iter().map(|layer| dir(layer).join(snapshot::LAYER_ROOT)).collect()
    }

    /// Writes down what stays. `made` and `used` are new steps, and keys of
    /// those that served again.
    ///
    /// # Errors
    /// What the host or the data base said.
    pub fn keep(
        &self,
        made: &[(Step, Draft)],
        used: &[String],
        images: &[Kept<'_>],
    ) -> Result<(), Error> {
        // From here to the record no document goes.
        let adding = self.store.content.adding();
        let drafts = made.iter().map(|(_, draft)| draft).chain(images.iter().map(|k| k.draft));
        for draft in drafts {
            if self.store.content.has(&draft.id) {
                continue;
            }
            // A hand has removed it.
            if self.store.content.put(&json(&draft.config))? != draft.id {
                return Err(Error::Missing(draft.id.to_string()));
            }
            self.fresh.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        if self.fresh.load(std::sync::atomic::Ordering::Relaxed) {
            self.store.content.settle()?;
        }
        let (ids, freed) = self.store.records.keep_steps(made, used, images, now())?;
        drop(adding);
        self.store.drop_freed(&ids, &freed)
    }

    fn announce(&self, draft: &Draft) {
        let mut drafts = self.store.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.own().insert(draft.id.clone()) {
            let dirs = self.dirs_of(&draft.layers);
            drafts.entry(draft.id.clone()).or_insert((dirs, 0)).1 += 1;
        }
    }

    fn hold(&self, diff_id: &Digest) -> Result<Option<Figures>, Error> {
        self.lease().take(diff_id)
    }

    fn lease(&self) -> std::sync::MutexGuard<'_, Lease<'a>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let own = std::mem::take(&mut *self.own());
        let mut alone = Vec::new();
        {
            let mut drafts = self.store.drafts.lock().unwrap_or_else(PoisonError::into_inner);
            for id in own {
                if let Some((_, builds)) = drafts.get_mut(&id) {
                    *builds -= 1;
                    if *builds == 0 {
                        drafts.remove(&id);
                        alone.push(id);
                    }
                }
            }
        }
        let held = self.lease().held().to_vec();
        self.lease().release();
        let needs = |diff_id: &Digest| self.store.records.needs(diff_id);
        // What cannot be removed now is swept at the next start.
        let _ = self.store.content.drop_layers(&held, needs);
        let _ = self.store.drop_documents(&alone);
    }
}

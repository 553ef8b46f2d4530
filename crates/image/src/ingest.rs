//! Content that comes in piece by piece and from several threads, as a
//! registry gives it: layers in any order, then the documents, then the names.
//!
//! ```text
//!   Store::ingest ─▶ Ingest ── has, layer (any thread, any order)
//!                       │
//!                       └───── finish: configuration, manifest, names
//! ```
//!
//! What was taken in stays until the ingest ends; then what no image claims
//! goes again, whether it ended well or not.

use crate::{
    Error, Store,
    content::{Figures, Lease},
    records::{Blob, New, Row},
    store::{nanos, now},
};
use spec::{Digest, Reference, image::ImageConfig};
use std::{
    collections::HashMap,
    io::{self, Read},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// One image on its way in. Threads may share it.
pub struct Ingest<'a> {
    pub(crate) store: &'a Store,
    taken: Mutex<Taken<'a>>,
}

struct Taken<'a> {
    lease: Lease<'a>,
    layers: HashMap<Digest, Figures>,
}

/// All that is known at the end of an ingest.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The configuration, as it came.
    pub config: &'a [u8],
    /// What the registry's name pointed to, as it came: a manifest or index.
    pub manifest: &'a [u8],
    /// Where it came from; it names the image, too, if it has a tag.
    pub reference: &'a Reference,
    /// The layers as the registry holds them, of those that are known to be
    /// what it says.
    pub blobs: &'a [Blob],
}

impl Store {
    /// Takes an image in by pieces.
    ///
    /// # Errors
    /// Those of `operation`; what the host said.
    pub fn ingest<T, E: From<Error>>(
        &self,
        operation: impl FnOnce(&Ingest<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let taken = Taken { lease: self.content.lease(), layers: HashMap::new() };
        let ingest = Ingest { store: self, taken: Mutex::new(taken) };
        let done = operation(&ingest);
        let taken = ingest.taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        let held = taken.lease.held().to_vec();
        drop(taken);
        let swept = self.content.drop_layers(&held, |diff_id| self.records.needs(diff_id));
        let done = done?;
        swept?;
        Ok(done)
    }
}

impl<'a> Ingest<'a> {
    fn taken(&self) -> MutexGuard<'_, Taken<'a>> {
        // No holder leaves it half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the layer is here; if so, it stays until the end.
    ///
    /// # Errors
    /// What the host said.
    pub fn has(&self, diff_id: &Digest) -> Result<bool, Error> {
        let mut taken = self.taken();
        let figures = taken.lease.take(diff_id)?;
        if let Some(figures) = figures {
            taken.layers.insert(diff_id.clone(), figures);
        }
        Ok(figures.is_some())
    }

    /// Whether a blob is known to be the layer: it was read and compared
    /// before, wherever it came from.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn is_blob(&self, diff_id: &Digest, blob: &Digest) -> Result<bool, Error> {
        Ok(self.store.records.blobs(diff_id)?.iter().any(|known| known.digest == *blob))
    }

    /// An image's configuration, if the image is here.
    ///
    /// # Errors
    /// What the host said.
    pub fn config(&self, id: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Store { content, records, .. } = self.store;
        if records.row(id)?.is_none() {
            return Ok(None);
        }
        match content.get(id) {
            Ok(bytes) => Ok(Some(bytes)),
            // It was removed a moment ago.
            Err(Error::Host { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes in the layer whose plain tar shall have this digest, from a
    /// stream (gzip, zstd or plain).
    ///
    /// # Errors
    /// It is another layer; hostile or broken; what the host said.
    pub fn layer(&self, diff_id: &Digest, from: &mut dyn Read) -> Result<(), Error> {
        let mut lease = self.store.content.lease();
        let took = self.store.content.take_layer(from, &mut lease)?;
        // Kept or not, the end of the ingest knows of it.
        let mut taken = self.taken();
        taken.lease.absorb(lease);
        if took.diff_id != *diff_id {
            return Err(Error::Digest { expected: diff_id.clone(), found: took.diff_id });
        }
        taken.layers.insert(took.diff_id, took.figures);
        Ok(())
    }

    /// Makes the image; its names move last, all in one step. Gives its id,
    /// and whether any of this is new.
    ///
    /// # Errors
    /// A layer was not taken in; what the host said.
    pub fn finish(&self, arrived: Arrived<'_>) -> Result<(Digest, bool), Error> {
        let config: ImageConfig = serde_json::from_slice(arrived.config)
            .map_err(|e| Error::Invalid(format!("malformed image configuration: {e}")))?;
        let taken = self.taken();
        let layers = config.rootfs.diff_ids.iter().map(|diff_id| {
            let figures = taken.layers.get(diff_id);
            figures.map(|figures| (diff_id.clone(), *figures)).ok_or_else(|| {
                Error::Invalid(format!("layer {diff_id} of the configuration did not come"))
            })
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let Store { content, records, .. } = self.store;
        let _adding = content.adding();
        let id = content.put(arrived.config)?;
        let digest = content.put(arrived.manifest)?;
        content.settle()?;
        let names: Vec<Reference> = match arrived.reference.digest() {
            Some(_) => Vec::new(),
            None => vec![arrived.reference.clone().or_latest()],
        };
        let same = match names.first() {
            Some(name) => records.by_name(name)?.as_ref() == Some(&id),
            None => records.row(&id)?.is_some(),
        };
        let created = nanos(config.created.as_deref());
        let row = Row { id: id.clone(), parent: None, created, tagged: now() };
        let repository = arrived.reference.repository();
        records.add(&New {
            row,
            layers: &layers,
            names: &names,
            manifest: Some((&repository, &digest)),
            blobs: arrived.blobs,
        })?;
        Ok((id, !same))
    }
}

//! The store: all images of one data root, and how they are found.

use crate::{
    Detail, Error, HistoryItem, Summary,
    content::{Content, Figures, Lease},
    error::Doing,
    records::{Blob, Name, New, Records, Row},
};
use sha2::{Digest as _, Sha256};
use spec::{
    Digest, Reference,
    image::{History, ImageConfig},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::SystemTime,
};
use unpacker::Workers;

/// What images take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Bytes of all layers, each counted once.
    pub layers: u64,
    /// Every image, and how many of its bytes it shares with others.
    pub images: Vec<(Summary, u64)>,
}

/// All images of one data root. Threads may share it.
pub struct Store {
    pub(crate) content: Content,
    pub(crate) records: Records,
    /// Held for reading while a container comes to name an image, and for
    /// writing while one that none names is forgotten.
    pub(crate) in_use: RwLock<()>,
    /// Layers of what builds under way have come to, and how many of them.
    pub(crate) drafts: Mutex<HashMap<Digest, (Vec<PathBuf>, u32)>>,
}

impl Store {
    /// Opens `DATA/{blobs,layers}` and the records in `DATA/state.db`, and
    /// sweeps what a crash left. One process at a time. Archives are taken
    /// apart by `workers`.
    ///
    /// # Errors
    /// What the host or the data base said.
    pub fn open(data: &Path, workers: Workers) -> Result<Self, Error> {
        let content = Content::open(data, workers)?;
        let records = Records::open(&data.join("state.db"))?;
        let (layers, blobs) = records.content()?;
        content.sweep(&layers, &blobs)?;
        let store = Self { content, records, in_use: RwLock::new(()), drafts: Mutex::default() };
        store.drop_partials(false)?;
        Ok(store)
    }

    /// Who takes archives apart.
    pub fn workers(&self) -> &Workers {
        &self.content.workers
    }

    /// As long as this is held no image goes for want of users.
    pub fn using(&self) -> RwLockReadGuard<'_, ()> {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All images, newest first; `all` shows those without name that others
    /// were made from, too.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn list(&self, all: bool) -> Result<Vec<Summary>, Error> {
        let mut list = Vec::new();
        for row in self.records.rows()? {
            let names = self.records.names(&row.id)?;
            if !all && names.is_empty() && !self.records.children(&row.id)?.is_empty() {
                continue;
            }
            match self.config(&row.id) {
                Ok(config) => list.push(self.summary(&row, &names, &config)?),
                // Removed since the rows were read.
                Err(Error::Missing(_)) => {}
                // One that is damaged hides no other: `check` tells of it.
                Err(error) if is_damage(&error) => {
                    tracing::warn!(id = %row.id, %error, "an image cannot be listed");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(list)
    }

    /// Finds an image by name, `name@digest`, id, or a prefix of its id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Ambiguous`].
    pub fn lookup(&self, text: &str) -> Result<Digest, Error> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = !hex.is_empty()
            && hex.len() <= 64
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let whole = is_hex && (hex.len() == 64 || hex.len() < text.len());
        if whole {
            return self.by_prefix(hex)?.ok_or_else(|| Error::Missing(text.to_owned()));
        }
        let name = text.parse::<Reference>()?.or_latest();
        if let Some(id) = self.records.by_name(&name)? {
            return Ok(id);
        }
        // `name@sha256:<id>` names an image by its id, too.
        if let Some(digest) = name.digest()
            && self.records.row(digest)?.is_some()
            && self
                .records
                .names(digest)?
                .iter()
                .any(|n| n.reference().repository() == name.repository())
        {
            return Ok(digest.clone());
        }
        let by_id = if is_hex { self.by_prefix(hex)? } else { None };
        by_id.ok_or_else(|| Error::Missing(name.familiar()))
    }

    fn by_prefix(&self, hex: &str) -> Result<Option<Digest>, Error> {
        let mut found = self.records.by_prefix(hex)?;
        if found.len() > 1 {
            return Err(Error::Ambiguous(hex.to_owned()));
        }
        Ok(found.pop())
    }

    /// Everything about one image.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn inspect(&self, id: &Digest) -> Result<Detail, Error> {
        let row = self.row(id)?;
        let config = self.config(id)?;
        let summary = self.summary(&row, &self.records.names(id)?, &config)?;
        Ok(Detail { summary, config })
    }

    /// How it came about, newest first.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn history(&self, id: &Digest) -> Result<Vec<HistoryItem>, Error> {
        let config = self.config(id)?;
        let layers = self.records.layers(id)?;
        let mut sizes = layers.iter().map(|(_, figures)| figures.size);
        let steps = if config.history.is_empty() {
            vec![History { created: config.created.clone(), ..History::default() }; layers.len()]
        } else {
            config.history
        };
        let mut items: Vec<HistoryItem> = steps
            .into_iter()
            .map(|step| HistoryItem {
                id: None,
                created: nanos(step.created.as_deref()),
                created_by: step.created_by.unwrap_or_default(),
                tags: Vec::new(),
                size: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                comment: step.comment.unwrap_or_default(),
            })
            .collect();
        // The image is its last step; what it was made from here, an earlier.
        let mut at = Some(id.clone());
        let mut end = items.len();
        while let Some(id) = at {
            let Some(item) = end.checked_sub(1).and_then(|last| items.get_mut(last)) else { break };
            item.tags = tags(&self.records.names(&id)?);
            item.id = Some(id.clone());
            at = self.records.row(&id)?.and_then(|row| row.parent);
            if let Some(parent) = &at {
                let before = self.config(parent)?.history.len();
                if before >= end {
                    break;
                }
                end = before;
            }
        }
        items.reverse();
        Ok(items)
    }

    /// The directories of its layers, lowest first, for
    /// [`snapshot::Root::mount`]; also of one that went and left them to its
    /// containers.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn layers(&self, id: &Digest) -> Result<Vec<PathBuf>, Error> {
        if let Some(layers) = self.draft_layers(id) {
            return Ok(layers);
        }
        if !self.records.is_held(id)? {
            self.row(id)?;
        }
        let layers = self.records.layers(id)?;
        Ok(layers
            .iter()
            .map(|(diff_id, _)| self.content.layer(diff_id).join(snapshot::LAYER_ROOT))
            .collect())
    }

    /// Gives an image one more name (taking it from another).
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Invalid`] for a name with a digest.
    pub fn tag(&self, id: &Digest, name: &Reference) -> Result<(), Error> {
        if name.digest().is_some() {
            return Err(Error::Invalid("refusing to create a tag with a digest reference".into()));
        }
        let row = Row { tagged: now(), ..self.row(id)? };
        self.records.tag(&name.clone().or_latest(), &row).map(drop)
    }

    /// Remembers that a registry has the image under `repository@digest`,
    /// where the digest is the manifest's, and its layers as `blobs`.
    ///
    /// # Errors
    /// [`Error::Missing`]; what the host said.
    pub fn note_manifest(
        &self,
        id: &Digest,
        repository: &Reference,
        manifest: &[u8],
        blobs: &[Blob],
    ) -> Result<Digest, Error> {
        self.row(id)?;
        let _adding = self.content.adding();
        let digest = self.content.put(manifest)?;
        let known = self.records.by_name(&repository.with_digest(digest.clone()))?;
        if known.as_ref() == Some(id) && self.knows(blobs)? {
            return Ok(digest);
        }
        self.content.settle()?;
        self.records.add_manifest(&repository.repository(), &digest, id, blobs)?;
        Ok(digest)
    }

    fn knows(&self, blobs: &[Blob]) -> Result<bool, Error> {
        for blob in blobs {
            if !self.records.blobs(&blob.diff_id)?.contains(blob) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where registries have a layer of an image, as far as is known.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn blobs(&self, diff_id: &Digest) -> Result<Vec<Blob>, Error> {
        self.records.blobs(diff_id)
    }

    /// What everything takes.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn usage(&self) -> Result<Usage, Error> {
        let images = self.list(true)?;
        let images = images
            .into_iter()
            .map(|image| Ok((self.records.shared(&image.id)?, image)))
            .map(|pair: Result<_, Error>| pair.map(|(shared, image)| (image, shared)))
            .collect::<Result<_, _>>()?;
        Ok(Usage { layers: self.records.size()?, images })
    }

    /// Bytes of all layers, each counted once.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn layers_size(&self) -> Result<u64, Error> {
        self.records.size()
    }

    /// Runs an operation that takes in layers, and removes those that it left
    /// without an image, whether it failed or not.
    pub(crate) fn leasing<T>(
        &self,
        operation: impl FnOnce(&mut Lease<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut lease = self.content.lease();
        let done = operation(&mut lease);
        let held = lease.held().to_vec();
        drop(lease);
        let swept = self.content.drop_layers(&held, |diff_id| self.records.needs(diff_id));
        let done = done?;
        swept.map(|()| done)
    }

    pub(crate) fn row(&self, id: &Digest) -> Result<Row, Error> {
        self.records.row(id)?.ok_or_else(|| Error::Missing(id.to_string()))
    }

    /// An image's configuration.
    pub(crate) fn config(&self, id: &Digest) -> Result<ImageConfig, Error> {
        let bytes = match self.content.get(id) {
            Ok(bytes) => bytes,
            Err(Error::Host { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing(id.to_string()));
            }
            Err(e) => return Err(e),
        };
        serde_json::from_slice(&bytes)
            .map_err(std::io::Error::from)
            .doing("understand the configuration", id.as_str())
    }

    pub(crate) fn summary(
        &self,
        row: &Row,
        names: &[Name],
        config: &ImageConfig,
    ) -> Result<Summary, Error> {
        let layers = self.records.layers(&row.id)?;
        let manifests = names.iter().filter(|name| !name.is_tag());
        Ok(Summary {
            id: row.id.clone(),
            repo_tags: tags(names),
            repo_digests: manifests.map(|name| name.reference().familiar()).collect(),
            parent: row.parent.clone(),
            created: row.created,
            tagged: row.tagged,
            size: layers.iter().map(|(_, figures)| figures.size).sum(),
            labels: config.config.labels.clone(),
        })
    }

    /// Makes an image of a configuration whose layers are here; its names
    /// move last. Says whether it is new.
    pub(crate) fn add(
        &self,
        config: &[u8],
        parent: Option<&Digest>,
        layers: &[(Digest, Figures)],
        names: &[Reference],
    ) -> Result<(Digest, bool), Error> {
        let parsed: ImageConfig = serde_json::from_slice(config)
            .map_err(|e| Error::Invalid(format!("malformed image configuration: {e}")))?;
        let _adding = self.content.adding();
        let id = self.content.put(config)?;
        self.content.settle()?;
        let row = Row {
            id: id.clone(),
            parent: parent.cloned(),
            created: nanos(parsed.created.as_deref()),
            tagged: now(),
        };
        let new = New { row, layers, names, manifest: None, blobs: &[] };
        let added = self.records.add(&new)?;
        Ok((id, added))
    }
}

/// Whether a configuration is itself to blame, and not the host.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Digest { .. } => true,
        Error::Host { source, .. } => source.raw_os_error().is_none(),
        _ => false,
    }
}

/// The familiar spelling of the names with a tag.
fn tags(names: &[Name]) -> Vec<String> {
    names.iter().filter(|name| name.is_tag()).map(|name| name.reference().familiar()).collect()
}

/// Identifies a stack of layers: Docker's chain id, of each height.
pub(crate) fn chain_ids(layers: &[(Digest, Figures)]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(layers.len());
    for (diff_id, _) in layers {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::from_sha256(Sha256::digest(format!("{below} {diff_id}")).into()),
        };
        chain.push(next);
    }
    chain
}

/// Nanoseconds since the epoch of an RFC 3339 time; 0 for none or before.
pub fn nanos(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(|time| u64::try_from(time.as_nanosecond()).ok())
        .unwrap_or(0)
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

//! `save`: images as one tar that is a docker-archive and an OCI layout at
//! once, as Docker writes it since version 25.
//!
//! Layers are written from their unpacked files, byte for byte the tars that
//! they came as; each is there once, however many images have it.

use crate::{
    Error, Store,
    archive::{BLOBS, INDEX, Item, LAYOUT, LAYOUT_TEXT, MANIFEST, NAME, REPOSITORIES, TAG, json},
    content::Figures,
};
use sha2::{Digest as _, Sha256};
use spec::{
    Digest, Reference,
    image::{Descriptor, Index, Manifest, media},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};
use tar::{EntryType, Header};

const BLOCK: usize = 512;

/// An image, and the names that it was asked for by.
struct Chosen {
    id: Digest,
    names: BTreeSet<Reference>,
}

impl Store {
    /// Writes images, and the names they were asked for by, as one tar that
    /// is a docker-archive and an OCI layout at once.
    ///
    /// # Errors
    /// [`Error::Missing`], before anything is written; later what the host
    /// or the receiver said.
    pub fn save(&self, references: &[String], out: &mut dyn Write) -> Result<(), Error> {
        let chosen = self.choose(references)?;
        // They stay until all is written.
        let mut lease = self.content.lease();
        let mut layers: BTreeMap<Digest, Figures> = BTreeMap::new();
        let mut documents: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut items = Vec::new();
        let mut index = Index {
            schema_version: 2,
            media_type: media::OCI_INDEX.into(),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        };
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for image in &chosen {
            let config = self.content.get(&image.id)?;
            let stack = self.records.layers(&image.id)?;
            for (diff_id, figures) in &stack {
                lease.take(diff_id)?.ok_or_else(|| Error::Missing(diff_id.to_string()))?;
                layers.insert(diff_id.clone(), *figures);
            }
            let manifest = manifest(&image.id, config.len(), &stack);
            let text = json(&manifest);
            let entry = descriptor(media::OCI_MANIFEST, &text);
            index.manifests.extend(entries(&entry, &image.names));
            items.push(item(image, &manifest));
            for name in &image.names {
                let top = stack.last().map(|(diff_id, _)| diff_id.hex().to_owned());
                let tags = repositories.entry(name.familiar_repository()).or_default();
                tags.insert(name.tag().unwrap_or_default().to_owned(), top.unwrap_or_default());
            }
            documents.insert(blob(&entry.digest), text);
            documents.insert(blob(&image.id), config);
        }
        documents.insert(INDEX.into(), json(&index));
        documents.insert(MANIFEST.into(), json(&items));
        documents.insert(LAYOUT.into(), LAYOUT_TEXT.to_vec());
        if !repositories.is_empty() {
            documents.insert(REPOSITORIES.into(), json(&repositories));
        }
        self.write_archive(&layers, &documents, out)
    }

    /// What to save: a name without tag means all of its tags.
    fn choose(&self, references: &[String]) -> Result<Vec<Chosen>, Error> {
        let mut chosen: Vec<Chosen> = Vec::new();
        let mut add = |id: Digest, name: Option<Reference>| {
            let at = chosen.iter().position(|image| image.id == id).unwrap_or_else(|| {
                chosen.push(Chosen { id, names: BTreeSet::new() });
                chosen.len() - 1
            });
            chosen[at].names.extend(name);
        };
        for text in references {
            if let Ok(name) = text.parse::<Reference>() {
                let all = self.records.names_in(&name.repository())?;
                if name.is_name_only() && !all.is_empty() {
                    for (name, id) in all {
                        add(id, Some(name));
                    }
                    continue;
                }
                if let Some(id) = self.records.by_name(&name)? {
                    let name = Some(name).filter(|name| name.digest().is_none());
                    add(id, name);
                    continue;
                }
            }
            add(self.lookup(text)?, None);
        }
        Ok(chosen)
    }

    fn write_archive(
        &self,
        layers: &BTreeMap<Digest, Figures>,
        documents: &BTreeMap<String, Vec<u8>>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        for dir in ["blobs/", BLOBS] {
            header(dir, EntryType::Directory, 0o755, 0, out)?;
        }
        for (diff_id, figures) in layers {
            header(&blob(diff_id), EntryType::Regular, 0o644, figures.tar, out)?;
            let mut exact = Exact { out, left: figures.tar };
            self.content.repack(diff_id, &mut exact)?;
            if exact.left > 0 {
                return Err(Error::Invalid(format!("layer {diff_id} is damaged")));
            }
            pad(figures.tar, out)?;
        }
        for (path, bytes) in documents {
            header(path, EntryType::Regular, 0o644, bytes.len() as u64, out)?;
            out.write_all(bytes).map_err(Error::Output)?;
            pad(bytes.len() as u64, out)?;
        }
        out.write_all(&[0; 2 * BLOCK]).map_err(Error::Output)?;
        out.flush().map_err(Error::Output)
    }
}

fn manifest(id: &Digest, size: usize, stack: &[(Digest, Figures)]) -> Manifest {
    let plain = |media_type: &str, digest: &Digest, size: u64| Descriptor {
        media_type: media_type.into(),
        digest: digest.clone(),
        size,
        platform: None,
        annotations: BTreeMap::new(),
        artifact_type: None,
    };
    Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST.into(),
        artifact_type: None,
        config: plain(media::OCI_CONFIG, id, size as u64),
        layers: stack
            .iter()
            .map(|(diff_id, figures)| plain(media::OCI_LAYER, diff_id, figures.tar))
            .collect(),
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.into(),
        digest: Digest::from_sha256(Sha256::digest(bytes).into()),
        size: bytes.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
        artifact_type: None,
    }
}

/// An index's entries for one image: one for each name, or one without.
fn entries(entry: &Descriptor, names: &BTreeSet<Reference>) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![entry.clone()];
    }
    let named = |name: &Reference| {
        let tag = name.tag().unwrap_or_default().to_owned();
        let annotations = [(NAME.to_owned(), name.to_string()), (TAG.to_owned(), tag)];
        Descriptor { annotations: annotations.into(), ..entry.clone() }
    };
    names.iter().map(named).collect()
}

fn item(image: &Chosen, manifest: &Manifest) -> Item {
    let sources = manifest.layers.iter().map(|layer| (layer.digest.clone(), layer.clone()));
    Item {
        config: blob(&image.id),
        repo_tags: if image.names.is_empty() {
            None
        } else {
            Some(image.names.iter().map(Reference::familiar).collect())
        },
        layers: manifest.layers.iter().map(|layer| blob(&layer.digest)).collect(),
        layer_sources: Some(sources.collect()),
    }
}

fn blob(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

fn header(
    path: &str,
    kind: EntryType,
    mode: u32,
    size: u64,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path).map_err(Error::Output)?;
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    out.write_all(header.as_bytes()).map_err(Error::Output)
}

fn pad(size: u64, out: &mut dyn Write) -> Result<(), Error> {
    let len = usize::try_from(size % BLOCK as u64).expect("below a block");
    let zeros = [0; BLOCK];
    let padding = if len == 0 { 0 } else { BLOCK - len };
    out.write_all(&zeros[..padding]).map_err(Error::Output)
}

/// Takes as many bytes as were announced, no more.
struct Exact<'a> {
    out: &'a mut dyn Write,
    left: u64,
}

impl Write for Exact<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a layer grew"))?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

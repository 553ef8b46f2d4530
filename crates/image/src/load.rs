//! `load`: image archives, read once and as a stream.
//!
//! An archive names its images at its end, after their layers. So every file
//! that is a layer by its looks is unpacked as it comes, documents are kept,
//! and all is put together when the archive has ended. Layers that no image
//! claims are removed again.

use crate::{
    Error, Store,
    archive::{BLOBS, INDEX, Item, MANIFEST, NAME, TAG},
    content::{Lease, Taken},
};
use sha2::{Digest as _, Sha256};
use snapshot::{Entry, EntryKind, Limits, Reader, Recipe};
use spec::{
    Digest, Reference,
    image::{Descriptor, Document, ImageConfig, Manifest},
};
use std::{
    collections::HashMap,
    io::{self, BufReader, Read},
};
use unpacker::{Begins, Forms};

/// Largest document that is understood.
const LARGEST: u64 = 8 << 20;
/// All documents of an archive together.
const DOCUMENTS: u64 = 64 << 20;
/// Indexes within indexes.
const DEEPEST: u32 = 4;

/// What an archive held, by path.
#[derive(Default)]
struct Held {
    documents: HashMap<String, Vec<u8>>,
    layers: HashMap<String, Taken>,
    links: HashMap<String, String>,
    size: u64,
}

/// An image of the archive, put together.
struct Found {
    config: Vec<u8>,
    /// As the archive has them, lowest first.
    layers: Vec<Taken>,
    names: Vec<Reference>,
}

/// What a load came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// An image is here, under one of its names, or without any.
    Image {
        /// It.
        id: Digest,
        /// As people spell it.
        name: Option<String>,
    },
    /// A name was another image's before.
    Renamed {
        /// As people spell it.
        name: String,
        /// The one that has lost it.
        before: Digest,
    },
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image { name: Some(name), .. } => write!(f, "Loaded image: {name}"),
            Self::Image { id, name: None } => write!(f, "Loaded image ID: {id}"),
            Self::Renamed { name, before } => write!(
                f,
                "The image {name} already exists, renaming the old one with ID {before} to empty string"
            ),
        }
    }
}

impl Store {
    /// Takes in a docker-archive or an OCI layout (gzip, zstd or plain);
    /// calls `said` with what came, which reads as Docker's lines do
    /// (`Loaded image: alpine:3.10`).
    ///
    /// # Errors
    /// A hostile or broken archive; nothing of it stays.
    pub fn load(&self, from: &mut dyn Read, said: &mut dyn FnMut(&Loaded)) -> Result<(), Error> {
        self.leasing(|lease| {
            let mut held = Held::default();
            let workers = &self.content.workers;
            workers.plain(from, Forms::All, |plain| self.read_archive(plain, &mut held, lease))?;
            // All of them are sound before one is written down.
            let found = held.images()?;
            found.into_iter().try_for_each(|image| self.claim(&image, said))
        })
    }

    fn read_archive(
        &self,
        from: &mut dyn Read,
        held: &mut Held,
        lease: &mut Lease<'_>,
    ) -> Result<(), Error> {
        let mut plain = BufReader::with_capacity(snapshot::BUFFER, from);
        let mut reader = Reader::new(&mut plain, Limits::default(), Recipe::none());
        while let Some(entry) = reader.next_entry().map_err(broken)? {
            let path = path_of(&entry.path);
            match entry.kind {
                EntryKind::File => self.file(path, &entry, &mut reader, held, lease)?,
                EntryKind::HardLink => {
                    held.links.insert(path, path_of(&entry.link));
                }
                EntryKind::Symlink => {
                    held.links.insert(path.clone(), beside(&path, &entry.link));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(
        &self,
        path: String,
        entry: &Entry,
        reader: &mut Reader<'_>,
        held: &mut Held,
        lease: &mut Lease<'_>,
    ) -> Result<(), Error> {
        // What the path promises the content to be.
        let promised = match path.strip_prefix(BLOBS) {
            Some(hex) => format!("sha256:{hex}").parse::<Digest>().ok(),
            None => None,
        };
        let mut start = vec![0; 512];
        let got = fill(reader, &mut start)?;
        start.truncate(got);
        if looks_like_a_layer(&start) {
            let figures = match &promised {
                // A plain layer that is here already: only read over.
                Some(diff_id) => lease.take(diff_id)?,
                None => None,
            };
            let taken = match (figures, promised) {
                (Some(figures), Some(diff_id)) => Taken { diff_id, figures },
                (_, promised) => {
                    let mut blob = Blob {
                        start: &start,
                        reader,
                        hash: Sha256::new(),
                        hashed: promised.is_some(),
                    };
                    let taken = self.content.take(&mut blob, lease)?;
                    if let Some(expected) = promised {
                        // What is behind the compressed stream counts, too.
                        io::copy(&mut blob, &mut io::sink()).map_err(input)?;
                        check(&expected, blob.hash)?;
                    }
                    taken
                }
            };
            held.layers.insert(path, taken);
            return Ok(());
        }
        if entry.size > LARGEST {
            return Ok(());
        }
        held.size += entry.size;
        if held.size > DOCUMENTS {
            return Err(Error::Invalid(format!(
                "archive exceeds the limit of {DOCUMENTS} bytes of documents"
            )));
        }
        let mut bytes = Vec::new();
        Blob { start: &start, reader, hash: Sha256::new(), hashed: false }
            .read_to_end(&mut bytes)
            .map_err(input)?;
        if let Some(expected) = promised {
            check(&expected, Sha256::new_with_prefix(&bytes))?;
        }
        held.documents.insert(path, bytes);
        Ok(())
    }

    /// Makes an image of what the archive held of it.
    fn claim(&self, found: &Found, said: &mut dyn FnMut(&Loaded)) -> Result<(), Error> {
        let layers: Vec<_> =
            found.layers.iter().map(|taken| (taken.diff_id.clone(), taken.figures)).collect();
        let before: Vec<Option<Digest>> =
            found.names.iter().map(|name| self.records.by_name(name)).collect::<Result<_, _>>()?;
        let (id, _) = self.add(&found.config, None, &layers, &found.names)?;
        for (name, before) in found.names.iter().zip(before) {
            if let Some(before) = before.filter(|before| *before != id) {
                let name = name.familiar();
                said(&Loaded::Renamed { name, before });
            }
            said(&Loaded::Image { id: id.clone(), name: Some(name.familiar()) });
        }
        if found.names.is_empty() {
            said(&Loaded::Image { id, name: None });
        }
        Ok(())
    }
}

impl Held {
    /// Follows links inside the archive.
    fn resolve<'a>(&'a self, mut path: &'a str) -> &'a str {
        for _ in 0..8 {
            match self.links.get(path) {
                Some(next) => path = next,
                None => break,
            }
        }
        path
    }

    fn document(&self, path: &str) -> Option<&[u8]> {
        self.documents.get(self.resolve(path)).map(Vec::as_slice)
    }

    fn layer(&self, path: &str) -> Result<Taken, Error> {
        self.layers
            .get(self.resolve(path))
            .cloned()
            .ok_or_else(|| Error::Invalid(format!("the archive holds no layer {path}")))
    }

    fn images(&self) -> Result<Vec<Found>, Error> {
        if let Some(text) = self.document(MANIFEST) {
            let items: Vec<Item> = serde_json::from_slice(text)
                .map_err(|e| Error::Invalid(format!("malformed {MANIFEST}: {e}")))?;
            return items.iter().map(|item| self.docker(item)).collect();
        }
        let Some(text) = self.document(INDEX) else {
            return Err(Error::Invalid(
                "invalid archive: does not contain a manifest.json or an index.json".into(),
            ));
        };
        let mut found = Vec::new();
        match parse(text, "")? {
            Document::Index(index) => {
                for entry in &index.manifests {
                    self.oci(entry, names(entry)?, DEEPEST, &mut found)?;
                }
            }
            Document::Manifest(_) => {
                return Err(Error::Invalid(format!("{INDEX} is a manifest")));
            }
        }
        Ok(found)
    }

    fn docker(&self, item: &Item) -> Result<Found, Error> {
        let config = self.document(&item.config).ok_or_else(|| {
            Error::Invalid(format!("the archive holds no configuration {}", item.config))
        })?;
        let layers = item
            .layers
            .iter()
            .map(|path| self.layer(&path_of(path.as_bytes())))
            .collect::<Result<_, _>>()?;
        let names = item.repo_tags.iter().flatten();
        let names = names
            .map(|name| match name.parse::<Reference>()? {
                tagged if tagged.tag().is_some() && tagged.digest().is_none() => Ok(tagged),
                _ => Err(Error::Invalid(format!("invalid tag {name:?}"))),
            })
            .collect::<Result<_, Error>>()?;
        sound(Found { config: config.to_vec(), layers, names })
    }

    /// The manifest, or the one of an index that suits this machine.
    fn oci(
        &self,
        entry: &Descriptor,
        names: Vec<Reference>,
        depth: u32,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        let path = blob_path(&entry.digest);
        let Some(text) = self.document(&path) else {
            return Err(Error::Invalid(format!("the archive holds no manifest {}", entry.digest)));
        };
        match parse(text, &entry.media_type)? {
            Document::Manifest(manifest) => {
                found.push(self.manifest(&manifest, names)?);
                Ok(())
            }
            Document::Index(_) if depth == 0 => {
                Err(Error::Invalid("indexes are nested too deeply".into()))
            }
            Document::Index(index) => {
                let host = crate::make::host();
                let suits = |entry: &&Descriptor| {
                    entry.platform.as_ref().is_none_or(|platform| {
                        platform.os == host.os && platform.architecture == host.architecture
                    })
                };
                let here = |entry: &&Descriptor| self.document(&blob_path(&entry.digest)).is_some();
                match index.manifests.iter().filter(suits).find(here) {
                    Some(entry) => self.oci(entry, names, depth - 1, found),
                    None => Err(Error::Invalid(format!(
                        "no image for {}/{} in the archive",
                        host.os, host.architecture
                    ))),
                }
            }
        }
    }

    fn manifest(&self, manifest: &Manifest, names: Vec<Reference>) -> Result<Found, Error> {
        let config = self.document(&blob_path(&manifest.config.digest)).ok_or_else(|| {
            Error::Invalid(format!("the archive holds no configuration {}", manifest.config.digest))
        })?;
        let layers = manifest
            .layers
            .iter()
            .map(|layer| self.layer(&blob_path(&layer.digest)))
            .collect::<Result<_, _>>()?;
        sound(Found { config: config.to_vec(), layers, names })
    }
}

/// An image whose configuration and layers agree.
fn sound(found: Found) -> Result<Found, Error> {
    let config: ImageConfig = serde_json::from_slice(&found.config)
        .map_err(|e| Error::Invalid(format!("malformed image configuration: {e}")))?;
    if !matches!(&*config.os, "" | "linux") {
        return Err(Error::Invalid(format!("cannot load {} image on linux", config.os)));
    }
    let expected = &config.rootfs.diff_ids;
    if expected.len() != found.layers.len() {
        return Err(Error::Invalid(format!(
            "invalid manifest, layers length mismatch: expected {}, got {}",
            expected.len(),
            found.layers.len()
        )));
    }
    for (expected, taken) in expected.iter().zip(&found.layers) {
        if *expected != taken.diff_id {
            return Err(Error::Digest { expected: expected.clone(), found: taken.diff_id.clone() });
        }
    }
    Ok(found)
}

/// The name that an index gives to an image, if that is a whole one.
fn names(entry: &Descriptor) -> Result<Vec<Reference>, Error> {
    if let Some(name) = entry.annotations.get(NAME) {
        return Ok(vec![name.parse::<Reference>()?.or_latest()]);
    }
    let whole = entry.annotations.get(TAG).filter(|name| name.contains([':', '/']));
    Ok(match whole {
        Some(name) => vec![name.parse::<Reference>()?.or_latest()],
        None => Vec::new(),
    })
}

fn parse(text: &[u8], media_type: &str) -> Result<Document, Error> {
    Document::parse(text, media_type).map_err(|e| match std::error::Error::source(&e) {
        Some(source) => Error::Invalid(format!("{e}: {source}")),
        None => Error::Invalid(e.to_string()),
    })
}

fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

/// A member's path without decoration.
fn path_of(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

/// Where a symbolic link at `path` leads.
fn beside(path: &str, link: &[u8]) -> String {
    let link = String::from_utf8_lossy(link).into_owned();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut parts = Vec::new();
    for part in parent.split('/').chain(link.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Compressed, or a tar: its first header's magic, or the zeros of an empty
/// one. No JSON document begins so.
fn looks_like_a_layer(start: &[u8]) -> bool {
    Begins::with(start) != Begins::Other
        || start.get(257..262) == Some(b"ustar")
        || (start.len() == 512 && is_header(start))
}

/// Without magic (archives of before 1988, or of nothing): the checksum.
fn is_header(block: &[u8]) -> bool {
    if block.iter().all(|b| *b == 0) {
        return true;
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    let field = String::from_utf8_lossy(&block[148..156]).into_owned();
    let field = field.trim_matches([' ', '\0']);
    u32::from_str_radix(field, 8).is_ok_and(|said| said == sum)
}

fn fill(reader: &mut Reader<'_>, into: &mut [u8]) -> Result<usize, Error> {
    let mut done = 0;
    while done < into.len() {
        match reader.read(&mut into[done..]).map_err(broken)? {
            0 => break,
            len => done += len,
        }
    }
    Ok(done)
}

fn check(expected: &Digest, hash: Sha256) -> Result<(), Error> {
    let found = Digest::from_sha256(hash.finalize().into());
    if found == *expected {
        Ok(())
    } else {
        Err(Error::Digest { expected: expected.clone(), found })
    }
}

fn broken(e: snapshot::Error) -> Error {
    match e {
        snapshot::Error::Input(e) => Error::input(e),
        source => Error::Snapshot { doing: "read the archive", source },
    }
}

/// A member's content, from its start that was looked at.
struct Blob<'a, 'r> {
    start: &'a [u8],
    reader: &'a mut Reader<'r>,
    hash: Sha256,
    hashed: bool,
}

impl Read for Blob<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = if self.start.is_empty() {
            self.reader.read(into).map_err(|e| match e {
                snapshot::Error::Input(e) => e,
                e => io::Error::other(e),
            })?
        } else {
            self.start.read(into)?
        };
        if self.hashed {
            self.hash.update(&into[..len]);
        }
        Ok(len)
    }
}

/// An error of [`Blob`], with what was wrapped in it taken out.
fn input(e: io::Error) -> Error {
    match e.downcast::<snapshot::Error>() {
        Ok(e) => broken(e),
        Err(e) => Error::input(e),
    }
}

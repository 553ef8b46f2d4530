//! `push`: an image of the store goes to a registry, as far as that does not
//! have it.
//!
//! A layer that the repository has is not sent, one that another repository
//! of the registry has is mounted from there. Where a layer was compressed
//! before, by us or by whoever pushed it first, its digest is known and that
//! form of it is asked for.

use crate::{
    Credentials, Error, Registry, Said,
    flights::some_at_a_time,
    said::{Bar, Teller, telling},
    session::{Ask, Session},
    upload,
};
use image::{Blob, Store};
use reqwest::{Method, StatusCode, Url, blocking::Body, header};
use sha2::{Digest as _, Sha256};
use spec::{
    Digest, Reference,
    image::{Descriptor, Document, Manifest, media},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
};

/// Forms of a layer that are asked for at most.
const FORMS: usize = 4;
const DOING: &str = "push a manifest";

/// What is to go.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to, with a tag.
    pub reference: Reference,
    /// The image.
    pub id: Digest,
    /// Of the client.
    pub credentials: Option<Credentials>,
}

/// The manifest that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl Registry {
    /// Sends an image; `listen` is told how it goes, and ends it by an error.
    ///
    /// # Errors
    /// The registry does not want it; there is no such image.
    pub fn push(
        &self,
        store: &Store,
        wish: &Push,
        listen: &mut dyn FnMut(Said) -> io::Result<()>,
    ) -> Result<Pushed, Error> {
        let (domain, path) = (wish.reference.domain(), wish.reference.path());
        // Whether it lets us in is seen at once, and where it is.
        let known = wish.credentials.as_ref();
        let (session, ()) = self.at_endpoint(domain, path, known, false, Session::greet)?;
        let (config, diff_ids) = store.documents(&wish.id)?;
        telling(listen, |teller| {
            let stop = &AtomicBool::new(false);
            let teller = &teller.of_attempt(stop);
            let session = &session;
            let operation = Operation { registry: self, session, store, teller, stop, wish };
            operation.image(&config, &diff_ids)
        })
    }
}

/// One push under way.
struct Operation<'a> {
    registry: &'a Registry,
    session: &'a Session<'a>,
    store: &'a Store,
    teller: &'a Teller<'a>,
    stop: &'a AtomicBool,
    wish: &'a Push,
}

impl Operation<'_> {
    fn image(&self, config: &[u8], diff_ids: &[Digest]) -> Result<Pushed, Error> {
        let each: BTreeSet<&Digest> = diff_ids.iter().collect();
        for diff_id in &each {
            self.teller.blob(diff_id.short(), "Preparing")?;
        }
        let gone = Mutex::new(BTreeMap::new());
        let each: Vec<&Digest> = each.into_iter().collect();
        some_at_a_time(&each, self.stop, |diff_id| {
            let blob = self.layer(diff_id)?;
            gone.lock().unwrap_or_else(PoisonError::into_inner).insert(*diff_id, blob);
            Ok(())
        })?;
        let gone = gone.into_inner().unwrap_or_else(PoisonError::into_inner);
        let blobs: Vec<Blob> = diff_ids.iter().map(|diff_id| gone[diff_id].clone()).collect();
        if !self.has(&self.wish.id)? {
            upload::bytes(self.session, &self.wish.id, config)?;
        }
        let (media_type, manifest) = self.manifest(config, &blobs)?;
        self.put(media_type, &manifest)?;
        let size = manifest.len() as u64;
        let name = Reference::clone(&self.wish.reference);
        let digest = self.store.note_manifest(&self.wish.id, &name, &manifest, &blobs)?;
        let tag = name.or_latest().tag().unwrap_or_default().to_owned();
        self.teller.say(Said::plain(format!("{tag}: digest: {digest} size: {size}")))?;
        let aux = Some((tag, digest.clone(), size));
        self.teller.say(Said { aux, of_blob: true, ..Said::default() })?;
        Ok(Pushed { digest, size })
    }

    /// Whether the repository has a blob.
    fn has(&self, digest: &Digest) -> Result<bool, Error> {
        let path = format!("/blobs/{digest}");
        let ask = Ask::new(Method::HEAD, &path, "look for a blob");
        let answer = self.session.send(&ask)?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.session.refused(answer, ask.doing)),
        }
    }

    fn layer(&self, diff_id: &Digest) -> Result<Blob, Error> {
        let id = diff_id.short();
        let reference = &self.wish.reference;
        let repository = reference.repository();
        let here = |blob: Blob| Blob { repository: repository.clone(), ..blob };
        let mut known = self.store.blobs(diff_id)?;
        // What this repository had is asked for first, then its neighbours'.
        let domain = format!("{}/", reference.domain());
        known.sort_by_key(|blob| {
            (blob.repository != repository, !blob.repository.starts_with(&domain))
        });
        let mut asked = BTreeSet::new();
        for blob in &known {
            if asked.len() < FORMS && asked.insert(&blob.digest) && self.has(&blob.digest)? {
                self.teller.blob(id, "Layer already exists")?;
                return Ok(here(blob.clone()));
            }
        }
        let mut place = None;
        for blob in &known {
            let Some(from) = blob.repository.strip_prefix(&domain) else { continue };
            if from == reference.path() {
                continue;
            }
            match self.mount(&blob.digest, from)? {
                Mounted::Yes => {
                    self.teller.blob(id, &format!("Mounted from {from}"))?;
                    return Ok(here(blob.clone()));
                }
                Mounted::No(at) => place = at,
            }
            break;
        }
        let _slot = self.registry.slots.take(|| self.teller.go_on())?;
        let bar = Mutex::new(Bar::new(self.teller, id, "Pushing", self.store.tar_size(diff_id)?));
        let seen = |at| bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_at(at);
        let (digest, size) = upload::layer(self.session, self.store, diff_id, place, &seen)?;
        self.teller.blob(id, "Pushed")?;
        let media_type = media::DOCKER_LAYER_GZIP.to_owned();
        Ok(Blob { diff_id: diff_id.clone(), repository, digest, size, media_type })
    }

    /// Asks for a blob of another repository.
    fn mount(&self, digest: &Digest, from: &str) -> Result<Mounted, Error> {
        let path = format!("/blobs/uploads/?mount={digest}&from={from}");
        let empty = || Ok(Body::from(Vec::new()));
        let ask = Ask { body: Some(&empty), ..Ask::new(Method::POST, &path, "mount a blob") };
        let answer = self.session.send(&ask)?;
        match answer.status() {
            StatusCode::CREATED => Ok(Mounted::Yes),
            StatusCode::ACCEPTED => Ok(Mounted::No(Some(upload::location(self.session, &answer)?))),
            // We may not read there: then it is sent.
            _ => Ok(Mounted::No(None)),
        }
    }

    /// The manifest that the image came with, if all of it went as it came;
    /// else a new one, in Docker's form unless a layer is none of Docker's.
    fn manifest(&self, config: &[u8], blobs: &[Blob]) -> Result<(&'static str, Vec<u8>), Error> {
        for bytes in self.store.manifests(&self.wish.id)? {
            if let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, "")
                && manifest.config.digest == self.wish.id
                && manifest.layers.len() == blobs.len()
                && manifest.layers.iter().zip(blobs).all(|(l, blob)| l.digest == blob.digest)
            {
                let docker = manifest.media_type == media::DOCKER_MANIFEST;
                let kind = if docker { media::DOCKER_MANIFEST } else { media::OCI_MANIFEST };
                return Ok((kind, bytes));
            }
        }
        let docker = blobs.iter().all(|blob| blob.media_type.starts_with("application/vnd.docker"));
        let (kind, config_type) = if docker {
            (media::DOCKER_MANIFEST, media::DOCKER_CONFIG)
        } else {
            (media::OCI_MANIFEST, media::OCI_CONFIG)
        };
        let layer = |blob: &Blob| {
            let media_type = match (docker, blob.media_type.as_str()) {
                (false, media::DOCKER_LAYER_GZIP) => media::OCI_LAYER_GZIP,
                (false, media::DOCKER_LAYER) => media::OCI_LAYER,
                (_, own) => own,
            };
            describe(media_type, blob.digest.clone(), blob.size)
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: kind.into(),
            artifact_type: None,
            config: describe(config_type, self.wish.id.clone(), config.len() as u64),
            layers: blobs.iter().map(layer).collect(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        Ok((kind, serde_json::to_vec(&manifest).expect("plain data")))
    }

    fn put(&self, media_type: &str, manifest: &[u8]) -> Result<(), Error> {
        let path = format!("/manifests/{}", self.wish.reference.tag().unwrap_or("latest"));
        let headers = [(header::CONTENT_TYPE, media_type)];
        let body = || Ok(Body::from(manifest.to_vec()));
        let ask =
            Ask { headers: &headers, body: Some(&body), ..Ask::new(Method::PUT, &path, DOING) };
        let answer = self.session.send(&ask)?;
        if answer.status() != StatusCode::CREATED {
            return Err(self.session.refused(answer, DOING));
        }
        let said = answer.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        let said = said.and_then(|text| text.parse::<Digest>().ok());
        let sent = Digest::from_sha256(Sha256::digest(manifest).into());
        match said.filter(|said| said.algorithm() == "sha256" && *said != sent) {
            Some(found) => Err(Error::Digest { expected: sent, found }),
            None => Ok(()),
        }
    }
}

/// Whether a blob was mounted; if not, perhaps a place to send it to.
enum Mounted {
    Yes,
    No(Option<Url>),
}

fn describe(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.into(),
        digest,
        size,
        platform: None,
        annotations: BTreeMap::new(),
        artifact_type: None,
    }
}

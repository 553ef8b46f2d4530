//! `pull`: a name becomes an image of the store.

use crate::{
    Credentials, Error, Registry, Said,
    blob::{Blob, taken_out},
    flights::{Seat, Stage, some_at_a_time},
    manifests::{Resolved, resolve},
    said::{Bar, Teller, telling},
    session::Session,
};
use image::{Arrived, Ingest, Store};
use spec::{
    Digest, Reference,
    image::{Descriptor, ImageConfig, Manifest, Platform, media},
};
use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
};

/// What of a blob of fewer bytes has come is not kept: it comes again as soon.
const SMALL: u64 = 1 << 20;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Pull {
    /// With a tag or a digest.
    pub reference: Reference,
    /// For what; the host's if none.
    pub platform: Option<Platform>,
    /// Of the client.
    pub credentials: Option<Credentials>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: Digest,
    /// Of what the name points to at the registry.
    pub digest: Digest,
    /// The name had not meant this image before.
    pub new: bool,
}

/// A layer that is wanted.
struct Layer<'a> {
    blob: &'a Descriptor,
    diff_id: &'a Digest,
    /// As people see it.
    id: &'a str,
}

impl Registry {
    /// Fetches an image into `store`; `listen` is told how it goes, and ends
    /// it by an error.
    ///
    /// # Errors
    /// The registry does not have it, or gives something else; nothing of it
    /// stays then.
    pub fn pull(
        &self,
        store: &Store,
        wish: &Pull,
        listen: &mut dyn FnMut(Said) -> io::Result<()>,
    ) -> Result<Pulled, Error> {
        let platform = wish.platform.clone().unwrap_or_else(image::host);
        let (domain, path) = (wish.reference.domain(), wish.reference.path());
        let known = wish.credentials.as_ref();
        telling(listen, |teller| {
            self.at_endpoint(domain, path, known, true, |session| {
                self.pull_from(session, store, wish, &platform, teller)
            })
            .map(|(_, pulled)| pulled)
        })
    }

    fn pull_from(
        &self,
        session: &Session<'_>,
        store: &Store,
        wish: &Pull,
        platform: &Platform,
        teller: &Teller<'_>,
    ) -> Result<Pulled, Error> {
        teller.go_on()?;
        let resolved = resolve(session, &wish.reference, platform)?;
        let tag = wish.reference.digest().map(Digest::as_str).or(wish.reference.tag());
        let from = format!("Pulling from {}", wish.reference.path());
        teller.say(Said::about(tag.unwrap_or("latest"), from))?;
        let stop = AtomicBool::new(false);
        let (id, new) = store.ingest(|ingest| {
            let teller = &teller.of_attempt(&stop);
            let fetched = Mutex::default();
            let operation =
                Operation { registry: self, session, ingest, teller, stop: &stop, fetched };
            operation.image(wish, &resolved)
        })?;
        let digest = resolved.top.digest;
        teller.say(Said::plain(format!("Digest: {digest}")))?;
        let name = wish.reference.familiar();
        let status = if new { "Downloaded newer image" } else { "Image is up to date" };
        teller.say(Said::plain(format!("Status: {status} for {name}")))?;
        Ok(Pulled { id, digest, new })
    }

    /// Asks one endpoint after the other, as long as another may do better: in
    /// a mirror's stead always, else where nobody was there.
    pub(crate) fn at_endpoint<'a, T>(
        &self,
        domain: &str,
        path: &'a str,
        credentials: Option<&'a Credentials>,
        mirrors: bool,
        mut ask: impl FnMut(&Session<'a>) -> Result<T, Error>,
    ) -> Result<(Session<'a>, T), Error> {
        let endpoints = self.settings.endpoints(domain).into_iter();
        let mut endpoints = endpoints.filter(|e| mirrors || !e.mirror).peekable();
        loop {
            let endpoint = endpoints.next().expect("every registry has one, and the last returns");
            let mirror = endpoint.mirror;
            let host = endpoint.host().to_owned();
            let session = Session::new(self, endpoint, path, credentials)?;
            let absent =
                |error: &Error| matches!(error, Error::Reach { .. }) && !session.has_answered();
            match ask(&session) {
                Err(error)
                    if endpoints.peek().is_some()
                        && (absent(&error) || (mirror && error.is_of_the_endpoint())) =>
                {
                    tracing::debug!(registry = host, %error, "asking elsewhere");
                }
                asked => return asked.map(|answer| (session, answer)),
            }
        }
    }
}

/// One pull under way.
struct Operation<'a, 'i> {
    registry: &'a Registry,
    session: &'a Session<'a>,
    ingest: &'a Ingest<'i>,
    teller: &'a Teller<'a>,
    stop: &'a AtomicBool,
    /// Layers and the blobs that they were found in.
    fetched: Mutex<BTreeSet<(Digest, Digest)>>,
}

impl Operation<'_, '_> {
    fn image(&self, wish: &Pull, resolved: &Resolved) -> Result<(Digest, bool), Error> {
        let manifest = &resolved.manifest;
        check(manifest)?;
        let here = self.ingest.config(&manifest.config.digest)?;
        let known = here.is_some();
        let config = match here {
            Some(bytes) => bytes,
            None => {
                Blob::new(self.session, &manifest.config, &mut |_| self.teller.go_on()).config()?
            }
        };
        let parsed: ImageConfig = serde_json::from_slice(&config)
            .map_err(|e| Error::Invalid(format!("malformed image configuration: {e}")))?;
        fits(wish, &parsed)?;
        let diff_ids = &parsed.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(Error::Invalid(format!(
                "the manifest has {} layers where the configuration has {}",
                manifest.layers.len(),
                diff_ids.len()
            )));
        }
        self.layers(manifest, diff_ids, known)?;
        let blob = |(blob, diff_id): (&Descriptor, &Digest)| image::Blob {
            diff_id: diff_id.clone(),
            repository: wish.reference.repository(),
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: blob.media_type.clone(),
        };
        // A manifest may call any blob a layer that is here already, and what
        // is believed here is what a push asks another registry for: only
        // where the blob was read, now or before, is it known to be that layer.
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut blobs = Vec::new();
        for one in manifest.layers.iter().zip(diff_ids).map(blob) {
            let read = fetched.contains(&(one.diff_id.clone(), one.digest.clone()));
            if read || self.ingest.is_blob(&one.diff_id, &one.digest)? {
                blobs.push(one);
            }
        }
        let done = self.ingest.finish(Arrived {
            config: &config,
            manifest: &resolved.top.bytes,
            reference: &wish.reference,
            blobs: &blobs,
        })?;
        Ok(done)
    }

    /// Brings all layers, several at a time; of those of an image that is
    /// here already nothing is said.
    fn layers(&self, manifest: &Manifest, diff_ids: &[Digest], known: bool) -> Result<(), Error> {
        let all = manifest.layers.iter().zip(diff_ids);
        let all: Vec<Layer<'_>> =
            all.map(|(blob, diff_id)| Layer { blob, diff_id, id: blob.digest.short() }).collect();
        let mut missing = Vec::new();
        for layer in &all {
            if self.ingest.has(layer.diff_id)? {
                if !known {
                    self.teller.blob(layer.id, "Already exists")?;
                }
            } else {
                self.teller.blob(layer.id, "Pulling fs layer")?;
                missing.push(layer);
            }
        }
        some_at_a_time(&missing, self.stop, |layer| self.layer(layer))
    }

    /// Brings one layer, or waits for who brings it.
    fn layer(&self, layer: &Layer<'_>) -> Result<(), Error> {
        loop {
            let seat = self.registry.flights.board(self.session.endpoint.host(), layer.diff_id);
            if self.ingest.has(layer.diff_id)? {
                return self.teller.blob(layer.id, "Pull complete");
            }
            let mut bar = Bar::new(self.teller, layer.id, "Downloading", layer.blob.size);
            match seat {
                Seat::Passenger(flight) => {
                    let mut waits = false;
                    flight.follow(|stage| match stage {
                        Stage::Downloading(at) => bar.is_at(at),
                        _ if std::mem::replace(&mut waits, true) => self.teller.go_on(),
                        _ => self.teller.blob(layer.id, "Waiting"),
                    })?;
                }
                Seat::Pilot(pilot) => {
                    let slot = self.registry.slots.take(|| self.teller.go_on())?;
                    let mut seen = |at| {
                        pilot.is_at(Stage::Downloading(at));
                        bar.is_at(at)?;
                        if at == layer.blob.size {
                            self.teller.blob(layer.id, "Verifying Checksum")?;
                        }
                        Ok(())
                    };
                    self.fetch(layer, &mut seen)?;
                    drop(slot);
                    self.fetched
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert((layer.diff_id.clone(), layer.blob.digest.clone()));
                    self.teller.blob(layer.id, "Download complete")?;
                    let bytes = Some((layer.blob.size, layer.blob.size));
                    let said = Said::about(layer.id, "Extracting");
                    self.teller.say(Said { bytes, of_blob: true, ..said })?;
                    return self.teller.blob(layer.id, "Pull complete");
                }
            }
        }
    }

    /// Goes on where an earlier pull of it ended; should what that left be of
    /// no use, all of it is fetched.
    fn fetch(
        &self,
        layer: &Layer<'_>,
        seen: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let digest = &layer.blob.digest;
        let partial = || (layer.blob.size >= SMALL).then(|| self.ingest.partial(digest)).flatten();
        let before = partial();
        let resumed = before.as_ref().is_some_and(image::Partial::has_begun);
        let fetched = self.fetch_from(layer, before, seen);
        match fetched {
            Ok(()) => Ok(()),
            // More of it may come another time.
            Err(error) if error.is_of_the_way() => Err(error),
            Err(error) => {
                partial().into_iter().for_each(image::Partial::discard);
                if !resumed {
                    return Err(error);
                }
                tracing::debug!(%digest, %error, "what came before is of no use");
                self.fetch_from(layer, partial(), seen)
            }
        }
    }

    fn fetch_from(
        &self,
        layer: &Layer<'_>,
        before: Option<image::Partial>,
        seen: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut blob = Blob::new(self.session, layer.blob, seen).with(before);
        match self.ingest.layer(layer.diff_id, &mut blob) {
            Ok(()) => blob.drain(),
            Err(image::Error::Input(e)) => match taken_out(e, &layer.blob.digest) {
                // What cannot be unpacked may be something else altogether.
                Error::Blob { source, .. } if !blob.has_given_up() => {
                    blob.drain()?;
                    Err(image::Error::Input(source).into())
                }
                error => Err(error),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// An image is what its manifest says it is, and nothing else.
fn check(manifest: &Manifest) -> Result<(), Error> {
    let config = manifest.config.media_type.as_str();
    if !matches!(config, media::OCI_CONFIG | media::DOCKER_CONFIG) {
        return Err(Error::Invalid(format!("this is no image: its configuration is {config:?}")));
    }
    match manifest.layers.iter().find(|layer| !media::is_layer(&layer.media_type)) {
        Some(layer) => {
            let found = &layer.media_type;
            Err(Error::Invalid(format!(
                "layer {} is {found:?}, which is not carried",
                layer.digest
            )))
        }
        None => Ok(()),
    }
}

/// Where one platform was asked for in so many words, no other will do.
fn fits(wish: &Pull, config: &ImageConfig) -> Result<(), Error> {
    let Some(wanted) = &wish.platform else { return Ok(()) };
    let actual = config.platform().unwrap_or_default();
    match actual.distance(wanted) {
        Some(_) => Ok(()),
        None => Err(Error::OtherPlatform {
            reference: wish.reference.familiar(),
            wanted: wanted.to_string(),
            actual: actual.to_string(),
        }),
    }
}

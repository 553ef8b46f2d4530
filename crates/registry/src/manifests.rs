//! Manifests and indexes: fetched, checked, and the right one chosen.

use crate::{
    Error,
    answer::{Refusal, whole},
    session::{Ask, Session},
};
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use sha2::{Digest as _, Sha256};
use spec::{
    Digest, Reference,
    image::{Descriptor, Document, Index, Manifest, Platform},
};

/// What we can read.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";
/// Largest one that is read: what registries take.
pub(crate) const LARGEST: u64 = 4 << 20;
/// Indexes within indexes.
const DEEPEST: u32 = 4;
const DOING: &str = "fetch a manifest";

/// A document as it came.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    /// As the registry announced it.
    pub media_type: String,
    pub document: Document,
}

/// The manifest of one image, and what the name points to.
pub(crate) struct Resolved {
    pub top: Fetched,
    pub manifest: Manifest,
}

/// Fetches what a name points to.
pub(crate) fn fetch(session: &Session<'_>, reference: &Reference) -> Result<Fetched, Error> {
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.as_str(),
        (None, tag) => tag.unwrap_or("latest"),
    };
    fetch_by(session, reference, wanted, reference.digest())
}

fn fetch_by(
    session: &Session<'_>,
    reference: &Reference,
    wanted: &str,
    expected: Option<&Digest>,
) -> Result<Fetched, Error> {
    if let Some(unknown) = expected.filter(|digest| digest.algorithm() != "sha256") {
        return Err(Error::Invalid(format!("unsupported digest algorithm: {unknown}")));
    }
    let path = format!("/manifests/{wanted}");
    let headers = [(header::ACCEPT, ACCEPT)];
    let ask = Ask { headers: &headers, ..Ask::new(Method::GET, &path, DOING) };
    let answer = session.send(&ask)?;
    if answer.status() != StatusCode::OK {
        return Err(refused(session, reference, answer));
    }
    let text = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (media_type, said) = (text("content-type"), text("docker-content-digest"));
    let bytes = whole(answer, LARGEST, DOING)?;
    let digest = Digest::from_sha256(Sha256::digest(&bytes).into());
    // What was asked for by its digest is that or nothing; what was asked for
    // by a tag is at least what the registry says it is.
    let said = said.parse::<Digest>().ok().filter(|digest| digest.algorithm() == "sha256");
    for expected in [expected, said.as_ref()].into_iter().flatten() {
        if *expected != digest {
            return Err(Error::Digest { expected: expected.clone(), found: digest });
        }
    }
    let document = parse(&bytes, &media_type)?;
    Ok(Fetched { bytes, digest, media_type, document })
}

fn refused(
    session: &Session<'_>,
    reference: &Reference,
    answer: reqwest::blocking::Response,
) -> Error {
    if answer.status() == StatusCode::UNAUTHORIZED {
        // A token was given, and is not good enough.
        let asked = answer.headers().get(header::WWW_AUTHENTICATE).map(HeaderValue::as_bytes);
        let asked = String::from_utf8_lossy(asked.unwrap_or_default());
        if asked.contains("insufficient_scope") {
            let words = "denied: requested access to the resource is denied".into();
            return Error::Denied { repository: reference.familiar_repository(), words };
        }
        return session.refused(answer, DOING);
    }
    let Refusal { status, code, words } = Refusal::of(answer);
    match (code.as_str(), status) {
        ("DENIED" | "NAME_UNKNOWN", _) | (_, StatusCode::FORBIDDEN) => {
            Error::Denied { repository: reference.familiar_repository(), words }
        }
        ("MANIFEST_UNKNOWN", _) | (_, StatusCode::NOT_FOUND) => {
            Error::NoManifest { reference: reference.familiar(), words }
        }
        _ => Error::Answer {
            doing: DOING,
            registry: session.endpoint.host().to_owned(),
            status: status.as_u16(),
            words,
        },
    }
}

fn parse(bytes: &[u8], media_type: &str) -> Result<Document, Error> {
    Document::parse(bytes, media_type).map_err(|e| match std::error::Error::source(&e) {
        Some(source) => Error::Invalid(format!("{e}: {source}")),
        None => Error::Invalid(e.to_string()),
    })
}

/// Follows a name to the manifest of the image for `platform`.
pub(crate) fn resolve(
    session: &Session<'_>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, Error> {
    let top = fetch(session, reference)?;
    let mut document = top.document.clone();
    for _ in 0..DEEPEST {
        let index = match document {
            Document::Manifest(manifest) => return Ok(Resolved { top, manifest: *manifest }),
            Document::Index(index) => index,
        };
        let entry =
            choose(&index, platform).ok_or_else(|| Error::NoPlatform(platform.to_string()))?;
        let fetched = fetch_by(session, reference, entry.digest.as_str(), Some(&entry.digest))?;
        if fetched.bytes.len() as u64 != entry.size {
            return Err(Error::Invalid(format!(
                "manifest {} has {} bytes where its index says {}",
                entry.digest,
                fetched.bytes.len(),
                entry.size
            )));
        }
        // Index, header and content have to agree (CVE-2021-41190).
        document = parse(&fetched.bytes, &entry.media_type)?;
    }
    Err(Error::Invalid("indexes are nested too deeply".into()))
}

/// The entry that fits best.
pub(crate) fn choose<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let fitting = index.manifests.iter().filter_map(|entry| {
        let distance = match &entry.platform {
            Some(platform) => platform.distance(wanted)?,
            // Only where there is nothing to choose from.
            None if index.manifests.len() == 1 => u32::MAX,
            None => return None,
        };
        Some((distance, entry))
    });
    fitting.min_by_key(|(distance, _)| *distance).map(|(_, entry)| entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next(),
            ..Platform::default()
        }
    }

    /// The place of the chosen entry.
    fn chosen(entries: &[&str], wanted: &str) -> Option<usize> {
        let entry = |(at, text): (usize, &&str)| Descriptor {
            media_type: String::new(),
            digest: Digest::from_sha256([u8::try_from(at).expect("few"); 32]),
            size: 0,
            platform: (!text.is_empty()).then(|| platform(text)),
            annotations: BTreeMap::default(),
            artifact_type: None,
        };
        let manifests: Vec<_> = entries.iter().enumerate().map(entry).collect();
        let index = Index {
            schema_version: 2,
            media_type: String::new(),
            manifests: manifests.clone(),
            annotations: BTreeMap::default(),
        };
        let found = choose(&index, &platform(wanted))?;
        manifests.iter().position(|entry| entry == found)
    }

    #[test]
    fn the_platform_that_fits_best_is_chosen() {
        let entries = ["unknown/unknown", "linux/arm/v6", "linux/amd64", "linux/arm/v7"];
        assert_eq!(chosen(&entries, "linux/amd64"), Some(2));
        assert_eq!(chosen(&entries, "linux/arm"), Some(3));
        assert_eq!(chosen(&entries, "linux/arm/v6"), Some(1));
        assert_eq!(chosen(&entries[..3], "linux/arm/v7"), Some(1));
        assert_eq!(chosen(&entries, "linux/arm/v5"), None);
        assert_eq!(chosen(&["linux/amd64/v3", "linux/amd64"], "linux/amd64"), Some(1));
        assert_eq!(chosen(&["linux/arm64/v8"], "linux/arm64"), Some(0));
        assert_eq!(chosen(&["windows/amd64"], "linux/amd64"), None);
    }

    #[test]
    fn an_entry_for_no_platform_counts_only_alone() {
        assert_eq!(chosen(&[""], "linux/amd64"), Some(0));
        assert_eq!(chosen(&["", "linux/s390x"], "linux/amd64"), None);
    }
}

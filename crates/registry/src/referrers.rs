//! What is attached to an image at its registry: signatures, bills of
//! materials, attestations. Each is a manifest that names the image's as its
//! subject.
//!
//! A registry of OCI distribution 1.1 lists them under `/referrers/DIGEST`. Of
//! an older one, whoever attaches something keeps a list himself: an index
//! under the tag `ALGORITHM-HEX` of the subject.

use crate::{
    Credentials, Error, Registry,
    answer::whole,
    manifests::{LARGEST, fetch},
    session::{Ask, Session},
    tags::next_of,
};
use reqwest::{Method, StatusCode, header};
use spec::{
    Digest, Reference,
    image::{Descriptor, Document, Index, media},
};
use std::collections::BTreeMap;

/// Pages of a list that are asked for at most.
const PAGES: usize = 100;
/// Entries of a list at most.
const ENTRIES: usize = 10_000;
/// Bytes of all its pages at most.
const ALL: u64 = 4 * LARGEST;
const DOING: &str = "list what refers to an image";

impl Registry {
    /// Lists what refers to a manifest or index, as an index; of one kind
    /// alone, if `artifact_type` is not empty. The entries' content is neither
    /// fetched nor checked.
    ///
    /// # Errors
    /// No image of that name, or the registry says no. To a digest that a
    /// registry does not know nothing refers.
    ///
    /// Source: OCI distribution specification 1.1, "Listing Referrers".
    pub fn referrers(
        &self,
        reference: &Reference,
        artifact_type: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Index, Error> {
        let (domain, path) = (reference.domain(), reference.path());
        let ask = |session: &Session<'_>| {
            let subject = match reference.digest() {
                Some(digest) => digest.clone(),
                None => fetch(session, reference)?.digest,
            };
            let mut manifests = match listed(session, &subject)? {
                Some(manifests) => manifests,
                None => tagged(session, reference, &subject)?,
            };
            if manifests.is_empty() && session.endpoint.mirror {
                // It may have the image and not what came to it later.
                let words = "a mirror knows of nothing that refers to it".into();
                return Err(Error::NoManifest { reference: reference.familiar(), words });
            }
            // Whether the registry could have done so does not matter then.
            manifests.retain(|entry| {
                artifact_type.is_empty() || entry.artifact_type.as_deref() == Some(artifact_type)
            });
            Ok(manifests)
        };
        let asked = self.at_endpoint(domain, path, credentials, true, ask);
        asked.map(|(_, manifests)| Index {
            schema_version: 2,
            media_type: media::OCI_INDEX.into(),
            manifests,
            annotations: BTreeMap::new(),
        })
    }
}

/// The registry's own list; none if it keeps none.
fn listed(session: &Session<'_>, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
    let (mut all, mut left) = (Vec::new(), ALL);
    let first = format!("/referrers/{subject}");
    let mut path = first.clone();
    for _ in 0..PAGES {
        let headers = [(header::ACCEPT, media::OCI_INDEX)];
        let ask = Ask { headers: &headers, ..Ask::new(Method::GET, &path, DOING) };
        let answer = session.send(&ask)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND if path == first => return Ok(None),
            _ => return Err(session.refused(answer, DOING)),
        }
        let next = answer.headers().get(header::LINK).and_then(|value| value.to_str().ok());
        let next = next.and_then(next_of).map(str::to_owned);
        let bytes = whole(answer, LARGEST, DOING)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Error::Invalid(format!("a list of what refers to {subject} of more than {ALL} bytes"))
        })?;
        all.extend(entries(&bytes)?);
        if all.len() > ENTRIES {
            return Err(Error::Invalid(format!("more than {ENTRIES} things refer to {subject}")));
        }
        match next {
            // Only ever its query is used: it leads nowhere else.
            Some(next) => path = format!("{first}?{next}"),
            None => return Ok(Some(all)),
        }
    }
    Err(Error::Invalid(format!("a list of what refers to {subject} of more than {PAGES} pages")))
}

/// The list under the subject's tag; empty if there is none.
fn tagged(
    session: &Session<'_>,
    reference: &Reference,
    subject: &Digest,
) -> Result<Vec<Descriptor>, Error> {
    let tag = format!("{}-{}", subject.algorithm(), subject.hex());
    let named = reference.with_tag(&tag).map_err(|e| Error::Invalid(e.to_string()))?;
    match fetch(session, &named) {
        Ok(found) => match found.document {
            Document::Index(index) => Ok(index.manifests),
            Document::Manifest(_) => Err(Error::Invalid(format!(
                "{tag} is no list of what refers to {subject}: it is a manifest"
            ))),
        },
        Err(Error::NoManifest { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn entries(bytes: &[u8]) -> Result<Vec<Descriptor>, Error> {
    let malformed = |words: String| Error::Invalid(format!("malformed list of referrers: {words}"));
    match Document::parse(bytes, media::OCI_INDEX) {
        Ok(Document::Index(index)) => Ok(index.manifests),
        Ok(Document::Manifest(_)) => Err(malformed("it is a manifest".into())),
        Err(e) => Err(malformed(e.to_string())),
    }
}

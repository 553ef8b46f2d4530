//! Smaller questions to a registry: who are we, what is under a name, what is
//! there to be found.

use crate::{
    Credentials, Error, Registry,
    answer::{SMALL, whole},
    blob::Blob,
    endpoint::Endpoint,
    manifests::fetch,
    session::{Ask, Session},
};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use spec::{
    Digest, Reference,
    image::{Document, Platform},
};

/// Where Docker Hub is searched, and what people log in to.
const HUB_INDEX: &str = "index.docker.io";

/// What a name points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As the registry announced it, or as it says itself.
    pub media_type: String,
    /// Of the document.
    pub digest: Digest,
    /// The document.
    pub bytes: Vec<u8>,
    /// What there are images for.
    pub platforms: Vec<Platform>,
}

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hit {
    /// Its name.
    pub name: String,
    /// By its owner.
    pub description: Option<String>,
    /// Of people who like it.
    pub star_count: i64,
    /// The registry vouches for it.
    pub is_official: bool,
    /// Built by the registry itself.
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Hits {
    #[serde(default)]
    results: Vec<Hit>,
}

impl Registry {
    /// Whether a registry takes these credentials.
    ///
    /// # Errors
    /// It does not, or cannot be reached.
    pub fn login(&self, credentials: &Credentials) -> Result<(), Error> {
        let domain = domain_of(&credentials.serveraddress);
        self.at_endpoint(&domain, "", Some(credentials), false, Session::greet).map(|_| ())
    }

    /// What a name points to, without fetching it.
    ///
    /// # Errors
    /// There is no such thing, or the registry says no.
    pub fn look(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Found, Error> {
        let (domain, path) = (reference.domain(), reference.path());
        let ask = |session: &Session<'_>| {
            let found = fetch(session, reference)?;
            let (inside, platforms) = match &found.document {
                Document::Index(index) => {
                    let platforms = index.manifests.iter().filter_map(|m| m.platform.clone());
                    (&index.media_type, platforms.collect())
                }
                Document::Manifest(manifest) => {
                    let config = Blob::new(session, &manifest.config, &mut |_| Ok(())).config()?;
                    // What is no image runs on nothing.
                    let platform = serde_json::from_slice::<Platform>(&config).ok();
                    let platform = platform.filter(|p| !p.os.is_empty());
                    (&manifest.media_type, platform.into_iter().collect())
                }
            };
            let media_type =
                if inside.is_empty() { found.media_type.clone() } else { inside.clone() };
            Ok(Found { media_type, digest: found.digest, bytes: found.bytes, platforms })
        };
        self.at_endpoint(domain, path, credentials, true, ask).map(|(_, found)| found)
    }

    /// Searches a registry for repositories.
    ///
    /// # Errors
    /// It does not let itself be searched.
    pub fn search(
        &self,
        term: &str,
        limit: u32,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Hit>, Error> {
        const DOING: &str = "search";
        let (domain, term) = match term.split_once('/') {
            Some((domain, rest)) if domain.contains(['.', ':']) || domain == "localhost" => {
                (domain, rest)
            }
            _ => ("docker.io", term),
        };
        let ask = |session: &Session<'_>| {
            let mut url = Url::parse(&format!("{}/v1/search", session.endpoint.base))
                .map_err(|_| Error::Invalid(format!("{domain:?} is no registry")))?;
            url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
            let answer = session.send(&Ask::new(Method::GET, url.as_str(), DOING))?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => {
                    let host = session.endpoint.host();
                    return Err(Error::Unsearchable(host.to_owned()));
                }
                _ => return Err(session.refused(answer, DOING)),
            }
            let hits: Hits = serde_json::from_slice(&whole(answer, SMALL, DOING)?)
                .map_err(|e| Error::Invalid(format!("malformed result of a search: {e}")))?;
            Ok(hits.results)
        };
        if domain == "docker.io" {
            let base = format!("https://{HUB_INDEX}");
            let endpoint = Endpoint { base, checked: true, mirror: false };
            return ask(&Session::new(self, endpoint, "", credentials)?);
        }
        self.at_endpoint(domain, "", credentials, false, ask).map(|(_, hits)| hits)
    }
}

/// The registry of an address that people and clients log in to.
fn domain_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "" | HUB_INDEX | "docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        domain => domain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_registry() {
        for hub in ["", "https://index.docker.io/v1/", "docker.io"] {
            assert_eq!(domain_of(hub), "docker.io", "{hub}");
        }
        assert_eq!(domain_of("https://quay.io/v2/"), "quay.io");
        assert_eq!(domain_of("localhost:5000"), "localhost:5000");
    }
}

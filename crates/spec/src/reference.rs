//! Names of images, as people type them and as they are kept.
//!
//! `busybox` is short for `docker.io/library/busybox:latest`; what has a dot,
//! a colon or a capital letter before the first slash, or is `localhost`,
//! names a registry. A [`Reference`] is the long form; [`Reference::familiar`]
//! gives the short one back. Rules and error words are those of the Docker
//! Engine (grammar: the `reference` package of CNCF distribution).

use crate::digest::{Digest, NotADigest};
use serde::{Deserialize, Serialize};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
/// Longest repository name, the registry's part counted.
const LONGEST_NAME: usize = 255;
/// Longest tag.
const LONGEST_TAG: usize = 128;

/// A repository, and which image in it: by tag, by digest, by both, or (for
/// the repository alone) by neither.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAReference {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// A capital letter in the repository's name.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// It could be mistaken for an image's identifier.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// More than 255 characters.
    #[error("invalid reference format: repository name must not be more than 255 characters")]
    TooLong,
    /// What follows the `@` is no digest.
    #[error("invalid reference format: {0}")]
    Digest(NotADigest),
}

impl Reference {
    /// The registry's host, with its port where one was given.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's path on that registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository alone, in full: `docker.io/library/busybox`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository alone, as people write it: `busybox`. In full where the
    /// short form would be read as something else (`docker.io/a.example/b`).
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        let short = match self.path.strip_prefix(OFFICIAL) {
            Some(rest) if !rest.contains('/') => rest,
            _ => &self.path,
        };
        let read = short.parse::<Self>();
        if read.is_ok_and(|read| read.domain == self.domain && read.path == self.path) {
            short.to_owned()
        } else {
            self.repository()
        }
    }

    /// As people write it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        self.familiar_repository() + &self.suffix()
    }

    /// True where neither tag nor digest was given.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The same, with the tag `latest` where neither tag nor digest was given.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some("latest".into());
        }
        self
    }

    /// The same repository with this tag and no digest.
    ///
    /// # Errors
    /// [`NotAReference::Format`] where that is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, NotAReference> {
        if !is_tag(tag) {
            return Err(NotAReference::Format);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    fn suffix(&self) -> String {
        let mut text = String::new();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl std::str::FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(NotAReference::Identifier(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match named.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NotAReference::Uppercase(path.to_owned()));
        }
        if !is_domain(domain) || !path.split('/').all(is_path_component) || !tag.is_none_or(is_tag)
        {
            return Err(NotAReference::Format);
        }
        if domain.len() + 1 + path.len() > LONGEST_NAME {
            return Err(NotAReference::TooLong);
        }
        let digest = match digest {
            Some(digest) if looks_like_a_digest(digest) => {
                Some(digest.parse().map_err(NotAReference::Digest)?)
            }
            Some(_) => return Err(NotAReference::Format),
            None => None,
        };
        Ok(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl TryFrom<String> for Reference {
    type Error = NotAReference;

    fn try_from(text: String) -> Result<Self, NotAReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

/// The registry, given or understood, and the rest in full.
fn split_domain(text: &str) -> (&str, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain, format!("{OFFICIAL}{rest}"));
    }
    (domain, rest.to_owned())
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// `host`, `host:port` or `[v6]:port`.
fn is_domain(text: &str) -> bool {
    let port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return false };
        let bare = |b: u8| b.is_ascii_hexdigit() || b == b':';
        return !address.is_empty()
            && address.bytes().all(bare)
            && (after.is_empty() || after.strip_prefix(':').is_some_and(port));
    }
    let (host, number) = match text.split_once(':') {
        Some((host, number)) => (host, Some(number)),
        None => (text, None),
    };
    host.split('.').all(is_domain_component) && number.is_none_or(port)
}

fn is_domain_component(text: &str) -> bool {
    let alnum = |b: &u8| b.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alnum)
        && bytes.last().is_some_and(alnum)
        && bytes.iter().all(|b| alnum(b) || *b == b'-')
}

/// Lower-case letters and digits with single separators between: `.`, `_`,
/// `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !text.bytes().next().is_some_and(word) || !text.bytes().last().is_some_and(word) {
        return false;
    }
    text.split(|c: char| u8::try_from(c).is_ok_and(word))
        .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Whether the grammar sees a digest here; what is wrong with it comes after.
fn looks_like_a_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        let part = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
                && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        algorithm.split(['-', '_', '+', '.']).all(part)
            && hex.len() >= 32
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(text: &str) -> Result<String, NotAReference> {
        text.parse::<Reference>().map(|r| r.to_string())
    }

    #[test]
    fn short_names_mean_the_default_registry() {
        for (short, long) in [
            ("busybox", "docker.io/library/busybox"),
            ("busybox:1", "docker.io/library/busybox:1"),
            ("me/app:v1.2-rc_3", "docker.io/me/app:v1.2-rc_3"),
            ("docker.io/busybox", "docker.io/library/busybox"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/app:x", "localhost:5000/app:x"),
            ("[::1]:5000/app", "[::1]:5000/app"),
            ("ghcr.io/a/b/c", "ghcr.io/a/b/c"),
            ("Foo/bar", "Foo/bar"),
            ("a__b-c---d.e", "docker.io/library/a__b-c---d.e"),
        ] {
            assert_eq!(full(short).as_deref(), Ok(long));
        }
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        let words = |text: &str| full(text).map_err(|e| e.to_string());
        let format = Err("invalid reference format".to_owned());
        for text in [
            "",
            ":tag",
            "a:",
            "a b",
            "-a",
            "a..b",
            "a___b",
            "a/",
            "/a",
            "a//b",
            "a:b:c",
            "a@b",
            "a:-x",
            "a@sha256:ab",
            "..",
            "a/../b",
            "exa_mple.com:80/a",
            "a:tag@",
        ] {
            assert_eq!(words(text), format, "{text:?}");
        }
        assert_eq!(
            words("Busybox"),
            Err("invalid reference format: repository name (library/Busybox) must be lowercase"
                .into())
        );
        assert!(words(&"a".repeat(64)).is_err_and(|e| e.contains("64-byte hexadecimal")));
        assert!(words(&"z".repeat(256)).is_err_and(|e| e.contains("255 characters")));
        let short = format!("a@sha256:{}", "0".repeat(40));
        assert!(words(&short).is_err_and(|e| e.contains("digest length")));
    }

    #[test]
    fn a_digest_stands_beside_a_tag() {
        let text = format!("busybox:1@sha256:{}", "0".repeat(64));
        let reference: Reference = text.parse().expect("tag and digest");
        assert_eq!(reference.tag(), Some("1"));
        assert!(reference.digest().is_some());
        assert_eq!(reference.familiar(), text);
    }

    #[test]
    fn without_tag_and_digest_latest_is_meant() {
        let familiar = |text: &str| text.parse::<Reference>().map(|r| r.or_latest().familiar());
        assert_eq!(familiar("busybox").as_deref(), Ok("busybox:latest"));
        assert_eq!(familiar("busybox:1").as_deref(), Ok("busybox:1"));
    }

    #[test]
    fn a_short_form_that_means_another_is_not_used() {
        for name in ["docker.io/a.example/b:1", &format!("docker.io/library/{}:1", "a".repeat(64))]
        {
            let reference: Reference = name.parse().expect(name);
            assert_eq!(reference.familiar(), name);
        }
        let short: Reference = "docker.io/a/b".parse().expect("a name");
        assert_eq!(short.familiar(), "a/b");
    }

    proptest! {
        #[test]
        fn any_text_is_a_reference_or_an_error(text in "\\PC{0,80}") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn both_spellings_read_back_as_the_same(
            text in "([a-z0-9]{1,8}(\\.[a-z]{2,3}|:[0-9]{1,4})/)?([a-z0-9]{1,5}([._]|__|-{1,2})?[a-z]{1,3}/){0,2}[a-z0-9]{1,10}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,10})?"
        ) {
            let reference: Reference = text.parse().expect("made after the grammar");
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
            prop_assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference));
        }
    }
}

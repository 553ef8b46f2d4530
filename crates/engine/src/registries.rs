//! What needs a registry: `pull`, `push`, `login`, `search`.

use crate::{Engine, Error, Kind};
use image::Given;
use registry::{Credentials, Found, Hit, Pull, Pulled, Push, Said, Settings};
use spec::{Digest, Reference, image::Platform};
use std::{collections::BTreeMap, io};

/// Where the files of registries are: certificates of theirs, and ours for
/// them. Docker's are as good as our own.
const CERTS: [&str; 2] = ["/etc/cofferdam/certs.d", "/etc/docker/certs.d"];

/// `pull` of an image.
#[derive(Clone, Debug, Default)]
pub struct PullWish {
    /// `repository[:tag][@digest]`.
    pub image: String,
    /// A tag or digest that outranks the one in `image`; with neither, all
    /// tags of the repository are meant.
    pub tag: String,
    /// `linux/arm64/v8`; empty for the host's.
    pub platform: String,
    /// For the registry, as the client sent them.
    pub credentials: Credentials,
}

impl PullWish {
    fn reference(&self) -> Result<Reference, Error> {
        let invalid = |e: spec::reference::NotAReference| Error::Invalid(e.to_string());
        let named = self.image.parse::<Reference>().map_err(invalid)?;
        if self.tag.is_empty() || named.digest().is_some() {
            return Ok(named);
        }
        if self.tag.contains(':') {
            let digest = self.tag.parse().map_err(|e: spec::digest::NotADigest| {
                Error::Invalid(format!("invalid reference format: {e}"))
            })?;
            return Ok(named.with_digest(digest));
        }
        named.with_tag(&self.tag).map_err(invalid)
    }
}

/// What a single word can say of a platform: Go's `GOOS` and `GOARCH`, of which
/// the platforms of images are made.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];
const ARCHITECTURES: [&str; 17] = [
    "386", "amd64", "arm", "arm64", "armbe", "loong64", "mips", "mips64", "mips64le", "mipsle",
    "ppc64", "ppc64le", "riscv", "riscv64", "s390x", "sparc64", "wasm",
];

/// `os[/architecture[/variant]]` or an architecture alone, in the spellings
/// that people use.
pub(crate) fn platform(text: &str) -> Result<Option<Platform>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let parts: Vec<String> = text.split('/').map(str::to_ascii_lowercase).collect();
    let valid = |part: &String| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    if parts.len() > 3 || !parts.iter().all(valid) {
        return Err(Error::Invalid(format!(
            "{text:?} is an invalid OS component of {text:?}: OS[/ARCHITECTURE[/VARIANT]] is wanted"
        )));
    }
    let host = image::host();
    let (os, architecture) = match parts.as_slice() {
        [one] if SYSTEMS.contains(&one.as_str()) => (one.clone(), host.architecture),
        [one] if ARCHITECTURES.contains(&common_name(one)) => (host.os, one.clone()),
        [_] => {
            return Err(Error::Invalid(format!(
                "{text:?}: unknown operating system or architecture: invalid argument"
            )));
        }
        [os, architecture, ..] => (os.clone(), architecture.clone()),
        [] => return Ok(None),
    };
    let architecture = common_name(&architecture).to_owned();
    Ok(Some(Platform { os, architecture, variant: parts.get(2).cloned(), ..Platform::default() }))
}

/// The one spelling of an architecture that has several.
fn common_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" => "386",
        other => other,
    }
}

/// How to speak to registries, by the words that the daemon was given.
pub(crate) fn settings(options: &crate::Options) -> Settings {
    Settings {
        mirrors: options.registry_mirrors.clone(),
        insecure: options.insecure_registries.clone(),
        pace: registry::Pace::default(),
        certs: CERTS.map(Into::into).into(),
    }
}

impl Engine {
    /// Fetches an image from a registry; `listen` is told how it goes, and
    /// ends it by an error.
    ///
    /// # Errors
    /// The registry does not have it, cannot be reached, or gives something
    /// that is not to be believed.
    pub fn pull(
        &self,
        wish: &PullWish,
        listen: &mut dyn FnMut(Said) -> io::Result<()>,
    ) -> Result<(), Error> {
        let reference = wish.reference()?;
        let platform = platform(&wish.platform)?;
        let credentials = somebody(&wish.credentials).cloned();
        let house = &self.0;
        let mut wishes = vec![Pull { reference, platform, credentials }];
        if wishes[0].reference.is_name_only() {
            let all = wishes.remove(0);
            for tag in house.registry.tags(&all.reference, all.credentials.as_ref())? {
                let reference =
                    all.reference.with_tag(&tag).map_err(|e| Error::Invalid(e.to_string()))?;
                wishes.push(Pull { reference, ..all.clone() });
            }
        }
        for wish in &wishes {
            self.pull_one(wish, listen)?;
        }
        Ok(())
    }

    fn pull_one(
        &self,
        wish: &Pull,
        listen: &mut dyn FnMut(Said) -> io::Result<()>,
    ) -> Result<Pulled, Error> {
        let house = &self.0;
        let pulled = house.registry.pull(&house.images, wish, listen)?;
        let name = wish.reference.familiar();
        let repository = wish.reference.familiar_repository();
        tracing::info!(image = name, id = %pulled.id, new = pulled.new, "pulled");
        let attributes = BTreeMap::from([("name".to_owned(), repository)]);
        house.journal.say("image", "pull", &name, attributes);
        self.disk_has_changed();
        Ok(pulled)
    }

    /// Fetches one image for a time; its id, and the name that it was given
    /// by this, if by nothing else.
    pub(crate) fn pull_for_a_time(
        &self,
        reference: Reference,
        credentials: &Credentials,
        listen: &mut dyn FnMut(Said) -> io::Result<()>,
    ) -> Result<(Digest, Option<Given>), Error> {
        let credentials = somebody(credentials).cloned();
        let wish = Pull { reference, platform: None, credentials };
        let pulled = self.pull_one(&wish, listen)?;
        let named = pulled.new && wish.reference.digest().is_none();
        let given = named.then(|| self.0.images.given(&wish.reference, &pulled.id)).transpose()?;
        Ok((pulled.id, given))
    }
}

/// Nobody in particular needs no introduction.
fn somebody(credentials: &Credentials) -> Option<&Credentials> {
    Some(credentials).filter(|credentials| !credentials.is_nobody())
}

impl Engine {
    /// Sends an image to the registry of its name; without a tag, all of the
    /// repository's.
    ///
    /// # Errors
    /// There is no such image, or the registry does not want it.
    pub fn push(
        &self,
        name: &str,
        tag: &str,
        credentials: &Credentials,
        listen: &mut dyn FnMut(Said) -> io::Result<()>,
    ) -> Result<(), Error> {
        let wish = PullWish { image: name.into(), tag: tag.into(), ..PullWish::default() };
        let wanted = wish.reference()?;
        if wanted.digest().is_some() {
            return Err(Error::Invalid("cannot push a digest reference".into()));
        }
        let house = &self.0;
        let mut tagged = house.images.tagged(&wanted.repository())?;
        tagged.retain(|(name, _)| wanted.tag().is_none_or(|tag| name.tag() == Some(tag)));
        // Clients look for the failure of a push in what it says: whatever is
        // to come, this comes before.
        let repository = wanted.repository();
        listen(Said::plain(format!("The push refers to repository [{repository}]")))
            .map_err(|error| Error::below(Kind::Host, &error))?;
        if tagged.is_empty() {
            let name = wanted.familiar();
            return Err(Error::Below {
                kind: Kind::NotFound,
                message: format!("An image does not exist locally with the tag: {name}"),
            });
        }
        for (reference, id) in tagged {
            let name = reference.familiar();
            let push = Push { reference, id, credentials: somebody(credentials).cloned() };
            let pushed = house.registry.push(&house.images, &push, listen)?;
            tracing::info!(image = name, digest = %pushed.digest, "pushed");
            let attributes =
                BTreeMap::from([("name".to_owned(), push.reference.familiar_repository())]);
            house.journal.say("image", "push", &name, attributes);
        }
        Ok(())
    }

    /// Whether a registry takes these credentials.
    ///
    /// # Errors
    /// It does not.
    pub fn login(&self, credentials: &Credentials) -> Result<(), Error> {
        Ok(self.0.registry.login(credentials)?)
    }

    /// What a name points to at its registry.
    ///
    /// # Errors
    /// Nothing.
    pub fn look_up(&self, name: &str, credentials: &Credentials) -> Result<Found, Error> {
        let reference = name.parse::<Reference>().map_err(|e| Error::Invalid(e.to_string()))?;
        Ok(self.0.registry.look(&reference.or_latest(), somebody(credentials))?)
    }

    /// What refers to an image at its registry, as an index; of one kind
    /// alone, if that is not empty.
    ///
    /// # Errors
    /// There is no such image, or the registry says no.
    pub fn referrers(
        &self,
        name: &str,
        artifact_type: &str,
        credentials: &Credentials,
    ) -> Result<spec::image::Index, Error> {
        let reference = name.parse::<Reference>().map_err(|e| Error::Invalid(e.to_string()))?;
        let credentials = somebody(credentials);
        Ok(self.0.registry.referrers(&reference.or_latest(), artifact_type, credentials)?)
    }

    /// Searches a registry.
    ///
    /// # Errors
    /// It cannot be searched.
    pub fn search(
        &self,
        term: &str,
        limit: u32,
        credentials: &Credentials,
    ) -> Result<Vec<Hit>, Error> {
        Ok(self.0.registry.search(term, limit, somebody(credentials))?)
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        let kind = match error.kind() {
            registry::Kind::NotFound => Kind::NotFound,
            registry::Kind::Unauthorized => Kind::Unauthorized,
            registry::Kind::Invalid => Kind::Invalid,
            registry::Kind::Unsupported => Kind::Unsupported,
            registry::Kind::Conflict => Kind::Conflict,
            registry::Kind::Host => Kind::Host,
        };
        Self::below(kind, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(image: &str, tag: &str) -> Result<String, String> {
        let wish = PullWish { image: image.into(), tag: tag.into(), ..PullWish::default() };
        wish.reference().map(|r| r.familiar()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_tag_outranks_the_names_and_a_digest_all_tags() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(named("a", "1").as_deref(), Ok("a:1"));
        assert_eq!(named("a:1", "").as_deref(), Ok("a:1"));
        assert_eq!(named("a:1", "2").as_deref(), Ok("a:2"));
        assert_eq!(named("a", ""), Ok("a".into()), "all tags");
        assert_eq!(named("a", &digest), Ok(format!("a@{digest}")));
        assert!(named(&format!("a@{digest}"), "1").is_ok_and(|name| name.contains(&digest)));
        assert!(named("a", "sha256:0").is_err() && named("A", "").is_err());
    }

    #[test]
    fn a_platform_is_spelt_in_several_ways_and_not_in_any() {
        let read = |text| platform(text).expect(text).expect(text);
        assert_eq!(read("linux/aarch64").architecture, "arm64");
        assert_eq!(read("Linux/x86_64").architecture, "amd64");
        assert_eq!(read("linux").architecture, image::host().architecture);
        assert_eq!(read("linux/arm/v6").variant.as_deref(), Some("v6"));
        let alone = read("aarch64");
        assert_eq!((alone.os, alone.architecture), (image::host().os, "arm64".into()));
        for text in ["linux/", "linux/arm/v6/x", "linux/a b", "foo", "linux64"] {
            assert!(platform(text).is_err(), "{text}");
        }
    }
}

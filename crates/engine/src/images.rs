//! Images, as clients see them.

use crate::{Archive, Engine, Error, Filters, Nanos};
use spec::docker::Config;
use std::{collections::BTreeMap, io::Read};

/// A row of `images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// `sha256:…`.
    pub id: String,
    /// `repository:tag`, in Docker's familiar spelling.
    pub repo_tags: Vec<String>,
    /// `repository@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Of the image it was made from; empty if not known.
    pub parent: String,
    /// By its own word.
    pub created: Nanos,
    /// Bytes, unpacked.
    pub size: u64,
    /// Of its configuration.
    pub labels: BTreeMap<String, String>,
    /// How many containers were made from it.
    pub containers: u64,
}

/// `inspect` of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageDetail {
    /// What `images` shows as well.
    pub summary: ImageSummary,
    /// Of the configuration.
    pub comment: String,
    /// Of the configuration.
    pub author: String,
    /// `amd64`, …
    pub architecture: String,
    /// `v8`, …; empty if none.
    pub variant: String,
    /// `linux`.
    pub os: String,
    /// What a container gets that does not say otherwise.
    pub config: Config,
    /// Diff identifiers of its layers, lowest first.
    pub layers: Vec<String>,
    /// When a name was last given to it here.
    pub tagged: Nanos,
}

/// A row of `history`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryItem {
    /// `sha256:…`, or `<missing>`.
    pub id: String,
    /// By the image's word.
    pub created: Nanos,
    /// The instruction.
    pub created_by: String,
    /// Names, on the topmost.
    pub tags: Vec<String>,
    /// Bytes of its layer.
    pub size: u64,
    /// For people.
    pub comment: String,
}

/// What happened to one name or image of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// A name went.
    Untagged(String),
    /// An image or layer went.
    Deleted(String),
}

/// What a prune removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Identifiers or names.
    pub removed: Vec<String>,
    /// Of images, in order.
    pub images: Vec<Deleted>,
    /// Bytes.
    pub reclaimed: u64,
}

/// `import` of a root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportWish {
    /// `repository[:tag]`; none for an image without name.
    pub reference: Option<String>,
    /// For people.
    pub message: String,
    /// Dockerfile instructions (`CMD …`, `ENV …`).
    pub changes: Vec<String>,
    /// `linux/amd64`; empty for the host's.
    pub platform: String,
}

/// `commit` of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitWish {
    /// `repository[:tag]`; none for an image without name.
    pub reference: Option<String>,
    /// For people.
    pub comment: String,
    /// For people.
    pub author: String,
    /// Freeze it meanwhile.
    pub pause: bool,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Laid over the container's own configuration.
    pub config: Option<Config>,
}

impl Engine {
    /// All images, newest first; `all` shows intermediate ones too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn images(&self, all: bool) -> Result<Vec<ImageSummary>, Error> {
        todo!()
    }

    /// By name, digest or prefix of one.
    ///
    /// # Errors
    /// None such.
    pub fn image(&self, reference: &str) -> Result<ImageDetail, Error> {
        todo!()
    }

    /// Makes an image of a root file system's tar (gzip, zstd, plain);
    /// returns its identifier.
    ///
    /// # Errors
    /// A hostile or broken archive; a malformed name or change.
    pub fn import(&self, wish: &ImportWish, input: &mut dyn Read) -> Result<String, Error> {
        todo!()
    }

    /// Takes in a docker-archive or an OCI layout; calls `said` with lines
    /// such as `Loaded image: alpine:3.10`.
    ///
    /// # Errors
    /// A hostile or broken archive.
    pub fn load(&self, input: &mut dyn Read, said: &mut dyn FnMut(&str)) -> Result<(), Error> {
        todo!()
    }

    /// Writes images out so that `load` and Docker can read them.
    ///
    /// # Errors
    /// No such image.
    pub fn save(&self, references: &[String]) -> Result<Archive, Error> {
        todo!()
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// No such image; a malformed name.
    pub fn tag(&self, reference: &str, repository: &str, tag: &str) -> Result<(), Error> {
        todo!()
    }

    /// Takes a name away, and the image with its last.
    ///
    /// # Errors
    /// No such image; in use.
    pub fn remove_image(
        &self,
        reference: &str,
        force: bool,
        prune: bool,
    ) -> Result<Vec<Deleted>, Error> {
        todo!()
    }

    /// How an image came about, newest first.
    ///
    /// # Errors
    /// No such image.
    pub fn history(&self, reference: &str) -> Result<Vec<HistoryItem>, Error> {
        todo!()
    }

    /// Makes an image of a container; returns its identifier.
    ///
    /// # Errors
    /// No such container; a malformed name or change.
    pub fn commit(&self, reference: &str, wish: &CommitWish) -> Result<String, Error> {
        todo!()
    }

    /// Removes images that nothing uses, as far as the filters (`dangling`,
    /// `until`, `label`, `label!`) let.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_images(&self, filters: &Filters) -> Result<Pruned, Error> {
        todo!()
    }

    /// Gets an image from a registry.
    ///
    /// # Errors
    /// `Unsupported`, unless the image is here.
    pub fn pull(&self, reference: &str) -> Result<(), Error> {
        todo!()
    }
}

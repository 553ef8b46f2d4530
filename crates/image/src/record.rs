//! Images as callers see them.

use spec::{Digest, image::ImageConfig};

/// A row of `images`.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Digest of the configuration.
    pub id: Digest,
    /// `repository:tag`, in Docker's familiar spelling, sorted.
    pub repo_tags: Vec<String>,
    /// `repository@sha256:…`, in Docker's familiar spelling, sorted.
    pub repo_digests: Vec<String>,
    /// The image it was made from here, if it was.
    pub parent: Option<Digest>,
    /// By its own word, nanoseconds since the epoch; 0 for none.
    pub created: u64,
    /// When a name was last given to it here, nanoseconds since the epoch.
    pub tagged: u64,
    /// Bytes of its layers, unpacked.
    pub size: u64,
    /// Of its configuration.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// Everything about one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// What `images` shows as well.
    pub summary: Summary,
    /// The whole configuration.
    pub config: ImageConfig,
}

/// A row of `history`, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryItem {
    /// None where no image here is that step (`<missing>`).
    pub id: Option<Digest>,
    /// Nanoseconds since the epoch; 0 for none.
    pub created: u64,
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
    /// In order.
    pub deleted: Vec<Deleted>,
    /// Bytes.
    pub reclaimed: u64,
}

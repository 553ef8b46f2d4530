//! The two layouts of an image archive, as documents: Docker's own
//! (`manifest.json`) and the OCI's (`index.json`).

use serde::{Deserialize, Serialize};
use spec::{Digest, image::Descriptor};
use std::collections::BTreeMap;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const INDEX: &str = "index.json";
pub(crate) const LAYOUT: &str = "oci-layout";
pub(crate) const REPOSITORIES: &str = "repositories";
pub(crate) const BLOBS: &str = "blobs/sha256/";
/// What `oci-layout` says.
pub(crate) const LAYOUT_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Annotations of an index's entry: the whole name, and its tag.
pub(crate) const NAME: &str = "io.containerd.image.name";
pub(crate) const TAG: &str = "org.opencontainers.image.ref.name";

/// One image of `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    /// Path of the configuration.
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// Paths of the layers, lowest first.
    pub layers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_sources: Option<BTreeMap<Digest, Descriptor>>,
}

/// A document of ours: maps have text for keys, so that it always can be
/// written.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}

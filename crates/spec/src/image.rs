//! Images as documents: what the OCI image specification (1.1) and Docker's
//! manifest schema 2 write down. The two differ in media types alone, so one
//! set of types reads both.

use crate::Digest;
use crate::docker::{self, null_is_default};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Media types, by what they are for.
#[allow(missing_docs)]
pub mod media {
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// Whether this is an index of manifests.
    pub fn is_index(text: &str) -> bool {
        matches!(text, OCI_INDEX | DOCKER_LIST)
    }

    /// Whether this is a layer: a tar, perhaps compressed, perhaps one that its
    /// maker would rather not see passed on.
    pub fn is_layer(text: &str) -> bool {
        let tar = text
            .strip_prefix("application/vnd.oci.image.layer.v1.")
            .or_else(|| text.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1."))
            .or_else(|| text.strip_prefix("application/vnd.docker.image.rootfs.diff."))
            .or_else(|| text.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff."));
        matches!(tar, Some("tar" | "tar+gzip" | "tar+zstd" | "tar.gzip" | "tar.zstd"))
    }

    /// Whether this is the manifest of one image.
    pub fn is_manifest(text: &str) -> bool {
        matches!(text, OCI_MANIFEST | DOCKER_MANIFEST)
    }
}

/// Points at content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
}

impl Platform {
    /// How far what is for this falls short of what is wanted; none if it does
    /// not run there at all.
    #[must_use]
    pub fn distance(&self, wanted: &Self) -> Option<u32> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        let (found, wanted) = (self.version(), wanted.version());
        match wanted.checked_sub(found) {
            // 32-bit ARM and x86-64 run what is made for their forebears.
            Some(distance) if wanted != 8 || distance == 0 => Some(distance),
            _ => None,
        }
    }

    /// Whether a machine of this platform runs what is for `program` as it is:
    /// its own, whatever the variant, and that of its forebears of 32 bits.
    #[must_use]
    pub fn runs(&self, program: &Self) -> bool {
        let pair = (self.architecture.as_str(), program.architecture.as_str());
        self.os == program.os
            && (pair.0 == pair.1 || matches!(pair, ("amd64", "386") | ("arm64", "arm")))
    }

    /// The number of the variant; what is meant where none is given.
    fn version(&self) -> u32 {
        let given = self.variant.as_deref().unwrap_or_default();
        let given = given.strip_prefix('v').unwrap_or(given).parse().ok();
        given.unwrap_or(match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        })
    }
}

/// `linux/arm64/v8`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            None | Some("") => Ok(()),
            Some(variant) => write!(f, "/{variant}"),
        }
    }
}

/// One image: a configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Several images under one name, one for each platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// What a registry or an archive holds under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

/// A document that is not what it says it is.
#[derive(Debug, thiserror::Error)]
pub enum BadDocument {
    /// No JSON, or fields missing or of the wrong kind.
    #[error("malformed manifest")]
    Malformed(#[from] serde_json::Error),
    /// It could be read as two different images (CVE-2021-41190).
    #[error("ambiguous manifest: it lists both layers and manifests")]
    Ambiguous,
    /// Neither.
    #[error("not a manifest: it lists neither layers nor manifests")]
    Neither,
    /// Another format.
    #[error("unsupported manifest schema version {0}")]
    Version(u64),
    /// It contradicts the media type inside it, or the one it came with.
    #[error("manifest of media type {found:?} where {expected:?} was announced")]
    MediaType {
        /// What came with it, or follows from its content.
        expected: String,
        /// What it says.
        found: String,
    },
}

impl Document {
    /// Reads a document that was announced as `media_type` (empty: by nobody).
    ///
    /// # Errors
    /// [`BadDocument`] for whatever could be understood in two ways.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, BadDocument> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        let has = |key: &str| value.get(key).is_some_and(|v| !v.is_null());
        if has("fsLayers") {
            return Err(BadDocument::Version(1));
        }
        match value.get("schemaVersion").and_then(serde_json::Value::as_u64) {
            Some(2) => {}
            other => return Err(BadDocument::Version(other.unwrap_or(0))),
        }
        let is_index = match (has("layers") || has("config"), has("manifests")) {
            (true, true) => return Err(BadDocument::Ambiguous),
            (false, false) => return Err(BadDocument::Neither),
            (_, index) => index,
        };
        let inside = value.get("mediaType").and_then(|v| v.as_str()).unwrap_or("").to_owned();
        let fits = if is_index { media::is_index } else { media::is_manifest };
        let default = if is_index { media::OCI_INDEX } else { media::OCI_MANIFEST };
        if !inside.is_empty() && !fits(&inside) {
            return Err(BadDocument::MediaType { expected: default.into(), found: inside });
        }
        let announced = media_type.split(';').next().unwrap_or("").trim();
        let known = media::is_index(announced) || media::is_manifest(announced);
        if known && (!fits(announced) || (!inside.is_empty() && inside != announced)) {
            let found = if inside.is_empty() { default.to_owned() } else { inside };
            return Err(BadDocument::MediaType { expected: announced.to_owned(), found });
        }
        Ok(if is_index {
            Self::Index(serde_json::from_value(value)?)
        } else {
            Self::Manifest(Box::new(serde_json::from_value(value)?))
        })
    }
}

/// The configuration of an image; its digest is the image's identifier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ImageConfig {
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
    /// The container that `commit` made it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub config: docker::Config,
    #[serde(deserialize_with = "null_is_default")]
    pub rootfs: RootFs,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub history: Vec<History>,
}

impl ImageConfig {
    /// What it runs on; none if it does not say, as images of old do not.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        (!self.os.is_empty() && !self.architecture.is_empty()).then(|| Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        })
    }
}

/// The layers of an image, by the digests of their plain tars, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One step that made an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct History {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// It changed the configuration alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: &str = r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":1}"#;

    fn parse(text: &str, announced: &str) -> Result<Document, String> {
        Document::parse(text.as_bytes(), announced).map_err(|e| e.to_string())
    }

    #[test]
    fn a_manifest_is_known_by_its_content() {
        let text = format!(r#"{{"schemaVersion":2,"config":{LAYER},"layers":[{LAYER}]}}"#);
        assert!(matches!(parse(&text, ""), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&text, media::OCI_MANIFEST), Ok(Document::Manifest(_))));
    }

    #[test]
    fn a_document_of_two_meanings_is_refused() {
        let both = format!(
            r#"{{"schemaVersion":2,"config":{LAYER},"layers":[{LAYER}],"manifests":[{LAYER}]}}"#
        );
        assert!(parse(&both, "").is_err_and(|e| e.contains("ambiguous")));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{LAYER}]}}"#);
        assert!(parse(&index, media::OCI_MANIFEST).is_err_and(|e| e.contains("announced")));
        let lying = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{LAYER},"layers":[]}}"#,
            media::OCI_INDEX
        );
        assert!(parse(&lying, "").is_err_and(|e| e.contains("announced")));
    }

    #[test]
    fn what_go_writes_in_a_configuration_is_read() {
        let text = r#"{"architecture":"amd64","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"Labels":null,"OnBuild":null},"created":"2024-01-01T00:00:00Z","history":[{"created_by":"x","empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":null}}"#;
        let config: ImageConfig = serde_json::from_str(text).expect("as docker writes it");
        assert!(config.history[0].empty_layer && config.rootfs.diff_ids.is_empty());
    }
}

//! What a registry is sent of an image.

use crate::{Error, Store};
use spec::Digest;
use std::io::Write;

impl Store {
    /// An image's configuration, as it came or was made, and the diff ids of
    /// its layers, lowest first.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn documents(&self, id: &Digest) -> Result<(Vec<u8>, Vec<Digest>), Error> {
        self.row(id)?;
        let layers = self.records.layers(id)?;
        Ok((self.content.get(id)?, layers.into_iter().map(|(diff_id, _)| diff_id).collect()))
    }

    /// The manifests and indexes that registries have given for an image.
    ///
    /// # Errors
    /// What the host said.
    pub fn manifests(&self, id: &Digest) -> Result<Vec<Vec<u8>>, Error> {
        let names = self.records.names(id)?;
        let digests = names.iter().filter_map(|name| name.reference().digest());
        digests.map(|digest| self.content.get(digest)).collect()
    }

    /// Writes the plain tar of a layer, the same bytes that it came as.
    ///
    /// # Errors
    /// There is none such; what the host said.
    pub fn write_layer(&self, diff_id: &Digest, out: &mut dyn Write) -> Result<(), Error> {
        // Not removed while it is read.
        let mut lease = self.content.lease();
        lease.take(diff_id)?.ok_or_else(|| Error::Missing(diff_id.to_string()))?;
        self.content.repack(diff_id, out)
    }

    /// Bytes of a layer's plain tar.
    ///
    /// # Errors
    /// There is none such.
    pub fn tar_size(&self, diff_id: &Digest) -> Result<u64, Error> {
        let figures = self.content.lease().take(diff_id)?;
        figures.map(|f| f.tar).ok_or_else(|| Error::Missing(diff_id.to_string()))
    }

    /// Names with a tag in a repository (`docker.io/library/busybox`), each
    /// with its image.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn tagged(&self, repository: &str) -> Result<Vec<(spec::Reference, Digest)>, Error> {
        self.records.names_in(repository)
    }
}

//! Images, as clients see them.

use crate::{Archive, Container, Engine, Error, Filters, Nanos, State, house::House};
use spec::{Digest, Reference, docker::Config};
use std::{collections::BTreeMap, io::Read, sync::Arc};

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

impl From<image::Deleted> for Deleted {
    fn from(deleted: image::Deleted) -> Self {
        match deleted {
            image::Deleted::Untagged(name) => Self::Untagged(name),
            image::Deleted::Deleted(id) => Self::Deleted(id),
        }
    }
}

impl House {
    /// Containers of an image: their identifiers, and whether they run.
    pub(crate) fn users(&self, image: &Digest) -> Vec<(String, bool)> {
        let of_it = |container: Arc<Container>| {
            (container.image == image.as_str())
                .then(|| (container.id.to_string(), container.state.is_running()))
        };
        self.roster.all().iter().map(|cell| cell.now()).filter_map(of_it).collect()
    }

    /// A container of an image has gone: the image may have left its layers
    /// to it alone.
    pub(crate) fn let_go(&self, image: &str) {
        let Ok(id) = image.parse() else { return };
        if let Err(error) = self.images.release(&id, &|id| self.users(id)) {
            // The next start tries again.
            tracing::warn!(image, %error, "cannot remove what an image left to its container");
        }
    }

    pub fn summary(&self, summary: image::Summary) -> ImageSummary {
        ImageSummary {
            containers: self.users(&summary.id).len() as u64,
            id: summary.id.to_string(),
            repo_tags: summary.repo_tags,
            repo_digests: summary.repo_digests,
            parent: summary.parent.map(|id| id.to_string()).unwrap_or_default(),
            created: summary.created,
            size: summary.size,
            labels: summary.labels,
        }
    }

    pub(crate) fn image_event(&self, action: &str, id: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.journal.say("image", action, id, attributes);
    }

    pub(crate) fn deleted(&self, deleted: Vec<image::Deleted>) -> Vec<Deleted> {
        for one in &deleted {
            match one {
                image::Deleted::Untagged(name) => self.image_event("untag", name, name),
                image::Deleted::Deleted(id) => self.image_event("delete", id, id),
            }
        }
        deleted.into_iter().map(Into::into).collect()
    }
}

/// Reads `repository[:tag]`; a digest cannot be given to something new.
pub(crate) fn new_name(text: Option<&str>) -> Result<Option<Reference>, Error> {
    let name = text.filter(|text| !text.is_empty()).map(str::parse::<Reference>).transpose();
    let name = name.map_err(|e| Error::Invalid(e.to_string()))?.map(Reference::or_latest);
    match name {
        Some(name) if name.digest().is_some() => {
            Err(Error::Invalid("refusing to create a tag with a digest reference".into()))
        }
        name => Ok(name),
    }
}

impl Engine {
    /// All images, newest first; `all` shows intermediate ones too.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn images(&self, all: bool) -> Result<Vec<ImageSummary>, Error> {
        let list = self.0.images.list(all)?;
        Ok(list.into_iter().map(|summary| self.0.summary(summary)).collect())
    }

    /// By name, digest or prefix of one.
    ///
    /// # Errors
    /// None such.
    pub fn image(&self, reference: &str) -> Result<ImageDetail, Error> {
        let id = self.0.images.lookup(reference)?;
        let detail = self.0.images.inspect(&id)?;
        let config = detail.config;
        Ok(ImageDetail {
            tagged: detail.summary.tagged,
            comment: config.history.last().and_then(|h| h.comment.clone()).unwrap_or_default(),
            summary: self.0.summary(detail.summary),
            author: config.author.unwrap_or_default(),
            architecture: config.architecture,
            variant: config.variant.unwrap_or_default(),
            os: config.os,
            layers: config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
            config: config.config,
        })
    }

    /// Makes an image of a root file system's tar (gzip, zstd, plain);
    /// returns its identifier.
    ///
    /// # Errors
    /// A hostile or broken archive; a malformed name or change.
    pub fn import(&self, wish: &ImportWish, input: &mut dyn Read) -> Result<String, Error> {
        let import = image::Import {
            reference: new_name(wish.reference.as_deref())?,
            message: wish.message.clone(),
            changes: wish.changes.clone(),
            platform: crate::registries::platform(&wish.platform)?,
        };
        let id = self.0.images.import(&import, input)?.to_string();
        self.0.image_event("import", &id, wish.reference.as_deref().unwrap_or(&id));
        self.disk_has_changed();
        Ok(id)
    }

    /// Takes in a docker-archive or an OCI layout; calls `said` with lines
    /// such as `Loaded image: alpine:3.10`.
    ///
    /// # Errors
    /// A hostile or broken archive.
    pub fn load(&self, input: &mut dyn Read, said: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let mut loaded = Vec::new();
        self.0.images.load(input, &mut |one| {
            said(&one.to_string());
            if let image::Loaded::Image { id, name } = one {
                loaded.push((id.to_string(), name.clone()));
            }
        })?;
        for (id, name) in loaded {
            self.0.image_event("load", &id, name.as_deref().unwrap_or(&id));
        }
        self.disk_has_changed();
        Ok(())
    }

    /// Writes images out so that `load` and Docker can read them.
    ///
    /// # Errors
    /// No such image.
    pub fn save(&self, references: &[String]) -> Result<Archive, Error> {
        for reference in references {
            let id = self.0.images.lookup(reference)?;
            self.0.image_event("save", id.as_str(), reference);
        }
        let (house, references) = (Arc::clone(&self.0), references.to_vec());
        Ok(Archive::new(None, move |out| Ok(house.images.save(&references, out)?)))
    }

    /// The files of an image as one tar, with the ids that it names.
    ///
    /// # Errors
    /// No such image.
    pub fn image_root(&self, reference: &str) -> Result<Archive, Error> {
        let id = self.0.images.lookup(reference)?;
        let layers = self.0.images.layers(&id)?;
        let ids = snapshot::IdRange::HOST;
        if layers.is_empty() {
            // Two blocks of zeros end a tar.
            return Ok(Archive::new(None, |out| {
                out.write_all(&[0; 1024]).map_err(snapshot::Error::Output)?;
                Ok(())
            }));
        }
        let mount = snapshot::mount_read_only(&layers, ids)?;
        Ok(Archive::new(None, move |out| {
            Ok(snapshot::export(std::os::fd::AsFd::as_fd(&mount), ids, out)?)
        }))
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// No such image; a malformed name.
    pub fn tag(&self, reference: &str, repository: &str, tag: &str) -> Result<(), Error> {
        let text =
            if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
        let name = new_name(Some(&text))?
            .ok_or_else(|| Error::Invalid("invalid reference format".into()))?;
        let id = self.0.images.lookup(reference)?;
        self.0.images.tag(&id, &name)?;
        self.0.image_event("tag", id.as_str(), &name.familiar());
        Ok(())
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
        let house = &self.0;
        let deleted = house.images.remove(reference, force, prune, &|id| house.users(id))?;
        Ok(house.deleted(deleted))
    }

    /// How an image came about, newest first.
    ///
    /// # Errors
    /// No such image.
    pub fn history(&self, reference: &str) -> Result<Vec<HistoryItem>, Error> {
        let id = self.0.images.lookup(reference)?;
        let item = |item: image::HistoryItem| HistoryItem {
            id: item.id.map_or_else(|| "<missing>".into(), |id| id.to_string()),
            created: item.created,
            created_by: item.created_by,
            tags: item.tags,
            size: item.size,
            comment: item.comment,
        };
        Ok(self.0.images.history(&id)?.into_iter().map(item).collect())
    }

    /// Makes an image of a container; returns its identifier.
    ///
    /// # Errors
    /// No such container; a malformed name or change.
    pub fn commit(&self, reference: &str, wish: &CommitWish) -> Result<String, Error> {
        let name = new_name(wish.reference.as_deref())?;
        let cell = self.0.find(reference)?;
        let container = cell.now();
        let parent: Digest =
            container.image.parse().map_err(|_| Error::NoImage(container.image.clone()))?;
        let config = match &wish.config {
            Some(over) => policy::merge(&container.config, over),
            None => container.config.clone(),
        };
        let commit = image::Commit {
            reference: name,
            comment: wish.comment.clone(),
            author: wish.author.clone(),
            changes: wish.changes.clone(),
            config,
            container: container.id.to_string(),
        };
        let frozen = wish.pause && matches!(container.state, State::Running { .. });
        if frozen {
            self.pause(container.id.as_str())?;
        }
        let made = self
            .0
            .root(&container)
            .and_then(|root| Ok(self.0.images.commit(Some(&parent), &root, &commit)?));
        if frozen {
            match self.unpause(container.id.as_str()) {
                // It was killed meanwhile.
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let id = made?.to_string();
        let reference = wish.reference.clone().unwrap_or_default();
        let more =
            [("comment", wish.comment.clone()), ("imageID", id.clone()), ("imageRef", reference)];
        self.0.journal.container(&container, "commit", &more);
        Ok(id)
    }

    /// Removes images that nothing uses, as far as the filters (`dangling`,
    /// `until`, `label`, `label!`) let.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_images(&self, filters: &Filters) -> Result<Pruned, Error> {
        filters.only(&["dangling", "until", "label", "label!"])?;
        let dangling = filters.yes("dangling")?.unwrap_or(true);
        let until = filters.until(crate::clock::now())?;
        let go = |summary: &image::Summary| {
            (!dangling || summary.repo_tags.is_empty())
                && until.is_none_or(|until| summary.created < until)
                && filters.labels(&summary.labels)
        };
        let house = &self.0;
        let pruned = house.images.prune(&go, &|id| house.users(id))?;
        let images = house.deleted(pruned.deleted);
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), pruned.reclaimed.to_string())]);
        house.journal.say("image", "prune", "", reclaimed);
        Ok(Pruned { removed: Vec::new(), images, reclaimed: pruned.reclaimed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_gets_latest_and_never_a_digest() {
        let familiar = |text| new_name(Some(text)).ok().flatten().map(|name| name.familiar());
        assert_eq!(familiar("me/app").as_deref(), Some("me/app:latest"));
        assert!(new_name(Some("")).is_ok_and(|name| name.is_none()));
        assert!(new_name(Some("Me/App")).is_err());
        let digest = format!("app@sha256:{}", "0".repeat(64));
        assert!(new_name(Some(&digest)).is_err());
    }
}

//! What stages begin with and copy from: images, contexts, other stages.

use super::{
    BuildContext, BuildError, BuildSaid,
    job::{Job, Stopped, tree},
};
use crate::PullWish;
use build::{Tree, stage_named};
use image::Draft;
use snapshot::IdRange;
use spec::Reference;
use std::io;

/// Something to copy from.
pub(super) enum Origin<'a> {
    /// The build's context, or one by a name.
    Context(&'a Tree),
    /// Another one by a name.
    Named(Tree),
    /// A stage or image, and its mount.
    Draft(Box<Draft>, Tree),
}

impl Origin<'_> {
    pub fn tree(&self) -> &Tree {
        match self {
            Self::Context(tree) => tree,
            Self::Named(tree) | Self::Draft(_, tree) => tree,
        }
    }
}

impl Job<'_> {
    /// An image by its name: the one that is here, or fetched.
    pub fn image(
        &self,
        name: &str,
        platform: &str,
        (stage, step): (usize, usize),
    ) -> Result<Draft, Stopped> {
        let platform = if platform.is_empty() { &self.wish.platform } else { platform };
        let images = &self.engine.0.images;
        let here = images.lookup(name);
        let by_id = name.starts_with("sha256:");
        if let Ok(id) = &here
            && (!self.wish.pull || by_id)
        {
            let draft = self.making.image(id)?;
            if fits(&draft, platform)? {
                return Ok(draft);
            }
        }
        let reference: Reference = name
            .parse()
            .map_err(|_| BuildError::invalid(format!("invalid reference format: {name:?}")))?;
        let reference = reference.or_latest();
        let wish = PullWish {
            image: reference.familiar(),
            platform: platform.to_owned(),
            credentials: self.client.credentials(reference.domain()),
            ..PullWish::default()
        };
        self.goes_on()?;
        let pulled = self.engine.pull(&wish, &mut |said| {
            if self.goes_on().is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.client.said(BuildSaid::Pull { stage, step, said });
            Ok(())
        });
        if pulled.is_err() {
            self.goes_on()?;
        }
        pulled?;
        let id = images.lookup(name)?;
        Ok(self.making.image(&id)?)
    }

    /// What `--from` of a stage's step means; the context if nothing.
    pub fn from(
        &self,
        index: usize,
        name: Option<&str>,
        at: (usize, usize),
    ) -> Result<Origin<'_>, Stopped> {
        let Some(name) = name else {
            let none = || BuildError::invalid("there is no build context to copy from");
            return Ok(Origin::Context(self.context.as_ref().ok_or_else(none)?));
        };
        if self.wish.manner == super::BuildManner::BuildKit {
            self.is_earlier(index, name)?;
        }
        let draft = match stage_named(&self.file, index, name) {
            Some(earlier) => self.result(earlier)?.0,
            None => match self.wish.contexts.get(name) {
                Some(BuildContext::Dir(dir)) => return Ok(Origin::Named(tree(dir)?)),
                Some(BuildContext::Image(image)) => self.image(image, "", at)?,
                None if name.parse::<usize>().is_ok() => {
                    let words = match self.wish.manner {
                        super::BuildManner::Classic => {
                            format!("invalid from flag value {name}: index out of bounds")
                        }
                        super::BuildManner::BuildKit => format!("invalid stage index {name}"),
                    };
                    return Err(BuildError::invalid(words).into());
                }
                None => self.image(name, "", at)?,
            },
        };
        let tree = self.mounted(&draft)?;
        Ok(Origin::Draft(Box::new(draft), tree))
    }

    /// Refuses a name that this stage has, or a later one.
    fn is_earlier(&self, index: usize, name: &str) -> Result<(), BuildError> {
        let lower = name.to_lowercase();
        let has = |at: usize| self.file.stages[at].name.as_deref() == Some(lower.as_str());
        if stage_named(&self.file, index, name).is_some() {
            return Ok(());
        }
        if has(index) {
            let words = format!("circular dependency detected on stage: {name}");
            return Err(BuildError::invalid(words));
        }
        if (index + 1..self.file.stages.len()).any(has) {
            let own = self.file.stages[index].name.clone().unwrap_or_else(|| index.to_string());
            return Err(BuildError::invalid(format!(
                "cannot copy from stage {name:?}, it needs to be defined before current stage {own:?}"
            )));
        }
        Ok(())
    }

    /// A draft's files, to read.
    pub fn mounted(&self, draft: &Draft) -> Result<Tree, Stopped> {
        let dirs = self.making.dirs(draft);
        if dirs.is_empty() {
            let empty = self.room.place()?;
            std::fs::create_dir(&empty).map_err(|source| crate::Error::Host {
                doing: "create",
                path: empty.clone(),
                source,
            })?;
            return Ok(tree(&empty)?);
        }
        Ok(Tree::new(snapshot::mount_read_only(&dirs, IdRange::HOST)?))
    }
}

/// Whether an image is for a platform; every one is if none is asked for.
fn fits(draft: &Draft, platform: &str) -> Result<bool, BuildError> {
    let Some(wanted) = crate::registries::platform(platform)? else { return Ok(true) };
    Ok(draft.config.platform().is_some_and(|own| own.distance(&wanted).is_some()))
}

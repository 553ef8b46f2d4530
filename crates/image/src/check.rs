//! Whether the store holds together: records, documents, unpacked layers.
//!
//! An operation that ends at any instant leaves nothing but rubbish, which the
//! next daemon sweeps. What is found here was done to the store from outside,
//! by a disk that fails or a hand that slips.

use crate::{Error, Store, records::Row, removal::Users};
use spec::{Digest, image::ImageConfig};
use std::collections::{HashMap, HashSet};

/// What to look at, and what to do about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Mend what can be mended.
    pub repair: bool,
    /// Read every layer and compare it with its digest.
    pub content: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `image`, `layer`, `document`, …
    pub kind: &'static str,
    /// Which.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub mend: Mend,
}

/// What is to be done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// A repair would do this.
    Would(&'static str),
    /// This was done.
    Done(&'static str),
    /// It is up to a person, in these words.
    Cannot(String),
}

impl Check {
    /// Mends, if it is to, and says so.
    ///
    /// # Errors
    /// Those of `mend`.
    pub fn mend<E>(
        self,
        words: &'static str,
        mend: impl FnOnce() -> Result<(), E>,
    ) -> Result<Mend, E> {
        if !self.repair {
            return Ok(Mend::Would(words));
        }
        mend().map(|()| Mend::Done(words))
    }
}

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Images.
    pub images: u64,
    /// Layers.
    pub layers: u64,
    /// What is wrong, in the order that it was found.
    pub findings: Vec<Finding>,
}

const GONE: &str = "remove it";

impl Store {
    /// Looks at everything. `users` gives each container of an image.
    ///
    /// # Errors
    /// The records or files cannot be read, which is no finding; or mending
    /// failed.
    pub fn check(&self, check: Check, users: Users<'_>) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        if let Some(words) = self.records.damage()? {
            checked.say(
                "records",
                "state.db",
                words,
                Mend::Cannot("restore a backup of it".into()),
            );
            return Ok(checked);
        }
        let damaged = self.check_layers(check, &mut checked)?;
        self.check_images(check, &damaged, users, &mut checked)?;
        self.check_manifests(check, &mut checked)?;
        self.check_strays(check, &mut checked)?;
        Ok(checked)
    }

    fn check_layers(
        &self,
        check: Check,
        checked: &mut Checked,
    ) -> Result<HashMap<Digest, String>, Error> {
        let mut damaged = HashMap::new();
        for (diff_id, figures) in self.records.all_layers()? {
            // It may have been removed since it was listed.
            let mut lease = self.content.lease();
            let held = lease.take(&diff_id);
            if !self.records.needs(&diff_id)? {
                continue;
            }
            checked.layers += 1;
            let problem = match held {
                // What cannot be understood is looked at all the same.
                Ok(_) | Err(Error::Host { .. }) => {
                    self.content.examine(&diff_id, figures, check.content)?
                }
                Err(e) => return Err(e),
            };
            if let Some(problem) = problem {
                damaged.insert(diff_id, problem);
            }
        }
        Ok(damaged)
    }

    fn check_images(
        &self,
        check: Check,
        damaged: &HashMap<Digest, String>,
        users: Users<'_>,
        checked: &mut Checked,
    ) -> Result<(), Error> {
        let (mut kept, mut told) = (HashSet::new(), HashSet::new());
        for row in self.records.rows()? {
            checked.images += 1;
            let Some(problem) = self.problem_of(&row, damaged)? else { continue };
            // Removed since it was listed.
            if self.records.row(&row.id)?.is_none() {
                continue;
            }
            let names = self.records.names(&row.id)?;
            told.extend(self.records.layers(&row.id)?.into_iter().map(|(id, _)| id));
            let mend = if let Some((container, _)) = users(&row.id).first() {
                kept.extend(self.records.layers(&row.id)?.into_iter().map(|(id, _)| id));
                let words = "and the others of it, then repair";
                Mend::Cannot(format!("remove container {container} {words}"))
            } else {
                let words = "forget the image: pull, load or build it again";
                check.mend(words, || self.forget(&row.id, users))?
            };
            let name = names.first().map_or_else(
                || row.id.short().to_owned(),
                |name| format!("{} ({})", row.id.short(), name.reference().familiar()),
            );
            checked.say("image", &name, problem, mend);
        }
        for (diff_id, problem) in damaged {
            self.check_steps_on(check, diff_id, problem, told.contains(diff_id), checked)?;
            // What neither images nor steps name any more went with them.
            if check.repair && !kept.contains(diff_id) && self.records.needs(diff_id)? {
                let mend = Mend::Cannot("remove its images".into());
                checked.say("layer", diff_id.short(), problem.clone(), mend);
            }
        }
        Ok(())
    }

    /// The build cache must not be gone on from a damaged layer. If images
    /// have it, too, that was `told`.
    fn check_steps_on(
        &self,
        check: Check,
        diff_id: &Digest,
        problem: &str,
        told: bool,
        checked: &mut Checked,
    ) -> Result<(), Error> {
        let steps = self.records.steps_on(diff_id)?;
        if steps.is_empty() {
            return Ok(());
        }
        let words = "forget what builds came to on it: they come to it again";
        let mend = check.mend(words, || self.forget_steps(&steps).map(drop))?;
        if !told {
            checked.say("layer", diff_id.short(), problem.to_owned(), mend);
        }
        Ok(())
    }

    fn problem_of(
        &self,
        row: &Row,
        damaged: &HashMap<Digest, String>,
    ) -> Result<Option<String>, Error> {
        let config: ImageConfig = match self.config(&row.id) {
            Ok(config) => config,
            Err(Error::Missing(_)) => return Ok(Some("its configuration is missing".into())),
            Err(Error::Digest { .. }) => return Ok(Some("its configuration is damaged".into())),
            Err(Error::Host { source, .. }) if source.raw_os_error().is_none() => {
                return Ok(Some(format!("its configuration makes no sense: {source}")));
            }
            Err(e) => return Err(e),
        };
        let layers = self.records.layers(&row.id)?;
        if !config.rootfs.diff_ids.iter().eq(layers.iter().map(|(diff_id, _)| diff_id)) {
            return Ok(Some("its layers are not those of its configuration".into()));
        }
        let bad = layers.iter().find_map(|(diff_id, _)| Some((diff_id, damaged.get(diff_id)?)));
        Ok(bad.map(|(diff_id, problem)| format!("its layer {}: {problem}", diff_id.short())))
    }

    fn check_manifests(&self, check: Check, checked: &mut Checked) -> Result<(), Error> {
        for row in self.records.rows()? {
            for name in self.records.names(&row.id)? {
                let Some(digest) = name.reference().digest() else { continue };
                let problem = match self.content.get(digest) {
                    Ok(_) => continue,
                    Err(Error::Digest { .. }) => "is damaged",
                    Err(Error::Host { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        "is missing"
                    }
                    Err(e) => return Err(e),
                };
                let mend = check.mend("forget that digest's name", || {
                    let removing = self.content.removing();
                    self.records.untag(std::slice::from_ref(&name))?;
                    // What is damaged is in the way of what comes again.
                    self.content.drop_blob(digest)?;
                    drop(removing);
                    Ok::<(), Error>(())
                })?;
                let problem = format!("the manifest {problem}");
                checked.say("document", &name.reference().familiar(), problem, mend);
            }
        }
        Ok(())
    }

    /// What nothing names.
    fn check_strays(&self, check: Check, checked: &mut Checked) -> Result<(), Error> {
        for (what, count) in self.records.strays()? {
            let mend = check.mend(GONE, || self.records.drop_strays())?;
            let problem = format!("{count} of an image that is not there");
            checked.say("records", what, problem, mend);
        }
        for name in self.content.listed("layers")? {
            let mend = match format!("sha256:{name}").parse::<Digest>() {
                Ok(diff_id) if self.records.needs(&diff_id)? => continue,
                // Somebody brings it just now.
                Ok(diff_id) if self.content.is_leased(&diff_id) => continue,
                Ok(diff_id) => check.mend(GONE, || {
                    self.content.drop_layers(&[diff_id], |diff_id| self.records.needs(diff_id))
                })?,
                Err(_) => check.mend(GONE, || self.content.clear("layers", &name))?,
            };
            checked.say("layer", &name, "nothing names it".into(), mend);
        }
        // As long as this is held no document is on its way to its record.
        let _removing = self.content.removing();
        let (_, needed) = self.records.content()?;
        for name in self.content.listed("blobs/sha256")? {
            let document = format!("sha256:{name}").parse::<Digest>();
            let draft = document.is_ok_and(|id| self.is_draft(&id));
            if !draft && !needed.contains(&name) {
                let mend = check.mend(GONE, || self.content.clear("blobs/sha256", &name))?;
                checked.say("document", &name, "nothing names it".into(), mend);
            }
        }
        Ok(())
    }
}

impl Checked {
    fn say(&mut self, kind: &'static str, name: &str, problem: String, mend: Mend) {
        self.findings.push(Finding { kind, name: name.into(), problem, mend });
    }
}

//! Whether all that the engine keeps holds together: images, the roots of
//! containers, volumes. What concerns images alone is `image`'s.

use crate::{Container, Engine, Error, State, Volume, error::Doing, house::House, recover};
use image::{Check, Checked, Finding, Mend};
use spec::Digest;
use std::{fs, os::unix::fs::DirBuilderExt as _};

impl Engine {
    /// Looks at everything, and mends what it can if it is to.
    ///
    /// # Errors
    /// What is to be looked at cannot be read, or mending failed.
    pub fn check(&self, check: Check) -> Result<Checked, Error> {
        let house = &self.0;
        let mut checked = house.images.check(check, &|id| house.users(id))?;
        let found = &mut checked.findings;
        for cell in house.roster.all() {
            let container = cell.now();
            if house.root(&container).is_err() {
                // It may be on its way in or out: then its owner holds it.
                let _own = cell.own();
                let container = cell.now();
                let stays = house.roster.get(&container.id).is_some();
                if stays && house.root(&container).is_err() {
                    let problem = "what it writes has no directory".to_owned();
                    let mend = house.mend_root(check, &container)?;
                    found.push(Finding {
                        kind: "container",
                        name: name(&container),
                        problem,
                        mend,
                    });
                }
            }
            let image: Option<Digest> = container.image.parse().ok();
            let layers = image.as_ref().map(|id| house.images.layers(id));
            if !matches!(layers, Some(Ok(_))) && house.roster.get(&container.id).is_some() {
                found.push(Finding {
                    kind: "container",
                    name: name(&container),
                    problem: format!("its image {} is gone", container.image),
                    mend: Mend::Cannot("get the same image again, or remove the container".into()),
                });
            }
        }
        house.check_directories(check, found)?;
        house.check_volumes(check, found)?;
        Ok(checked)
    }
}

fn name(container: &Container) -> String {
    format!("{} ({})", container.id.short(), container.name)
}

impl House {
    fn mend_root(&self, check: Check, container: &Container) -> Result<Mend, Error> {
        let new = container.state == State::Created && container.last.started == 0;
        if !new {
            let words = "what it wrote is lost: remove it and make it again";
            return Ok(Mend::Cannot(words.into()));
        }
        check.mend("make it anew: nothing was written yet", || {
            let id = container.id.as_str();
            snapshot::remove(&container.dir.join("work"))?;
            self.count_root(container)?;
            snapshot::Root::prepare(&self.paths.data, id, container.ids())?;
            Ok(())
        })
    }

    /// Directories of containers that no record names.
    fn check_directories(&self, check: Check, found: &mut Vec<Finding>) -> Result<(), Error> {
        let dirs = recover::names_in(&self.paths.data.join("containers"));
        for id in recover::rubbish(&dirs, &self.roster.ids()) {
            let mend = check.mend("remove it", || {
                Ok::<(), Error>(snapshot::remove(&self.paths.data.join("containers").join(&id))?)
            })?;
            let problem = "no record names it".to_owned();
            found.push(Finding { kind: "container directory", name: id, problem, mend });
        }
        Ok(())
    }

    fn check_volumes(&self, check: Check, found: &mut Vec<Finding>) -> Result<(), Error> {
        let _using = self.using_volumes();
        let dirs = recover::names_in(&self.paths.data.join("volumes"));
        let known = self.volumes.all();
        for volume in &known {
            let dir = self.paths.volume(&volume.name);
            if !dir.is_dir() {
                let mend = check.mend("make an empty one", || {
                    let mut make = fs::DirBuilder::new();
                    make.recursive(true).mode(0o755).create(&dir).doing("create", &dir)
                })?;
                let problem = "its directory is missing".to_owned();
                found.push(Finding { kind: "volume", name: volume.name.clone(), problem, mend });
            }
        }
        for name in dirs {
            if known.iter().any(|volume| volume.name == name) {
                continue;
            }
            // Whose it was is not known; what is in it may be dear.
            let mend = if self.paths.volume(&name).is_dir() {
                check.mend("write it down again", || self.adopt_volume(&name))?
            } else {
                Mend::Cannot("look at it, and remove it by hand".into())
            };
            let problem = "no record names it".to_owned();
            found.push(Finding { kind: "volume directory", name, problem, mend });
        }
        Ok(())
    }

    fn adopt_volume(&self, name: &str) -> Result<(), Error> {
        let volume = Volume {
            name: name.to_owned(),
            driver: "local".into(),
            mountpoint: self.paths.volume(name).display().to_string(),
            created: crate::clock::now(),
            ..Volume::default()
        };
        self.volumes.adopt(volume, &self.store)
    }
}

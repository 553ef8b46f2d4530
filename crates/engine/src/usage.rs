//! What things take, and what they may take.

use crate::{
    Container, Engine, Error, ImageSummary, MountsWish, PortsWish, Size, Volume, house::House, top,
};
use spec::{
    Digest,
    docker::{HostConfig, RestartPolicy},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Answer of `top`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Columns.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// The body of `POST /containers/{id}/update`: limits that are set are
/// changed, the others stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateWish {
    /// Only the limits of it count.
    pub limits: HostConfig,
    /// If it is to change.
    pub restart_policy: Option<RestartPolicy>,
    /// Not Docker's.
    pub ports: PortsWish,
    /// Likewise.
    pub mounts: MountsWish,
    /// Likewise.
    pub labels: LabelsWish,
}

/// Labels that come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelsWish {
    /// In place of those of the same names.
    pub set: BTreeMap<String, String>,
    /// By name.
    pub unset: Vec<String>,
}

impl LabelsWish {
    /// The labels that a container has from now on.
    ///
    /// # Errors
    /// A name that is empty, or a label to go that is not there.
    pub(crate) fn applied(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut labels = labels.clone();
        for name in &self.unset {
            if labels.remove(name).is_none() {
                return Err(Error::Invalid(format!("it has no label {name:?}")));
            }
        }
        if self.set.contains_key("") {
            return Err(Error::Invalid("a label needs a name".into()));
        }
        labels.extend(self.set.clone());
        Ok(labels)
    }
}

/// Answer of `system df`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskUsage {
    /// Bytes of all layers, each counted once.
    pub layers: u64,
    /// Every image, and how many of its bytes it shares with others.
    pub images: Vec<(ImageSummary, u64)>,
    /// Every container.
    pub containers: Vec<(Arc<Container>, Size)>,
    /// Every volume, with its bytes.
    pub volumes: Vec<(Volume, u64)>,
}

impl House {
    pub fn size_of(&self, container: &Container) -> Result<Size, Error> {
        let rw = self.root(container)?.size()?;
        let image: Digest =
            container.image.parse().map_err(|_| Error::NoImage(container.image.clone()))?;
        // An image may have been removed by force under its containers.
        let below = self.images.inspect(&image).map_or(0, |detail| detail.summary.size);
        Ok(Size { rw, root: rw + below, quota: self.quota_of(container)? })
    }
}

impl Engine {
    /// Measures everything. Walks directories: takes its time.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage, Error> {
        let house = &self.0;
        let images = house.images.usage()?;
        let mut usage = DiskUsage { layers: images.layers, ..DiskUsage::default() };
        for (summary, shared) in images.images {
            usage.images.push((house.summary(summary), shared));
        }
        for container in self.containers() {
            match house.size_of(&container) {
                Ok(size) => usage.containers.push((container, size)),
                // Removed meanwhile.
                Err(_) if house.roster.get(&container.id).is_none() => {}
                Err(error) => {
                    let id = &container.id;
                    tracing::warn!(%id, %error, "a container counts nothing");
                    usage.containers.push((container, Size::default()));
                }
            }
        }
        // What is mounted on others takes no room here, and may be far away.
        for volume in self.volumes().into_iter().filter(Volume::is_plain) {
            let size = measure(Path::new(&volume.mountpoint));
            usage.volumes.push((volume, size));
        }
        Ok(usage)
    }

    /// Its processes, as ps(1) shows them.
    ///
    /// # Errors
    /// Not running; arguments that ps does not take.
    pub fn top(&self, reference: &str, ps_args: &str) -> Result<Top, Error> {
        let container = self.0.find(reference)?.known().now();
        if !container.state.is_running() {
            return Err(crate::verbs::not_running(&container));
        }
        let pids = self.0.group(&container)?.pids()?;
        let top = top::top(&pids, container.ids(), ps_args)?;
        self.0.journal.container(&container, "top", &[]);
        Ok(top)
    }
}

/// Bytes of all files below a directory. One that cannot be measured counts
/// nothing and is told: the rest of a list must not be lost for it.
pub(crate) fn measure(dir: &Path) -> u64 {
    snapshot::measure(dir).unwrap_or_else(|error| {
        tracing::warn!(dir = %dir.display(), %error, "a directory counts nothing");
        0
    })
}

/// Lays the limits that are set over those that a container has.
pub(crate) fn merge(host: &mut HostConfig, wish: &HostConfig) {
    let numbers = [
        (&mut host.cpu_shares, wish.cpu_shares),
        (&mut host.memory, wish.memory),
        (&mut host.nano_cpus, wish.nano_cpus),
        (&mut host.cpu_period, wish.cpu_period),
        (&mut host.cpu_quota, wish.cpu_quota),
        (&mut host.cpu_realtime_period, wish.cpu_realtime_period),
        (&mut host.cpu_realtime_runtime, wish.cpu_realtime_runtime),
        (&mut host.memory_reservation, wish.memory_reservation),
        (&mut host.memory_swap, wish.memory_swap),
    ];
    for (old, new) in numbers.into_iter().filter(|(_, new)| *new != 0) {
        *old = new;
    }
    if wish.blkio_weight != 0 {
        host.blkio_weight = wish.blkio_weight;
    }
    for (old, new) in
        [(&mut host.cpuset_cpus, &wish.cpuset_cpus), (&mut host.cpuset_mems, &wish.cpuset_mems)]
    {
        if !new.is_empty() {
            old.clone_from(new);
        }
    }
    if wish.pids_limit.is_some() {
        host.pids_limit = wish.pids_limit;
    }
    if let Some(words) = &wish.egress {
        let says = |words: &Vec<String>| words.iter().any(|word| !word.trim().is_empty());
        host.egress = Some(words.clone()).filter(says);
    }
    // Of two ways to say the same thing the later one counts.
    if wish.nano_cpus != 0 {
        (host.cpu_period, host.cpu_quota) = (0, 0);
    } else if wish.cpu_quota != 0 || wish.cpu_period != 0 {
        host.nano_cpus = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut host =
            HostConfig { memory: 1, cpu_shares: 2, nano_cpus: 3, ..HostConfig::default() };
        let wish = HostConfig { memory: 9, cpu_quota: 5, ..HostConfig::default() };
        merge(&mut host, &wish);
        assert_eq!((host.memory, host.cpu_shares, host.cpu_quota), (9, 2, 5));
        assert_eq!(host.nano_cpus, 0, "the quota takes the place of --cpus");
    }

    #[test]
    fn a_file_with_two_names_is_counted_once() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        fs::create_dir(dir.path().join("sub")).expect("made");
        fs::write(dir.path().join("sub/a"), [0; 100]).expect("written");
        fs::hard_link(dir.path().join("sub/a"), dir.path().join("b")).expect("linked");
        assert_eq!(measure(dir.path()), 100);
        assert_eq!(measure(&dir.path().join("nonesuch")), 0);
    }
}

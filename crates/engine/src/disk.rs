//! How much of the disk a container may take: `--storage-opt size=`, or what
//! the daemon was told for those that do not say.
//!
//! The file system counts and enforces ([`snapshot::Quotas`]). Counted are what
//! the container writes, its log, and its anonymous volumes. Where the file
//! system cannot, a container with a limit is refused: none is made in name
//! only.

use crate::{Container, Error, Options, Quota, house::House, store::Store, store::Write};
use policy::mounts::Source;
use serde::{Deserialize, Serialize};
use snapshot::Quotas;
use spec::docker::HostConfig;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// The fact that holds the next project's number.
const FACT: &str = "project";
/// Numbers that an engine has before it comes to those of another.
const STRIDE: u32 = 1 << 15;

/// A container's share of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Its number at the file system; no other container ever has it.
    pub project: u32,
    /// All that it may take.
    pub bytes: u64,
}

/// The disk that containers are on.
#[derive(Debug)]
pub(crate) struct Disk {
    quotas: Option<Quotas>,
    /// Why there are none, for people.
    where_from: String,
    /// For who does not say.
    default: Option<u64>,
    next: Mutex<u32>,
}

impl Disk {
    /// Looks at the file system of the data root.
    ///
    /// # Errors
    /// A default that makes no sense, or that nobody would enforce.
    pub fn open(
        options: &Options,
        filesystem: &str,
        facts: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let default = default_of(&options.storage_opts)?;
        let next = facts.get(FACT).and_then(|text| text.parse().ok());
        let disk = Self {
            quotas: Quotas::of(&options.data_root)?,
            where_from: format!("{filesystem} of {}", options.data_root.display()),
            default,
            next: Mutex::new(next.unwrap_or_else(first)),
        };
        if default.is_some() {
            disk.quotas()?;
        }
        Ok(disk)
    }

    /// Whether limits can be had here.
    pub fn is_limiting(&self) -> bool {
        self.quotas.is_some()
    }

    /// What a container may take that does not say, if that is limited.
    pub fn default_limit(&self) -> Option<u64> {
        self.default
    }

    /// The quotas, or the refusal.
    fn quotas(&self) -> Result<&Quotas, Error> {
        self.quotas.as_ref().ok_or_else(|| {
            Error::Unsupported(format!(
                "the storage option size is not supported here: the {} enforces no project quota \
                 (mount ext4 or xfs with prjquota; ext4 wants tune2fs -O project,quota before)",
                self.where_from
            ))
        })
    }

    /// What a new container may take, and its number; none if it may take all.
    ///
    /// # Errors
    /// Options that make no sense, or that nobody would enforce.
    pub fn share(&self, host: &HostConfig, store: &Store) -> Result<Option<Share>, Error> {
        let asked = asked(host.storage_opt.as_ref())?;
        let Some(bytes) = asked.or(self.default).filter(|bytes| *bytes > 0) else {
            return Ok(None);
        };
        self.quotas()?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let project = *next;
        let after = project.checked_add(1).unwrap_or_else(first);
        store
            .write(Write::Fact { key: FACT, value: after.to_string() })
            .map_err(|e| Error::records(&e))?;
        *next = after;
        Ok(Some(Share { project, bytes }))
    }
}

impl House {
    /// Sets a container's limit; done again at each start, in case the file
    /// system has forgotten.
    ///
    /// # Errors
    /// It would not be enforced; what the host said.
    pub(crate) fn limit_disk(&self, container: &Container) -> Result<(), Error> {
        let Some(share) = &container.disk else { return Ok(()) };
        Ok(self.disk.quotas()?.limit(share.project, share.bytes)?)
    }

    /// What of its limit a container has taken; none if it has none.
    ///
    /// # Errors
    /// What the host said.
    pub(crate) fn quota_of(&self, container: &Container) -> Result<Option<Quota>, Error> {
        let Some(share) = &container.disk else { return Ok(None) };
        let used = self.disk.quotas()?.used(share.project)?;
        Ok(Some(Quota { used, limit: share.bytes }))
    }

    /// Makes what a new container will write count as its own.
    ///
    /// # Errors
    /// What the host said.
    pub(crate) fn count_disk(&self, container: &Container) -> Result<(), Error> {
        let Some(share) = &container.disk else { return Ok(()) };
        self.count_root(container)?;
        let quotas = self.disk.quotas()?;
        for point in policy::mounts::points(&container.config, &container.host)? {
            let anonymous = matches!(&point.source, Source::Volume(wish) if wish.name.is_empty());
            let mount = container.mounts.iter().find(|m| m.destination == point.destination);
            if let Some(mount) = mount.filter(|_| anonymous) {
                quotas.assign(&self.paths.volume(&mount.name), share.project)?;
            }
        }
        self.limit_disk(container)
    }

    /// The same of its root and log alone.
    ///
    /// # Errors
    /// What the host said.
    pub(crate) fn count_root(&self, container: &Container) -> Result<(), Error> {
        let Some(share) = &container.disk else { return Ok(()) };
        Ok(self.disk.quotas()?.assign(&container.dir, share.project)?)
    }

    /// Makes a directory count as `like` does, which is of the same volume.
    ///
    /// # Errors
    /// What the host said.
    pub(crate) fn count_as(&self, dir: &Path, like: &Path) -> Result<(), Error> {
        let Some(quotas) = &self.disk.quotas else { return Ok(()) };
        match quotas.project(like)? {
            Some(project) => Ok(quotas.assign(dir, project)?),
            None => Ok(()),
        }
    }

    /// What is left of a container that has gone, its anonymous volumes, is
    /// limited no longer.
    pub(crate) fn free_disk(&self, container: &Container) {
        let Some(share) = &container.disk else { return };
        let freed = self.disk.quotas().and_then(|quotas| Ok(quotas.limit(share.project, 0)?));
        if let Err(error) = freed {
            tracing::warn!(id = %container.id, %error, "cannot take back a limit of the disk");
        }
    }
}

/// Where an engine begins to count: elsewhere than its neighbours, who may be
/// on the same file system.
fn first() -> u32 {
    let dice = u32::from(u16::from_le_bytes(crate::random::bytes()) >> 1);
    (1 << 30) + dice * STRIDE
}

/// `--storage-opt` of a container, in bytes.
fn asked(options: Option<&BTreeMap<String, String>>) -> Result<Option<u64>, Error> {
    let mut bytes = None;
    for (key, value) in options.into_iter().flatten() {
        if !key.eq_ignore_ascii_case("size") {
            return Err(Error::Invalid(format!("unknown storage option {key}: size is known")));
        }
        let size = snapshot::size(value);
        bytes = Some(size.ok_or_else(|| Error::Invalid(format!("invalid size: '{value}'")))?);
    }
    Ok(bytes)
}

/// `--storage-opt` of the daemon; Docker's spelling of the same is understood.
fn default_of(options: &[String]) -> Result<Option<u64>, Error> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.strip_prefix("overlay2.").unwrap_or(key).to_owned(), value.to_owned())
    };
    let options = options.iter().map(pair).collect();
    Ok(asked(Some(&options))?.filter(|bytes| *bytes > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(key: &str, value: &str) -> Result<Option<u64>, String> {
        let options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        asked(Some(&options)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_size_is_the_one_option_there_is() {
        assert_eq!(words("size", "10m"), Ok(Some(10 << 20)));
        assert_eq!(words("Size", "0"), Ok(Some(0)), "as much as there is");
        assert_eq!(words("size", "lots"), Err("invalid size: 'lots'".into()));
        assert!(words("colour", "red").is_err_and(|words| words.contains("colour")));
        assert_eq!(asked(None).expect("nothing asked"), None);
    }

    #[test]
    fn the_daemon_is_told_in_dockers_words_or_ours() {
        let told = |text: &str| default_of(&[text.to_owned()]).map_err(|e| e.to_string());
        assert_eq!(told("size=1g"), Ok(Some(1 << 30)));
        assert_eq!(told("overlay2.size=1g"), Ok(Some(1 << 30)));
        assert_eq!(told("size=0"), Ok(None));
        assert!(told("overlay2.override_kernel_check=true").is_err());
        assert!(told("size").is_err());
    }

    #[test]
    fn a_file_system_that_enforces_nothing_is_told_of() {
        let disk = Disk {
            quotas: None,
            where_from: "extfs of /data".into(),
            default: None,
            next: Mutex::new(5),
        };
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (store, _) = Store::open(&dir.path().join("state.db")).expect("opened");
        let mut host = HostConfig::default();
        assert_eq!(disk.share(&host, &store).expect("nothing asked"), None);
        host.storage_opt = Some([("size".into(), "0".into())].into());
        assert_eq!(disk.share(&host, &store).expect("no limit"), None);
        host.storage_opt = Some([("size".into(), "1g".into())].into());
        let error = disk.share(&host, &store).expect_err("refused");
        assert_eq!(error.kind(), crate::Kind::Unsupported);
        assert!(error.to_string().contains("extfs of /data enforces no project quota"), "{error}");
        let disk = Disk { default: Some(1), ..disk };
        assert!(disk.share(&HostConfig::default(), &store).is_err());
    }

    #[test]
    fn engines_begin_apart_and_within_31_bits() {
        for _ in 0..100 {
            assert!((1 << 30..1 << 31).contains(&first()));
        }
    }
}

//! What an engine is made of, and where it keeps it.

use crate::{
    Container, Error, Options, cell::Cell, collect::Collecting, disk::Disk, events::Journal,
    exec::Execs, host::Machine, networks::Networks, roster::Roster, store::Store, store::Write,
    volumes::Volumes, watcher::Watcher, workers::Workers,
};
use spec::Id;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, atomic::AtomicBool},
};

pub(crate) struct House {
    pub options: Options,
    pub paths: Paths,
    pub machine: Machine,
    pub policy: policy::Host,
    pub layout: cgroup::Layout,
    /// Below which all its containers' groups are.
    pub cgroup_parent: String,
    /// The engine's own identifier.
    pub id: String,
    pub store: Arc<Store>,
    pub journal: Arc<Journal>,
    pub roster: Roster,
    pub images: image::Store,
    pub registry: registry::Registry,
    pub volumes: Volumes,
    pub disk: Disk,
    pub networks: Networks,
    pub meter: crate::meter::Meter,
    pub prober: crate::health::Prober,
    pub resolver: resolver::Resolver,
    pub execs: Execs,
    pub workers: Workers,
    pub watcher: Watcher,
    /// Where its monitors are born.
    pub nursery: watch::Nursery,
    /// Held for reading while a container comes to name volumes, and for
    /// writing while one that none names is removed.
    pub volume_use: RwLock<()>,
    /// Monitors that have told the end and stay for those who still read.
    pub leaving: Mutex<HashMap<u64, watch::Running>>,
    /// A look at what outlives its container is due.
    pub tidying: AtomicBool,
    pub collecting: Collecting,
    pub sockets: crate::sockets::Sockets,
    pub named_builds: crate::build::Named,
}

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub data: PathBuf,
    pub run: PathBuf,
}

impl Paths {
    /// What a container keeps over restarts of the host.
    pub fn container(&self, id: &Id) -> PathBuf {
        self.data.join("containers").join(id.as_str())
    }

    /// Where its monitor lives.
    pub fn run(&self, id: &Id) -> PathBuf {
        self.run.join("containers").join(id.as_str())
    }

    /// Where, in the private mount namespace of each monitor, the root of its
    /// container is attached. Empty for everybody else.
    pub fn root(&self) -> PathBuf {
        self.run.join("root")
    }

    /// What is in a volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.data.join("volumes").join(name).join("_data")
    }
}

impl House {
    /// Leaves a container's state to the records.
    pub fn leave(&self, container: &Container) {
        match serde_json::to_string(&container.moving(&self.machine.boot)) {
            Ok(moving) => self.store.leave(Write::Moving { id: container.id.to_string(), moving }),
            Err(error) => tracing::error!(id = %container.id, %error, "cannot spell a state"),
        }
    }

    /// Writes a whole container to the records and waits until it is in.
    ///
    /// # Errors
    /// What the data base said.
    pub fn record(&self, container: &Container, slot: u32) -> Result<(), Error> {
        let spelt = container.spell().and_then(|fixed| {
            serde_json::to_string(&container.moving(&self.machine.boot))
                .map(|moving| (fixed, moving))
        });
        let (fixed, moving) = spelt.map_err(|e| Error::records(&e))?;
        let (id, name) = (container.id.to_string(), container.name.clone());
        self.store
            .write(Write::Container { id, name, slot, fixed, moving })
            .map_err(|e| Error::records(&e))
    }

    /// The control group of a container.
    pub fn group(&self, container: &Container) -> Result<cgroup::Cgroup, cgroup::Error> {
        cgroup::Cgroup::open(&self.layout, &self.group_path(container))
    }

    /// Its name below the top of the hierarchies.
    pub fn group_path(&self, container: &Container) -> String {
        let parent = match container.host.cgroup_parent.as_str() {
            "" => self.cgroup_parent.as_str(),
            parent => parent,
        };
        format!("{}/{}", parent.trim_end_matches('/'), container.id)
    }

    /// As long as this is held no volume goes for want of users.
    pub fn using_volumes(&self) -> RwLockReadGuard<'_, ()> {
        self.volume_use.read().expect("no holder panics")
    }

    /// Finds a container and its owner.
    pub fn find(&self, reference: &str) -> Result<Arc<Cell>, Error> {
        self.roster.find(reference)
    }
}

/// Replaces the file at `path` with `bytes`, whole or not at all. It is not
/// flushed: what it holds means nothing after a loss of power.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

//! A container as readers see it: the last published snapshot.

use crate::{Health, Nanos, State};
use serde::{Deserialize, Serialize};
use spec::{
    Id,
    docker::{Config, EndpointSettings, HostConfig},
    ids::Kept,
    ports::{self, PortMap, PortSet},
};
use std::{collections::BTreeMap, path::PathBuf};

/// A container at one instant. Never changes: the next instant is another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// For life.
    pub id: Id,
    /// Without the slash that Docker puts before it.
    pub name: String,
    /// When `create` was called.
    pub created: Nanos,
    /// `sha256:…` of the image's configuration.
    pub image: String,
    /// `Path` of inspect: the program.
    pub path: String,
    /// `Args` of inspect.
    pub args: Vec<String>,
    /// As asked for, completed by the image. `config.image` is as asked for.
    pub config: Config,
    /// As asked for, with the defaults that `inspect` shows filled in.
    pub host: HostConfig,
    /// Where it is in its life.
    pub state: State,
    /// Of its latest run.
    pub last: Last,
    /// What its health check found; none before the first start, or without
    /// a check.
    #[serde(default)]
    pub health: Option<Health>,
    /// How often its restart policy has started it again.
    pub restart_count: u32,
    /// Stopped by hand: `unless-stopped` keeps it so.
    pub stopped_by_hand: bool,
    /// Volumes and bind mounts.
    pub mounts: Vec<MountPoint>,
    /// By network name; addresses only while it runs.
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// `NetworkSettings.Ports`: published ones with the host's addresses,
    /// exposed ones with none; empty unless it runs.
    #[serde(with = "ports::compact")]
    pub ports: PortMap,
    /// Every way in which it is weaker than the default, in words.
    pub weakened: Vec<String>,
    /// First id of its private range; none if it shares the host's.
    pub id_base: Option<u32>,
    /// How many there are; 65,536 where its record is silent.
    #[serde(default)]
    pub id_size: Option<u32>,
    /// A user and group of the host that are the same in it: those of the
    /// client that made it, if it said `--userns keep-id`.
    #[serde(default)]
    pub kept: Option<Kept>,
    /// Running exec sessions.
    pub execs: Vec<Id>,
    /// Its record, log and files.
    pub dir: PathBuf,
    /// The log that can be read, if it keeps one.
    pub log_path: Option<PathBuf>,
    /// `/etc/hostname` of the container, on the host.
    pub hostname_path: PathBuf,
    /// `/etc/hosts` of the container, on the host.
    pub hosts_path: PathBuf,
    /// `/etc/resolv.conf` of the container, on the host.
    pub resolv_conf_path: PathBuf,
    /// Of the writable layer, for `GraphDriver.Data.UpperDir`.
    pub upper_dir: PathBuf,
    /// SELinux label or AppArmor profile of its processes; empty if none.
    pub process_label: String,
    /// SELinux label of its files; empty if none.
    pub mount_label: String,
    /// Its SELinux level, for life; empty in a record of an earlier version.
    #[serde(default)]
    pub(crate) level: String,
    /// Its places on networks, by the networks' names, while it has any.
    #[serde(default)]
    pub(crate) plugs: Plugs,
    /// Mounts that came to it in this run, by their places.
    #[serde(default)]
    pub(crate) grafts: BTreeMap<String, crate::graft::Graft>,
    /// MAC addresses that were asked for, by the networks' names.
    #[serde(default)]
    pub(crate) macs: BTreeMap<String, String>,
    /// A step of a build runs in it: it goes with the build.
    #[serde(default)]
    pub(crate) of_build: bool,
    /// What it may take of the disk; none if all of it.
    #[serde(default)]
    pub(crate) disk: Option<crate::disk::Share>,
    /// In its record alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked_ports: Option<AskedPorts>,
}

/// What of `config` and `host` would fill a record: there each of ten thousand
/// ports has an entry of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskedPorts {
    #[serde(with = "ports::compact")]
    exposed: PortMap,
    #[serde(with = "ports::compact")]
    bound: PortMap,
}

/// A container's places on networks, by the networks' names.
pub(crate) type Plugs = BTreeMap<String, network::Endpoint>;

impl Container {
    /// Spells the part that does not move in its life, as it is recorded.
    ///
    /// # Errors
    /// None of plain data.
    pub(crate) fn spell(&self) -> serde_json::Result<String> {
        let mut record = self.clone();
        let exposed = std::mem::take(&mut record.config.exposed_ports).as_map().clone();
        let bound = std::mem::take(&mut record.host.port_bindings);
        record.asked_ports = Some(AskedPorts { exposed, bound });
        serde_json::to_string(&record)
    }

    /// Reads what [`Container::spell`] spelt.
    ///
    /// # Errors
    /// It did not.
    pub(crate) fn read(text: &str) -> serde_json::Result<Self> {
        let mut container: Self = serde_json::from_str(text)?;
        // An earlier version left them where they are.
        if let Some(asked) = container.asked_ports.take() {
            container.config.exposed_ports = PortSet::of(&asked.exposed);
            container.host.port_bindings = asked.bound;
        }
        Ok(container)
    }

    /// The part of a container that moves in its life, as it is recorded.
    pub(crate) fn moving(&self, boot: &str) -> Moving {
        Moving {
            state: self.state.clone(),
            last: self.last.clone(),
            health: self.health.clone(),
            restart_count: self.restart_count,
            stopped_by_hand: self.stopped_by_hand,
            endpoints: self.endpoints.clone(),
            ports: self.ports.clone(),
            plugs: self.plugs.clone(),
            grafts: self.grafts.clone(),
            macs: Some(self.macs.clone()),
            plug: None,
            boot: boot.to_owned(),
        }
    }

    /// Takes back what moved.
    pub(crate) fn set_moving(&mut self, moving: Moving) {
        self.state = moving.state;
        self.last = moving.last;
        self.health = moving.health;
        self.restart_count = moving.restart_count;
        self.stopped_by_hand = moving.stopped_by_hand;
        self.endpoints = moving.endpoints;
        self.ports = moving.ports;
        // An earlier version knew one network only, and one MAC address.
        self.plugs = moving.plugs;
        self.grafts = moving.grafts;
        self.plugs.extend(moving.plug.map(|plug| ("bridge".to_owned(), plug)));
        let asked = self.config.mac_address.iter();
        let earlier = || asked.map(|mac| ("bridge".to_owned(), mac.clone())).collect();
        self.macs = moving.macs.unwrap_or_else(earlier);
    }

    #[cfg(test)]
    pub(crate) fn blank(id: Id, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            created: 0,
            image: String::new(),
            path: String::new(),
            args: Vec::new(),
            config: Config::default(),
            host: HostConfig::default(),
            state: State::Created,
            last: Last::default(),
            health: None,
            restart_count: 0,
            stopped_by_hand: false,
            mounts: Vec::new(),
            endpoints: BTreeMap::new(),
            ports: PortMap::new(),
            weakened: Vec::new(),
            id_base: None,
            id_size: None,
            kept: None,
            execs: Vec::new(),
            dir: PathBuf::new(),
            log_path: None,
            hostname_path: PathBuf::new(),
            hosts_path: PathBuf::new(),
            resolv_conf_path: PathBuf::new(),
            upper_dir: PathBuf::new(),
            process_label: String::new(),
            mount_label: String::new(),
            level: String::new(),
            plugs: Plugs::new(),
            grafts: BTreeMap::new(),
            macs: BTreeMap::new(),
            of_build: false,
            disk: None,
            asked_ports: None,
        }
    }
}

/// What is written down at every change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moving {
    pub state: State,
    pub last: Last,
    #[serde(default)]
    pub health: Option<Health>,
    pub restart_count: u32,
    pub stopped_by_hand: bool,
    pub endpoints: BTreeMap<String, EndpointSettings>,
    #[serde(with = "ports::compact")]
    pub ports: PortMap,
    #[serde(default)]
    pub plugs: Plugs,
    #[serde(default)]
    pub grafts: BTreeMap<String, crate::graft::Graft>,
    #[serde(default)]
    pub macs: Option<BTreeMap<String, String>>,
    /// Of an earlier version's record: its place on the default bridge.
    #[serde(default, skip_serializing)]
    pub plug: Option<network::Endpoint>,
    /// In which boot of the host it was written.
    pub boot: String,
}

/// Of a container's latest run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// 0..=255; 128+n for signal n.
    pub code: u8,
    /// When its program began.
    pub started: Nanos,
    /// When it ended.
    pub finished: Nanos,
    /// The kernel killed something in it for want of memory.
    pub oom: bool,
    /// Why it could not be started; empty if it could.
    pub error: String,
    /// So many lines of its output are missing where its log driver brings
    /// them; what is known at the end.
    #[serde(default)]
    pub log_dropped: u64,
}

/// One mount that a user asked for: an entry of inspect's `Mounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// Of a volume.
    pub name: String,
    /// On the host.
    pub source: String,
    /// In the container.
    pub destination: String,
    /// Of a volume.
    pub driver: String,
    /// As written after the last colon of `-v`.
    pub mode: String,
    /// Writable?
    pub rw: bool,
    /// Of a bind mount.
    pub propagation: String,
    /// The part of a volume that is mounted; empty for all of it.
    #[serde(default)]
    pub subpath: String,
}

/// Answer of `create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The new container.
    pub id: Id,
    /// For the user.
    pub warnings: Vec<String>,
}

/// Disk space of one container, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Of what it wrote.
    pub rw: u64,
    /// With the image.
    pub root: u64,
    /// Of what it may take, if that is limited.
    pub quota: Option<Quota>,
}

/// What counts against a container's limit (what it wrote, its log, its
/// anonymous volumes), as the file system counts it: in bytes of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Taken.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct Attach {
    /// It sends.
    pub stdin: bool,
    /// It receives.
    pub stdout: bool,
    /// It receives.
    pub stderr: bool,
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At once, if it does not run.
    NotRunning,
    /// The next exit, even if it does not run yet.
    NextExit,
    /// Its removal.
    Removed,
}

/// Answer of `wait`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Exit code of the latest run.
    pub code: u8,
    /// If it could not be started or removed.
    pub error: Option<String>,
}

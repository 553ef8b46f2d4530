//! What is remembered of a container between two verbs: `state.json` in its
//! directory below `--root`, replaced whole.
//!
//! The names of the fields that other programs look for (`init_process_pid`,
//! `cgroup_paths`, `namespace_paths`) are runc's.

use crate::problem::{Doing, Problem};
use serde::{Deserialize, Serialize};
use spec::oci::Config;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const FILE: &str = "state.json";

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub init_process_pid: i32,
    /// When init began, in clock ticks since boot: with the pid it names one
    /// process for good.
    pub init_process_start: u64,
    /// RFC 3339.
    pub created: String,
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    /// The scope, if systemd keeps the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    pub namespace_paths: BTreeMap<String, String>,
    /// Absolute.
    pub bundle: String,
    /// Absolute.
    pub rootfs: String,
    /// The bundle's configuration, with limits as they are now.
    pub spec: Config,
}

impl Record {
    /// Reads the record of the container whose directory is `dir`.
    pub fn load(dir: &Path) -> Result<Self, Problem> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Problem::Missing);
            }
            other => other.doing("read", &path)?,
        };
        serde_json::from_slice(&bytes)
            .map_err(|source| Problem::BadJson { what: "the container's state", source })
    }

    /// Replaces the record, whole or not at all. It means nothing after a
    /// restart of the machine: it is not flushed to the disk.
    pub fn save(&self, dir: &Path) -> Result<(), Problem> {
        let temporary = dir.join("state.json.tmp");
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .doing("create", &temporary)?;
        let bytes = serde_json::to_vec(self).expect("a record is plain data");
        file.write_all(&bytes).doing("write", &temporary)?;
        let path = dir.join(FILE);
        fs::rename(&temporary, &path).doing("replace", &path)
    }
}

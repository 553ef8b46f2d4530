//! What is remembered of a container between two verbs: `state.json` in its
//! directory below `--root`, replaced whole.
//!
//! The names of the fields that other programs look for (`init_process_pid`,
//! `cgroup_paths`, `namespace_paths`) are runc's.
//!
//! A container that is being made has a [`Draft`] instead: one line that says
//! all that is certain before anything bears the container's name, so that a
//! killed `create` can be cleaned up after. The rest is added to it, and it
//! takes the record's name. It is one file all along because a file is dear
//! where `--root` is on a disk, and one that replaces another is flushed there
//! (ext4(5), `auto_da_alloc`).

use crate::problem::{Doing, Problem};
use serde::{Deserialize, Serialize};
use spec::oci::Config;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const FILE: &str = "state.json";
const DRAFT: &str = "draft.json";

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    /// RFC 3339.
    pub created: String,
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    /// The scope, if systemd keeps the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Absolute.
    pub bundle: String,
    /// Absolute.
    pub rootfs: String,
    /// The bundle's configuration, with limits as they are now.
    pub spec: Cow<'static, Config>,
    // What a draft lacks stands last: it is added to it.
    /// 0 in a draft.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init_process_pid: i32,
    /// When init began, in clock ticks since boot: with the pid it names one
    /// process for good.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init_process_start: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespace_paths: BTreeMap<String, String>,
}

/// The same of the last three fields, in the same order.
#[derive(Serialize)]
struct Rest<'a> {
    init_process_pid: i32,
    init_process_start: u64,
    namespace_paths: &'a BTreeMap<String, String>,
}

/// What will be a record once there is a process.
#[derive(Debug)]
pub struct Draft {
    file: File,
    /// Length of its only line.
    line: u64,
}

impl Record {
    /// Reads the record of the container whose directory is `dir`, or its
    /// draft.
    pub fn load(dir: &Path) -> Result<Self, Problem> {
        // A draft that is gone has become the record.
        for name in [FILE, DRAFT, FILE] {
            let path = dir.join(name);
            let mut bytes = match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other.doing("read", &path)?,
            };
            // Before its line is whole nothing bears the name.
            if name == DRAFT && !keep_first_line(&mut bytes) {
                continue;
            }
            return serde_json::from_slice(&bytes)
                .map_err(|source| Problem::BadJson { what: "the container's state", source });
        }
        Err(Problem::Missing)
    }

    /// Writes down what is known before there is a process.
    pub fn draft(&self, dir: &Path) -> Result<Draft, Problem> {
        let path = dir.join(DRAFT);
        let mut options = File::options();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).doing("create", &path)?;
        let mut bytes = serde_json::to_vec(self).expect("a record is plain data");
        // A text of JSON has no line breaks in its strings.
        bytes.pop();
        let line = bytes.len() as u64;
        bytes.extend_from_slice(b"\n}");
        file.write_all(&bytes).doing("write", &path)?;
        Ok(Draft { file, line })
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

    /// Removes the record.
    pub fn remove(dir: &Path) -> std::io::Result<()> {
        fs::remove_file(dir.join(FILE))
    }
}

impl Draft {
    /// Adds what `record`, from which it was made, has learnt of its process,
    /// and makes it the record of the container.
    pub fn publish(self, record: &Record, dir: &Path) -> Result<(), Problem> {
        let from = dir.join(DRAFT);
        let rest = Rest {
            init_process_pid: record.init_process_pid,
            init_process_start: record.init_process_start,
            namespace_paths: &record.namespace_paths,
        };
        let mut bytes = serde_json::to_vec(&rest).expect("numbers and texts");
        // What was an object of its own goes on with the line's.
        bytes[0] = b',';
        // It is longer than the "}" that it is written over.
        self.file.write_all_at(&bytes, self.line + 1).doing("write", &from)?;
        let path = dir.join(FILE);
        fs::rename(&from, &path).doing("replace", &path)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Leaves a draft's only line, whatever of the rest has been written behind it;
/// false if it is not all there.
fn keep_first_line(bytes: &mut Vec<u8>) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return false };
    bytes.truncate(end);
    bytes.push(b'}');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            id: "one\ntwo".into(),
            created: "now".into(),
            cgroup_paths: [("cpu".to_owned(), PathBuf::from("/c"))].into(),
            ..Record::default()
        }
    }

    #[test]
    fn a_draft_says_what_is_known_and_becomes_the_record() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        assert!(matches!(Record::load(dir.path()), Err(Problem::Missing)));
        let mut record = record();
        let draft = record.draft(dir.path()).expect("written");
        assert_eq!(Record::load(dir.path()).expect("a draft"), record);
        record.init_process_pid = 7;
        record.init_process_start = 8;
        record.namespace_paths = [("NEWNS".to_owned(), "/proc/7/ns/mnt".to_owned())].into();
        draft.publish(&record, dir.path()).expect("published");
        assert_eq!(Record::load(dir.path()).expect("a record"), record);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "one file all along");
    }

    #[test]
    fn a_draft_is_read_whatever_was_being_added() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let record = record();
        let draft = record.draft(dir.path()).expect("written");
        let half = b",\"init_process_pid\":4";
        draft.file.write_all_at(half, draft.line + 1).expect("half of it");
        assert_eq!(Record::load(dir.path()).expect("a draft"), record);
        draft.file.set_len(draft.line).expect("cut");
        assert!(matches!(Record::load(dir.path()), Err(Problem::Missing)), "not all there");
    }

    #[test]
    fn a_record_is_replaced_with_its_process() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let record = Record { init_process_pid: 7, init_process_start: 8, ..record() };
        record.save(dir.path()).expect("saved");
        assert_eq!(Record::load(dir.path()).expect("a record"), record);
    }
}

//! What is outside of every container and must stay as it is.

use crate::{Engine, attack::must_fail};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What the file outside holds.
pub const SECRET: &str = "a secret of the host";

/// What rules the machine: files that an escape would write.
const RULES: [&str; 7] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/panic",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/suid_dumpable",
];

/// A directory of the host with a file in it, and all that an attack could
/// change beside it.
pub struct Outside<'a> {
    engine: &'a Engine,
    dir: PathBuf,
    before: Snapshot,
}

/// A file: kind and mode, owner, group, device number, inode and content.
type Seen = (u32, u32, u32, u64, u64, Vec<u8>);

/// What there is, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snapshot {
    /// The host's mount table.
    mounts: String,
    /// The directory, by path.
    files: BTreeMap<PathBuf, Seen>,
    /// [`RULES`].
    rules: Vec<Option<String>>,
}

impl<'a> Outside<'a> {
    /// Beside the engine's roots.
    ///
    /// # Panics
    /// If there is one already.
    #[must_use]
    pub fn of(engine: &'a Engine) -> Self {
        Self::with(engine, &[])
    }

    /// The same with further files.
    ///
    /// # Panics
    /// If there is one already.
    #[must_use]
    pub fn with(engine: &'a Engine, files: &[(&str, &str)]) -> Self {
        let dir = engine.scratch().join("outside");
        fs::create_dir(&dir).expect("scratch");
        for (name, text) in files.iter().chain(&[("secret", SECRET)]) {
            fs::write(dir.join(name), text).expect("scratch");
        }
        let before = Snapshot::now(engine, &dir);
        Self { engine, dir, before }
    }

    /// It.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same as text.
    pub fn path(&self) -> String {
        self.dir.display().to_string()
    }

    /// What has changed since, in words.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        let now = Snapshot::now(self.engine, &self.dir);
        (now != self.before).then(|| format!("{:#?} was {:#?}", now, self.before))
    }

    /// Tries an attack that gets through if it says so, or if anything here
    /// has changed.
    ///
    /// # Panics
    /// If it gets through.
    pub fn holds(&self, name: &str, attack: impl FnOnce() -> Option<String>) {
        must_fail(name, || attack().or_else(|| self.changed()));
    }

    /// The same for an attack that succeeds: the look must be able to find it.
    /// What it made is removed again.
    ///
    /// # Panics
    /// If it does not get through.
    pub fn falls(&self, name: &str, attack: impl FnOnce()) {
        attack();
        assert!(self.changed().is_some(), "must succeed: {name}");
        for entry in fs::read_dir(&self.dir).expect("scratch").flatten() {
            let path = entry.path();
            if let Some((.., content)) = self.before.files.get(&path) {
                fs::write(path, content).expect("scratch");
            } else if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path).expect("scratch");
            } else {
                fs::remove_file(path).expect("scratch");
            }
        }
        assert_eq!(self.changed(), None, "it was taken back");
    }
}

impl Snapshot {
    fn now(engine: &Engine, dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        walk(dir, &mut files);
        Self {
            mounts: engine.host().says("cat /proc/self/mountinfo"),
            files,
            rules: RULES.iter().map(|path| fs::read_to_string(path).ok()).collect(),
        }
    }
}

fn walk(path: &Path, files: &mut BTreeMap<PathBuf, Seen>) {
    let about = fs::symlink_metadata(path).expect("scratch");
    let content = if about.is_file() { fs::read(path).expect("scratch") } else { Vec::new() };
    let seen = (about.mode(), about.uid(), about.gid(), about.rdev(), about.ino(), content);
    files.insert(path.to_owned(), seen);
    if about.is_dir() {
        for entry in fs::read_dir(path).expect("scratch") {
            walk(&entry.expect("scratch").path(), files);
        }
    }
}

//! Where this machine keeps its control groups.
//!
//! A [`Layout`] is read once from `/proc/self/mountinfo` and
//! `/proc/self/cgroup` and holds for the life of the process. It knows the
//! three arrangements that exist: version 1 (a tree for each set of
//! controllers), version 2 (one tree for all), and the hybrid (version 1
//! trees with a version 2 tree beside them, in which some controllers may
//! live and where processes can be frozen and killed as a whole). Nothing in
//! it is assumed from a path: a tree is known by its file system type and by
//! the controllers that its mount names.

use crate::Error;
use std::{
    fs::File,
    io::Read as _,
    path::{Component, Path, PathBuf},
};

/// Every hierarchy that processes of this machine are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) trees: Vec<Tree>,
}

/// One hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// What it controls: `cpu`, `name=systemd`; empty for version 2, whose
    /// controllers differ from group to group.
    pub controllers: Vec<String>,
    /// The group of this process, as seen below `mount`; none if it lies
    /// outside of what is mounted.
    pub own: Option<PathBuf>,
}

/// Which arrangement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 1 trees alone.
    V1,
    /// One version 2 tree.
    V2,
    /// Version 1 trees and a version 2 tree beside them.
    Hybrid,
}

impl Tree {
    pub fn unified(&self) -> bool {
        self.controllers.is_empty()
    }
}

impl Layout {
    /// Reads how this machine is arranged.
    ///
    /// # Errors
    /// If `/proc` cannot be read or shows no hierarchy.
    pub fn detect() -> Result<Self, Error> {
        let read = |path: &'static str| {
            // A file of procfs does not say how long it is.
            let mut text = String::with_capacity(16 << 10);
            File::open(path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .map_err(|source| Error::Host { doing: "read", path: path.into(), source })?;
            Ok::<_, Error>(text)
        };
        Self::parse_seen(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, |mount| {
            mount.is_on_top()
        })
    }

    /// The same, from what the two files say.
    ///
    /// # Errors
    /// If they show no hierarchy, or a line that no kernel writes.
    pub fn parse(mountinfo: &str, own: &str) -> Result<Self, Error> {
        Self::parse_seen(mountinfo, own, |_| true)
    }

    fn parse_seen(
        mountinfo: &str,
        own: &str,
        seen: impl Fn(&Mount<'_>) -> bool,
    ) -> Result<Self, Error> {
        let mut trees: Vec<Tree> = Vec::new();
        let mounts = mountinfo.lines().filter_map(|line| Some((line, Mount::parse(line)?)));
        for (line, mount) in mounts.filter(|(_, mount)| seen(mount)) {
            let (controllers, own) = mount.membership(own).ok_or_else(|| Error::Malformed {
                file: "/proc/self/mountinfo",
                line: line.to_owned(),
            })?;
            let own = own.strip_prefix(&mount.root).ok().map(Path::to_path_buf);
            let tree = Tree { mount: mount.point, controllers, own };
            match trees.iter_mut().find(|known| known.controllers == tree.controllers) {
                // Mounted twice: the mount that shows our own group wins.
                Some(known) if known.own.is_none() && tree.own.is_some() => *known = tree,
                Some(_) => {}
                None => trees.push(tree),
            }
        }
        if trees.is_empty() { Err(Error::NotMounted) } else { Ok(Self { trees }) }
    }

    /// Which of the three it is.
    pub fn version(&self) -> Version {
        match (self.trees.iter().any(Tree::unified), self.trees.iter().all(Tree::unified)) {
            (_, true) => Version::V2,
            (true, false) => Version::Hybrid,
            (false, _) => Version::V1,
        }
    }

    /// Where the version 2 tree is mounted, if it is.
    pub fn unified(&self) -> Option<&Path> {
        self.trees.iter().find(|tree| tree.unified()).map(|tree| tree.mount.as_path())
    }

    /// The directory of the group `path` in each hierarchy.
    ///
    /// An absolute path counts from the top of each tree, a relative one from
    /// the group of this process; `..` never leads out of a tree.
    pub(crate) fn locate(&self, path: &str) -> Result<Vec<PathBuf>, Error> {
        let inner = inside(Path::new(path)).ok_or_else(|| Error::BadPath(path.to_owned()))?;
        let relative = !path.starts_with('/');
        self.trees
            .iter()
            .map(|tree| match (&tree.own, relative) {
                (Some(own), true) => Ok(tree.mount.join(own).join(&inner)),
                (None, true) => Err(Error::BadPath(path.to_owned())),
                (_, false) => Ok(tree.mount.join(&inner)),
            })
            .collect()
    }
}

/// A path without its leading `/`, with `.` and `..` resolved in its words
/// alone; none for a path that names nothing or that no group can have.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inner = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inner.push(name),
            Component::ParentDir => {
                inner.pop();
            }
            _ => {}
        }
    }
    let named = !inner.as_os_str().is_empty();
    (named && !path.as_os_str().as_encoded_bytes().contains(&b'\n')).then_some(inner)
}

/// What one line of mountinfo says of a cgroup mount.
struct Mount<'a> {
    /// Of the file system, as `0:28`.
    device: &'a str,
    root: PathBuf,
    point: PathBuf,
    /// `cgroup2`, not `cgroup`.
    unified: bool,
    options: Vec<&'a str>,
}

impl<'a> Mount<'a> {
    /// None if the line is of another kind of mount.
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let unified = match after.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let mut before = before.split(' ').skip(2);
        Some(Self {
            device: before.next()?,
            root: unescape(before.next()?),
            point: unescape(before.next()?),
            unified,
            options: after.nth(1)?.split(',').collect(),
        })
    }

    /// Whether its path leads to it: a mount stays in the list when another
    /// one covers it, or a directory above it.
    fn is_on_top(&self) -> bool {
        rustix::fs::stat(&self.point).is_ok_and(|found| {
            let device = found.st_dev;
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            self.device == format!("{major}:{minor}")
        })
    }

    /// The line of `/proc/self/cgroup` that is of this hierarchy: its
    /// controllers, and the group in it.
    fn membership(&self, own: &str) -> Option<(Vec<String>, PathBuf)> {
        own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let listed: Vec<&str> = controllers.split(',').filter(|c| !c.is_empty()).collect();
            let same = if self.unified {
                listed.is_empty()
            } else {
                !listed.is_empty() && listed.iter().all(|c| self.options.contains(c))
            };
            same.then(|| {
                (listed.into_iter().map(str::to_owned).collect::<Vec<_>>(), PathBuf::from(path))
            })
        })
    }
}

/// Undoes the `\040` of mountinfo.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\').then(|| text.get(at + 1..at + 4)).flatten();
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    std::ffi::OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpuacct,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const HYBRID_OWN: &str =
        "9:name=systemd:/\n4:memory:/jobs/4\n1:cpu,cpuacct:/\n3:devices:/\n0::/\n";

    fn located(layout: &Layout, path: &str) -> Vec<String> {
        let dirs = layout.locate(path).expect("a good path");
        dirs.into_iter().map(|dir| dir.display().to_string()).collect()
    }

    #[test]
    fn a_hybrid_machine_is_known_by_its_mounts() {
        let layout = Layout::parse(HYBRID, HYBRID_OWN).expect("hybrid");
        assert_eq!(layout.version(), Version::Hybrid);
        assert_eq!(layout.unified(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(layout.trees[0].controllers, ["cpu", "cpuacct"]);
    }

    #[test]
    fn a_hierarchy_that_something_else_covers_is_not_there() {
        let layout = Layout::parse_seen(HYBRID, HYBRID_OWN, |mount| mount.device != "0:38");
        assert_eq!(layout.expect("version 1 is left").version(), Version::V1);
    }

    #[test]
    fn a_mount_is_known_by_the_device_of_its_path() {
        let line = |device| format!("20 1 {device} / /proc rw - cgroup2 none rw");
        let found = rustix::fs::stat("/proc").expect("there is /proc").st_dev;
        let device = format!("{}:{}", rustix::fs::major(found), rustix::fs::minor(found));
        assert!(Mount::parse(&line(device)).expect("a mount").is_on_top());
        assert!(!Mount::parse(&line("0:0".into())).expect("a mount").is_on_top());
    }

    #[test]
    fn a_relative_path_counts_from_the_own_group_of_each_tree() {
        let layout = Layout::parse(HYBRID, HYBRID_OWN).expect("hybrid");
        let dirs = located(&layout, "box");
        assert_eq!(dirs[0], "/sys/fs/cgroup/cpu,cpuacct/box");
        assert_eq!(dirs[1], "/sys/fs/cgroup/memory/jobs/4/box");
        assert_eq!(located(&layout, "/box")[1], "/sys/fs/cgroup/memory/box");
    }

    #[test]
    fn a_pure_version_2_machine_may_mount_it_anywhere() {
        let layout = Layout::parse(
            "30 23 0:26 / /my\\040groups rw - cgroup2 none rw,nsdelegate\n",
            "0::/user.slice\n",
        )
        .expect("v2");
        assert_eq!(layout.version(), Version::V2);
        assert_eq!(located(&layout, "a/b"), ["/my groups/user.slice/a/b"]);
    }

    #[test]
    fn inside_a_container_the_mount_shows_only_its_own_part() {
        let layout = Layout::parse(
            "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            "4:memory:/docker/abc/sub\n",
        )
        .expect("v1");
        assert_eq!(layout.version(), Version::V1);
        assert_eq!(located(&layout, "x"), ["/sys/fs/cgroup/memory/sub/x"]);
    }

    #[test]
    fn dots_do_not_lead_out_of_the_tree() {
        let layout = Layout::parse(HYBRID, HYBRID_OWN).expect("hybrid");
        assert_eq!(located(&layout, "/../../x/../y/./z")[1], "/sys/fs/cgroup/memory/y/z");
        for empty in ["", "/", "/..", "a/..", "new\nline"] {
            assert!(layout.locate(empty).is_err(), "{empty:?}");
        }
    }

    #[test]
    fn a_machine_without_control_groups_is_refused() {
        assert!(matches!(Layout::parse("", ""), Err(Error::NotMounted)));
    }
}

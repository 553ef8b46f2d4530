//! SELinux labels of files that the host has: volumes, what `:z` and `:Z` ask
//! for, and the engine's own files in a container's `/etc`.
//!
//! All else that a container sees is labelled by the mount, file by file
//! never. Here the tree may be another container's, which changes it
//! meanwhile: every file is opened before it is labelled, no link is followed,
//! and the top comes last, so that a top with the right label says that the
//! rest has it, too.

use crate::{
    Error,
    error::Doing,
    house::{House, Paths},
};
use policy::mounts::{Point, Relabel, Source};
use rustix::{
    fs::{Dir, FileType, Mode, OFlags, XattrFlags},
    io::Errno,
};
use std::{
    ffi::CString,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

const NAME: &str = "security.selinux";

/// The host's own places, which it would not survive to be a container's.
const NEVER: [&str; 19] = [
    "/",
    "/bin",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/etc/ssh",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
];
/// And all that is in these.
const NEVER_WITHIN: [&str; 11] = [
    "/boot",
    "/dev",
    "/lib",
    "/lib64",
    "/proc",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/libexec",
    "/usr/sbin",
    "/var/log",
];

/// The same label for all containers: without categories.
fn shared(label: &str) -> String {
    let parts: Vec<&str> = label.splitn(4, ':').take(3).collect();
    format!("{}:s0", parts.join(":"))
}

impl House {
    /// Labels what is to be a container's own, or every container's.
    /// `label` is that of its files; empty where there is no SELinux.
    ///
    /// # Errors
    /// A place that is the host's own; or what the host said.
    pub(crate) fn relabel(points: &[Point], label: &str) -> Result<(), Error> {
        if label.is_empty() {
            return Ok(());
        }
        for point in points {
            let plain = matches!(&point.source, Source::Volume(v) if v.options.is_empty());
            let path = Path::new(&point.path);
            match (point.relabel, &point.source) {
                (_, Source::Tmpfs { .. }) => {}
                (Relabel::Private, _) => tree(path, label)?,
                (Relabel::Shared, _) => tree(path, &shared(label))?,
                // A volume is for containers, and says so by its top.
                (Relabel::Keep, Source::Volume(_)) if plain => {
                    let label = shared(label);
                    if of(path).as_deref() != Some(&label) {
                        tree(path, &label)?;
                    }
                }
                (Relabel::Keep, _) => {}
            }
        }
        Ok(())
    }

    /// Refuses `:z` and `:Z` for the host's own places.
    ///
    /// # Errors
    /// The first such place.
    pub(crate) fn may_relabel(&self, points: &[Point]) -> Result<(), Error> {
        let asked = points.iter().filter(|point| point.relabel != Relabel::Keep);
        for point in asked {
            let path = match &point.source {
                Source::Bind { .. } => point.path.as_str(),
                Source::Volume(volume) => match volume.options.get("device") {
                    Some(device) => device,
                    None => continue,
                },
                Source::Tmpfs { .. } => continue,
            };
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
            if is_the_hosts(&real, &self.paths) {
                let words = format!("SELinux relabeling of {path} is not allowed");
                return Err(Error::Invalid(words));
            }
        }
        Ok(())
    }

    /// Labels the engine's files in a container's `/etc`.
    ///
    /// # Errors
    /// What the host said.
    pub(crate) fn relabel_files(
        files: [&Path; 3],
        label: &str,
        is_shared: bool,
    ) -> Result<(), Error> {
        if label.is_empty() {
            return Ok(());
        }
        let label = if is_shared { shared(label) } else { label.to_owned() };
        files.into_iter().try_for_each(|file| tree(file, &label))
    }
}

/// Whether a place is the host's own, the engine's, or holds one of them.
fn is_the_hosts(path: &Path, paths: &Paths) -> bool {
    let home = path.parent() == Some(Path::new("/home"));
    home || NEVER.iter().any(|place| path == Path::new(place))
        || NEVER_WITHIN.iter().any(|place| path.starts_with(place))
        || [&paths.data, &paths.run].iter().any(|own| own.starts_with(path))
}

/// A file's label, if it has one.
fn of(path: &Path) -> Option<String> {
    let mut label = [0; 256];
    let len = rustix::fs::getxattr(path, NAME, &mut label[..]).ok()?;
    String::from_utf8(label[..len].to_vec()).ok().map(|text| text.trim_end_matches('\0').to_owned())
}

/// A directory on the way down, and what of it is still to be looked at.
struct Open {
    dir: OwnedFd,
    names: Vec<CString>,
}

/// Labels `path` and all below it. A file system without labels of its own is
/// left as it is, as Docker does.
fn tree(path: &Path, label: &str) -> Result<(), Error> {
    let doing = |result: Result<(), Errno>| result.doing("label", path);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty()).doing("open", path)?;
    if !is_dir(&top).doing("look at", path)? {
        return doing(put(&top, label));
    }
    let mut open = vec![enter(top).doing("read", path)?];
    while let Some(here) = open.last_mut() {
        let Some(name) = here.names.pop() else {
            let done = open.pop().expect("it is the last one");
            doing(put(&done.dir, label))?;
            continue;
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&here.dir, &name, flags, Mode::empty()) {
            // It went meanwhile.
            Err(Errno::NOENT) => continue,
            file => file.doing("open what is in", path)?,
        };
        if is_dir(&file).doing("look at what is in", path)? {
            open.push(enter(file).doing("read what is in", path)?);
        } else {
            doing(put(&file, label))?;
        }
    }
    Ok(())
}

fn is_dir(file: &OwnedFd) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(file)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn enter(dir: OwnedFd) -> Result<Open, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let reader = rustix::fs::openat(&dir, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&reader)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(Open { dir, names })
}

/// Labels what a descriptor was opened for, by its number: a link as itself.
fn put(file: &OwnedFd, label: &str) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let value = [label.as_bytes(), b"\0"].concat();
    match rustix::fs::setxattr(path, NAME, &value, XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_is_a_label_without_categories() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        assert_eq!(shared(label), "system_u:object_r:container_file_t:s0");
    }

    #[test]
    fn the_hosts_own_places_are_left_to_it() {
        let paths = Paths { data: "/srv/engine/data".into(), run: "/run/engine".into() };
        let never = |path: &str| is_the_hosts(Path::new(path), &paths);
        for path in [
            "/",
            "/etc",
            "/home",
            "/home/me",
            "/root",
            "/usr",
            "/usr/lib/x",
            "/dev/shm",
            "/srv/engine",
            "/srv/engine/data",
            "/var/log/a",
        ] {
            assert!(never(path), "{path}");
        }
        for path in ["/home/me/data", "/srv/data", "/etc/web", "/root/x", "/srv/engine/data/x"] {
            assert!(!never(path), "{path}");
        }
    }

    /// Any attribute will do where the kernel has no SELinux: it is one like
    /// others there.
    #[test]
    fn a_tree_is_labelled_without_a_step_outside() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (tree_at, outside) = (scratch.path().join("tree"), scratch.path().join("outside"));
        std::fs::create_dir_all(tree_at.join("a/b")).expect("mkdir");
        std::fs::write(tree_at.join("a/b/file"), "").expect("write");
        std::fs::write(&outside, "").expect("write");
        std::os::unix::fs::symlink(&outside, tree_at.join("link")).expect("link");
        if crate::selinux::is_enabled() {
            return;
        }
        let label = "system_u:object_r:container_file_t:s0";
        tree(&tree_at, label).expect("root labels");
        for path in ["", "a", "a/b", "a/b/file"] {
            assert_eq!(of(&tree_at.join(path)).as_deref(), Some(label), "{path}");
        }
        assert_eq!(of(&outside), None, "the link is labelled, not where it leads");
    }
}

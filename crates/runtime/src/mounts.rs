//! The container's mounts, made by the launcher in its own mount namespace.
//!
//! A mount lives detached first (copied with `open_tree`, or made with
//! `fsmount`), gets all its properties, and is attached last, onto a
//! descriptor that was resolved inside the tree. The sources of bind mounts
//! are copied before the launcher leaves its peer groups, so that propagation
//! from and to the host is possible where it was asked for.

use crate::{
    Cgroup, cgroupfs, copyup, errand,
    failure::{Doing, refusal},
    filesystem::{self, Setting},
    ids::Ids,
    labels,
    options::{Mapped, Options, SLAVE},
    procfs::{self, Proc},
    tree::{self, Tree, Want},
    userns::Maps,
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    thread::LinkNameSpaceType,
};
use spec::{oci::Mount, wire::Failure};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};
use sys::mount::{self as attr, Change};

/// What the launcher knows while it mounts.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    /// Where to.
    pub tree: &'a Tree,
    /// The host's procfs.
    pub proc: &'a Proc,
    /// Init's process id on the host.
    pub pid: i32,
    /// The container's ids.
    pub ids: Ids<'a>,
    /// User namespaces to map ids with.
    pub maps: Maps<'a>,
    /// The container's control groups.
    pub cgroup: Option<&'a Cgroup>,
    /// Does it see its own control group as the top one?
    pub cgroup_private: bool,
    /// Does it count its own processes?
    pub pids_private: bool,
    /// SELinux label of new file systems.
    pub label: &'a str,
}

/// One mount, understood, with the copy of what is to be bound.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    mount: &'a Mount,
    options: Options,
    source: Option<OwnedFd>,
}

impl<'a> Planned<'a> {
    /// Sorts a mount's options and copies its source, which may be relative
    /// to `bundle`.
    pub fn new(mount: &'a Mount, bundle: &Path) -> Result<Self, Failure> {
        let mut options = Options::parse(&mount.options)?;
        if options.bind.is_none() && mount.kind == "bind" {
            options.bind = Some(false);
        }
        if let (Some(_), Some(word)) = (options.bind, options.unfit_for_bind()) {
            return Err(refusal(format!(
                "the bind mount on {} cannot have the option {word:?} of a file system",
                mount.destination
            )));
        }
        let source = match options.bind {
            None => None,
            Some(recursive) => {
                let path = bundle.join(&mount.source);
                if !path.is_absolute() {
                    return Err(refusal(format!(
                        "the source {} of a bind mount is not an absolute path",
                        path.display()
                    )));
                }
                Some(match &options.beneath {
                    Some(part) => copy_beneath(&path, part, recursive, &mount.destination)?,
                    None => copy_source(&path, recursive, &mount.destination)?,
                })
            }
        };
        if source.is_none() && options.beneath.is_some() {
            return Err(refusal(format!("{}: only a bind mount has a source", mount.destination)));
        }
        if source.is_none() && (options.idmap.is_some() || !mount.uid_mappings.is_empty()) {
            return Err(refusal(format!(
                "{}: only a bind mount can be id-mapped",
                mount.destination
            )));
        }
        Ok(Self { mount, options, source })
    }

    /// Is something bound over `path`?
    pub fn binds(&self, path: &str) -> bool {
        self.source.is_some()
            && tree::cleaned(Path::new(&self.mount.destination)) == Path::new(path)
    }

    /// Makes it. What is returned is to be made read-only when all is built:
    /// others are mounted in it, and devices made.
    pub fn apply(mut self, site: &Site<'_>) -> Result<Option<OwnedFd>, Failure> {
        let at_once = |()| None;
        match (self.source.take(), self.mount.kind.as_str()) {
            (Some(source), _) => self.bind(site, &source).map(at_once),
            (None, "cgroup" | "cgroup2") => {
                cgroupfs::mount(site, self.mount, &self.options).map(at_once)
            }
            (None, "tmpfs") => self.tmpfs(site),
            (None, kind) => self.fresh(site, kind).map(at_once),
        }
    }

    fn bind(&self, site: &Site<'_>, source: &OwnedFd) -> Result<(), Failure> {
        let destination = &self.mount.destination;
        let doing = || format!("bind {} to {destination}", self.mount.source);
        let want = match tree::file_type(source.as_fd()).doing(doing)? {
            FileType::Directory => Want::Dir,
            _ => Want::File,
        };
        let onto = self.place(site, want, source.as_fd())?.0;
        let dir = tree::file_type(onto.as_fd()).doing(doing)? == FileType::Directory;
        if dir != (want == Want::Dir) {
            // The kernel says that an argument is invalid; callers look for this.
            return Err(Errno::NOTDIR).doing(doing);
        }
        self.set_flags(site, source.as_fd())?;
        tree::attach(source.as_fd(), onto.as_fd()).doing(doing)
    }

    /// The descriptor to attach to, and whether it was there already.
    fn place(
        &self,
        site: &Site<'_>,
        want: Want,
        mount: BorrowedFd<'_>,
    ) -> Result<(OwnedFd, bool), Failure> {
        let path = Path::new(&self.mount.destination);
        let found = if matches!(self.mount.kind.as_str(), "proc" | "sysfs") {
            // No image may send these two elsewhere.
            let clean = tree::cleaned(path);
            match site.tree.open_strictly(&clean, OFlags::PATH | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => site.tree.make(&clean, want)?,
                other => (
                    other.doing(|| {
                        format!(
                            "mount {} on {}: it must be a real directory",
                            self.mount.kind,
                            clean.display()
                        )
                    })?,
                    true,
                ),
            }
        } else {
            site.tree.make(path, want)?
        };
        may_cover(path, found.0.as_fd(), mount)?;
        Ok(found)
    }

    /// Applies flags, id-mapping and propagation to a detached mount.
    fn set_flags(&self, site: &Site<'_>, mount: BorrowedFd<'_>) -> Result<(), Failure> {
        let doing = || format!("set the options of the mount on {}", self.mount.destination);
        let mapped = self
            .options
            .idmap
            .or_else(|| (!self.mount.uid_mappings.is_empty()).then_some(Mapped::One));
        if let Some(mapped) = mapped {
            let userns =
                site.maps.get(site.proc, &self.mount.uid_mappings, &self.mount.gid_mappings)?;
            let change =
                Change { set: attr::IDMAP, userns: Some(userns.as_fd()), ..Change::default() };
            let outcome = attr::change(mount, mapped == Mapped::All, &change);
            // Source: mount_setattr(2), "EINVAL: … does not support idmapped mounts".
            if outcome
                .as_ref()
                .is_err_and(|e| e.raw_os_error() == Some(Errno::INVAL.raw_os_error()))
            {
                return Err(refusal(format!(
                    "the file system of {} cannot map ids for a user namespace: copy what is \
                     needed into a volume, or, if root in the container may be root of the host, \
                     let it go without one of its own (--userns=host)",
                    self.mount.source
                )));
            }
            outcome.doing(|| format!("map the ids of {}", self.mount.source))?;
        }
        for (flags, all) in [(self.options.recursive, true), (self.options.flags, false)] {
            if flags.set | flags.clear != 0 {
                let change = Change { set: flags.set, clear: flags.clear, ..Change::default() };
                attr::change(mount, all, &change).doing(doing)?;
            }
        }
        // What a bind mount is by default for runc: it hears of the host's
        // mounts below it and tells of none.
        let default = [(SLAVE, true)];
        let changes = match self.options.propagation.as_slice() {
            [] if self.options.bind.is_some() => &default[..],
            given => given,
        };
        for (propagation, all) in changes {
            let change = Change { propagation: *propagation, ..Change::default() };
            attr::change(mount, *all, &change).doing(doing)?;
        }
        Ok(())
    }

    fn fresh(&self, site: &Site<'_>, kind: &str) -> Result<(), Failure> {
        let destination = &self.mount.destination;
        let mount = match kind {
            "proc" => self.procfs(site)?,
            "sysfs" => sysfs()?,
            _ => self.create(site, kind, None)?,
        };
        let (onto, _) = self.place(site, Want::Dir, mount.as_fd())?;
        self.set_flags(site, mount.as_fd())?;
        tree::attach(mount.as_fd(), onto.as_fd()).doing(|| format!("mount {kind} on {destination}"))
    }

    /// The option words as the kernel is to read them: ids are the host's,
    /// for the launcher mounts with the host's rights.
    fn words(&self, site: &Site<'_>) -> Result<Vec<String>, Failure> {
        self.options
            .data
            .iter()
            .map(|word| {
                let host = match word.split_once('=') {
                    Some(("uid", id)) => id.parse().ok().map(|id| ("uid", site.ids.uid(id))),
                    Some(("gid", id)) => id.parse().ok().map(|id| ("gid", site.ids.gid(id))),
                    _ => None,
                };
                match host {
                    None => Ok(word.clone()),
                    Some((key, Some(id))) => Ok(format!("{key}={id}")),
                    Some((_, None)) => Err(refusal(format!(
                        "the mount on {} names an id that the container does not have: {word}",
                        self.mount.destination
                    ))),
                }
            })
            .collect()
    }

    fn create(&self, site: &Site<'_>, kind: &str, mode: Option<&str>) -> Result<OwnedFd, Failure> {
        let words = self.words(site)?;
        let mut settings: Vec<_> = words.iter().map(|word| Setting::word(word)).collect();
        if !self.mount.source.is_empty() {
            settings.push(Setting::Text("source", &self.mount.source));
        }
        if let Some(mode) = mode {
            settings.push(Setting::Text("mode", mode));
        }
        if !site.label.is_empty() && matches!(kind, "tmpfs" | "devpts") {
            settings.push(Setting::Text("context", site.label));
        }
        // A disk is not to be written to, not even its journal.
        if self.options.flags.set & attr::RDONLY != 0
            && !matches!(kind, "tmpfs" | "devpts" | "mqueue" | "sysfs" | "proc")
        {
            settings.push(Setting::Flag("ro"));
        }
        let mount = filesystem::create(kind, &settings, 0)?;
        if !site.label.is_empty() && kind == "mqueue" {
            // An IPC namespace's file system is there before it is mounted, and
            // takes no label then.
            let root = filesystem::reopen_dir(mount.as_fd())
                .doing(|| format!("open {}", self.mount.destination))?;
            labels::root(root.as_fd(), site.label)?;
        }
        Ok(mount)
    }

    /// A procfs of the container's process namespace, in which the launcher
    /// itself is not.
    fn procfs(&self, site: &Site<'_>) -> Result<OwnedFd, Failure> {
        let words = self.words(site)?;
        let words = words.iter().map(|word| Setting::word(word));
        let settings: Vec<_> = words.chain([Setting::Text("source", "proc")]).collect();
        if !site.pids_private {
            return filesystem::create("proc", &settings, 0);
        }
        crate::pidns::procfs(site.proc, site.pid, &settings)
    }

    fn tmpfs(&mut self, site: &Site<'_>) -> Result<Option<OwnedFd>, Failure> {
        let read_only = (self.options.flags.set | self.options.recursive.set) & attr::RDONLY != 0;
        self.options.flags.set &= !attr::RDONLY;
        self.options.recursive.set &= !attr::RDONLY;
        let destination = &self.mount.destination;
        let doing = || format!("mount tmpfs on {destination}");
        // As runc: without a mode of its own it takes that of what it hides.
        let path = Path::new(destination);
        let (onto, there) = site.tree.make(path, Want::Dir)?;
        let given = self.options.data.iter().any(|word| word.starts_with("mode="));
        let mode = if there && !given {
            let mode = rustix::fs::fstat(&onto).doing(doing)?.st_mode & 0o7777;
            Some(format!("{mode:o}"))
        } else {
            None
        };
        let mount = self.create(site, "tmpfs", mode.as_deref())?;
        may_cover(path, onto.as_fd(), mount.as_fd())?;
        if self.options.copy_up && there {
            let copied = filesystem::reopen_dir(onto.as_fd()).and_then(|from| {
                let to = filesystem::reopen_dir(mount.as_fd())?;
                copyup::copy(from.as_fd(), to.as_fd())
            });
            copied.doing(|| format!("copy {destination} up into its tmpfs"))?;
        }
        self.set_flags(site, mount.as_fd())?;
        tree::attach(mount.as_fd(), onto.as_fd()).doing(doing)?;
        Ok(read_only.then_some(mount))
    }
}

/// A detached copy of what is to be bound on `destination`.
///
/// Where `path` leads through `/proc/PID/root` it lies in another container's
/// tree, and the kernel copies a mount only for somebody in its namespace.
fn copy_source(path: &Path, recursive: bool, destination: &str) -> Result<OwnedFd, Failure> {
    let doing = || format!("bind {} to {destination}", path.display());
    let Some((pid, inside)) = in_another_tree(path) else {
        return tree::copy_at(rustix::fs::CWD, path, recursive).doing(doing);
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace =
        rustix::fs::open(format!("/proc/{pid}/ns/mnt"), flags, Mode::empty()).doing(doing)?;
    errand::send(|| {
        let kind = Some(LinkNameSpaceType::Mount);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).doing(doing)?;
        tree::copy_at(rustix::fs::CWD, inside, recursive).doing(doing)
    })
}

/// The same of a path whose last `part` is in a volume, say: containers that
/// have it may put a link there at any moment, to be followed as the host's
/// root. What was there when it was opened, below the rest, is what is bound.
fn copy_beneath(
    path: &Path,
    part: &str,
    recursive: bool,
    destination: &str,
) -> Result<OwnedFd, Failure> {
    let doing = || format!("bind {} to {destination}", path.display());
    let above = path.to_str().and_then(|path| path.strip_suffix(part));
    let Some(above) = above.filter(|above| above.ends_with('/') && !part.is_empty()) else {
        return Err(refusal(format!("{} does not end with {part:?}", path.display())));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::open(above, flags, Mode::empty()).doing(doing)?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(&above, part, flags, Mode::empty(), within).doing(doing)?;
    tree::copy(found.as_fd(), recursive).doing(doing)
}

/// The process and the path below its root, of `/proc/PID/root/…`.
fn in_another_tree(path: &Path) -> Option<(u32, &Path)> {
    let (pid, inside) = path.to_str()?.strip_prefix("/proc/")?.split_once('/')?;
    let inside = inside.strip_prefix("root").filter(|rest| rest.starts_with('/'))?;
    Some((pid.parse().ok()?, Path::new(inside)))
}

/// A sysfs of the network namespace. Only where not even the launcher may
/// make one (an engine inside a container), the host's is shown, read-only.
fn sysfs() -> Result<OwnedFd, Failure> {
    match filesystem::create("sysfs", &[Setting::Text("source", "sysfs")], 0) {
        Err(failure) if failure.errno == Errno::PERM.raw_os_error() => {
            let copy = tree::copy_at(rustix::fs::CWD, Path::new("/sys"), false)
                .doing(|| "bind the host's /sys".into())?;
            let change = Change { set: attr::RDONLY, ..Change::default() };
            attr::change(copy.as_fd(), false, &change)
                .doing(|| "make the host's /sys read-only".into())?;
            Ok(copy)
        }
        other => other,
    }
}

/// Files of `/proc` that may be covered, with what a container may be shown
/// instead (LXCFS does): they confine nothing.
const COVERABLE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Refuses what would give the container a `/proc` that is none
/// (CVE-2019-16884, CVE-2023-28642).
fn may_cover(path: &Path, onto: BorrowedFd<'_>, mount: BorrowedFd<'_>) -> Result<(), Failure> {
    let path = tree::cleaned(path);
    if path == Path::new("/") {
        return Err(refusal("nothing can be mounted on the container's root"));
    }
    // Both are clean: to compare them as texts is enough, and much less work.
    if COVERABLE.iter().any(|file| path.as_os_str() == *file) {
        return Ok(());
    }
    let proc = |fd| procfs::is_procfs(fd).doing(|| format!("look at {}", path.display()));
    if path == Path::new("/proc") {
        return if proc(mount)? {
            Ok(())
        } else {
            Err(refusal("only a procfs can be mounted on /proc"))
        };
    }
    if path.starts_with("/proc") || proc(onto)? {
        return Err(refusal(format!("cannot mount on {}: it is inside /proc", path.display())));
    }
    Ok(())
}

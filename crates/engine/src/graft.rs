//! Mounts that come to a container and leave it while it runs.
//!
//! What is asked for stands in `HostConfig`, as if it had been there from the
//! start, and the next start mounts it so. In a container that runs a mount is
//! made as a start makes it, detached, with all its properties, and moved by a
//! thread that has joined the container's mount namespace:
//!
//! ```text
//!   source ── open_tree, mount_setattr ──▶ a detached mount
//!                                              │ move_mount
//!   its namespace ── openat2(IN_ROOT) ──▶ a descriptor of the place
//! ```
//!
//! The place is resolved once, by the kernel, inside the container's root, and
//! is used by its descriptor: whatever its programs exchange meanwhile, it is
//! a place of their own. Nothing can be moved to a mount of another namespace.
//!
//! What came so can leave so; what a start has mounted is locked by the
//! kernel. And what came so is not locked: root in a container that may mount
//! (`CAP_SYS_ADMIN`) in a user namespace of its own could make it writable,
//! so that none comes to one.

mod inside;

use self::inside::{Coming, Inside, Leaving};
use crate::{
    Container, Error, MountPoint, archive,
    cell::Cell,
    create::{bind, find_source, is_empty},
    error::Doing,
    house::House,
    undo::Undo,
    view::open_source,
    volumes::Held,
};
use policy::{
    mounts::{Below, Point, Source},
    user::Identity,
};
use rustix::{
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use serde::{Deserialize, Serialize};
use spec::docker::{Config, HostConfig, Mount};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::Arc,
};

/// What is to be mounted and taken away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MountsWish {
    /// As in `HostConfig.Binds`: beside what there is.
    pub binds: Vec<String>,
    /// As in `HostConfig.Mounts`.
    pub mounts: Vec<Mount>,
    /// As in `HostConfig.Tmpfs`.
    pub tmpfs: BTreeMap<String, String>,
    /// Where, in the container.
    pub unmount: Vec<String>,
}

impl MountsWish {
    /// Nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn as_host(&self, driver: &str) -> HostConfig {
        HostConfig {
            binds: Some(self.binds.clone()),
            mounts: Some(self.mounts.clone()),
            tmpfs: Some(self.tmpfs.clone().into_iter().collect()),
            volume_driver: driver.to_owned(),
            ..HostConfig::default()
        }
    }
}

/// A mount that came to a container in this run, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Graft {
    /// `stx_mnt_id` of statx(2).
    pub mount: u64,
    /// Of what is mounted.
    pub device: u64,
    /// Likewise.
    pub inode: u64,
}

/// What a container asks for, and has, from now on.
pub(crate) struct Regrafted<'a> {
    /// Until the record names them.
    _held: Held<'a>,
    host: HostConfig,
    mounts: Vec<MountPoint>,
    weakened: Vec<String>,
    grafts: BTreeMap<String, Graft>,
    /// Volumes that are in use no longer.
    left: Vec<MountPoint>,
    came: Vec<MountPoint>,
}

impl Regrafted<'_> {
    /// Writes it into the container.
    pub fn take(&self, container: &mut Container) {
        container.host.binds.clone_from(&self.host.binds);
        container.host.mounts.clone_from(&self.host.mounts);
        container.host.tmpfs.clone_from(&self.host.tmpfs);
        container.mounts.clone_from(&self.mounts);
        container.weakened.clone_from(&self.weakened);
        container.grafts.clone_from(&self.grafts);
    }
}

/// Where nothing comes while a container is there: the kernel's own, and the
/// engine's files.
const CLOSED: [&str; 6] =
    ["/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

impl House {
    /// Mounts and takes away what is wished, in a container that runs at once.
    /// Its `verb` lock is held; what is given must be [taken](Regrafted::take)
    /// into the record while `undo` still takes it back.
    ///
    /// # Errors
    /// Words that make no sense, a place that is taken or closed, what is busy
    /// or was there from the start; what the kernel said. Nothing has changed
    /// then.
    pub(crate) fn regraft<'a>(
        &'a self,
        cell: &'a Arc<Cell>,
        wish: &MountsWish,
        undo: &mut Undo<'a>,
    ) -> Result<Regrafted<'a>, Error> {
        let before = cell.now();
        let using = self.using_volumes();
        let mut next = Container::clone(&before);
        let mut leaving = Vec::new();
        for target in &wish.unmount {
            leaving.push(strike(&mut next, target)?);
        }
        let points =
            policy::mounts::points(&Config::default(), &wish.as_host(&before.host.volume_driver))?;
        for point in &points {
            may_come(&next, point)?;
        }
        let came = self.take_points(&points, undo)?;
        next.mounts.extend(came.iter().cloned());
        next.host.binds.get_or_insert_default().extend(wish.binds.iter().cloned());
        next.host.mounts.get_or_insert_default().extend(wish.mounts.iter().cloned());
        next.host.tmpfs.get_or_insert_default().extend(wish.tmpfs.clone());
        next.host.binds.take_if(|list| list.is_empty());
        next.host.mounts.take_if(|list| list.is_empty());
        next.host.tmpfs.take_if(|list| list.is_empty());
        let all = self.points(&next)?;
        let sandbox = self.decide(&next, cell.slot, &Identity::default(), &all, true)?;
        let points: Vec<Point> = all
            .into_iter()
            .filter(|point| points.iter().any(|new| new.destination == point.destination))
            .collect();
        if !before.mount_label.is_empty() {
            self.may_relabel(&points)?;
        }
        let held = self.hold_new(&next);
        // Mounting may take minutes, and nobody is to wait for that.
        drop(using);
        self.mount_held(&held)?;
        self.fill_grafted(cell, &before, &points)?;
        if before.state.pid().is_some() {
            let capabilities = sandbox.config.process.and_then(|process| process.capabilities);
            let mounts_itself = capabilities
                .is_some_and(|sets| sets.bounding.iter().any(|cap| cap == "CAP_SYS_ADMIN"));
            if mounts_itself && !points.is_empty() && !before.ids().is_host() {
                return Err(Error::Conflict(format!(
                    "container {} has CAP_SYS_ADMIN in a user namespace of its own and could undo \
                     what restricts a mount that comes now: stop it first",
                    before.name
                )));
            }
            Self::relabel(&points, &before.mount_label)?;
            next.grafts = self.move_mounts(cell, &before, &points, &leaving, undo)?;
        }
        let gone = |mount: &&MountPoint| leaving.contains(&mount.destination);
        let left = before.mounts.iter().filter(gone).cloned().collect();
        Ok(Regrafted {
            _held: held,
            host: next.host,
            mounts: next.mounts,
            weakened: sandbox.weakened,
            grafts: next.grafts,
            left,
            came,
        })
    }

    /// Tells of volumes that are used from now on, and lets go those that are
    /// used no more.
    pub(crate) fn regrafted(&self, container: &Container, done: Regrafted<'_>) {
        if container.state.pid().is_none() {
            return;
        }
        let Regrafted { came, left, _held: held, .. } = done;
        drop(held);
        let [came, left] = [came, left].map(|mounts| Container { mounts, ..container.clone() });
        self.volume_events(&came, "mount");
        self.let_volumes_go(&left);
        self.volume_events(&left, "unmount");
    }

    /// Makes volumes, and finds what is to be bound.
    fn take_points<'a>(
        &'a self,
        points: &[Point],
        undo: &mut Undo<'a>,
    ) -> Result<Vec<MountPoint>, Error> {
        let mut mounts = Vec::new();
        for point in points {
            mounts.push(match &point.source {
                Source::Bind { create } => {
                    find_source(&point.path, *create)?;
                    bind(point)
                }
                Source::Volume(wish) => self.volume_at(point, wish, undo)?,
                Source::Tmpfs { .. } => MountPoint {
                    kind: "tmpfs".into(),
                    destination: point.destination.clone(),
                    rw: !point.read_only,
                    ..MountPoint::default()
                },
            });
        }
        Ok(mounts)
    }

    /// An empty volume gets what the container has in its place, as at its
    /// creation.
    fn fill_grafted(
        &self,
        cell: &Arc<Cell>,
        before: &Container,
        points: &[Point],
    ) -> Result<(), Error> {
        for point in points {
            let Source::Volume(volume) = &point.source else { continue };
            if volume.no_copy || !volume.subpath.is_empty() || !is_empty(Path::new(&point.path))? {
                continue;
            }
            let root = if before.state.pid().is_some() {
                archive::root_of(cell)?
            } else {
                self.root(before)?.mount(&self.layers(before)?)?
            };
            archive::copy_up(&root, before.ids(), &point.destination, &point.path)?;
        }
        Ok(())
    }

    /// In a container that runs: takes away, then mounts; or neither.
    fn move_mounts<'a>(
        &'a self,
        cell: &'a Arc<Cell>,
        before: &Container,
        points: &[Point],
        leaving: &[String],
        undo: &mut Undo<'a>,
    ) -> Result<BTreeMap<String, Graft>, Error> {
        let mut grafts = before.grafts.clone();
        let mut gone = Vec::new();
        for target in leaving {
            let graft = grafts.remove(target).ok_or_else(|| {
                Error::Conflict(format!(
                    "{target} was mounted when container {} started and is locked while it runs: \
                     stop it first",
                    before.name
                ))
            })?;
            gone.push(Leaving { target: target.clone(), graft });
        }
        let coming = points
            .iter()
            .map(|point| self.detached(before, point))
            .collect::<Result<Vec<_>, _>>()?;
        let init = cell.live().init.clone();
        let init = init.ok_or_else(|| crate::verbs::not_running(before))?;
        let inside = Inside::of(&init, before.ids());
        let done = inside.exchange(gone, coming).map_err(|failed| {
            self.came_back(cell, failed.back);
            failed.error
        })?;
        for (target, graft) in &done.came {
            grafts.insert(target.clone(), *graft);
        }
        // Should the record not take it.
        undo.with("take back what was mounted", move || {
            let back = Inside::of(&init, cell.now().ids()).give_back(done)?;
            self.came_back(cell, back);
            Ok(())
        });
        Ok(grafts)
    }

    /// Remembers mounts that were put back: the kernel knows them anew.
    fn came_back(&self, cell: &Cell, back: Vec<(String, Graft)>) {
        if !back.is_empty() {
            self.leave(&cell.change(|container| container.grafts.extend(back)));
        }
    }

    /// What is to be mounted, as a start would mount it, nowhere yet. Memory is
    /// made where it is known what it covers.
    fn detached(&self, container: &Container, point: &Point) -> Result<Coming, Error> {
        let target = point.destination.clone();
        if let Source::Tmpfs { .. } = &point.source {
            let mut words = policy::mounts::memory(point);
            if self.policy.selinux && !container.mount_label.is_empty() {
                words.push(format!("context={}", container.mount_label));
            }
            return Ok(Coming { target, what: inside::What::Memory(words) });
        }
        let mut cloned = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        if point.below != Below::Out {
            cloned |= OpenTreeFlags::AT_RECURSIVE;
        }
        let source = open_source(point)?;
        let tree = open_tree(&source, "", cloned).doing("open", &point.path)?;
        restrict(container, point, &tree)?;
        Ok(Coming { target, what: inside::What::Bound(tree) })
    }
}

/// Ids, flags and propagation, as `policy` has them for a start.
fn restrict(container: &Container, point: &Point, tree: &OwnedFd) -> Result<(), Error> {
    use sys::mount::{Change, IDMAP, NODEV, RDONLY, change};
    let path = &point.path;
    let within = |top: &str| Path::new(path).starts_with(top);
    let ids = container.ids();
    if !ids.is_host() && !["/proc", "/sys", "/dev"].into_iter().any(within) {
        let [users, groups] = ids.maps();
        let userns =
            sys::userns::new(&users, &groups).doing("make the id map", users.trim_end())?;
        let userns = Some(userns.as_fd());
        let mapped =
            change(tree.as_fd(), false, &Change { set: IDMAP, userns, ..Change::default() });
        match mapped {
            // Source: mount_setattr(2), "EINVAL: … does not support idmapped mounts".
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                return Err(Error::Unsupported(format!(
                    "the file system of {path} cannot map ids for a user namespace: copy what is \
                     needed into a volume"
                )));
            }
            mapped => mapped.doing("map the ids of", path)?,
        }
    }
    let mut flags = Vec::new();
    if point.read_only {
        flags.push((RDONLY, point.below == Below::Along));
    }
    if !container.host.privileged && !within("/dev") && path != "/" {
        flags.push((NODEV, false));
    }
    for (set, all) in flags {
        change(tree.as_fd(), all, &Change { set, ..Change::default() })
            .doing("restrict the mount of", path)?;
    }
    let propagation = u64::from(rustix::mount::MountPropagationFlags::PRIVATE.bits());
    change(tree.as_fd(), true, &Change { propagation, ..Change::default() })
        .doing("keep to itself the mount of", path)
}

/// Takes a mount out of what is asked for; gives its place, made clean.
fn strike(next: &mut Container, target: &str) -> Result<String, Error> {
    let only = |host: HostConfig| -> Result<String, Error> {
        let points = policy::mounts::points(&Config::default(), &host)?;
        Ok(points.into_iter().map(|point| point.destination).next().unwrap_or_default())
    };
    // Made clean as that of a mount is.
    let place = only(HostConfig {
        tmpfs: Some([(target.to_owned(), String::new())].into_iter().collect()),
        ..HostConfig::default()
    })?;
    let host = &mut next.host;
    let driver = host.volume_driver.clone();
    let mut found = false;
    let mut is_other = |one: HostConfig| {
        // It was read when it was asked for.
        let same =
            only(HostConfig { volume_driver: driver.clone(), ..one }).is_ok_and(|at| at == place);
        found |= same;
        !same
    };
    if let Some(binds) = &mut host.binds {
        binds.retain(|text| {
            is_other(HostConfig { binds: Some(vec![text.clone()]), ..HostConfig::default() })
        });
    }
    if let Some(mounts) = &mut host.mounts {
        mounts.retain(|mount| {
            is_other(HostConfig { mounts: Some(vec![mount.clone()]), ..HostConfig::default() })
        });
    }
    if let Some(tmpfs) = &mut host.tmpfs {
        tmpfs.retain(|path, _| {
            let one = [(path.clone(), String::new())].into_iter().collect();
            is_other(HostConfig { tmpfs: Some(one), ..HostConfig::default() })
        });
    }
    if found {
        next.mounts.retain(|mount| mount.destination != place);
        return Ok(place);
    }
    let words = if next.mounts.iter().any(|mount| mount.destination == place) {
        format!("{place} is a volume of the image's or of another container's, and stays")
    } else {
        format!("nothing is mounted on {place} by any option")
    };
    Err(Error::Invalid(words))
}

fn may_come(next: &Container, point: &Point) -> Result<(), Error> {
    let place = &point.destination;
    let refuse = |words: String| Err(Error::Invalid(words));
    if let Some(closed) = CLOSED.iter().find(|top| Path::new(place).starts_with(top)) {
        return refuse(format!(
            "nothing can be mounted on {place} of a container that is there: {closed} is the \
             engine's (create a new one)"
        ));
    }
    let taken = next.mounts.iter().any(|mount| mount.destination == *place)
        || policy::mounts::points(&next.config, &next.host)?
            .iter()
            .any(|p| p.destination == *place);
    if taken {
        return Err(Error::Conflict(format!("Duplicate mount point: {place}")));
    }
    if !matches!(point.propagation.as_str(), "" | "private" | "rprivate") {
        let word = &point.propagation;
        return refuse(format!(
            "{place}: the propagation {word} is decided when a container starts: create a new one"
        ));
    }
    if matches!(&point.source, Source::Volume(volume) if volume.name.is_empty()) {
        return refuse(format!("{place}: a volume that is mounted later needs a name"));
    }
    Ok(())
}

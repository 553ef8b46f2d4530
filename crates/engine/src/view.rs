//! What a container sees below `/`: its root with its volumes and bind mounts
//! in it. Of one that runs, through its init's root; of one that does not,
//! made for the purpose.
//!
//! ```text
//!   Linux 6.15 and newer   root (detached) ◀─ mounts          no name anywhere
//!   older ones             a thread leaves for a mount namespace, puts the
//!                          root on its `/` and mounts there, takes a
//!                          detached copy of all of it along, and ends
//! ```

use crate::{
    Container, Error, archive::root_of, cell::Cell, error::Doing, guise::Guise, house::House,
};
use policy::mounts::{Point, Source};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
    mount::{
        MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, move_mount, open_tree,
    },
    thread::UnshareFlags,
};
use snapshot::IdRange;
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether this kernel was seen to refuse mounts in a detached root.
static REFUSES_DETACHED: AtomicBool = AtomicBool::new(false);

/// What is mounted in a root that nothing runs on, and for whom.
struct Stock<'a> {
    points: &'a [Point],
    ids: IdRange,
    userns: Option<&'a OwnedFd>,
    read_only: bool,
}

impl House {
    /// What a container sees below `/`, whether it runs or not.
    pub(crate) fn view(&self, cell: &Cell) -> Result<OwnedFd, Error> {
        let container = cell.now();
        if container.state.is_running() {
            return root_of(cell);
        }
        let _held = self.hold_volumes(&container)?;
        let root = self.mount(&container)?;
        let points = self.points(&container)?;
        view(root, &points, &container)
    }
}

fn view(root: OwnedFd, points: &[Point], container: &Container) -> Result<OwnedFd, Error> {
    let ids = container.ids();
    let userns = if ids.is_host() {
        None
    } else {
        let [uids, gids] = ids.maps();
        Some(sys::userns::new(&uids, &gids).doing("make the id map", uids.trim_end())?)
    };
    let read_only = container.host.readonly_rootfs;
    stocked(root, &Stock { points, ids, userns: userns.as_ref(), read_only })
}

/// The root with all of it in it, detached.
fn stocked(root: OwnedFd, stock: &Stock<'_>) -> Result<OwnedFd, Error> {
    if REFUSES_DETACHED.load(Ordering::Relaxed) {
        return in_a_namespace(&root, stock);
    }
    match fill(root.as_fd(), stock)? {
        Filled::Whole => Ok(root),
        Filled::Refused(_) => {
            let view = in_a_namespace(&root, stock)?;
            REFUSES_DETACHED.store(true, Ordering::Relaxed);
            Ok(view)
        }
    }
}

/// In a thread of its own: a mount namespace is left by ending.
fn in_a_namespace(root: &OwnedFd, stock: &Stock<'_>) -> Result<OwnedFd, Error> {
    std::thread::scope(|scope| {
        scope.spawn(|| attach(root, stock)).join().expect("it returns its errors")
    })
}

fn attach(root: &OwnedFd, stock: &Stock<'_>) -> Result<OwnedFd, Error> {
    sys::process::unshare(UnshareFlags::NEWNS).doing("leave", "the host's mount namespace")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing("make private", "/")?;
    move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .doing("attach", "a container's root")?;
    // What was mounted last is found from above; "/" is the host's still, and
    // what is mounted is looked up there.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::open("/..", flags, Mode::empty()).doing("open", "/..")?;
    if let Filled::Refused(point) = fill(above.as_fd(), stock)? {
        return Err(Errno::INVAL).doing("mount on", &point.destination);
    }
    let whole = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(&above, "", whole).doing("clone", "a container's view")
}

enum Filled<'a> {
    Whole,
    /// The kernel takes no mounts in a detached tree, or not this one anywhere.
    Refused(&'a Point),
}

fn fill<'a>(root: BorrowedFd<'_>, stock: &Stock<'a>) -> Result<Filled<'a>, Error> {
    for point in stock.points {
        if let Filled::Refused(point) = add(root, point, stock)? {
            return Ok(Filled::Refused(point));
        }
    }
    if stock.read_only {
        let set = sys::mount::RDONLY;
        let change = sys::mount::Change { set, ..sys::mount::Change::default() };
        sys::mount::change(root, false, &change).doing("close", "the root")?;
    }
    Ok(Filled::Whole)
}

/// Puts a volume or bind mount into a root. A mount point that does not exist
/// yet is made; one that cannot be is left out.
fn add<'a>(root: BorrowedFd<'_>, point: &'a Point, stock: &Stock<'_>) -> Result<Filled<'a>, Error> {
    if matches!(point.source, Source::Tmpfs { .. }) {
        return Ok(Filled::Whole);
    }
    let source = open_source(point)?;
    let Some(target) = target(root, point, &source, stock.ids)? else {
        return Ok(Filled::Whole);
    };
    let cloned = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&source, "", cloned).doing("open", &point.path)?;
    let userns = stock.userns.map(AsFd::as_fd);
    let mut set = if userns.is_some() { sys::mount::IDMAP } else { 0 };
    if point.read_only {
        set |= sys::mount::RDONLY;
    }
    if set != 0 {
        let what = sys::mount::Change { set, userns, ..sys::mount::Change::default() };
        sys::mount::change(tree.as_fd(), false, &what).doing("id-map or close", &point.path)?;
    }
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    match move_mount(&tree, "", &target, "", how) {
        Ok(()) => Ok(Filled::Whole),
        Err(Errno::INVAL) => Ok(Filled::Refused(point)),
        Err(error) => Err(error).doing("mount on", &point.destination),
    }
}

/// Where a point is in the root; made if it is not there, as the first start
/// would make it. None where nothing can be.
fn target(
    root: BorrowedFd<'_>,
    point: &Point,
    source: &OwnedFd,
    ids: IdRange,
) -> Result<Option<OwnedFd>, Error> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let relative = point.destination.trim_start_matches('/');
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let open = || openat2(root, relative, flags, Mode::empty(), inside);
    match open() {
        Err(Errno::NOTDIR) => Ok(None),
        Err(Errno::NOENT) => {
            let stat = rustix::fs::fstat(source).doing("look at", &point.path)?;
            let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
            let guise = Guise::of(ids)?;
            let made = snapshot::make_point(root, relative, ids, is_dir)?;
            drop(guise);
            if made { open().map(Some).doing("open", &point.destination) } else { Ok(None) }
        }
        opened => opened.map(Some).doing("open", &point.destination),
    }
}

/// What is mounted at a point. In a part of a volume no link is followed: it
/// is its containers' word, and they may put it there at any moment.
pub(crate) fn open_source(point: &Point) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let part = match &point.source {
        Source::Volume(volume) => volume.subpath.as_str(),
        _ => "",
    };
    let Some(above) = point.path.strip_suffix(part).filter(|_| !part.is_empty()) else {
        return rustix::fs::open(&point.path, flags, Mode::empty()).doing("open", &point.path);
    };
    let above = rustix::fs::open(above, flags, Mode::empty()).doing("open", above)?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(&above, part, flags, Mode::empty(), within).doing("open", &point.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::mounts::{Below, Relabel};
    use std::{fs, path::Path};

    fn bind(path: &Path, destination: &str, read_only: bool) -> Point {
        Point {
            destination: destination.into(),
            source: Source::Bind { create: false },
            path: path.display().to_string(),
            read_only,
            below: Below::default(),
            propagation: String::new(),
            relabel: Relabel::default(),
        }
    }

    /// What both ways give: mounts below mounts, made points, what is closed.
    fn holds(way: impl Fn(OwnedFd, &Stock<'_>) -> Result<OwnedFd, Error>) {
        let dir = tempfile::tempdir().expect("scratch");
        for name in ["root/there", "a/below", "b"] {
            fs::create_dir_all(dir.path().join(name)).expect("mkdir");
        }
        fs::write(dir.path().join("a/file"), "of a").expect("write");
        fs::write(dir.path().join("b/file"), "of b").expect("write");
        let points = [
            bind(&dir.path().join("a"), "/there", false),
            bind(&dir.path().join("a/file"), "/made", true),
            bind(&dir.path().join("b"), "/there/below", true),
        ];
        let cloned = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let root = open_tree(CWD, dir.path().join("root"), cloned).expect("root may clone");
        let stock = Stock { points: &points, ids: IdRange::HOST, userns: None, read_only: true };
        let view = way(root, &stock).expect("a view");
        let open = |name: &str, flags: OFlags| {
            let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR } else { Mode::empty() };
            openat2(&view, name, flags | OFlags::CLOEXEC, mode, ResolveFlags::IN_ROOT)
        };
        let text = |name: &str| {
            let file = fs::File::from(open(name, OFlags::RDONLY).expect("it is there"));
            std::io::read_to_string(file).expect("text")
        };
        assert_eq!(text("there/file"), "of a");
        assert_eq!(text("made"), "of a");
        assert_eq!(text("there/below/file"), "of b");
        let create = OFlags::CREATE | OFlags::WRONLY;
        open("there/new", create).expect("a mount that is open");
        assert!(dir.path().join("a/new").exists());
        for closed in ["there/below/new", "new", "made"] {
            assert_eq!(open(closed, create).err(), Some(Errno::ROFS), "{closed}");
        }
    }

    #[test]
    fn a_view_is_the_same_whichever_way_the_kernel_takes() {
        holds(stocked);
        holds(|root, stock| in_a_namespace(&root, stock));
    }

    #[test]
    fn what_can_be_mounted_nowhere_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("scratch");
        for name in ["root/there", "a"] {
            fs::create_dir_all(dir.path().join(name)).expect("mkdir");
        }
        fs::write(dir.path().join("a/file"), "").expect("write");
        let points = [bind(&dir.path().join("a/file"), "/there", false)];
        let cloned = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let root = open_tree(CWD, dir.path().join("root"), cloned).expect("root may clone");
        let stock = Stock { points: &points, ids: IdRange::HOST, userns: None, read_only: false };
        let error = stocked(root, &stock).expect_err("a file on a directory");
        assert!(error.to_string().contains("mount on /there"), "{error}");
        assert!(!REFUSES_DETACHED.load(Ordering::Relaxed), "it is not the kernel's age");
    }
}

//! Overlay mounts that appear in nobody's table of mounts.
//!
//! Each layer is cloned as a mount of its own and id-mapped into the
//! container's range; the upper directory is left plain, since the host's
//! root, who mounts, has no id in that range and overlayfs would come up
//! read-only. The layers are set by descriptor and the result is detached.
//!
//! Linux 6.12 and older refuse detached mounts as layers. There a thread of
//! its own leaves for a private mount namespace, attaches the clones below a
//! tmpfs, mounts by their (short, relative) names, and clones the result out.
//! The thread ends, its namespace and names with it; overlayfs keeps the
//! clones that it needs.

use crate::{Error, IdRange, error::Doing, tree};
use rustix::{
    fs::{self, CWD, Mode},
    io::Errno,
    mount::{
        self as mnt, FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
        OpenTreeFlags,
    },
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Options of every overlay of ours: layers are not to steer each other
/// (`redirect_dir`, `metacopy`), and one layer serves many mounts (`index`).
const OPTIONS: [(&str, &str); 3] =
    [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")];

/// Most layers that overlayfs takes (`OVL_MAX_STACK`).
const MOST: usize = 500;

/// What the container wrote.
pub(crate) const UPPER: &str = "upper";
/// Overlayfs's own.
pub(crate) const WORK: &str = "work";

/// What to stack.
pub(crate) struct Stack<'a> {
    /// Directories, lowest first.
    pub layers: &'a [PathBuf],
    /// Directory of the container's own [`UPPER`] and [`WORK`]; read-only
    /// without.
    pub container: Option<&'a Path>,
    /// Range of the container.
    pub ids: IdRange,
    /// SELinux label of all files in it; empty for those that they have.
    pub label: &'a str,
}

/// How layers are handed to overlayfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By descriptors of detached mounts.
    Detached,
    /// By names in a private mount namespace.
    Attached,
}

/// Whether this kernel was seen to refuse detached layers.
static REFUSES_DETACHED: AtomicBool = AtomicBool::new(false);

/// Mounts it; `nodev`, detached.
pub(crate) fn mount(stack: &Stack<'_>) -> Result<OwnedFd, Error> {
    if !REFUSES_DETACHED.load(Ordering::Relaxed) {
        match mount_by(Way::Detached, stack) {
            Err(Error::Host { source, .. }) if is_refusal(&source) => {}
            result => return result,
        }
        let result = mount_by(Way::Attached, stack);
        if result.is_ok() {
            REFUSES_DETACHED.store(true, Ordering::Relaxed);
        }
        return result;
    }
    mount_by(Way::Attached, stack)
}

/// What older kernels answer: to the parameter, or to the layer. Linux 6.12
/// takes names alone, and says of a descriptor that it is bad.
fn is_refusal(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV)
    )
}

pub(crate) fn mount_by(way: Way, stack: &Stack<'_>) -> Result<OwnedFd, Error> {
    let visible = visible(stack.layers)?;
    if visible.len() > MOST {
        return Err(Error::TooMuch { limit: MOST as u64, of: "layers".into() });
    }
    let userns = if stack.ids.is_host() { None } else { Some(id_map(stack.ids)?) };
    let clones: Vec<OwnedFd> = visible
        .iter()
        .map(|layer| clone(layer, userns.as_ref().map(AsFd::as_fd)))
        .collect::<Result<_, _>>()?;
    match (stack.container, clones.len()) {
        (None, 1) => {
            let only = clones.into_iter().next().expect("one");
            let what = sys::mount::Change {
                set: sys::mount::RDONLY | sys::mount::NODEV,
                ..Default::default()
            };
            sys::mount::change(only.as_fd(), false, &what).doing("make read-only", visible[0])?;
            Ok(only)
        }
        _ => match way {
            Way::Detached => detached(&clones, stack),
            Way::Attached => attached(&clones, stack),
        },
    }
}

/// The layers of which anything can be seen: overlayfs does not look at the
/// opaque mark of a layer's own root, which hides all layers below. One that
/// an image has twice stands once, where it is highest (what it has and hides
/// outranks all that its lower place could show): overlayfs takes none twice.
fn visible(layers: &[PathBuf]) -> Result<Vec<&Path>, Error> {
    let mut visible = Vec::with_capacity(layers.len());
    for layer in layers {
        let dir = tree::open_dir(layer).doing("open", layer)?;
        if tree::is_opaque(&dir) {
            visible.clear();
        }
        visible.retain(|below| *below != layer.as_path());
        visible.push(layer.as_path());
    }
    Ok(visible)
}

/// A user namespace that maps the range; it serves as the id map alone.
fn id_map(ids: IdRange) -> Result<OwnedFd, Error> {
    let [uids, gids] = ids.maps();
    sys::userns::new(&uids, &gids).doing("make the id map", uids.trim_end())
}

/// A private, id-mapped mount of a layer.
fn clone(layer: &Path, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = mnt::open_tree(CWD, layer, flags).doing("clone the mount of", layer)?;
    let what = sys::mount::Change {
        set: if userns.is_some() { sys::mount::IDMAP } else { 0 },
        userns,
        propagation: u64::from(MountPropagationFlags::PRIVATE.bits()),
        ..Default::default()
    };
    sys::mount::change(tree.as_fd(), false, &what).doing("id-map", layer)?;
    Ok(tree)
}

fn detached(clones: &[OwnedFd], stack: &Stack<'_>) -> Result<OwnedFd, Error> {
    let overlay = mnt::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).doing("open", "overlay")?;
    for (key, value) in OPTIONS {
        mnt::fsconfig_set_string(&overlay, key, value).doing("set the overlay's", key)?;
    }
    if !stack.label.is_empty() {
        mnt::fsconfig_set_string(&overlay, "context", stack.label)
            .doing("set the overlay's", "context")?;
    }
    // The first one set is the topmost.
    for layer in clones.iter().rev() {
        mnt::fsconfig_set_fd(&overlay, "lowerdir+", layer)
            .doing("set the overlay's", "lowerdir+")?;
    }
    if let Some(container) = stack.container {
        for (key, name) in [("upperdir", UPPER), ("workdir", WORK)] {
            let path = container.join(name);
            let dir = tree::open_dir(&path).doing("open", &path)?;
            mnt::fsconfig_set_fd(&overlay, key, &dir).doing("set the overlay's", key)?;
        }
    }
    mnt::fsconfig_create(&overlay).doing("make", "the overlay")?;
    let flags = MountAttrFlags::MOUNT_ATTR_NODEV
        | if stack.container.is_none() {
            MountAttrFlags::MOUNT_ATTR_RDONLY
        } else {
            MountAttrFlags::empty()
        };
    mnt::fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing("mount", "the overlay")
}

/// In a thread of its own: a mount namespace is left by ending.
fn attached(clones: &[OwnedFd], stack: &Stack<'_>) -> Result<OwnedFd, Error> {
    std::thread::scope(|scope| {
        scope.spawn(|| attach(clones, stack)).join().expect("it returns its errors")
    })
}

fn attach(clones: &[OwnedFd], stack: &Stack<'_>) -> Result<OwnedFd, Error> {
    let container = stack.container.map(|dir| clone(dir, None)).transpose()?;
    sys::process::unshare(rustix::thread::UnshareFlags::NEWNS)
        .doing("leave", "the host's mount namespace")?;
    mnt::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing("make private", "/")?;
    let desk = Path::new("/");
    mnt::mount("tmpfs", desk, "tmpfs", MountFlags::empty(), c"size=1m")
        .doing("mount a tmpfs on", desk)?;
    // What was mounted last is found from above, not by "/", which is below.
    let desk = tree::open_dir(Path::new("/..")).doing("open", desk)?;
    rustix::process::fchdir(&desk).doing("enter", "the private tmpfs")?;
    let put = |mount: &OwnedFd, name: &str| {
        fs::mkdirat(CWD, name, Mode::RWXU).doing("make the directory", name)?;
        let flags = mnt::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        mnt::move_mount(mount, "", CWD, name, flags).doing("attach", name)
    };
    for (at, layer) in clones.iter().enumerate() {
        put(layer, &at.to_string())?;
    }
    let lower: Vec<String> = (0..clones.len()).rev().map(|at| at.to_string()).collect();
    let mut options = format!("lowerdir={}", lower.join(":"));
    for (key, value) in OPTIONS {
        options.extend([",", key, "=", value]);
    }
    if !stack.label.is_empty() {
        // Commas part categories as well as options.
        options.extend([",context=\"", stack.label, "\""]);
    }
    let mut flags = MountFlags::NODEV;
    if let Some(container) = &container {
        put(container, "c")?;
        options.extend([",upperdir=c/", UPPER, ",workdir=c/", WORK]);
    } else {
        flags |= MountFlags::RDONLY;
    }
    fs::mkdirat(CWD, "m", Mode::RWXU).doing("make the directory", "m")?;
    let options = std::ffi::CString::new(options)
        .map_err(|_| std::io::ErrorKind::InvalidInput)
        .doing("label", "the overlay")?;
    mnt::mount("overlay", "m", "overlay", flags, &*options).doing("mount", "the overlay")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    mnt::open_tree(CWD, "m", flags).doing("clone", "the overlay")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer with a file, and a container's directories.
    fn scratch() -> (tempfile::TempDir, Vec<PathBuf>, PathBuf) {
        let dir = tempfile::tempdir().expect("scratch");
        let layers: Vec<PathBuf> = ["a", "b"].iter().map(|name| dir.path().join(name)).collect();
        for layer in &layers {
            std::fs::create_dir(layer).expect("mkdir");
        }
        std::fs::write(layers[0].join("file"), "low").expect("write");
        let container = dir.path().join("c");
        for path in [container.clone(), container.join(UPPER), container.join(WORK)] {
            std::fs::create_dir(path).expect("mkdir");
        }
        (dir, layers, container)
    }

    #[test]
    fn both_ways_give_the_same_root() {
        for way in [Way::Detached, Way::Attached] {
            let (_dir, layers, container) = scratch();
            let ids = IdRange { base: 500_000, size: 65_536, kept: None };
            let stack = Stack { layers: &layers, container: Some(&container), ids, label: "" };
            let mount = mount_by(way, &stack).expect("mount");
            let stat = tree::stat_at(mount.as_fd(), b"file").expect("there");
            assert_eq!(stat.st_uid, 500_000, "{way:?}");
            fs::unlinkat(&mount, "file", fs::AtFlags::empty()).expect("writable");
            assert!(container.join(UPPER).join("file").symlink_metadata().is_ok(), "{way:?}");
            let flags = fs::fstatvfs(&mount).expect("statvfs").f_flag;
            assert!(flags.contains(fs::StatVfsMountFlags::NODEV), "{way:?}");
        }
    }

    #[test]
    fn the_old_way_leaves_nothing_in_the_table_of_mounts() {
        let before = std::fs::read_to_string("/proc/self/mountinfo").expect("read");
        let (_dir, layers, container) = scratch();
        let (container, ids) = (Some(&*container), IdRange::HOST);
        let stack = Stack { layers: &layers, container, ids, label: "" };
        let _mount = mount_by(Way::Attached, &stack).expect("mount");
        assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").expect("read"), before);
        assert!(Path::new("/etc/passwd").exists(), "this thread is where it was");
    }
}

//! A container's root is its image with its own changes on top, seen through
//! the container's range of ids. Needs root; every mount is detached, so the
//! machine's table of mounts is not touched.

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use snapshot::{Change, ChangeKind, IdRange, Root, mount_read_only};
use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

const RANGE: IdRange = IdRange { base: 1_000_000, size: 65_536, kept: None };
const ID: &str = "0123456789abcdef";

/// Two layers: the upper one hides `gone` and replaces `etc/name`.
struct Scratch {
    dir: tempfile::TempDir,
    layers: Vec<PathBuf>,
}

fn scratch() -> Scratch {
    let dir = tempfile::tempdir().expect("scratch");
    let layers = vec![dir.path().join("low"), dir.path().join("high")];
    for layer in &layers {
        std::fs::create_dir_all(layer.join("etc")).expect("mkdir");
    }
    std::fs::write(layers[0].join("etc/name"), "low").expect("write");
    std::fs::write(layers[0].join("etc/kept"), "kept").expect("write");
    std::fs::write(layers[0].join("gone"), "gone").expect("write");
    chown(layers[0].join("etc/kept"), Some(1000), Some(1000)).expect("chown");
    std::fs::write(layers[1].join("etc/name"), "high").expect("write");
    let high = open_dir(&layers[1]);
    fs::mknodat(&high, "gone", FileType::CharacterDevice, Mode::empty(), 0).expect("mknod");
    Scratch { dir, layers }
}

fn open_dir(path: &Path) -> OwnedFd {
    fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .expect("open")
}

fn read(root: &OwnedFd, path: &str) -> String {
    let mut file = File::from(
        fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("open"),
    );
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    text
}

fn write(root: &OwnedFd, path: &str, text: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let mut file = File::from(fs::openat(root, path, flags, mode).expect("open"));
    file.write_all(text.as_bytes()).expect("write");
}

fn stat(root: &OwnedFd, path: &str) -> Option<fs::Stat> {
    fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW).ok()
}

#[test]
fn a_root_shows_its_layers_in_the_containers_ids() {
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let mount = root.mount(&scratch.layers).expect("mount");
    assert_eq!(read(&mount, "etc/name"), "high");
    assert!(stat(&mount, "gone").is_none(), "a whiteout hides what is below");
    assert_eq!(stat(&mount, "etc/kept").expect("there").st_uid, RANGE.base + 1000);
    assert_eq!(stat(&mount, "etc/name").expect("there").st_uid, RANGE.base);
    assert_eq!(stat(&mount, ".").expect("there").st_uid, RANGE.base);
}

#[test]
fn what_a_container_writes_stays_its_own() {
    let scratch = scratch();
    let one = Root::prepare(scratch.dir.path(), "one", RANGE).expect("prepare");
    let two = Root::prepare(scratch.dir.path(), "two", RANGE).expect("prepare");
    let (one_mount, two_mount) =
        (one.mount(&scratch.layers).expect("mount"), two.mount(&scratch.layers).expect("mount"));
    write(&one_mount, "etc/name", "one");
    write(&two_mount, "etc/name", "two");
    assert_eq!(read(&one_mount, "etc/name"), "one");
    assert_eq!(read(&two_mount, "etc/name"), "two");
    assert_eq!(std::fs::read_to_string(scratch.layers[1].join("etc/name")).expect("read"), "high");
    assert_eq!(one.size().expect("size"), 3);
}

#[test]
fn a_root_is_nodev_and_keeps_setuid() {
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let mount = root.mount(&scratch.layers).expect("mount");
    let flags = fs::fstatvfs(&mount).expect("statvfs").f_flag;
    assert!(flags.contains(fs::StatVfsMountFlags::NODEV));
    assert!(!flags.contains(fs::StatVfsMountFlags::NOSUID));
    assert!(!flags.contains(fs::StatVfsMountFlags::RDONLY), "overlayfs fell back to read-only");
}

#[test]
fn a_mount_is_in_nobodys_table() {
    let table = || std::fs::read_to_string("/proc/self/mountinfo").expect("read");
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let _mount = root.mount(&scratch.layers).expect("mount");
    let name = scratch.dir.path().to_str().expect("utf-8").to_owned();
    assert!(!table().contains(&name));
}

#[test]
fn changes_are_told_apart() {
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let mount = root.mount(&scratch.layers).expect("mount");
    write(&mount, "etc/name", "changed");
    write(&mount, "new", "new");
    fs::unlinkat(&mount, "etc/kept", AtFlags::empty()).expect("unlink");
    write(&mount, "passing", "x");
    fs::unlinkat(&mount, "passing", AtFlags::empty()).expect("unlink");
    let change = |path: &str, kind| Change { path: path.into(), kind };
    assert_eq!(
        root.changes(&scratch.layers).expect("changes"),
        [
            change("/etc", ChangeKind::Modified),
            change("/etc/kept", ChangeKind::Deleted),
            change("/etc/name", ChangeKind::Modified),
            change("/new", ChangeKind::Added),
        ]
    );
}

#[test]
fn a_directory_made_anew_hides_its_old_content() {
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let mount = root.mount(&scratch.layers).expect("mount");
    for name in ["etc/name", "etc/kept"] {
        fs::unlinkat(&mount, name, AtFlags::empty()).expect("unlink");
    }
    fs::unlinkat(&mount, "etc", AtFlags::REMOVEDIR).expect("rmdir");
    fs::mkdirat(&mount, "etc", Mode::RWXU).expect("mkdir");
    write(&mount, "etc/kept", "new");
    let paths: Vec<_> = root.changes(&scratch.layers).expect("changes");
    let change = |path: &str, kind| Change { path: path.into(), kind };
    assert_eq!(
        paths,
        [
            change("/etc", ChangeKind::Modified),
            change("/etc/kept", ChangeKind::Modified),
            change("/etc/name", ChangeKind::Deleted),
        ]
    );
}

#[test]
fn an_opaque_root_hides_all_layers_below() {
    let scratch = scratch();
    let high = open_dir(&scratch.layers[1]);
    fs::fsetxattr(&high, "trusted.overlay.opaque", b"y", fs::XattrFlags::empty()).expect("mark");
    let mount = mount_read_only(&scratch.layers, IdRange::HOST).expect("mount");
    assert!(stat(&mount, "etc/kept").is_none());
    assert_eq!(read(&mount, "etc/name"), "high");
}

#[test]
fn many_layers_are_stacked_in_order() {
    let dir = tempfile::tempdir().expect("scratch");
    let layers: Vec<PathBuf> = (0..130)
        .map(|at| {
            let layer = dir.path().join(at.to_string());
            std::fs::create_dir(&layer).expect("mkdir");
            std::fs::write(layer.join("which"), at.to_string()).expect("write");
            std::fs::write(layer.join(format!("only-{at}")), "").expect("write");
            layer
        })
        .collect();
    let mount = mount_read_only(&layers, RANGE).expect("mount");
    assert_eq!(read(&mount, "which"), "129");
    assert!(stat(&mount, "only-0").is_some());
}

#[test]
fn a_container_without_image_has_an_empty_root() {
    let dir = tempfile::tempdir().expect("scratch");
    let root = Root::prepare(dir.path(), ID, RANGE).expect("prepare");
    let mount = root.mount(&[]).expect("mount");
    write(&mount, "file", "x");
    assert_eq!(root.changes(&[]).expect("changes").len(), 1);
}

#[test]
fn a_packed_layer_bears_the_containers_own_ids() {
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let mount = root.mount(&scratch.layers).expect("mount");
    write(&mount, "etc/kept", "changed");
    fs::unlinkat(&mount, "etc/name", AtFlags::empty()).expect("unlink");
    let mut tar = Vec::new();
    root.pack(&mut tar).expect("pack");
    let dir = scratch.dir.path().join("again");
    snapshot::unpack(&mut &tar[..], &dir, snapshot::Limits::default(), &mut std::io::sink())
        .expect("unpack");
    let kept = std::fs::metadata(dir.join("root/etc/kept")).expect("there");
    assert_eq!((kept.uid(), kept.gid()), (1000, 1000));
    let name = std::fs::symlink_metadata(dir.join("root/etc/name")).expect("a whiteout");
    assert_eq!((name.mode() & 0o170_000, name.rdev()), (0o020_000, 0));
}

#[test]
fn a_removed_root_leaves_nothing() {
    let scratch = scratch();
    let root = Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    write(&root.mount(&scratch.layers).expect("mount"), "etc/name", "x");
    Root::remove(scratch.dir.path(), ID).expect("remove");
    assert!(!scratch.dir.path().join("containers").join(ID).exists());
    Root::remove(scratch.dir.path(), ID).expect("nothing to remove is no error");
}

#[test]
fn the_data_of_a_container_is_not_readable_by_others() {
    let scratch = scratch();
    Root::prepare(scratch.dir.path(), ID, RANGE).expect("prepare");
    let home = std::fs::metadata(scratch.dir.path().join("containers").join(ID)).expect("there");
    assert_eq!(home.permissions().mode() & 0o077, 0);
}

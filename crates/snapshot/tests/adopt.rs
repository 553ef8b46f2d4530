//! A layer that is taken over where it lies is the one that packing and
//! unpacking would have come to: its tar, its recipe, its files and what
//! overlayfs is told. Needs root.

use snapshot::{IdRange, LAYER_ROOT, Limits, Root, repack, unpack};
use std::{
    fs,
    io::BufReader,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

const ID: &str = "0123456789abcdef";

/// Writes into a root of the host's ids above one layer.
fn written(data: &Path, script: impl FnOnce(&Path)) -> Root {
    let below = data.join("below");
    fs::create_dir_all(below.join("etc/opt")).expect("mkdir");
    fs::write(below.join("etc/name"), "low").expect("write");
    fs::write(below.join("gone"), "gone").expect("write");
    let root = Root::prepare(data, ID, IdRange::HOST).expect("prepare");
    let mount = root.mount(&[below]).expect("mount");
    script(Path::new(&format!("/proc/self/fd/{}", mount.as_raw_fd())));
    root
}

/// Everything that there is to see of a tree, attributes of overlayfs too.
fn seen(dir: &Path, top: &Path, into: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(dir).expect("list").map(|e| e.expect("entry")).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    for path in names.into_iter().map(|entry| entry.path()) {
        let meta = fs::symlink_metadata(&path).expect("look");
        let mut list = vec![0; 4096];
        let len = rustix::fs::llistxattr(&path, &mut list).expect("list attributes");
        let mut attributes: Vec<_> = list[..len].split(|b| *b == 0).map(<[u8]>::to_vec).collect();
        attributes.sort();
        let content = if meta.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        let link = fs::read_link(&path).unwrap_or_default();
        // Of a directory they are the file system's; a whiteout has nothing of
        // its own.
        let plain = meta.is_file() || meta.is_symlink();
        let (links, size) = if plain { (meta.nlink(), meta.len()) } else { (0, 0) };
        let timed = plain || meta.is_dir();
        let time = if timed { (meta.mtime(), meta.mtime_nsec()) } else { (0, 0) };
        into.push(format!(
            "{} {:o} {} {} {} {time:?} {size} {links} {} {attributes:?} {:?}",
            path.strip_prefix(top).expect("below").display(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.rdev(),
            link.display(),
            content.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte)),
        ));
        if meta.is_dir() {
            seen(&path, top, into);
        }
    }
}

fn again(dir: &Path, recipe: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    let recipe = recipe.to_vec();
    repack(
        dir,
        &mut || Ok(Box::new(BufReader::new(std::io::Cursor::new(recipe.clone())))),
        &mut tar,
    )
    .expect("repacked");
    tar
}

fn taken_over(root: &Root, dir: &Path) -> (Option<snapshot::Unpacked>, Vec<u8>, Vec<u8>) {
    let (mut tar, mut recipe) = (Vec::new(), Vec::new());
    let adopted = root.adopt(dir, &mut tar, &mut recipe).expect("adopted");
    (adopted, tar, recipe)
}

fn everything(at: &Path) {
    fs::write(at.join("etc/name"), "changed").expect("write");
    fs::set_permissions(at.join("etc/name"), fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::remove_file(at.join("gone")).expect("remove");
    fs::remove_dir_all(at.join("etc/opt")).expect("remove");
    fs::create_dir(at.join("etc/opt")).expect("mkdir");
    fs::create_dir_all(at.join("d/e")).expect("mkdir");
    fs::write(at.join("d/one"), vec![b'x'; 300_000]).expect("write");
    fs::hard_link(at.join("d/one"), at.join("d/two")).expect("link");
    symlink("../etc", at.join("d/link")).expect("symlink");
    chown(at.join("d/e"), Some(7), Some(3_000_000)).expect("chown");
    fs::set_permissions(at.join("d/e"), fs::Permissions::from_mode(0o2750)).expect("chmod");
    let holes = fs::File::create(at.join("d/holes")).expect("create");
    std::os::unix::fs::FileExt::write_all_at(&holes, b"end", 5 << 20).expect("write");
    fs::write(at.join("d/empty"), "").expect("write");
    fs::write(at.join(format!("d/{}", "n".repeat(200))), "long").expect("write");
    rustix::fs::setxattr(at.join("d/e"), "user.x", b"y", rustix::fs::XattrFlags::empty())
        .expect("setxattr");
    drop(UnixListener::bind(at.join("d/socket")).expect("bind"));
}

#[test]
fn a_layer_taken_over_is_the_one_that_would_have_been_unpacked() {
    let scratch = tempfile::tempdir().expect("scratch");
    let root = written(scratch.path(), everything);
    let mut packed = Vec::new();
    root.pack(&mut packed).expect("packed");
    let dir = |name: &str| -> PathBuf { scratch.path().join(name) };
    let mut recipe = Vec::new();
    let limits = Limits::default();
    let unpacked =
        unpack(&mut &packed[..], &dir("unpacked"), limits, &mut recipe).expect("unpacked");
    let (adopted, tar, own) = taken_over(&root, &dir("adopted"));
    assert_eq!(adopted, Some(unpacked));
    assert!(tar == packed, "the tar is another one");
    assert!(again(&dir("adopted"), &own) == packed, "it cannot be written again");
    let files = |name: &str| {
        let (mut all, top) = (Vec::new(), dir(name).join(LAYER_ROOT));
        seen(&top, &top, &mut all);
        all
    };
    assert_eq!(files("adopted"), files("unpacked"));
    assert!(!root_of(scratch.path()).exists(), "the files were moved");
    let top = fs::metadata(dir("adopted").join(LAYER_ROOT)).expect("there");
    assert_eq!((top.mode() & 0o7777, top.uid(), top.gid()), (0o755, 0, 0));
}

fn root_of(data: &Path) -> PathBuf {
    data.join("containers").join(ID).join("upper")
}

#[test]
fn a_name_that_means_something_else_in_a_tar_is_left_to_packing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let root = written(scratch.path(), |at| fs::write(at.join(".wh.gone"), "x").expect("write"));
    let dir = scratch.path().join("adopted");
    assert_eq!(taken_over(&root, &dir).0, None);
    assert!(!dir.exists() && root_of(scratch.path()).join(".wh.gone").exists());
}

#[test]
fn files_with_a_containers_ids_are_left_to_packing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let ids = IdRange { base: 1_000_000, size: 65_536, kept: None };
    let root = Root::prepare(scratch.path(), ID, ids).expect("prepare");
    let dir = scratch.path().join("adopted");
    assert_eq!(taken_over(&root, &dir).0, None);
    assert!(!dir.exists());
}

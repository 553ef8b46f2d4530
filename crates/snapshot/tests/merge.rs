//! Several layers as one are seen, above those that stay, as they were
//! themselves; on random stacks, too. Needs root.

use proptest::prelude::*;
use snapshot::{IdRange, LAYER_ROOT, Limits, Root, merge, mount_read_only, unpack};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

/// What a program changes in one step.
#[derive(Clone, Debug)]
enum Act {
    File(Vec<u8>, u8),
    Dir(Vec<u8>, u8),
    Link(Vec<u8>),
    Hard(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

/// Few names, so that they meet.
fn at(root: &Path, path: &[u8]) -> PathBuf {
    path.iter().fold(root.to_owned(), |path, name| path.join(format!("n{name}")))
}

/// Does it, or not where it cannot be done.
fn act(root: &Path, act: &Act) {
    match act {
        Act::File(path, content) => {
            let path = at(root, path);
            if fs::write(&path, [*content]).is_ok() {
                let _ = fs::set_permissions(
                    &path,
                    fs::Permissions::from_mode(0o600 + u32::from(*content)),
                );
            }
        }
        Act::Dir(path, mode) => {
            let path = at(root, path);
            if fs::create_dir(&path).is_ok() {
                let mode = fs::Permissions::from_mode(0o700 + u32::from(*mode));
                fs::set_permissions(&path, mode).expect("ours");
            }
        }
        Act::Link(path) => drop(symlink("n0/n1", at(root, path))),
        Act::Hard(from, to) => drop(fs::hard_link(at(root, from), at(root, to))),
        Act::Remove(path) => {
            let path = at(root, path);
            if fs::remove_file(&path).is_err() && path != root {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

/// The directory of a layer that came of a tar.
fn layer(data: &Path, name: &str, tar: &[u8]) -> PathBuf {
    let dir = data.join(name);
    unpack(&mut &tar[..], &dir, Limits::default(), &mut Vec::new()).expect("a layer of ours");
    dir.join(LAYER_ROOT)
}

/// A stack of layers that steps have made, lowest first.
fn stack(data: &Path, steps: &[Vec<Act>]) -> Vec<PathBuf> {
    let mut layers = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let id = format!("step{number}");
        let root = Root::prepare(data, &id, IdRange::HOST).expect("prepare");
        let mount = root.mount(&layers).expect("mount");
        let path = PathBuf::from(format!("/proc/self/fd/{}/", mount.as_raw_fd()));
        for one in step {
            act(&path, one);
        }
        drop(mount);
        let mut tar = Vec::new();
        root.pack(&mut tar).expect("packed");
        layers.push(layer(data, &format!("layer{number}"), &tar));
    }
    layers
}

/// Everything that a container sees of a stack: by path the mode, owner,
/// time, target, content; and which names are one file.
fn seen(layers: &[PathBuf]) -> (BTreeMap<PathBuf, String>, BTreeSet<Vec<PathBuf>>) {
    let mount = mount_read_only(layers, IdRange::HOST).expect("mount");
    let top = PathBuf::from(format!("/proc/self/fd/{}/", mount.as_raw_fd()));
    let (mut all, mut inodes) = (BTreeMap::new(), BTreeMap::<u64, Vec<PathBuf>>::new());
    let mut open = vec![top.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("list") {
            let path = entry.expect("entry").path();
            let meta = fs::symlink_metadata(&path).expect("look");
            let content = if meta.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
            let link = fs::read_link(&path).unwrap_or_default().display().to_string();
            let time = (meta.mtime(), meta.mtime_nsec());
            let said = format!("{:o} {} {time:?} {link:?} {content:?}", meta.mode(), meta.uid());
            let name = path.strip_prefix(&top).expect("below").to_owned();
            if meta.is_dir() {
                open.push(path);
            } else {
                inodes.entry(meta.ino()).or_default().push(name.clone());
            }
            all.insert(name, said);
        }
    }
    let groups = inodes.into_values().map(|mut names| {
        names.sort();
        names
    });
    (all, groups.collect())
}

fn merged(data: &Path, below: &[PathBuf], layers: &[PathBuf]) -> (PathBuf, Vec<String>) {
    let mut tar = Vec::new();
    merge(below, layers, &mut tar).expect("merged");
    let mut archive = tar::Archive::new(&tar[..]);
    let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
        entry.expect("an entry").path().expect("a name").display().to_string()
    };
    let names = archive.entries().expect("a tar").map(name).collect();
    (layer(data, "merged", &tar), names)
}

fn holds(below: usize, steps: &[Vec<Act>]) {
    let scratch = tempfile::tempdir().expect("scratch");
    let layers = stack(scratch.path(), steps);
    let (stay, rest) = layers.split_at(below);
    let (one, _) = merged(scratch.path(), stay, rest);
    assert_eq!(seen(&[stay, &[one]].concat()), seen(&layers));
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..3, 1..4)
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (path(), 0u8..8).prop_map(|(path, content)| Act::File(path, content)),
        4 => (path(), 0u8..8).prop_map(|(path, mode)| Act::Dir(path, mode)),
        1 => path().prop_map(Act::Link),
        1 => (path(), path()).prop_map(|(from, to)| Act::Hard(from, to)),
        3 => path().prop_map(Act::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn one_layer_shows_what_many_did(
        below in 0usize..3,
        steps in prop::collection::vec(prop::collection::vec(any_act(), 1..12), 4),
    ) {
        holds(below, &steps);
    }
}

#[test]
fn only_what_stays_is_written_down_as_gone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let file = |path: &[u8]| Act::File(path.to_vec(), 1);
    let dir = |path: &[u8]| Act::Dir(path.to_vec(), 5);
    let gone = |path: &[u8]| Act::Remove(path.to_vec());
    let layers = stack(
        scratch.path(),
        &[
            vec![file(&[0]), dir(&[1]), file(&[1, 0]), dir(&[2]), file(&[2, 0])],
            vec![file(&[3]), dir(&[4]), file(&[4, 0]), gone(&[0])],
            vec![gone(&[3]), gone(&[4]), gone(&[1]), dir(&[1]), file(&[1, 1]), gone(&[2, 0])],
        ],
    );
    let (_, names) = merged(scratch.path(), &layers[..1], &layers[1..]);
    assert_eq!(names, [".wh.n0", "n1/", "n1/.wh..wh..opq", "n1/n1", "n2/", "n2/.wh.n0"]);
}

#[test]
fn what_a_file_has_hidden_comes_not_back_with_a_directory() {
    let scratch = tempfile::tempdir().expect("scratch");
    // As tars may have it: nobody marks the last of them as opaque.
    let dir = |name: &str, files: &[&str]| {
        let dir = scratch.path().join(name);
        for file in files {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().expect("below")).expect("mkdir");
            fs::write(path, name).expect("write");
        }
        dir
    };
    let layers = [
        dir("below", &["d/base"]),
        dir("first", &["d/hidden", "e/kept"]),
        dir("second", &["d", "e/more"]),
        dir("third", &["d/shown"]),
    ];
    for below in 0..2 {
        let (one, names) = merged(scratch.path(), &layers[..below], &layers[below..]);
        assert_eq!(seen(&[&layers[..below], &[one]].concat()), seen(&layers));
        assert_eq!(names.contains(&"d/.wh..wh..opq".to_owned()), below > 0, "{names:?}");
        fs::remove_dir_all(scratch.path().join("merged")).expect("removed");
    }
}

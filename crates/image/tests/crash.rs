//! A store whose process dies at any instant, or whose machine loses its
//! power there, holds together when it is opened again. Needs root.
//!
//! The dying is done by a process of its own, at a point of
//! [`sys::fail`]; the loss of power by a copy of the disk's content as it is
//! at that moment, with nothing flushed.

use image::{Check, Checked, Import, Store};
use std::{
    collections::BTreeSet,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use sys::fail::{Point, VARIABLE};

/// Set for the process that is to die: the data root, and what it does there.
const VICTIM: &str = "CRASH_VICTIM";
/// Set in a mount namespace of the test's own: where to mount.
const ALONE: &str = "CRASH_ALONE";
const KEPT: &str = "kept:1";
const ACTS: [&str; 4] = ["import", "tag", "remove", "replace"];

/// Who takes archives apart for the tests.
fn workers() -> unpacker::Workers {
    unpacker::Workers::new(env!("CARGO_BIN_EXE_image-unpacker"), 1_900_000_000, "a test".as_ref())
}

fn layer(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, &bytes[..]).expect("memory");
    }
    tar.into_inner().expect("memory")
}

fn import(store: &Store, seed: u8, name: &str) {
    let files: Vec<(String, Vec<u8>)> =
        (0..40).map(|n| (format!("d{}/f{n}", n % 3), vec![seed ^ n; 9000])).collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let reference = Some(name.parse().expect("a name"));
    let wish = Import { reference, ..Import::default() };
    store.import(&wish, &mut &layer(&files)[..]).expect("imported");
}

fn prepare(data: &Path) {
    let store = Store::open(data, workers()).expect("opened");
    import(&store, 1, KEPT);
    import(&store, 2, "old:1");
}

fn act(store: &Store, what: &str) {
    match what {
        "import" => import(store, 3, "new:1"),
        "tag" => {
            let id = store.lookup(KEPT).expect("there");
            store.tag(&id, &"again:1".parse().expect("a name")).expect("tagged");
        }
        // Done before, perhaps, as far as it is known.
        "remove" => match store.remove("old:1", false, true, &|_| Vec::new()) {
            Ok(_) | Err(image::Error::Missing(_)) => {}
            Err(e) => panic!("{e}"),
        },
        "replace" => {
            import(store, 4, "old:1");
            store.prune(&|image| image.repo_tags.is_empty(), &|_| Vec::new()).expect("pruned");
        }
        other => panic!("{other}?"),
    }
}

fn check(store: &Store, repair: bool) -> Checked {
    store.check(Check { repair, content: true }, &|_| Vec::new()).expect("looked at")
}

/// Opens the store as a new daemon does, and finds all in order.
fn holds_together(data: &Path, what: &str) {
    let store = Store::open(data, workers()).expect("opened again");
    let found = check(&store, false);
    assert_eq!(found.findings, [], "{what}");
    store.lookup(KEPT).unwrap_or_else(|e| panic!("{what}: {e}"));
    let act_name = what.split(' ').next().expect("a word");
    act(&store, act_name);
    assert_eq!(check(&store, false).findings, [], "{what}, again");
}

/// Does it in a process of its own, which is to die at `at`; whether it did.
fn dies(data: &Path, what: &str, at: Point) -> bool {
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "whoever_is_to_die_does"])
        .env(VICTIM, format!("{what}={}", data.display()))
        .env(VARIABLE, at.name())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("this test starts");
    assert!(status.success() || status.signal() == Some(9), "{what} at {}: {status}", at.name());
    !status.success()
}

#[test]
fn whoever_is_to_die_does() {
    let Ok(text) = std::env::var(VICTIM) else { return };
    let (what, data) = text.split_once('=').expect("both");
    act(&Store::open(Path::new(data), workers()).expect("opened"), what);
}

#[test]
fn a_store_holds_together_wherever_its_process_is_killed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut passed = BTreeSet::new();
    for (number, (what, at)) in each().into_iter().enumerate() {
        let data = scratch.path().join(number.to_string());
        prepare(&data);
        if dies(&data, what, at) {
            passed.insert(at.name());
            holds_together(&data, &format!("{what} killed at {}", at.name()));
        }
        snapshot::remove(&data).expect("removed");
    }
    assert_eq!(passed.len(), Point::ALL.len(), "points that nothing passes: {passed:?}");
}

fn each() -> Vec<(&'static str, Point)> {
    ACTS.iter().flat_map(|what| Point::ALL.map(|at| (*what, at))).collect()
}

#[test]
fn a_store_holds_together_wherever_the_power_fails() {
    let scratch = tempfile::tempdir().expect("scratch");
    let out = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture", "in_a_namespace_with_disks_of_its_own"])
        .env(ALONE, scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1)");
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("all held"), "{text}");
}

#[test]
fn in_a_namespace_with_disks_of_its_own() {
    let Some(dir) = std::env::var_os(ALONE).map(PathBuf::from) else { return };
    let (disk, after) = (dir.join("disk"), dir.join("after"));
    for mount in [&disk, &after] {
        std::fs::create_dir(mount).expect("scratch");
    }
    let (new, image, copy) = (dir.join("new.img"), dir.join("disk.img"), dir.join("copy.img"));
    run(&["truncate", "--size=24M", text(&new)]);
    run(&["mkfs.ext4", "-q", text(&new)]);
    run(&["mount", "-o", "loop", text(&new), text(&disk)]);
    prepare(&disk.join("data"));
    run(&["umount", text(&disk)]);
    for (what, at) in each() {
        run(&["cp", "--sparse=always", text(&new), text(&image)]);
        run(&["mount", "-o", "loop", text(&image), text(&disk)]);
        let died = dies(&disk.join("data"), what, at);
        // What the file system has written so far, and no more.
        run(&["cp", "--sparse=always", text(&image), text(&copy)]);
        run(&["umount", text(&disk)]);
        if died {
            run(&["mount", "-o", "loop", text(&copy), text(&after)]);
            if (what, at) == ("import", Point::Recorded) {
                assert!(is_there(&after, "new:1"), "what was told to be there is lost");
            }
            let words = format!("{what} without power at {}", at.name());
            holds_together(&after.join("data"), &words);
            run(&["umount", text(&after)]);
        }
    }
    std::io::stdout().write_all(b"all held\n").expect("told");
}

fn is_there(disk: &Path, name: &str) -> bool {
    Store::open(&disk.join("data"), workers()).expect("opened").lookup(name).is_ok()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}

fn run(words: &[&str]) {
    let out = Command::new(words[0]).args(&words[1..]).output().expect(words[0]);
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// What is done to a store from outside, and which finding it makes.
#[test]
fn what_was_done_to_a_store_is_found_and_mended() {
    type Harm = fn(&Path, &image::Detail);
    let harms: [(&str, &str, Harm); 6] = [
        ("image", "its configuration is missing", |data, image| {
            std::fs::remove_file(data.join("blobs/sha256").join(image.summary.id.hex()))
                .expect("removed");
        }),
        ("image", "its configuration is damaged", |data, image| {
            std::fs::write(data.join("blobs/sha256").join(image.summary.id.hex()), "{}")
                .expect("written");
        }),
        ("image", "its directory is missing", |data, image| {
            let hex = image.config.rootfs.diff_ids[0].hex().to_owned();
            snapshot::remove(&data.join("layers").join(hex)).expect("removed");
        }),
        ("image", "its files are damaged", |data, image| {
            let hex = image.config.rootfs.diff_ids[0].hex().to_owned();
            std::fs::write(data.join("layers").join(hex).join("root/d0/f0"), vec![7; 9000])
                .expect("written");
        }),
        ("layer", "nothing names it", |data, _| {
            std::fs::create_dir(data.join("layers").join("a".repeat(64))).expect("made");
        }),
        ("document", "nothing names it", |data, _| {
            std::fs::write(data.join("blobs/sha256").join("b".repeat(64)), "x").expect("written");
        }),
    ];
    for (kind, problem, harm) in harms {
        let scratch = tempfile::tempdir().expect("scratch");
        let store = Store::open(scratch.path(), workers()).expect("opened");
        import(&store, 1, KEPT);
        import(&store, 2, "old:1");
        assert_eq!(check(&store, false).findings, []);
        harm(scratch.path(), &store.inspect(&store.lookup("old:1").expect("there")).expect("read"));
        for repair in [false, true] {
            let found = check(&store, repair).findings;
            let [finding] = &found[..] else { panic!("{problem}: {found:?}") };
            assert_eq!(finding.kind, kind, "{finding:?}");
            assert!(finding.problem.contains(problem), "{finding:?}");
            let mended = matches!(finding.mend, image::Mend::Done(_));
            assert_eq!(mended, repair, "{finding:?}");
        }
        assert_eq!(check(&store, false).findings, [], "{problem}");
        assert!(store.lookup(KEPT).is_ok(), "{problem}");
        import(&store, 2, "old:1");
        assert_eq!(check(&store, false).findings, [], "{problem}, imported again");
    }
}

#[test]
fn an_image_with_containers_is_not_forgotten() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), workers()).expect("opened");
    import(&store, 1, KEPT);
    let id = store.lookup(KEPT).expect("there");
    std::fs::remove_file(scratch.path().join("blobs/sha256").join(id.hex())).expect("removed");
    let wish = Check { repair: true, content: false };
    let found = store.check(wish, &|_| vec![("c1".into(), false)]).expect("looked at").findings;
    assert!(
        matches!(&found[..], [f] if matches!(&f.mend, image::Mend::Cannot(w) if w.contains("c1"))),
        "{found:?}"
    );
    assert_eq!(store.lookup(KEPT).expect("kept"), id);
}

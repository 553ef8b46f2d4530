//! `cp` in both directions: paths are the container's, never the host's.

use rustix::fs::{Mode, OFlags};
use snapshot::{Error, IdRange, PutOptions, get, put, stat};
use std::{
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{MetadataExt, symlink},
    },
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

const RANGE: IdRange = IdRange { base: 900_000, size: 65_536, kept: None };

/// A container's root, with something outside that it must not reach.
struct Scratch {
    dir: tempfile::TempDir,
    root: OwnedFd,
}

fn scratch() -> Scratch {
    let dir = tempfile::tempdir().expect("scratch");
    fs::create_dir_all(dir.path().join("root/etc/d")).expect("mkdir");
    fs::create_dir(dir.path().join("outside")).expect("mkdir");
    fs::write(dir.path().join("outside/secret"), "secret").expect("write");
    fs::write(dir.path().join("root/etc/name"), "inside").expect("write");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(dir.path().join("root"), flags, Mode::empty()).expect("open");
    Scratch { dir, root }
}

impl Scratch {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn get(&self, path: &str) -> Result<Vec<(String, String)>, Error> {
        let mut tar = Vec::new();
        get(self.root.as_fd(), path, IdRange::HOST, &mut tar)?;
        let mut archive = tar::Archive::new(&tar[..]);
        Ok(archive
            .entries()
            .expect("a tar")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let link =
                    entry.link_name_bytes().map(|l| String::from_utf8_lossy(&l).into_owned());
                let mut text = String::new();
                std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
                (name, link.unwrap_or(text))
            })
            .collect())
    }

    fn put(&self, path: &str, options: PutOptions, files: &[(&str, &str)]) -> Result<(), Error> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_uid(1000);
            header.set_gid(1000);
            header.set_size(text.len() as u64);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            tar.append_data(&mut header, path, text.as_bytes()).expect("memory");
        }
        let tar = tar.into_inner().expect("memory");
        put(self.root.as_fd(), path, RANGE, options, &mut &tar[..])
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_path_is_named_after_its_last_part() {
    let s = scratch();
    assert_eq!(s.get("/etc/name").expect("get"), pairs(&[("name", "inside")]));
    assert_eq!(
        s.get("/etc").expect("get"),
        pairs(&[("etc/", ""), ("etc/d/", ""), ("etc/name", "inside")])
    );
    assert_eq!(s.get("etc/.").expect("get")[1..], pairs(&[("./d/", ""), ("./name", "inside")]));
    assert_eq!(s.get("/").expect("get")[1].0, "/etc/");
}

#[test]
fn a_missing_path_is_told() {
    let s = scratch();
    for path in ["/nothing", "/nothing/at/all", "/etc/name/below"] {
        let error = s.get(path).expect_err(path);
        assert!(matches!(error, Error::NotFound(_) | Error::WrongKind(_)), "{path}: {error}");
    }
}

#[test]
fn a_link_is_followed_inside_the_root_alone() {
    let s = scratch();
    symlink("/etc", s.path("root/abs")).expect("symlink");
    symlink("../../../../../../etc", s.path("root/climbs")).expect("symlink");
    symlink(s.path("outside"), s.path("root/out")).expect("symlink");
    assert_eq!(s.get("/abs/name").expect("get"), pairs(&[("name", "inside")]));
    assert_eq!(s.get("/climbs/name").expect("get"), pairs(&[("name", "inside")]));
    s.get("/out/secret").expect_err("not in the container");
    s.put("/out", PutOptions::default(), &[("new", "x")]).expect_err("not in the container");
    assert_eq!(s.get("/abs").expect("get"), pairs(&[("abs", "/etc")]), "a link is itself");
    assert_eq!(s.get("/abs/").expect("get").len(), 3, "with a slash it is what is behind");
}

#[test]
fn a_path_tells_what_it_is() {
    let s = scratch();
    symlink("etc/name", s.path("root/link")).expect("symlink");
    symlink("/gone/x", s.path("root/dangling")).expect("symlink");
    let found = stat(s.root.as_fd(), "/link").expect("stat");
    assert_eq!((found.name.as_str(), found.link_target.as_str()), ("link", "/etc/name"));
    assert_eq!(found.go_mode() >> 27 & 1, 1);
    let found = stat(s.root.as_fd(), "/dangling").expect("stat");
    assert_eq!(found.link_target, "/gone/x");
    let found = stat(s.root.as_fd(), "/").expect("stat");
    assert_eq!((found.name.as_str(), found.go_mode() >> 31), ("/", 1));
    assert_eq!(stat(s.root.as_fd(), "/etc/name").expect("stat").size, 6);
}

#[test]
fn what_is_put_belongs_to_the_containers_ids() {
    let s = scratch();
    s.put("/etc", PutOptions::default(), &[("new", "x"), ("made/deep", "y")]).expect("put");
    assert_eq!(fs::metadata(s.path("root/etc/new")).expect("there").uid(), RANGE.base + 1000);
    assert_eq!(fs::metadata(s.path("root/etc/made")).expect("there").uid(), RANGE.base);
    let options = PutOptions { owner: Some((7, 8)), ..PutOptions::default() };
    s.put("/etc", options, &[("own", "x")]).expect("put");
    let stat = fs::metadata(s.path("root/etc/own")).expect("there");
    assert_eq!((stat.uid(), stat.gid()), (RANGE.base + 7, RANGE.base + 8));
}

#[test]
fn a_file_and_a_directory_do_not_replace_one_another_unasked() {
    let s = scratch();
    let options = PutOptions { no_overwrite_dir_non_dir: true, ..PutOptions::default() };
    let error = s.put("/etc", options, &[("d", "a file")]).expect_err("a directory is there");
    assert_eq!(error.to_string(), "cannot overwrite directory \"d\" with non-directory");
    let error = s.put("/etc", options, &[("name/", "")]).expect_err("a file is there");
    assert_eq!(error.to_string(), "cannot overwrite non-directory \"name\" with directory");
    s.put("/etc", PutOptions::default(), &[("d", "a file")]).expect("asked");
    assert_eq!(fs::read(s.path("root/etc/d")).expect("read"), b"a file");
}

#[test]
fn a_hostile_archive_stays_in_the_container() {
    let s = scratch();
    symlink(s.path("outside"), s.path("root/etc/out")).expect("symlink");
    let _ = s.put("/etc", PutOptions::default(), &[("out/new", "x")]);
    s.put("/etc", PutOptions::default(), &[("out", "replaced")]).expect("the link goes");
    assert_eq!(fs::read_dir(s.path("outside")).expect("list").count(), 1);
    s.put("/etc/name", PutOptions::default(), &[("x", "x")]).expect_err("not a directory");
    s.put("/none", PutOptions::default(), &[("x", "x")]).expect_err("not there");
}

#[test]
fn a_racer_gains_nothing() {
    let s = scratch();
    fs::create_dir(s.path("root/swap")).expect("mkdir");
    fs::write(s.path("root/swap/secret"), "inside").expect("write");
    symlink(s.path("outside"), s.path("root/other")).expect("symlink");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !over.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&s.root, "swap", &s.root, "other", flags).expect("swap");
            }
        });
        for _ in 0..300 {
            if let Ok(files) = s.get("/swap/secret") {
                assert_eq!(files, pairs(&[("secret", "inside")]));
            }
            if let Ok(files) = s.get("/") {
                assert!(files.iter().all(|(_, text)| text != "secret"));
            }
            let _ = s.put("/swap", PutOptions::default(), &[("new", "x")]);
            let _ = s.put("/", PutOptions::default(), &[("swap/new", "x")]);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(s.path("outside")).expect("list").count(), 1);
    assert_eq!(fs::read_to_string(s.path("outside/secret")).expect("read"), "secret");
}

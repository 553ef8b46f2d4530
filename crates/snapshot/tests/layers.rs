//! Layers, honest and hostile. An honest one comes out as GNU tar unpacks it
//! and can be written again byte for byte; a hostile one gives the error that
//! it must, and touches nothing outside of its directory.

use proptest::prelude::*;
use snapshot::{Error, Limits, unpack};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tar::{EntryType, Header};

/// A tar that is put together entry by entry, right or wrong.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(kind: EntryType, path: &str, link: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(size);
        header
    }

    fn raw(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.raw(Self::header(EntryType::Regular, path, "", content.len() as u64), content)
    }

    fn dir(self, path: &str) -> Self {
        self.raw(Self::header(EntryType::Directory, path, "", 0), b"")
    }

    fn link(self, path: &str, to: &str) -> Self {
        self.raw(Self::header(EntryType::Symlink, path, to, 0), b"")
    }

    fn hard(self, path: &str, to: &str) -> Self {
        self.raw(Self::header(EntryType::Link, path, to, 0), b"")
    }

    fn device(self, path: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(EntryType::Char, path, "", 0);
        header.set_device_major(major).expect("fits");
        header.set_device_minor(minor).expect("fits");
        self.raw(header, b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let len = (rest + 1..rest + 20)
                .find(|len| *len == rest + len.to_string().len())
                .expect("one");
            write!(text, "{len} {key}=").expect("memory");
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        let size = text.len() as u64;
        self.raw(Self::header(EntryType::XHeader, "pax", "", size), &text)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("scratch");
        fs::create_dir(dir.path().join("outside")).expect("mkdir");
        fs::write(dir.path().join("outside/sentinel"), "untouched").expect("write");
        Self { dir }
    }

    fn layer(&self) -> PathBuf {
        self.dir.path().join("layer")
    }

    fn root(&self) -> PathBuf {
        self.layer().join("root")
    }

    fn unpack_with(&self, tar: &[u8], limits: Limits) -> Result<Vec<u8>, Error> {
        let mut recipe = Vec::new();
        unpack(&mut &tar[..], &self.layer(), limits, &mut recipe).map(|_| recipe)
    }

    fn unpack(&self, tar: &[u8]) -> Result<Vec<u8>, Error> {
        self.unpack_with(tar, Limits::default())
    }

    fn repack(&self, recipe: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let recipe = recipe.to_vec();
        let mut open = || -> Result<Box<dyn std::io::BufRead>, Error> {
            Ok(Box::new(BufReader::new(std::io::Cursor::new(recipe.clone()))))
        };
        snapshot::repack(&self.layer(), &mut open, &mut out).expect("repack");
        out
    }

    /// What lies beside the layer.
    fn assert_untouched(&self) {
        let text = fs::read_to_string(self.dir.path().join("outside/sentinel")).expect("there");
        assert_eq!(text, "untouched");
        assert_eq!(fs::read_dir(self.dir.path().join("outside")).expect("list").count(), 1);
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .expect("list")
            .map(|e| e.expect("entry").file_name())
            .collect();
        names.retain(|name| name != "layer");
        assert_eq!(names, ["outside"]);
    }
}

/// Unpacking must fail, in these words, and touch nothing else.
fn refused(tar: Tar, words: &str) {
    let scratch = Scratch::new();
    let error = scratch.unpack(&tar.end()).expect_err(words);
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.kind(), snapshot::Kind::Invalid);
    scratch.assert_untouched();
}

#[test]
fn a_name_that_climbs_is_refused() {
    refused(Tar::default().file("../outside/new", b"x"), "leads out of the archive");
    refused(Tar::default().file("a/../../outside/new", b"x"), "leads out of the archive");
    refused(Tar::default().dir(".."), "leads out of the archive");
    refused(Tar::default().pax(&[("path", b"../outside/new")]).file("x", b"x"), "leads out");
}

#[test]
fn an_absolute_name_stays_inside() {
    let scratch = Scratch::new();
    scratch.unpack(&Tar::default().file("/etc/name", b"x").end()).expect("as docker");
    assert_eq!(fs::read(scratch.root().join("etc/name")).expect("inside"), b"x");
    scratch.assert_untouched();
}

#[test]
fn nothing_is_written_through_a_link() {
    for to in ["../../outside", "/", "elsewhere", "."] {
        refused(Tar::default().link("a", to).file("a/new", b"x"), "reached through this link");
        refused(Tar::default().link("a", to).dir("a/b"), "reached through this link");
        refused(Tar::default().link("a", to).file("a/.wh.sentinel", b""), "through this link");
    }
}

#[test]
fn a_directory_over_a_link_replaces_the_link() {
    let scratch = Scratch::new();
    let tar = Tar::default().link("a", "../../outside").dir("a").file("a/new", b"x");
    scratch.unpack(&tar.end()).expect("a later entry wins");
    assert!(fs::symlink_metadata(scratch.root().join("a")).expect("there").is_dir());
    scratch.assert_untouched();
}

#[test]
fn a_file_over_a_link_replaces_the_link() {
    let scratch = Scratch::new();
    let tar = Tar::default().link("a", "../../outside/sentinel").file("a", b"x");
    scratch.unpack(&tar.end()).expect("a later entry wins");
    scratch.assert_untouched();
}

#[test]
fn a_hard_link_out_of_the_layer_is_refused() {
    refused(Tar::default().hard("a", "../../outside/sentinel"), "a hard link out of the archive");
    refused(Tar::default().hard("a", "/etc/passwd"), "which is not here");
    refused(
        Tar::default().link("d", "../../outside").hard("a", "d/sentinel"),
        "reached through this link",
    );
    refused(Tar::default().dir("d").hard("a", "d"), "a hard link to the directory d");
    refused(Tar::default().file("a", b"x").hard("a", "a"), "to itself");
    refused(Tar::default().hard("a", "missing"), "which is not here");
}

#[test]
fn a_hard_link_to_a_link_does_not_follow_it() {
    let scratch = Scratch::new();
    let tar = Tar::default().link("l", "../../outside/sentinel").hard("a", "l").file("a", b"x");
    scratch.unpack(&tar.end()).expect("a link may have two names");
    scratch.assert_untouched();
}

#[test]
fn a_whiteout_hides_one_name_of_its_own_directory() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh..."] {
        refused(Tar::default().dir("a").file(name, b""), "a whiteout of no name");
    }
    refused(Tar::default().file(".wh.a/b", b""), "below a whiteout");
    refused(Tar::default().file(".wh.a", b"text"), "has content");
}

#[test]
fn both_spellings_of_a_whiteout_are_understood() {
    let scratch = Scratch::new();
    let tar = Tar::default()
        .file(".wh.aufs", b"")
        .device("overlay", 0, 0)
        .dir("d")
        .file("d/.wh..wh..opq", b"")
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")])
        .dir("e")
        .file(".wh..wh.plnk", b"");
    scratch.unpack(&tar.end()).expect("honest");
    for name in ["aufs", "overlay"] {
        let stat = fs::symlink_metadata(scratch.root().join(name)).expect("there");
        assert_eq!((stat.mode() & 0o170_000, stat.rdev()), (0o020_000, 0), "{name}");
    }
    for name in ["d", "e"] {
        let mut value = [0; 4];
        let path = scratch.root().join(name);
        let len = rustix::fs::lgetxattr(&path, "trusted.overlay.opaque", &mut value[..]);
        assert_eq!(len, Ok(1), "{name}");
        assert_eq!(fs::read_dir(path).expect("list").count(), 0);
    }
    assert_eq!(fs::read_dir(scratch.root()).expect("list").count(), 4);
}

#[test]
fn a_whiteout_beside_its_own_directory_hides_only_what_is_below() {
    for tar in [
        Tar::default().dir("d").file("d/new", b"x").file(".wh.d", b""),
        Tar::default().file(".wh.d", b"").dir("d").file("d/new", b"x"),
        Tar::default().file(".wh.d", b"").file("d/new", b"x"),
    ] {
        let scratch = Scratch::new();
        scratch.unpack(&tar.end()).expect("honest");
        assert_eq!(fs::read(scratch.root().join("d/new")).expect("stays"), b"x");
        let mut value = [0; 4];
        let path = scratch.root().join("d");
        let opaque = rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value[..]);
        assert_eq!(opaque, Ok(1));
    }
}

#[test]
fn what_steers_overlayfs_is_refused() {
    let redirect: (&str, &[u8]) = ("SCHILY.xattr.trusted.overlay.redirect", b"/etc");
    refused(Tar::default().pax(&[redirect]).dir("d"), "reserved for the engine");
}

#[test]
fn an_owner_beyond_32_bits_is_refused() {
    for id in ["4294967295", "4294967296", "-1"] {
        refused(
            Tar::default().pax(&[("uid", id.as_bytes())]).file("a", b""),
            "does not fit 32 bits",
        );
    }
    let scratch = Scratch::new();
    let tar = Tar::default().pax(&[("uid", b"4294967294"), ("gid", b"3000000000")]);
    scratch.unpack(&tar.file("a", b"").end()).expect("the largest");
    let stat = fs::metadata(scratch.root().join("a")).expect("there");
    assert_eq!((stat.uid(), stat.gid()), (4_294_967_294, 3_000_000_000));
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    refused(Tar::default().link(".", "../outside"), "take the root's place");
    refused(Tar::default().hard("./", "a"), "take the root's place");
}

#[test]
fn a_broken_archive_is_told() {
    let cut = |tar: Vec<u8>, end: usize, words: &str| {
        let scratch = Scratch::new();
        let error = scratch.unpack(&tar[..end]).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    };
    let whole = || Tar::default().file("a", &[b'x'; 600]).end();
    cut(whole(), 100, "ends within a header");
    cut(whole(), 700, "ends within a file");
    // Docker's CLI leaves the last padding out, as Go's reader lets it.
    for end in [512 + 600, 1200] {
        Scratch::new().unpack(&whole()[..end]).expect("the file is whole");
    }
    let mut flipped = whole();
    flipped[3] ^= 1;
    cut(flipped, 2000, "checksum is wrong");
    cut(b"not a tar at all".to_vec(), 16, "ends within a header");
    cut(Tar::default().pax(&[("path", b"x")]).0, 1024, "ends after an extended header");
    let lone = [&[0u8; 512][..], &Tar::default().file("a", b"hidden").end()].concat();
    let len = lone.len();
    cut(lone, len, "a lone block of zeros");
}

#[test]
fn a_size_that_lies_is_told() {
    let huge = Tar::header(EntryType::Regular, "a", "", 1 << 32);
    refused(Tar::default().raw(huge, b"x"), "ends within a file");
    refused(Tar::default().pax(&[("size", b"99999999999")]).file("a", b"x"), "ends within a file");
    refused(Tar::default().pax(&[("size", b"-1")]).file("a", b"x"), "extended header is broken");
}

#[test]
fn no_header_takes_more_than_its_limit() {
    let huge = |kind| Tar::default().raw(Tar::header(kind, "x", "", 1 << 33), b"");
    for kind in [EntryType::XHeader, EntryType::GNULongName, EntryType::XGlobalHeader] {
        refused(huge(kind), "exceeds the limit of 1048576 bytes in a header");
    }
    let name = vec![b'n'; 5000];
    refused(Tar::default().pax(&[("path", &name)]).file("a", b""), "name is too long");
    let part = vec![b'n'; 300];
    refused(Tar::default().pax(&[("path", &part)]).file("a", b""), "name is too long");
    let value = vec![b'v'; 300_000];
    let attribute: (&str, &[u8]) = ("SCHILY.xattr.user.a", &value);
    refused(Tar::default().pax(&[attribute]).file("a", b""), "attributes are too long");
}

#[test]
fn entries_and_bytes_are_counted() {
    let scratch = Scratch::new();
    let few = Limits { entries: 2, ..Limits::default() };
    let tar = Tar::default().file("a", b"").file("b", b"").file("c", b"").end();
    let error = scratch.unpack_with(&tar, few).expect_err("three");
    assert_eq!(error.to_string(), "archive exceeds the limit of 2 entries");
    let scratch = Scratch::new();
    let small = Limits { bytes: 100, ..Limits::default() };
    let tar = Tar::default().file("a", &[0; 60]).file("b", &[0; 60]).end();
    scratch.unpack_with(&tar, small).expect_err("a hundred and twenty");
}

#[test]
fn a_hole_counts_as_bytes() {
    let map = b"1\n0\n512\n";
    let mut content = map.to_vec();
    content.resize(1024, b'x');
    let tar = Tar::default()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"huge"),
            ("GNU.sparse.realsize", b"9000000000000000000"),
        ])
        .file("x", &content);
    refused(tar, "exceeds the limit of");
}

#[test]
fn a_sparse_map_that_lies_is_refused() {
    let sparse = |map: &str, size: &str, content: &[u8]| {
        Tar::default()
            .pax(&[("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", size.as_bytes())])
            .file("a", content)
    };
    refused(sparse("0,4,2,4", "100", b"xxxxxxxx"), "overlaps itself");
    refused(sparse("0,4,98,4", "100", b"xxxxxxxx"), "goes beyond its end");
    refused(sparse("0,4", "100", b"xxxxxxxx"), "does not fit what is stored");
    refused(sparse("0,4,8", "100", b"xxxx"), "malformed");
}

#[test]
fn a_kind_that_is_not_carried_is_refused() {
    let odd = Tar::header(EntryType::new(b'V'), "label", "", 0);
    refused(Tar::default().raw(odd, b""), "of a kind (86) that is not carried");
}

#[test]
fn a_set_user_id_survives_the_change_of_owner() {
    let scratch = Scratch::new();
    let mut header = Tar::header(EntryType::Regular, "su", "", 0);
    header.set_mode(0o6755);
    header.set_uid(1000);
    header.set_gid(1000);
    scratch.unpack(&Tar::default().raw(header, b"").end()).expect("honest");
    let stat = fs::metadata(scratch.root().join("su")).expect("there");
    assert_eq!((stat.mode() & 0o7777, stat.uid()), (0o6755, 1000));
}

#[test]
fn a_file_capability_survives() {
    // CAP_NET_RAW, effective: `VFS_CAP_REVISION_2`.
    let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let scratch = Scratch::new();
    let mut header = Tar::header(EntryType::Regular, "ping", "", 0);
    header.set_uid(5);
    let tar = Tar::default().pax(&[("SCHILY.xattr.security.capability", &value)]).raw(header, b"");
    scratch.unpack(&tar.end()).expect("honest");
    let mut found = [0; 64];
    let path = scratch.root().join("ping");
    let len = rustix::fs::lgetxattr(path, "security.capability", &mut found[..]).expect("set");
    assert_eq!(found[..len], value);
}

#[test]
fn what_a_directory_would_hand_down_is_not_handed_down() {
    let scratch = Scratch::new();
    // Version 2; then owner, group and others: nothing.
    let mut acl = vec![2, 0, 0, 0];
    for (tag, rights) in [(1u8, 7u8), (4, 0), (16, 0), (32, 0)] {
        acl.extend([tag, 0, rights, 0, 0xff, 0xff, 0xff, 0xff]);
    }
    let mut group = Tar::header(EntryType::Directory, "shared/", "", 0);
    group.set_mode(0o2755);
    group.set_gid(50);
    let tar = Tar::default()
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &acl)])
        .dir("d/")
        .file("d/f", b"x")
        .raw(group, b"")
        .file("shared/f", b"y");
    scratch.unpack(&tar.end()).expect("harmless");
    for path in ["d/f", "shared/f"] {
        let found = std::fs::metadata(scratch.root().join(path)).expect("there");
        let was = (found.mode() & 0o7777, found.uid(), found.gid());
        assert_eq!(was, (0o644, 0, 0), "{path}");
    }
    let listed = |path: &str, name: &str| {
        let mut value = [0; 200];
        rustix::fs::getxattr(scratch.root().join(path), name, &mut value[..])
    };
    assert_eq!(listed("d", "system.posix_acl_default"), Ok(acl.len()), "it has it itself");
    assert!(listed("d/f", "system.posix_acl_access").is_err());
}

#[test]
fn a_directory_keeps_its_time() {
    let scratch = Scratch::new();
    let tar = Tar::default().dir("d").file("d/a", b"x").dir("d/e").file("d/e/f", b"x");
    scratch.unpack(&tar.end()).expect("honest");
    for name in ["d", "d/e", "d/a"] {
        let stat = fs::metadata(scratch.root().join(name)).expect("there");
        assert_eq!(stat.mtime(), 1_600_000_000, "{name}");
    }
}

#[test]
fn a_tar_with_duplicates_is_written_again_byte_for_byte() {
    let scratch = Scratch::new();
    let tar = Tar::default()
        .file("a", b"first")
        .file("a", b"second")
        .dir("d")
        .file("d/x", b"in the directory")
        .file("d", b"a file now")
        .link("a", "d")
        .file(".wh.gone", b"")
        .pax(&[("path", b"a/very/long/../name"), ("comment", b"odd")]);
    // The odd header belongs to an entry whose own name does not matter.
    let tar = Tar(tar.0[..tar.0.len() - 1024].to_vec()).file("last", &[7; 1000]).end();
    let recipe = scratch.unpack(&tar).expect("honest");
    assert_eq!(fs::read(scratch.root().join("d")).expect("there"), b"a file now");
    assert!(scratch.repack(&recipe) == tar);
}

#[test]
fn garbage_never_panics_nor_escapes() {
    let scratch = Scratch::new();
    let good = Tar::default()
        .pax(&[("path", b"long"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"v")])
        .file("a", b"content")
        .link("l", "a")
        .hard("h", "a")
        .dir("d")
        .device("c", 1, 3)
        .end();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let changes = proptest::collection::vec((0..good.len(), any::<u8>()), 1..6);
    runner
        .run(&changes, |changes| {
            let mut tar = good.clone();
            for (at, byte) in changes {
                tar[at] = byte;
            }
            // Headers are checked by their sum: make it right again.
            for block in tar.chunks_exact_mut(512) {
                if block[257..262] == *b"ustar" {
                    let header: &mut [u8] = block;
                    let mut owned = Header::from_byte_slice(header).clone();
                    owned.set_cksum();
                    header.copy_from_slice(owned.as_bytes());
                }
            }
            let _ = scratch.unpack(&tar);
            if scratch.layer().exists() {
                snapshot::remove(&scratch.layer()).expect("remove");
            }
            Ok(())
        })
        .expect("no panic");
    scratch.assert_untouched();
}

/// One thing in a random tree.
#[derive(Clone, Debug)]
enum Thing {
    File { len: usize, mode: u32, time: (i64, u32) },
    Sparse { holes: u64 },
    Link(String),
    Hard,
    Fifo,
    Device { major: u32, minor: u32 },
}

/// A file capability: `CAP_NET_BIND_SERVICE`, as `setcap` writes it.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn things() -> impl Strategy<Value = Vec<(String, Thing)>> {
    let name = prop_oneof!["[a-z]{1,8}", "[a-zé 日]{1,20}", "[a-z]{90,110}", "[a-z]{200,240}",];
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let thing = prop_oneof![
        4 => (0usize..20_000, 0u32..0o7777, (-3_000_000_000i64..5_000_000_000, 0u32..1_000_000_000))
            .prop_map(|(len, mode, time)| Thing::File { len, mode: mode | 0o400, time }),
        1 => (1u64..50).prop_map(|holes| Thing::Sparse { holes }),
        2 => "[a-z/.]{1,150}".prop_map(Thing::Link),
        1 => Just(Thing::Hard),
        1 => Just(Thing::Fifo),
        1 => (1u32..4000, 0u32..100_000).prop_map(|(major, minor)| Thing::Device { major, minor }),
    ];
    proptest::collection::vec((path, thing), 1..25)
}

fn plant(root: &Path, things: &[(String, Thing)]) {
    fs::create_dir(root).expect("mkdir");
    let mut last: Option<PathBuf> = None;
    for (at, (path, thing)) in (0u8..).zip(things) {
        let path = root.join(path);
        if fs::create_dir_all(path.parent().expect("below root")).is_err()
            || path.symlink_metadata().is_ok()
        {
            continue;
        }
        match thing {
            Thing::File { len, mode, time } => {
                fs::write(&path, vec![b'a' + at % 26; *len]).expect("write");
                // Every other owner is beyond what a header's octal digits hold.
                let owner = u32::from(at) * 1000 + u32::from(at % 2) * 4_000_000_000;
                std::os::unix::fs::chown(&path, Some(owner), Some(at.into())).expect("chown");
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("chmod");
                let flags = rustix::fs::XattrFlags::empty();
                let value = vec![b'\n'; at.into()];
                rustix::fs::setxattr(&path, "user.at", &value, flags).expect("setxattr");
                if at % 3 == 0 {
                    let name = "security.capability";
                    rustix::fs::setxattr(&path, name, &CAPABILITY, flags).expect("setxattr");
                }
                let time = rustix::fs::Timespec { tv_sec: time.0, tv_nsec: time.1.into() };
                let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
                let at = rustix::fs::AtFlags::empty();
                rustix::fs::utimensat(rustix::fs::CWD, &path, &times, at).expect("utimensat");
                last = Some(path);
            }
            Thing::Sparse { holes } => {
                let file = fs::File::create(&path).expect("create");
                file.set_len(holes * 100_000 + 77).expect("truncate");
                for hole in (0..*holes).step_by(3) {
                    file.write_all_at(b"data", hole * 100_000).expect("write");
                }
                last = Some(path);
            }
            Thing::Link(to) => std::os::unix::fs::symlink(to, &path).expect("symlink"),
            Thing::Hard => {
                if let Some(last) = &last {
                    fs::hard_link(last, &path).expect("link");
                }
            }
            Thing::Device { major, minor } => rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::Mode::from_raw_mode(0o620),
                rustix::fs::makedev(*major, *minor),
            )
            .expect("mknod"),
            Thing::Fifo => {
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::from_raw_mode(0o600),
                    0,
                )
                .expect("mkfifo");
            }
        }
    }
}

/// All there is to know of a tree, by path.
fn census(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut inodes: BTreeMap<u64, usize> = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let stat = fs::symlink_metadata(&path).expect("stat");
        let content = if stat.is_dir() {
            open.extend(fs::read_dir(&path).expect("list").map(|e| e.expect("entry").path()));
            String::new()
        } else if stat.is_symlink() {
            format!("{:?}", fs::read_link(&path).expect("readlink").as_os_str().as_bytes())
        } else if stat.is_file() {
            format!("{:?}", fs::read(&path).expect("read"))
        } else {
            format!("{}", stat.rdev())
        };
        let attributes = attributes(&path);
        let next = inodes.len();
        let _ = inodes.entry(stat.ino()).or_insert(next);
        let links = if stat.is_dir() { 0 } else { stat.nlink() };
        let text = format!(
            "{:o} {}:{} {} {}.{} links {links} {attributes:?} {content}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.size() * u64::from(!stat.is_dir()),
            stat.mtime(),
            stat.mtime_nsec()
        );
        seen.insert(path.strip_prefix(root).expect("below").to_owned(), text);
    }
    seen
}

/// Its extended attributes, by name.
fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = [0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).expect("listed");
    let read = |name: &[u8]| {
        let mut value = [0; 4096];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("read");
        (String::from_utf8_lossy(name).into_owned(), value[..len].to_vec())
    };
    names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()).map(read).collect()
}

fn gnu_tar(root: &Path, options: &[&str]) -> Vec<u8> {
    let out = Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-C"])
        .arg(root)
        .args(options)
        .args(["-c", "."])
        .stdin(Stdio::null())
        .output()
        .expect("tar(1)");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_gnu_tar_packs_is_unpacked_the_same_and_written_again(things in things()) {
        let scratch = Scratch::new();
        let tree = scratch.dir.path().join("outside/tree");
        plant(&tree, &things);
        let tar = gnu_tar(&tree, &["--format=posix", "--sparse"]);
        let recipe = scratch.unpack(&tar).expect("honest");
        prop_assert_eq!(census(&scratch.root()), census(&tree));
        prop_assert!(scratch.repack(&recipe) == tar);
    }

    #[test]
    fn what_is_packed_here_is_unpacked_the_same(things in things()) {
        let scratch = Scratch::new();
        let tree = scratch.dir.path().join("outside/tree");
        plant(&tree, &things);
        let root = rustix::fs::open(&tree, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .expect("open");
        let mut tar = Vec::new();
        snapshot::export(std::os::fd::AsFd::as_fd(&root), snapshot::IdRange::HOST, &mut tar)
            .expect("export");
        scratch.unpack(&tar).expect("our own");
        let without_root = |root: &Path| {
            let mut census = census(root);
            census.remove(Path::new(""));
            census
        };
        prop_assert_eq!(without_root(&scratch.root()), without_root(&tree));

        // And by GNU tar, which is nobody's friend.
        let theirs = scratch.dir.path().join("outside/theirs");
        fs::create_dir(&theirs).expect("mkdir");
        let mut child = Command::new("tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "--warning=no-timestamp"])
            .args(["-xpf", "-", "-C"])
            .arg(&theirs)
            .stdin(Stdio::piped())
            .spawn()
            .expect("tar(1)");
        child.stdin.take().expect("piped").write_all(&tar).expect("write");
        prop_assert!(child.wait().expect("wait").success());
        prop_assert_eq!(without_root(&theirs), without_root(&tree));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_layer_that_is_packed_here_is_unpacked_the_same(
        things in things(),
        hidden in proptest::collection::vec("[A-Z]{1,30}", 0..4),
        opaque in proptest::collection::vec("[A-Z]{31,40}", 0..4),
    ) {
        let scratch = Scratch::new();
        let data = scratch.dir.path().join("outside/data");
        let ids = snapshot::IdRange::HOST;
        let root = snapshot::Root::prepare(&data, "a", ids).expect("prepared");
        let upper = data.join("containers/a/upper");
        fs::remove_dir(&upper).expect("empty");
        plant(&upper, &things);
        for name in &hidden {
            let made = rustix::fs::mknodat(
                rustix::fs::CWD,
                upper.join(name),
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::Mode::empty(),
                0,
            );
            prop_assert!(matches!(made, Ok(()) | Err(rustix::io::Errno::EXIST)));
        }
        for name in &opaque {
            let path = upper.join(name);
            if fs::create_dir(&path).is_ok() {
                fs::write(path.join("new"), "x").expect("write");
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(&path, "trusted.overlay.opaque", b"y", flags).expect("set");
            }
        }
        let mut tar = Vec::new();
        root.pack(&mut tar).expect("packed");
        let recipe = scratch.unpack(&tar).expect("our own");
        prop_assert!(scratch.repack(&recipe) == tar);
        // How a whiteout is spelt on the way says nothing of its own times.
        let census = |root: &Path| {
            let mut census = census(root);
            census.remove(Path::new(""));
            for name in &hidden {
                let stat = fs::symlink_metadata(root.join(name)).expect("there");
                let kind = format!("{:o} {}", stat.mode() & 0o170_000, stat.rdev());
                census.insert(name.into(), kind);
            }
            census
        };
        prop_assert_eq!(census(&scratch.root()), census(&upper));
    }
}

#[test]
fn gnus_own_formats_are_read() {
    for format in ["--format=gnu", "--format=posix", "--format=oldgnu"] {
        for version in ["0.0", "0.1", "1.0"] {
            let scratch = Scratch::new();
            let tree = scratch.dir.path().join("outside/tree");
            fs::create_dir_all(tree.join("d".repeat(150)).join("e".repeat(150))).expect("mkdir");
            let sparse = fs::File::create(tree.join("sparse")).expect("create");
            sparse.set_len(10_000_000).expect("truncate");
            for at in 0..60 {
                sparse.write_all_at(b"data", at * 150_000).expect("write");
            }
            std::os::unix::fs::symlink("t".repeat(200), tree.join("link")).expect("symlink");
            let version = format!("--sparse-version={version}");
            let out = Command::new("tar")
                .args(["--numeric-owner", format, "--sparse", &version, "-cC"])
                .arg(&tree)
                .arg(".")
                .output()
                .expect("tar(1)");
            assert!(out.status.success());
            let recipe = scratch.unpack(&out.stdout).expect("honest");
            let data = fs::read(scratch.root().join("sparse")).expect("read");
            assert!(data == fs::read(tree.join("sparse")).expect("read"), "{format} {version}");
            let blocks = fs::metadata(scratch.root().join("sparse")).expect("stat").blocks();
            assert!(blocks * 512 < 5_000_000, "holes stay holes");
            assert!(scratch.root().join("d".repeat(150)).join("e".repeat(150)).is_dir());
            assert_eq!(
                fs::read_link(scratch.root().join("link")).expect("link").as_os_str().len(),
                200
            );
            assert!(scratch.repack(&recipe) == out.stdout, "{format} {version}");
        }
    }
}

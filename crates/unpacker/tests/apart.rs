//! Archives, honest and hostile, taken apart by processes; and processes that
//! are not what they should be. Needs root.

use snapshot::{IdRange, Limits, PutOptions};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tar::{EntryType, Header};
use unpacker::{Error, Forms, Put, Workers};

const USER: u32 = 1_900_000_002;

fn workers() -> Workers {
    Workers::new(env!("CARGO_BIN_EXE_unpacker-alone"), USER, "a test".as_ref())
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_600_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

/// Everything that a layer may hold, some of which takes more than files.
fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, mode, content: &[u8], owner: u64| {
        let mut header = header(kind, mode, content.len() as u64);
        header.set_uid(owner);
        if kind == EntryType::Char {
            header.set_device_major(1).expect("fits");
            header.set_device_minor(3).expect("fits");
        }
        tar.append_data(&mut header, path, content).expect("memory");
    };
    add(EntryType::Directory, "d/", 0o1777, b"", 5);
    add(EntryType::Regular, "d/suid", 0o4755, b"set-uid", 6);
    add(EntryType::Regular, "d/twice", 0o644, b"first", 0);
    add(EntryType::Regular, "d/twice", 0o600, b"second", 0);
    add(EntryType::Regular, "d/.wh..wh..opq", 0o644, b"", 0);
    add(EntryType::Regular, "d/.wh.gone", 0o644, b"", 0);
    add(EntryType::Char, "d/null", 0o666, b"", 0);
    add(EntryType::Fifo, "d/fifo", 0o4622, b"", 9);
    add(EntryType::Regular, "was/", 0o644, b"", 0);
    add(EntryType::Regular, "file", 0o644, b"x", 0);
    add(EntryType::Directory, "file/", 0o755, b"", 0);
    let mut link = header(EntryType::Symlink, 0o777, 0);
    tar.append_link(&mut link, "d/link", "/etc").expect("memory");
    let mut hard = header(EntryType::Link, 0o644, 0);
    tar.append_link(&mut hard, "hard", "d/suid").expect("memory");
    let xattrs = [("SCHILY.xattr.trusted.a", &b"1"[..]), ("SCHILY.xattr.user.b", b"2")];
    tar.append_pax_extensions(xattrs).expect("memory");
    let mut named = header(EntryType::Regular, 0o644, 1);
    tar.append_data(&mut named, "named", &b"y"[..]).expect("memory");
    tar.append_pax_extensions([("SCHILY.xattr.trusted.a", &b"3"[..])]).expect("memory");
    let mut link = header(EntryType::Symlink, 0o777, 0);
    tar.append_link(&mut link, "marked", "nowhere").expect("memory");
    tar.into_inner().expect("memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

/// What a tree is like: all of it, by path.
fn look(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut next = vec![root.to_owned()];
    while let Some(path) = next.pop() {
        let found = fs::symlink_metadata(&path).expect("there");
        let mut names = vec![0; 4096];
        let len = rustix::fs::llistxattr(&path, &mut names).unwrap_or(0);
        let text = String::from_utf8_lossy(&names[..len]).into_owned();
        let mut xattrs: Vec<String> = text
            .split_terminator('\0')
            .map(|name| {
                let mut value = [0; 64];
                let len = rustix::fs::lgetxattr(&path, name, &mut value[..]).expect("listed");
                format!("{name}={}", String::from_utf8_lossy(&value[..len]))
            })
            .collect();
        xattrs.sort();
        let content = match found.file_type() {
            kind if kind.is_file() => fs::read(&path).expect("a file"),
            kind if kind.is_dir() => {
                let entries = fs::read_dir(&path).expect("a directory");
                next.extend(entries.map(|entry| entry.expect("an entry").path()));
                Vec::new()
            }
            _ => Vec::new(),
        };
        let what = format!(
            "{:o} {}:{} {} {} {} {xattrs:?}",
            found.mode(),
            found.uid(),
            found.gid(),
            found.rdev(),
            found.mtime(),
            String::from_utf8_lossy(&content)
        );
        all.insert(path.strip_prefix(root).expect("below").to_owned(), what);
    }
    all
}

fn unpack(workers: &Workers, dir: &Path, tar: &[u8]) -> Result<snapshot::Unpacked, Error> {
    fs::create_dir(dir).expect("scratch");
    let mut layer = workers.layer(dir)?;
    match layer.write_all(tar) {
        Ok(()) => layer.finish(),
        Err(e) => Err(layer.given_up().unwrap_or_else(|| Error::of_stream(e))),
    }
}

#[test]
fn a_layer_is_as_if_it_were_unpacked_here() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (apart, here) = (scratch.path().join("apart"), scratch.path().join("here"));
    let tar = layer();
    let unpacked = unpack(&workers(), &apart, &tar).expect("unpacked");
    let mut recipe = Vec::new();
    let wanted = snapshot::unpack(&mut &tar[..], &here, Limits::default(), &mut recipe);
    assert_eq!(unpacked, wanted.expect("unpacked"));
    for part in ["root", "spare"] {
        assert_eq!(look(&apart.join(part)), look(&here.join(part)), "{part}");
    }
    let shown = format!("{:?}", look(&apart.join("root")));
    for mark in ["trusted.overlay.opaque=y", "trusted.a=1", "trusted.a=3", "user.b=2", "104755"] {
        assert!(shown.contains(mark), "{mark} is not in {shown}");
    }
    let mut opened = || -> Result<Box<dyn io::BufRead>, snapshot::Error> {
        let file = fs::File::open(apart.join(unpacker::RECIPE)).expect("there");
        Ok(Box::new(io::BufReader::new(workers().inflated(file).expect("starts"))))
    };
    let mut again = Vec::new();
    snapshot::repack(&apart, &mut opened, &mut again).expect("written out");
    assert!(again == tar, "the very same tar");
    let names: Vec<_> =
        fs::read_dir(&apart).expect("list").map(|e| e.expect("e").file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_hostile_layer_gives_the_error_that_it_gives_here() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut climbs = tar::Builder::new(Vec::new());
    let mut head = header(EntryType::Regular, 0o644, 1);
    head.as_old_mut().name[..4].copy_from_slice(b"../x");
    head.set_cksum();
    climbs.append(&head, &b"x"[..]).expect("memory");
    let climbs = climbs.into_inner().expect("memory");
    let cases = [climbs, layer()[..700].to_vec(), vec![7; 4096]];
    for (number, tar) in cases.iter().enumerate() {
        let apart = unpack(&workers(), &scratch.path().join(format!("a{number}")), tar);
        let here = scratch.path().join(format!("h{number}"));
        let here = snapshot::unpack(&mut &tar[..], &here, Limits::default(), &mut io::sink());
        let (apart, here) = (apart.expect_err("refused"), here.expect_err("refused"));
        assert_eq!(apart.to_string(), here.to_string());
        assert_eq!(format!("{:?}", apart.kind()), format!("{:?}", here.kind()));
    }
}

/// Processes whose parent we are, and that unpack.
fn at_work(what: &str) -> Vec<i32> {
    let ours = std::process::id().to_string();
    let all = fs::read_dir("/proc")
        .expect("procfs")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    all.filter(|pid| {
        let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent = read("status").lines().any(|l| l.strip_prefix("PPid:\t") == Some(&ours));
        parent && read("cmdline").split('\0').nth(2) == Some(what)
    })
    .collect()
}

/// These tests look for processes: one at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn field(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits for something, not without end.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        match found() {
            Some(found) => return found,
            None => assert!(Instant::now() < end, "waited for {what} in vain"),
        }
        std::thread::yield_now();
    }
}

/// Waits until a process is confined: it has read what it was given since.
fn confined(what: &str) -> i32 {
    until("a process that is confined", || match at_work(what)[..] {
        [pid] if field(pid, "Seccomp:") == "2" => Some(pid),
        _ => None,
    })
}

#[test]
fn the_kernel_shows_what_is_left_to_one_that_unpacks_a_layer() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = tempfile::tempdir().expect("scratch");
    let dir = scratch.path().join("l");
    fs::create_dir(&dir).expect("scratch");
    let mut unpacking = workers().layer(&dir).expect("starts");
    unpacking.write_all(&layer()[..512]).expect("it reads");
    let pid = confined("layer");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP.
    let wanted = format!("{:016x}", 1 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1_u64 << 31);
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(pid, set), wanted, "{set}");
    }
    assert_eq!(field(pid, "Uid:"), format!("{USER} {USER} {USER} 0"));
    assert_eq!(field(pid, "NoNewPrivs:"), "1");
    let root = fs::read_link(format!("/proc/{pid}/root")).expect("root may look");
    assert_eq!(root, Path::new("/"), "the root of a mount of its own");
    let seen = || {
        let seen = fs::read_dir(format!("/proc/{pid}/root/")).expect("list");
        let mut seen: Vec<_> = seen.map(|e| e.expect("entry").file_name()).collect();
        seen.sort();
        seen
    };
    // It makes one after the other.
    until("it to see its directory alone", || (seen() == ["recipe.zst", "root"]).then_some(()));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("list").count();
    assert!(open <= 8, "{open} descriptors");
    drop(unpacking);
    assert_eq!(at_work("layer"), [0; 0], "it is killed with who wanted it");
}

/// A source that waits, in the middle, for the test to have looked.
struct Halting<'a, F>(&'a [u8], Option<F>);

impl<F: FnOnce()> Read for Halting<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.len() < 100
            && let Some(look) = self.1.take()
        {
            look();
        }
        let len = self.0.len().min(into.len()).min(64);
        into[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn the_kernel_shows_that_nothing_is_left_to_one_that_undoes_compression() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let packed = gzip(&layer());
    let look = || {
        let pid = confined("inflate");
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(pid, set), "0000000000000000", "{set}");
        }
        assert_eq!(field(pid, "Uid:"), format!("{USER} {USER} {USER} {USER}"));
        assert_eq!(field(pid, "NoNewPrivs:"), "1");
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("list").count();
        assert_eq!(open, 3, "the streams");
    };
    let mut source = Halting(&packed, Some(look));
    let plain = workers().plain(&mut source, Forms::All, |plain| {
        let mut all = Vec::new();
        plain.read_to_end(&mut all).map_err(Error::of_stream)?;
        Ok::<_, Error>(all)
    });
    assert!(plain.expect("plain") == layer());
    assert!(source.1.is_none(), "it was looked at");
}

#[test]
fn the_kernel_shows_that_one_in_a_container_has_its_roots_powers_alone() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = tempfile::tempdir().expect("scratch");
    let ids = IdRange { base: 1_700_000_000, size: 65_536, kept: None };
    std::os::unix::fs::chown(scratch.path(), Some(ids.base), Some(ids.base)).expect("scratch");
    let map = |pid| fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("it runs");
    let look = || {
        let pid = confined("files");
        // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETFCAP: in that namespace.
        let wanted = format!("{:016x}", 1 | 1 << 1 | 1 << 3 | 1 << 4 | 1_u64 << 31);
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(pid, set), wanted, "{set}");
        }
        assert_eq!(field(pid, "Uid:"), format!("{USER} {USER} {USER} {}", ids.base));
        assert_eq!(field(pid, "NoNewPrivs:"), "1");
        assert_eq!(map(pid).split_whitespace().collect::<Vec<_>>(), ["0", "1700000000", "65536"]);
        let namespaces = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("list")
            .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
            .filter(|what| what.to_string_lossy().starts_with("user:"));
        assert_eq!(namespaces.count(), 0, "it keeps no way to enter one");
    };
    let tar = layer();
    let first = &tar[..2048];
    let mut source = Halting(first, Some(look));
    let root = fs::File::open(scratch.path()).expect("a directory");
    let wish = Put { root: root.as_fd(), path: "/", ids, options: PutOptions::default() };
    workers().put(&wish, &mut source).expect_err("it was cut short");
    assert!(source.1.is_none(), "it was looked at");
}

#[test]
fn one_that_is_killed_is_an_error_of_its_archive() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scratch = tempfile::tempdir().expect("scratch");
    let dir = scratch.path().join("l");
    fs::create_dir(&dir).expect("scratch");
    let mut unpacking = workers().layer(&dir).expect("starts");
    unpacking.write_all(&layer()[..512]).expect("it reads");
    sys::signal::send(confined("layer"), 9).expect("killed");
    let error = unpacking.finish().expect_err("it was killed");
    assert_eq!(error.to_string(), "the process that unpacks it was killed by signal 9");
    assert_eq!(error.kind(), unpacker::Kind::Host);
    unpack(&workers(), &scratch.path().join("next"), &layer()).expect("the next one is well");
}

struct Broken<'a>(&'a [u8]);
impl Read for Broken<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the network")),
            len => Ok(len),
        }
    }
}

#[test]
fn what_is_cut_short_has_no_good_end() {
    let packed = gzip(&layer());
    let well = AtomicBool::new(false);
    let whole = |plain: &mut dyn Read| {
        let copied = io::copy(plain, &mut io::sink()).map_err(Error::of_stream);
        well.fetch_or(copied.is_ok(), Ordering::SeqCst);
        copied.map(drop)
    };
    // Where the stream itself is whole, too: its source was not.
    let error = workers().plain(&mut Broken(&packed), Forms::All, whole).expect_err("broken");
    assert!(
        matches!(&error, Error::Input(e) if e.kind() == io::ErrorKind::ConnectionReset),
        "{error:?}"
    );
    assert!(!well.load(Ordering::SeqCst), "nobody took it for whole");
    let error = workers().plain(&mut &packed[..60], Forms::All, whole).expect_err("too short");
    assert!(
        matches!(&error, Error::Input(e) if e.kind() == io::ErrorKind::UnexpectedEof),
        "{error:?}"
    );
    let error = workers().plain(&mut &b"BZh9"[..], Forms::Layers, whole).expect_err("no layer's");
    assert!(
        matches!(&error, Error::Input(e) if e.kind() == io::ErrorKind::InvalidData),
        "{error:?}"
    );
}

fn put(root: &Path, path: &str, bytes: &[u8], ids: IdRange) -> Result<(), Error> {
    let root = fs::File::open(root).expect("a directory");
    let options = PutOptions::default();
    workers().put(&Put { root: root.as_fd(), path, ids, options }, &mut &bytes[..])
}

#[test]
fn files_are_put_into_a_tree_and_nowhere_else() {
    let scratch = tempfile::tempdir().expect("scratch");
    let root = scratch.path().join("root");
    fs::create_dir_all(root.join("to")).expect("scratch");
    std::os::unix::fs::symlink("/out", root.join("to/d")).expect("scratch");
    fs::create_dir_all(root.join("out")).expect("scratch");
    let ids = IdRange { base: 1_700_000_000, size: 65_536, kept: None };
    for path in ["", "to", "to/d", "out"] {
        let of_its_root =
            std::os::unix::fs::lchown(root.join(path), Some(ids.base), Some(ids.base));
        of_its_root.expect("scratch");
    }
    // Of the host's root, in a container's tree: a bind mount without an id map.
    fs::create_dir_all(root.join("hosts")).expect("scratch");
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_pax_extensions([("SCHILY.xattr.trusted.a", &b"1"[..])]).expect("memory");
    let mut file = header(EntryType::Regular, 0o4750, 1);
    tar.append_data(&mut file, "d/f", &b"y"[..]).expect("memory");
    let mut fifo = header(EntryType::Fifo, 0o4622, 0);
    tar.append_data(&mut fifo, "fifo", io::empty()).expect("memory");
    let tar = tar.into_inner().expect("memory");
    for bytes in [tar.clone(), gzip(&tar)] {
        put(&root, "/to", &bytes, ids).expect("put");
        let found = fs::metadata(root.join("out/f")).expect("where the tree's own link leads");
        assert_eq!((found.uid(), found.mode() & 0o7777), (ids.base, 0o4750));
        let mut value = [0; 8];
        assert_eq!(rustix::fs::getxattr(root.join("out/f"), "trusted.a", &mut value[..]), Ok(1));
        assert_eq!(fs::metadata(root.join("to/fifo")).expect("made").mode() & 0o7777, 0o4622);
        fs::remove_file(root.join("out/f")).expect("there");
        fs::remove_file(root.join("to/fifo")).expect("there");
    }
    match put(&root, "/hosts", &tar, ids).expect_err("root of a container may not") {
        Error::Archive(snapshot::Error::Host { source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        }
        other => panic!("{other:?}"),
    }
    put(&root, "/hosts", &tar, IdRange::HOST).expect("the test must be able to fail");
    let missing = put(&root, "/nowhere", &gzip(&tar), ids).expect_err("not there");
    assert!(matches!(missing, Error::Archive(snapshot::Error::NotFound(_))), "{missing:?}");
    let cut = put(&root, "/to", &gzip(&tar)[..80], ids).expect_err("cut short");
    assert!(matches!(cut, Error::Input(_)), "{cut:?}");
    assert_eq!(fs::read_dir(scratch.path()).expect("list").count(), 1);
}

#[test]
fn an_archive_is_told_by_its_first_block() {
    let scratch = tempfile::tempdir().expect("scratch");
    let is_one = |bytes: &[u8]| {
        let path = scratch.path().join("f");
        fs::write(&path, bytes).expect("scratch");
        let mut file = fs::File::open(&path).expect("scratch");
        let is_one = workers().is_archive(&mut file).expect("looked at");
        let mut all = Vec::new();
        file.read_to_end(&mut all).expect("read");
        assert!(all == bytes, "it is at its beginning");
        is_one
    };
    assert!(is_one(&layer()) && is_one(&gzip(&layer())));
    assert!(!is_one(b"") && !is_one(&[0; 1024]) && !is_one(&gzip(b"text")));
    assert!(!is_one(b"\x1f\x8b and no more"));
}

/// A program that has been taken over.
fn liar(scratch: &Path, script: &str) -> Workers {
    let program = scratch.join("liar");
    let done = r#"{"Done":{"entries":1,"bytes":1}}"#;
    let text =
        format!("#!/bin/sh\n[ $# -gt 0 ] || exit 0\nwell() {{ echo '{done}' >&2; }}\n{script}\n");
    fs::write(&program, text).expect("scratch");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("scratch");
    // A process that another test began meanwhile may still have it open.
    until("a program that can be executed", || match Command::new(&program).status() {
        Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy => None,
        ran => ran.expect("a program").success().then_some(()),
    });
    Workers::new(program, USER, scratch)
}

/// One that makes a layer: `script` runs in its directory.
fn liar_in_its_directory(scratch: &Path, script: &str) -> Workers {
    let goes_there = "exec 3>&1 1>/dev/null\ncd /proc/self/fd/3 || exit 1";
    liar(scratch, &format!("{goes_there}\n{script}"))
}

#[test]
fn what_one_leaves_that_was_taken_over_is_looked_at() {
    let scratch = tempfile::tempdir().expect("scratch");
    let liar = liar_in_its_directory;
    let outside = scratch.path().join("outside");
    fs::write(&outside, "as it was").expect("scratch");
    let honest = "mkdir root; : >recipe.zst";
    let cases = [
        ("cat; ln -s /etc root; : >recipe.zst; well", "has made of root"),
        ("cat; mkdir root; ln -s ../../outside recipe.zst; well", "has made of recipe.zst"),
        ("cat; mkdir root; mkfifo recipe.zst; well", "has made of recipe.zst"),
        ("cat; mkdir root; : >recipe.zst; ln -s /etc spare; well", "has made of spare"),
        ("cat; mkdir root; : >recipe.zst; : >layer.json; well", "has left what is no part"),
        ("cat; mkdir root; : >recipe.zst; echo nonsense >&2", "without a word that makes sense"),
        ("cat; mkdir root; : >recipe.zst; well; exit 1", "without a word that makes sense"),
        ("cat; kill -ILL $$", "was killed by signal 4"),
        ("exec 0</dev/null; mkdir root; : >recipe.zst; well", "has not taken in all of it"),
    ];
    // None of them says that it wants more: it gets no more than there is room
    // for, unless it has gone.
    let (some, more) = (vec![0; 4096], vec![0; 4 << 20]);
    for (number, (script, words)) in cases.iter().enumerate() {
        let workers = liar(scratch.path(), script);
        let dir = scratch.path().join(number.to_string());
        let tar = if script.starts_with("cat") { &some } else { &more };
        let error = unpack(&workers, &dir, tar).expect_err(script);
        assert!(error.to_string().contains(words), "{script}: {error}");
    }
    // An attribute `u` of `..`, which is empty.
    let left = r"printf '\002\000\000\000..\001\000\000\000u\000\000\000\000' >&2";
    let workers = liar(scratch.path(), &format!("cat; {honest}; well; {left}"));
    let error = unpack(&workers, &scratch.path().join("left"), &some).expect_err("no attribute");
    assert!(matches!(error, Error::Archive(snapshot::Error::Refused { .. })), "{error:?}");
    let workers = liar(scratch.path(), &format!("cat; {honest}; well"));
    unpack(&workers, &scratch.path().join("honest"), &some)
        .expect("the liar must be able to do well");
    assert_eq!(fs::read_to_string(&outside).expect("there"), "as it was");
}

#[test]
fn what_one_says_of_the_bytes_that_pass_is_not_believed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let packed = gzip(&layer());
    let undo = |script: &str| {
        let workers = liar(scratch.path(), script);
        workers.plain(&mut &packed[..], Forms::All, |plain| {
            let mut all = Vec::new();
            plain.read_to_end(&mut all).map_err(Error::of_stream)?;
            Ok::<_, Error>(all)
        })
    };
    // How many bytes of the next slot it has written: one more than there are.
    let cases = [
        (r"printf '\001\000\002\000'; well", "says what makes no sense"),
        (r"printf '\377\377\377\377'; well", "says what makes no sense"),
        (r"printf '\005\000\000\000'; well", "has left out the end"),
        (r"printf '\005\000'; well", "has left out the end"),
        ("well", "has left out the end"),
        (r"printf '\000\000\000\000'", "without a word that makes sense"),
        (r"printf '\005\000\000\000'; kill -9 $$", "was killed by signal 9"),
    ];
    for (script, words) in cases {
        let error = undo(script).expect_err(script);
        assert!(error.to_string().contains(words), "{script}: {error}");
        assert_eq!(error.kind(), unpacker::Kind::Host, "{script}");
    }
    let honest = undo(r"printf '\005\000\000\000\000\000\000\000'; well");
    assert_eq!(honest.expect("the liar must be able to do well"), [0; 5]);
    // How many slots it has read: more than there are, to who waits for one.
    let tar = vec![0; 4 << 20];
    let workers = liar_in_its_directory(scratch.path(), "printf 123456789 >&0; exec sleep 1000");
    let error = unpack(&workers, &scratch.path().join("read"), &tar).expect_err("too many");
    assert!(error.to_string().contains("says what makes no sense"), "{error}");
}

#[test]
fn whoever_begins_as_anybody_else_does_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let dir = scratch.path().join("d");
    fs::create_dir(&dir).expect("scratch");
    // Not as root it has no root to go to, and says so.
    let ran = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_unpacker-alone")])
        .args(["unpacker", "layer", "1900000002"])
        .stdout(fs::File::open(&dir).expect("a directory"))
        .output()
        .expect("setpriv(1)");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("Unconfined"), "{said}");
    assert_eq!(fs::read_dir(&dir).expect("list").count(), 0);
}

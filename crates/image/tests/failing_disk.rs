//! A store on a disk that cannot take what is written. Needs root.
//!
//! The disk is a loop device over a file of a tmpfs that is smaller than the
//! disk: what does not fit is an error of input and output, found when dirty
//! pages are written back, long after write(2) has returned.

use image::{Check, Error, Import, Store};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::retry_on_intr,
};
use std::{
    fs::File,
    io::{Cursor, ErrorKind, Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Set in a mount namespace of the test's own: where to mount.
const ALONE: &str = "FAILING_DISK_ALONE";
const MIB: usize = 1 << 20;
/// More than a store writes before it takes a layer to the disk early.
const BEFORE: usize = 100 * MIB;
const KEPT: &str = "kept:1";

/// Who takes archives apart for the tests.
fn workers() -> unpacker::Workers {
    unpacker::Workers::new(env!("CARGO_BIN_EXE_image-unpacker"), 1_900_000_000, "a test".as_ref())
}

fn layer(size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "file", &vec![7; size][..]).expect("memory");
    tar.into_inner().expect("memory")
}

fn import(store: &Store, name: &str, mut from: impl Read) -> Result<(), Error> {
    let reference = Some(name.parse().expect("a name"));
    store.import(&Import { reference, ..Import::default() }, &mut from).map(|_| ())
}

/// What the kernel says from now on.
struct Kernel(File);

impl Kernel {
    fn listen() -> Self {
        let mut options = File::options();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let mut messages = options.open("/dev/kmsg").expect("opened");
        messages.seek(SeekFrom::End(0)).expect("after the last one");
        Self(messages)
    }

    fn says(&mut self, words: &str) {
        let until = Instant::now() + Duration::from_mins(1);
        let mut record = vec![0; 8192];
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let rest = Timespec::try_from(rest).expect("a minute");
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            let ready = retry_on_intr(|| poll(&mut fds, Some(&rest))).expect("polled");
            assert!(ready > 0, "the kernel never said {words}");
            match self.0.read(&mut record) {
                Ok(len) if String::from_utf8_lossy(&record[..len]).contains(words) => return,
                // EPIPE: some were overwritten before they were read.
                Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::BrokenPipe) => {
                    panic!("{e}")
                }
                _ => {}
            }
        }
    }
}

/// Gives bytes, then does something, then gives the rest.
struct Halfway<F: FnOnce()> {
    first: Cursor<Vec<u8>>,
    then: Option<F>,
    rest: Cursor<Vec<u8>>,
}

impl<F: FnOnce()> Read for Halfway<F> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.first.read(into)? {
            0 => {
                if let Some(then) = self.then.take() {
                    then();
                }
                self.rest.read(into)
            }
            len => Ok(len),
        }
    }
}

#[test]
fn an_error_of_the_disk_in_the_midst_of_a_layer_is_an_error_of_the_layer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let out = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture", "in_a_namespace_with_a_disk_of_its_own"])
        .env(ALONE, scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1)");
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("all held"), "{text}");
}

#[test]
fn in_a_namespace_with_a_disk_of_its_own() {
    let Some(dir) = std::env::var_os(ALONE).map(PathBuf::from) else { return };
    let (small, disk) = (dir.join("small"), dir.join("disk"));
    for place in [&small, &disk] {
        std::fs::create_dir(place).expect("scratch");
    }
    let image = small.join("image");
    run(&["mount", "-t", "tmpfs", "-o", "size=40M", "small", text(&small)]);
    run(&["truncate", "--size=1G", text(&image)]);
    // A journal that cannot be written would end all writing.
    run(&["mkfs.ext4", "-q", "-O", "^has_journal", text(&image)]);
    run(&["mount", "-o", "loop", text(&image), text(&disk)]);
    let device = device(&disk);
    let data = disk.join("data");
    let store = Store::open(&data, workers()).expect("opened");
    import(&store, KEPT, &layer(MIB)[..]).expect("there is room for it");

    let mut kernel = Kernel::listen();
    let mut first = layer(2 * BEFORE);
    let rest = first.split_off(BEFORE);
    // All that is written after the first errors succeeds.
    let then = || {
        kernel.says(&format!("(device {device}): ext4_end_bio"));
        run(&["mount", "-o", "remount,size=1G", text(&small)]);
    };
    let halfway = Halfway { first: Cursor::new(first), then: Some(then), rest: Cursor::new(rest) };
    let error = import(&store, "lost:1", halfway).expect_err("a part of it is lost");
    let why = std::error::Error::source(&error).expect("what the kernel said").to_string();
    let words = format!("{error}: {why}");
    // As the loop device hands on what the tmpfs said, or as EIO.
    let told = ["Input/output error", "No space left on device"];
    assert!(words.contains("flush") && told.iter().any(|w| words.contains(w)), "{words}");

    assert!(matches!(store.lookup("lost:1"), Err(Error::Missing(_))));
    import(&store, "whole:1", &layer(BEFORE)[..]).expect("there is room now");
    drop(store);
    let store = Store::open(&data, workers()).expect("opened again");
    for name in [KEPT, "whole:1"] {
        store.lookup(name).expect("it is there");
    }
    let wish = Check { repair: false, content: true };
    assert_eq!(store.check(wish, &|_| Vec::new()).expect("looked at").findings, []);
    std::io::stdout().write_all(b"all held\n").expect("told");
}

/// The name of the device that is mounted there.
fn device(mount: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("read");
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(text(mount)));
    let device = line.and_then(|line| line.split(' ').next()).expect("mounted");
    device.trim_start_matches("/dev/").to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}

fn run(words: &[&str]) {
    let out = Command::new(words[0]).args(&words[1..]).output().expect(words[0]);
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

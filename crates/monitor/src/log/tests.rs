//! What is in the files after what was written.

use super::*;
use spec::log::Form;
use std::{fs, path::Path};

const NOW: u64 = 1_764_000_000_123_450_000;

fn file(path: &Path, max_bytes: u64, max_files: u32) -> spec::log::File {
    let path = path.to_str().expect("utf-8").to_owned();
    let (form, attrs) = (Form::Json, String::new());
    spec::log::File { path, form, max_bytes, max_files, compress: false, attrs }
}

fn of(file: spec::log::File) -> Log {
    let file = Some(file);
    Log::open(&spec::log::Log { file, ..spec::log::Log::default() }).expect("opens")
}

fn open(path: &Path, max_bytes: u64, max_files: u32) -> Log {
    of(file(path, max_bytes, max_files))
}

fn flush(log: &mut Log) {
    log.flush().expect("nothing is waited for");
}

#[test]
fn lines_are_written_as_docker_writes_them() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    let mut log = open(&path, 0, 1);
    let (mut out, mut err) = (Splitter::of(Source::Stdout), Splitter::of(Source::Stderr));
    log.write(&mut out, b"one\ntw", NOW);
    log.write(&mut err, b"oops\r\n", NOW);
    log.write(&mut out, b"o\nrest", NOW + 50_000);
    log.end(&mut out, NOW + 50_000);
    flush(&mut log);
    let want = concat!(
        r#"{"log":"one\n","stream":"stdout","time":"2025-11-24T16:00:00.12345Z"}"#,
        "\n",
        r#"{"log":"oops\r\n","stream":"stderr","time":"2025-11-24T16:00:00.12345Z"}"#,
        "\n",
        r#"{"log":"two\n","stream":"stdout","time":"2025-11-24T16:00:00.1235Z"}"#,
        "\n",
        r#"{"log":"rest","stream":"stdout","time":"2025-11-24T16:00:00.1235Z"}"#,
        "\n",
    );
    assert_eq!(fs::read_to_string(&path).expect("written"), want);
}

#[test]
fn a_full_file_is_rotated_and_the_oldest_goes() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    // Each line takes 74 bytes: two of them fill a file of 140.
    let mut log = open(&path, 140, 3);
    let mut out = Splitter::of(Source::Stdout);
    for i in 0..9 {
        log.write(&mut out, format!("line {i}\n").as_bytes(), NOW);
    }
    flush(&mut log);
    let lines = |suffix: &str| {
        let text = fs::read_to_string(dir.path().join(format!("x-json.log{suffix}")));
        text.expect("kept").lines().map(|l| l[8..14].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(""), ["line 8"]);
    assert_eq!(lines(".1"), ["line 6", "line 7"]);
    assert_eq!(lines(".2"), ["line 4", "line 5"]);
    assert!(!dir.path().join("x-json.log.3").exists());
}

#[test]
fn a_single_file_starts_anew_when_full() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    let mut log = open(&path, 100, 1);
    let mut out = Splitter::of(Source::Stdout);
    for i in 0..5 {
        log.write(&mut out, format!("line {i}\n").as_bytes(), NOW);
        flush(&mut log);
    }
    assert_eq!(fs::read_to_string(&path).expect("kept").lines().count(), 1);
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
}

#[test]
fn the_size_of_an_older_run_counts() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    let mut out = Splitter::of(Source::Stdout);
    for i in 0..3 {
        let mut log = open(&path, 140, 2);
        log.write(&mut out, format!("line {i}\n").as_bytes(), NOW);
        flush(&mut log);
    }
    assert_eq!(fs::read_to_string(&path).expect("kept").lines().count(), 1);
    let older = dir.path().join("x-json.log.1");
    assert_eq!(fs::read_to_string(older).expect("kept").lines().count(), 2);
}

#[test]
fn a_line_torn_by_a_crash_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    fs::write(&path, r#"{"log":"tor"#).expect("planted");
    let mut log = open(&path, 0, 1);
    log.write(&mut Splitter::of(Source::Stdout), b"whole\n", NOW);
    flush(&mut log);
    let text = fs::read_to_string(&path).expect("kept");
    assert!(text.starts_with("{\"log\":\"tor\n{\"log\":\"whole\\n\""), "{text}");
}

#[test]
fn a_full_disk_drops_whole_lines_and_goes_on() {
    let path = Path::new("/dev/full");
    let mut log = open(path, 0, 1);
    let mut out = Splitter::of(Source::Stdout);
    log.write(&mut out, b"one\ntwo\n", NOW);
    flush(&mut log);
    assert_eq!(log.dropped(), 2);
}

#[test]
fn what_goes_is_kept_as_long_as_somebody_follows() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    let kept = || {
        let names = fs::read_dir(dir.path()).expect("lists");
        let names = names.map(|e| e.expect("an entry").file_name().into_string());
        names.filter(|name| name.as_ref().is_ok_and(|name| name.contains(".kept."))).count()
    };
    let mut log = open(&path, 140, 2);
    let mut out = Splitter::of(Source::Stdout);
    let mut write = |count: u32| {
        for i in 0..count {
            log.write(&mut out, format!("line {i}\n").as_bytes(), NOW);
        }
        flush(&mut log);
    };
    write(20);
    assert_eq!(kept(), 0);
    let follower = fs::File::open(dir.path()).expect("opens");
    rustix::fs::flock(&follower, rustix::fs::FlockOperation::LockShared).expect("locks");
    write(20);
    assert!(kept() > 5, "{}", kept());
    drop(follower);
    write(4);
    assert_eq!(kept(), 0);
}

#[test]
fn a_frame_torn_by_a_crash_is_cut_off_or_left_to_an_older_file() {
    for max_files in [1, 2] {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("container.log");
        let framed = || {
            let file = file(&path, 0, max_files);
            of(spec::log::File { form: Form::Framed, ..file })
        };
        let mut out = Splitter::of(Source::Stdout);
        let mut log = framed();
        log.write(&mut out, b"one\ntwo\n", NOW);
        flush(&mut log);
        let whole = fs::read(&path).expect("written");
        fs::write(&path, [&whole[..], &whole[..17]].concat()).expect("torn");
        let mut log = framed();
        log.write(&mut out, b"one\ntwo\n", NOW);
        flush(&mut log);
        let now = fs::read(&path).expect("written");
        if max_files == 1 {
            assert_eq!(now, [&whole[..], &whole].concat());
        } else {
            assert_eq!(now, whole);
            let older = fs::read(path.with_extension("log.1")).expect("kept");
            assert_eq!(older, [&whole[..], &whole[..17]].concat());
        }
    }
}

/// A log with an index, both in a directory of their own.
struct Marked {
    dir: tempfile::TempDir,
    form: Form,
}

impl Marked {
    fn new(form: Form) -> Self {
        Self { dir: tempfile::tempdir().expect("a scratch directory"), form }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("x-json.log")
    }

    /// Writes lines of 1,000 bytes, a hundred at each of these moments.
    fn write(&self, moments: std::ops::Range<u64>) {
        let line = [vec![b'x'; 1000], vec![b'\n']].concat().repeat(100);
        let mut out = Splitter::of(Source::Stdout);
        let file = file(&self.path(), 0, 1);
        let mut log = of(spec::log::File { form: self.form, ..file });
        for moment in moments {
            log.write(&mut out, &line, NOW + moment);
            flush(&mut log);
        }
    }

    fn size(&self) -> u64 {
        fs::metadata(self.path()).expect("there").len()
    }

    fn index(&self) -> std::path::PathBuf {
        let found = fs::metadata(self.path()).expect("there");
        let inode = std::os::unix::fs::MetadataExt::ino(&found);
        self.dir.path().join(spec::log::index::name(inode))
    }

    fn marks(&self) -> Vec<spec::log::index::Mark> {
        let text = fs::read(self.index()).expect("an index");
        let (marks, rest) = text[16..].as_chunks::<16>();
        assert_eq!(rest, [0; 0]);
        marks.iter().map(|mark| spec::log::index::Mark::from_bytes(*mark)).collect()
    }
}

#[test]
fn marks_are_made_on_the_way_and_go_on_after_a_crash() {
    for form in [Form::Json, Form::Framed] {
        let log = Marked::new(form);
        log.write(0..10);
        let before = log.marks();
        assert_eq!(before.len(), 3);
        assert!(before.is_sorted_by_key(|mark| mark.end));
        assert_eq!(before[0].latest, NOW + 2);
        // Half a mark, as a crash leaves it; and then the clock goes back.
        let text = fs::read(log.index()).expect("an index");
        fs::write(log.index(), &text[..text.len() - 3]).expect("torn");
        log.write(0..3);
        let after = log.marks();
        assert_eq!(after[..2], before[..2]);
        let size = log.size();
        assert!(after[2..].iter().all(|mark| mark.latest == NOW + 9 && mark.end <= size));
        assert!(after.len() > 2);
    }
}

#[test]
fn marks_that_cannot_be_right_are_taken_away() {
    let log = Marked::new(Form::Json);
    log.write(0..10);
    let before = log.marks();
    let beyond = spec::log::index::Mark { end: log.size() + 1, latest: NOW + 50 };
    let text = fs::read(log.index()).expect("an index");
    fs::write(log.index(), [&text[..], &beyond.to_bytes(), &[0; 16]].concat()).expect("planted");
    log.write(10..13);
    let after = log.marks();
    assert_eq!(after[..3], before[..]);
    assert!(after.len() > 3 && after[3..].iter().all(|mark| mark.latest <= NOW + 12));
}

#[test]
fn a_log_that_somebody_else_wrote_is_not_marked() {
    for foreign in ["{\"time\":\"2026-01-01T00:00:00Z\",\"log\":\"x\"}\n", "long"] {
        let log = Marked::new(Form::Json);
        let text = if foreign == "long" { "x\n".repeat(600_000) } else { foreign.to_owned() };
        fs::write(log.path(), text).expect("planted");
        log.write(0..10);
        assert!(!log.index().exists(), "{foreign}");
    }
}

#[test]
fn reopening_follows_the_name() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("x-json.log");
    let mut log = open(&path, 0, 1);
    let mut out = Splitter::of(Source::Stdout);
    fs::rename(&path, dir.path().join("away")).expect("taken away");
    log.write(&mut out, b"old\n", NOW);
    log.reopen().expect("reopens");
    log.write(&mut out, b"new\n", NOW);
    flush(&mut log);
    assert!(fs::read_to_string(dir.path().join("away")).expect("kept").contains("old"));
    let text = fs::read_to_string(&path).expect("made anew");
    assert!(text.contains("new") && !text.contains("old"), "{text}");
}

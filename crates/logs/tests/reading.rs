//! What a reader of logs sees. Files are written here as the monitor writes
//! them.

use logs::{Entry, Options, Reader, Stream};
use spec::stamp::Stamp;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

const SECOND: u64 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("c-json.log")
    }

    fn older(&self, number: u32) -> PathBuf {
        self.0.path().join(format!("c-json.log.{number}"))
    }
}

/// Line `number` is written at that second.
fn append(path: &Path, numbers: std::ops::Range<u64>) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("opens");
    let mut text = String::new();
    for number in numbers {
        let time = Stamp::short(number * SECOND);
        text += r#"{"log":"line"#;
        text += &number.to_string();
        text += r#"\n","stream":"stdout","time":""#;
        text += time.as_str();
        text += "\"}\n";
    }
    file.write_all(text.as_bytes()).expect("writes");
}

fn numbers(reader: impl Iterator<Item = std::io::Result<Entry>>) -> Vec<u64> {
    reader.map(|entry| entry.expect("reads").time / SECOND).collect()
}

fn read(path: &Path, options: Options) -> Vec<u64> {
    numbers(Reader::open(path, options).expect("opens"))
}

#[test]
fn all_files_are_read_from_the_oldest_on() {
    let scratch = Scratch::new();
    append(&scratch.older(2), 0..3);
    append(&scratch.older(1), 3..5);
    append(&scratch.path(), 5..9);
    assert_eq!(read(&scratch.path(), Options::default()), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_line_is_given_as_it_was_written() {
    let scratch = Scratch::new();
    let text = r#"{"log":"\u003ca\u003e \"q\" \u001b[0m\ufffd\r\n","stream":"stderr","attrs":{"k":"v"},"time":"1970-01-01T00:00:01.5Z"}"#;
    fs::write(scratch.path(), format!("{text}\n")).expect("planted");
    let mut reader = Reader::open(&scratch.path(), Options::default()).expect("opens");
    let line = "<a> \"q\" \u{1b}[0m\u{fffd}\r\n".to_owned().into_bytes();
    let attrs = [("k".to_owned(), "v".to_owned())].into();
    let want = Entry { stream: Stream::Stderr, time: SECOND * 3 / 2, line, attrs };
    assert_eq!(reader.next().expect("one line").expect("reads"), want);
    assert!(reader.next().is_none());
}

#[test]
fn the_tail_is_counted_across_files() {
    let scratch = Scratch::new();
    append(&scratch.older(1), 0..10_000);
    append(&scratch.path(), 10_000..10_002);
    let tail = |count| Options { tail: Some(count), ..Options::default() };
    assert_eq!(read(&scratch.path(), tail(0)), [0; 0]);
    assert_eq!(read(&scratch.path(), tail(1)), [10_001]);
    assert_eq!(read(&scratch.path(), tail(2)), [10_000, 10_001]);
    assert_eq!(read(&scratch.path(), tail(3)), [9_999, 10_000, 10_001]);
    assert_eq!(read(&scratch.path(), tail(10_002)).len(), 10_002);
    assert_eq!(read(&scratch.path(), tail(u64::MAX)).len(), 10_002);
}

#[test]
fn times_bound_what_is_shown() {
    let scratch = Scratch::new();
    append(&scratch.path(), 0..10);
    let between =
        Options { since: Some(3 * SECOND), until: Some(6 * SECOND), ..Options::default() };
    assert_eq!(read(&scratch.path(), between), [3, 4, 5, 6]);
    let tail_first = Options { tail: Some(2), since: Some(3 * SECOND), ..Options::default() };
    assert_eq!(read(&scratch.path(), tail_first), [8, 9]);
}

#[test]
fn what_is_no_line_is_passed_over_and_counted() {
    let scratch = Scratch::new();
    append(&scratch.path(), 0..1);
    let mut file = OpenOptions::new().append(true).open(scratch.path()).expect("opens");
    file.write_all(b"{\"log\":\"tor\n").expect("planted");
    file.write_all(&vec![0; 3 << 20]).expect("planted");
    file.write_all(b"\n").expect("planted");
    append(&scratch.path(), 1..2);
    let mut reader = Reader::open(&scratch.path(), Options::default()).expect("opens");
    assert_eq!(numbers(reader.by_ref()), [0, 1]);
    assert_eq!(reader.garbage(), 2);
}

#[test]
fn a_log_that_does_not_exist_yet_is_empty() {
    let scratch = Scratch::new();
    assert_eq!(read(&scratch.path(), Options::default()), [0; 0]);
}

/// A reader that follows in a thread; its lines arrive in the channel, which
/// closes when it ends.
fn follow(path: &Path, options: &Options) -> (mpsc::Receiver<u64>, std::sync::Arc<logs::Stop>) {
    let reader = Reader::open(path, Options { follow: true, ..options.clone() }).expect("opens");
    let stop = reader.stop();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for entry in reader {
            let _ = send.send(entry.expect("reads").time / SECOND);
        }
    });
    (receive, stop)
}

fn take(lines: &mpsc::Receiver<u64>, count: usize) -> Vec<u64> {
    (0..count).map(|_| lines.recv_timeout(PATIENCE).expect("a line comes")).collect()
}

#[test]
fn a_follower_sees_what_comes_until_the_end() {
    let scratch = Scratch::new();
    append(&scratch.path(), 0..2);
    let (lines, stop) = follow(&scratch.path(), &Options { tail: Some(1), ..Options::default() });
    assert_eq!(take(&lines, 1), [1]);
    append(&scratch.path(), 2..4);
    assert_eq!(take(&lines, 2), [2, 3]);
    append(&scratch.path(), 4..5);
    stop.ended();
    assert_eq!(take(&lines, 1), [4], "written before the end");
    assert_eq!(lines.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_follower_loses_no_line_to_rotations() {
    let scratch = Scratch::new();
    append(&scratch.path(), 0..1);
    let (lines, stop) = follow(&scratch.path(), &Options::default());
    assert_eq!(take(&lines, 1), [0]);
    for round in 0..50 {
        let next = 1 + round * 10;
        append(&scratch.path(), next..next + 7);
        if round % 3 == 0 {
            // Twice in a row: the file between them is never current for long.
            let _ = fs::remove_file(scratch.older(1));
            fs::rename(scratch.path(), scratch.older(2)).expect("rotates");
            append(&scratch.older(1), next + 7..next + 10);
        } else {
            append(&scratch.path(), next + 7..next + 10);
            fs::rename(scratch.path(), scratch.older(1)).expect("rotates");
            let _ = fs::remove_file(scratch.older(2));
        }
        drop(File::create(scratch.path()).expect("a new current file"));
        assert_eq!(take(&lines, 10), (next..next + 10).collect::<Vec<_>>());
    }
    stop.ended();
    assert_eq!(lines.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_follower_survives_truncation_and_a_late_file() {
    let scratch = Scratch::new();
    let (lines, stop) = follow(&scratch.path(), &Options::default());
    append(&scratch.path(), 0..3);
    assert_eq!(take(&lines, 3), [0, 1, 2]);
    File::options().write(true).open(scratch.path()).expect("opens").set_len(0).expect("cuts");
    append(&scratch.path(), 3..4);
    assert_eq!(take(&lines, 1), [3]);
    stop.cancel();
    assert_eq!(lines.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let scratch = Scratch::new();
    let (lines, stop) = follow(&scratch.path(), &Options::default());
    let mut file = File::create(scratch.path()).expect("creates");
    file.write_all(br#"{"log":"x\n","stream":"std"#).expect("writes");
    assert_eq!(lines.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Timeout));
    file.write_all(b"out\",\"time\":\"1970-01-01T00:00:07Z\"}\n").expect("writes");
    assert_eq!(take(&lines, 1), [7]);
    stop.cancel();
}

#[test]
fn a_follower_ends_when_its_time_has_come() {
    let scratch = Scratch::new();
    append(&scratch.path(), 0..1);
    // Long ago: nothing that comes can be shown.
    let (lines, _stop) =
        follow(&scratch.path(), &Options { until: Some(SECOND), ..Options::default() });
    assert_eq!(take(&lines, 1), [0]);
    assert_eq!(lines.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

/// Writes the index of a log: offsets, and the second before which all lines
/// before them were written.
fn index(path: &Path, marks: &[(u64, u64)]) {
    use spec::log::index::{Mark, head, name};
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("there"));
    let mut text = head(inode).to_vec();
    for (end, second) in marks {
        text.extend_from_slice(&Mark { end: *end, latest: second * SECOND }.to_bytes());
    }
    fs::write(path.with_file_name(name(inode)), text).expect("writes");
}

#[test]
fn what_lies_before_a_time_is_not_read() {
    let scratch = Scratch::new();
    let path = scratch.path();
    append(&path, 1..3);
    let near = fs::metadata(&path).expect("there").len();
    // 10 GB that no reader would come to the end of, a hole but for its ends.
    let far = 10_000_000_000;
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    file.set_len(far).expect("a hole");
    OpenOptions::new().append(true).open(&path).expect("opens").write_all(b"\n").expect("writes");
    append(&path, 100..105);
    index(&path, &[(near, 2), (far + 1, 90)]);
    let since = Options { since: Some(91 * SECOND), ..Options::default() };
    let mut reader = Reader::open(&path, since).expect("opens");
    assert_eq!(numbers(&mut reader), (100..105).collect::<Vec<_>>());
    assert_eq!(reader.garbage(), 0);
}

#[test]
fn a_compressed_file_is_not_taken_for_one_that_has_its_inode_now() {
    use spec::log::index::{Mark, extra};
    let scratch = Scratch::new();
    append(&scratch.older(1), 0..3);
    let plain = fs::read(scratch.older(1)).expect("reads");
    fs::remove_file(scratch.older(1)).expect("goes");
    append(&scratch.path(), 3..5);
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(scratch.path()).expect("there"));
    let mark = Mark { end: plain.len() as u64, latest: 2 * SECOND };
    let packed = File::create(scratch.0.path().join("c-json.log.1.gz")).expect("a file");
    let gzip = flate2::GzBuilder::new().extra(extra(inode, mark));
    let mut out = gzip.write(packed, flate2::Compression::fast());
    out.write_all(&plain).and_then(|()| out.finish().map(drop)).expect("writes");
    assert_eq!(read(&scratch.path(), Options::default()), (0..5).collect::<Vec<_>>());
}

//! The log of one container: what it wrote, a JSON object a line, in Docker's
//! `json-file` format.
//!
//! Bytes go through a [`Splitter`] for each stream, which cuts them into
//! lines, are spelt by [`json`], and are gathered until somebody
//! [flushes](Log::flush): once a turn of the monitor's loop, so that a fast
//! program costs few writes and a slow one is in the file at once.
//!
//! ```text
//! program ─▶ Splitter (one a stream) ─▶ json ─▶ gathered ─▶ file, rotated
//! ```
//!
//! A log that cannot be written (a full disk) never stops the program: what
//! does not fit is dropped whole line by whole line, counted, and said once on
//! standard error.

mod file;
mod json;
mod split;

pub use json::Source;
pub use split::Splitter;

use file::File;
use json::Spelling;
use spec::sandbox;
use std::{io, path::Path};

/// Beyond so many gathered bytes it flushes by itself.
const GATHER: usize = 128 << 10;

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    /// None for `--log-driver none`.
    file: Option<File>,
    gathered: Vec<u8>,
    /// Lines in `gathered`.
    lines: u64,
    /// Lines that could not be written since it was last said.
    lost: u64,
}

impl Log {
    /// Opens or makes the current file.
    ///
    /// # Errors
    /// What the host said.
    pub fn open(wish: &sandbox::Log) -> io::Result<Self> {
        let file = match wish {
            sandbox::Log::None => None,
            sandbox::Log::JsonFile { path, max_bytes, max_files } => {
                Some(File::open(Path::new(path), *max_bytes, *max_files)?)
            }
        };
        Ok(Self { file, gathered: Vec::new(), lines: 0, lost: 0 })
    }

    /// Takes what the program wrote at `now`.
    pub fn write(&mut self, splitter: &mut Splitter, bytes: &[u8], now: u64) {
        if self.file.is_none() {
            return;
        }
        let spelling = Spelling::at(splitter.source(), now);
        splitter.split(bytes, now, |piece| self.gather(&spelling, piece));
    }

    /// Takes the end of a stream: what is left of a line without a newline.
    pub fn end(&mut self, splitter: &mut Splitter, now: u64) {
        if self.file.is_some() {
            let spelling = Spelling::at(splitter.source(), now);
            splitter.end(|piece| self.gather(&spelling, piece));
        }
    }

    fn gather(&mut self, spelling: &Spelling, piece: split::Piece<'_>) {
        // As Docker does: a file is full once it has reached its size, so it
        // exceeds that by a part of its last line.
        let full = self.file.as_ref().is_some_and(|f| f.is_full_with(self.gathered.len()));
        if full || self.gathered.len() >= GATHER {
            self.flush();
        }
        spelling.spell(&mut self.gathered, &piece);
        self.lines += 1;
    }

    /// Writes what was gathered, and rotates a file that is full by then.
    pub fn flush(&mut self) {
        let Some(file) = &mut self.file else { return };
        if self.lines == 0 {
            return;
        }
        match file.append(&self.gathered) {
            Ok(()) if self.lost > 0 => {
                eprintln!("the log can be written again; {} lines are lost", self.lost);
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    eprintln!("cannot write the log, lines are dropped: {error}");
                }
                self.lost += self.lines;
            }
        }
        self.gathered.clear();
        self.lines = 0;
    }

    /// Somebody took the file away or truncated it.
    ///
    /// # Errors
    /// What the host said; the old file is written on.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        self.file.as_mut().map_or(Ok(()), File::reopen)
    }

    /// Gives back the memory that a busy time took.
    pub fn rest(&mut self) {
        self.flush();
        self.gathered = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NOW: u64 = 1_764_000_000_123_450_000;

    fn open(path: &Path, max_bytes: u64, max_files: u32) -> Log {
        let path = path.to_str().expect("utf-8").to_owned();
        Log::open(&sandbox::Log::JsonFile { path, max_bytes, max_files }).expect("opens")
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
        log.flush();
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
        log.flush();
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
            log.flush();
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
            log.flush();
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
        log.flush();
        let text = fs::read_to_string(&path).expect("kept");
        assert!(text.starts_with("{\"log\":\"tor\n{\"log\":\"whole\\n\""), "{text}");
    }

    #[test]
    fn a_full_disk_drops_whole_lines_and_goes_on() {
        let path = Path::new("/dev/full");
        let mut log = open(path, 0, 1);
        let mut out = Splitter::of(Source::Stdout);
        log.write(&mut out, b"one\ntwo\n", NOW);
        log.flush();
        assert_eq!(log.lost, 2);
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
        log.flush();
        assert!(fs::read_to_string(dir.path().join("away")).expect("kept").contains("old"));
        let text = fs::read_to_string(&path).expect("made anew");
        assert!(text.contains("new") && !text.contains("old"), "{text}");
    }
}

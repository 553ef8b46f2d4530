//! What was asked over a scoped socket: one line of JSON a call, in
//! `DATA/socket-logs/NAME.log`. When it is full it becomes `NAME.log.1`, in the
//! place of the one before.

use crate::call::Who;
use crate::error::Error;
use crate::when;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes of one file; there are two.
const FULL: u64 = 4 << 20;
/// Bytes of a path, and of a refusal's words, that are written down.
const LONGEST: usize = 512;

/// A call, as it is written down.
pub struct Entry {
    /// Who asked.
    pub who: Who,
    /// The right that it takes, or another word.
    pub operation: &'static str,
    /// As sent.
    pub method: String,
    /// As sent.
    pub path: String,
    /// The identifier; empty where it is about none, or none in scope.
    pub container: String,
}

/// What became of it.
pub enum Verdict {
    /// It was let through.
    Allowed,
    /// It was not, and this was said.
    Refused(String),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    time: String,
    uid: u32,
    gid: u32,
    pid: i32,
    operation: &'a str,
    method: &'a str,
    path: &'a str,
    container: &'a str,
    verdict: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    because: &'a str,
}

/// An open journal. One writer a file.
pub struct Journal {
    path: PathBuf,
    open: Mutex<(File, u64)>,
}

impl Journal {
    /// Opens or makes the journal of the socket `name` below the data root.
    ///
    /// # Errors
    /// What the host said.
    pub fn open(data: &Path, name: &str) -> Result<Self, Error> {
        let path = place(data, name);
        let dir = path.parent().unwrap_or(data);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| cannot("make", dir, &error))?;
        let file = begin(&path).map_err(|error| cannot("open", &path, &error))?;
        let length = file.metadata().map_err(|error| cannot("look at", &path, &error))?.len();
        Ok(Self { path, open: Mutex::new((file, length)) })
    }

    /// Writes a line down.
    ///
    /// # Errors
    /// 500: what cannot be written down is not done.
    pub fn write(&self, entry: &Entry, verdict: &Verdict) -> Result<(), Error> {
        let (verdict, because) = match verdict {
            Verdict::Allowed => ("allowed", ""),
            Verdict::Refused(words) => ("refused", words.as_str()),
        };
        let line = Line {
            time: when::rfc3339(when::now()),
            uid: entry.who.uid,
            gid: entry.who.gid,
            pid: entry.who.pid.unwrap_or(0),
            operation: entry.operation,
            method: cut(&entry.method),
            path: cut(&entry.path),
            container: &entry.container,
            verdict,
            because: cut(because),
        };
        let mut text = serde_json::to_vec(&line).expect("texts and numbers can be written");
        text.push(b'\n');
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.append(&mut open, &text).map_err(|error| cannot("write to", &self.path, &error))
    }

    fn append(&self, (file, length): &mut (File, u64), text: &[u8]) -> io::Result<()> {
        if *length > FULL {
            fs::rename(&self.path, older(&self.path))?;
            (*file, *length) = (begin(&self.path)?, 0);
        }
        file.write_all(text)?;
        *length += text.len() as u64;
        Ok(())
    }
}

/// The lines of a socket's journal, oldest first: the last `tail`, or all.
///
/// # Errors
/// 404 if there is none; what the host said.
pub fn read(data: &Path, name: &str, tail: Option<usize>) -> Result<Vec<String>, Error> {
    let path = place(data, name);
    let mut text = String::new();
    for (path, last) in [(older(&path), false), (path, true)] {
        match File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !last => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::missing(format!("no such socket: {name}")));
            }
            Err(error) => return Err(cannot("read", &path, &error)),
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(tail.unwrap_or(usize::MAX));
    Ok(lines[first..].iter().map(|line| (*line).to_owned()).collect())
}

fn place(data: &Path, name: &str) -> PathBuf {
    data.join("socket-logs").join(format!("{name}.log"))
}

fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    older.into()
}

fn begin(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::ours(format!("cannot {verb} {}: {error}", path.display()))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        let who = Who { uid: 1, gid: 2, pid: Some(3) };
        Entry {
            who,
            operation: "read",
            method: "GET".into(),
            path: path.into(),
            container: "c".into(),
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_was_asked_and_of_bounded_length() {
        let dir = tempfile::tempdir().expect("scratch");
        let journal = Journal::open(dir.path(), "s").expect("opened");
        journal.write(&entry("/a\n{\"Uid\":0}"), &Verdict::Allowed).expect("written");
        let long = "é".repeat(10_000);
        journal.write(&entry(&long), &Verdict::Refused(long.clone())).expect("written");
        let lines = read(dir.path(), "s", None).expect("read");
        assert_eq!(lines.len(), 2);
        let value: serde_json::Value = serde_json::from_str(&lines[0]).expect("json");
        assert_eq!((&value["Uid"], &value["Verdict"]), (&1.into(), &"allowed".into()));
        assert!(lines[1].len() < 2000 && lines[1].contains("refused"));
        assert_eq!(read(dir.path(), "s", Some(1)).expect("read"), lines[1..]);
        assert_eq!(read(dir.path(), "t", None).expect_err("none").status(), 404);
    }

    #[test]
    fn a_full_one_makes_room_and_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().expect("scratch");
        let journal = Journal::open(dir.path(), "s").expect("opened");
        journal.write(&entry("/first"), &Verdict::Allowed).expect("written");
        journal.open.lock().expect("ours").1 = FULL + 1;
        journal.write(&entry("/second"), &Verdict::Allowed).expect("written");
        drop(journal);
        let journal = Journal::open(dir.path(), "s").expect("opened");
        journal.write(&entry("/third"), &Verdict::Allowed).expect("written");
        let lines = read(dir.path(), "s", None).expect("read");
        assert!(lines[0].contains("/first") && lines[1].contains("/second"));
        assert!(lines[2].contains("/third") && lines.len() == 3);
    }

    #[test]
    fn what_cannot_be_written_down_is_an_error() {
        let dir = tempfile::tempdir().expect("scratch");
        let journal = Journal::open(dir.path(), "s").expect("opened");
        journal.open.lock().expect("ours").0 = File::open("/dev/null").expect("for reading alone");
        let error = journal.write(&entry("/x"), &Verdict::Allowed).expect_err("refused");
        assert_eq!(error.status(), 500);
    }
}

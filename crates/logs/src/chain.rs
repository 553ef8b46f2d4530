//! The files of one log, newest first.
//!
//! `path`, `path.1`, `path.2`, …, of which older ones may be compressed
//! (`path.2.gz`); behind them, for who follows, what the writer keeps
//! (`path.kept.N`, the highest number first). A rotation goes through them
//! from the oldest on, and so moves a gap through the names: a walk that met
//! one is made again.

use crate::lines::Opened;
use std::{ffi::OsString, fs::File, io, os::unix::fs::MetadataExt, path::Path};

/// How often a walk is made again. Rotations take microseconds.
const TRIES: u32 = 100;

/// The files that are newer than the one with the inode `until`, newest
/// first; all, without those that are kept, if none.
///
/// A rotation while they are opened shows as a file seen twice: where it was
/// seen last is its place, for others may have come before it meanwhile. (The
/// other order could miss one.)
pub fn chain(path: &Path, until: Option<u64>) -> io::Result<Vec<Opened>> {
    let mut tries = 0;
    loop {
        let walk = walk(path, until)?;
        tries += 1;
        if (walk.found || until.is_none()) && !walk.gap || tries > TRIES {
            return Ok(walk.files);
        }
    }
}

struct Walk {
    files: Vec<Opened>,
    /// A name was missing before one that is there.
    gap: bool,
    /// The file `until` was met.
    found: bool,
}

impl Walk {
    /// False if it ends here.
    fn takes(&mut self, file: File, until: Option<u64>) -> io::Result<bool> {
        let opened = Opened::of(file)?;
        if Some(opened.inode) == until {
            self.found = true;
            return Ok(false);
        }
        for at in 0..self.files.len() {
            if is_same(&self.files[at], &opened)? {
                // What is open as it was written stays so: its inode is then
                // nobody else's.
                let known = self.files.remove(at);
                self.files.push(known);
                return Ok(true);
            }
        }
        self.files.push(opened);
        Ok(true)
    }
}

/// Are they one file, of which the first was opened before the second? One that
/// was compressed is gone, and its inode may have come to another since, but
/// not to one that was there before.
fn is_same(known: &Opened, opened: &Opened) -> io::Result<bool> {
    let (before, now) = (known.file.metadata()?, opened.file.metadata()?);
    let compressed = known.packed.is_none()
        && opened.packed.is_some()
        && known.inode == opened.inode
        && before.nlink() == 0;
    Ok(before.ino() == now.ino() || compressed)
}

fn walk(path: &Path, until: Option<u64>) -> io::Result<Walk> {
    let mut walk = Walk { files: Vec::new(), gap: false, found: false };
    let mut missing = 0;
    for number in 0.. {
        let name = if number == 0 { path.as_os_str().to_owned() } else { with(path, &number) };
        let mut file = open(Path::new(&name))?;
        if file.is_none() && number > 0 {
            let mut packed = name;
            packed.push(".gz");
            file = open(Path::new(&packed))?;
        }
        let Some(file) = file else {
            missing += 1;
            if missing > 1 {
                break;
            }
            continue;
        };
        walk.gap |= missing > 0;
        missing = 0;
        if !walk.takes(file, until)? {
            return Ok(walk);
        }
    }
    if until.is_some() {
        let (lowest, highest) = kept(path)?;
        // A listing may leave out what comes while it is made, between what was
        // there and what came later: names are asked for one by one.
        for number in (lowest..=highest).rev() {
            let Some(file) = open(Path::new(&with(path, &format!("kept.{number}"))))? else {
                walk.gap = true;
                continue;
            };
            if !walk.takes(file, until)? {
                break;
            }
        }
    }
    Ok(walk)
}

/// The lowest and the highest number of what the writer keeps; an empty range
/// if it keeps nothing.
fn kept(path: &Path) -> io::Result<(u64, u64)> {
    let (mut lowest, mut highest) = (1, 0);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((lowest, highest));
    };
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?.file_name();
        let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let number = rest.and_then(|rest| rest.strip_prefix(b".kept."));
        let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
        if let Some(number) = number {
            lowest = if highest == 0 { number } else { number.min(lowest) };
            highest = number.max(highest);
        }
    }
    Ok((lowest, highest))
}

fn with(path: &Path, suffix: &impl std::fmt::Display) -> OsString {
    let mut name = OsString::from(path);
    name.push(format!(".{suffix}"));
    name
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

//! Finding a time by what the writer has marked.

use spec::log::index::{HEAD, Mark, head, name};
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

/// Where in a log of the directory `dir`, which is `file`, the first line may
/// be that was written at `since` or later; 0 if nobody knows.
pub fn start(dir: &Path, file: &File, since: u64) -> io::Result<u64> {
    let found = file.metadata()?;
    let Some((index, marks)) = open(dir, found.ino())? else { return Ok(0) };
    // Ends and times only grow: how many marks are before `since`?
    let (mut low, mut high) = (0, marks);
    while low < high {
        let middle = low + (high - low) / 2;
        if mark(&index, middle)?.latest < since { low = middle + 1 } else { high = middle }
    }
    let Some(last) = low.checked_sub(1) else { return Ok(0) };
    let end = mark(&index, last)?.end;
    Ok(if end <= found.len() && may_begin(file, end)? { end } else { 0 })
}

/// The first mark behind a place, for who cannot read on there.
pub fn next(dir: &Path, file: &File, at: u64) -> io::Result<Option<u64>> {
    let found = file.metadata()?;
    let Some((index, marks)) = open(dir, found.ino())? else { return Ok(None) };
    for number in 0..marks {
        let end = mark(&index, number)?.end;
        if end > at && end <= found.len() {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// The index of the log with this inode, and how many marks it has; none if
/// there is no such.
fn open(dir: &Path, inode: u64) -> io::Result<Option<(File, u64)>> {
    let index = match File::open(dir.join(name(inode))) {
        Ok(index) => index,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = [0; HEAD.len()];
    let len = index.metadata()?.len();
    if len < HEAD.len() as u64 {
        return Ok(None);
    }
    index.read_exact_at(&mut found, 0)?;
    let marks = (len - HEAD.len() as u64) / Mark::SIZE as u64;
    Ok((found == head(inode)).then_some((index, marks)))
}

fn mark(index: &File, number: u64) -> io::Result<Mark> {
    let mut bytes = [0; Mark::SIZE];
    index.read_exact_at(&mut bytes, HEAD.len() as u64 + number * Mark::SIZE as u64)?;
    Ok(Mark::from_bytes(bytes))
}

/// Does what comes before this place look like the end of a line? An index
/// may be of a file that somebody has changed since.
fn may_begin(file: &File, at: u64) -> io::Result<bool> {
    if at == 0 {
        return Ok(true);
    }
    let mut last = [0; 4];
    if at < 4 || file.read_at(&mut last, at - 4)? < 4 {
        return Ok(false);
    }
    if last[3] == b'\n' {
        return Ok(true);
    }
    let len = u64::from(u32::from_be_bytes(last));
    let Some(start) = at.checked_sub(len + 8) else { return Ok(false) };
    let mut first = [0; 4];
    Ok(file.read_at(&mut first, start)? == 4 && first == last)
}

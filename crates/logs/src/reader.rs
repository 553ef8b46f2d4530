//! Going through all the files of a log.

use crate::{
    Entry, Options, Stop,
    follow::{self, Watch},
    lines::{self, Lines, Step},
};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Goes through the files. See the [crate's head](crate).
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    options: Options,
    /// Oldest first; the first is being read.
    files: VecDeque<Lines>,
    /// None if nobody follows.
    watch: Option<Watch>,
    stop: Arc<Stop>,
    garbage: u64,
    over: bool,
}

impl Reader {
    /// Opens the log whose current file is `path`.
    ///
    /// # Errors
    /// What the host said. A file that does not exist yet is an empty one.
    pub fn open(path: &Path, options: Options) -> io::Result<Self> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        // The watch before the files: what is written in between wakes it.
        let watch = if options.follow { Some(Watch::on(dir)?) } else { None };
        let mut files = VecDeque::new();
        let mut wanted = options.tail;
        for (file, inode) in chain(path, None)? {
            let start = match &mut wanted {
                None => 0,
                // Of the older files nothing is wanted; of the newest, the place.
                Some(0) if !files.is_empty() => break,
                Some(wanted) => {
                    let (start, found) = lines::tail(&file, *wanted)?;
                    *wanted -= found;
                    start
                }
            };
            files.push_front(Lines::from(file, inode, start));
        }
        if !options.follow
            && let Some(newest) = files.back_mut()
        {
            // Or a program that writes faster than we read would keep us here.
            newest.limit_to_now()?;
        }
        let stop = Arc::new(Stop::new()?);
        Ok(Self { path: path.into(), options, files, watch, stop, garbage: 0, over: false })
    }

    /// For another thread.
    pub fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }

    /// How many lines were passed over because they are none of a log: torn by
    /// a loss of power, or written by somebody else.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    fn advance(&mut self) -> io::Result<Option<Entry>> {
        while !self.stop.is_cancelled() {
            // Asked before the files are: what was written before is then read.
            let raised = self.stop.is_raised();
            let past = self.options.until.is_some_and(|until| follow::now() > until);
            if let Some(entry) = self.read()? {
                if self.options.until.is_some_and(|until| entry.time > until) {
                    return Ok(None);
                }
                if self.options.since.is_none_or(|since| entry.time >= since) {
                    return Ok(Some(entry));
                }
                continue;
            }
            match &self.watch {
                Some(watch) if !raised && !past => watch.wait(&self.stop, self.options.until)?,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The next line that is there.
    fn read(&mut self) -> io::Result<Option<Entry>> {
        let mut look_again = true;
        loop {
            if let Some(lines) = self.files.front_mut() {
                match lines.step()? {
                    Step::Entry(entry) => return Ok(Some(entry)),
                    Step::Garbage => {
                        self.garbage += 1;
                        continue;
                    }
                    Step::End => {}
                }
            }
            if self.files.len() > 1 {
                self.files.pop_front();
            } else if self.watch.is_none() || !look_again || !self.look_for_newer()? {
                return Ok(None);
            } else if self.files.len() == 1 {
                // Truncated, or found for the first time: once a round is enough.
                look_again = false;
            }
        }
    }

    /// Finds what a rotation has put after the file that was read to its end.
    /// That file is first read again: what was written to it before the
    /// rotation may have come after our last look.
    fn look_for_newer(&mut self) -> io::Result<bool> {
        let ours = self.files.front().map(|lines| lines.inode);
        let newer = chain(&self.path, ours)?;
        if newer.is_empty() {
            return self.files.front_mut().map_or(Ok(false), Lines::notice_truncation);
        }
        for (file, inode) in newer.into_iter().rev() {
            self.files.push_back(Lines::from(file, inode, 0));
        }
        Ok(true)
    }
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.advance().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The files that are newer than the one with the inode `until`, newest
/// first.
///
/// A rotation while they are opened shows as a file seen twice: where it was
/// seen last is its place, for others may have come before it meanwhile. (The
/// other order could miss one.)
fn chain(path: &Path, until: Option<u64>) -> io::Result<Vec<(File, u64)>> {
    let mut files: Vec<(File, u64)> = Vec::new();
    for number in 0.. {
        let mut name = OsString::from(path);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        let file = match File::open(&name) {
            Ok(file) => file,
            // While a rotation is under way there may be no current file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        if Some(inode) == until {
            break;
        }
        files.retain(|(_, seen)| *seen != inode);
        files.push((file, inode));
    }
    Ok(files)
}

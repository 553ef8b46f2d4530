//! Going through all the files of a log.

use crate::{
    Entry, Options, Stop,
    chain::chain,
    follow::{self, Watch},
    index,
    lines::{self, Lines, Opened, Step, Tail},
};
use std::{
    collections::VecDeque,
    io,
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
        for (age, opened) in chain(path, None)?.into_iter().enumerate() {
            // Of the older files nothing is wanted; of the newest, the place.
            if wanted == Some(0) && age > 0 {
                break;
            }
            if let Some(lines) = begin(opened, dir, &options, &mut wanted, age == 0)? {
                files.push_front(lines);
            }
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

    /// The next line, if it need not be waited for. None also at the end,
    /// which [`next`](Iterator::next) tells.
    pub fn at_hand(&mut self) -> Option<io::Result<Entry>> {
        if self.over {
            return None;
        }
        match self.advance(false) {
            Ok(Next::Later) => None,
            got => self.settle(got),
        }
    }

    fn settle(&mut self, got: io::Result<Next>) -> Option<io::Result<Entry>> {
        let next = match got {
            Ok(Next::Entry(entry)) => return Some(Ok(entry)),
            Ok(Next::Later | Next::Over) => None,
            Err(error) => Some(Err(error)),
        };
        self.over = true;
        next
    }

    fn advance(&mut self, wait: bool) -> io::Result<Next> {
        while !self.stop.is_cancelled() {
            // Asked before the files are: what was written before is then read.
            let raised = self.stop.is_raised();
            let past = self.options.until.is_some_and(|until| follow::now() > until);
            if let Some(entry) = self.read()? {
                if self.options.until.is_some_and(|until| entry.time > until) {
                    return Ok(Next::Over);
                }
                if self.options.since.is_none_or(|since| entry.time >= since) {
                    return Ok(Next::Entry(entry));
                }
                continue;
            }
            match &self.watch {
                Some(_) if !raised && !past && !wait => return Ok(Next::Later),
                Some(watch) if !raised && !past => watch.wait(&self.stop, self.options.until)?,
                _ => return Ok(Next::Over),
            }
        }
        Ok(Next::Over)
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
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        for opened in newer.into_iter().rev() {
            self.files.push_back(Lines::from(opened, dir.into(), 0));
        }
        Ok(true)
    }
}

/// What came of a look for the next line.
enum Next {
    Entry(Entry),
    /// It may come.
    Later,
    /// It will not.
    Over,
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let got = self.advance(true);
        self.settle(got)
    }
}

/// Where to begin in one of the files; none if nothing of it can be wanted.
fn begin(
    opened: Opened,
    dir: &Path,
    options: &Options,
    wanted: &mut Option<u64>,
    newest: bool,
) -> io::Result<Option<Lines>> {
    let mut place = Tail::At(0, 0);
    if let Some(wanted) = wanted {
        let found;
        (place, found) = lines::tail(&opened, dir, *wanted)?;
        *wanted -= found;
    }
    if let Some(since) = options.since {
        match (opened.packed, &mut place) {
            (Some(mark), _) if mark.latest < since => return Ok(None),
            (None, Tail::At(at, _)) => {
                *at = (*at).max(index::start(dir, &opened.file, since)?);
                if !newest && *at >= opened.file.metadata()?.len() {
                    return Ok(None);
                }
            }
            _ => {}
        }
    }
    Ok(Some(match place {
        Tail::At(at, _) => Lines::from(opened, dir.into(), at),
        Tail::Behind(count) => {
            let mut lines = Lines::from(opened, dir.into(), 0);
            lines.skip(count)?;
            lines
        }
    }))
}

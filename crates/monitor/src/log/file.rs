//! The file being written, and the older ones.
//!
//! `path` is current; when it is full it becomes `path.1`, which was before
//! `path.2`, and so on; a new current file has a new inode, so that a reader
//! that still has the old one open can finish it. Older ones may be
//! compressed, by a process of its own ([`press`](super::press)).
//!
//! A reader that follows holds a shared lock of the directory. As long as one
//! does, files that go are kept as `path.kept.N` for it, up to [`KEPT`] bytes:
//! it loses nothing though the program writes faster than it reads, and the
//! program never waits for it.

use super::{
    index::{self, Index},
    press::Press,
};
use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, fstat},
    io::Errno,
};
use spec::log::{File as Wish, Form};
use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The most that is kept for readers that follow and are behind.
const KEPT: u64 = 64 << 20;

/// The longest frame of a framed log: a line's piece and what is around it.
const FRAME: u64 = 32 << 10;

/// One container's files.
#[derive(Debug)]
pub struct File {
    wish: Wish,
    path: PathBuf,
    dir: OwnedFd,
    current: Current,
    /// Files that are kept for readers: number, size, inode. None as long as
    /// nobody has looked for those of an earlier run.
    kept: Option<VecDeque<(u64, u64, u64)>>,
    press: Press,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    fd: OwnedFd,
    size: u64,
    /// It has a size that can be cut back.
    regular: bool,
    /// None where there is none, or it could not be written.
    index: Option<Index>,
}

impl File {
    /// Opens the current file for more, or makes it.
    pub fn open(wish: &Wish, helper: &str) -> io::Result<Self> {
        let path = PathBuf::from(&wish.path);
        let above = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(above.unwrap_or(Path::new("/")), flags, Mode::empty())?;
        let current = Current::open(&path, dir.as_fd(), OFlags::empty(), wish.form)?;
        let mut file = Self {
            wish: wish.clone(),
            press: Press::new(&path, helper, wish.form),
            path,
            dir,
            current,
            kept: None,
        };
        if file.current.size > 0 {
            file.find_kept()?;
            file.mend()?;
            file.press_next();
        }
        Ok(file)
    }

    /// Would the current file be full with so many bytes more?
    pub fn is_full_with(&self, more: usize) -> bool {
        self.wish.max_bytes > 0 && self.current.size + more as u64 >= self.wish.max_bytes
    }

    /// Appends whole lines, all or nothing, the newest of them of `time`; a
    /// file that is full is rotated first.
    pub fn append(&mut self, lines: &[u8], time: u64) -> io::Result<()> {
        if self.is_full_with(0) {
            self.rotate()?;
        }
        self.current.append(self.dir.as_fd(), lines, time)
    }

    /// Goes to whatever is called `path` now.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.open_current(OFlags::empty())?;
        self.mend()
    }

    fn open_current(&mut self, extra: OFlags) -> io::Result<()> {
        self.current = Current::open(&self.path, self.dir.as_fd(), extra, self.wish.form)?;
        Ok(())
    }

    /// The process that compresses, while there is one, and its number.
    pub fn pressing(&self) -> Option<(u64, BorrowedFd<'_>)> {
        self.press.process()
    }

    /// It may have ended.
    pub fn pressed(&mut self) {
        match self.press.reap(&self.path) {
            Ok(true) => self.press_next(),
            Ok(false) => {}
            Err(error) => eprintln!("cannot compress a log: {error}"),
        }
    }

    /// No more is written, and nothing comes or goes here any more: the
    /// directory may be taken away.
    pub fn finish(&mut self) {
        self.press.give_up();
    }

    /// Compresses the oldest file that is not yet.
    fn press_next(&mut self) {
        if !self.wish.compress || self.press.process().is_some() {
            return;
        }
        for number in (1..self.wish.max_files).rev() {
            let name = older(&self.path, number);
            match self.press.begin(&name, number, self.dir.as_fd()) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return eprintln!("cannot compress {}: {error}", name.display()),
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.kept.is_none() {
            self.find_kept()?;
        }
        self.current.seal(self.dir.as_fd());
        let last = self.wish.max_files.max(1) - 1;
        self.press.moves(last);
        let followed = self.is_followed()?;
        if last == 0 {
            self.discard(&self.path.clone(), followed)?;
        } else {
            for name in [older(&self.path, last), packed(&older(&self.path, last))] {
                self.discard(&name, followed)?;
            }
            for number in (1..last).rev() {
                let (from, to) = (older(&self.path, number), older(&self.path, number + 1));
                gone_is_fine(rustix::fs::rename(packed(&from), packed(&to)))?;
                gone_is_fine(rustix::fs::rename(from, to))?;
            }
            gone_is_fine(rustix::fs::rename(&self.path, older(&self.path, 1)))?;
        }
        self.prune(followed)?;
        // A name that is back already is somebody's trap: do not follow it.
        self.open_current(OFlags::EXCL)?;
        self.press_next();
        Ok(())
    }

    /// A file's time has come: it goes, or is kept for who reads it still.
    fn discard(&mut self, name: &Path, followed: bool) -> io::Result<()> {
        let stat = match rustix::fs::lstat(name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if followed {
            let all = self.kept.get_or_insert_default();
            let next = all.back().map_or(1, |(number, ..)| number + 1);
            rustix::fs::rename(name, kept(&self.path, next))?;
            all.push_back((next, stat.st_size.cast_unsigned(), stat.st_ino));
            return Ok(());
        }
        gone_is_fine(rustix::fs::unlink(name))?;
        index::forget(self.dir.as_fd(), stat.st_ino);
        Ok(())
    }

    /// Takes away what nobody reads, or is too much to be kept.
    fn prune(&mut self, followed: bool) -> io::Result<()> {
        let all = self.kept.get_or_insert_default();
        let mut bytes: u64 = all.iter().map(|(_, size, _)| size).sum();
        while let Some((number, size, inode)) = all.front().copied()
            && (!followed || bytes > KEPT)
        {
            gone_is_fine(rustix::fs::unlink(kept(&self.path, number)))?;
            index::forget(self.dir.as_fd(), inode);
            all.pop_front();
            bytes -= size;
        }
        Ok(())
    }

    /// Does anybody follow? Readers hold the lock as long as they do.
    fn is_followed(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                rustix::fs::flock(&self.dir, FlockOperation::Unlock)?;
                Ok(false)
            }
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What an earlier run has kept.
    fn find_kept(&mut self) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            let rest = entry.file_name().to_bytes().strip_prefix(name);
            let number = rest.and_then(|rest| rest.strip_prefix(b".kept."));
            let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            if let Some(number) = number {
                let stat =
                    rustix::fs::statat(&self.dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                found.push((number, stat.st_size.cast_unsigned(), stat.st_ino));
            }
        }
        found.sort_unstable();
        let none = found.is_empty();
        self.kept = Some(found.into());
        if none {
            return Ok(());
        }
        let followed = self.is_followed()?;
        self.prune(followed)
    }

    /// Sees to a last line that a crash or a loss of power has torn.
    fn mend(&mut self) -> io::Result<()> {
        let (current, dir) = (&mut self.current, self.dir.as_fd());
        if current.size == 0 || !current.regular {
            return Ok(());
        }
        if self.wish.form == Form::Json {
            let mut last = [0];
            rustix::io::pread(&current.fd, &mut last, current.size - 1)?;
            return if last == *b"\n" { Ok(()) } else { current.append(dir, b"\n", 0) };
        }
        if current.ends_whole()? {
            return Ok(());
        }
        eprintln!("the log's last line is torn");
        if self.wish.max_files > 1 {
            // Nothing of it is lost: readers take what is whole.
            return self.rotate();
        }
        let whole = current.whole()?;
        rustix::fs::ftruncate(&current.fd, whole)?;
        self.open_current(OFlags::empty())
    }
}

impl Current {
    /// Opens or makes a file.
    fn open(path: &Path, dir: BorrowedFd<'_>, extra: OFlags, form: Form) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | extra;
        let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?;
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Self { fd, size: 0, regular: false, index: None });
        }
        let size = stat.st_size.cast_unsigned();
        let index = Index::open(dir, stat.st_ino, size, form)
            .inspect_err(|error| eprintln!("the log has no index: {error}"))
            .ok();
        Ok(Self { fd, size, regular: true, index })
    }

    fn append(&mut self, dir: BorrowedFd<'_>, lines: &[u8], time: u64) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            match rustix::io::write(&self.fd, rest) {
                Ok(len) => rest = &rest[len..],
                Err(Errno::INTR) => {}
                Err(errno) => {
                    if rest.len() < lines.len() && self.regular {
                        // No half line may stay, or the next would be spoilt too.
                        rustix::fs::ftruncate(&self.fd, self.size)?;
                    }
                    return Err(errno.into());
                }
            }
        }
        self.size += lines.len() as u64;
        self.note(dir, |index, files, size| index.note(files, size, time));
        Ok(())
    }

    fn seal(&mut self, dir: BorrowedFd<'_>) {
        self.note(dir, |index, files, size| index.end(files, size).map(drop));
    }

    /// An index that cannot be written is no reason to lose a line.
    fn note(
        &mut self,
        dir: BorrowedFd<'_>,
        note: impl FnOnce(&mut Index, index::Files<'_>, u64) -> io::Result<()>,
    ) {
        let Some(index) = &mut self.index else { return };
        let files = index::Files { dir, log: self.fd.as_fd() };
        if let Err(error) = note(index, files, self.size) {
            eprintln!("the index of the log ends here: {error}");
            self.index = None;
        }
    }

    /// Ends the last frame with its length?
    fn ends_whole(&self) -> io::Result<bool> {
        let len = |at: u64| self.length(at);
        let Some(end) = self.size.checked_sub(4) else { return Ok(false) };
        let Some(last) = len(end)? else { return Ok(false) };
        let Some(start) = end.checked_sub(last + 4) else { return Ok(false) };
        Ok(len(start)? == Some(last))
    }

    /// How far whole frames go.
    fn whole(&self) -> io::Result<u64> {
        let mut at = self.index.as_ref().map_or(0, Index::covers);
        if at > 0 && self.length(at)?.is_none() {
            at = 0;
        }
        while let Some(len) = self.length(at)?
            && self.length(at + 4 + len)? == Some(len)
        {
            at += len + 8;
        }
        Ok(at)
    }

    /// The length at this place, if it can be one.
    fn length(&self, at: u64) -> io::Result<Option<u64>> {
        let mut bytes = [0; 4];
        let got = rustix::io::pread(&self.fd, &mut bytes, at)?;
        let len = u64::from(u32::from_be_bytes(bytes));
        Ok((got == 4 && len > 0 && len <= FRAME).then_some(len))
    }
}

/// `path.N`.
fn older(path: &Path, number: u32) -> PathBuf {
    with(path, &format!(".{number}"))
}

/// The same, compressed.
pub fn packed(name: &Path) -> PathBuf {
    with(name, ".gz")
}

fn kept(path: &Path, number: u64) -> PathBuf {
    with(path, &format!(".kept.{number}"))
}

pub fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub fn gone_is_fine(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Err(Errno::NOENT) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

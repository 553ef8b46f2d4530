//! Compressing a file that is written no more: `PROGRAM press`, from its
//! standard input to its standard output, one at a time.
//!
//! ```text
//! path.N ──▶ the process ──▶ path.press ──▶ path.N.gz, and path.N goes
//! ```
//!
//! Rotations go on meanwhile: the file's number grows, and if it goes, so does
//! the process. One that was interrupted is begun anew with the next run.

use super::{
    child::{self, Child},
    file::{gone_is_fine, packed, with},
    index,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use spec::log::Form;
use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// What compresses.
#[derive(Debug)]
pub struct Press {
    helper: String,
    form: Form,
    /// What is being made.
    target: PathBuf,
    /// How many there have been.
    begun: u64,
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    child: Child,
    number: u32,
    inode: u64,
    dir: OwnedFd,
}

impl Press {
    /// At rest.
    pub fn new(path: &Path, helper: &str, form: Form) -> Self {
        let (helper, target) = (helper.to_owned(), with(path, ".press"));
        Self { helper, form, target, begun: 0, work: None }
    }

    /// The process, while there is one, and its number.
    pub fn process(&self) -> Option<(u64, BorrowedFd<'_>)> {
        self.work.as_ref().map(|work| (self.begun, work.child.pidfd.as_fd()))
    }

    /// Begins with `path.number`, called `name`; false if there is none.
    pub fn begin(&mut self, name: &Path, number: u32, dir: BorrowedFd<'_>) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = match rustix::fs::open(name, flags, Mode::empty()) {
            Ok(from) => from,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        gone_is_fine(rustix::fs::unlink(&self.target))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let to = rustix::fs::open(&self.target, flags, Mode::from_raw_mode(0o640))?;
        let stat = rustix::fs::fstat(&from)?;
        let inode = stat.st_ino;
        let files = index::Files { dir, log: from.as_fd() };
        let latest = latest(files, self.form, &stat);
        let words = ["press".into(), inode.to_string(), latest.to_string()];
        let child = child::exec(&self.helper, &words.map(word), [from.as_fd(), to.as_fd()])?;
        self.begun += 1;
        self.work = Some(Work { child, number, inode, dir: dir.try_clone_to_owned()? });
        Ok(true)
    }

    /// A rotation: the file has the next number, or goes if that is beyond
    /// `last`.
    pub fn moves(&mut self, last: u32) {
        let Some(work) = &mut self.work else { return };
        work.number += 1;
        if work.number > last {
            self.give_up();
        }
    }

    /// Takes the result, if it has ended; true if it is at rest then.
    pub fn reap(&mut self, path: &Path) -> io::Result<bool> {
        let Some(work) = &self.work else { return Ok(false) };
        let Some(code) = work.child.reap()? else { return Ok(false) };
        let Some(work) = self.work.take() else { return Ok(false) };
        if code != 0 {
            gone_is_fine(rustix::fs::unlink(&self.target))?;
            // It would fail again, and its file can be read as it is.
            return Err(io::Error::other(format!("{} ended with {code}", self.helper)));
        }
        let name = with(path, &format!(".{}", work.number));
        rustix::fs::rename(&self.target, packed(&name))?;
        gone_is_fine(rustix::fs::unlink(&name))?;
        index::forget(work.dir.as_fd(), work.inode);
        Ok(true)
    }

    /// Ends what is under way: it is begun anew with the next run.
    pub fn give_up(&mut self) {
        if let Some(work) = self.work.take() {
            work.child.kill();
            if let Err(error) = gone_is_fine(rustix::fs::unlink(&self.target)) {
                eprintln!("cannot remove {}: {error}", self.target.display());
            }
        }
    }
}

impl Drop for Press {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The latest time of a file, by its index. A reader passes over no file of
/// which nobody knows it.
fn latest(files: index::Files<'_>, form: Form, stat: &rustix::fs::Stat) -> u64 {
    let size = stat.st_size.cast_unsigned();
    let known = index::Index::open(files.dir, stat.st_ino, size, form)
        .and_then(|mut index| index.latest(files));
    known.unwrap_or_else(|error| {
        eprintln!("a compressed log has no latest time: {error}");
        u64::MAX
    })
}

fn word(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

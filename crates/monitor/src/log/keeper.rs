//! What writes the files: lines are gathered, and written once a turn.
//!
//! A log that cannot be written (a full disk) never stops the program: what
//! does not fit is dropped whole line by whole line, counted, and said once on
//! standard error.

use super::{Source, file::File, framed, json::Spelling, split::Piece};
use spec::log::{self, Form};
use std::{io, os::fd::BorrowedFd};

/// Beyond so many gathered bytes it flushes by itself.
const GATHER: usize = 128 << 10;

/// A log that is being written.
#[derive(Debug)]
pub struct Keeper {
    file: File,
    form: Form,
    attrs: String,
    gathered: Vec<u8>,
    /// Lines in `gathered`, and the newest time of any.
    lines: u64,
    newest: u64,
    /// Lines that could not be written since it was last said.
    lost: u64,
    /// And ever.
    pub dropped: u64,
}

impl Keeper {
    /// Opens or makes the current file.
    ///
    /// # Errors
    /// What the host said.
    pub fn open(wish: &log::File, helper: &str) -> io::Result<Self> {
        Ok(Self {
            file: File::open(wish, helper)?,
            form: wish.form,
            attrs: wish.attrs.clone(),
            gathered: Vec::new(),
            lines: 0,
            newest: 0,
            lost: 0,
            dropped: 0,
        })
    }

    /// Takes the lines of what was written to `source` at `now`: whatever
    /// `lines` gives out.
    pub fn take(
        &mut self,
        source: Source,
        now: u64,
        lines: impl FnOnce(&mut dyn FnMut(&Piece<'_>)),
    ) {
        let attrs = std::mem::take(&mut self.attrs);
        match self.form {
            Form::Json => {
                let spelling = Spelling::at(source, now, &attrs);
                lines(&mut |piece| self.gather(now, |out| spelling.spell(out, piece)));
            }
            Form::Framed => {
                lines(&mut |piece| self.gather(now, |out| framed::spell(out, source, now, piece)));
            }
        }
        self.attrs = attrs;
    }

    fn gather(&mut self, now: u64, spell: impl FnOnce(&mut Vec<u8>)) {
        // As Docker does: a file is full once it has reached its size, so it
        // exceeds that by a part of its last line.
        if self.gathered.len() >= GATHER || self.file.is_full_with(self.gathered.len()) {
            self.flush();
        }
        spell(&mut self.gathered);
        self.lines += 1;
        self.newest = self.newest.max(now);
    }

    /// Writes what was gathered, and rotates a file that is full by then.
    pub fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        match self.file.append(&self.gathered, self.newest) {
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
                self.dropped += self.lines;
            }
        }
        self.gathered.clear();
        (self.lines, self.newest) = (0, 0);
    }

    /// Somebody took the file away or truncated it.
    ///
    /// # Errors
    /// What the host said; the old file is written on.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        self.file.reopen()
    }

    /// Gives back the memory that a busy time took.
    pub fn rest(&mut self) {
        self.flush();
        self.gathered = Vec::new();
    }

    /// No more comes.
    pub fn finish(&mut self) {
        self.flush();
        self.file.finish();
    }

    /// The process that compresses, while there is one, and its number.
    pub fn pressing(&self) -> Option<(u64, BorrowedFd<'_>)> {
        self.file.pressing()
    }

    /// It may have ended.
    pub fn pressed(&mut self) {
        self.file.pressed();
    }
}

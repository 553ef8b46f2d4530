//! One open log file, line by line, forwards from any place.

use crate::{
    Entry,
    framed::{self, Found},
    index, json,
};
use flate2::read::MultiGzDecoder;
use spec::log::{
    Form,
    index::{Mark, from_extra},
    newline,
};
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
};

/// Read at once.
const BLOCK: usize = 64 << 10;

/// No line that Docker or the monitor writes comes near it.
const LONGEST: usize = 1 << 20;

/// What a compressed file begins with. Source: RFC 1952.
const GZIP: [u8; 4] = [0x1f, 0x8b, 8, 4];

/// What the next step through a file gave.
#[derive(Debug)]
pub enum Step {
    /// A line.
    Entry(Entry),
    /// Something that is no line of a log.
    Garbage,
    /// Nothing more, for now.
    End,
}

/// An open log file: which, and what was said of it when it was compressed.
#[derive(Debug)]
pub struct Opened {
    pub file: File,
    /// The one that it has, or had before it was compressed.
    pub inode: u64,
    pub packed: Option<Mark>,
}

impl Opened {
    pub fn of(mut file: File) -> io::Result<Self> {
        // Its length, flags, and the extra field behind ten bytes of them.
        let mut head = [0; 12 + 28];
        let got = read_at(&file, &mut head, 0)?;
        let extra = Some(&head[12..]).filter(|_| got == head.len() && head[..4] == GZIP);
        if let Some((inode, mark)) = extra.and_then(from_extra) {
            file.rewind()?;
            return Ok(Self { file, inode, packed: Some(mark) });
        }
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode, packed: None })
    }
}

/// A place in an open file.
#[derive(Debug)]
pub struct Lines {
    pub inode: u64,
    source: Source,
    /// Of its directory, for its index.
    dir: PathBuf,
    /// None until there is something to tell by.
    form: Option<Form>,
    /// Where the buffer begins in the file.
    at: u64,
    buffer: Vec<u8>,
    /// What of the buffer has been given out.
    given: usize,
    /// What of the buffer is known to hold no newline.
    searched: usize,
    /// Read no further than this.
    limit: u64,
}

/// Where bytes come from.
enum Source {
    Plain(File),
    Packed(Box<MultiGzDecoder<File>>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Plain(_)) { "plain" } else { "packed" })
    }
}

impl Lines {
    /// From `at`, which is to be the beginning of a line, and the file's own
    /// if it is compressed.
    pub fn from(opened: Opened, dir: PathBuf, at: u64) -> Self {
        let source = match opened.packed {
            None => Source::Plain(opened.file),
            Some(_) => Source::Packed(Box::new(MultiGzDecoder::new(opened.file))),
        };
        Self {
            inode: opened.inode,
            source,
            dir,
            form: None,
            at,
            buffer: Vec::new(),
            given: 0,
            searched: 0,
            limit: u64::MAX,
        }
    }

    /// Ends at the size that the file has now.
    pub fn limit_to_now(&mut self) -> io::Result<()> {
        if let Source::Plain(file) = &self.source {
            self.limit = file.metadata()?.len();
        }
        Ok(())
    }

    /// Starts again from the beginning if the file has become shorter than
    /// what was read of it.
    pub fn notice_truncation(&mut self) -> io::Result<bool> {
        let Source::Plain(file) = &self.source else { return Ok(false) };
        let truncated = file.metadata()?.len() < self.at + self.buffer.len() as u64;
        if truncated {
            (self.at, self.given, self.searched) = (0, 0, 0);
            self.buffer.clear();
        }
        Ok(truncated)
    }

    /// Passes over so many lines.
    pub fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            match self.step()? {
                Step::Entry(_) => count -= 1,
                Step::Garbage => {}
                Step::End => break,
            }
        }
        Ok(())
    }

    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.form.is_none() {
                // A length of less than 16 MiB begins with a zero.
                let form = |byte: &u8| if *byte == 0 { Form::Framed } else { Form::Json };
                self.form = self.buffer.get(self.given).map(form);
            }
            let found = match self.form {
                Some(Form::Json) => self.line(),
                Some(Form::Framed) => self.frame()?,
                None => None,
            };
            if let Some(step) = found {
                return Ok(step);
            }
            if !self.fill()? {
                return Ok(Step::End);
            }
        }
    }

    fn line(&mut self) -> Option<Step> {
        let Some(len) = newline(&self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.given..self.searched + len;
        self.given = line.end + 1;
        self.searched = self.given;
        Some(json::parse(&self.buffer[line]).map_or(Step::Garbage, Step::Entry))
    }

    fn frame(&mut self) -> io::Result<Option<Step>> {
        match framed::look(&self.buffer[self.given..]) {
            Found::Frame(len, entry) => {
                self.given += len;
                self.searched = self.given;
                Ok(Some(Step::Entry(entry)))
            }
            Found::More => Ok(None),
            Found::Nothing => {
                self.pass_over()?;
                Ok(Some(Step::Garbage))
            }
        }
    }

    /// Goes on behind a damage: where the index knows a line to begin, or at
    /// the end.
    fn pass_over(&mut self) -> io::Result<()> {
        let at = self.at + self.given as u64;
        let next = match &self.source {
            Source::Plain(file) => {
                let end = file.metadata()?.len().min(self.limit);
                index::next(&self.dir, file, at)?.unwrap_or(end)
            }
            Source::Packed(_) => {
                while self.fill()? {
                    self.given = self.buffer.len();
                }
                at
            }
        };
        (self.at, self.given, self.searched) = (next, 0, 0);
        self.buffer.clear();
        Ok(())
    }

    /// False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.given);
        self.at += self.given as u64;
        (self.searched, self.given) = (self.searched - self.given, 0);
        if self.buffer.len() > LONGEST + BLOCK && self.form == Some(Form::Json) {
            // Keep a byte, so that what follows is not taken for a line.
            self.at += self.buffer.len() as u64 - 1;
            self.buffer.drain(..self.buffer.len() - 1);
            self.searched = 1;
        }
        let (old, end) = (self.buffer.len(), self.at + self.buffer.len() as u64);
        let most = usize::try_from(self.limit.saturating_sub(end)).unwrap_or(usize::MAX);
        self.buffer.resize(old + BLOCK.min(most), 0);
        let got = match &mut self.source {
            Source::Plain(file) => read_at(file, &mut self.buffer[old..], end),
            // One that is cut short has what it has.
            Source::Packed(decoder) => match decoder.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                got => got,
            },
        };
        self.buffer.truncate(old + *got.as_ref().unwrap_or(&0));
        Ok(got? > 0)
    }
}

fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            got => return got,
        }
    }
}

/// Where the last lines of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// From this place on there are so many.
    At(u64, u64),
    /// Behind the first so many.
    Behind(u64),
}

/// Finds the last `count` lines of a file, or all that it has.
pub fn tail(opened: &Opened, dir: &std::path::Path, count: u64) -> io::Result<(Tail, u64)> {
    let mut first = [0];
    let framed = read_at(&opened.file, &mut first, 0)? == 1 && first == [0];
    if opened.packed.is_none() {
        let found =
            if framed { frames(&opened.file, count)? } else { Some(ends(&opened.file, count)?) };
        if let Some((at, found)) = found {
            return Ok((Tail::At(at, found), found));
        }
    }
    // Compressed, or damaged: to be counted from its beginning.
    let file = opened.file.try_clone()?;
    let again = Opened { file, inode: opened.inode, packed: opened.packed };
    let mut lines = Lines::from(again, dir.into(), 0);
    lines.limit_to_now()?;
    let mut all = 0;
    loop {
        match lines.step()? {
            Step::Entry(_) => all += 1,
            Step::Garbage => {}
            Step::End => break,
        }
    }
    (&opened.file).rewind()?;
    let found = all.min(count);
    Ok((Tail::Behind(all - found), found))
}

/// Where the last `count` lines begin, and how many of them there are.
fn ends(file: &File, count: u64) -> io::Result<(u64, u64)> {
    let mut block = vec![0; BLOCK];
    let mut at = file.metadata()?.len();
    // A last line without its newline is being written: it is none yet.
    let mut newlines = 0;
    while at > 0 {
        let len = at.min(BLOCK as u64);
        at -= len;
        let len = usize::try_from(len).unwrap_or(BLOCK);
        let got = read_at(file, &mut block[..len], at)?;
        for (i, byte) in block[..got].iter().enumerate().rev() {
            if *byte == b'\n' {
                if newlines == count {
                    return Ok((at + i as u64 + 1, count));
                }
                newlines += 1;
            }
        }
    }
    Ok((0, newlines))
}

/// The same of frames, by the lengths that end them; none where they do not
/// fit together.
fn frames(file: &File, count: u64) -> io::Result<Option<(u64, u64)>> {
    let length = |at: u64| -> io::Result<Option<u64>> {
        let mut len = [0; 4];
        let got = read_at(file, &mut len, at)?;
        Ok((got == 4).then_some(u64::from(u32::from_be_bytes(len))))
    };
    let (mut at, mut found) = (file.metadata()?.len(), 0);
    while at > 0 && found < count {
        let Some(end) = at.checked_sub(4) else { return Ok(None) };
        let Some(len) = length(end)? else { return Ok(None) };
        let Some(start) = end.checked_sub(len + 4) else { return Ok(None) };
        if len == 0 || length(start)? != Some(len) {
            return Ok(None);
        }
        at = start;
        found += 1;
    }
    Ok(Some((at, found)))
}

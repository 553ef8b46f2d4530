//! One open log file, line by line, forwards from any place.

use crate::{Entry, Stream};
use serde::Deserialize;
use spec::stamp;
use std::{borrow::Cow, fs::File, io, os::unix::fs::FileExt};

/// Read at once.
const BLOCK: usize = 64 << 10;

/// No line that Docker or the monitor writes comes near it.
const LONGEST: usize = 1 << 20;

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

/// A place in an open file.
#[derive(Debug)]
pub struct Lines {
    pub file: File,
    pub inode: u64,
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

impl Lines {
    /// From `at`, which is to be the beginning of a line.
    pub fn from(file: File, inode: u64, at: u64) -> Self {
        Self { file, inode, at, buffer: Vec::new(), given: 0, searched: 0, limit: u64::MAX }
    }

    /// Ends at the size that the file has now.
    pub fn limit_to_now(&mut self) -> io::Result<()> {
        self.limit = self.file.metadata()?.len();
        Ok(())
    }

    /// Starts again from the beginning if the file has become shorter than
    /// what was read of it.
    pub fn notice_truncation(&mut self) -> io::Result<bool> {
        let truncated = self.file.metadata()?.len() < self.at + self.buffer.len() as u64;
        if truncated {
            (self.at, self.given, self.searched) = (0, 0, 0);
            self.buffer.clear();
        }
        Ok(truncated)
    }

    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            let newline = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
            if let Some(len) = newline {
                let line = self.given..self.searched + len;
                self.given = line.end + 1;
                self.searched = self.given;
                return Ok(parse(&self.buffer[line]).map_or(Step::Garbage, Step::Entry));
            }
            self.searched = self.buffer.len();
            if !self.fill()? {
                return Ok(Step::End);
            }
        }
    }

    /// False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.given);
        self.at += self.given as u64;
        (self.searched, self.given) = (self.searched - self.given, 0);
        if self.buffer.len() > LONGEST {
            // Keep a byte, so that what follows is not taken for a line.
            self.at += self.buffer.len() as u64 - 1;
            self.buffer.drain(..self.buffer.len() - 1);
            self.searched = 1;
        }
        let (old, end) = (self.buffer.len(), self.at + self.buffer.len() as u64);
        let most = usize::try_from(self.limit.saturating_sub(end)).unwrap_or(usize::MAX);
        self.buffer.resize(old + BLOCK.min(most), 0);
        let got = read_at(&self.file, &mut self.buffer[old..], end);
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

/// Where the last `count` lines of a file begin, and how many of them it
/// has.
pub fn tail(file: &File, count: u64) -> io::Result<(u64, u64)> {
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

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

fn parse(line: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = match &*line.stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    Some(Entry { stream, time: stamp::parse(&line.time)?, line: line.log.into_owned() })
}

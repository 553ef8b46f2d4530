//! Reads a tar archive as a stream.
//!
//! Understands ustar, PAX, and GNU's long names and sparse files. Everything
//! in it is hostile until shown otherwise: no header, name or map makes us
//! keep more in memory than [`Limits`] says, and what two readers could
//! understand in two ways is refused. (The iterator of the `tar` crate reads
//! long names and PAX headers of any length into memory, hence this one; the
//! layout of a header is that crate's.)
//!
//! What is not a file's content (headers, padding, the end) is handed to a
//! [`Recipe`], from which the same bytes can be written again.

use crate::{
    Error, Limits,
    entry::{Entry, EntryKind},
    pax::{self, Extensions},
    recipe::Recipe,
    sparse,
};
use std::io::BufRead;
use tar::Header;

pub(crate) const BLOCK: usize = 512;
/// Bytes that a source had better give at a time.
pub const BUFFER: usize = 256 << 10;

/// A tar archive that is being read.
pub struct Reader<'a> {
    from: &'a mut dyn BufRead,
    /// What of the source's buffer is ours and not yet used; it is given back
    /// whole.
    start: usize,
    end: usize,
    limits: Limits,
    /// Entries so far.
    entries: u64,
    /// Bytes of files so far, holes counted.
    bytes: u64,
    /// Stored bytes of the current entry that nobody took yet.
    left: u64,
    /// Padding after them.
    padding: u64,
    recipe: Recipe<'a>,
}

impl<'a> Reader<'a> {
    /// Begins to read.
    pub fn new(from: &'a mut dyn BufRead, limits: Limits, recipe: Recipe<'a>) -> Self {
        Self { from, start: 0, end: 0, limits, entries: 0, bytes: 0, left: 0, padding: 0, recipe }
    }

    /// The next member; none at the end of the archive, when all that follows
    /// it has been read too.
    ///
    /// # Errors
    /// A malformed archive, one beyond the limits, or a source that fails.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.skip()?;
        let mut extensions = Extensions::default();
        loop {
            let Some(block) = self.header_block()? else {
                if extensions == Extensions::default() {
                    return Ok(None);
                }
                return Err(malformed("it ends after an extended header"));
            };
            let header = Header::from_byte_slice(&block);
            check_sum(&block)?;
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(Error::TooMuch { limit: self.limits.entries, of: "entries".into() });
            }
            match block[156] {
                b'L' => extensions.path = Some(self.long_name(header)?),
                b'K' => extensions.link = Some(self.long_name(header)?),
                b'x' => {
                    let text = self.extended(header)?;
                    pax::read(&text, &mut extensions)?;
                }
                // As Docker: what it says of all that follows is not heard.
                b'g' => drop(self.extended(header)?),
                _ => return self.entry(header, extensions).map(Some),
            }
        }
    }

    /// The next piece of the current entry's stored bytes; empty at the end.
    ///
    /// # Errors
    /// An archive that ends here, or a source that fails.
    pub fn chunk(&mut self) -> Result<&[u8], Error> {
        if self.left == 0 {
            return Ok(&[]);
        }
        if self.start == self.end && !self.fill()? {
            return Err(malformed("it ends within a file"));
        }
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.end - self.start);
        self.left -= len as u64;
        self.take(len)
    }

    /// Copies some of the current entry's stored bytes; 0 at the end.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.left == 0 || into.is_empty() {
            return Ok(0);
        }
        if self.start == self.end && !self.fill()? {
            return Err(malformed("it ends within a file"));
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let len = left.min(self.end - self.start).min(into.len());
        into[..len].copy_from_slice(self.take(len)?);
        self.left -= len as u64;
        Ok(len)
    }

    /// Says where the current entry's stored bytes were put, so that they
    /// need not be kept a second time; without it, they are.
    pub(crate) fn kept_at(&mut self, path: &[u8], entry: &Entry) -> Result<(), Error> {
        match &entry.sparse {
            Some(map) => map.iter().try_for_each(|(at, len)| self.recipe.file(path, *at, *len)),
            None => self.recipe.file(path, 0, entry.size),
        }
    }

    /// Says that what was kept at `path` has moved to a spare place.
    pub(crate) fn moved(&mut self, path: &[u8], spare: u64) -> Result<(), Error> {
        self.recipe.moved(path, spare)
    }

    /// Entries and bytes so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.entries, self.bytes)
    }

    /// Ends the recipe; call after the last entry.
    ///
    /// # Errors
    /// Whoever takes the recipe failed.
    pub fn finish(self) -> Result<(), Error> {
        self.recipe.finish()
    }

    /// Reads over what nobody took of the current entry, keeping it in the
    /// recipe, and its padding.
    fn skip(&mut self) -> Result<(), Error> {
        while self.left > 0 {
            if self.start == self.end && !self.fill()? {
                return Err(malformed("it ends within a file"));
            }
            let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.end - self.start);
            self.note(len)?;
            self.left -= len as u64;
        }
        // An archive may end here, as Go's reader has it: Docker's CLI sends
        // contexts without the last padding.
        while self.padding > 0 && (self.start < self.end || self.fill()?) {
            let padding = usize::try_from(self.padding).expect("below a block");
            let len = padding.min(self.end - self.start);
            self.note(len)?;
            self.padding -= len as u64;
        }
        self.padding = 0;
        Ok(())
    }

    /// A header that is not the end of the archive. Reads the rest at the end.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let mut block = [0; BLOCK];
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        self.exactly(&mut block, "within a header")?;
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        if self.start < self.end || self.fill()? {
            self.exactly(&mut block, "within its end")?;
            if block != [0; BLOCK] {
                return Err(malformed("it has a lone block of zeros"));
            }
        }
        while self.start < self.end || self.fill()? {
            self.note(self.end - self.start)?;
        }
        Ok(None)
    }

    /// The content of an extension's member.
    fn extended(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let size = pax::number(&header.as_old().size)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| malformed("an extended header has no size"))?;
        if size > self.limits.header {
            return Err(Error::TooMuch {
                limit: self.limits.header,
                of: "bytes in a header".into(),
            });
        }
        let mut text = vec![0; usize::try_from(size).expect("within the limit")];
        self.exactly(&mut text, "within an extended header")?;
        self.padding = padding(size);
        self.skip()?;
        Ok(text)
    }

    fn long_name(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let mut text = self.extended(header)?;
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn entry(&mut self, header: &Header, mut more: Extensions) -> Result<Entry, Error> {
        let old = header.as_old();
        let path = more.sparse.name.take().or(more.path.take());
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = || String::from_utf8_lossy(&path).into_owned();
        let refuse = |reason: &str| Error::Refused { entry: name(), reason: reason.into() };
        let link = more.link.take();
        let link = link.unwrap_or_else(|| terminated(&old.linkname).to_vec());
        for text in [&path, &link] {
            if text.len() > self.limits.name {
                return Err(refuse("its name is too long"));
            }
            if text.contains(&0) {
                return Err(refuse("its name holds a zero byte"));
            }
        }
        let kind = match header.as_bytes()[156] {
            b'0' | 0 if path.ends_with(b"/") => EntryKind::Dir,
            b'0' | b'7' | b'S' | 0 => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Char,
            b'4' => EntryKind::Block,
            b'5' => EntryKind::Dir,
            b'6' => EntryKind::Fifo,
            other => {
                return Err(refuse(&format!("it is of a kind ({other}) that is not carried")));
            }
        };
        let field = |bytes: &[u8], what: &str| {
            pax::number(bytes).ok_or_else(|| refuse(&format!("its {what} is no number")))
        };
        let id = |given: Option<i64>, bytes: &[u8], what: &str| {
            let id = given.map_or_else(|| field(bytes, what), Ok)?;
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| refuse(&format!("its {what} {id} does not fit 32 bits")))
        };
        let size = match more.size {
            Some(size) => size,
            None => u64::try_from(field(&old.size, "size")?)
                .map_err(|_| refuse("its size is negative"))?,
        };
        let mtime = match more.mtime {
            Some(mtime) => mtime,
            None => (field(&old.mtime, "modification time")?, 0),
        };
        let mut entry = Entry {
            kind,
            mode: u32::try_from(field(&old.mode, "mode")? & 0o7777).expect("twelve bits"),
            uid: id(more.uid, &old.uid, "owner")?,
            gid: id(more.gid, &old.gid, "group")?,
            mtime,
            size,
            stored: size,
            device: (0, 0),
            xattrs: std::mem::take(&mut more.xattrs),
            sparse: None,
            link,
            path: Vec::new(),
        };
        if matches!(kind, EntryKind::Char | EntryKind::Block) {
            let bytes = header.as_bytes();
            let part = |bytes: &[u8]| {
                u32::try_from(field(bytes, "device number")?)
                    .map_err(|_| refuse("its device number does not fit 32 bits"))
            };
            entry.device = (part(&bytes[329..337])?, part(&bytes[337..345])?);
        }
        let total: usize = entry.xattrs.iter().map(|(key, value)| key.len() + value.len()).sum();
        if total > self.limits.xattrs {
            return Err(refuse("its extended attributes are too long"));
        }
        entry.path = path;
        self.begin(header, entry, &more)
    }

    /// Sets the stream to the entry's stored bytes, behind any sparse map.
    fn begin(
        &mut self,
        header: &Header,
        mut entry: Entry,
        more: &Extensions,
    ) -> Result<Entry, Error> {
        if entry.kind != EntryKind::File {
            // As POSIX: no content, whatever the size says.
            (entry.size, entry.stored) = (0, 0);
            return Ok(entry);
        }
        let whole = entry.stored;
        self.padding = padding(whole);
        let name = entry.name();
        let refuse = |reason: &str| Error::Refused { entry: name.clone(), reason: reason.into() };
        let map = if header.as_bytes()[156] == b'S' {
            let gnu =
                header.as_gnu().ok_or_else(|| refuse("it is sparse, yet not in GNU's format"))?;
            let mut blocks = vec![gnu.as_header().as_bytes()[386..482].to_vec()];
            let mut extended = gnu.isextended[0] != 0;
            let real = pax::number(&gnu.realsize);
            while extended {
                let mut block = [0; BLOCK];
                self.exactly(&mut block, "within a sparse map")?;
                blocks.push(block[..504].to_vec());
                extended = block[504] != 0;
                if (blocks.len() * BLOCK) as u64 > self.limits.header {
                    return Err(refuse("its sparse map is too long"));
                }
            }
            Some((sparse::from_blocks(&blocks), real))
        } else if more.sparse.in_data {
            let (map, taken) = self.sparse_map_in_data(whole)?;
            entry.stored = whole
                .checked_sub(taken)
                .ok_or_else(|| malformed("a sparse map is longer than its file"))?;
            Some((Some(map), more.sparse.real))
        } else if more.sparse.map.is_empty() && more.sparse.real.is_none() {
            None
        } else {
            Some((sparse::pairs(&more.sparse.map), more.sparse.real))
        };
        if let Some((map, real)) = map {
            let real = real.and_then(|real| u64::try_from(real).ok());
            let (Some(map), Some(real)) = (map, real) else {
                return Err(refuse("its sparse map is malformed"));
            };
            sparse::check(&map, real, entry.stored).map_err(refuse)?;
            entry.size = real;
            entry.sparse = Some(map);
        }
        self.left = entry.stored;
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > self.limits.bytes {
            return Err(Error::TooMuch { limit: self.limits.bytes, of: "bytes".into() });
        }
        Ok(entry)
    }

    /// PAX 1.0: decimal numbers before the content, up to a full block.
    fn sparse_map_in_data(&mut self, whole: u64) -> Result<(Vec<(u64, u64)>, u64), Error> {
        let mut text = Vec::new();
        loop {
            if text.len() as u64 + BLOCK as u64 > whole.min(self.limits.header) {
                return Err(malformed("a sparse map is longer than its file"));
            }
            let mut block = [0; BLOCK];
            self.exactly(&mut block, "within a sparse map")?;
            text.extend_from_slice(&block);
            if let Some(map) = sparse::from_text(&text).map_err(malformed)? {
                return Ok((map, text.len() as u64));
            }
        }
    }

    /// Fills `into` and notes the bytes in the recipe.
    fn exactly(&mut self, into: &mut [u8], place: &str) -> Result<(), Error> {
        let mut done = 0;
        while done < into.len() {
            if self.start == self.end && !self.fill()? {
                return Err(Error::Malformed(format!("it ends {place}")));
            }
            let len = (into.len() - done).min(self.end - self.start);
            into[done..done + len].copy_from_slice(self.take(len)?);
            done += len;
        }
        self.recipe.raw(into)
    }

    /// The next `len` bytes, of those that are there.
    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        let from = self.start;
        self.start += len;
        // It has some left, and reads nothing.
        let bytes = self.from.fill_buf().map_err(Error::Input)?;
        Ok(&bytes[from..from + len])
    }

    /// The same, for the recipe.
    fn note(&mut self, len: usize) -> Result<(), Error> {
        let from = self.start;
        self.start += len;
        let bytes = self.from.fill_buf().map_err(Error::Input)?;
        self.recipe.raw(&bytes[from..from + len])
    }

    /// Reads more; false at the end of the source.
    fn fill(&mut self) -> Result<bool, Error> {
        self.from.consume(self.end);
        (self.start, self.end) = (0, 0);
        loop {
            match self.from.fill_buf() {
                Ok(bytes) => {
                    self.end = bytes.len();
                    return Ok(self.end > 0);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Input(e)),
            }
        }
    }
}

fn malformed(text: &str) -> Error {
    Error::Malformed(text.into())
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// Up to the first zero byte.
fn terminated(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// The sum is over unsigned bytes; old archivers summed signed ones.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), Error> {
    let value = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *byte };
    let unsigned: i64 = block.iter().enumerate().map(|e| i64::from(value(e))).sum();
    let signed: i64 = block.iter().enumerate().map(|e| i64::from(value(e).cast_signed())).sum();
    match pax::number(&block[148..156]) {
        Some(sum) if sum == unsigned || sum == signed => Ok(()),
        _ => Err(malformed("a header's checksum is wrong")),
    }
}

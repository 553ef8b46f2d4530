//! What is needed, beside a layer's files, to write its very tar again.
//!
//! A layer is kept unpacked, yet its digest is that of a tar. A recipe is
//! that tar without the content of its files: a sequence of pieces, each
//! either bytes or a part of a file in the layer. Where an archive holds a
//! name twice, the first file's content would be lost; it moves to a numbered
//! spare place, and the recipe says so when it happens.
//!
//! ```text
//!   'R' length bytes        these bytes
//!   'F' length path at len  that part of that file
//!   'M' length path number  from here on: that file, as used above, is spare
//! ```
//! Numbers are LEB128. The caller compresses it: it is mostly zeros.

use crate::{Error, error::Doing};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, Read, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
};

/// Bytes gathered before a piece is written.
const GATHER: usize = 64 << 10;

/// Bytes of a piece that is read: more than any that was gathered.
const LONGEST: u64 = 16 << 20;

/// A recipe that is being written, or the wish for none.
pub struct Recipe<'a> {
    out: Option<&'a mut dyn Write>,
    pending: Vec<u8>,
}

impl<'a> Recipe<'a> {
    /// Writes a recipe to `out`.
    pub fn to(out: &'a mut dyn Write) -> Self {
        Self { out: Some(out), pending: Vec::new() }
    }

    /// Keeps none: the archive is not a layer.
    pub fn none() -> Self {
        Self { out: None, pending: Vec::new() }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.out.is_some()
    }

    /// These bytes come next.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.out.is_none() {
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= GATHER { self.flush() } else { Ok(()) }
    }

    /// The content of the file at `path`, relative to the layer's root, comes
    /// next: `len` bytes of it from `at` on.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn file(&mut self, path: &[u8], at: u64, len: u64) -> Result<(), Error> {
        if self.out.is_none() || len == 0 {
            return Ok(());
        }
        self.flush()?;
        self.piece(b'F', path, &[at, len])
    }

    pub(crate) fn moved(&mut self, path: &[u8], spare: u64) -> Result<(), Error> {
        if self.out.is_none() {
            return Ok(());
        }
        self.flush()?;
        self.piece(b'M', path, &[spare])
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.piece(b'R', &pending, &[])?;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    fn piece(&mut self, kind: u8, bytes: &[u8], numbers: &[u64]) -> Result<(), Error> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let mut head = vec![kind];
        leb128(bytes.len() as u64, &mut head);
        let mut tail = Vec::new();
        for number in numbers {
            leb128(*number, &mut tail);
        }
        for part in [&head[..], bytes, &tail] {
            out.write_all(part).map_err(Error::Output)?;
        }
        Ok(())
    }
}

fn leb128(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push((value & 0x7f) as u8);
}

enum Piece {
    Raw(Vec<u8>),
    File { path: Vec<u8>, at: u64, len: u64 },
    Moved { path: Vec<u8>, spare: u64 },
}

/// Writes the tar of the layer in `dir` again. `recipe` opens its recipe; it
/// is read twice.
///
/// # Errors
/// A recipe or a layer that is damaged, or what the host or the receiver
/// said. The caller checks the digest.
pub fn repack(
    dir: &Path,
    recipe: &mut dyn FnMut() -> Result<Box<dyn BufRead>, Error>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let spares = spares(&mut *recipe()?)?;
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .doing("open", path)
    };
    let root = open(&dir.join(crate::unpack::ROOT))?;
    let mut from = recipe()?;
    let mut number = 0;
    let mut buffer = vec![0; 256 << 10];
    while let Some(piece) = next_piece(&mut *from)? {
        match piece {
            Piece::Raw(bytes) => out.write_all(&bytes).map_err(Error::Output)?,
            Piece::File { path, at, len } => {
                let spare = spares
                    .get(&path)
                    .and_then(|moves| moves.iter().find(|(when, _)| *when > number));
                let file = match spare {
                    Some((_, spare)) => {
                        let spares = open(&dir.join(crate::unpack::SPARE))?;
                        open_file(&spares, spare.to_string().as_bytes())?
                    }
                    None => open_file(&root, &path)?,
                };
                copy_part(&file, at, len, &mut buffer, out)?;
            }
            Piece::Moved { .. } => {}
        }
        number += 1;
    }
    Ok(())
}

/// For each path: before which pieces its content moved, and whereto.
type Spares = HashMap<Vec<u8>, Vec<(u64, u64)>>;

fn spares(from: &mut dyn BufRead) -> Result<Spares, Error> {
    let mut spares = Spares::new();
    let mut number = 0;
    while let Some(piece) = next_piece(from)? {
        if let Piece::Moved { path, spare } = piece {
            spares.entry(path).or_default().push((number, spare));
        }
        number += 1;
    }
    Ok(spares)
}

fn open_file(root: &OwnedFd, path: &[u8]) -> Result<File, Error> {
    let text = || String::from_utf8_lossy(path).into_owned();
    // Whoever unpacked the layer may have lied about it: no pipe without a
    // writer is to hold us up.
    let file = rustix::fs::openat2(
        root,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
    .map(File::from)
    .doing("open", text())?;
    if file.metadata().doing("look at", text())?.is_file() { Ok(file) } else { Err(damaged()) }
}

fn copy_part(
    file: &File,
    mut at: u64,
    mut len: u64,
    buffer: &mut [u8],
    out: &mut dyn Write,
) -> Result<(), Error> {
    while len > 0 {
        let want = usize::try_from(len).unwrap_or(usize::MAX).min(buffer.len());
        let got = file.read_at(&mut buffer[..want], at).doing("read", "a layer's file")?;
        if got == 0 {
            return Err(damaged());
        }
        out.write_all(&buffer[..got]).map_err(Error::Output)?;
        at += got as u64;
        len -= got as u64;
    }
    Ok(())
}

fn damaged() -> Error {
    Error::Malformed("a layer's recipe does not fit its files".into())
}

fn next_piece(from: &mut dyn BufRead) -> Result<Option<Piece>, Error> {
    let read = |result: std::io::Result<()>| result.doing("read", "a layer's recipe");
    let mut kind = [0];
    if from.fill_buf().doing("read", "a layer's recipe")?.is_empty() {
        return Ok(None);
    }
    read(from.read_exact(&mut kind))?;
    let len = number(from)?;
    if len > LONGEST {
        return Err(damaged());
    }
    let mut bytes = Vec::new();
    from.take(len).read_to_end(&mut bytes).doing("read", "a layer's recipe")?;
    if bytes.len() as u64 != len {
        return Err(damaged());
    }
    Ok(Some(match kind[0] {
        b'R' => Piece::Raw(bytes),
        b'F' => Piece::File { path: bytes, at: number(from)?, len: number(from)? },
        b'M' => Piece::Moved { path: bytes, spare: number(from)? },
        _ => return Err(damaged()),
    }))
}

fn number(from: &mut dyn BufRead) -> Result<u64, Error> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte).doing("read", "a layer's recipe")?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged())
}

//! How much memory a stream of xz may ask for.
//!
//! A block's header names the dictionary that its decoder makes room for, up
//! to 4 GiB, and a stream may have any number of blocks. What is read passes
//! here first: a walk over the container finds every header, and refuses what
//! is beyond the bound before the decoder sees it. What the walk does not
//! understand is refused, too.
//!
//! Source: The .xz File Format 1.2.1; LZMA2's chunks as in its reference
//! decoder.

use std::io::{self, Read};

/// Largest dictionary that room is made for: 128 MiB, twice what `xz -9`
/// asks for, in the code of the format.
const DICTIONARY: u8 = 30;
const LZMA2: u64 = 0x21;
const MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// Passes a stream on, and looks at it.
pub(crate) struct Guard<R> {
    from: R,
    at: At,
    /// Of the part that is being read.
    held: Vec<u8>,
    /// Bytes of a block's check.
    check: u64,
    /// Bytes of the block so far.
    block: u64,
}

/// Where the walk is.
#[derive(Clone, Copy)]
enum At {
    /// In the header of a stream.
    Stream,
    /// Before a block, or the index.
    Block,
    /// In a block's header of that size.
    Header(usize),
    /// Before a chunk.
    Chunk,
    /// In a chunk's header of that size.
    Head(usize),
    /// In its data: bytes that are left.
    Data(u64),
    /// In a block's padding and check.
    Check(u64),
    /// In the index: numbers that are left, none known yet; its bytes.
    Index(Option<u64>, u64),
    /// In what ends a stream.
    Foot(u64),
    /// Behind a stream.
    Between,
}

impl<R> Guard<R> {
    pub fn new(from: R) -> Self {
        Self { from, at: At::Stream, held: Vec::new(), check: 0, block: 0 }
    }

    /// The source.
    pub fn inner(&self) -> &R {
        &self.from
    }

    fn walk(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            let (At::Data(left) | At::Check(left) | At::Foot(left)) = self.at else {
                self.at = self.step(byte)?;
                bytes = rest;
                continue;
            };
            let skipped = left.min(bytes.len() as u64);
            bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
            self.at = match (self.at, left - skipped) {
                (At::Data(_), 0) => At::Chunk,
                (At::Check(_), 0) => At::Block,
                (_, 0) => At::Between,
                (At::Data(_), left) => At::Data(left),
                (At::Check(_), left) => At::Check(left),
                (_, left) => At::Foot(left),
            };
        }
        Ok(())
    }

    /// Takes in one byte of what is not skipped.
    fn step(&mut self, byte: u8) -> io::Result<At> {
        self.held.push(byte);
        let len = self.held.len();
        let at = match self.at {
            At::Stream if len < 12 => return Ok(self.at),
            At::Stream => {
                if !self.held.starts_with(MAGIC) {
                    return Err(malformed());
                }
                self.check = match self.held[7] & 15 {
                    0 => 0,
                    kind => 4 << ((kind - 1) / 3),
                };
                At::Block
            }
            At::Block if byte == 0 => At::Index(None, 1),
            // Its first byte counts.
            At::Block => return Ok(At::Header((usize::from(byte) + 1) * 4)),
            At::Header(size) if len < size => return Ok(self.at),
            At::Header(_) => {
                examine(&self.held)?;
                self.block = 0;
                At::Chunk
            }
            At::Chunk if byte == 0 => {
                self.block += 1;
                match self.block.wrapping_neg() % 4 + self.check {
                    0 => At::Block,
                    left => At::Check(left),
                }
            }
            At::Chunk => match byte {
                1 | 2 => return Ok(At::Head(3)),
                0x80..0xc0 => return Ok(At::Head(5)),
                0xc0.. => return Ok(At::Head(6)),
                _ => return Err(malformed()),
            },
            At::Head(size) if len < size => return Ok(self.at),
            At::Head(size) => {
                let at = if size == 3 { 1 } else { 3 };
                let data = u64::from(u16::from_be_bytes([self.held[at], self.held[at + 1]])) + 1;
                self.block += size as u64 + data;
                At::Data(data)
            }
            At::Index(..) if byte >= 0x80 && len < 9 => {
                return Ok(self.at);
            }
            At::Index(left, before) => {
                let (number, used) = number(&self.held).ok_or_else(malformed)?;
                let size = before + used as u64;
                // How many records there are, and two numbers for each.
                let left = match left {
                    None => number.checked_mul(2).ok_or_else(malformed)?,
                    Some(left) => left - 1,
                };
                match left {
                    0 => At::Foot(size.wrapping_neg() % 4 + 4 + 12),
                    left => At::Index(Some(left), size),
                }
            }
            At::Between if byte == 0 => At::Between,
            At::Between => return Ok(At::Stream),
            At::Data(_) | At::Check(_) | At::Foot(_) => return Err(malformed()),
        };
        self.held.clear();
        Ok(at)
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(into)?;
        self.walk(&into[..len])?;
        Ok(len)
    }
}

/// A block's header: its last filter is LZMA2, and no other.
fn examine(header: &[u8]) -> io::Result<()> {
    let flags = header[1];
    let mut rest = &header[2..];
    for size in [0x40, 0x80] {
        if flags & size != 0 {
            next(&mut rest)?;
        }
    }
    let filters = (flags & 3) + 1;
    for filter in 1..=filters {
        let (id, size) = (next(&mut rest)?, next(&mut rest)?);
        if (id == LZMA2) != (filter == filters) || id == LZMA2 && size != 1 {
            return Err(malformed());
        }
        let size = usize::try_from(size).map_err(|_| malformed())?;
        let (properties, after) = rest.split_at_checked(size).ok_or_else(malformed)?;
        rest = after;
        if id == LZMA2 && properties[0] > DICTIONARY {
            let words = "it asks for a dictionary of more than 128 MiB";
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
    }
    Ok(())
}

/// A number of the format, and how many bytes it takes: seven bits a byte,
/// lowest first, nine bytes at most.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}

/// The number that bytes begin with, taken off them.
fn next(bytes: &mut &[u8]) -> io::Result<u64> {
    let (number, used) = number(bytes).ok_or_else(malformed)?;
    *bytes = &bytes[used..];
    Ok(number)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed xz stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    fn xz(words: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut command = Command::new("xz");
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("xz(1) is installed");
        let mut input = child.stdin.take().expect("piped");
        let bytes = bytes.to_vec();
        let feeding = std::thread::spawn(move || input.write_all(&bytes));
        let out = child.wait_with_output().expect("ends");
        feeding.join().expect("ends").expect("takes it");
        assert!(out.status.success());
        out.stdout
    }

    fn passes(stream: &[u8], piece: usize) -> io::Result<()> {
        let mut guard = Guard::new(stream);
        let mut buffer = vec![0; piece];
        while guard.read(&mut buffer)? > 0 {}
        assert!(matches!(guard.at, At::Between), "the walk ends behind the stream");
        Ok(())
    }

    #[test]
    fn whatever_xz_writes_passes_whole() {
        let text: Vec<u8> =
            (0..30_000u32).flat_map(|n| (n.wrapping_mul(n) / 7).to_le_bytes()).collect();
        let noise: Vec<u8> = (0..70_000u64)
            .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 53)).to_be_bytes()[0])
            .collect();
        let nothing = vec![0; 1 << 18];
        let ways: [&[&str]; 6] = [
            &["-6"],
            &["-9", "--check=none"],
            &["-0", "--check=crc32", "--block-size=7000"],
            &["--check=sha256", "--block-size=1001", "-T2"],
            &["--x86", "--lzma2=dict=4KiB"],
            &["--delta=dist=4", "--lzma2=dict=128MiB"],
        ];
        for words in ways {
            for bytes in [&text[..], &noise, b"", b"x", &nothing] {
                let one = xz(words, bytes);
                for piece in [1, 7, 4096] {
                    passes(&one, piece).unwrap_or_else(|e| panic!("{words:?}: {e}"));
                }
                let several = [&one[..], &[0; 8], &one].concat();
                passes(&several, 1000).unwrap_or_else(|e| panic!("{words:?} twice: {e}"));
            }
        }
    }

    #[test]
    fn no_block_asks_for_more_than_may_be() {
        let small = xz(&["-0"], b"small");
        let large = xz(&["--lzma2=dict=192MiB"], b"large");
        for stream in [large.clone(), [small.clone(), large.clone()].concat()] {
            let error = passes(&stream, 4096).expect_err("refused");
            assert!(error.to_string().contains("128 MiB"), "{error}");
        }
        // A second filter of the kind would make room of its own.
        let mut twice = small.clone();
        twice[13] |= 1;
        assert!(passes(&twice, 4096).is_err());
    }
}

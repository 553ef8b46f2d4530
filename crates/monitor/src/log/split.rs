//! Bytes into lines.
//!
//! A line is cut at [`LONGEST`] bytes, and the pieces of one line carry the
//! time of its first, as Docker's copier does, so that readers of the files
//! can join them.

use super::Source;
use spec::log::newline;

/// Docker's buffer for a line: 16 KiB, its newline counted.
const LONGEST: usize = 16 << 10;

/// A line or a piece of one.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// What came before in earlier calls.
    pub head: &'a [u8],
    /// The rest.
    pub tail: &'a [u8],
    /// A newline follows.
    pub whole: bool,
    /// The time of the piece before, if this is a later piece of a long line.
    pub time: Option<u64>,
    /// Which piece of a line it is, from 1 on; 0 for a line in one piece.
    pub ordinal: u32,
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Splitter {
    source: Source,
    /// The beginning of a line whose end has not come yet.
    carry: Vec<u8>,
    /// When the first piece of the line that is being cut was written.
    cut: Option<u64>,
    /// How many pieces of it there were.
    pieces: u32,
}

impl Splitter {
    /// At the beginning of a stream.
    pub fn of(source: Source) -> Self {
        Self { source, carry: Vec::new(), cut: None, pieces: 0 }
    }

    /// Of this stream.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Gives out what `bytes` complete.
    pub fn split(&mut self, mut bytes: &[u8], now: u64, mut out: impl FnMut(Piece<'_>)) {
        loop {
            let room = LONGEST - self.carry.len();
            let within = &bytes[..bytes.len().min(room)];
            let (len, whole) = match newline(within) {
                Some(at) => (at, true),
                None if bytes.len() >= room => (room, false),
                None => break,
            };
            let ordinal = if whole && self.cut.is_none() { 0 } else { self.pieces + 1 };
            out(Piece { head: &self.carry, tail: &bytes[..len], whole, time: self.cut, ordinal });
            self.cut = if whole { None } else { self.cut.or(Some(now)) };
            self.pieces = if whole { 0 } else { ordinal };
            bytes = &bytes[len + usize::from(whole)..];
            // A program that writes one long line seldom writes another.
            if self.carry.capacity() > 1 << 10 {
                self.carry = Vec::new();
            }
            self.carry.clear();
        }
        self.carry.extend_from_slice(bytes);
    }

    /// Gives out what is left at the end of the stream.
    pub fn end(&mut self, mut out: impl FnMut(Piece<'_>)) {
        let carry = std::mem::take(&mut self.carry);
        if !carry.is_empty() {
            let ordinal = self.pieces + 1;
            out(Piece { head: &carry, tail: &[], whole: false, time: self.cut, ordinal });
        }
        (self.cut, self.pieces) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each piece as its length, whether whole, and its time.
    fn cut(chunks: &[&[u8]]) -> Vec<(usize, bool, Option<u64>)> {
        let mut splitter = Splitter::of(Source::Stdout);
        let mut pieces = Vec::new();
        let mut note = |p: Piece<'_>| pieces.push((p.head.len() + p.tail.len(), p.whole, p.time));
        for (now, chunk) in (0..).zip(chunks) {
            splitter.split(chunk, now, &mut note);
        }
        splitter.end(&mut note);
        pieces
    }

    #[test]
    fn pieces_of_a_line_are_numbered() {
        let mut splitter = Splitter::of(Source::Stdout);
        let mut numbers = Vec::new();
        let line = [&vec![b'x'; 40_000][..], b"\ny\nrest"].concat();
        splitter.split(&line, 1, |piece| numbers.push(piece.ordinal));
        splitter.end(|piece| numbers.push(piece.ordinal));
        assert_eq!(numbers, [1, 2, 3, 0, 1]);
    }

    #[test]
    fn chunks_do_not_matter() {
        let text = b"a\n\nbcd\nef";
        let want = [(1, true, None), (0, true, None), (3, true, None), (2, false, None)];
        assert_eq!(cut(&[text]), want);
        assert_eq!(cut(&text.chunks(1).collect::<Vec<_>>()), want);
        assert_eq!(cut(&text.chunks(4).collect::<Vec<_>>()), want);
    }

    #[test]
    fn a_line_is_cut_where_dockers_buffer_is_full() {
        let line = |len: usize| [vec![b'x'; len], vec![b'\n']].concat();
        assert_eq!(cut(&[&line(16383)]), [(16383, true, None)]);
        assert_eq!(cut(&[&line(16384)]), [(16384, false, None), (0, true, Some(0))]);
        assert_eq!(cut(&[&line(16385)]), [(16384, false, None), (1, true, Some(0))]);
    }

    #[test]
    fn the_pieces_of_a_line_carry_the_time_of_the_first() {
        let long = [b'x'; 16384];
        let want =
            [(16384, false, None), (16384, false, Some(1)), (1, true, Some(1)), (1, true, None)];
        assert_eq!(cut(&[&[], &long, &long, b"x\ny\n"]), want);
    }

    #[test]
    fn a_stream_that_ends_with_a_newline_leaves_nothing() {
        assert_eq!(cut(&[b"a\n"]), [(1, true, None)]);
        assert_eq!(cut(&[]), []);
    }
}

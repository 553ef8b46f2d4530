//! The keys that leave an attached container running (`--detach-keys`).
//!
//! They are looked for in what the client types; the keys typed so far are
//! held back until it is clear that they do not begin the sequence.

use crate::error::Error;

/// A sequence of keys, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<u8>);

impl Default for Keys {
    /// ctrl-p, ctrl-q.
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl Keys {
    /// Reads `ctrl-a,x`: each a single character or `ctrl-` with a letter or
    /// one of `@[\]^_`.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        text.split(',')
            .map(key)
            .collect::<Option<Vec<u8>>>()
            .map(Self)
            .ok_or_else(|| Error::bad(format!("Invalid detach keys ({text}) provided")))
    }

    /// A scanner that has seen nothing yet.
    pub fn scanner(self) -> Scanner {
        Scanner { keys: self.0, seen: 0 }
    }
}

fn key(text: &str) -> Option<u8> {
    if let [byte] = text.as_bytes() {
        return Some(*byte);
    }
    match text.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [sign @ b'['..=b'_'] => Some(sign - b'[' + 27),
        _ => None,
    }
}

/// Looks for the keys in a stream.
#[derive(Debug)]
pub struct Scanner {
    keys: Vec<u8>,
    seen: usize,
}

/// What a scan found.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// For the program.
    pub typed: Vec<u8>,
    /// The whole sequence was typed; what came after it is dropped.
    pub detach: bool,
}

impl Scanner {
    /// Takes the next bytes.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut typed = Vec::with_capacity(bytes.len() + self.seen);
        for &byte in bytes {
            if self.seen > 0 && byte != self.keys[self.seen] {
                typed.extend_from_slice(&self.keys[..self.seen]);
                self.seen = 0;
            }
            if byte != self.keys[self.seen] {
                typed.push(byte);
                continue;
            }
            self.seen += 1;
            if self.seen == self.keys.len() {
                self.seen = 0;
                return Scan { typed, detach: true };
            }
        }
        Scan { typed, detach: false }
    }

    /// What is still held back, when nothing more will be typed.
    pub fn rest(&mut self) -> Vec<u8> {
        self.keys[..std::mem::take(&mut self.seen)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(scan: &Scan) -> (&[u8], bool) {
        (&scan.typed, scan.detach)
    }

    #[test]
    fn the_sequence_detaches_even_across_reads() {
        let mut scanner = Keys::default().scanner();
        assert_eq!(typed(&scanner.scan(b"ls\x10")), (b"ls".as_slice(), false));
        assert_eq!(typed(&scanner.scan(b"\x11ignored")), (b"".as_slice(), true));
    }

    #[test]
    fn half_a_sequence_reaches_the_program() {
        let mut scanner = Keys::default().scanner();
        assert_eq!(typed(&scanner.scan(b"\x10x")), (b"\x10x".as_slice(), false));
        assert_eq!(typed(&scanner.scan(b"\x10\x10")), (b"\x10".as_slice(), false));
        assert_eq!(scanner.rest(), b"\x10");
        assert_eq!(scanner.rest(), b"");
    }

    #[test]
    fn a_key_is_a_character_or_a_control() {
        assert_eq!(Keys::parse("ctrl-p,ctrl-q").expect("default"), Keys::default());
        assert_eq!(Keys::parse("a,ctrl-@,ctrl-_,ctrl-[").expect("keys"), Keys(vec![97, 0, 31, 27]));
        for bad in ["", "ab", "ctrl-", "ctrl-A", "a,,b", "ctrl-ab", "é"] {
            assert_eq!(Keys::parse(bad).expect_err(bad).status(), 400);
        }
    }
}

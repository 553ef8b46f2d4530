//! Numbers that nobody can guess.

use rustix::rand::{GetRandomFlags, getrandom};
use std::io;

/// A store of the kernel's random bytes.
#[derive(Debug)]
pub(crate) struct Dice {
    bytes: [u8; 256],
    used: usize,
}

impl Dice {
    /// # Errors
    /// As `getrandom(2)`.
    pub fn new() -> io::Result<Self> {
        let mut dice = Self { bytes: [0; 256], used: 256 };
        dice.fill()?;
        Ok(dice)
    }

    fn fill(&mut self) -> io::Result<()> {
        // Up to 256 bytes come whole. Source: `getrandom(2)`.
        let filled = getrandom(&mut self.bytes[..], GetRandomFlags::empty())?;
        self.used = 0;
        if filled == self.bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Any number of 16 bits.
    ///
    /// # Errors
    /// As `getrandom(2)`: guessable numbers are no substitute.
    pub fn roll(&mut self) -> io::Result<u16> {
        if self.used + 2 > self.bytes.len() {
            self.fill()?;
        }
        let number = u16::from_ne_bytes([self.bytes[self.used], self.bytes[self.used + 1]]);
        self.bytes[self.used..self.used + 2].fill(0);
        self.used += 2;
        Ok(number)
    }

    /// Puts a list into any order.
    ///
    /// # Errors
    /// As [`roll`](Self::roll).
    pub fn shuffle<T>(&mut self, list: &mut [T]) -> io::Result<()> {
        for last in (1..list.len()).rev() {
            let other = usize::from(self.roll()?) % (last + 1);
            list.swap(last, other);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_comes_up() {
        let mut dice = Dice::new().expect("random bytes");
        let mut firsts = [false; 3];
        for _ in 0..400 {
            let mut list = [0, 1, 2];
            dice.shuffle(&mut list).expect("random bytes");
            firsts[list[0]] = true;
            list.sort_unstable();
            assert_eq!(list, [0, 1, 2]);
        }
        assert_eq!(firsts, [true; 3]);
    }
}

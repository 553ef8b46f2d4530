//! A layer's tar on its way: hashed and counted as it passes.

use sha2::{Digest as _, Sha256};
use std::io::{self, Write};
use unpacker::Layer;

/// Bytes of a layer after which they are on their way to the disk.
const FLUSH: u64 = 64 << 20;

/// What has passed of a layer's tar.
#[derive(Default)]
pub(crate) struct Passed<'a> {
    pub hash: Sha256,
    pub size: u64,
    /// Called after each [`FLUSH`] bytes.
    pub flush: Option<&'a mut (dyn FnMut() + Send)>,
}

impl Passed<'_> {
    pub fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        let before = self.size / FLUSH;
        self.size += bytes.len() as u64;
        if self.size / FLUSH > before
            && let Some(flush) = &mut self.flush
        {
            flush();
        }
    }
}

/// Hashed and counted, and kept nowhere.
impl Write for Passed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// To who unpacks it, hashed and counted.
pub(crate) struct Hashing<'a, 'p> {
    pub layer: &'a mut Layer,
    pub passed: &'a mut Passed<'p>,
}

impl Write for Hashing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.layer.write(bytes)?;
        self.passed.add(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Out, and hashed.
pub(crate) struct Tee<'a> {
    pub out: &'a mut dyn Write,
    pub hash: &'a mut Sha256,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.hash.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

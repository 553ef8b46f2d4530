//! Bytes from one thread to another: a few buffers that go round.

use std::{
    io::{self, BufRead, Read, Write},
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

/// Bytes of a buffer.
const BUFFER: usize = 256 << 10;
/// Buffers under way at most: what one side may be ahead of the other.
const AHEAD: usize = 8;

/// The end that bytes go in.
pub(crate) struct PipeWriter {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    /// As long as it may be; the first `len` bytes are filled.
    buffer: Vec<u8>,
    len: usize,
}

/// The end that bytes come out.
pub(crate) struct PipeReader {
    full: Receiver<Vec<u8>>,
    empty: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
    /// The writer said that this is all.
    ended: bool,
}

/// A pipe whose reader fails unless the writer [`finish`](PipeWriter::finish)es.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (full, from) = sync_channel(AHEAD);
    let (back, empty) = channel();
    (
        PipeWriter { full, empty, buffer: vec![0; BUFFER], len: 0 },
        PipeReader { full: from, empty: back, buffer: Vec::new(), at: 0, ended: false },
    )
}

impl PipeWriter {
    /// Fills the pipe from a source until that ends, and shows `seen` all of it.
    pub fn fill(&mut self, from: &mut dyn Read, mut seen: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            match from.read(&mut self.buffer[self.len..]) {
                Ok(0) => return Ok(()),
                Ok(len) => {
                    seen(&self.buffer[self.len..self.len + len]);
                    self.len += len;
                    if self.len == BUFFER {
                        self.send()?;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// All was written.
    pub fn finish(mut self) -> io::Result<()> {
        self.send()?;
        // The mark of a good end: an empty buffer.
        self.full.send(Vec::new()).map_err(|_| broken())
    }

    fn send(&mut self) -> io::Result<()> {
        if self.len == 0 {
            return Ok(());
        }
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.resize(BUFFER, 0);
        let mut full = std::mem::replace(&mut self.buffer, next);
        full.truncate(std::mem::take(&mut self.len));
        self.full.send(full).map_err(|_| broken())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(BUFFER - self.len);
        self.buffer[self.len..self.len + len].copy_from_slice(&bytes[..len]);
        self.len += len;
        if self.len == BUFFER {
            self.send()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BufRead for PipeReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.buffer.len() && !self.ended {
            let next = self.full.recv().map_err(|_| broken())?;
            self.ended = next.is_empty();
            let old = std::mem::replace(&mut self.buffer, next);
            self.at = 0;
            // The writer may be gone: it needs no more buffers then.
            let _ = self.empty.send(old);
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
    }
}

impl Read for PipeReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(into)?;
        self.consume(len);
        Ok(len)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other side gave up")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_arrive_in_order() {
        let bytes: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
        let (mut writer, mut reader) = pipe();
        let mut out = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&bytes[..7]).expect("a reader is there");
                writer.fill(&mut &bytes[7..], |_| {}).expect("a reader is there");
                writer.finish().expect("a reader is there");
            });
            reader.read_to_end(&mut out).expect("a writer is there");
        });
        assert!(out == bytes);
    }

    #[test]
    fn a_writer_that_gives_up_is_no_end() {
        let (mut writer, mut reader) = pipe();
        writer.write_all(b"half").expect("room");
        drop(writer);
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}

//! Compressed streams: told by their first bytes, undone as they come.

use crate::xz::Guard;
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::io::{self, BufRead, Read};

/// Largest window of a zstd frame that we make room for, as a power of two:
/// what zstd(1) accepts without being asked (128 MiB).
const ZSTD_WINDOW: u32 = 27;
/// A stream may grow this much beyond what came in …
const RATIO: u64 = 1024;
/// … and this much in any case.
const FREE: u64 = 1 << 30;

/// A stream as it is without its compression.
pub(crate) struct Plain<'a> {
    inner: Inner<'a>,
    out: u64,
}

enum Inner<'a> {
    Plain(Counted<'a>),
    Gzip(Box<MultiGzDecoder<Counted<'a>>>),
    Zstd(zstd::stream::read::Decoder<'a, Counted<'a>>),
    Bzip2(Box<MultiBzDecoder<Counted<'a>>>),
    Xz(Box<XzReader<Guard<Counted<'a>>>>),
}

/// The source, with a count of what was taken of it.
struct Counted<'a> {
    from: &'a mut dyn BufRead,
    count: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(into)?;
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        self.count += len as u64;
        self.from.consume(len);
    }
}

/// How a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Begins {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    /// As nothing that is compressed.
    Other,
}

/// Bytes that tell how a stream begins.
pub(crate) const MAGIC: usize = 6;

/// Which compressed streams are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// All that are carried.
    All,
    /// Those of a layer as registries have it: gzip and zstd, the forms that
    /// media types of layers name.
    Layers,
}

impl Forms {
    /// # Errors
    /// What is wrong with such a stream, in words.
    pub(crate) fn check(self, begins: Begins) -> io::Result<()> {
        if self == Self::Layers && matches!(begins, Begins::Bzip2 | Begins::Xz) {
            let words = "it is compressed in a form that no layer of a registry has";
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(())
    }
}

impl Begins {
    /// By the first bytes, six of which are enough.
    pub fn with(bytes: &[u8]) -> Self {
        const MAGIC: [(&[u8], Begins); 4] = [
            (&[0x1f, 0x8b], Begins::Gzip),
            (&[0x28, 0xb5, 0x2f, 0xfd], Begins::Zstd),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Begins::Xz),
            (b"BZh", Begins::Bzip2),
        ];
        MAGIC
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            .map_or(Begins::Other, |(_, kind)| *kind)
    }
}

impl<'a> Plain<'a> {
    /// Looks at the beginning of a stream.
    ///
    /// # Errors
    /// What the source said.
    pub fn of(from: &'a mut dyn BufRead) -> io::Result<Self> {
        let mut from = Counted { from, count: 0 };
        let begins = loop {
            match from.fill_buf() {
                Ok(bytes) => break Begins::with(bytes),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        };
        let inner = match begins {
            Begins::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(from))),
            Begins::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Inner::Zstd(decoder)
            }
            Begins::Bzip2 => Inner::Bzip2(Box::new(MultiBzDecoder::new(from))),
            Begins::Xz => Inner::Xz(Box::new(XzReader::new(Guard::new(from), true))),
            Begins::Other => Inner::Plain(from),
        };
        Ok(Self { inner, out: 0 })
    }

    fn taken(&self) -> u64 {
        match &self.inner {
            Inner::Plain(from) => from.count,
            Inner::Gzip(from) => from.get_ref().count,
            Inner::Zstd(from) => from.get_ref().count,
            Inner::Bzip2(from) => from.get_ref().count,
            Inner::Xz(from) => from.inner().inner().count,
        }
    }
}

/// Whether it is the header of a tar: by the sum of all its bytes, the sum's
/// own field taken as spaces (tar(5)).
pub(crate) fn is_header(block: &[u8; 512]) -> bool {
    let field = 148..156;
    let text = String::from_utf8_lossy(&block[field.clone()]).into_owned();
    let said = u32::from_str_radix(text.trim_matches(|c: char| c == '\0' || c == ' '), 8);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(if field.contains(&at) { b' ' } else { *byte }))
        .sum();
    said == Ok(sum) && block[0] != 0
}

impl Read for Plain<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = match &mut self.inner {
            Inner::Plain(from) => from.read(into)?,
            Inner::Gzip(from) => from.read(into)?,
            Inner::Zstd(from) => from.read(into)?,
            Inner::Bzip2(from) => from.read(into)?,
            Inner::Xz(from) => from.read(into)?,
        };
        self.out += len as u64;
        if self.out > FREE && self.out / RATIO > self.taken() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it unpacks to more than {RATIO} times its size"),
            ));
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut source = bytes;
        let mut out = Vec::new();
        Plain::of(&mut source)?.read_to_end(&mut out)?;
        Ok(out)
    }

    /// `echo xz | xz`
    const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x02\x78\x7a\x0a\x00\x00\x98\xde\x08\x6a\xbe\xe3\x33\x47\x00\x01\x1b\x03\x0b\x2f\xb9\x10\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).expect("memory");
        out.finish().expect("memory")
    }

    #[test]
    fn every_carried_form_gives_the_same() {
        let text = b"some text, some text".repeat(1000);
        assert_eq!(plain(&text).expect("plain"), text);
        assert_eq!(plain(&gzip(&text)).expect("gzip"), text);
        assert_eq!(plain(&zstd::encode_all(&text[..], 1).expect("zstd")).expect("zstd"), text);
        let members = [gzip(&text[..5]), gzip(&text[5..])].concat();
        assert_eq!(plain(&members).expect("two members"), text);
        assert_eq!(plain(b"").expect("nothing"), b"");
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).expect("memory");
        assert_eq!(plain(&bzip2.finish().expect("memory")).expect("bzip2"), text);
        assert_eq!(plain(XZ).expect("xz"), b"xz\n");
        assert!(plain(&XZ[..20]).is_err(), "cut short");
    }

    #[test]
    fn a_dictionary_is_no_larger_than_it_may_be() {
        // The block's header: 128 MiB, 192 MiB, 4 GiB less one byte.
        for (code, fits) in [(30, true), (31, false), (40, false)] {
            let mut stream = XZ.to_vec();
            stream[16] = code;
            let mut crc = flate2::Crc::new();
            crc.update(&stream[12..20]);
            stream[20..24].copy_from_slice(&crc.sum().to_le_bytes());
            assert_eq!(plain(&stream).is_ok(), fits, "{code}");
        }
    }

    #[test]
    fn a_registrys_layer_has_a_form_that_layers_have() {
        let error = Forms::Layers.check(Begins::with(XZ)).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        Forms::All.check(Begins::with(XZ)).expect("elsewhere it is taken");
        Forms::Layers.check(Begins::with(&gzip(b"text"))).expect("taken");
    }

    #[test]
    fn a_bomb_goes_off_early() {
        let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("zstd");
        let zeros = vec![0; 1 << 20];
        for _ in 0..2048 {
            bomb.write_all(&zeros).expect("memory");
        }
        let bomb = bomb.finish().expect("memory");
        assert!(bomb.len() < 1 << 20, "the test must be able to fail");
        let mut source = &bomb[..];
        let error = io::copy(&mut Plain::of(&mut source).expect("zstd"), &mut io::sink());
        assert_eq!(error.expect_err("a bomb").kind(), io::ErrorKind::InvalidData);
    }
}

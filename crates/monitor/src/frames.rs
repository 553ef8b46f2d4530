//! A client's bytes into requests and standard input, as they come.

use spec::wire::{BadFrame, Frame, Kind};

/// What a piece of a connection's bytes means.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A whole control frame.
    Control(Vec<u8>),
    /// More for the program's standard input.
    Stdin(&'a [u8]),
    /// The end of it.
    StdinEnd,
}

/// Where in a frame the connection is.
#[derive(Debug, Default)]
pub struct Decoder {
    header: [u8; 8],
    /// How much of the header is there.
    have: usize,
    /// The frame whose payload is coming, and how much of it is still to come.
    frame: Option<(Kind, usize)>,
    control: Vec<u8>,
}

impl Decoder {
    /// Takes from `bytes` until they mean something; none when all are taken.
    ///
    /// # Errors
    /// A header that no client of ours sends: nothing after it can be read.
    pub fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Part<'a>>, BadFrame> {
        while !bytes.is_empty() {
            let Some((kind, left)) = self.frame else {
                let len = bytes.len().min(8 - self.have);
                self.header[self.have..self.have + len].copy_from_slice(&bytes[..len]);
                self.have += len;
                *bytes = &bytes[len..];
                if self.have == 8 {
                    self.have = 0;
                    let frame = Frame::from_bytes(self.header)?;
                    match frame.kind {
                        Kind::Stdin if frame.len == 0 => return Ok(Some(Part::StdinEnd)),
                        Kind::Stdin | Kind::Control if frame.len > 0 => {
                            self.frame = Some((frame.kind, frame.len as usize));
                        }
                        _ => return Err(BadFrame::of(self.header)),
                    }
                }
                continue;
            };
            let (part, rest) = bytes.split_at(bytes.len().min(left));
            *bytes = rest;
            let left = left - part.len();
            self.frame = if left > 0 { Some((kind, left)) } else { None };
            if kind == Kind::Stdin {
                return Ok(Some(Part::Stdin(part)));
            }
            self.control.extend_from_slice(part);
            if left == 0 {
                return Ok(Some(Part::Control(std::mem::take(&mut self.control))));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).expect("short");
        [&Frame { kind, len }.to_bytes(), payload].concat()
    }

    /// Control frames and standard input, each joined over all chunks.
    fn decode(text: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Vec<u8>, u32) {
        let (mut decoder, mut control, mut stdin, mut ends) =
            (Decoder::default(), Vec::new(), Vec::new(), 0);
        for mut bytes in text.chunks(chunk) {
            while let Some(part) = decoder.take(&mut bytes).expect("well formed") {
                match part {
                    Part::Control(text) => control.push(text),
                    Part::Stdin(text) => stdin.extend_from_slice(text),
                    Part::StdinEnd => ends += 1,
                }
            }
        }
        (control, stdin, ends)
    }

    #[test]
    fn frames_come_out_however_they_are_cut() {
        let text = [
            frame(Kind::Control, b"{\"a\":1}"),
            frame(Kind::Stdin, b"hello "),
            frame(Kind::Stdin, b"world"),
            frame(Kind::Stdin, b""),
            frame(Kind::Control, b"x"),
        ]
        .concat();
        let want = (vec![b"{\"a\":1}".to_vec(), b"x".to_vec()], b"hello world".to_vec(), 1);
        assert_eq!(decode(&text, 1), want);
        assert_eq!(decode(&text, 3), want);
        assert_eq!(decode(&text, 9), want);
        assert_eq!(decode(&text, 1000), want);
    }

    #[test]
    fn what_only_a_monitor_says_is_refused_from_a_client() {
        for kind in [Kind::Stdout, Kind::Stderr] {
            let text = frame(kind, b"x");
            assert!(Decoder::default().take(&mut &text[..]).is_err());
        }
        let empty = frame(Kind::Control, b"");
        assert!(Decoder::default().take(&mut &empty[..]).is_err());
    }
}

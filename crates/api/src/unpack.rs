//! What a monitor sends, turned into what a client reads.
//!
//! The frames of [`spec::wire`] have the header of Docker's multiplexed
//! streams, so a client without a terminal gets output frames as they are; a
//! client with one gets their payload alone. Control frames are for us.

use spec::wire::{BadFrame, Frame, Kind, Reply};

/// Takes frames apart, however they were cut by reads.
#[derive(Debug)]
pub struct Unpack {
    raw: bool,
    header: [u8; 8],
    have: usize,
    left: usize,
    kind: Kind,
    control: Vec<u8>,
}

/// Why a monitor's stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// A header that no monitor writes.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// A control frame that says nothing known.
    #[error("control frame: {0}")]
    Control(#[from] serde_json::Error),
}

impl Unpack {
    /// `raw`: leave the headers of output frames out.
    pub fn new(raw: bool) -> Self {
        Self { raw, header: [0; 8], have: 0, left: 0, kind: Kind::Stdin, control: Vec::new() }
    }

    /// Takes the next bytes, appends what is the client's to `out`, and
    /// returns what the monitor said in control frames.
    ///
    /// # Errors
    /// [`Malformed`]: nothing after it can be trusted.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<Vec<Reply>, Malformed> {
        let mut replies = Vec::new();
        while !bytes.is_empty() {
            let part;
            if self.left == 0 {
                (part, bytes) = bytes.split_at(bytes.len().min(8 - self.have));
                self.header[self.have..self.have + part.len()].copy_from_slice(part);
                self.have += part.len();
                if self.have == 8 {
                    self.begin(out)?;
                }
                continue;
            }
            (part, bytes) = bytes.split_at(bytes.len().min(self.left));
            self.left -= part.len();
            match self.kind {
                Kind::Stdout | Kind::Stderr => out.extend_from_slice(part),
                Kind::Control => self.control.extend_from_slice(part),
                Kind::Stdin => {}
            }
            if self.left == 0 && self.kind == Kind::Control {
                replies.push(serde_json::from_slice(&self.control)?);
                self.control.clear();
            }
        }
        Ok(replies)
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), BadFrame> {
        let frame = Frame::from_bytes(self.header)?;
        self.have = 0;
        self.kind = frame.kind;
        // At most MAX_FRAME: fits.
        self.left = usize::try_from(frame.len).unwrap_or(0);
        if !self.raw && self.left > 0 && matches!(frame.kind, Kind::Stdout | Kind::Stderr) {
            out.extend_from_slice(&self.header);
        }
        Ok(())
    }
}

/// A frame with its header.
pub fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    // Callers cut their payload to the length of a buffer, far below 4 GiB.
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(8 + payload.len());
    bytes.extend_from_slice(&Frame { kind, len }.to_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::wire::Exit;

    fn stream() -> Vec<u8> {
        let ended = Reply::Ended(Exit { code: 3, oom: false, at: 1, dropped: 0 });
        [
            frame(Kind::Control, b"\"Ok\""),
            frame(Kind::Stdout, b"out"),
            frame(Kind::Stderr, b"err"),
            frame(Kind::Stdout, b""),
            frame(Kind::Control, &serde_json::to_vec(&ended).expect("json")),
        ]
        .concat()
    }

    fn unpack(raw: bool, cut: usize) -> (Vec<u8>, Vec<Reply>) {
        let mut unpack = Unpack::new(raw);
        let (mut out, mut replies) = (Vec::new(), Vec::new());
        for piece in stream().chunks(cut) {
            replies.extend(unpack.feed(piece, &mut out).expect("well formed"));
        }
        (out, replies)
    }

    #[test]
    fn output_frames_pass_as_they_are_however_they_are_cut() {
        let expected = [frame(Kind::Stdout, b"out"), frame(Kind::Stderr, b"err")].concat();
        for cut in 1..stream().len() {
            let (out, replies) = unpack(false, cut);
            assert_eq!(out, expected, "cut to {cut}");
            assert_eq!(replies.len(), 2, "cut to {cut}");
        }
    }

    #[test]
    fn a_terminal_s_output_is_bare() {
        assert_eq!(unpack(true, 5).0, b"outerr");
    }

    #[test]
    fn the_end_is_told_with_its_code() {
        let (_, replies) = unpack(false, 7);
        assert!(matches!(replies[1], Reply::Ended(Exit { code: 3, .. })));
    }

    #[test]
    fn a_foreign_stream_is_refused() {
        let mut out = Vec::new();
        assert!(Unpack::new(false).feed(b"HTTP/1.1 200", &mut out).is_err());
        assert!(Unpack::new(false).feed(&frame(Kind::Control, b"{"), &mut out).is_err());
        assert_eq!(out, b"");
    }
}

//! An attached program's streams: our input to it, its output to ours.
//!
//! Without a terminal the engine multiplexes output and error in frames of
//! eight header bytes; with one, bytes flow as they are. A sequence of keys
//! (ctrl-p ctrl-q) leaves the program running and ends the attachment.

use crate::error::{Error, Outcome};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io::Write as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The engine closed it.
    Closed,
    /// The person typed the keys.
    Detached,
}

/// Copies both ways until one of the two ends.
///
/// # Errors
/// If a frame is malformed or our own output cannot be written.
pub async fn pump(
    io: TokioIo<Upgraded>,
    tty: bool,
    stdin: bool,
    keys: Option<&str>,
) -> Outcome<End> {
    let (mut from, mut to) = tokio::io::split(io);
    let output = async {
        if tty { copy_raw(&mut from).await } else { copy_frames(&mut from).await }
            .map(|()| End::Closed)
    };
    if !stdin {
        return output.await;
    }
    let mut leave = Detach::new(keys.unwrap_or("ctrl-p,ctrl-q"))?;
    let input = async {
        let mut keyboard = tokio::io::stdin();
        let mut bytes = vec![0; 32 << 10];
        loop {
            let read = keyboard.read(&mut bytes).await.unwrap_or(0);
            if read == 0 {
                let _ = to.shutdown().await;
                break;
            }
            let passed =
                if tty { leave.pass(&bytes[..read]) } else { Some(bytes[..read].to_vec()) };
            let Some(passed) = passed else { return Ok(End::Detached) };
            if to.write_all(&passed).await.is_err() {
                break;
            }
        }
        // The program may still have much to say.
        std::future::pending().await
    };
    tokio::select! { end = output => end, end = input => end }
}

async fn copy_raw(from: &mut (impl AsyncRead + Unpin)) -> Outcome<()> {
    let mut bytes = vec![0; 32 << 10];
    loop {
        match from.read(&mut bytes).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(n) => write(&mut std::io::stdout(), &bytes[..n])?,
        }
    }
}

/// Copies all that the program says to our standard error, until it ends.
///
/// # Errors
/// As [`pump`].
pub async fn pump_to_error(mut io: TokioIo<Upgraded>) -> Outcome<()> {
    // The kind of a program's standard error.
    copy_frames_as(&mut io, |kind| if kind < 2 { 2 } else { kind }).await
}

async fn copy_frames(from: &mut (impl AsyncRead + Unpin)) -> Outcome<()> {
    copy_frames_as(from, |kind| kind).await
}

async fn copy_frames_as(
    from: &mut (impl AsyncRead + Unpin),
    kind: impl Fn(u8) -> u8,
) -> Outcome<()> {
    let mut payload = Vec::new();
    loop {
        let mut header = [0; 8];
        if from.read_exact(&mut header).await.is_err() {
            return Ok(());
        }
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        payload.resize(length as usize, 0);
        if from.read_exact(&mut payload).await.is_err() {
            return Ok(());
        }
        pass(kind(header[0]), &payload)?;
    }
}

/// A frame's payload to where its kind belongs.
fn pass(kind: u8, payload: &[u8]) -> Outcome<()> {
    match kind {
        0 | 1 => write(&mut std::io::stdout(), payload),
        2 => write(&mut std::io::stderr(), payload),
        // The engine's own: what went wrong.
        3 => Err(Error::Engine {
            status: 500,
            message: String::from_utf8_lossy(payload).into_owned(),
        }),
        kind => Err(Error::Unfit(format!("the engine sent a frame of unknown kind {kind}"))),
    }
}

fn write(to: &mut impl std::io::Write, bytes: &[u8]) -> Outcome<()> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|source| Error::Host {
        doing: "write",
        what: "the output".into(),
        source,
    })
}

/// Writes a stream that is not multiplexed: logs of a terminal, archives.
///
/// # Errors
/// If our output cannot be written, or the engine's answer breaks off.
pub async fn body(mut body: hyper::body::Incoming, tty: bool) -> Outcome<()> {
    use http_body_util::BodyExt as _;
    let mut frames = Frames::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Error::Broken)?;
        let Some(bytes) = frame.data_ref() else { continue };
        if tty {
            write(&mut std::io::stdout(), bytes)?;
        } else {
            frames.push(bytes)?;
        }
    }
    std::io::stdout().flush().map_err(|source| Error::Host {
        doing: "write",
        what: "the output".into(),
        source,
    })
}

/// Takes multiplexed bytes in any portions and writes whole frames.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn push(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.push_to(bytes, &mut pass)
    }

    fn push_to(
        &mut self,
        bytes: &[u8],
        pass: &mut dyn FnMut(u8, &[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        self.0.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(header) = self.0.get(at..at + 8) {
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let stream = header[0];
            let Some(payload) = self.0.get(at + 8..at + 8 + length) else { break };
            pass(stream, payload)?;
            at += 8 + length;
        }
        self.0.drain(..at);
        Ok(())
    }
}

/// What has no end of line by then is one: nobody's program fills our memory.
const LONGEST_LINE: usize = 64 << 10;

/// Takes what a program wrote, multiplexed or not, and gives it line by line.
pub struct Lines {
    /// It comes as it is, from a terminal.
    tty: bool,
    frames: Frames,
    /// What has no end of line yet, of output and of error.
    open: [Vec<u8>; 2],
}

/// Which of a program's two streams a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

impl Lines {
    /// Of a program that has a terminal, or has not.
    pub fn new(tty: bool) -> Self {
        Self { tty, frames: Frames::default(), open: Default::default() }
    }

    /// Takes bytes in any portions.
    ///
    /// # Errors
    /// Those of `take`; a frame that is malformed or tells of a failure.
    pub fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Stream, &[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        let open = &mut self.open;
        let mut split = |kind: u8, payload: &[u8]| {
            let (stream, rest) = match kind {
                0 | 1 => (Stream::Out, &mut open[0]),
                2 => (Stream::Err, &mut open[1]),
                // What went wrong is said there.
                kind => return pass(kind, payload),
            };
            for part in payload.split_inclusive(|byte| *byte == b'\n') {
                rest.extend_from_slice(part);
                if part.ends_with(b"\n") || rest.len() >= LONGEST_LINE {
                    take(stream, rest.strip_suffix(b"\n").unwrap_or(rest))?;
                    rest.clear();
                }
            }
            Ok(())
        };
        if self.tty { split(1, bytes) } else { self.frames.push_to(bytes, &mut split) }
    }

    /// What was written last, without the end of its line.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn end(&mut self, take: &mut dyn FnMut(Stream, &[u8]) -> Outcome<()>) -> Outcome<()> {
        for (stream, rest) in [Stream::Out, Stream::Err].into_iter().zip(&mut self.open) {
            if !rest.is_empty() {
                take(stream, &std::mem::take(rest))?;
            }
        }
        Ok(())
    }
}

/// Looks for a sequence of keys in what is typed.
struct Detach {
    keys: Vec<u8>,
    seen: usize,
}

impl Detach {
    /// Parses e.g. `ctrl-p,ctrl-q` or `a,b`.
    fn new(text: &str) -> Outcome<Self> {
        let key = |word: &str| match word.as_bytes() {
            [one] => Ok(*one),
            [
                b'c',
                b't',
                b'r',
                b'l',
                b'-',
                key @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_'),
            ] => Ok(key & 0x1f),
            _ => Err(Error::Unfit(format!("unknown key {word:?} in the keys to detach"))),
        };
        let keys =
            text.split(',').filter(|word| !word.is_empty()).map(key).collect::<Outcome<_>>()?;
        Ok(Self { keys, seen: 0 })
    }

    /// What to send on; `None` when the last key of the sequence was typed.
    /// Keys that turn out not to be of the sequence are sent late.
    fn pass(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut passed = Vec::with_capacity(bytes.len() + self.seen);
        for &byte in bytes {
            if self.keys.get(self.seen) == Some(&byte) {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    return None;
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.seen]);
            self.seen = usize::from(self.keys.first() == Some(&byte));
            if self.seen == 0 {
                passed.push(byte);
            }
        }
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_detach_and_others_pass() {
        let mut keys = Detach::new("ctrl-p,ctrl-q").expect("valid");
        assert_eq!(keys.pass(b"ls\n"), Some(b"ls\n".to_vec()));
        assert_eq!(keys.pass(&[0x10]), Some(vec![]));
        assert_eq!(keys.pass(&[0x11]), None);
    }

    #[test]
    fn half_a_sequence_is_sent_late() {
        let mut keys = Detach::new("ctrl-p,ctrl-q").expect("valid");
        assert_eq!(keys.pass(&[0x10]), Some(vec![]));
        assert_eq!(keys.pass(b"x"), Some(vec![0x10, b'x']));
        assert_eq!(keys.pass(&[0x10, 0x10]), Some(vec![0x10]));
        assert_eq!(keys.pass(&[0x11]), None);
    }

    #[test]
    fn what_went_wrong_in_the_engine_is_no_output() {
        let mut frames = Frames::default();
        frames.push(&[3, 0, 0, 0, 0, 0, 0, 4, b'o', b'o']).expect("half a frame");
        let error = frames.push(b"ps").expect_err("an error");
        assert_eq!(error.to_string(), "oops");
        assert!(Frames::default().push(&[9, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn lines_come_whole_whatever_the_portions() {
        let mut told = Vec::new();
        let mut take = |stream, line: &[u8]| {
            told.push((stream, String::from_utf8_lossy(line).into_owned()));
            Ok(())
        };
        let mut lines = Lines::new(false);
        let bytes = b"\x01\0\0\0\0\0\0\x04a\nb\n\x02\0\0\0\0\0\0\x02e\n\x01\0\0\0\0\0\0\x01c";
        for portion in bytes.chunks(3) {
            lines.push(portion, &mut take).expect("frames");
        }
        lines.end(&mut take).expect("the rest");
        let line = |stream, text: &str| (stream, text.to_owned());
        let all = [
            line(Stream::Out, "a"),
            line(Stream::Out, "b"),
            line(Stream::Err, "e"),
            line(Stream::Out, "c"),
        ];
        assert_eq!(told, all);
        assert!(lines.push(b"\x03\0\0\0\0\0\0\x01x", &mut |_, _| Ok(())).is_err());
    }

    #[test]
    fn a_line_without_end_is_told_in_parts() {
        let (mut lines, mut longest) = (Lines::new(true), 0);
        for _ in 0..100 {
            let mut take = |_, line: &[u8]| {
                longest = longest.max(line.len());
                Ok(())
            };
            lines.push(&[b'x'; 10_000], &mut take).expect("bytes");
            assert!(lines.open[0].len() <= LONGEST_LINE);
        }
        assert!((LONGEST_LINE..2 * LONGEST_LINE).contains(&longest), "{longest}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(Detach::new("ctrl-1").is_err());
    }
}

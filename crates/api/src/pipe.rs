//! Between the engine's blocking readers and writers and a client's socket.
//!
//! Both directions hold a few pieces at most: a slow client slows the
//! producer down, and one that has left makes its next write fail, which is
//! how a long `export` ends.

use crate::answer::{Answer, Outcome};
use crate::arriving::Arriving;
use crate::error::Error;
use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use serde::Serialize;
use std::io::{self, Read, Write};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

/// Pieces under way at once.
const DEPTH: usize = 8;
/// Bytes gathered before a piece is sent.
const PIECE: usize = 64 * 1024;

/// Bytes that a client may send behind what was needed.
const LEFT_OVER: u64 = 64 << 20;

/// What an error after the first byte looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The connection breaks off.
    Break,
    /// One more JSON object says so.
    Json,
}

/// A blocking writer whose reader is a client.
pub struct Outlet {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    begun: Option<oneshot::Sender<Result<(), Error>>>,
    gathered: Vec<u8>,
}

impl Outlet {
    /// Sends status and headers; from here on an error is a late one.
    pub fn begin(&mut self) {
        if let Some(begun) = self.begun.take() {
            // A client that has left is found out by the next write.
            let _ = begun.send(Ok(()));
        }
    }

    /// Sends one JSON object as a piece of its own.
    ///
    /// # Errors
    /// The client has left.
    pub fn say(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.extend_from_slice(b"\r\n");
        self.write_all(&text)?;
        self.flush()
    }

    /// Has something done when the client leaves, until the guard is dropped.
    pub fn on_leaving(&self, act: impl FnOnce() + Send + 'static) -> Leaving {
        let pieces = self.pieces.clone();
        let (guard, dropped) = oneshot::channel::<()>();
        tokio::runtime::Handle::current().spawn(async move {
            tokio::select! {
                () = pieces.closed() => { spawn_blocking(act); }
                _ = dropped => {}
            }
        });
        Leaving { _guard: guard }
    }

    /// Completes the stream.
    fn end(mut self, result: Result<(), Error>, late: Late) {
        match (result, self.begun.take()) {
            (Ok(()), begun) => {
                if let Some(begun) = begun {
                    let _ = begun.send(Ok(()));
                }
                let _ = self.flush();
            }
            (Err(error), Some(begun)) => {
                let _ = begun.send(Err(error));
            }
            (Err(error), None) if late == Late::Json => {
                let _ = self.say(&Failure::of(&error));
            }
            (Err(error), None) => {
                let _ = self.flush();
                let _ = self.pieces.blocking_send(Err(io::Error::other(error)));
            }
        }
    }
}

/// Waits for the client to leave, while it is held.
pub struct Leaving {
    _guard: oneshot::Sender<()>,
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.begin();
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The JSON that ends a stream that failed.
#[derive(Serialize)]
struct Failure {
    #[serde(rename = "errorDetail")]
    detail: Detail,
    error: String,
}

#[derive(Serialize)]
struct Detail {
    message: String,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self { detail: Detail { message: error.to_string() }, error: error.to_string() }
    }
}

/// Answers with what `produce` writes on a thread of its own. If it fails
/// before its first byte, the answer is that error.
///
/// # Errors
/// The error of a `produce` that wrote nothing.
pub async fn produce(
    kind: &'static str,
    late: Late,
    produce: impl FnOnce(&mut Outlet) -> Result<(), Error> + Send + 'static,
) -> Outcome {
    let (pieces, content) = mpsc::channel(DEPTH);
    let (begun, first) = oneshot::channel();
    let mut outlet = Outlet { pieces, begun: Some(begun), gathered: Vec::new() };
    spawn_blocking(move || {
        let result = produce(&mut outlet);
        outlet.end(result, late);
    });
    match first.await {
        Ok(Ok(())) => Ok(Answer::stream(kind, content)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::ours("the producer of this answer has failed")),
    }
}

/// A blocking reader of what a client sends.
pub struct Inlet {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Inlet {
    /// Reads a body as it comes, ahead by a few pieces.
    pub fn of(mut body: Arriving) -> Self {
        let (sender, pieces) = mpsc::channel(DEPTH);
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let piece = match frame.map(hyper::body::Frame::into_data) {
                    Ok(Ok(data)) => Ok(data),
                    Ok(Err(_trailers)) => continue,
                    Err(error) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)),
                };
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        });
        Self { pieces, rest: Bytes::new() }
    }

    /// Reads what is left, within a bound: a client that still sends would
    /// see its connection reset instead of the answer.
    pub fn finish(&mut self) {
        // A client that breaks off needs no answer.
        let _ = io::copy(&mut self.take(LEFT_OVER), &mut io::sink());
    }
}

impl Read for Inlet {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let len = buf.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buf[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Content;

    async fn text(outcome: Outcome) -> String {
        let Ok(Answer::Http { content: Content::Stream(mut pieces), .. }) = outcome else {
            panic!("a stream was expected")
        };
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece.expect("no break"));
        }
        String::from_utf8(all).expect("text")
    }

    #[tokio::test]
    async fn an_error_before_the_first_byte_is_the_answer() {
        let outcome = produce("x/y", Late::Json, |_| Err(Error::missing("no"))).await;
        assert_eq!(outcome.expect_err("an error").status(), 404);
    }

    #[tokio::test]
    async fn an_error_after_it_is_one_more_object() {
        let outcome = produce("x/y", Late::Json, |out| {
            out.say(&"begun").map_err(|e| Error::ours(e.to_string()))?;
            Err(Error::missing("no"))
        });
        let expected = "\"begun\"\r\n{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n";
        assert_eq!(text(outcome.await).await, expected);
    }

    #[tokio::test]
    async fn a_broken_archive_breaks_the_connection() {
        let outcome = produce("x/y", Late::Break, |out| {
            out.begin();
            Err(Error::ours("disk"))
        });
        let Ok(Answer::Http { content: Content::Stream(mut pieces), .. }) = outcome.await else {
            panic!("a stream was expected")
        };
        assert!(pieces.recv().await.expect("a piece").is_err());
    }

    #[tokio::test]
    async fn a_client_that_leaves_stops_the_producer() {
        let (stopped, seen) = oneshot::channel();
        let outcome = produce("x/y", Late::Break, |out| {
            let error = loop {
                if let Err(error) = out.write_all(&[0; 1024]) {
                    break error;
                }
            };
            stopped.send(error.kind()).expect("the test waits");
            Ok(())
        });
        drop(outcome.await.expect("begun"));
        assert_eq!(seen.await, Ok(io::ErrorKind::BrokenPipe));
    }
}

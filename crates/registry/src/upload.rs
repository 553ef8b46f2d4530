//! A layer on its way out: written by the store, compressed, hashed and sent
//! as it comes, in one pass.
//!
//! ```text
//!   POST …/blobs/uploads/  ─▶ a place to put it
//!   PATCH place  ◀─ socket ◀─ hash ◀─ gzip ◀─ the store (a thread)
//!   PUT place?digest=…     ─▶ kept, if the registry hashed the same
//! ```

use crate::{
    Error,
    session::{Ask, Session, may_pass, pause},
};
use image::Store;
use reqwest::{
    Method, StatusCode, Url,
    blocking::{Body, Response},
    header,
};
use sha2::{Digest as _, Sha256};
use spec::Digest;
use std::{
    io::{self, Read, Write},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// Bytes that go to the socket at a time.
const PIECE: usize = 128 << 10;
/// Pieces that may wait for it.
const AHEAD: usize = 4;
/// How often a blob is sent at most.
const ATTEMPTS: u32 = 4;
const DOING: &str = "push a blob";

/// Told how much of a layer was written; an error from it ends the writing.
pub(crate) type Seen<'a> = &'a (dyn Fn(u64) -> Result<(), Error> + Sync);

/// Sends a layer; gives the digest and size of what was sent. `place` is one
/// that the registry has made already.
pub(crate) fn layer(
    session: &Session<'_>,
    store: &Store,
    diff_id: &Digest,
    mut place: Option<Url>,
    seen: Seen<'_>,
) -> Result<(Digest, u64), Error> {
    again(|| {
        let at = place.take().map_or_else(|| begin(session), Ok)?;
        let (answer, sent) = stream(session, store, diff_id, &at, seen)?;
        let at = location(session, &answer)?;
        finish(session, at, &sent.0, None)?;
        Ok(sent)
    })
}

/// Sends a blob that is at hand.
pub(crate) fn bytes(session: &Session<'_>, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
    again(|| finish(session, begin(session)?, digest, Some(bytes)))
}

/// A place that broke is no place to go on from: all begins anew.
fn again<T>(mut send: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        match send() {
            Err(Error::Reach { source, .. }) if attempt < ATTEMPTS && may_pass(&source) => {
                tracing::debug!(error = %source, "pushing again");
            }
            Err(Error::Answer { status, .. }) if attempt < ATTEMPTS && status >= 500 => {
                tracing::debug!(status, "pushing again");
            }
            done => return done,
        }
        pause(attempt, None);
        attempt += 1;
    }
}

fn begin(session: &Session<'_>) -> Result<Url, Error> {
    let empty = || Ok(Body::from(Vec::new()));
    let ask =
        Ask { body: Some(&empty), ..Ask::new(Method::POST, "/blobs/uploads/", "begin a push") };
    let answer = session.send(&ask)?;
    if answer.status() != StatusCode::ACCEPTED {
        return Err(session.refused(answer, ask.doing));
    }
    location(session, &answer)
}

/// Where an answer sends us.
pub(crate) fn location(session: &Session<'_>, answer: &Response) -> Result<Url, Error> {
    let text = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    text.and_then(|text| answer.url().join(text).ok()).ok_or_else(|| {
        Error::Invalid(format!("{} gives no place to push to", session.endpoint.host()))
    })
}

fn finish(
    session: &Session<'_>,
    mut at: Url,
    digest: &Digest,
    bytes: Option<&[u8]>,
) -> Result<(), Error> {
    at.query_pairs_mut().append_pair("digest", digest.as_str());
    let body = || Ok(Body::from(bytes.unwrap_or_default().to_vec()));
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    let ask = Ask {
        headers: &headers,
        body: Some(&body),
        once: true,
        ..Ask::new(Method::PUT, at.as_str(), DOING)
    };
    let answer = session.send(&ask)?;
    match answer.status() {
        StatusCode::CREATED => Ok(()),
        _ => Err(session.refused(answer, DOING)),
    }
}

/// What was sent: its digest and size.
type Sent = (Digest, u64);

fn stream(
    session: &Session<'_>,
    store: &Store,
    diff_id: &Digest,
    at: &Url,
    seen: Seen<'_>,
) -> Result<(Response, Sent), Error> {
    std::thread::scope(|scope| {
        // One for each time that the body is asked for; the last one counts.
        let writing = Mutex::new(None);
        let body = || {
            let (pieces, from) = sync_channel(AHEAD);
            let outlet = Outlet { pieces, gathered: Vec::new(), hash: Sha256::new(), size: 0 };
            let thread = scope.spawn(move || write(store, diff_id, outlet, seen));
            *writing.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
            Ok(Body::new(Inlet { from, piece: Vec::new(), at: 0, ended: false }))
        };
        let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
        let ask = Ask {
            headers: &headers,
            body: Some(&body),
            once: true,
            ..Ask::new(Method::PATCH, at.as_str(), DOING)
        };
        let answer = session.send(&ask);
        let thread = writing.into_inner().unwrap_or_else(PoisonError::into_inner);
        let written = thread
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        match (answer, written) {
            (Ok(answer), Some(Ok(sent))) if answer.status() == StatusCode::ACCEPTED => {
                Ok((answer, sent))
            }
            (Ok(answer), _) if answer.status() != StatusCode::ACCEPTED => {
                Err(session.refused(answer, DOING))
            }
            // The reader's leaving is the effect of the other's failing.
            (_, Some(Err(error))) if !is_broken_pipe(&error) => Err(error),
            (Err(error), _) => Err(error),
            (Ok(_), _) => Err(Error::Invalid(format!(
                "{} took only a part of {diff_id}",
                session.endpoint.host()
            ))),
        }
    })
}

fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Image(image::Error::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe)
}

fn write(store: &Store, diff_id: &Digest, outlet: Outlet, seen: Seen<'_>) -> Result<Sent, Error> {
    let gzip = flate2::write::GzEncoder::new(outlet, flate2::Compression::default());
    let mut counted = Counted { inner: gzip, count: 0, seen };
    store.write_layer(diff_id, &mut counted).map_err(|e| match e {
        image::Error::Output(e) => match e.downcast::<Error>() {
            Ok(error) => error,
            Err(e) => image::Error::Output(e).into(),
        },
        e => e.into(),
    })?;
    let output = |e| Error::Image(image::Error::Output(e));
    let mut outlet = counted.inner.finish().map_err(output)?;
    outlet.send().map_err(output)?;
    outlet.pieces.send(Vec::new()).map_err(|_| output(io::ErrorKind::BrokenPipe.into()))?;
    Ok((Digest::from_sha256(outlet.hash.finalize().into()), outlet.size))
}

/// Counts what goes by.
struct Counted<'a, W> {
    inner: W,
    count: u64,
    seen: Seen<'a>,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.count += len as u64;
        (self.seen)(self.count).map_err(io::Error::other)?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// To the socket, hashed and counted.
struct Outlet {
    pieces: SyncSender<Vec<u8>>,
    gathered: Vec<u8>,
    hash: Sha256,
    size: u64,
}

impl Outlet {
    fn send(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.gathered);
        self.pieces.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket's end. An empty piece is a good end; that no more come is not.
struct Inlet {
    from: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Inlet {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.ended {
            self.piece = self.from.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.at = 0;
            self.ended = self.piece.is_empty();
        }
        let len = into.len().min(self.piece.len() - self.at);
        into[..len].copy_from_slice(&self.piece[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

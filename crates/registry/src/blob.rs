//! A blob on its way here: hashed as it passes, resumed where it broke off,
//! and believed only at its end.

use crate::{
    Error,
    session::{Ask, Session, pause},
};
use image::Partial;
use reqwest::{Method, StatusCode, blocking::Response, header};
use sha2::{Digest as _, Sha256};
use spec::{Digest, image::Descriptor};
use std::{
    io::{self, Read},
    ops::Range,
    time::{Duration, Instant},
};

/// How often in a row a blob may break off.
const BREAKS: u32 = 6;
/// It counts as going on again after so many bytes.
const PROGRESS: u64 = 256 << 10;
const DOING: &str = "fetch a blob";
/// Largest configuration that is read.
pub(crate) const CONFIG: u64 = 8 << 20;

/// How slowly a blob may come: so few bytes in so much time that was spent
/// waiting for them are too few. And how slowly it has to, to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time.
    pub window: Duration,
    /// The bytes.
    pub least: u64,
    /// What came within so long of the beginning is not kept for a pull that
    /// goes on where this one ends: it comes again as quickly.
    pub quick: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (window, quick) = (Duration::from_mins(1), Duration::from_secs(5));
        Self { window, least: 64 << 10, quick }
    }
}

/// What came in the present window.
#[derive(Clone, Copy, Debug, Default)]
struct Drip {
    waited: Duration,
    bytes: u64,
}

impl Drip {
    /// Counts what came; the error says how slowly.
    fn after(&mut self, waited: Duration, bytes: usize, pace: Pace) -> io::Result<()> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < pace.window {
            return Ok(());
        }
        let Self { waited, bytes } = std::mem::take(self);
        if bytes >= pace.least {
            return Ok(());
        }
        let text = format!("only {bytes} bytes came in {} seconds", waited.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

/// Reads one blob. Its end is reached by the right bytes only: too few, too
/// many or others are an error before it.
pub(crate) struct Blob<'a> {
    session: &'a Session<'a>,
    wanted: &'a Descriptor,
    answer: Option<Response>,
    at: u64,
    hash: Sha256,
    breaks: u32,
    broke_at: u64,
    ended: bool,
    /// What came before, and what comes; none for what is small.
    partial: Option<Partial>,
    /// What of it is still to be read, by its place.
    there: Range<u64>,
    begun: Instant,
    /// How quickly it comes at the moment.
    drip: Drip,
    /// Told how far it is; an error from it ends the reading.
    seen: &'a mut dyn FnMut(u64) -> Result<(), Error>,
}

impl<'a> Blob<'a> {
    /// Nothing is asked for yet.
    pub fn new(
        session: &'a Session<'a>,
        wanted: &'a Descriptor,
        seen: &'a mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Self {
        let hash = Sha256::new();
        Self {
            session,
            wanted,
            answer: None,
            at: 0,
            hash,
            breaks: 0,
            broke_at: 0,
            ended: false,
            partial: None,
            there: 0..0,
            begun: Instant::now(),
            drip: Drip::default(),
            seen,
        }
    }

    /// Goes on where an earlier one ended, and keeps what comes for a later.
    pub fn with(mut self, partial: Option<Partial>) -> Self {
        // More than the whole is not a part of it.
        let there = partial.as_ref().map_or(0..0, Partial::there);
        if there.end > self.wanted.size {
            partial.into_iter().for_each(Partial::discard);
            return self;
        }
        (self.partial, self.there) = (partial, there);
        self
    }

    /// It broke off too often: no more of it is asked for.
    pub fn has_given_up(&self) -> bool {
        self.breaks >= BREAKS
    }

    /// Where what is asked for now ends: where an earlier pull went on, or at
    /// the end.
    fn until(&self) -> u64 {
        if self.there.is_empty() { self.wanted.size } else { self.there.start }
    }

    /// Reads what came before; 0 where none of it is.
    fn earlier(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if self.there.is_empty() || self.at < self.there.start {
            return Ok(0);
        }
        let Some(partial) = self.partial.as_mut() else { return Ok(0) };
        let left = self.there.end - self.at;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let broken = |source| Error::Blob { digest: self.wanted.digest.clone(), source };
        let len = match partial.read(&mut into[..most]).map_err(broken)? {
            // It has become shorter under our lock.
            0 => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            len => len,
        };
        self.there.start += len as u64;
        self.hash.update(&into[..len]);
        self.at += len as u64;
        (self.seen)(self.at)?;
        Ok(len)
    }

    /// Keeps what comes next, from when it is worth it on. Before what is
    /// there nothing is kept.
    fn keep(&mut self, bytes: &[u8]) {
        let slow = || self.begun.elapsed() >= self.session.pace.quick;
        if let Some(partial) = self.partial.as_mut().filter(|_| self.there.is_empty())
            && (partial.has_begun() || slow())
        {
            partial.keep(self.at, bytes);
        }
    }

    /// It was wrong, perhaps because of what came before.
    fn forget(&mut self) {
        self.partial.take().into_iter().for_each(Partial::discard);
    }

    /// Asks for what is missing; none if it broke off at once.
    fn open(&mut self) -> Result<Option<Response>, Error> {
        let path = format!("/blobs/{}", self.wanted.digest);
        let (size, until) = (self.wanted.size, self.until());
        let last = if until == size { String::new() } else { (until - 1).to_string() };
        let range = format!("bytes={}-{last}", self.at);
        let headers = [(header::RANGE, range.as_str())];
        let headers = if self.at == 0 && until == size { &headers[..0] } else { &headers[..] };
        let ask = Ask { headers, ..Ask::new(Method::GET, &path, DOING) };
        let mut answer = self.session.send(&ask)?;
        let (begins, ends) = match answer.status() {
            StatusCode::OK => (0, size),
            StatusCode::PARTIAL_CONTENT if range_of(&answer) == Some(self.at) => (self.at, until),
            StatusCode::PARTIAL_CONTENT => {
                return Err(Error::Invalid(format!(
                    "{} gives another part of {} than was asked for",
                    self.session.endpoint.host(),
                    self.wanted.digest
                )));
            }
            _ => return Err(self.session.refused(answer, DOING)),
        };
        if let Some(length) = answer.content_length() {
            let found = begins.saturating_add(length);
            if found != ends {
                return Err(self.wrong_size(found));
            }
        }
        // A registry that knows no ranges begins anew.
        let mut over = self.at - begins;
        let mut waste = [0; 8 << 10];
        while over > 0 {
            let most = usize::try_from(over).unwrap_or(usize::MAX).min(waste.len());
            match answer.read(&mut waste[..most]) {
                Ok(0) => return self.broken(io::ErrorKind::UnexpectedEof.into()).map(|()| None),
                Ok(len) => over -= len as u64,
                Err(e) => return self.broken(e).map(|()| None),
            }
        }
        Ok(Some(answer))
    }

    fn wrong_size(&self, found: u64) -> Error {
        Error::Invalid(format!(
            "{} has {found} bytes where its manifest says {}",
            self.wanted.digest, self.wanted.size
        ))
    }

    fn next(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        while !self.ended {
            match self.earlier(into)? {
                0 => {}
                len => return Ok(len),
            }
            let opened = match self.answer.take() {
                None => self.open()?,
                answer => answer,
            };
            let Some(mut answer) = opened else { continue };
            let left = self.until() - self.at;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
            let begun = Instant::now();
            // At the end one byte more is asked for: there must be none.
            let read = match most {
                0 => answer.read(&mut [0]).and_then(|more| match more {
                    0 => Ok(0),
                    _ => Err(io::Error::other(self.wrong_size(self.at + 1))),
                }),
                _ => answer.read(&mut into[..most]),
            };
            match read {
                Ok(0) if left == 0 => return self.finish(),
                Ok(0) => self.broken(io::ErrorKind::UnexpectedEof.into())?,
                Ok(len) => {
                    self.hash.update(&into[..len]);
                    self.keep(&into[..len]);
                    self.at += len as u64;
                    // What an earlier pull went on with is not read twice.
                    let met = self.at == self.there.start && !self.there.is_empty();
                    // Where it only drips, another connection may do better.
                    match self.drip.after(begun.elapsed(), len, self.session.pace) {
                        Ok(()) => self.answer = Some(answer).filter(|_| !met),
                        Err(slow) => self.broken(slow)?,
                    }
                    (self.seen)(self.at)?;
                    return Ok(len);
                }
                Err(e) => match e.downcast::<Error>() {
                    Ok(error) => return Err(error),
                    // All of it is here; how the connection ends is no matter.
                    Err(_) if left == 0 => return self.finish(),
                    Err(e) => self.broken(e)?,
                },
            }
        }
        Ok(0)
    }

    /// It broke off: a pause, and on from here, unless that goes nowhere.
    fn broken(&mut self, source: io::Error) -> Result<(), Error> {
        if self.at >= self.broke_at + PROGRESS {
            self.breaks = 0;
        }
        self.broke_at = self.at;
        self.breaks += 1;
        if self.has_given_up() {
            return Err(Error::Blob { digest: self.wanted.digest.clone(), source });
        }
        tracing::debug!(digest = %self.wanted.digest, at = self.at, error = %source, "resuming");
        pause(self.breaks, None);
        Ok(())
    }

    fn finish(&mut self) -> Result<usize, Error> {
        let found = Digest::from_sha256(std::mem::take(&mut self.hash).finalize().into());
        // Whole or wrong: nobody goes on from here.
        self.forget();
        if found != self.wanted.digest {
            return Err(Error::Digest { expected: self.wanted.digest.clone(), found });
        }
        self.ended = true;
        Ok(0)
    }

    /// The whole of a configuration.
    pub fn config(mut self) -> Result<Vec<u8>, Error> {
        if self.wanted.size > CONFIG {
            return Err(Error::Invalid(format!("its configuration has more than {CONFIG} bytes")));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|e| taken_out(e, &self.wanted.digest))?;
        Ok(bytes)
    }

    /// Reads on to the end: what follows a compressed stream counts, too.
    pub fn drain(mut self) -> Result<(), Error> {
        io::copy(&mut self, &mut io::sink()).map_err(|e| taken_out(e, &self.wanted.digest))?;
        Ok(())
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        self.next(into).map_err(io::Error::other)
    }
}

/// An error of [`Blob`], out of its wrapping.
pub(crate) fn taken_out(e: io::Error, digest: &Digest) -> Error {
    match e.downcast::<Error>() {
        Ok(error) => error,
        Err(source) => Error::Blob { digest: digest.clone(), source },
    }
}

/// Where a part begins.
fn range_of(answer: &Response) -> Option<u64> {
    let text = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

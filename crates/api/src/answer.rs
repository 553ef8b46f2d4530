//! What a request is answered with: a whole body, a stream, or the
//! connection itself.

use crate::hijack::Hijack;
use crate::socket::Busy;
use crate::upgrade::Upgrade;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode, header};
use serde::Serialize;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What a handler returns.
pub type Outcome = Result<Answer, crate::error::Error>;

/// A response, or the taking over of the connection.
#[derive(Debug)]
pub enum Answer {
    /// Plain HTTP.
    Http {
        /// The status.
        status: StatusCode,
        /// Headers of its own; the common ones are added by the server.
        headers: HeaderMap,
        /// The body.
        content: Content,
        /// Dropped when the client has the body, or has left.
        held: Option<Held>,
    },
    /// From here on the connection carries a program's streams.
    Hijack(Box<Hijack>),
    /// From here on it carries another protocol.
    Upgrade(Box<Upgrade>),
}

/// Something whose dropping ends what feeds a stream.
pub struct Held(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Send>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// A response's body.
#[derive(Debug)]
pub enum Content {
    /// Known as a whole (or empty).
    Whole(Bytes),
    /// Pieces as they come, one chunk each. An error breaks the connection
    /// off, so that the client cannot take half for the whole.
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

impl Answer {
    /// A status and nothing else.
    pub fn status(status: StatusCode) -> Self {
        Self::Http {
            status,
            headers: HeaderMap::new(),
            content: Content::Whole(Bytes::new()),
            held: None,
        }
    }

    /// 204.
    pub fn done() -> Self {
        Self::status(StatusCode::NO_CONTENT)
    }

    /// 200 and a JSON value.
    pub fn json(value: &impl Serialize) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// 201 and a JSON value.
    pub fn created(value: &impl Serialize) -> Self {
        Self::json_with(StatusCode::CREATED, value)
    }

    /// A JSON value, ended by a newline as Docker's are.
    pub fn json_with(status: StatusCode, value: &impl Serialize) -> Self {
        let mut text =
            serde_json::to_vec(value).expect("our own types have string keys and cannot fail");
        text.push(b'\n');
        Self::of(status, "application/json", Content::Whole(text.into()))
    }

    /// 200 and a stream.
    pub fn stream(kind: &'static str, pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self::of(StatusCode::OK, kind, Content::Stream(pieces))
    }

    /// Any body with its media type.
    pub fn of(status: StatusCode, kind: &'static str, content: Content) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Self::Http { status, headers, content, held: None }
    }

    /// Keeps something for as long as the client reads the body.
    #[must_use]
    pub fn holding(mut self, thing: impl Send + 'static) -> Self {
        if let Self::Http { held, .. } = &mut self {
            *held = Some(Held(Box::new(thing)));
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: HeaderValue) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// A body on its way to the client; the socket counts as busy until it is
/// dropped.
#[derive(Debug)]
pub struct Outgoing {
    content: Content,
    _held: Option<Held>,
    _busy: Busy,
}

impl Outgoing {
    /// Binds a body to the request it answers.
    pub fn new(content: Content, held: Option<Held>, busy: Busy) -> Self {
        Self { content, _held: held, _busy: busy }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(pieces) => {
                pieces.poll_recv(cx).map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

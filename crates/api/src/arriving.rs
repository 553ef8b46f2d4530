//! A request's body on its way in.
//!
//! While it is, a client that stops speaking has broken off: its half-close
//! must not be hidden as that of one who only waits for the answer.

use crate::socket::Unread;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body, and the mark that it is not all here yet.
#[derive(Debug)]
pub struct Arriving {
    body: Incoming,
    unread: Option<Unread>,
}

impl Arriving {
    /// Marks the socket until the body has been read, or is dropped.
    pub fn new(body: Incoming, mark: impl FnOnce() -> Unread) -> Self {
        let unread = (!body.is_end_stream()).then(mark);
        Self { body, unread }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            if let Some(unread) = &self.unread {
                unread.waits(cx.waker());
            }
            return Poll::Pending;
        };
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.unread = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! A request's body on its way in.
//!
//! While it is, a client that stops speaking has broken off: its half-close
//! must not be hidden as that of one who only waits for the answer.
//!
//! A request that is refused by its head alone has a body all the same, and
//! most clients send all of it before they listen. What a handler leaves goes
//! to [`Rest`], to be read before the answer: a connection that is closed on
//! bytes unread breaks the client's pipe, and it never sees why.

use crate::socket::Unread;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// As much as Go's server, hence Docker's, reads of a body that nobody wants.
const UNWANTED: usize = 256 << 10;
/// How long a client may take to send that.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body, and the mark that it is not all here yet.
#[derive(Debug)]
pub struct Arriving(Option<Part>, Rest);

#[derive(Debug)]
struct Part {
    body: Incoming,
    unread: Option<Unread>,
}

/// Where a body goes that its handler has not read to the end.
#[derive(Debug, Default)]
pub struct Rest(Arc<Mutex<Option<Part>>>);

impl Rest {
    /// Reads it, within bounds. The connection stays usable if that was all.
    pub async fn drain(&self) {
        let Some(mut part) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let mut read = 0;
        let all = async {
            while read < UNWANTED {
                // Whoever breaks off needs no answer.
                let Some(Ok(frame)) = poll_fn(|cx| part.poll(cx)).await else { return };
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // Who takes longer is answered now, and may not see it.
        let _ = timeout(PATIENCE, all).await;
    }
}

impl Arriving {
    /// Marks the socket until the body has been read, or is dropped; then
    /// what is left of it is in the second.
    pub fn new(body: Incoming, mark: impl FnOnce() -> Unread) -> (Self, Rest) {
        let unread = (!body.is_end_stream()).then(mark);
        let rest = Rest::default();
        (Self(Some(Part { body, unread }), Rest(Arc::clone(&rest.0))), rest)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let left = self.0.take().filter(|part| part.unread.is_some());
        *self.1.0.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

impl Part {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |part| part.poll(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|part| part.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, |part| part.body.size_hint())
    }
}

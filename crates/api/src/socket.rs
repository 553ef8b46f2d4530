//! A client's socket, which tells a client that has finished speaking from
//! one that has left.
//!
//! A client may shut down its sending half and still wait for the answer
//! (`docker attach` does so when its standard input ends). To a server that
//! only reads, both look the same: no more bytes. While a request is being
//! answered ([`Busy`] is held) and its body is here such a half-close is
//! therefore hidden and the end of the stream is reported when the kernel says
//! that the peer closed both ways (`EPOLLHUP`). That is what cancels an idle
//! `events` or `wait`.
//!
//! Whether the body is here is known by who reads it ([`Unread`]): it is, as
//! long as nobody waits for more of it than has come.

use crate::target::FirstLine;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// The answers under way on one socket.
#[derive(Debug, Default)]
pub struct Answers {
    count: AtomicUsize,
    /// How many of their requests have a body that is not all read.
    unread: AtomicUsize,
    /// Its reader waits for more than has come.
    hungry: AtomicBool,
    /// That reader.
    reader: Mutex<Option<Waker>>,
    /// How many were begun since the connection was made.
    begun: AtomicUsize,
    /// Whoever is to look again when there are none.
    hidden: Mutex<Option<Waker>>,
}

/// Held while a request of this socket is being answered.
#[derive(Debug)]
pub struct Busy(Arc<Answers>);

impl Busy {
    /// Counts one more request.
    pub fn hold(answers: &Arc<Answers>) -> Self {
        answers.count.fetch_add(1, Ordering::SeqCst);
        answers.begun.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(answers))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(waker) = locked(&self.0.hidden).take()
        {
            waker.wake();
        }
    }
}

/// Held while a request's body is read.
#[derive(Debug)]
pub struct Unread(Arc<Answers>);

impl Unread {
    /// Counts one more body.
    pub fn hold(answers: &Arc<Answers>) -> Self {
        answers.unread.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(answers))
    }

    /// The reader waits: what has come is not enough.
    pub fn waits(&self, reader: &Waker) {
        *locked(&self.0.reader) = Some(reader.clone());
        self.0.hungry.store(true, Ordering::SeqCst);
        if let Some(waker) = locked(&self.0.hidden).take() {
            waker.wake();
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.unread.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Answers {
    /// Is a half-close that of a client who waits for an answer?
    fn awaited(&self) -> bool {
        let body_is_here =
            self.unread.load(Ordering::SeqCst) == 0 || !self.hungry.load(Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) > 0 && body_is_here
    }

    /// Asks the reader of a body whether it still waits: what has come may not
    /// have reached it.
    fn ask_reader(&self) {
        self.hungry.store(false, Ordering::SeqCst);
        if let Some(waker) = locked(&self.reader).take() {
            waker.wake();
        }
    }
}

fn locked(place: &Mutex<Option<Waker>>) -> MutexGuard<'_, Option<Waker>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct Socket {
    stream: UnixStream,
    /// The answers under way.
    pub answers: Arc<Answers>,
    /// Made when the peer has half-closed.
    departure: Option<Departure>,
    /// Where in a request's first line the client is.
    line: FirstLine,
    /// How many answers had begun when that line did.
    begun: usize,
    /// The peer says no more.
    finished: bool,
}

/// Watches for a peer that closes both directions.
#[derive(Debug)]
pub struct Departure(AsyncFd<OwnedFd>);

impl Departure {
    /// Begins to watch.
    ///
    /// # Errors
    /// No descriptor is left to watch with.
    #[expect(
        deprecated,
        reason = "unsound only for types whose descriptor changes: an OwnedFd's does not"
    )]
    pub fn of(stream: &impl AsFd) -> io::Result<Self> {
        // Registered for priority data only, which no unix socket has, and of
        // TCP no client of ours sends: what remains is the hang-up that epoll
        // always reports.
        let fd = stream.as_fd().try_clone_to_owned()?;
        AsyncFd::with_interest(fd, Interest::PRIORITY).map(Self)
    }

    /// Returns when it has left.
    pub async fn wait(&self) {
        // An error means that the watch is over, too.
        let _ = std::future::poll_fn(|cx| self.0.poll_read_ready(cx).map_ok(drop)).await;
    }
}

impl Socket {
    /// Takes an accepted stream.
    pub fn new(stream: UnixStream) -> Self {
        let line = FirstLine::default();
        Self { stream, answers: Arc::default(), departure: None, line, begun: 0, finished: false }
    }

    /// Ready when the peer has closed both directions.
    fn poll_departure(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let departure = match &mut self.departure {
            Some(departure) => departure,
            none => none.insert(Departure::of(&self.stream)?),
        };
        departure.0.poll_read_ready(cx).map_ok(drop)
    }

    /// Lets what has come pass through the [`FirstLine`] of its request.
    fn take_in(&mut self, bytes: &mut [u8]) {
        let begun = self.answers.begun.load(Ordering::SeqCst);
        if begun != self.begun && self.answers.count.load(Ordering::SeqCst) == 0 {
            // All that was asked is answered: this is a new question.
            (self.begun, self.line) = (begun, FirstLine::default());
        }
        self.line.pass(bytes);
    }

    /// The bare stream, for a connection that is no longer HTTP.
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.take_in(&mut buf.filled_mut()[before..]);
        let finished = buf.filled().len() == before && buf.remaining() > 0;
        if finished && !std::mem::replace(&mut self.finished, true) {
            self.answers.ask_reader();
        }
        if finished && self.answers.awaited() {
            // To be told when the answer is out, and not to miss it: the
            // count may have fallen before the waker was there.
            *locked(&self.answers.hidden) = Some(cx.waker().clone());
            if self.answers.awaited() {
                return self.poll_departure(cx);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const BOUND: Duration = Duration::from_secs(10);

    fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        (Socket::new(ours), theirs)
    }

    #[tokio::test]
    async fn a_half_close_is_the_end_when_nothing_is_being_answered() {
        let (mut socket, mut client) = pair();
        client.shutdown().await.expect("shutdown");
        let mut buf = [0; 8];
        let read = tokio::time::timeout(BOUND, socket.read(&mut buf)).await;
        assert_eq!(read.expect("in time").expect("read"), 0);
    }

    #[tokio::test]
    async fn a_half_close_during_an_answer_is_hidden_until_the_client_leaves() {
        let (mut socket, mut client) = pair();
        let busy = Busy::hold(&socket.answers);
        client.write_all(b"hi").await.expect("write");
        client.shutdown().await.expect("shutdown");
        let mut buf = [0; 8];
        assert_eq!(socket.read(&mut buf).await.expect("what was said"), 2);
        {
            let mut next = Box::pin(socket.read(&mut buf));
            let polled = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            assert!(polled.is_pending(), "the client still waits for its answer");
        }
        socket.write_all(b"answer").await.expect("the other direction is open");
        client.read_exact(&mut buf[..6]).await.expect("the answer");
        drop(client);
        let read = tokio::time::timeout(BOUND, socket.read(&mut buf)).await;
        assert_eq!(read.expect("the leaving is seen").expect("read"), 0);
        drop(busy);
    }

    #[tokio::test]
    async fn a_half_close_behind_a_whole_body_is_hidden_and_in_its_midst_told() {
        let (mut socket, mut client) = pair();
        let _busy = Busy::hold(&socket.answers);
        let unread = Unread::hold(&socket.answers);
        unread.waits(Waker::noop());
        client.write_all(b"body").await.expect("write");
        client.shutdown().await.expect("shutdown");
        let mut buf = [0; 8];
        assert_eq!(socket.read(&mut buf).await.expect("what was said"), 4);
        unread.waits(Waker::noop());
        let mut next = Box::pin(socket.read(&mut buf));
        let polled = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "it may be all that was meant");
        unread.waits(Waker::noop());
        let read = tokio::time::timeout(BOUND, next).await;
        assert_eq!(read.expect("the reader wants more").expect("read"), 0);
    }

    #[tokio::test]
    async fn a_half_close_comes_to_light_when_the_answer_is_out() {
        let (mut socket, mut client) = pair();
        let busy = Busy::hold(&socket.answers);
        client.shutdown().await.expect("shutdown");
        let reader = tokio::spawn(async move { socket.read(&mut [0; 8]).await });
        // Let the reader meet the end and hide it.
        tokio::task::yield_now().await;
        drop(busy);
        let read = tokio::time::timeout(BOUND, reader).await.expect("in time");
        assert_eq!(read.expect("no panic").expect("read"), 0);
    }
}

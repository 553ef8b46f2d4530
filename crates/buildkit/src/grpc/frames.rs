//! Messages on one stream of a connection, in either direction.

use super::{Code, Status};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use prost::Message;
use std::future::poll_fn;

/// The longest message: what BuildKit itself allows.
const LONGEST: usize = 16 << 20;
/// A byte that says whether it is compressed, four that say how long it is.
const HEAD: usize = 5;

/// Messages that come.
pub struct Incoming {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next message; none when the other end has said all.
    ///
    /// # Errors
    /// The connection broke off, or what came is no message.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                let message = M::decode(message)
                    .map_err(|error| Status::new(Code::Internal, format!("no message: {error}")))?;
                return Ok(Some(message));
            }
            let Some(data) = self.stream.data().await else {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(Status::new(Code::Internal, "a message broke off"))
                };
            };
            let data = data?;
            // What is buffered is bounded by the longest message.
            self.stream.flow_control().release_capacity(data.len())?;
            self.buffer.extend_from_slice(&data);
        }
    }

    /// The only message of a call that has one.
    ///
    /// # Errors
    /// As [`next`](Self::next); also none.
    pub async fn only<M: Message + Default>(&mut self) -> Result<M, Status> {
        let missing = || Status::new(Code::Internal, "the call has no message");
        self.next().await?.ok_or_else(missing)
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(head) = self.buffer.get(..HEAD) else { return Ok(None) };
        let length = head[1..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if head[0] != 0 {
            return Err(Status::new(Code::Unimplemented, "compressed messages are not carried"));
        }
        if length > LONGEST {
            let words = format!("a message of {length} bytes is longer than {LONGEST}");
            return Err(Status::new(Code::ResourceExhausted, words));
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// What the other end says last. All messages have to be read before.
    ///
    /// # Errors
    /// The connection broke off, or the call failed.
    pub async fn end(&mut self) -> Result<(), Status> {
        match self.stream.trailers().await?.as_ref().map(Status::of) {
            Some(None) => Ok(()),
            Some(Some(status)) => Err(status),
            None => Err(Status::new(Code::Unknown, "the call ended without a status")),
        }
    }
}

/// Messages that go.
pub struct Outgoing(pub(super) SendStream<Bytes>);

impl Outgoing {
    /// Sends a message, as fast as the other end takes it.
    ///
    /// # Errors
    /// The other end has left.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), Status> {
        self.put(message, false).await
    }

    /// Sends the only message, and with its last byte says that it was: who
    /// has it may answer and close the stream before anything else comes.
    ///
    /// # Errors
    /// The other end has left.
    pub async fn send_only<M: Message>(&mut self, message: &M) -> Result<(), Status> {
        self.put(message, true).await
    }

    async fn put<M: Message>(&mut self, message: &M, last: bool) -> Result<(), Status> {
        let mut buffer = BytesMut::with_capacity(HEAD + message.encoded_len());
        buffer.put_u8(0);
        let length = u32::try_from(message.encoded_len())
            .map_err(|_| Status::new(Code::Internal, "a message is too long"))?;
        buffer.put_u32(length);
        message
            .encode(&mut buffer)
            .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let mut rest = buffer.freeze();
        while !rest.is_empty() {
            self.0.reserve_capacity(rest.len());
            let room = poll_fn(|cx| self.0.poll_capacity(cx)).await.unwrap_or(Ok(0))?;
            if room == 0 {
                return Err(Status::new(Code::Cancelled, "the other end has left"));
            }
            let part = rest.split_to(room.min(rest.len()));
            self.0.send_data(part, last && rest.is_empty())?;
        }
        Ok(())
    }

    /// Nothing more is sent.
    ///
    /// # Errors
    /// The other end has left.
    pub fn finish(&mut self) -> Result<(), Status> {
        self.0.send_data(Bytes::new(), true)?;
        Ok(())
    }
}

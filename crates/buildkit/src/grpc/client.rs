//! The calling end.

use super::{Code, Incoming, Outgoing, Status};
use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{HeaderValue, Request, Version};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

/// How much the other end may send before it is read: contexts are large.
const WINDOW: u32 = 1 << 20;

/// Calls on one connection; clones share it.
#[derive(Clone)]
pub struct Channel(SendRequest<Bytes>);

/// Begins to speak. The connection has to be polled to its end.
///
/// # Errors
/// The other end does not speak HTTP/2.
pub async fn connect<S>(stream: S) -> Result<(Channel, Connection<S, Bytes>), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (channel, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .enable_push(false)
        .handshake(stream)
        .await?;
    Ok((Channel(channel), connection))
}

impl Channel {
    /// Begins a call whose two directions are streams.
    ///
    /// # Errors
    /// The other end has left, or a header cannot be said.
    pub async fn open(
        &self,
        path: &'static str,
        metadata: &[(&'static str, &str)],
    ) -> Result<Opened, Status> {
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://localhost{path}")
            .parse()
            .map_err(|_| Status::new(Code::Internal, format!("{path} is no path")))?;
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        for (name, value) in metadata {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Status::new(Code::InvalidArgument, format!("{value:?} cannot be sent"))
            })?;
            headers.append(*name, value);
        }
        let mut ready = self.0.clone().ready().await?;
        let (response, outgoing) = ready.send_request(request, false)?;
        Ok(Opened { outgoing: Outgoing(outgoing), answer: Answer(response) })
    }

    /// Says one message, hears one.
    ///
    /// # Errors
    /// As the other end says.
    pub async fn unary<Q: Message, A: Message + Default>(
        &self,
        path: &'static str,
        question: &Q,
    ) -> Result<A, Status> {
        let mut call = self.open(path, &[]).await?;
        call.outgoing.send_only(question).await?;
        let mut incoming = call.answer.begin().await?;
        let Some(answer) = incoming.next().await? else {
            // Refused after the head of an answer: the trailers say why.
            incoming.end().await?;
            return Err(Status::new(Code::Internal, "the call has no answer"));
        };
        if incoming.next::<A>().await?.is_some() {
            return Err(Status::new(Code::Internal, "two answers to one question"));
        }
        incoming.end().await?;
        Ok(answer)
    }
}

/// A call under way.
pub struct Opened {
    /// What is said.
    pub outgoing: Outgoing,
    /// What comes back.
    pub answer: Answer,
}

/// The beginning of an answer.
pub struct Answer(h2::client::ResponseFuture);

impl Answer {
    /// Waits for the answer to begin.
    ///
    /// # Errors
    /// The call was refused.
    pub async fn begin(self) -> Result<Incoming, Status> {
        let (head, body) = self.0.await?.into_parts();
        if head.headers.contains_key("grpc-status") {
            // An answer of trailers alone.
            let nothing = || Status::new(Code::Unknown, "the call ended at once");
            return Err(Status::of(&head.headers).unwrap_or_else(nothing));
        }
        if head.status != http::StatusCode::OK {
            let words = format!("the client answered with status {}", head.status);
            return Err(Status::new(Code::Unknown, words));
        }
        Ok(Incoming::new(body))
    }
}

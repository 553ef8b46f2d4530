//! The serving end: streams come in, each is a call.

use super::{Incoming, Outgoing, Status};
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;
use std::future::{Future, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite};

/// How much a client may send before it is read; as Go's default here.
const WINDOW: u32 = 1 << 20;
/// How many calls may be under way on one connection.
const CALLS: u32 = 250;

/// One call.
pub struct Call {
    /// `/package.Service/Method`.
    pub path: String,
    /// Metadata.
    pub headers: HeaderMap,
    /// What the client says.
    pub incoming: Incoming,
    respond: SendResponse<Bytes>,
}

/// Serves a connection to its end; each call is a task of its own.
pub async fn serve<S, F>(
    stream: S,
    answer: impl Fn(Call) -> F + Send + Sync,
) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .max_concurrent_streams(CALLS)
        .handshake(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let (parts, body) = request.into_parts();
        let call = Call {
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            incoming: Incoming::new(body),
            respond,
        };
        tokio::spawn(answer(call));
    }
    Ok(())
}

impl Call {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Begins the answer of a call that is answered by a stream.
    ///
    /// # Errors
    /// The client has left.
    pub fn begin(&mut self) -> Result<Outgoing, Status> {
        let mut response = Response::new(());
        response.headers_mut().insert("content-type", HeaderValue::from_static(GRPC));
        Ok(Outgoing(self.respond.send_response(response, false)?))
    }

    /// Answers with one message, or says why not. If the client gives the
    /// call up, the work is dropped where it waits.
    pub async fn unary<M: Message>(mut self, work: impl Future<Output = Result<M, Status>>) {
        let outcome = tokio::select! {
            outcome = work => outcome,
            _ = poll_fn(|cx| self.respond.poll_reset(cx)) => return,
        };
        // A client that has left needs no answer.
        let _ = match outcome {
            Ok(message) => self.answer(&message).await,
            Err(status) => self.fail(&status),
        };
    }

    async fn answer<M: Message>(&mut self, message: &M) -> Result<(), Status> {
        let mut outgoing = self.begin()?;
        outgoing.send(message).await?;
        end(outgoing, Ok(()))
    }

    /// Says why there is no answer.
    ///
    /// # Errors
    /// The client has left.
    pub fn fail(&mut self, status: &Status) -> Result<(), Status> {
        let mut response = Response::new(());
        *response.headers_mut() = status.trailers();
        response.headers_mut().insert("content-type", HeaderValue::from_static(GRPC));
        self.respond.send_response(response, true)?;
        Ok(())
    }
}

/// Ends a stream.
///
/// # Errors
/// The client has left.
pub fn end(mut outgoing: Outgoing, outcome: Result<(), Status>) -> Result<(), Status> {
    let trailers = match outcome {
        Ok(()) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from(0));
            trailers
        }
        Err(status) => status.trailers(),
    };
    outgoing.0.send_trailers(trailers)?;
    Ok(())
}

const GRPC: &str = "application/grpc";

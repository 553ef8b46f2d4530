//! BuildKit's door: what `docker buildx build` and Compose speak.
//!
//! ```text
//!   buildx                                 here
//!     | POST /grpc, h2c ------------------> |  it calls: Control, LLBBridge
//!     | POST /session, h2c ---------------> |  and is called: its files, secrets …
//!     |                                     |
//!     | Control.Solve(ref, exporter) -----> |  waits for Return
//!     | Control.Status(ref) --------------> |  the journal, as it is written
//!     | LLBBridge.Solve(dockerfile.v0) ---> |  files ─▶ engine.build ─▶ a result
//!     | <---------------------- a result -- |
//!     | LLBBridge.Return(result) ---------> |  exported; Solve is answered
//! ```
//!
//! The frontend `dockerfile.v0` is the engine's own builder; what else
//! BuildKit can do (definitions of one's own, other frontends, attestations,
//! caches in other places) is refused in words. Async is what waits for the
//! client; the building is a blocking call.

mod bridge;
mod check;
mod client;
mod context;
mod control;
mod desk;
mod export;
mod filter;
mod grpc;
mod input;
mod journal;
mod options;
mod proto;
mod receive;
mod requests;
mod send;
mod session;
mod wants;
mod writer;

pub use desk::Desk;
pub use session::Introduction;

use bytes::Bytes;
use grpc::server::Call;
use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

/// A connection whose first bytes have been read already.
fn whole(
    stream: UnixStream,
    early: Bytes,
) -> impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {
    let (read, write) = stream.into_split();
    tokio::io::join(Cursor::new(early).chain(read), write)
}

impl Desk {
    /// Serves a connection of `POST /grpc` to its end.
    pub async fn serve_calls(self: Arc<Self>, stream: UnixStream, early: Bytes) {
        let served =
            grpc::server::serve(whole(stream, early), move |call| answer(Arc::clone(&self), call));
        if let Err(error) = served.await {
            tracing::debug!(%error, "a build client's connection broke off");
        }
    }

    /// Serves a session of `POST /session` until the client ends it, or
    /// `ended` comes.
    pub async fn serve_session(
        &self,
        stream: UnixStream,
        early: Bytes,
        client: Introduction,
        ended: impl Future<Output = ()>,
    ) {
        let stream = whole(stream, early);
        let id = client.id.clone();
        if let Err(error) = self.sessions.serve(client, stream, ended).await {
            tracing::debug!(session = id, %error, "a build session broke off");
        }
    }
}

/// Finds who answers a call.
async fn answer(desk: Arc<Desk>, mut call: Call) {
    let Some((service, method)) = call.path.trim_start_matches('/').split_once('/') else {
        let _ = call.fail(&unknown(&call.path));
        return;
    };
    let (service, method) = (service.to_owned(), method.to_owned());
    let answered = match service.as_str() {
        "moby.buildkit.v1.Control" => control::answer(desk, call, &method).await,
        "moby.buildkit.v1.frontend.LLBBridge" => bridge::answer(desk, call, &method).await,
        _ => Err(call),
    };
    if let Err(mut call) = answered {
        // A client that has left needs no answer.
        let _ = call.fail(&unknown(&call.path));
    }
}

/// Clients take this as "not carried here" and do without where they can.
fn unknown(path: &str) -> grpc::Status {
    let words = format!("{} is not carried by this engine", path.trim_start_matches('/'));
    grpc::Status::new(grpc::Code::Unimplemented, words)
}

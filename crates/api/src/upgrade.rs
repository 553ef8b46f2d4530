//! Connections that stop being HTTP and speak BuildKit's protocols: `/grpc`,
//! on which the client calls, and `/session`, on which it is called.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::socket::Departure;
use bytes::Bytes;
use hyper::header;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// What the client is told before.
const HEAD: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

type Serve = Box<dyn FnOnce(UnixStream, Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Who speaks on the connection from here on.
pub struct Upgrade(Serve);

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

impl Upgrade {
    fn to<F>(serve: impl FnOnce(UnixStream, Bytes) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = |stream, early| {
            let served: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(serve(stream, early));
            served
        };
        Ok(Answer::Upgrade(Box::new(Self(Box::new(serve)))))
    }

    /// Serves the connection to its end. `early` is what the client sent
    /// right behind its request.
    pub async fn serve(self, mut stream: UnixStream, early: Bytes) {
        if stream.write_all(HEAD).await.is_ok() {
            (self.0)(stream, early).await;
        }
    }
}

/// The only protocol that is spoken.
fn wants_h2c(call: &Call) -> Result<(), Error> {
    let wanted = call.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    match wanted {
        Some("h2c") => Ok(()),
        None => Err(Error::bad("this is for a connection that is upgraded: say Upgrade: h2c")),
        Some(other) => Err(Error::bad(format!("no upgrade to {other}: only h2c is spoken"))),
    }
}

/// `POST /grpc`.
pub fn grpc(call: &Call) -> Outcome {
    wants_h2c(call)?;
    let desk = call.buildkit.clone();
    Upgrade::to(move |stream, early| desk.serve_calls(stream, early))
}

/// `POST /session`.
pub fn session(call: &Call) -> Outcome {
    wants_h2c(call)?;
    let desk = call.buildkit.clone();
    let client = buildkit::Introduction::of(&call.headers);
    if client.id.is_empty() {
        return Err(Error::bad("the session has no X-Docker-Expose-Session-Uuid"));
    }
    Upgrade::to(move |stream, early| async move {
        // A client that dies says nothing; its socket does.
        let Ok(departure) = Departure::of(&stream) else { return };
        desk.serve_session(stream, early, client, departure.wait()).await;
    })
}

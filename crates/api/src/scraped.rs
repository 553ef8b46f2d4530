//! The door for Prometheus: figures and nothing else, in plain HTTP at a TCP
//! address of their own (`--metrics-addr`, as Docker's daemon has it).
//!
//! Whoever reaches the address may read them, so all that a stranger can take
//! is bounded: connections, their length, and sweeps over the containers, of
//! which there is one at a time. Who came while it had not begun shares it.

use crate::exposition::Format;
use crate::metrics;
use crate::streams::blocking;
use bytes::Bytes;
use engine::Engine;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};

/// Connections at a time; the others wait to be accepted.
const PLACES: usize = 16;
/// How long a client may take to say what it wants.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection lasts.
const LIFE: Duration = Duration::from_mins(5);
/// Pause after `accept` failed, for want of descriptors, say.
const BREATH: Duration = Duration::from_millis(100);

/// What all connections share.
struct Window {
    engine: Engine,
    /// The latest page of each format, and when its sweep began.
    latest: [Mutex<Option<(Instant, Bytes)>>; 2],
}

/// Answers until it is dropped.
pub async fn serve(engine: Engine, listener: TcpListener) {
    let window = Arc::new(Window { engine, latest: Default::default() });
    let places = Arc::new(Semaphore::new(PLACES));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, from)) => {
                let window = Arc::clone(&window);
                tokio::spawn(async move {
                    if timeout(LIFE, connection(stream, window)).await.is_err() {
                        tracing::debug!(%from, "a connection for figures has lasted long enough");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for figures");
                sleep(BREATH).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, window: Arc<Window>) {
    let answering = service_fn(move |request| {
        let window = Arc::clone(&window);
        async move { Ok::<_, Infallible>(answer(&window, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), answering)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for figures broke off");
    }
}

async fn answer(window: &Window, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return said(StatusCode::NOT_FOUND, "404 page not found: figures are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return said(StatusCode::METHOD_NOT_ALLOWED, "figures are read by GET\n");
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::wanted(accept.unwrap_or_default());
    match window.page(format).await {
        Ok(text) => with_type(StatusCode::OK, format.media(), text),
        Err(error) => {
            tracing::error!(%error, "figures cannot be told");
            said(StatusCode::INTERNAL_SERVER_ERROR, "figures cannot be told: see the log\n")
        }
    }
}

impl Window {
    /// A page whose sweep began after it was asked for.
    async fn page(&self, format: Format) -> Result<Bytes, crate::error::Error> {
        let asked = Instant::now();
        let mut latest = self.latest[usize::from(format == Format::OpenMetrics)].lock().await;
        if let Some((begun, text)) = &*latest
            && *begun >= asked
        {
            return Ok(text.clone());
        }
        let begun = Instant::now();
        let engine = self.engine.clone();
        let text = blocking(move || metrics::page(&engine, format, None)).await?;
        let text = Bytes::from(text);
        *latest = Some((begun, text.clone()));
        Ok(text)
    }
}

fn said(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", Bytes::from_static(words.as_bytes()))
}

fn with_type(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

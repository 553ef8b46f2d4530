//! Accepting connections and answering requests on them.
//!
//! ```text
//!   accept ─▶ connection (a task) ─▶ request ─▶ route ─▶ handler
//!                  │                                       │ calls: a thread
//!                  │ ◀───────────── response ───────────── │ streams: this task
//!                  │ ◀───────────── hijack ─────────────── │
//!                  ▼
//!               the connection carries a program's streams, then ends
//! ```
//!
//! A panic in a handler costs its request (500) and nothing else.

use crate::answer::{Answer, Outcome, Outgoing};
use crate::arriving::Arriving;
use crate::call::{Call, Who, versioned};
use crate::doors::{Doors, Opened};
use crate::error::Error;
use crate::gate::{Asked, Gate};
use crate::hijack::Hijack;
use crate::query::{Query, decode};
use crate::route::{self, Found, Handler};
use crate::scraped;
use crate::secure::{self, Porter, Refusals};
use crate::socket::{Answers, Busy, Socket, Unread};
use crate::target;
use crate::upgrade::Upgrade;
use bytes::Bytes;
use engine::Engine;
use hyper::body::Incoming;
use hyper::header::{EXPECT, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

/// How long calls under way may take to finish when the daemon stops.
const LAST_CALLS: Duration = Duration::from_secs(10);
/// How long nothing is asked before the daemon counts as idle.
const REST: Duration = Duration::from_secs(12);
/// Pause after `accept` failed, for want of descriptors, say.
const BREATH: Duration = Duration::from_millis(100);

/// What all connections share.
struct Desk {
    engine: Engine,
    doors: Arc<Doors>,
    buildkit: Arc<buildkit::Desk>,
    /// How many blocking calls are under way.
    calls: watch::Sender<usize>,
}

/// Where clients come in.
pub enum Listener {
    /// Those of this host, who are known by the socket's owner and mode.
    Here(UnixListener),
    /// Those of the network, who are known by their certificates.
    Afar(TcpListener, Porter),
    /// Those who may read figures, whoever they are.
    Figures(TcpListener),
}

/// Serves the API on every listener until `stop` says so, then lets calls
/// under way finish, within a bound. `at_rest` is called, on a thread of its
/// own, when nothing has been asked for a while.
pub async fn serve(
    engine: Engine,
    listeners: Vec<Listener>,
    mut stop: watch::Receiver<bool>,
    at_rest: fn(),
) {
    let calls = watch::Sender::new(0);
    let mut under_way = calls.subscribe();
    let idle = tokio::spawn(rest(calls.subscribe(), at_rest));
    let buildkit = Arc::new(buildkit::Desk::new(engine.clone()));
    let (server, opened) = mpsc::unbounded_channel();
    let scoped = Arc::new(Doors::open(&engine, server));
    let desk = Arc::new(Desk { engine, doors: scoped, buildkit, calls });
    let mut doors: Vec<_> = listeners
        .into_iter()
        .map(|listener| match listener {
            Listener::Here(listener) => tokio::spawn(accept(listener, Arc::clone(&desk), None)),
            Listener::Afar(listener, porter) => {
                tokio::spawn(accept_afar(listener, porter, Arc::clone(&desk)))
            }
            Listener::Figures(listener) => {
                tokio::spawn(scraped::serve(desk.engine.clone(), listener))
            }
        })
        .collect();
    doors.push(tokio::spawn(accept_scoped(opened, desk)));
    // If the sender is gone there is nobody left to serve for.
    let _ = stop.wait_for(|stop| *stop).await;
    idle.abort();
    for door in doors {
        door.abort();
        // Cancelled, as asked.
        let _ = door.await;
    }
    if timeout(LAST_CALLS, under_way.wait_for(|calls| *calls == 0)).await.is_err() {
        tracing::warn!("stopping with calls under way");
    }
}

/// Notices when the daemon is left in peace.
async fn rest(mut calls: watch::Receiver<usize>, at_rest: fn()) {
    while calls.changed().await.is_ok() {
        while let Ok(changed) = timeout(REST, calls.changed()).await {
            if changed.is_err() {
                return;
            }
        }
        // If it panics, the daemon is only larger than it could be.
        let _ = spawn_blocking(at_rest).await;
    }
}

/// Listens on scoped sockets as they are made, each until it is revoked.
async fn accept_scoped(mut opened: mpsc::UnboundedReceiver<Opened>, desk: Arc<Desk>) {
    let mut listening = JoinSet::new();
    while let Some((listener, gate)) = opened.recv().await {
        let desk = Arc::clone(&desk);
        match UnixListener::from_std(listener) {
            Ok(listener) => drop(listening.spawn(async move {
                tokio::select! {
                    () = accept(listener, desk, Some(Arc::clone(&gate))) => {}
                    () = gate.ended() => {}
                }
            })),
            Err(error) => tracing::error!(%error, "cannot listen on a scoped socket"),
        }
        // Those that were revoked meanwhile.
        while listening.try_join_next().is_some() {}
    }
}

async fn accept(listener: UnixListener, desk: Arc<Desk>, gate: Option<Arc<Gate>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&desk), gate.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(BREATH).await;
            }
        }
    }
}

/// Lets in who proves who it is. One that takes its time holds up nobody but
/// others that have not proved it yet, and not for long.
async fn accept_afar(listener: TcpListener, porter: Porter, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(secure::HANDSHAKES));
    let refusals = Arc::new(Refusals::default());
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(BREATH).await;
                continue;
            }
        };
        let (porter, desk) = (porter.clone(), Arc::clone(&desk));
        let refusals = Arc::clone(&refusals);
        tokio::spawn(async move {
            let admitted = porter.admit(stream).await;
            drop(place);
            let carried = match admitted {
                Ok(client) => carry(client, desk).await,
                Err(error) => {
                    if let Some(untold) = refusals.told(Instant::now()) {
                        tracing::info!(%from, %error, untold, "a client is not let in");
                    }
                    return;
                }
            };
            if let Err(error) = carried {
                tracing::debug!(%from, %error, "a connection broke off");
            }
        });
    }
}

/// One client of the network, to the end of its connection.
async fn carry(client: secure::Client, desk: Arc<Desk>) -> std::io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    // To the engine it is one of root's, which holds the key it was let in by.
    tokio::spawn(connection(theirs, desk, None));
    secure::ferry(client, ours).await
}

/// One client, to the end of its connection.
async fn connection(stream: UnixStream, desk: Arc<Desk>, gate: Option<Arc<Gate>>) {
    let _line = match gate.as_ref().map(|gate| gate.line(&stream)).transpose() {
        Ok(None) => None,
        Ok(Some(Some(line))) => Some(line),
        // Revoked since it was accepted.
        Ok(Some(None)) => return,
        Err(error) => return tracing::warn!(%error, "cannot hold a connection"),
    };
    let who = match Who::of(&stream) {
        Ok(who) => who,
        Err(error) => return tracing::warn!(%error, "a connection of nobody is closed"),
    };
    let socket = Socket::new(stream);
    let hijack = Arc::new(Mutex::new(None));
    let answers = Arc::clone(&socket.answers);
    let service = Answering { desk, who, gate, answers, hijack: Arc::clone(&hijack) };
    let mut http = http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), service);
    let taken = poll_fn(|cx| {
        let polled = http.poll_without_shutdown(cx);
        match hijack.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(taken) => Poll::Ready(Some(taken)),
            None => polled.map(|ended| {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                None
            }),
        }
    })
    .await;
    let parts = http.into_parts();
    // The service holds the engine; a session may last for days.
    drop(parts.service);
    let mut stream = parts.io.into_inner().into_stream();
    match taken {
        Some(Taken::Program(hijack)) => hijack.serve(stream, parts.read_buf).await,
        Some(Taken::Protocol(upgrade)) => upgrade.serve(stream, parts.read_buf).await,
        None => {
            // The client may have left already.
            let _ = stream.shutdown().await;
        }
    }
}

/// Who takes a connection over.
enum Taken {
    Program(Box<Hijack>),
    Protocol(Box<Upgrade>),
}

/// Answers the requests of one connection.
struct Answering {
    desk: Arc<Desk>,
    who: Who,
    /// What it is held to.
    gate: Option<Arc<Gate>>,
    answers: Arc<Answers>,
    hijack: Arc<Mutex<Option<Taken>>>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response<Outgoing>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (desk, who, gate) = (Arc::clone(&self.desk), self.who, self.gate.clone());
        let busy = Busy::hold(&self.answers);
        let (head, body) = request.into_parts();
        // Who waits to be told that the body is wanted has not sent it.
        let asks = head.headers.contains_key(EXPECT);
        let (body, rest) = Arriving::new(body, || Unread::hold(&self.answers));
        let request = Request::from_parts(head, body);
        let slot = Arc::clone(&self.hijack);
        Box::pin(async move {
            let what = format!("{} {}", request.method(), request.uri());
            let answer = guard(answer(&desk, who, gate, request)).await.unwrap_or_else(|error| {
                if error.status() == 500 {
                    tracing::error!(request = what, status = error.status(), %error);
                } else {
                    tracing::debug!(request = what, status = error.status(), %error);
                }
                error.answer()
            });
            match answer {
                Answer::Http { status, headers, content, held } => {
                    if !asks {
                        rest.drain().await;
                    }
                    let mut response = Response::new(Outgoing::new(content, held, busy));
                    *response.status_mut() = status;
                    *response.headers_mut() = headers;
                    common(response.headers_mut(), desk.engine.options().experimental);
                    Ok(response)
                }
                Answer::Hijack(hijack) => {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Taken::Program(hijack));
                    // The connection is taken from under this future.
                    std::future::pending().await
                }
                Answer::Upgrade(upgrade) => {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Taken::Protocol(upgrade));
                    std::future::pending().await
                }
            }
        })
    }
}

/// Turns a panic into an error of ours.
async fn guard(work: impl Future<Output = Outcome>) -> Outcome {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}

fn panicked() -> Error {
    Error::ours("this request met a fault in the engine: see its log")
}

/// Headers that every response carries; clients negotiate with them.
fn common(headers: &mut HeaderMap, experimental: bool) {
    for (name, value) in words(experimental) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Name and value, as in [`common`] and at the head of a hijacked stream.
pub fn words(experimental: bool) -> [(&'static str, &'static str); 4] {
    [
        ("api-version", "1.51"),
        ("docker-experimental", if experimental { "true" } else { "false" }),
        ("ostype", "linux"),
        ("server", concat!("Cofferdam/", env!("CARGO_PKG_VERSION"), " (linux)")),
    ]
}

/// Finds the handler and lets it work.
async fn answer(
    desk: &Desk,
    who: Who,
    gate: Option<Arc<Gate>>,
    request: Request<Arriving>,
) -> Outcome {
    let (parts, incoming) = request.into_parts();
    let path = target::path(&decode(parts.uri.path(), false));
    let versioned = versioned(&path);
    if parts.method == Method::OPTIONS && gate.is_none() && versioned.is_ok() {
        // What browsers ask first; Docker answers so whatever the path.
        return Ok(Answer::status(StatusCode::OK));
    }
    let line = |(_, path): &(_, &str)| route::find(&parts.method, path);
    let mut found = versioned.as_ref().ok().and_then(line);
    let query = Query::parse(&target::query(parts.uri.query().unwrap_or_default()));
    if let Some(gate) = &gate {
        let (gate, engine) = (Arc::clone(gate), desk.engine.clone());
        let (method, query) = (parts.method.clone(), query.clone());
        let path = parts.uri.path().to_owned();
        let asking = move || {
            let asked = Asked { method: &method, path: &path, query: &query };
            let reached = found.as_mut().map(|found| (found.reach, &mut found.params));
            let admitted = gate.admit(&engine, who, &asked, reached);
            admitted.map(|()| found)
        };
        let asked = spawn_blocking(asking).await.unwrap_or_else(|_| Err(panicked()));
        // A version that is not answered is told as such.
        found = if versioned.is_ok() { asked? } else { None };
    }
    let (version, _) = versioned?;
    let Found { handler, params, .. } = found.ok_or_else(|| Error::missing("page not found"))?;
    let mut call = Call {
        who,
        gate,
        doors: Arc::clone(&desk.doors),
        engine: desk.engine.clone(),
        buildkit: Arc::clone(&desk.buildkit),
        version,
        params,
        query,
        headers: parts.headers,
        body: Bytes::new(),
        incoming: Some(incoming),
    };
    match handler {
        Handler::Calls(handler) => {
            call.read_body().await?;
            let under_way = UnderWay::one(&desk.calls);
            let work = spawn_blocking(move || {
                let outcome = handler(&call);
                drop(under_way);
                outcome
            });
            work.await.unwrap_or_else(|_| Err(panicked()))
        }
        Handler::Streams(handler) => {
            let _under_way = UnderWay::one(&desk.calls);
            handler(call).await
        }
    }
}

/// Counts one call while it lasts.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn one(calls: &watch::Sender<usize>) -> Self {
        calls.send_modify(|calls| *calls += 1);
        Self(calls.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::NEWEST;

    #[test]
    fn the_version_in_the_headers_is_the_newest() {
        assert_eq!(words(false)[0].1, NEWEST.to_string());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let outcome = guard(async { panic!("on purpose") }).await;
        assert_eq!(outcome.expect_err("an error").status(), 500);
    }

    #[tokio::test]
    async fn calls_under_way_are_counted_even_through_a_panic() {
        let calls = watch::Sender::new(0);
        let one = UnderWay::one(&calls);
        assert_eq!(*calls.borrow(), 1);
        let _ = spawn_blocking(move || {
            let _one = one;
            panic!("on purpose");
        })
        .await;
        assert_eq!(*calls.borrow(), 0);
    }
}

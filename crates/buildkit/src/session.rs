//! A client's session: what only the client has (its files, secrets, keys,
//! credentials), asked for on a connection that it opened.
//!
//! ```text
//!   client                          here
//!     | POST /session, h2c ---------> |  named by X-Docker-Expose-Session-Uuid
//!     | <------------- 101 ---------- |
//!     | <--- HTTP/2, this end calls - |  DiffCopy, GetSecret, ForwardAgent …
//!     | end of connection ----------> |  the session is forgotten
//! ```

use crate::grpc::client::{Channel, connect};
use crate::grpc::{Code, Status};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a build waits for the session that it names: the client opens
/// both connections at the same time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions at one time: each costs the daemon a connection.
const MOST: usize = 256;

/// One client's session.
#[derive(Clone)]
pub struct Session {
    /// Calls to the client.
    pub channel: Channel,
    /// `/package.Service/Method` of all that it answers, in lower case as Go
    /// compares them.
    methods: Arc<HashSet<String>>,
    /// What the client calls the directory that it builds: the same for each
    /// of its builds there, and on no other host.
    pub shared: Option<Arc<str>>,
}

/// How a client introduces its session.
#[derive(Debug, Default)]
pub struct Introduction {
    /// `X-Docker-Expose-Session-Uuid`.
    pub id: String,
    /// Each `X-Docker-Expose-Session-Grpc-Method`.
    pub methods: Vec<String>,
    /// `X-Docker-Expose-Session-Sharedkey`; empty if there is none.
    pub shared: String,
}

impl Introduction {
    /// Reads it.
    pub fn of(headers: &http::HeaderMap) -> Self {
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
        let methods = headers.get_all("x-docker-expose-session-grpc-method");
        Self {
            id: one("x-docker-expose-session-uuid"),
            methods: methods.iter().map(text).collect(),
            shared: one("x-docker-expose-session-sharedkey"),
        }
    }
}

impl Session {
    /// Whether the client answers this.
    pub fn answers(&self, method: &str) -> bool {
        self.methods.contains(&method.to_ascii_lowercase())
    }
}

/// All sessions, by their id.
#[derive(Default)]
pub struct Sessions {
    by_id: Mutex<HashMap<String, Session>>,
    /// How many have come so far.
    come: watch::Sender<u64>,
}

impl Sessions {
    /// Serves a session's connection until the client ends it.
    ///
    /// # Errors
    /// It does not speak, or there are too many.
    pub async fn serve<S>(
        &self,
        client: Introduction,
        stream: S,
        ended: impl Future<Output = ()>,
    ) -> Result<(), Status>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (channel, connection) = connect(stream).await?;
        let methods = client.methods.iter().map(|method| method.to_ascii_lowercase());
        let methods = Arc::new(methods.collect());
        let shared = Some(client.shared).filter(|key| !key.is_empty()).map(Into::into);
        let _entry = self.enter(&client.id, Session { channel, methods, shared })?;
        tokio::select! {
            ended = connection => ended.map_err(Status::from),
            () = ended => Ok(()),
        }
    }

    fn enter(&self, id: &str, session: Session) -> Result<Entry<'_>, Status> {
        let mut all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            return Err(Status::new(Code::ResourceExhausted, "too many build sessions"));
        }
        if all.contains_key(id) {
            let words = format!("there is a session {id} already");
            return Err(Status::new(Code::InvalidArgument, words));
        }
        all.insert(id.to_owned(), session);
        self.come.send_modify(|come| *come += 1);
        Ok(Entry { sessions: self, id: id.to_owned() })
    }

    /// The session of an id, which may be about to come.
    ///
    /// # Errors
    /// It does not come.
    pub async fn get(&self, id: &str) -> Result<Session, Status> {
        let find = || self.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let mut come = self.come.subscribe();
        let wait = async {
            loop {
                if let Some(session) = find() {
                    return session;
                }
                if come.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| {
            Status::new(
                Code::NotFound,
                format!("no active session for {id}: context deadline exceeded"),
            )
        })
    }
}

/// Forgets the session when its connection ends.
struct Entry<'a> {
    sessions: &'a Sessions,
    id: String,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut all = self.sessions.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.id);
    }
}

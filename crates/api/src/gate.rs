//! A scoped socket in use: each request is decided, written down, and only
//! then worked on.
//!
//! ```text
//!   request ─▶ route ─▶ decide (reach, rights, labels) ─▶ write it down ─▶ handler
//!                          │ refused                          │ cannot
//!                          ▼                                  ▼
//!                     written down, 403 or 404               500
//! ```
//!
//! What a path names is exchanged for the identifier that was looked at, so
//! that the handler finds that one and no other.

use crate::call::Who;
use crate::error::Error;
use crate::journal::{Entry, Journal, Verdict};
use crate::query::Query;
use crate::scope::{Reach, Right, Scope};
use engine::{Engine, ScopedSocket};
use hyper::{Method, StatusCode};
use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// Arguments of ps(1) that show the container's own processes and cannot be
/// bent to show others'.
const PS: [&str; 6] = ["", "-ef", "aux", "-aux", "-e", "-A"];

/// A scoped socket that listens.
pub struct Gate {
    name: String,
    scope: Scope,
    journal: Journal,
    /// Its connections, to be hung up; none once it is revoked.
    lines: Mutex<Option<Lines>>,
    revoked: watch::Sender<bool>,
}

#[derive(Default)]
struct Lines {
    next: u64,
    open: BTreeMap<u64, StdStream>,
}

/// A connection of a gate, as long as it is served.
pub struct Line {
    gate: Arc<Gate>,
    number: u64,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(lines) = self.gate.lines().as_mut() {
            lines.open.remove(&self.number);
        }
    }
}

/// What is asked, before it is taken apart.
pub struct Asked<'a> {
    /// As sent.
    pub method: &'a Method,
    /// As sent.
    pub path: &'a str,
    /// Behind the question mark.
    pub query: &'a Query,
}

impl Gate {
    /// A gate with its journal at hand.
    ///
    /// # Errors
    /// What was recorded makes no sense, or the journal cannot be opened.
    pub fn open(socket: &ScopedSocket, journal: Journal) -> Result<Self, Error> {
        Ok(Self {
            name: socket.name.clone(),
            scope: Scope::of(socket)?,
            journal,
            lines: Mutex::new(Some(Lines::default())),
            revoked: watch::Sender::new(false),
        })
    }

    /// What it allows.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    fn lines(&self) -> MutexGuard<'_, Option<Lines>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection, so that it can be hung up; none once it is revoked.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn line(self: &Arc<Self>, stream: &UnixStream) -> std::io::Result<Option<Line>> {
        let held = stream.as_fd().try_clone_to_owned()?;
        let mut lines = self.lines();
        Ok(lines.as_mut().map(|lines| {
            lines.next += 1;
            lines.open.insert(lines.next, held.into());
            Line { gate: Arc::clone(self), number: lines.next }
        }))
    }

    /// Ends it: nobody is let in any more, and who is in is out.
    pub fn revoke(&self) {
        let lines = self.lines().take();
        self.revoked.send_replace(true);
        for line in lines.into_iter().flat_map(|lines| lines.open.into_values()) {
            // One that the client has closed is closed.
            let _ = line.shutdown(Shutdown::Both);
        }
    }

    /// Returns when it is revoked.
    pub async fn ended(&self) {
        // The sender lives as long as we do.
        let _ = self.revoked.subscribe().wait_for(|revoked| *revoked).await;
    }

    /// Decides about a request, and writes that down. What the path names is
    /// exchanged for the container or session that it means.
    ///
    /// # Errors
    /// 403 or 404 where it is refused, 500 where it cannot be written down.
    pub fn admit(
        &self,
        engine: &Engine,
        who: Who,
        asked: &Asked<'_>,
        found: Option<(Reach, &mut Vec<String>)>,
    ) -> Result<(), Error> {
        let (reach, outcome) = match found {
            None => (Reach::Never, Err(Error::missing("page not found"))),
            Some((reach, params)) => (reach, self.decide(engine, asked, reach, params)),
        };
        let container = outcome.as_ref().ok().and_then(Option::as_deref);
        let line = entry(who, asked, operation(reach), container);
        let verdict = match &outcome {
            Ok(_) => Verdict::Allowed,
            Err(error) => Verdict::Refused(error.to_string()),
        };
        self.journal.write(&line, &verdict)?;
        outcome.map(drop)
    }

    /// Refuses what only its handler can see to be too much, and writes that
    /// down.
    pub fn refuse(&self, who: Who, method: &Method, path: &str, words: &str) -> Error {
        let query = Query::default();
        let asked = Asked { method, path, query: &query };
        let verdict = Verdict::Refused(words.to_owned());
        match self.journal.write(&entry(who, &asked, "exec", None), &verdict) {
            Ok(()) => self.forbidden(words),
            Err(error) => error,
        }
    }

    fn forbidden(&self, words: &str) -> Error {
        Error::new(
            StatusCode::FORBIDDEN,
            format!("the scoped socket {} allows no {words}", self.name),
        )
    }

    /// The container that a request is about, if it may be.
    fn decide(
        &self,
        engine: &Engine,
        asked: &Asked<'_>,
        reach: Reach,
        params: &mut [String],
    ) -> Result<Option<String>, Error> {
        if *self.revoked.borrow() {
            return Err(self.forbidden("more: it has been revoked"));
        }
        let may = |right: Right| {
            if self.scope.allows(right) { Ok(()) } else { Err(self.forbidden(right.word())) }
        };
        match reach {
            Reach::Never => {
                Err(self.forbidden(&format!("{} {}", asked.method, shortened(asked.path))))
            }
            Reach::Always => Ok(None),
            Reach::Lists(right) => may(right).map(|()| None),
            Reach::Container(right) => {
                may(right)?;
                let ps = asked.query.get("ps_args").unwrap_or_default();
                if !PS.contains(&ps) {
                    return Err(self.forbidden("other columns of ps than -ef and aux"));
                }
                self.own(engine, first(params)?).map(Some)
            }
            Reach::Seen => self.own(engine, first(params)?).map(Some),
            Reach::Session(right) => {
                may(right)?;
                let name = first(params)?;
                let missing = || Error::missing(format!("No such exec instance: {name}"));
                let exec = engine.exec(name).map_err(|_| missing())?;
                let container = engine.container(exec.container.as_str()).map_err(|_| missing())?;
                if !self.scope.sees(&container) {
                    return Err(missing());
                }
                if exec.wish.privileged {
                    return Err(self.forbidden("exec with more rights than the container has"));
                }
                *name = exec.id.to_string();
                Ok(Some(container.id.to_string()))
            }
        }
    }

    /// The identifier of a container in scope, in its reference's place.
    fn own(&self, engine: &Engine, reference: &mut String) -> Result<String, Error> {
        let id = self.scope.find(engine, reference)?.id.to_string();
        reference.clone_from(&id);
        Ok(id)
    }
}

fn entry(who: Who, asked: &Asked<'_>, operation: &'static str, container: Option<&str>) -> Entry {
    Entry {
        who,
        operation,
        method: asked.method.to_string(),
        path: asked.path.to_owned(),
        container: container.unwrap_or_default().to_owned(),
    }
}

/// What a path names first.
fn first(params: &mut [String]) -> Result<&mut String, Error> {
    params.first_mut().ok_or_else(|| Error::ours("a path that names nothing"))
}

/// A path as it is shown in an error.
fn shortened(path: &str) -> &str {
    &path[..path.floor_char_boundary(100)]
}

/// What is asked, in a word.
fn operation(reach: Reach) -> &'static str {
    match reach {
        Reach::Never => "other",
        Reach::Always => "ping",
        Reach::Seen => "look",
        Reach::Lists(right) | Reach::Container(right) | Reach::Session(right) => right.word(),
    }
}

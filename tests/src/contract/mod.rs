//! The contract: what Docker's API promises of every answer, and a client
//! that holds each one it gets against it.
//!
//! ```text
//!   test ──▶ Contract::ask ──▶ engine ──▶ answer ──▶ its line of OPERATIONS
//!                                                    status, headers, media,
//!                                                    body against SHAPES
//! ```
//!
//! Faults are gathered, not thrown: a run tells all that it found. The client
//! knows nothing of whose engine it speaks to, so that the contract itself can
//! be held against Docker's.

mod operations;
pub mod shape;
mod shapes;

use crate::{
    PATIENCE,
    ask::{self, Answer, Open, Request},
};
use serde_json::Value;
use shape::{Kind, Shapes};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The version whose answers carry no version in their path.
pub const NEWEST: u16 = 51;

/// What comes with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Comes {
    /// `{"message":…}`.
    Error,
    /// No body.
    Nothing,
    /// `OK` and such.
    Plain,
    /// A path's stat, in a header.
    Stat,
    Json(Kind),
    Lines(Kind),
    Tar,
    File,
    Streams,
}

/// One line of the table.
#[derive(Clone, Debug)]
struct Operation {
    method: String,
    /// As written: `/containers/{id}/json`.
    path: String,
    answers: Vec<(u16, Comes)>,
    /// Statuses that this test cannot bring about.
    unseen: Vec<u16>,
}

/// A client that checks.
pub struct Contract {
    socket: PathBuf,
    operations: Vec<Operation>,
    shapes: Shapes,
    /// What was amiss so far, and which answers were seen.
    faults: RefCell<BTreeSet<String>>,
    seen: RefCell<BTreeSet<(usize, u16)>>,
}

/// `METHOD /path` of every operation there is.
#[must_use]
pub fn operations() -> Vec<String> {
    read().iter().map(|operation| format!("{} {}", operation.method, operation.path)).collect()
}

/// Those that succeed for nobody.
#[must_use]
pub fn refused() -> Vec<String> {
    let all = read().into_iter();
    let all = all.filter(|o| o.answers.iter().all(|(status, _)| *status >= 400));
    all.map(|operation| format!("{} {}", operation.method, operation.path)).collect()
}

fn read() -> Vec<Operation> {
    let lines = operations::OPERATIONS.lines().filter(|line| !line.trim().is_empty());
    lines.map(Operation::read).collect()
}

impl Operation {
    fn read(line: &str) -> Self {
        let (what, answers) = line.split_once('=').expect("a line has answers");
        let mut unseen = Vec::new();
        let mut what = what.split_whitespace().map(str::to_owned);
        let mut next = || what.next().expect("a method and a path");
        let answers = answers.split(';').map(|answer| {
            let mut words = answer.split_whitespace();
            let status = words.next().expect("a status");
            let bare = status.trim_end_matches('?').parse().expect("a number");
            if status.ends_with('?') {
                unseen.push(bare);
            }
            (bare, Comes::read(bare, &words.collect::<Vec<_>>()))
        });
        let answers = answers.collect();
        Self { method: next(), path: next(), answers, unseen }
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        // Docker has this list under two paths.
        let path = if path == "/networks/" { "/networks" } else { path };
        // Empty steps of a path mean nothing, but at its end.
        let end = path.ends_with('/').then_some("");
        let steps = path.split('/').filter(|step| !step.is_empty()).chain(end);
        let theirs: Vec<_> = std::iter::once("").chain(steps).collect();
        let ours: Vec<_> = self.path.split('/').collect();
        // Names of images have slashes, those of all others none.
        let (first, last) = (ours.iter().position(|p| *p == "{name}"), theirs.len());
        let parts = match first {
            Some(at) if ours.len() < last && self.path.contains("/images/{") => {
                let longer = last - ours.len();
                [&theirs[..at], &["x"], &theirs[at + longer + 1..]].concat()
            }
            _ => theirs,
        };
        self.method == method
            && ours.len() == parts.len()
            && ours
                .iter()
                .zip(&parts)
                .all(|(our, their)| (our.starts_with('{') && !their.is_empty()) || our == their)
    }
}

impl Comes {
    fn read(status: u16, words: &[&str]) -> Self {
        match words {
            [] if status >= 400 => Self::Error,
            [] | ["nothing"] => Self::Nothing,
            ["plain"] => Self::Plain,
            ["stat"] => Self::Stat,
            ["tar"] => Self::Tar,
            ["file"] => Self::File,
            ["streams"] => Self::Streams,
            ["lines", kind] => Self::Lines(Kind::read(kind)),
            [kind] => Self::Json(Kind::read(kind)),
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The media types it may have; none for no header.
    fn media(&self, version: u16) -> &'static [&'static str] {
        const RAW: &str = "application/vnd.docker.raw-stream";
        const FRAMES: &str = "application/vnd.docker.multiplexed-stream";
        match self {
            Self::Error | Self::Json(_) | Self::Lines(_) => &["application/json"],
            Self::Plain => &["text/plain; charset=utf-8"],
            Self::Nothing | Self::Stat => &[],
            Self::Tar => &["application/x-tar"],
            Self::File => &["application/octet-stream"],
            Self::Streams if version < 42 => &[RAW],
            Self::Streams => &[RAW, FRAMES],
        }
    }
}

impl Contract {
    /// With the engine that listens there.
    ///
    /// # Panics
    /// If the tables are amiss.
    #[must_use]
    pub fn with(socket: &Path) -> Self {
        let text = [shapes::CONTAINERS, shapes::IMAGES, shapes::ENGINE].concat();
        let (shapes, operations) = (Shapes::read(&text), read());
        for (_, comes) in operations.iter().flat_map(|operation| &operation.answers) {
            if let Comes::Json(kind) | Comes::Lines(kind) = comes {
                shapes.known(kind);
            }
        }
        Self {
            socket: socket.into(),
            operations,
            shapes,
            faults: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// Where the engine listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks in a version of the API, checks the answer, and gives it.
    pub fn ask(&self, version: u16, request: &Request) -> Answer {
        let (sent, patience) = (versioned(version, request), PATIENCE);
        let answer = ask::ask(&self.socket, &sent, patience);
        self.judged(version, request, answer)
    }

    /// Asks for what goes on until something happens; `enough` of its body
    /// ends it.
    pub fn ask_until(
        &self,
        version: u16,
        request: &Request,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Answer {
        let sent = versioned(version, request);
        let answer = ask::open(&self.socket, &sent, PATIENCE).and_then(|open| open.until(enough));
        self.judged(version, request, answer)
    }

    /// Asks, and looks at the head alone. The connection stays as it is.
    ///
    /// # Panics
    /// If none comes.
    pub fn open(&self, version: u16, request: &Request) -> Open {
        let sent = versioned(version, request);
        ask::open(&self.socket, &sent, PATIENCE)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// The newest version, no body.
    pub fn say(&self, method: &str, target: &str) -> Answer {
        self.ask(NEWEST, &Request::of(method, target))
    }

    /// The newest version, a body in JSON.
    pub fn tell(&self, method: &str, target: &str, body: &Value) -> Answer {
        let request = Request::of(method, target).with("application/json", body.to_string());
        self.ask(NEWEST, &request)
    }

    /// A fault that the test itself has seen.
    pub fn fault(&self, text: String) {
        self.faults.borrow_mut().insert(text);
    }

    fn judged(&self, version: u16, request: &Request, answer: std::io::Result<Answer>) -> Answer {
        let path = path(request);
        let what = |fault: String| format!("{} {path} (1.{version}): {fault}", request.method);
        let answer = answer.unwrap_or_else(|error| {
            self.fault(what(format!("no answer: {error}")));
            Answer { status: 0, headers: Vec::new(), body: Vec::new() }
        });
        let found = self.operations.iter().position(|o| o.fits(&request.method, path));
        if let Some(index) = found {
            self.seen.borrow_mut().insert((index, answer.status));
        } else {
            self.fault(what("no operation of this name".into()));
        }
        for fault in self.judge(version, request, &answer, true) {
            self.fault(what(fault));
        }
        answer
    }

    /// What is amiss with an answer, or with its head alone. What is no
    /// operation is to be refused.
    #[must_use]
    pub fn judge(
        &self,
        version: u16,
        request: &Request,
        answer: &Answer,
        whole: bool,
    ) -> Vec<String> {
        let status = answer.status;
        let path = path(request);
        let known = self.operations.iter().find(|o| o.fits(&request.method, path));
        let refused = matches!(status, 400 | 404).then_some(&Comes::Error);
        let comes = match known {
            Some(known) => known.answers.iter().find(|(s, _)| *s == status).map(|(_, comes)| comes),
            None => refused,
        };
        let Some(comes) = comes else {
            return vec![format!("status {status}: {}", answer.text())];
        };
        let mut faults = Self::common(answer, comes, version);
        if whole {
            faults.extend(self.body(answer, comes, version, request.method == "HEAD"));
        }
        faults.into_iter().map(|fault| format!("{status}: {fault}")).collect()
    }

    /// Headers.
    fn common(answer: &Answer, comes: &Comes, version: u16) -> Vec<String> {
        let mut faults = Vec::new();
        let mut wants = |name: &str, fits: &dyn Fn(&str) -> bool| {
            if !answer.header(name).is_some_and(fits) {
                faults.push(format!("header {name}: {:?}", answer.header(name)));
            }
        };
        // Docker writes the head of a connection that it takes over itself, and
        // puts no date into it.
        let taken_over = *comes == Comes::Streams && answer.header("date").is_none();
        if answer.status != 101 && !taken_over {
            wants("api-version", &|value| value == "1.51");
            wants("docker-experimental", &|value| matches!(value, "true" | "false"));
            wants("ostype", &|value| value == "linux");
            wants("server", &|value| value.ends_with(" (linux)"));
        }
        let media = comes.media(version);
        match answer.header("content-type") {
            None if media.is_empty() => {}
            Some(kind) if media.contains(&kind) => {}
            // Docker's ping has one for a body that does not come.
            Some("text/plain; charset=utf-8") if *comes == Comes::Nothing => {}
            other => faults.push(format!("content-type {other:?}, and not of {media:?}")),
        }
        faults
    }

    fn body(&self, answer: &Answer, comes: &Comes, version: u16, bare: bool) -> Vec<String> {
        let text = answer.text();
        let whole = |kind: &Kind| match serde_json::from_str::<Value>(&text) {
            Ok(value) => self.shapes.faults(kind, &value, version),
            Err(error) => vec![format!("no JSON, {error}: {text}")],
        };
        match comes {
            // Another protocol's from here on.
            _ if answer.status == 101 || (bare && text.is_empty()) => Vec::new(),
            Comes::Error => {
                let kind = Kind::Of("Error".into());
                let mut faults = whole(&kind);
                if !text.ends_with("}\n") {
                    faults.push(format!("not one line: {text:?}"));
                }
                faults
            }
            Comes::Nothing | Comes::Stat if text.is_empty() => Vec::new(),
            Comes::Nothing | Comes::Stat => vec![format!("a body: {text:?}")],
            Comes::Json(kind) => whole(kind),
            Comes::Lines(kind) => {
                let mut faults = Vec::new();
                for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
                    match value {
                        Ok(value) => faults.extend(self.shapes.faults(kind, &value, version)),
                        Err(error) => faults.push(format!("no JSON, {error}: {text}")),
                    }
                }
                faults
            }
            Comes::Plain | Comes::Tar | Comes::File | Comes::Streams => Vec::new(),
        }
    }

    /// Nothing was amiss, and every operation was seen to succeed, or to be
    /// refused if that is all it does.
    ///
    /// # Panics
    /// With all that was found.
    pub fn holds(self) {
        let seen = self.seen.into_inner();
        let mut faults = self.faults.into_inner();
        for (index, operation) in self.operations.iter().enumerate() {
            let mut good = operation.answers.iter().filter(|(status, _)| *status < 400).peekable();
            let any = good.peek().is_none();
            for (status, _) in operation.answers.iter().filter(|(status, _)| any || *status < 400) {
                // Of refusals alone any will do.
                let met = if any {
                    seen.iter().any(|(i, _)| *i == index)
                } else {
                    seen.contains(&(index, *status))
                };
                if !met && !operation.unseen.contains(status) {
                    faults.insert(format!(
                        "{} {}: {status} was never seen",
                        operation.method, operation.path
                    ));
                }
            }
        }
        let all: Vec<String> = faults.into_iter().collect();
        assert!(all.is_empty(), "{} faults:\n{}", all.len(), all.join("\n"));
    }
}

fn path(request: &Request) -> &str {
    request.target.split_once('?').map_or(&*request.target, |(path, _)| path)
}

fn versioned(version: u16, request: &Request) -> Request {
    Request { target: format!("/v1.{version}{}", request.target), ..request.clone() }
}

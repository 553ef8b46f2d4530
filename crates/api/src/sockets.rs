//! Our own extension: sockets for those who may do less. `GET
//! /cofferdam/sockets`, `POST /cofferdam/sockets/create`, and of each
//! `GET`, `DELETE` and `GET …/log`.

use crate::answer::{Answer, Content, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::journal;
use crate::when::{self, rfc3339};
use engine::ScopedSocket;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use spec::docker::null_is_default;
use std::collections::{BTreeMap, BTreeSet};

/// Longest name: with it the path of a socket still fits (`unix(7)`).
const LONGEST: usize = 32;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wish {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    allow: BTreeSet<String>,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
    /// Name or number; root if none.
    #[serde(deserialize_with = "null_is_default")]
    user: String,
    /// The same.
    #[serde(deserialize_with = "null_is_default")]
    group: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    name: &'a str,
    path: String,
    allow: &'a BTreeSet<String>,
    labels: &'a BTreeMap<String, String>,
    uid: u32,
    gid: u32,
    created: String,
    listening: bool,
}

fn shown<'a>(call: &Call, socket: &'a ScopedSocket) -> Shown<'a> {
    Shown {
        name: &socket.name,
        path: call.doors.path(&socket.name).display().to_string(),
        allow: &socket.allow,
        labels: &socket.labels,
        uid: socket.uid,
        gid: socket.gid,
        created: rfc3339(socket.created),
        listening: call.doors.is_open(&socket.name),
    }
}

fn find(call: &Call) -> Result<ScopedSocket, Error> {
    let all = call.engine.scoped_sockets().into_iter();
    let missing = || Error::missing(format!("no such socket: {}", call.name()));
    all.clone().find(|socket| socket.name == call.name()).ok_or_else(missing)
}

/// `GET /cofferdam/sockets`.
pub fn list(call: &Call) -> Outcome {
    let all = call.engine.scoped_sockets();
    Ok(Answer::json(&all.iter().map(|socket| shown(call, socket)).collect::<Vec<_>>()))
}

/// `GET /cofferdam/sockets/{name}`.
pub fn inspect(call: &Call) -> Outcome {
    Ok(Answer::json(&shown(call, &find(call)?)))
}

/// `POST /cofferdam/sockets/create`.
pub fn create(call: &Call) -> Outcome {
    let wish: Wish = call.json()?.unwrap_or_default();
    let mut bytes = wish.name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !first
        || !bytes.all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        || wish.name.len() > LONGEST
    {
        return Err(Error::bad(format!(
            "invalid name {:?} of a socket: up to {LONGEST} letters, digits, - and _ are wanted",
            wish.name
        )));
    }
    let socket = ScopedSocket {
        uid: number("user", "/etc/passwd", &wish.user)?,
        gid: number("group", "/etc/group", &wish.group)?,
        name: wish.name,
        allow: wish.allow,
        labels: wish.labels,
        created: when::now(),
    };
    call.doors.add(&call.engine, &socket)?;
    tracing::info!(name = socket.name, "a scoped socket listens");
    Ok(Answer::created(&shown(call, &socket)))
}

/// `DELETE /cofferdam/sockets/{name}`.
pub fn remove(call: &Call) -> Outcome {
    find(call)?;
    call.doors.remove(&call.engine, call.name())?;
    tracing::info!(name = call.name(), "a scoped socket is revoked");
    Ok(Answer::done())
}

/// `GET /cofferdam/sockets/{name}/log`: a line of JSON a call, oldest first;
/// also of a socket that is no more.
pub fn log(call: &Call) -> Outcome {
    if call.name().starts_with('.') || call.name().contains('/') {
        return Err(Error::missing(format!("no such socket: {}", call.name())));
    }
    let tail = call.query.number("tail")?;
    let lines = journal::read(call.doors.data(), call.name(), tail)?;
    let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
    Ok(Answer::of(StatusCode::OK, "application/x-ndjson", Content::Whole(text.into())))
}

/// A user or group of the host, by number or name; `passwd(5)` and `group(5)`
/// have both in the same places.
fn number(kind: &str, file: &str, text: &str) -> Result<u32, Error> {
    if text.is_empty() {
        return Ok(0);
    }
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let known = std::fs::read_to_string(file).unwrap_or_default();
    let line = known.lines().find(|line| line.split(':').next() == Some(text));
    let number = line.and_then(|line| line.split(':').nth(2)).and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::bad(format!("no {kind} {text} on this host")))
}

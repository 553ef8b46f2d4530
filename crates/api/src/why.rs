//! Our own extension: what was denied to a container, by which layer, and what
//! would allow it. `GET /containers/{id}/why`, and `GET /containers/{id}/filter`
//! for a filter of system calls that allows some more.
//!
//! Without words it tells what the kernel wrote down by itself. With `seconds`,
//! `exec` or `start` the container is looked at: the answer's head says that
//! this has begun, its body comes at the end.

use crate::answer::{Answer, Content, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::streams::blocking;
use crate::when::rfc3339;
use engine::{Denial, Engine, Looking, Record, Why};
use hyper::StatusCode;
use serde::Serialize;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// No look lasts longer.
const LONGEST: u64 = 600;
/// Between two looks into the queue, which holds thousands.
const PERIOD: Duration = Duration::from_millis(20);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    id: String,
    name: String,
    /// It was looked at; else there are records alone.
    watched: bool,
    denials: Vec<DenialRow>,
    records: Vec<RecordRow>,
    lost: u64,
    notes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DenialRow {
    layer: &'static str,
    call: String,
    error: String,
    path: Option<String>,
    program: String,
    count: u64,
    why: String,
    option: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordRow {
    time: String,
    layer: &'static str,
    program: String,
    what: String,
}

/// Until when it is looked at.
enum Until {
    /// Then.
    Deadline(Instant),
    /// This program has ended.
    Exec(String),
    /// The container, which is started, has ended.
    Started,
}

/// `GET /containers/{id}/why`
pub async fn why(mut call: Call) -> Outcome {
    call.read_body().await?;
    let (until, last) = asked(&call)?;
    let engine = call.engine.clone();
    let container = blocking(move || Ok(call.engine.container(call.name())?)).await?;
    let (id, name) = (container.id.to_string(), container.name.clone());
    let begin = (engine.clone(), id.clone());
    let Some(until) = until else {
        let records = blocking(move || Ok(begin.0.records(&begin.1)?)).await?;
        return Ok(Answer::json(&report(id, name, None, records)));
    };
    let starting = matches!(until, Until::Started);
    let looking = blocking(move || Ok(begin.0.look(&begin.1, starting)?)).await?;
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        let seen = tokio::select! {
            seen = look(&engine, &id, looking, until, last) => seen,
            () = sender.closed() => return,
        };
        let told = seen.map(|(why, records)| report(id, name, Some(why), records));
        let piece = match told {
            Ok(report) => serde_json::to_vec(&report).map(Into::into).map_err(io::Error::from),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        // If the client has left, nobody wants it.
        let _ = sender.send(piece).await;
    });
    Ok(Answer::of(StatusCode::OK, "application/json", Content::Stream(pieces)))
}

/// `GET /containers/{id}/filter?allow=CALL,…`
pub fn filter(call: &Call) -> Outcome {
    let calls: Vec<&str> =
        call.query.text("allow").split(',').filter(|call| !call.is_empty()).collect();
    if calls.is_empty() {
        return Err(Error::bad("no system calls to allow were named (allow=CALL,…)"));
    }
    Ok(Answer::json(&call.engine.filter_allowing(call.name(), &calls)?))
}

/// Until when, and for how long at most.
fn asked(call: &Call) -> Result<(Option<Until>, Instant), Error> {
    let seconds: Option<u64> = call.query.number("seconds")?;
    if let Some(seconds) = seconds.filter(|seconds| !(1..=LONGEST).contains(seconds)) {
        return Err(Error::bad(format!("a look lasts 1 to {LONGEST} seconds, not {seconds}")));
    }
    let last = Instant::now() + Duration::from_secs(seconds.unwrap_or(LONGEST));
    let until = match (call.query.get("exec"), call.query.flag("start")) {
        (Some(_), true) => return Err(Error::bad("either exec or start, not both")),
        (Some(exec), false) => Some(Until::Exec(call.engine.exec(exec)?.id.to_string())),
        (None, true) => Some(Until::Started),
        (None, false) => seconds.map(|_| Until::Deadline(last)),
    };
    Ok((until, last))
}

async fn look(
    engine: &Engine,
    id: &str,
    mut looking: Looking,
    until: Until,
    last: Instant,
) -> Result<(Why, Vec<Record>), Error> {
    let mut failed = None;
    if matches!(until, Until::Started) {
        let (engine, id) = (engine.clone(), id.to_owned());
        failed = blocking(move || Ok(engine.start(&id).err())).await?;
    }
    loop {
        let over = Instant::now() >= last
            || match &until {
                Until::Deadline(when) => Instant::now() >= *when,
                // One that nobody knows any more has ended, too.
                Until::Exec(exec) => !engine.exec(exec).is_ok_and(|exec| exec.code.is_none()),
                Until::Started => {
                    !engine.container(id).is_ok_and(|container| container.state.is_running())
                }
            };
        looking = blocking(move || {
            looking.fetch()?;
            Ok(looking)
        })
        .await?;
        if over {
            break;
        }
        sleep(PERIOD).await;
    }
    let (engine, id) = (engine.clone(), id.to_owned());
    blocking(move || {
        let mut why = looking.finish()?;
        why.notes.extend(failed.map(|error| format!("it could not be started: {error}")));
        let records = match engine.records(&id) {
            // It was removed at its end.
            Err(error) if error.kind() == engine::Kind::NotFound => Vec::new(),
            records => records?,
        };
        Ok((why, records))
    })
    .await
}

fn report(id: String, name: String, why: Option<Why>, records: Vec<Record>) -> Report {
    let watched = why.is_some();
    let why = why.unwrap_or_default();
    let denial = |denial: Denial| DenialRow {
        layer: denial.verdict.layer.word(),
        call: denial.call,
        error: denial.error,
        path: denial.path,
        program: denial.program,
        count: denial.count,
        why: denial.verdict.why,
        option: denial.verdict.option,
    };
    let record = |record: Record| RecordRow {
        time: rfc3339(record.seconds.saturating_mul(1_000_000_000)),
        layer: record.layer.word(),
        program: record.program,
        what: record.what,
    };
    Report {
        id,
        name,
        watched,
        denials: why.denials.into_iter().map(denial).collect(),
        records: records.into_iter().map(record).collect(),
        lost: why.lost,
        notes: why.notes,
    }
}

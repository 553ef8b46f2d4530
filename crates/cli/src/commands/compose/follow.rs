//! What services write, line by line, each with the name of its container:
//! `compose logs`, and `compose up` in the foreground.
//!
//! A container that is brought up is attached to before it starts, and once
//! more each time that it starts again; it is done with when it has ended
//! for good.

use super::{
    containers::stop,
    stage::{Here, Stage},
    waiting,
};
use crate::{
    client::{Client, query},
    error::{Error, Outcome},
    show,
    streams::{Lines, Stream},
    words::{ComposeLogs, ComposeUp},
};
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeSet, io::Write as _, sync::Arc};
use tokio::{io::AsyncReadExt as _, task::JoinSet};

/// Colours of names, as terminals have them.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Puts lines on the screen.
struct Printer {
    project: String,
    /// Signs that a name takes at most.
    width: usize,
    prefix: bool,
    colour: bool,
    timestamps: bool,
}

impl Printer {
    fn of(stage: &Stage<'_>, all: &[Here], prefix: bool, colour: bool, timestamps: bool) -> Self {
        let project = stage.project.name.clone();
        let width = all.iter().map(|here| here.short(&project).chars().count()).max();
        Self {
            width: width.unwrap_or(0),
            prefix,
            colour: colour && stage.colour,
            timestamps,
            project,
        }
    }

    fn name(&self, here: &Here) -> String {
        if !self.prefix {
            return String::new();
        }
        let name = here.short(&self.project);
        let text = format!("{name:width$} | ", width = self.width + 1);
        if !self.colour {
            return text;
        }
        let sum = here.service.bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
        format!("\x1b[{}m{text}\x1b[0m", COLOURS[sum % COLOURS.len()])
    }

    fn line(&self, here: &Here, stream: Stream, line: &[u8]) -> Outcome<()> {
        let mut text = self.name(here).into_bytes();
        text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        text.push(b'\n');
        match stream {
            Stream::Out => show::print(&String::from_utf8_lossy(&text)),
            Stream::Err => std::io::stderr().write_all(&text).map_err(|source| Error::Host {
                doing: "write",
                what: "the error output".into(),
                source,
            }),
        }
    }
}

/// `logs`
pub async fn logs(stage: &Stage<'_>, words: ComposeLogs) -> Outcome {
    let mut all = stage.of_services(&words.services).await?;
    if let Some(index) = words.index {
        all.retain(|here| here.number == index);
    }
    let printer = Printer::of(stage, &all, !words.no_log_prefix, !words.no_color, words.timestamps);
    let on = |flag| if flag { "1" } else { "" };
    let asked = query(&[
        ("stdout", "1"),
        ("stderr", "1"),
        ("follow", on(words.follow)),
        ("timestamps", on(words.timestamps)),
        ("tail", &words.tail),
        ("since", &super::super::live::moment(&words.since)?),
        ("until", &super::super::live::moment(&words.until)?),
    ]);
    if !words.follow {
        for here in &all {
            read_logs(stage.client, here, &asked, &printer).await?;
        }
        return Ok(0);
    }
    let printer = Arc::new(printer);
    let mut reading = JoinSet::new();
    for here in all {
        let (client, printer, asked) = (stage.client.clone(), printer.clone(), asked.clone());
        reading.spawn(async move { read_logs(&client, &here, &asked, &printer).await });
    }
    for read in reading.join_all().await {
        read?;
    }
    Ok(0)
}

async fn read_logs(client: &Client, here: &Here, asked: &str, printer: &Printer) -> Outcome<()> {
    let tty = has_terminal(client, here).await?;
    let path = format!("/containers/{}/logs{asked}", here.id);
    let mut body = client.open(Method::GET, &path, "").await?.into_body();
    let mut lines = Lines::new(tty);
    let mut take = |stream, line: &[u8]| printer.line(here, stream, line);
    while let Some(frame) = body.frame().await {
        if let Some(bytes) = frame.map_err(Error::Broken)?.data_ref() {
            lines.push(bytes, &mut take)?;
        }
    }
    lines.end(&mut take)
}

async fn has_terminal(client: &Client, here: &Here) -> Outcome<bool> {
    let container: Value = client.get(&format!("/containers/{}/json", here.id)).await?;
    Ok(container["Config"]["Tty"] == true)
}

/// A container's streams, and the answer that comes when it ends.
struct Attached {
    io: TokioIo<Upgraded>,
    end: Incoming,
    tty: bool,
}

async fn attach(client: &Client, here: &Here) -> Outcome<Attached> {
    let tty = has_terminal(client, here).await?;
    let path = format!("/containers/{}/attach?stream=1&stdout=1&stderr=1", here.id);
    let io = client.hijack(&path, "").await?;
    let path = format!("/containers/{}/wait?condition=next-exit", here.id);
    let end = client.open(Method::POST, &path, "").await?.into_body();
    Ok(Attached { io, end, tty })
}

/// Shows what a container writes until it has ended for good; its exit code.
async fn watch(
    client: Client,
    here: Here,
    first: Attached,
    printer: Arc<Printer>,
) -> Outcome<(Here, i64)> {
    let mut attached = first;
    loop {
        let mut lines = Lines::new(attached.tty);
        let mut take = |stream, line: &[u8]| {
            if printer.timestamps {
                let now = jiff::Timestamp::now();
                let line = [now.to_string().as_bytes(), b" ", line].concat();
                return printer.line(&here, stream, &line);
            }
            printer.line(&here, stream, line)
        };
        let mut bytes = vec![0; 32 << 10];
        loop {
            match attached.io.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(n) => lines.push(&bytes[..n], &mut take)?,
            }
        }
        lines.end(&mut take)?;
        let answer = attached.end.collect().await.map_err(Error::Broken)?.to_bytes();
        let waited: Value =
            serde_json::from_slice(&answer).map_err(|e| Error::Answer("wait".into(), e))?;
        let code = waited["StatusCode"].as_i64().unwrap_or(0);
        show::print(&format!("{} exited with code {code}\n", here.short(&printer.project)))?;
        // It may be gone, or about to start again.
        let path = format!("/containers/{}/json", here.id);
        let state = match client.get::<Value>(&path).await {
            Err(Error::Engine { status: 404, .. }) => return Ok((here, code)),
            other => other?["State"].clone(),
        };
        if state["Restarting"] != true && state["Running"] != true {
            return Ok((here, code));
        }
        attached = attach(&client, &here).await?;
    }
}

/// `up` in the foreground: starts services, shows what they write, and stops
/// them when the person has had enough.
pub async fn up(stage: &Stage<'_>, words: &ComposeUp, wanted: &BTreeSet<String>) -> Outcome {
    let names: Vec<String> = wanted.iter().cloned().collect();
    let all = stage.of_services(&names).await?;
    let shown: Vec<Here> =
        all.iter().filter(|here| is_shown(stage, words, here)).cloned().collect();
    let printer =
        Printer::of(stage, &shown, !words.no_log_prefix, !words.no_color, words.timestamps);
    let printer = Arc::new(printer);
    let shorts: Vec<String> = shown.iter().map(|here| here.short(&printer.project)).collect();
    show::print(&format!("Attaching to {}\n", shorts.join(", ")))?;
    let watched: RefCell<JoinSet<Outcome<(Here, i64)>>> = RefCell::default();
    let before = |here: Here| {
        let (watched, printer) = (&watched, printer.clone());
        let wanted = shown.iter().any(|other| other.id == here.id);
        async move {
            if wanted {
                let attached = attach(stage.client, &here).await?;
                watched.borrow_mut().spawn(watch(stage.client.clone(), here, attached, printer));
            }
            Ok(())
        }
    };
    let started = tokio::select! {
        started = waiting::start(stage, wanted, before) => Some(started),
        _ = tokio::signal::ctrl_c() => None,
    };
    let watched = watched.into_inner();
    match started {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(error),
        None => return interrupted(stage, &all, words, watched).await,
    }
    until_ended(stage, words, &all, watched).await
}

/// Whether what a container writes is to be shown.
fn is_shown(stage: &Stage<'_>, words: &ComposeUp, here: &Here) -> bool {
    let named = |list: &[String]| list.contains(&here.service);
    if named(&words.no_attach) {
        return false;
    }
    if !words.attach.is_empty() {
        return named(&words.attach);
    }
    let attach = stage.project.services.get(&here.service).and_then(|service| service.attach);
    let asked = words.services.is_empty() || words.attach_dependencies || named(&words.services);
    attach.unwrap_or(true) && asked
}

/// Shows lines until all have ended, one has where that is enough, or the
/// person presses ctrl-c.
async fn until_ended(
    stage: &Stage<'_>,
    words: &ComposeUp,
    all: &[Here],
    mut watched: JoinSet<Outcome<(Here, i64)>>,
) -> Outcome {
    let aborts = words.abort_on_container_exit || words.exit_code_from.is_some();
    let mut from = words.exit_code_from.clone();
    let mut code = 0;
    let mut aborting = false;
    loop {
        let ended = tokio::select! {
            ended = watched.join_next() => ended,
            _ = tokio::signal::ctrl_c() => return interrupted(stage, all, words, watched).await,
        };
        let Some(ended) = ended else { return Ok(code) };
        let (here, exit) = match ended {
            Ok(ended) => ended?,
            Err(error) => return Err(Error::Unfit(error.to_string())),
        };
        if !aborts {
            continue;
        }
        // Without a service named, the first one to end is meant.
        if *from.get_or_insert_with(|| here.service.clone()) == here.service {
            code = u8::try_from(exit).unwrap_or(u8::MAX);
        }
        if !aborting {
            aborting = true;
            show::print("Aborting on container exit...\n")?;
            halt(stage, all, words.timeout).await?;
        }
    }
}

/// The person has had enough: everything is stopped, and killed if that is
/// not fast enough.
async fn interrupted(
    stage: &Stage<'_>,
    all: &[Here],
    words: &ComposeUp,
    mut watched: JoinSet<Outcome<(Here, i64)>>,
) -> Outcome {
    eprintln!("Gracefully stopping... (press Ctrl+C again to force)");
    let stopped = async {
        let halted = halt(stage, all, words.timeout).await;
        while watched.join_next().await.is_some() {}
        halted
    };
    tokio::select! {
        stopped = stopped => stopped?,
        _ = tokio::signal::ctrl_c() => {
            for here in all {
                let path = format!("/containers/{}/kill", here.id);
                match stage.client.order(Method::POST, &path).await {
                    // It has ended, which is what was wanted.
                    Err(Error::Engine { status: 404 | 409, .. }) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(130)
}

/// Stops containers, those first that others do not depend on.
async fn halt(stage: &Stage<'_>, all: &[Here], timeout: Option<i64>) -> Outcome<()> {
    let mut order = compose::order(&stage.project)?;
    order.reverse();
    for name in order {
        for here in all.iter().filter(|here| here.service == name) {
            stage.tell("Container", &here.name, "Stopping");
            stop(stage, &here.id, timeout).await?;
            stage.tell("Container", &here.name, "Stopped");
        }
    }
    Ok(())
}

//! A container's streams: `attach`, `logs`, and the waiting for its end.

use crate::answer::{Answer, Content, Outcome};
use crate::call::{Call, Version};
use crate::detach::Keys;
use crate::error::Error;
use crate::hijack::{Hijack, Input, Program};
use crate::pipe::{Late, produce};
use crate::server;
use crate::unpack::frame;
use crate::websocket;
use crate::when;
use bytes::Bytes;
use engine::{Attach, Attaching, Condition, Container, LogLine, LogWish, Logs, Stream, Waited};
use hyper::StatusCode;
use serde::Serialize;
use spec::wire::Kind;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

/// Payload without frames.
pub const RAW: &str = "application/vnd.docker.raw-stream";
/// Frames.
pub const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// Since when frames have a media type of their own.
const TELLS_FRAMES: Version = Version(42);

/// Runs a blocking piece of a streaming handler.
///
/// # Errors
/// Its own, or 500 if it panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::ours("this request met a fault in the engine: see its log")))
}

/// Status line and headers of a hijacked connection. Old clients that ask
/// for no upgrade get a 200 without a length, and then bytes.
pub fn head(call: &Call, raw: bool) -> String {
    let kind =
        if raw || call.version < TELLS_FRAMES || !call.upgrades() { RAW } else { MULTIPLEXED };
    let mut head = if call.upgrades() {
        format!(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        )
    } else {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n")
    };
    for (name, value) in server::words(call.engine.options().experimental) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

/// `POST /containers/{id}/attach`.
pub async fn attach(call: Call) -> Outcome {
    attached(call, None).await
}

/// `GET /containers/{id}/attach/ws`: the same in frames.
pub async fn attach_framed(call: Call) -> Outcome {
    // Who is wanted comes before how: one that is not there is missing to
    // any client.
    call.engine.container(call.name())?;
    let head = websocket::head(&call)?;
    attached(call, Some(head)).await
}

/// A client that waits for a program to start.
struct Awaiting(oneshot::Sender<UnixStream>);

impl Attaching for Awaiting {
    fn deliver(self: Box<Self>, stream: UnixStream) {
        // The client may have left while it waited.
        let _ = self.0.send(stream);
    }

    fn has_left(&self) -> bool {
        self.0.is_closed()
    }
}

async fn attached(mut call: Call, framed: Option<String>) -> Outcome {
    call.read_body().await?;
    blocking(move || {
        let query = &call.query;
        let keys = query.get("detachKeys").map_or_else(|| Ok(Keys::default()), Keys::parse)?;
        let container = call.engine.container(call.name())?;
        let raw = container.config.tty;
        let wish = Attach {
            stdin: query.flag("stdin") && container.config.open_stdin,
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
        };
        let streams = wish.stdin || wish.stdout || wish.stderr;
        let program = if query.flag("stream") && streams {
            let (deliver, program) = oneshot::channel();
            call.engine.attach(container.id.as_str(), wish, Box::new(Awaiting(deliver)))?;
            Program::Awaited(program)
        } else {
            Program::Unwanted
        };
        let replay = if query.flag("logs") {
            Some(replay(&call, &container, wish, framed.is_some())?)
        } else {
            None
        };
        let input = wish.stdin.then(|| Input {
            // A terminal has no half-close.
            close: container.config.stdin_once && !raw,
            keys: raw.then_some(keys),
        });
        let (framed, raw, head) = match framed {
            // Frames have no room for which stream it is.
            Some(head) => (true, true, head),
            None => (false, raw, head(&call, raw)),
        };
        Ok(Answer::Hijack(Box::new(Hijack {
            head,
            replay,
            program,
            input,
            raw,
            framed,
            ended: None,
        })))
    })
    .await
}

/// What the container has said so far.
fn replay(
    call: &Call,
    container: &Arc<Container>,
    wish: Attach,
    framed: bool,
) -> Result<mpsc::Receiver<std::io::Result<Bytes>>, Error> {
    let wish = LogWish { stdout: wish.stdout, stderr: wish.stderr, ..LogWish::default() };
    let logs = call.engine.logs(container.id.as_str(), wish)?;
    let (sender, receiver) = mpsc::channel(8);
    spawn_blocking(move || {
        let mut writer = Lines::new(logs.tty || framed, false, false);
        for line in logs {
            let piece = line.map(|line| writer.bytes(&line).into()).map_err(std::io::Error::other);
            if sender.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Log lines as they go to a client.
struct Lines {
    raw: bool,
    stamps: bool,
    details: bool,
    /// The last piece of each stream ended in a newline.
    fresh: [bool; 2],
}

impl Lines {
    fn new(raw: bool, stamps: bool, details: bool) -> Self {
        Self { raw, stamps, details, fresh: [true; 2] }
    }

    fn bytes(&mut self, line: &LogLine) -> Vec<u8> {
        let kind = match line.stream {
            Stream::Stdout => Kind::Stdout,
            Stream::Stderr => Kind::Stderr,
        };
        let fresh = &mut self.fresh[usize::from(kind == Kind::Stderr)];
        let mut text = Vec::new();
        if self.stamps && *fresh {
            text.extend_from_slice(when::stamp(line.at).as_bytes());
            text.push(b' ');
        }
        if self.details && *fresh {
            // What the log driver was asked to tell beside: Docker's spelling.
            text.extend_from_slice(told(&line.attrs).as_bytes());
            text.push(b' ');
        }
        *fresh = line.text.ends_with(b"\n");
        text.extend_from_slice(&line.text);
        if self.raw { text } else { frame(kind, &text) }
    }
}

/// `key=value` pairs, apart by commas, escaped as in a query.
fn told(attrs: &std::collections::BTreeMap<String, String>) -> String {
    let pairs = attrs.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// As Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `GET /containers/{id}/logs`.
pub async fn logs(call: Call) -> Outcome {
    let query = &call.query;
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        return Err(Error::bad("Bad parameters: you must choose at least one stream"));
    }
    let wish = LogWish {
        stdout,
        stderr,
        follow: query.flag("follow"),
        since: when::in_query(query, "since")?.unwrap_or(0),
        until: when::in_query(query, "until")?.unwrap_or(0),
        // A word such as "all" is no limit.
        tail: query.get("tail").and_then(|tail| tail.parse().ok()),
    };
    let (stamps, details, version) =
        (query.flag("timestamps"), query.flag("details"), call.version);
    let logs = blocking(move || Ok(call.engine.logs(call.name(), wish)?)).await?;
    let raw = logs.tty;
    let kind = if raw || version < TELLS_FRAMES { RAW } else { MULTIPLEXED };
    let end = logs.end();
    let answer = produce(kind, Late::Break, move |out| {
        out.begin();
        send(logs, &mut Lines::new(raw, stamps, details), wish.follow, out)
    })
    .await?;
    Ok(answer.holding(end))
}

fn send(
    mut logs: Logs,
    lines: &mut Lines,
    follow: bool,
    out: &mut crate::pipe::Outlet,
) -> Result<(), Error> {
    loop {
        let mut line = logs.at_hand();
        if line.is_none() {
            // A follower reads each line when it comes.
            if follow && out.flush().is_err() {
                return Ok(());
            }
            line = logs.next();
        }
        let Some(line) = line else { return Ok(()) };
        if out.write_all(&lines.bytes(&line?)).is_err() {
            return Ok(());
        }
    }
}

/// `POST /containers/{id}/wait`: headers now, the body when the condition
/// holds.
pub async fn wait(mut call: Call) -> Outcome {
    call.read_body().await?;
    let condition = match call.query.text("condition") {
        "" | "not-running" => Condition::NotRunning,
        "next-exit" => Condition::NextExit,
        "removed" => Condition::Removed,
        other => return Err(Error::bad(format!("invalid condition: {other:?}"))),
    };
    let (sender, pieces) = mpsc::channel(1);
    blocking(move || {
        call.engine.wait(call.name(), condition, move |waited| {
            // There is room for one; or the client has left.
            let _ = sender.try_send(Ok(said(waited).into()));
        })?;
        Ok(())
    })
    .await?;
    Ok(Answer::of(StatusCode::OK, "application/json", Content::Stream(pieces)))
}

fn said(waited: Waited) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        status_code: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Fault>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Fault {
        message: String,
    }
    let error = waited.error.map(|message| Fault { message });
    let mut text = serde_json::to_vec(&Body { status_code: waited.code, error })
        .expect("numbers and strings can be written");
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, text: &str) -> LogLine {
        let attrs = std::collections::BTreeMap::new();
        LogLine { stream, at: 1_700_000_000_000_000_001, text: text.into(), attrs }
    }

    #[test]
    fn a_line_has_a_frame_and_a_stamp() {
        let bytes = Lines::new(false, true, false).bytes(&line(Stream::Stderr, "err\n"));
        assert_eq!(bytes, frame(Kind::Stderr, b"2023-11-14T22:13:20.000000001Z err\n"));
    }

    #[test]
    fn details_stand_before_the_line_and_behind_its_time() {
        let mut told = line(Stream::Stdout, "x\n");
        let pairs = [("tag", "a b/c"), ("env", "ä")];
        told.attrs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let bytes = Lines::new(true, true, true).bytes(&told);
        let want = "2023-11-14T22:13:20.000000001Z env=%C3%A4,tag=a+b%2Fc x\n";
        assert_eq!(String::from_utf8(bytes).expect("text"), want);
    }

    #[test]
    fn only_the_first_part_of_a_long_line_is_stamped() {
        let mut lines = Lines::new(true, true, false);
        let mut all = lines.bytes(&line(Stream::Stdout, "long "));
        all.extend(lines.bytes(&line(Stream::Stdout, "line\n")));
        assert_eq!(all, b"2023-11-14T22:13:20.000000001Z long line\n");
        assert!(lines.bytes(&line(Stream::Stdout, "x")).starts_with(b"2023-"));
    }

    #[test]
    fn an_end_is_told_with_its_fault() {
        let fine = said(Waited { code: 137, error: None });
        assert_eq!(fine, b"{\"StatusCode\":137}\n");
        let fault = said(Waited { code: 125, error: Some("no".into()) });
        assert_eq!(fault, b"{\"StatusCode\":125,\"Error\":{\"Message\":\"no\"}}\n");
    }
}

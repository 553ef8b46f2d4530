//! The API as bytes, for clients that no library would be.

use promises::{Engine, PATIENCE};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

/// A connection with a bound on every wait.
pub fn connect(engine: &Engine) -> UnixStream {
    let stream = UnixStream::connect(engine.socket()).expect("the daemon listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream.set_write_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// How long a server may think that more is to come.
const SILENCE: Duration = Duration::from_secs(3);

/// Says all of it, and hears what comes until the other side ends, or has
/// nothing more to say; it may hang up in the middle.
pub fn say(engine: &Engine, bytes: impl AsRef<[u8]>, silence: Option<Duration>) -> String {
    let mut stream = connect(engine);
    let _ = stream.write_all(bytes.as_ref());
    stream.set_read_timeout(Some(silence.unwrap_or(SILENCE))).expect("a bound");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request by itself; the status and what follows the head.
pub fn ask(engine: &Engine, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = say(
        engine,
        format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        Some(PATIENCE),
    );
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

/// Still there?
pub fn is_well(engine: &Engine) -> bool {
    ask(engine, "GET", "/_ping", "") == (200, "OK".into())
}

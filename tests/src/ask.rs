//! One request on a connection of its own, as bytes, and what comes back.
//!
//! No HTTP library: a test must be able to say what no library would, and to
//! see what a library would tidy away.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST` and so on; anything without a blank.
    pub method: String,
    /// Path and query as they go over the wire.
    pub target: String,
    /// Beside `Host`, `Connection` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// None sends no `Content-Length` either.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// Without a body.
    #[must_use]
    pub fn of(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), ..Self::default() }
    }

    /// With one.
    #[must_use]
    pub fn with(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.push(("Content-Type".into(), kind.into()));
        self.body = Some(body.into());
        self
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: engine\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            head.push_str("Connection: close\r\n");
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head + "\r\n"
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of the first line.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Unchunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection whose head has come.
pub struct Open {
    stream: UnixStream,
    /// What came with the head.
    rest: Vec<u8>,
    /// It was asked with `HEAD`: whatever the head says, no body comes.
    bare: bool,
    /// Its body is empty so far.
    pub answer: Answer,
}

/// Asks, and reads the head.
///
/// # Errors
/// Nothing that is HTTP came within `patience`.
pub fn open(socket: &Path, request: &Request, patience: Duration) -> io::Result<Open> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut bytes = request.head().into_bytes();
    bytes.extend(request.body.as_deref().unwrap_or_default());
    // An engine that refuses a body unread closes its end of the connection,
    // and has answered all the same.
    let sent = stream.write_all(&bytes);
    let mut seen = Vec::new();
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = seen.split_off(end + 4);
            let bare = request.method == "HEAD";
            return Ok(Open { stream, rest, bare, answer: head(&seen)? });
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) => {
                sent?;
                return Err(io::Error::other(format!(
                    "ended after {:?}",
                    String::from_utf8_lossy(&seen)
                )));
            }
            Ok(len) => seen.extend(&piece[..len]),
            Err(error) => return Err(error),
        }
    }
}

fn head(bytes: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {text:?}")))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok(Answer { status, headers: headers.collect(), body: Vec::new() })
}

impl Open {
    /// Reads the body to its end.
    ///
    /// # Errors
    /// It did not end within the patience of [`open`], or chunks are amiss.
    pub fn finish(mut self) -> io::Result<Answer> {
        let length = self.answer.header("content-length").and_then(|text| text.parse().ok());
        let bare = self.bare || matches!(self.answer.status, 204 | 304);
        let length = if bare { Some(0) } else { length };
        let mut body = std::mem::take(&mut self.rest);
        if let Some(length) = length {
            // The connection may go on.
            let left = u64::saturating_sub(length, body.len() as u64);
            (&mut self.stream).take(left).read_to_end(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        if self.answer.header("transfer-encoding") == Some("chunked") {
            body = unchunked(&body)?;
        }
        let mut answer = self.answer;
        answer.body = body;
        Ok(answer)
    }

    /// Does the body go on until something happens?
    #[must_use]
    pub fn streams(&self) -> bool {
        let bare = self.bare || matches!(self.answer.status, 204 | 304);
        !bare && self.answer.header("content-length").is_none()
    }

    /// Reads until `enough` says so of what there is of the body, and leaves.
    ///
    /// # Errors
    /// That is not within the patience of [`open`].
    pub fn until(mut self, enough: impl Fn(&[u8]) -> bool) -> io::Result<Answer> {
        let chunked = self.answer.header("transfer-encoding") == Some("chunked");
        loop {
            let body = if chunked { begun(&self.rest) } else { self.rest.clone() };
            if enough(&body) {
                let mut answer = self.answer;
                answer.body = body;
                return Ok(answer);
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece)? {
                0 => {
                    let body = String::from_utf8_lossy(&body).into_owned();
                    return Err(io::Error::other(format!("ended after {body:?}")));
                }
                len => self.rest.extend(&piece[..len]),
            }
        }
    }
}

/// Asks and reads all there is.
///
/// # Errors
/// No whole answer came within `patience`.
pub fn ask(socket: &Path, request: &Request, patience: Duration) -> io::Result<Answer> {
    open(socket, request, patience)?.finish()
}

/// The next chunk and what is behind it; none if it is not whole.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
    let from = end + 2;
    let chunk = bytes.get(from..from + size)?;
    bytes.get(from + size..from + size + 2)?;
    Some((chunk, &bytes[from + size + 2..]))
}

fn unchunked(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let broken = || io::Error::other("the body broke off between its chunks");
        let (piece, rest) = chunk(bytes).ok_or_else(broken)?;
        if piece.is_empty() {
            return Ok(body);
        }
        body.extend(piece);
        bytes = rest;
    }
}

fn begun(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some((piece, rest)) = chunk(bytes).filter(|(piece, _)| !piece.is_empty()) {
        body.extend(piece);
        bytes = rest;
    }
    body
}

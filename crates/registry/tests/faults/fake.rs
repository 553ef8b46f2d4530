//! A registry of the tests' own: what it holds and every way in which it
//! shall go wrong is said by the test. It listens on the loopback interface
//! of a network namespace that nothing else is in.

use reqwest::header;
use rustix::thread::UnshareFlags;
use sha2::{Digest as _, Sha256};
use spec::Digest;
use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, mpsc::Receiver},
};

/// What goes wrong with one answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// After so many bytes of the body the others come one by one, until
    /// nobody wants them any more.
    Drip(usize),
    /// Another status, with a header.
    Status(u16, &'static str),
    /// Another status, with a body of its own.
    Said(u16, String),
    /// What was asked for, with a header more.
    Header(&'static str),
    /// A document that is there for this once, with a header.
    Page(String, &'static str),
    /// Other bytes.
    Bytes(Vec<u8>),
    /// Another media type.
    Type(&'static str),
    /// A digest in the header that is not the content's.
    Lie,
    /// A length that no body has.
    Endless,
    /// Nothing, until the test lets it go.
    Hold(Arc<Mutex<Receiver<()>>>),
    /// What was asked to begin somewhere begins at the beginning.
    NoRange,
    /// What was asked to begin somewhere begins somewhere else.
    WrongRange,
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    /// By a part of the path: what befalls one request after the other.
    faults: Vec<(String, Vec<Fault>)>,
    /// `METHOD PATH[ range][ authorization]`
    seen: Vec<String>,
    token: Option<String>,
    /// What was sent to each place so far.
    uploads: Vec<Vec<u8>>,
}

/// Listens until the test ends.
#[derive(Clone)]
pub struct Fake {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// Puts this thread, and all that it starts, on a network of its own.
pub fn own_network() {
    sys::process::unshare(UnshareFlags::NEWNET).expect("a network of its own: needs root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip(8)");
    assert!(up.success());
}

impl Fake {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let fake = Self { addr, state: Arc::default() };
        let serving = fake.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(connection));
            }
        });
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub fn name(&self, rest: &str) -> spec::Reference {
        format!("{}/{rest}", self.addr).parse().expect("a name")
    }

    /// Keeps a blob, and describes it.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = digest(bytes);
        self.state().blobs.insert(digest.to_string(), bytes.to_vec());
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Keeps a document under a tag and its digest, and describes it.
    pub fn document(
        &self,
        tag: &str,
        media_type: &str,
        value: &serde_json::Value,
    ) -> serde_json::Value {
        let bytes = serde_json::to_vec(value).expect("plain data");
        let digest = digest(&bytes);
        let kept = (media_type.to_owned(), bytes.clone());
        self.state().manifests.insert(tag.to_owned(), kept.clone());
        self.state().manifests.insert(digest.to_string(), kept);
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// From now on requests whose path has `part` in it fare so, one after
    /// the other.
    pub fn fault(&self, part: &str, faults: &[Fault]) {
        self.state().faults.push((part.to_owned(), faults.to_vec()));
    }

    /// Asks everybody for the token that its own realm gives to `a:b`.
    pub fn wants_token(&self, token: &str) {
        self.state().token = Some(token.to_owned());
    }

    /// Requests so far whose line has `part` in it.
    pub fn seen(&self, part: &str) -> Vec<String> {
        self.state().seen.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    fn serve(&self, connection: TcpStream) {
        let mut from = BufReader::new(connection.try_clone().expect("descriptors"));
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            // Whoever speaks TLS here does not get far.
            match from.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let Ok(line) = String::from_utf8(line) else { return };
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let Some(request) = lines.first().and_then(|line| line.strip_suffix(" HTTP/1.1")) else {
            return;
        };
        let of = |name: &header::HeaderName| {
            let of = |line: &String| {
                let (key, value) = line.split_once(": ")?;
                (key.eq_ignore_ascii_case(name.as_str())).then(|| value.to_owned())
            };
            lines.iter().find_map(of)
        };
        let body = match (of(&header::CONTENT_LENGTH), of(&header::TRANSFER_ENCODING)) {
            (Some(length), _) => {
                let mut body = vec![0; length.parse().expect("a number")];
                if from.read_exact(&mut body).is_err() {
                    return;
                }
                body
            }
            (None, Some(_)) => match chunks(&mut from) {
                Ok(body) => body,
                Err(_) => return,
            },
            (None, None) => Vec::new(),
        };
        let (range, authorization) = (of(&header::RANGE), of(&header::AUTHORIZATION));
        let more = [range.clone(), authorization.clone()];
        let line = more.iter().flatten().fold(request.to_owned(), |line, word| line + " " + word);
        self.state().seen.push(line);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let answer = match request.split(' ').next() {
            Some(method @ ("POST" | "PATCH" | "PUT" | "HEAD")) => self.take(method, path, body),
            _ => self.answer(path, range.as_deref(), authorization.as_deref()),
        };
        // The client may have heard enough.
        let _ = write(connection, &answer);
    }

    /// A push: a place is made, filled, and closed with a digest.
    fn take(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let mut state = self.state();
        let fault = state.faults.iter_mut().find(|(part, left)| {
            format!("{method} {path}").contains(part.as_str()) && !left.is_empty()
        });
        match fault.map(|(_, left)| left.remove(0)) {
            Some(Fault::Status(status, more)) => {
                let mut answer = Answer::error(status, "UNAVAILABLE", "not now");
                answer.headers.push(more.to_owned());
                return answer;
            }
            Some(Fault::Lie) => {
                let mut answer = Answer::error(201, "", "");
                answer.headers.push(format!("Docker-Content-Digest: {}", digest(b"a lie")));
                return answer;
            }
            Some(fault) => panic!("{fault:?} is nothing for a push"),
            None => {}
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let (place, query) = last.split_once('?').unwrap_or((last, ""));
        let at = place.parse::<usize>().ok().filter(|_| path.contains("/uploads/"));
        let mut answer = Answer::ok("text/plain", Vec::new());
        match (method, at) {
            ("HEAD", _) => answer.status = if state.blobs.contains_key(last) { 200 } else { 404 },
            ("POST", _) => {
                state.uploads.push(Vec::new());
                answer.status = 202;
                let place = state.uploads.len() - 1;
                answer.headers.push(format!("Location: /v2/x/blobs/uploads/{place}"));
            }
            ("PATCH", Some(at)) => {
                state.uploads[at].extend(body);
                answer.status = 202;
                answer.headers.push(format!("Location: /v2/x/blobs/uploads/{at}"));
            }
            ("PUT", Some(at)) => {
                state.uploads[at].extend(body);
                let bytes = std::mem::take(&mut state.uploads[at]);
                let wanted = query.strip_prefix("digest=").unwrap_or_default().replace("%3A", ":");
                if digest(&bytes).as_str() != wanted {
                    return Answer::error(400, "DIGEST_INVALID", "other bytes");
                }
                state.blobs.insert(wanted, bytes);
                answer.status = 201;
            }
            _ => {
                answer.status = 201;
                let kept = ("application/json".to_owned(), body);
                state.manifests.insert(digest(&kept.1).to_string(), kept.clone());
                state.manifests.insert(last.to_owned(), kept);
            }
        }
        answer
    }

    fn answer(&self, path: &str, range: Option<&str>, authorization: Option<&str>) -> Answer {
        let mut state = self.state();
        let host = self.addr;
        if path.starts_with("/token") {
            return match authorization {
                Some("Basic YTpi") => {
                    let token = state.token.clone().unwrap_or_default();
                    Answer::ok("application/json", format!(r#"{{"token":"{token}"}}"#).into())
                }
                _ => Answer::error(401, "UNAUTHORIZED", "not you"),
            };
        }
        if let Some(token) = &state.token
            && authorization != Some(&format!("Bearer {token}"))
        {
            let mut answer = Answer::error(401, "UNAUTHORIZED", "authentication required");
            answer.headers.push(format!(
                "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"fake\",scope=\"repository:a:pull\""
            ));
            return answer;
        }
        if path == "/v2/" {
            return Answer::ok("application/json", b"{}".to_vec());
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let mut answer = if path.contains("/blobs/") {
            match state.blobs.get(last) {
                Some(bytes) => Answer::ok("application/octet-stream", bytes.clone()),
                None => Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
            }
        } else if path.contains("/referrers/") {
            // It knows no more than the protocol before 1.1.
            Answer::error(404, "NOT_FOUND", "page not found")
        } else {
            match state.manifests.get(last) {
                Some((media_type, bytes)) => {
                    let mut answer = Answer::ok(media_type, bytes.clone());
                    answer.headers.push(format!("Docker-Content-Digest: {}", digest(bytes)));
                    answer
                }
                None => Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            }
        };
        let fault = state
            .faults
            .iter_mut()
            .find(|(part, left)| path.contains(part.as_str()) && !left.is_empty());
        let fault = fault.map(|(_, left)| left.remove(0));
        let range: Option<(usize, usize)> = range
            .and_then(|text| text.strip_prefix("bytes=")?.split_once('-'))
            .and_then(|(begin, last)| {
                let end = if last.is_empty() { Some(answer.body.len()) } else { None };
                Some((begin.parse().ok()?, end.or_else(|| Some(last.parse::<usize>().ok()? + 1))?))
            })
            .filter(|_| !matches!(fault, Some(Fault::NoRange)));
        if let Some((begin, end)) = range.filter(|_| answer.status == 200) {
            let total = answer.body.len();
            let begin = if matches!(fault, Some(Fault::WrongRange)) { begin / 2 } else { begin };
            answer.status = 206;
            answer.headers.push(format!("Content-Range: bytes {begin}-{}/{total}", end - 1));
            answer.body.truncate(end);
            answer.body.drain(..begin);
        }
        match fault {
            Some(Fault::Cut(after)) => answer.cut = Some(after),
            Some(Fault::Drip(after)) => answer.drip = Some(after),
            Some(Fault::Status(status, more)) => {
                answer = Answer::error(status, "UNAVAILABLE", "not now");
                answer.headers.push(more.to_owned());
            }
            Some(Fault::Said(status, body)) => {
                (answer.status, answer.body) = (status, body.into());
            }
            Some(Fault::Header(more)) => answer.headers.push(more.to_owned()),
            Some(Fault::Page(body, more)) => {
                answer = Answer::ok("application/vnd.oci.image.index.v1+json", body.into());
                answer.headers.push(more.to_owned());
            }
            Some(Fault::Bytes(bytes)) => answer.body = bytes,
            Some(Fault::Type(media_type)) => {
                answer.headers[0] = format!("Content-Type: {media_type}");
            }
            Some(Fault::Lie) => {
                answer.headers[1] = format!("Docker-Content-Digest: {}", digest(b"a lie"));
            }
            Some(Fault::Endless) => answer.length = Some(u64::MAX - 2),
            Some(Fault::Hold(until)) => answer.hold = Some(until),
            Some(Fault::NoRange | Fault::WrongRange) | None => {}
        }
        answer
    }
}

struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    cut: Option<usize>,
    drip: Option<usize>,
    length: Option<u64>,
    hold: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Answer {
    fn ok(media_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![format!("Content-Type: {media_type}")];
        Self { status: 200, headers, body, cut: None, drip: None, length: None, hold: None }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
        Self { status, ..Self::ok("application/json", body.into()) }
    }
}

fn write(mut connection: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let Answer { status, headers, body, cut, drip, length, hold } = answer;
    if let Some(until) = hold {
        // Its other end is dropped when that is the case.
        until.lock().expect("no panic").recv().expect_err("nothing is sent");
    }
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for header in headers.iter().filter(|header| !header.is_empty()) {
        head += &format!("{header}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", length.unwrap_or(body.len() as u64));
    connection.write_all(head.as_bytes())?;
    if let Some(after) = drip {
        let (quick, slow) = body.split_at(*after);
        connection.write_all(quick)?;
        for byte in slow.chunks(1) {
            std::thread::sleep(std::time::Duration::from_millis(5));
            connection.write_all(byte)?;
        }
    } else {
        connection.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])?;
    }
    connection.shutdown(std::net::Shutdown::Write)?;
    // What it still sends is read, so that our last bytes are not lost.
    std::io::copy(&mut connection.take(1 << 20), &mut std::io::sink()).map(drop)
}

/// A body whose length was not told before.
fn chunks(from: &mut impl std::io::BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        let got = from.take(length).read_to_end(&mut body)?;
        from.read_line(&mut String::new())?;
        match length {
            0 => return Ok(body),
            length if got as u64 == length => {}
            _ => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

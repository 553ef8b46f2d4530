//! HTTP over a line to the engine: one connection a request, as each may turn
//! into a stream.

use crate::{
    error::{Error, Outcome},
    place::{Line, Place},
    tls::Papers,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, channel::Channel};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The version of the API that we speak.
const VERSION: &str = "v1.51";

/// Speaks to one engine.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
}

/// What a request has besides.
#[derive(Clone, Copy)]
enum Header<'a> {
    None,
    /// It shall become a raw stream.
    Upgrade,
    /// What the person is to a registry.
    Known(&'a str),
    /// Anything else.
    More(&'a [(&'a str, String)]),
}

/// What is sent with a request.
type Sent = Either<Full<Bytes>, Channel<Bytes, std::io::Error>>;

impl Client {
    /// Takes `--host` or `--context`, else what variables and `config.json`
    /// say, else the default socket.
    ///
    /// # Errors
    /// For an address that no line leads to, and a context that is not there;
    /// see [`Place`].
    pub fn new(host: Option<&str>, context: Option<&str>, papers: &Papers) -> Outcome<Self> {
        Ok(Self { place: Place::chosen(host, context, papers)? })
    }

    /// Does an engine listen, without one being started for it?
    pub fn is_answered(&self) -> bool {
        self.place.is_answered()
    }

    /// A line to the engine.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(&self) -> Outcome<Box<dyn Line>> {
        self.place.connect().await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Sent,
        kind: &str,
        more: Header<'_>,
    ) -> Outcome<Response<Incoming>> {
        named(path)?;
        let io = TokioIo::new(self.connect().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(Error::Broken)?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder().method(method).uri(format!("/{VERSION}{path}"));
        request = request.header("Host", "cofferdam").header("Content-Type", kind);
        match more {
            Header::None => {}
            Header::Upgrade => {
                request = request.header("Connection", "Upgrade").header("Upgrade", "tcp");
            }
            Header::More(more) => {
                for (name, value) in more {
                    request = request.header(*name, value);
                }
            }
            Header::Known(known) => request = request.header("X-Registry-Auth", known),
        }
        let request =
            request.body(body).map_err(|_| Error::Unfit(format!("{path:?} is not a path")))?;
        sender.send_request(request).await.map_err(Error::Broken)
    }

    /// Any answer but success becomes the engine's own words.
    async fn accepted(&self, answer: Response<Incoming>) -> Outcome<Response<Incoming>> {
        let status = answer.status();
        if status.is_success()
            || status == StatusCode::NOT_MODIFIED
            || status == StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(answer);
        }
        let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
        let message = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()))
            .unwrap_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned());
        Err(Error::Engine { status: status.as_u16(), message })
    }

    /// Sends a body and gives the answer as a stream.
    ///
    /// # Errors
    /// If the engine cannot be reached or refuses.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Outcome<Response<Incoming>> {
        self.open_with(method, path, body, None).await
    }

    /// A `POST` with what the person is to a registry.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_known(&self, path: &str, known: &str) -> Outcome<Response<Incoming>> {
        self.open_with(Method::POST, path, Bytes::new(), Some(known)).await
    }

    /// Any of both.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        known: Option<&str>,
    ) -> Outcome<Response<Incoming>> {
        let body = Either::Left(Full::new(body.into()));
        let more = known.map_or(Header::None, Header::Known);
        let answer = self.send(method, path, body, "application/json", more).await?;
        self.accepted(answer).await
    }

    /// Sends a stream of bytes, e.g. an archive.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn upload(
        &self,
        method: Method,
        path: &str,
        from: impl AsyncRead + Send + Unpin + 'static,
    ) -> Outcome<Response<Incoming>> {
        self.upload_with(method, path, from, &[]).await
    }

    /// The same, with further headers.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn upload_with(
        &self,
        method: Method,
        path: &str,
        mut from: impl AsyncRead + Send + Unpin + 'static,
        headers: &[(&str, String)],
    ) -> Outcome<Response<Incoming>> {
        let (mut chunks, body) = Channel::new(2);
        tokio::spawn(async move {
            let mut chunk = vec![0; 256 << 10];
            loop {
                match from.read(&mut chunk).await {
                    Ok(0) => return,
                    Ok(n)
                        if chunks.send_data(Bytes::copy_from_slice(&chunk[..n])).await.is_err() =>
                    {
                        return;
                    }
                    Ok(_) => {}
                    Err(error) => return chunks.abort(error),
                }
            }
        });
        let body = Either::Right(body);
        let more = Header::More(headers);
        let answer = self.send(method, path, body, "application/x-tar", more).await?;
        self.accepted(answer).await
    }

    /// Turns a request into a raw stream in both directions (`101`).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn hijack(&self, path: &str, body: impl Into<Bytes>) -> Outcome<TokioIo<Upgraded>> {
        let body = Either::Left(Full::new(body.into()));
        let answer =
            self.send(Method::POST, path, body, "application/json", Header::Upgrade).await?;
        let answer = self.accepted(answer).await?;
        Ok(TokioIo::new(hyper::upgrade::on(answer).await.map_err(Error::Broken)?))
    }

    /// Reads the whole answer as JSON.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if the answer is of another shape.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.json(Method::GET, path, Bytes::new()).await
    }

    /// Reads the whole answer as it was written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn text(&self, path: &str) -> Outcome<String> {
        let answer = self.open(Method::GET, path, Bytes::new()).await?;
        let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends JSON and reads JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        let body = serde_json::to_vec(body).map_err(|e| Error::Answer(path.into(), e))?;
        self.json(Method::POST, path, body.into()).await
    }

    /// A request whose answer does not matter beyond success.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn order(&self, method: Method, path: &str) -> Outcome<()> {
        let answer = self.open(method, path, Bytes::new()).await?;
        answer.into_body().collect().await.map_err(Error::Broken)?;
        Ok(())
    }

    /// Any method, JSON back.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Outcome<T> {
        let answer = self.open(method, path, body).await?;
        let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|e| Error::Answer(path.into(), e))
    }
}

/// No step of a path is empty: without the name that was to stand there, it
/// would be a path to something else.
fn named(path: &str) -> Outcome<()> {
    let path = path.split('?').next().unwrap_or_default();
    if !path.contains("//") && !path.ends_with('/') {
        return Ok(());
    }
    let kind = path.split('/').nth(1).unwrap_or_default();
    let kind = kind.strip_suffix('s').unwrap_or(kind);
    Err(Error::Unfit(format!("invalid {kind} name or ID: value is empty")))
}

/// A query string from pairs, values escaped; empty values are left out.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        text.push_str(&escape(value));
    }
    text
}

/// Percent-escapes all but the unreserved characters of RFC 3986.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_leaves_out_what_is_empty_and_escapes_the_rest() {
        assert_eq!(query(&[("a", ""), ("b", "x y"), ("c", "{\"k\"}")]), "?b=x%20y&c=%7B%22k%22%7D");
    }

    #[test]
    fn a_name_that_is_empty_leads_nowhere() {
        let wrong = |path: &str| named(path).err().map(|error| error.to_string());
        let words = |kind: &str| Some(format!("invalid {kind} name or ID: value is empty"));
        assert_eq!(wrong(&format!("/containers/{}/json?size=1", escape(""))), words("container"));
        assert_eq!(wrong(&format!("/volumes/{}?force=1", escape(""))), words("volume"));
        assert_eq!(wrong("/images/a/b:1/json?x=//"), None);
        assert_eq!(wrong("/info"), None);
    }
}

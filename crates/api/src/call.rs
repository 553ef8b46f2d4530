//! One request, taken apart for its handler.

use crate::arriving::Arriving;
use crate::doors::Doors;
use crate::error::Error;
use crate::fold::Fold;
use crate::gate::Gate;
use crate::lean::Lean;
use crate::query::Query;
use crate::scope::Scope;
use bytes::Bytes;
use engine::Engine;
use hyper::body::Body as _;
use hyper::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use tokio::net::UnixStream;

/// A version of the API: `1.MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16);

/// What is offered.
pub const NEWEST: Version = Version(51);
/// What is still answered.
pub const OLDEST: Version = Version(24);
/// Longest body of a request that is read as a whole.
pub const LONGEST: usize = 8 << 20;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// Splits `/v1.NN` off a path. No prefix means the newest.
///
/// # Errors
/// 400 for a version that is not answered.
pub fn versioned(path: &str) -> Result<(Version, &str), Error> {
    let prefixed =
        path.strip_prefix("/v").and_then(|rest| rest.find('/').map(|i| rest.split_at(i)));
    let Some((text, rest)) = prefixed.filter(|(text, _)| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    }) else {
        return Ok((NEWEST, path));
    };
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    // Only digits and dots are left: what does not fit is too large.
    let number = |text: &str| match text {
        "" => 0,
        text => text.parse::<u16>().unwrap_or(u16::MAX),
    };
    match (number(major), Version(number(minor))) {
        (1, version) if (OLDEST..=NEWEST).contains(&version) => Ok((version, rest)),
        (major, version) if major > 1 || (major == 1 && version > NEWEST) => Err(Error::bad(
            format!("client version {text} is too new. Maximum supported API version is {NEWEST}"),
        )),
        _ => Err(Error::bad(format!(
            "client version {text} is too old. Minimum supported API version is {OLDEST}, \
             please upgrade your client to a newer version"
        ))
        .in_plain_text()),
    }
}

/// Who has made a connection, as the kernel saw it then (`SO_PEERCRED` of
/// unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its user.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its process, should it still be there.
    pub pid: Option<i32>,
}

impl Who {
    /// Whoever is at the other end.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let peer = stream.peer_cred()?;
        Ok(Self { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() })
    }
}

/// A request and whom to ask about it.
pub struct Call {
    /// Who asks.
    pub who: Who,
    /// Whom.
    pub engine: Engine,
    /// What the client is held to; nothing, on the engine's own sockets.
    pub gate: Option<Arc<Gate>>,
    /// All scoped sockets.
    pub doors: Arc<Doors>,
    /// BuildKit's door to it.
    pub buildkit: Arc<buildkit::Desk>,
    /// As in its URL.
    pub version: Version,
    /// What stood at the pattern's braces.
    pub params: Vec<String>,
    /// Behind the question mark.
    pub query: Query,
    /// As sent.
    pub headers: HeaderMap,
    /// The whole body, of a blocking call.
    pub body: Bytes,
    /// The body as it comes, of a streaming call.
    pub incoming: Option<Arriving>,
}

impl Call {
    /// What the client is held to, if it is.
    pub fn scope(&self) -> Option<&Scope> {
        self.gate.as_ref().map(|gate| gate.scope())
    }

    /// The first thing named in the path.
    pub fn name(&self) -> &str {
        self.params.first().map(String::as_str).unwrap_or_default()
    }

    /// Does the client want to be told of the change of protocol?
    pub fn upgrades(&self) -> bool {
        self.headers.contains_key(header::UPGRADE)
    }

    /// The body as JSON; `None` if there is none.
    ///
    /// # Errors
    /// 400 for another media type and for text that does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.check_json()?;
        if self.body.is_empty() {
            return Ok(None);
        }
        from_json(&self.body).map(Some)
    }

    /// The body of a new container; none if it is empty.
    ///
    /// # Errors
    /// As of [`Call::json`].
    pub fn lean(&self) -> Result<Option<Lean>, Error> {
        self.check_json()?;
        if self.body.is_empty() { Ok(None) } else { parse(&self.body).map(Some) }
    }

    fn check_json(&self) -> Result<(), Error> {
        let kind = self.headers.get(header::CONTENT_TYPE).map_or(b"".as_slice(), |v| v.as_bytes());
        let kind = String::from_utf8_lossy(kind);
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json")
            // Clients call no body at all plain text.
            || self.body.is_empty()
        {
            return Ok(());
        }
        Err(Error::bad(format!(
            "unsupported Content-Type header ({kind}): must be 'application/json'"
        )))
    }

    /// Takes the body to read it as it comes.
    ///
    /// # Errors
    /// It has been taken.
    pub fn upload(&mut self) -> Result<Arriving, Error> {
        self.incoming.take().ok_or_else(|| Error::ours("the body has been read"))
    }

    /// Reads the whole body into [`Call::body`].
    ///
    /// # Errors
    /// 400 if the client breaks off, 413 beyond [`LONGEST`].
    pub async fn read_body(&mut self) -> Result<(), Error> {
        use http_body_util::{BodyExt as _, LengthLimitError, Limited};
        if let Some(incoming) = self.incoming.take() {
            let too_large =
                || Error::new(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large");
            // One that says so is refused unread.
            if incoming.size_hint().lower() > LONGEST as u64 {
                return Err(too_large());
            }
            let body = Limited::new(incoming, LONGEST).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    too_large()
                } else {
                    Error::bad(format!("cannot read the request: {error}"))
                }
            })?;
            self.body = body.to_bytes();
        }
        Ok(())
    }
}

/// Reads JSON as Go does: of a key that comes twice the last one counts, and
/// fields are named in any case.
///
/// # Errors
/// 400 in Docker's words.
pub fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    T::deserialize(Fold(parse(text)?)).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> Error {
    if error.is_eof() {
        Error::bad("invalid JSON: unexpected EOF")
    } else {
        Error::bad(format!("invalid JSON: {error}"))
    }
}

/// Reads JSON, and nothing after it.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter();
    let value = match values.next() {
        None => return Err(Error::bad("invalid JSON: got EOF while reading request body")),
        Some(value) => value.map_err(|error| invalid(&error))?,
    };
    if values.next().is_some() {
        return Err(Error::bad("unexpected content after JSON"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_split_off_the_path() {
        assert_eq!(
            versioned("/v1.41/containers/json").expect("ok"),
            (Version(41), "/containers/json")
        );
        assert_eq!(versioned("/_ping").expect("ok"), (NEWEST, "/_ping"));
        assert_eq!(versioned("/version").expect("ok"), (NEWEST, "/version"));
        assert_eq!(versioned("/v/x").expect("ok"), (NEWEST, "/v/x"));
    }

    #[test]
    fn too_new_and_too_old_are_told_apart() {
        let new = versioned("/v1.99/version").expect_err("too new");
        assert_eq!(
            new.to_string(),
            "client version 1.99 is too new. Maximum supported API version is 1.51"
        );
        for old in ["/v1.23/version", "/v0.1/x", "/v1/x", "/v1./x"] {
            let error = versioned(old).expect_err(old);
            assert!(error.to_string().contains("is too old"), "{old}: {error}");
        }
        assert!(versioned("/v99999999.1/x").expect_err("huge").to_string().contains("too new"));
    }

    #[test]
    fn json_is_refused_in_dockers_words() {
        let error = |text: &str| from_json::<Vec<u8>>(text.as_bytes()).expect_err(text).to_string();
        assert_eq!(error("[1,"), "invalid JSON: unexpected EOF");
        assert_eq!(error(" "), "invalid JSON: got EOF while reading request body");
        assert_eq!(error("[1] [2]"), "unexpected content after JSON");
        assert!(error("{}").starts_with("invalid JSON: invalid type"));
        assert_eq!(from_json::<Vec<u8>>(b"[1]\n").expect("fine"), [1]);
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let text = "[".repeat(100_000);
        assert_eq!(
            from_json::<serde_json::Value>(text.as_bytes()).expect_err("deep").status(),
            400
        );
    }
}

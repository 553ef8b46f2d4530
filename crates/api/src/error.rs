//! Why a request is answered with an error: a status and one line.

use crate::answer::{Answer, Content};
use hyper::StatusCode;
use serde::Serialize;
use std::error::Error as _;

/// A status and what is wrong, in words that Docker's clients know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    status: StatusCode,
    message: String,
    plain: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

impl Error {
    /// Any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), plain: false }
    }

    /// 400: the client's mistake.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 501: not carried, and said so.
    pub fn not_carried(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("{what} is not carried by this engine"))
    }

    /// 500: ours.
    pub fn ours(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The body is the bare message, as old clients expect of some answers.
    #[must_use]
    pub fn in_plain_text(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The status as a number.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The response.
    pub fn answer(&self) -> Answer {
        if self.status == StatusCode::NOT_MODIFIED {
            return Answer::status(self.status);
        }
        if self.plain {
            let text = Content::Whole(self.message.clone().into());
            return Answer::of(self.status, "text/plain; charset=utf-8", text);
        }
        Answer::json_with(self.status, &Message { message: &self.message })
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        use engine::Kind as K;
        let status = match error.kind() {
            K::NotFound => StatusCode::NOT_FOUND,
            K::Conflict => StatusCode::CONFLICT,
            K::Invalid => StatusCode::BAD_REQUEST,
            K::NotModified => StatusCode::NOT_MODIFIED,
            K::Unauthorized => StatusCode::UNAUTHORIZED,
            K::Forbidden => StatusCode::FORBIDDEN,
            K::Unsupported => StatusCode::NOT_IMPLEMENTED,
            K::Host => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(status, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_once() {
        let source = std::io::Error::from_raw_os_error(2);
        let error = Error::from(engine::Error::Host { doing: "open", path: "/x".into(), source });
        assert_eq!(error.status(), 500);
        assert_eq!(error.to_string(), "cannot open /x: No such file or directory (os error 2)");
    }

    #[test]
    fn kinds_become_statuses() {
        let of = |error: engine::Error| Error::from(error).status();
        assert_eq!(of(engine::Error::NoContainer("x".into())), 404);
        assert_eq!(of(engine::Error::Conflict("x".into())), 409);
        assert_eq!(of(engine::Error::NotModified("x".into())), 304);
        assert_eq!(of(engine::Error::Unsupported("x".into())), 501);
    }
}

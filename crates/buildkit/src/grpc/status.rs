//! How a call ended.

use crate::proto::{Any, RpcStatus};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderValue};
use prost::Message as _;

/// With or without padding, as the specification asks of readers.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The numbers of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// A failure: a number, words, and details for programs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// As in [`Code`].
    pub code: i32,
    /// For people.
    pub message: String,
    /// For programs.
    pub details: Vec<Any>,
}

impl Status {
    /// A failure in words.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into(), details: Vec::new() }
    }

    /// The status of an ended call, if it is a failure.
    pub fn of(trailers: &HeaderMap) -> Option<Self> {
        let text = |name| trailers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let Some(code) = text("grpc-status").and_then(|code| code.parse().ok()) else {
            return Some(Self::new(Code::Unknown, "the call ended without a status"));
        };
        if code == 0 {
            return None;
        }
        let message = decoded(text("grpc-message").unwrap_or_default());
        let details = text("grpc-status-details-bin")
            .and_then(|text| BASE64.decode(text).ok())
            .and_then(|bytes| RpcStatus::decode(bytes.as_slice()).ok())
            .map(|status| status.details)
            .unwrap_or_default();
        Some(Self { code, message, details })
    }

    /// As trailers.
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(self.code));
        if let Ok(message) = HeaderValue::from_str(&encoded(&self.message)) {
            trailers.insert("grpc-message", message);
        }
        if !self.details.is_empty() {
            let status = RpcStatus::from(self.clone()).encode_to_vec();
            if let Ok(details) = HeaderValue::from_str(&BASE64.encode(status)) {
                trailers.insert("grpc-status-details-bin", details);
            }
        }
        trailers
    }
}

impl From<RpcStatus> for Status {
    fn from(status: RpcStatus) -> Self {
        Self { code: status.code, message: status.message, details: status.details }
    }
}

impl From<Status> for RpcStatus {
    fn from(status: Status) -> Self {
        Self { code: status.code, message: status.message, details: status.details }
    }
}

impl From<h2::Error> for Status {
    fn from(error: h2::Error) -> Self {
        Self::new(Code::Unavailable, format!("the connection broke off: {error}"))
    }
}

/// Percent signs for all that is no printable ASCII.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_trailers() {
        let detail = Any { type_url: "x".into(), value: b"\0\xff".to_vec() };
        let status =
            Status { code: 2, message: "50 % of „it“\nfailed".into(), details: vec![detail] };
        assert_eq!(Status::of(&status.trailers()), Some(status));
    }

    #[test]
    fn zero_is_no_failure_and_nothing_is_one() {
        let mut trailers = HeaderMap::new();
        assert!(Status::of(&trailers).is_some());
        trailers.insert("grpc-status", HeaderValue::from(0));
        assert_eq!(Status::of(&trailers), None);
    }
}

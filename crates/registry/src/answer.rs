//! What registries answer: documents, and what is wrong.

use crate::Error;
use reqwest::{StatusCode, blocking::Response};
use serde::Deserialize;
use std::io::Read as _;

/// Largest answer that is no manifest: an error, a token, a list.
pub(crate) const SMALL: u64 = 1 << 20;

/// Longest message that is passed on, in characters.
const MESSAGE: usize = 500;

/// How a registry says what is wrong.
#[derive(Deserialize)]
struct Problems {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// An answer that is none of success.
pub(crate) struct Refusal {
    pub status: StatusCode,
    /// Of the first problem, as `MANIFEST_UNKNOWN`; empty if none was given.
    pub code: String,
    /// For people, in Docker's manner.
    pub words: String,
}

impl Refusal {
    /// Reads it.
    pub fn of(answer: Response) -> Self {
        let status = answer.status();
        // What cannot be read says nothing; the status stands.
        let bytes = whole(answer, SMALL, "read").unwrap_or_default();
        let problems = serde_json::from_slice::<Problems>(&bytes).ok();
        let first = problems.and_then(|problems| problems.errors.into_iter().next());
        let Some(Problem { code, message }) = first else {
            let reason = status.canonical_reason().unwrap_or("no reason given");
            return Self { status, code: String::new(), words: reason.to_lowercase() };
        };
        let plain = code.to_lowercase().replace('_', " ");
        Self { status, words: line(&format!("{plain}: {message}")), code }
    }
}

/// As much of a registry's words as people read, on one line.
fn line(words: &str) -> String {
    words.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads an answer to its end, if it has one before `most` bytes.
pub(crate) fn whole(answer: Response, most: u64, doing: &'static str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = answer.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::Invalid(format!("cannot {doing}: the answer broke off: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(Error::Invalid(format!("cannot {doing}: an answer of more than {most} bytes")));
    }
    Ok(bytes)
}

//! What a process says at its end: one JSON document in a line, and after it
//! what is left to be set, each part of it behind its length (32 bits, the low
//! byte first).
//!
//! It may have been taken over by then. What it says is bounded, and is
//! believed of its own archive alone.

use crate::Error;
use serde::{Deserialize, Serialize};
use snapshot::{Left, Unpacked};
use std::io;

/// Bytes of the document: a few times [`WORDS`], each character escaped.
const LINE: usize = 256 << 10;
/// Bytes of all that one says.
pub(crate) const LONGEST: usize = LINE + Left::BYTES + Left::MOST * 3 * size_of::<u32>();
/// Characters of one of its words that are passed on: longer than a name may
/// be, with what is said about it.
const WORDS: usize = 8 << 10;

/// Its last word.
#[derive(Debug)]
pub(crate) struct Word {
    said: Said,
    /// To be set.
    left: Vec<Left>,
}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// Well: what was unpacked.
    Done(Unpacked),
    /// Whoever gave the stream failed, or it is no stream of its kind.
    Input(Failure),
    /// Whoever takes what comes out does not want any more.
    Output,
    /// The archive, or the host.
    Archive(Trouble),
    /// It could not give up its rights, and has read nothing.
    Unconfined(String),
}

/// An error of the host's, or about a stream.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    errno: Option<i32>,
    kind: Sort,
    words: String,
}

/// Of the kinds of errors those that somebody looks at.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Sort {
    InvalidData,
    InvalidInput,
    UnexpectedEof,
    OutOfMemory,
    Other,
}

/// [`snapshot::Error`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Trouble {
    Refused(String, String),
    Malformed(String),
    TooMuch(u64, String),
    Input(Failure),
    Output(Failure),
    NotFound(String),
    WrongKind(String),
    Host(String, String, Failure),
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::InvalidData => Sort::InvalidData,
            io::ErrorKind::InvalidInput => Sort::InvalidInput,
            io::ErrorKind::UnexpectedEof => Sort::UnexpectedEof,
            io::ErrorKind::OutOfMemory => Sort::OutOfMemory,
            _ => Sort::Other,
        };
        Self { errno: error.raw_os_error(), kind, words: cut(error.to_string()) }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        if let Some(errno) = failure.errno {
            return Self::from_raw_os_error(errno);
        }
        let kind = match failure.kind {
            Sort::InvalidData => io::ErrorKind::InvalidData,
            Sort::InvalidInput => io::ErrorKind::InvalidInput,
            Sort::UnexpectedEof => io::ErrorKind::UnexpectedEof,
            Sort::OutOfMemory => io::ErrorKind::OutOfMemory,
            Sort::Other => io::ErrorKind::Other,
        };
        Self::new(kind, cut(failure.words))
    }
}

impl From<snapshot::Error> for Trouble {
    fn from(error: snapshot::Error) -> Self {
        use snapshot::Error as E;
        match error {
            E::Refused { entry, reason } => Self::Refused(cut(entry), cut(reason)),
            E::Malformed(words) => Self::Malformed(cut(words)),
            E::TooMuch { limit, of } => Self::TooMuch(limit, cut(of.into_owned())),
            E::Input(e) => Self::Input((&e).into()),
            E::Output(e) => Self::Output((&e).into()),
            E::NotFound(words) => Self::NotFound(cut(words)),
            E::WrongKind(words) => Self::WrongKind(cut(words)),
            E::Host { doing, path, source } => {
                let path = cut(path.to_string_lossy().into_owned());
                Self::Host(cut(doing.into_owned()), path, (&source).into())
            }
            other => Self::Malformed(cut(other.to_string())),
        }
    }
}

impl From<Trouble> for snapshot::Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(entry, reason) => {
                Self::Refused { entry: cut(entry), reason: cut(reason) }
            }
            Trouble::Malformed(words) => Self::Malformed(cut(words)),
            Trouble::TooMuch(limit, of) => Self::TooMuch { limit, of: cut(of).into() },
            Trouble::Input(failure) => Self::Input(failure.into()),
            Trouble::Output(failure) => Self::Output(failure.into()),
            Trouble::NotFound(words) => Self::NotFound(cut(words)),
            Trouble::WrongKind(words) => Self::WrongKind(cut(words)),
            Trouble::Host(doing, path, failure) => Self::Host {
                doing: cut(doing).into(),
                path: cut(path).into(),
                source: failure.into(),
            },
        }
    }
}

impl From<Said> for Word {
    fn from(said: Said) -> Self {
        Self { said, left: Vec::new() }
    }
}

impl Word {
    pub fn of(outcome: Result<(Unpacked, Vec<Left>), snapshot::Error>) -> Self {
        match outcome {
            Ok((unpacked, left)) => Self { said: Said::Done(unpacked), left },
            Err(error) => Said::Archive(error.into()).into(),
        }
    }

    /// As it is said.
    ///
    /// # Errors
    /// Something in it is longer than may be.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&self.said)?;
        bytes.push(b'\n');
        for part in self.left.iter().flat_map(|left| [&left.path, &left.name, &left.value]) {
            let len = u32::try_from(part.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }

    /// As it was heard; none if it makes no sense, or is too much.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().take(LINE).position(|byte| *byte == b'\n')?;
        let said = serde_json::from_slice(&bytes[..end]).ok()?;
        let (mut rest, mut left) = (&bytes[end + 1..], Vec::new());
        while !rest.is_empty() {
            if left.len() == Left::MOST {
                return None;
            }
            let mut part = || {
                let (len, after) = rest.split_first_chunk()?;
                let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
                let (part, after) = after.split_at_checked(len)?;
                rest = after;
                Some(part.to_vec())
            };
            left.push(Left { path: part()?, name: part()?, value: part()? });
        }
        Some(Self { said, left })
    }

    /// What is to be told of it.
    pub fn outcome(self) -> Result<(Unpacked, Vec<Left>), Error> {
        match self.said {
            Said::Done(unpacked) => Ok((unpacked, self.left)),
            Said::Input(failure) | Said::Archive(Trouble::Input(failure)) => {
                Err(Error::Input(failure.into()))
            }
            Said::Output => Err(Error::Input(io::ErrorKind::BrokenPipe.into())),
            Said::Archive(trouble) => Err(Error::Archive(trouble.into())),
            Said::Unconfined(words) => {
                Err(Error::Lost(format!("could not give up its rights: {}", cut(words))))
            }
        }
    }
}

fn cut(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(WORDS) {
        words.truncate(end);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(error: snapshot::Error) -> snapshot::Error {
        let bytes = Word::of(Err(error)).to_bytes().expect("plain data");
        assert!(bytes.len() < LINE, "{}", bytes.len());
        match Word::from_bytes(&bytes).expect("plain data").outcome() {
            Err(Error::Archive(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn left(path: &[u8], value: &[u8]) -> Left {
        Left { path: path.into(), name: b"trusted.x".into(), value: value.into() }
    }

    #[test]
    fn an_error_is_told_as_it_was() {
        let full = || io::Error::from_raw_os_error(28);
        let errors = [
            snapshot::Error::Refused { entry: "a".into(), reason: "it climbs".into() },
            snapshot::Error::TooMuch { limit: 5, of: "bytes".into() },
            snapshot::Error::Host { doing: "write".into(), path: "f".into(), source: full() },
            snapshot::Error::Host { doing: "do as new".into(), path: "f".into(), source: full() },
            snapshot::Error::WrongKind("x is not a directory".into()),
        ];
        for error in errors {
            let (kind, words) = (error.kind(), format!("{error:?}"));
            let told = through(error);
            assert_eq!((told.kind(), format!("{told:?}")), (kind, words));
        }
    }

    #[test]
    fn nobody_is_told_more_than_a_few_words() {
        let long = snapshot::Error::Malformed("\u{1}é".repeat(1 << 20));
        assert_eq!(through(long).to_string().chars().count(), WORDS + "malformed archive: ".len());
        // Of who does not shorten his own words.
        let long = Trouble::Malformed("x".repeat(LINE / 2));
        let word = Word::from(Said::Archive(long)).to_bytes().expect("plain data");
        let told = Word::from_bytes(&word).expect("short enough").outcome().expect_err("an error");
        assert_eq!(told.to_string().len(), WORDS + "malformed archive: ".len());
        let longer = Trouble::Malformed("x".repeat(LINE));
        let word = Word::from(Said::Archive(longer)).to_bytes().expect("plain data");
        assert!(Word::from_bytes(&word).is_none());
    }

    #[test]
    fn what_is_left_is_told_and_no_more_than_may_be() {
        let all = vec![left(b"a\nb", &[0, 255, 10]), left(b"", b"")];
        let done = || Word::of(Ok((Unpacked::default(), all.clone())));
        let bytes = done().to_bytes().expect("plain data");
        let told = |bytes: &[u8]| Some(Word::from_bytes(bytes)?.outcome().expect("well").1);
        assert_eq!(told(&bytes), Some(all.clone()));
        for end in bytes.len() - 8..bytes.len() {
            assert!(Word::from_bytes(&bytes[..end]).is_none(), "cut short at {end}");
        }
        let many = |count| vec![left(b"", b""); count];
        let word = |count| Word::of(Ok((Unpacked::default(), many(count)))).to_bytes();
        let most = word(Left::MOST).expect("plain data");
        assert_eq!(told(&most).map(|all| all.len()), Some(Left::MOST));
        assert!(Word::from_bytes(&word(Left::MOST + 1).expect("plain data")).is_none());
    }
}

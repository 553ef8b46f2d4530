//! As much of a kubelet as asks containerd for pods: the calls of the
//! Container Runtime Interface over curl(1), messages written by hand.
//!
//! The numbers of fields are those of `runtime/v1/api.proto` (Kubernetes
//! 1.36). A message is fields one after the other: a number and a kind, then
//! a varint, or a length and bytes.

use crate::{Ran, finish};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A message that is being written, or a part of one.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// One without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a text.
    #[must_use]
    pub fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// With a number, an enumeration's word, or a boolean.
    #[must_use]
    pub fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    /// With another message inside.
    #[must_use]
    pub fn part(self, field: u64, part: &Message) -> Self {
        self.bytes(field, &part.0)
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }
}

/// A message that was read.
#[derive(Clone, Debug, Default)]
pub struct Answer(Vec<(u64, Value)>);

#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Answer {
    fn read(mut bytes: &[u8]) -> Self {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut number, mut shift) = (0, 0);
            while let Some((byte, rest)) = bytes.split_first() {
                *bytes = rest;
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            number
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Number(varint(&mut bytes)),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).expect("a length");
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Value::Bytes(value.to_vec())
                }
                kind => panic!("a field of kind {kind}"),
            };
            fields.push((key >> 3, value));
        }
        Self(fields)
    }

    /// The number at the end of a path of fields; 0 is not sent.
    ///
    /// # Panics
    /// If the path is empty.
    #[must_use]
    pub fn number(&self, path: &[u64]) -> u64 {
        let (last, parts) = path.split_last().expect("a path");
        let of = parts.iter().fold(self.clone(), |answer, field| answer.part(*field));
        let found = of.0.iter().find(|(field, _)| field == last);
        found.map_or(0, |(_, value)| if let Value::Number(number) = value { *number } else { 0 })
    }

    /// The text at the end of a path of fields.
    ///
    /// # Panics
    /// If the path is empty.
    #[must_use]
    pub fn text(&self, path: &[u64]) -> String {
        let (last, parts) = path.split_last().expect("a path");
        let of = parts.iter().fold(self.clone(), |answer, field| answer.part(*field));
        String::from_utf8_lossy(&of.bytes(*last).next().unwrap_or_default()).into_owned()
    }

    /// Every message of a repeated field.
    pub fn parts(&self, field: u64) -> impl Iterator<Item = Answer> {
        self.bytes(field).map(|bytes| Answer::read(&bytes))
    }

    fn part(&self, field: u64) -> Self {
        self.parts(field).next().unwrap_or_default()
    }

    fn bytes(&self, wanted: u64) -> impl Iterator<Item = Vec<u8>> {
        self.0.iter().filter_map(move |(field, value)| match value {
            Value::Bytes(bytes) if *field == wanted => Some(bytes.clone()),
            _ => None,
        })
    }
}

/// Whoever asks, at a socket.
pub struct Kubelet {
    socket: PathBuf,
    scratch: PathBuf,
}

impl Kubelet {
    /// Asks at `socket`, with files in `scratch`.
    #[must_use]
    pub fn new(socket: &Path, scratch: &Path) -> Self {
        Self { socket: socket.into(), scratch: scratch.into() }
    }

    /// Makes a call of the runtime service.
    ///
    /// # Errors
    /// What the other side says it failed for.
    ///
    /// # Panics
    /// If nobody answers.
    pub fn ask(&self, call: &str, message: &Message) -> Result<Answer, String> {
        let (question, answer) = (self.scratch.join("question"), self.scratch.join("answer"));
        let length = u32::try_from(message.0.len()).expect("short");
        // Not compressed; its length; itself.
        let frame = [&[0][..], &length.to_be_bytes(), &message.0].concat();
        fs::write(&question, frame).expect("scratch");
        fs::write(&answer, "").expect("scratch");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2-prior-knowledge", "--dump-header", "-"]);
        curl.args(["--header", "content-type: application/grpc", "--header", "te: trailers"]);
        curl.arg("--unix-socket").arg(&self.socket).arg("--output").arg(&answer);
        curl.arg("--data-binary").arg(format!("@{}", question.display()));
        curl.arg(format!("http://localhost/runtime.v1.RuntimeService/{call}"));
        curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran: Ran = finish(curl.spawn().expect("curl(1) starts"), call);
        assert_eq!(ran.code, 0, "{call}: {ran:?}");
        let said = |name: &str| {
            let mut lines = ran.out.lines().filter_map(|line| line.strip_prefix(name));
            lines.next().unwrap_or_default().trim().to_owned()
        };
        if said("grpc-status:") != "0" {
            return Err(said("grpc-message:"));
        }
        Ok(Answer::read(fs::read(&answer).expect("scratch").get(5..).unwrap_or_default()))
    }

    /// The same of a call that must succeed.
    ///
    /// # Panics
    /// If it fails.
    pub fn says(&self, call: &str, message: &Message) -> Answer {
        self.ask(call, message).unwrap_or_else(|error| panic!("{call}: {error}"))
    }
}

//! Where what a program says goes, and how it gets there.
//!
//! The monitor writes the [`File`] itself. Whoever else is told (a syslog
//! server, the journal) is spoken to by a *courier*: a process of the
//! monitor's for this container alone, which is started only if one is asked
//! for. They speak on a stream socket, the courier's standard input:
//!
//! ```text
//!   monitor                               courier
//!     | u32, Remote as JSON ----------------> |  connects
//!     | <-------------- 0, or 1 and the words |  ready, or why not
//!     | Record, Record, … ------------------> |
//!     | <------------------------- Toll, Toll |  how far it is
//!     | end of file ------------------------> |  delivers the rest, ends
//! ```
//!
//! With `mode=non-blocking` a file is written by such a process too, so that a
//! disk that hangs keeps nobody waiting; it is told what to write by the fork
//! that made it, and needs no first message.

pub mod index;

use serde::{Deserialize, Serialize};

/// Where the monitor brings what the program says; nowhere by default
/// (`--log-driver none`, foreign bundles).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// What `logs` reads: the log itself, or a copy of what goes elsewhere.
    pub file: Option<File>,
    /// Who is told beside.
    pub remote: Option<Remote>,
    /// `mode=non-blocking`: the program never waits for its log; lines beyond
    /// so many bytes that wait are dropped and counted.
    pub buffer: Option<u64>,
    /// The program that couriers and presses are modes of.
    pub helper: String,
}

/// A log on disk, rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The current file; older ones are `path.1`, `path.2`, …
    pub path: String,
    /// How a line is written.
    pub form: Form,
    /// Rotate beyond this many bytes; never if 0.
    pub max_bytes: u64,
    /// How many files to keep, the current one counted.
    pub max_files: u32,
    /// Older files are compressed: `path.1.gz`.
    pub compress: bool,
    /// A JSON object that stands in each line (`attrs` of `json-file`); empty
    /// for none.
    pub attrs: String,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Docker's `json-file`: a JSON object a line.
    Json,
    /// Docker's `local`: a protocol buffer between two lengths.
    Framed,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remote {
    /// A syslog server.
    Syslog(Syslog),
    /// The host's journal: fields beside a line's own.
    Journald(Vec<(String, String)>),
}

/// A syslog server, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syslog {
    /// Where it is.
    pub address: Address,
    /// 0 to 23.
    pub facility: u8,
    /// How a message is spelt.
    pub format: Format,
    /// Before each message.
    pub tag: String,
    /// For [`Address::Tls`].
    pub tls: Tls,
    /// Whom its courier becomes, if it speaks over a network: an id that is
    /// nobody else's.
    pub user: u32,
}

/// Where a syslog server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// The host's own: `/dev/log` and the other places.
    Local,
    /// A stream socket at a path.
    Unix(String),
    /// A datagram socket at a path.
    Unixgram(String),
    /// `HOST:PORT`.
    Udp(String),
    /// `HOST:PORT`.
    Tcp(String),
    /// `HOST:PORT`.
    Tls(String),
}

/// How a syslog message is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As programs speak to `/dev/log`.
    Unix,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

/// Paths of PEM files; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Who may vouch for the server, instead of those whom the host trusts.
    pub ca: String,
    /// Shown to the server.
    pub cert: String,
    /// Of `cert`.
    pub key: String,
    /// The server need not prove who it is.
    pub skip_verify: bool,
}

/// Before the bytes of each line that goes to a courier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// So many bytes follow.
    pub len: u32,
    /// Of standard error.
    pub stderr: bool,
    /// A newline followed.
    pub whole: bool,
    /// Which piece of a line it is, from 1 on; 0 for a line in one piece.
    pub ordinal: u32,
    /// Nanoseconds since the epoch; of its first piece.
    pub time: u64,
}

impl Record {
    /// Its size on the socket.
    pub const SIZE: usize = 20;

    /// To send.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..4].copy_from_slice(&self.len.to_be_bytes());
        bytes[4] = u8::from(self.stderr) | u8::from(self.whole) << 1;
        bytes[8..12].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes[12..].copy_from_slice(&self.time.to_be_bytes());
        bytes
    }

    /// As received.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let word = |at: usize| bytes[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b));
        Self {
            len: word(0),
            stderr: bytes[4] & 1 != 0,
            whole: bytes[4] & 2 != 0,
            ordinal: word(8),
            time: u64::from(word(12)) << 32 | u64::from(word(16)),
        }
    }
}

/// How far a courier is with the records of its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toll {
    /// It is done with so many.
    pub done: u64,
    /// So many of them could not be delivered.
    pub dropped: u64,
}

impl Toll {
    /// Its size on the socket.
    pub const SIZE: usize = 16;

    /// To send.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.done.to_be_bytes());
        bytes[8..].copy_from_slice(&self.dropped.to_be_bytes());
        bytes
    }

    /// As received.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let half = |at: usize| bytes[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        Self { done: half(0), dropped: half(8) }
    }
}

/// Where the first newline is: 32 bytes at a time.
pub fn newline(text: &[u8]) -> Option<usize> {
    const SPAN: usize = 32;
    let (spans, _) = text.as_chunks::<SPAN>();
    // Without a way out in the middle, which makes it a few instructions on
    // vectors.
    let has = |span: &[u8; SPAN]| span.iter().fold(0, |n, b| n | u8::from(*b == b'\n')) != 0;
    let skip = spans.iter().position(has).unwrap_or(spans.len()) * SPAN;
    text[skip..].iter().position(|b| *b == b'\n').map(|at| skip + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_is_found_wherever_it_is() {
        let mut text = vec![b'\t'; 140];
        assert_eq!(newline(&text), None);
        for at in (0..140).rev() {
            text[at] = b'\n';
            assert_eq!(newline(&text), Some(at));
            assert_eq!(newline(&text[..at]), None);
        }
    }

    #[test]
    fn what_goes_over_the_socket_reads_back() {
        for (stderr, whole) in [(false, true), (true, false)] {
            let record = Record {
                len: 0x0001_0203,
                stderr,
                whole,
                ordinal: 0x0405_0607,
                time: u64::MAX - 5,
            };
            assert_eq!(Record::from_bytes(record.to_bytes()), record);
        }
        let toll = Toll { done: 0x0102_0304_0506_0708, dropped: 9 };
        assert_eq!(Toll::from_bytes(toll.to_bytes()), toll);
    }
}

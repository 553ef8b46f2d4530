//! What the daemon and a container's monitor say to one another.
//!
//! # Launching
//!
//! The daemon starts `cofferdam-run monitor` with one end of a
//! `SOCK_SEQPACKET` pair as its standard input (so that nothing but the
//! standard three descriptors is inherited) and speaks JSON, one message a
//! packet of at most [`MAX_PACKET`] bytes; descriptors ride along where it
//! says so. The crate `watch` is the daemon's side of it.
//!
//! ```text
//!   daemon                                     monitor
//!     | Launch (+ root mount fd, if any) -------> |  binds monitor.sock, makes init
//!     | <-------------------- Alive (+ netns fd)  |  init waits in its namespaces
//!     |   (plugs the network in, connects         |
//!     |    the attached clients)                  |
//!     | Go -------------------------------------> |
//!     | <----------------------- Running / Failed |  exec succeeded, or why not
//!     | <---------------------------------- Ended |  exit.json is written by then
//! ```
//!
//! A pair that closes before `Go` is an `Abort`. Later it may close at any time
//! (the daemon may die): the monitor goes on, and a new daemon connects to
//! `monitor.sock` and sends [`Request::Watch`]. A monitor that closes the pair
//! without `Failed` or `Ended` has died or was told to abort.
//!
//! # Serving
//!
//! `monitor.sock` in the container's run directory is a `SOCK_STREAM` socket
//! that speaks [frames](Frame): a [`Kind::Control`] frame with a JSON
//! [`Request`] opens a connection, a control frame with a [`Reply`] answers,
//! and then frames flow both ways until either side closes. The header is
//! that of Docker's multiplexed streams, so that output frames can be copied
//! to a client as they are.

use crate::oci;
use serde::{Deserialize, Serialize};

/// Daemon to monitor, on the launching pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToMonitor {
    /// Make the container as `sandbox.json` in `dir` says.
    Launch {
        /// The container's run directory; holds `sandbox.json`, and will
        /// hold `monitor.sock` and `exit.json`.
        dir: String,
        /// Give the program a standard input that stays open (`-i`).
        open_stdin: bool,
        /// Close standard input when the first attached client leaves it.
        stdin_once: bool,
    },
    /// The network is in place: let the program begin.
    Go,
    /// Give it up; nothing is to remain.
    Abort,
}

/// Monitor to daemon, on the launching pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromMonitor {
    /// Init is in its namespaces and waits; carries its network namespace,
    /// if the container has one of its own.
    Alive {
        /// Init, as the host sees it.
        pid: i32,
    },
    /// The program runs.
    Running,
    /// It never will.
    Failed(Failure),
    /// It ran and has ended.
    Ended(Exit),
}

/// Why a program could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// One line for people: the step, its object and what the kernel said.
    pub message: String,
    /// As in errno(3); 0 if none applies.
    pub errno: i32,
    /// True if the command itself was at fault (missing, not executable): an
    /// exit code of 127 or 126 rather than 125.
    pub command: bool,
}

/// How a program ended; also the content of `exit.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 0..=255; 128+n for signal n.
    pub code: u8,
    /// The kernel killed something in it for want of memory.
    pub oom: bool,
    /// Nanoseconds since the epoch.
    pub at: u64,
    /// So many lines of its output are missing where its log driver brings
    /// them.
    #[serde(default)]
    pub dropped: u64,
}

/// First frame of a connection to `monitor.sock`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// [`Reply::State`] now, [`Reply::Ended`] when it ends.
    Watch,
    /// The program's streams from now on; ends with [`Reply::Ended`].
    Attach {
        /// Send what arrives as [`Kind::Stdin`] frames to the program.
        stdin: bool,
        /// Receive standard output.
        stdout: bool,
        /// Receive standard error.
        stderr: bool,
        /// The program waits while this client is slow, as it would for a
        /// pipe's reader, and no byte is lost (`run` in the foreground). If
        /// not, a client that falls behind by more than the monitor buffers
        /// loses its connection, and the program waits for nobody.
        #[serde(default)]
        pace: bool,
    },
    /// Another program in the container: [`Reply::Started`] or
    /// [`Reply::Failed`], then its streams, then [`Reply::Ended`]. It waits
    /// while its client is slow, and runs on without one that leaves.
    Exec {
        /// Chosen by the daemon, for `Resize` and `Signal`.
        exec: String,
        /// What to run and as whom.
        process: Box<oci::Process>,
        /// Give it a standard input (else `/dev/null`).
        stdin: bool,
        /// Its output is wanted (else it goes to `/dev/null`).
        output: bool,
    },
    /// Change a terminal's size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
        /// Of this exec session; of the container if none.
        exec: Option<String>,
    },
    /// Send a signal to the container's init, or to an exec session.
    Signal {
        /// As in signal(7).
        signal: i32,
        /// To this exec session; to init if none.
        exec: Option<String>,
    },
    /// The log file was removed or truncated: open it anew.
    ReopenLog,
    /// How the log does: [`Reply::Log`].
    LogState,
}

/// Content of a [`Kind::Control`] frame from the monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; for `Attach`: output from here on is yours.
    Ok,
    /// The answer to `Watch`.
    State {
        /// The container that this monitor holds.
        id: String,
        /// Init, as the host sees it; none before `Go` and after the end.
        pid: Option<i32>,
    },
    /// The exec session's program runs.
    Started {
        /// As the host sees it.
        pid: i32,
    },
    /// The answer to `LogState`.
    Log {
        /// So many lines have been dropped in this run.
        dropped: u64,
    },
    /// It could not be done.
    Failed(Failure),
    /// The program, or the exec session's, has ended; the last frame.
    Ended(Exit),
}

/// What a frame carries: the first byte of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the program; an empty frame closes its standard input.
    Stdin,
    /// From the program; from its terminal too.
    Stdout,
    /// From the program.
    Stderr,
    /// JSON: [`Request`] or [`Reply`].
    Control,
}

/// One frame's header: kind, three zero bytes, length in big-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What follows.
    pub kind: Kind,
    /// How many bytes of it.
    pub len: u32,
}

/// Longest packet of the launching dialogue.
pub const MAX_PACKET: usize = 16 << 10;

/// Longest payload that either side sends or accepts.
pub const MAX_FRAME: u32 = 1 << 20;

/// A header that no peer of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame header {0:02x?}")]
pub struct BadFrame([u8; 8]);

impl BadFrame {
    /// For a header that is well formed but does not belong there.
    pub fn of(header: [u8; 8]) -> Self {
        Self(header)
    }
}

impl Frame {
    /// The eight bytes to send.
    pub fn to_bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [self.kind as u8, 0, 0, 0, a, b, c, d]
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`BadFrame`] for an unknown kind, stray bytes or a length beyond
    /// [`MAX_FRAME`].
    pub fn from_bytes(bytes: [u8; 8]) -> Result<Self, BadFrame> {
        let kind = match bytes[..4] {
            [0, 0, 0, 0] => Kind::Stdin,
            [1, 0, 0, 0] => Kind::Stdout,
            [2, 0, 0, 0] => Kind::Stderr,
            [3, 0, 0, 0] => Kind::Control,
            _ => return Err(BadFrame(bytes)),
        };
        let len = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if len > MAX_FRAME { Err(BadFrame(bytes)) } else { Ok(Self { kind, len }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        for kind in [Kind::Stdin, Kind::Stdout, Kind::Stderr, Kind::Control] {
            let frame = Frame { kind, len: 0x0001_0203 };
            assert_eq!(Frame::from_bytes(frame.to_bytes()), Ok(Frame { len: 0x0001_0203, kind }));
        }
    }

    #[test]
    fn a_foreign_header_is_refused() {
        assert!(Frame::from_bytes([4, 0, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(Frame::from_bytes([1, 1, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(Frame::from_bytes([1, 0, 0, 0, 1, 0, 0, 0]).is_err(), "longer than any frame");
    }
}

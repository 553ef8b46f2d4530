//! One program in the container: its own, or one that was put beside it by
//! exec.
//!
//! It has streams from before it begins until nobody holds them any more,
//! which may be after it has ended: a background process it left may still
//! write, and must not be killed for that by a broken pipe.

use crate::streams::Streams;
use rustix::{process::WaitIdOptions, termios::Winsize};
use spec::wire::Exit;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// The container's own.
pub const INIT: u32 = 0;

/// One program.
#[derive(Debug)]
pub struct Session {
    /// The daemon's word for it; none for the container's own.
    pub name: Option<String>,
    /// While it runs.
    pub process: Option<Process>,
    /// What it writes and reads.
    pub streams: Streams,
    /// Not read at the moment: a client that paces it is behind.
    pub paused: bool,
    /// Asked for before there was a terminal.
    pub size: Option<Winsize>,
    /// Its terminal takes what clients type; pipes are there or not.
    pub open_stdin: bool,
    /// Standard input ends when a client that speaks to it leaves.
    pub stdin_once: bool,
}

/// A child of ours.
#[derive(Debug)]
pub struct Process {
    /// As the host sees it.
    pub pid: i32,
    /// The same, safe from reuse.
    pub pidfd: OwnedFd,
}

impl Process {
    /// Takes its exit status, if it has ended.
    ///
    /// # Errors
    /// What the host said.
    pub fn reap(&self) -> io::Result<Option<u8>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let id = rustix::process::WaitId::PidFd(self.pidfd.as_fd());
        let Some(status) =
            rustix::io::retry_on_intr(|| rustix::process::waitid(id.clone(), options))?
        else {
            return Ok(None);
        };
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => return Ok(None),
        };
        Ok(Some(u8::try_from(code & 0xff).unwrap_or(u8::MAX)))
    }
}

/// The record of an end.
pub fn exit(code: u8, oom: bool, at: u64) -> Exit {
    Exit { code, oom, at, dropped: 0 }
}

//! The system call filter, from the rules to the kernel.

use crate::failure::{Doing, refusal};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use serde::Serialize;
use spec::{
    oci::{Seccomp, State},
    wire::Failure,
};
use std::{
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use sys::confine::Instruction;

/// A compiled filter and, if a supervisor takes part, the way to it.
#[derive(Debug)]
pub(crate) struct Filter {
    program: Vec<Instruction>,
    flags: u32,
    listener: Option<Listener>,
}

/// Who is told of calls that the rules hand over.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    message: Vec<u8>,
}

/// What the supervisor is sent with its descriptor: the runtime
/// specification's "container process state".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

impl Listener {
    /// Connects to `listenerPath`, if there is one: while the host's files
    /// are in sight.
    pub fn connect(rules: Option<&Seccomp>) -> Result<Option<Self>, Failure> {
        let Some(rules) = rules.filter(|rules| !rules.listener_path.is_empty()) else {
            return Ok(None);
        };
        if rules.syscalls.iter().any(|rule| {
            rule.action == "SCMP_ACT_NOTIFY" && rule.names.iter().any(|name| name == "sendmsg")
        }) {
            return Err(refusal(
                "seccomp: sendmsg cannot be handed to the listener, it is what reaches it",
            ));
        }
        let doing = || format!("connect to the seccomp listener {}", rules.listener_path);
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .doing(doing)?;
        let address = SocketAddrUnix::new(rules.listener_path.as_str()).doing(doing)?;
        rustix::net::connect(&socket, &address).doing(doing)?;
        Ok(Some(Self { socket, message: Vec::new() }))
    }

    /// What it is going to be told: of process `pid`, as the host counts.
    pub fn describe(&mut self, rules: &Seccomp, state: &State, pid: i32) -> Result<(), Failure> {
        let told = ProcessState {
            oci_version: &state.oci_version,
            fds: ["seccompFd"],
            pid,
            metadata: &rules.listener_metadata,
            state,
        };
        self.message = serde_json::to_vec(&told)
            .map_err(|error| refusal(format!("cannot describe the container: {error}")))?;
        Ok(())
    }

    /// The way to it.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Filter {
    /// Compiles the rules.
    pub fn compile(rules: &Seccomp) -> Result<Self, Failure> {
        let program = seccomp::compile(rules)
            .map_err(|error| refusal(format!("cannot compile the seccomp rules: {error}")))?;
        if program.notify && rules.listener_path.is_empty() {
            return Err(refusal("seccomp: SCMP_ACT_NOTIFY needs a listenerPath"));
        }
        let instruction =
            |i: &seccomp::Instruction| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
        Ok(Self {
            program: program.instructions.iter().map(instruction).collect(),
            flags: program.flags,
            listener: None,
        })
    }

    /// Adds the way to the supervisor.
    pub fn listen(&mut self, listener: Option<Listener>) {
        self.listener = listener;
    }

    /// The supervisor, if one takes part.
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// The same, to tell it more.
    pub fn listener_mut(&mut self) -> Option<&mut Listener> {
        self.listener.as_mut()
    }

    /// Loads it: from here on it judges this process.
    pub fn load(&self) -> Result<(), Failure> {
        let notify = sys::confine::seccomp(&self.program, self.flags)
            .doing(|| "load the seccomp filter".into())?;
        let (Some(notify), Some(listener)) = (notify, &self.listener) else { return Ok(()) };
        let fds = [notify.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let bytes = [IoSlice::new(&listener.message)];
        rustix::net::sendmsg(&listener.socket, &bytes, &mut control, SendFlags::NOSIGNAL)
            .doing(|| "hand the seccomp descriptor to its listener".into())?;
        Ok(())
    }
}

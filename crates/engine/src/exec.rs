//! Another program in a running container.

use crate::{Engine, Error};
use spec::{Id, wire::Exit};
use std::os::unix::net::UnixStream;

/// The body of `POST /containers/{id}/exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct ExecWish {
    /// Command and arguments.
    pub cmd: Vec<String>,
    /// `NAME=value`; added to the container's.
    pub env: Vec<String>,
    /// Empty for the container's.
    pub user: String,
    /// Empty for the container's.
    pub working_dir: String,
    /// A terminal?
    pub tty: bool,
    /// All capabilities.
    pub privileged: bool,
    /// Standard input wanted.
    pub attach_stdin: bool,
    /// Standard output wanted.
    pub attach_stdout: bool,
    /// Standard error wanted.
    pub attach_stderr: bool,
    /// Kept for `inspect`.
    pub detach_keys: String,
}

/// An exec session at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The session.
    pub id: Id,
    /// Of the container.
    pub container: Id,
    /// As asked for.
    pub wish: ExecWish,
    /// Between start and end.
    pub running: bool,
    /// Once it has ended.
    pub code: Option<u8>,
    /// As the host sees it; 0 before the start.
    pub pid: i32,
}

impl Engine {
    /// Registers a session; nothing runs yet.
    ///
    /// # Errors
    /// The container does not run, or is paused; an empty command.
    pub fn exec_create(&self, reference: &str, wish: ExecWish) -> Result<Id, Error> {
        todo!()
    }

    /// Starts it and returns the connection on which its frames flow, as for
    /// [`Engine::attach`]; none if detached.
    ///
    /// The caller reads the connection until the `Control` frame that holds
    /// [`Reply::Ended`](spec::wire::Reply::Ended), whatever becomes of its
    /// own client, and then calls [`Engine::exec_ended`].
    ///
    /// # Errors
    /// `Conflict` if it has run; [`Error::Start`] if it cannot.
    pub fn exec_start(
        &self,
        id: &str,
        detach: bool,
        tty: bool,
        size: Option<(u16, u16)>,
    ) -> Result<Option<UnixStream>, Error> {
        todo!()
    }

    /// Hands in what the last frame said; `None` if the connection broke.
    pub fn exec_ended(&self, id: &Id, exit: Option<&Exit>) {
        todo!()
    }

    /// A session by its identifier; kept for a while after its end.
    ///
    /// # Errors
    /// None such.
    pub fn exec(&self, id: &str) -> Result<Exec, Error> {
        todo!()
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// Not running.
    pub fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<(), Error> {
        todo!()
    }
}

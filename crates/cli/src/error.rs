//! What goes wrong, told to a person.

use std::{fmt::Write as _, io};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words make no sense together.
    #[error("{0}")]
    Words(String),
    /// They are no command line at all.
    #[error("{words}")]
    Typed {
        /// What is wrong.
        words: String,
        /// The exit code.
        code: u8,
        /// Where help is.
        hint: String,
    },
    /// They make sense, but not here and now.
    #[error("{0}")]
    Unfit(String),
    /// No engine answers.
    #[error("cannot reach the engine at {at}")]
    Unreachable {
        /// Its socket.
        at: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The engine said no, in its own words.
    #[error("{message}")]
    Engine {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The engine's answer is not HTTP, or ended early.
    #[error("the engine's answer broke off")]
    Broken(#[source] hyper::Error),
    /// The engine's answer is not what the API promises.
    #[error("cannot understand the engine's answer to {0}")]
    Answer(String, #[source] serde_json::Error),
    /// `run` and `create` failed before the program: Docker's exit code 125,
    /// or 126 and 127 where the command was at fault.
    #[error("{message}")]
    Start {
        /// The engine's words.
        message: String,
        /// The exit code.
        code: u8,
    },
    /// A Compose file that is no project.
    #[error(transparent)]
    Compose(compose::Error),
    /// This machine refused something.
    #[error("cannot {doing} {what}")]
    Host {
        /// A bare verb phrase.
        doing: &'static str,
        /// What it was done to.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A `--format` that is no template, or does not fit the data.
    #[error("cannot use the format: {0}")]
    Template(template::Error),
    /// Several objects were named; these failed, and the rest was done.
    #[error("{}", .0.join("\nerror: "))]
    Several(Vec<String>),
}

impl From<template::Error> for Error {
    fn from(error: template::Error) -> Self {
        Self::Template(error)
    }
}

impl Error {
    /// Sorts an engine's refusal to start a container into exit codes.
    pub fn starting(self) -> Self {
        let message = match self {
            Self::Engine { message, .. } => message,
            other => other.chain(),
        };
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let code = if has(&["executable file not found", "no such file or directory"]) {
            127
        } else if has(&["permission denied", "is a directory", "exec format error"]) {
            126
        } else {
            125
        };
        Self::Start { message, code }
    }

    /// A file that a flag names and that cannot be read is a mistake in the
    /// words of `run`.
    pub fn in_flags(self) -> Self {
        match self {
            error @ Self::Host { .. } => Self::Words(error.chain()),
            other => other,
        }
    }

    /// The exit code it ends the command with.
    pub fn code(&self) -> u8 {
        match self {
            Self::Start { code, .. } | Self::Typed { code, .. } => *code,
            Self::Words(_) => 125,
            // As Compose has them: no file, and files that are wrong.
            Self::Compose(compose::Error::NoFiles | compose::Error::File { .. }) => 14,
            Self::Compose(_) => 15,
            _ => 1,
        }
    }

    /// On one line, causes included.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }

    /// `error:`, `because:` and `hint:` lines.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _ = writeln!(text, "  because: {error}");
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Typed { hint, .. } => Some(hint),
            Self::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("the socket is root's: use sudo, or join the group that owns it")
            }
            Self::Unreachable { .. } => Some(
                "start it with `cofferdamd`, or name another with --host, --context or DOCKER_HOST",
            ),
            Self::Compose(compose::Error::NoFiles) => {
                Some("name one with --file, or be in the directory of a compose.yaml")
            }
            Self::Engine { status: 404, message } if message.contains("No such container") => {
                Some("`cofferdam ps --all` lists every container")
            }
            Self::Engine { status: 404, message } if message.contains("No such image") => {
                Some("`cofferdam images` lists what is here")
            }
            Self::Engine { status: 409, message }
                if message.contains("is already in use by container") =>
            {
                Some("choose another --name, or remove the one that has it")
            }
            Self::Start { message, code: 125 } if message.contains("already allocated") => {
                Some("choose another port, or end what listens there")
            }
            _ => None,
        }
    }
}

/// What a project that was read cannot be asked for.
impl From<compose::Error> for Error {
    fn from(error: compose::Error) -> Self {
        Self::Unfit(error.to_string())
    }
}

/// A command's outcome: its exit code or why it failed.
pub type Outcome<T = u8> = Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> u8 {
        Error::Engine { status: 400, message: message.into() }.starting().code()
    }

    #[test]
    fn a_refusal_to_start_has_dockers_exit_codes() {
        assert_eq!(refused("exec: \"nope\": executable file not found in $PATH"), 127);
        assert_eq!(refused("exec: \"/etc/passwd\": permission denied"), 126);
        assert_eq!(refused("Conflict. The container name is in use"), 125);
    }
}

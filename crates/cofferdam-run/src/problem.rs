//! Why a verb failed, in the words that callers of OCI runtimes look for.

use spec::wire::Failure;
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

/// One reason. The words of many are read by containerd, Podman and CRI-O.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("flag provided but not defined: -{0}")]
    UnknownFlag(String),
    #[error("flag needs an argument: -{0}")]
    MissingValue(&'static str),
    #[error("invalid value for {0}: invalid size: '{1}'")]
    BadSize(&'static str, String),
    #[error("invalid environment variable: {0:?}")]
    BadVariable(String),
    #[error("invalid value {value:?} for flag -{flag}")]
    BadValue { flag: &'static str, value: String },
    #[error("{program}: {verb:?} requires {wanted} argument(s)")]
    ArgumentCount { program: String, verb: &'static str, wanted: String },
    #[error("No help topic for '{0}'")]
    UnknownVerb(String),
    #[error("invalid log-format: {0}")]
    BadLogFormat(String),
    #[error("invalid format option")]
    BadFormat,
    #[error("container id cannot be empty")]
    EmptyId,
    #[error("invalid container ID format")]
    BadId,
    #[error("container with given ID already exists")]
    Exists,
    #[error("container does not exist")]
    Missing,
    #[error("container not running")]
    NotRunning,
    #[error("container not paused")]
    NotPaused,
    #[error("container with id {0} is not running")]
    NoEvents(String),
    #[error("cannot start an already running container")]
    AlreadyRunning,
    #[error("cannot start a container that has stopped")]
    HasStopped,
    #[error("cannot exec in a stopped container")]
    ExecStopped,
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    ExecPaused,
    #[error("process args cannot be empty")]
    NoCommand,
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: String, status: &'static str },
    #[error("container init still running")]
    StillRunning,
    #[error("unknown signal {0:?}")]
    UnknownSignal(String),
    #[error("JSON specification file config.json not found")]
    NoConfig,
    #[error("File config.json exists. Remove it first")]
    ConfigExists,
    #[error("{0}")]
    BadConfig(String),
    #[error("cannot allocate tty if runtime will detach without setting console socket")]
    NoConsoleSocket,
    #[error("cannot use console socket if runtime will not detach or allocate tty")]
    ConsoleSocketUnused,
    #[error("cannot read {what}")]
    BadJson { what: &'static str, source: serde_json::Error },
    #[error("systemd cgroup flag passed, but systemd is not running on this machine")]
    NoSystemd,
    #[error("unable to start unit {0:?}")]
    Unit(String, #[source] cgroup::Error),
    #[error("unable to set unit properties")]
    UnitProperties(#[source] cgroup::Error),
    #[error("unable to stop unit {0:?}")]
    UnitStop(String, #[source] cgroup::systemd::Error),
    #[error("unable to stat preserved-fd {fd} (of {count})")]
    NotInherited { fd: u32, count: u32, source: io::Error },
    #[error("rootless containers are not carried by this runtime: it has to be run as root")]
    NotRoot,
    #[error("{0} is not carried by this runtime")]
    NotCarried(&'static str),
    #[error(
        "{0} is not carried by this runtime: end the container and start another, or run it under \
         one with CRIU"
    )]
    Refused(String),
    #[error("unable to start container process: {0}")]
    Launch(String),
    #[error("{0}")]
    Hook(Failure),
    #[error("unable to apply cgroup configuration")]
    Limits(#[source] cgroup::Error),
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    #[error("{doing} {}", path.display())]
    Host { doing: &'static str, path: PathBuf, source: io::Error },
}

impl Problem {
    /// A failed launch, with the words that tell callers apart whether the
    /// command was missing (127) or unfit (126).
    pub fn launch(failure: &Failure, command: &str) -> Self {
        let text = match (failure.command, failure.errno) {
            (true, 2) if !command.contains('/') => {
                format!("exec: {command:?}: executable file not found in $PATH")
            }
            (true, 2) => format!("exec: {command:?}: stat {command}: no such file or directory"),
            (true, 13) => format!("exec: {command:?}: permission denied"),
            _ => failure.message.clone(),
        };
        Self::Launch(text)
    }

    /// The command line itself was wrong: show how it should be.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownFlag(_) | Self::MissingValue(_) | Self::ArgumentCount { .. })
    }

    /// The whole chain of causes in one line.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            match error.downcast_ref::<io::Error>() {
                Some(error) => line.push_str(&as_the_kernel_says(error)),
                None => line.push_str(&error.to_string()),
            }
            cause = error.source();
        }
        line
    }
}

/// The words of errno(3) alone: callers search for `no such file or directory`.
fn as_the_kernel_says(error: &io::Error) -> String {
    let text = error.to_string();
    let Some(words) = error.raw_os_error().and_then(|_| text.split(" (os error").next()) else {
        return text;
    };
    let (first, rest) = words.split_at(words.chars().next().map_or(0, char::len_utf8));
    first.to_lowercase() + rest
}

/// Adds the verb and the path where they are known: at the call.
pub trait Doing<T> {
    fn doing(self, verb: &'static str, path: impl AsRef<Path>) -> Result<T, Problem>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, Problem> {
        self.map_err(|error| Problem::Host {
            doing,
            path: path.as_ref().into(),
            source: error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_the_last_and_plain() {
        let missing = Err::<(), _>(io::Error::from_raw_os_error(2)).doing("open", "/x");
        assert_eq!(missing.expect_err("it failed").line(), "open /x: no such file or directory");
    }
}

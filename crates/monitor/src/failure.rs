//! Errors into the one line that people will read.

use spec::wire::Failure;
use std::error::Error;

/// Adds the verb phrase where it is known: at the call.
pub trait Doing<T> {
    /// # Errors
    /// The same failure, for the wire.
    fn doing(self, doing: &str) -> Result<T, Failure>;
}

impl<T, E: Error + 'static> Doing<T> for Result<T, E> {
    fn doing(self, doing: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            message: format!("cannot {doing}: {}", chain(&error)),
            errno: errno(&error).unwrap_or(0),
            command: false,
        })
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += ": ";
        text += &error.to_string();
        cause = error.source();
    }
    text
}

/// What the kernel said, if it is among the causes.
fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        if let Some(errno) = cause.downcast_ref::<rustix::io::Errno>() {
            return Some(errno.raw_os_error());
        }
        error = cause.source();
    }
    None
}

/// A refusal of our own.
pub fn refuse(message: &str) -> Failure {
    Failure { message: message.to_owned(), errno: 0, command: false }
}

//! What went wrong, as one line for people.
//!
//! A step's failure crosses a socket to whoever waits for it, so it becomes a
//! [`Failure`] where it happens: the step, its object, and what the kernel
//! said in the words that Docker, containerd and Podman look for.

use spec::wire::Failure;
use std::io;

/// Adds what was being done, where it is known: at the call.
pub(crate) trait Doing<T> {
    /// `what` is a verb phrase that follows "cannot".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| because(&what(), &error.into()))
    }
}

/// "cannot WHAT: WHY".
pub(crate) fn because(what: &str, error: &io::Error) -> Failure {
    Failure {
        message: format!("cannot {what}: {}", words(error)),
        errno: error.raw_os_error().unwrap_or(0),
        command: false,
    }
}

/// A refusal of ours: the kernel was not asked.
pub(crate) fn refusal(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), errno: 0, command: false }
}

/// What the kernel said, without its number and in lower case, as Go says it.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_go_would_say_it() {
        let failure = because("open /x", &io::Error::from_raw_os_error(2));
        assert_eq!(failure.message, "cannot open /x: no such file or directory");
        assert_eq!(failure.errno, 2);
    }
}

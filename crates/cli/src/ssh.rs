//! An engine behind a secure shell: ssh(1) runs `system dial-stdio` there, and
//! its input and output are the line. Keys, names and jumps are ssh's own
//! business, and it asks at the terminal if it has to.

use crate::{
    error::{Error, Outcome},
    place::host_and_port,
};
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as Pair},
    process::{Command, Stdio},
};
use tokio::net::UnixStream;

/// An engine behind a secure shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// Of the engine there; its own default if it is empty.
    socket: String,
}

impl Ssh {
    /// Takes `[USER@]HOST[:PORT][/SOCKET]`.
    ///
    /// # Errors
    /// It is none, or has a password in it.
    pub fn new(address: &str) -> Outcome<Self> {
        let wrong = |why: &str| Error::Unfit(format!("cannot use \"ssh://{address}\": {why}"));
        let (rest, socket) = match address.find('/') {
            Some(at) => (&address[..at], address[at..].trim_end_matches('/')),
            None => (address, ""),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(Error::Unfit(
                "cannot use an ssh:// address with a password: ssh knows keys".into(),
            ));
        }
        let plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
        };
        // It is read by a shell there.
        if !plain(socket) {
            return Err(wrong("the socket's path has more than letters, digits and /._-"));
        }
        let (host, port) =
            host_and_port(rest).ok_or_else(|| wrong("[USER@]HOST[:PORT] is wanted"))?;
        if host.starts_with('-')
            || user.is_some_and(|user| user.is_empty() || user.starts_with('-'))
        {
            return Err(wrong("[USER@]HOST[:PORT] is wanted"));
        }
        let user = user.map(str::to_owned);
        Ok(Self { user, host, port, socket: socket.to_owned() })
    }

    /// What ssh is called with.
    fn words(&self) -> Vec<String> {
        let mut words = vec!["-T".to_owned()];
        if let Some(user) = &self.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        let at = if self.socket.is_empty() {
            String::new()
        } else {
            format!(" --host unix://{}", self.socket)
        };
        // Whatever the person's shell there is: quotes of this kind they share.
        let there = format!(
            "sh -c 'if command -v cofferdam > /dev/null; then exec cofferdam{at} system \
             dial-stdio; else exec docker{at} system dial-stdio; fi'"
        );
        words.extend(["--".to_owned(), self.host.clone(), there]);
        words
    }

    /// Starts ssh. Whether it comes through is seen by what is said. It ends
    /// when our end of the line is closed.
    ///
    /// # Errors
    /// There is no ssh.
    pub fn connect(&self) -> Outcome<UnixStream> {
        let dial = || -> io::Result<UnixStream> {
            let (ours, theirs) = Pair::pair()?;
            let theirs = OwnedFd::from(theirs);
            let mut command = Command::new("ssh");
            command.args(self.words()).stdin(Stdio::from(theirs.try_clone()?)).stdout(theirs);
            // It is waited for by nobody, since it ends with us: killed, we
            // cannot tell it, and an idle line tells nothing either.
            sys::process::end_with_us(&mut command);
            command.spawn()?;
            ours.set_nonblocking(true)?;
            UnixStream::from_std(ours)
        };
        dial().map_err(|source| Error::Host { doing: "start", what: "ssh".into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_words_of_ssh() {
        let words = Ssh::new("me@h:22/run/c.sock").expect("an address").words();
        assert_eq!(&words[..7], ["-T", "-l", "me", "-p", "22", "--", "h"]);
        assert!(words[7].contains("exec cofferdam --host unix:///run/c.sock system dial-stdio"));
        let words = Ssh::new("h").expect("an address").words();
        assert_eq!(&words[..3], ["-T", "--", "h"]);
        assert!(words[3].contains("exec docker system dial-stdio"));
    }

    #[test]
    fn nothing_in_an_address_is_a_word_of_another() {
        for wrong in ["-oProxyCommand=x", "-x@h", "@h", "h/a'b", "h/a b", "h/$(x)", "", "a@:1"] {
            assert!(Ssh::new(wrong).is_err(), "{wrong}");
        }
        let told = Ssh::new("me:sesame@h").expect_err("a secret").to_string();
        assert!(!told.contains("sesame"), "{told}");
    }
}

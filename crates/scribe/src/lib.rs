//! The scribe: what names lead to, entered in the kernel's sets.
//!
//! A policy may allow a name (`allow=dns:NAME`). What it leads to is known to
//! the resolver, which parses what strangers send and so has no right at all;
//! to enter it takes the right to change the host's nftables. The scribe has
//! that one right and reads nothing but the resolver's
//! [short lines](resolver::learn). It is the daemon's program, executed again
//! as `cofferdamd scribe` with the first container that has names in its
//! policy; it outlives the daemon, and ends with the resolver.
//!
//! Should the resolver ever be led astray, it can open what names may open for
//! containers whose policy has names, and nothing else.

use network::{Learner, Learnt, Who};
use resolver::{learn, wire};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use std::{io, os::fd::AsFd as _, process::ExitCode};

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0:?} is no user")]
    NoUser(String),
    #[error("cannot {0}")]
    Host(&'static str, #[source] io::Error),
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    Resolver(#[from] resolver::Error),
    #[error("the resolver spoke out of turn")]
    OutOfTurn,
}

/// `cofferdamd scribe USER REALM RUN-ROOT`: standard input is the resolver's
/// socket. From here on it is user `USER`, with one right.
#[must_use]
pub fn main(user: &str, realm: &str) -> ExitCode {
    match serve(user, realm) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let because = std::error::Error::source(&error).map(|source| format!(": {source}"));
            eprintln!("scribe: {error}{}", because.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn serve(user: &str, realm: &str) -> Result<(), Error> {
    let number = user.parse().map_err(|_| Error::NoUser(user.to_owned()))?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map_err(|errno| Error::Host("take over the socket", errno.into()))?;
    let mut learner = Learner::open(realm)?;
    rustix::thread::set_name(c"scribe").map_err(|e| Error::Host("name itself", e.into()))?;
    resolver::confine_scribe(number, &[socket.as_fd(), learner.as_fd()])?;
    let mut buffer = vec![0; learn::MAX_REQUEST];
    let mut outcomes = Outcomes::default();
    loop {
        let length = match recv(&socket, &mut buffer[..], RecvFlags::TRUNC) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(()),
            Ok((_, length)) => length,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Error::Host("listen to the resolver", errno.into())),
        };
        let request = buffer.get(..length).and_then(learn::read_request);
        let (number, lines) = request.ok_or(Error::OutOfTurn)?;
        let lessons: Vec<Learnt> = lines.into_iter().map(lesson).collect();
        let entered = learner.learn(&lessons);
        // The daemon puts back tables that somebody has removed; until then
        // such questions fail.
        if let Some(line) = outcomes.told(entered.as_ref().err().map(ToString::to_string)) {
            eprintln!("scribe: {line}");
        }
        match send(&socket, &learn::answer(number, entered.is_ok()), SendFlags::NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(errno) => return Err(Error::Host("answer the resolver", errno.into())),
        }
    }
}

/// What was said last of how it went: nobody bounds the file that it is written
/// to, so only what has changed is said.
#[derive(Default)]
struct Outcomes(Option<String>);

impl Outcomes {
    fn told(&mut self, now: Option<String>) -> Option<String> {
        if self.0 == now {
            return None;
        }
        self.0.clone_from(&now);
        Some(now.unwrap_or_else(|| "what names lead to is entered again".into()))
    }
}

/// The same, in the other room's words.
fn lesson(line: wire::Learnt) -> Learnt {
    let who = match line.who {
        wire::Who::Address(address) => Who::Address(address),
        wire::Who::Bridge(name) => Who::Bridge(name),
    };
    let (address, port, name, seconds) = (line.address, line.port, line.name, line.seconds);
    Learnt { who, address, port, name, seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_failing_is_said_once() {
        let mut outcomes = Outcomes::default();
        let failed = || Some("cannot".to_owned());
        assert_eq!(outcomes.told(None), None);
        assert_eq!(outcomes.told(failed()), failed());
        assert_eq!(outcomes.told(failed()), None);
        assert!(outcomes.told(None).is_some_and(|line| line.contains("again")));
        assert_eq!(outcomes.told(None), None);
    }
}

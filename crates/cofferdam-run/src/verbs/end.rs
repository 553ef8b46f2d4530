//! `kill` and `delete`.

use crate::{
    App, Given,
    container::{Container, Status},
    problem::{Doing, Problem},
};
use std::os::fd::AsFd;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// `kill`.
pub fn kill(app: &App, given: &Given) -> Result<u8, Problem> {
    let container = Container::open(app, &given.arguments[0])?;
    let signal = given.arguments.get(1).map_or(Ok(SIGTERM), |word| parse(word))?;
    let everyone = given.has("all") || (signal == SIGKILL && !container.own_pids());
    if everyone {
        // Without a pid namespace of its own, processes outlive init.
        if container.status()? == Status::Stopped && container.own_pids() {
            return Err(Problem::NotRunning);
        }
        let group = container.cgroup();
        if signal == SIGKILL {
            group.kill()?;
        } else {
            group.signal(signal)?;
        }
        return Ok(0);
    }
    let init = container.init()?.ok_or(Problem::NotRunning)?;
    match sys::signal::send_pidfd(init.as_fd(), signal) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Err(Problem::NotRunning);
        }
        other => other.doing("signal the process of", &container.record.id)?,
    }
    Ok(0)
}

/// `delete`.
pub fn delete(app: &App, given: &Given) -> Result<u8, Problem> {
    let force = given.has("force");
    let container = match Container::open(app, &given.arguments[0]) {
        Err(Problem::Missing) if force => return abandon(app, &given.arguments[0]),
        other => other?,
    };
    match container.status()? {
        Status::Stopped => {}
        // Nothing of the user's runs yet.
        Status::Creating | Status::Created => container.kill()?,
        _ if force => container.kill()?,
        status => {
            let id = container.record.id.clone();
            return Err(Problem::NotStopped { id, status: status.word() });
        }
    }
    container.remove(app)?;
    Ok(0)
}

/// A directory without a record: a `create` died very early.
fn abandon(app: &App, id: &str) -> Result<u8, Problem> {
    let dir = app.root.join(id);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        other => other.doing("remove", &dir).map(|()| 0),
    }
}

/// A signal by its number, or by its name with or without `SIG`.
fn parse(word: &str) -> Result<i32, Problem> {
    let unknown = || Problem::UnknownSignal(word.into());
    if let Ok(number) = word.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    known.or_else(|| real_time(name)).ok_or_else(unknown)
}

/// `RTMIN+n` and `RTMAX-n`, as the C library counts: it keeps two for itself.
fn real_time(name: &str) -> Option<i32> {
    let (first, last) = (34, 64);
    let number = if let Some(above) = name.strip_prefix("RTMIN") {
        first + if above.is_empty() { 0 } else { above.strip_prefix('+')?.parse::<i32>().ok()? }
    } else {
        let below = name.strip_prefix("RTMAX")?;
        last - if below.is_empty() { 0 } else { below.strip_prefix('-')?.parse::<i32>().ok()? }
    };
    (first..=last).contains(&number).then_some(number)
}

/// Source: signal(7), x86 and ARM.
const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_spellings() {
        for word in ["15", "TERM", "SIGTERM", "sigterm", "term"] {
            assert_eq!(parse(word).ok(), Some(15), "{word}");
        }
        assert_eq!(parse("0").ok(), Some(0), "asks whether it lives");
        assert_eq!(parse("RTMIN+1").ok(), Some(35));
        assert_eq!(parse("SIGRTMAX-1").ok(), Some(63));
    }

    #[test]
    fn no_signal_is_refused_by_the_word_given() {
        for word in ["FOO", "-9", "65", "RTMIN+99", ""] {
            let refused = parse(word).expect_err("must refuse");
            assert_eq!(refused.to_string(), format!("unknown signal {word:?}"));
        }
    }
}

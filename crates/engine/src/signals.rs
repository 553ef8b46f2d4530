//! Signals by the names that people give them.

/// Numbers are those of x86_64 and aarch64; signal(7).
const NAMES: [(&str, i32); 35] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", RTMIN),
];

/// The C libraries keep 32 and 33 for themselves.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

pub(crate) const KILL: i32 = 9;
pub(crate) const TERM: i32 = 15;

/// Reads `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3` or `RTMAX-1`.
pub(crate) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = match name.strip_prefix("RTMIN+") {
        Some(n) => RTMIN + n.parse::<u8>().ok().map(i32::from)?,
        None if name == "RTMAX" => RTMAX,
        None => RTMAX - name.strip_prefix("RTMAX-")?.parse::<u8>().ok().map(i32::from)?,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_spellings() {
        for text in ["TERM", "SIGTERM", "sigterm", "term", "15"] {
            assert_eq!(parse(text), Some(15), "{text}");
        }
        assert_eq!(parse("SIGRTMIN+3"), Some(37));
        assert_eq!(parse("RTMAX"), Some(64));
        assert_eq!(parse("RTMAX-1"), Some(63));
    }

    #[test]
    fn other_words_are_no_signal() {
        for text in ["", "NOPE", "0", "65", "-9", "SIG", "RTMIN+31", "RTMAX-31", "RTMIN+-1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

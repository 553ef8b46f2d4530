//! Points in time as clients write them, and spans as people read them.

use crate::error::Error;
use crate::query::Query;
use engine::Nanos;
use jiff::{Timestamp, civil, tz::TimeZone};
use std::time::Duration;

const NANOS: i128 = 1_000_000_000;

/// Reads a Unix time (`1700000000.5`), an RFC 3339 or shorter date
/// (`2026-01-02T15:04`), or a span before `now` (`10m`, `1h30m`).
///
/// # Errors
/// 400 for anything else.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let bad = || {
        Error::bad(format!(
            "invalid time {text:?}: use seconds, an RFC 3339 date or a span such as 10m"
        ))
    };
    if let Some(nanos) = unix(text) {
        return Timestamp::from_nanosecond(nanos).map_err(|_| bad());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let civil = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(|day| day.at(0, 0, 0, 0)));
    if let Ok(civil) = civil {
        return TimeZone::system().to_timestamp(civil).map_err(|_| bad());
    }
    let span = span(text).ok_or_else(bad)?;
    Timestamp::from_nanosecond(now.as_nanosecond() - span).map_err(|_| bad())
}

/// `SECONDS[.FRACTION]` as nanoseconds.
fn unix(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !numeric(whole) || !numeric(fraction) {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(sign * (whole.parse::<i128>().ok()? * NANOS + nanos))
}

/// A span as Go writes them, `1h2m3.5s`, as nanoseconds.
fn span(text: &str) -> Option<i128> {
    let mut rest = text;
    let mut total = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit: i128 = match &after[..end] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3600 * NANOS,
            _ => return None,
        };
        // `unix` gives nanoseconds for seconds: scale to the unit.
        total += unix(number)?.checked_mul(unit)? / NANOS;
        rest = &after[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Now, as the engine counts.
pub fn now() -> Nanos {
    nanos(Timestamp::now())
}

/// As the engine counts; times before the epoch become 0, "never".
pub fn nanos(at: Timestamp) -> Nanos {
    Nanos::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// An optional instant of a query, as the engine counts.
///
/// # Errors
/// 400 for text that is no instant.
pub fn in_query(query: &Query, name: &str) -> Result<Option<Nanos>, Error> {
    match query.get(name) {
        None => Ok(None),
        Some(text) => instant(text, Timestamp::now()).map(nanos).map(Some),
    }
}

/// RFC 3339 with as many digits as needed; Go's zero time for "never".
pub fn rfc3339(at: Nanos) -> String {
    if at == 0 {
        return "0001-01-01T00:00:00Z".into();
    }
    Timestamp::from_nanosecond(at.into()).map_or_else(|_| String::new(), |at| at.to_string())
}

/// RFC 3339 with nine digits, as lines of a log are stamped.
pub fn stamp(at: Nanos) -> String {
    Timestamp::from_nanosecond(at.into()).map_or_else(|_| String::new(), |at| format!("{at:.9}"))
}

/// Whole seconds.
pub fn seconds(at: Nanos) -> u64 {
    at / 1_000_000_000
}

/// A span in the words of `docker ps`.
pub fn human(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 168),
        (_, _, 1440..17520) => format!("{} months", hours / 720),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i128 {
        let now = Timestamp::from_second(1_000_000).expect("in range");
        instant(text, now).expect(text).as_nanosecond()
    }

    #[test]
    fn every_spelling_of_an_instant_is_read() {
        assert_eq!(at("1700000000"), 1_700_000_000 * NANOS);
        assert_eq!(at("1700000000.25"), 1_700_000_000 * NANOS + 250_000_000);
        assert_eq!(at("1700000000.123456789"), 1_700_000_000 * NANOS + 123_456_789);
        assert_eq!(at("2023-11-14T22:13:20Z"), 1_700_000_000 * NANOS);
        assert_eq!(at("2023-11-15T00:13:20.5+02:00"), 1_700_000_000 * NANOS + 500_000_000);
        assert_eq!(at("10m"), (1_000_000 - 600) * NANOS);
        assert_eq!(at("1h1m1.5s"), 1_000_000 * NANOS - 3_661_500_000_000);
    }

    #[test]
    fn other_text_is_refused() {
        let now = Timestamp::UNIX_EPOCH;
        for bad in ["", "soon", "1x", "1.2.3", "m", "--1", "99999999999999999999", "1h-5m"] {
            assert_eq!(instant(bad, now).expect_err(bad).status(), 400);
        }
    }

    #[test]
    fn an_instant_is_written_as_go_does() {
        assert_eq!(rfc3339(0), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(1_700_000_000_120_000_000), "2023-11-14T22:13:20.12Z");
        assert_eq!(stamp(1_700_000_000_120_000_000), "2023-11-14T22:13:20.120000000Z");
    }

    #[test]
    fn a_span_reads_as_people_say_it() {
        let of = |seconds| human(Duration::from_secs(seconds));
        assert_eq!(of(0), "Less than a second");
        assert_eq!(of(1), "1 second");
        assert_eq!(of(59), "59 seconds");
        assert_eq!(of(60), "About a minute");
        assert_eq!(of(150), "2 minutes");
        assert_eq!(of(3600), "About an hour");
        assert_eq!(of(2 * 3600 + 1), "2 hours");
        assert_eq!(of(47 * 3600), "47 hours");
        assert_eq!(of(48 * 3600), "2 days");
        assert_eq!(of(14 * 86400), "2 weeks");
        assert_eq!(of(60 * 86400), "2 months");
        assert_eq!(of(800 * 86400), "2 years");
    }
}

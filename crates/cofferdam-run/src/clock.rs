//! Moments as RFC 3339, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, since the epoch.
pub fn now() -> Duration {
    // A clock before 1970 is as good as one at 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// To the second: `2026-11-24T04:06:04Z`.
pub fn seconds(at: Duration) -> String {
    let days = at.as_secs() / 86_400;
    let (year, month, day) = date(days);
    let second = at.as_secs() % 86_400;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// To the nanosecond, without trailing zeros: `2026-11-24T04:06:04.0444464Z`.
pub fn nanoseconds(at: Duration) -> String {
    let whole = seconds(at);
    let fraction = format!("{:09}", at.subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => whole,
        fraction => format!("{}.{fraction}Z", whole.trim_end_matches('Z')),
    }
}

/// Year, month and day of a day since the epoch.
///
/// Years are counted from March, so that the leap day is the last of one and
/// every 400 of them have the same number of days.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, if month < 10 { month + 3 } else { month - 9 });
    (year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_spelt_right() {
        let at = |secs| seconds(Duration::from_secs(secs));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_fraction_has_no_trailing_zeros() {
        assert_eq!(nanoseconds(Duration::new(0, 44_446_400)), "1970-01-01T00:00:00.0444464Z");
        assert_eq!(nanoseconds(Duration::new(1, 0)), "1970-01-01T00:00:01Z");
    }
}

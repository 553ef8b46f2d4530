//! Times of day as logs and the API spell them: RFC 3339, UTC, to the
//! nanosecond.
//!
//! A time is a `u64` of nanoseconds since the epoch (good until the year
//! 2554). Only UTC is written; any offset is read.

/// A fixed-length text of a time, without a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    text: [u8; 30],
    len: usize,
}

impl Stamp {
    /// All nine digits of the fraction: `2006-01-02T15:04:05.000000000Z`, as
    /// `logs --timestamps` shows it.
    pub fn fixed(nanos: u64) -> Self {
        let (days, second) = (nanos / 86_400_000_000_000, nanos / 1_000_000_000 % 86_400);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], second / 3600);
        digits(&mut text[14..16], second / 60 % 60);
        digits(&mut text[17..19], second % 60);
        digits(&mut text[20..29], nanos % 1_000_000_000);
        Self { text, len: 30 }
    }

    /// The fraction without trailing zeros, and no dot without a fraction, as
    /// Go's `RFC3339Nano` and Docker's log files have it.
    pub fn short(nanos: u64) -> Self {
        let mut stamp = Self::fixed(nanos);
        let mut end = 29;
        while stamp.text[end - 1] == b'0' && end > 20 {
            end -= 1;
        }
        if end == 20 {
            end = 19;
        }
        stamp.text[end] = b'Z';
        stamp.len = end + 1;
        stamp
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// The text.
    #[expect(clippy::missing_panics_doc, reason = "it is always text")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("digits and punctuation")
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads RFC 3339 with any fraction and offset; none if it is something else,
/// or before the epoch.
pub fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(19)?;
    let punctuated = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if punctuated.iter().any(|&(i, c)| head[i] != c) || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(&head[0..4])?, number(&head[5..7])?, number(&head[8..10])?);
    let (hour, minute, second) =
        (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..19])?);
    let sane = (1970..=2554).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !sane {
        return None;
    }
    let (fraction, offset) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(rest) => {
            let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let (digits, offset) = rest.split_at(len);
            let mut nine = *b"000000000";
            let kept = len.min(9);
            nine[..kept].copy_from_slice(&digits[..kept]);
            (if len == 0 { None } else { number(&nine) }?, offset)
        }
    };
    let ahead = match offset {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let ahead = number(&[*h1, *h2])? * 3600 + number(&[*m1, *m2])? * 60;
            if *sign == b'+' { i64::try_from(ahead).ok()? } else { -i64::try_from(ahead).ok()? }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_add_signed(-ahead)?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

fn digits(into: &mut [u8], mut value: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("one digit");
        value /= 10;
    }
}

fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
}

/// Year, month and day of the `days`th day since the epoch.
///
/// Counts from the first of March of the year 0, so that the leap day is the
/// last of its year: 146,097 days in each 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_time_is_spelt_as_docker_spells_it() {
        // `date -u -d @1764000000.12345`
        let nanos = 1_764_000_000 * SECOND + 123_450_000;
        assert_eq!(Stamp::fixed(nanos).as_str(), "2025-11-24T16:00:00.123450000Z");
        assert_eq!(Stamp::short(nanos).as_str(), "2025-11-24T16:00:00.12345Z");
        assert_eq!(Stamp::short(1_764_000_000 * SECOND).as_str(), "2025-11-24T16:00:00Z");
        assert_eq!(Stamp::short(SECOND + 1).as_str(), "1970-01-01T00:00:01.000000001Z");
    }

    #[test]
    fn leap_days_are_counted() {
        assert_eq!(Stamp::short(951_782_400 * SECOND).as_str(), "2000-02-29T00:00:00Z");
        assert_eq!(Stamp::short(4_107_542_400 * SECOND).as_str(), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn every_day_reads_back() {
        for day in 0..213_000 {
            let nanos = day * 86_400 * SECOND + 5;
            assert_eq!(parse(Stamp::short(nanos).as_str()), Some(nanos));
        }
    }

    #[test]
    fn offsets_are_taken_off() {
        assert_eq!(parse("1970-01-01T02:00:00+01:30"), Some(1_800 * SECOND));
        assert_eq!(parse("1970-01-01T00:00:00.5-00:01"), Some(60 * SECOND + SECOND / 2));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+25",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

//! Lengths of time as Go writes them and Docker's users do: `1h30m`, `1.5s`,
//! `300ms`. Source: Go's `time.ParseDuration`.

/// Nanoseconds of a length without a sign; `0` needs no unit. None if it makes
/// no sense, or more than Go's 63 bits hold.
pub fn nanoseconds(text: &str) -> Option<i64> {
    sum(text, |unit| {
        Some(match unit {
            "ns" => 1,
            // Both spellings of micro that Unicode has.
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => HOUR,
            _ => return None,
        })
    })
}

/// The same, with days and weeks beside them (`1w2d`), as Compose files may.
pub fn nanoseconds_with_days(text: &str) -> Option<i64> {
    let text = text.trim();
    // Go's units have none of these two letters.
    if !text.contains(['d', 'w']) {
        return nanoseconds(text);
    }
    sum(text, |unit| match unit {
        "d" => Some(24 * HOUR),
        "w" => Some(7 * 24 * HOUR),
        unit => nanoseconds(&format!("1{unit}")).and_then(|one| u64::try_from(one).ok()),
    })
}

const HOUR: u64 = 3_600_000_000_000;

/// Numbers, each followed by its unit.
fn sum(mut text: &str, unit_of: impl Fn(&str) -> Option<u64>) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    if text.is_empty() {
        return None;
    }
    let mut sum = 0_u64;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at(digits);
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        sum = sum.checked_add(scaled(number, unit_of(unit)?)?)?;
        text = rest;
    }
    i64::try_from(sum).ok()
}

/// A decimal number times a unit, whole nanoseconds.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Beyond eighteen digits there is no nanosecond, whatever the unit.
    let part = &part[..part.len().min(18)];
    let tenths = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let part: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let more = u64::try_from(part * u128::from(unit) / tenths).ok()?;
    whole.checked_mul(unit)?.checked_add(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, wanted) in [
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1.000000001s", 1_000_000_001),
            ("0.3333333333333333333333h", 1_199_999_999_999),
            (".5ms", 500_000),
            ("1us1µs1μs", 3_000),
            ("0", 0),
            ("0s", 0),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(nanoseconds(text), Some(wanted), "{text}");
            assert_eq!(nanoseconds_with_days(text), Some(wanted), "{text}");
        }
        let bad =
            ["", "1", "s", "1x", "1..2s", ".s", "-1s", "99999999999h", "9223372036854775808ns"];
        for bad in bad {
            assert_eq!(nanoseconds(bad), None, "{bad}");
            assert_eq!(nanoseconds_with_days(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_and_weeks_are_composes() {
        assert_eq!(nanoseconds("1d"), None);
        assert_eq!(nanoseconds_with_days(" 1w2d3h "), Some(219 * 3_600_000_000_000));
        assert_eq!(nanoseconds_with_days("1.5d500ms"), Some(129_600_500_000_000));
        assert_eq!(nanoseconds_with_days("1day"), None);
    }
}

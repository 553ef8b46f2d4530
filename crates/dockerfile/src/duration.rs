//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

use crate::error::Why;
use std::time::Duration;

/// None if it is not said or zero, which both mean the engine's default.
pub(crate) fn at_least_1ms(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<Duration>, Why> {
    let Some(text) = text else { return Ok(None) };
    let negative = text.starts_with('-');
    let time = read(text.trim_start_matches(['-', '+'])).ok_or(Why::Duration(text))?;
    if time.is_zero() {
        return Ok(None);
    }
    if negative || time < Duration::from_millis(1) {
        return Err(Why::Interval(name));
    }
    Ok(Some(time))
}

fn read(mut text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at(digits);
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let nanos: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_nanos(scaled(number, nanos)?))?;
        text = rest;
    }
    // Go keeps them in 63 bits of nanoseconds.
    (sum.as_nanos() <= i64::MAX as u128).then_some(sum)
}

/// A decimal number times a unit, whole nanoseconds.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut sum = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in part.chars() {
        scale /= 10;
        sum = sum.checked_add(scale * u64::from(digit.to_digit(10)?))?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(read("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(read("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(read(".5ms"), Some(Duration::from_micros(500)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        for bad in ["", "1", "s", "1x", "1..2s", ".s", "99999999999h"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_millisecond_is_the_least_and_zero_is_the_default() {
        let read = |text: &str| at_least_1ms("interval", Some(text.into()));
        assert_eq!(read("0s"), Ok(None));
        assert_eq!(read("1us"), Err(Why::Interval("interval")));
        assert_eq!(read("-5s"), Err(Why::Interval("interval")));
        assert_eq!(read("x"), Err(Why::Duration("x".into())));
    }
}

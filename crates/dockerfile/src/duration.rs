//! Lengths of time in a `HEALTHCHECK`.

use crate::error::Why;
use spec::duration::nanoseconds;
use std::time::Duration;

/// None if it is not said or zero, which both mean the engine's default.
pub(crate) fn at_least_1ms(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<Duration>, Why> {
    let Some(text) = text else { return Ok(None) };
    let negative = text.starts_with('-');
    let time = nanoseconds(text.trim_start_matches(['-', '+']));
    let time = time.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
    let time = time.ok_or(Why::Duration(text))?;
    if time.is_zero() {
        return Ok(None);
    }
    if negative || time < Duration::from_millis(1) {
        return Err(Why::Interval(name));
    }
    Ok(Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_is_the_least_and_zero_is_the_default() {
        let read = |text: &str| at_least_1ms("interval", Some(text.into()));
        assert_eq!(read("0s"), Ok(None));
        assert_eq!(read("1us"), Err(Why::Interval("interval")));
        assert_eq!(read("-5s"), Err(Why::Interval("interval")));
        assert_eq!(read("x"), Err(Why::Duration("x".into())));
    }
}

//! `--log-driver` and `--log-opt`.

use crate::Refusal;
use spec::{docker::LogConfig, sandbox::Log};

/// A container's log unless said otherwise: at most 100 MiB.
const MAX_BYTES: u64 = 20 << 20;
const MAX_FILES: u32 = 5;

/// Chooses the log, to be kept at `path`.
///
/// # Errors
/// [`Refusal`] for a driver or an option that there is not.
pub fn choose(asked: &LogConfig, path: &str) -> Result<Log, Refusal> {
    let driver = match asked.kind.as_str() {
        "none" => return Ok(Log::None),
        "" | "json-file" => "json-file",
        "local" => "local",
        other => {
            return Err(Refusal::invalid(format!(
                "logger: no log driver named '{other}' is registered"
            )));
        }
    };
    let (mut max_bytes, mut max_files) = (MAX_BYTES, MAX_FILES);
    for (key, value) in &asked.config {
        match key.as_str() {
            "max-size" if value == "-1" => max_bytes = u64::MAX,
            "max-size" => {
                max_bytes = size(value).filter(|size| *size > 0).ok_or_else(|| {
                    Refusal::invalid(format!("invalid value for max-size: {value}"))
                })?;
            }
            "max-file" => {
                max_files = value.parse().ok().filter(|files| *files > 0).ok_or_else(|| {
                    Refusal::invalid(format!("max-file cannot be less than 1: {value}"))
                })?;
            }
            // How these are by default.
            "mode" if value == "blocking" => {}
            "compress" if matches!(value.as_str(), "false" | "0") => {}
            "mode" | "max-buffer-size" | "compress" | "labels" | "labels-regex" | "env"
            | "env-regex" | "tag" => {
                return Err(Refusal::unsupported(format!(
                    "log option {key}={value} is not supported: leave it out (max-size and \
                     max-file are)"
                )));
            }
            _ => {
                return Err(Refusal::invalid(format!(
                    "unknown log opt '{key}' for {driver} log driver"
                )));
            }
        }
    }
    Ok(Log::JsonFile { path: path.to_owned(), max_bytes, max_files })
}

/// `10m`: bytes in powers of 1024, as Docker reads them.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let text = text.strip_suffix('i').unwrap_or(text);
    let shift = match text.bytes().last()? {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        b't' => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: &str, options: &[(&str, &str)]) -> Result<Log, Refusal> {
        let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        choose(&LogConfig { kind: kind.into(), config }, "/log")
    }

    #[test]
    fn a_log_is_bounded_unless_said_otherwise() {
        let log =
            |max_bytes, max_files| Log::JsonFile { path: "/log".into(), max_bytes, max_files };
        assert_eq!(ask("", &[]), Ok(log(20 << 20, 5)));
        assert_eq!(
            ask("json-file", &[("max-size", "10m"), ("max-file", "3")]),
            Ok(log(10 << 20, 3))
        );
        assert_eq!(ask("local", &[("max-size", "1GiB")]), Ok(log(1 << 30, 5)));
        assert_eq!(ask("", &[("max-size", "-1")]), Ok(log(u64::MAX, 5)));
        assert_eq!(ask("none", &[]), Ok(Log::None));
    }

    #[test]
    fn what_is_not_carried_is_refused() {
        let words = |kind: &str, option| ask(kind, &[option]).expect_err("refused").to_string();
        assert_eq!(
            words("syslog", ("a", "b")),
            "logger: no log driver named 'syslog' is registered"
        );
        assert_eq!(
            words("", ("colour", "red")),
            "unknown log opt 'colour' for json-file log driver"
        );
        assert!(words("", ("mode", "non-blocking")).contains("not supported"));
        assert!(words("", ("max-size", "lots")).contains("invalid value for max-size"));
        assert!(words("", ("max-size", "99999999999g")).contains("invalid value"));
        assert!(words("", ("max-file", "0")).contains("less than 1"));
    }
}

//! Which options a driver has, and what they may be.

use super::{BUFFER, MAX_BYTES, MAX_FILES, driver, syslog};
use crate::Refusal;
use spec::docker::LogConfig;
use std::collections::BTreeMap;

/// Of every driver.
const OF_ALL: [&str; 2] = ["mode", "max-buffer-size"];
/// Of those that keep a file.
const OF_FILES: [&str; 3] = ["max-size", "max-file", "compress"];
/// What of a container a log may tell.
const OF_SUBJECTS: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
/// Of the copy that is kept of what goes elsewhere. As with Docker other
/// drivers take them as well, so that they can be a daemon's defaults.
const OF_CACHES: [&str; 4] =
    ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

/// What was said about the file and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `u64::MAX` for no bound.
    pub max_bytes: u64,
    pub max_files: u32,
    pub compress: bool,
    pub non_blocking: bool,
    pub buffer: u64,
    pub no_cache: bool,
}

impl Options {
    pub fn read(asked: &LogConfig) -> Result<Self, Refusal> {
        let driver = driver(asked)?;
        let remote = matches!(driver, "syslog" | "journald");
        let mut options = Self {
            max_bytes: MAX_BYTES,
            max_files: MAX_FILES,
            compress: driver != "json-file",
            non_blocking: false,
            buffer: BUFFER,
            no_cache: false,
        };
        if driver == "none" {
            return Ok(options);
        }
        for (key, value) in &asked.config {
            let known = OF_ALL.contains(&key.as_str())
                || (!remote && OF_FILES.contains(&key.as_str()))
                || (driver != "local" && OF_SUBJECTS.contains(&key.as_str()))
                || OF_CACHES.contains(&key.as_str())
                || (driver == "syslog" && syslog::OPTIONS.contains(&key.as_str()));
            if !known {
                // Docker's words, which differ.
                let whose = match driver {
                    "local" => "log driver local".to_owned(),
                    other => format!("{other} log driver"),
                };
                return Err(Refusal::invalid(format!("unknown log opt '{key}' for {whose}")));
            }
            match key.strip_prefix("cache-") {
                Some(key) if remote => options.take(key, value)?,
                // Every driver takes these, where there is no copy too.
                Some(_) => {}
                None => options.take(key, value)?,
            }
        }
        if asked.config.contains_key("max-buffer-size") && !options.non_blocking {
            return Err(Refusal::invalid(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ));
        }
        if options.compress && options.max_files < 2 {
            let said = asked.config.keys().any(|key| key.ends_with("compress"));
            if said && driver == "json-file" {
                return Err(Refusal::invalid(
                    "compress cannot be true when max-file is less than 2 or max-size is not set",
                ));
            }
            options.compress = false;
        }
        Ok(options)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "max-size" if value == "-1" => self.max_bytes = u64::MAX,
            "max-size" => {
                self.max_bytes = size(value).filter(|size| *size > 0).ok_or_else(|| {
                    Refusal::invalid(format!("invalid value for max-size: {value}"))
                })?;
            }
            "max-file" => {
                self.max_files =
                    value.parse().ok().filter(|files| *files > 0).ok_or_else(|| {
                        Refusal::invalid(format!("max-file cannot be less than 1: {value}"))
                    })?;
            }
            "compress" => self.compress = flag(key, value)?,
            "disabled" => self.no_cache = flag("option cache-disabled", value)?,
            "mode" => {
                self.non_blocking = match value {
                    "" | "blocking" => false,
                    "non-blocking" => true,
                    _ => {
                        return Err(Refusal::invalid(format!(
                            "logger: logging mode not supported: {value}"
                        )));
                    }
                };
            }
            "max-buffer-size" => {
                self.buffer = size(value).filter(|size| *size > 0).ok_or_else(|| {
                    Refusal::invalid(format!(
                        "error parsing option max-buffer-size: invalid size: '{value}'"
                    ))
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Is all of it known and well formed? Said without a container.
///
/// # Errors
/// [`Refusal`] for a driver or an option that there is not.
pub fn check(asked: &LogConfig) -> Result<(), Refusal> {
    Options::read(asked)?;
    super::subject::check(asked)?;
    if driver(asked)? == "syslog" {
        syslog::read(&asked.config, String::new(), 0)?;
    }
    Ok(())
}

/// What was asked for, completed by the daemon's defaults: its driver for one
/// that names none, its options for its own driver, and those of the copy for
/// every other.
pub fn merged(asked: &LogConfig, defaults: &LogConfig) -> LogConfig {
    let default = if defaults.kind.is_empty() { "json-file" } else { &defaults.kind };
    let kind = if asked.kind.is_empty() { default } else { &asked.kind };
    let mut config: BTreeMap<String, String> = asked.config.clone();
    let remote = matches!(kind, "syslog" | "journald");
    for (key, value) in &defaults.config {
        if kind == default || (remote && OF_CACHES.contains(&key.as_str())) {
            config.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    LogConfig { kind: kind.to_owned(), config }
}

/// As Go's `strconv.ParseBool`.
pub fn flag(key: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Refusal::invalid(format!("invalid value for {key}: {value}"))),
    }
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

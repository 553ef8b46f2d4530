//! Lines for whoever called: containerd and Podman show the last one of
//! `--log` to their users.
//!
//! Text lines are `time="…" level=error msg="…"`, JSON lines an object with
//! the same three keys. Where a log file is named, an error is also said in
//! plain words on standard error.

use crate::{
    clock,
    problem::{Doing, Problem},
};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
};

/// Where lines go and how they look.
#[derive(Default)]
pub struct Log {
    file: Option<File>,
    json: bool,
    debug: bool,
}

impl Log {
    /// Opens the log that `--log`, `--log-format` and `--debug` name.
    pub fn open(path: Option<&str>, format: Option<&str>, debug: bool) -> Result<Self, Problem> {
        let json = match format.unwrap_or("text") {
            "text" => false,
            "json" => true,
            other => return Err(Problem::BadLogFormat(other.into())),
        };
        let file = path
            .filter(|path| !path.is_empty())
            .map(|path| {
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o644)
                    .open(path)
                    .doing("open", path)
            })
            .transpose()?;
        Ok(Self { file, json, debug })
    }

    pub fn error(&self, text: &str) {
        self.line("error", text);
        if self.file.is_some() {
            eprintln!("{text}");
        }
    }

    pub fn warn(&self, text: &str) {
        self.line("warning", text);
    }

    pub fn debug(&self, text: &str) {
        if self.debug {
            self.line("debug", text);
        }
    }

    fn line(&self, level: &str, text: &str) {
        let time = clock::seconds(clock::now());
        let line = if self.json {
            serde_json::json!({ "level": level, "msg": text, "time": time }).to_string()
        } else {
            format!("time=\"{time}\" level={level} msg={}", quoted(text))
        };
        let said = match &self.file {
            Some(file) => writeln!(&*file, "{line}"),
            None => writeln!(std::io::stderr(), "{line}"),
        };
        // There is no other place left to complain in.
        drop(said);
    }
}

/// A word stands as it is, anything else in quotes.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) { text.into() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_quoted_as_its_readers_expect() {
        assert_eq!(quoted("EOF"), "EOF");
        assert_eq!(quoted("container does not exist"), "\"container does not exist\"");
        assert_eq!(quoted("exec: \"x\""), r#""exec: \"x\"""#);
        assert_eq!(quoted("two\nlines"), r#""two\nlines""#);
        assert_eq!(quoted(""), "\"\"");
    }
}

//! `--name=value` between an instruction's word and its arguments.

use crate::error::{Why, near};

/// How a flag is said.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// `--name`, `--name=true`, `--name=false`.
    Switch,
    /// `--name=value`, once.
    One,
    /// `--name=value`, as often as one likes.
    Many,
}

/// The flags of one instruction, each known and said as it must be.
pub(crate) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    pub fn read(words: &[String], known: &[(&'static str, Kind)]) -> Result<Self, Why> {
        let mut flags: Vec<(&'static str, String)> = Vec::new();
        for word in words {
            let said = word.strip_prefix("--").ok_or_else(|| Why::FlagShape(word.clone()))?;
            let (name, value) = match said.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (said, None),
            };
            let Some((name, kind)) = known.iter().copied().find(|(flag, _)| *flag == name) else {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(Why::Flag { flag: name.into(), near: near(name, &names) });
            };
            if kind != Kind::Many && flags.iter().any(|(flag, _)| *flag == name) {
                return Err(Why::FlagTwice(name.into()));
            }
            let value = match (kind, value) {
                (Kind::Switch, None) => "true".into(),
                (Kind::Switch, Some("")) | (Kind::One | Kind::Many, None) => {
                    return Err(Why::FlagEmpty(name.into()));
                }
                (Kind::Switch, Some(value)) => match value.to_ascii_lowercase() {
                    value if value == "true" || value == "false" => value,
                    _ => {
                        let (flag, value) = (name.into(), value.into());
                        return Err(Why::FlagBool { flag, value });
                    }
                },
                (_, Some(value)) => value.into(),
            };
            flags.push((name, value));
        }
        Ok(Self(flags))
    }

    /// The value, if it was said and is not empty.
    pub fn one(&self, name: &str) -> Option<String> {
        self.many(name).into_iter().next().filter(|value| !value.is_empty())
    }

    pub fn many(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(flag, _)| *flag == name).map(|(_, value)| value.clone()).collect()
    }

    /// A switch, if it was said.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.one(name).map(|value| value == "true")
    }
}

/// Splits leading flags from what follows them. Quotes and backslashes (these
/// alone, whatever the escape directive says) are taken away; `--` alone ends
/// the flags.
pub(crate) fn split(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, after) = flag(rest);
        rest = after;
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
    }
}

/// One flag, and what follows it.
fn flag(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, c)) = letters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', _) => word.extend(letters.next().map(|(_, c)| c)),
            (c @ ('\'' | '"'), None) => quote = Some(c),
            (c, None) if c.is_whitespace() => return (word, &text[at..]),
            (c, _) => word.push(c),
        }
    }
    (word, "")
}

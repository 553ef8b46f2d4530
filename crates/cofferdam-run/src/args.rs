//! A command line, read by a table.
//!
//! The rules are those that callers of OCI runtimes count on: options of the
//! program, a verb, options of the verb, arguments. An option is written
//! `--name value` or `--name=value`, with one dash or two; a switch may be
//! given a word (`--keep=false`); `--` ends the options. After the verb,
//! options may stand among the arguments, except where arguments belong to
//! another program ([`Verb::foreign`]).

use crate::{problem::Problem, words::Verb};
use std::{collections::BTreeMap, str::FromStr};

/// One option, as data: the parser and the help text read the same.
pub struct Flag {
    pub long: &'static str,
    pub short: Option<&'static str>,
    pub takes: Takes,
    pub about: &'static str,
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
}

/// What was given.
#[derive(Debug, Default)]
pub struct Given {
    flags: BTreeMap<&'static str, Vec<String>>,
    pub arguments: Vec<String>,
}

impl Given {
    /// Whether a switch is on.
    pub fn has(&self, long: &str) -> bool {
        self.last(long).is_some_and(|word| truth(word) != Some(false))
    }

    /// The last value of an option: later ones win.
    pub fn last(&self, long: &str) -> Option<&str> {
        self.all(long).last().map(String::as_str)
    }

    /// Every value of an option that may be repeated.
    pub fn all(&self, long: &str) -> &[String] {
        self.flags.get(long).map_or(&[], Vec::as_slice)
    }

    /// The value of an option that is a number.
    pub fn number<T: FromStr>(&self, long: &'static str) -> Result<Option<T>, Problem> {
        self.last(long)
            .map(|text| {
                text.parse().map_err(|_| Problem::BadValue { flag: long, value: text.into() })
            })
            .transpose()
    }
}

/// As Go reads a boolean.
fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads the options that stand at the beginning of `words`; the rest are
/// arguments.
pub fn leading(flags: &'static [Flag], words: &[String]) -> Result<Given, Problem> {
    read(flags, words, false)
}

/// Reads what follows a verb.
pub fn following(verb: &'static Verb, words: &[String]) -> Result<Given, Problem> {
    read(verb.flags, words, !verb.foreign)
}

fn read(flags: &'static [Flag], words: &[String], among: bool) -> Result<Given, Problem> {
    let mut given = Given::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        // A lone dash is an argument: standard input.
        let name = match word.strip_prefix("--").or_else(|| word.strip_prefix('-')) {
            Some("") if word == "--" => {
                given.arguments.extend(words.cloned());
                break;
            }
            Some(name) if !name.is_empty() => name,
            _ => {
                given.arguments.push(word.clone());
                if !among {
                    given.arguments.extend(words.cloned());
                    break;
                }
                continue;
            }
        };
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let unknown = || Problem::UnknownFlag(name.to_owned());
        let flag = flags
            .iter()
            .chain(&HELP)
            .find(|flag| flag.long == name || flag.short == Some(name))
            .ok_or_else(unknown)?;
        let value = match (flag.takes, attached) {
            (Takes::Nothing, None) => "true".to_owned(),
            (Takes::Nothing, Some(word)) if truth(&word).is_none() => {
                return Err(Problem::BadValue { flag: flag.long, value: word });
            }
            (_, Some(value)) => value,
            (Takes::Value, None) => {
                words.next().cloned().ok_or(Problem::MissingValue(flag.long))?
            }
        };
        given.flags.entry(flag.long).or_default().push(value);
    }
    Ok(given)
}

/// Understood everywhere.
const HELP: [Flag; 1] =
    [Flag { long: "help", short: Some("h"), takes: Takes::Nothing, about: "show help" }];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn verb(name: &str, line: &str) -> Result<Given, Problem> {
        following(words::verb(name).expect("a verb"), &words(line))
    }

    #[test]
    fn options_may_follow_arguments() {
        let given = verb("delete", "box --force").expect("valid");
        assert!(given.has("force"));
        assert_eq!(given.arguments, ["box"]);
    }

    #[test]
    fn what_follows_the_container_of_an_exec_belongs_to_the_program() {
        let given = verb("exec", "-t box ls --user -d").expect("valid");
        assert!(given.has("tty") && !given.has("detach"));
        assert_eq!(given.arguments, ["box", "ls", "--user", "-d"]);
    }

    #[test]
    fn a_value_is_attached_or_follows_and_the_last_wins() {
        let given = verb("run", "-b one --bundle=two -bundle three box").expect("valid");
        assert_eq!(given.last("bundle"), Some("three"));
        assert_eq!(given.all("bundle").len(), 3);
    }

    #[test]
    fn a_switch_can_be_turned_off() {
        let given = verb("run", "--keep=false box").expect("valid");
        assert!(!given.has("keep"));
        assert!(verb("run", "--keep=perhaps box").is_err());
    }

    #[test]
    fn two_dashes_end_the_options() {
        let given = verb("kill", "-- box --all").expect("valid");
        assert_eq!(given.arguments, ["box", "--all"]);
        assert!(!given.has("all"));
    }

    #[test]
    fn a_lone_dash_is_a_value() {
        let given = verb("update", "--resources - box").expect("valid");
        assert_eq!(given.last("resources"), Some("-"));
    }

    #[test]
    fn unknown_and_unfinished_options_are_refused() {
        let unknown = verb("state", "--nope box").expect_err("must refuse");
        assert_eq!(unknown.to_string(), "flag provided but not defined: -nope");
        let unfinished = verb("run", "box --bundle").expect_err("must refuse");
        assert_eq!(unfinished.to_string(), "flag needs an argument: -bundle");
    }
}

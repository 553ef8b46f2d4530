//! Files of variables: `.env`, `--env-file` and `env_file`.
//!
//! `NAME=VALUE` a line, `export ` before it if one likes, `#` for remarks.
//! A value in single quotes is as it stands; in double quotes it may have
//! `\n` and the like, and variables; without quotes variables, and a remark
//! after a blank. Quoted values may go over several lines. A name alone is
//! taken from outside, where it is set there.

use crate::{
    error::{Outcome, wrong},
    interpolate::{Variables, fill},
    node::At,
};
use std::collections::BTreeSet;

/// Reads a file's text. `outside` are the variables that are known already;
/// they win over the file's own in what values refer to.
///
/// # Errors
/// A line that is none of these, with its place.
pub fn read(file: &str, text: &str, outside: &Variables) -> Outcome<Variables> {
    let mut reader = Reader { file, rest: text.trim_start_matches('\u{feff}'), line: 1, outside };
    let mut found = Variables::new();
    while reader.skip_blank() {
        if let Some((name, value)) = reader.one(&found)? {
            found.insert(name, value);
        }
    }
    Ok(found)
}

struct Reader<'a> {
    file: &'a str,
    rest: &'a str,
    line: usize,
    outside: &'a Variables,
}

impl<'a> Reader<'a> {
    fn at(&self) -> At {
        At { file: self.file.into(), line: self.line, column: 1 }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Goes to the next line that says something.
    fn skip_blank(&mut self) -> bool {
        loop {
            let blank = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
            self.advance(blank);
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.rest_of_line();
        }
    }

    fn rest_of_line(&mut self) -> &'a str {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.advance(end).trim_end_matches('\r')
    }

    fn one(&mut self, found: &Variables) -> Outcome<Option<(String, String)>> {
        let at = self.at();
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.advance(self.rest.len() - after.trim_start_matches([' ', '\t']).len());
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let name = self.advance(end).trim().to_owned();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong(&at, format!("unexpected character in variable name {name:?}")));
        }
        if !self.rest.starts_with(['=', ':']) {
            return Ok(self.outside.get(&name).map(|value| (name.clone(), value.clone())));
        }
        self.advance(1);
        let blank = self.rest.find(|c: char| c != ' ' && c != '\t').unwrap_or(self.rest.len());
        self.advance(blank);
        let value = match self.rest.chars().next() {
            Some('\'') => self.quoted('\'', &at)?.to_owned(),
            Some('"') => {
                let text = unescape(self.quoted('"', &at)?);
                self.filled(&text, found, &at)?
            }
            _ => {
                let line = self.rest_of_line();
                let end = line.find(" #").or_else(|| line.find("\t#"));
                let value =
                    if line.starts_with('#') { "" } else { &line[..end.unwrap_or(line.len())] };
                self.filled(value.trim_end(), found, &at)?
            }
        };
        Ok(Some((name, value)))
    }

    /// What stands in quotes; nothing but a remark may follow.
    fn quoted(&mut self, quote: char, at: &At) -> Outcome<&'a str> {
        self.advance(1);
        let mut escaped = false;
        let end = self.rest.find(|c: char| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end =
            end.ok_or_else(|| wrong(at, format!("unterminated quoted value: {quote} is missing")))?;
        let value = self.advance(end);
        self.advance(1);
        let after = self.rest_of_line().trim();
        if !after.is_empty() && !after.starts_with('#') {
            return Err(wrong(at, format!("unexpected {after:?} behind the quoted value")));
        }
        Ok(value)
    }

    fn filled(&self, text: &str, found: &Variables, at: &At) -> Outcome<String> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        let mut known = found.clone();
        known.extend(self.outside.iter().map(|(name, value)| (name.clone(), value.clone())));
        fill(text, &known, &mut BTreeSet::new(), at)
    }
}

/// `\n`, `\r`, `\t`, `\"` and `\\`; `\$` is a dollar that names nothing.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('$') => plain.push_str("$$"),
            Some(c @ ('"' | '\\')) => plain.push(c),
            Some(c) => plain.extend(['\\', c]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside() -> Variables {
        [("HOME".to_owned(), "/h".to_owned())].into()
    }

    fn one(text: &str, name: &str) -> Option<String> {
        read("e.env", text, &outside()).expect("valid").remove(name)
    }

    #[test]
    fn values_have_three_ways_of_quoting() {
        let text = "A=b c # remark\nexport B='$HOME # no \\n'\nC=\"x\\ty $HOME\" # remark\nD=#\nE=a#b\nF=\n";
        let all = read("e.env", text, &outside()).expect("valid");
        let value = |name: &str| all[name].as_str();
        assert_eq!(value("A"), "b c");
        assert_eq!(value("B"), "$HOME # no \\n");
        assert_eq!(value("C"), "x\ty /h");
        assert_eq!((value("D"), value("E"), value("F")), ("", "a#b", ""));
    }

    #[test]
    fn later_lines_know_earlier_ones_and_outside_wins() {
        assert_eq!(one("A=1\nB=${A}2\nHOME=x\nC=$HOME\n", "C").as_deref(), Some("/h"));
        assert_eq!(one("A=1\nB=${A}2\n", "B").as_deref(), Some("12"));
        assert_eq!(one("A=${N:-d}\n", "A").as_deref(), Some("d"));
        assert_eq!(one("A=\"\\$HOME\"\n", "A").as_deref(), Some("$HOME"));
    }

    #[test]
    fn a_quoted_value_may_go_over_lines_and_lines_are_counted() {
        assert_eq!(one("A=\"x\ny\"\nB: 2\r\n", "A").as_deref(), Some("x\ny"));
        assert_eq!(one("A=\"x\ny\"\nB: 2\r\n", "B").as_deref(), Some("2"));
        let error = read("e.env", "A=\"x\ny\"\nB=\"z", &outside()).expect_err("unterminated");
        assert!(error.to_string().starts_with("e.env:3:1: unterminated"), "{error}");
    }

    #[test]
    fn a_name_alone_is_taken_from_outside() {
        assert_eq!(one("HOME\nNOPE\n", "HOME").as_deref(), Some("/h"));
        assert_eq!(one("HOME\nNOPE\n", "NOPE"), None);
        assert!(read("e.env", "a b=c\n", &outside()).is_err());
        assert!(read("e.env", "=c\n", &outside()).is_err());
    }
}

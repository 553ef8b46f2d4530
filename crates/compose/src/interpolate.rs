//! Variables in values: `$NAME`, `${NAME}`, and with what is to be had
//! instead: `:-`, `-`, `:?`, `?`, `:+`, `+`. `$$` is a dollar. What is had
//! instead may have variables of its own.

use crate::{
    error::{Outcome, wrong},
    node::{At, Node, Value},
};
use std::collections::{BTreeMap, BTreeSet};

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// How deep `${A:-${B:-…}}` may be nested.
const MOST_DEPTH: usize = 30;

/// Fills in every value of a tree; names stay as they are.
///
/// # Errors
/// A text that is no template; a variable that is needed and not set.
pub fn tree(node: &mut Node, variables: &Variables, unset: &mut BTreeSet<String>) -> Outcome<()> {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => {
            *text = fill(text, variables, unset, &node.at)?;
        }
        Value::List(list) => {
            for node in list {
                tree(node, variables, unset)?;
            }
        }
        Value::Map(map) => {
            for entry in &mut map.0 {
                tree(&mut entry.node, variables, unset)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Fills in one text. Variables that are not set and have nothing instead
/// are empty, and named in `unset`.
///
/// # Errors
/// As [`tree`].
pub fn fill(
    text: &str,
    variables: &Variables,
    unset: &mut BTreeSet<String>,
    at: &At,
) -> Outcome<String> {
    let mut filler = Filler { variables, unset, at, whole: text };
    filler.fill(text, 0)
}

struct Filler<'a> {
    variables: &'a Variables,
    unset: &'a mut BTreeSet<String>,
    at: &'a At,
    whole: &'a str,
}

impl Filler<'_> {
    fn bad(&self) -> crate::Error {
        let whole = self.whole;
        wrong(
            self.at,
            format!(
                "invalid interpolation format: {whole:?}; you may need to escape any $ with another $"
            ),
        )
    }

    fn fill(&mut self, text: &str, depth: usize) -> Outcome<String> {
        if depth > MOST_DEPTH {
            return Err(self.bad());
        }
        let mut filled = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            filled.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                filled.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let end = closing(after).ok_or_else(|| self.bad())?;
                filled.push_str(&self.braced(&after[..end], depth)?);
                rest = &after[end + 1..];
            } else {
                let end = name_end(rest);
                if end == 0 {
                    return Err(self.bad());
                }
                filled.push_str(&self.value(&rest[..end]));
                rest = &rest[end..];
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&mut self, name: &str) -> String {
        if let Some(value) = self.variables.get(name) {
            return value.clone();
        }
        self.unset.insert(name.to_owned());
        String::new()
    }

    /// What stands between the braces.
    fn braced(&mut self, inner: &str, depth: usize) -> Outcome<String> {
        let end = name_end(inner);
        let (name, rest) = inner.split_at(end);
        if name.is_empty() {
            return Err(self.bad());
        }
        let (or_empty, rest) = match rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let set = self.variables.get(name).filter(|value| !or_empty || !value.is_empty());
        let set = set.cloned();
        let mut chars = rest.chars();
        let sign = chars.next();
        let instead = chars.as_str();
        match sign {
            None if !or_empty => Ok(self.value(name)),
            Some('-') => match set {
                Some(value) => Ok(value),
                None => self.fill(instead, depth + 1),
            },
            Some('+') if set.is_some() => self.fill(instead, depth + 1),
            Some('+') => Ok(String::new()),
            Some('?') => {
                if let Some(value) = set {
                    return Ok(value);
                }
                let why = self.fill(instead, depth + 1)?;
                let what = format!("required variable {name} is missing a value: {why}");
                Err(wrong(self.at, what))
            }
            _ => Err(self.bad()),
        }
    }
}

/// Where a name ends.
fn name_end(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Where the brace closes that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = text.as_bytes();
    let mut place = 0;
    while place < bytes.len() {
        match bytes[place] {
            b'$' if bytes.get(place + 1) == Some(&b'$') => place += 1,
            b'$' if bytes.get(place + 1) == Some(&b'{') => {
                depth += 1;
                place += 1;
            }
            b'}' if depth == 0 => return Some(place),
            b'}' => depth -= 1,
            _ => {}
        }
        place += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> At {
        At { file: "f.yaml".into(), line: 3, column: 5 }
    }

    fn variables() -> Variables {
        let pairs = [("A", "a"), ("E", ""), ("B", "b b")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn filled(text: &str) -> String {
        fill(text, &variables(), &mut BTreeSet::new(), &at()).expect("valid")
    }

    fn told(text: &str) -> String {
        fill(text, &variables(), &mut BTreeSet::new(), &at()).expect_err("refused").to_string()
    }

    #[test]
    fn variables_have_every_spelling() {
        assert_eq!(filled("$A-${A}x$$A"), "a-ax$A");
        assert_eq!(filled("${N:-d}|${N-d}|${E:-d}|${E-d}|${A:-d}"), "d|d|d||a");
        assert_eq!(filled("${A:+r}|${N:+r}|${E:+r}|${E+r}"), "r|||r");
        assert_eq!(filled("${A:?no}${E?no}"), "a");
        assert_eq!(filled("${N:-}"), "");
    }

    #[test]
    fn what_is_had_instead_may_have_variables() {
        assert_eq!(filled("${N:-${M:-$A}}/${N-x$$y}"), "a/x$y");
        assert_eq!(filled("${N:-a:b-c?d}"), "a:b-c?d");
        assert_eq!(filled("${A:+${B}}"), "b b");
    }

    #[test]
    fn what_is_needed_and_not_set_says_why_and_where() {
        let words = "f.yaml:3:5: required variable N is missing a value: say $A";
        assert_eq!(told("${N:?say $$A}"), words);
        assert!(told("${E:?}").contains("required variable E"));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["$", "${", "${}", "${A", "$1", "${A:}", "${A!x}", "${1}", "a $ b"] {
            assert!(told(text).contains("invalid interpolation format"), "{text}");
        }
        assert!(told(&"${N:-".repeat(100)).contains("invalid interpolation"));
        let deep = format!("{}x{}", "${N:-".repeat(100), "}".repeat(100));
        assert!(told(&deep).contains("invalid interpolation"));
    }

    #[test]
    fn what_is_not_set_is_named_once() {
        let mut unset = BTreeSet::new();
        fill("$N $N ${M} ${O:-x}", &variables(), &mut unset, &at()).expect("valid");
        assert_eq!(unset.into_iter().collect::<Vec<_>>(), ["M", "N"]);
    }
}

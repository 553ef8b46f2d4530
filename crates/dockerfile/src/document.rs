//! Here-documents: which lines announce them, and under which names.

use crate::{
    lines::{Line, one},
    words::{Keep, Words},
};

/// A here-document, announced and (later) read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Here {
    pub name: String,
    /// `<<-`: tabs at the beginning of its lines are not part of it.
    pub chomp: bool,
    /// No part of the name was quoted.
    pub expand: bool,
    /// As it stands in the file.
    pub data: String,
}

impl Here {
    /// Its text as it is meant.
    pub fn chomped(&self) -> String {
        if !self.chomp {
            return self.data.clone();
        }
        self.data.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

const PLAIN: Words<'static> = Words { escape: '\\', scope: &|_| None };

/// The documents that follow a line, in order.
pub(crate) fn announced(line: &Line) -> Vec<Here> {
    let takes = |line: &Line| {
        ["ADD", "COPY", "RUN"].iter().any(|word| line.word.eq_ignore_ascii_case(word))
            && crate::json::strings(&line.rest).is_none()
    };
    let onbuild = line.word.eq_ignore_ascii_case("ONBUILD");
    if !(takes(line) || onbuild && takes(&one(&line.rest, line.lines))) {
        return Vec::new();
    }
    let keep = Keep { quotes: true, escapes: true, unset: true, ..Keep::default() };
    // A quote that is not closed is the shell's business.
    let Ok(words) = PLAIN.lex(&line.text, keep) else { return Vec::new() };
    words.split.iter().filter_map(|word| here(word)).collect()
}

/// `<<NAME`, `<<-NAME`, `3<<"NAME"`.
pub(crate) fn here(word: &str) -> Option<Here> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let keep = Keep { unset: true, ..Keep::default() };
    let plain = PLAIN.lex(rest, keep).ok()?;
    let raw = PLAIN.lex(rest, Keep { quotes: true, ..keep }).ok()?;
    let [name] = plain.split.as_slice() else { return None };
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = quotes(name) == raw.split.iter().map(|word| quotes(word)).sum::<usize>();
    Some(Here { name: name.clone(), chomp, expand, data: String::new() })
}

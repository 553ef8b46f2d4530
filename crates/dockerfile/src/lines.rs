//! From text to instructions: directives, comments, continued lines and
//! here-documents. What the words of an instruction mean is not known here.

use crate::{
    Directives, Lines, Warning, document,
    document::Here,
    error::{Error, Why},
    flags,
};

/// One instruction, told from its neighbours.
#[derive(Debug)]
pub(crate) struct Line {
    /// The first word, as written.
    pub word: String,
    /// The words after it that begin with `--`, quotes taken away.
    pub flags: Vec<String>,
    /// What follows them.
    pub rest: String,
    /// All of it on one line.
    pub text: String,
    /// Here-documents, in order.
    pub documents: Vec<Here>,
    pub lines: Lines,
}

/// A file taken apart.
#[derive(Debug)]
pub(crate) struct Text {
    pub directives: Directives,
    pub lines: Vec<Line>,
    pub warnings: Vec<Warning>,
}

pub(crate) fn read(text: &str) -> Result<Text, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    take_apart(text, Directives::default(), false)
}

/// Text that may have no directives, because another file had them.
pub(crate) fn read_with(text: &str, escape: char) -> Result<Text, Error> {
    take_apart(text, Directives { escape, ..Directives::default() }, true)
}

fn take_apart(text: &str, directives: Directives, directives_end: bool) -> Result<Text, Error> {
    let mut reader = Reader {
        rest: text.split_inclusive('\n'),
        at: 0,
        directives,
        directives_end,
        escape_said: false,
        warnings: Vec::new(),
    };
    let mut lines = Vec::new();
    while let Some(line) = reader.line()? {
        lines.push(line);
    }
    if lines.is_empty() {
        let lines = Lines { first: reader.at.max(1), last: reader.at.max(1) };
        return Err(Error::text(Why::Empty, lines));
    }
    Ok(Text { directives: reader.directives, lines, warnings: reader.warnings })
}

/// One instruction alone: a trigger of an image, or of `ONBUILD`.
pub(crate) fn one(text: &str, lines: Lines) -> Line {
    let text = text.trim();
    let (word, rest) = split_word(text);
    let (flags, rest) = flags::split(rest);
    Line {
        word: word.into(),
        flags,
        rest: rest.trim().into(),
        text: text.into(),
        documents: Vec::new(),
        lines,
    }
}

/// The first word and what follows the white space after it.
pub(crate) fn split_word(text: &str) -> (&str, &str) {
    match text.find(blank) {
        Some(end) => (&text[..end], text[end..].trim_start_matches(blank)),
        None => (text, ""),
    }
}

/// White space inside a line.
pub(crate) fn blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

struct Reader<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    /// The number of the line read last.
    at: usize,
    directives: Directives,
    /// A line that is none has been seen.
    directives_end: bool,
    escape_said: bool,
    warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.rest.next()?;
        self.at += 1;
        Some(line)
    }

    /// The next instruction.
    fn line(&mut self) -> Result<Option<Line>, Error> {
        let (first, mut text, mut more) = loop {
            let Some(line) = self.next() else { return Ok(None) };
            let line = without_end(line).trim_start();
            self.directive(line)?;
            if line.starts_with('#') {
                continue;
            }
            let (line, more) = self.continued(line);
            if more || !line.is_empty() {
                break (self.at, line.to_owned(), more);
            }
        };
        let mut empty = None;
        while more && let Some(line) = self.next() {
            let line = without_end(line);
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim_start().is_empty() {
                empty = Some(self.at);
                continue;
            }
            let (line, again) = self.continued(line);
            text.push_str(line);
            more = again;
        }
        if let Some(at) = empty {
            self.warnings.push(Warning {
                rule: "NoEmptyContinuation",
                text: "Empty continuation line".into(),
                lines: Lines { first: at + 1, last: at + 1 },
            });
        }
        let mut line = one(&text, Lines { first, last: self.at });
        self.documents(&mut line)?;
        Ok(Some(line))
    }

    /// Without the escape at its end, and whether there was one: the last
    /// character that is not white, and not itself escaped.
    fn continued<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let escape = self.directives.escape;
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(before) if !before.ends_with(escape) => (before, true),
            _ => (line, false),
        }
    }

    fn directive(&mut self, line: &str) -> Result<(), Error> {
        if self.directives_end {
            return Ok(());
        }
        let Some((name, value)) = directive(line) else {
            self.directives_end = true;
            return Ok(());
        };
        let lines = Lines { first: self.at, last: self.at };
        let twice = |name: &str| Err(Error::text(Why::Twice(name.into()), lines));
        match name.as_str() {
            "escape" if self.escape_said => return twice("escape"),
            "escape" => {
                self.escape_said = true;
                self.directives.escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    other => return Err(Error::text(Why::Escape(other.into()), lines)),
                };
            }
            "syntax" if self.directives.syntax.is_some() => return twice("syntax"),
            "syntax" => self.directives.syntax = Some(value.into()),
            "check" if self.directives.check.is_some() => return twice("check"),
            "check" => self.directives.check = Some(value.into()),
            _ => self.directives_end = true,
        }
        Ok(())
    }

    /// Reads the documents that an instruction announces.
    fn documents(&mut self, line: &mut Line) -> Result<(), Error> {
        for mut here in document::announced(line) {
            loop {
                let Some(text) = self.next() else {
                    line.lines.last = self.at;
                    return Err(Error::text(Why::Unterminated, line.lines));
                };
                let end = without_end(text);
                let end = if here.chomp { end.trim_start_matches('\t') } else { end };
                if end == here.name {
                    break;
                }
                here.data.push_str(text);
            }
            line.documents.push(here);
        }
        line.lines.last = self.at;
        Ok(())
    }
}

/// `# name = value`.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    (plain && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value))
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

//! Words: quotes, escapes and variables by Docker's rules, which resemble a
//! shell's and are not a shell's.
//!
//! Source: "Environment replacement" in the Dockerfile reference; where it
//! is silent, what BuildKit does.

use crate::{
    error::WordError,
    pattern::{Pattern, WORK},
};

/// The most that one expanded word may hold: no program could be given a
/// longer one (`MAX_ARG_STRLEN` is 128 KiB), and `ARG b=$a$a` in every line
/// of a hostile file doubles thirty times.
const LONGEST: usize = 1 << 20;

/// How deep `${a:-${b:-…}}` may go: each level is a frame of the stack.
const DEEPEST: usize = 64;

/// What variables mean, and which character escapes.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    /// `\`, or a backtick by directive.
    pub escape: char,
    /// The value of a name, if it has one.
    pub scope: &'a dyn Fn(&str) -> Option<String>,
}

/// What is left as it is, apart from what is expanded.
#[derive(Clone, Copy, Default)]
pub(crate) struct Keep {
    /// Quotes stay in the word.
    pub quotes: bool,
    /// Escapes stay in the word.
    pub escapes: bool,
    /// Quotes are letters like others.
    pub plain_quotes: bool,
    /// `$x` stays if x has no value.
    pub unset: bool,
}

/// One word expanded, whole and split at its white space.
pub(crate) struct Expanded {
    pub whole: String,
    pub split: Vec<String>,
}

impl Words<'_> {
    /// Quotes and escapes taken away, variables put in. White space in what
    /// comes out is part of it.
    ///
    /// # Errors
    /// A quote or brace without its other half, an unknown modifier, or a
    /// variable that had to have a value.
    pub fn word(&self, text: &str) -> Result<String, WordError> {
        Ok(self.lex(text, Keep::default())?.whole)
    }

    /// The same, split afterwards at white space that was not quoted.
    ///
    /// # Errors
    /// As [`word`](Self::word).
    pub fn split(&self, text: &str) -> Result<Vec<String>, WordError> {
        Ok(self.lex(text, Keep::default())?.split)
    }

    /// Variables put in, quotes untouched: the text of a here-document.
    ///
    /// # Errors
    /// As [`word`](Self::word).
    pub fn document(&self, text: &str) -> Result<String, WordError> {
        Ok(self.lex(text, Keep { plain_quotes: true, ..Keep::default() })?.whole)
    }

    pub(crate) fn lex(&self, text: &str, keep: Keep) -> Result<Expanded, WordError> {
        let mut lexer = Lexer {
            words: self,
            keep,
            text: text.chars().collect(),
            at: 0,
            depth: 0,
            grown: 0,
            work: WORK,
        };
        lexer.until(None, keep.escapes)
    }
}

struct Lexer<'a> {
    words: &'a Words<'a>,
    keep: Keep,
    text: Vec<char>,
    at: usize,
    depth: usize,
    /// Characters that variables have put in.
    grown: usize,
    /// What matching patterns may still cost.
    work: u64,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    /// Everything up to a character (or the end), which is eaten.
    fn until(&mut self, stop: Option<char>, escapes: bool) -> Result<Expanded, WordError> {
        let mut out = Gathered::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.at += 1;
                return Ok(out.expanded());
            }
            match c {
                '$' => {
                    let value = self.dollar(escapes)?;
                    out.splitting(&value);
                }
                '\'' if !self.keep.plain_quotes => out.together(&self.single()?),
                '"' if !self.keep.plain_quotes => out.together(&self.double(escapes)?),
                c => {
                    self.at += 1;
                    if c != self.words.escape {
                        out.letter(c);
                        continue;
                    }
                    if escapes {
                        out.quoted(c);
                    }
                    // An escape at the very end is nothing.
                    if let Some(c) = self.next() {
                        out.quoted(c);
                    }
                }
            }
        }
        match stop {
            None => Ok(out.expanded()),
            Some('/') => Err(WordError::NoSlash),
            Some(_) => Err(WordError::Unclosed),
        }
    }

    fn single(&mut self) -> Result<String, WordError> {
        self.at += 1;
        let mut out = String::new();
        if self.keep.quotes {
            out.push('\'');
        }
        loop {
            match self.next().ok_or(WordError::SingleQuote)? {
                '\'' => {
                    if self.keep.quotes {
                        out.push('\'');
                    }
                    return Ok(out);
                }
                c => out.push(c),
            }
        }
    }

    fn double(&mut self, escapes: bool) -> Result<String, WordError> {
        self.at += 1;
        let mut out = String::new();
        if self.keep.quotes {
            out.push('"');
        }
        loop {
            match self.peek().ok_or(WordError::DoubleQuote)? {
                '"' => {
                    self.at += 1;
                    if self.keep.quotes {
                        out.push('"');
                    }
                    return Ok(out);
                }
                '$' => out.push_str(&self.dollar(escapes)?),
                c => {
                    self.at += 1;
                    if c != self.words.escape {
                        out.push(c);
                        continue;
                    }
                    if escapes {
                        out.push(c);
                    }
                    match self.peek() {
                        None => {}
                        // Only these can be escaped; before all others the
                        // escape is a letter.
                        Some(next @ ('"' | '$')) => {
                            self.at += 1;
                            out.push(next);
                        }
                        Some(next) if next == self.words.escape => {
                            self.at += 1;
                            out.push(next);
                        }
                        Some(_) => out.push(c),
                    }
                }
            }
        }
    }

    /// At a `$`.
    fn dollar(&mut self, escapes: bool) -> Result<String, WordError> {
        self.at += 1;
        let value = if self.peek() == Some('{') {
            self.at += 1;
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(WordError::TooDeep(DEEPEST));
            }
            let value = self.braces(escapes)?;
            self.depth -= 1;
            value
        } else {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            match (self.words.scope)(&name) {
                None if self.keep.unset => format!("${name}"),
                value => value.unwrap_or_default(),
            }
        };
        self.grown = self.grown.saturating_add(value.len());
        if self.grown > LONGEST {
            return Err(WordError::TooLong(LONGEST));
        }
        Ok(value)
    }

    /// After `${`.
    fn braces(&mut self, escapes: bool) -> Result<String, WordError> {
        match self.peek() {
            None => return Err(WordError::Unclosed),
            Some('{' | '}' | ':') => return Err(WordError::Substitution),
            Some(_) => {}
        }
        let name = self.name();
        let value = (self.words.scope)(&name);
        let mut modifier = self.next().ok_or(WordError::Unclosed)?;
        let mut said = modifier.to_string();
        if modifier == '}' {
            return Ok(match value {
                None if self.keep.unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            });
        }
        if modifier == '/' {
            return self.replace(&name, value);
        }
        let null_is_unset = modifier == ':';
        if null_is_unset {
            modifier = self.next().ok_or(WordError::Unclosed)?;
            said.push(modifier);
        }
        if !matches!(modifier, '+' | '-' | '?' | '#' | '%') {
            return Err(WordError::Modifier(said));
        }
        let word = self.until(Some('}'), escapes || matches!(modifier, '#' | '%'))?.whole;
        if value.is_none() && self.keep.unset {
            return Ok(format!("${{{name}{said}{word}}}"));
        }
        let set = value.as_ref().is_some_and(|value| !(null_is_unset && value.is_empty()));
        Ok(match modifier {
            '-' | '?' if set => value.unwrap_or_default(),
            '-' => word,
            '+' if set => word,
            '+' => String::new(),
            '?' => {
                let message = match (word.is_empty(), value.is_some()) {
                    (false, _) => word,
                    (true, true) => "is not allowed to be empty".into(),
                    (true, false) => "is not allowed to be unset".into(),
                };
                return Err(WordError::Required { name, message });
            }
            _ => {
                let value = value.unwrap_or_default();
                let (longest, word) = match word.strip_prefix(modifier) {
                    Some(word) => (true, word),
                    None => (false, word.as_str()),
                };
                let pattern = Pattern::read(word)?;
                if modifier == '#' {
                    pattern.without_prefix(&value, longest, &mut self.work)?
                } else {
                    pattern.without_suffix(&value, longest, &mut self.work)?
                }
            }
        })
    }

    /// After `${name/`.
    fn replace(&mut self, name: &str, value: Option<String>) -> Result<String, WordError> {
        let all = self.peek() == Some('/');
        self.at += usize::from(all);
        let pattern = self.until(Some('/'), true)?.whole;
        let new = self.until(Some('}'), true)?.whole;
        match value {
            None if self.keep.unset => Ok(format!("${{{name}/{pattern}/{new}}}")),
            value => {
                let value = value.unwrap_or_default();
                Pattern::read(&pattern)?.replaced(&value, &new, all, (LONGEST, &mut self.work))
            }
        }
    }

    /// Letters, digits and `_`; digits alone, or one of the shell's special
    /// signs, are names too (and nobody gives them a value).
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(c) if c.is_numeric() => {
                while self.peek().is_some_and(char::is_numeric) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            _ => {
                while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    self.at += 1;
                }
            }
        }
        self.text[start..self.at].iter().collect()
    }
}

/// Gathers a text and, beside it, its words.
#[derive(Default)]
struct Gathered {
    whole: String,
    done: Vec<String>,
    word: String,
}

impl Gathered {
    /// A letter that ends a word if it is white.
    fn letter(&mut self, c: char) {
        self.whole.push(c);
        self.part(c);
    }

    /// A letter that is one, white or not.
    fn quoted(&mut self, c: char) {
        self.whole.push(c);
        self.word.push(c);
    }

    fn together(&mut self, text: &str) {
        self.whole.push_str(text);
        self.word.push_str(text);
    }

    fn splitting(&mut self, text: &str) {
        self.whole.push_str(text);
        text.chars().for_each(|c| self.part(c));
    }

    fn part(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn expanded(mut self) -> Expanded {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        Expanded { whole: self.whole, split: self.done }
    }
}

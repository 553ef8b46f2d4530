//! A template's text, cut into what stands as it is and what is to be done.

use serde_json::Value;

/// Text, or the tokens between `{{` and `}}`.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// To be done.
    Action(Vec<Token>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `.` or `.A.B`.
    Field(Vec<String>),
    /// `.A.B` right behind a bracket.
    Tail(Vec<String>),
    /// `$` or `$a.B`.
    Variable(String, Vec<String>),
    /// A number, text, true, false or nil.
    Literal(Value),
    /// A function or a word of the language.
    Name(String),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `|`
    Bar,
    /// `,`
    Comma,
    /// `:=`: a new name.
    Declare,
    /// `=`: a name that there is.
    Assign,
}

impl Token {
    /// The word that it is.
    pub fn name(&self) -> Option<&str> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }
}

/// Cuts a template into pieces; `{{-` and `-}}` take the blanks beside them.
///
/// # Errors
/// What is wrong, in words.
pub fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let open = rest.find("{{");
        let mut plain = &rest[..open.unwrap_or(rest.len())];
        let action = open.map(|at| &rest[at + 2..]);
        if trim {
            plain = plain.trim_start();
        }
        let left = action
            .filter(|action| action.strip_prefix('-').is_some_and(|rest| rest.starts_with(blank)));
        if left.is_some() {
            plain = plain.trim_end();
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.to_owned()));
        }
        let Some(action) = action else { return Ok(pieces) };
        let action = left.map_or(action, |action| &action[1..]);
        if let Some(comment) = action.trim_start().strip_prefix("/*") {
            let (_, after) = comment.split_once("*/").ok_or("unclosed comment")?;
            let trimming = after.trim_start().strip_prefix("-}}");
            trim = trimming.is_some();
            rest = trimming
                .or_else(|| after.strip_prefix("}}"))
                .ok_or("comment ends before closing delimiter")?;
            continue;
        }
        let end = close(action).ok_or("unclosed action")?;
        let (mut inside, after) = (&action[..end], &action[end + 2..]);
        let trimming = inside.strip_suffix('-').filter(|inside| inside.ends_with(blank));
        trim = trimming.is_some();
        inside = trimming.unwrap_or(inside);
        pieces.push(Piece::Action(tokens(inside)?));
        rest = after;
    }
}

/// What may stand beside the dash that trims.
fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Where the action ends: at the first `}}` that is in no text.
fn close(action: &str) -> Option<usize> {
    let mut quote = None;
    let mut chars = action.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '"' | '`' | '\'') => quote = Some(c),
            (None, '}') if action[at..].starts_with("}}") => return Some(at),
            (Some('"' | '\''), '\\') => drop(chars.next()),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn tokens(action: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = action.trim();
    while let Some(first) = rest.chars().next() {
        let word =
            rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        let (token, len) = match first {
            '(' => (Token::Open, 1),
            ')' => {
                let (path, len) = path(&rest[1..]);
                tokens.push(Token::Close);
                if len > 0 {
                    tokens.push(Token::Tail(path));
                }
                rest = rest[1 + len..].trim_start();
                continue;
            }
            '|' => (Token::Bar, 1),
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '=' => (Token::Assign, 1),
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let (path, len) = path(rest);
                (Token::Field(path), len.max(1))
            }
            '$' => {
                let name = rest.len()
                    - 1
                    - rest[1..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
                let (path, len) = path(&rest[1 + name..]);
                (Token::Variable(rest[1..=name].to_owned(), path), 1 + name + len)
            }
            '"' | '`' | '\'' => text(rest)?,
            c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let token = match &rest[..word] {
                    "true" => Token::Literal(true.into()),
                    "false" => Token::Literal(false.into()),
                    "nil" => Token::Literal(Value::Null),
                    name => Token::Name(name.to_owned()),
                };
                (token, word)
            }
            c => return Err(format!("unexpected {c:?} in command")),
        };
        tokens.push(token);
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

/// `.A.B`, and its length.
fn path(text: &str) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    let mut rest = text;
    while let Some(field) = rest.strip_prefix('.') {
        let len =
            field.len() - field.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        if len == 0 {
            break;
        }
        path.push(field[..len].to_owned());
        rest = &field[len..];
    }
    (path, text.len() - rest.len())
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let mut len = text.len()
        - text[sign..].trim_start_matches(|c: char| c.is_alphanumeric() || "_.".contains(c)).len();
    // The sign of an exponent.
    if text[..len].ends_with(['e', 'E'])
        && !text[sign..].starts_with("0x")
        && text[len..].starts_with(['+', '-'])
    {
        len = text.len() - text[len + 1..].trim_start_matches(|c: char| c.is_alphanumeric()).len();
    }
    let word = text[..len].replace('_', "");
    let word = word.strip_prefix('+').unwrap_or(&word);
    let (minus, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
    let based = [("0x", 16), ("0o", 8), ("0b", 2)].iter().find_map(|(mark, base)| {
        let digits = digits.strip_prefix(mark).filter(|d| d.starts_with(char::is_alphanumeric))?;
        i64::from_str_radix(digits, *base).ok().map(|n| Value::from(minus * n))
    });
    let value = based
        .or_else(|| word.parse::<i64>().ok().map(Value::from))
        .or_else(|| word.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from));
    let value = value.ok_or_else(|| format!("bad number syntax: {:?}", &text[..len]))?;
    Ok((Token::Literal(value), len))
}

/// A quoted text and its length in the template.
fn text(source: &str) -> Result<(Token, usize), String> {
    let mut chars = source.char_indices();
    let open = chars.next().map(|(_, c)| c);
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        if Some(c) == open {
            let whole = at + c.len_utf8();
            let value = match (open, value.chars().next()) {
                // A sign in single quotes is its number.
                (Some('\''), Some(sign)) => Value::from(u32::from(sign)),
                _ => Value::from(value),
            };
            return Ok((Token::Literal(value), whole));
        }
        if c != '\\' || open == Some('`') {
            value.push(c);
            continue;
        }
        let sign = chars.next().map(|(_, c)| c).and_then(|c| escaped(c, &mut chars));
        value.push(sign.ok_or("unknown escape in a quoted text")?);
    }
    Err("unterminated quoted text".into())
}

/// The sign that `\c` and what follows stand for. Bytes that are no text by
/// themselves are not carried.
fn escaped(c: char, rest: &mut std::str::CharIndices<'_>) -> Option<char> {
    let mut number = |digits: usize| {
        let word = rest.as_str().get(..digits)?;
        let number = u32::from_str_radix(word, 16).ok()?;
        rest.nth(digits - 1)?;
        Some(number)
    };
    match c {
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        'x' => char::from_u32(number(2)?).filter(char::is_ascii),
        'u' => char::from_u32(number(4)?),
        'U' => char::from_u32(number(8)?),
        '"' | '\\' | '\'' => Some(c),
        _ => None,
    }
}

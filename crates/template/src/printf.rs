//! Go's `printf`, with its ways to say what does not fit.
//!
//! ```text
//!   %[flags][width][.precision]verb      flags: + - # 0 and the blank
//! ```
//! Source: the documentation of Go's package fmt.

use super::functions::{LONGEST, kind, plain};
use serde_json::Value;
use std::{iter::Peekable, slice::Iter, str::Chars};

/// Fills a format in.
///
/// # Errors
/// A width or precision that is no length.
pub fn printf(format: &str, words: &[Value]) -> Result<String, String> {
    let mut reader = Reader { chars: format.chars().peekable(), words: words.iter() };
    let mut text = String::new();
    while let Some(c) = reader.chars.next() {
        if c == '%' {
            text.push_str(&reader.verb()?);
        } else {
            text.push(c);
        }
    }
    let more: Vec<String> =
        reader.words.map(|word| format!("{}={}", kind(word), plain(word))).collect();
    if !more.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", more.join(", ")));
    }
    Ok(text)
}

/// How a value is to be laid out.
#[derive(Default)]
struct Layout {
    plus: bool,
    left: bool,
    sharp: bool,
    zero: bool,
    blank: bool,
    width: usize,
    precision: Option<usize>,
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    words: Iter<'a, Value>,
}

impl Reader<'_> {
    /// What stands behind a percent sign, filled in.
    fn verb(&mut self) -> Result<String, String> {
        let mut layout = Layout::default();
        while let Some(flag) = self.chars.next_if(|c| "+-#0 ".contains(*c)) {
            match flag {
                '+' => layout.plus = true,
                '-' => layout.left = true,
                '#' => layout.sharp = true,
                '0' => layout.zero = true,
                _ => layout.blank = true,
            }
        }
        layout.width = self.length()?.unwrap_or(0);
        if self.chars.next_if_eq(&'.').is_some() {
            layout.precision = Some(self.length()?.unwrap_or(0));
        }
        Ok(match self.chars.next() {
            None => "%!(NOVERB)".into(),
            Some('%') => "%".into(),
            Some(verb) => match self.words.next() {
                None => format!("%!{verb}(MISSING)"),
                Some(word) => match layout.shown(verb, word) {
                    Some(text) => text,
                    None => format!("%!{verb}({}={})", kind(word), plain(word)),
                },
            },
        })
    }

    /// Digits, or a star for the next word.
    fn length(&mut self) -> Result<Option<usize>, String> {
        let digits = if self.chars.next_if_eq(&'*').is_some() {
            self.words.next().map(plain).unwrap_or_default()
        } else {
            std::iter::from_fn(|| self.chars.next_if(char::is_ascii_digit)).collect()
        };
        if digits.is_empty() {
            return Ok(None);
        }
        let length = digits.parse().ok().filter(|length| *length <= LONGEST);
        length.map(Some).ok_or_else(|| format!("printf: {digits} is no length"))
    }
}

impl Layout {
    /// A word by a verb; none if it is of another kind.
    fn shown(&self, verb: char, word: &Value) -> Option<String> {
        let text = match (verb, word) {
            ('v', Value::Number(n)) if n.is_f64() && self.precision.is_some() => {
                return Some(self.number(&self.float('g', n.as_f64()?)));
            }
            ('v', Value::Number(_)) => return Some(self.number(&plain(word))),
            ('s', Value::Number(_) | Value::Bool(_)) => return None,
            ('v' | 's', _) => self.cut(&plain(word)),
            ('q', Value::String(text)) => quoted(&self.cut(text)),
            ('q', Value::Array(list)) => {
                let each: Option<Vec<String>> =
                    list.iter().map(|word| self.shown('q', word)).collect();
                format!("[{}]", each?.join(" "))
            }
            ('t', Value::Bool(on)) => on.to_string(),
            ('T', _) => kind(word).to_owned(),
            ('x' | 'X', Value::String(text)) => {
                text.bytes().map(|byte| cased(verb, format!("{byte:02x}"))).collect()
            }
            ('c', Value::Number(n)) => char::from_u32(u32::try_from(n.as_i64()?).ok()?)?.into(),
            ('d' | 'x' | 'X' | 'o' | 'b', Value::Number(n)) => {
                let n = i128::from(n.as_i64()?);
                let (sign, n) = if n < 0 { ("-", -n) } else { ("", n) };
                let mark = if self.sharp { verb } else { 'd' };
                return Some(self.number(&match (verb, mark) {
                    ('x' | 'X', 'x' | 'X') => {
                        format!("{sign}0{verb}{}", cased(verb, format!("{n:x}")))
                    }
                    ('x' | 'X', _) => format!("{sign}{}", cased(verb, format!("{n:x}"))),
                    ('o', _) => format!("{sign}{n:o}"),
                    ('b', _) => format!("{sign}{n:b}"),
                    _ => format!("{sign}{n}"),
                }));
            }
            ('e' | 'f' | 'F' | 'g', Value::Number(n)) if n.is_f64() => {
                return Some(self.number(&self.float(verb, n.as_f64()?)));
            }
            _ => return None,
        };
        Some(self.wide(&text))
    }

    fn float(&self, verb: char, n: f64) -> String {
        match verb {
            'e' => {
                let text = format!("{n:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, exponent) =
                    exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
                format!("{digits}e{sign}{exponent:0>2}")
            }
            'g' => plain(&n.into()),
            _ => format!("{n:.*}", self.precision.unwrap_or(6)),
        }
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    /// With its sign, and zeros between that and the digits.
    fn number(&self, text: &str) -> String {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None if self.plus => ("+", text),
            None if self.blank => (" ", text),
            None => ("", text),
        };
        if self.zero && !self.left {
            let width = self.width.saturating_sub(sign.len());
            format!("{sign}{digits:0>width$}")
        } else {
            self.wide(&format!("{sign}{digits}"))
        }
    }

    fn wide(&self, text: &str) -> String {
        let width = self.width;
        if self.left { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

fn cased(verb: char, text: String) -> String {
    if verb == 'X' { text.to_uppercase() } else { text }
}

/// A text as Go writes it in its source.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(format: &str, words: &Value) -> String {
        printf(format, words.as_array().expect("words")).expect("a good format")
    }

    #[test]
    fn flags_widths_and_verbs_are_gos() {
        let all = "%+d|% d|%05.1f|%8.3s|%-8s|%x|%X|%o|%b|%c|%e|%g|%#x|%*d";
        let words = json!([3, 4, 2.55, "abcdef", "ab", 255, 255, 8, 5, 65, 1.5, 2.0, 10, 4, 7]);
        assert_eq!(
            shown(all, &words),
            "+3| 4|002.5|     abc|ab      |ff|FF|10|101|A|1.500000e+00|2|0xa|   7"
        );
        assert_eq!(
            shown("%x %q %05d %t", &json!(["hi", "é\u{1}\"", -3, true])),
            "6869 \"é\\x01\\\"\" -0003 true"
        );
    }

    #[test]
    fn what_does_not_fit_is_told_in_the_text() {
        assert_eq!(
            shown("%s %d %z %f %d", &json!([1, "a", 1, "b"])),
            "%!s(int=1) %!d(string=a) %!z(int=1) %!f(string=b) %!d(MISSING)"
        );
        assert_eq!(shown("a%", &json!([])), "a%!(NOVERB)");
        assert_eq!(shown("a", &json!([1, "b"])), "a%!(EXTRA int=1, string=b)");
        assert!(printf("%99999999d", &[json!(1)]).is_err());
    }
}

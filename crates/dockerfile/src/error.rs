//! Why a Dockerfile cannot be read, in the words of Docker's own builder:
//! people search the web for them.

use crate::Lines;
use std::fmt;

/// A Dockerfile that cannot be carried out, and the lines at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where, if it is anywhere.
    pub lines: Option<Lines>,
    /// What is wrong.
    pub why: Why,
    /// Found in an instruction that could be told from its neighbours; then
    /// the text says the line.
    pub(crate) inside: bool,
}

impl Error {
    /// Wrong before instructions could be told apart.
    pub(crate) fn text(why: Why, lines: Lines) -> Self {
        Self { lines: Some(lines), why, inside: false }
    }

    /// Wrong in one instruction.
    pub(crate) fn instruction(why: Why, lines: Lines) -> Self {
        Self { lines: Some(lines), why, inside: true }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines {
            Some(lines) if self.inside => {
                write!(f, "dockerfile parse error on line {}: {}", lines.first, self.why)
            }
            _ => write!(f, "{}", self.why),
        }
    }
}

impl std::error::Error for Error {}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Why {
    #[error("file with no instructions")]
    Empty,
    #[error("no build stage in current context")]
    BeforeFrom,
    #[error("the file has no FROM instruction: nothing is to be built")]
    NoStage,
    #[error("unknown instruction: {word}{}", meant(.near.as_deref()))]
    Unknown { word: String, near: Option<String> },
    #[error("only one {0} parser directive can be used")]
    Twice(String),
    #[error("invalid escape token '{0}' does not match ` or \\")]
    Escape(String),
    #[error("unterminated heredoc")]
    Unterminated,
    #[error("{word} cannot accept a heredoc as a destination")]
    DocumentTarget { word: &'static str },
    #[error("unknown flag: --{flag}{}", meant(.near.as_deref()))]
    Flag { flag: String, near: Option<String> },
    #[error("duplicate flag specified: --{0}")]
    FlagTwice(String),
    #[error("missing a value on flag: --{0}")]
    FlagEmpty(String),
    #[error("expecting boolean value for flag --{flag}, not: {value}")]
    FlagBool { flag: String, value: String },
    #[error("flag should start with -- : {0}")]
    FlagShape(String),
    #[error("{0} requires at least one argument")]
    AtLeastOne(&'static str),
    #[error("{0} requires exactly one argument")]
    ExactlyOne(&'static str),
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoTarget(&'static str),
    #[error("{0} names can not be blank")]
    Blank(&'static str),
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    #[error("Syntax error - can't find = in {}. Must be of the form: name=value", quoted(.0))]
    NoEquals(String),
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    #[error("FROM requires either one or three arguments")]
    From,
    #[error(
        "invalid name for build stage: {}, name can't start with a number or contain symbols",
        quoted(.0)
    )]
    StageName(String),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnbuildTwice,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    Trigger(String),
    #[error("HEALTHCHECK NONE takes no arguments")]
    NoneTakes,
    #[error("Missing command after HEALTHCHECK CMD")]
    NoCheck,
    #[error("Unknown type {} in HEALTHCHECK (try CMD)", quoted(.0))]
    CheckType(String),
    #[error("time: invalid duration {}", quoted(.0))]
    Duration(String),
    #[error("Interval {} cannot be less than 1ms", quoted(.0))]
    Interval(&'static str),
    #[error("strconv.ParseInt: parsing {}: invalid syntax", quoted(.0))]
    Retries(String),
    #[error("--retries cannot be negative ({0})")]
    RetriesBelow(i64),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("invalid network mode {}", quoted(.0))]
    Network(String),
    #[error("security {} is not valid", quoted(.0))]
    Security(String),
    #[error("unsupported mount type {}{}", quoted(.0), meant(.1.as_deref()))]
    MountType(String, Option<String>),
    #[error("invalid field '{0}' must be a key=value pair")]
    MountField(String),
    #[error("unexpected key '{key}' in '{field}'{}", meant(.near.as_deref()))]
    MountKey { key: String, field: String, near: Option<String> },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    MountKeyOf { key: String, kind: &'static str },
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    MountFrom,
    #[error("failed to parse csv mounts: a quote is not closed or stands inside a field")]
    MountQuote,
    #[error("invalid value for {key}: {value}")]
    MountValue { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    MountNumber { key: &'static str, value: String },
    #[error("unsupported sharing value {}", quoted(.0))]
    Sharing(String),
    #[error("{key} not allowed for {} type mounts", quoted(.kind))]
    NotAllowed { key: &'static str, kind: &'static str },
    #[error("invalid cache sharing set for {0} mount")]
    SharingOf(&'static str),
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("invalid secret mount. one of source, target required")]
    SecretNameless,
    #[error("both source and id can't be set")]
    SourceAndId,
    #[error("invalid mount target \"/\"")]
    MountTarget,
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    )]
    CopyFrom,
    #[error("failed to process {}: {why}", quoted(.word))]
    Word { word: String, why: WordError },
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum WordError {
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    #[error("syntax error: missing '}}'")]
    Unclosed,
    #[error("syntax error: missing '/' in ${{}}")]
    NoSlash,
    #[error("syntax error: bad substitution")]
    Substitution,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    #[error("invalid pattern ({pattern}) in substitution: invalid escape '\\{escape}'")]
    Pattern { pattern: String, escape: char },
    /// `${name:?message}`.
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    /// Variables that hold variables grow without a bound.
    #[error("it grows beyond {0} bytes")]
    TooLong(usize),
    /// Patterns and values that are both long.
    #[error("its patterns are too long for what they are held against")]
    TooMuch,
    #[error("its substitutions are nested more than {0} deep")]
    TooDeep(usize),
}

/// As Go's `%q` writes it, as far as people's words need it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn meant(near: Option<&str>) -> String {
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// The word that was probably meant: less than three edits away.
pub(crate) fn near(word: &str, known: &[&str]) -> Option<String> {
    // The distance is quadratic, and nobody mistypes a page.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    if known.iter().any(|known| known.to_lowercase() == lower) {
        return None;
    }
    let (distance, best) = known
        .iter()
        .map(|known| (distance(&lower, &known.to_lowercase()), *known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance < 3).then(|| {
        if word.chars().any(char::is_lowercase) { best.to_lowercase() } else { best.to_owned() }
    })
}

/// Insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(x != *y)).min(row[j] + 1).min(above + 1);
            corner = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        assert_eq!(near("RUNN", &["RUN", "ENV"]).as_deref(), Some("RUN"));
        assert_eq!(near("frm", &["FROM"]).as_deref(), Some("from"));
        assert_eq!(near("BANANA", &["RUN", "ENV"]), None);
        assert_eq!(near("run", &["RUN"]), None, "it is no slip");
    }

    #[test]
    fn quotes_are_written_as_go_writes_them() {
        assert_eq!(quoted("a\"b\\c\n\u{1}é"), r#""a\"b\\c\n\x01é""#);
    }
}

//! `.dockerignore`, and the patterns of `--exclude`: which paths of a
//! context stay behind.
//!
//! Patterns are Go's `filepath.Match` with `**` for any number of
//! directories; the last one that matches a path or one of its parents
//! decides, and `!` takes a path back in. That is neither what `.gitignore`
//! does (a pattern without a slash matches at the root alone) nor what
//! globset does (`[!a]` and `{a,b}` are letters here), hence own code.
//!
//! Source: the Dockerfile reference, ".dockerignore file"; Go's
//! `path/filepath` documentation.

use crate::glob::Glob;

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern {0:?}")]
pub struct BadPattern(pub String);

/// Patterns in their order.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// `!`.
    back: bool,
    glob: Glob,
    text: String,
}

impl Ignore {
    /// Reads an ignore file: one pattern a line, `#` lines are comments.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        Self::new(Self::lines(text))
    }

    /// The patterns of an ignore file, cleaned as its reader cleans them.
    pub fn lines(text: &str) -> Vec<String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (back, pattern) = match line.strip_prefix('!') {
                    Some(pattern) => ("!", pattern.trim()),
                    None => ("", line),
                };
                let clean = if pattern.is_empty() { String::new() } else { clean(pattern) };
                let clean = match clean.strip_prefix('/') {
                    Some(rest) if !rest.is_empty() => rest.to_owned(),
                    _ => clean,
                };
                format!("{back}{clean}")
            })
            .collect()
    }

    /// Patterns one by one, as `--exclude` says them.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, BadPattern> {
        let mut rules = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref().trim();
            if pattern.is_empty() {
                continue;
            }
            let text = clean(pattern);
            let (back, text) = match text.strip_prefix('!') {
                Some("") => return Err(BadPattern("!".into())),
                Some(rest) => (true, rest.to_owned()),
                None => (false, text),
            };
            let glob = Glob::read(&text).ok_or_else(|| BadPattern(text.clone()))?;
            rules.push(Rule { back, glob, text });
        }
        Ok(Self { rules })
    }

    /// Nothing is ignored.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a path (relative, parts apart by `/`) stays behind.
    pub fn matches(&self, path: &str) -> bool {
        let mut ignored = false;
        for rule in &self.rules {
            // A rule that would change nothing need not be asked.
            if rule.back != ignored {
                continue;
            }
            if rule.glob.matches(path) || parents(path).any(|up| rule.glob.matches(up)) {
                ignored = !rule.back;
            }
        }
        ignored
    }

    /// Whether an ignored directory has to be looked into all the same: some
    /// `!` pattern may take back what lies in it.
    pub fn may_come_back_below(&self, dir: &str) -> bool {
        let depth = dir.split('/').count();
        self.rules.iter().filter(|rule| rule.back).any(|rule| {
            let parts: Vec<&str> = rule.text.split('/').collect();
            let wild = parts.iter().position(|part| part.contains("**"));
            if wild.is_some_and(|at| at < depth) {
                return true;
            }
            let head = parts[..parts.len().min(depth)].join("/");
            parts.len() > depth && Glob::read(&head).is_some_and(|glob| glob.matches(dir))
        })
    }
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// As Go's `filepath.Clean`: no `.`, no double slashes, `..` resolved in the
/// words alone.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

//! Go's `filepath.Match`, which `COPY` and `ADD` match sources by: `*` and
//! `?` stop at a slash, `[a-z]` and `[^a-z]` are classes, a backslash takes
//! the next letter as it is.
//!
//! Source: <https://pkg.go.dev/path/filepath#Match>.

/// One name's pattern (the part between two slashes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Star,
    Any,
    Letter(char),
    Class { not: bool, ranges: Vec<(char, char)> },
}

/// A pattern that is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern {0:?}")]
pub struct BadPattern(String);

impl Wildcard {
    /// Whether a path holds anything but letters.
    pub fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// # Errors
    /// [`BadPattern`]: an open bracket, an empty range, a lone backslash.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let bad = || BadPattern(text.to_owned());
        let mut parts = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
                // Two are one.
                '*' if parts.last() == Some(&Part::Star) => continue,
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' => Part::Letter(letters.next().ok_or_else(bad)?),
                '[' => {
                    let not = letters.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        if !ranges.is_empty() && letters.next_if_eq(&']').is_some() {
                            break;
                        }
                        let first = member(&mut letters).ok_or_else(bad)?;
                        let last = match letters.next_if_eq(&'-') {
                            Some(_) => member(&mut letters).ok_or_else(bad)?,
                            None => first,
                        };
                        ranges.push((first, last));
                    }
                    Part::Class { not, ranges }
                }
                letter => Part::Letter(letter),
            });
        }
        Ok(Self(parts))
    }

    /// Whether all of `name` fits. The work is at most the product of both
    /// lengths.
    pub fn fits(&self, name: &str) -> bool {
        // Which parts may come next, all at once.
        let mut at = vec![false; self.0.len() + 1];
        at[0] = true;
        self.skip_stars(&mut at);
        for letter in name.chars() {
            let mut next = vec![false; at.len()];
            for (place, part) in self.0.iter().enumerate().filter(|(place, _)| at[*place]) {
                match part {
                    Part::Star if letter != '/' => next[place] = true,
                    part if part.takes(letter) => next[place + 1] = true,
                    _ => {}
                }
            }
            self.skip_stars(&mut next);
            at = next;
        }
        at[self.0.len()]
    }

    fn skip_stars(&self, at: &mut [bool]) {
        for (place, part) in self.0.iter().enumerate() {
            if at[place] && *part == Part::Star {
                at[place + 1] = true;
            }
        }
    }
}

impl Part {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => letter != '/',
            Self::Letter(own) => *own == letter,
            Self::Class { not, ranges } => {
                let inside = ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter));
                inside != *not && letter != '/'
            }
        }
    }
}

/// A letter of a class; `-` and `]` only behind a backslash.
fn member(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match letters.next()? {
        '-' | ']' => None,
        '\\' => letters.next(),
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Wildcard::parse(pattern).expect(pattern).fits(name)
    }

    #[test]
    fn it_matches_as_go_does() {
        // From the table of Go's own tests.
        for (pattern, name, fit) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a\u{263a}b", true),
            ("a[^a]b", "a\u{263a}b", true),
            ("a???b", "a\u{263a}b", false),
            ("[a-\u{3b6}]*", "\u{3b1}", true),
            ("*x", "xxx", true),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn what_go_calls_a_bad_pattern_is_one() {
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\"] {
            assert!(Wildcard::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_are_not_slow() {
        let pattern = "*a".repeat(2000);
        assert!(!fits(&pattern, &"a".repeat(1999)));
    }
}

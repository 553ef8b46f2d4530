//! The patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*`, `?` and escapes,
//! no brackets. Neither `*` nor `?` crosses a line.
//!
//! Matched by walking all states at once: the work of a match is at most the
//! pattern's length times the value's, and there is one for each place of the
//! value where all are replaced. What is left of the [work](WORK) that a word
//! may be is handed through, for both texts may be long and hostile.

use crate::error::WordError;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Star,
    Any,
    Letter(char),
}

/// How often a part of a pattern may be held against a letter, for one word:
/// a fraction of a second.
pub(crate) const WORK: u64 = 1 << 26;

pub(crate) struct Pattern(Vec<Part>);

impl Pattern {
    pub fn read(text: &str) -> Result<Self, WordError> {
        let mut parts = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(c) = letters.next() {
            parts.push(match c {
                // Two stars are one.
                '*' if parts.last() == Some(&Part::Star) => continue,
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' => match letters.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Part::Letter(c),
                    other => {
                        return Err(WordError::Pattern {
                            pattern: text.into(),
                            escape: other.unwrap_or(char::REPLACEMENT_CHARACTER),
                        });
                    }
                },
                c => Part::Letter(c),
            });
        }
        Ok(Self(parts))
    }

    pub fn without_prefix(
        &self,
        value: &str,
        longest: bool,
        work: &mut u64,
    ) -> Result<String, WordError> {
        let value: Vec<char> = value.chars().collect();
        let from = ends(&self.0, &value, longest, work)?.unwrap_or(0);
        Ok(value[from..].iter().collect())
    }

    pub fn without_suffix(
        &self,
        value: &str,
        longest: bool,
        work: &mut u64,
    ) -> Result<String, WordError> {
        let parts: Vec<Part> = self.0.iter().rev().copied().collect();
        let value: Vec<char> = value.chars().rev().collect();
        let from = ends(&parts, &value, longest, work)?.unwrap_or(0);
        Ok(value[from..].iter().rev().collect())
    }

    /// The first match, or all, replaced; no longer than `limit` bytes.
    pub fn replaced(
        &self,
        value: &str,
        new: &str,
        all: bool,
        (limit, work): (usize, &mut u64),
    ) -> Result<String, WordError> {
        let value: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        // Where the last match ended: an empty one right behind it is none.
        let mut behind = None;
        while at <= value.len() && out.len() <= limit {
            match ends(&self.0, &value[at..], true, work)? {
                Some(0) if behind == Some(at) => {}
                Some(length) => {
                    out.push_str(new);
                    at += length;
                    behind = Some(at);
                    if !all {
                        break;
                    }
                    if length > 0 {
                        continue;
                    }
                }
                None => {}
            }
            if let Some(c) = value.get(at) {
                out.push(*c);
            }
            at += 1;
        }
        out.extend(value.get(at..).unwrap_or_default());
        if out.len() > limit { Err(WordError::TooLong(limit)) } else { Ok(out) }
    }
}

/// Where a match that begins with the value ends: the nearest such place, or
/// the farthest.
fn ends(
    parts: &[Part],
    value: &[char],
    longest: bool,
    work: &mut u64,
) -> Result<Option<usize>, WordError> {
    let letter = parts.len() as u64 + 1;
    // `live[i]`: the parts before i are matched.
    let mut live = vec![false; parts.len() + 1];
    live[0] = true;
    skip_stars(parts, &mut live);
    let mut best = live[parts.len()].then_some(0);
    for (at, c) in value.iter().enumerate() {
        if best.is_some() && !longest {
            break;
        }
        *work = work.checked_sub(letter).ok_or(WordError::TooMuch)?;
        let mut next = vec![false; parts.len() + 1];
        for (i, part) in parts.iter().enumerate().filter(|(i, _)| live[*i]) {
            match part {
                Part::Star if *c != '\n' => next[i] = true,
                Part::Any if *c != '\n' => next[i + 1] = true,
                Part::Letter(letter) if letter == c => next[i + 1] = true,
                _ => {}
            }
        }
        skip_stars(parts, &mut next);
        if !next.contains(&true) {
            break;
        }
        live = next;
        if live[parts.len()] {
            best = Some(at + 1);
        }
    }
    Ok(best)
}

/// A star may be nothing.
fn skip_stars(parts: &[Part], live: &mut [bool]) {
    for (i, part) in parts.iter().enumerate() {
        if live[i] && *part == Part::Star {
            live[i + 1] = true;
        }
    }
}

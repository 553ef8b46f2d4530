//! One pattern, matched against a whole path by walking all its states at
//! once: the work is at most the pattern's length times the path's.

#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Any text without a slash.
    Star,
    /// Any text.
    Deep,
    /// `**/`, where it is entered: what follows may come at once.
    Dirs,
    /// Inside of it: any text that ends with a slash.
    InDirs,
    /// One character but a slash.
    Any,
    Letter(char),
    /// `[a-c]`, `[^a]`.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Glob(Vec<Part>);

impl Glob {
    /// None if it is no pattern: a class without its end, an escape without a
    /// letter.
    pub fn read(text: &str) -> Option<Self> {
        let letters: Vec<char> = text.chars().collect();
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(c) = letters.get(at) {
            at += 1;
            match c {
                '*' if letters.get(at) == Some(&'*') => {
                    at += 1;
                    let slash = letters.get(at) == Some(&'/');
                    at += usize::from(slash);
                    // At the end all is taken; before more, whole directories.
                    // Docker takes `**.o` by the end of the name alone.
                    let rest = &letters[at..];
                    let plain = at == 2 && !rest.iter().any(|c| "*?[]\\".contains(*c));
                    if rest.is_empty() || plain {
                        parts.push(Part::Deep);
                    } else {
                        parts.extend([Part::Dirs, Part::InDirs]);
                    }
                }
                '*' => parts.push(Part::Star),
                '?' => parts.push(Part::Any),
                '\\' => {
                    parts.push(Part::Letter(*letters.get(at)?));
                    at += 1;
                }
                '[' => parts.push(class(&letters, &mut at)?),
                c => parts.push(Part::Letter(*c)),
            }
        }
        Some(Self(parts))
    }

    pub fn matches(&self, path: &str) -> bool {
        let parts = &self.0;
        let mut live = vec![false; parts.len() + 1];
        live[0] = true;
        self.skip(&mut live);
        for c in path.chars() {
            let mut next = vec![false; parts.len() + 1];
            for (i, part) in parts.iter().enumerate().filter(|(i, _)| live[*i]) {
                match part {
                    Part::Star if c != '/' => next[i] = true,
                    Part::Deep => next[i] = true,
                    Part::InDirs => {
                        next[i] = true;
                        next[i + 1] |= c == '/';
                    }
                    Part::Any if c != '/' => next[i + 1] = true,
                    Part::Letter(letter) if *letter == c => next[i + 1] = true,
                    Part::Class { not, ranges } if c != '/' => {
                        let inside = ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
                        next[i + 1] |= inside != *not;
                    }
                    _ => {}
                }
            }
            self.skip(&mut next);
            if !next.contains(&true) {
                return false;
            }
            live = next;
        }
        live[parts.len()]
    }

    /// What may be nothing is passed over.
    fn skip(&self, live: &mut [bool]) {
        for (i, part) in self.0.iter().enumerate().filter(|(_, part)| **part != Part::InDirs) {
            match part {
                Part::Star | Part::Deep => live[i + 1] |= live[i],
                Part::Dirs if live[i] => {
                    live[i + 1] = true;
                    live[i + 2] = true;
                }
                _ => {}
            }
        }
    }
}

/// After `[`.
fn class(letters: &[char], at: &mut usize) -> Option<Part> {
    let not = letters.get(*at) == Some(&'^');
    *at += usize::from(not);
    let mut ranges = Vec::new();
    loop {
        // An end before any letter is no end: `[]` is no pattern.
        if letters.get(*at) == Some(&']') && !ranges.is_empty() {
            *at += 1;
            return Some(Part::Class { not, ranges });
        }
        let from = letter(letters, at)?;
        let to = if letters.get(*at) == Some(&'-') {
            *at += 1;
            letter(letters, at)?
        } else {
            from
        };
        ranges.push((from, to));
    }
}

fn letter(letters: &[char], at: &mut usize) -> Option<char> {
    let c = *letters.get(*at)?;
    *at += 1;
    match c {
        '-' | ']' => None,
        '\\' => {
            let c = *letters.get(*at)?;
            *at += 1;
            Some(c)
        }
        c => Some(c),
    }
}

//! Shell patterns over slash-separated names: `*`, `?`, `[a-z]`, `[^a]` and
//! `\x`; a star and a question mark end at a slash.

/// Does the whole of `text` fit? A malformed pattern fits nothing.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and what it has swallowed up to.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(len) = one(&pattern[p..], text[t]) {
            p += len;
            t += 1;
        } else if let Some((at, swallowed)) = star.filter(|(_, s)| text[*s] != '/') {
            star = Some((at, swallowed + 1));
            (p, t) = (at + 1, swallowed + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of the pattern's first element, if it fits the character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => (c != '/').then_some(1),
        '\\' => (*pattern.get(1)? == c).then_some(2),
        '[' => set(pattern, c),
        literal => (literal == c).then_some(1),
    }
}

/// `[a-z]` or `[^a-z]`.
fn set(pattern: &[char], c: char) -> Option<usize> {
    let negated = pattern.get(1) == Some(&'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    let start = at;
    while *pattern.get(at)? != ']' || at == start {
        let low = *pattern.get(at)?;
        let high = if pattern.get(at + 1) == Some(&'-') && pattern.get(at + 2) != Some(&']') {
            at += 2;
            *pattern.get(at)?
        } else {
            low
        };
        found |= (low..=high).contains(&c);
        at += 1;
    }
    (found != negated && c != '/').then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_means_what_it_says() {
        for (pattern, text) in [
            ("a*c", "abbc"),
            ("*", ""),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[^a-c]x", "dx"),
            ("\\*", "*"),
            ("*b*d", "abcd"),
            ("a/*/c", "a/b/c"),
            ("**", "ab"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a*c", "abb"), ("*", "a/b"), ("a?c", "a/c"), ("[a-c", "a"), ("", "a"), ("\\", "\\")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_spiteful_pattern_costs_little() {
        assert!(!fits(&"a*".repeat(200), &"a".repeat(199).replace("aa", "ab")));
        assert!(!fits(&"*a".repeat(500), &"b".repeat(5000)));
    }
}

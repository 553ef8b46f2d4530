//! `COPY --chmod`: octal, or symbolic as chmod(1) takes it.

/// What becomes of a file's mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chmod(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Exactly(u32),
    Changes(Vec<Change>),
}

/// `go+rX`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// Bits of user, group and others that are spoken of.
    whom: u32,
    sign: char,
    /// `rwxst` for all three, masked by `whom`.
    what: u32,
    /// `X`: execution only for directories and what can be executed already.
    search: bool,
}

impl Chmod {
    /// # Errors
    /// The text, if it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and \
                 07777, or symbolic as u=rwX,go=rX"
            )
        };
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self(Rule::Exactly(mode))),
                _ => Err(bad()),
            };
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let at = clause.find(['+', '-', '=']).ok_or_else(bad)?;
            let mut whom = 0;
            for who in clause[..at].chars() {
                whom |= match who {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    'o' => 0o1007,
                    'a' => 0o7777,
                    _ => return Err(bad()),
                };
            }
            let whom = if whom == 0 { 0o7777 } else { whom };
            let mut rest = &clause[at..];
            while let Some(sign) = rest.chars().next() {
                rest = &rest[1..];
                let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
                let (mut what, mut search) = (0, false);
                for letter in rest[..end].chars() {
                    match letter {
                        'r' => what |= 0o444,
                        'w' => what |= 0o222,
                        'x' => what |= 0o111,
                        'X' => search = true,
                        's' => what |= 0o6000,
                        't' => what |= 0o1000,
                        _ => return Err(bad()),
                    }
                }
                changes.push(Change { whom, sign, what, search });
                rest = &rest[end..];
            }
        }
        Ok(Self(Rule::Changes(changes)))
    }

    /// The new mode of a file or directory of that mode.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match &self.0 {
            Rule::Exactly(mode) => *mode,
            Rule::Changes(changes) => changes.iter().fold(mode & 0o7777, |mode, change| {
                let search = change.search && (is_dir || mode & 0o111 != 0);
                let what = (change.what | if search { 0o111 } else { 0 }) & change.whom;
                match change.sign {
                    '+' => mode | what,
                    '-' => mode & !what,
                    _ => (mode & !(change.whom & 0o777)) | what,
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, mode: u32, is_dir: bool) -> u32 {
        Chmod::parse(text).expect(text).apply(mode, is_dir)
    }

    #[test]
    fn octal_is_the_mode_itself() {
        assert_eq!(applied("755", 0o600, false), 0o755);
        assert_eq!(applied("4755", 0o600, false), 0o4755);
        for bad in ["888", "77777", "", "rwx", "z+x", "u+q", "u~x"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn symbols_are_those_of_chmod() {
        assert_eq!(applied("u=rwX,go=rX", 0o600, false), 0o644);
        assert_eq!(applied("u=rwX,go=rX", 0o600, true), 0o755);
        assert_eq!(applied("u=rwX,go=rX", 0o700, false), 0o755);
        assert_eq!(applied("+x", 0o644, false), 0o755);
        assert_eq!(applied("g-w,o=", 0o775, false), 0o750);
        assert_eq!(applied("u+s", 0o755, false), 0o4755);
        assert_eq!(applied("a=r,u+w", 0o777, false), 0o644);
    }
}

//! `# check=`: which of the warnings of a Dockerfile are shown, and whether
//! one of them ends the build.
//!
//! Source: Docker's "Build checks"; the words are BuildKit's.

use dockerfile::Warning;

/// What the author said of warnings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Rules that are passed over; `all` is every rule.
    skip: Vec<String>,
    /// A warning ends the build.
    error: bool,
}

impl Checks {
    /// Reads `skip=RULE,…;error=true`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut checks = Self::default();
        let wrong = |what: String| Err(format!("failed to parse check options: {what}"));
        if text.trim().is_empty() {
            return Ok(checks);
        }
        for option in text.split(';').map(str::trim) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name.trim() {
                "skip" if option.contains('=') => {
                    checks.skip = value.split(',').map(|rule| rule.trim().to_owned()).collect();
                }
                // Rules that are on only when asked for: there are none here.
                "experimental" if option.contains('=') => {}
                "error" => match value.trim() {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => checks.error = true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => checks.error = false,
                    _ => {
                        let words = format!("failed to parse check option {option:?}");
                        return wrong(format!("{words}: true or false is wanted"));
                    }
                },
                name => return wrong(format!("invalid check option {name:?}")),
            }
        }
        Ok(checks)
    }

    /// Those of the warnings that are shown.
    pub fn shown<'a>(&self, warnings: &'a [Warning]) -> Vec<&'a Warning> {
        let passed = |rule: &str| self.skip.iter().any(|skip| skip == "all" || skip == rule);
        warnings.iter().filter(|warning| !passed(warning.rule)).collect()
    }

    /// Why the build ends, if these end it.
    pub fn ends(&self, shown: &[&Warning]) -> Option<String> {
        if !self.error || shown.is_empty() {
            return None;
        }
        let mut rules: Vec<&str> = Vec::new();
        for warning in shown {
            if !rules.contains(&warning.rule) {
                rules.push(warning.rule);
            }
        }
        Some(format!("lint violation found for rules: {}", rules.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dockerfile::Lines;

    fn told(text: &str) -> Result<(Vec<&'static str>, Option<String>), String> {
        let warning = |rule| Warning { rule, text: String::new(), lines: Lines::default() };
        let warnings = [warning("A"), warning("B"), warning("B")];
        let checks = Checks::parse(text)?;
        let shown = checks.shown(&warnings);
        Ok((shown.iter().map(|warning| warning.rule).collect(), checks.ends(&shown)))
    }

    #[test]
    fn warnings_are_shown_passed_over_or_the_end() {
        assert_eq!(told(""), Ok((vec!["A", "B", "B"], None)));
        assert_eq!(told("skip=A, C"), Ok((vec!["B", "B"], None)));
        assert_eq!(told("skip=all;error=true"), Ok((vec![], None)));
        let ends = |rules: &str| Some(format!("lint violation found for rules: {rules}"));
        assert_eq!(told("error=true;experimental=all"), Ok((vec!["A", "B", "B"], ends("A, B"))));
        assert_eq!(told("skip=A;error=1"), Ok((vec!["B", "B"], ends("B"))));
        assert_eq!(told("skip=all;error=0"), Ok((vec![], None)));
    }

    #[test]
    fn what_is_no_option_is_told() {
        let words = |text: &str| told(text).expect_err(text);
        assert_eq!(words("foo=1"), "failed to parse check options: invalid check option \"foo\"");
        assert_eq!(words("skip"), "failed to parse check options: invalid check option \"skip\"");
        assert!(words("error=maybe").contains("failed to parse check option \"error=maybe\""));
    }
}

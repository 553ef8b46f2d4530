//! One line of the report, and the table.

use std::{fmt::Write as _, io};

/// What one attempt came to.
pub struct Row {
    /// The requirement, e.g. `FS-2`.
    pub id: &'static str,
    /// What was tried, in words.
    pub tried: String,
    /// What the kernel answered, in words.
    pub answer: String,
    /// The container is as confined as the requirement asks.
    pub held: bool,
}

impl Row {
    /// An attempt that must fail: any error holds the line.
    pub fn refused<T>(id: &'static str, tried: impl Into<String>, got: io::Result<T>) -> Self {
        let held = got.is_err();
        let answer = got.map_or_else(|error| said(&error), |_| "let it through".to_owned());
        Self { id, tried: tried.into(), answer, held }
    }

    /// A look at something that must be as it should be.
    pub fn seen(id: &'static str, tried: &str, answer: String, held: bool) -> Self {
        Self { id, tried: tried.to_owned(), answer, held }
    }
}

/// The kernel's words without the number.
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// All rows in columns.
pub fn table(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> &str| rows.iter().map(|r| of(r).len()).max().unwrap_or(0);
    let (id, tried) = (width(|r| r.id), width(|r| &r.tried));
    let mut text = format!("{:id$}  {:tried$}  HELD  KERNEL\n", "LINE", "TRIED");
    for row in rows {
        let held = if row.held { "yes" } else { "NO" };
        let _ = writeln!(text, "{:id$}  {:tried$}  {held:4}  {}", row.id, row.tried, row.answer);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lets_through_does_not_hold() {
        let row = Row::refused("FS-3", "mount a tmpfs", Ok(()));
        assert!(!row.held);
        assert!(table(&[row]).contains("FS-3  mount a tmpfs  NO    let it through"));
    }

    #[test]
    fn a_refusal_holds_and_says_the_kernels_words() {
        let row = Row::refused::<()>("FS-3", "x", Err(io::Error::from_raw_os_error(1)));
        assert!(row.held);
        assert_eq!(row.answer, "Operation not permitted");
    }
}

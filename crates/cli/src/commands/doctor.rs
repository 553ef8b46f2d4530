//! `doctor`: what this machine lacks.

use crate::{
    client::Client,
    error::Outcome,
    show::{self, plain},
    words::Format,
};
use serde_json::Value;

/// Prints what was looked at, and below it each lack with its cost and its
/// remedy. The exit code is 1 if containers are refused for one.
pub async fn run(client: &Client, words: Format) -> Outcome {
    let rows: Value = client.get("/cofferdam/doctor").await?;
    let refusing = list(&rows).any(|row| row["State"] == "refusing");
    let text = match words.format.as_deref() {
        Some(format) => show::document(&rows, Some(format))?,
        None => text(&rows),
    };
    show::print(&text)?;
    Ok(u8::from(refusing))
}

fn list(rows: &Value) -> impl Iterator<Item = &Value> {
    rows.as_array().into_iter().flatten()
}

fn text(rows: &Value) -> String {
    let width = list(rows).map(|row| plain(&row["Check"]).len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in list(rows) {
        let state = match plain(&row["State"]).as_str() {
            "ok" => "ok  ",
            "refusing" => "NO  ",
            _ => "less",
        };
        let (check, found) = (plain(&row["Check"]), plain(&row["Found"]));
        text.push_str(&format!("{state}  {check:width$}  {found}\n"));
        for (label, key) in [("because", "Cost"), ("hint", "Remedy")] {
            let words = plain(&row[key]);
            if !words.is_empty() {
                text.push_str(&format!("      {label}: {words}\n"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lack_stands_with_its_cost_and_its_remedy() {
        let rows = json!([
            {"Check": "kernel", "State": "ok", "Found": "6.12", "Cost": "", "Remedy": ""},
            {"Check": "seccomp", "State": "refusing", "Found": "not there", "Cost": "a", "Remedy": "b"},
        ]);
        let wanted =
            "ok    kernel   6.12\nNO    seccomp  not there\n      because: a\n      hint: b\n";
        assert_eq!(text(&rows), wanted);
    }
}

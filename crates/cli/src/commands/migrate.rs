//! `migrate`: what a stopped Docker has, taken over.

use crate::{
    client::{Client, query},
    error::Outcome,
    show::{self, plain},
    words::Migrate,
};
use serde_json::{Value, json};

/// Has the engine take images and volumes, and makes the containers that it
/// says there were. The exit code is 1 if anything was refused.
pub async fn run(client: &Client, words: Migrate) -> Outcome {
    let on = |flag| if flag { "1" } else { "" };
    let (dry, moves) = (on(words.dry_run), on(words.moves));
    let asked = query(&[("root", words.root.as_str()), ("dry", dry), ("move", moves)]);
    let mut rows: Vec<Value> =
        client.post(&format!("/cofferdam/migrate{asked}"), &json!({})).await?;
    for row in &mut rows {
        let Some(body) = row.as_object_mut().and_then(|row| row.remove("Create")) else { continue };
        if words.dry_run {
            continue;
        }
        let name = plain(&row["Name"]);
        let path = format!("/containers/create{}", query(&[("name", name.as_str())]));
        match client.post::<Value>(&path, &body).await {
            Ok(_) => row["Outcome"] = json!("taken"),
            // What the engine does not carry stops no other.
            Err(error) => {
                row["Outcome"] = json!("refused");
                row["Words"] = json!(said(&error));
            }
        }
    }
    let refused = rows.iter().any(|row| row["Outcome"] == "refused");
    if let Some(format) = &words.format {
        show::print(&show::document(&json!(rows), Some(format))?)?;
    } else {
        show::print(&rows.iter().map(line).collect::<String>())?;
        show::print(&sum(&rows))?;
    }
    Ok(u8::from(refused))
}

/// An error and its causes in one line.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn line(row: &Value) -> String {
    let outcome = match plain(&row["Outcome"]).as_str() {
        "taken" => "taken   ",
        "here" => "is here ",
        "possible" => "can be  ",
        _ => "REFUSED ",
    };
    let (kind, name, words) = (plain(&row["Kind"]), plain(&row["Name"]), plain(&row["Words"]));
    let words = if words.is_empty() { words } else { format!("          {words}\n") };
    format!("{outcome}  {}\n{words}", format!("{kind} {name}").trim_end())
}

fn sum(rows: &[Value]) -> String {
    let count = |word: &str| rows.iter().filter(|row| row["Outcome"] == word).count();
    format!(
        "{} taken, {} were here, {} can be taken, {} refused\n",
        count("taken"),
        count("here"),
        count("possible"),
        count("refused")
    )
}

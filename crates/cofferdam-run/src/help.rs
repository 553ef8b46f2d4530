//! The help, laid out from the table of words.

use crate::{
    args::{Flag, Takes},
    words::{GLOBALS, VERBS, Verb},
};
use std::fmt::Write as _;

const NAME: &str = "cofferdam-run";

/// Of the program.
pub fn program() -> String {
    let verbs: Vec<(String, &str)> =
        VERBS.iter().map(|verb| (verb.name.to_owned(), verb.about)).collect();
    format!(
        "NAME:\n   {NAME} - runs containers from OCI bundles\n\n\
         USAGE:\n   {NAME} [global options] command [command options] [arguments...]\n\n\
         COMMANDS:\n{}\nGLOBAL OPTIONS:\n{}",
        columns(&verbs),
        columns(&options(GLOBALS)),
    )
}

/// Of one verb.
pub fn verb(verb: &Verb) -> String {
    let options_word = if verb.flags.is_empty() { "" } else { " [command options]" };
    let mut text = format!(
        "NAME:\n   {NAME} {} - {}\n\nUSAGE:\n   {NAME} {}{options_word} {}\n",
        verb.name, verb.about, verb.name, verb.arguments,
    );
    if !verb.flags.is_empty() {
        let _ = write!(text, "\nOPTIONS:\n{}", columns(&options(verb.flags)));
    }
    text
}

/// Of the program: what callers read the version of the specification from.
pub fn version() -> String {
    format!(
        "{NAME} version {}\ncommit: {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("COFFERDAM_COMMIT").unwrap_or("unknown"),
        crate::SPEC,
    )
}

fn options(flags: &[Flag]) -> Vec<(String, &'static str)> {
    let value = |flag: &Flag| if flag.takes == Takes::Value { " value" } else { "" };
    flags
        .iter()
        .map(|flag| {
            let mut text = format!("--{}{}", flag.long, value(flag));
            if let Some(short) = flag.short {
                let _ = write!(text, ", -{short}{}", value(flag));
            }
            (text, flag.about)
        })
        .collect()
}

fn columns(rows: &[(String, &str)]) -> String {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (left, right) in rows {
        let _ = writeln!(text, "   {left:width$}  {right}");
    }
    text
}

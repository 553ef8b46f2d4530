//! Man pages, made from the table of words: one for each command, in the
//! language of man(7).

use crate::{
    error::{Error, Outcome},
    words::Words,
};
use clap::{Arg, Command, CommandFactory as _};
use std::{fmt::Write as _, fs, path::Path};

/// Writes all pages into a directory, which is made if it is not there.
///
/// # Errors
/// What the file system refused.
pub fn write(directory: &Path) -> Outcome {
    let failed = |doing, path: &Path| {
        let what = path.display().to_string();
        move |source| Error::Host { doing, what, source }
    };
    fs::create_dir_all(directory).map_err(failed("make", directory))?;
    for (name, text) in pages() {
        let path = directory.join(format!("{name}.1"));
        fs::write(&path, text).map_err(failed("write", &path))?;
    }
    Ok(0)
}

/// Their names and texts.
fn pages() -> Vec<(String, String)> {
    let mut table = Words::command();
    table.build();
    let mut pages = Vec::new();
    walk(&table, "cofferdam", &mut pages);
    pages
}

fn walk(command: &Command, name: &str, pages: &mut Vec<(String, String)>) {
    pages.push((name.replace(' ', "-"), page(command, name)));
    for below in shown(command) {
        walk(below, &format!("{name} {}", below.get_name()), pages);
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

fn page(command: &Command, name: &str) -> String {
    let dashed = name.replace(' ', "-");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!(
        ".TH {} 1 \"\" \"Cofferdam {}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n\\fB{}\\fR",
        escaped(&dashed.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
        escaped(&dashed),
        escaped(&about),
        escaped(name)
    );
    let options: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
    if !options.is_empty() {
        text.push_str(" [\\fIOPTION\\fR...]");
    }
    if command.has_subcommands() {
        text.push_str(" \\fICOMMAND\\fR");
    }
    for arg in command.get_positionals() {
        let word = format!("\\fI{}\\fR", escaped(&value(arg)));
        let many = if matches!(arg.get_action(), clap::ArgAction::Append) { "..." } else { "" };
        let _ = if arg.is_required_set() {
            write!(text, " {word}{many}")
        } else {
            write!(text, " [{word}{many}]")
        };
    }
    text.push('\n');
    if command.has_subcommands() {
        text.push_str(".SH COMMANDS\n");
        for below in shown(command) {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            let page = format!("{dashed}-{}", below.get_name());
            let _ = writeln!(text, ".TP\n\\fB{}\\fR(1)\n{}", escaped(&page), escaped(&about));
        }
    }
    if !options.is_empty() {
        text.push_str(".SH OPTIONS\n");
        for option in options {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, ".TP\n{}\n{}", spelt(option), escaped(&help));
        }
    }
    text
}

/// What an argument's value is called.
fn value(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(|names| names.first());
    name.map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

/// `-f`, `--filter` and its value.
fn spelt(option: &Arg) -> String {
    let short = option.get_short().map(|letter| format!("\\fB\\-{letter}\\fR"));
    let long = option.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", escaped(long)));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    let takes = option.get_action().takes_values() && !option.is_require_equals_set();
    if takes { format!("{names} \\fI{}\\fR", escaped(&value(option))) } else { names }
}

/// As text that begins no request and has no sign of the formatter's own.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let quoted = |line: &str| {
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
    };
    text.lines().map(quoted).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_words() {
        let pages = pages();
        let page = |name: &str| {
            let found = pages.iter().find(|(known, _)| known == name);
            &found.unwrap_or_else(|| panic!("no page {name}")).1
        };
        let run = page("cofferdam-run");
        assert!(run.starts_with(".TH COFFERDAM\\-RUN 1 "), "{run}");
        for words in ["\\fB\\-\\-cap\\-add\\fR \\fINAME\\fR", "\\fIIMAGE\\fR", ".SH OPTIONS"] {
            assert!(run.contains(words), "{words}: {run}");
        }
        assert!(page("cofferdam").contains("\\fBcofferdam\\-volume\\fR(1)"));
        assert!(page("cofferdam-volume-create").contains("\\fBcofferdam volume create\\fR"));
    }

    #[test]
    fn a_line_is_never_taken_for_a_request() {
        assert_eq!(escaped(".so x\n'x\\y"), "\\&.so x\n\\&'x\\ey");
    }
}

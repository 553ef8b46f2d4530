//! The isolation report: the program of the built-in image.
//!
//! Runs as PID 1 of a container, tries for each kind of isolation what an
//! attacker would try first, and prints one row each: the requirement, what
//! was tried, what the kernel answered, and whether the line held. Exits with
//! the number of lines that did not hold.
//!
//! Everything it does is harmless where it succeeds after all, so that it can
//! also be run in a deliberately weakened container to see the rows fail.

mod arp;
mod attempts;
mod row;

use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    let rows = attempts::all();
    let open = rows.iter().filter(|row| !row.held).count();
    let mut text = row::table(&rows);
    text.push_str(&summary(open, rows.len()));
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(125);
    }
    ExitCode::from(u8::try_from(open).unwrap_or(u8::MAX))
}

fn summary(open: usize, all: usize) -> String {
    match open {
        0 => format!("\nall {all} lines held\n"),
        n => format!("\n{n} of {all} lines did not hold\n"),
    }
}

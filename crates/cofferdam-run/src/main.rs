//! cofferdam-run.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(word) if word == "monitor" => monitor::main(),
        _ => ExitCode::FAILURE,
    }
}

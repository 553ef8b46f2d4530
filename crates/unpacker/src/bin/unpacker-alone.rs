//! The unpacker without a daemon's program around it: for the tests beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(2).collect();
    unpacker::main(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

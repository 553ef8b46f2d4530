//! The resolver without a daemon's program around it: for the tests beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let user = std::env::args().nth(2).unwrap_or_default();
    resolver::main(&user)
}

//! A monitor without the rest of `cofferdam-run`, for this room's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    monitor::main()
}

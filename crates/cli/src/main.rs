//! The `cofferdam` program: a person's words to HTTP and back.
//!
//! It knows no container: it turns words into requests of the Docker Engine
//! API, which any engine of that API could answer, and draws the answers with
//! Docker's columns. What is our own (`audit`) is a path of its own.

mod client;
mod commands;
mod complete;
mod context;
mod credentials;
mod daemon;
mod error;
mod man;
mod place;
mod progress;
mod request;
mod show;
mod ssh;
mod streams;
mod terminal;
mod tls;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let typed: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if typed.get(1).is_some_and(|word| word == complete::WORD) {
        return in_time(complete::answer(&typed[2..]));
    }
    let words = match words::read(&typed) {
        Ok(words) => words,
        Err(words::Unread::Help(text)) => return report(show::print(&text).map(|()| 0)),
        Err(words::Unread::Wrong(error)) => return report(Err(error)),
    };
    in_time(commands::run(words))
}

/// Runs what waits for sockets and clocks.
fn in_time(work: impl Future<Output = error::Outcome>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(work);
            // A read of the terminal may still be waiting for a key.
            runtime.shutdown_background();
            outcome
        }
        Err(source) => {
            Err(error::Error::Host { doing: "start", what: "the event loop".into(), source })
        }
    };
    report(outcome)
}

fn report(outcome: error::Outcome) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprint!("{}", error.report());
            ExitCode::from(error.code())
        }
    }
}

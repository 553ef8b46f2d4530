//! The terminal in front of the person.
//!
//! [`Raw`] passes every key on as it is, and puts things back when dropped.

use rustix::termios::{self, OptionalActions, Termios};
use std::io::{IsTerminal as _, stdin, stdout};

/// Whether keys can be read from the input.
pub fn is_input() -> bool {
    stdin().is_terminal()
}

/// Columns and rows of the output's terminal; none if it is no terminal.
pub fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// What is typed is not shown, for as long as this lives.
pub struct Quiet(Termios);

impl Quiet {
    /// Stops the echo, if the input is a terminal.
    pub fn on() -> Option<Self> {
        let before = termios::tcgetattr(stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(termios::LocalModes::ECHO);
        termios::tcsetattr(stdin(), OptionalActions::Now, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nobody is left to be told if the terminal is gone.
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Raw mode, for as long as this lives.
pub struct Raw(Termios);

impl Raw {
    /// Turns raw mode on, if the input is a terminal.
    pub fn on() -> Option<Self> {
        let before = termios::tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody is left to be told if the terminal is gone.
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

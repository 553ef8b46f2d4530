//! How a pull, push or load goes: lines as they come, and on a terminal one
//! line a layer, with a bar that grows.

use crate::{
    error::{Error, Outcome},
    show, terminal,
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};

/// Signs of a whole bar; Docker's.
const BAR: usize = 50;
/// A terminal with fewer columns has no room for one.
const ROOM: u16 = 110;

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// On the output.
    Out,
    /// Beside it, where the output is a program's.
    Err,
    /// Nowhere: only errors count.
    Nowhere,
}

/// Draws a stream of progress messages to its end.
///
/// # Errors
/// The last one is an error; the answer breaks off.
pub async fn draw(body: Incoming, to: To) -> Outcome {
    let mut board = Board::on(to);
    each(body, |message| show_one(&message, &mut board, to)).await?;
    Ok(0)
}

/// Takes a stream of progress messages apart, to its end.
///
/// # Errors
/// The first of `take`; what is no message; the answer breaks off.
pub async fn each(mut body: Incoming, mut take: impl FnMut(Value) -> Outcome<()>) -> Outcome<()> {
    let mut one = |line: &[u8]| {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        take(serde_json::from_slice(line).map_err(|e| Error::Answer("progress".into(), e))?)
    };
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Error::Broken)?;
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            one(&line)?;
        }
    }
    one(&rest)
}

fn show_one(message: &Value, board: &mut Board, to: To) -> Outcome<()> {
    if let Some(error) = message["error"].as_str() {
        return Err(Error::Engine { status: 500, message: error.to_owned() });
    }
    let text = board.text(message);
    match to {
        To::Out => show::print(&text),
        To::Err => {
            let mut err = std::io::stderr();
            err.write_all(text.as_bytes()).and_then(|()| err.flush()).map_err(|source| {
                Error::Host { doing: "write", what: "the error output".into(), source }
            })
        }
        To::Nowhere => Ok(()),
    }
}

/// The lines of layers that are on the terminal, from the first.
pub struct Board {
    tty: bool,
    bars: bool,
    lines: Vec<String>,
}

impl Board {
    /// An empty one.
    pub fn on(to: To) -> Self {
        let tty = match to {
            To::Out => std::io::stdout().is_terminal(),
            To::Err => std::io::stderr().is_terminal(),
            To::Nowhere => false,
        };
        let bars = terminal::size().is_some_and(|(columns, _)| columns >= ROOM);
        Self { tty, bars, lines: Vec::new() }
    }

    /// What to write for a message.
    pub fn text(&mut self, message: &Value) -> String {
        if let Some(text) = message["stream"].as_str() {
            return text.to_owned();
        }
        let (id, status) = (show::plain(&message["id"]), show::plain(&message["status"]));
        if status.is_empty() {
            return String::new();
        }
        let detail = &message["progressDetail"];
        let bytes = detail["current"].as_u64().zip(detail["total"].as_u64());
        if id.is_empty() {
            self.lines.clear();
            return format!("{status}\n");
        }
        if !self.tty {
            return if bytes.is_some() { String::new() } else { format!("{id}: {status}\n") };
        }
        if detail.is_null() {
            self.lines.clear();
            return format!("{id}: {status}\n");
        }
        let line = match bytes {
            Some((done, all)) => format!("{id}: {status} {}", self.bar(done, all)),
            None => format!("{id}: {status}"),
        };
        let Some(at) = self.lines.iter().position(|known| *known == id) else {
            self.lines.push(id);
            return format!("{line}\n");
        };
        let up = self.lines.len() - at;
        format!("\x1b[{up}A\r\x1b[2K{line}\r\x1b[{up}B")
    }

    fn bar(&self, done: u64, all: u64) -> String {
        let figures = format!("{}/{}", show::size(done), show::size(all));
        if !self.bars || all == 0 {
            return figures;
        }
        let share = u128::from(done.min(all)) * BAR as u128 / u128::from(all);
        let full = usize::try_from(share).unwrap_or(BAR);
        let head = if full < BAR { ">" } else { "" };
        let left = BAR - full - head.len();
        format!("[{}{head}{}]  {figures}", "=".repeat(full), " ".repeat(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(id: &str, status: &str, bytes: Option<(u64, u64)>) -> Value {
        let detail = bytes.map_or(json!({}), |(done, all)| json!({"current": done, "total": all}));
        json!({"id": id, "status": status, "progressDetail": detail})
    }

    #[test]
    fn on_a_terminal_a_layer_keeps_its_line() {
        let mut board = Board { tty: true, bars: true, lines: Vec::new() };
        assert_eq!(
            board.text(&json!({"id": "1", "status": "Pulling from a"})),
            "1: Pulling from a\n"
        );
        assert_eq!(board.text(&layer("aa", "Waiting", None)), "aa: Waiting\n");
        assert_eq!(board.text(&layer("bb", "Waiting", None)), "bb: Waiting\n");
        let bar = format!("[{}>{}]", "=".repeat(25), " ".repeat(24));
        assert_eq!(
            board.text(&layer("aa", "Downloading", Some((500, 1000)))),
            format!("\x1b[2A\r\x1b[2Kaa: Downloading {bar}  500B/1kB\r\x1b[2B")
        );
    }

    #[test]
    fn elsewhere_only_what_has_ended_is_told() {
        let mut board = Board { tty: false, bars: false, lines: Vec::new() };
        assert_eq!(board.text(&layer("aa", "Downloading", Some((1, 2)))), "");
        assert_eq!(board.text(&layer("aa", "Pull complete", None)), "aa: Pull complete\n");
        assert_eq!(board.text(&json!({"progressDetail": {}, "aux": {"Tag": "1"}})), "");
        assert_eq!(board.text(&json!({"stream": "x"})), "x");
    }

    #[test]
    fn a_bar_is_full_at_its_end_and_never_longer() {
        let board = Board { tty: true, bars: true, lines: Vec::new() };
        for done in [1000, 2000] {
            assert!(board.bar(done, 1000).starts_with(&format!("[{}]", "=".repeat(50))));
        }
        assert_eq!(board.bar(0, 0), "0B/0B");
    }
}

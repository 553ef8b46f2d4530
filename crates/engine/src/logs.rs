//! What a container said.

use crate::{Condition, Container, Engine, Error, Nanos, error::Doing, house::House};
use spec::wire::{Reply, Request};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// For a monitor's answer about its log: `inspect` waits for no stuck one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which of a container's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; a terminal's too.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line (or a part of 16 KiB of one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Whence.
    pub stream: Stream,
    /// When the monitor read it.
    pub at: Nanos,
    /// With its newline, if it has one.
    pub text: Vec<u8>,
    /// What the log driver was asked to tell beside: labels, variables, a tag.
    pub attrs: std::collections::BTreeMap<String, String>,
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct LogWish {
    /// Of standard output.
    pub stdout: bool,
    /// Of standard error.
    pub stderr: bool,
    /// Go on until it stops.
    pub follow: bool,
    /// Not before; 0 for all.
    pub since: Nanos,
    /// Not after; 0 for all.
    pub until: Nanos,
    /// The last so many; all if none.
    pub tail: Option<u64>,
}

/// Lines to be read by a blocking thread.
pub struct Logs {
    /// The container has a terminal: no frames are to be put around lines.
    pub tty: bool,
    reader: logs::Reader,
    wish: LogWish,
    path: std::path::PathBuf,
}

/// Ends a [`Logs`] that waits for more, from another thread, when dropped.
pub struct EndLogs {
    stop: Arc<logs::Stop>,
}

impl Drop for EndLogs {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Logs {
    /// Hands out what ends it early: to be dropped when the client leaves.
    pub fn end(&self) -> EndLogs {
        EndLogs { stop: self.reader.stop() }
    }
}

impl Logs {
    /// The next line, if it need not be waited for. None also at the end,
    /// which [`next`](Iterator::next) tells.
    pub fn at_hand(&mut self) -> Option<Result<LogLine, Error>> {
        self.take(logs::Reader::at_hand)
    }

    fn take(
        &mut self,
        next: impl Fn(&mut logs::Reader) -> Option<std::io::Result<logs::Entry>>,
    ) -> Option<Result<LogLine, Error>> {
        loop {
            let entry = match next(&mut self.reader)?.doing("read", &self.path) {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            let (stream, wanted) = match entry.stream {
                logs::Stream::Stdout => (Stream::Stdout, self.wish.stdout),
                logs::Stream::Stderr => (Stream::Stderr, self.wish.stderr),
            };
            if wanted {
                let (at, text, attrs) = (entry.time, entry.line, entry.attrs);
                return Some(Ok(LogLine { stream, at, text, attrs }));
            }
        }
    }
}

impl Iterator for Logs {
    type Item = Result<LogLine, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(Iterator::next)
    }
}

impl Engine {
    /// How many lines of its output are missing where its log driver brings
    /// them: in this run, of a container that runs and whose lines go through
    /// a process of the log's, and else in the last that has ended. None if
    /// its monitor does not say.
    pub fn log_dropped(&self, container: &Container) -> Option<u64> {
        self.log_dropped_by(container, Instant::now() + PATIENCE)
    }

    /// The same, known by then or not at all.
    pub(crate) fn log_dropped_by(&self, container: &Container, by: Instant) -> Option<u64> {
        let log = &container.host.log_config;
        let carried = matches!(log.kind.as_str(), "syslog" | "journald")
            || log.config.get("mode").is_some_and(|mode| mode == "non-blocking");
        if carried && container.state.pid().is_some() {
            return self.0.ask_log(container, by);
        }
        Some(container.last.log_dropped)
    }

    /// Reads a container's log.
    ///
    /// # Errors
    /// No such container; neither stream wanted; its log driver is `none`.
    pub fn logs(&self, reference: &str, wish: LogWish) -> Result<Logs, Error> {
        if !wish.stdout && !wish.stderr {
            let words = "Bad parameters: you must choose at least one stream";
            return Err(Error::Invalid(words.into()));
        }
        let cell = self.0.find(reference)?;
        let container = cell.now();
        let path = container.log_path.clone().ok_or_else(|| {
            Error::Unsupported("configured logging driver does not support reading".into())
        })?;
        let options = logs::Options {
            tail: wish.tail,
            since: Some(wish.since).filter(|since| *since != 0),
            until: Some(wish.until).filter(|until| *until != 0),
            follow: wish.follow,
        };
        let reader = logs::Reader::open(&path, options).doing("open", &path)?;
        if wish.follow {
            // Weak: a reader that has gone needs no word of the end.
            let stop = Arc::downgrade(&reader.stop());
            let ended = move |_| {
                stop.upgrade().inspect(|stop| stop.ended());
            };
            cell.wait(Condition::NotRunning, Box::new(ended));
        }
        Ok(Logs { tty: container.config.tty, reader, wish, path })
    }
}

impl House {
    /// None if its monitor does not say: it may just have ended.
    fn ask_log(&self, container: &Container, by: Instant) -> Option<u64> {
        let id = &container.id;
        if Instant::now() >= by {
            return None;
        }
        let connection = match watch::Connection::open(&self.paths.run(id), &Request::LogState) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%id, %error, "its monitor cannot be asked for its log");
                return None;
            }
        };
        let (_sender, mut receiver) = connection.split();
        receiver.not_after(by);
        match receiver.next() {
            Some(Ok(watch::Message::Reply(Reply::Log { dropped }))) => Some(dropped),
            other => {
                tracing::debug!(%id, ?other, "its monitor does not say how its log does");
                None
            }
        }
    }
}

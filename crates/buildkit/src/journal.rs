//! What a build says, kept for those who ask how it goes.
//!
//! One build has one journal; whoever follows it hears all of it from the
//! beginning, since the client asks on another stream than it builds on.

use crate::proto::{
    Position, Range, SourceInfo, StatusResponse, Timestamp, Vertex, VertexLog, VertexStatus,
    VertexWarning,
};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The most that one step's output may hold, bytes, as in BuildKit.
const LOG: usize = 2 << 20;
/// The most that all output of a build may hold, counted with what each entry
/// costs beside its bytes.
const ALL: usize = 64 << 20;
const ENTRY: usize = 256;

/// What was said, in order.
#[derive(Default)]
pub struct Journal {
    inner: Mutex<Inner>,
    /// How many entries there are, and whether they are all.
    length: watch::Sender<(usize, bool)>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<StatusResponse>,
    vertexes: HashMap<String, Vertex>,
    statuses: HashMap<(String, String), Timestamp>,
    logged: HashMap<String, usize>,
    /// What counts towards [`ALL`].
    held: usize,
    /// How many entries somebody has read: those do not change any more.
    read: usize,
}

impl Inner {
    /// The output that was said last, if more of the same may be joined to
    /// it.
    fn open_log(&mut self, id: &str, stream: i64) -> Option<&mut Vec<u8>> {
        if self.read >= self.entries.len() {
            return None;
        }
        let log = self.entries.last_mut()?.logs.last_mut()?;
        (log.vertex == id && log.stream == stream).then_some(&mut log.msg)
    }
}

/// Now, as messages say it.
pub fn now() -> Timestamp {
    // A clock before 1970 is no reason to fail.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or_default(),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

impl Journal {
    fn change(&self, change: impl FnOnce(&mut Inner) -> Option<StatusResponse>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = change(&mut inner) {
            inner.entries.push(entry);
            let length = inner.entries.len();
            drop(inner);
            self.length.send_modify(|(known, _)| *known = length);
        }
    }

    fn vertex(&self, id: &str, change: impl FnOnce(&mut Vertex)) {
        self.change(|inner| {
            let vertex = inner.vertexes.entry(id.to_owned()).or_default();
            id.clone_into(&mut vertex.digest);
            change(vertex);
            let vertexes = vec![vertex.clone()];
            Some(StatusResponse { vertexes, ..StatusResponse::default() })
        });
    }

    /// A step that may come.
    pub fn announce(&self, id: &str, name: &str, inputs: &[String]) {
        self.vertex(id, |vertex| {
            name.clone_into(&mut vertex.name);
            vertex.inputs = inputs.to_vec();
        });
    }

    /// It begins.
    pub fn start(&self, id: &str) {
        self.vertex(id, |vertex| {
            vertex.started = Some(now());
            vertex.completed = None;
        });
    }

    /// Nothing has to be done for it.
    pub fn cached(&self, id: &str) {
        self.vertex(id, |vertex| {
            let now = now();
            vertex.started = vertex.started.or(Some(now));
            vertex.completed = Some(now);
            vertex.cached = true;
        });
    }

    /// It is done, or failed in these words.
    pub fn finish(&self, id: &str, error: Option<&str>) {
        self.vertex(id, |vertex| {
            let now = now();
            vertex.started = vertex.started.or(Some(now));
            vertex.completed = Some(now);
            error.unwrap_or_default().clone_into(&mut vertex.error);
        });
    }

    /// How far a part of a step has come.
    pub fn progress(&self, id: &str, part: &str, (current, total): (u64, u64), done: bool) {
        self.change(|inner| {
            let now = now();
            let key = (id.to_owned(), part.to_owned());
            let started = *inner.statuses.entry(key).or_insert(now);
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            let status = VertexStatus {
                id: part.to_owned(),
                vertex: id.to_owned(),
                name: String::new(),
                current: number(current),
                total: number(total),
                timestamp: Some(now),
                started: Some(started),
                completed: done.then_some(now),
            };
            Some(StatusResponse { statuses: vec![status], ..StatusResponse::default() })
        });
    }

    /// A piece of a program's output.
    pub fn log(&self, id: &str, stream: i64, bytes: &[u8]) {
        self.change(|inner| {
            let logged = inner.logged.entry(id.to_owned()).or_default();
            if *logged > LOG {
                return None;
            }
            let room = LOG.saturating_sub(*logged).min(ALL.saturating_sub(inner.held));
            let mut msg = bytes[..bytes.len().min(room)].to_vec();
            *logged += bytes.len();
            inner.held += bytes.len();
            if bytes.len() > room {
                *logged = LOG + 1;
                msg.extend_from_slice(b"\n[output clipped, log limit 2MiB reached]\n");
            }
            if let Some(before) = inner.open_log(id, stream) {
                before.extend(msg);
                return None;
            }
            inner.held += ENTRY;
            let log = VertexLog { vertex: id.to_owned(), timestamp: Some(now()), stream, msg };
            Some(StatusResponse { logs: vec![log], ..StatusResponse::default() })
        });
    }

    /// Something the author should know.
    pub fn warn(&self, id: &str, warning: &dockerfile::Warning, source: SourceInfo) {
        let text = format!("{}: {} (line {})", warning.rule, warning.text, warning.lines.first);
        self.change(|_| {
            let warning = VertexWarning {
                vertex: id.to_owned(),
                level: 1,
                short: text.into_bytes(),
                detail: vec![warning.text.clone().into_bytes()],
                url: String::new(),
                info: Some(source),
                ranges: vec![range(warning.lines)],
            };
            Some(StatusResponse { warnings: vec![warning], ..StatusResponse::default() })
        });
    }

    /// All is said. Steps that are under way have ended with it.
    pub fn close(&self) {
        let open: Vec<String> = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let open =
                inner.vertexes.values().filter(|v| v.started.is_some() && v.completed.is_none());
            open.map(|vertex| vertex.digest.clone()).collect()
        };
        for id in open {
            self.finish(&id, Some("context canceled"));
        }
        self.length.send_modify(|(_, all)| *all = true);
    }

    /// Entries from the `from`-th on, when there are some; none when all was
    /// said.
    pub async fn follow(&self, from: usize) -> Option<Vec<StatusResponse>> {
        let mut length = self.length.subscribe();
        let more = length.wait_for(|(length, all)| *length > from || *all).await.map(|_| ());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.read = inner.entries.len();
        let entries = inner.entries.get(from..).unwrap_or_default().to_vec();
        (more.is_ok() && !entries.is_empty()).then_some(entries)
    }
}

/// Lines as BuildKit says them.
pub fn range(lines: dockerfile::Lines) -> Range {
    let at = |line| Some(Position { line: i32::try_from(line).unwrap_or(i32::MAX), character: 0 });
    Range { start: at(lines.first), end: at(lines.last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_late_hears_all_of_it() {
        let journal = Journal::default();
        journal.announce("a", "[1/1] RUN x", &[]);
        journal.start("a");
        let said = journal.follow(0).await.expect("two entries");
        assert_eq!(said.len(), 2);
        journal.finish("a", None);
        journal.close();
        let rest = journal.follow(2).await.expect("the end");
        assert!(rest[0].vertexes[0].completed.is_some());
        assert_eq!(journal.follow(3).await, None);
    }

    #[tokio::test]
    async fn what_is_under_way_when_it_ends_has_ended() {
        let journal = Journal::default();
        journal.start("a");
        journal.close();
        let said = journal.follow(1).await.expect("an end");
        assert_eq!(said[0].vertexes[0].error, "context canceled");
    }

    #[tokio::test]
    async fn single_bytes_are_joined_until_they_are_read() {
        let journal = Journal::default();
        for _ in 0..1000 {
            journal.log("a", 1, b"x");
        }
        journal.log("a", 2, b"e");
        let said = journal.follow(0).await.expect("output");
        assert_eq!(said.iter().map(|e| e.logs[0].msg.len()).collect::<Vec<_>>(), [1000, 1]);
        journal.log("a", 2, b"more");
        let rest = journal.follow(2).await.expect("output");
        assert_eq!(rest[0].logs[0].msg, b"more");
    }

    #[tokio::test]
    async fn entries_that_are_read_at_once_are_bounded_too() {
        let journal = Journal::default();
        let mut read = 0;
        for n in 0..ALL {
            journal.log(&format!("step-{}", n / LOG), 1, b"x");
            match journal.inner.lock().expect("sound").entries.len() {
                length if length > read => read = length,
                _ => break,
            }
            journal.follow(read - 1).await.expect("one more");
        }
        assert!(read <= ALL / ENTRY + 1, "{read} entries");
    }

    #[tokio::test]
    async fn output_is_bounded() {
        let journal = Journal::default();
        for _ in 0..5 {
            journal.log("a", 1, &vec![b'x'; 1 << 20]);
        }
        let said = journal.follow(0).await.expect("output");
        let bytes: usize = said.iter().flat_map(|entry| &entry.logs).map(|log| log.msg.len()).sum();
        assert!(bytes < LOG + 100, "{bytes}");
        assert!(said.last().expect("the last").logs[0].msg.ends_with(b"reached]\n"));
    }
}

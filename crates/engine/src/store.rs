//! The records on disk: `DATA/state.db`.
//!
//! Everything that is read while the engine runs is in memory; the data base
//! is read once, at [`Store::open`], and only written afterwards, by one
//! thread. Writes that arrive together share a transaction. A caller either
//! [waits](Store::write) until its write is in (a record must precede what
//! bears its name) or [leaves it](Store::leave) to the thread: a state that a
//! crash takes back is found out again from the machine.
//!
//! Nothing here is flushed to the disk on every change (`synchronous=NORMAL`
//! of WAL mode): after a loss of power the last changes may be gone, never
//! half there. Volumes, networks and scoped sockets are worth more and are
//! flushed.

use rusqlite::{Connection, params};
use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread::JoinHandle,
    time::Duration,
};

/// One change of the records.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// A new or changed container: what does not move, and what does.
    Container { id: String, name: String, slot: u32, fixed: String, moving: String },
    /// What moves in a container's life.
    Moving { id: String, moving: String },
    /// A container that is no more.
    Gone { id: String },
    /// A new or changed volume.
    Volume { name: String, json: String },
    /// A volume that is no more.
    VolumeGone { name: String },
    /// A new network.
    Network { id: String, json: String },
    /// A network that is no more.
    NetworkGone { id: String },
    /// Something that happened.
    Event { at: u64, json: String },
    /// A fact about the engine itself.
    Fact { key: &'static str, value: String },
}

/// A container as it was left.
#[derive(Debug)]
pub(crate) struct Row {
    pub id: String,
    pub name: String,
    pub slot: u32,
    pub fixed: String,
    pub moving: String,
}

/// Everything that was on disk.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub containers: Vec<Row>,
    /// Name and document.
    pub volumes: Vec<(String, String)>,
    /// Identifier and document.
    pub networks: Vec<(String, String)>,
    /// Documents, oldest first.
    pub events: Vec<String>,
    pub facts: Vec<(String, String)>,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Store {
    queue: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Job {
    write: Write,
    done: Option<SyncSender<Result<(), String>>>,
}

/// A write that is on its way.
#[derive(Debug)]
pub(crate) struct Pending(Receiver<Result<(), String>>);

impl Pending {
    /// Waits until it is in.
    pub fn wait(self) -> Result<(), String> {
        self.0.recv().unwrap_or_else(|_| Err("the records are closed".into()))
    }

    /// One that cannot be.
    pub fn failed(words: String) -> Self {
        let (done, answer) = mpsc::sync_channel(1);
        let _ = done.send(Err(words));
        Self(answer)
    }
}

/// How many events are kept.
pub(crate) const EVENTS_KEPT: u32 = 1024;
/// And of how many bytes in all.
pub(crate) const EVENT_BYTES: usize = 8 << 20;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS container (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, slot INTEGER NOT NULL UNIQUE,
    fixed TEXT NOT NULL, moving TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS volume (
    name TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS network (
    id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fact (
    key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

impl Store {
    /// Opens or makes the data base, reads it, and starts its thread.
    pub fn open(path: &Path) -> rusqlite::Result<(Self, Left)> {
        // Only root reads what containers were given; SQLite's further files
        // take the mode of this one.
        let file = fs::File::options().append(true).create(true).mode(0o600).open(path);
        file.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(30))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "cache_size", -256)?;
        db.execute_batch(SCHEMA)?;
        let left = read(&db)?;
        let (queue, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("records".into())
            .stack_size(256 << 10)
            .spawn(move || keep(db, &jobs))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok((Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) }, left))
    }

    /// Writes and waits until it is in. The error is the data base's words.
    pub fn write(&self, write: Write) -> Result<(), String> {
        self.begin(write).wait()
    }

    /// Hands a write over; [`Pending::wait`] tells when it is in.
    pub fn begin(&self, write: Write) -> Pending {
        let (done, answer) = mpsc::sync_channel(1);
        // If nobody takes it, the answer's other end is gone, which tells.
        self.send(Job { write, done: Some(done) });
        Pending(answer)
    }

    /// Leaves it to be written soon. Should that fail it is logged, and for
    /// all but an event tried again with the next write.
    pub fn leave(&self, write: Write) {
        self.send(Job { write, done: None });
    }

    /// Writes what is left to be written and closes.
    pub fn close(&self) {
        drop(self.queue.lock().expect("no holder panics").take());
        if let Some(thread) = self.thread.lock().expect("no holder panics").take() {
            // It cannot be joined if it panicked, and then it has said so.
            let _ = thread.join();
        }
    }

    fn send(&self, job: Job) -> bool {
        let queue = self.queue.lock().expect("no holder panics");
        queue.as_ref().is_some_and(|queue| queue.send(job).is_ok())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn read(db: &Connection) -> rusqlite::Result<Left> {
    let mut left = Left::default();
    let mut rows = db.prepare("SELECT id, name, slot, fixed, moving FROM container")?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row {
            id: row.get(0)?,
            name: row.get(1)?,
            slot: row.get(2)?,
            fixed: row.get(3)?,
            moving: row.get(4)?,
        })
    };
    left.containers = rows.query_map((), row)?.collect::<Result<_, _>>()?;
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut rows = db.prepare("SELECT name, json FROM volume")?;
    left.volumes = rows.query_map((), pair)?.collect::<Result<_, _>>()?;
    let mut rows = db.prepare("SELECT id, json FROM network")?;
    left.networks = rows.query_map((), pair)?.collect::<Result<_, _>>()?;
    let mut rows = db.prepare("SELECT key, value FROM fact")?;
    left.facts = rows.query_map((), pair)?.collect::<Result<_, _>>()?;
    let mut rows = db.prepare("SELECT json FROM event ORDER BY seq DESC LIMIT ?1")?;
    left.events = rows.query_map([EVENTS_KEPT], |row| row.get(0))?.collect::<Result<_, _>>()?;
    left.events.reverse();
    Ok(left)
}

/// The thread: one transaction for all that has arrived meanwhile.
fn keep(mut db: Connection, jobs: &Receiver<Job>) {
    let mut owed: Vec<Job> = Vec::new();
    let (mut events, mut bytes) = (0, 0);
    while let Ok(first) = jobs.recv() {
        let mut batch = std::mem::take(&mut owed);
        batch.push(first);
        batch.extend(jobs.try_iter().take(255));
        if put(&mut db, &batch).is_ok() {
            for job in &batch {
                if let Write::Event { json, .. } = &job.write {
                    events += 1;
                    bytes += json.len();
                }
            }
            batch.into_iter().filter_map(|job| job.done).for_each(|done| answer(&done, Ok(())));
        } else {
            // One of them is at fault, or the disk is: find out which.
            for job in batch {
                let outcome = put(&mut db, std::slice::from_ref(&job)).map_err(|e| e.to_string());
                match (job.done, outcome) {
                    (Some(done), outcome) => answer(&done, outcome),
                    (None, Ok(())) => {}
                    (None, Err(error)) => {
                        tracing::error!(%error, "cannot write to the records");
                        if !matches!(job.write, Write::Event { .. }) {
                            owed.push(Job { write: job.write, done: None });
                        }
                    }
                }
            }
        }
        if events > EVENTS_KEPT as usize || bytes > EVENT_BYTES {
            (events, bytes) = (0, 0);
            if let Err(error) = trim(&db) {
                tracing::warn!(%error, "cannot forget old events");
            }
        }
    }
    if !owed.is_empty()
        && let Err(error) = put(&mut db, &owed)
    {
        tracing::error!(%error, writes = owed.len(), "records are lost");
    }
}

fn answer(done: &SyncSender<Result<(), String>>, outcome: Result<(), String>) {
    // It cannot be sent to one who has stopped waiting, and need not.
    let _ = done.send(outcome);
}

fn put(db: &mut Connection, batch: &[Job]) -> rusqlite::Result<()> {
    let precious = |job: &Job| {
        matches!(
            job.write,
            Write::Volume { .. }
                | Write::VolumeGone { .. }
                | Write::Network { .. }
                | Write::NetworkGone { .. }
                | Write::Fact { key: crate::sockets::FACT, .. }
        )
    };
    let flushed = batch.iter().any(precious);
    if flushed {
        db.pragma_update(None, "synchronous", "FULL")?;
    }
    let transaction = db.transaction()?;
    for job in batch {
        put_one(&transaction, &job.write)?;
    }
    transaction.commit()?;
    if flushed {
        db.pragma_update(None, "synchronous", "NORMAL")?;
    }
    Ok(())
}

fn put_one(db: &Connection, write: &Write) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql)?.execute(values).map(drop)
    };
    match write {
        Write::Container { id, name, slot, fixed, moving } => run(
            "INSERT INTO container VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE \
             SET name = ?2, fixed = ?4, moving = ?5",
            params![id, name, slot, fixed, moving],
        ),
        Write::Moving { id, moving } => {
            run("UPDATE container SET moving = ?2 WHERE id = ?1", params![id, moving])
        }
        Write::Gone { id } => run("DELETE FROM container WHERE id = ?1", params![id]),
        Write::Volume { name, json } => {
            run("INSERT OR REPLACE INTO volume VALUES (?1, ?2)", params![name, json])
        }
        Write::VolumeGone { name } => run("DELETE FROM volume WHERE name = ?1", params![name]),
        Write::Network { id, json } => {
            run("INSERT OR REPLACE INTO network VALUES (?1, ?2)", params![id, json])
        }
        Write::NetworkGone { id } => run("DELETE FROM network WHERE id = ?1", params![id]),
        Write::Event { at, json } => {
            let at = i64::try_from(*at).unwrap_or(i64::MAX);
            run("INSERT INTO event (at, json) VALUES (?1, ?2)", params![at, json])
        }
        Write::Fact { key, value } => {
            run("INSERT OR REPLACE INTO fact VALUES (?1, ?2)", params![key, value])
        }
    }
}

fn trim(db: &Connection) -> rusqlite::Result<()> {
    let oldest = "DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?1";
    db.execute(oldest, [EVENTS_KEPT])?;
    let longest = "DELETE FROM event WHERE seq <= (SELECT max(seq) FROM (SELECT seq, \
                   sum(length(CAST(json AS BLOB))) OVER (ORDER BY seq DESC) AS bytes FROM event) \
                   WHERE bytes > ?1)";
    db.execute(longest, [i64::try_from(EVENT_BYTES).unwrap_or(i64::MAX)]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, name: &str, slot: u32) -> Write {
        let (id, name) = (id.to_owned(), name.to_owned());
        Write::Container { id, name, slot, fixed: "{}".into(), moving: "1".into() }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("state.db");
        let (store, left) = Store::open(&path).expect("new");
        assert!(left.containers.is_empty());
        store.write(container("a", "one", 0)).expect("written");
        store.write(container("b", "two", 1)).expect("written");
        store.leave(Write::Moving { id: "a".into(), moving: "2".into() });
        store.leave(Write::Gone { id: "b".into() });
        store.leave(Write::Event { at: 5, json: "e".into() });
        store.leave(Write::Fact { key: "id", value: "x".into() });
        store.write(Write::Volume { name: "v".into(), json: "{}".into() }).expect("written");
        drop(store);
        let (_store, left) = Store::open(&path).expect("again");
        let [row] = &left.containers[..] else { panic!("{left:?}") };
        assert_eq!((row.id.as_str(), row.moving.as_str()), ("a", "2"));
        assert_eq!(left.events, ["e"]);
        assert_eq!(left.facts, [("id".to_owned(), "x".to_owned())]);
        assert_eq!(left.volumes.len(), 1);
    }

    #[test]
    fn a_refused_write_takes_no_other_with_it() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("state.db");
        let (store, _) = Store::open(&path).expect("new");
        store.write(container("a", "one", 0)).expect("written");
        std::thread::scope(|scope| {
            let clash = scope.spawn(|| store.write(container("b", "one", 1)));
            let fine = scope.spawn(|| store.write(container("c", "three", 2)));
            assert!(clash.join().expect("joined").is_err(), "the name is taken");
            fine.join().expect("joined").expect("written");
        });
        drop(store);
        let (_store, left) = Store::open(&path).expect("again");
        assert_eq!(left.containers.len(), 2);
    }

    #[test]
    fn only_the_latest_events_are_kept() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("state.db");
        let (store, _) = Store::open(&path).expect("new");
        for at in 0..3000 {
            store.leave(Write::Event { at, json: at.to_string() });
        }
        drop(store);
        let (_store, left) = Store::open(&path).expect("again");
        assert_eq!(left.events.len(), EVENTS_KEPT as usize);
        assert_eq!(left.events.last().map(String::as_str), Some("2999"));
    }

    #[test]
    fn events_take_no_more_than_so_many_bytes() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("state.db");
        let (store, _) = Store::open(&path).expect("new");
        for at in 0..100 {
            store.leave(Write::Event { at, json: "x".repeat(EVENT_BYTES / 10) });
        }
        drop(store);
        let db = Connection::open(&path).expect("opened");
        let count = |row: &rusqlite::Row<'_>| row.get(0);
        let left: i64 = db.query_row("SELECT count(*) FROM event", (), count).expect("read");
        // They are forgotten when as many have come again.
        assert!((10..=21).contains(&left), "{left} of 100");
    }
}

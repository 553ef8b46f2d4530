//! Whether the records belong to the data that they are found with.
//!
//! What no record names is removed at the start: with records that were lost,
//! or are an older copy, that would be nearly everything. The records say how
//! many times they were opened, and so does a file beside them; records that
//! were opened fewer times are not those that the data came with.

use crate::{Error, error::Doing};
use rusqlite::{Connection, OptionalExtension as _};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

/// Beside the records: how many times this data was opened.
const FILE: &str = "opened";
const FACT: &str = "opened";

/// Counts one more opening of `DATA/state.db`.
///
/// The records have it on the disk before the file has, so that a loss of
/// power at any instant leaves the file with no more than they.
///
/// # Errors
/// The records are older than the data, in words for a person; what the host
/// or the data base said.
pub(crate) fn count(data: &Path) -> Result<(), Error> {
    let path = data.join(FILE);
    let beside = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.doing("read", &path)?),
    };
    let beside = beside.map(|text| number(&text, &path)).transpose()?.unwrap_or(0);
    let records = data.join("state.db");
    let there = records.exists();
    let failed = |error: rusqlite::Error| Error::Records(format!("{}: {error}", records.display()));
    if !there && beside > 0 {
        return Err(refused(data, "are not there"));
    }
    // As `Store::open` makes it: only root reads it.
    let made = fs::File::options().append(true).create(true).mode(0o600).open(&records);
    made.doing("open", &records)?;
    let opened = one_more(&records, beside).map_err(failed)?;
    let Some(opened) = opened else {
        return Err(refused(data, "are older than the rest of the data root"));
    };
    let new = path.with_extension("new");
    let write = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(format!("{opened}\n").as_bytes())?;
        // A file that is there holds its number.
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().doing("write", &path)
}

/// How often the records were opened, this time included; nothing if that is
/// less than what is told `beside` them.
fn one_more(records: &Path, beside: u64) -> rusqlite::Result<Option<u64>> {
    let mut db = Connection::open(records)?;
    db.busy_timeout(Duration::from_secs(30))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let change = db.transaction()?;
    change.execute_batch(
        "CREATE TABLE IF NOT EXISTS fact (
             key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
    )?;
    let known: Option<String> = change
        .query_row("SELECT value FROM fact WHERE key = ?", [FACT], |row| row.get(0))
        .optional()?;
    let known: u64 = known.and_then(|text| text.parse().ok()).unwrap_or(0);
    if known < beside {
        return Ok(None);
    }
    let sql = "INSERT OR REPLACE INTO fact VALUES (?, ?)";
    change.execute(sql, [FACT, &(known + 1).to_string()])?;
    change.commit()?;
    Ok(Some(known + 1))
}

fn number(text: &str, path: &Path) -> Result<u64, Error> {
    let words = || {
        let path = path.display();
        Error::Invalid(format!(
            "{path} holds no number: remove it, if the records are the right ones"
        ))
    };
    text.trim().parse().map_err(|_| words())
}

fn refused(data: &Path, what: &str) -> Error {
    Error::Conflict(format!(
        "the records, {data}/state.db, {what}, and what they do not name would be \
         removed: put the right ones back; or, to go on with what they name and lose the rest, \
         remove {data}/{FILE}",
        data = data.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_that_are_as_old_as_the_data_are_believed() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let data = scratch.path();
        let (records, older) = (data.join("state.db"), data.join("older"));
        count(data).expect("new");
        fs::copy(&records, &older).expect("copied");
        count(data).expect("again");
        let newer = fs::read(&records).expect("read");
        fs::copy(&older, &records).expect("restored");
        let words = count(data).expect_err("older").to_string();
        assert!(words.contains("are older than the rest of the data root"), "{words}");
        fs::remove_file(&records).expect("lost");
        let words = count(data).expect_err("lost").to_string();
        assert!(words.contains("are not there") && !records.exists(), "{words}");
        fs::write(&records, newer).expect("put back");
        count(data).expect("the right ones");
        // A crash between the two leaves the records ahead.
        fs::write(data.join(FILE), "1\n").expect("written");
        count(data).expect("ahead");
        assert_eq!(fs::read_to_string(data.join(FILE)).expect("there"), "4\n");
        fs::copy(&older, &records).expect("restored");
        fs::remove_file(data.join(FILE)).expect("as the words say");
        count(data).expect("taken as they are");
        fs::write(data.join(FILE), "x").expect("written");
        assert!(count(data).expect_err("no number").to_string().contains("holds no number"));
    }
}

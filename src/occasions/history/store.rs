//! The rows in a database (`SQLite`) beside the journals. It holds nothing that the journals do not say: it is brought up to
//! date whenever it is opened, and made again where it is missing, damaged or of another version.
//!
//! A run that is over with nothing outstanding is **settled**: its journal is never written again, so it is read once. The
//! others are read again whenever their journal has another size or time than it had.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, Statement, TransactionBehavior, params};

use super::{Filter, Row, Status};
use crate::host::store::{StateDir, private_file};
use crate::model::exit::Verdict;
use crate::record::journal;

/// The database's file, in the state directory.
pub const FILE: &str = "history.sqlite";

/// Counts up with every change of the table below; a database of another version is made again.
const VERSION: i64 = 3;

const TABLE: &str = "
DROP TABLE IF EXISTS runs;
CREATE TABLE runs (
    run TEXT PRIMARY KEY,
    settled INTEGER NOT NULL,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    experiment TEXT,
    tags TEXT,
    due TEXT,
    began INTEGER,
    status INTEGER NOT NULL,
    verdict TEXT,
    reason TEXT,
    text TEXT,
    rehearsal INTEGER NOT NULL,
    recovery_ms INTEGER,
    never_lost INTEGER NOT NULL,
    p99_ms REAL,
    abort_ms REAL,
    bad_ms INTEGER NOT NULL,
    error TEXT
) STRICT, WITHOUT ROWID;
";

/// How many journals are read between two commits: what a process that dies has read so far is not read again.
const BATCH: usize = 250;

/// How long one process waits for another that writes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The rows of all runs in a state directory.
#[derive(Debug)]
pub struct History {
    db: Connection,
    state: StateDir,
}

impl History {
    /// Opens it and brings it up to date with the journals. Where the state directory cannot be written by this user, the
    /// rows are read into memory, for this once.
    ///
    /// # Errors
    /// Where the journals cannot be listed, or the database cannot be used.
    pub fn open(state: &StateDir) -> anyhow::Result<Self> {
        let path = state.root().join(FILE);
        let context =
            || format!("cannot use {}; it can be deleted, and is made again from the journals", path.display());
        match Self::at(Some(&path).filter(|_| state.root().exists()), state) {
            Err(e) if is(&e, &[ErrorCode::NotADatabase, ErrorCode::DatabaseCorrupt]) => {
                remove(&path).with_context(context)?;
                Self::at(Some(&path), state)
            }
            Err(e) if is(&e, &[ErrorCode::CannotOpen, ErrorCode::ReadOnly, ErrorCode::PermissionDenied]) => {
                Self::at(None, state)
            }
            result => result,
        }
        .with_context(context)
    }

    fn at(path: Option<&PathBuf>, state: &StateDir) -> anyhow::Result<Self> {
        let mut history = Self { db: connect(path.map(PathBuf::as_path))?, state: state.clone() };
        history.refresh()?;
        Ok(history)
    }

    /// Brings it up to date with the journals: none lost, none doubled, also while another process does the same.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn refresh(&mut self) -> anyhow::Result<()> {
        // First what is known, then what there is: a run that is known and not there is gone, not new.
        let known = self.known()?;
        let there: HashSet<String> = self.state.names()?.into_iter().collect();
        let gone: Vec<&String> = known.keys().filter(|run| !there.contains(*run)).collect();
        if !gone.is_empty() {
            let write = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut delete = write.prepare("DELETE FROM runs WHERE run = ?1")?;
            for run in gone {
                delete.execute([run])?;
            }
            drop(delete);
            write.commit()?;
        }
        let mut stale: Vec<(&String, Print)> = Vec::new();
        for run in &there {
            let before = known.get(run);
            if before.is_some_and(|known| known.settled) {
                continue;
            }
            // The print is taken before the journal is read: what is written in between is seen the next time.
            let print = Print::of(&self.state.journal(run));
            if let Some(print) = print.filter(|print| before.is_none_or(|known| known.print != *print)) {
                stale.push((run, print));
            }
        }
        stale.sort();
        for batch in stale.chunks(BATCH) {
            let read: Vec<_> = batch.iter().map(|(run, print)| (self.read(run), print)).collect();
            let write = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut insert = write.prepare(INSERT)?;
            for ((row, settled), print) in &read {
                put(&mut insert, row, *settled, **print)?;
            }
            drop(insert);
            write.commit()?;
        }
        Ok(())
    }

    fn read(&self, run: &str) -> (Row, bool) {
        match journal::replay(&self.state.journal(run)) {
            Ok(state) => (Row::of(run, &state), state.is_settled()),
            Err(e) => (Row::unreadable(run, e.to_string()), false),
        }
    }

    fn known(&self) -> anyhow::Result<HashMap<String, Known>> {
        let mut select = self.db.prepare("SELECT run, settled, size, changed FROM runs")?;
        let known = select.query_map((), |r| {
            Ok((r.get(0)?, Known { settled: r.get(1)?, print: Print { size: r.get(2)?, changed: r.get(3)? } }))
        })?;
        Ok(known.collect::<Result<_, _>>()?)
    }

    /// The rows that fit, oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn rows(&self, filter: &Filter) -> anyhow::Result<Vec<Row>> {
        let mut select = self.db.prepare(
            "SELECT run, experiment, tags, due, began, status, verdict, reason, text, rehearsal, recovery_ms, p99_ms, \
             abort_ms, bad_ms, error, settled, never_lost FROM runs WHERE (?1 IS NULL OR began >= ?1) AND (?2 IS NULL OR began < ?2) \
             ORDER BY run",
        )?;
        let ms = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
        let rows = select.query_map(params![ms(filter.since), ms(filter.until)], row)?;
        let mut fitting = Vec::new();
        for row in rows {
            let mut row = row?;
            if !filter.fits(&row) {
                continue;
            }
            if row.status == Status::Unfinished && journal::is_locked(&self.state.journal(&row.run)) {
                row.status = Status::Running;
            }
            fitting.push(row);
        }
        Ok(fitting)
    }
}

/// What is known of a run's journal.
struct Known {
    settled: bool,
    print: Print,
}

/// What tells whether a journal was written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Print {
    size: i64,
    /// ns since 1970.
    changed: i64,
}

impl Print {
    /// Nothing, where there is no journal.
    fn of(journal: &Path) -> Option<Self> {
        let about = std::fs::metadata(journal).ok()?;
        let size = i64::try_from(about.len()).unwrap_or(i64::MAX);
        Some(Self { size, changed: about.mtime().saturating_mul(1_000_000_000).saturating_add(about.mtime_nsec()) })
    }
}

fn connect(path: Option<&Path>) -> rusqlite::Result<Connection> {
    // SQLite would make it readable by everybody. Where this fails, so does SQLite, which says why.
    let _ = path.map(|path| private_file().append(true).open(path));
    let mut db = path.map_or_else(Connection::open_in_memory, Connection::open)?;
    db.busy_timeout(LOCK_TIMEOUT)?;
    // What a power cut takes is read from the journals again; that the file stays whole is SQLite's business either way.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let version = |db: &Connection| db.pragma_query_value(None, "user_version", |v| v.get::<_, i64>(0));
    if version(&db)? != VERSION {
        let make = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Somebody else may have been faster.
        if version(&make)? != VERSION {
            make.execute_batch(TABLE)?;
            make.pragma_update(None, "user_version", VERSION)?;
        }
        make.commit()?;
    }
    Ok(db)
}

/// Removes the database, with what `SQLite` may have left beside it.
fn remove(path: &Path) -> std::io::Result<()> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    match std::fs::remove_file(journal) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::fs::remove_file(path)
}

/// Whether `SQLite` failed for one of these reasons.
fn is(e: &anyhow::Error, codes: &[ErrorCode]) -> bool {
    e.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code).is_some_and(|c| codes.contains(&c))
}

/// In the order of the table.
const INSERT: &str = "INSERT OR REPLACE INTO runs VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

fn put(insert: &mut Statement<'_>, row: &Row, settled: bool, print: Print) -> rusqlite::Result<()> {
    let tags = (!row.tags.is_empty()).then(|| serde_json::json!(row.tags).to_string());
    let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    insert
        .execute(params![
            row.run,
            settled,
            print.size,
            print.changed,
            row.experiment,
            tags,
            row.due.map(|due| due.to_string()),
            row.began.map(Timestamp::as_millisecond),
            STATUSES.iter().position(|s| *s == row.status).and_then(|i| i64::try_from(i).ok()),
            row.verdict.map(Verdict::words),
            row.reason,
            row.text,
            row.rehearsal,
            row.recovery_ms.map(int),
            row.never_lost,
            row.p99_ms,
            row.abort_ms,
            int(row.bad_ms),
            row.error,
        ])
        .map(|_| ())
}

/// As they are stored, by their place. A living run is stored as one that is not over.
const STATUSES: [Status; 4] = [Status::Unfinished, Status::Finished, Status::Unreadable, Status::Running];

/// A row as it was stored. A word that nobody knows is damage: the version above was not counted up.
fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let strange = |column, name: &str| rusqlite::Error::InvalidColumnType(column, name.to_owned(), Type::Text);
    let verdict = match r.get_ref(6)?.as_str_or_null()? {
        None => None,
        Some(text) => Some(Verdict::ALL.into_iter().find(|v| v.words() == text).ok_or_else(|| strange(6, "verdict"))?),
    };
    let tags = match r.get_ref(2)?.as_str_or_null()? {
        None => Vec::new(),
        Some(json) => serde_json::from_str(json).map_err(|_| strange(2, "tags"))?,
    };
    let due = match r.get_ref(3)?.as_str_or_null()? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| strange(3, "due"))?),
    };
    let began = r.get::<_, Option<i64>>(4)?.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(Row {
        run: r.get(0)?,
        experiment: r.get(1)?,
        tags,
        due,
        began,
        status: STATUSES
            .get(usize::try_from(r.get::<_, i64>(5)?).unwrap_or(usize::MAX))
            .copied()
            .ok_or_else(|| strange(5, "status"))?,
        verdict,
        reason: r.get(7)?,
        text: r.get(8)?,
        rehearsal: r.get(9)?,
        // A run that left something behind is not over before that.
        settled: verdict == Some(Verdict::LeftBehind) && r.get(15)?,
        recovery_ms: r.get::<_, Option<i64>>(10)?.and_then(|ms| u64::try_from(ms).ok()),
        never_lost: r.get(16)?,
        p99_ms: r.get(11)?,
        abort_ms: r.get(12)?,
        bad_ms: u64::try_from(r.get::<_, i64>(13)?).unwrap_or(0),
        error: r.get(14)?,
    })
}

#[cfg(test)]
mod tests;

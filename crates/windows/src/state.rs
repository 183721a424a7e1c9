//! What we did to this machine, in SQLite: journalled before it is done, so that it can be undone whenever a process ends.
//!
//! `state.db` in the state folder; several processes use it at once (WAL, busy timeout). A file that cannot be read is set
//! aside and taken from its copy, which is written whenever the journal has changed ([`State::back_up`]); without a copy it is
//! begun anew, and what is lost is found again on the roots themselves (see [`State::was_rebuilt`]). A place that cannot
//! be written gives a state in memory that knows what could be read; it is no obstacle to a run that changes nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

mod active;
mod copy;
mod error;
mod journal;
mod lock;
mod open;
mod originals;
mod roots;
mod sids;
mod things;

pub use copy::NAME as COPY_NAME;
pub use error::StateError;
pub use journal::{Made, MadeKind, Record, What};
pub use lock::Changing;
pub use originals::Original;
pub use roots::Verified;
pub use sids::KnownSid;

/// The version of the tables; a file of another version is set aside.
const SCHEMA_VERSION: i64 = 1;
/// How long a process waits for another one's transaction.
const BUSY: Duration = Duration::from_secs(10);
/// The name of the file.
pub const FILE_NAME: &str = "state.db";

const SCHEMA: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE write_sids (
        sid TEXT PRIMARY KEY, root TEXT NOT NULL, key TEXT NOT NULL, variant TEXT NOT NULL,
        file_id TEXT, retired INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE journal (
        number INTEGER PRIMARY KEY, path TEXT NOT NULL, key TEXT NOT NULL, file_id TEXT, ace TEXT NOT NULL,
        is_label INTEGER NOT NULL, replaces TEXT, removing INTEGER NOT NULL DEFAULT 0,
        UNIQUE (key, ace));
    CREATE TABLE made (
        key TEXT PRIMARY KEY, path TEXT NOT NULL, is_placeholder INTEGER NOT NULL, is_file INTEGER NOT NULL,
        file_id TEXT);
    CREATE TABLE originals (
        file_id TEXT PRIMARY KEY, path TEXT NOT NULL, key TEXT NOT NULL, before BLOB NOT NULL, after BLOB NOT NULL);
    CREATE TABLE roots (
        file_id TEXT NOT NULL, policy TEXT NOT NULL, path TEXT NOT NULL, key TEXT NOT NULL, hash TEXT NOT NULL,
        nodes TEXT NOT NULL, looked INTEGER NOT NULL, PRIMARY KEY (file_id, policy));
    CREATE TABLE unfinished (key TEXT PRIMARY KEY, path TEXT NOT NULL);
    CREATE TABLE active (pid INTEGER NOT NULL, created INTEGER NOT NULL, needs TEXT NOT NULL);
";

/// The state database, or what stands in for it.
#[derive(Debug)]
pub struct State {
    connection: Mutex<Connection>,
    file: Option<PathBuf>,
    /// Why nothing is written to disk.
    not_durable: Option<StateError>,
    notices: Vec<String>,
    changing: Mutex<Weak<Changing>>,
    /// How many writes succeed before the others fail; `u64::MAX` outside of tests.
    writes_left: AtomicU64,
}

impl State {
    /// Opens the state of a folder, making the folder and the file where they are missing. Never fails: what went wrong is in
    /// [`notices`](Self::notices), and [`require_durable`](Self::require_durable) refuses where it matters.
    pub fn open(folder: &Path) -> Self {
        open::open(folder)
    }

    /// A state that nobody else sees, for tests and for `plan`.
    ///
    /// # Errors
    /// Only if SQLite has no memory.
    pub fn in_memory() -> Result<Self, StateError> {
        let connection =
            Connection::open_in_memory().map_err(|source| StateError::new("open", None, &source))?;
        open::make_tables(&connection, false).map_err(|source| StateError::new("open", None, &source))?;
        Ok(Self::new(connection, None, None, Vec::new()))
    }

    fn new(
        connection: Connection,
        file: Option<PathBuf>,
        not_durable: Option<StateError>,
        notices: Vec<String>,
    ) -> Self {
        let (connection, changing) = (Mutex::new(connection), Mutex::default());
        let writes_left = AtomicU64::new(u64::MAX);
        Self { connection, file, not_durable, notices, changing, writes_left }
    }

    /// What the user should hear: a file that was set aside, a place that cannot be written.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Refuses where what is journalled would be lost with the process.
    ///
    /// # Errors
    /// Why the file cannot be written.
    pub fn require_durable(&self) -> Result<(), StateError> {
        self.not_durable.clone().map_or(Ok(()), Err)
    }

    /// Whether an earlier file was lost, so that ACEs of ours may stand on this machine that nobody knows of.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn was_rebuilt(&self) -> Result<bool, StateError> {
        let ask = |connection: &Connection| {
            let query = "SELECT value FROM meta WHERE key = 'rebuilt'";
            connection.query_row(query, [], |row| row.get::<_, String>(0)).optional()
        };
        Ok(self.with("read", ask)?.is_some())
    }

    /// The file grows to at most so many pages (of 4096 bytes) in this process, as if the disk were full then.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn limit_pages(&self, pages: u32) -> Result<(), StateError> {
        self.with("limit", |connection| connection.pragma_update(None, "max_page_count", pages))
    }

    /// After so many more writes every one fails, as if this process had ended before it: for tests.
    pub fn end_after(&self, writes: u64) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    /// Whether a write failed because of [`end_after`](Self::end_after), or would now.
    pub fn has_ended(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) == 0
    }

    /// How long this process waits for another one's transaction; ten seconds unless told otherwise.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn wait_at_most(&self, time: Duration) -> Result<(), StateError> {
        self.with("limit", |connection| connection.busy_timeout(time))
    }

    /// Removes the file, and the folder if nothing else is in it: the last step of taking everything back.
    ///
    /// # Errors
    /// When the file cannot be removed, because another process has it open.
    pub fn remove(self) -> std::io::Result<()> {
        let Self { connection, file, .. } = self;
        drop(connection);
        let Some(file) = file else { return Ok(()) };
        open::remove(&file)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks something.
    fn with<T>(
        &self,
        stage: &'static str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        ask(&self.lock()).map_err(|source| StateError::new(stage, self.file.as_deref(), &source))
    }

    /// Writes something that means nothing any more once the machine has stopped: the disk is not waited for.
    fn write_for_now<T>(
        &self,
        stage: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let wait =
            |how: &str| self.with(stage, |connection| connection.pragma_update(None, "synchronous", how));
        wait("normal")?;
        let result = self.write(stage, change);
        wait("full")?;
        result
    }

    /// A number that changes whenever another process has written.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn version(&self) -> Result<i64, StateError> {
        self.with("read", |connection| connection.query_row("PRAGMA data_version", [], |row| row.get(0)))
    }

    /// Writes something, all of it or nothing.
    fn write<T>(
        &self,
        stage: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StateError::ended(stage, self.file.as_deref()));
        }
        if left < u64::MAX {
            self.writes_left.store(left - 1, Ordering::SeqCst);
        }
        let run = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run(&mut self.lock()).map_err(|source| StateError::new(stage, self.file.as_deref(), &source))
    }
}

//! What the set-up made that is no ACE and no folder of a run: accounts, rights, rules, each noted before it is made.

use rusqlite::{Connection, OptionalExtension, params};

use super::{State, StateError};

/// Not among the tables of every state: only the machine's has it, from its first set-up on.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS things (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, what TEXT NOT NULL)";

impl State {
    /// Every thing with its key, in the order in which they were first noted.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn things(&self) -> Result<Vec<(String, String)>, StateError> {
        self.with("read", |connection| {
            if !is_there(connection)? {
                return Ok(Vec::new());
            }
            let mut query = connection.prepare_cached("SELECT key, what FROM things ORDER BY number")?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Notes a thing before it is made, or more about one that is noted.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_thing(&self, key: &str, what: &str) -> Result<(), StateError> {
        self.write("write the journal of", |connection| {
            connection.execute(TABLE, [])?;
            let insert = "INSERT INTO things (key, what) VALUES (?1, ?2)
                          ON CONFLICT (key) DO UPDATE SET what = excluded.what";
            connection.execute(insert, params![key, what])?;
            Ok(())
        })
    }

    /// Forgets a thing that is gone.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_thing(&self, key: &str) -> Result<(), StateError> {
        self.write("write the journal of", |connection| {
            if is_there(connection)? {
                connection.execute("DELETE FROM things WHERE key = ?1", [key])?;
            }
            Ok(())
        })
    }
}

fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT 1 FROM sqlite_schema WHERE name = 'things'";
    Ok(connection.query_row(query, [], |_| Ok(())).optional()?.is_some())
}

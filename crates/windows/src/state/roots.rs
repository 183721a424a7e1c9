//! Roots whose trees were walked to the end: while their descriptors stay as they are, nothing below needs a look.

use rusqlite::{OptionalExtension, params};

use super::{State, StateError};
use crate::host::FileId;
use crate::plan::path::WinPath;

/// What is known about a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which folder.
    pub file_id: FileId,
    /// For which policy: others look for other objects.
    pub policy: String,
    /// Where it was.
    pub path: WinPath,
    /// Hash of its DACL and label.
    pub hash: String,
    /// Objects in it that planning must know about.
    pub nodes: Vec<WinPath>,
    /// When the whole tree was looked at last, in seconds since 1970.
    pub looked: u64,
}

impl State {
    /// What is known about the folder with this id, for a policy.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn verified(&self, file_id: FileId, policy: &str) -> Result<Option<Verified>, StateError> {
        let query = "SELECT path, hash, nodes, looked FROM roots WHERE file_id = ?1 AND policy = ?2";
        let row: Option<(String, String, String, i64)> = self.with("read", |connection| {
            let mut query = connection.prepare_cached(query)?;
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            query.query_row([file_id.to_string().as_str(), policy], columns).optional()
        })?;
        Ok(row.and_then(|(path, hash, nodes, looked)| {
            let path = WinPath::absolute(&path).ok()?;
            let nodes = serde_json::from_str(&nodes).ok()?;
            let policy = policy.to_owned();
            Some(Verified { file_id, policy, path, hash, nodes, looked: u64::try_from(looked).ok()? })
        }))
    }

    /// Notes that a root's tree was walked to the end.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn set_verified(&self, verified: &Verified) -> Result<(), StateError> {
        let Verified { file_id, policy, path, hash, nodes, looked } = verified;
        // A list of paths always has a JSON form.
        let nodes = serde_json::to_string(nodes).unwrap_or_else(|_| "[]".to_owned());
        let looked = i64::try_from(*looked).unwrap_or(i64::MAX);
        self.write("note a root in", |connection| {
            let insert = "INSERT OR REPLACE INTO roots (file_id, policy, path, key, hash, nodes, looked)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let values = params![file_id.to_string(), policy, path.as_str(), path.key(), hash, nodes, looked];
            connection.prepare_cached(insert)?.execute(values)?;
            Ok(())
        })
    }

    /// Nothing is known any more about the roots at, above or below a path.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn unverify(&self, path: &WinPath) -> Result<(), StateError> {
        self.write("note a root in", |connection| {
            let mut query = connection.prepare_cached("SELECT file_id, path FROM roots")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
            let touches = |text: &str| {
                WinPath::absolute(text).map_or(true, |root| root.is_in(path) || path.is_in(&root))
            };
            for (id, _) in rows.iter().filter(|(_, path)| touches(path)) {
                connection.execute("DELETE FROM roots WHERE file_id = ?1", [id])?;
            }
            Ok(())
        })
    }

    /// Planning must know about these objects too, in every root that holds them.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn learn(&self, paths: &[WinPath]) -> Result<(), StateError> {
        self.write("note a root in", |connection| {
            let mut query = connection.prepare_cached("SELECT rowid, path, nodes FROM roots")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let rows: Vec<(i64, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
            for (row, root, nodes) in rows {
                let Ok(root) = WinPath::absolute(&root) else { continue };
                let mut nodes: Vec<WinPath> = serde_json::from_str(&nodes).unwrap_or_default();
                nodes.extend(paths.iter().filter(|path| path.is_below(&root)).cloned());
                nodes.sort();
                nodes.dedup();
                let nodes = serde_json::to_string(&nodes).unwrap_or_else(|_| "[]".to_owned());
                connection.execute("UPDATE roots SET nodes = ?1 WHERE rowid = ?2", params![nodes, row])?;
            }
            Ok(())
        })
    }

    /// Trees whose walk was begun and not finished: the next run goes through them again.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn unfinished(&self) -> Result<Vec<WinPath>, StateError> {
        let rows: Vec<String> = self.with("read", |connection| {
            let mut query = connection.prepare_cached("SELECT path FROM unfinished")?;
            query.query_map([], |row| row.get(0))?.collect()
        })?;
        Ok(rows.iter().filter_map(|text| WinPath::absolute(text).ok()).collect())
    }

    /// Notes that the walks of these trees begin.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn begin_walks(&self, paths: &[WinPath]) -> Result<(), StateError> {
        self.for_walks(paths, "INSERT OR IGNORE INTO unfinished (key, path) VALUES (?1, ?2)")
    }

    /// Notes that the walks of these trees came to their end.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn end_walks(&self, paths: &[WinPath]) -> Result<(), StateError> {
        self.for_walks(paths, "DELETE FROM unfinished WHERE key = ?1 OR path = ?2")
    }

    fn for_walks(&self, paths: &[WinPath], statement: &str) -> Result<(), StateError> {
        if paths.is_empty() {
            return Ok(());
        }
        self.write("note a walk in", |connection| {
            let mut statement = connection.prepare_cached(statement)?;
            for path in paths {
                statement.execute(params![path.key(), path.as_str()])?;
            }
            Ok(())
        })
    }
}

//! Descriptors that taking our ACEs away would not bring back exactly, as they were.

use nt_security::SecurityDescriptor;
use rusqlite::params;

use super::{State, StateError};
use crate::host::FileId;
use crate::plan::path::WinPath;

/// An object before our change and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Which object.
    pub file_id: FileId,
    /// Where it was.
    pub path: WinPath,
    /// As it was.
    pub before: SecurityDescriptor,
    /// As we left it: while it is this, it can be put back exactly.
    pub after: SecurityDescriptor,
}

impl State {
    /// The originals of objects at or below a path.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn originals(&self, within: Option<&WinPath>) -> Result<Vec<Original>, StateError> {
        let query = "SELECT file_id, path, before, after FROM originals";
        type Columns = (String, String, Vec<u8>, Vec<u8>);
        let rows: Vec<Columns> = self.with("read", |connection| {
            let mut query = connection.prepare_cached(query)?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        })?;
        let original = |(id, path, before, after): Columns| {
            let path = WinPath::absolute(&path).ok()?;
            let read = |bytes: &[u8]| SecurityDescriptor::from_self_relative(bytes).ok();
            let (before, after) = (read(&before)?, read(&after)?);
            Some(Original { file_id: FileId::parse(&id)?, path, before, after })
        };
        let wanted = |original: &Original| within.is_none_or(|within| original.path.is_in(within));
        Ok(rows.into_iter().filter_map(original).filter(wanted).collect())
    }

    /// Notes originals, before the objects are changed.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_originals(&self, originals: &[Original]) -> Result<(), StateError> {
        if originals.is_empty() {
            return Ok(());
        }
        self.write("note a descriptor in", |connection| {
            let insert = "INSERT OR REPLACE INTO originals (file_id, path, key, before, after)
                          VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut insert = connection.prepare_cached(insert)?;
            for Original { file_id, path, before, after } in originals {
                // What was read from an object fits the form that it was read from, and ours is checked before.
                let (Ok(before), Ok(after)) = (before.to_self_relative(), after.to_self_relative()) else {
                    continue;
                };
                insert.execute(params![file_id.to_string(), path.as_str(), path.key(), before, after])?;
            }
            Ok(())
        })
    }

    /// Forgets originals that were put back.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_originals(&self, ids: &[FileId]) -> Result<(), StateError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.write("note a descriptor in", |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM originals WHERE file_id = ?1")?;
            for id in ids {
                delete.execute([id.to_string()])?;
            }
            Ok(())
        })
    }
}

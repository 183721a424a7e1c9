//! Write SIDs: which root and variant each belongs to, by path and by file.

use rusqlite::{Row, params};

use super::{State, StateError};
use crate::host::FileId;
use crate::plan::facts::WriteSid;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;

/// A write SID, and the folder that it was given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSid {
    /// Root, variant, SID.
    pub sid: WriteSid,
    /// Which folder that was; `None` for the marker.
    pub file_id: Option<FileId>,
    /// No run gets it any more.
    pub retired: bool,
}

impl State {
    /// Every write SID that was ever given out.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn write_sids(&self) -> Result<Vec<KnownSid>, StateError> {
        let query = "SELECT root, variant, sid, file_id, retired FROM write_sids ORDER BY rowid";
        let rows = self.with("read", |connection| {
            connection.prepare_cached(query)?.query_map([], columns)?.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// Notes SIDs before they are used.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn add_write_sids(&self, sids: &[KnownSid]) -> Result<(), StateError> {
        self.write("note a write SID in", |connection| {
            let insert = "INSERT OR IGNORE INTO write_sids (sid, root, key, variant, file_id, retired)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let mut insert = connection.prepare_cached(insert)?;
            for KnownSid { sid, file_id, retired } in sids {
                let id = file_id.map(|id| id.to_string());
                let root = &sid.root;
                insert.execute(params![
                    sid.sid.to_string(),
                    root.as_str(),
                    root.key(),
                    sid.variant,
                    id,
                    retired
                ])?;
            }
            Ok(())
        })
    }

    /// No run gets these any more; what still carries them is to be cleaned.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn retire(&self, sids: &[SidText]) -> Result<(), StateError> {
        self.write("retire a write SID in", |connection| {
            let mut update = connection.prepare_cached("UPDATE write_sids SET retired = 1 WHERE sid = ?1")?;
            for sid in sids {
                update.execute([sid.to_string()])?;
            }
            Ok(())
        })
    }
}

type Columns = (String, String, String, Option<String>, bool);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

/// A row that is not ours is passed by: it must not stop a run.
fn known((root, variant, sid, file_id, retired): Columns) -> Option<KnownSid> {
    let root = WinPath::absolute(&root).ok()?;
    let sid = nt_security::Sid::parse(&sid).ok()?.into();
    let file_id = file_id.as_deref().and_then(FileId::parse);
    Some(KnownSid { sid: WriteSid { root, variant, sid }, file_id, retired })
}

//! The journal: every ACE and label that we state on an object, and every folder and placeholder that we make.

use nt_security::Ace;
use rusqlite::{Connection, params};

use super::{State, StateError};
use crate::host::FileId;
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;

/// An ACE or a label of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An explicit ACE of the DACL.
    Ace(Ace),
    /// A label, and the object's own that it took the place of.
    Label {
        /// Ours.
        label: Ace,
        /// The one before.
        replaces: Option<Ace>,
    },
}

/// One thing of ours on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where the object was when it got it.
    pub path: WinPath,
    /// Which object.
    pub file_id: Option<FileId>,
    /// What it got.
    pub what: What,
    /// It is being taken away; what lies below may still have copies.
    pub removing: bool,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeKind {
    /// A folder of ours; removed with what it holds if it lies in our state folder, else only when empty.
    Folder,
    /// An empty object in the place of a protected name; removed if it is still empty.
    Placeholder(NodeKind),
}

/// A folder or placeholder of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where.
    pub path: WinPath,
    /// What.
    pub kind: MadeKind,
    /// Which object, once it was made.
    pub file_id: Option<FileId>,
}

impl State {
    /// Everything of ours that stands on objects.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn journal(&self) -> Result<Vec<Record>, StateError> {
        let query = "SELECT path, file_id, ace, is_label, replaces, removing FROM journal ORDER BY number";
        type Columns = (String, Option<String>, String, bool, Option<String>, bool);
        let rows: Vec<Columns> = self.with("read", |connection| {
            let mut query = connection.prepare_cached(query)?;
            let rows = query.query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            })?;
            rows.collect()
        })?;
        let record = |(path, id, ace, is_label, replaces, removing): Columns| {
            let path = WinPath::absolute(&path).ok()?;
            let ace = Ace::from_sddl(&ace).ok()?;
            let replaces = replaces.and_then(|text| Ace::from_sddl(&text).ok());
            let what = if is_label { What::Label { label: ace, replaces } } else { What::Ace(ace) };
            Some(Record { path, file_id: id.as_deref().and_then(FileId::parse), what, removing })
        };
        Ok(rows.into_iter().filter_map(record).collect())
    }

    /// Notes what will be stated on objects, before it is. What is noted already stays: a label's first predecessor is the one
    /// to go back to.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note(&self, records: &[Record]) -> Result<(), StateError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write("write the journal of", |connection| {
            records.iter().try_for_each(|record| note_one(connection, record))
        })
    }

    /// Says that these are being taken away.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_removing(&self, records: &[Record]) -> Result<(), StateError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write("write the journal of", |connection| {
            for record in records {
                note_one(connection, record)?;
                let update = "UPDATE journal SET removing = 1 WHERE key = ?1 AND ace = ?2";
                let (ace, _, _) = record.what.columns();
                connection.prepare_cached(update)?.execute(params![record.path.key(), ace])?;
            }
            Ok(())
        })
    }

    /// Forgets what is gone.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget(&self, records: &[Record]) -> Result<(), StateError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write("write the journal of", |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM journal WHERE key = ?1 AND ace = ?2")?;
            for record in records {
                let (ace, _, _) = record.what.columns();
                delete.execute(params![record.path.key(), ace])?;
            }
            Ok(())
        })
    }

    /// Folders and placeholders of ours, in the order in which they were made.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn made(&self) -> Result<Vec<Made>, StateError> {
        let query = "SELECT path, is_placeholder, is_file, file_id FROM made ORDER BY rowid";
        let rows: Vec<(String, bool, bool, Option<String>)> = self.with("read", |connection| {
            let mut query = connection.prepare_cached(query)?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        })?;
        let made = |(path, is_placeholder, is_file, id): (String, bool, bool, Option<String>)| {
            let node = if is_file { NodeKind::File } else { NodeKind::Folder };
            let kind = if is_placeholder { MadeKind::Placeholder(node) } else { MadeKind::Folder };
            let file_id = id.as_deref().and_then(FileId::parse);
            Some(Made { path: WinPath::absolute(&path).ok()?, kind, file_id })
        };
        Ok(rows.into_iter().filter_map(made).collect())
    }

    /// Notes what will be made, or (again, with its id) what was.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_made(&self, made: &Made) -> Result<(), StateError> {
        let (is_placeholder, is_file) = match made.kind {
            MadeKind::Folder => (false, false),
            MadeKind::Placeholder(kind) => (true, kind == NodeKind::File),
        };
        let id = made.file_id.map(|id| id.to_string());
        self.write("write the journal of", |connection| {
            let insert =
                "INSERT INTO made (key, path, is_placeholder, is_file, file_id) VALUES (?1, ?2, ?3, ?4, ?5)
                          ON CONFLICT (key) DO UPDATE SET file_id = excluded.file_id";
            let values = params![made.path.key(), made.path.as_str(), is_placeholder, is_file, id];
            connection.prepare_cached(insert)?.execute(values)?;
            Ok(())
        })
    }

    /// Forgets what was made and is gone, or has become somebody else's.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_made(&self, path: &WinPath) -> Result<(), StateError> {
        self.write("write the journal of", |connection| {
            connection.prepare_cached("DELETE FROM made WHERE key = ?1")?.execute([path.key()])?;
            Ok(())
        })
    }
}

impl What {
    fn columns(&self) -> (String, bool, Option<String>) {
        match self {
            Self::Ace(ace) => (ace.to_string(), false, None),
            Self::Label { label, replaces } => {
                (label.to_string(), true, replaces.as_ref().map(ToString::to_string))
            }
        }
    }
}

fn note_one(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let (ace, is_label, replaces) = record.what.columns();
    let id = record.file_id.map(|id| id.to_string());
    let insert =
        "INSERT INTO journal (path, key, file_id, ace, is_label, replaces) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                  ON CONFLICT (key, ace) DO UPDATE SET file_id = excluded.file_id, removing = 0";
    let values = params![record.path.as_str(), record.path.key(), id, ace, is_label, replaces];
    connection.prepare_cached(insert)?.execute(values)?;
    Ok(())
}

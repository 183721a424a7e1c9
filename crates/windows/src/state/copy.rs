//! A copy of the state beside it, so that a file that is damaged is not the end of what it knew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{State, StateError, open};

/// The name of the copy, in the state folder.
pub const NAME: &str = "state.db.copy";
/// What a copy is called until it is whole.
const UNFINISHED: &str = "state.db.copy-new";

/// Every file that copies leave.
pub(super) const NAMES: [&str; 2] = [NAME, UNFINISHED];

impl State {
    /// Writes the copy anew: whole and on disk before it takes the place of the last one. To be called by whoever holds
    /// [`changing`](Self::changing), once the journal says what is about to be done, and once it is done.
    ///
    /// # Errors
    /// [`StateError`]: the last copy is still there then.
    pub fn back_up(&self) -> Result<(), StateError> {
        let Some(folder) = self.file().filter(|_| self.require_durable().is_ok()).and_then(Path::parent)
        else {
            return Ok(());
        };
        let (copy, new) = (folder.join(NAME), folder.join(UNFINISHED));
        let failed = |error: std::io::Error| StateError::io("copy", &new, &error);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // VACUUM INTO takes no parameter for a path with a character that is not Unicode, and has none here: the folder was text.
        let text = new.to_string_lossy();
        self.with("copy", |connection| connection.execute("VACUUM INTO ?1", [text.as_ref()]))?;
        File::options().write(true).open(&new).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &copy).map_err(failed)?;
        // Who reads hinders it, and then the next change does it.
        self.with("copy", |connection| connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())))
    }
}

/// Puts the copy in the place of the file that was lost; `None` if there is no copy that can be used. Trees count as not looked
/// at: what was made since the copy must be found again.
pub(super) fn restore(file: &Path) -> Option<Connection> {
    let copy: PathBuf = file.parent()?.join(NAME);
    if !is_whole(&copy) {
        return None;
    }
    fs::copy(&copy, file).ok()?;
    let restored = open::open_checked(file).and_then(|connection| {
        let clear = "DELETE FROM roots; DELETE FROM active";
        let cleared = connection.execute_batch(clear);
        cleared.map_err(|error| StateError::new("restore", Some(file), &error)).map(|()| connection)
    });
    if restored.is_err() {
        // It is no better than nothing; if it cannot be removed either, opening anew says so.
        let _stays = fs::remove_file(file);
    }
    restored.ok()
}

/// Whether there is a copy to go back to.
pub(super) fn is_there(file: &Path) -> bool {
    file.parent().is_some_and(|folder| folder.join(NAME).is_file())
}

fn is_whole(copy: &Path) -> bool {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let open = || Connection::open_with_flags(copy, flags);
    copy.is_file() && open().is_ok_and(|copy| open::is_sound(&copy))
}

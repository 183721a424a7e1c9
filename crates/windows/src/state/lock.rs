//! One process at a time changes descriptors: reading one and writing it back are two steps.

use std::fs::File;
use std::sync::{Arc, PoisonError};

use super::{State, StateError};

/// The name of the file that is locked, in the state folder.
pub(super) const NAME: &str = "grants.lock";

/// Held by the process that changes descriptors; the next one goes on when it is dropped, or when its process ends.
#[derive(Debug)]
pub struct Changing {
    /// Closing it ends the lock. A state in memory has none: nobody else sees it.
    _file: Option<File>,
}

impl State {
    /// Waits until no other process changes descriptors. Within this process, whoever asks while it is held shares it.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn changing(&self) -> Result<Arc<Changing>, StateError> {
        let mut known = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.upgrade() {
            return Ok(held);
        }
        let folder = self.file().filter(|_| self.require_durable().is_ok()).and_then(|file| file.parent());
        let lock = |folder: &std::path::Path| {
            let path = folder.join(NAME);
            let failed = |error: std::io::Error| StateError::io("lock", &path, &error);
            let file =
                File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
            file.lock().map_err(failed)?;
            Ok(file)
        };
        let held = Arc::new(Changing { _file: folder.map(lock).transpose()? });
        *known = Arc::downgrade(&held);
        Ok(held)
    }
}

//! One process at a time changes descriptors: reading one and writing it back are two steps.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

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
    /// Waits until no other process changes descriptors, which takes minutes where another one grants a large folder;
    /// `waiting` is called once when it takes longer than a second. Within this process, whoever asks while it is held shares it.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn changing(&self, waiting: &dyn Fn()) -> Result<Arc<Changing>, StateError> {
        let mut known = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.upgrade() {
            return Ok(held);
        }
        let folder = self.file().filter(|_| self.require_durable().is_ok()).and_then(|file| file.parent());
        let lock = |folder: &Path| {
            let path = folder.join(NAME);
            let failed = |error: std::io::Error| StateError::io("lock", &path, &error);
            let file =
                File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
            wait(&file, &path, None, waiting)?;
            Ok(file)
        };
        let held = Arc::new(Changing { _file: folder.map(lock).transpose()? });
        *known = Arc::downgrade(&held);
        Ok(held)
    }
}

/// When whoever waits is told so.
const TELL: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);

/// Locks a file, waiting for another process at most so long.
///
/// # Errors
/// `state-busy` after that time, and what the system says.
pub(super) fn wait(
    file: &File,
    path: &Path,
    most: Option<Duration>,
    waiting: &dyn Fn(),
) -> Result<(), StateError> {
    let (begun, mut told) = (Instant::now(), false);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(StateError::io("lock", path, &error)),
        }
        let waited = begun.elapsed();
        if most.is_some_and(|most| waited >= most) {
            return Err(StateError::busy("lock", path));
        }
        if waited >= TELL && !std::mem::replace(&mut told, true) {
            waiting();
        }
        std::thread::sleep(STEP);
    }
}

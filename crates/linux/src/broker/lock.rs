//! One broker at a time. What a broker looked up must still hold when it acts, and another run may have a root in common.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// The lock of all runs of this user.
pub struct RunsLock(Option<OwnedFd>);

impl RunsLock {
    /// Wraps an opened lock file; without one there is nothing that runs could share.
    pub fn new(file: Option<OwnedFd>) -> Self {
        Self(file)
    }

    /// Waits until no other broker is at work.
    pub fn hold(&self) -> Held<'_> {
        if let Some(file) = &self.0 {
            // It fails only where the kernel is out of memory for locks, and then a single run is as safe as before.
            let _shared =
                rustix::io::retry_on_intr(|| rustix::fs::flock(file, FlockOperation::LockExclusive));
        }
        Held(self)
    }
}

/// Lets the next one go on when it is dropped.
pub struct Held<'a>(&'a RunsLock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(file) = &self.0.0 {
            let _unlocked = rustix::fs::flock(file.as_fd(), FlockOperation::Unlock);
        }
    }
}

/// Opens the lock file, and makes it if it is not there. Nobody can open it for reading, so that no command can hold the lock;
/// for writing it lies outside of all roots.
pub fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o200))
}

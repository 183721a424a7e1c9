//! One broker at a time. What a broker looked up must still hold when it acts, and another run may have a root in common.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// The lock of all runs of this user.
pub struct RunsLock(Option<OwnedFd>);

impl RunsLock {
    /// Wraps an opened lock file; without one there is nothing that runs could share.
    pub fn new(file: Option<OwnedFd>) -> Self {
        Self(file)
    }

    /// Takes the lock, if no other broker is at work or one soon ends its work (it takes microseconds). `None`: try again later.
    pub fn try_hold(&self) -> Option<Held<'_>> {
        const TRIES: u32 = 16;
        const PAUSE: Duration = Duration::from_micros(20);
        let Some(file) = &self.0 else { return Some(Held(self)) };
        for _ in 0..TRIES {
            match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PAUSE),
                // It fails otherwise only where the kernel is out of memory for locks, and then a single run is as safe as before.
                Ok(()) | Err(_) => return Some(Held(self)),
            }
        }
        None
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

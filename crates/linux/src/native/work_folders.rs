//! The work folders of the overlays over /tmp and /var/tmp.
//!
//! Runs of one workspace may meet. They share the upper folder, but overlayfs takes the work folder for its own, so each run
//! claims one that no other uses. What overlayfs leaves in it (three folders and a file) is removed by the run's own pid 1
//! when the launcher has been told of the end: nobody waits for the disk then. What a killed pid 1 left, the next claim removes.

use std::fs::Permissions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// Runs of one workspace at the same time, at most.
const MOST: u32 = 1024;

/// What overlayfs makes in the folder that it is given.
const OWN: &str = "work";

/// A work folder that no other run has, for as long as this value lives.
pub struct WorkFolder {
    /// Its path.
    pub path: PathBuf,
    /// Holds the lock.
    lock: OwnedFd,
}

/// The first folder below `work` that no run uses; a new one if all are in use.
pub fn claim(work: &Path) -> Result<WorkFolder, Errno> {
    for number in 0..MOST {
        let path = work.join(number.to_string());
        let lock = match open(&path) {
            Err(Errno::NOENT) => {
                make(&path)?;
                open(&path)?
            }
            other => other?,
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                remove_left(&lock, &path)?;
                return Ok(WorkFolder { path, lock });
            }
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::BUSY)
}

fn open(folder: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty())
}

fn make(folder: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdir(folder, Mode::RWXU) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What a pid 1 that was killed left.
fn remove_left(folder: &OwnedFd, path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, OWN, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(_filled) => {
            remove(&path.join(OWN)).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
    }
}

/// Overlayfs gives its own folders no permissions at all.
fn remove(folder: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

/// A work folder as its run can still clean it at the end, when the tree around it is read-only: a mount of its own.
pub struct Cleaner {
    folder: OwnedFd,
    _lock: OwnedFd,
}

impl Cleaner {
    /// `mount` is a writable clone of the folder, mounted nowhere.
    pub fn new(work: WorkFolder, mount: OwnedFd) -> Self {
        Self { folder: mount, _lock: work.lock }
    }

    /// The folder, for a Landlock rule.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Removes what a volatile overlay leaves where nothing went wrong; anything else is for the next claim.
    pub fn clean(&self) {
        let _for_the_next_claim = self.remove_usual();
    }

    fn remove_usual(&self) -> Result<(), Errno> {
        let at = &self.folder;
        for closed in ["work", "work/incompat", "work/incompat/volatile"] {
            rustix::fs::chmodat(at, closed, Mode::RWXU, AtFlags::empty())?;
        }
        rustix::fs::unlinkat(at, "work/incompat/volatile/dirty", AtFlags::empty())?;
        for left in ["work/incompat/volatile", "work/incompat", OWN] {
            rustix::fs::unlinkat(at, left, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What overlayfs leaves in `folder`.
    fn leave(folder: &Path) {
        let left = folder.join("work/incompat/volatile");
        std::fs::create_dir_all(&left).expect("the folder is ours");
        std::fs::write(left.join("dirty"), "").expect("the folder is ours");
        for closed in ["work/incompat/volatile", "work/incompat", "work"] {
            std::fs::set_permissions(folder.join(closed), Permissions::from_mode(0o000)).expect("ours");
        }
    }

    #[test]
    fn a_claimed_folder_is_nobody_elses_and_a_left_one_is_empty_for_the_next() {
        let base = tempfile::tempdir().expect("a temporary folder can be made");
        let first = claim(base.path()).expect("nothing is in the way");
        let second = claim(base.path()).expect("nothing is in the way");
        assert_ne!(first.path, second.path);
        leave(&first.path);
        let path = first.path.clone();
        drop(first);
        let again = claim(base.path()).expect("nothing is in the way");
        assert_eq!(again.path, path, "its run has ended");
        assert!(!path.join("work").exists(), "what the killed run left is gone");
        assert_ne!(second.path, path);
    }

    #[test]
    fn a_run_cleans_up_after_itself() {
        let base = tempfile::tempdir().expect("a temporary folder can be made");
        let work = claim(base.path()).expect("nothing is in the way");
        let path = work.path.clone();
        leave(&path);
        let folder = open(&path).expect("it exists");
        Cleaner::new(work, folder).clean();
        assert_eq!(std::fs::read_dir(&path).expect("it exists").count(), 0);
    }

    #[test]
    fn claims_of_many_threads_never_share_a_folder() {
        let base = tempfile::tempdir().expect("a temporary folder can be made");
        let taken = std::sync::Mutex::new(std::collections::HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let work = claim(base.path()).expect("there are numbers enough");
                        assert!(taken.lock().expect("no panic").insert(work.path.clone()), "it was free");
                        leave(&work.path);
                        taken.lock().expect("no panic").remove(&work.path);
                    }
                });
            }
        });
    }
}

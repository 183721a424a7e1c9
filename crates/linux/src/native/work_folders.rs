//! The work folders of the overlays over /tmp and /var/tmp: one for each run, and gone after it.
//!
//! Runs of one workspace may meet. They share the upper folder, but overlayfs takes the work folder for its own. What a run
//! leaves in it (a tree of three folders) is removed by a later run's launcher while that run's pid 1 is busy: freeing a
//! folder may wait for the disk, where the file system is mounted with `discard`.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::plan::{LinuxPlan, Mount};

/// Runs of one workspace at the same time, at most, with what earlier ones left behind.
const MOST: u32 = 1024;

/// A new folder below `work`, and the lock that says that it is in use.
pub fn claim(work: &Path) -> Result<(PathBuf, OwnedFd), Errno> {
    for number in 0..MOST {
        let folder = work.join(number.to_string());
        match rustix::fs::mkdir(&folder, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno),
        }
        // A sweeper may have been quicker; then the next number.
        if let Some(lock) = lock(&folder) {
            return Ok((folder, lock));
        }
    }
    Err(Errno::BUSY)
}

/// Locks a folder, if nobody else has.
fn lock(folder: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Between the two calls a sweeper may have removed it: then this is the lock of a folder without a name.
    let (opened, named) = (rustix::fs::fstat(&lock).ok()?, rustix::fs::lstat(folder).ok()?);
    (opened.st_ino == named.st_ino && opened.st_dev == named.st_dev).then_some(lock)
}

/// Removes the work folders of runs that have ended. What cannot be removed is left to the next run.
pub fn sweep(plan: &LinuxPlan) {
    plan.mounts.iter().for_each(sweep_mount);
}

fn sweep_mount(mount: &Mount) {
    let Mount::Overlay { work, .. } = mount else { return };
    let Ok(entries) = std::fs::read_dir(work) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        if let Some(_lock) = lock(&folder) {
            let _next_time = remove(&folder);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_although_others_sweep_all_the_time() {
        let base = tempfile::tempdir().expect("a temporary folder can be made");
        let work = base.path().to_path_buf();
        let overlay = Mount::Overlay { at: "/tmp".into(), upper: "/nowhere".into(), work: work.clone() };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep_mount(&overlay);
                }
            });
            for _ in 0..2000 {
                let (folder, _lock) = claim(&work).expect("there are numbers enough");
                assert!(folder.exists(), "a folder in use is not swept");
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn a_claimed_folder_is_nobody_elses_and_a_left_one_is_swept() {
        let base = tempfile::tempdir().expect("a temporary folder can be made");
        let work = base.path().to_path_buf();
        let (first, lock) = claim(&work).expect("nothing is in the way");
        let (second, other) = claim(&work).expect("nothing is in the way");
        assert_ne!(first, second);
        let left = first.join("work/incompat/volatile");
        std::fs::create_dir_all(&left).expect("the folder is ours");
        std::fs::write(left.join("dirty"), "").expect("the folder is ours");
        std::fs::set_permissions(first.join("work"), Permissions::from_mode(0o000)).expect("ours");
        let overlay = Mount::Overlay { at: "/tmp".into(), upper: "/nowhere".into(), work };
        sweep_mount(&overlay);
        assert!(first.exists() && second.exists(), "both are in use");
        drop(lock);
        sweep_mount(&overlay);
        assert!(!first.exists(), "its run has ended");
        assert!(second.exists(), "its run goes on");
        drop(other);
    }
}

//! Recognising git directories by what lies in them, as git itself does (setup.c: HEAD, objects, refs).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use codex_sandbox_policy::names::ProtectedNames;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::guard::{FileId, id_of};

/// How many levels above `dir` (0: itself) the nearest git directory lies, looking at `depth` levels, the root excluded.
/// Those in `made` were made in this run and do not count.
///
/// # Errors
/// The system's, where a level cannot be looked at: nobody can tell then.
pub fn nearest_above(
    dir: BorrowedFd<'_>,
    depth: usize,
    made: &HashSet<FileId>,
) -> Result<Option<usize>, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
    for level in 0..depth {
        if is_git_dir(at.as_fd()) && !was_made(at.as_fd(), made) {
            return Ok(Some(level));
        }
        if level + 1 < depth {
            at = rustix::fs::openat(&at, c"..", flags, Mode::empty())?;
        }
    }
    Ok(None)
}

/// What git looks for in a git directory.
const MARKS: [&str; 3] = ["HEAD", "objects", "refs"];

/// The other two marks, if `name` is one.
pub fn other_marks(name: &[u8]) -> Option<Vec<&'static str>> {
    let is = |mark: &&str| mark.as_bytes() == name;
    MARKS.iter().any(is).then(|| MARKS.into_iter().filter(|mark| !is(mark)).collect())
}

/// Whether git would take the folder for a git directory. What cannot be looked at counts as there.
fn is_git_dir(dir: BorrowedFd<'_>) -> bool {
    let missing = |name: &&str| {
        let stat = rustix::fs::statat(dir, *name, AtFlags::SYMLINK_NOFOLLOW);
        matches!(stat, Err(Errno::NOENT | Errno::NOTDIR))
    };
    !MARKS.iter().any(missing)
}

fn was_made(dir: BorrowedFd<'_>, made: &HashSet<FileId>) -> bool {
    rustix::fs::fstat(dir).is_ok_and(|stat| made.contains(&id_of(&stat)))
}

/// Entries that one search reads at most.
const MAX_ENTRIES: usize = 300_000;

/// Whether a protected name, or a git directory that this run did not make, lies in `dir` or below. `None`: too large to
/// tell. (What lies there would move along, and another could be put where it was.)
pub fn lies_below(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    made: &HashSet<FileId>,
    protected: &ProtectedNames,
) -> Option<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let top = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT | Errno::NOTDIR) => return Some(false),
        Err(_) => return None,
    };
    let mut left = MAX_ENTRIES;
    search(&top, made, protected, &mut left)
}

fn search(
    dir: &OwnedFd,
    made: &HashSet<FileId>,
    protected: &ProtectedNames,
    left: &mut usize,
) -> Option<bool> {
    // A folder made in this run holds nothing older: moving an old git directory into it was refused.
    if was_made(dir.as_fd(), made) {
        return Some(false);
    }
    if is_git_dir(dir.as_fd()) {
        return Some(true);
    }
    let entries = rustix::fs::Dir::read_from(dir).ok()?;
    for entry in entries {
        let entry = entry.ok()?;
        *left = left.checked_sub(1)?;
        let name = entry.file_name();
        if protected.find(name.to_bytes()).is_some() {
            return Some(true);
        }
        let skip = matches!(name.to_bytes(), b"." | b"..");
        if skip || !matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(dir, name, flags, Mode::empty()) {
            Ok(child) => {
                if search(&child, made, protected, left)? {
                    return Some(true);
                }
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Not readable, or too deep: nobody can tell what lies there.
            Err(_) => return None,
        }
    }
    Some(false)
}

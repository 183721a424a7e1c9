//! Recognising git directories by what lies in them, as git itself does (setup.c: HEAD, objects, refs).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use codex_sandbox_policy::names::ProtectedNames;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::guard::MadeFolders;

/// How many levels above `dir` (0: itself) the nearest git directory lies, looking at `depth` levels, the root excluded.
/// Those in `made` were made in this run and do not count.
///
/// # Errors
/// The system's, where a level cannot be looked at: nobody can tell then.
pub fn nearest_above(dir: BorrowedFd<'_>, depth: usize, made: &MadeFolders) -> Result<Option<usize>, Errno> {
    let mut at: Option<OwnedFd> = None;
    for level in 0..depth {
        let climbed = level % CLIMB;
        if level > 0 && climbed == 0 {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let from = at.as_ref().map_or(dir, AsFd::as_fd);
            at = Some(rustix::fs::openat(from, &UP[..3 * CLIMB - 1], flags, Mode::empty())?);
        }
        let from = at.as_ref().map_or(dir, AsFd::as_fd);
        let up = &UP[..3 * climbed];
        if is_git_dir(from, up) && !was_made(from, up, made) {
            return Ok(Some(level));
        }
    }
    Ok(None)
}

/// Levels that are looked at from one descriptor: opening each costs more, and a long way up is slow to walk anew each time.
const CLIMB: usize = 8;
/// The way up so many levels.
const UP: &str = "../../../../../../../../";

/// What git looks for in a git directory.
const MARKS: [&str; 3] = ["HEAD", "objects", "refs"];

/// The other two marks, if `name` is one.
pub fn other_marks(name: &[u8]) -> Option<Vec<&'static str>> {
    let is = |mark: &&str| mark.as_bytes() == name;
    MARKS.iter().any(is).then(|| MARKS.into_iter().filter(|mark| !is(mark)).collect())
}

/// Whether git would take the folder, `way` (empty, or with a closing slash) from `dir`, for a git directory. What cannot be
/// looked at counts as there.
fn is_git_dir(dir: BorrowedFd<'_>, way: &str) -> bool {
    let missing = |name: &&str| {
        let stat = rustix::fs::statat(dir, format!("{way}{name}"), AtFlags::SYMLINK_NOFOLLOW);
        matches!(stat, Err(Errno::NOENT | Errno::NOTDIR))
    };
    !MARKS.iter().any(missing)
}

fn was_made(dir: BorrowedFd<'_>, way: &str, made: &MadeFolders) -> bool {
    made.holds(dir, &format!("{way}."))
}

/// Levels that one search goes down at most: no path that a program writes down is longer, and each takes stack.
const MAX_DEPTH: usize = 2048;
/// Entries that one search reads at most.
const MAX_ENTRIES: usize = 300_000;

/// Whether a protected name, or a git directory that this run did not make, lies in `dir` or below. `None`: too large to
/// tell. (What lies there would move along, and another could be put where it was.)
pub fn lies_below(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    made: &MadeFolders,
    protected: &ProtectedNames,
) -> Option<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let top = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT | Errno::NOTDIR) => return Some(false),
        Err(_) => return None,
    };
    let mut left = MAX_ENTRIES;
    search(&top, made, protected, &mut left, MAX_DEPTH)
}

fn search(
    dir: &OwnedFd,
    made: &MadeFolders,
    protected: &ProtectedNames,
    left: &mut usize,
    depth: usize,
) -> Option<bool> {
    let deeper = depth.checked_sub(1)?;
    // A folder made in this run holds nothing older: moving an old git directory into it was refused.
    if was_made(dir.as_fd(), "", made) {
        return Some(false);
    }
    if is_git_dir(dir.as_fd(), "") {
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
                if search(&child, made, protected, left, deeper)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_git_directory_above_is_found_at_any_depth() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let base =
            rustix::fs::open(folder.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("made");
        let mut path = folder.path().join("bare");
        for mark in MARKS {
            std::fs::create_dir_all(path.join(mark)).expect("made");
        }
        for depth in 0..30 {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let dir = rustix::fs::open(&path, flags, Mode::empty()).expect("made");
            let above = |depth, made: &MadeFolders| nearest_above(dir.as_fd(), depth, made);
            assert_eq!(above(depth + 1, &MadeFolders::default()), Ok(Some(depth)));
            assert_eq!(above(depth, &MadeFolders::default()), Ok(None), "no further than it was asked");
            let mut made = MadeFolders::default();
            made.made(base.as_fd(), c"bare");
            assert_eq!(above(depth + 1, &made), Ok(None), "this run made it");
            path.push("d");
            std::fs::create_dir(&path).expect("made");
        }
    }
}

//! Files with several hard links: writing one name writes all, and a name outside the roots would be written from inside.
//!
//! No call tells where the other names are. The first write to such a file reads through its root once and counts names;
//! a file all of whose links were found inside may be written. Runs that never do this never pay for it.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use codex_sandbox_policy::rules::{Access, PathRules, Rule};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags};

use super::guard::{Born, FileId, born, id_of};
use crate::sys;

/// Entries that the search of one root reads at most.
const MAX_ENTRIES: usize = 1_000_000;

/// What is known about files with several links.
#[derive(Default)]
pub struct KnownLinks {
    /// Names found, or made in this run, in writable places.
    names: HashMap<FileId, Names>,
    /// Roots that were read through.
    searched: Vec<PathBuf>,
}

/// How many names of a file are known, and when the file was made: its number may become another file's.
#[derive(Clone, Copy)]
struct Names {
    count: u64,
    born: Born,
}

fn mount_of(fd: BorrowedFd<'_>) -> Option<u64> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

impl KnownLinks {
    /// Whether all links of the file are known to lie in writable places.
    pub fn all_inside(&mut self, fd: BorrowedFd<'_>, stat: &Stat, root: &Path, rules: &PathRules) -> bool {
        let Some(born) = born(fd, c"") else { return false };
        let enough = |known: &Self| {
            let names = known.names.get(&id_of(stat));
            names.is_some_and(|names| names.born == born && names.count >= sys::link_count(stat))
        };
        if enough(self) {
            return true;
        }
        if self.searched.iter().any(|searched| searched == root) {
            return false;
        }
        self.searched.push(root.to_path_buf());
        self.search(root, rules);
        enough(self)
    }

    /// A link was made in this run. `before` is the file's metadata from before.
    pub fn linked(&mut self, fd: BorrowedFd<'_>, before: &Stat) {
        let Some(born) = born(fd, c"") else { return };
        if before.st_nlink == 1 {
            self.names.insert(id_of(before), Names { count: 2, born });
        } else if let Some(names) = self.names.get_mut(&id_of(before)).filter(|names| names.born == born) {
            names.count += 1;
        }
    }

    /// One of the file's names was removed in this run. `before` is its metadata from before.
    pub fn unlinked(&mut self, before: &Stat) {
        if let Some(names) = self.names.get_mut(&id_of(before)) {
            names.count = names.count.saturating_sub(1);
        }
    }

    fn search(&mut self, root: &Path, rules: &PathRules) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(top) = rustix::fs::open(root, flags, Mode::empty()) else { return };
        let Some(mount) = mount_of(top.as_fd()) else { return };
        let mut found = HashMap::new();
        let mut left = MAX_ENTRIES;
        let mut path = root.to_path_buf();
        read_through(&top, &mut path, mount, rules, &mut found, &mut left);
        // What this run counted itself is exact; a search may come later and know less.
        for (id, names) in found {
            let known = self.names.entry(id).or_insert(names);
            if known.born != names.born || known.count < names.count {
                *known = names;
            }
        }
    }
}

fn read_through(
    dir: &OwnedFd,
    path: &mut PathBuf,
    mount: u64,
    rules: &PathRules,
    found: &mut HashMap<FileId, Names>,
    left: &mut usize,
) {
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let Some(rest) = left.checked_sub(1) else { return };
        *left = rest;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        path.push(std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes()) as &std::ffi::OsStr);
        let writable = writable(rules, path);
        match entry.file_type() {
            // Deeper than any path that a program writes down; each level takes stack.
            FileType::Directory if writable && path.as_os_str().len() < 2 * 4096 => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                if let Ok(child) = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty())
                    // What a bind mount shows again would be counted twice.
                    && mount_of(child.as_fd()) == Some(mount)
                {
                    read_through(&child, path, mount, rules, found, left);
                }
            }
            FileType::RegularFile if writable => {
                if let Ok(stat) = rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
                    && stat.st_nlink > 1
                    && let Some(born) = born(dir.as_fd(), name)
                {
                    found.entry(id_of(&stat)).or_insert(Names { count: 0, born }).count += 1;
                }
            }
            _ => {}
        }
        path.pop();
    }
}

/// Only names that may be written count: a second name inside `.git` is a reason to refuse.
fn writable(rules: &PathRules, path: &Path) -> bool {
    let verdict = rules.decide(path);
    verdict.access == Access::Write && matches!(verdict.rule, Rule::Root { .. })
}

//! Files with several hard links: writing one name writes all, and a name outside the roots would be written from inside.
//!
//! No call tells where the other names are. The first write to such a file reads through its root once and counts names;
//! a file all of whose links were found inside may be written. Runs that never do this never pay for it.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use codex_sandbox_policy::rules::{Access, PathRules, Rule};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::guard::{FileId, id_of};
use crate::sys;

/// Entries that the search of one root reads at most.
const MAX_ENTRIES: usize = 1_000_000;

/// What is known about files with several links.
#[derive(Default)]
pub struct KnownLinks {
    /// Names found, or made in this run, in writable places.
    names: HashMap<FileId, u64>,
    /// Roots that were read through.
    searched: Vec<PathBuf>,
}

impl KnownLinks {
    /// Whether all links of the file are known to lie in writable places.
    pub fn all_inside(&mut self, stat: &Stat, root: &Path, rules: &PathRules) -> bool {
        let enough =
            |known: &Self| known.names.get(&id_of(stat)).is_some_and(|names| *names >= sys::link_count(stat));
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
    pub fn linked(&mut self, before: &Stat) {
        if before.st_nlink == 1 {
            self.names.insert(id_of(before), 2);
        } else if let Some(names) = self.names.get_mut(&id_of(before)) {
            *names += 1;
        }
    }

    /// One of the file's names was removed in this run. `before` is its metadata from before.
    pub fn unlinked(&mut self, before: &Stat) {
        if let Some(names) = self.names.get_mut(&id_of(before)) {
            *names = names.saturating_sub(1);
        }
    }

    fn search(&mut self, root: &Path, rules: &PathRules) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(top) = rustix::fs::open(root, flags, Mode::empty()) else { return };
        let device = rustix::fs::fstat(&top).map_or(0, |stat| stat.st_dev);
        let mut found = HashMap::new();
        let mut left = MAX_ENTRIES;
        let mut path = root.to_path_buf();
        read_through(&top, &mut path, device, rules, &mut found, &mut left);
        // What this run counted itself is exact; a search may come later and know less.
        for (id, names) in found {
            let known = self.names.entry(id).or_insert(0);
            *known = (*known).max(names);
        }
    }
}

fn read_through(
    dir: &OwnedFd,
    path: &mut PathBuf,
    device: u64,
    rules: &PathRules,
    found: &mut HashMap<FileId, u64>,
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
            FileType::Directory if writable => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                if let Ok(child) = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty())
                    && rustix::fs::fstat(&child).is_ok_and(|stat| stat.st_dev == device)
                {
                    read_through(&child, path, device, rules, found, left);
                }
            }
            FileType::RegularFile if writable => {
                if let Ok(stat) = rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
                    && stat.st_nlink > 1
                {
                    *found.entry(id_of(&stat)).or_insert(0) += 1;
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

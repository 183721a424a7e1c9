//! Who may do what at a path, and by which rule. Pure, and quick enough for the broker's every call.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::git::{self, GitFile};
use crate::names::ProtectedNames;
use crate::policy::GitMode;

/// What a path allows, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Not even readable.
    DenyRead,
    /// Readable as the user may read.
    Read,
    /// Writable as the user may write.
    Write,
}

/// Why a path has its access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum Rule {
    /// No rule names the path: everything may be read, nothing written.
    Default,
    /// Inside a root.
    Root {
        /// The root.
        root: PathBuf,
    },
    /// Inside the private temporary folder, or another place that belongs to the sandbox alone (`/dev/shm`).
    Private {
        /// The folder.
        root: PathBuf,
    },
    /// A protected name, or something below one.
    Protected {
        /// The path of the protected name itself.
        path: PathBuf,
        /// The name as the policy has it.
        name: String,
    },
    /// A git directory that a `.git` file or link points to, or something below it.
    GitDir {
        /// The git directory.
        path: PathBuf,
    },
    /// Git's own data under `git = "commit"`.
    GitData {
        /// The git directory.
        path: PathBuf,
    },
    /// A file of a git directory from which git runs code.
    GitCode {
        /// The git directory.
        path: PathBuf,
        /// What git does with it.
        why: String,
    },
    /// A path that the command cannot read.
    DenyRead {
        /// The path that the policy names.
        path: PathBuf,
    },
}

/// An access and the rule that decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What the path allows.
    pub access: Access,
    /// Why.
    #[serde(flatten)]
    pub rule: Rule,
}

/// One absolute path with its access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A folder that may be written, with protected names inside.
    Root(PathBuf),
    /// A folder that belongs to the sandbox alone; no name is protected inside.
    Private(PathBuf),
    /// A git directory outside the usual name.
    GitDir(PathBuf),
    /// What a protected name that is a link leads to: as read-only as the name.
    Sealed {
        /// The file or folder.
        path: PathBuf,
        /// The protected name.
        name: String,
    },
    /// Not readable.
    DenyRead(PathBuf),
}

impl Entry {
    fn path(&self) -> &Path {
        match self {
            Self::Root(path)
            | Self::Private(path)
            | Self::GitDir(path)
            | Self::Sealed { path, .. }
            | Self::DenyRead(path) => path,
        }
    }

    /// At the same path deny-read beats read-only beats writable.
    fn rank(&self) -> u8 {
        match self {
            Self::DenyRead(_) => 4,
            Self::Sealed { .. } => 3,
            Self::GitDir(_) => 2,
            Self::Root(_) => 1,
            Self::Private(_) => 0,
        }
    }
}

/// The rules of one resolved policy. Paths are absolute and canonical.
#[derive(Debug, Clone)]
pub struct PathRules {
    /// Most specific first, so that the first hit decides.
    entries: Vec<Entry>,
    protected: ProtectedNames,
    git: GitMode,
}

impl PathRules {
    /// Orders `entries`; all their paths must be absolute and canonical.
    pub fn new(mut entries: Vec<Entry>, protected: ProtectedNames, git: GitMode) -> Self {
        entries.sort_by_key(|entry| {
            (std::cmp::Reverse(entry.path().components().count()), std::cmp::Reverse(entry.rank()))
        });
        Self { entries, protected, git }
    }

    /// The protected names.
    pub fn protected(&self) -> &ProtectedNames {
        &self.protected
    }

    /// `sandbox.git`.
    pub fn git(&self) -> GitMode {
        self.git
    }

    /// Decides about `path`, which must be absolute, canonical and free of `.` and `..`. It need not exist.
    pub fn decide(&self, path: &Path) -> Verdict {
        let Some(entry) = self.entries.iter().find(|entry| path.starts_with(entry.path())) else {
            return Verdict { access: Access::Read, rule: Rule::Default };
        };
        match entry {
            Entry::DenyRead(denied) => {
                Verdict { access: Access::DenyRead, rule: Rule::DenyRead { path: denied.clone() } }
            }
            Entry::GitDir(dir) => self.inside_git_dir(dir, path, None),
            Entry::Sealed { path, name } => protected(path.clone(), OsStr::new(name)),
            Entry::Private(root) => {
                Verdict { access: Access::Write, rule: Rule::Private { root: root.clone() } }
            }
            Entry::Root(root) => self.inside_root(root, path),
        }
    }

    fn inside_root(&self, root: &Path, path: &Path) -> Verdict {
        match self.protected_below(root, path) {
            None => Verdict { access: Access::Write, rule: Rule::Root { root: root.to_path_buf() } },
            Some((at, name)) if self.is_git(name) => self.inside_git_dir(&at, path, Some(name)),
            Some((at, name)) => protected(at, name),
        }
    }

    /// The first protected component of `path` below `root`, with its full path. A root that itself *is* a protected name
    /// is covered too: at the same path read-only beats writable.
    fn protected_below<'a>(&'a self, root: &Path, path: &Path) -> Option<(PathBuf, &'a OsStr)> {
        if let Some(name) = root.file_name().and_then(|name| self.protected.find(name.as_encoded_bytes())) {
            return Some((root.to_path_buf(), name));
        }
        let below = path.strip_prefix(root).ok()?;
        let mut at = None;
        for (depth, component) in below.components().enumerate() {
            if let Some(name) = self.protected.find(component.as_os_str().as_encoded_bytes()) {
                at = Some((depth, name));
                break;
            }
        }
        let (depth, name) = at?;
        Some((root.join(below.components().take(depth + 1).collect::<PathBuf>()), name))
    }

    fn is_git(&self, name: &OsStr) -> bool {
        name.eq_ignore_ascii_case(".git")
    }

    fn inside_git_dir(&self, dir: &Path, path: &Path, name: Option<&OsStr>) -> Verdict {
        let whole = || match name {
            Some(name) => protected(dir.to_path_buf(), name),
            None => Verdict { access: Access::Read, rule: Rule::GitDir { path: dir.to_path_buf() } },
        };
        if self.git == GitMode::Protect {
            return whole();
        }
        let rel = path.strip_prefix(dir).map(|rel| rel.as_os_str().as_encoded_bytes()).unwrap_or_default();
        // The git directory itself is never renamed, removed or replaced.
        if rel.is_empty() {
            return whole();
        }
        // No protected name below: a whole folder could be moved out with one in it.
        let below = rel.split(|byte| *byte == b'/').find_map(|part| self.protected.find(part));
        if let Some(name) = below {
            return protected(path.to_path_buf(), name);
        }
        match git::classify(rel) {
            GitFile::RunsCode(why) => Verdict {
                access: Access::Read,
                rule: Rule::GitCode { path: dir.to_path_buf(), why: why.to_owned() },
            },
            GitFile::Commondir => Verdict {
                access: Access::Read,
                rule: Rule::GitCode {
                    path: dir.to_path_buf(),
                    why: "says where configuration and hooks are".to_owned(),
                },
            },
            GitFile::Data | GitFile::Index | GitFile::Object => {
                Verdict { access: Access::Write, rule: Rule::GitData { path: dir.to_path_buf() } }
            }
        }
    }
}

fn protected(path: PathBuf, name: &OsStr) -> Verdict {
    Verdict {
        access: Access::Read,
        rule: Rule::Protected { path, name: name.to_string_lossy().into_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(git: GitMode) -> PathRules {
        let entries = vec![
            Entry::Root("/w".into()),
            Entry::Private("/t".into()),
            Entry::GitDir("/w/store".into()),
            Entry::DenyRead("/w/secret".into()),
            Entry::Root("/w/secret/open".into()),
        ];
        PathRules::new(entries, ProtectedNames::new([".git", ".codex"]), git)
    }

    fn access(path: &str) -> Access {
        rules(GitMode::Protect).decide(Path::new(path)).access
    }

    #[test]
    fn the_most_specific_path_wins() {
        assert_eq!(access("/etc/passwd"), Access::Read);
        assert_eq!(access("/w/a"), Access::Write);
        assert_eq!(access("/wide"), Access::Read);
        assert_eq!(access("/w/secret/x"), Access::DenyRead);
        assert_eq!(access("/w/secret/open/x"), Access::Write);
        assert_eq!(access("/w/store/config"), Access::Read);
    }

    #[test]
    fn protected_names_hold_at_any_depth_but_not_in_private_folders() {
        assert_eq!(access("/w/.git"), Access::Read);
        assert_eq!(access("/w/a/b/.GIT/config"), Access::Read);
        assert_eq!(access("/w/secret/open/.codex"), Access::Read);
        assert_eq!(access("/t/.git/config"), Access::Write);
    }

    #[test]
    fn git_commit_opens_data_and_keeps_code() {
        let rules = rules(GitMode::Commit);
        assert_eq!(rules.decide(Path::new("/w/.git/index")).access, Access::Write);
        assert_eq!(rules.decide(Path::new("/w/.git")).access, Access::Read);
        assert_eq!(rules.decide(Path::new("/w/x/.git/hooks/post-commit")).access, Access::Read);
        assert_eq!(rules.decide(Path::new("/w/store/objects/aa/b")).access, Access::Write);
        assert_eq!(rules.decide(Path::new("/w/.codex/x")).access, Access::Read);
    }

    #[test]
    fn a_root_that_is_a_protected_name_stays_read_only() {
        let rules = PathRules::new(
            vec![Entry::Root("/w/.git".into())],
            ProtectedNames::new([".git"]),
            GitMode::Protect,
        );
        assert_eq!(rules.decide(Path::new("/w/.git/x")).access, Access::Read);
    }
}

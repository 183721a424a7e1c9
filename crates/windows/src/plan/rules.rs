//! What the policy says about a Windows path, and by which rule. The same rules as `codex_sandbox_policy::rules`, whose
//! paths are those of the system that the program was built for.

use codex_sandbox_policy::git::{self, GitFile};
use codex_sandbox_policy::names::ProtectedNames;
use codex_sandbox_policy::{Access, GitMode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::WinPath;

/// Why a path has its access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "rule", deny_unknown_fields)]
pub enum Rule {
    /// No rule names the path: it may be read as the user may, and not written.
    Default,
    /// Inside a root.
    Root {
        /// The root.
        root: WinPath,
    },
    /// Inside a folder that belongs to the sandbox alone.
    Private {
        /// The folder.
        root: WinPath,
    },
    /// A protected name, or something below one.
    Protected {
        /// The path of the protected name itself.
        path: WinPath,
        /// The name as the policy has it.
        name: String,
    },
    /// A git directory that a `.git` file points to, or something below it.
    GitDir {
        /// The git directory.
        path: WinPath,
    },
    /// Git's own data under `git = "commit"`.
    GitData {
        /// The git directory.
        path: WinPath,
    },
    /// A file of a git directory from which git runs code.
    GitCode {
        /// The git directory.
        path: WinPath,
        /// What git does with it.
        why: String,
    },
    /// A path that the command cannot read.
    DenyRead {
        /// The path that the policy names.
        path: WinPath,
    },
}

impl Rule {
    /// The rule in words.
    pub fn words(&self) -> String {
        match self {
            Self::Default => "no rule names the path: readable as you may read, not writable".to_owned(),
            Self::Root { root } => format!("inside the writable root {root}"),
            Self::Private { root } => format!("inside {root}, which belongs to the sandbox alone"),
            Self::Protected { path, name } => format!("{path} is the protected name {name}"),
            Self::GitDir { path } => format!("{path} is a git directory that a .git file points to"),
            Self::GitData { path } => format!("git's own data in {path}, writable under git = \"commit\""),
            Self::GitCode { path, why } => format!("git runs code from it ({why}), in {path}"),
            Self::DenyRead { path } => format!("{path} is on the deny_read list"),
        }
    }
}

/// An access and the rule that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the path allows.
    pub access: Access,
    /// Why.
    pub rule: Rule,
}

/// One path with its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder that may be written, with protected names inside.
    Root(WinPath),
    /// A folder that belongs to the sandbox alone; no name is protected inside.
    Private(WinPath),
    /// A git directory outside the usual name.
    GitDir(WinPath),
    /// Not readable.
    DenyRead(WinPath),
}

impl Entry {
    /// Where.
    pub fn path(&self) -> &WinPath {
        match self {
            Self::Root(path) | Self::Private(path) | Self::GitDir(path) | Self::DenyRead(path) => path,
        }
    }

    /// At the same path deny-read beats read-only beats writable.
    fn rank(&self) -> u8 {
        match self {
            Self::DenyRead(_) => 3,
            Self::GitDir(_) => 2,
            Self::Root(_) => 1,
            Self::Private(_) => 0,
        }
    }
}

/// The rules of one policy on one host.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Most specific first, so that the first hit decides.
    entries: Vec<Entry>,
    protected: ProtectedNames,
    git: GitMode,
}

impl Rules {
    /// Orders `entries`, whose paths are those of real objects, no aliases and no links.
    pub fn new(mut entries: Vec<Entry>, protected: &[String], git: GitMode) -> Self {
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.path().depth(), entry.rank())));
        Self { entries, protected: ProtectedNames::new(protected.iter().map(String::as_str)), git }
    }

    /// Decides about a path, which need not exist.
    pub fn decide(&self, path: &WinPath) -> Verdict {
        let Some(entry) = self.entries.iter().find(|entry| path.is_in(entry.path())) else {
            return Verdict { access: Access::Read, rule: Rule::Default };
        };
        match entry {
            Entry::DenyRead(denied) => {
                Verdict { access: Access::DenyRead, rule: Rule::DenyRead { path: denied.clone() } }
            }
            Entry::GitDir(dir) => self.inside_git_dir(dir, path, None),
            Entry::Private(root) => {
                Verdict { access: Access::Write, rule: Rule::Private { root: root.clone() } }
            }
            Entry::Root(root) => self.inside_root(root, path),
        }
    }

    /// What the policy allows at `path`.
    pub fn access(&self, path: &WinPath) -> Access {
        self.decide(path).access
    }

    /// The protected name that a component is a spelling of.
    pub fn protected_name(&self, component: &str) -> Option<String> {
        self.protected.find(component.as_bytes()).map(|name| name.to_string_lossy().into_owned())
    }

    /// Whether the component is a spelling of `.git`, and that is protected.
    pub fn is_protected_git(&self, component: &str) -> bool {
        self.protected_name(component).is_some_and(|name| is_git(&name))
    }

    fn inside_root(&self, root: &WinPath, path: &WinPath) -> Verdict {
        match self.protected_below(root, path) {
            None => Verdict { access: Access::Write, rule: Rule::Root { root: root.clone() } },
            Some((at, name)) if is_git(&name) => self.inside_git_dir(&at, path, Some(name)),
            Some((at, name)) => protected(at, name),
        }
    }

    /// The first protected component from the root down. A root that itself has a protected name is covered too.
    fn protected_below(&self, root: &WinPath, path: &WinPath) -> Option<(WinPath, String)> {
        if let Some(name) = root.name().and_then(|name| self.protected_name(name)) {
            return Some((root.clone(), name));
        }
        let mut at = root.clone();
        for component in path.below(root)? {
            at = at.join(component);
            if let Some(name) = self.protected_name(component) {
                return Some((at, name));
            }
        }
        None
    }

    fn inside_git_dir(&self, dir: &WinPath, path: &WinPath, name: Option<String>) -> Verdict {
        // The git directory itself is never renamed, removed or replaced.
        if self.git == GitMode::Protect || path == dir {
            return match name {
                Some(name) => protected(dir.clone(), name),
                None => Verdict { access: Access::Read, rule: Rule::GitDir { path: dir.clone() } },
            };
        }
        let rel = path.below(dir).unwrap_or_default().join("/");
        match git::classify(rel.as_bytes()) {
            GitFile::RunsCode(why) => git_code(dir, why),
            // Its content cannot be checked by an ACL, so the file cannot be written at all here.
            GitFile::Commondir => git_code(dir, "moves configuration and hooks elsewhere"),
            // No ACL looks through an index, or lets a file be made once and then stay.
            GitFile::Data | GitFile::Index | GitFile::Object => {
                Verdict { access: Access::Write, rule: Rule::GitData { path: dir.clone() } }
            }
        }
    }
}

fn is_git(name: &str) -> bool {
    name.eq_ignore_ascii_case(".git")
}

fn protected(path: WinPath, name: String) -> Verdict {
    Verdict { access: Access::Read, rule: Rule::Protected { path, name } }
}

fn git_code(dir: &WinPath, why: &str) -> Verdict {
    Verdict { access: Access::Read, rule: Rule::GitCode { path: dir.clone(), why: why.to_owned() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> WinPath {
        WinPath::absolute(text).unwrap()
    }

    fn access(git: GitMode, text: &str) -> Access {
        let entries = vec![
            Entry::Root(path(r"C:\w")),
            Entry::Private(path(r"C:\t")),
            Entry::GitDir(path(r"C:\w\store")),
            Entry::DenyRead(path(r"C:\w\secret")),
            Entry::Root(path(r"C:\w\secret\open")),
        ];
        Rules::new(entries, &[".git".into(), ".codex".into()], git).access(&path(text))
    }

    #[test]
    fn the_most_specific_path_wins_in_any_letter_case() {
        for (text, expected) in [
            (r"C:\Windows", Access::Read),
            (r"c:\W\A", Access::Write),
            (r"C:\wide", Access::Read),
            (r"C:\w\SECRET\x", Access::DenyRead),
            (r"C:\w\secret\open\x", Access::Write),
            (r"C:\w\store\config", Access::Read),
            (r"C:\w\a\b\.GIT\config", Access::Read),
            (r"C:\w\secret\open\.codex", Access::Read),
            (r"C:\t\.git\config", Access::Write),
        ] {
            assert_eq!(access(GitMode::Protect, text), expected, "{text}");
        }
    }

    #[test]
    fn git_commit_opens_data_and_keeps_what_runs_code() {
        for (text, expected) in [
            (r"C:\w\.git\index", Access::Write),
            (r"C:\w\.git", Access::Read),
            (r"C:\w\x\.git\hooks\post-commit", Access::Read),
            (r"C:\w\.git\worktrees\a\commondir", Access::Read),
            (r"C:\w\store\objects\aa\b", Access::Write),
        ] {
            assert_eq!(access(GitMode::Commit, text), expected, "{text}");
        }
    }
}

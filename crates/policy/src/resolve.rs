//! From what the user wrote to absolute, canonical paths, with the help of facts about the host.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::names::ProtectedNames;
use crate::policy::{AllowedHost, GitMode, Limits, Mode, Origin};
use crate::rules::{Entry, PathRules};

/// What the resolver must know about the host; looked up by the caller, so that resolving stays pure and testable.
pub trait PathFacts {
    /// The canonical absolute path (every symbolic link resolved), as realpath(3).
    ///
    /// # Errors
    /// The system's error when the path does not exist or cannot be reached.
    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf>;
    /// What stands at `path` itself (a final symbolic link is not followed), or `None`.
    fn kind(&self, path: &Path) -> Option<Kind>;
    /// The content of a small file (a `.git` pointer); at most 4 KiB are read.
    ///
    /// # Errors
    /// The system's error.
    fn read_small(&self, path: &Path) -> std::io::Result<Vec<u8>>;
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
}

/// Where a run happens; all paths as the host spells them.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The working directory, absolute; it is the workspace in `workspace-write`.
    pub cwd: PathBuf,
    /// The home folder, if there is one.
    pub home: Option<PathBuf>,
    /// The host's TMPDIR, if set.
    pub tmpdir: Option<PathBuf>,
    /// Folder that holds our private temporary folders (created by the enforcement, not here).
    pub state: PathBuf,
}

/// A root after resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Canonical path.
    pub path: PathBuf,
    /// Where it was asked for.
    pub origin: Origin,
}

/// What temporary folders are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temp {
    /// The private folder of this workspace (`None`: given up by `exclude_tmpdir_env_var = true`, or the host's is open).
    pub private: Option<PathBuf>,
    /// Whether /tmp and /var/tmp become private overlays.
    pub overlay: bool,
}

/// A git directory that a pointer in a root leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitDir {
    /// Canonical path of the git directory.
    pub path: PathBuf,
    /// The `.git` file or link that points to it.
    pub pointer: PathBuf,
}

/// A policy whose paths are absolute and canonical: everything that a plan is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `sandbox_mode`.
    pub mode: Mode,
    /// The working directory, canonical.
    pub cwd: PathBuf,
    /// Writable folders, no one inside another unless a deny-read path lies between; sorted by path.
    pub roots: Vec<Root>,
    /// Temporary folders.
    pub temp: Temp,
    /// Protected names.
    pub protected: Vec<String>,
    /// `sandbox.git`.
    pub git: GitMode,
    /// Git directories behind `.git` files and links at the top of the roots.
    pub git_dirs: Vec<GitDir>,
    /// Paths that cannot be read, canonical where they exist.
    pub deny_read: Vec<PathBuf>,
    /// Outbound network.
    pub network_access: bool,
    /// Hosts that stay reachable.
    pub network_allow: Vec<AllowedHost>,
    /// Bounds.
    pub limits: Limits,
    /// What the user should hear before the run (one line each).
    pub notices: Vec<String>,
}

impl Resolved {
    /// The path rules. `private` names further folders that belong to the sandbox alone (`/dev/shm`, overlays of `/tmp`).
    pub fn rules(&self, private: &[PathBuf]) -> PathRules {
        let mut entries: Vec<Entry> = self.roots.iter().map(|root| Entry::Root(root.path.clone())).collect();
        entries.extend(self.temp.private.iter().cloned().map(Entry::Private));
        entries.extend(private.iter().cloned().map(Entry::Private));
        entries.extend(self.git_dirs.iter().map(|dir| Entry::GitDir(dir.path.clone())));
        entries.extend(self.deny_read.iter().cloned().map(Entry::DenyRead));
        PathRules::new(entries, ProtectedNames::new(self.protected.iter().cloned()), self.git)
    }
}

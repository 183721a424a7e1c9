//! What the machine offers, as plain data that a plan is made from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whether an ordinary process may make user namespaces here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub enum UserNamespaces {
    /// Nobody tried; a run tries, and plans again when it is refused.
    Untested,
    /// A trial worked.
    Available,
    /// Refused, with the system call, its error and the setting behind it where known.
    Refused(String),
}

/// Who runs, and which ids the new user namespace maps (each to itself).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// For root: the ranges (first id, count) that exist in the launcher's own namespace. Empty: only the own ids.
    pub uid_ranges: Vec<(u32, u32)>,
    /// The same for groups.
    pub gid_ranges: Vec<(u32, u32)>,
}

/// Where limits of a whole tree can be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Cgroups {
    /// A cgroup v2 folder in which we may make children with these controllers.
    V2 {
        /// The folder.
        dir: PathBuf,
        /// `memory` is delegated.
        memory: bool,
        /// `pids` is delegated.
        pids: bool,
    },
    /// Not delegated; the reason.
    None {
        /// Why.
        why: String,
    },
}

/// Facts about the machine. They do not change while it runs (but for sysctls).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Kernel release, as uname(2).
    pub kernel: String,
    /// User namespaces.
    pub user_namespaces: UserNamespaces,
    /// Landlock's ABI version; 0 where there is none.
    pub landlock_abi: u32,
    /// SECCOMP_RET_USER_NOTIF with SECCOMP_ADDFD_FLAG_SEND (Linux 5.14).
    pub seccomp_notify: bool,
    /// Whether a seccomp listener already watches this process (we are inside a sandbox of our own).
    pub nested: bool,
    /// Who runs.
    pub identity: Identity,
    /// Cgroups.
    pub cgroups: Cgroups,
}

/// What the paths that matter for one run look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Protected names that exist at the top of a root, as real files or folders (not links).
    pub protected: Vec<PathBuf>,
    /// Deny-read paths that exist, with whether each is a folder.
    pub deny_read: Vec<(PathBuf, bool)>,
    /// /tmp and /var/tmp, those that are folders of their own, with whether anything is in them.
    pub temp_dirs: Vec<(PathBuf, bool)>,
    /// Folders of the user's in which a program keeps what it has fetched, and without which it does not work offline, but
    /// which it stops at when it cannot write there.
    #[serde(default)]
    pub caches: Vec<PathBuf>,
    /// What the folder that holds the overlays is called: one that is there already, or a new name that nobody can guess.
    pub overlay_name: String,
    /// Whether the folder that will hold the overlays can (its file system is local and takes extended attributes).
    pub overlay_possible: bool,
    /// The terminal behind standard input, output or error, if one is.
    pub terminal: Option<PathBuf>,
}

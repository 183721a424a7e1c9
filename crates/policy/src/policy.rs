//! The policy as the user means it: no operating system in it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much a command may do (`sandbox_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Reads like the user, writes nothing but its private temporary folder.
    ReadOnly,
    /// Reads like the user, writes in the workspace and the writable roots.
    #[default]
    WorkspaceWrite,
    /// No sandbox at all; the output says so.
    DangerFullAccess,
}

/// What `.git` is inside a root (`sandbox.git`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitMode {
    /// Read-only as a whole.
    #[default]
    Protect,
    /// Git may commit and branch; what makes git run code stays read-only (see [`crate::git`]).
    Commit,
}

/// The tier asked for on Windows (`windows.sandbox`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowsTier {
    /// Elevated where it is set up, else unelevated with one warning.
    #[default]
    Auto,
    /// Dedicated accounts; refuses to run where they are not set up.
    Elevated,
    /// No set-up, the network only discouraged.
    Unelevated,
}

/// Bounds on a run (`sandbox.limits`). `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory of the whole tree (of each process where only rlimits are there).
    pub memory: Option<u64>,
    /// Processes and threads of the whole tree.
    pub processes: Option<u64>,
    /// Time from start to the kill of the whole tree.
    pub wall_clock: Option<Duration>,
}

/// Where a value was written; it decides what relative paths resolve against, and error messages name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// A line of a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    /// `-c key=value`, as it was typed.
    Override(String),
    /// A flag, as it was typed.
    Flag(String),
    /// A call of the library.
    Library,
}

/// A path as written, with its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenPath {
    /// As written; it may be relative, and may start with `~/`.
    pub path: PathBuf,
    /// Where.
    pub origin: Origin,
}

/// A host that stays reachable (`network.allow`), as `host`, `host:port`, `*.host` or `[v6]:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedHost {
    /// Host name (lower case, a leading `*.` stands for every subdomain) or IP address.
    pub host: String,
    /// `None` is every port.
    pub port: Option<u16>,
}

/// The user's intent, complete: every key of the design's table has its field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `sandbox_mode`.
    pub mode: Mode,
    /// `sandbox_workspace_write.writable_roots`, and `--writable`.
    pub writable_roots: Vec<WrittenPath>,
    /// `sandbox_workspace_write.network_access`.
    pub network_access: bool,
    /// `…exclude_tmpdir_env_var`: `None` private folder; `Some(true)` none; `Some(false)` the host's folder is writable.
    pub exclude_tmpdir_env_var: Option<bool>,
    /// `…exclude_slash_tmp`: `None` private overlay; `Some(true)` read-only; `Some(false)` the host's folders are writable.
    pub exclude_slash_tmp: Option<bool>,
    /// `sandbox.protected`.
    pub protected: Vec<String>,
    /// `sandbox.git`.
    pub git: GitMode,
    /// `sandbox.deny_read`.
    pub deny_read: Vec<WrittenPath>,
    /// `sandbox.limits`.
    pub limits: Limits,
    /// `network.allow`.
    pub network_allow: Vec<AllowedHost>,
    /// `windows.sandbox`.
    pub windows_tier: WindowsTier,
    /// `windows.private_desktop`.
    pub windows_private_desktop: bool,
    /// `windows.account_prefix`.
    pub windows_account_prefix: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            writable_roots: Vec::new(),
            network_access: false,
            exclude_tmpdir_env_var: None,
            exclude_slash_tmp: None,
            protected: [".git", ".codex", ".agents"].map(str::to_owned).to_vec(),
            git: GitMode::default(),
            deny_read: Vec::new(),
            limits: Limits::default(),
            network_allow: Vec::new(),
            windows_tier: WindowsTier::default(),
            windows_private_desktop: true,
            windows_account_prefix: "CodexSandbox".to_owned(),
        }
    }
}

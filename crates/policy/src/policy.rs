//! The policy as the user means it: no operating system in it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
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

impl Mode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReadOnly, Self::WorkspaceWrite, Self::DangerFullAccess]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
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

impl GitMode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::Commit => "commit",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Protect, Self::Commit].into_iter().find(|mode| mode.name() == name)
    }
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

impl AllowedHost {
    /// Parses `host`, `host:port`, `*.host`, `1.2.3.4:port`, `::1` or `[v6]:port`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self { host: address.to_string(), port: None });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let host = address.parse::<Ipv6Addr>().ok()?.to_string();
            let port = if rest.is_empty() { None } else { Some(port(rest.strip_prefix(':')?)?) };
            return Some(Self { host, port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, number)) => (host, Some(port(number)?)),
            None => (text, None),
        };
        is_host_name(host.strip_prefix("*.").unwrap_or(host))
            .then(|| Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (_, None) => f.write_str(&self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

fn port(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

/// Host names as RFC 1123 §2.1 has them, with underscores, which many names in use have.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
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
    /// Where it was written.
    pub network_allow_origin: Origin,
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
            network_allow_origin: Origin::Default,
            windows_tier: WindowsTier::default(),
            windows_private_desktop: true,
            windows_account_prefix: "CodexSandbox".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_parsed_and_shown() {
        for (text, shown) in [
            ("Crates.IO:443", "crates.io:443"),
            ("*.example.org", "*.example.org"),
            ("localhost", "localhost"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "::1"),
            ("[::1]:8080", "[::1]:8080"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(
                AllowedHost::parse(text).map(|host| host.to_string()).as_deref(),
                Some(shown),
                "{text}"
            );
        }
        for text in [
            "", "a b", "http://x", "x:0", "x:", "x:99999", "x:+1", "*", "a..b", "-a", "[::1", "[x]:1", "x/y",
            "*.*.a",
        ] {
            assert_eq!(AllowedHost::parse(text), None, "{text}");
        }
    }
}

//! Every key that we own: its name, what it takes, and how it is read. docs/config.md is tested against this table.

use std::time::Duration;

use crate::config::units;
use crate::config::value::Node;
use crate::error::PolicyError;
use crate::names;
use crate::policy::{AllowedHost, GitMode, Mode, Origin, Policy, WindowsTier, WrittenPath};

/// A key of ours.
pub struct Key {
    /// Dotted.
    pub name: &'static str,
    /// What it takes, in words, with an article.
    pub expected: &'static str,
    pub(super) read: fn(&Key, &Node<'_>) -> Result<Setting, PolicyError>,
}

/// A value for one field of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `sandbox_mode`, `--mode`.
    Mode(Mode),
    /// `sandbox_workspace_write.writable_roots`: in the place of earlier ones.
    WritableRoots(Vec<WrittenPath>),
    /// `--writable`: besides earlier ones.
    AddWritableRoot(WrittenPath),
    /// `sandbox_workspace_write.network_access`, `--network`.
    NetworkAccess(bool),
    /// `sandbox_workspace_write.exclude_tmpdir_env_var`.
    ExcludeTmpdir(bool),
    /// `sandbox_workspace_write.exclude_slash_tmp`.
    ExcludeSlashTmp(bool),
    /// `sandbox.protected`.
    Protected(Vec<String>),
    /// `sandbox.git`, `--git`.
    Git(GitMode),
    /// `sandbox.deny_read`: in the place of earlier ones.
    DenyRead(Vec<WrittenPath>),
    /// `--deny-read`: besides earlier ones.
    AddDenyRead(WrittenPath),
    /// `sandbox.limits.memory`, `--memory`: bytes, `None` for no limit.
    Memory(Option<u64>),
    /// `sandbox.limits.processes`, `--processes`.
    Processes(Option<u64>),
    /// `sandbox.limits.wall_clock`, `--timeout`.
    WallClock(Option<Duration>),
    /// `network.allow`.
    NetworkAllow(Vec<AllowedHost>, Origin),
    /// `windows.sandbox`.
    WindowsTier(WindowsTier),
    /// `windows.private_desktop`.
    WindowsPrivateDesktop(bool),
    /// `windows.account_prefix`.
    WindowsAccountPrefix(String),
}

impl Setting {
    pub(super) fn apply(&self, policy: &mut Policy) {
        match self.clone() {
            Self::Mode(mode) => policy.mode = mode,
            Self::WritableRoots(roots) => policy.writable_roots = roots,
            Self::AddWritableRoot(root) => policy.writable_roots.push(root),
            Self::NetworkAccess(access) => policy.network_access = access,
            Self::ExcludeTmpdir(exclude) => policy.exclude_tmpdir_env_var = Some(exclude),
            Self::ExcludeSlashTmp(exclude) => policy.exclude_slash_tmp = Some(exclude),
            Self::Protected(names) => policy.protected = names,
            Self::Git(git) => policy.git = git,
            Self::DenyRead(paths) => policy.deny_read = paths,
            Self::AddDenyRead(path) => policy.deny_read.push(path),
            Self::Memory(bytes) => policy.limits.memory = bytes,
            Self::Processes(count) => policy.limits.processes = count,
            Self::WallClock(time) => policy.limits.wall_clock = time,
            Self::NetworkAllow(hosts, origin) => {
                policy.network_allow = hosts;
                policy.network_allow_origin = origin;
            }
            Self::WindowsTier(tier) => policy.windows_tier = tier,
            Self::WindowsPrivateDesktop(private) => policy.windows_private_desktop = private,
            Self::WindowsAccountPrefix(prefix) => policy.windows_account_prefix = prefix,
        }
    }
}

/// Every key of ours.
pub fn keys() -> &'static [Key] {
    KEYS
}

const fn key(
    name: &'static str,
    expected: &'static str,
    read: fn(&Key, &Node<'_>) -> Result<Setting, PolicyError>,
) -> Key {
    Key { name, expected, read }
}

const BOOLEAN: &str = "true or false";
const FOLDERS: &str = "an array of folders such as [\"~/.cargo\"]";

const KEYS: &[Key] = &[
    key("sandbox_mode", "\"read-only\", \"workspace-write\" or \"danger-full-access\"", mode),
    key("sandbox_workspace_write.writable_roots", FOLDERS, |key, node| {
        node.paths(key).map(Setting::WritableRoots)
    }),
    key("sandbox_workspace_write.network_access", BOOLEAN, |key, node| {
        node.boolean(key).map(Setting::NetworkAccess)
    }),
    key("sandbox_workspace_write.exclude_tmpdir_env_var", BOOLEAN, |key, node| {
        node.boolean(key).map(Setting::ExcludeTmpdir)
    }),
    key("sandbox_workspace_write.exclude_slash_tmp", BOOLEAN, |key, node| {
        node.boolean(key).map(Setting::ExcludeSlashTmp)
    }),
    key("sandbox.protected", "an array of names without slashes such as [\".git\"]", protected),
    key("sandbox.git", "\"protect\" or \"commit\"", git),
    key("sandbox.deny_read", "an array of paths such as [\"~/.ssh\"]", |key, node| {
        node.paths(key).map(Setting::DenyRead)
    }),
    key("sandbox.limits.memory", "a size such as \"2 GiB\", a number of bytes, or \"none\"", memory),
    key("sandbox.limits.processes", "a number of processes from 1 on, or \"none\"", processes),
    key(
        "sandbox.limits.wall_clock",
        "a duration such as \"30s\" or \"5m\", seconds, or \"none\"",
        wall_clock,
    ),
    key("network.allow", "an array of hosts such as [\"crates.io:443\", \"*.example.org\"]", allow),
    key("windows.sandbox", "\"auto\", \"elevated\" or \"unelevated\"", windows_tier),
    key("windows.private_desktop", BOOLEAN, |key, node| {
        node.boolean(key).map(Setting::WindowsPrivateDesktop)
    }),
    key("windows.account_prefix", "1 to 13 letters and digits such as \"CodexSandbox\"", account_prefix),
];

fn mode(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    Mode::from_name(node.string(key)?).map(Setting::Mode).ok_or_else(|| node.bad_value(key))
}

fn git(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    GitMode::from_name(node.string(key)?).map(Setting::Git).ok_or_else(|| node.bad_value(key))
}

fn windows_tier(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    let tier = match node.string(key)? {
        "auto" => WindowsTier::Auto,
        "elevated" => WindowsTier::Elevated,
        "unelevated" => WindowsTier::Unelevated,
        _ => return Err(node.bad_value(key)),
    };
    Ok(Setting::WindowsTier(tier))
}

fn protected(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    let name = |member: Node<'_>| {
        let name = member.string(key)?;
        if names::is_component(name) { Ok(name.to_owned()) } else { Err(member.bad_value(key)) }
    };
    node.array(key)?.map(name).collect::<Result<_, _>>().map(Setting::Protected)
}

fn allow(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    let host =
        |member: Node<'_>| AllowedHost::parse(member.string(key)?).ok_or_else(|| member.bad_value(key));
    let hosts = node.array(key)?.map(host).collect::<Result<_, _>>()?;
    Ok(Setting::NetworkAllow(hosts, node.origin()))
}

fn memory(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    limit(key, node, units::bytes).map(Setting::Memory)
}

fn wall_clock(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    limit(key, node, units::duration).map(Setting::WallClock)
}

fn limit<T>(key: &Key, node: &Node<'_>, parse: fn(&str) -> Option<T>) -> Result<Option<T>, PolicyError> {
    let text = node.quantity(key)?;
    if text == "none" {
        return Ok(None);
    }
    parse(&text).map(Some).ok_or_else(|| node.bad_value(key))
}

fn processes(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    if node.string(key).is_ok_and(|text| text == "none") {
        return Ok(Setting::Processes(None));
    }
    match node.integer(key)? {
        0 => Err(node.bad_value(key)),
        count => Ok(Setting::Processes(Some(count))),
    }
}

/// Windows account names have at most 20 characters (`UNLEN` for local groups' and users' SAM names), and ours end in
/// `Offline`.
fn account_prefix(key: &Key, node: &Node<'_>) -> Result<Setting, PolicyError> {
    let prefix = node.string(key)?;
    let fits = (1..=13).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(Setting::WindowsAccountPrefix(prefix.to_owned())) } else { Err(node.bad_value(key)) }
}

//! The plan itself: everything that will be done on a Windows host, as plain data.

use std::collections::BTreeMap;

use codex_sandbox_policy::{GitMode, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::NodeKind;
use super::locate::Located;
use super::path::WinPath;
use super::sid_text::SidText;

mod access;
mod launch;
mod limits;

pub use access::{
    AceChange, AceSpec, Applies, By, Change, Effect, LabelChange, LabelSpec, MaskText, Placeholder, Purpose,
    Skipped,
};
pub use launch::{
    AccountPlan, DesktopPlan, EnvironmentPlan, FirewallRule, JobPlan, NetworkPlan, RestrictingKind,
    RestrictingSid, Stub, TokenFlag, TokenRecipe, WfpAction, WfpCondition, WfpFilter, WfpPlan,
};
pub use limits::{Gap, GapKind, Limit, LimitKind, SingleWall, Wall, Walls};

/// The version of the format.
pub const PLAN_VERSION: u32 = 1;

/// Who runs the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The user himself, with a restricted token.
    Unelevated,
    /// An account of our own, with a restricted token.
    Elevated,
}

impl Tier {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unelevated => "unelevated",
            Self::Elevated => "elevated",
        }
    }
}

/// What will be done on one host for one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsPlan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Who runs the command.
    pub tier: Tier,
    /// The account that it runs as.
    pub account: AccountPlan,
    /// The policy, with the paths of the host.
    pub policy: HostPolicy,
    /// Each folder that was asked for and what it became.
    pub roots: Vec<RootPlan>,
    /// The SIDs that make roots writable.
    pub write_sids: Vec<WriteSidPlan>,
    /// A SID of this run alone: the objects that its processes create name it, and no other run has it.
    pub run_sid: SidText,
    /// Folders that are made before anything else.
    pub folders: Vec<WinPath>,
    /// Empty objects in the place of protected names that do not exist.
    pub placeholders: Vec<Placeholder>,
    /// Folders that can be neither renamed nor deleted, because something protected lies below.
    pub pins: Vec<WinPath>,
    /// ACEs, each with what becomes of it.
    pub aces: Vec<AceChange>,
    /// Labels, each with what becomes of it.
    pub labels: Vec<LabelChange>,
    /// Objects that propagation leaves alone.
    pub skipped: Vec<Skipped>,
    /// The token of the command.
    pub token: TokenRecipe,
    /// TokenDefaultDacl.
    pub default_dacl: Vec<AceSpec>,
    /// Environment changes.
    pub environment: EnvironmentPlan,
    /// Programs that stand first on PATH and fail.
    pub stubs: Vec<Stub>,
    /// The job object.
    pub job: JobPlan,
    /// The desktop.
    pub desktop: DesktopPlan,
    /// Network rules.
    pub network: NetworkPlan,
    /// Protected names that may appear during the run; they are frozen and reported at its end.
    pub watch: Vec<Watch>,
    /// Which walls stand.
    pub walls: Walls,
    /// What the policy promises and this plan does not enforce.
    pub not_enforced: Vec<Gap>,
    /// What the policy allows and this plan refuses.
    pub stricter: Vec<Limit>,
    /// What the user should hear before the run.
    pub notices: Vec<String>,
}

/// The policy, resolved against the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostPolicy {
    /// `sandbox_mode`.
    #[schemars(with = "String")]
    pub mode: Mode,
    /// The working directory.
    pub cwd: String,
    /// Writable folders as the policy means them, whether or not they can be granted.
    pub roots: Vec<WinPath>,
    /// Folders that belong to the sandbox alone.
    pub private: Vec<WinPath>,
    /// `sandbox.protected`.
    pub protected: Vec<String>,
    /// `sandbox.git`.
    #[schemars(with = "String")]
    pub git: GitMode,
    /// Git directories that `.git` files of the roots lead to.
    pub git_dirs: Vec<WinPath>,
    /// `sandbox.deny_read`.
    pub deny_read: Vec<Located>,
    /// `sandbox_workspace_write.network_access`.
    pub network_access: bool,
}

/// Why a root was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootKind {
    /// The working directory.
    Workspace,
    /// `writable_roots`.
    Writable,
    /// The host's temporary folder, opened in so many words.
    HostTemp,
    /// The private temporary folder.
    PrivateTemp,
    /// A git directory outside the roots, under `git = "commit"`.
    GitDir,
}

impl RootKind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Writable => "writable_roots",
            Self::HostTemp => "host's temporary folder",
            Self::PrivateTemp => "private temporary folder",
            Self::GitDir => "git directory",
        }
    }
}

/// What became of a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub enum RootState {
    /// Writable.
    Granted,
    /// Covered by another root that contains it.
    Covered {
        /// That root.
        by: WinPath,
    },
    /// Not writable: the machine does not let us grant it. The run goes on.
    ReadOnly(Refusal),
    /// Not writable: never granted. The run goes on.
    Refused(Refusal),
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A stable word.
    pub code: String,
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// A folder that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootPlan {
    /// As it was written.
    pub typed: String,
    /// Where it is, if it is on a drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<WinPath>,
    /// Why it was asked for.
    pub kind: RootKind,
    /// What became of it.
    pub state: RootState,
    /// Drive letters, aliases and links that were followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// A SID that makes a root writable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteSidPlan {
    /// The root.
    pub root: WinPath,
    /// What of the policy decides which denies name it; policies that differ in this have SIDs of their own.
    pub variant: String,
    /// The SID.
    pub sid: SidText,
    /// Whether it was never used before and goes into the state database first.
    pub new: bool,
}

/// A protected name that may appear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The folder in which it may appear.
    pub folder: WinPath,
    /// Names, in any letter case; in folders below as well where `below` is set.
    pub names: Vec<String>,
    /// Whether every folder below counts too.
    pub below: bool,
}

/// Environment variables by name.
pub type Variables = BTreeMap<String, String>;

/// Whether a placeholder is a folder or a file.
pub type PlaceholderKind = NodeKind;

//! How the command is started: account, token, environment, job, desktop, network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Variables;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;

/// The account that the command runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPlan {
    /// Its name.
    pub name: String,
    /// Its SID.
    pub sid: SidText,
    /// The group of the sandbox accounts, in the elevated tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<SidText>,
    /// How the command is started as that account.
    pub start: String,
}

/// A flag of CreateRestrictedToken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenFlag {
    /// Every privilege but SeChangeNotifyPrivilege goes.
    #[serde(rename = "DISABLE_MAX_PRIVILEGE")]
    DisableMaxPrivilege,
    /// Administrators becomes deny-only.
    #[serde(rename = "LUA_TOKEN")]
    LuaToken,
    /// Restricting SIDs count for writing only.
    #[serde(rename = "WRITE_RESTRICTED")]
    WriteRestricted,
}

impl TokenFlag {
    /// The name in Windows' headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::DisableMaxPrivilege => "DISABLE_MAX_PRIVILEGE",
            Self::LuaToken => "LUA_TOKEN",
            Self::WriteRestricted => "WRITE_RESTRICTED",
        }
    }
}

/// What a restricting SID is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestrictingKind {
    /// Makes a root writable.
    WriteSid,
    /// Of this run alone.
    RunSid,
    /// Never granted anything; denies on open folders name it.
    Marker,
    /// The logon session's; the runner's own in the elevated tier, known only then.
    Logon,
    /// Everyone.
    Everyone,
    /// The sandbox account.
    Account,
}

impl RestrictingKind {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteSid => "write-sid",
            Self::RunSid => "run-sid",
            Self::Marker => "marker",
            Self::Logon => "logon",
            Self::Everyone => "everyone",
            Self::Account => "account",
        }
    }
}

/// A restricting SID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestrictingSid {
    /// What it is.
    pub kind: RestrictingKind,
    /// The SID, where it is known when planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SidText>,
    /// For what.
    pub why: String,
}

/// How the token of the command is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRecipe {
    /// From which token.
    pub from: String,
    /// Flags of CreateRestrictedToken.
    pub flags: Vec<TokenFlag>,
    /// Restricting SIDs.
    pub restricting: Vec<RestrictingSid>,
    /// Privileges that remain.
    pub privileges: Vec<String>,
    /// TokenIntegrityLevel.
    pub integrity: u32,
    /// The level in words.
    pub integrity_name: String,
}

/// The environment of the command, as changes to the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentPlan {
    /// Variables that are set.
    pub set: Variables,
    /// Folders that are put in front of PATH.
    pub path_first: Vec<WinPath>,
    /// Entries that are taken out of PATH.
    pub path_removed: Vec<String>,
}

/// A program that fails with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// Where.
    pub path: WinPath,
    /// What it says.
    pub content: String,
}

/// The job object that the command is born in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobPlan {
    /// JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE.
    pub kill_on_close: bool,
    /// No process may leave the job.
    pub no_breakaway: bool,
    /// JobMemoryLimit in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// ActiveProcessLimit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Milliseconds until the job is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_clock_ms: Option<u64>,
}

/// The desktop of the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesktopPlan {
    /// A desktop of its own.
    pub private: bool,
    /// Its descriptor; `None` on the shared desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sddl: Option<String>,
}

/// The network of the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// Whether the policy allows it.
    pub allowed: bool,
    /// Whether the operating system keeps to that.
    pub enforced: bool,
    /// `network.allow`, as `host` or `host:port`.
    pub allow: Vec<String>,
    /// Why the run is refused: the policy asks for what is not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Windows Firewall rules, made by the set-up.
    pub firewall: Vec<FirewallRule>,
    /// WFP objects, made by the set-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wfp: Option<WfpPlan>,
}

/// A rule of Windows Firewall (INetFwRule3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallRule {
    /// Its name.
    pub name: String,
    /// `out`.
    pub direction: String,
    /// `block`.
    pub action: String,
    /// IANA protocol number; 256 is any.
    pub protocol: u32,
    /// LocalUserAuthorizedList.
    pub local_user_authorized_list: String,
}

/// What is registered with the Windows Filtering Platform, removed as a whole by the provider's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WfpPlan {
    /// The provider's key.
    pub provider: String,
    /// The sublayer's key.
    pub sublayer: String,
    /// The sublayer's weight.
    pub weight: u16,
    /// The filters.
    pub filters: Vec<WfpFilter>,
}

/// What a filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WfpAction {
    /// FWP_ACTION_BLOCK, with FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT.
    Block,
    /// FWP_ACTION_PERMIT.
    Permit,
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "field", deny_unknown_fields)]
pub enum WfpCondition {
    /// FWPM_CONDITION_ALE_USER_ID.
    User {
        /// The descriptor that the token is checked against.
        sddl: String,
    },
    /// FWPM_CONDITION_FLAGS has FWP_CONDITION_FLAG_IS_LOOPBACK.
    Loopback,
    /// FWPM_CONDITION_IP_REMOTE_PORT.
    RemotePorts {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
}

/// A persistent filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WfpFilter {
    /// Its name.
    pub name: String,
    /// The layer.
    pub layer: String,
    /// What it does.
    pub action: WfpAction,
    /// Its weight within the sublayer.
    pub weight: u8,
    /// All of them must hold.
    pub conditions: Vec<WfpCondition>,
}

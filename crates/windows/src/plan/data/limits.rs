//! What a plan does not keep, and where it is stricter than the policy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::path::WinPath;

/// A kind of promise that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GapKind {
    /// Deleting and renaming outside the roots, for want of an integrity level.
    DeletionOutside,
    /// A folder outside the roots that Everyone may write.
    OpenFolder,
    /// A protected name that does not exist can be created.
    MissingName,
    /// A file from which git would run code does not exist and can be created.
    MissingGitCode,
    /// An object that cannot be given the ACEs or the label that it needs.
    Unreachable,
    /// What the command creates stays open to later runs of the same account.
    CreatorOwner,
    /// What the machine itself lets the sandbox account do, also where the user may not.
    AccountRights,
    /// The network is only discouraged.
    Network,
    /// System services act for the command: DNS, SMB, WebDAV, BITS.
    NetworkServices,
    /// Programs of the same user that do what they are asked: scheduled tasks, WMI, COM.
    SameUser,
    /// Clipboard, screen and windows of the shared desktop.
    Desktop,
}

impl GapKind {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeletionOutside => "deletion-outside",
            Self::OpenFolder => "open-folder",
            Self::MissingName => "missing-name",
            Self::MissingGitCode => "missing-git-code",
            Self::Unreachable => "unreachable",
            Self::CreatorOwner => "creator-owner",
            Self::AccountRights => "account-rights",
            Self::Network => "network",
            Self::NetworkServices => "network-services",
            Self::SameUser => "same-user",
            Self::Desktop => "desktop",
        }
    }
}

/// A promise that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Its kind.
    pub kind: GapKind,
    /// What can happen.
    pub what: String,
    /// Where; everywhere if empty. Each path stands for what lies below it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<WinPath>,
    /// What to do about it.
    pub remedy: String,
}

/// A kind of strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// A root that is not granted.
    RootNotGranted,
    /// An object in a root whose descriptor is not changed.
    NotChanged,
    /// Deleting takes a right on the thing itself.
    DeleteNeedsOwnRight,
    /// A folder that the command makes for its owner alone is closed to the command itself.
    OwnerOnlyFolder,
    /// Read grants do not cover it.
    NotReadable,
    /// What appears in a folder that holds secrets is given when the worker has looked again.
    NotYetReadable,
    /// A secret that the sandbox accounts are not given.
    Secret,
    /// An ACE of someone else's denies it to the sandbox account.
    AccountDenied,
    /// Another policy's label stays while it is in use.
    OtherPolicy,
    /// A label that is not ours is above the command.
    Labelled,
    /// Named pipes with default security cannot be opened for writing.
    DefaultPipes,
    /// Programs that need a token without restricting SIDs: MSYS2, Schannel.
    RestrictedToken,
}

impl LimitKind {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::RootNotGranted => "root-not-granted",
            Self::NotChanged => "not-changed",
            Self::DeleteNeedsOwnRight => "delete-needs-own-right",
            Self::OwnerOnlyFolder => "owner-only-folder",
            Self::NotReadable => "not-readable",
            Self::NotYetReadable => "not-yet-readable",
            Self::Secret => "secret",
            Self::AccountDenied => "account-denied",
            Self::OtherPolicy => "other-policy",
            Self::Labelled => "labelled",
            Self::DefaultPipes => "default-pipes",
            Self::RestrictedToken => "restricted-token",
        }
    }
}

/// Something that the policy allows and the plan refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its kind.
    pub kind: LimitKind,
    /// What does not work.
    pub what: String,
    /// Where; everywhere if empty. Each path stands for what lies below it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<WinPath>,
}

/// One of the two walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wall {
    /// DACLs: restricting SIDs, denies, the sandbox account.
    Dacl,
    /// Integrity levels.
    Label,
}

/// A place where one of the walls does not stand, so that the other one alone holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SingleWall {
    /// The wall that holds.
    pub holds: Wall,
    /// Where, with what lies below.
    pub path: WinPath,
    /// Why the other does not.
    pub why: String,
}

/// Which walls stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Walls {
    /// Whether the command runs below Medium, and roots are labelled for it.
    pub labels: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_missing: Vec<String>,
    /// Where one wall alone holds. Deletions outside the roots are always held by the label alone.
    pub single: Vec<SingleWall>,
}

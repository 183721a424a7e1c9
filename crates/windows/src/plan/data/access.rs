//! ACEs, labels and placeholders of a plan.

use std::borrow::Cow;
use std::fmt;

use nt_security::ace::{Ace, AceFlags, AceKind, LabelPolicy};
use nt_security::{AccessMask, ObjectType};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;

/// An access mask, in JSON as `0x1301bf`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaskText(pub AccessMask);

impl fmt::Debug for MaskText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for MaskText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MaskText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        AccessMask::parse(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("access mask {text:?}")))
    }
}

impl JsonSchema for MaskText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MaskText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^0x[0-9a-f]+$" })
    }
}

/// Whether an ACE grants or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// ACCESS_ALLOWED_ACE.
    Allow,
    /// ACCESS_DENIED_ACE.
    Deny,
}

/// What an ACE or label applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Applies {
    /// The object alone.
    This,
    /// The folder and all folders below (`CI`).
    Folders,
    /// The folder and everything below (`OI CI`).
    Tree,
    /// Everything below the folder (`OI CI IO`).
    Below,
    /// Files below the folder (`OI IO`).
    FilesBelow,
    /// Folders below the folder (`CI IO`).
    FoldersBelow,
}

impl Applies {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::This, Self::Folders, Self::Tree, Self::Below, Self::FilesBelow, Self::FoldersBelow];

    /// The flags on an object of this kind; files pass nothing on.
    pub fn flags(self, kind: NodeKind) -> AceFlags {
        match self {
            _ if kind == NodeKind::File => AceFlags::NONE,
            Self::This => AceFlags::NONE,
            Self::Folders => AceFlags::CONTAINER_INHERIT,
            Self::Tree => AceFlags::INHERIT_ALL,
            Self::Below => AceFlags::INHERIT_ALL | AceFlags::INHERIT_ONLY,
            Self::FilesBelow => AceFlags::OBJECT_INHERIT | AceFlags::INHERIT_ONLY,
            Self::FoldersBelow => AceFlags::CONTAINER_INHERIT | AceFlags::INHERIT_ONLY,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::This => "this object only",
            Self::Folders => "this folder and folders below",
            Self::Tree => "this folder and everything below",
            Self::Below => "everything below this folder",
            Self::FilesBelow => "files below this folder",
            Self::FoldersBelow => "folders below this folder",
        }
    }
}

/// One ACE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AceSpec {
    /// Grants or refuses.
    pub effect: Effect,
    /// Whom.
    pub who: SidText,
    /// Who that is, for people.
    pub name: String,
    /// What.
    pub mask: MaskText,
    /// What, in words.
    pub rights: Vec<String>,
    /// To what it applies.
    pub applies: Applies,
}

impl AceSpec {
    /// An ACE for a file or folder. The rights are named as on folders if it reaches any.
    pub fn new(effect: Effect, who: SidText, name: &str, mask: AccessMask, applies: Applies) -> Self {
        let rights = mask.names(ObjectType::Folder).split('|').map(str::to_owned).collect();
        Self { effect, who, name: name.to_owned(), mask: MaskText(mask), rights, applies }
    }

    /// The ACE as it stands on an object of this kind.
    pub fn ace(&self, kind: NodeKind) -> Ace {
        let ace = match self.effect {
            Effect::Allow => Ace::allow(self.mask.0, self.who.0),
            Effect::Deny => Ace::deny(self.mask.0, self.who.0),
        };
        ace.with_flags(self.applies.flags(kind))
    }
}

/// What becomes of an ACE or label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is there already.
    Keep,
    /// It is added.
    Add,
    /// It is taken away.
    Remove,
}

/// Who makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The launcher, before the command starts.
    Run,
    /// The elevated set-up, or its worker in the background.
    Setup,
}

/// What an ACE or label is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Makes a root writable in the second check.
    Grant,
    /// Makes a root writable for the sandbox accounts in the first check.
    GrantAccount,
    /// The user keeps full control of what the sandbox account creates.
    UserKeeps,
    /// The sandbox account cannot rewrite the DACL of what it creates.
    OwnerRights,
    /// The user may set labels in his own folder.
    Relabel,
    /// Descriptors in a root are not the command's to change.
    Control,
    /// Something protected lies below, so the folder stays where it is.
    Pin,
    /// What a folder holds is deleted by right on the thing itself, not by right on the folder.
    DeleteChild,
    /// A protected name, or a file from which git runs code.
    Protect,
    /// A path that cannot be read.
    DenyRead,
    /// The sandbox account gets no more than the user has.
    Narrow,
    /// The sandbox accounts read what the user reads.
    ReadGrant,
    /// The sandbox accounts see a folder on the way to something.
    Ancestor,
    /// A folder outside the roots that many may write.
    OpenFolder,
    /// Left behind by something that is gone.
    Stale,
}

impl Purpose {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::GrantAccount => "grant-account",
            Self::UserKeeps => "user-keeps",
            Self::OwnerRights => "owner-rights",
            Self::Relabel => "relabel",
            Self::Control => "control",
            Self::Pin => "pin",
            Self::DeleteChild => "delete-child",
            Self::Protect => "protect",
            Self::DenyRead => "deny-read",
            Self::Narrow => "narrow",
            Self::ReadGrant => "read-grant",
            Self::Ancestor => "ancestor",
            Self::OpenFolder => "open-folder",
            Self::Stale => "stale",
        }
    }
}

/// An ACE on an object, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AceChange {
    /// The object.
    pub path: WinPath,
    /// What becomes of it.
    pub change: Change,
    /// The ACE.
    pub ace: AceSpec,
    /// What for.
    pub purpose: Purpose,
    /// Who does it.
    pub by: By,
}

/// A mandatory label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSpec {
    /// The integrity level, 6144 for Medium-Low.
    pub level: u32,
    /// Nothing below the level writes.
    pub no_write_up: bool,
    /// Nothing below the level reads.
    pub no_read_up: bool,
    /// Nothing below the level executes.
    pub no_execute_up: bool,
    /// To what it applies.
    pub applies: Applies,
}

impl LabelSpec {
    /// The label ACE on an object of this kind.
    pub fn ace(&self, kind: NodeKind) -> Ace {
        let bits = [
            (self.no_write_up, LabelPolicy::NO_WRITE_UP),
            (self.no_read_up, LabelPolicy::NO_READ_UP),
            (self.no_execute_up, LabelPolicy::NO_EXECUTE_UP),
        ];
        let policy = bits.iter().filter(|(set, _)| *set).fold(LabelPolicy::NONE, |all, (_, bit)| all | *bit);
        Ace::label(self.level, policy).with_flags(self.applies.flags(kind))
    }

    /// The label that an ACE states; `None` for other kinds of ACE.
    pub fn of(ace: &Ace) -> Option<Self> {
        let (level, policy) = ace.as_label()?;
        debug_assert_eq!(ace.kind(), AceKind::MandatoryLabel);
        let applies = match ace.flags() & AceFlags::INHERIT_ALL {
            AceFlags::NONE => Applies::This,
            AceFlags::CONTAINER_INHERIT => Applies::Folders,
            _ => Applies::Tree,
        };
        Some(Self {
            level,
            no_write_up: policy.contains(LabelPolicy::NO_WRITE_UP),
            no_read_up: policy.contains(LabelPolicy::NO_READ_UP),
            no_execute_up: policy.contains(LabelPolicy::NO_EXECUTE_UP),
            applies,
        })
    }
}

/// A label on an object, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelChange {
    /// The object.
    pub path: WinPath,
    /// What becomes of it. A label that is taken away leaves the one that the parent passes on.
    pub change: Change,
    /// The label.
    pub label: LabelSpec,
    /// The object's own label that it takes the place of: taking ours away puts it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<LabelSpec>,
    /// What for.
    pub purpose: Purpose,
}

/// An empty object in the place of a protected name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placeholder {
    /// Where.
    pub path: WinPath,
    /// Folder or file.
    pub kind: NodeKind,
}

/// An object that propagation leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The object, and what lies below it.
    pub path: WinPath,
    /// Why.
    pub reason: String,
    /// Whether it refuses: what comes down to it by itself stays. The others are left alone on purpose.
    pub refuses: bool,
}

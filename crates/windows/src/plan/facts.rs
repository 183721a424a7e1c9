//! What is known about a Windows host, as plain data: gathered on the host itself, or read from a JSON file anywhere.
//!
//! A plan is a function of a policy and these facts; nothing else is looked at. Paths and descriptors that are not
//! listed are taken to be what inheritance makes of the nearest listed folder above them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::WinPath;
use super::sid_text::SidText;

/// The version of the format; a reader refuses others.
pub const FACTS_VERSION: u32 = 1;

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// What the host is called in reports; it decides nothing.
    #[serde(default)]
    pub title: String,
    /// The machine and its operating system.
    pub machine: Machine,
    /// The user who runs the program, as his token says.
    pub user: User,
    /// Where well-known folders are.
    pub folders: Folders,
    /// The working directory, as it was given.
    pub cwd: String,
    /// Every volume that has a drive letter.
    pub volumes: Vec<Volume>,
    /// Files and folders that matter: roots, what protected names there are below them, the folders above, the profile,
    /// folders of PATH, links on the way.
    pub nodes: Vec<Node>,
    /// The environment of the program.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Local accounts and groups whose names matter to the set-up.
    #[serde(default)]
    pub accounts: Vec<Account>,
    /// Firewall rules whose names matter to the set-up.
    #[serde(default)]
    pub firewall_rules: Vec<FirewallRuleFact>,
    /// The state of the elevated tier.
    #[serde(default)]
    pub setup: Setup,
    /// What our state database knows.
    #[serde(default)]
    pub state: State,
    /// SIDs from the system's random generator that were never used: `S-1-5-21-a-b-c-d`. The plan takes what it needs from
    /// the front, so that planning itself has no randomness.
    pub random_sids: Vec<SidText>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// The build of Windows, such as 22631.
    pub build: u32,
    /// What it belongs to.
    #[serde(default)]
    pub joined: Joined,
    /// A domain controller has no local users.
    #[serde(default)]
    pub is_domain_controller: bool,
    /// Group policy lets no local firewall rule take effect (AllowLocalPolicyMerge is off).
    #[serde(default)]
    pub firewall_is_managed: bool,
    /// The Secondary Logon service cannot be started.
    #[serde(default)]
    pub secondary_logon_disabled: bool,
}

/// What a machine belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Joined {
    /// Nothing.
    #[default]
    Workgroup,
    /// An Active Directory domain.
    Domain,
    /// Entra ID.
    Entra,
}

/// A user and his token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name for people; nothing is looked up by it.
    pub name: String,
    /// Who he is.
    pub sid: SidText,
    /// The groups of the token, the logon SID included.
    pub groups: Vec<GroupFact>,
    /// The logon SID `S-1-5-5-x-y`.
    pub logon_sid: SidText,
    /// The integrity level, 8192 for Medium.
    #[serde(default = "medium")]
    pub integrity: u32,
    /// Names of the privileges of the token.
    #[serde(default)]
    pub privileges: Vec<String>,
    /// Owner of new objects where it is not the user (an elevated administrator's may be Administrators).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_owner: Option<SidText>,
}

fn medium() -> u32 {
    nt_security::token::integrity::MEDIUM
}

/// A group of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupFact {
    /// Which group.
    pub sid: SidText,
    /// Only deny ACEs see it (Administrators in a filtered token).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny_only: bool,
    /// Name for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Where well-known folders are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folders {
    /// `C:\Windows`.
    pub windows: WinPath,
    /// `C:\Program Files` and its 32-bit twin.
    pub program_files: Vec<WinPath>,
    /// `C:\ProgramData`.
    pub program_data: WinPath,
    /// The folder that holds the profiles, `C:\Users`.
    pub profiles: WinPath,
    /// The user's profile.
    pub profile: WinPath,
    /// `%LOCALAPPDATA%`.
    pub local_app_data: WinPath,
    /// `%TEMP%`, resolved.
    pub temp: WinPath,
    /// Our state folder of the user, normally `%LOCALAPPDATA%\codex-sandbox`.
    pub state: WinPath,
    /// Our state folder of the machine, normally `%ProgramData%\codex-sandbox`.
    pub machine_state: WinPath,
}

/// A volume with a drive letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The root, `C:\`.
    pub root: WinPath,
    /// What is behind the letter.
    #[serde(default)]
    pub kind: VolumeKind,
    /// `NTFS`, `ReFS`, `exFAT`, `FAT32`, or what a redirector calls itself.
    pub file_system: String,
    /// FILE_PERSISTENT_ACLS.
    #[serde(default = "yes")]
    pub persistent_acls: bool,
    /// Whether mandatory labels can be stored.
    #[serde(default = "yes")]
    pub labels: bool,
    /// FILE_READ_ONLY_VOLUME.
    #[serde(default)]
    pub read_only: bool,
    /// Where the letter leads, for `subst` and mapped drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `Volume{…}` without the `\\?\` before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
}

fn yes() -> bool {
    true
}

/// What is behind a drive letter (GetDriveType, and QueryDosDevice for `subst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// A disk.
    #[default]
    Fixed,
    /// A removable disk.
    Removable,
    /// A mapped share.
    Network,
    /// Another path under a letter of its own.
    Subst,
    /// A RAM disk.
    Ram,
    /// An optical disc.
    Optical,
    /// A file system in user mode (Google Drive, Cryptomator, VirtualBox), whatever it says about its abilities.
    Virtual,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Where; the real name, not an alias.
    pub path: WinPath,
    /// What it is.
    #[serde(default)]
    pub kind: NodeKind,
    /// The descriptor with owner, group, DACL and label: `O:…G:…D:…S:…`. Without one the node has what it inherits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sddl: Option<String>,
    /// The 8.3 alias of the last component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_name: Option<String>,
    /// Where a junction or symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How many names the file has.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub links: u32,
    /// A placeholder of a cloud provider (FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS, or a cloud reparse tag), or a folder in a
    /// registered sync root.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cloud: bool,
    /// FILE_ATTRIBUTE_READONLY.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What a `.git` file says, as far as it matters (`gitdir: …`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl Node {
    /// A node of which only kind and place are known.
    pub fn new(path: WinPath, kind: NodeKind) -> Self {
        let (sddl, short_name, target, content) = (None, None, None, None);
        Self { path, kind, sddl, short_name, target, links: 1, cloud: false, read_only: false, content }
    }
}

fn one() -> u32 {
    1
}

fn is_one(links: &u32) -> bool {
    *links == 1
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// A folder.
    #[default]
    Folder,
    /// A file.
    File,
    /// A junction, or a folder mounted on a volume.
    Junction,
    /// A symbolic link.
    Symlink,
}

impl NodeKind {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::File => "file",
            Self::Junction => "junction",
            Self::Symlink => "symbolic link",
        }
    }

    /// Whether it leads elsewhere.
    pub fn is_link(self) -> bool {
        matches!(self, Self::Junction | Self::Symlink)
    }
}

/// A local account or group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its SID.
    pub sid: SidText,
    /// Whether our journal says that we made it.
    #[serde(default)]
    pub ours: bool,
}

/// A firewall rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallRuleFact {
    /// Its name.
    pub name: String,
    /// Whether our journal says that we made it.
    #[serde(default)]
    pub ours: bool,
}

/// The state of the elevated tier, by what is on the machine and not by a marker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// The group of the sandbox accounts.
    pub group: Option<SidText>,
    /// The account without a network.
    pub offline: Option<SidText>,
    /// The account with one.
    pub online: Option<SidText>,
    /// The Win32 error of the last test logon; `None` when it worked.
    pub logon_error: Option<u32>,
    /// Whether the helper program is in its folder.
    pub helpers: bool,
}

/// What the state database knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// The write SIDs that were given out.
    pub write_sids: Vec<WriteSid>,
    /// Every ACE and label that we made and did not take back.
    pub journal: Vec<JournalEntry>,
    /// SIDs of accounts, groups and roots of ours that are gone.
    pub retired_sids: Vec<SidText>,
    /// Runs that are going on.
    pub active: Vec<ActiveRun>,
}

/// A write SID: one for each root and variant, never used for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteSid {
    /// The root.
    pub root: WinPath,
    /// What of the policy decides which denies name the SID.
    pub variant: String,
    /// The SID.
    pub sid: SidText,
}

/// An ACE or label that we made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// On what.
    pub path: WinPath,
    /// The ACE in SDDL, `(D;;0x40;;;S-1-…)` or `(ML;OICI;NW;;;S-1-16-6144)`.
    pub ace: String,
}

/// A run that is going on: what of its policy other runs must not undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActiveRun {
    /// Paths whose labels keep its promises.
    pub needs: Vec<WinPath>,
}

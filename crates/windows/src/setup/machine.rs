//! Every effect that the set-up has on a machine, and every question about it, one method each.
//!
//! `win32::WindowsMachine` is the machine itself, `memory::machine` a model of one. ACEs on files that
//! are not ours are made through [`Host`](crate::host::Host).

use std::collections::BTreeSet;

use nt_security::{SecurityDescriptor, Sid};
use zeroize::Zeroizing;

use super::credentials::{Credentials, Password};
use crate::host::{ProcessId, SystemError};
use crate::plan::data::{FirewallRule, WfpPlan};
use crate::plan::path::WinPath;

/// Sorts of failure that the set-up tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MachineErrorKind {
    /// There is no such object.
    NotFound,
    /// A right is missing.
    AccessDenied,
    /// The name is taken.
    Exists,
    /// Someone else has it open.
    Busy,
    /// A policy of the machine or its domain is against it.
    Policy,
    /// This Windows has no such thing.
    Unsupported,
    /// A service that is needed does not run.
    NoService,
    /// This process is being killed (memory machine only).
    Killed,
    /// Anything else.
    Other,
}

impl MachineErrorKind {
    /// The stable code and what to do.
    pub fn code_and_remedy(self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => ("setup-not-found", "run `codex-sandbox setup --repair`"),
            Self::AccessDenied => {
                ("setup-access-denied", "run `codex-sandbox setup` and agree to the elevation")
            }
            Self::Exists => ("setup-name-taken", "choose other names: windows.account_prefix = \"…\""),
            Self::Busy => ("setup-busy", "end the sandboxed commands that run, and run it again"),
            Self::Policy => ("setup-policy", "ask whoever manages this machine"),
            Self::Unsupported => ("setup-unsupported", "this part needs a Windows that has it"),
            Self::NoService => ("setup-no-service", "start the service, and run `codex-sandbox setup` again"),
            Self::Killed => ("killed", ""),
            Self::Other => {
                ("setup-system-error", "look up the Win32 error, then run `codex-sandbox setup` again")
            }
        }
    }
}

/// A failure of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineError {
    /// What sort.
    pub kind: MachineErrorKind,
    /// What was done: the system's function.
    pub effect: &'static str,
    /// To what.
    pub object: String,
    /// What the system said.
    pub system: Option<SystemError>,
}

impl MachineError {
    /// A failure.
    pub fn new(kind: MachineErrorKind, effect: &'static str, object: impl std::fmt::Display) -> Self {
        Self { kind, effect, object: object.to_string(), system: None }
    }

    /// With what the system said.
    #[must_use]
    pub fn with_system(self, code: u32, text: impl Into<String>) -> Self {
        Self { system: Some(SystemError { code, text: text.into() }), ..self }
    }

    /// The Win32 error or HRESULT, 0 when there is none.
    pub fn system_code(&self) -> u32 {
        self.system.as_ref().map_or(0, |system| system.code)
    }
}

/// Result of a machine's method.
pub type MachineResult<T> = Result<T, MachineError>;

/// What the set-up wants to know about the system as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFacts {
    /// The machine's name.
    pub name: String,
    /// The SID of the user whom this process runs as.
    pub user: Sid,
    /// Whether this process may change accounts: elevated.
    pub elevated: bool,
    /// A domain controller has no local accounts.
    pub is_domain_controller: bool,
    /// The Secondary Logon service is disabled.
    pub secondary_logon_disabled: bool,
    /// Windows' folder.
    pub windows: WinPath,
    /// `C:\ProgramData`.
    pub program_data: WinPath,
}

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// A user.
    User,
    /// A group, local or of a domain.
    Group,
    /// Anything else: a computer, a well-known name.
    Other,
}

/// What a name or SID stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The SID.
    pub sid: Sid,
    /// The domain, or the machine's name.
    pub domain: String,
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
}

/// A local group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupAccount {
    /// Its SID.
    pub sid: Sid,
    /// Its comment, by which we know it for ours when the journal is lost.
    pub comment: String,
}

/// A local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAccount {
    /// Its SID.
    pub sid: Sid,
    /// Its comment.
    pub comment: String,
    /// UF_… of lmaccess.h.
    pub flags: u32,
}

/// A user who is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// At most 20 characters.
    pub name: String,
    /// The comment.
    pub comment: String,
    /// The password.
    pub password: Password,
    /// UF_… of lmaccess.h.
    pub flags: u32,
}

/// A firewall rule as it stands, as far as we state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleState {
    /// What a plan says of it.
    pub rule: FirewallRule,
    /// Its description, by which we know it for ours.
    pub description: String,
    /// NET_FW_PROFILE_TYPE2: which profiles; 0x7FFFFFFF is all.
    pub profiles: i32,
    /// Whether it is on.
    pub enabled: bool,
}

/// Whether local firewall rules have an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallState {
    /// The service (MpsSvc) runs, or would start.
    pub service: bool,
    /// NET_FW_MODIFY_STATE: 0 is fine, 1 group policy overrides, 2 inbound is blocked.
    pub modify_state: i32,
    /// Profiles whose firewall is off: 1 domain, 2 private, 4 public.
    pub off: i32,
    /// Profiles whose policy takes no local rules (AllowLocalPolicyMerge is 0).
    pub no_local_rules: i32,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Whether it is a folder; neither for links.
    pub is_folder: bool,
    /// Whether it leads elsewhere.
    pub is_link: bool,
    /// Owner and DACL.
    pub descriptor: SecurityDescriptor,
}

/// A machine that is set up.
pub trait Machine: Sync {
    /// The system as a whole.
    ///
    /// # Errors
    /// As the system's; so for all others.
    fn system(&self) -> MachineResult<SystemFacts>;

    /// The user of a running process, to check who asked for the elevation.
    fn process_user(&self, process: u32) -> MachineResult<Option<Sid>>;

    /// This process.
    fn process(&self) -> ProcessId;

    /// Whether a process is still there.
    fn is_running(&self, process: ProcessId) -> bool;

    /// Seconds since 1970.
    fn now(&self) -> u64;

    /// Fills a buffer from the system's random generator.
    fn random(&self, buffer: &mut [u8]) -> MachineResult<()>;

    /// What a name stands for: `name`, `DOMAIN\name`, `name@domain`, `.\name`.
    fn lookup_name(&self, name: &str) -> MachineResult<Option<Known>>;

    /// What a SID stands for.
    fn lookup_sid(&self, sid: &Sid) -> MachineResult<Option<Known>>;

    /// The folder of a user's profile, if he has one on this machine.
    fn profile(&self, user: &Sid) -> MachineResult<Option<WinPath>>;

    /// Removes a user's profile, folder and registry entry. None is fine.
    fn delete_profile(&self, user: &Sid) -> MachineResult<()>;

    /// A local group.
    fn group(&self, name: &str) -> MachineResult<Option<GroupAccount>>;

    /// Makes a local group.
    fn add_group(&self, name: &str, comment: &str) -> MachineResult<Sid>;

    /// Removes a local group.
    fn delete_group(&self, name: &str) -> MachineResult<()>;

    /// A local user.
    fn user(&self, name: &str) -> MachineResult<Option<UserAccount>>;

    /// Makes a local user.
    fn add_user(&self, user: &NewUser) -> MachineResult<Sid>;

    /// Removes a local user.
    fn delete_user(&self, name: &str) -> MachineResult<()>;

    /// Sets a user's flags.
    fn set_user_flags(&self, name: &str, flags: u32) -> MachineResult<()>;

    /// Sets a user's password.
    fn set_password(&self, name: &str, password: &Password) -> MachineResult<()>;

    /// Whether a user is a member of a local group.
    fn is_member(&self, group: &Sid, user: &Sid) -> MachineResult<bool>;

    /// Adds a user to a local group.
    fn add_member(&self, group: &Sid, user: &Sid) -> MachineResult<()>;

    /// Takes a user out of a local group.
    fn remove_member(&self, group: &Sid, user: &Sid) -> MachineResult<()>;

    /// Whether a user is kept off the logon screen.
    fn is_hidden(&self, user: &str) -> MachineResult<bool>;

    /// Keeps a user off the logon screen, or does not.
    fn set_hidden(&self, user: &str, hidden: bool) -> MachineResult<()>;

    /// The account rights (Se…Right) that stand on a SID itself.
    fn rights(&self, account: &Sid) -> MachineResult<BTreeSet<String>>;

    /// Gives an account right.
    fn add_right(&self, account: &Sid, right: &str) -> MachineResult<()>;

    /// Takes an account right.
    fn remove_right(&self, account: &Sid, right: &str) -> MachineResult<()>;

    /// Logs on once, interactively, and off again.
    ///
    /// # Errors
    /// The system's reason, such as 1326 or 1385.
    fn try_logon(&self, credentials: &Credentials) -> MachineResult<()>;

    /// Seals bytes for this machine.
    fn seal(&self, bytes: &[u8], entropy: &[u8]) -> MachineResult<Vec<u8>>;

    /// Unseals them.
    fn unseal(&self, bytes: &[u8], entropy: &[u8]) -> MachineResult<Zeroizing<Vec<u8>>>;

    /// The firewall as a whole.
    fn firewall(&self) -> MachineResult<FirewallState>;

    /// Every firewall rule of this name; names need not be unique.
    fn firewall_rules(&self, name: &str) -> MachineResult<Vec<RuleState>>;

    /// Makes a firewall rule.
    fn add_firewall_rule(&self, rule: &RuleState) -> MachineResult<()>;

    /// Removes one firewall rule of this name.
    fn remove_firewall_rule(&self, name: &str) -> MachineResult<()>;

    /// What stands under our provider, of what `wanted` asks for; `None` when nothing does.
    fn wfp(&self, wanted: &WfpPlan) -> MachineResult<Option<WfpPlan>>;

    /// Puts provider, sublayer and filters in the place of whatever stands under that provider, in one transaction.
    fn install_wfp(&self, plan: &WfpPlan) -> MachineResult<()>;

    /// Removes the provider with everything under it, in one transaction. Nothing there is fine.
    fn remove_wfp(&self, plan: &WfpPlan) -> MachineResult<()>;

    /// A file or folder, by a path that leads through no link; `None` when there is none.
    fn file(&self, path: &WinPath) -> MachineResult<Option<FileState>>;

    /// Makes a folder with this descriptor.
    fn make_folder(&self, path: &WinPath, descriptor: &SecurityDescriptor) -> MachineResult<()>;

    /// Gives a folder or file of ours this DACL, and what lies below what it inherits.
    fn set_descriptor(&self, path: &WinPath, descriptor: &SecurityDescriptor) -> MachineResult<()>;

    /// The bytes of a file; `None` when there is none.
    fn read_file(&self, path: &WinPath) -> MachineResult<Option<Vec<u8>>>;

    /// Puts a file there, all of it or nothing, in the place of one that is there; it inherits its descriptor.
    fn write_file(&self, path: &WinPath, bytes: &[u8]) -> MachineResult<()>;

    /// Names in a folder.
    fn list(&self, folder: &WinPath) -> MachineResult<Vec<String>>;

    /// Removes a file or an empty folder. Nothing there is fine.
    fn remove(&self, path: &WinPath) -> MachineResult<()>;
}

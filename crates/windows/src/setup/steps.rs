//! What each step looks for and does.

use nt_security::{AclField, Control, SecurityDescriptor, Sid};

use super::error::SetupError;
use super::journal::{Journal, Thing};
use super::machine::{Machine, MachineError};
use super::plan::{FolderAccess, MARK, Request, Step, StepKind};
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;
use crate::state::State;

mod accounts;
mod files;
mod network;
mod passwords;

pub use network::{firewall_rule, wfp_plan};

/// What a step finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All is as it should be.
    Done,
    /// Something is to be done: what.
    Needed(String),
    /// It cannot be had here, or has no effect: what that means. The set-up goes on.
    Degraded(SetupError),
}

/// What every step works with.
pub struct Context<'a, M> {
    /// The machine.
    pub machine: &'a M,
    /// Its state database; `None` as long as its folder is not there.
    pub state: Option<&'a State>,
    /// What is asked for.
    pub request: &'a Request,
    /// Only look: nobody is logged on.
    pub dry_run: bool,
}

impl<M: Machine> Context<'_, M> {
    /// Looks whether a step has anything to do; no effect.
    ///
    /// # Errors
    /// What cannot be asked, and names that are somebody else's.
    pub fn check(&self, step: &Step) -> Result<Found, SetupError> {
        let id = step.id.as_str();
        match &step.kind {
            StepKind::Folder { path, access } => self.check_folder(id, path, *access),
            StepKind::Group { name, comment } => self.check_group(id, name, comment),
            StepKind::User { name, flags, .. } => self.check_user(id, name, *flags),
            StepKind::Member { name, group } => self.check_member(id, name, *group),
            StepKind::Hidden { name } => self.check_hidden(id, name),
            StepKind::Right { name, right } => self.check_right(id, name, right),
            StepKind::Firewall { name } => self.check_firewall(id, name),
            StepKind::Wfp { name } => self.check_wfp(id, name),
            StepKind::Credentials { which, path } => self.check_credentials(id, *which, path),
            StepKind::Helper { from, to } => self.check_helper(id, from, to),
            StepKind::Reads { user } => self.check_reads(user),
        }
    }

    /// Does what [`check`](Self::check) found to be needed.
    ///
    /// # Errors
    /// What fails, by its own code.
    pub fn apply(&self, step: &Step) -> Result<(), SetupError> {
        let id = step.id.as_str();
        match &step.kind {
            StepKind::Folder { path, access } => self.apply_folder(id, path, *access),
            StepKind::Group { name, comment } => self.apply_group(id, name, comment),
            StepKind::User { which, name, comment, flags } => {
                self.apply_user(id, *which, name, comment, *flags)
            }
            StepKind::Member { name, group } => self.apply_member(id, name, *group),
            StepKind::Hidden { name } => self.apply_hidden(id, name),
            StepKind::Right { name, right } => self.apply_right(id, name, right),
            StepKind::Firewall { name } => self.apply_firewall(id, name),
            StepKind::Wfp { name } => self.apply_wfp(id, name),
            StepKind::Credentials { which, path } => self.apply_credentials(id, *which, path),
            StepKind::Helper { from, to } => self.apply_helper(id, from, to),
            StepKind::Reads { user } => self.note(&Thing::Reads { user: user.sid }),
        }
    }

    /// The journal's things; none as long as there is no journal.
    pub(super) fn things(&self) -> Result<Vec<Thing>, SetupError> {
        self.state.map_or_else(|| Ok(Vec::new()), |state| Journal(state).things())
    }

    fn note(&self, thing: &Thing) -> Result<(), SetupError> {
        let missing = || SetupError::new("setup-no-journal", "journal", thing.title(), "");
        Journal(self.state.ok_or_else(missing)?).note(thing)
    }

    /// Whether an account is ours: by the journal, or by the comment that only administrators can write.
    fn is_ours(&self, sid: Sid, comment: &str) -> Result<bool, SetupError> {
        if comment.ends_with(MARK) {
            return Ok(true);
        }
        let noted = |thing: &Thing| match thing {
            Thing::Group { sid: Some(known), .. } | Thing::User { sid: Some(known), .. } => known.0 == sid,
            _ => false,
        };
        Ok(self.things()?.iter().any(noted))
    }

    /// The sandbox account of this name.
    fn account(&self, id: &str, name: &str) -> Result<Option<Sid>, SetupError> {
        Ok(self.machine.user(name).map_err(of(id))?.map(|user| user.sid))
    }

    /// The group of the sandbox accounts.
    fn group(&self, id: &str) -> Result<Option<Sid>, SetupError> {
        let name = self.request.names.group();
        Ok(self.machine.group(&name).map_err(of(id))?.map(|group| group.sid))
    }

    fn must_account(&self, id: &str, name: &str) -> Result<Sid, SetupError> {
        self.account(id, name)?.ok_or_else(|| missing(id, name))
    }

    fn check_reads(&self, user: &super::plan::RealUser) -> Result<Found, SetupError> {
        if user.profile.is_none() {
            let remedy = "run `codex-sandbox setup` again after his first logon";
            let object = format!("{} has no profile on this machine yet", user.name);
            return Ok(Found::Degraded(SetupError::new("setup-no-profile", "reads", object, remedy)));
        }
        let noted = self.things()?.contains(&Thing::Reads { user: user.sid });
        Ok(if noted { Found::Done } else { Found::Needed("reading is to be given".to_owned()) })
    }
}

fn of(step: &str) -> impl Fn(MachineError) -> SetupError {
    move |error| SetupError::of(step, error)
}

fn missing(step: &str, name: &str) -> SetupError {
    SetupError::new("setup-account-missing", step, name, "run `codex-sandbox setup` again")
}

fn needed(text: impl Into<String>) -> Found {
    Found::Needed(text.into())
}

/// The descriptor of a folder of ours.
fn folder_descriptor(access: FolderAccess, group: Option<Sid>, users: &[SidText]) -> SecurityDescriptor {
    let group_ace = |form: &str| group.map(|group| format!("({form};;;{group})")).unwrap_or_default();
    let text = match access {
        FolderAccess::UsersRead => {
            "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)".to_owned()
        }
        FolderAccess::SandboxRuns => {
            let group = group_ace("A;OICI;0x1200a9");
            format!("O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU){group}")
        }
        FolderAccess::RealUsersRead => {
            let users: String = users.iter().map(|user| format!("(A;OICI;0x1200a9;;;{user})")).collect();
            let deny = group_ace("D;OICI;FA");
            // A command of the unelevated tier runs as the user, below Medium: no-read-up keeps the passwords from it.
            format!("O:BAG:BAD:P{deny}(A;OICI;FA;;;SY)(A;OICI;FA;;;BA){users}S:(ML;OICI;NWNR;;;ME)")
        }
    };
    SecurityDescriptor::from_sddl(&text).expect("SDDL of our own, with SIDs that print themselves")
}

/// Whether a descriptor gives what ours does: the same ACEs, nothing inherited, an owner who is an administrator.
fn same_access(found: &SecurityDescriptor, wanted: &SecurityDescriptor) -> bool {
    let aces = |descriptor: &SecurityDescriptor| match &descriptor.dacl {
        AclField::List(list) => {
            let mut aces: Vec<String> = list.aces.iter().map(ToString::to_string).collect();
            aces.sort();
            Some(aces)
        }
        _ => None,
    };
    let label = |descriptor: &SecurityDescriptor| {
        let labels = crate::plan::inherit::label_aces(descriptor);
        labels.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    found.control.contains(Control::DACL_PROTECTED)
        && aces(found) == aces(wanted)
        && label(found) == label(wanted)
        && is_owned_by_administrators(found)
}

fn is_owned_by_administrators(found: &SecurityDescriptor) -> bool {
    use nt_security::well_known::{ADMINISTRATORS, SYSTEM};
    found.owner.is_some_and(|owner| owner == ADMINISTRATORS || owner == SYSTEM)
}

/// A path's parent, and itself, as folders that must be ours.
fn not_ours(id: &str, path: &WinPath) -> SetupError {
    SetupError::new(
        "setup-folder-not-ours",
        id,
        path,
        "somebody who is no administrator made this folder: look at it, remove it, and run `codex-sandbox setup` again",
    )
}

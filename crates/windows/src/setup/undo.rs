//! Taking a set-up back, in the opposite order: everything of ours, and nothing else. Killed anywhere and run again, it finishes.

use super::engine::{Events, Outcome, StepReport, StepState};
use super::error::SetupError;
use super::journal::{Journal, Thing, of_state};
use super::machine::{Machine, MachineErrorKind};
use super::names::Names;
use super::plan::{MARK, Request};
use super::recover;
use super::steps::wfp_plan;
use crate::grants::Progress;
use crate::host::Host;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;
use crate::state::{KnownSid, State};
use crate::teardown::{Scope, teardown};

/// What taking back works with.
pub struct Undo<'a, M, H> {
    /// The machine.
    pub machine: &'a M,
    /// Its files.
    pub host: &'a H,
    /// Its state database.
    pub state: &'a State,
    /// For which names and folder.
    pub request: &'a Request,
    /// Hears how far the walks through the profiles are.
    pub progress: &'a dyn Progress,
}

/// Everything of ours, last made first: what the journal says, and what is recognised besides.
///
/// # Errors
/// The journal, or what cannot be asked.
pub fn things<M: Machine>(machine: &M, state: &State, request: &Request) -> Result<Vec<Thing>, SetupError> {
    let mut things = Journal(state).things()?;
    // The journal's names count, not those of today's configuration.
    let prefix = things.iter().find_map(|thing| match thing {
        Thing::Prefix { prefix } => Names::new(prefix).ok(),
        _ => None,
    });
    let request = Request { names: prefix.unwrap_or_else(|| request.names.clone()), ..request.clone() };
    for found in recover::things(machine, &request)? {
        match things.iter_mut().find(|thing| thing.key() == found.key()) {
            Some(known) => *known = found,
            None => things.push(found),
        }
    }
    things.sort_by_key(order);
    things.reverse();
    Ok(things)
}

/// Things that others rest on come first, whenever they were noted.
fn order(thing: &Thing) -> u8 {
    match thing {
        Thing::Prefix { .. } => 0,
        Thing::RealUser { .. } => 1,
        Thing::Folder { .. } => 2,
        Thing::Group { .. } => 3,
        Thing::User { .. } => 4,
        Thing::Member { .. } => 5,
        Thing::Hidden { .. } | Thing::Right { .. } => 6,
        // The walls stand until the accounts' passwords are gone.
        Thing::Firewall { .. } => 7,
        Thing::Wfp { .. } => 8,
        Thing::Helper { .. } => 9,
        Thing::Credentials { .. } => 10,
        Thing::Reads { .. } => 11,
    }
}

impl<M: Machine, H: Host> Undo<'_, M, H> {
    /// Takes everything back. When the outcome is complete, only the state database and its folder are left
    /// ([`State::remove`], and [`Machine::remove`] of the folder).
    ///
    /// # Errors
    /// The journal, or what cannot be asked; a thing that cannot be taken back is in the outcome, and stays noted.
    pub fn everything(&self, events: &dyn Events) -> Result<Outcome, SetupError> {
        self.state.require_durable().map_err(|error| of_state(&error))?;
        let folder = &self.request.folder;
        let mut things = things(self.machine, self.state, self.request)?;
        // A folder in a folder goes first.
        things.sort_by_key(|thing| match thing {
            Thing::Folder { path } => (std::cmp::Reverse(order(thing)), usize::MAX - path.depth()),
            _ => (std::cmp::Reverse(order(thing)), 0),
        });
        let count = things.len();
        let mut steps = Vec::with_capacity(count);
        for (number, thing) in things.iter().enumerate() {
            let result = self.take_back(thing).and_then(|()| Journal(self.state).forget(thing));
            let (state, error) = match result {
                Ok(()) => (StepState::Applied, None),
                Err(error) => (StepState::Failed, Some(error)),
            };
            let killed = error.as_ref().is_some_and(|error| error.killed);
            let report =
                StepReport { id: thing.key(), title: thing.title(), state, detail: String::new(), error };
            events.step(number + 1, count, &report);
            steps.push(report);
            if killed {
                return Ok(Outcome { steps });
            }
        }
        self.machine.remove(&folder.worker()).map_err(of)?;
        if self.machine.file(&folder.0).map_err(of)?.is_some() {
            // What a process that ended left half written.
            let names = self.machine.list(&folder.0).map_err(of)?;
            for name in names.iter().filter(|name| name.ends_with(".new")) {
                self.machine.remove(&folder.0.join(name)).map_err(of)?;
            }
        }
        Ok(Outcome { steps })
    }

    fn take_back(&self, thing: &Thing) -> Result<(), SetupError> {
        let machine = self.machine;
        match thing {
            Thing::Prefix { .. } | Thing::RealUser { .. } => Ok(()),
            Thing::Folder { path } => self.empty(path),
            Thing::Helper { path } | Thing::Credentials { path, .. } => machine.remove(path).map_err(of),
            Thing::Group { name, sid } => self.delete_group(name, *sid),
            Thing::User { name, sid } => self.delete_user(name, *sid),
            Thing::Member { group, user } => gone(machine.remove_member(&group.0, &user.0)),
            Thing::Hidden { name } => gone(machine.set_hidden(name, false)),
            Thing::Right { account, right } => gone(machine.remove_right(&account.0, right)),
            Thing::Firewall { name } => self.remove_rules(name),
            Thing::Wfp { prefix } => {
                let names = Names::new(prefix).unwrap_or_else(|_| self.request.names.clone());
                let anybody = nt_security::well_known::ANONYMOUS;
                gone(machine.remove_wfp(&wfp_plan(&names, &anybody)))
            }
            Thing::Reads { user } => self.take_reads(*user),
        }
    }

    fn delete_group(&self, name: &str, sid: Option<SidText>) -> Result<(), SetupError> {
        let Some(group) = self.machine.group(name).map_err(of)? else { return Ok(()) };
        // Another one of the same name is somebody else's.
        let ours = group.comment.ends_with(MARK) || sid == Some(group.sid.into());
        if ours { gone(self.machine.delete_group(name)) } else { Ok(()) }
    }

    fn delete_user(&self, name: &str, sid: Option<SidText>) -> Result<(), SetupError> {
        if let Some(user) = self.machine.user(name).map_err(of)? {
            if !user.comment.ends_with(MARK) && sid != Some(user.sid.into()) {
                return Ok(());
            }
            gone(self.machine.delete_profile(&user.sid))?;
            gone(self.machine.delete_user(name))?;
        }
        // Deleted by somebody else: the profile stayed.
        sid.map_or(Ok(()), |sid| gone(self.machine.delete_profile(&sid.0)))
    }

    fn remove_rules(&self, name: &str) -> Result<(), SetupError> {
        let found = self.machine.firewall_rules(name).map_err(of)?;
        if found.iter().any(|rule| !rule.description.ends_with(MARK)) {
            let remedy = "remove that rule or ours by hand: wf.msc";
            return Err(SetupError::new("setup-rule-taken", "teardown", name, remedy));
        }
        found.iter().try_for_each(|_| gone(self.machine.remove_firewall_rule(name)))
    }

    /// The ACEs of the journal; where nobody noted them, every ACE for the group in the profile.
    fn take_reads(&self, user: SidText) -> Result<(), SetupError> {
        let noted = Journal(self.state).things()?.contains(&Thing::Reads { user });
        if !noted {
            let group = self.machine.group(&self.request.names.group()).map_err(of)?;
            let profile = recover::profile(self.machine, &user.0);
            if let (Some(group), Some(root)) = (group, profile) {
                let sid =
                    crate::plan::facts::WriteSid { root, variant: "reads".to_owned(), sid: group.sid.into() };
                let known = KnownSid { sid, file_id: None, retired: false };
                self.state.add_write_sids(&[known]).map_err(|error| of_state(&error))?;
            }
        }
        let removed = teardown(self.host, self.state, &Scope::All, false, self.progress);
        let removed = removed.map_err(|error| {
            let killed = error.is_killed();
            SetupError { killed, ..SetupError::new(error.code(), "reads", &error, "run it again") }
        })?;
        match removed.refused.first() {
            _ if removed.cancelled => Err(SetupError::new("setup-cancelled", "reads", user, "run it again")),
            None => Ok(()),
            Some(refused) => {
                let object = format!(
                    "{} of {} objects: {}",
                    removed.refused.len(),
                    removed.counts.looked,
                    refused.error
                );
                Err(SetupError::new("setup-reads-refused", "reads", object, "run it again, elevated"))
            }
        }
    }

    /// Removes a folder of ours with what is in it, at most a few folders deep.
    fn empty(&self, path: &WinPath) -> Result<(), SetupError> {
        let Some(found) = self.machine.file(path).map_err(of)? else { return Ok(()) };
        if found.is_folder && !found.is_link {
            for name in self.machine.list(path).map_err(of)? {
                self.empty(&path.join(&name))?;
            }
        }
        self.machine.remove(path).map_err(of)
    }
}

fn of(error: super::machine::MachineError) -> SetupError {
    SetupError::of("teardown", error)
}

/// What is gone already is gone, and what the system does not have was never there.
fn gone(result: super::machine::MachineResult<()>) -> Result<(), SetupError> {
    match result {
        Err(error) if matches!(error.kind, MachineErrorKind::NotFound | MachineErrorKind::Unsupported) => {
            Ok(())
        }
        result => result.map_err(of),
    }
}

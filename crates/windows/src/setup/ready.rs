//! Whether the elevated tier is there, by what is on the machine and not by a marker.

use nt_security::Sid;

use super::credentials::Credentials;
use super::error::SetupError;
use super::machine::{Machine, MachineErrorKind};
use super::names::{MachineFolder, Names, Which};
use crate::plan::facts::Setup;

/// The accounts of a machine that is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The group of the sandbox accounts.
    pub group: Sid,
    /// The account without a network.
    pub offline: Sid,
    /// The account with one.
    pub online: Sid,
}

impl Ready {
    /// An account.
    pub fn account(&self, which: Which) -> Sid {
        match which {
            Which::Offline => self.offline,
            Which::Online => self.online,
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A stable word.
    pub code: &'static str,
    /// In words.
    pub text: String,
}

/// The state of the elevated tier, as an ordinary user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetupState {
    /// It can be used.
    Ready(Ready),
    /// Nothing of it is there.
    NotSetUp,
    /// Something of it is there, and something is missing or wrong.
    NeedsRepair(Vec<Reason>),
}

impl SetupState {
    /// Looks: no elevation needed, no logon tried, a few milliseconds.
    ///
    /// # Errors
    /// What could not be asked at all.
    pub fn look<M: Machine>(machine: &M, names: &Names, folder: &MachineFolder) -> Result<Self, SetupError> {
        let asked = |error| SetupError::of("look", error);
        let group = machine.group(&names.group()).map_err(asked)?.map(|group| group.sid);
        let user =
            |which| machine.user(&names.account(which)).map_err(asked).map(|user| user.map(|user| user.sid));
        let (offline, online) = (user(Which::Offline)?, user(Which::Online)?);
        if group.is_none() && offline.is_none() && online.is_none() {
            return Ok(Self::NotSetUp);
        }
        let mut reasons = Vec::new();
        let mut missing = |what: &str, name: String| {
            let text = format!("the {what} {name} is missing");
            reasons.push(Reason { code: "setup-account-missing", text });
        };
        if group.is_none() {
            missing("group", names.group());
        }
        for (which, found) in [(Which::Offline, offline), (Which::Online, online)] {
            if found.is_none() {
                missing("account", names.account(which));
            }
        }
        for (which, sid) in [(Which::Offline, offline), (Which::Online, online)] {
            reasons.extend(sid.and_then(|sid| credentials_fit(machine, folder, which, sid)));
        }
        reasons.extend(runner_is_there(machine, folder));
        match (group, offline, online) {
            (Some(group), Some(offline), Some(online)) if reasons.is_empty() => {
                Ok(Self::Ready(Ready { group, offline, online }))
            }
            _ => Ok(Self::NeedsRepair(reasons)),
        }
    }
}

/// The accounts as planning wants to know them, by what is there: the names are those that the passwords were sealed for. A user
/// for whom this machine was not set up sees none.
pub fn facts<M: Machine>(machine: &M, folder: &MachineFolder) -> Setup {
    let credentials = Which::ALL.map(|which| Credentials::load(machine, folder, which).ok());
    let prefix = credentials.iter().zip(Which::ALL).find_map(|(credentials, which)| {
        credentials.as_ref()?.user.strip_suffix(which.name()).map(str::to_owned)
    });
    let Some(names) = prefix.and_then(|prefix| Names::new(&prefix).ok()) else { return Setup::default() };
    let account = |which: Which, sealed: &Option<Credentials>| {
        let found = machine.user(&names.account(which)).ok().flatten()?.sid;
        // Another account of that name is not the one that was set up.
        let same = sealed.as_ref().is_some_and(|sealed| sealed.sid.0 == found);
        same.then_some(found.into())
    };
    Setup {
        group: machine.group(&names.group()).ok().flatten().map(|group| group.sid.into()),
        offline: account(Which::Offline, &credentials[0]),
        online: account(Which::Online, &credentials[1]),
        logon_error: None,
        helpers: runner_is_there(machine, folder).is_none(),
    }
}

fn credentials_fit<M: Machine>(
    machine: &M,
    folder: &MachineFolder,
    which: Which,
    account: Sid,
) -> Option<Reason> {
    match Credentials::load(machine, folder, which) {
        Ok(credentials) if credentials.sid.0 == account => None,
        Ok(credentials) => Some(Reason {
            code: "setup-account-replaced",
            text: format!("the account {} is another one than when it was set up", credentials.user),
        }),
        Err(error) => Some(Reason { code: error.code, text: error.to_string() }),
    }
}

fn runner_is_there<M: Machine>(machine: &M, folder: &MachineFolder) -> Option<Reason> {
    let path = folder.runner();
    match machine.file(&path) {
        Ok(Some(file)) if !file.is_folder && !file.is_link => None,
        Err(error) if error.kind != MachineErrorKind::NotFound => Some(Reason {
            code: "setup-helper-unreadable",
            text: SetupError::of("helpers", error).to_string(),
        }),
        _ => Some(Reason { code: "setup-helper-missing", text: format!("{path} is missing") }),
    }
}

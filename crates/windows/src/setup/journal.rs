//! What the set-up made, as the journal keeps it: enough to take it back without the plan that made it.

use serde::{Deserialize, Serialize};

use super::error::SetupError;
use super::names::Which;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;
use crate::state::{State, StateError};

/// Something of ours on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Thing {
    /// The prefix of the accounts' names.
    Prefix {
        /// It.
        prefix: String,
    },
    /// A real user.
    RealUser {
        /// Who.
        sid: SidText,
    },
    /// A folder, with what is in it.
    Folder {
        /// Where.
        path: WinPath,
    },
    /// A local group.
    Group {
        /// Its name.
        name: String,
        /// Its SID, once it was made.
        sid: Option<SidText>,
    },
    /// A local user, with its profile.
    User {
        /// Its name.
        name: String,
        /// Its SID, once it was made.
        sid: Option<SidText>,
    },
    /// A membership.
    Member {
        /// In which group.
        group: SidText,
        /// Whose.
        user: SidText,
    },
    /// An entry that keeps a user off the logon screen.
    Hidden {
        /// Whom.
        name: String,
    },
    /// An account right.
    Right {
        /// Whose.
        account: SidText,
        /// Which.
        right: String,
    },
    /// Firewall rules of this name, with our description.
    Firewall {
        /// The name.
        name: String,
    },
    /// Everything under our provider.
    Wfp {
        /// The prefix, from which the keys' plan follows.
        prefix: String,
    },
    /// A sealed password.
    Credentials {
        /// Where.
        path: WinPath,
        /// Whose: `Offline` or `Online`.
        which: String,
    },
    /// A helper program.
    Helper {
        /// Where.
        path: WinPath,
    },
    /// Read grants; each ACE is in the journal of ACEs.
    Reads {
        /// For whom.
        user: SidText,
    },
}

impl Thing {
    /// A sealed password.
    pub fn credentials(path: &WinPath, which: Which) -> Self {
        Self::Credentials { path: path.clone(), which: which.name().to_owned() }
    }

    /// By which it is noted once, whatever is learnt about it.
    pub fn key(&self) -> String {
        match self {
            Self::Prefix { .. } => "prefix".to_owned(),
            Self::RealUser { sid } => format!("real-user {sid}"),
            Self::Folder { path } => format!("folder {}", path.key()),
            Self::Group { name, .. } => format!("group {}", name.to_uppercase()),
            Self::User { name, .. } => format!("user {}", name.to_uppercase()),
            Self::Member { group, user } => format!("member {group} {user}"),
            Self::Hidden { name } => format!("hidden {}", name.to_uppercase()),
            Self::Right { account, right } => format!("right {account} {right}"),
            Self::Firewall { name } => format!("firewall {name}"),
            Self::Wfp { .. } => "wfp".to_owned(),
            Self::Credentials { path, .. } => format!("credentials {}", path.key()),
            Self::Helper { path } => format!("helper {}", path.key()),
            Self::Reads { user } => format!("reads {user}"),
        }
    }

    /// In words, for people.
    pub fn title(&self) -> String {
        match self {
            Self::Prefix { prefix } => format!("the prefix {prefix}"),
            Self::RealUser { sid } => format!("the user {sid}"),
            Self::Folder { path } => format!("folder {path}"),
            Self::Group { name, .. } => format!("local group {name}"),
            Self::User { name, .. } => format!("local user {name}, with its profile"),
            Self::Member { group, user } => format!("membership of {user} in {group}"),
            Self::Hidden { name } => format!("{name} kept off the logon screen"),
            Self::Right { account, right } => format!("{right} of {account}"),
            Self::Firewall { name } => format!("firewall rule {name:?}"),
            Self::Wfp { .. } => "filters of the Windows Filtering Platform".to_owned(),
            Self::Credentials { path, .. } => format!("sealed password {path}"),
            Self::Helper { path } => format!("helper program {path}"),
            Self::Reads { user } => format!("read grants for the user {user}"),
        }
    }
}

/// The journal of a machine, in its state database.
#[derive(Debug, Clone, Copy)]
pub struct Journal<'a>(pub &'a State);

impl Journal<'_> {
    /// Everything that is noted, in order. What cannot be read is passed by: it must not stop a set-up.
    ///
    /// # Errors
    /// The state database's.
    pub fn things(self) -> Result<Vec<Thing>, SetupError> {
        let rows = self.0.things().map_err(|error| of_state(&error))?;
        Ok(rows.iter().filter_map(|(_, what)| serde_json::from_str(what).ok()).collect())
    }

    /// Notes a thing before it is made, or its SID after.
    ///
    /// # Errors
    /// The state database's: nothing is made then.
    pub fn note(self, thing: &Thing) -> Result<(), SetupError> {
        // A thing always has a JSON form.
        let what = serde_json::to_string(thing).unwrap_or_default();
        self.0.note_thing(&thing.key(), &what).map_err(|error| of_state(&error))
    }

    /// Forgets a thing that is gone.
    ///
    /// # Errors
    /// The state database's.
    pub fn forget(self, thing: &Thing) -> Result<(), SetupError> {
        self.0.forget_thing(&thing.key()).map_err(|error| of_state(&error))
    }
}

/// The state database's failure as ours.
pub(super) fn of_state(error: &StateError) -> SetupError {
    SetupError::new(error.code(), "journal", error, "")
}

//! Gathering what the read grants in a user's profile depend on: the whole profile is walked for what inheritance does not reach.

use std::collections::BTreeMap;

use codex_sandbox_policy::GitMode;

use super::nodes::Nodes;
use super::{SIDS, tree};
use crate::grants::GrantError;
use crate::host::{Host, HostError};
use crate::plan::SECRETS;
use crate::plan::facts::{FACTS_VERSION, Facts, Folders, JournalEntry, Setup, State as StateFacts, User};
use crate::plan::path::WinPath;
use crate::plan::rules::Rules;
use crate::plan::sid_text::SidText;
use crate::state::{State, What};

/// Whose profile, and what the set-up made.
#[derive(Debug, Clone)]
pub struct Whose {
    /// The user, with the groups that he has without elevation.
    pub user: User,
    /// His folders.
    pub folders: Folders,
    /// The accounts.
    pub setup: Setup,
    /// The environment, for PATH.
    pub environment: BTreeMap<String, String>,
}

/// Asks a host for what the read grants for a user depend on.
///
/// # Errors
/// [`GrantError`]. What cannot be opened is left out.
pub fn profile<H: Host>(host: &H, state: &State, whose: &Whose) -> Result<Facts, GrantError> {
    let Whose { user, folders, setup, environment } = whose.clone();
    let mut described = host.describe()?;
    described.user = user;
    described.folders = folders;
    let folders = &described.folders;
    let mut nodes = Nodes::new(host);
    for volume in &described.volumes {
        nodes.add(&volume.root);
    }
    let places =
        [&folders.windows, &folders.program_data, &folders.profiles, &folders.profile, &folders.state];
    for place in folders.program_files.iter().chain(places) {
        nodes.add(place);
    }
    for folder in split(folders) {
        for name in nodes.names(&folder) {
            nodes.add(&folder.join(&name));
        }
    }
    let path = environment.iter().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
    for entry in path.map(|(_, value)| value.split(';')).into_iter().flatten() {
        if let Ok(path) = WinPath::absolute(entry.trim().trim_matches('"')) {
            nodes.add(&path);
        }
    }
    let nothing = Rules::new(Vec::new(), &[], GitMode::Protect);
    tree::look(host, &mut nodes, &folders.profile, &nothing, &described)?;
    let random_sids: Result<Vec<SidText>, HostError> = (0..SIDS).map(|_| host.random_sid()).collect();
    let state = StateFacts { journal: journal(state)?, ..StateFacts::default() };
    let cwd = described.folders.profile.to_string();
    // Both were checked by the steps before, and say nothing about reading.
    described.machine.secondary_logon_disabled = false;
    Ok(Facts {
        version: FACTS_VERSION,
        title: described.machine.name.clone(),
        machine: described.machine,
        user: described.user,
        folders: described.folders,
        cwd,
        volumes: described.volumes,
        nodes: nodes.finish(),
        environment,
        accounts: Vec::new(),
        firewall_rules: Vec::new(),
        setup,
        state,
        random_sids: random_sids?,
    })
}

/// What the machine's journal says of ACEs; write SIDs and runs are the users' own affair.
fn journal(state: &State) -> Result<Vec<JournalEntry>, GrantError> {
    let entry = |record: crate::state::Record| match record.what {
        What::Ace(ace) | What::Label { label: ace, .. } => {
            JournalEntry { path: record.path, ace: ace.to_string() }
        }
    };
    Ok(state.journal()?.into_iter().map(entry).collect())
}

/// Folders of the profile of which only some content is given: those above a secret, or above our state.
fn split(folders: &Folders) -> Vec<WinPath> {
    let profile = &folders.profile;
    let secrets = SECRETS.iter().map(|secret| profile.join(secret)).chain([folders.state.join("tmp")]);
    let above =
        |path: WinPath| path.ancestors().skip(1).take_while(|at| at.is_in(profile)).collect::<Vec<_>>();
    let mut all: Vec<WinPath> = secrets.flat_map(above).collect();
    all.sort();
    all.dedup();
    all
}

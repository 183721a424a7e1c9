//! Gathering [`Facts`]: what of a machine a policy's plan depends on, and no more.
//!
//! A root whose tree was walked to the end, and whose descriptor is as it was then, is not walked again: the objects in it that
//! matter are known by name. What was made since then inherits. A nested repository that came since then is found by the
//! walk over names at the end of each run ([`end_of_run`](crate::grants::end_of_run)), or with [`Request::rescan`].

use std::collections::BTreeMap;

use codex_sandbox_policy::policy::{Origin, WrittenPath};
use codex_sandbox_policy::{GitMode, Mode, Policy};
use nt_security::AccessMask;

use crate::grants::{GrantError, adopt};
use crate::host::{Described, FileId, Host, HostError};
use crate::plan::facts::{FACTS_VERSION, Facts, JournalEntry, NodeKind, State as StateFacts};
use crate::plan::intent::private_folder;
use crate::plan::path::WinPath;
use crate::plan::rules::{Entry as RuleEntry, Rules};
use crate::plan::sid_text::SidText;
use crate::plan::worktree;
use crate::state::{KnownSid, State, Verified, What};

mod hash;
mod nodes;
mod open;
pub mod profile;
mod search;
mod tree;

use nodes::Nodes;

/// Files of a linked worktree's directory that lead elsewhere.
const POINTERS: [&str; 2] = ["gitdir", "commondir"];
/// The most folders beside a root, or in the profile, that are looked at.
const MOST_SIBLINGS: usize = 256;
/// How many SIDs a plan takes at most: one for each root, the marker, the run.
const SIDS: usize = crate::plan::MAX_ROOTS + 2;

/// What the facts are for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The working directory, as it was given.
    pub cwd: &'a str,
    /// The environment of the program.
    pub environment: BTreeMap<String, String>,
    /// Walk the roots although they were walked before.
    pub rescan: bool,
}

/// Asks a host, and the state database, for what `request` needs.
///
/// # Errors
/// [`GrantError`]: the machine cannot be described, or the state not be read. What cannot be opened is left out.
pub fn gather<H: Host>(host: &H, state: &State, request: &Request<'_>) -> Result<Facts, GrantError> {
    Ok(gather_all(host, state, request)?.0)
}

/// The same, and whether a root had to be walked.
///
/// # Errors
/// [`GrantError`].
pub fn gather_all<H: Host>(
    host: &H,
    state: &State,
    request: &Request<'_>,
) -> Result<(Facts, bool), GrantError> {
    let mut described = host.describe()?;
    if mentions_volume(request) {
        for volume in &mut described.volumes {
            volume.guid = volume.guid.take().or_else(|| host.volume_guid(&volume.root));
        }
    }
    let mut gatherer = Gatherer { host, state, request, nodes: Nodes::new(host), described, walked: false };
    gatherer.places();
    let roots = gatherer.roots();
    let denied = gatherer.denied();
    gatherer.neighbours(&roots);
    gatherer.open_trees(&roots);
    let rules = rules(request.policy, &roots, &denied);
    for root in &roots {
        gatherer.root(root, &rules)?;
    }
    for path in denied.iter().filter(|path| !roots.iter().any(|root| path.is_in(root))) {
        tree::look(host, &mut gatherer.nodes, path, &rules, &gatherer.described)?;
    }
    let walked = gatherer.walked;
    Ok((gatherer.facts()?, walked))
}

/// Whether anything is named by its volume and not by a drive: only then is it asked which drive that is.
fn mentions_volume(request: &Request<'_>) -> bool {
    let policy = request.policy;
    let written = policy.writable_roots.iter().chain(&policy.deny_read);
    let written = written.filter_map(|written| written.path.to_str());
    let names = request.environment.values().map(String::as_str).chain([request.cwd]).chain(written);
    let mut names = names.map(str::to_ascii_lowercase);
    names.any(|text| text.contains("volume{"))
}

/// What the state database keeps of a policy's walk.
///
/// # Errors
/// [`GrantError`].
pub fn remember<H: Host>(
    host: &H,
    state: &State,
    policy: &Policy,
    facts: &Facts,
    roots: &[WinPath],
    made: &[WinPath],
) -> Result<(), GrantError> {
    for root in roots {
        let handle = host.open(root, AccessMask::READ_CONTROL)?;
        let file_id = host.info(&handle)?.id;
        let hash = hash::descriptor(&host.descriptor(&handle)?);
        let policy = hash::policy(policy);
        let known = state.verified(file_id, &policy)?;
        let in_root =
            facts.nodes.iter().map(|node| &node.path).chain(made).filter(|path| path.is_below(root));
        let mut nodes: Vec<WinPath> = in_root.cloned().collect();
        nodes.sort();
        nodes.dedup();
        let path = root.clone();
        if known
            .as_ref()
            .is_some_and(|known| known.hash == hash && known.nodes == nodes && known.path == path)
        {
            continue;
        }
        let looked = host.now();
        state.set_verified(&Verified { file_id, policy, path, hash, nodes, looked })?;
    }
    Ok(())
}

struct Gatherer<'a, H: Host> {
    host: &'a H,
    state: &'a State,
    request: &'a Request<'a>,
    nodes: Nodes<'a, H>,
    described: Described,
    walked: bool,
}

impl<H: Host> Gatherer<'_, H> {
    /// Drives, well-known folders, folders of PATH.
    fn places(&mut self) {
        let drives: Vec<WinPath> = self.described.volumes.iter().map(|volume| volume.root.clone()).collect();
        for drive in drives {
            self.nodes.add(&drive);
        }
        let folders = self.described.folders.clone();
        let more = [
            &folders.windows,
            &folders.program_data,
            &folders.profiles,
            &folders.profile,
            &folders.local_app_data,
            &folders.temp,
            &folders.machine_state,
            &folders.state,
        ];
        for folder in folders.program_files.iter().chain(more) {
            self.nodes.add(folder);
        }
        self.nodes.add(&folders.profiles.join("Public"));
        self.nodes.add(&folders.profile.join(r"AppData\LocalLow"));
        // What we made there before; what lies in `tmp` belongs to one workspace each.
        for entry in self.nodes.list(&folders.state) {
            if entry.kind == NodeKind::Folder {
                self.nodes.add(&folders.state.join(&entry.name));
            }
        }
        let path = self.request.environment.iter().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
        let path = path.map(|(_, value)| value.clone()).unwrap_or_default();
        for folder in path.split(';').filter(|folder| !folder.trim().is_empty()) {
            self.locate(folder.trim().trim_matches('"'), None);
        }
    }

    /// The real path of what was typed; every link on the way becomes a node.
    fn locate(&mut self, typed: &str, base: Option<&WinPath>) -> Option<WinPath> {
        search::locate(self.host, &mut self.nodes, &self.described.volumes, typed, base)
    }

    fn written(&mut self, written: &WrittenPath, cwd: Option<&WinPath>) -> Option<WinPath> {
        let text = written.path.to_str()?;
        let home = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', '\\']));
        let text =
            home.map_or_else(|| text.to_owned(), |rest| format!("{}{rest}", self.described.folders.profile));
        let base = match &written.origin {
            Origin::File { path, .. } => {
                path.to_str().and_then(|file| WinPath::absolute(file).ok()?.parent())
            }
            _ => None,
        };
        self.locate(&text, base.as_ref().or(cwd))
    }

    /// The folders that the policy wants to write, and git directories that their `.git` files lead to.
    fn roots(&mut self) -> Vec<WinPath> {
        let policy = self.request.policy;
        let cwd = self.locate(self.request.cwd, None);
        let private = private_folder(&self.described.folders, cwd.as_ref(), self.request.cwd);
        self.nodes.add(&private);
        if policy.mode == Mode::ReadOnly {
            return Vec::new();
        }
        let mut roots: Vec<WinPath> = cwd.iter().cloned().collect();
        for written in &policy.writable_roots {
            roots.extend(self.written(written, cwd.as_ref()));
        }
        if policy.exclude_tmpdir_env_var == Some(false) || policy.exclude_slash_tmp == Some(false) {
            let temp = self.described.folders.temp.to_string();
            roots.extend(self.locate(&temp, None));
        }
        for root in roots.clone() {
            let git = self.git_dir(&root);
            roots.extend(git.filter(|_| policy.git == GitMode::Commit));
        }
        let folders = &self.described.folders;
        // Never granted, so not walked either.
        let is_too_much = |root: &WinPath| {
            root.is_drive_root()
                || folders.profile.is_in(root)
                || folders.profiles.is_in(root)
                || root.is_in(&folders.windows)
                || folders.windows.is_in(root)
                || folders.state.is_in(root)
        };
        roots.retain(|root| !is_too_much(root));
        roots.sort();
        roots.dedup();
        roots
    }

    /// Where the `.git` file or link of a root leads; a linked worktree's is `worktrees\<id>` of the main one.
    fn git_dir(&mut self, root: &WinPath) -> Option<WinPath> {
        let pointer = root.join(".git");
        let node = self.nodes.add(&pointer)?;
        let typed = match node.kind {
            NodeKind::File => node.content.as_deref()?.trim().strip_prefix("gitdir:")?.trim().to_owned(),
            kind if kind.is_link() => pointer.to_string(),
            _ => return None,
        };
        let dir = self.locate(&typed, Some(root))?;
        Some(self.main_git_dir(dir))
    }

    /// The repository's own directory, where `dir` is its folder for a linked worktree; with what planning looks at to tell whether
    /// the repository knows of the worktree (see `plan::worktree`).
    fn main_git_dir(&mut self, dir: WinPath) -> WinPath {
        let main = worktree::main_git_dir(&dir);
        if main == dir {
            return dir;
        }
        for name in POINTERS {
            let said = self.nodes.add(&dir.join(name)).and_then(|node| node.content.clone());
            if let Some(said) = said {
                self.locate(said.trim(), Some(&dir));
            }
        }
        for name in ["HEAD", "objects", "refs"] {
            self.nodes.add(&main.join(name));
        }
        main
    }

    fn denied(&mut self) -> Vec<WinPath> {
        let cwd = self.locate(self.request.cwd, None);
        let denied = &self.request.policy.deny_read;
        denied.iter().filter_map(|written| self.written(written, cwd.as_ref())).collect()
    }

    /// Folders beside the roots, and in the profile: Everyone may be able to write one of them.
    fn neighbours(&mut self, roots: &[WinPath]) {
        let beside = roots.iter().filter_map(WinPath::parent);
        let mut folders: Vec<WinPath> = beside.chain([self.described.folders.profile.clone()]).collect();
        folders.sort();
        folders.dedup();
        for folder in folders {
            for entry in self.nodes.list(&folder).into_iter().take(MOST_SIBLINGS) {
                if entry.kind == NodeKind::Folder {
                    self.nodes.add(&folder.join(&entry.name));
                }
            }
        }
    }

    /// What matters in a root: by name where its tree was walked before, else by a walk.
    fn root(&mut self, root: &WinPath, rules: &Rules) -> Result<(), GrantError> {
        if self.nodes.add(root).is_none_or(|node| node.kind != NodeKind::Folder) {
            return Ok(());
        }
        let Some((id, descriptor)) = self.nodes.identity(root) else { return Ok(()) };
        if self.state.was_rebuilt()? {
            self.remember_again(root)?;
        }
        let known = self.state.verified(id, &hash::policy(self.request.policy))?;
        let fresh = |known: &Verified| known.path == *root && known.hash == hash::descriptor(&descriptor);
        match known.filter(|known| fresh(known) && !self.request.rescan) {
            Some(known) => {
                for path in &known.nodes {
                    self.nodes.add(path);
                }
                for entry in self.nodes.list(root) {
                    if rules.protected_name(&entry.name).is_some() {
                        self.nodes.add(&root.join(&entry.name));
                    }
                }
                Ok(())
            }
            None => {
                self.walked = true;
                tree::look(self.host, &mut self.nodes, root, rules, &self.described)
            }
        }
    }

    /// What a lost state knew of a root: noted as retired, so that this run cleans it away, and teardown what it keeps.
    fn remember_again(&self, root: &WinPath) -> Result<(), GrantError> {
        let known = self.state.write_sids()?;
        let found = adopt::find(self.host, root, &known, self.described.user.sid.0)?;
        if !found.sids.is_empty() {
            self.state.add_write_sids(&found.sids)?;
            self.state.note(&found.records)?;
        }
        Ok(())
    }

    fn facts(self) -> Result<Facts, GrantError> {
        let Self { host, state, request, nodes, described, .. } = self;
        let random_sids: Result<Vec<SidText>, HostError> = (0..SIDS).map(|_| host.random_sid()).collect();
        let state = state_facts(host, state, &described, &nodes)?;
        let Described { machine, user, folders, volumes, accounts, firewall_rules, setup } = described;
        Ok(Facts {
            version: FACTS_VERSION,
            title: machine.name.clone(),
            machine,
            user,
            folders,
            cwd: request.cwd.to_owned(),
            volumes,
            nodes: nodes.finish(),
            environment: request.environment.clone(),
            accounts,
            firewall_rules,
            setup,
            state,
            random_sids: random_sids?,
        })
    }
}

/// The rules of the policy for what was found, to tell what matters below a root.
fn rules(policy: &Policy, roots: &[WinPath], denied: &[WinPath]) -> Rules {
    let roots = roots.iter().cloned().map(RuleEntry::Root);
    let denied = denied.iter().cloned().map(RuleEntry::DenyRead);
    Rules::new(roots.chain(denied).collect(), &policy.protected, policy.git)
}

/// What the state database says, with the SIDs of folders that are gone, or that are not the same any more, retired.
fn state_facts<H: Host>(
    host: &H,
    state: &State,
    described: &Described,
    nodes: &Nodes<'_, H>,
) -> Result<StateFacts, GrantError> {
    let mut known = state.write_sids()?;
    let lost: Vec<SidText> = known
        .iter()
        .filter(|known| !known.retired && is_lost(host, described, nodes, known))
        .map(|known| known.sid.sid)
        .collect();
    if !lost.is_empty() && state.require_durable().is_ok() {
        state.retire(&lost)?;
    }
    for known in known.iter_mut().filter(|known| lost.contains(&known.sid.sid)) {
        known.retired = true;
    }
    let (retired, alive): (Vec<KnownSid>, Vec<KnownSid>) = known.into_iter().partition(|known| known.retired);
    let retired_sids = retired.iter().map(|known| known.sid.sid).collect();
    let journal = state.journal()?.into_iter().map(|record| {
        let ace = match &record.what {
            What::Ace(ace) => ace.to_string(),
            What::Label { label, .. } => label.to_string(),
        };
        JournalEntry { path: record.path, ace }
    });
    Ok(StateFacts {
        write_sids: alive.into_iter().map(|known| known.sid).collect(),
        journal: journal.collect(),
        retired_sids,
        active: state.active(host.process(), |process| host.is_running(process))?,
    })
}

/// Whether the folder of a SID was deleted, moved or made anew. A drive that is not there says nothing.
fn is_lost<H: Host>(host: &H, described: &Described, nodes: &Nodes<'_, H>, known: &KnownSid) -> bool {
    let Some(id) = known.file_id else { return false };
    let root = &known.sid.root;
    if !described.volumes.iter().any(|volume| volume.root.drive() == root.drive()) {
        return false;
    }
    if let Some((found, _)) = nodes.identity(root) {
        return found != id;
    }
    match host.open(root, AccessMask::NONE).and_then(|handle| host.info(&handle)) {
        Ok(info) => info.id != id,
        Err(error) => error.is_not_found(),
    }
}

/// Which file an object is, and its descriptor.
type Identity = (FileId, nt_security::SecurityDescriptor);

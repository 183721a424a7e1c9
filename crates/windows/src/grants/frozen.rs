//! Protected names that were born during the run: frozen at its end, and what in them makes git run code is listed.

use std::sync::Arc;

use nt_security::AccessMask;

use super::apply;
use super::report::{GrantError, Progress};
use crate::host::{Entry, Host, HostError};
use crate::plan::context::WRITES;
use crate::plan::data::{
    AceChange, AceSpec, Applies, By, Change, Effect, LabelChange, Purpose, RootState, WindowsPlan,
    WriteSidPlan,
};
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;
use crate::plan::rules::{Rule, Rules};
use crate::plan::wanted::closed_label;
use crate::state::State;

/// How much of a git configuration is read.
const MOST_CONFIG: usize = 1 << 20;

/// Keys from which git runs what they say, and sections all of whose keys are such; lower case.
/// Source: git-config(1), gitattributes(5).
const KEYS: [&str; 14] = [
    "core.hookspath",
    "core.fsmonitor",
    "core.sshcommand",
    "core.editor",
    "core.pager",
    "core.askpass",
    "core.gitproxy",
    "core.attributesfile",
    "sequence.editor",
    "credential.helper",
    "gpg.program",
    "diff.external",
    "include.path",
    "uploadpack.packobjectshook",
];
const SECTIONS: [&str; 8] =
    ["alias.", "filter.", "includeif.", "pager.", "difftool.", "mergetool.", "merge.", "diff."];

/// A protected name that appeared during the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Where.
    pub path: WinPath,
    /// Whether it is read-only for commands now; if not, [`Applied::refused`](super::Applied::refused) of the run says why.
    pub is_frozen: bool,
    /// Hooks, and keys of the configuration, that make git run code.
    pub runs_code: Vec<String>,
}

/// Looks through the roots for protected names that the plan did not know, makes them read-only for every command of these roots
/// from now on, and says what in them makes git run code. Only names are read below the roots, no descriptors.
///
/// # Errors
/// [`GrantError`].
pub fn end_of_run<H: Host>(
    plan: &WindowsPlan,
    host: &H,
    state: &State,
    progress: &dyn Progress,
) -> Result<Vec<Frozen>, GrantError> {
    let rules = plan.policy.rules();
    let mut born = Vec::new();
    for watch in plan.watch.iter().filter(|watch| watch.below) {
        let search = Search { host, rules: &rules, plan };
        search.folder(&watch.folder, &mut born)?;
    }
    born.sort();
    born.dedup();
    if born.is_empty() {
        return Ok(Vec::new());
    }
    let freezing = freezing(plan, &rules, host, &born);
    let applied = apply(&freezing, host, state, progress)?;
    if state.require_durable().is_ok() {
        state.learn(&born)?;
        let _older = state.back_up();
    }
    let is_frozen = |path: &WinPath| {
        !applied.cancelled && !applied.refused.iter().any(|refused| refused.path == path.as_str())
    };
    let frozen = |path: WinPath| {
        let runs_code = runs_code(&path, host);
        Frozen { is_frozen: is_frozen(&path), runs_code, path }
    };
    Ok(born.into_iter().map(frozen).collect())
}

struct Search<'a, H: Host> {
    host: &'a H,
    rules: &'a Rules,
    plan: &'a WindowsPlan,
}

impl<H: Host> Search<'_, H> {
    /// Goes down by handle, so that nothing that is renamed meanwhile leads elsewhere.
    fn folder(&self, top: &WinPath, born: &mut Vec<WinPath>) -> Result<(), HostError> {
        let mut folders: Vec<(Option<Arc<H::Handle>>, WinPath)> = vec![(None, top.clone())];
        while let Some((above, folder)) = folders.pop() {
            let Some(handle) = self.open(above.as_deref(), &folder)? else { continue };
            let entries = match self.host.list(&handle) {
                Err(error) if error.is_killed() => return Err(error),
                entries => entries.unwrap_or_default(),
            };
            for Entry { name, kind, .. } in entries {
                let path = folder.join(&name);
                if self.is_protected(&path) {
                    if !self.is_known(&path) {
                        born.push(path);
                    }
                } else if kind == NodeKind::Folder {
                    folders.push((Some(Arc::clone(&handle)), path));
                }
            }
        }
        Ok(())
    }

    /// What cannot be listed was not written by the command either.
    fn open(&self, above: Option<&H::Handle>, folder: &WinPath) -> Result<Option<Arc<H::Handle>>, HostError> {
        let opened = match (above, folder.name()) {
            (Some(above), Some(name)) => self.host.open_child(above, name, AccessMask::FILE_LIST_DIRECTORY),
            _ => self.host.open(folder, AccessMask::FILE_LIST_DIRECTORY),
        };
        match opened {
            Err(error) if error.is_killed() => Err(error),
            opened => Ok(opened.ok().map(Arc::new)),
        }
    }

    fn is_protected(&self, path: &WinPath) -> bool {
        match self.rules.decide(path).rule {
            Rule::Protected { path: at, .. } | Rule::GitDir { path: at } => at == *path,
            _ => false,
        }
    }

    fn is_known(&self, path: &WinPath) -> bool {
        self.plan.aces.iter().any(|ace| ace.path == *path)
    }
}

/// The plan that makes these read-only, and nothing else.
fn freezing<H: Host>(plan: &WindowsPlan, rules: &Rules, host: &H, born: &[WinPath]) -> WindowsPlan {
    let mut freezing = WindowsPlan {
        folders: Vec::new(),
        placeholders: Vec::new(),
        aces: plan.aces.iter().filter(|ace| ace.change != Change::Remove).cloned().collect(),
        labels: plan.labels.iter().filter(|label| label.change != Change::Remove).cloned().collect(),
        ..plan.clone()
    };
    freezing.aces.iter_mut().for_each(|ace| ace.change = Change::Keep);
    freezing.labels.iter_mut().for_each(|label| label.change = Change::Keep);
    freezing.write_sids.iter_mut().for_each(|sid| sid.new = false);
    for path in born {
        let Some(sid) = innermost(plan, path) else { continue };
        let is_folder = kind(path, host) != NodeKind::File;
        let applies = if is_folder { Applies::Tree } else { Applies::This };
        let deny = |path: &WinPath, mask, applies, purpose| {
            let name = format!("write SID of {}", sid.root);
            let ace = AceSpec::new(Effect::Deny, sid.sid, &name, mask, applies);
            AceChange { path: path.clone(), change: Change::Add, ace, purpose, by: By::Run }
        };
        freezing.aces.push(deny(path, WRITES, applies, Purpose::Protect));
        let above = path.ancestors().skip(1).take_while(|at| at.is_below(&sid.root));
        for folder in above.filter(|at| rules.access(at) == crate::plan::Access::Write) {
            let pin = deny(&folder, AccessMask::DELETE, Applies::This, Purpose::Pin);
            if !freezing.aces.iter().any(|ace| ace.path == pin.path && ace.ace == pin.ace) {
                freezing.aces.push(pin);
            }
        }
        if plan.walls.labels {
            let label = crate::plan::data::LabelSpec { applies, ..closed_label(true) };
            let (path, change, purpose) = (path.clone(), Change::Add, Purpose::Protect);
            freezing.labels.push(LabelChange { path, change, label, replaces: None, purpose });
        }
    }
    freezing
}

fn innermost<'a>(plan: &'a WindowsPlan, path: &WinPath) -> Option<&'a WriteSidPlan> {
    let is_granted = |root: &WinPath| {
        plan.roots.iter().any(|known| known.path.as_ref() == Some(root) && known.state == RootState::Granted)
    };
    let holds = plan.write_sids.iter().filter(|sid| path.is_in(&sid.root) && is_granted(&sid.root));
    holds.max_by_key(|sid| sid.root.depth())
}

fn kind<H: Host>(path: &WinPath, host: &H) -> NodeKind {
    let info = host.open(path, AccessMask::NONE).and_then(|handle| host.info(&handle));
    info.map_or(NodeKind::Folder, |info| info.kind)
}

/// What of a new git directory makes git run code.
fn runs_code<H: Host>(path: &WinPath, host: &H) -> Vec<String> {
    let mut found = Vec::new();
    if path.name().is_none_or(|name| !name.eq_ignore_ascii_case(".git")) {
        return found;
    }
    let hooks = path.join("hooks");
    let listed = host.open(&hooks, AccessMask::FILE_LIST_DIRECTORY).and_then(|folder| host.list(&folder));
    let is_hook = |entry: &Entry| !entry.name.to_ascii_lowercase().ends_with(".sample");
    found.extend(
        listed
            .unwrap_or_default()
            .iter()
            .filter(|entry| is_hook(entry))
            .map(|entry| format!("hook {}", hooks.join(&entry.name))),
    );
    for name in ["config", "config.worktree"] {
        let file = path.join(name);
        let text =
            host.open(&file, AccessMask::FILE_READ_DATA).and_then(|file| host.read(&file, MOST_CONFIG));
        let keys = text.map(|text| code_keys(&String::from_utf8_lossy(&text))).unwrap_or_default();
        found.extend(keys.into_iter().map(|key| format!("{key} in {file}")));
    }
    found
}

/// The keys of a git configuration from which git runs code.
fn code_keys(text: &str) -> Vec<String> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        let rest = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, rest)) => {
                let (kind, name) = name.split_once(char::is_whitespace).unwrap_or((name, ""));
                let name = name.trim().trim_matches('"');
                let dot = if name.is_empty() { "" } else { "." };
                section = format!("{}{dot}{name}", kind.to_ascii_lowercase());
                rest.trim()
            }
            None => line,
        };
        let key = rest.split(['=', ' ', '\t']).next().unwrap_or_default();
        if key.is_empty() || key.starts_with(['#', ';']) {
            continue;
        }
        let full = format!("{section}.{}", key.to_ascii_lowercase());
        let group = section.split('.').next().unwrap_or_default();
        let last = format!("{group}.{}", key.to_ascii_lowercase());
        let runs = KEYS.contains(&full.as_str()) || KEYS.contains(&last.as_str());
        if runs || SECTIONS.iter().any(|section| full.starts_with(section)) {
            found.push(full);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_run_code_are_found_however_they_are_written() {
        let text = "[core]\n\trepositoryformatversion = 0\n FSMonitor = evil.exe\n[alias] st = !calc\n\
                    [filter \"Lfs\"]\n clean=x\n[credential \"https://a.b\"]\n helper = y\n[user]\nname = pager\n\
                    # core.pager = z\n[remote \"o\"]\nurl = alias.x";
        let expected = ["core.fsmonitor", "alias.st", "filter.Lfs.clean", "credential.https://a.b.helper"];
        assert_eq!(code_keys(text), expected);
    }
}

//! The policy on a host: every path of it found, every root that may not be one refused, nothing granted yet.

use codex_sandbox_policy::policy::{Origin, WrittenPath};
use codex_sandbox_policy::{GitMode, Mode, Policy};

use super::data::{HostPolicy, RootKind, RootPlan, RootState};
use super::error::PlanError;
use super::facts::{Facts, Folders, NodeKind};
use super::locate::{Located, locate};
use super::path::WinPath;
use super::refuse;
use super::rules::{Entry, Rules};
use super::tree::Tree;
use super::worktree;

/// The policy on a host.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The policy with real paths.
    pub policy: HostPolicy,
    /// Everything that was asked for, in order. What is [`RootState::Granted`] here still has to prove that it can be.
    pub roots: Vec<RootPlan>,
    /// What the user should hear, one line each.
    pub notices: Vec<String>,
}

impl HostPolicy {
    /// The path rules.
    pub fn rules(&self) -> Rules {
        let mut entries: Vec<Entry> = self.roots.iter().cloned().map(Entry::Root).collect();
        entries.extend(self.private.iter().cloned().map(Entry::Private));
        entries.extend(self.git_dirs.iter().cloned().map(Entry::GitDir));
        entries.extend(self.deny_read.iter().map(|denied| Entry::DenyRead(denied.path.clone())));
        Rules::new(entries, &self.protected, self.git)
    }
}

/// Resolves `policy` against the host.
///
/// # Errors
/// [`PlanError`] for paths that are no text, and for deny-read paths that are not local.
pub fn resolve(policy: &Policy, facts: &Facts, tree: &Tree) -> Result<Intent, PlanError> {
    let resolver =
        Resolver { policy, facts, tree, cwd: locate(&facts.cwd, None, facts, tree).ok().map(|l| l.path) };
    let deny_read = resolver.deny_read()?;
    let mut roots = resolver.asked_roots()?;
    cover(&mut roots, &deny_read);
    let (git_dirs, notices) = resolver.add_git_dirs(&mut roots);
    let private = resolver.private_temp();
    if let Some(path) = &private {
        let typed = path.to_string();
        let (path, state) = (Some(path.clone()), RootState::Granted);
        roots.push(RootPlan { typed, path, kind: RootKind::PrivateTemp, state, steps: Vec::new() });
    }
    let policy = HostPolicy {
        mode: policy.mode,
        cwd: resolver.cwd.as_ref().map_or_else(|| facts.cwd.clone(), WinPath::to_string),
        roots: wanted_roots(&roots),
        private: private.into_iter().collect(),
        protected: policy.protected.clone(),
        git: policy.git,
        git_dirs,
        deny_read,
        network_access: policy.network_access,
    };
    Ok(Intent { policy, roots, notices })
}

/// The roots as the policy means them: also those that this machine will not let us grant, but not those that are
/// never granted.
fn wanted_roots(roots: &[RootPlan]) -> Vec<WinPath> {
    let is_root = |root: &&RootPlan| !matches!(root.kind, RootKind::PrivateTemp | RootKind::GitDir);
    roots
        .iter()
        .filter(is_root)
        .filter(|root| root.state == RootState::Granted)
        .filter_map(|root| root.path.clone())
        .collect()
}

fn candidates(roots: &[RootPlan]) -> impl Iterator<Item = &WinPath> {
    roots.iter().filter(|root| root.state == RootState::Granted).filter_map(|root| root.path.as_ref())
}

/// A root inside another is covered by it, unless a deny-read path lies between them.
fn cover(roots: &mut [RootPlan], deny_read: &[Located]) {
    for at in 0..roots.len() {
        let Some(path) = roots[at].path.clone().filter(|_| roots[at].state == RootState::Granted) else {
            continue;
        };
        let between = |outer: &WinPath| {
            deny_read.iter().any(|denied| denied.path.is_in(outer) && path.is_below(&denied.path))
        };
        let covers = |(index, other): &(usize, &RootPlan)| {
            *index != at
                && other.state == RootState::Granted
                && other.path.as_ref().is_some_and(|outer| {
                    (path.is_below(outer) || path == *outer && *index < at) && !between(outer)
                })
        };
        let by = roots.iter().enumerate().find(covers).and_then(|(_, other)| other.path.clone());
        if let Some(by) = by {
            roots[at].state = RootState::Covered { by };
        }
    }
}

struct Resolver<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    tree: &'a Tree,
    /// The working directory, if it is on a drive.
    cwd: Option<WinPath>,
}

impl Resolver<'_> {
    /// The workspace, the writable roots and the host's temporary folder, where the policy asks for them.
    fn asked_roots(&self) -> Result<Vec<RootPlan>, PlanError> {
        if self.policy.mode == Mode::ReadOnly {
            return Ok(Vec::new());
        }
        let mut roots = vec![self.typed_root(&self.facts.cwd, None, RootKind::Workspace)];
        for written in &self.policy.writable_roots {
            let (text, base) = self.written(written)?;
            roots.push(self.typed_root(&text, base.as_ref(), RootKind::Writable));
        }
        if self.opens_host_temp() {
            roots.push(self.typed_root(self.facts.folders.temp.as_str(), None, RootKind::HostTemp));
        }
        Ok(roots)
    }

    fn opens_host_temp(&self) -> bool {
        self.policy.exclude_tmpdir_env_var == Some(false) || self.policy.exclude_slash_tmp == Some(false)
    }

    /// One folder for each workspace, so that two of them do not meet in it.
    fn private_temp(&self) -> Option<WinPath> {
        let given_up = self.policy.exclude_tmpdir_env_var == Some(true);
        let host = self.opens_host_temp() && self.policy.mode != Mode::ReadOnly;
        let folder = || private_folder(&self.facts.folders, self.cwd.as_ref(), &self.facts.cwd);
        (!given_up && !host).then(folder)
    }

    fn deny_read(&self) -> Result<Vec<Located>, PlanError> {
        let find = |written: &WrittenPath| {
            let (text, base) = self.written(written)?;
            locate(&text, base.as_ref(), self.facts, self.tree).map_err(PlanError::DenyReadPath)
        };
        self.policy.deny_read.iter().map(find).collect()
    }

    /// The text of a path of the policy, `~` replaced, and what it is relative to.
    fn written(&self, written: &WrittenPath) -> Result<(String, Option<WinPath>), PlanError> {
        let not_unicode = || PlanError::NotUnicode { path: written.path.to_string_lossy().into_owned() };
        let text = written.path.to_str().ok_or_else(not_unicode)?;
        let home = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', '\\']));
        let text =
            home.map_or_else(|| text.to_owned(), |rest| format!("{}{rest}", self.facts.folders.profile));
        let base = match &written.origin {
            Origin::File { path, .. } => {
                path.to_str().and_then(|file| WinPath::absolute(file).ok()?.parent())
            }
            _ => None,
        };
        Ok((text, base.or_else(|| self.cwd.clone())))
    }

    fn typed_root(&self, typed: &str, base: Option<&WinPath>, kind: RootKind) -> RootPlan {
        match locate(typed, base, self.facts, self.tree) {
            Ok(found) => self.root(&found, kind),
            Err(error) => RootPlan {
                typed: typed.to_owned(),
                path: None,
                kind,
                state: RootState::Refused(refuse::not_local(&error)),
                steps: Vec::new(),
            },
        }
    }

    fn root(&self, found: &Located, kind: RootKind) -> RootPlan {
        let refusal =
            refuse::way(found, self.facts).or_else(|| refuse::root(&found.path, self.facts, self.tree));
        RootPlan {
            typed: found.typed.clone(),
            path: Some(found.path.clone()),
            kind,
            state: refusal.map_or(RootState::Granted, RootState::Refused),
            steps: found.steps.clone(),
        }
    }

    /// The git directories that `.git` files and links at the top of the roots lead to. One outside is a root of its own under
    /// `git = "commit"`, if it is what git would have made of this workspace.
    fn add_git_dirs(&self, roots: &mut Vec<RootPlan>) -> (Vec<WinPath>, Vec<String>) {
        let (mut dirs, mut notices) = (Vec::new(), Vec::new());
        let pointed: Vec<(WinPath, Located)> =
            candidates(roots).filter_map(|root| self.pointed_to(root)).collect();
        for (pointer, target) in pointed {
            if candidates(roots).any(|root| target.path.is_in(root)) {
                dirs.push(worktree::main_git_dir(&target.path));
            } else if self.policy.git == GitMode::Commit {
                match worktree::linked(&target.path, &pointer, self.facts, self.tree) {
                    Some(path) => {
                        roots.push(self.root(&Located { path: path.clone(), ..target }, RootKind::GitDir));
                        dirs.push(path);
                    }
                    None => notices.push(format!(
                        "commits are not possible: {pointer} leads to {}, which lies outside the writable folders and is no linked \
                         worktree of a repository that knows of it",
                        target.path
                    )),
                }
            }
        }
        dirs.dedup();
        (dirs, notices)
    }

    /// The `.git` file or link at the top of a root, and where it leads.
    fn pointed_to(&self, root: &WinPath) -> Option<(WinPath, Located)> {
        let pointer = root.join(".git");
        let node = self.tree.get(&pointer)?;
        let typed = match node.kind {
            NodeKind::File => node.content.as_deref()?.trim().strip_prefix("gitdir:")?.trim().to_owned(),
            kind if kind.is_link() => pointer.to_string(),
            _ => return None,
        };
        let target = locate(&typed, Some(root), self.facts, self.tree).ok()?;
        Some((pointer, target))
    }
}

/// The private temporary folder of a workspace: by the real path of the working directory, or as it was typed if it has none.
pub(crate) fn private_folder(folders: &Folders, cwd: Option<&WinPath>, typed: &str) -> WinPath {
    let name = format!("{:016x}", fnv1a(cwd.map_or(typed, WinPath::key)));
    folders.state.join("tmp").join(&name)
}

/// FNV-1a with 64 bits: a short name for a path, not a secret.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

//! Protected names that do not exist: which get an empty object in their place, and which can only be watched.

use codex_sandbox_policy::GitMode;

use super::Access;
use super::data::{HostPolicy, Placeholder, Watch};
use super::facts::NodeKind;
use super::path::WinPath;
use super::rules::{Rule, Rules};
use super::tree::Tree;

/// What git takes for empty where it finds it empty. (`commondir`, `rebase-merge` and their kin mean something by being
/// there, so nothing can stand in for them.)
const HARMLESS_WHEN_EMPTY: [(&str, NodeKind); 6] = [
    ("hooks", NodeKind::Folder),
    (r"info\attributes", NodeKind::File),
    ("config.worktree", NodeKind::File),
    (r"objects\info\alternates", NodeKind::File),
    ("remotes", NodeKind::Folder),
    ("branches", NodeKind::Folder),
];

/// What can only be watched in a git directory.
const GIT_WATCHED: [&str; 7] =
    ["commondir", "config.lock", "rebase-merge", "rebase-apply", "sequencer", "modules", "worktrees"];

/// What does not exist.
#[derive(Debug, Default)]
pub struct Missing {
    /// Objects to make.
    pub placeholders: Vec<Placeholder>,
    /// Names to look for at the end of the run.
    pub watch: Vec<Watch>,
    /// Git directories in which something can only be watched.
    pub git_dirs: Vec<WinPath>,
}

/// Looks for what is missing below the granted roots.
pub fn missing(policy: &HostPolicy, rules: &Rules, granted: &[WinPath], tree: &Tree) -> Missing {
    let mut missing = Missing::default();
    let is_private = |path: &&WinPath| !policy.private.contains(path) && !policy.git_dirs.contains(path);
    for root in granted.iter().filter(is_private) {
        for folder in repositories(root, rules, tree) {
            missing.names_in(&folder, policy, rules, tree);
        }
        missing.watch.push(Watch { folder: root.clone(), names: policy.protected.clone(), below: true });
    }
    if policy.git == GitMode::Commit {
        for dir in git_dirs(policy, rules, granted, tree) {
            missing.git_code_in(&dir, tree);
        }
    }
    missing
}

impl Missing {
    fn names_in(&mut self, folder: &WinPath, policy: &HostPolicy, rules: &Rules, tree: &Tree) {
        for name in policy.protected.iter().filter(|name| !name.eq_ignore_ascii_case(".git")) {
            let path = folder.join(name);
            let is_protected =
                matches!(rules.decide(&path).rule, Rule::Protected { path: at, .. } if at == path);
            if is_protected && tree.get(&path).is_none() {
                self.placeholders.push(Placeholder { path, kind: NodeKind::Folder });
            }
        }
    }

    fn git_code_in(&mut self, dir: &WinPath, tree: &Tree) {
        for (name, kind) in HARMLESS_WHEN_EMPTY {
            let path = dir.join(name);
            if tree.get(&path).is_none() {
                self.placeholders.push(Placeholder { path, kind });
            }
        }
        let names = GIT_WATCHED.iter().map(|name| (*name).to_owned()).collect();
        self.watch.push(Watch { folder: dir.clone(), names, below: true });
        self.git_dirs.push(dir.clone());
    }
}

/// The root and every folder in it that holds a `.git`.
fn repositories(root: &WinPath, rules: &Rules, tree: &Tree) -> Vec<WinPath> {
    let mut folders = vec![root.clone()];
    for (path, _) in tree.within(root) {
        let is_git = path.name().is_some_and(|name| rules.is_protected_git(name));
        let folder = path.parent().filter(|folder| is_git && folder.is_below(root));
        folders.extend(folder.filter(|folder| rules.access(folder) == Access::Write));
    }
    folders
}

/// Git directories in which commits are made: `.git` folders, those that `.git` files lead to, and those of submodules.
fn git_dirs(policy: &HostPolicy, rules: &Rules, granted: &[WinPath], tree: &Tree) -> Vec<WinPath> {
    let mut dirs: Vec<WinPath> = Vec::new();
    for root in granted.iter().filter(|root| !policy.private.contains(root)) {
        for (path, node) in tree.within(root) {
            let is_top = match &rules.decide(path).rule {
                Rule::Protected { path: at, name } => at == path && name.eq_ignore_ascii_case(".git"),
                Rule::GitDir { path: at } => at == path,
                _ => false,
            };
            if is_top && node.is_folder() && !node.kind.is_link() {
                dirs.push(path.clone());
            }
            // A submodule's directory is known by its configuration.
            let is_config = path.name().is_some_and(|name| name.eq_ignore_ascii_case("config"));
            let dir = path.parent().filter(|_| is_config && node.kind == NodeKind::File);
            dirs.extend(dir.filter(|dir| is_module(dir, rules)));
        }
    }
    dirs
}

/// Whether a folder is `modules\…` of a git directory.
fn is_module(dir: &WinPath, rules: &Rules) -> bool {
    let Rule::GitData { path: git } = rules.decide(dir).rule else { return false };
    dir.below(&git).and_then(|rest| rest.first().map(|first| first.eq_ignore_ascii_case("modules")))
        == Some(true)
}

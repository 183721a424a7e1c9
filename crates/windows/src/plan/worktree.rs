//! Linked worktrees: the one case in which a `.git` file makes something writable that lies outside the roots.
//!
//! Source: gitrepository-layout(5) and git-worktree(1), section "Details". The same rule as on Linux (`codex_sandbox_policy`).

use super::facts::{Facts, NodeKind};
use super::locate::locate;
use super::path::WinPath;
use super::refuse;
use super::tree::Tree;

/// A linked worktree's directory is `worktrees\<id>` of the main one, where objects and branches are.
pub fn main_git_dir(dir: &WinPath) -> WinPath {
    let up = dir.parent().filter(|up| is_named(up, "worktrees"));
    up.and_then(|up| up.parent()).unwrap_or_else(|| dir.clone())
}

/// The repository's git directory, where `target` is its folder for the linked worktree whose `.git` file is `pointer`.
///
/// What lies outside the roots becomes writable by this, and the workspace is not trusted: a command could have written the
/// pointer. So the repository has to know of this worktree (its `gitdir` leads back), the two have to lie as git lays them
/// (`X.git\worktrees\<id>`, `commondir` = X.git), and X.git has to look like a git directory and be no folder that a root could
/// not be.
pub fn linked(target: &WinPath, pointer: &WinPath, facts: &Facts, tree: &Tree) -> Option<WinPath> {
    let said = |file: &str| {
        let content = tree.get(&target.join(file))?.content.as_deref()?.trim();
        locate(content, Some(target), facts, tree).ok().map(|found| found.path)
    };
    let knows = tree.get(pointer)?.kind == NodeKind::File && said("gitdir")? == *pointer;
    let worktrees = target.parent()?;
    let common = worktrees.parent()?;
    let laid_out = is_named(&worktrees, "worktrees") && said("commondir")? == common;
    let name = common.name()?.to_ascii_lowercase();
    let named = name.ends_with(".git") || name == ".bare";
    let is = |name: &str, kind| tree.get(&common.join(name)).is_some_and(|node| node.kind == kind);
    let repository =
        is("HEAD", NodeKind::File) && is("objects", NodeKind::Folder) && is("refs", NodeKind::Folder);
    let narrow = refuse::root(&common, facts, tree).is_none();
    (knows && laid_out && named && repository && narrow).then_some(common)
}

fn is_named(path: &WinPath, name: &str) -> bool {
    path.name().is_some_and(|last| last.eq_ignore_ascii_case(name))
}

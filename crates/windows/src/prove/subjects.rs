//! Which objects are asked about, and what each is.

use std::collections::HashSet;

use codex_sandbox_policy::{Access, GitMode};
use nt_security::token::integrity;
use nt_security::{SecurityDescriptor, well_known};
use schemars::JsonSchema;
use serde::Serialize;

use super::world::World;
use crate::plan::facts::NodeKind;
use crate::plan::inherit;
use crate::plan::path::WinPath;
use crate::plan::rules::{Rule, Verdict};
use crate::plan::tree::TreeNode;

/// What an object is to the policy and on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A writable root.
    Root,
    /// A folder in a root.
    RootFolder,
    /// A file in a root.
    RootFile,
    /// A folder in a root that holds something protected.
    Pinned,
    /// A protected name.
    Protected,
    /// Something below a protected name.
    InProtected,
    /// A git directory under `git = "commit"`.
    GitDir,
    /// Git's data.
    GitData,
    /// A file from which git runs code.
    GitCode,
    /// A protected name that does not exist.
    MissingName,
    /// A file from which git would run code, and that does not exist.
    MissingGitCode,
    /// A deny-read path.
    DenyRead,
    /// Something below a deny-read path.
    InDenyRead,
    /// The private temporary folder.
    PrivateTemp,
    /// Something in it.
    InPrivateTemp,
    /// A folder above a root.
    AboveRoot,
    /// A neighbour of a root.
    BesideRoot,
    /// A root of another policy, or something in it.
    OtherRoot,
    /// The user's profile.
    Profile,
    /// Something in it.
    InProfile,
    /// Another user's profile.
    OtherUser,
    /// The system's folders.
    System,
    /// A folder that Everyone may write.
    WorldWritable,
    /// Anything else outside.
    Outside,
    /// Something that a command creates in a root.
    New,
    /// A folder that a command creates in a root for its owner alone.
    NewOwnerOnly,
    /// What the user has left.
    You,
    /// A process, event, section, pipe or key.
    KernelObject,
    /// What another program of level Low may do.
    LowProcess,
    /// The desktop.
    Desktop,
    /// Privileges of the token.
    Privilege,
    /// The process tree.
    ProcessTree,
    /// A connection.
    Network,
}

/// An object that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Where.
    pub path: WinPath,
    /// What the policy says.
    pub verdict: Verdict,
    /// Whether it exists.
    pub exists: bool,
}

/// Every described object, every probe, and what could appear.
pub fn subjects(world: &World<'_>) -> Vec<Subject> {
    let above: HashSet<WinPath> = world.granted.iter().flat_map(|root| root.ancestors().skip(1)).collect();
    let mut subjects = Vec::new();
    for (path, node) in world.after.iter() {
        let verdict = world.rules.decide(path);
        let kind = kind(world, path, node, &verdict, &above);
        subjects.push(Subject { kind, path: path.clone(), verdict, exists: true });
    }
    subjects.extend(missing(world));
    subjects
}

fn kind(
    world: &World<'_>,
    path: &WinPath,
    node: &TreeNode,
    verdict: &Verdict,
    above: &HashSet<WinPath>,
) -> SubjectKind {
    let git_commit = world.plan.policy.git == GitMode::Commit;
    let top = |top, at: &WinPath, below| if at == path { top } else { below };
    match &verdict.rule {
        Rule::Root { root } if root == path => SubjectKind::Root,
        Rule::Root { .. } if world.holders.contains(path) => SubjectKind::Pinned,
        Rule::Root { .. } if node.is_folder() => SubjectKind::RootFolder,
        Rule::Root { .. } => SubjectKind::RootFile,
        Rule::Private { root } => top(SubjectKind::PrivateTemp, root, SubjectKind::InPrivateTemp),
        Rule::Protected { path: at, .. } | Rule::GitDir { path: at } => {
            let is_git = at.name().is_some_and(|name| name.eq_ignore_ascii_case(".git"))
                || matches!(verdict.rule, Rule::GitDir { .. });
            let git_dir = git_commit && is_git && node.kind == NodeKind::Folder;
            let this = if git_dir { SubjectKind::GitDir } else { SubjectKind::Protected };
            top(this, at, SubjectKind::InProtected)
        }
        Rule::GitData { .. } => SubjectKind::GitData,
        Rule::GitCode { .. } => SubjectKind::GitCode,
        Rule::DenyRead { path: at } => top(SubjectKind::DenyRead, at, SubjectKind::InDenyRead),
        Rule::Default => outside(world, path, node, above),
    }
}

fn outside(world: &World<'_>, path: &WinPath, node: &TreeNode, above: &HashSet<WinPath>) -> SubjectKind {
    let folders = &world.facts.folders;
    let others = &world.facts.state.write_sids;
    let mut system = folders.program_files.iter().chain([&folders.windows, &folders.program_data]);
    if others.iter().any(|other| other.root != folders.state && path.is_in(&other.root)) {
        SubjectKind::OtherRoot
    } else if above.contains(path) {
        SubjectKind::AboveRoot
    } else if path
        .parent()
        .is_some_and(|parent| world.granted.iter().any(|root| root.parent() == Some(parent.clone())))
    {
        SubjectKind::BesideRoot
    } else if everyone_writes(&node.descriptor) {
        SubjectKind::WorldWritable
    } else if *path == folders.profile {
        SubjectKind::Profile
    } else if path.is_in(&folders.profile) {
        SubjectKind::InProfile
    } else if path.is_below(&folders.profiles) {
        SubjectKind::OtherUser
    } else if system.any(|folder| path.is_in(folder)) {
        SubjectKind::System
    } else {
        SubjectKind::Outside
    }
}

fn everyone_writes(descriptor: &SecurityDescriptor) -> bool {
    let Some(acl) = descriptor.dacl() else { return true };
    let writes = nt_security::AccessMask::FILE_WRITE_DATA;
    acl.aces.iter().any(|ace| {
        ace.kind() == nt_security::AceKind::Allow
            && !ace.is_inherit_only()
            && ace.sid() == Some(&well_known::EVERYONE)
            && nt_security::ObjectType::File.mapping().map(ace.mask()).intersects(writes)
    })
}

/// Protected names that could be created where they are missing.
fn missing(world: &World<'_>) -> Vec<Subject> {
    let mut subjects = Vec::new();
    let mut add = |kind, path: WinPath| {
        let verdict = world.rules.decide(&path);
        if world.after.get(&path).is_none() && verdict.access == Access::Read {
            subjects.push(Subject { kind, path, verdict, exists: false });
        }
    };
    for (path, _) in world.after.iter().filter(|(_, node)| node.kind == NodeKind::Folder) {
        if world.rules.access(path) == Access::Write && world.root_of(path).is_some() {
            for name in &world.plan.policy.protected {
                add(SubjectKind::MissingName, path.join(name));
            }
        }
        let is_git = |at: &WinPath| at == path;
        let git_dir = match &world.rules.decide(path).rule {
            Rule::Protected { path: at, .. } | Rule::GitDir { path: at } => is_git(at),
            _ => false,
        };
        if git_dir && world.plan.policy.git == GitMode::Commit {
            let names = ["commondir", "hooks", r"info\attributes", "config.worktree", "rebase-merge"];
            for name in names {
                let path = path.join(name);
                // What lies in a folder that is missing is made with the folder.
                if path.parent().is_some_and(|folder| world.after.get(&folder).is_some()) {
                    add(SubjectKind::MissingGitCode, path);
                }
            }
        }
    }
    subjects
}

/// A folder that mkdir with mode 0o700 makes in Python 3.13 and later: a protected DACL for SYSTEM, Administrators and the
/// owner.
pub fn owner_only(world: &World<'_>, parent: &TreeNode, kind: NodeKind) -> Option<SecurityDescriptor> {
    let asked = SecurityDescriptor::from_sddl("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)").ok()?;
    Some(inherit::created_with(&parent.descriptor, kind, &world.child, Some(&asked)))
}

/// Whether an object is labelled no higher than the command runs.
pub fn is_labelled_for_commands(node: &TreeNode) -> bool {
    node.descriptor.label().level <= integrity::MEDIUM_LOW
}

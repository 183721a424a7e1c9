//! What every part of planning looks at.

use std::collections::BTreeSet;

use nt_security::{AccessMask, Sid, Token, well_known};

use super::apply::Editors;
use super::data::{HostPolicy, Tier};
use super::facts::{Facts, NodeKind};
use super::path::WinPath;
use super::rules::{Rule, Rules, Verdict};
use super::tree::Tree;
use super::{Access, GitMode};

/// Read, write, execute and delete, but neither FILE_DELETE_CHILD nor the descriptor: 0x1301BF.
pub const GRANT: AccessMask = AccessMask::FILE_MODIFY;
/// Everything that changes an object, bit by bit: FILE_GENERIC_WRITE would take SYNCHRONIZE and READ_CONTROL along, and
/// with them reading. 0xD0156 (windows-facts §3).
pub const WRITES: AccessMask = AccessMask(0x000D_0156);
/// WRITE_DAC and WRITE_OWNER.
pub const CONTROL: AccessMask = AccessMask(0x000C_0000);
/// Data, attributes, EA and execution, with what changes an object: all but READ_CONTROL and SYNCHRONIZE.
pub const EVERYTHING: AccessMask = AccessMask(0x000D_01FF);
/// What the git directory itself does not do under `git = "commit"`: go, change attributes or descriptor. Files may be added.
pub const GIT_DIRECTORY: AccessMask = AccessMask(0x000D_0110);
/// List, traverse and attributes of a folder on the way to something.
pub const SEE_FOLDER: AccessMask = AccessMask(0x0012_00A1);
/// Read and execute.
pub const READ_EXECUTE: AccessMask = AccessMask(0x0012_00A9);

/// A root that is made writable.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The root.
    pub path: WinPath,
    /// Its SID.
    pub sid: Sid,
    /// The user may not label it yet, but may let himself.
    pub relabel: bool,
}

/// What a node is to the policy and to the grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// Outside every granted root.
    Outside,
    /// A granted root itself.
    Root(&'a Granted),
    /// Writable.
    Open(&'a Granted),
    /// A git directory whose data is writable.
    GitDir(&'a Granted),
    /// Not writable, inside a granted root.
    Closed {
        /// The root.
        root: &'a Granted,
        /// The first such node from above.
        top: bool,
    },
}

impl PartialEq for Granted {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Granted {}

/// The host, the policy and the choices made so far.
pub struct Context<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The described tree, with what will be made before anything else.
    pub tree: Tree,
    /// The same once the user keeps full control of his roots: "as you may" is measured here.
    pub user_tree: Tree,
    /// The policy.
    pub policy: &'a HostPolicy,
    /// Its rules.
    pub rules: Rules,
    /// The tier.
    pub tier: Tier,
    /// The roots that are granted, innermost first.
    pub granted: Vec<Granted>,
    /// Whether labels are set and the command runs below Medium.
    pub labels: bool,
    /// Launcher and set-up.
    pub editors: Editors,
    /// "As you".
    pub baseline: Token,
    /// The group of the sandbox accounts.
    pub group: Option<Sid>,
    /// The account that the command runs as.
    pub account: Sid,
    /// A SID that is never granted anything.
    pub marker: Sid,
    /// Folders above something closed.
    pub pinned: BTreeSet<WinPath>,
}

impl Context<'_> {
    /// The innermost granted root that holds `path`.
    pub fn root_of(&self, path: &WinPath) -> Option<&Granted> {
        self.granted.iter().find(|root| path.is_in(&root.path))
    }

    /// What `path` is.
    pub fn role(&self, path: &WinPath) -> Role<'_> {
        let Some(root) = self.root_of(path) else { return Role::Outside };
        let verdict = self.rules.decide(path);
        if *path == root.path && verdict.access == Access::Write {
            return Role::Root(root);
        }
        if self.is_git_dir(path, &verdict) {
            return if *path == root.path { Role::Root(root) } else { Role::GitDir(root) };
        }
        match verdict.access {
            Access::Write => Role::Open(root),
            Access::Read | Access::DenyRead => Role::Closed { root, top: self.is_top(path, &verdict) },
        }
    }

    /// Whether `path` is a git directory in which commits are made.
    fn is_git_dir(&self, path: &WinPath, verdict: &Verdict) -> bool {
        let is_it = match &verdict.rule {
            Rule::Protected { path: at, name } => at == path && name.eq_ignore_ascii_case(".git"),
            Rule::GitDir { path: at } => at == path,
            _ => false,
        };
        // A `.git` file or link is a pointer, and as closed as any protected name.
        let is_folder = self.tree.get(path).is_none_or(|node| node.kind == NodeKind::Folder);
        is_it && is_folder && self.policy.git == GitMode::Commit
    }

    /// Whether what is closed begins at `path`.
    fn is_top(&self, path: &WinPath, verdict: &Verdict) -> bool {
        match &verdict.rule {
            Rule::Protected { path: at, .. } | Rule::GitDir { path: at } | Rule::DenyRead { path: at } => {
                at == path
            }
            Rule::GitCode { .. } => path
                .parent()
                .is_none_or(|parent| !matches!(self.rules.decide(&parent).rule, Rule::GitCode { .. })),
            _ => false,
        }
    }

    /// Whether the policy lets the command read `path`.
    pub fn is_readable(&self, path: &WinPath) -> bool {
        self.rules.access(path) != Access::DenyRead
    }

    /// Whose FILE_DELETE_CHILD counts in the first check, which is the only one that looks at it: the user's own, or the
    /// sandbox group's.
    pub fn deleter(&self) -> Sid {
        match (self.tier, self.group) {
            (Tier::Elevated, Some(group)) => group,
            _ => self.facts.user.sid.0,
        }
    }

    /// SIDs, other than write SIDs, by which the second check can succeed.
    pub fn second_check_sids(&self) -> Vec<Sid> {
        let mut sids = vec![well_known::EVERYONE];
        match self.tier {
            Tier::Unelevated => sids.push(self.facts.user.logon_sid.0),
            // What the account owns matches OWNER RIGHTS, what it creates CREATOR OWNER.
            Tier::Elevated => {
                sids.extend([self.account, well_known::OWNER_RIGHTS, well_known::CREATOR_OWNER]);
            }
        }
        sids
    }
}

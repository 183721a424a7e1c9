//! What the policy says to an operation.

use codex_sandbox_policy::Access;
use nt_security::AccessMask;

use super::ops::{Op, attempt};
use super::subjects::Subject;
use super::world::World;
use crate::plan::apply::allows;
use crate::plan::path::WinPath;
use crate::plan::rules::{Rule, Verdict};
use crate::plan::{Tier, is_secret};

/// What the policy says, and whether the user himself could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The policy's own word.
    pub policy: bool,
    /// Whether the user may do it without the sandbox.
    pub user: bool,
}

impl Expected {
    /// A command may do what the policy allows and the user may.
    pub fn allowed(self) -> bool {
        self.policy && self.user
    }
}

/// Asks the policy about `op` at an existing object. `None` where the user himself lacks no more than the right to wait or
/// to look at attributes or descriptor: nobody means that by a denial.
pub fn expect(world: &World<'_>, subject: &Subject, op: Op) -> Option<Expected> {
    let answer = attempt(world, &world.user_tree, &world.user, &subject.path, op);
    let user = answer.is_some_and(|answer| answer.is_allowed());
    let policy = policy_allows(world, &subject.path, &subject.verdict, op);
    let odd = policy && !user && lacks_only_company(world, subject, op);
    // Attributes that only the folder's listing shows are not promised.
    let listed_only = op == Op::ReadAttributes && !has_own(world, subject, AccessMask::FILE_READ_ATTRIBUTES);
    (!odd && !listed_only).then_some(Expected { policy, user })
}

fn lacks_only_company(world: &World<'_>, subject: &Subject, op: Op) -> bool {
    let company = AccessMask::SYNCHRONIZE | AccessMask::READ_CONTROL | AccessMask::FILE_READ_ATTRIBUTES;
    op.rights().is_some_and(|rights| has_own(world, subject, rights.without(company)))
}

fn has_own(world: &World<'_>, subject: &Subject, rights: AccessMask) -> bool {
    let node = world.user_tree.get(&subject.path);
    node.is_some_and(|node| allows(&world.user, &node.descriptor, rights))
}

/// Whether the policy, whose word on the path is `verdict`, lets a command do `op` at an existing object.
pub fn policy_allows(world: &World<'_>, path: &WinPath, verdict: &Verdict, op: Op) -> bool {
    let writable = verdict.access == Access::Write;
    // Secrets are the user's alone where the command is another account, unless the policy opens them as a root.
    let secret = world.plan.tier == Tier::Elevated && verdict.rule == Rule::Default;
    if op.is_reading() && op != Op::ReadAttributes && secret && is_secret(path, world.facts) {
        return false;
    }
    if op.is_reading() {
        return verdict.access != Access::DenyRead;
    }
    if op.is_control() {
        // Who may do what is never the command's to change.
        return false;
    }
    if op.is_creation() {
        return world.rules.access(&path.join("~new")) == Access::Write;
    }
    if op.is_removal() {
        // What moves takes along what it holds, and a root is not the command's to remove.
        let is_root = world.granted.contains(path) || world.plan.policy.roots.contains(path);
        return writable && !is_root && !world.holders.contains(path);
    }
    writable
}

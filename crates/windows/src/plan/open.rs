//! Places outside the roots that a command could still change, because Everyone may write them or because they are labelled
//! for less than Medium; and objects inside the roots that cannot be given what they need.

use nt_security::ace::{Ace, AceEffect};
use nt_security::token::integrity;
use nt_security::{AccessMask, ObjectType, Sid, Token, well_known};

use super::apply::allows;
use super::context::{Context, Role, WRITES};
use super::data::{
    AceChange, AceSpec, Applies, By, Change, Effect, Gap, GapKind, Limit, LimitKind, Purpose, SingleWall,
    Skipped, Tier, Wall,
};
use super::path::WinPath;
use super::tree::{Tree, TreeNode};
use super::words::sid_name;

/// What was found.
#[derive(Debug, Default)]
pub struct Open {
    /// Denies on open folders.
    pub aces: Vec<AceChange>,
    /// Where one wall alone holds.
    pub single: Vec<SingleWall>,
    /// Folders outside that nothing closes.
    pub folders: Vec<WinPath>,
    /// Objects inside that nothing closes.
    pub unreachable: Vec<WinPath>,
    /// Writable objects with a label above the command.
    pub labelled: Vec<WinPath>,
}

impl Open {
    /// The gaps to declare.
    pub fn gaps(&self) -> Vec<Gap> {
        let folders = Gap {
            kind: GapKind::OpenFolder,
            what: "Everyone may write here, and so may the command".to_owned(),
            paths: self.folders.clone(),
            remedy: "take Everyone's write access away, for example with icacls /remove *S-1-1-0".to_owned(),
        };
        let unreachable = Gap {
            kind: GapKind::Unreachable,
            what: "these objects are open to everyone, and their descriptors cannot be changed: the command may write \
                   them, or change who may"
                .to_owned(),
            paths: self.unreachable.clone(),
            remedy: "take ownership of them, or give them a DACL".to_owned(),
        };
        [folders, unreachable].into_iter().filter(|gap| !gap.paths.is_empty()).collect()
    }
}

impl Open {
    /// Where a label that is not ours is in the way.
    pub fn limit(&self) -> Option<Limit> {
        let what = "these objects have a label above the command, which could not be changed".to_owned();
        let paths = self.labelled.clone();
        (!paths.is_empty()).then_some(Limit { kind: LimitKind::Labelled, what, paths })
    }
}

/// Looks at every described object, as it is after the grants.
pub fn open(context: &Context<'_>, after: &Tree, skipped: &[Skipped]) -> Open {
    let mut open = Open::default();
    for (path, node) in after.iter().filter(|(_, node)| !node.kind.is_link()) {
        match context.role(path) {
            Role::Outside => open.outside(context, path, node),
            role => {
                let left_alone = skipped.iter().any(|skipped| skipped.path == *path);
                open.inside(context, path, node, role, left_alone);
            }
        }
    }
    open
}

/// Whether the label keeps the command from writing the object.
fn label_holds(context: &Context<'_>, node: &TreeNode) -> bool {
    let label = node.descriptor.label();
    let no_write = label.policy.contains(nt_security::LabelPolicy::NO_WRITE_UP);
    context.labels && no_write && label.level > integrity::MEDIUM_LOW
}

/// Whether the second check can succeed for a right that changes the object, by a SID that every command has.
fn second_check_writes(context: &Context<'_>, node: &TreeNode) -> bool {
    let Some(acl) = node.descriptor.dacl() else { return true };
    let mapping = ObjectType::File.mapping();
    let sids: Vec<Sid> = context.second_check_sids();
    let is_sandbox_owner = node.descriptor.owner == Some(context.account);
    let counts = |ace: &&Ace| {
        let Some(sid) = ace.sid() else { return false };
        ace.kind().effect() == Some(AceEffect::Allow)
            && !ace.is_inherit_only()
            && mapping.map(ace.mask()).intersects(WRITES)
            && sids.contains(sid)
            && (*sid != well_known::OWNER_RIGHTS || is_sandbox_owner)
    };
    owner_passes(context, node) || acl.aces.iter().any(|ace| counts(&ace))
}

/// Whether the owner's implicit rights are the command's, because it passes both checks as the owner.
fn owner_passes(context: &Context<'_>, node: &TreeNode) -> bool {
    let limits = |ace: &Ace| !ace.is_inherit_only() && ace.sid() == Some(&well_known::OWNER_RIGHTS);
    let limited = node.descriptor.dacl().is_none_or(|acl| acl.aces.iter().any(limits));
    let passes = node.descriptor.owner.is_some_and(|owner| context.second_check_sids().contains(&owner));
    passes && !limited
}

/// The token of the command before restricting SIDs.
pub fn plain_token(context: &Context<'_>) -> Token {
    match context.tier {
        Tier::Unelevated => context.baseline.clone(),
        Tier::Elevated => super::tokens::account(context.account, context.group, super::launch::RUNNER_LOGON),
    }
}

fn deletes_children(context: &Context<'_>, node: &TreeNode) -> bool {
    node.is_folder() && allows(&plain_token(context), &node.descriptor, AccessMask::FILE_DELETE_CHILD)
}

impl Open {
    fn outside(&mut self, context: &Context<'_>, path: &WinPath, node: &TreeNode) {
        let holds = label_holds(context, node);
        let writes = second_check_writes(context, node);
        let covered = |wall: &SingleWall| wall.holds == Wall::Label && path.is_in(&wall.path);
        if writes && holds && !self.single.iter().any(covered) {
            let why = "Everyone may write there, and Everyone is among the restricting SIDs".to_owned();
            self.single.push(SingleWall { holds: Wall::Label, path: path.clone(), why });
        }
        if holds {
            return;
        }
        let deletes = context.labels && deletes_children(context, node);
        if !writes && !deletes {
            return;
        }
        let by = [By::Run, By::Setup].into_iter().find(|by| {
            (*by == By::Run || context.tier == Tier::Elevated)
                && context.editors.may(*by, &node.descriptor, AccessMask::WRITE_DAC)
        });
        let in_ssh = path.components().any(super::refuse::is_ssh);
        match by.filter(|_| !node.has_null_dacl() && !node.is_hard_linked() && !in_ssh) {
            Some(by) => self.close(context, path, node, writes, deletes, by),
            None => self.folders.push(path.clone()),
        }
    }

    fn close(
        &mut self,
        context: &Context<'_>,
        path: &WinPath,
        node: &TreeNode,
        writes: bool,
        deletes: bool,
        by: By,
    ) {
        // The marker is looked for in the second check only, so the user himself is not affected.
        let writer = match (context.tier, context.group) {
            (Tier::Elevated, Some(group)) => group,
            _ => context.marker,
        };
        let mut wanted = Vec::new();
        if deletes {
            wanted.push((Effect::Deny, context.deleter(), AccessMask::FILE_DELETE_CHILD, Applies::Folders));
        }
        if writes {
            wanted.push((Effect::Deny, writer, WRITES, Applies::Tree));
        }
        if owner_passes(context, node) {
            let (user, owners) = (context.facts.user.sid.0, AccessMask::READ_CONTROL | AccessMask::WRITE_DAC);
            wanted.push((Effect::Allow, well_known::OWNER_RIGHTS, AccessMask::READ_CONTROL, Applies::This));
            wanted.push((Effect::Allow, user, owners, Applies::This));
        }
        for (effect, who, mask, applies) in wanted {
            let name =
                if who == context.marker { "marker SID".to_owned() } else { sid_name(&who, context.facts) };
            let applies = if node.is_folder() { applies } else { Applies::This };
            let ace = AceSpec::new(effect, who.into(), &name, mask, applies);
            let present = node.descriptor.dacl().is_some_and(|acl| acl.aces.contains(&ace.ace(node.kind)));
            let change = if present { Change::Keep } else { Change::Add };
            self.aces.push(AceChange { path: path.clone(), change, ace, purpose: Purpose::OpenFolder, by });
        }
        if self.single.iter().all(|wall| wall.holds != Wall::Dacl || !path.is_in(&wall.path))
            && context.labels
        {
            let why = format!("it is labelled {}", super::words::level_name(node.descriptor.label().level));
            self.single.push(SingleWall { holds: Wall::Dacl, path: path.clone(), why });
        }
    }

    /// Closed objects, folders that must stay where they are, and folders that hold something closed.
    fn inside(
        &mut self,
        context: &Context<'_>,
        path: &WinPath,
        node: &TreeNode,
        role: Role<'_>,
        left_alone: bool,
    ) {
        let closed = matches!(role, Role::Closed { .. });
        let matters = closed || context.pinned.contains(path) || matches!(role, Role::GitDir(_));
        let reached = !left_alone && !node.has_null_dacl() && !node.is_hard_linked();
        let label = label_holds(context, node);
        if label && !closed && !left_alone {
            self.labelled.push(path.clone());
        }
        if !reached && (second_check_writes(context, node) || matters && deletes_children(context, node)) {
            if label {
                let why = "its DACL cannot be changed".to_owned();
                self.single.push(SingleWall { holds: Wall::Label, path: path.clone(), why });
            } else {
                self.unreachable.push(path.clone());
            }
        }
        if closed && context.labels && !label {
            let why = "its label cannot be set: WRITE_OWNER is not granted".to_owned();
            self.single.push(SingleWall { holds: Wall::Dacl, path: path.clone(), why });
        }
    }
}

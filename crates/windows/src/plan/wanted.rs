//! Which ACEs and which label one object must carry itself, because inheritance alone would not do.
//!
//! Position decides in a DACL, and an inherited deny loses to an explicit allow: so a deny is repeated on every object that
//! has an explicit allow in its way, or inherits nothing.

use nt_security::ace::{Ace, AceKind};
use nt_security::token::integrity;
use nt_security::{AccessMask, Control, ObjectType, Sid, well_known};

use super::apply::{Step, allows};
use super::context::{CONTROL, Context, EVERYTHING, GIT_DIRECTORY, GRANT, Granted, Role, WRITES};
use super::data::{AceSpec, Applies, Effect, LabelSpec, Purpose, Tier};
use super::inherit;
use super::path::WinPath;
use super::tree::TreeNode;
use super::words::sid_name;

/// What one object must carry.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Its ACEs, denies first.
    pub aces: Vec<(AceSpec, Purpose)>,
    /// Its own label.
    pub label: Option<(LabelSpec, Purpose)>,
}

/// What the object at `step` must carry inside a granted root, or because it cannot be read.
pub fn wanted(context: &Context<'_>, step: &Step<'_>) -> Wanted {
    let mut list = List { context, node: step.node, out: Wanted::default() };
    match context.role(step.path) {
        Role::Outside => list.outside(step),
        Role::Root(root) => list.root(root, step),
        Role::Open(root) => list.open(root, step),
        Role::GitDir(root) => list.git_dir(root),
        Role::Closed { root, top } => list.closed(root, step, top),
    }
    list.out
}

/// The label of a root: what the command's level may write, and Low may not.
pub fn root_label() -> LabelSpec {
    label(integrity::MEDIUM_LOW, false)
}

/// The label of what is not written, or not even read.
pub fn closed_label(readable: bool) -> LabelSpec {
    label(integrity::MEDIUM, !readable)
}

fn label(level: u32, no_read: bool) -> LabelSpec {
    let applies = Applies::Tree;
    LabelSpec { level, no_write_up: true, no_read_up: no_read, no_execute_up: no_read, applies }
}

struct List<'a, 'c> {
    context: &'a Context<'c>,
    node: &'a TreeNode,
    out: Wanted,
}

impl List<'_, '_> {
    fn add(&mut self, effect: Effect, who: Sid, mask: AccessMask, applies: Applies, purpose: Purpose) {
        let name = match purpose {
            Purpose::Grant | Purpose::Control | Purpose::Pin | Purpose::Protect => self.write_sid_name(&who),
            _ => sid_name(&who, self.context.facts),
        };
        let applies = if self.node.is_folder() { applies } else { Applies::This };
        self.out.aces.push((AceSpec::new(effect, who.into(), &name, mask, applies), purpose));
    }

    fn write_sid_name(&self, sid: &Sid) -> String {
        let root = self.context.granted.iter().find(|root| root.sid == *sid);
        root.map_or_else(|| sid_name(sid, self.context.facts), |root| format!("write SID of {}", root.path))
    }

    fn deny(&mut self, who: Sid, mask: AccessMask, applies: Applies, purpose: Purpose) {
        self.add(Effect::Deny, who, mask, applies, purpose);
    }

    fn allow(&mut self, who: Sid, mask: AccessMask, applies: Applies, purpose: Purpose) {
        self.add(Effect::Allow, who, mask, applies, purpose);
    }

    fn set_label(&mut self, label: LabelSpec, purpose: Purpose) {
        if self.context.labels {
            let applies = if self.node.is_folder() { label.applies } else { Applies::This };
            self.out.label = Some((LabelSpec { applies, ..label }, purpose));
        }
    }

    /// A deny-read path outside the roots.
    fn outside(&mut self, step: &Step<'_>) {
        let denied = self.context.policy.deny_read.iter().any(|denied| denied.path == *step.path);
        let below = !denied && !self.context.is_readable(step.path);
        if denied || below {
            self.unreadable(denied);
        }
    }

    fn root(&mut self, root: &Granted, step: &Step<'_>) {
        self.deny_delete_child();
        if self.context.rules.access(step.path) == super::Access::Write {
            self.deny(root.sid, AccessMask::DELETE, Applies::This, Purpose::Pin);
        } else {
            self.deny(root.sid, GIT_DIRECTORY, Applies::This, Purpose::Pin);
        }
        self.grant(root, GRANT);
        if self.context.tier == Tier::Elevated {
            self.user_keeps();
        }
        if root.relabel && self.context.labels {
            let user = self.context.facts.user.sid.0;
            self.allow(user, AccessMask::WRITE_OWNER, Applies::Tree, Purpose::Relabel);
        }
        self.set_label(root_label(), Purpose::Grant);
    }

    /// What makes a tree writable, without what keeps the folder itself in place. `account` is what the sandbox account gets
    /// in the first check.
    fn grant(&mut self, root: &Granted, account: AccessMask) {
        self.deny(root.sid, CONTROL, Applies::Tree, Purpose::Control);
        self.allow(root.sid, GRANT, Applies::Tree, Purpose::Grant);
        if let (Tier::Elevated, Some(group)) = (self.context.tier, self.context.group) {
            self.allow(group, account, Applies::Tree, Purpose::GrantAccount);
            // An allow, not a deny: a deny would take the real user's right to the DACL of his own files too. Its presence
            // alone ends the owner's implicit rights.
            self.allow(well_known::OWNER_RIGHTS, AccessMask::READ_CONTROL, Applies::Tree, Purpose::OwnerRights);
        }
    }

    fn user_keeps(&mut self) {
        let user = self.context.facts.user.sid.0;
        let keeps = |ace: &Ace| {
            ace.kind() == AceKind::Allow
                && ace.sid() == Some(&user)
                && ace.mask().contains(AccessMask::FILE_ALL_ACCESS)
                && ace.flags().contains(nt_security::AceFlags::INHERIT_ALL)
                && ace.is_inherited()
        };
        let has = self.node.descriptor.dacl().is_some_and(|acl| acl.aces.iter().any(keeps));
        if !has {
            self.allow(user, AccessMask::FILE_ALL_ACCESS, Applies::Tree, Purpose::UserKeeps);
        }
    }

    fn open(&mut self, root: &Granted, step: &Step<'_>) {
        if self.context.pinned.contains(step.path) {
            self.deny(root.sid, AccessMask::DELETE, Applies::This, Purpose::Pin);
        }
        self.pass_on_delete_child();
        let user = user_rights(self.context, step.path);
        let whole = user.contains(GRANT);
        if self.inherits_nothing() {
            if user.intersects(WRITES) {
                self.grant(root, user & GRANT);
            }
        } else {
            if self.second_check_allows(CONTROL) {
                self.deny(root.sid, CONTROL, Applies::Tree, Purpose::Control);
            }
            if self.context.tier == Tier::Elevated && !whole {
                self.narrow(user);
            }
        }
        self.open_label();
    }

    /// The sandbox account gets what the user has, where that is less than a root gives.
    fn narrow(&mut self, user: AccessMask) {
        let Some(group) = self.context.group else { return };
        let never_denied = AccessMask::READ_CONTROL | AccessMask::SYNCHRONIZE | AccessMask::FILE_READ_ATTRIBUTES;
        let missing = GRANT.without(user | never_denied);
        if !missing.is_empty() {
            self.deny(group, missing, Applies::Tree, Purpose::Narrow);
            self.allow(group, user & GRANT, Applies::Tree, Purpose::GrantAccount);
        }
    }

    fn git_dir(&mut self, root: &Granted) {
        self.deny(root.sid, GIT_DIRECTORY, Applies::This, Purpose::Pin);
        self.pass_on_delete_child();
        if self.inherits_nothing() {
            self.grant(root, GRANT);
        }
        self.open_label();
    }

    fn closed(&mut self, root: &Granted, step: &Step<'_>, top: bool) {
        let in_the_way = self.inherits_nothing() || self.explicit_allow(WRITES, None);
        if top || in_the_way {
            self.deny(root.sid, WRITES, Applies::Tree, Purpose::Protect);
        }
        if self.inherits_nothing() && self.context.tier == Tier::Elevated {
            self.allow(well_known::OWNER_RIGHTS, AccessMask::READ_CONTROL, Applies::Tree, Purpose::OwnerRights);
        }
        self.pass_on_delete_child();
        if !self.context.is_readable(step.path) {
            return self.unreadable(top);
        }
        if top || self.label_is_weaker_than(&closed_label(true)) {
            self.set_label(closed_label(true), Purpose::Protect);
        }
    }

    /// Not to be read: by label in both tiers, and by DACL where the command is not the user.
    fn unreadable(&mut self, top: bool) {
        if let (Tier::Elevated, Some(group)) = (self.context.tier, self.context.group)
            && (top || self.inherits_nothing() || self.explicit_allow(EVERYTHING, None))
        {
            self.deny(group, EVERYTHING, Applies::Tree, Purpose::DenyRead);
        }
        if top || self.label_is_weaker_than(&closed_label(false)) {
            self.set_label(closed_label(false), Purpose::DenyRead);
        }
    }

    fn deny_delete_child(&mut self) {
        let deleter = self.context.deleter();
        self.deny(deleter, AccessMask::FILE_DELETE_CHILD, Applies::Folders, Purpose::DeleteChild);
    }

    /// The deny comes down from the root, unless something stands in its way.
    fn pass_on_delete_child(&mut self) {
        let in_the_way = self.inherits_nothing() || self.explicit_allow(AccessMask::FILE_DELETE_CHILD, None);
        if self.node.is_folder() && in_the_way {
            self.deny_delete_child();
        }
    }

    fn inherits_nothing(&self) -> bool {
        let protected = self.node.descriptor.control.contains(Control::DACL_PROTECTED);
        protected || self.node.is_hard_linked() || self.node.has_null_dacl()
    }

    /// A label of its own that keeps the command out gives way; one below it, which is for others, stays. A label
    /// above Medium is not the user's to change.
    fn open_label(&mut self) {
        let in_the_way = match own_label(self.node) {
            Some(label) => {
                label.level <= integrity::MEDIUM
                    && (label.level > integrity::MEDIUM_LOW || label.no_read_up || label.no_execute_up)
            }
            None => self.inherits_no_label(),
        };
        if in_the_way {
            self.set_label(root_label(), Purpose::Grant);
        }
    }

    /// Whether the object would not get at least this label from above.
    fn label_is_weaker_than(&self, wanted: &LabelSpec) -> bool {
        let plain = !wanted.no_read_up;
        match own_label(self.node) {
            Some(own) => {
                own.level < wanted.level
                    || !own.no_write_up
                    || !plain && !(own.no_read_up && own.no_execute_up)
            }
            // Without any label it is Medium, no write up.
            None => self.inherits_no_label() && !plain,
        }
    }

    fn inherits_no_label(&self) -> bool {
        let protected = self.node.descriptor.control.contains(Control::SACL_PROTECTED);
        protected || self.node.is_hard_linked() || self.node.has_null_dacl()
    }

    fn second_check_allows(&self, mask: AccessMask) -> bool {
        self.explicit_allow(mask, Some(&self.context.second_check_sids()))
    }

    /// Whether an explicit ACE grants some of `mask`, here or below, to one of these SIDs (to anyone if `None`).
    fn explicit_allow(&self, mask: AccessMask, sids: Option<&[Sid]>) -> bool {
        let mapping = ObjectType::File.mapping();
        let counts = |ace: &Ace| {
            ace.kind().effect() == Some(nt_security::ace::AceEffect::Allow)
                && !ace.is_inherited()
                && mapping.map(ace.mask()).intersects(mask)
                && sids.is_none_or(|sids| ace.sid().is_some_and(|sid| sids.contains(sid)))
        };
        self.node.descriptor.dacl().is_some_and(|acl| acl.aces.iter().any(counts))
    }
}

/// The label that an object carries itself.
pub fn own_label(node: &TreeNode) -> Option<LabelSpec> {
    let own = |ace: &Ace| !ace.is_inherited() && !ace.is_inherit_only();
    inherit::label_aces(&node.descriptor).iter().find(|ace| own(ace)).and_then(LabelSpec::of)
}

/// What the user may do to an object, of [`GRANT`]; deleting by right on the folder counts as deleting.
pub fn user_rights(context: &Context<'_>, path: &WinPath) -> AccessMask {
    let may = |path: &WinPath, right| {
        let node = context.user_tree.get(path);
        node.is_some_and(|node| allows(&context.baseline, &node.descriptor, right))
    };
    let mut rights = GRANT.bits().filter(|right| may(path, *right)).fold(AccessMask::NONE, |all, right| all | right);
    let by_folder = path.parent().is_some_and(|folder| may(&folder, AccessMask::FILE_DELETE_CHILD));
    if by_folder {
        rights |= AccessMask::DELETE;
    }
    rights
}

//! Which ACEs and which label one object must carry itself, because inheritance alone would not do.
//!
//! Position decides in a DACL, and an inherited deny loses to an explicit allow: so a deny is repeated on every object that
//! has an explicit allow in its way, or inherits nothing.

use nt_security::ace::{Ace, AceFlags, AceKind};
use nt_security::token::integrity;
use nt_security::{AccessMask, Control, Label, LabelPolicy, ObjectType, SecurityDescriptor, Sid, well_known};

use super::apply::{Step, allows};
use super::capable::needs_right_to_label;
use super::context::{
    CONTROL, Context, EVERYTHING, GIT_DIRECTORY, GRANT, Granted, READ_EXECUTE, Role, WRITES,
};
use super::data::{AceSpec, Applies, Effect, LabelSpec, Purpose, Tier};
use super::facts::NodeKind;
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
    let mut list = List { context, step, node: step.node, out: Wanted::default() };
    match context.role(step.path) {
        Role::Outside => list.outside(),
        Role::Root(root) => list.root(root),
        Role::Open(root) => list.open(root),
        Role::GitDir(root) => list.git_dir(root),
        Role::Closed { root, top } => list.closed(root, top),
    }
    if context.role(step.path) != Role::Outside {
        list.limit_odd_owner();
        list.right_to_label();
        list.replace_default_dacl();
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
    step: &'a Step<'a>,
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

    #[allow(clippy::needless_pass_by_value, reason = "a label is made for one object")]
    fn set_label(&mut self, label: LabelSpec, purpose: Purpose) {
        if self.context.labels {
            let applies = if self.node.is_folder() { label.applies } else { Applies::This };
            self.out.label = Some((LabelSpec { applies, ..label }, purpose));
        }
    }

    /// A deny-read path outside the roots.
    fn outside(&mut self) {
        let step = self.step;
        let denied = self.context.policy.deny_read.iter().any(|denied| denied.path == *step.path);
        let below = !denied && !self.context.is_readable(step.path);
        if denied || below {
            self.unreadable(denied);
        } else if self.leaves_unreadable() {
            self.set_label(closed_label(true), Purpose::DenyRead);
            self.grant_reading();
        }
    }

    /// Whether what cannot be read ends here: a root that the policy names inside it.
    fn leaves_unreadable(&self) -> bool {
        let path = self.step.path;
        let above = path.parent().is_some_and(|parent| !self.context.is_readable(&parent));
        above && self.context.is_readable(path)
    }

    fn root(&mut self, root: &Granted) {
        self.deny_delete_child();
        if self.context.rules.access(self.step.path) == super::Access::Write {
            self.deny(root.sid, AccessMask::DELETE, Applies::This, Purpose::Pin);
        } else {
            self.deny(root.sid, GIT_DIRECTORY, Applies::This, Purpose::Pin);
        }
        self.grant(root);
        if self.context.tier == Tier::Elevated {
            self.user_keeps();
            self.narrow(GRANT);
        } else if root.relabel && self.context.labels {
            let user = self.context.facts.user.sid.0;
            self.allow(user, AccessMask::WRITE_OWNER, Applies::Tree, Purpose::Relabel);
        }
        self.set_label(root_label(), Purpose::Grant);
    }

    /// What makes a tree writable, without what keeps the folder itself in place. In the first check the sandbox account gets
    /// what the user has.
    fn grant(&mut self, root: &Granted) {
        self.deny(root.sid, CONTROL, Applies::Tree, Purpose::Control);
        self.allow(root.sid, GRANT, Applies::Tree, Purpose::Grant);
        if let (Tier::Elevated, Some(group)) = (self.context.tier, self.context.group) {
            self.grant_account(group, GRANT);
            self.limit_owner();
        }
    }

    /// The right to set labels does not come down here either.
    fn right_to_label(&mut self) {
        let Context { facts, editors, labels, .. } = self.context;
        let is_root = matches!(self.context.role(self.step.path), Role::Root(_));
        let alone = self.inherits_nothing();
        if !is_root
            && *labels
            && alone
            && needs_right_to_label(self.node, facts, &editors.launcher) == Some(true)
        {
            self.allow(facts.user.sid.0, AccessMask::WRITE_OWNER, Applies::Tree, Purpose::Relabel);
        }
    }

    /// In a folder that passes nothing on, new files get the default DACL of whoever makes them. Once it passes our ACEs on they
    /// get those and nothing else, so the user's own must be among them.
    fn replace_default_dacl(&mut self) {
        let passes = |spec: &AceSpec| spec.applies != Applies::This;
        let adds = self.out.aces.iter().any(|(spec, _)| passes(spec));
        let user = self.context.facts.user.sid.0;
        let full = AceSpec::new(Effect::Allow, user.into(), "", AccessMask::FILE_ALL_ACCESS, Applies::Tree);
        let full = full.ace(self.node.kind);
        let aces = self.node.descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
        let others = |flag: AceFlags| {
            aces.iter().any(|ace| ace.flags().contains(flag) && *ace != full && !self.is_ours(ace))
        };
        let (files, folders) = (AceFlags::OBJECT_INHERIT, AceFlags::CONTAINER_INHERIT);
        let comes = self.step.coming.iter().any(|edit| {
            edit.ace.kind() == AceKind::Allow
                && edit.ace.sid() == Some(&user)
                && edit.ace.mask() == full.mask()
        });
        let passes_on = comes && !self.inherits_nothing() || others(files) && others(folders);
        let keeps = self.out.aces.iter().any(|(spec, _)| spec.ace(self.node.kind) == full);
        if self.node.is_folder() && adds && !passes_on && !keeps {
            self.allow(user, AccessMask::FILE_ALL_ACCESS, Applies::Tree, Purpose::UserKeeps);
        }
    }

    /// Whether an ACE is one that only we make.
    fn is_ours(&self, ace: &Ace) -> bool {
        let Some(sid) = ace.sid() else { return false };
        let known = &self.context.facts.state.write_sids;
        let given_to_user = [AccessMask::WRITE_OWNER, AccessMask::READ_CONTROL | AccessMask::WRITE_DAC];
        known.iter().any(|known| known.sid.0 == *sid)
            || self.context.granted.iter().any(|root| root.sid == *sid)
            || self.context.group == Some(*sid)
            || *sid == self.context.deleter() && ace.mask() == AccessMask::FILE_DELETE_CHILD
            || *sid == well_known::OWNER_RIGHTS && ace.mask() == AccessMask::READ_CONTROL
            || *sid == self.context.facts.user.sid.0 && given_to_user.contains(&ace.mask())
    }

    /// An owner that every command passes the second check with could rewrite the DACL: the sandbox account of an earlier
    /// run, or Everyone.
    fn limit_odd_owner(&mut self) {
        let owner = self.node.descriptor.owner;
        let passes = owner.is_some_and(|owner| self.context.second_check_sids().contains(&owner));
        let limited = self.out.aces.iter().any(|(_, purpose)| *purpose == Purpose::OwnerRights);
        let comes = self.step.comes_for(&well_known::OWNER_RIGHTS) && !self.inherits_nothing();
        if passes && !limited && !comes {
            self.limit_owner();
        }
    }

    /// What the user has, of `most`, here and on what he makes below.
    fn grant_account(&mut self, group: Sid, most: AccessMask) {
        // A root is granted as a whole, and narrowed by denies of its own.
        if matches!(self.context.role(self.step.path), Role::Root(_)) {
            return self.allow(group, most, Applies::Tree, Purpose::GrantAccount);
        }
        let lacks = missing(self.context, self.step.path);
        let has = |lacks: AccessMask| most.without(lacks);
        let (here, files, folders) = (has(lacks.here), has(lacks.files), has(lacks.folders));
        let is_folder = self.node.is_folder();
        let parts = match (here == files && files == folders, is_folder) {
            (true, _) => vec![(here, Applies::Tree)],
            (false, false) => vec![(here, Applies::This)],
            (false, true) => {
                vec![(here, Applies::This), (files, Applies::FilesBelow), (folders, Applies::FoldersBelow)]
            }
        };
        // The right to wait, or to see attributes, is no use alone.
        for (mask, applies) in parts.into_iter().filter(|(mask, _)| !mask.without(NEVER_DENIED).is_empty()) {
            self.allow(group, mask, applies, Purpose::GrantAccount);
        }
    }

    /// The owner's implicit rights end where an OWNER RIGHTS ACE stands. It is an allow, not a deny: a deny would take
    /// the real user's right to the DACL of his own files too. What he had by owning them he is given by name.
    fn limit_owner(&mut self) {
        // Below the user the command never owns what it makes, so there it is about this one object.
        let applies = if self.context.tier == Tier::Elevated { Applies::Tree } else { Applies::This };
        self.allow(well_known::OWNER_RIGHTS, AccessMask::READ_CONTROL, applies, Purpose::OwnerRights);
        let is_root = matches!(self.context.role(self.step.path), Role::Root(_));
        let full_control_comes = self.context.tier == Tier::Elevated && (is_root || !self.inherits_nothing());
        if !full_control_comes {
            let user = self.context.facts.user.sid.0;
            let owners = AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
            self.allow(user, owners, applies, Purpose::UserKeeps);
        }
    }

    fn user_keeps(&mut self) {
        let user = self.context.facts.user.sid.0;
        let keeps = |ace: &Ace| {
            ace.kind() == AceKind::Allow
                && ace.sid() == Some(&user)
                && ace.mask().contains(AccessMask::FILE_ALL_ACCESS)
                && ace.flags().contains(AceFlags::INHERIT_ALL)
                && ace.is_inherited()
        };
        let given = Ace::allow(AccessMask::FILE_ALL_ACCESS, user).with_flags(AceFlags::INHERIT_ALL);
        let aces = self.node.descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
        // One that an earlier plan gave is wanted still, whatever else comes down since.
        if aces.contains(&given) || !aces.iter().any(keeps) {
            self.allow(user, AccessMask::FILE_ALL_ACCESS, Applies::Tree, Purpose::UserKeeps);
        }
    }

    fn open(&mut self, root: &Granted) {
        // A root that could not be granted, inside one that was, stays in place all the same.
        let is_root = self.context.policy.roots.contains(self.step.path);
        if is_root || self.context.pinned.contains(self.step.path) {
            self.deny(root.sid, AccessMask::DELETE, Applies::This, Purpose::Pin);
        }
        self.pass_on_delete_child();
        if self.inherits_nothing() {
            let lacks = missing(self.context, self.step.path);
            let user_writes =
                [lacks.here, lacks.files, lacks.folders].iter().any(|lacks| !lacks.contains(WRITES & GRANT));
            if user_writes {
                self.grant(root);
            } else {
                self.grant_reading();
            }
        } else {
            if self.second_check_allows(CONTROL) {
                self.deny(root.sid, CONTROL, Applies::Tree, Purpose::Control);
            }
            self.narrow(GRANT);
        }
        self.open_label();
    }

    /// The sandbox account gets no more than the user has, of `most`, here and on what the facts do not list below.
    fn narrow(&mut self, most: AccessMask) {
        let Some(group) = self.context.group.filter(|_| self.context.tier == Tier::Elevated) else { return };
        let lacks = missing(self.context, self.step.path);
        for (mask, applies) in lacks.denies(most, self.node.is_folder()) {
            self.deny(group, mask, applies, Purpose::Narrow);
        }
        let mut above =
            self.step.path.ancestors().skip(1).take_while(|at| self.context.root_of(at).is_some());
        let narrowed = above.any(|at| missing(self.context, &at).below().intersects(most));
        if narrowed {
            let rights = user_rights(self.context, self.step.path) & (most | NEVER_DENIED);
            self.allow(group, rights, Applies::Tree, Purpose::GrantAccount);
        }
    }

    /// What is not inherited and may be read: as far as the user may.
    fn grant_reading(&mut self) {
        let Some(group) = self.context.group.filter(|_| self.context.tier == Tier::Elevated) else { return };
        if self.context.is_readable(self.step.path) {
            self.grant_account(group, READ_EXECUTE);
        }
    }

    fn git_dir(&mut self, root: &Granted) {
        self.deny(root.sid, GIT_DIRECTORY, Applies::This, Purpose::Pin);
        self.pass_on_delete_child();
        if self.inherits_nothing() {
            self.grant(root);
        } else {
            if self.second_check_allows(CONTROL) {
                self.deny(root.sid, CONTROL, Applies::Tree, Purpose::Control);
            }
            self.narrow(GRANT);
        }
        self.open_label();
    }

    fn closed(&mut self, root: &Granted, top: bool) {
        // The user's own SID is never a restricting one, so what he is given does not count in the second check.
        let user = self.context.facts.user.sid.0;
        let in_the_way = self.inherits_nothing() || self.explicit_allow(WRITES, |sid| *sid != user);
        if top || in_the_way {
            self.deny(root.sid, WRITES, Applies::Tree, Purpose::Protect);
        }
        if self.inherits_nothing() {
            self.grant_reading();
        } else if self.context.is_readable(self.step.path) {
            self.narrow(READ_EXECUTE);
        }
        self.pass_on_delete_child();
        if !self.context.is_readable(self.step.path) {
            return self.unreadable(top);
        }
        self.closed_label(top, &closed_label(true), Purpose::Protect);
    }

    /// Not to be read: by label in both tiers, and by DACL where the command is not the user.
    fn unreadable(&mut self, top: bool) {
        if let (Tier::Elevated, Some(group)) = (self.context.tier, self.context.group)
            && (top || self.inherits_nothing() || self.explicit_allow(EVERYTHING, |_| true))
        {
            self.deny(group, EVERYTHING, Applies::Tree, Purpose::DenyRead);
        }
        self.closed_label(top, &closed_label(false), Purpose::DenyRead);
    }

    /// A label above Medium keeps the command from writing already, and the user's other programs too: to replace it by ours would
    /// open the object to them, to add no-read-up would take it from them. So it stays, whatever that means for reading.
    fn closed_label(&mut self, top: bool, wanted: &LabelSpec, purpose: Purpose) {
        let higher = self.node.descriptor.label().level > wanted.level;
        if !higher && (top || self.needs_label(wanted)) {
            self.set_label(wanted.clone(), purpose);
        }
    }

    fn deny_delete_child(&mut self) {
        let deleter = self.context.deleter();
        self.deny(deleter, AccessMask::FILE_DELETE_CHILD, Applies::Folders, Purpose::DeleteChild);
    }

    /// The deny comes down from the root, unless something stands in its way.
    fn pass_on_delete_child(&mut self) {
        let in_the_way =
            self.inherits_nothing() || self.explicit_allow(AccessMask::FILE_DELETE_CHILD, |_| true);
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
        let blocks = |label: Label| {
            let reads = LabelPolicy::NO_READ_UP | LabelPolicy::NO_EXECUTE_UP;
            label.level <= integrity::MEDIUM
                && (label.level > integrity::MEDIUM_LOW || label.policy.intersects(reads))
        };
        let alone = own_label(self.node).is_some() || self.inherits_no_label();
        let in_the_way = self.leaves_unreadable() || alone && blocks(self.node.descriptor.label());
        let in_the_way = in_the_way || self.has_label(&root_label());
        if in_the_way {
            self.set_label(root_label(), Purpose::Grant);
        }
    }

    fn needs_label(&self, wanted: &LabelSpec) -> bool {
        self.label_is_weaker_than(wanted) || self.has_label(wanted)
    }

    /// Whether the object carries this label itself, by an earlier plan.
    fn has_label(&self, wanted: &LabelSpec) -> bool {
        own_label(self.node).is_some_and(|own| own.ace(self.node.kind) == wanted.ace(self.node.kind))
    }

    /// Whether the object would not get at least this label from above.
    fn label_is_weaker_than(&self, wanted: &LabelSpec) -> bool {
        let plain = !wanted.no_read_up;
        match own_label(self.node) {
            Some(own) => {
                own.level < wanted.level
                    || !own.no_write_up
                    || !(plain || own.no_read_up && own.no_execute_up)
            }
            // Without any label it is Medium, no write up.
            None => self.inherits_no_label() && !plain,
        }
    }

    fn inherits_no_label(&self) -> bool {
        let protected = self.node.descriptor.control.contains(Control::SACL_PROTECTED);
        protected || !self.step.label_comes || self.node.is_hard_linked() || self.node.has_null_dacl()
    }

    fn second_check_allows(&self, mask: AccessMask) -> bool {
        let sids = self.context.second_check_sids();
        self.explicit_allow(mask, |sid| sids.contains(sid))
    }

    /// Whether an explicit ACE grants some of `mask`, here or below, to a SID that counts.
    fn explicit_allow(&self, mask: AccessMask, counts_for: impl Fn(&Sid) -> bool) -> bool {
        let mapping = ObjectType::File.mapping();
        let counts = |ace: &Ace| {
            ace.kind().effect() == Some(nt_security::ace::AceEffect::Allow)
                && !ace.is_inherited()
                && mapping.map(ace.mask()).intersects(mask)
                && ace.sid().is_some_and(&counts_for)
        };
        self.node.descriptor.dacl().is_some_and(|acl| acl.aces.iter().any(counts))
    }
}

/// The label that an object carries itself.
pub fn own_label(node: &TreeNode) -> Option<LabelSpec> {
    let own = |ace: &Ace| !ace.is_inherited() && !ace.is_inherit_only();
    inherit::label_aces(&node.descriptor).iter().find(|ace| own(ace)).and_then(LabelSpec::of)
}

/// Opening anything takes these, so they are never denied; attributes show in the folder's listing anyway.
const NEVER_DENIED: AccessMask = AccessMask(0x0012_0080);

/// What the user lacks of [`GRANT`].
#[derive(Debug, Clone, Copy)]
pub struct Missing {
    /// On the object.
    pub here: AccessMask,
    /// On files that he would make in it.
    pub files: AccessMask,
    /// On folders that he would make in it.
    pub folders: AccessMask,
}

impl Missing {
    /// On anything that he would make in it.
    pub fn below(&self) -> AccessMask {
        (self.files | self.folders).without(NEVER_DENIED)
    }

    /// The denies that keep the sandbox account from what the user lacks, of `most`.
    pub fn denies(&self, most: AccessMask, is_folder: bool) -> Vec<(AccessMask, Applies)> {
        let most = most.without(NEVER_DENIED);
        let (files, folders) = (self.files & most, self.folders & most);
        let mut denies = vec![(self.here & most, Applies::This)];
        if is_folder && files == folders {
            denies.push((files, Applies::Below));
        } else if is_folder {
            denies.extend([(files, Applies::FilesBelow), (folders, Applies::FoldersBelow)]);
        }
        denies.retain(|(mask, _)| !mask.is_empty());
        denies
    }
}

/// What the user lacks on an object, and on what the facts do not list below it.
pub fn missing(context: &Context<'_>, path: &WinPath) -> Missing {
    let lacks = |rights: AccessMask| GRANT.without(rights);
    let here = lacks(user_rights(context, path));
    let none = Missing { here, files: AccessMask::NONE, folders: AccessMask::NONE };
    let Some(folder) = context.user_tree.get(path).filter(|node| node.is_folder()) else { return none };
    let deletes = allows(&context.baseline, &folder.descriptor, AccessMask::FILE_DELETE_CHILD);
    let below = |kind| {
        let child = inherit::created(&folder.descriptor, kind, &context.baseline);
        let rights = rights_of(context, &child);
        lacks(if deletes { rights | AccessMask::DELETE } else { rights })
    };
    Missing { here, files: below(NodeKind::File), folders: below(NodeKind::Folder) }
}

fn rights_of(context: &Context<'_>, descriptor: &SecurityDescriptor) -> AccessMask {
    let has = GRANT.bits().filter(|right| allows(&context.baseline, descriptor, *right));
    has.fold(AccessMask::NONE, |all, right| all | right)
}

/// What the user may do to an object, of [`GRANT`]; deleting by right on the folder counts as deleting.
pub fn user_rights(context: &Context<'_>, path: &WinPath) -> AccessMask {
    let node = |path: &WinPath| context.user_tree.get(path).map(|node| &node.descriptor);
    let mut rights = node(path).map_or(AccessMask::NONE, |descriptor| rights_of(context, descriptor));
    let by_folder = path.parent().and_then(|folder| {
        node(&folder).map(|folder| allows(&context.baseline, folder, AccessMask::FILE_DELETE_CHILD))
    });
    if by_folder == Some(true) {
        rights |= AccessMask::DELETE;
    }
    rights
}

//! What an object is without what is ours: the inverse of granting, as a function of its descriptor alone.

use std::collections::HashSet;

use nt_security::ace::Ace;
use nt_security::token::integrity;
use nt_security::{AceFlags, Acl, AclField, Control, LabelPolicy, SecurityDescriptor, Sid};

use crate::plan::facts::NodeKind;
use crate::plan::inherit;
use crate::plan::tree::TreeNode;
use crate::state::{Record, What};

/// What is taken away from a folder and everything below, as it comes down to an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone {
    /// ACEs of ours on the folder above that it no longer passes on.
    pub(crate) aces: Vec<Ace>,
    /// A label of ours came down from above.
    pub(crate) label: bool,
}

/// What is ours on one object.
pub(crate) struct Ours<'a> {
    /// SIDs that nobody else uses.
    pub(crate) sids: &'a HashSet<Sid>,
    /// What the journal says about this object.
    pub(crate) records: &'a [&'a Record],
    /// What goes above.
    pub(crate) gone: &'a Gone,
    /// The folder above without what is ours.
    pub(crate) parent: Option<&'a SecurityDescriptor>,
}

/// The descriptor of `node` without what is ours, and what goes below because of it.
pub(crate) fn undo(node: &TreeNode, ours: &Ours<'_>) -> (SecurityDescriptor, Gone) {
    let mut descriptor = node.descriptor.clone();
    let alone = descriptor.control.contains(Control::DACL_PROTECTED) || is_left_out(node);
    let coming = if alone { Vec::new() } else { inherit::copies(ours.gone.aces.clone(), node.kind) };
    let mut gone = Gone { aces: stated(node.kind, ours), label: false };
    gone.aces.extend(take_aces(&mut descriptor, node.kind, ours, &coming));
    gone.aces.extend(coming);
    gone.aces.retain(|ace| ace.flags().intersects(AceFlags::INHERIT_ALL));
    gone.label = take_label(&mut descriptor, node, ours);
    (descriptor, gone)
}

/// Whether nothing comes down to the object (see `plan::apply`).
pub(crate) fn is_left_out(node: &TreeNode) -> bool {
    node.has_null_dacl() || node.is_hard_linked()
}

/// Whether two descriptors are the same in everything that we may change.
pub(crate) fn same(a: &SecurityDescriptor, b: &SecurityDescriptor) -> bool {
    same_dacl(a, b) && same_label(a, b)
}

pub(crate) fn same_dacl(a: &SecurityDescriptor, b: &SecurityDescriptor) -> bool {
    let bits = Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED;
    a.dacl == b.dacl && a.control & bits == b.control & bits
}

pub(crate) fn same_label(a: &SecurityDescriptor, b: &SecurityDescriptor) -> bool {
    inherit::label_aces(a) == inherit::label_aces(b)
}

/// ACEs of the journal, whether or not they are still there: an earlier attempt may have taken them and not their copies.
fn stated(kind: NodeKind, ours: &Ours<'_>) -> Vec<Ace> {
    let ace = |record: &&Record| match &record.what {
        What::Ace(ace) => Some(on(ace, kind)),
        What::Label { .. } => None,
    };
    ours.records.iter().filter_map(ace).collect()
}

/// The ACE as it stands on an object of this kind; files pass nothing on.
fn on(ace: &Ace, kind: NodeKind) -> Ace {
    if kind == NodeKind::File { ace.clone().with_flags(AceFlags::NONE) } else { ace.clone() }
}

fn take_aces(
    descriptor: &mut SecurityDescriptor,
    kind: NodeKind,
    ours: &Ours<'_>,
    coming: &[Ace],
) -> Vec<Ace> {
    let stated = stated(kind, ours);
    let still_passed = ours.parent.map_or_else(Vec::new, |parent| passed_on(parent, descriptor, kind));
    let AclField::List(Acl { aces, .. }) = &mut descriptor.dacl else { return Vec::new() };
    let is_for_us = |ace: &Ace| ace.sid().is_some_and(|sid| ours.sids.contains(sid));
    let was_ours = aces.iter().any(|ace| !ace.is_inherited() && is_for_us(ace));
    let mut taken = Vec::new();
    let mut surplus: Vec<Ace> = surplus(aces, coming, &still_passed);
    aces.retain(|ace| {
        let goes = if is_for_us(ace) {
            true
        } else if ace.is_inherited() {
            // Nearer folders' copies stand first, and ours is the nearer.
            let at = surplus.iter().position(|other| other == ace);
            at.map(|at| surplus.swap_remove(at)).is_some()
        } else {
            // A folder that does not follow the automatic model passes copies on without a mark.
            let unmarked = was_ours && coming.iter().any(|copy| inherit::without_mark(copy) == *ace);
            stated.contains(ace) || unmarked
        };
        if goes {
            taken.push(ace.clone());
        }
        !goes
    });
    taken
}

/// Copies of ours that the folder above does not pass on by another ACE.
fn surplus(aces: &[Ace], coming: &[Ace], still_passed: &[Ace]) -> Vec<Ace> {
    let count = |list: &[Ace], ace: &Ace| list.iter().filter(|other| *other == ace).count();
    let mut surplus = Vec::new();
    let mut seen: Vec<&Ace> = Vec::new();
    for ace in coming {
        if seen.contains(&ace) {
            continue;
        }
        seen.push(ace);
        let more = count(aces, ace).saturating_sub(count(still_passed, ace));
        surplus.extend(std::iter::repeat_n(ace.clone(), more));
    }
    surplus
}

/// What a folder passes on to an object with this owner.
fn passed_on(parent: &SecurityDescriptor, child: &SecurityDescriptor, kind: NodeKind) -> Vec<Ace> {
    let heir = SecurityDescriptor {
        owner: child.owner,
        group: child.group,
        dacl: AclField::List(Acl::default()),
        ..Default::default()
    };
    let mapping = nt_security::ObjectType::File.mapping();
    let child = nt_security::inherit::propagate(parent, &heir, inherit::child_kind(kind), &mapping);
    child.dacl().map_or_else(Vec::new, |acl| acl.aces.clone())
}

/// Takes our label away; says whether what came down from the object must go too.
fn take_label(descriptor: &mut SecurityDescriptor, node: &TreeNode, ours: &Ours<'_>) -> bool {
    let own = |descriptor: &SecurityDescriptor| {
        inherit::label_aces(descriptor).into_iter().find(|ace| !ace.is_inherited())
    };
    let label = |record: &&Record| match &record.what {
        What::Label { label, replaces } => Some((on(label, node.kind), replaces.clone())),
        What::Ace(_) => None,
    };
    let recorded: Vec<(Ace, Option<Ace>)> = ours.records.iter().filter_map(label).collect();
    let mut changed = !recorded.is_empty();
    if let Some(present) = own(descriptor) {
        if let Some((_, replaces)) = recorded.iter().find(|(label, _)| *label == present) {
            inherit::set_label(descriptor, replaces.clone());
        } else if !changed && ours.gone.label && is_of_a_command(&present) && is_marked(node, ours) {
            // What a command created and no label came down to carries its level.
            inherit::set_label(descriptor, None);
            changed = true;
        }
    }
    let comes = ours.gone.label && !is_left_out(node);
    if !changed && !comes {
        return false;
    }
    let is_protected = descriptor.control.contains(Control::SACL_PROTECTED);
    if own(descriptor).is_none() && !is_protected && !is_left_out(node) {
        let inherited = ours.parent.and_then(|parent| inherit::inherited_label(parent, node.kind));
        inherit::set_inherited_label(descriptor, inherited);
        return true;
    }
    changed
}

/// Whether an ACE for a SID of ours stands on the object: it was granted, or made in what was.
fn is_marked(node: &TreeNode, ours: &Ours<'_>) -> bool {
    let is_for_us = |ace: &Ace| ace.sid().is_some_and(|sid| ours.sids.contains(sid));
    node.descriptor.dacl().is_some_and(|acl| acl.aces.iter().any(is_for_us))
}

fn is_of_a_command(label: &Ace) -> bool {
    label.as_label() == Some((integrity::MEDIUM_LOW, LabelPolicy::NO_WRITE_UP))
}

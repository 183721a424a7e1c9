//! What a new file or folder gets, and what our own ACEs become on their way down.

use nt_security::ace::{Ace, AceFlags, AceKind};
use nt_security::inherit::{ChildKind, Creation, new_child, propagate};
use nt_security::{AccessMask, Acl, AclField, Control, ObjectType, SecurityDescriptor, Token};

use super::facts::NodeKind;

/// File or folder, for inheritance.
pub fn child_kind(kind: NodeKind) -> ChildKind {
    if kind == NodeKind::File { ChildKind::Leaf } else { ChildKind::Container }
}

/// The descriptor of a file or folder that `creator` makes below `parent` without asking for one.
pub fn created(parent: &SecurityDescriptor, kind: NodeKind, creator: &Token) -> SecurityDescriptor {
    created_with(parent, kind, creator, None)
}

/// The descriptor of a file or folder that `creator` makes below `parent`, with what he asked for.
pub fn created_with(
    parent: &SecurityDescriptor,
    kind: NodeKind,
    creator: &Token,
    asked: Option<&SecurityDescriptor>,
) -> SecurityDescriptor {
    new_child(&Creation {
        parent: Some(parent),
        creator: asked,
        token: creator,
        kind: child_kind(kind),
        mapping: ObjectType::File.mapping(),
    })
}

/// Who made what the facts do not list in a folder: the user, or an administrator where the user cannot have.
pub fn likely_creator<'a>(
    folder: &SecurityDescriptor,
    user: &'a Token,
    administrator: &'a Token,
) -> &'a Token {
    let may = super::apply::allows(user, folder, AccessMask::FILE_ADD_FILE);
    if folder.owner == Some(user.user) || may { user } else { administrator }
}

/// The copies of `ours`, ACEs of a parent's DACL, that a child of this kind inherits.
pub fn copies(ours: Vec<Ace>, kind: NodeKind) -> Vec<Ace> {
    let list = |aces| SecurityDescriptor { dacl: AclField::List(Acl::new(aces)), ..Default::default() };
    let child = propagate(&list(ours), &list(Vec::new()), child_kind(kind), &ObjectType::File.mapping());
    child.dacl().map_or_else(Vec::new, |acl| acl.aces.clone())
}

/// The label that a child of this kind inherits from its parent's SACL.
pub fn inherited_label(parent: &SecurityDescriptor, kind: NodeKind) -> Option<Ace> {
    let sacl = AclField::List(Acl::new(label_aces(parent)));
    let parent = SecurityDescriptor { sacl, ..Default::default() };
    let child = propagate(&parent, &Default::default(), child_kind(kind), &ObjectType::File.mapping());
    label_aces(&child).into_iter().next()
}

/// The label ACEs of a descriptor, in their order.
pub fn label_aces(descriptor: &SecurityDescriptor) -> Vec<Ace> {
    let aces = descriptor.sacl().map_or(&[][..], |acl| &acl.aces);
    aces.iter().filter(|ace| ace.kind() == AceKind::MandatoryLabel).cloned().collect()
}

/// Puts `ace` into the DACL where it belongs: an explicit deny in front of everything, an explicit allow behind the explicit
/// denies. A descriptor without a DACL stays as it is: one ACE would turn "everyone" into "only that SID".
pub fn add_explicit(descriptor: &mut SecurityDescriptor, ace: Ace) {
    let AclField::List(acl) = &mut descriptor.dacl else { return };
    let is_deny = ace.kind() == AceKind::Deny;
    let explicit_deny = |ace: &&Ace| ace.kind() == AceKind::Deny && !ace.is_inherited();
    let at = if is_deny { 0 } else { acl.aces.iter().take_while(explicit_deny).count() };
    acl.aces.insert(at, ace);
    // Otherwise copies on what is created later would look explicit.
    descriptor.control |= Control::DACL_AUTO_INHERITED;
}

/// Puts inherited copies where they stand in what `parent` passes on now: behind what comes from a nearer folder, in front
/// of what comes from one further up. A copy that is there already counts for the folder furthest up, so that a nearer folder's
/// equal ACE gets a copy of its own in front of what that folder allows.
pub fn add_inherited(
    descriptor: &mut SecurityDescriptor,
    parent: &SecurityDescriptor,
    kind: NodeKind,
    ours: &[Ace],
) {
    let heir = SecurityDescriptor {
        owner: descriptor.owner,
        group: descriptor.group,
        dacl: AclField::List(Acl::default()),
        ..Default::default()
    };
    let order = propagate(parent, &heir, child_kind(kind), &ObjectType::File.mapping());
    let order = order.dacl().map_or(&[][..], |acl| &acl.aces);
    let AclField::List(acl) = &mut descriptor.dacl else { return };
    let begin = acl.aces.iter().position(Ace::is_inherited).unwrap_or(acl.aces.len());
    let inherited = &acl.aces[begin..];
    let count = |aces: &[Ace], ace: &Ace| aces.iter().filter(|other| *other == ace).count();
    let missing: Vec<bool> =
        order.iter().map(|ace| ours.contains(ace) && count(inherited, ace) < count(order, ace)).collect();
    if !missing.contains(&true) {
        return;
    }
    let places = places(order, inherited);
    let (mut at, mut inserted) = (begin, 0);
    for ((ace, place), missing) in order.iter().zip(places).zip(missing) {
        if let Some(place) = place {
            at = begin + place + inserted + 1;
        } else if missing {
            acl.aces.insert(at, ace.clone());
            (at, inserted) = (at + 1, inserted + 1);
        }
    }
    descriptor.control |= Control::DACL_AUTO_INHERITED;
}

/// Where each ACE of `order` stands in `present`, looked for from the end.
fn places(order: &[Ace], present: &[Ace]) -> Vec<Option<usize>> {
    let mut end = present.len();
    let find = |ace: &Ace| {
        let place = present[..end].iter().rposition(|other| other == ace);
        end = place.unwrap_or(end);
        place
    };
    let mut places: Vec<Option<usize>> = order.iter().rev().map(find).collect();
    places.reverse();
    places
}

/// Sets the explicit label, or takes it away; other ACEs of the SACL stay.
pub fn set_label(descriptor: &mut SecurityDescriptor, label: Option<Ace>) {
    let old = descriptor.sacl().map_or_else(Vec::new, |acl| acl.aces.clone());
    let is_own = |ace: &Ace| ace.kind() == AceKind::MandatoryLabel && !ace.is_inherited();
    let rest = old.into_iter().filter(|ace| !is_own(ace));
    descriptor.sacl = AclField::List(label.into_iter().chain(rest).collect());
    descriptor.control |= Control::SACL_AUTO_INHERITED;
}

/// Replaces the inherited label.
pub fn set_inherited_label(descriptor: &mut SecurityDescriptor, label: Option<Ace>) {
    let old = descriptor.sacl().map_or_else(Vec::new, |acl| acl.aces.clone());
    let is_inherited = |ace: &Ace| ace.kind() == AceKind::MandatoryLabel && ace.is_inherited();
    let kept = old.into_iter().filter(|ace| !is_inherited(ace));
    let aces: Vec<Ace> = kept.chain(label).collect();
    descriptor.control |= Control::SACL_AUTO_INHERITED;
    descriptor.sacl = if aces.is_empty() { AclField::Absent } else { AclField::List(Acl::new(aces)) };
}

/// The flags of an ACE without the mark of inheritance.
pub fn without_mark(ace: &Ace) -> Ace {
    ace.clone().with_flags(ace.flags().without(AceFlags::INHERITED))
}

//! What an existing object becomes after its parent's descriptor changed: one step of SetNamedSecurityInfo's walk.

use super::ChildKind;
use super::ace::Heir;
use super::create::{DACL, List, SACL};
use crate::ace::{Ace, AceKind};
use crate::acl::Acl;
use crate::descriptor::{AclField, SecurityDescriptor};
use crate::mask::GenericMapping;

/// The descriptor of a child after its parent's has become `parent`. For whole trees, go on with the result as the parent.
///
/// Inherited ACEs are replaced by what the parent now passes on, behind the explicit ones, all marked as inherited; the
/// child's control says that it follows the automatic model. A protected list stays as it is (except that resource
/// attributes and central policies are inherited all the same). A child without a DACL that inherits nothing stays
/// without one; a DACL that loses its last ACE stays, empty. Doing it twice is the same as doing it once.
///
/// Source: "Automatic Propagation of Inheritable ACEs" and "ACE Inheritance", Microsoft's documentation; windows-facts §9.
pub fn propagate(
    parent: &SecurityDescriptor,
    child: &SecurityDescriptor,
    kind: ChildKind,
    mapping: &GenericMapping,
) -> SecurityDescriptor {
    let heir = Heir { kind, mapping, owner: child.owner, group: child.group };
    let mut result = child.clone();
    if let Some(dacl) = renewed(&DACL, parent, child, &heir) {
        result.dacl = dacl;
        result.control |= DACL.auto_inherited;
    }
    if let Some(sacl) = renewed(&SACL, parent, child, &heir) {
        result.sacl = sacl;
        result.control |= SACL.auto_inherited;
    }
    result
}

/// The child's list with its inherited part renewed; `None` if it stays as it is.
fn renewed(
    list: &List,
    parent: &SecurityDescriptor,
    child: &SecurityDescriptor,
    heir: &Heir<'_>,
) -> Option<AclField> {
    let parent_aces = (list.field)(parent).acl().map_or(&[][..], |acl| &acl.aces);
    let mut inherited = heir.inherit(parent_aces, true);
    let is_protected = child.control.contains(list.protected);
    if is_protected {
        inherited.retain(passes_protection);
    }
    let stays = |ace: &&Ace| !ace.is_inherited() || is_protected && !passes_protection(ace);
    let old = (list.field)(child).acl();
    let own: Vec<Ace> = old.map_or(&[][..], |acl| &acl.aces).iter().filter(stays).cloned().collect();
    let nothing_new = inherited.is_empty() && old.is_none_or(|acl| own.len() == acl.aces.len());
    if nothing_new && (is_protected || old.is_none()) {
        return None;
    }
    Some(AclField::List(Acl::new([own, inherited].concat())))
}

/// Protection of a SACL does not hold these off.
fn passes_protection(ace: &Ace) -> bool {
    matches!(ace.kind(), AceKind::ResourceAttribute | AceKind::ScopedPolicy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_type::ObjectType;

    fn after(parent: &str, child: &str, kind: ChildKind) -> String {
        let read = |text| SecurityDescriptor::from_sddl(text).unwrap();
        propagate(&read(parent), &read(child), kind, &ObjectType::File.mapping()).to_sddl()
    }

    #[test]
    fn inherited_aces_are_replaced_and_explicit_ones_stay_in_front() {
        assert_eq!(
            after("D:(A;OICI;FR;;;BU)", "D:AI(A;ID;FA;;;BG)(D;;SD;;;WD)", ChildKind::Container),
            "D:AI(D;;0x10000;;;S-1-1-0)(A;OICIID;0x120089;;;S-1-5-32-545)"
        );
    }

    #[test]
    fn a_protected_dacl_stays_as_it_is() {
        let child = "D:P(A;ID;0x1f01ff;;;S-1-5-32-546)";
        assert_eq!(after("D:(A;OICI;FR;;;BU)", child, ChildKind::Leaf), child);
    }

    #[test]
    fn no_dacl_and_nothing_inherited_stays_no_dacl() {
        assert_eq!(after("D:(A;;FR;;;BU)", "D:NO_ACCESS_CONTROL", ChildKind::Leaf), "D:NO_ACCESS_CONTROL");
        assert_eq!(after("D:NO_ACCESS_CONTROL", "O:S-1-5-18", ChildKind::Leaf), "O:S-1-5-18");
    }

    #[test]
    fn no_dacl_that_inherits_gets_only_what_it_inherits() {
        assert_eq!(
            after("D:(A;OI;FR;;;BU)", "D:NO_ACCESS_CONTROL", ChildKind::Leaf),
            "D:AI(A;ID;0x120089;;;S-1-5-32-545)"
        );
    }

    #[test]
    fn a_dacl_that_loses_its_last_ace_stays_empty() {
        assert_eq!(after("D:", "D:AI(A;ID;FR;;;BU)", ChildKind::Leaf), "D:AI");
    }

    #[test]
    fn creator_owner_becomes_the_childs_owner() {
        assert_eq!(
            after("D:(A;OICIIO;GA;;;CO)", "O:SYD:", ChildKind::Container),
            "O:S-1-5-18D:AI(A;ID;0x1f01ff;;;S-1-5-18)(A;OICIIOID;0x10000000;;;S-1-3-0)"
        );
    }

    #[test]
    fn labels_are_propagated_and_an_explicit_one_stays_in_front() {
        let parent = "D:S:(ML;OICI;NW;;;S-1-16-6144)";
        assert_eq!(after(parent, "D:", ChildKind::Container), "D:AIS:AI(ML;OICIID;NW;;;S-1-16-6144)");
        assert_eq!(
            after(parent, "D:PS:(ML;;NW;;;ME)", ChildKind::Leaf),
            "D:PS:AI(ML;;NW;;;S-1-16-8192)(ML;ID;NW;;;S-1-16-6144)"
        );
    }

    #[test]
    fn protection_does_not_hold_resource_attributes_off() {
        let claim = |flags: &str| format!(r#"(RA;{flags};0x0;;;S-1-1-0;("a",TU,0x0,1))"#);
        let parent = format!("D:S:(AU;OISA;FA;;;WD){}", claim("OI"));
        let child = format!("D:PS:P(AU;IDSA;0x1;;;S-1-1-0){}", claim("ID").replace("0x0,1", "0x0,2"));
        let expected = format!("D:PS:PAI(AU;IDSA;0x1;;;S-1-1-0){}", claim("ID"));
        assert_eq!(after(&parent, &child, ChildKind::Leaf), expected);
    }

    #[test]
    fn a_labels_policy_is_not_cut_to_the_rights_of_the_type() {
        let parent = SecurityDescriptor::from_sddl("S:(ML;OI;NX;;;HI)").unwrap();
        let child = SecurityDescriptor::default();
        let mapping = ObjectType::Event.mapping();
        let after = propagate(&parent, &child, ChildKind::Leaf, &mapping);
        assert_eq!(after.to_sddl(), "S:AI(ML;ID;NX;;;S-1-16-12288)");
    }

    #[test]
    fn copies_without_the_inherited_mark_stay() {
        assert_eq!(
            after("D:", "D:(A;;0x120089;;;S-1-5-32-545)", ChildKind::Leaf),
            "D:AI(A;;0x120089;;;S-1-5-32-545)"
        );
    }
}

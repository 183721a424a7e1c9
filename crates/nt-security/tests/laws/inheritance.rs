//! Laws of inheritance.

use nt_security::inherit::{ChildKind, Creation, new_child, propagate};
use nt_security::{AceFlags, AclField, Control, ObjectType, SecurityDescriptor, Token};
use proptest::prelude::*;

use crate::arbitrary::{descriptor, token};

const FILE: nt_security::GenericMapping = ObjectType::File.mapping();

fn kind() -> impl Strategy<Value = ChildKind> {
    prop_oneof![Just(ChildKind::Leaf), Just(ChildKind::Container)]
}

fn create(parent: &SecurityDescriptor, token: &Token, kind: ChildKind) -> SecurityDescriptor {
    new_child(&Creation { parent: Some(parent), creator: None, token, kind, mapping: FILE })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn twice_is_once(parent in descriptor(), child in descriptor(), kind in kind()) {
        let once = propagate(&parent, &child, kind, &FILE);
        prop_assert_eq!(propagate(&parent, &once, kind, &FILE), once);
    }

    #[test]
    fn the_last_parent_counts(first in descriptor(), last in descriptor(), child in descriptor(), kind in kind()) {
        let through = propagate(&last, &propagate(&first, &child, kind, &FILE), kind, &FILE);
        let straight = propagate(&last, &child, kind, &FILE);
        // A list that was once there stays, empty; that apart, nothing of the first parent is left.
        let aces = |sd: &SecurityDescriptor| {
            [sd.dacl(), sd.sacl()].map(|acl| acl.map(|acl| acl.aces.clone()).unwrap_or_default())
        };
        prop_assert_eq!(aces(&through), aces(&straight));
    }

    #[test]
    fn explicit_aces_stay_in_their_order(parent in descriptor(), child in descriptor(), kind in kind()) {
        let explicit = |sd: &SecurityDescriptor| -> Vec<_> {
            let aces = sd.dacl().map(|acl| acl.aces.clone()).unwrap_or_default();
            aces.into_iter().filter(|ace| !ace.is_inherited()).collect()
        };
        let after = propagate(&parent, &child, kind, &FILE);
        prop_assert_eq!(explicit(&after), explicit(&child));
        if !child.control.contains(Control::DACL_PROTECTED) {
            let aces = after.dacl().map(|acl| acl.aces.clone()).unwrap_or_default();
            prop_assert!(aces.is_sorted_by_key(nt_security::Ace::is_inherited));
        }
    }

    #[test]
    fn a_protected_dacl_is_left_alone(parent in descriptor(), child in descriptor(), kind in kind()) {
        let child = SecurityDescriptor { control: child.control | Control::DACL_PROTECTED, ..child };
        prop_assert_eq!(propagate(&parent, &child, kind, &FILE).dacl, child.dacl);
    }

    /// What a new child inherits is what propagation would give it, if its parent follows the automatic model.
    #[test]
    fn creation_and_propagation_agree(parent in descriptor(), token in token(), kind in kind()) {
        let both = Control::DACL_AUTO_INHERITED | Control::SACL_AUTO_INHERITED;
        let parent = SecurityDescriptor { control: parent.control | both, ..parent };
        let token = Token { integrity: 0x2000, ..token };
        let child = create(&parent, &token, kind);
        prop_assert_eq!(propagate(&parent, &child, kind, &FILE), child);
    }

    #[test]
    fn a_leaf_passes_nothing_on(parent in descriptor(), token in token()) {
        let child = create(&parent, &token, ChildKind::Leaf);
        for acl in [child.dacl(), child.sacl()].into_iter().flatten() {
            let inheritable = AceFlags::INHERIT_ALL | AceFlags::INHERIT_ONLY | AceFlags::NO_PROPAGATE;
            prop_assert!(acl.aces.iter().all(|ace| !ace.flags().intersects(inheritable)));
        }
    }

    #[test]
    fn marks_are_made_only_by_parents_that_have_the_model(parent in descriptor(), token in token(), kind in kind()) {
        let marked = parent.control.contains(Control::DACL_AUTO_INHERITED);
        let child = create(&parent, &token, kind);
        for ace in child.dacl().map(|acl| acl.aces.clone()).unwrap_or_default() {
            prop_assert_eq!(ace.is_inherited(), marked);
        }
        let inherits = matches!(child.dacl, AclField::List(_));
        prop_assert_eq!(child.control.contains(Control::DACL_AUTO_INHERITED), marked && inherits);
    }
}

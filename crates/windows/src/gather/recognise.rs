//! Write SIDs of ours on a root whose state was lost, known by the ACEs that only we make.

use nt_security::ace::{Ace, AceFlags, AceKind};
use nt_security::{SecurityDescriptor, Sid};

use crate::plan::context::{CONTROL, GRANT};

/// SIDs `S-1-5-21-a-b-c-d` with our pair of explicit ACEs: all of the tree is granted, its descriptors are denied.
pub(super) fn write_sids(descriptor: &SecurityDescriptor) -> Vec<Sid> {
    let aces = descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
    let is_tree = |ace: &&Ace| ace.flags() == AceFlags::INHERIT_ALL;
    let of =
        |kind, mask| aces.iter().filter(is_tree).filter(move |ace| ace.kind() == kind && ace.mask() == mask);
    let granted: Vec<Sid> = of(AceKind::Allow, GRANT).filter_map(|ace| ace.sid().copied()).collect();
    let denied: Vec<Sid> = of(AceKind::Deny, CONTROL).filter_map(|ace| ace.sid().copied()).collect();
    let has_form = |sid: &Sid| {
        sid.authority() == 5 && sid.sub_authorities().len() == 5 && sid.sub_authorities()[0] == 21
    };
    granted.into_iter().filter(|sid| denied.contains(sid) && has_form(sid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_ours_is_recognised_and_a_users_own_is_not() {
        let text = "D:(D;OICI;0xc0000;;;S-1-5-21-1-2-3-4)(A;OICI;0x1301bf;;;S-1-5-21-1-2-3-4)\
                    (A;OICI;0x1301bf;;;S-1-5-21-9-9-9-1001)(D;OICI;0xc0000;;;WD)(A;OICI;0x1301bf;;;WD)";
        let descriptor = SecurityDescriptor::from_sddl(text).unwrap();
        assert_eq!(write_sids(&descriptor), [Sid::constant(5, [21, 1, 2, 3, 4])]);
    }
}

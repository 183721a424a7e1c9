//! What becomes of one ACE on its way from parent to child.

use super::ChildKind;
use crate::ace::{Ace, AceFlags};
use crate::mask::{AccessMask, GenericMapping};
use crate::sid::{Sid, well_known};

/// What inheritance needs to know about the child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heir<'a> {
    pub(super) kind: ChildKind,
    pub(super) mapping: &'a GenericMapping,
    pub(super) owner: Option<Sid>,
    pub(super) group: Option<Sid>,
}

/// The flags that say who inherits, and that an ACE was inherited.
const INHERITANCE: AceFlags = AceFlags(0x1F);

impl Heir<'_> {
    /// The ACEs that the child gets from a parent's list, in its order. `mark` says whether they carry INHERITED_ACE.
    pub(super) fn inherit(&self, parent: &[Ace], mark: bool) -> Vec<Ace> {
        let mut out = Vec::new();
        for ace in parent {
            self.inherit_one(ace, mark, &mut out);
        }
        out
    }

    /// Source of the table: windows-facts §8.
    fn inherit_one(&self, ace: &Ace, mark: bool, out: &mut Vec<Ace>) {
        let inherited = if mark { AceFlags::INHERITED } else { AceFlags::NONE };
        let other = ace.flags().without(INHERITANCE) | inherited;
        let passed_on = ace.flags() & AceFlags::INHERIT_ALL;
        let goes_on = self.kind == ChildKind::Container
            && !passed_on.is_empty()
            && !ace.flags().contains(AceFlags::NO_PROPAGATE);
        // A class of child is named by a GUID, and files and folders have none: such an ACE is only passed on.
        let for_a_class = ace.object_types().is_some_and(|types| types.inherited_object.is_some());
        let takes_effect = ace.flags().contains(self.kind.flag()) && !for_a_class;
        match (takes_effect, goes_on) {
            (false, false) => {}
            (true, false) => out.push(self.effective(ace).with_flags(other)),
            (false, true) => {
                out.push(ace.clone().with_flags(other | passed_on | AceFlags::INHERIT_ONLY));
            }
            (true, true) if self.is_changed_by_taking_effect(ace) => {
                out.push(self.effective(ace).with_flags(other));
                out.push(ace.clone().with_flags(other | passed_on | AceFlags::INHERIT_ONLY));
            }
            (true, true) => out.push(self.effective(ace).with_flags(other | passed_on)),
        }
    }

    /// An ACE that the creator states for the child itself. Like an inherited one it is split if its heirs are to get the
    /// original; an inherit-only one stays as it is.
    pub(super) fn state(&self, ace: &Ace, out: &mut Vec<Ace>) {
        let flags = ace.flags().without(AceFlags::INHERITED);
        let passed_on = flags & AceFlags(0x07);
        let is_passed_on = self.kind == ChildKind::Container && flags.intersects(AceFlags::INHERIT_ALL);
        if flags.contains(AceFlags::INHERIT_ONLY) {
            out.push(ace.clone().with_flags(flags));
        } else if is_passed_on && self.is_changed_by_taking_effect(ace) {
            out.push(self.effective(ace).with_flags(flags.without(passed_on)));
            out.push(ace.clone().with_flags(flags | AceFlags::INHERIT_ONLY));
        } else {
            out.push(self.effective(ace).with_flags(flags));
        }
    }

    /// Whether an ACE says something else to each heir: it has generic rights, or a SID that stands for whoever owns the heir.
    fn is_changed_by_taking_effect(&self, ace: &Ace) -> bool {
        let creator = ace.sid().is_some_and(|sid| self.creator(sid).is_some());
        creator || ace.kind().mask_is_rights() && ace.mask().intersects(AccessMask::GENERIC)
    }

    /// The ACE as it takes effect: generic rights mapped and cut to what the type has, creator SIDs replaced.
    fn effective(&self, ace: &Ace) -> Ace {
        let mut effective = ace.clone();
        if ace.kind().mask_is_rights() {
            // The SACL's own right is outside GENERIC_ALL and means something in audit ACEs.
            let meaningful = self.mapping.all | AccessMask::ACCESS_SYSTEM_SECURITY;
            effective = effective.with_mask(self.mapping.map(ace.mask()) & meaningful);
        }
        match ace.sid().and_then(|sid| self.creator(sid)) {
            Some(real) => effective.with_sid(real),
            None => effective,
        }
    }

    /// Who a creator SID stands for.
    fn creator(&self, sid: &Sid) -> Option<Sid> {
        match *sid {
            well_known::CREATOR_OWNER => self.owner,
            well_known::CREATOR_GROUP => self.group,
            _ => None,
        }
    }
}

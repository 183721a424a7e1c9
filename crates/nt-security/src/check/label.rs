//! The steps that only ever take rights away: trust label, access filter, central policy, mandatory label.

use super::Query;
use super::evaluate::Trace;
use super::event::{AceRef, Event};
use super::reading::{Doubt, PolicyReading, Readings};
use crate::ace::{Ace, AceKind, LabelPolicy};
use crate::mask::{AccessMask, GenericMapping};
use crate::sid::Sid;
use crate::token::{MandatoryPolicy, Privilege};

/// Every right there is.
const EVERYTHING: AccessMask = AccessMask(u32::MAX);

/// The rights that pass all of these steps.
pub(super) fn ceiling<T: Trace>(
    query: &Query<'_>,
    readings: &Readings,
    doubts: &mut Doubt,
    trace: &mut T,
) -> AccessMask {
    let sacl = query.descriptor.sacl().map_or(&[][..], |acl| &acl.aces);
    let mut allowed = EVERYTHING;
    if !sacl.is_empty() {
        allowed &= trust_label(query, sacl, trace);
        allowed &= policies(sacl, readings, doubts, trace);
    }
    allowed & mandatory_label(query, trace)
}

/// Source: windows-facts §2.1. The first trust label that is not inherit-only counts.
fn trust_label<T: Trace>(query: &Query<'_>, sacl: &[Ace], trace: &mut T) -> AccessMask {
    let is_label = |ace: &&Ace| ace.kind() == AceKind::ProcessTrustLabel && !ace.is_inherit_only();
    let Some(ace) = sacl.iter().find(is_label) else { return EVERYTHING };
    if ace.sid().is_none_or(|label| trust_dominates(query.token.process_trust.as_ref(), label)) {
        return EVERYTHING;
    }
    let allowed = query.mapping.map(ace.mask()) | AccessMask::ACCESS_SYSTEM_SECURITY;
    trace.record(|| Event::TrustLabel { allowed });
    allowed
}

/// RtlSidDominatesForTrust: `S-1-19-type-level`, both parts at least as high. No SID is the lowest.
fn trust_dominates(token: Option<&Sid>, label: &Sid) -> bool {
    let parts = |sid: &Sid| match (sid.authority(), sid.sub_authorities()) {
        (19, [kind, level]) => Some((*kind, *level)),
        _ => None,
    };
    let (token_kind, token_level) = token.and_then(parts).unwrap_or((0, 0));
    parts(label).is_none_or(|(kind, level)| token_kind >= kind && token_level >= level)
}

/// Source: windows-facts §2.2 and §2.9. Neither the condition of a filter nor the rules of a central policy are known
/// here, so the caller's reading decides.
fn policies<T: Trace>(sacl: &[Ace], readings: &Readings, doubts: &mut Doubt, trace: &mut T) -> AccessMask {
    let mut allowed = EVERYTHING;
    for (index, ace) in sacl.iter().enumerate().filter(|(_, ace)| !ace.is_inherit_only()) {
        let if_refused = match ace.kind() {
            AceKind::AccessFilter => ace.mask() | AccessMask::ACCESS_SYSTEM_SECURITY,
            AceKind::ScopedPolicy => AccessMask::NONE,
            _ => continue,
        };
        *doubts |= Doubt::POLICY;
        if readings.policies == PolicyReading::Refuses {
            allowed &= if_refused;
        }
        trace.record(|| Event::Policy { ace: AceRef::new(index, ace), allowed });
    }
    allowed
}

/// Source: windows-facts §6. Only a token with the NO_WRITE_UP policy is held by labels.
fn mandatory_label<T: Trace>(query: &Query<'_>, trace: &mut T) -> AccessMask {
    let token = query.token;
    let label = query.descriptor.label();
    let enforced = token.mandatory_policy.contains(MandatoryPolicy::NO_WRITE_UP);
    let mut allowed = EVERYTHING;
    if enforced && token.integrity < label.level {
        allowed = allowed_below(label.policy, &query.mapping);
        if token.privileges.contains(Privilege::Relabel) {
            allowed |= AccessMask::WRITE_OWNER;
        }
    }
    trace.record(|| Event::Label { label, token_level: token.integrity, allowed });
    allowed
}

/// The rights that a token below a label keeps. Each kind of access keeps what another permitted kind shares with it.
///
/// Source: windows-facts §6, after the published `GetAllowedMandatoryAccess`. With NO_WRITE_UP alone it is 0x1200A9
/// for files: FILE_DELETE_CHILD, which no generic right but GENERIC_ALL contains, is refused too.
pub(super) fn allowed_below(policy: LabelPolicy, mapping: &GenericMapping) -> AccessMask {
    if policy.is_empty() {
        return EVERYTHING;
    }
    let read = mapping.read | AccessMask::READ_CONTROL;
    let write = mapping.write
        | AccessMask::DELETE
        | AccessMask::WRITE_DAC
        | AccessMask::WRITE_OWNER
        | AccessMask::ACCESS_SYSTEM_SECURITY;
    let execute = mapping.execute.without(mapping.read) | AccessMask::SYNCHRONIZE;
    let kinds = [
        (policy.contains(LabelPolicy::NO_READ_UP), read),
        (policy.contains(LabelPolicy::NO_WRITE_UP), write),
        (policy.contains(LabelPolicy::NO_EXECUTE_UP), execute),
    ];
    let union = |refused: bool| {
        let rights = kinds.iter().filter(|(is_refused, _)| *is_refused == refused);
        rights.fold(AccessMask::NONE, |all, (_, rights)| all | *rights)
    };
    let (refused, kept) = (union(true), union(false));
    let mut start = mapping.read | mapping.execute | AccessMask::SYNCHRONIZE | AccessMask::READ_CONTROL;
    if !policy.contains(LabelPolicy::NO_WRITE_UP) {
        start |= mapping.all;
    }
    start.without(refused.without(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_type::ObjectType;

    #[test]
    fn what_passes_below_a_label_on_a_file() {
        let file = ObjectType::File.mapping();
        let (nw, nr, nx) = (LabelPolicy::NO_WRITE_UP, LabelPolicy::NO_READ_UP, LabelPolicy::NO_EXECUTE_UP);
        for (policy, allowed) in [
            (nw, 0x0012_00A9),
            (nw | nr, 0x0010_0020),
            (nw | nx, 0x0012_0089),
            (nw | nr | nx, 0),
            (nx, 0x001F_01DF),
            (nr, 0x001F_0176),
        ] {
            assert_eq!(allowed_below(policy, &file), AccessMask(allowed), "{policy:?}");
        }
        assert_eq!(allowed_below(LabelPolicy::NONE, &file), EVERYTHING);
    }

    #[test]
    fn trust_needs_both_parts() {
        let sid = |kind, level| Sid::constant(19, [kind, level]);
        assert!(trust_dominates(Some(&sid(1024, 8192)), &sid(512, 4096)));
        assert!(!trust_dominates(Some(&sid(512, 8192)), &sid(1024, 4096)));
        assert!(!trust_dominates(None, &sid(512, 0)));
        assert!(trust_dominates(None, &sid(0, 0)));
    }
}

//! From the record of a check to one reason for each right.

use super::Query;
use super::event::{AceRef, Event, Pass, PassFinding, Reason, RightReason};
use crate::ace::AceEffect;
use crate::mask::AccessMask;

/// One entry for each right asked for; for MAXIMUM_ALLOWED one for each right of the type.
pub(super) fn rights(query: &Query<'_>, events: &[Event]) -> Vec<RightReason> {
    let requested = query.mapping.map(query.desired);
    let mut rights = requested.without(AccessMask::MAXIMUM_ALLOWED);
    if requested.contains(AccessMask::MAXIMUM_ALLOWED) {
        rights |= query.mapping.all;
    }
    rights.bits().map(|right| explain(right, events)).collect()
}

fn explain(right: AccessMask, events: &[Event]) -> RightReason {
    let first = finding(right, events, Pass::First);
    let second = finding(right, events, Pass::Second);
    let (granted, reason) =
        before_the_dacl(right, events).unwrap_or_else(|| by_passes(first.as_ref(), second.as_ref()));
    RightReason { right, granted, reason, first, second }
}

/// The steps before the DACL, and that of having none: whichever speaks of the right first.
fn before_the_dacl(right: AccessMask, events: &[Event]) -> Option<(bool, Reason)> {
    events.iter().find_map(|event| match event {
        Event::TrustLabel { allowed } if !allowed.contains(right) => Some((false, Reason::TrustLabel)),
        Event::Policy { allowed, .. } if !allowed.contains(right) => Some((false, Reason::Policy)),
        Event::Label { allowed, .. } if !allowed.contains(right) => Some((false, Reason::Label)),
        Event::Privilege { privilege, granted } if granted.contains(right) => {
            Some((true, Reason::Privilege(*privilege)))
        }
        Event::PrivilegeNotHeld { privilege } if right == AccessMask::ACCESS_SYSTEM_SECURITY => {
            Some((false, Reason::PrivilegeNotHeld(*privilege)))
        }
        Event::Owner { granted, .. } if granted.contains(right) => Some((true, Reason::Owner)),
        Event::NullDacl { granted } if granted.contains(right) => Some((true, Reason::NullDacl)),
        _ => None,
    })
}

/// What a pass found about a right; `None` if the pass did not run for it.
fn finding(right: AccessMask, events: &[Event], of: Pass) -> Option<PassFinding> {
    let ran = events
        .iter()
        .any(|event| matches!(event, Event::PassStart { pass, open } if *pass == of && open.contains(right)));
    let by_ace = events.iter().find_map(|event| match event {
        Event::Ace { pass, ace, effect, settled } if *pass == of && settled.contains(right) => {
            Some(PassFinding { granted: *effect == AceEffect::Allow, ace: Some(ace.clone()) })
        }
        _ => None,
    });
    by_ace.or_else(|| ran.then_some(PassFinding { granted: false, ace: None }))
}

/// The first pass that refuses settles a right; if none does, the first pass granted it.
fn by_passes(first: Option<&PassFinding>, second: Option<&PassFinding>) -> (bool, Reason) {
    let reason = |pass: Pass, ace: &Option<AceRef>| match ace {
        Some(ace) => Reason::Ace { pass, ace: ace.clone() },
        None => Reason::NoAce { pass },
    };
    let passes = [(Pass::First, first), (Pass::Second, second)];
    let refusing = passes.iter().find_map(|(pass, found)| found.filter(|f| !f.granted).map(|f| (*pass, f)));
    match (refusing, first) {
        (Some((pass, found)), _) => (false, reason(pass, &found.ace)),
        (None, Some(found)) => (true, reason(Pass::First, &found.ace)),
        // No step spoke of the right: it lies outside what MAXIMUM_ALLOWED looks for.
        (None, None) => (false, Reason::NoAce { pass: Pass::First }),
    }
}

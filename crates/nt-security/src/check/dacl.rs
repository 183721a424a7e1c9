//! One walk over the DACL.

use super::Query;
use super::evaluate::Trace;
use super::event::{AceRef, Event, Pass, SkipReason};
use super::reading::{Doubt, Readings, Treat};
use crate::ace::{Ace, AceEffect};
use crate::mask::AccessMask;
use crate::sid::{Sid, well_known};
use crate::token::Token;

/// What a walk settled. A right in neither is refused, because no ACE grants it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settled {
    pub(super) granted: AccessMask,
    pub(super) denied: AccessMask,
}

/// Whose SIDs a walk looks for.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    /// The token's user and groups.
    Token(&'a Token),
    /// The restricting SIDs, which are always enabled.
    Restricting(&'a [Sid]),
}

impl Whose<'_> {
    fn pass(self) -> Pass {
        match self {
            Self::Token(_) => Pass::First,
            Self::Restricting(_) => Pass::Second,
        }
    }

    /// Whether an ACE of this effect for this SID applies.
    fn matches(self, effect: AceEffect, sid: &Sid) -> bool {
        match (self, effect) {
            (Self::Token(token), AceEffect::Allow) => token.allows(sid),
            (Self::Token(token), AceEffect::Deny) => token.denies(sid),
            (Self::Restricting(sids), _) => sids.contains(sid),
        }
    }
}

/// Walks the DACL in its order; the first ACE that matches and speaks of a right settles it.
///
/// Source: windows-facts §3. Type does not matter, position does.
pub(super) fn walk<T: Trace>(
    query: &Query<'_>,
    aces: &[Ace],
    whose: Whose<'_>,
    open: AccessMask,
    walk: &mut Walk<'_, T>,
) -> Settled {
    let pass = whose.pass();
    walk.trace.record(|| Event::PassStart { pass, open });
    let mut settled = Settled::default();
    for (index, ace) in aces.iter().enumerate() {
        let still_open = open.without(settled.granted | settled.denied);
        // A walk that is recorded goes on, so that every ACE is accounted for.
        let done = still_open.is_empty() || walk.stop_at_denial && !settled.denied.is_empty();
        if done && !T::RECORDS {
            break;
        }
        let rights = query.mapping.map(ace.mask()) & still_open;
        match applies(query, ace, rights, whose, walk) {
            Ok(effect) => {
                match effect {
                    AceEffect::Allow => settled.granted |= rights,
                    AceEffect::Deny => settled.denied |= rights,
                }
                let ace = || AceRef::new(index, ace);
                walk.trace.record(|| Event::Ace { pass, ace: ace(), effect, settled: rights });
            }
            Err(reason) => {
                walk.trace.record(|| Event::Skipped { pass, ace: AceRef::new(index, ace), reason });
            }
        }
    }
    let Settled { granted, denied } = settled;
    let missing = open.without(granted | denied);
    walk.trace.record(|| Event::PassEnd { pass, granted, denied, missing });
    settled
}

/// What stays the same, or is gathered, over the walks of one check.
pub(super) struct Walk<'a, T> {
    pub(super) readings: &'a Readings,
    pub(super) stop_at_denial: bool,
    pub(super) doubts: &'a mut Doubt,
    pub(super) trace: &'a mut T,
}

/// Whether an ACE settles `rights`, and how; otherwise why it does not.
fn applies<T>(
    query: &Query<'_>,
    ace: &Ace,
    rights: AccessMask,
    whose: Whose<'_>,
    walk: &mut Walk<'_, T>,
) -> Result<AceEffect, SkipReason> {
    let effect = ace.kind().effect().ok_or(SkipReason::OtherKind)?;
    let sid = ace.sid().ok_or(SkipReason::OtherKind)?;
    if ace.is_inherit_only() {
        return Err(SkipReason::InheritOnly);
    }
    if rights.is_empty() {
        return Err(SkipReason::NothingOpen);
    }
    let sid = stands_for(query, sid).ok_or(SkipReason::NotMatched)?;
    if !whose.matches(effect, sid) {
        return Err(SkipReason::NotMatched);
    }
    if effect == AceEffect::Allow && ace.object_types().is_some_and(|types| types.object.is_some()) {
        *walk.doubts |= Doubt::OBJECT_ACE;
        if walk.readings.object_aces == Treat::Denied {
            return Err(SkipReason::ObjectType);
        }
    }
    if ace.kind().is_callback() {
        *walk.doubts |= Doubt::CONDITION;
        let against_access = walk.readings.conditions == Treat::Denied;
        if against_access != (effect == AceEffect::Deny) {
            return Err(SkipReason::Condition);
        }
    }
    Ok(effect)
}

/// OWNER RIGHTS stands for the owner and PRINCIPAL SELF for the object's own principal.
///
/// Source: windows-facts §5. Without an owner the ACE matches no one.
fn stands_for<'a>(query: &'a Query<'_>, sid: &'a Sid) -> Option<&'a Sid> {
    if *sid == well_known::OWNER_RIGHTS {
        return query.descriptor.owner.as_ref();
    }
    match &query.principal_self {
        Some(principal) if *sid == well_known::PRINCIPAL_SELF => Some(principal),
        _ => Some(sid),
    }
}

//! Laws of the access check.
//!
//! What does *not* hold is as telling. An added restricting SID may give access back, because the second pass then matches
//! more allow ACEs, and may take it away, because it matches more deny ACEs; it never gives more than the unrestricted token has.
//! Under WRITE_RESTRICTED asking for more may be refused where asking for less was granted and the other way round is
//! impossible; see `asking_for_less_is_never_refused`.

use nt_security::check::{Event, Outcome, Pass};
use nt_security::token::GroupAttributes;
use nt_security::{
    AccessMask, Ace, AceFlags, AceKind, Acl, AclField, ObjectType, Query, Readings, Restriction,
    SecurityDescriptor, Token, Verdict, access_check, verdict,
};
use proptest::prelude::*;

use crate::arbitrary::{
    descriptor, file_mask, object_type, principal, request, restricting_sids, token, trustee,
    unrestricted_token,
};

fn ask(descriptor: &SecurityDescriptor, token: &Token, desired: AccessMask) -> Verdict {
    ask_as(descriptor, token, desired, &Readings::default())
}

fn ask_as(
    descriptor: &SecurityDescriptor,
    token: &Token,
    desired: AccessMask,
    readings: &Readings,
) -> Verdict {
    verdict(&Query::new(descriptor, token, desired, ObjectType::File.mapping()), readings)
}

/// A descriptor that has a list, and that list.
fn with_aces(
    descriptor: &SecurityDescriptor,
    change: impl FnOnce(&mut Vec<Ace>),
) -> Option<SecurityDescriptor> {
    let mut aces = descriptor.dacl()?.aces.clone();
    change(&mut aces);
    Some(SecurityDescriptor { dacl: AclField::List(Acl::new(aces)), ..descriptor.clone() })
}

/// Whether an answer grants nothing that another does not.
fn at_most(less: &Verdict, more: &Verdict) -> bool {
    more.granted.contains(less.granted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_deny_ace_in_front_never_grants(
        descriptor in descriptor(), token in token(), desired in request(), mask in file_mask(), sid in trustee(),
    ) {
        // An ACE for OWNER RIGHTS takes implicit rights away, never gives any.
        let Some(denied) = with_aces(&descriptor, |aces| aces.insert(0, Ace::deny(mask, sid))) else {
            return Ok(());
        };
        prop_assert!(at_most(&ask(&denied, &token, desired), &ask(&descriptor, &token, desired)));
    }

    #[test]
    fn an_allow_ace_at_the_end_never_takes_away(
        descriptor in descriptor(), token in token(), desired in request(), mask in file_mask(), sid in principal(),
    ) {
        // One for OWNER RIGHTS would: it takes the owner's implicit rights away.
        let Some(allowed) = with_aces(&descriptor, |aces| aces.push(Ace::allow(mask, sid))) else {
            return Ok(());
        };
        prop_assert!(at_most(&ask(&descriptor, &token, desired), &ask(&allowed, &token, desired)));
    }

    #[test]
    fn making_a_sid_deny_only_never_grants(
        descriptor in descriptor(), token in token(), desired in request(), which in any::<prop::sample::Index>(),
    ) {
        let mut changed = token.clone();
        if which.index(changed.groups.len() + 1) == 0 {
            changed.user_deny_only = true;
        } else {
            let place = which.index(changed.groups.len() + 1) - 1;
            let group = &mut changed.groups[place];
            // A disabled group that becomes deny-only still only denies more.
            group.attributes = GroupAttributes::USE_FOR_DENY_ONLY;
        }
        prop_assert!(at_most(&ask(&descriptor, &changed, desired), &ask(&descriptor, &token, desired)));
    }

    #[test]
    fn a_restricted_token_never_gets_more_than_the_unrestricted(
        descriptor in descriptor(), token in unrestricted_token(), desired in request(), sids in restricting_sids(),
    ) {
        let unrestricted = ask(&descriptor, &token, desired);
        for restriction in [Restriction::Full(sids.clone()), Restriction::Write(sids.clone())] {
            let restricted = Token { restriction, ..token.clone() };
            prop_assert!(at_most(&ask(&descriptor, &restricted, desired), &unrestricted));
        }
    }

    #[test]
    fn write_restricted_gets_at_least_what_fully_restricted_gets(
        descriptor in descriptor(), token in unrestricted_token(), desired in request(), sids in restricting_sids(),
    ) {
        let full = Token { restriction: Restriction::Full(sids.clone()), ..token.clone() };
        let write = Token { restriction: Restriction::Write(sids), ..token };
        prop_assert!(at_most(&ask(&descriptor, &full, desired), &ask(&descriptor, &write, desired)));
    }

    /// With restricting SIDs that no deny ACE names, and a DACL that speaks of no owner, more of them never take away.
    #[test]
    fn a_restricting_sid_that_no_deny_names_never_takes_away(
        descriptor in descriptor(), token in unrestricted_token(), desired in request(), sids in restricting_sids(), added in principal(),
    ) {
        let Some(allows_only) = with_aces(&descriptor, |aces| {
            aces.retain(|ace| ace.kind() != AceKind::Deny || ace.sid() != Some(&added));
            aces.retain(|ace| !matches!(ace.kind(), AceKind::DenyObject | AceKind::DenyCallback));
            aces.retain(|ace| ace.sid() != Some(&nt_security::well_known::OWNER_RIGHTS));
        }) else {
            return Ok(());
        };
        let mut more = sids.clone();
        more.push(added);
        for kind in [Restriction::Full, Restriction::Write] {
            let fewer = Token { restriction: kind(sids.clone()), ..token.clone() };
            let more = Token { restriction: kind(more.clone()), ..token.clone() };
            prop_assert!(at_most(&ask(&allows_only, &fewer, desired), &ask(&allows_only, &more, desired)));
        }
    }

    /// The order of restricting SIDs and their repetition mean nothing.
    #[test]
    fn restricting_sids_are_a_set(
        descriptor in descriptor(), token in unrestricted_token(), desired in request(), sids in restricting_sids(),
    ) {
        let mut other = sids.clone();
        other.reverse();
        other.extend(sids.clone());
        for kind in [Restriction::Full, Restriction::Write] {
            let once = Token { restriction: kind(sids.clone()), ..token.clone() };
            let twice = Token { restriction: kind(other.clone()), ..token.clone() };
            prop_assert_eq!(ask(&descriptor, &once, desired), ask(&descriptor, &twice, desired));
        }
    }

    /// A restricting list with everything that the token has enabled, and nothing more, restricts nothing, unless the token is
    /// seen by deny ACEs alone somewhere.
    #[test]
    fn restricting_to_oneself_changes_nothing(
        descriptor in descriptor(), token in unrestricted_token(), desired in request(),
    ) {
        let mut token = Token { user_deny_only: false, ..token };
        token.groups.iter_mut().for_each(|group| group.attributes = GroupAttributes::ORDINARY);
        let own: Vec<_> = token.groups.iter().map(|group| group.sid).chain([token.user]).collect();
        let unrestricted = ask(&descriptor, &token, desired);
        for kind in [Restriction::Full, Restriction::Write] {
            let restricted = Token { restriction: kind(own.clone()), ..token.clone() };
            prop_assert_eq!(ask(&descriptor, &restricted, desired), unrestricted);
        }
    }

    /// A write-restricted token reads exactly what the unrestricted one reads.
    #[test]
    fn reading_is_free_under_write_restricted(
        descriptor in descriptor(), token in unrestricted_token(), desired in file_mask(), sids in restricting_sids(),
    ) {
        let mapping = ObjectType::File.mapping();
        let owner_rights = AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
        // READ_CONTROL may come from ownership, which a restricting list can take away.
        let reading = mapping.map(desired).without(mapping.write_gate() | owner_rights);
        let restricted = Token { restriction: Restriction::Write(sids), ..token.clone() };
        prop_assert_eq!(ask(&descriptor, &restricted, reading), ask(&descriptor, &token, reading));
    }

    #[test]
    fn a_lower_integrity_level_never_grants(
        descriptor in descriptor(), token in token(), desired in request(), level in 0u32..0x5000,
    ) {
        let lower = Token { integrity: token.integrity.min(level), ..token.clone() };
        prop_assert!(at_most(&ask(&descriptor, &lower, desired), &ask(&descriptor, &token, desired)));
    }

    #[test]
    fn fewer_privileges_never_grant(descriptor in descriptor(), token in token(), desired in request()) {
        let none = Token { privileges: Default::default(), ..token.clone() };
        prop_assert!(at_most(&ask(&descriptor, &none, desired), &ask(&descriptor, &token, desired)));
    }

    /// A request without MAXIMUM_ALLOWED is granted whole or not at all.
    #[test]
    fn what_is_granted_is_what_was_asked_for(descriptor in descriptor(), token in token(), desired in file_mask()) {
        let answer = ask(&descriptor, &token, desired);
        let all = ObjectType::File.mapping().map(desired);
        prop_assert!(answer.granted == all && answer.is_allowed() || answer.granted.is_empty() && !answer.is_allowed());
    }

    #[test]
    fn asking_for_less_is_never_refused(
        descriptor in descriptor(), token in token(), desired in file_mask(), less in file_mask(),
    ) {
        let mapping = ObjectType::File.mapping();
        let less = mapping.map(desired) & mapping.map(less);
        if !less.is_empty() && ask(&descriptor, &token, desired).is_allowed() {
            prop_assert!(ask(&descriptor, &token, less).is_allowed());
        }
    }

    /// MAXIMUM_ALLOWED finds every right that can be had alone, and no other; privileges count only for rights asked for by name.
    #[test]
    fn maximum_allowed_is_the_sum_of_single_rights(descriptor in descriptor(), token in token()) {
        let token = Token { privileges: Default::default(), ..token };
        let maximum = ask(&descriptor, &token, AccessMask::MAXIMUM_ALLOWED);
        let single = ObjectType::File.mapping().all.bits().filter(|right| ask(&descriptor, &token, *right).is_allowed());
        prop_assert_eq!(maximum.granted, single.fold(AccessMask::NONE, |all, right| all | right));
    }

    #[test]
    fn inherit_only_aces_say_nothing(
        descriptor in descriptor(), token in token(), desired in request(), mask in file_mask(), sid in principal(), place in any::<prop::sample::Index>(), denies in any::<bool>(),
    ) {
        let ace = if denies { Ace::deny(mask, sid) } else { Ace::allow(mask, sid) };
        let ace = ace.with_flags(AceFlags::INHERIT_ONLY | AceFlags::CONTAINER_INHERIT);
        let Some(changed) = with_aces(&descriptor, |aces| aces.insert(place.index(aces.len() + 1), ace)) else {
            return Ok(());
        };
        prop_assert_eq!(ask(&changed, &token, desired), ask(&descriptor, &token, desired));
    }

    /// The strict reading never grants more than the caller's, nor that more than the generous one.
    #[test]
    fn readings_are_ordered(descriptor in descriptor(), token in token(), desired in request()) {
        let chosen = ask(&descriptor, &token, desired);
        prop_assert!(at_most(&ask_as(&descriptor, &token, desired, &Readings::STRICT), &chosen));
        prop_assert!(at_most(&chosen, &ask_as(&descriptor, &token, desired, &Readings::GENEROUS)));
    }

    /// The answer with reasons is the answer without, its reasons agree with it, and "certain" means certain.
    #[test]
    fn reasons_agree_with_the_answer(
        descriptor in descriptor(), token in token(), desired in request(), object_type in object_type(),
    ) {
        let query = Query::new(&descriptor, &token, desired, object_type.mapping());
        let decision = access_check(&query, &Readings::default());
        prop_assert_eq!(decision.verdict, verdict(&query, &Readings::default()));
        prop_assert_eq!(decision.strict, verdict(&query, &Readings::STRICT));
        prop_assert_eq!(decision.generous, verdict(&query, &Readings::GENEROUS));
        match decision.outcome {
            Outcome::Allowed | Outcome::Denied => prop_assert_eq!(decision.strict, decision.generous),
            Outcome::Unknown { .. } => prop_assert_ne!(decision.strict, decision.generous),
        }
        let maximum = decision.requested.contains(AccessMask::MAXIMUM_ALLOWED);
        let explicit = decision.requested.without(AccessMask::MAXIMUM_ALLOWED);
        let of_explicit = || decision.rights.iter().filter(|right| explicit.contains(right.right));
        if explicit.is_empty() && !maximum {
            // A request for nothing is refused, and there is no right to give a reason for.
            prop_assert!(!decision.verdict.is_allowed() && decision.rights.is_empty());
        } else if !maximum {
            prop_assert_eq!(decision.verdict.is_allowed(), of_explicit().all(|right| right.granted));
            prop_assert_eq!(decision.rights.len() as u32, explicit.0.count_ones());
        } else if decision.verdict.is_allowed() {
            for right in &decision.rights {
                // Under WRITE_RESTRICTED MAXIMUM_ALLOWED skips the second pass for reading rights.
                prop_assert_eq!(right.granted, decision.verdict.granted.contains(right.right), "{:?}", right);
            }
        }
    }

    /// Each ACE is accounted for once in every pass that ran.
    #[test]
    fn a_record_names_every_ace(descriptor in descriptor(), token in token(), desired in request()) {
        let query = Query::new(&descriptor, &token, desired, ObjectType::File.mapping());
        let decision = access_check(&query, &Readings::default());
        let count = descriptor.dacl().map_or(0, |acl| acl.aces.len());
        for of in [Pass::First, Pass::Second] {
            let ran = decision.events.iter().any(|event| matches!(event, Event::PassStart { pass, .. } if *pass == of));
            let places: Vec<usize> = decision.events.iter().filter_map(|event| match event {
                Event::Ace { pass, ace, .. } | Event::Skipped { pass, ace, .. } if *pass == of => Some(ace.index),
                _ => None,
            }).collect();
            let expected: Vec<usize> = if ran { (0..count).collect() } else { Vec::new() };
            prop_assert_eq!(places, expected);
        }
    }
}

fn user_with(restricting: &[&str], dacl: &str) -> Verdict {
    let sid = |text: &&str| nt_security::sddl::parse_sid(text).unwrap();
    let restriction = Restriction::Full(restricting.iter().map(sid).collect());
    let token = Token { restriction, ..Token::new(sid(&"S-1-5-21-1-2-3-1001")) };
    let descriptor = SecurityDescriptor::from_sddl(dacl).unwrap();
    ask(&descriptor, &token, AccessMask::FILE_READ_DATA)
}

#[test]
fn an_added_restricting_sid_may_give_access_back() {
    let dacl = "D:(A;;FA;;;S-1-5-21-1-2-3-1001)(A;;FR;;;BU)";
    assert!(!user_with(&["BG"], dacl).is_allowed());
    assert!(user_with(&["BG", "BU"], dacl).is_allowed());
}

#[test]
fn an_added_restricting_sid_may_take_access_away() {
    let dacl = "D:(D;;FR;;;BG)(A;;FA;;;S-1-5-21-1-2-3-1001)(A;;FR;;;BU)";
    assert!(user_with(&["BU"], dacl).is_allowed());
    assert!(!user_with(&["BU", "BG"], dacl).is_allowed());
}

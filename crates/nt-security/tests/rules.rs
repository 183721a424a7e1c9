//! Rules of the access check that no case file reaches, one by one, and the reasons that go with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use nt_security::check::{
    Doubt, Event, MaximumReading, MixedReading, OwnerRole, Pass, PolicyReading, Reason, RightReason,
    SkipReason, Treat, certain_verdict,
};
use nt_security::token::{MandatoryPolicy, integrity};
use nt_security::{
    AccessMask, Decision, Group, ObjectType, Outcome, Privilege, Privileges, Query, Readings, Restriction,
    SecurityDescriptor, Sid, Status, Token, access_check,
};

const USER: &str = "S-1-5-21-1-2-3-1001";
/// A SID for restricting lists.
const CAP: &str = "S-1-5-21-7-7-7-7";
const GUID: &str = "bf967aba-0de6-11d0-a285-00aa003049e2";

fn sid(text: &str) -> Sid {
    nt_security::sddl::parse_sid(text).unwrap()
}

fn user() -> Token {
    Token { groups: vec![Group::enabled(sid("WD")), Group::enabled(sid("BU"))], ..Token::new(sid(USER)) }
}

fn write_restricted() -> Token {
    Token { restriction: Restriction::Write(vec![sid(CAP)]), ..user() }
}

/// Asks about a file; `U` in the text stands for the user and `C` for the restricting SID.
fn ask(sddl: &str, token: &Token, desired: u32) -> Decision {
    ask_as(sddl, token, desired, &Readings::default())
}

fn ask_as(sddl: &str, token: &Token, desired: u32, readings: &Readings) -> Decision {
    let sddl = sddl.replace(";U)", &format!(";{USER})")).replace(";C)", &format!(";{CAP})"));
    let sddl = sddl.replace(";U;", &format!(";{USER};"));
    let descriptor = SecurityDescriptor::from_sddl(&sddl.replace("O:U", &format!("O:{USER}"))).unwrap();
    access_check(&Query::new(&descriptor, token, AccessMask(desired), ObjectType::File.mapping()), readings)
}

fn reason(decision: &Decision, right: u32) -> &RightReason {
    decision.rights.iter().find(|reason| reason.right == AccessMask(right)).unwrap()
}

fn ace_of(reason: &RightReason) -> (Pass, usize, &str) {
    match &reason.reason {
        Reason::Ace { pass, ace } => (*pass, ace.index, &ace.text),
        other => panic!("{other:?} is no ACE"),
    }
}

#[test]
fn each_right_has_the_ace_that_settled_it() {
    let decision = ask("O:SYD:(D;;SD;;;BU)(A;;FR;;;WD)(A;;FA;;;U)", &user(), 0x1_0003);
    assert_eq!(decision.verdict.status, Status::AccessDenied);
    assert_eq!(ace_of(reason(&decision, 0x1)), (Pass::First, 1, "(A;;0x120089;;;S-1-1-0)"));
    assert_eq!(ace_of(reason(&decision, 0x2)), (Pass::First, 2, "(A;;0x1f01ff;;;S-1-5-21-1-2-3-1001)"));
    assert_eq!(ace_of(reason(&decision, 0x1_0000)), (Pass::First, 0, "(D;;0x10000;;;S-1-5-32-545)"));
    let refused: Vec<_> = decision.refused().map(|reason| reason.right).collect();
    assert_eq!(refused, [AccessMask::DELETE]);
}

#[test]
fn a_right_that_no_ace_grants_has_that_for_a_reason() {
    let decision = ask("O:SYD:(A;;FR;;;WD)", &user(), 0x2);
    assert_eq!(reason(&decision, 0x2).reason, Reason::NoAce { pass: Pass::First });
}

#[test]
fn the_second_pass_gives_its_own_reason() {
    let decision = ask("O:SYD:(D;;0x4;;;C)(A;;FA;;;U)(A;;0x2;;;C)", &write_restricted(), 0x6);
    assert_eq!(ace_of(reason(&decision, 0x4)), (Pass::Second, 0, "(D;;0x4;;;S-1-5-21-7-7-7-7)"));
    let written = reason(&decision, 0x2);
    assert!(written.granted);
    assert_eq!(written.first.as_ref().unwrap().ace.as_ref().unwrap().index, 1);
    assert_eq!(written.second.as_ref().unwrap().ace.as_ref().unwrap().index, 2);
}

#[test]
fn the_gate_says_whether_the_second_pass_ran() {
    let gate = |desired| {
        let decision = ask("O:SYD:(A;;FA;;;U)", &write_restricted(), desired);
        decision.events.into_iter().find_map(|event| match event {
            Event::Gate { gate, second_pass, .. } => Some((gate.0, second_pass)),
            _ => None,
        })
    };
    assert_eq!(gate(0x40), Some((0x010D_0116, false)));
    assert_eq!(gate(0x2), Some((0x010D_0116, true)));
}

#[test]
fn every_step_before_the_dacl_is_a_reason_of_its_own() {
    let low = Token { integrity: integrity::LOW, ..user() };
    let held = |privilege| Token { privileges: Privileges::NONE.with(privilege), ..user() };
    let all = "O:SYD:(A;;FA;;;WD)";
    assert_eq!(reason(&ask(all, &low, 0x2), 0x2).reason, Reason::Label);
    let by_privilege = ask("O:SYD:", &held(Privilege::TakeOwnership), 0x8_0000);
    assert_eq!(reason(&by_privilege, 0x8_0000).reason, Reason::Privilege(Privilege::TakeOwnership));
    let without = ask(all, &user(), 0x0100_0000);
    assert_eq!(without.verdict.status, Status::PrivilegeNotHeld);
    assert_eq!(reason(&without, 0x0100_0000).reason, Reason::PrivilegeNotHeld(Privilege::Security));
    assert_eq!(reason(&ask("O:UD:", &user(), 0x4_0000), 0x4_0000).reason, Reason::Owner);
    assert_eq!(reason(&ask("O:SYD:NO_ACCESS_CONTROL", &user(), 0x2), 0x2).reason, Reason::NullDacl);
}

#[test]
fn the_owner_step_says_why_it_gave_nothing() {
    let role = |sddl: &str, token: &Token| {
        let decision = ask(sddl, token, 0x4_0000);
        decision.events.into_iter().find_map(|event| match event {
            Event::Owner { role, .. } => Some(role),
            _ => None,
        })
    };
    assert_eq!(role("O:UD:", &user()), Some(OwnerRole::Owner));
    assert_eq!(role("O:SYD:", &user()), Some(OwnerRole::NotOwner));
    assert_eq!(role("O:UD:", &write_restricted()), Some(OwnerRole::NotRestricting));
    assert_eq!(role("O:UD:(A;;FR;;;OW)", &user()), Some(OwnerRole::OwnerRightsAce));
    assert_eq!(role("D:", &user()), Some(OwnerRole::NoOwner));
}

#[test]
fn skipped_aces_say_why() {
    let decision =
        ask("O:SYD:(A;OIIO;FA;;;U)(A;;FA;;;BG)(AU;SA;FA;;;U)(A;;0x1;;;U)(A;;0x1;;;U)", &user(), 0x1);
    let skipped: Vec<_> = decision
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Skipped { ace, reason, .. } => Some((ace.index, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(
        skipped,
        [
            (0, SkipReason::InheritOnly),
            (1, SkipReason::NotMatched),
            (2, SkipReason::OtherKind),
            (4, SkipReason::NothingOpen)
        ]
    );
}

#[test]
fn a_mixed_request_is_unknown_and_the_caller_chooses() {
    let sddl = "O:SYD:(A;;FA;;;U)(A;;0x116;;;C)";
    let whole = ask(sddl, &write_restricted(), 0x3);
    assert_eq!(whole.outcome, Outcome::Unknown { treated_as_allowed: false });
    assert_eq!(whole.doubts, Doubt::MIXED_REQUEST);
    let per_bit = Readings { mixed: MixedReading::PerBit, ..Readings::default() };
    let chosen = ask_as(sddl, &write_restricted(), 0x3, &per_bit);
    assert_eq!(chosen.outcome, Outcome::Unknown { treated_as_allowed: true });
    assert_eq!(chosen.verdict.granted, AccessMask(0x3));
    // Both readings agree where the SID has the reading rights too, and where it has none.
    assert_eq!(ask("O:SYD:(A;;FA;;;U)(A;;FA;;;C)", &write_restricted(), 0x3).outcome, Outcome::Allowed);
    assert_eq!(ask("O:SYD:(A;;FA;;;U)", &write_restricted(), 0x3).outcome, Outcome::Denied);
}

#[test]
fn maximum_allowed_under_write_restricted_follows_the_gate_unless_told_otherwise() {
    let sddl = "O:SYD:(A;;FA;;;U)(A;;0x2;;;C)";
    let maximum = AccessMask::MAXIMUM_ALLOWED.0;
    let gated = ask(sddl, &write_restricted(), maximum);
    // Everything but the gate's rights, and of those the one that the restricting SID has.
    assert_eq!(gated.verdict.granted, AccessMask(0x1F_01FF & !0x010D_0116 | 0x2));
    assert_eq!(gated.doubts, Doubt::MAXIMUM_ALLOWED);
    assert_eq!(gated.outcome, Outcome::Unknown { treated_as_allowed: true });
    let both = Readings { maximum: MaximumReading::BothPasses, ..Readings::default() };
    assert_eq!(ask_as(sddl, &write_restricted(), maximum, &both).verdict.granted, AccessMask(0x2));
}

#[test]
fn owner_rights_under_write_restricted_need_the_owner_among_the_restricting_sids() {
    let sddl = "O:UD:(A;;FA;;;OW)";
    assert!(!ask(sddl, &write_restricted(), 0x2).verdict.is_allowed());
    assert!(ask(sddl, &write_restricted(), 0x1).verdict.is_allowed());
    let with_user = Token { restriction: Restriction::Write(vec![sid(CAP), sid(USER)]), ..user() };
    assert!(ask(sddl, &with_user, 0x2).verdict.is_allowed());
    let capped = "O:UD:(A;;0x1301bf;;;OW)(A;;FA;;;C)";
    assert!(!ask(capped, &with_user, 0x4_0000).verdict.is_allowed());
}

#[test]
fn a_label_stops_what_write_restricted_lets_through() {
    let medium_low = Token { integrity: integrity::MEDIUM_LOW, ..write_restricted() };
    let sddl = "O:SYD:(A;;FA;;;U)";
    assert!(ask(sddl, &write_restricted(), 0x40).verdict.is_allowed());
    assert!(!ask(sddl, &medium_low, 0x40).verdict.is_allowed());
    let labelled = "O:SYD:(A;;FA;;;U)S:(ML;;NW;;;S-1-16-6144)";
    assert!(ask(labelled, &medium_low, 0x40).verdict.is_allowed());
    assert!(!ask(labelled, &medium_low, 0x2).verdict.is_allowed());
    let maximum = ask("O:SYD:(A;;FA;;;U)(A;;FA;;;C)", &medium_low, AccessMask::MAXIMUM_ALLOWED.0);
    assert_eq!(maximum.verdict.granted, AccessMask(0x12_00A9));
}

#[test]
fn labels_bind_only_tokens_with_the_policy() {
    let free = Token { integrity: 0, mandatory_policy: MandatoryPolicy::NONE, ..user() };
    let sddl = "O:SYD:(A;;FA;;;U)S:(ML;;NWNRNX;;;HI)";
    assert!(ask(sddl, &free, 0x1F_01FF).verdict.is_allowed());
    let bound = Token { mandatory_policy: MandatoryPolicy::NO_WRITE_UP, ..free };
    assert!(!ask(sddl, &bound, 0x1).verdict.is_allowed());
}

#[test]
fn relabel_lets_write_owner_through_a_label_and_past_the_dacl() {
    let low =
        Token { integrity: integrity::LOW, privileges: Privileges::NONE.with(Privilege::Relabel), ..user() };
    let decision = ask("O:SYD:", &low, 0x8_0000);
    assert!(decision.verdict.is_allowed());
    assert_eq!(reason(&decision, 0x8_0000).reason, Reason::Privilege(Privilege::Relabel));
}

#[test]
fn conditions_are_read_against_access_unless_told_otherwise() {
    let allows = "O:SYD:(XA;;FA;;;U;(@User.a==1))";
    let denies = "O:SYD:(XD;;FA;;;U;(@User.a==1))(A;;FA;;;U)";
    let for_access = Readings { conditions: Treat::Allowed, ..Readings::default() };
    for sddl in [allows, denies] {
        let decision = ask(sddl, &user(), 0x1);
        assert_eq!(decision.outcome, Outcome::Unknown { treated_as_allowed: false }, "{sddl}");
        assert_eq!(decision.doubts, Doubt::CONDITION);
        let chosen = ask_as(sddl, &user(), 0x1, &for_access);
        assert_eq!(chosen.outcome, Outcome::Unknown { treated_as_allowed: true }, "{sddl}");
    }
    // A condition that decides nothing leaves no doubt.
    assert_eq!(ask("O:SYD:(A;;FA;;;U)(XA;;FA;;;U;(a))", &user(), 0x1).outcome, Outcome::Allowed);
}

#[test]
fn an_allow_ace_with_a_guid_grants_nothing_and_a_deny_still_denies() {
    let allow = format!("O:SYD:(OA;;FA;{GUID};;U)");
    let decision = ask(&allow, &user(), 0x1);
    assert_eq!(decision.outcome, Outcome::Unknown { treated_as_allowed: false });
    let plain = Readings { object_aces: Treat::Allowed, ..Readings::default() };
    assert!(ask_as(&allow, &user(), 0x1, &plain).verdict.is_allowed());
    let deny = format!("O:SYD:(OD;;FA;{GUID};;U)(A;;FA;;;U)");
    assert_eq!(ask(&deny, &user(), 0x1).outcome, Outcome::Denied);
    assert_eq!(ask("O:SYD:(OA;;FA;;;U)", &user(), 0x1).outcome, Outcome::Allowed);
}

#[test]
fn an_inherit_only_owner_rights_ace_is_an_open_point() {
    let sddl = "O:UD:(A;OIIO;FR;;;OW)";
    let decision = ask(sddl, &user(), 0x4_0000);
    assert_eq!(decision.outcome, Outcome::Unknown { treated_as_allowed: true });
    assert_eq!(decision.doubts, Doubt::INHERIT_ONLY_OWNER_RIGHTS);
    let suppresses = Readings { inherit_only_owner_rights: true, ..Readings::default() };
    assert!(!ask_as(sddl, &user(), 0x4_0000, &suppresses).verdict.is_allowed());
}

#[test]
fn central_policies_and_filters_are_open_points() {
    let refuses = Readings { policies: PolicyReading::Refuses, ..Readings::default() };
    let policy = "O:SYD:(A;;FA;;;U)S:(SP;;;;;S-1-17-1)";
    let decision = ask(policy, &user(), 0x1);
    assert_eq!(decision.outcome, Outcome::Unknown { treated_as_allowed: true });
    assert_eq!(decision.doubts, Doubt::POLICY);
    assert_eq!(reason(&ask_as(policy, &user(), 0x1, &refuses), 0x1).reason, Reason::Policy);
    // A filter lets its own rights pass in any case.
    let filter = "O:SYD:(A;;FA;;;U)S:(FL;;FR;;;WD;(a))";
    assert_eq!(ask(filter, &user(), 0x1).outcome, Outcome::Allowed);
    assert_eq!(ask(filter, &user(), 0x2).outcome, Outcome::Unknown { treated_as_allowed: true });
    assert_eq!(ask("O:SYD:(A;;FA;;;U)S:(SP;IOCI;;;;S-1-17-1)", &user(), 0x1).outcome, Outcome::Allowed);
}

#[test]
fn a_trust_label_holds_off_tokens_without_the_trust() {
    let sddl = "O:SYD:(A;;FA;;;U)S:(TL;;FR;;;S-1-19-512-4096)";
    assert_eq!(reason(&ask(sddl, &user(), 0x2), 0x2).reason, Reason::TrustLabel);
    assert!(ask(sddl, &user(), 0x1).verdict.is_allowed());
    let trusted = Token { process_trust: Some(sid("S-1-19-1024-8192")), ..user() };
    assert!(ask(sddl, &trusted, 0x2).verdict.is_allowed());
}

#[test]
fn principal_self_is_the_objects_own_principal() {
    let descriptor = SecurityDescriptor::from_sddl("O:SYD:(A;;FA;;;PS)").unwrap();
    let token = user();
    let query = Query::new(&descriptor, &token, AccessMask(1), ObjectType::File.mapping());
    let allowed = |principal_self| {
        let query = Query { principal_self, ..query };
        certain_verdict(&query, &Readings::default()).0.is_allowed()
    };
    assert!(allowed(Some(sid(USER))));
    assert!(!allowed(Some(sid("SY"))));
    assert!(!allowed(None));
}

#[test]
fn without_a_dacl_maximum_allowed_is_what_the_type_has() {
    let decision = ask("O:SY", &user(), AccessMask::MAXIMUM_ALLOWED.0);
    assert_eq!(decision.verdict.granted, AccessMask::FILE_ALL_ACCESS);
    let below = Token { integrity: integrity::LOW, ..user() };
    let decision = ask("O:SY", &below, AccessMask::MAXIMUM_ALLOWED.0);
    assert_eq!(decision.verdict.granted, AccessMask(0x12_00A9));
}

#[test]
fn write_restricted_without_sids_writes_nothing() {
    let token = Token { restriction: Restriction::Write(vec![]), ..user() };
    let sddl = "O:UD:(A;;FA;;;U)(A;;FA;;;WD)";
    assert!(!ask(sddl, &token, 0x2).verdict.is_allowed());
    assert!(!ask(sddl, &token, 0x4_0000).verdict.is_allowed());
    assert!(ask(sddl, &token, 0x12_0089).verdict.is_allowed());
}

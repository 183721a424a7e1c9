//! Which tier runs the command, and what is said where it is not the one that was asked for.

use codex_sandbox_policy::Policy;
use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_windows::plan::data::GapKind;
use codex_sandbox_windows::plan::facts::Facts;
use codex_sandbox_windows::plan::{PlanError, Tier, plan};

use super::support::{assert_holds, elevated, example, planned, unelevated, written};

fn why_not_elevated(facts: &Facts) -> (&'static str, String, String) {
    match plan(&elevated(), facts) {
        Err(PlanError::ElevatedUnavailable { code, reason, remedy }) => (code, reason, remedy),
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn field_12_what_a_tier_does_not_enforce_is_said_before_the_run() {
    let gaps = |host: &str, policy: &Policy| {
        let plan = planned(policy, &example(host));
        plan.not_enforced.iter().map(|gap| gap.kind).collect::<Vec<_>>()
    };
    let low = gaps("managed-domain", &unelevated());
    assert!(low.contains(&GapKind::Network) && low.contains(&GapKind::SameUser), "{low:?}");
    let high = gaps("managed-domain", &elevated());
    assert!(!high.contains(&GapKind::Network) && !high.contains(&GapKind::SameUser), "{high:?}");
    assert!(high.contains(&GapKind::NetworkServices), "{high:?}");
}

#[test]
fn field_12_deny_read_and_several_roots_do_not_need_the_elevated_tier() {
    let facts = example("developer-laptop");
    let policy = Policy {
        deny_read: vec![written("secrets")],
        writable_roots: vec![written(r"C:\Users\mia\Documents")],
        ..unelevated()
    };
    assert_holds(&planned(&policy, &facts), &facts);
}

#[test]
fn field_16_each_logon_failure_has_its_cause_and_its_remedy() {
    for (error, cause) in [
        (1326, "password is not the account's"),
        (1909, "locked"),
        (1907, "expired"),
        (1385, "Allow log on locally"),
        (1168, "profile entry"),
        (5, "Secondary Logon"),
        (99, "cannot log on"),
    ] {
        let mut facts = example("managed-domain");
        facts.setup.logon_error = Some(error);
        let (code, reason, remedy) = why_not_elevated(&facts);
        assert_eq!(code, "windows-logon");
        assert!(reason.contains(cause) && reason.contains(&format!("Win32 error {error}")), "{reason}");
        assert!(!remedy.is_empty());
        // `auto` steps down once and says why; it does not try again.
        let plan = planned(&Policy { windows_tier: WindowsTier::Auto, ..Policy::default() }, &facts);
        assert_eq!(plan.tier, Tier::Unelevated);
        assert!(plan.notices.iter().any(|notice| notice.contains(&reason)), "{:?}", plan.notices);
    }
}

#[test]
fn field_16_a_domain_controller_has_no_local_accounts() {
    let mut facts = example("managed-domain");
    facts.machine.is_domain_controller = true;
    let (code, _, remedy) = why_not_elevated(&facts);
    assert_eq!(code, "windows-domain-controller");
    assert!(remedy.contains("unelevated"), "{remedy}");
    let mut facts = example("managed-domain");
    facts.machine.secondary_logon_disabled = true;
    assert_eq!(why_not_elevated(&facts).0, "windows-secondary-logon");
}

#[test]
fn field_16_a_machine_that_is_not_set_up_says_how() {
    let (code, _, remedy) = why_not_elevated(&example("developer-laptop"));
    assert_eq!(code, "windows-not-set-up");
    assert!(remedy.contains("codex-sandbox setup"), "{remedy}");
}

#[test]
fn field_27_names_decide_nothing() {
    let facts = example("managed-domain");
    let mut odd = facts.clone();
    // A machine that is called like its user, a name with a dot, a German Windows.
    odd.machine.name = "j.müller".to_owned();
    odd.user.name = r"j.müller\j.müller".to_owned();
    for group in &mut odd.user.groups {
        group.name = group.name.replace("Administrators", "Administratoren").replace("Everyone", "Jeder");
    }
    let sids = |facts: &Facts| {
        let plan = planned(&elevated(), facts);
        let aces: Vec<_> =
            plan.aces.iter().map(|ace| (ace.path.clone(), ace.ace.who, ace.ace.mask)).collect();
        let token: Vec<_> = plan.token.restricting.iter().map(|entry| (entry.kind, entry.sid)).collect();
        (aces, token, plan.desktop.sddl, plan.network)
    };
    assert_eq!(sids(&odd), sids(&facts));
}

#[test]
fn field_27_letters_outside_ascii_are_found_in_any_case() {
    let facts = example("managed-domain");
    let policy = Policy { deny_read: vec![written(r"c:\USERS\J.MÜLLER\PRIVATE")], ..elevated() };
    let plan = planned(&policy, &facts);
    let denied = plan.policy.deny_read[0].path.clone();
    assert!(facts.nodes.iter().any(|node| node.path == denied), "{denied}");
    assert_holds(&plan, &facts);
    // Full case folding would make one name of two.
    let policy = Policy { deny_read: vec![written(r"C:\Users\j.muller\private")], ..elevated() };
    assert!(planned(&policy, &facts).not_enforced.iter().any(|gap| gap.kind == GapKind::MissingName));
}

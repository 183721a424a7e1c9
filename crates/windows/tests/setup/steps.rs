//! Each step: what is somebody else's, what others change, what a system refuses.

use codex_sandbox_windows::memory::machine::MemoryUser;
use codex_sandbox_windows::plan::facts::NodeKind;
use codex_sandbox_windows::plan::tree::TreeNode;
use codex_sandbox_windows::setup::engine::{StepState, dry_run};
use codex_sandbox_windows::setup::logon;
use codex_sandbox_windows::setup::{Credentials, SetupState, Which};
use nt_security::SecurityDescriptor;

use super::world::{World, failure, somebody, state_of};

const OFFLINE: &str = "CODEXSANDBOXOFFLINE";

#[test]
fn a_dry_run_changes_nothing_and_names_every_step() {
    let world = World::new();
    let before = world.everything();
    let outcome = dry_run(&world.machine, &world.request, None);
    assert_eq!((world.machine.effects(), world.everything()), (0, before));
    assert!(outcome.steps.iter().all(|step| step.state == StepState::Needed), "{outcome:#?}");
    world.must_set_up();
    world.fault(None);
    let outcome = dry_run(&world.machine, &world.request, Some(&world.state));
    assert!(outcome.steps.iter().all(|step| step.state == StepState::Done), "{outcome:#?}");
    assert_eq!(world.machine.effects(), 0);
}

#[test]
fn without_elevation_nothing_happens() {
    let world = World::new();
    world.machine.behave(|behaviour| behaviour.elevated = false);
    let before = world.everything();
    let outcome = world.set_up();
    assert_eq!(failure(&outcome).code, "setup-access-denied");
    assert_eq!(world.everything(), before);
    assert!(outcome.steps.iter().skip(1).all(|step| step.state == StepState::Skipped));
}

/// openai/codex makes accounts of the same names.
#[test]
fn accounts_and_rules_that_are_not_ours_are_never_touched() {
    for name in ["CodexSandboxUsers", "CodexSandboxOffline", "CodexSandboxOnline"] {
        let world = World::new();
        let sid = somebody(1300);
        world.machine.change(|contents| {
            let comment = "somebody else's".to_owned();
            if name.ends_with("Users") {
                contents.groups.insert(name.to_uppercase(), (sid, comment));
            } else {
                let user = MemoryUser { sid, comment, flags: 0x200, password: vec![1, 0] };
                contents.users.insert(name.to_uppercase(), user);
            }
        });
        let before = world.everything();
        let outcome = world.set_up();
        let error = failure(&outcome);
        assert_eq!(error.code, "setup-name-taken", "{error}");
        assert!(error.remedy.contains("account_prefix"), "{error}");
        world.must_tear_down();
        assert_eq!(world.everything(), before, "{name}");
    }
    let world = World::new();
    world.must_set_up();
    let ours = world.machine.contents().rules[0].clone();
    world.must_tear_down();
    world.machine.change(|contents| {
        let description = "somebody else's".to_owned();
        contents.rules.push(codex_sandbox_windows::setup::machine::RuleState { description, ..ours });
    });
    let before = world.everything();
    let outcome = world.set_up();
    assert_eq!(failure(&outcome).code, "setup-rule-taken");
    world.must_tear_down();
    assert_eq!(world.everything(), before);
}

#[test]
fn what_others_changed_is_repaired_and_the_password_stays() {
    let world = World::new();
    world.must_set_up();
    let wanted = world.everything();
    let offline = wanted.0.users[OFFLINE].sid;
    type Change = fn(&mut codex_sandbox_windows::memory::machine::Contents, nt_security::Sid);
    let changes: [(&str, Change); 6] = [
        ("user-offline", |contents, _| contents.users.get_mut(OFFLINE).expect("made").flags = 0x202),
        ("member-offline-users", |contents, sid| {
            contents.members.get_mut(&nt_security::well_known::USERS).expect("made").remove(&sid);
        }),
        ("hidden-offline", |contents, _| contents.hidden.clear()),
        ("deny-network-offline", |contents, sid| {
            contents.rights.get_mut(&sid).expect("made").remove("SeDenyNetworkLogonRight");
        }),
        ("firewall", |contents, _| contents.rules[0].enabled = false),
        ("wfp", |contents, _| contents.wfp.as_mut().expect("made").filters.truncate(2)),
    ];
    for (step, change) in changes {
        world.machine.change(|contents| change(contents, offline));
        assert_ne!(world.everything(), wanted, "{step}");
        let outcome = world.must_set_up();
        assert_eq!(state_of(&outcome, step), StepState::Applied);
        assert_eq!(world.everything(), wanted, "{step}");
    }
}

#[test]
fn a_password_is_set_anew_only_when_the_logon_says_so() {
    let world = World::new();
    world.must_set_up();
    let password = |world: &World| world.machine.contents().users[OFFLINE].password.clone();
    let first = password(&world);
    assert_eq!(first.len(), 33, "32 characters and a NUL");
    world.must_set_up();
    assert_eq!(password(&world), first);
    world.machine.change(|contents| contents.users.get_mut(OFFLINE).expect("made").password = vec![65, 0]);
    let outcome = world.must_set_up();
    assert_eq!(state_of(&outcome, "credentials-offline"), StepState::Applied);
    assert_eq!(state_of(&outcome, "credentials-online"), StepState::Done);
    let second = password(&world);
    let sealed = Credentials::load(&world.machine, &world.request.folder, Which::Offline).expect("sealed");
    assert!(second != first && second == sealed.password.units());
    // Somebody else's reason is no reason for a new password.
    for error in [1385, 1327, 1331, 1909, 1328, 1793, 1314, 1168] {
        world.machine.behave(|behaviour| behaviour.logon_error = Some(error));
        world.fault(None);
        let outcome = world.set_up();
        let failures: Vec<_> = outcome.failures().collect();
        assert!(
            failures.iter().all(|failure| failure.system_code == error && failure.remedy.len() > 10),
            "{failures:?}"
        );
        assert_eq!((failures.len(), world.machine.effects()), (2, 0), "{error}");
        assert_eq!(failures[0].code, logon::explain(error).code);
    }
    assert_eq!(password(&world), second);
}

#[test]
fn an_account_of_the_same_name_that_took_ours_place_is_not_ours() {
    let world = World::new();
    world.must_set_up();
    world.machine.change(|contents| {
        let user = contents.users.get_mut(OFFLINE).expect("made");
        (user.sid, user.comment) = (somebody(1400), String::new());
    });
    let look = SetupState::look(&world.machine, &world.request.names, &world.request.folder).expect("looked");
    let SetupState::NeedsRepair(reasons) = look else { panic!("{look:?}") };
    assert_eq!(reasons[0].code, "setup-account-replaced");
    assert_eq!(failure(&world.set_up()).code, "setup-name-taken");
    world.must_tear_down();
    assert!(world.machine.contents().users.contains_key(OFFLINE));
}

#[test]
fn every_state_is_told_apart() {
    let world = World::new();
    let look =
        || SetupState::look(&world.machine, &world.request.names, &world.request.folder).expect("looked");
    assert_eq!(look(), SetupState::NotSetUp);
    world.must_set_up();
    assert!(matches!(look(), SetupState::Ready(_)));
    let runner = world.request.folder.runner();
    world.machine.host().delete(&runner);
    let SetupState::NeedsRepair(reasons) = look() else { panic!("{:?}", look()) };
    assert_eq!(reasons.iter().map(|reason| reason.code).collect::<Vec<_>>(), ["setup-helper-missing"]);
}

#[test]
fn a_policy_that_disarms_the_firewall_rule_is_told_and_the_filters_suffice() {
    type Disarm = fn(&mut codex_sandbox_windows::setup::machine::FirewallState);
    let disarms: [(&str, Disarm); 4] = [
        ("setup-firewall-service", |state| state.service = false),
        ("setup-firewall-policy", |state| state.no_local_rules = 1),
        ("setup-firewall-policy", |state| state.modify_state = 1),
        ("setup-firewall-off", |state| state.off = 4),
    ];
    for (code, disarm) in disarms {
        let world = World::new();
        world.machine.behave(|behaviour| disarm(&mut behaviour.firewall));
        let outcome = world.must_set_up();
        assert_eq!(outcome.degraded().map(|error| error.code).collect::<Vec<_>>(), [code]);
        assert_eq!(world.machine.contents().rules.len(), 1, "it is there for the day when it counts");
    }
}

/// Fail closed: without a block there is no way to run anything as the account that has none.
#[test]
fn without_firewall_and_filters_there_is_no_password() {
    let world = World::new();
    world.must_set_up();
    world.machine.behave(|behaviour| (behaviour.has_wfp, behaviour.firewall.service) = (false, false));
    let outcome = world.set_up();
    assert_eq!(failure(&outcome).code, "setup-network-not-enforced");
    let error = Credentials::load(&world.machine, &world.request.folder, Which::Offline).unwrap_err();
    assert_eq!(error.code, "setup-credentials-missing");
    assert!(Credentials::load(&world.machine, &world.request.folder, Which::Online).is_ok());
    world.machine.behave(|behaviour| behaviour.has_wfp = true);
    world.must_set_up();
    assert!(Credentials::load(&world.machine, &world.request.folder, Which::Offline).is_ok());
}

#[test]
fn a_system_without_filters_or_rights_is_set_up_and_says_what_is_missing() {
    let world = World::new();
    let before = world.everything();
    world.machine.behave(|behaviour| (behaviour.has_wfp, behaviour.has_rights) = (false, false));
    let outcome = world.must_set_up();
    let codes: Vec<&str> = outcome.degraded().map(|error| error.code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "setup-no-rights").count(), 8);
    assert!(codes.contains(&"setup-no-wfp"));
    world.must_tear_down();
    assert_eq!(world.everything(), before);
}

#[test]
fn a_password_policy_is_named() {
    let world = World::new();
    world.machine.behave(|behaviour| behaviour.refuses_passwords = true);
    let outcome = world.set_up();
    let error = failure(&outcome);
    assert_eq!((error.code, error.system_code), ("setup-password-policy", 2245));
    let world = World::new();
    world.machine.behave(|behaviour| behaviour.is_domain_controller = true);
    assert_eq!(failure(&world.set_up()).code, "setup-domain-controller");
}

/// Users may make folders in C:\ProgramData: one that waits for us there is not trusted.
#[test]
fn a_folder_that_a_user_put_in_our_place_is_refused() {
    let world = World::new();
    let sddl = format!("O:{}D:(A;OICI;FA;;;WD)", world.request.user.sid);
    let node = TreeNode::plain(NodeKind::Folder, SecurityDescriptor::from_sddl(&sddl).expect("SDDL"));
    world.machine.host().put(&world.request.folder.0, node);
    let before = world.everything();
    assert_eq!(failure(&world.set_up()).code, "setup-folder-not-ours");
    assert_eq!(world.everything(), before);
}

#[test]
fn passwords_are_for_the_real_user_and_not_for_what_runs_in_a_sandbox() {
    let world = World::new();
    world.must_set_up();
    let contents = world.machine.contents();
    let group = contents.groups["CODEXSANDBOXUSERS"].0;
    let file = world.machine.host().node(&world.request.folder.credential(Which::Online)).expect("sealed");
    let read = nt_security::AccessMask::FILE_READ_DATA;
    let allows = codex_sandbox_windows::plan::apply::allows;
    let user = codex_sandbox_windows::plan::tokens::baseline(&world.facts);
    assert!(allows(&user, &file.descriptor, read));
    // A command of the unelevated tier runs as the user, below Medium.
    let mut low = user.clone();
    low.integrity = 0x1800;
    assert!(!allows(&low, &file.descriptor, read));
    let logon = nt_security::Sid::constant(5, [5, 0, 9]);
    for which in [OFFLINE, "CODEXSANDBOXONLINE"] {
        let account =
            codex_sandbox_windows::plan::tokens::account(contents.users[which].sid, Some(group), logon);
        assert!(!allows(&account, &file.descriptor, read));
        let runner = world.machine.host().node(&world.request.folder.runner()).expect("copied");
        assert!(allows(&account, &runner.descriptor, read | nt_security::AccessMask::FILE_EXECUTE));
        let writes = [nt_security::AccessMask::FILE_WRITE_DATA, nt_security::AccessMask::DELETE];
        assert!(writes.iter().all(|right| !allows(&account, &runner.descriptor, *right)));
    }
}

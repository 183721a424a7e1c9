//! For whom a machine is set up: another one's password in the elevation prompt, several users, domains, a renamed machine.

use codex_sandbox_windows::setup::engine::StepState;
use codex_sandbox_windows::setup::machine::{AccountKind, Known};
use codex_sandbox_windows::setup::people::{Asked, real_user};
use codex_sandbox_windows::setup::{Credentials, SetupState, Which};
use nt_security::{Sid, well_known};

use super::world::{World, failure, somebody, state_of};
use crate::support::path;

fn known(sid: Sid, domain: &str, name: &str) -> Known {
    Known { sid, domain: domain.to_owned(), name: name.to_owned(), kind: AccountKind::User }
}

#[test]
fn over_the_shoulder_the_one_who_asked_is_set_up_and_not_the_one_who_elevated() {
    let mut world = World::new();
    let (user, administrator) = (world.request.user.sid.0, somebody(500));
    world.machine.behave(|behaviour| {
        behaviour.user = administrator;
        behaviour.processes.insert(42, user);
        behaviour.known.push(known(user, "MACHINE", "dev"));
    });
    let names = world.request.names.clone();
    let asked = Asked::Caller { sid: user, process: 42 };
    world.request.user = real_user(&world.machine, &names, &asked).expect("the caller");
    assert_eq!(world.request.user.name, r"MACHINE\dev");
    world.must_set_up();
    let folder =
        world.machine.host().node(&world.request.folder.credentials()).expect("made").descriptor.to_sddl();
    assert!(folder.contains(&user.to_string()) && !folder.contains(&administrator.to_string()), "{folder}");
}

#[test]
fn whoever_asks_for_another_one_is_refused() {
    let world = World::new();
    world.machine.behave(|behaviour| {
        behaviour.processes.insert(42, somebody(1111));
    });
    let asked = |process| Asked::Caller { sid: world.request.user.sid.0, process };
    for process in [42, 43] {
        let error = real_user(&world.machine, &world.request.names, &asked(process)).unwrap_err();
        assert_eq!(error.code, "setup-caller-mismatch", "{error}");
    }
}

#[test]
fn users_of_a_domain_and_of_entra_id_are_set_up_and_nobody_else_is() {
    let world = World::new();
    let entra = Sid::constant(12, [1, 5, 6, 7, 8]);
    world.machine.behave(|behaviour| {
        behaviour.known.push(known(somebody(1104), "CORP", "ann"));
        behaviour.known.push(known(entra, "AzureAD", "Bob.Ä"));
        let group = Known { kind: AccountKind::Group, ..known(somebody(513), "CORP", "Domain Users") };
        behaviour.known.push(group);
        behaviour.known.push(known(well_known::SYSTEM, "NT AUTHORITY", "SYSTEM"));
    });
    let find = |name: &str| real_user(&world.machine, &world.request.names, &Asked::Named(name.to_owned()));
    assert_eq!(find(r"CORP\ann").expect("a user").sid.0, somebody(1104));
    assert_eq!(find(r"AzureAD\Bob.Ä").expect("a user").sid.0, entra);
    for (name, code) in [
        (r"CORP\Domain Users", "setup-not-a-user"),
        (r"NT AUTHORITY\SYSTEM", "setup-not-a-user"),
        ("nobody", "setup-user-unknown"),
    ] {
        assert_eq!(find(name).unwrap_err().code, code, "{name}");
    }
    // A domain that is out of reach: the SID alone will do.
    world.machine.behave(|behaviour| behaviour.user = somebody(1200));
    let own = real_user(&world.machine, &world.request.names, &Asked::Own).expect("a user without a name");
    assert_eq!((own.sid.0, own.profile), (somebody(1200), None));
}

#[test]
fn a_user_without_a_profile_is_set_up_and_told_what_is_missing() {
    let mut world = World::new();
    world.request.user.profile = None;
    let outcome = world.must_set_up();
    assert_eq!(state_of(&outcome, "reads"), StepState::Degraded);
    assert_eq!(outcome.degraded().next().expect("one").code, "setup-no-profile");
}

#[test]
fn a_sandbox_account_is_nobody_to_set_up_for() {
    let world = World::new();
    world.must_set_up();
    let offline = world.machine.contents().users["CODEXSANDBOXOFFLINE"].sid;
    world.machine.behave(|behaviour| behaviour.user = offline);
    let error = real_user(&world.machine, &world.request.names, &Asked::Own).unwrap_err();
    assert_eq!(error.code, "setup-sandbox-account");
}

/// Field report 11: two users, or two homes, take turns; nobody's password breaks, and nothing asks again.
#[test]
fn two_users_take_turns_and_no_password_changes() {
    let mut world = World::new();
    let before = world.everything();
    let (first, second) = (world.request.user.clone(), somebody(1002));
    world.must_set_up();
    let password = world.machine.contents().users["CODEXSANDBOXOFFLINE"].password.clone();
    world.request.user.sid = second.into();
    world.request.user.profile = Some(path(r"C:\Users\second"));
    let outcome = world.must_set_up();
    let applied: Vec<&str> = outcome
        .steps
        .iter()
        .filter(|step| step.state == StepState::Applied)
        .map(|step| step.id.as_str())
        .collect();
    assert_eq!(applied, ["credentials", "reads"]);
    for turn in 0..10 {
        world.request.user = if turn % 2 == 0 { first.clone() } else { world.request.user.clone() };
        world.fault(None);
        world.must_set_up();
        assert_eq!(world.machine.effects(), 0, "turn {turn}: {:?}", world.machine.log());
    }
    assert_eq!(world.machine.contents().users["CODEXSANDBOXOFFLINE"].password, password);
    let folder =
        world.machine.host().node(&world.request.folder.credentials()).expect("made").descriptor.to_sddl();
    assert!([first.sid.to_string(), second.to_string()].iter().all(|sid| folder.contains(sid)), "{folder}");
    world.must_tear_down();
    assert_eq!(world.everything(), before);
}

#[test]
fn a_machine_that_was_renamed_needs_nothing() {
    let world = World::new();
    world.must_set_up();
    world.machine.behave(|behaviour| behaviour.name = "NEWNAME".to_owned());
    world.fault(None);
    world.must_set_up();
    assert_eq!(world.machine.effects(), 0, "{:?}", world.machine.log());
    let credentials =
        Credentials::load(&world.machine, &world.request.folder, Which::Online).expect("sealed");
    assert_eq!(credentials.domain, ".");
}

#[test]
fn another_prefix_on_a_machine_that_is_set_up_is_refused() {
    let mut world = World::new();
    world.must_set_up();
    let before = world.everything();
    world.request.names = codex_sandbox_windows::setup::Names::new("Other").expect("a prefix");
    let outcome = world.set_up();
    assert_eq!(failure(&outcome).code, "setup-other-prefix");
    assert_eq!(world.everything(), before);
    assert_eq!(
        SetupState::look(&world.machine, &world.request.names, &world.request.folder).expect("looked"),
        SetupState::NotSetUp
    );
    // What is taken back is what was made, whatever the configuration says today.
    world.must_tear_down();
    assert_eq!(world.everything(), World::new().everything());
}

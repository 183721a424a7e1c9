//! A fault, a kill, a lost journal at every effect.

use codex_sandbox_windows::host::HostErrorKind;
use codex_sandbox_windows::memory::{Fault, FaultKind};
use codex_sandbox_windows::setup::SetupState;
use codex_sandbox_windows::state::State;

use super::world::{Everything, World};

const FAIL: FaultKind = FaultKind::Fail(HostErrorKind::Other);

/// As after a set-up that nothing disturbed; passwords are random.
fn without_passwords(everything: Everything) -> Everything {
    let (mut contents, disk) = everything;
    for user in contents.users.values_mut() {
        user.password = Vec::new();
    }
    contents.files.retain(|path, _| !path.as_str().ends_with(".bin"));
    (contents, disk)
}

/// SIDs are given out anew after a kill between an account and its note: compared by name.
fn names(everything: &Everything) -> Vec<String> {
    let (contents, disk) = everything;
    let mut all: Vec<String> = contents.groups.keys().chain(contents.users.keys()).cloned().collect();
    all.extend(contents.hidden.iter().cloned());
    all.extend(contents.rules.iter().map(|rule| rule.rule.name.clone()));
    all.extend(contents.wfp.iter().map(|wfp| wfp.provider.clone()));
    all.extend(contents.members.values().map(|members| format!("{} members", members.len())));
    all.extend(contents.rights.values().map(|rights| format!("{rights:?}")));
    all.extend(disk.keys().map(ToString::to_string));
    all
}

fn is_ready(world: &World) -> bool {
    let look = SetupState::look(&world.machine, &world.request.names, &world.request.folder);
    matches!(look, Ok(SetupState::Ready(_)))
}

/// Does `rest` after a set-up that a fault struck at each effect in turn; says how many effects there were.
fn at_every_effect(kind: FaultKind, rest: impl Fn(&mut World, u64)) -> u64 {
    for at in 0.. {
        let mut world = World::new();
        world.fault(Some(Fault { at, kind }));
        let outcome = world.set_up();
        let reached = world.machine.effects() > at;
        assert_eq!(reached, !outcome.is_complete(), "effect {at}: {outcome:#?}");
        for error in outcome.failures().filter(|error| !error.killed) {
            let said = [&error.object, &error.remedy, &error.step];
            assert!(said.iter().all(|text| !text.is_empty()) && !error.code.is_empty(), "{error:?}");
        }
        world.fault(None);
        rest(&mut world, at);
        if !reached {
            return at;
        }
    }
    unreachable!("a set-up has an end")
}

#[test]
fn set_up_goes_on_after_a_fault_or_a_kill_at_every_effect() {
    let undisturbed = World::new();
    undisturbed.must_set_up();
    let wanted = names(&undisturbed.everything());
    for kind in [FaultKind::Kill, FAIL] {
        let effects = at_every_effect(kind, |world, at| {
            world.must_set_up();
            assert_eq!(names(&world.everything()), wanted, "effect {at}");
            assert!(is_ready(world), "effect {at}");
            let before = world.everything();
            world.fault(None);
            world.must_set_up();
            assert_eq!((world.machine.effects(), world.everything()), (0, before), "effect {at}");
        });
        println!(
            "{kind:?} at each of {effects} effects: the next set-up finishes, and the one after it does nothing"
        );
        assert!(effects >= 25, "{effects}");
    }
}

#[test]
fn what_was_begun_is_taken_back_after_a_fault_or_a_kill_at_every_effect() {
    let before = World::new().everything();
    for kind in [FaultKind::Kill, FAIL] {
        let effects = at_every_effect(kind, |world, at| {
            world.must_tear_down();
            assert_eq!(world.everything(), before, "effect {at}");
        });
        println!("{kind:?} at each of {effects} effects of a set-up: teardown leaves nothing");
    }
}

#[test]
fn teardown_goes_on_after_a_fault_or_a_kill_at_every_effect() {
    let before = World::new().everything();
    for kind in [FaultKind::Kill, FAIL] {
        let mut effects = 0;
        for at in 0.. {
            let world = World::new();
            world.must_set_up();
            world.fault(Some(Fault { at, kind }));
            let outcome = world.tear_down();
            if world.machine.effects() <= at {
                effects = at;
                assert!(outcome.is_ok_and(|outcome| outcome.is_complete()));
                assert_eq!(world.everything(), before);
                break;
            }
            world.fault(None);
            world.must_tear_down();
            assert_eq!(world.everything(), before, "effect {at}");
        }
        println!("{kind:?} at each of {effects} effects of a teardown: the next one finishes");
        assert!(effects >= 25, "{effects}");
    }
}

#[test]
fn a_set_up_killed_in_between_is_set_up_again_from_a_half_done_teardown() {
    let undisturbed = World::new();
    undisturbed.must_set_up();
    let wanted = names(&undisturbed.everything());
    for at in 0.. {
        let world = World::new();
        world.must_set_up();
        world.fault(Some(Fault { at, kind: FaultKind::Kill }));
        let _killed = world.tear_down();
        let reached = world.machine.effects() > at;
        world.fault(None);
        world.must_set_up();
        assert_eq!(names(&world.everything()), wanted, "effect {at}");
        assert!(is_ready(&world), "effect {at}");
        if !reached {
            break;
        }
    }
}

#[test]
fn a_journal_that_is_lost_at_every_effect_is_found_again_on_the_machine() {
    let before = World::new().everything();
    let undisturbed = World::new();
    undisturbed.must_set_up();
    let wanted = names(&undisturbed.everything());
    let effects = at_every_effect(FaultKind::Kill, |world, at| {
        world.state = State::in_memory().expect("memory");
        world.must_tear_down();
        assert_eq!(world.everything(), before, "torn down after effect {at}");
    });
    at_every_effect(FaultKind::Kill, |world, at| {
        world.state = State::in_memory().expect("memory");
        world.must_set_up();
        assert_eq!(names(&world.everything()), wanted, "set up after effect {at}");
        world.must_tear_down();
        assert_eq!(world.everything(), before, "torn down after effect {at}");
    });
    println!("journal lost at each of {effects} effects: set-up finishes, and teardown leaves nothing");
}

/// Each note is one transaction; a power failure may take the last ones along, effects included or not.
#[test]
fn a_power_failure_that_takes_the_last_note_along_changes_nothing() {
    let before = World::new().everything();
    let effects = at_every_effect(FaultKind::Kill, |world, at| {
        let last = world.state.things().expect("memory").last().cloned();
        if let Some((key, _)) = last {
            world.state.forget_thing(&key).expect("memory");
        }
        world.must_set_up();
        assert!(is_ready(world), "effect {at}");
        world.must_tear_down();
        assert_eq!(world.everything(), before, "effect {at}");
    });
    println!("last note lost at each of {effects} effects: the same end");
}

/// The database itself, on a disk: cut off, filled with zeros, or garbage.
#[test]
fn a_damaged_state_database_does_not_stop_set_up_or_teardown() {
    let before = World::new().everything();
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [Damage; 3] =
        [|bytes| bytes[..bytes.len() / 3].to_vec(), |bytes| vec![0; bytes.len()], |_| b"garbage".to_vec()];
    for damage in damages {
        let folder = tempfile::tempdir().expect("a folder");
        let mut world = World::new();
        world.state = State::open(folder.path());
        world.must_set_up();
        let file = world.state.file().expect("a file").to_owned();
        world.state = State::in_memory().expect("memory");
        let bytes = std::fs::read(&file).expect("written");
        std::fs::write(&file, damage(&bytes)).expect("writable");
        world.state = State::open(folder.path());
        world.fault(None);
        let outcome = world.must_set_up();
        assert_eq!(world.machine.effects(), 0, "{outcome:#?}");
        world.must_tear_down();
        assert_eq!(world.everything(), before);
    }
}

#[test]
fn set_up_and_teardown_leave_nothing() {
    let world = World::new();
    let before = world.everything();
    world.must_set_up();
    assert_ne!(world.everything(), before);
    let first = without_passwords(world.everything());
    // Twice is once, and what Windows makes at the first logon goes too.
    let profile = crate::support::path(r"C:\Users\CodexSandboxOffline");
    let offline = world.machine.contents().users["CODEXSANDBOXOFFLINE"].sid;
    world.machine.change(|contents| {
        contents.profiles.insert(offline, profile.clone());
    });
    world.must_set_up();
    let (mut contents, disk) = without_passwords(world.everything());
    contents.profiles.remove(&offline);
    assert_eq!((contents, disk), first);
    world.must_tear_down();
    assert_eq!(world.everything(), before);
    assert!(world.state.things().expect("memory").is_empty());
}

//! Read grants by the worker: what is given, what is not, a kill at every effect, and back.

use std::collections::BTreeMap;

use codex_sandbox_windows::memory::{Fault, FaultKind};
use codex_sandbox_windows::plan::apply::allows;
use codex_sandbox_windows::plan::facts::NodeKind;
use codex_sandbox_windows::plan::{WinPath, tokens};
use codex_sandbox_windows::setup::SetupError;
use codex_sandbox_windows::setup::reads::{Worker, WorkerState, work};
use nt_security::{AccessMask, Control, SecurityDescriptor, Sid, Token};

use super::world::{Everything, World, assert_same};

fn give(world: &World) -> Result<Worker, SetupError> {
    let (names, folder) = (&world.request.names, &world.request.folder);
    work(&world.machine, world.machine.host(), &world.state, names, folder, &BTreeMap::new())
}

/// Files that a developer has, with a closed one and a secret.
fn world() -> World {
    let world = World::new();
    let host = world.machine.host().with_token(tokens::launcher(&world.facts));
    let profile = world.facts.folders.profile.clone();
    for (name, kind) in [
        ("Documents", NodeKind::Folder),
        (r"Documents\notes.txt", NodeKind::File),
        (r"Documents\closed", NodeKind::Folder),
        (r"Documents\closed\inside.txt", NodeKind::File),
        (".ssh", NodeKind::Folder),
        (r".ssh\id_ed25519", NodeKind::File),
        (".aws", NodeKind::Folder),
        (r".aws\credentials", NodeKind::File),
        ("AppData", NodeKind::Folder),
        (r"AppData\Roaming", NodeKind::Folder),
        (r"AppData\Roaming\tool", NodeKind::Folder),
        (r"AppData\Roaming\tool\tool.exe", NodeKind::File),
    ] {
        let path = profile.join(name);
        if host.node(&path).is_none() {
            host.make(&path, kind).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let closed = profile.join(r"Documents\closed");
    let sddl =
        format!("O:{0}G:{0}D:P(A;OICI;FA;;;{0})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", world.facts.user.sid);
    let node = host.node(&closed).expect("made");
    let descriptor = SecurityDescriptor::from_sddl(&sddl).expect("SDDL");
    host.put(&closed, codex_sandbox_windows::plan::tree::TreeNode { descriptor, ..node });
    world
}

fn account(world: &World) -> Token {
    let contents = world.machine.contents();
    let group = contents.groups["CODEXSANDBOXUSERS"].0;
    tokens::account(contents.users["CODEXSANDBOXOFFLINE"].sid, Some(group), Sid::constant(5, [5, 0, 9]))
}

fn reads(world: &World, path: &str) -> bool {
    let path: WinPath = world.facts.folders.profile.join(path);
    let node = world.machine.host().node(&path).unwrap_or_else(|| panic!("no {path}"));
    allows(&account(world), &node.descriptor, AccessMask::FILE_READ_DATA)
}

fn is_given(world: &World) -> bool {
    [r"Documents\notes.txt", r"Documents\closed", r"AppData\Roaming\tool\tool.exe", ""]
        .iter()
        .all(|path| reads(world, path))
}

fn holds_no_secret(world: &World) -> bool {
    [".ssh", r".ssh\id_ed25519", ".aws", r".aws\credentials"].iter().all(|path| !reads(world, path))
}

#[test]
fn the_accounts_read_what_the_user_reads_except_secrets() {
    let world = world();
    world.must_set_up();
    assert!(!is_given(&world));
    let worker = give(&world).expect("given");
    assert_eq!((worker.state, worker.refused), (WorkerState::Done, 0), "{worker:?}");
    assert!(is_given(&world) && holds_no_secret(&world));
    assert_eq!(Worker::read(&world.machine, &world.request.folder), Some(worker));
    // Nothing is written twice.
    world.machine.host().set_fault(None);
    give(&world).expect("given");
    assert_eq!(world.machine.host().descriptor_writes(), 0);
}

/// What was there before, without what the worker says of itself.
fn snapshot(world: &World) -> Everything {
    world.everything()
}

#[test]
fn a_worker_killed_at_every_effect_is_gone_on_with_and_taken_back() {
    let before = snapshot(&world());
    let mut effects = 0;
    for at in 0.. {
        for teardown_at_once in [false, true] {
            let world = world();
            world.must_set_up();
            world.machine.host().set_fault(Some(Fault { at, kind: FaultKind::Kill }));
            let result = give(&world);
            let reached = world.machine.host().effects() > at;
            assert_eq!(reached, result.is_err(), "effect {at}: {result:?}");
            world.machine.host().set_fault(None);
            if !teardown_at_once {
                let worker = give(&world).expect("given");
                assert_eq!(worker.state, WorkerState::Done);
                assert!(is_given(&world) && holds_no_secret(&world), "effect {at}");
            }
            world.must_tear_down();
            assert_eq!(snapshot(&world), before, "effect {at}, teardown at once: {teardown_at_once}");
            if !reached {
                effects = at;
            }
        }
        if effects == at && at > 0 {
            break;
        }
    }
    println!(
        "worker killed at each of {effects} effects: the next one finishes, and teardown leaves nothing"
    );
    assert!(effects >= 5, "{effects}");
}

#[test]
fn a_teardown_killed_at_every_effect_on_files_is_gone_on_with() {
    let before = snapshot(&world());
    for at in 0.. {
        let world = world();
        world.must_set_up();
        give(&world).expect("given");
        world.machine.host().set_fault(Some(Fault { at, kind: FaultKind::Kill }));
        let _killed = world.tear_down();
        let reached = world.machine.host().effects() > at;
        world.machine.host().set_fault(None);
        world.must_tear_down();
        assert_eq!(snapshot(&world), before, "effect {at}");
        if !reached {
            break;
        }
    }
}

/// "Auto-inherited" on a protected folder: an ACE of ours puts it there, it has no effect, and only the journal knows whether it
/// was there before.
fn without_mark(mut everything: Everything) -> Everything {
    for (_, descriptor) in everything.1.values_mut() {
        if descriptor.control.contains(Control::DACL_PROTECTED) {
            descriptor.control = descriptor.control.without(Control::DACL_AUTO_INHERITED);
        }
    }
    everything
}

#[test]
fn grants_that_nobody_noted_are_found_in_the_profile() {
    let mut world = world();
    let before = without_mark(snapshot(&world));
    world.must_set_up();
    give(&world).expect("given");
    world.state = codex_sandbox_windows::state::State::in_memory().expect("memory");
    world.must_tear_down();
    assert_same(&without_mark(snapshot(&world)), &before, "journal lost");
}

#[test]
fn a_worker_that_is_told_to_stop_and_one_that_died_are_told_apart() {
    let world = world();
    world.must_set_up();
    let worker = give(&world).expect("given");
    let running = Worker { state: WorkerState::Running, ..worker };
    assert!(!running.has_died(&world.machine));
    let other = Worker { pid: running.pid + 1, ..running };
    assert!(other.has_died(&world.machine));
}

//! A state database that is damaged, or that cannot be written, at any moment: never less protection, and teardown finishes.

mod support;

use std::fs;
use std::path::Path;

use codex_sandbox_windows::grants::Quiet;
use codex_sandbox_windows::memory::{Fault, FaultKind};
use codex_sandbox_windows::plan::facts::NodeKind;
use codex_sandbox_windows::prepare::PrepareError;
use codex_sandbox_windows::state::{COPY_NAME, FILE_NAME, State};
use codex_sandbox_windows::teardown::{Scope, teardown};
use support::machine::{Machine, assert_same};
use tempfile::{TempDir, tempdir};

fn machine() -> (TempDir, Machine) {
    let folder = tempdir().expect("a folder");
    let mut machine = Machine::new();
    machine.state = State::open(folder.path());
    for n in 0..30 {
        machine.add(&format!(r"src\folder{}\file{n}.txt", n % 4), NodeKind::File);
    }
    machine.add(r"vendor\lib\.git\config", NodeKind::File);
    (folder, machine)
}

/// Ends the process, lets `damage` at the files, and starts the next one.
fn next_process(folder: &Path, machine: &mut Machine, damage: impl Fn(&Path)) {
    machine.state = State::in_memory().expect("memory");
    damage(folder);
    machine.state = State::open(folder);
}

fn fill_with_nul(file: &Path) {
    let len = fs::metadata(file).expect("the file").len();
    fs::write(file, vec![0; usize::try_from(len).expect("small")]).expect("the test's own");
}

fn cut(file: &Path) {
    let bytes = fs::read(file).expect("the file");
    fs::write(file, &bytes[..bytes.len() / 2]).expect("the test's own");
}

/// A name, and what does it.
type Damage = (&'static str, fn(&Path));

/// Ways to lose the database.
const DAMAGES: [Damage; 4] = [
    ("filled with NUL", |folder| fill_with_nul(&folder.join(FILE_NAME))),
    ("cut off", |folder| cut(&folder.join(FILE_NAME))),
    ("emptied", |folder| fs::write(folder.join(FILE_NAME), "").expect("the test's own")),
    ("deleted", |folder| fs::remove_file(folder.join(FILE_NAME)).expect("the test's own")),
];

#[test]
fn a_damaged_database_is_taken_from_its_copy_and_teardown_leaves_nothing() {
    for (what, damage) in DAMAGES {
        let (folder, mut machine) = machine();
        let before = machine.texts();
        let first = machine.prepare();
        next_process(folder.path(), &mut machine, damage);
        assert!(machine.state.was_rebuilt().unwrap(), "{what}");
        assert!(machine.state.notices()[0].contains("from its copy"), "{:?}", machine.state.notices());
        machine.teardown(&Scope::All);
        assert_same(&before, &machine.texts());
        assert!(first.applied.counts.written > 30);
    }
}

#[test]
fn a_run_after_the_damage_has_the_same_sid_and_writes_nothing() {
    for (what, damage) in DAMAGES {
        let (folder, mut machine) = machine();
        let before = machine.texts();
        let first = machine.prepare();
        next_process(folder.path(), &mut machine, damage);
        let second = machine.prepare();
        assert_eq!(machine.host.descriptor_writes(), 0, "{what}");
        assert_eq!(first.plan.write_sids[0].sid, second.plan.write_sids[0].sid, "{what}");
        machine.teardown(&Scope::All);
        assert_same(&before, &machine.texts());
    }
}

#[test]
fn without_a_copy_teardown_of_a_folder_finds_what_stands_there() {
    for (what, damage) in DAMAGES.into_iter().take(3) {
        let (folder, mut machine) = machine();
        let before = machine.texts();
        machine.prepare();
        next_process(folder.path(), &mut machine, |folder| {
            fs::remove_file(folder.join(COPY_NAME)).expect("there is a copy");
            damage(folder);
        });
        let root = machine.root();
        let dry = || {
            teardown(&machine.host, &machine.state, &Scope::Root(root.clone()), true, &Quiet)
                .expect("nothing fails")
        };
        assert!(dry().counts.written > 30, "{what}");
        assert!(machine.state.write_sids().unwrap().is_empty(), "a dry run notes nothing");
        machine.teardown(&Scope::Root(root.clone()));
        let after = machine.texts();
        let there = |path: &_| before.get(path);
        let differ: Vec<_> = after
            .iter()
            .filter(|(path, text)| path.is_in(&root) && there(path).is_some_and(|known| known != *text))
            .collect();
        assert!(differ.is_empty(), "{what}: {differ:#?}");
    }
}

#[test]
fn without_a_copy_a_run_and_a_teardown_leave_nothing_either() {
    let (folder, mut machine) = machine();
    let before = machine.texts();
    machine.prepare();
    next_process(folder.path(), &mut machine, |folder| {
        fs::remove_file(folder.join(COPY_NAME)).expect("there is a copy");
        fill_with_nul(&folder.join(FILE_NAME));
    });
    machine.prepare();
    machine.teardown(&Scope::All);
    let (root, after) = (machine.root(), machine.texts());
    let differ: Vec<_> = before
        .iter()
        .filter(|(path, text)| path.is_in(&root) && after.get(path) != Some(text))
        .map(|(path, text)| format!("{path}\n {text}\n {:?}", after.get(path)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn a_damaged_copy_is_not_used() {
    let (folder, mut machine) = machine();
    machine.prepare();
    next_process(folder.path(), &mut machine, |folder| {
        fill_with_nul(&folder.join(FILE_NAME));
        cut(&folder.join(COPY_NAME));
    });
    assert!(machine.state.notices()[0].contains("begun anew"), "{:?}", machine.state.notices());
    assert!(machine.state.write_sids().unwrap().is_empty());
    machine.prepare();
}

#[test]
fn a_kill_and_a_damaged_database_together_are_taken_back() {
    for at in (0..60).step_by(7) {
        let (folder, mut machine) = machine();
        let before = machine.texts();
        machine.host.set_fault(Some(Fault { at, kind: FaultKind::Kill }));
        let (cwd, environment) = (machine.facts.cwd.clone(), machine.facts.environment.clone());
        let prepared = codex_sandbox_windows::prepare::prepare(
            &machine.policy,
            &cwd,
            environment,
            &machine.host,
            &machine.state,
            &Quiet,
        );
        assert!(prepared.is_err(), "killed at {at}");
        machine.host.set_fault(None);
        next_process(folder.path(), &mut machine, |folder| fill_with_nul(&folder.join(FILE_NAME)));
        machine.prepare();
        machine.teardown(&Scope::All);
        let (root, after) = (machine.root(), machine.texts());
        let left: Vec<_> = after
            .iter()
            .filter(|(path, text)| path.is_in(&root) && before.get(path).is_some_and(|known| known != *text))
            .collect();
        assert!(left.is_empty(), "killed at {at}: {left:#?}");
    }
}

#[test]
fn a_database_that_cannot_be_written_lets_granted_runs_go_on_and_others_not() {
    let (folder, mut machine) = machine();
    let first = machine.prepare();
    machine.prepare();
    // The lock's name is taken by a folder, which nobody can open for writing, whoever he is.
    next_process(folder.path(), &mut machine, |folder| {
        fs::remove_file(folder.join("state.lock")).expect("the lock");
        fs::create_dir(folder.join("state.lock")).expect("a folder");
    });
    let again = machine.prepare();
    assert_eq!(machine.host.effects(), 0);
    assert_eq!(first.plan.write_sids[0].sid, again.plan.write_sids[0].sid);
    machine.policy.protected.push("secrets".to_owned());
    let refused = machine.try_prepare(&Quiet);
    assert!(
        matches!(&refused, Err(PrepareError::Grant(error)) if error.code().starts_with("state-")),
        "{refused:?}"
    );
    assert_eq!(machine.host.effects(), 0, "nothing is done that cannot be noted");
    let removed = teardown(&machine.host, &machine.state, &Scope::All, false, &Quiet);
    assert!(removed.is_err_and(|error| error.code().starts_with("state-")));
    assert_eq!(machine.host.effects(), 0);
}

#[test]
fn a_disk_that_fills_up_while_granting_leaves_nothing_that_is_not_noted() {
    let mut refused = 0;
    for pages in 1..40 {
        let (folder, mut machine) = machine();
        let before = machine.texts();
        machine.state.limit_pages(pages).expect("a limit");
        match machine.try_prepare(&Quiet) {
            Ok(_) => {}
            Err(PrepareError::Grant(error)) => {
                assert_eq!(error.code(), "state-disk-full", "{error}");
                assert!(error.to_string().contains("free some space"), "{error}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        // Somebody makes room.
        next_process(folder.path(), &mut machine, |_| {});
        machine.teardown(&Scope::All);
        assert_same(&before, &machine.texts());
    }
    assert!(refused > 0, "some of these limits are too small");
}

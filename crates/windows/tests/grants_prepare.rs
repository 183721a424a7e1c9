//! From a policy to a granted machine and back, on hosts in memory: what users reported.

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use codex_sandbox_windows::gather::{Request, gather};
use codex_sandbox_windows::grants::{Counts, Progress, Quiet, changes_anything, end_of_run};
use codex_sandbox_windows::plan::facts::NodeKind;
use codex_sandbox_windows::plan::tree::TreeNode;
use codex_sandbox_windows::plan::{WinPath, inherit, plan, tokens};
use codex_sandbox_windows::prepare::{PrepareError, Prepared, prepare};
use codex_sandbox_windows::prove::prove;
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::teardown::{Scope, teardown};
use nt_security::SecurityDescriptor;
use support::machine::{Machine, assert_same};
use support::unelevated;

#[test]
fn gathered_facts_plan_to_what_is_proved() {
    let machine = Machine::new();
    let request = Request {
        policy: &machine.policy,
        cwd: &machine.facts.cwd,
        environment: machine.facts.environment.clone(),
        rescan: false,
    };
    let facts = gather(&machine.host, &machine.state, &request).unwrap();
    let plan = plan(&machine.policy, &facts).unwrap();
    let proof = prove(&plan, &facts).unwrap();
    let rows: Vec<_> = proof.violations().collect();
    assert!(rows.is_empty(), "{rows:#?}");
    assert!(plan.aces.iter().any(|ace| ace.path == machine.root()));
    // The walk found the nested repository that the example has, or makes.
    let git = machine.add(r"vendor\lib\.git", NodeKind::Folder);
    let facts = gather(&machine.host, &machine.state, &request).unwrap();
    assert!(facts.nodes.iter().any(|node| node.path == git));
}

#[test]
fn a_second_run_writes_nothing_and_walks_nothing() {
    let machine = Machine::new();
    for n in 0..300 {
        machine.add(&format!(r"src\folder{}\file{n}.txt", n % 10), NodeKind::File);
    }
    let first = machine.prepare();
    assert!(first.applied.counts.written > 300);
    let _ = machine.prepare();
    let third = machine.prepare();
    assert_eq!(machine.host.descriptor_writes(), 0);
    assert_eq!(machine.host.effects(), 0);
    assert!(machine.host.opens() < 250, "{} opens", machine.host.opens());
    assert!(!changes_anything(&third.plan));
    assert_eq!(third.applied.counts, Counts::default());
    assert_eq!(first.plan.write_sids[0].sid, third.plan.write_sids[0].sid);
}

#[test]
fn everything_is_as_before_after_teardown() {
    let machine = Machine::new();
    machine.add(r"a\b\c.txt", NodeKind::File);
    let before = machine.texts();
    machine.prepare();
    assert_ne!(before, machine.texts());
    machine.teardown(&Scope::Root(machine.root()));
    let root = machine.root();
    let in_root = |texts: BTreeMap<WinPath, String>| -> Vec<(WinPath, String)> {
        texts.into_iter().filter(|(path, _)| path.is_in(&root)).collect()
    };
    assert_eq!(in_root(before.clone()), in_root(machine.texts()));
    machine.teardown(&Scope::All);
    assert_same(&before, &machine.texts());
}

#[test]
fn policies_live_side_by_side_in_one_root() {
    let mut machine = Machine::new();
    let before = machine.texts();
    let first = machine.prepare();
    machine.policy.protected.push("secrets".to_owned());
    let second = machine.prepare();
    let sid = |prepared: &Prepared| {
        let root = machine.root();
        prepared.plan.write_sids.iter().find(|sid| sid.root == root).expect("the root is granted").sid
    };
    assert_ne!(sid(&first), sid(&second));
    let text = machine.host.node(&machine.root()).unwrap().descriptor.to_sddl();
    assert!(text.contains(&sid(&first).to_string()) && text.contains(&sid(&second).to_string()));
    for policy in [&first, &second] {
        machine.policy.protected = policy.plan.policy.protected.clone();
        machine.prepare();
        machine.prepare();
        assert_eq!(machine.host.descriptor_writes(), 0);
    }
    machine.teardown(&Scope::All);
    assert_same(&before, &machine.texts());
}

#[test]
fn what_is_created_during_a_run_is_cleaned_too() {
    let machine = Machine::new();
    let before = machine.texts();
    let prepared = machine.prepare();
    let made = machine.add(r"build\out\x.o", NodeKind::File);
    let sid = prepared.plan.write_sids.iter().find(|sid| sid.root == machine.root()).unwrap().sid.to_string();
    assert!(machine.texts()[&made].contains(&sid), "new files inherit");
    machine.teardown(&Scope::All);
    let after = machine.texts();
    assert!(after.values().all(|text| !text.contains(&sid)));
    assert!(before.iter().all(|(path, text)| after.get(path) == Some(text)));
}

#[test]
fn a_repository_born_in_the_run_is_frozen_and_its_hooks_are_listed() {
    let machine = Machine::new();
    let before = machine.texts();
    let prepared = machine.prepare();
    let git = machine.add(r"new\.git", NodeKind::Folder);
    machine.add(r"new\.git\hooks\post-commit", NodeKind::File);
    machine.add(r"new\.git\hooks\post-commit.sample", NodeKind::File);
    let config = machine.add(r"new\.git\config", NodeKind::File);
    let mut node = machine.host.node(&config).unwrap();
    node.content = Some("[core]\n\tfsmonitor = x\n\tbare = false\n".to_owned());
    machine.host.put(&config, node);
    let frozen = end_of_run(&prepared.plan, &machine.host, &machine.state, &Quiet).unwrap();
    assert_eq!(frozen.len(), 1, "{frozen:#?}");
    assert!(frozen[0].is_frozen && frozen[0].path == git);
    assert_eq!(frozen[0].runs_code.len(), 2, "{frozen:#?}");
    let text = &machine.texts()[&git];
    assert!(text.contains("(D;OICI;0xd0156;;;") && text.contains("S-1-16-8192"), "{text}");
    // The next run knows it.
    let next = gather(
        &machine.host,
        &machine.state,
        &Request {
            policy: &machine.policy,
            cwd: &machine.facts.cwd,
            environment: BTreeMap::new(),
            rescan: false,
        },
    )
    .unwrap();
    assert!(next.nodes.iter().any(|node| node.path == git));
    machine.prepare();
    assert!(end_of_run(&machine.prepare().plan, &machine.host, &machine.state, &Quiet).unwrap().is_empty());
    machine.teardown(&Scope::All);
    let after = machine.texts();
    assert!(before.iter().all(|(path, text)| after.get(path) == Some(text)));
}

struct After(AtomicU64);

impl Progress for After {
    fn step(&self, _: &Counts) -> ControlFlow<()> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

#[test]
fn a_run_that_was_cancelled_is_resumed_by_the_next() {
    let machine = Machine::new();
    for n in 0..40 {
        machine.add(&format!(r"src\folder{n}\file.txt"), NodeKind::File);
    }
    let whole = Machine::new();
    for n in 0..40 {
        whole.add(&format!(r"src\folder{n}\file.txt"), NodeKind::File);
    }
    whole.prepare();
    assert!(matches!(machine.try_prepare(&After(AtomicU64::new(7))), Err(PrepareError::Cancelled)));
    assert!(!machine.state.unfinished().unwrap().is_empty());
    machine.prepare();
    assert_eq!(machine.state.unfinished().unwrap(), []);
    assert_same(&whole.texts(), &machine.texts());
}

#[test]
fn several_threads_do_what_one_does() {
    let (one, many) = (Machine::new(), Machine::new());
    for n in 0..200 {
        for machine in [&one, &many] {
            machine.add(&format!(r"src\{}\{}\file{n}.txt", n % 5, n % 7), NodeKind::File);
        }
    }
    let before = one.texts();
    many.host.set_threads(4);
    one.prepare();
    many.prepare();
    assert_same(&one.texts(), &many.texts());
    many.teardown(&Scope::All);
    assert_same(&before, &many.texts());
}

#[test]
fn field_31414_a_root_that_refuses_is_read_only_and_the_others_are_granted() {
    let mut machine = Machine::new();
    let second = machine.root().parent().unwrap().join("second");
    let descriptor = machine.host.node(&machine.root()).unwrap().descriptor;
    machine.host.put(&second, TreeNode::plain(NodeKind::Folder, descriptor));
    machine.policy.writable_roots.push(support::written(second.as_str()));
    machine.host.hold(&second);
    let prepared = machine.prepare();
    assert_eq!(prepared.applied.degraded.len(), 1, "{:#?}", prepared.applied);
    let degraded = &prepared.applied.degraded[0];
    assert_eq!(degraded.root, second);
    assert!(degraded.remedy.contains("icacls \"") && degraded.remedy.contains("/grant"), "{degraded}");
    let sid = prepared.plan.write_sids.iter().find(|sid| sid.root == machine.root()).unwrap().sid.to_string();
    assert!(machine.texts()[&machine.root()].contains(&sid));
}

#[test]
fn hard_links_and_objects_without_a_dacl_are_left_alone_and_listed() {
    let machine = Machine::new();
    let inside = machine.add(r"src\linked.txt", NodeKind::File);
    let outside = machine.facts.folders.profile.join("outside.txt");
    machine.host.link(&inside, &outside);
    let open = machine.add(r"src\open", NodeKind::File);
    let mut node = machine.host.node(&open).unwrap();
    node.descriptor.dacl = nt_security::AclField::Null;
    machine.host.put(&open, node);
    let before = machine.texts();
    let prepared = machine.prepare();
    for path in [&inside, &open] {
        assert_eq!(before[path], machine.texts()[path]);
        let listed = prepared.applied.skipped.iter().any(|skipped| skipped.path == *path);
        assert!(listed, "{path} in {:#?}", prepared.applied.skipped);
    }
}

#[test]
fn a_folder_that_was_made_anew_gets_a_sid_of_its_own() {
    let machine = Machine::new();
    let first = machine.prepare();
    let parent = machine.root().parent().unwrap();
    let node = machine.host.node(&machine.root()).unwrap();
    let moved = parent.join("moved");
    machine.host.rename(&machine.root(), &moved);
    let descriptor = inherit::created(
        &machine.host.node(&parent).unwrap().descriptor,
        node.kind,
        &tokens::launcher(&machine.facts),
    );
    machine.host.put(&machine.root(), TreeNode::plain(node.kind, descriptor));
    let second = machine.prepare();
    assert_ne!(first.plan.write_sids[0].sid, second.plan.write_sids[0].sid);
    let retired = machine.state.write_sids().unwrap().into_iter().find(|known| known.retired);
    assert_eq!(retired.map(|known| known.sid.sid), Some(first.plan.write_sids[0].sid));
}

#[test]
fn a_lost_state_does_not_stop_runs_and_what_it_knew_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::new();
    machine.state = State::open(folder.path());
    let first = machine.prepare();
    let old = first.plan.write_sids.iter().find(|sid| sid.root == machine.root()).unwrap().sid.to_string();
    machine.state = State::in_memory().unwrap();
    std::fs::write(folder.path().join("state.db"), vec![0; 8192]).unwrap();
    std::fs::remove_file(folder.path().join(codex_sandbox_windows::state::COPY_NAME)).unwrap();
    machine.state = State::open(folder.path());
    assert!(machine.state.was_rebuilt().unwrap());
    let second = machine.prepare();
    let new = second.plan.write_sids.iter().find(|sid| sid.root == machine.root()).unwrap().sid.to_string();
    assert_ne!(old, new);
    let left: Vec<_> = machine.texts().into_iter().filter(|(_, text)| text.contains(&old)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_there_is() {
    let machine = Machine::new();
    machine.prepare();
    let before = machine.texts();
    machine.host.set_fault(None);
    let removed = teardown(&machine.host, &machine.state, &Scope::All, true, &Quiet).unwrap();
    assert_eq!(machine.host.effects(), 0);
    assert_same(&before, &machine.texts());
    assert!(removed.counts.written > 0 && !removed.stated.is_empty() && !removed.made.is_empty());
    machine.prepare();
    assert_eq!(machine.host.descriptor_writes(), 0);
}

#[test]
fn many_runs_at_once_share_one_sid_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new();
    for n in 0..60 {
        machine.add(&format!(r"src\{}\file{n}.txt", n % 6), NodeKind::File);
    }
    let before = machine.texts();
    let sids: Vec<String> = std::thread::scope(|scope| {
        let run = |protected: bool| {
            let (machine, folder) = (&machine, folder.path());
            scope.spawn(move || {
                let state = State::open(folder);
                let mut policy = unelevated();
                if protected {
                    policy.protected.push("vendor".to_owned());
                }
                let (environment, cwd) = (machine.facts.environment.clone(), &machine.facts.cwd);
                let prepared = prepare(&policy, cwd, environment, &machine.host, &state, &Quiet).unwrap();
                let root = machine.root();
                let sid = prepared.plan.write_sids.iter().find(|sid| sid.root == root).unwrap();
                format!("{} {}", sid.variant, sid.sid)
            })
        };
        let runs: Vec<_> = (0..10).map(|n| run(n % 2 == 0)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let mut different = sids.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 2, "one for each policy: {sids:#?}");
    let texts = machine.texts();
    for path in texts.keys().filter(|path| path.is_in(&machine.root().join("src"))) {
        let has = |sid: &String| texts[path].contains(sid.rsplit(' ').next().unwrap());
        assert!(different.iter().all(has), "{path} {}", texts[path]);
    }
    let state = State::open(folder.path());
    let removed = teardown(&machine.host, &state, &Scope::All, false, &Quiet).unwrap();
    assert!(removed.is_complete());
    assert_same(&before, &machine.texts());
}

#[test]
fn what_a_command_left_in_its_temporary_folder_goes_however_deep_and_closed_it_is() {
    let machine = Machine::new();
    let before = machine.texts();
    let prepared = machine.prepare();
    let temp = prepared.plan.policy.private[0].clone();
    let deep = (0..40).fold(temp, |at, _| {
        let at = at.join("d");
        machine.host.make(&at, NodeKind::Folder).unwrap();
        at
    });
    let mut node = machine.host.node(&deep).unwrap();
    let user = machine.facts.user.sid;
    let closed = SecurityDescriptor::from_sddl(&format!("O:{user}D:P(D;;FA;;;{user})")).unwrap();
    node.descriptor = closed;
    machine.host.put(&deep, node);
    machine.teardown(&Scope::All);
    assert_same(&before, &machine.texts());
}
